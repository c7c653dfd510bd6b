/* device/agent: what a host may ask, and what it is told. SPEC 10. */
#include "device/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/claims.h"
#include "host/key.h"
#include "host/sig.h"
#include "test/unit/live/live.h"

static struct live live; /* large */

static enum stamp_err ask(enum stamp_smp_op op, uint16_t group, uint8_t id,
                          const struct stamp_smp_body *body, struct stamp_smp_reply *r,
                          long *rc)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err code = stamp_smp_request(&live.client, op, group, id, body, r, &err);

    *rc = err.native;
    return code;
}

static long ask_stamp(enum stamp_smp_op op, uint8_t id, const struct stamp_smp_body *body)
{
    struct stamp_smp_reply r;
    long rc;
    enum stamp_err code = ask(op, STAMP_SMP_GROUP_STAMP, id, body, &r, &rc);

    return code == STAMP_OK ? 0 : rc;
}

static int start(void **state)
{
    const struct live_options o = {.encrypted = false};

    (void)state;
    live_start(&live, &o);
    return 0;
}

static int start_encrypted(void **state)
{
    const struct live_options o = {.encrypted = true};

    (void)state;
    live_start(&live, &o);
    return 0;
}

static int start_blank(void **state)
{
    const struct live_options o = {.no_stamp = true};

    (void)state;
    live_start(&live, &o);
    return 0;
}

static int end(void **state)
{
    (void)state;
    live_stop(&live);
    return 0;
}

static void info_tells_public_claims_and_state(void **state)
{
    struct stamp_info info;

    (void)state;
    assert_int_equal(stamp_smp_info(&live.client, &info, NULL), STAMP_OK);
    assert_string_equal(info.state, "ready");
    assert_string_equal(info.serial, LIVE_SERIAL);
    assert_string_equal(info.product, LIVE_PRODUCT);
    assert_string_equal(info.firmware, "live 1");
    assert_int_equal(info.purpose, STAMP_DEVELOPMENT);
    assert_int_equal(info.seq, 0);
    assert_false(info.claimed);
    assert_int_equal(info.encrypted, live.port.root_key != NULL);
    assert_int_equal(stamp_lock(&live.dev), STAMP_OK);
    assert_int_equal(stamp_smp_info(&live.client, &info, NULL), STAMP_OK);
    assert_string_equal(info.state, "locked");
}

static void items_come_in_chunks_and_whole(void **state)
{
    uint8_t want[STAMP_MAX_BUNDLE];
    static const uint32_t keys[] = {STAMP_TRUST_BUNDLE, STAMP_CERTIFICATES};
    uint8_t digest[32];
    uint8_t of_sent[32];
    uint8_t *got;
    size_t want_len;
    size_t len;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            stamp_get(&live.dev, STAMP_BIRTH, keys[i], want, sizeof want, &want_len),
            STAMP_OK);
        assert_int_equal(
            stamp_smp_item(&live.client, keys[i], STAMP_NEWEST, 16384, &got, &len, NULL),
            STAMP_OK);
        assert_int_equal(len, want_len);
        assert_memory_equal(got, want, len);
        free(got);
    }
    assert_int_equal(
        stamp_smp_item(&live.client, 0, STAMP_BIRTH, STAMP_CLAIMS_MAX, &got, &len, NULL),
        STAMP_OK);
    assert_int_equal(stamp_claims_hash(got, len, of_sent, NULL), STAMP_OK);
    free(got);
    assert_int_equal(stamp_claims_digest(&live.dev, digest), STAMP_OK);
    assert_memory_equal(digest, of_sent, 32);
    assert_true(live.requests[STAMP_SMP_ITEM] > 4);
}

static void no_other_item_is_told(void **state)
{
    struct stamp_smp_body b;

    (void)state;
    for (uint32_t key = 1; key < 70; key++) {
        if (key == STAMP_TRUST_BUNDLE || key == STAMP_CERTIFICATES) {
            continue;
        }
        stamp_smp_body_init(&b, 1);
        stamp_smp_body_uint(&b, "k", key);
        assert_int_equal(ask_stamp(STAMP_SMP_READ, STAMP_SMP_ITEM, &b), STAMP_RC_BAD);
    }
}

