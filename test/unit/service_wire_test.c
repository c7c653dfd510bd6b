/* service/wire and service/channel: messages between the service's processes. */
#include "service/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "service/channel.h"

static uint8_t bytes[SERVICE_MESSAGE_MAX];

static struct stamp_slice slice(const char *text)
{
    return (struct stamp_slice){(const uint8_t *)text, strlen(text)};
}

static void same(struct stamp_slice a, struct stamp_slice b)
{
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.p, b.p, a.len);
}

static struct service_message enrol(void)
{
    struct service_message m = {.type = SERVICE_ENROL, .id = 0x0123456789ABCDEF};

    m.u.enrol.credential = SERVICE_BY_TOKEN;
    m.u.enrol.chain = STAMP_REFUSAL_EXPIRED;
    m.u.enrol.peer = slice("certificate");
    memset(m.u.enrol.fingerprint, 1, 32);
    m.u.enrol.peer_serial = slice("SN-1");
    memset(m.u.enrol.token, 2, 32);
    m.u.enrol.token_serial = slice("SN-2");
    memset(m.u.enrol.point, 3, STAMP_POINT_SIZE);
    m.u.enrol.serial = slice("SN-3");
    m.u.enrol.evidence = slice("evidence");
    m.u.enrol.label = slice("Sensor");
    m.u.enrol.from = slice("::1");
    return m;
}

static void a_message_comes_back_as_it_went(void **state)
{
    struct service_message m = enrol();
    struct service_message out;
    size_t len = service_wire_encode(&m, bytes);

    (void)state;
    assert_true(len > 0);
    assert_true(service_wire_decode(bytes, len, &out));
    assert_int_equal(out.type, SERVICE_ENROL);
    assert_true(out.id == m.id);
    assert_int_equal(out.u.enrol.credential, SERVICE_BY_TOKEN);
    assert_int_equal(out.u.enrol.chain, STAMP_REFUSAL_EXPIRED);
    same(out.u.enrol.peer, m.u.enrol.peer);
    assert_memory_equal(out.u.enrol.fingerprint, m.u.enrol.fingerprint, 32);
    same(out.u.enrol.peer_serial, m.u.enrol.peer_serial);
    assert_memory_equal(out.u.enrol.token, m.u.enrol.token, 32);
    same(out.u.enrol.token_serial, m.u.enrol.token_serial);
    assert_memory_equal(out.u.enrol.point, m.u.enrol.point, STAMP_POINT_SIZE);
    same(out.u.enrol.serial, m.u.enrol.serial);
    same(out.u.enrol.evidence, m.u.enrol.evidence);
    same(out.u.enrol.label, m.u.enrol.label);
    same(out.u.enrol.from, m.u.enrol.from);

    m = (struct service_message){.type = SERVICE_FACTORY_ASK,
                                 .id = 8}; /* the most fields */
    m.u.factory.verb = SERVICE_FACTORY_RESULTS;
    m.u.factory.name = slice("week-48");
    m.u.factory.note = slice("for line 3");
    m.u.factory.not_after = 1234567890;
    m.u.factory.quarantine = 1;
    m.u.factory.from = slice("::1");
    len = service_wire_encode(&m, bytes);
    assert_true(service_wire_decode(bytes, len, &out));
    assert_int_equal(out.u.factory.verb, SERVICE_FACTORY_RESULTS);
    same(out.u.factory.name, m.u.factory.name);
    same(out.u.factory.note, m.u.factory.note);
    assert_true(out.u.factory.not_after == 1234567890);
    assert_int_equal(out.u.factory.quarantine, 1);
    same(out.u.factory.from, m.u.factory.from);

    m = (struct service_message){.type = SERVICE_SIGN, .id = 7};
    m.u.sign.not_before = 1234567890;
    m.u.sign.not_after = UINT64_MAX;
    m.u.sign.birth = slice("birth");
    len = service_wire_encode(&m, bytes);
    assert_true(service_wire_decode(bytes, len, &out));
    assert_true(out.u.sign.not_before == 1234567890);
    assert_true(out.u.sign.not_after == UINT64_MAX);
    same(out.u.sign.birth, m.u.sign.birth);
}