static void an_offset_behind_the_end_gives_no_bytes(void **state)
{
    static const uint32_t offs[] = {16384, 0x7FFFFFFF, UINT32_MAX};
    static const uint32_t keys[] = {0, STAMP_TRUST_BUNDLE, STAMP_CERTIFICATES};
    struct stamp_smp_reply r;
    struct stamp_smp_body b;
    long rc;

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < 3; i++) {
            uint8_t none[1];

            stamp_smp_body_init(&b, 2);
            stamp_smp_body_uint(&b, "k", keys[k]);
            stamp_smp_body_uint(&b, "off", offs[i]);
            assert_int_equal(
                ask(STAMP_SMP_READ, STAMP_SMP_GROUP_STAMP, STAMP_SMP_ITEM, &b, &r, &rc),
                STAMP_OK);
            assert_int_equal(stamp_smp_reply_bytes(&r, "d", none, 0, NULL), STAMP_OK);
        }
    }
}

static void an_item_too_large_for_the_work_buffer_is_refused(void **state)
{
    struct stamp_smp_body b;

    (void)state;
    live.port.work_size = 256;
    stamp_smp_body_init(&b, 1);
    stamp_smp_body_uint(&b, "k", STAMP_CERTIFICATES);
    assert_int_equal(ask_stamp(STAMP_SMP_READ, STAMP_SMP_ITEM, &b), STAMP_RC_TOO_LARGE);
}

static void prove_signs_the_nonce_under_its_label(void **state)
{
    uint8_t nonce[STAMP_NONCE_MAX];
    uint8_t sig[64];
    struct stamp_smp_reply r;
    struct stamp_smp_body b;
    long rc;

    (void)state;
    memset(nonce, 7, sizeof nonce);
    for (size_t len = STAMP_NONCE_MIN; len <= STAMP_NONCE_MAX; len += 16) {
        stamp_smp_body_init(&b, 1);
        stamp_smp_body_bytes(&b, "n", nonce, len);
        assert_int_equal(
            ask(STAMP_SMP_WRITE, STAMP_SMP_GROUP_STAMP, STAMP_SMP_PROVE, &b, &r, &rc),
            STAMP_OK);
        assert_int_equal(stamp_smp_reply_bytes(&r, "s", sig, sizeof sig, NULL), STAMP_OK);
        assert_int_equal(
            stamp_sig_check(live.device_key, STAMP_LABEL_PROVE, nonce, len, sig, NULL),
            STAMP_OK);
        /* and not under another: what the host chose is never signed for another use */
        assert_int_equal(
            stamp_sig_check(live.device_key, STAMP_LABEL_BANK, nonce, len, sig, NULL),
            STAMP_E_AUTH);
        assert_int_equal(
            stamp_sig_check(live.device_key, STAMP_LABEL_CLAIM, nonce, len, sig, NULL),
            STAMP_E_AUTH);
    }
    nonce[0]++;
    assert_int_equal(stamp_sig_check(live.device_key, STAMP_LABEL_PROVE, nonce,
                                     STAMP_NONCE_MAX, sig, NULL),
                     STAMP_E_AUTH);
}

static void a_bad_request_is_refused(void **state)
{
    static const uint8_t nonce[STAMP_NONCE_MAX + 1];
    static const size_t bad_lens[] = {0, STAMP_NONCE_MIN - 1, STAMP_NONCE_MAX + 1};
    struct stamp_smp_body b;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        stamp_smp_body_init(&b, 1);
        stamp_smp_body_bytes(&b, "n", nonce, bad_lens[i]);
        assert_int_equal(ask_stamp(STAMP_SMP_WRITE, STAMP_SMP_PROVE, &b), STAMP_RC_BAD);
    }
    for (uint32_t w = 0; w < 5; w++) {
        stamp_smp_body_init(&b, 2);
        stamp_smp_body_bytes(&b, "n", nonce, 16);
        stamp_smp_body_uint(&b, "w", w);
        assert_int_equal(ask_stamp(STAMP_SMP_WRITE, STAMP_SMP_PROVE, &b),
                         w == STAMP_BIRTH || w == STAMP_NEWEST ? 0 : STAMP_RC_BAD);
    }
    stamp_smp_body_init(&b, 1); /* says one entry, has none */
    assert_int_equal(ask_stamp(STAMP_SMP_WRITE, STAMP_SMP_PROVE, &b), STAMP_RC_BAD);
    assert_int_equal(ask_stamp(STAMP_SMP_READ, STAMP_SMP_ITEM, &b), STAMP_RC_BAD);
    assert_int_equal(ask_stamp(STAMP_SMP_WRITE, STAMP_SMP_CLAIM, &b), STAMP_RC_BAD);
    assert_int_equal(ask_stamp(STAMP_SMP_WRITE, STAMP_SMP_POSSESS, &b), STAMP_RC_BAD);
}

static void what_is_not_in_the_table_is_not_supported(void **state)
{
    struct stamp_smp_reply r;
    struct stamp_smp_body b;
    long rc;

    (void)state;
    stamp_smp_body_init(&b, 0);
    for (unsigned id = 0; id < 256; id++) {
        bool write = (id >= STAMP_SMP_PROVE && id <= STAMP_SMP_POSSESS) ||
                     (id >= 15 && id <= 19 && id != 16); /* SPEC 16-1 */

        /* the other op than the table's, for each id */
        assert_int_equal(
            ask_stamp(write ? STAMP_SMP_READ : STAMP_SMP_WRITE, (uint8_t)id, &b),
            STAMP_RC_NOT_SUPPORTED);
        if (id > 0) {
            (void)ask(STAMP_SMP_WRITE, STAMP_SMP_GROUP_OS, (uint8_t)id, &b, &r, &rc);
            assert_int_equal(rc, STAMP_RC_NOT_SUPPORTED);
        }
    }
    (void)ask(STAMP_SMP_READ, 1, 0, &b, &r, &rc);
    assert_int_equal(rc, STAMP_RC_NOT_SUPPORTED);
}

static void echo_gives_back_the_text(void **state)
{
    char text[244];
    struct stamp_smp_reply r;
    struct stamp_smp_body b;
    struct stamp_cbor c;
    struct stamp_slice s;
    long rc;

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len < sizeof text - 1; len += 11) {
        stamp_smp_body_init(&b, 1);
        stamp_cbor_put_string(&b.out, STAMP_CBOR_TEXT, "d", 1);
        stamp_cbor_put_string(&b.out, STAMP_CBOR_TEXT, text, len);
        assert_int_equal(
            ask(STAMP_SMP_WRITE, STAMP_SMP_GROUP_OS, STAMP_SMP_ECHO, &b, &r, &rc),
            STAMP_OK);
        stamp_smp_field(r.body, r.len, "r", &c);
        s = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 0, sizeof text);
        assert_int_equal(s.len, len);
    }
}

/* Straight to the agent: what the client would never send. */
static size_t raw(uint8_t op, const uint8_t *body, size_t body_len, uint16_t claimed_len)
{
    uint8_t buf[STAMP_SMP_BUFFER] = {0};
    struct stamp_smp_header h = {op, claimed_len, STAMP_SMP_GROUP_STAMP, 9,
                                 STAMP_SMP_INFO};
    size_t before = live.out_len;

    stamp_smp_header_put(buf + STAMP_SMP_ROOM, &h);
    if (body_len > 0) {
        memcpy(buf + STAMP_SMP_ROOM + STAMP_SMP_HEADER, body, body_len);
    }
    live_send_raw(&live, buf, STAMP_SMP_HEADER + body_len);
    return live.out_len - before;
}