static void what_is_cut_or_longer_is_no_message(void **state)
{
    struct service_message m = enrol();
    struct service_message out;
    size_t len = service_wire_encode(&m, bytes);

    (void)state;
    for (size_t i = 0; i < len; i++) {
        assert_false(service_wire_decode(bytes, i, &out));
        assert_int_equal(out.type, 0);
    }
    bytes[len] = 0;
    assert_false(service_wire_decode(bytes, len + 1, &out));
}

static void a_type_that_is_none_is_no_message(void **state)
{
    struct service_message out;
    struct service_message m = {.type = SERVICE_TYPES};

    (void)state;
    assert_int_equal(service_wire_encode(&m, bytes), 0);
    m.type = 0;
    assert_int_equal(service_wire_encode(&m, bytes), 0);
    memset(bytes, 0, 9);
    for (unsigned type = SERVICE_TYPES; type < 256; type++) {
        bytes[0] = (uint8_t)type;
        assert_false(service_wire_decode(bytes, 9, &out));
    }
}

static void a_field_past_its_size_is_not_sent_and_not_taken(void **state)
{
    static const uint8_t big[STAMP_MAX_CERTIFICATE + 1];
    struct service_message m = {.type = SERVICE_ANSWER};
    struct service_message out;
    size_t len;

    (void)state;
    m.u.answer.certificate = (struct stamp_slice){big, sizeof big};
    assert_int_equal(service_wire_encode(&m, bytes), 0);
    m.u.answer.certificate.len--;
    len = service_wire_encode(&m, bytes);
    assert_true(service_wire_decode(bytes, len, &out));
    bytes[11]++; /* the certificate's length: one more than may be, and is */
    assert_false(service_wire_decode(bytes, len, &out));
    assert_false(service_wire_decode(bytes, len + 1, &out));
}

static void what_nobody_takes_waits_in_its_order(void **state)
{
    static uint8_t large[STAMP_MAX_CERTIFICATE];
    struct service_message m = {.type = SERVICE_ANSWER};
    struct service_channel a;
    struct service_channel b;
    struct service_message out;
    enum { MANY = 2000 };
    int pair[2];
    uint64_t got = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    service_channel_init(&a, pair[0]);
    service_channel_init(&b, pair[1]);
    m.u.answer.certificate = (struct stamp_slice){large, sizeof large};
    for (m.id = 0; m.id < MANY; m.id++) {
        service_channel_send(&a, &m);
    }
    assert_false(service_channel_flush(&a)); /* more than a socket holds */
    while (got < MANY) {
        enum service_received r = service_channel_receive(&b, bytes, &out);

        if (r == SERVICE_NOTHING) {
            (void)service_channel_flush(&a);
            continue;
        }
        assert_int_equal(r, SERVICE_GOT);
        assert_true(out.id == got);
        got++;
    }
    assert_true(service_channel_flush(&a));
    (void)close(pair[0]);
    assert_int_equal(service_channel_receive(&b, bytes, &out), SERVICE_CLOSED);
    (void)close(pair[1]);
    service_channel_fini(&a);
    service_channel_fini(&b);
}

static void what_waits_is_freed_with_its_channel(void **state)
{
    struct service_message m = {.type = SERVICE_STOP};
    struct service_channel a;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    service_channel_init(&a, pair[0]);
    while (a.first == NULL) {
        service_channel_send(&a, &m);
    }
    service_channel_send(&a, &m);
    service_channel_fini(&a);
    assert_null(a.first);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_went),
        cmocka_unit_test(what_is_cut_or_longer_is_no_message),
        cmocka_unit_test(a_type_that_is_none_is_no_message),
        cmocka_unit_test(a_field_past_its_size_is_not_sent_and_not_taken),
        cmocka_unit_test(what_nobody_takes_waits_in_its_order),
        cmocka_unit_test(what_waits_is_freed_with_its_channel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