static void what_is_no_request_is_not_answered(void **state)
{
    static const uint8_t empty_map[] = {0xA0};

    (void)state;
    assert_true(raw(STAMP_SMP_READ, empty_map, 1, 1) > 0);
    assert_int_equal(raw(STAMP_SMP_READ_RSP, empty_map, 1, 1), 0);
    assert_int_equal(raw(STAMP_SMP_WRITE_RSP, empty_map, 1, 1), 0);
    for (uint8_t op = 4; op < 8; op++) {
        assert_int_equal(raw(op, empty_map, 1, 1), 0);
    }
    assert_int_equal(raw(STAMP_SMP_READ, empty_map, 1, 0), 0);
    assert_int_equal(raw(STAMP_SMP_READ, empty_map, 1, 2), 0);
}

static void without_a_stamp_it_says_so_and_nothing_else(void **state)
{
    static const uint8_t bytes[65];
    struct stamp_info info;
    struct stamp_smp_body b;

    (void)state;
    assert_int_equal(stamp_smp_info(&live.client, &info, NULL), STAMP_OK);
    assert_string_equal(info.state, "blank");
    assert_string_equal(info.serial, "");
    stamp_smp_body_init(&b, 1);
    stamp_smp_body_uint(&b, "k", 0);
    assert_int_equal(ask_stamp(STAMP_SMP_READ, STAMP_SMP_ITEM, &b), STAMP_RC_NOT_FOUND);
    stamp_smp_body_init(&b, 1);
    stamp_smp_body_bytes(&b, "n", bytes, 32);
    assert_int_equal(ask_stamp(STAMP_SMP_WRITE, STAMP_SMP_PROVE, &b), STAMP_RC_NOT_FOUND);
    stamp_smp_body_init(&b, 1);
    stamp_smp_body_bytes(&b, "e", bytes, 65);
    assert_int_equal(ask_stamp(STAMP_SMP_WRITE, STAMP_SMP_CLAIM, &b), STAMP_RC_NOT_FOUND);
}

static void a_damaged_stamp_is_told_as_damaged(void **state)
{
    struct stamp_info info;

    (void)state;
    live.flash[200] ^= 1;
    live_boot(&live);
    assert_int_equal(stamp_smp_info(&live.client, &info, NULL), STAMP_OK);
    assert_string_equal(info.state, "damaged");
    assert_string_equal(info.serial, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(info_tells_public_claims_and_state, start, end),
        cmocka_unit_test_setup_teardown(info_tells_public_claims_and_state,
                                        start_encrypted, end),
        cmocka_unit_test_setup_teardown(items_come_in_chunks_and_whole, start, end),
        cmocka_unit_test_setup_teardown(items_come_in_chunks_and_whole, start_encrypted,
                                        end),
        cmocka_unit_test_setup_teardown(no_other_item_is_told, start, end),
        cmocka_unit_test_setup_teardown(an_offset_behind_the_end_gives_no_bytes, start,
                                        end),
        cmocka_unit_test_setup_teardown(an_item_too_large_for_the_work_buffer_is_refused,
                                        start, end),
        cmocka_unit_test_setup_teardown(prove_signs_the_nonce_under_its_label, start,
                                        end),
        cmocka_unit_test_setup_teardown(prove_signs_the_nonce_under_its_label,
                                        start_encrypted, end),
        cmocka_unit_test_setup_teardown(a_bad_request_is_refused, start, end),
        cmocka_unit_test_setup_teardown(what_is_not_in_the_table_is_not_supported, start,
                                        end),
        cmocka_unit_test_setup_teardown(echo_gives_back_the_text, start, end),
        cmocka_unit_test_setup_teardown(what_is_no_request_is_not_answered, start, end),
        cmocka_unit_test_setup_teardown(without_a_stamp_it_says_so_and_nothing_else,
                                        start_blank, end),
        cmocka_unit_test_setup_teardown(a_damaged_stamp_is_told_as_damaged, start, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
