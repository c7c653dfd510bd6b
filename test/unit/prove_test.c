/* host/prove: what makes a live device authentic, and what does not. SPEC 7-7, 10-6,
 * 10-7. */
#include "host/prove.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/key.h"
#include "host/pki.h"
#include "test/unit/live/live.h"

static struct live live; /* large */

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

static int start_unbound(void **state)
{
    const struct live_options o = {.unbound = true};

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

static struct stamp_trust *trust_of(const uint8_t *der, size_t len)
{
    struct stamp_slice s = {der, len};
    struct stamp_trust *t = NULL;
    X509 *root = NULL;

    assert_int_equal(stamp_trust_new(&t, NULL), STAMP_OK);
    assert_int_equal(stamp_pki_decode(s, &root, NULL), STAMP_OK);
    assert_int_equal(stamp_trust_add(t, root, NULL), STAMP_OK);
    X509_free(root);
    return t;
}

static enum stamp_err prove(enum stamp_which which, struct stamp_proof *proof,
                            struct stamp_error *err)
{
    struct stamp_trust *t = trust_of(live.root_der, live.root_der_len);
    enum stamp_err code;

    stamp_error_clear(err);
    code = stamp_prove_device(&live.client, t, which, proof, err);
    stamp_trust_free(&t);
    return code;
}

static void a_device_with_its_own_key_is_proven(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof p;

    (void)state;
    assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_OK);
    assert_string_equal(p.identity.serial, LIVE_SERIAL);
    assert_string_equal(p.identity.product, LIVE_PRODUCT);
    assert_true(p.identity.bound);
    assert_int_equal(p.bundle_version, 1);
    assert_int_equal(prove(STAMP_NEWEST, &p, &err), STAMP_OK);
}

static void an_unbound_device_is_proven_and_said_to_be_unbound(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof p;

    (void)state;
    assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_OK);
    assert_false(p.identity.bound);
}

static void a_device_of_another_root_is_refused(void **state)
{
    static struct live other;
    const struct live_options o = {.encrypted = false};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_trust *t;
    struct stamp_proof p;

    (void)state;
    live_start(&other, &o);
    t = trust_of(other.root_der, other.root_der_len);
    assert_int_equal(stamp_prove_device(&live.client, t, STAMP_BIRTH, &p, &err),
                     STAMP_E_AUTH);
    assert_string_equal(p.identity.serial, "");
    assert_int_equal(live.requests[STAMP_SMP_PROVE], 0);
    stamp_trust_free(&t);
    live_stop(&other);
    assert_int_equal(psa_crypto_init(), PSA_SUCCESS); /* for the first one's end */
}

/* Flips one byte of what the device sends. */
struct change {
    uint8_t id;
    uint32_t key; /* of item; UINT32_MAX = any */
    size_t at;    /* of the item's bytes, or of the signature's */
    unsigned seen;
    uint32_t asked_key;
    uint32_t asked_off;
};

static unsigned change(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct change *h = ctx;
    const uint8_t *body = msg + STAMP_SMP_HEADER;
    size_t body_len = *len - STAMP_SMP_HEADER;
    struct stamp_cbor c;
    struct stamp_slice s;

    if (msg[7] != h->id || msg[5] != STAMP_SMP_GROUP_STAMP) {
        return 1;
    }
    if (up) {
        stamp_smp_field(body, body_len, "k", &c);
        h->asked_key = stamp_cbor_uint(&c, UINT32_MAX);
        stamp_smp_field(body, body_len, "off", &c);
        h->asked_off = stamp_cbor_uint(&c, UINT32_MAX);
        return 1;
    }
    if (h->id == STAMP_SMP_ITEM && h->asked_key != h->key) {
        return 1;
    }
    stamp_smp_field(body, body_len, h->id == STAMP_SMP_ITEM ? "d" : "s", &c);
    s = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 0, STAMP_SMP_MAX);
    if (c.err == STAMP_OK && h->at >= h->asked_off && h->at - h->asked_off < s.len) {
        msg[(size_t)(s.p - msg) + (h->at - h->asked_off)] ^= 1;
        h->seen++;
    }
    return 1;
}

/* Every byte of what is shown, one at a time: nothing of it may be changed unnoticed. */
static void any_changed_byte_is_noticed(void **state)
{
    static const uint32_t keys[] = {0, STAMP_CERTIFICATES, STAMP_TRUST_BUNDLE};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof p;
    unsigned tried = 0;

    (void)state;
    live.hook = change;
    for (size_t k = 0; k < 3; k++) {
        struct change h = {.id = STAMP_SMP_ITEM, .key = keys[k], .seen = 1};

        live.hook_ctx = &h;
        for (h.at = 0; h.seen > 0; h.at += 3) {
            enum stamp_err code;

            h.seen = 0;
            code = prove(STAMP_BIRTH, &p, &err);
            assert_int_equal(code == STAMP_OK, h.seen == 0); /* behind the end */
            if (code != STAMP_OK) {
                assert_true(stamp_verify_refused(code) || code == STAMP_E_FORMAT);
                tried++;
            }
        }
    }
    assert_true(tried > 300);
    for (size_t at = 0; at < 64; at++) {
        struct change h = {.id = STAMP_SMP_PROVE, .at = at};

        live.hook_ctx = &h;
        assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_E_AUTH);
        assert_int_equal(h.seen, 1);
    }
}

/* A clone that has all that a device tells, but not its key. */
static unsigned forge(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct live *clone = ctx;

    (void)len;
    if (up && msg[7] == STAMP_SMP_PROVE) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_smp_reply r;
        struct stamp_smp_body b;
        struct stamp_cbor c;
        struct stamp_slice nonce;
        uint8_t buf[STAMP_SMP_BUFFER];
        struct stamp_smp_header h = {STAMP_SMP_WRITE_RSP, 0, STAMP_SMP_GROUP_STAMP,
                                     msg[6], STAMP_SMP_PROVE};

        stamp_smp_field(msg + STAMP_SMP_HEADER, *len - STAMP_SMP_HEADER, "n", &c);
        nonce = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 16, 64);
        stamp_smp_body_init(&b, 1);
        stamp_smp_body_bytes(&b, "n", nonce.p, nonce.len);
        assert_int_equal(stamp_smp_request(&clone->client, STAMP_SMP_WRITE,
                                           STAMP_SMP_GROUP_STAMP, STAMP_SMP_PROVE, &b, &r,
                                           &err),
                         STAMP_OK);
        h.len = (uint16_t)r.len;
        stamp_smp_header_put(buf + STAMP_SMP_ROOM, &h);
        memcpy(buf + STAMP_SMP_ROOM + STAMP_SMP_HEADER, r.body, r.len);
        live_answer_raw(&live, buf, STAMP_SMP_HEADER + r.len);
        return 0;
    }
    return 1;
}

static void a_clone_without_the_key_is_refused(void **state)
{
    static struct live clone;
    const struct live_options o = {.encrypted = false};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof p;

    (void)state;
    live_start(&clone, &o);
    live.hook = forge;
    live.hook_ctx = &clone;
    assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_E_AUTH);
    assert_non_null(strstr(err.what, "does not hold its key"));
    assert_int_equal(clone.requests[STAMP_SMP_PROVE], 1);
    live_stop(&clone);
    assert_int_equal(psa_crypto_init(), PSA_SUCCESS);
}

/* An old signature instead of a new one. */
static unsigned replay(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct {
        uint8_t msg[STAMP_SMP_MAX];
        size_t len;
    } *kept = ctx;
    uint8_t seq = msg[6];

    if (up || msg[7] != STAMP_SMP_PROVE) {
        return 1;
    }
    if (kept->len == 0) {
        memcpy(kept->msg, msg, *len);
        kept->len = *len;
    } else {
        memcpy(msg, kept->msg, kept->len);
        *len = kept->len;
        msg[6] = seq;
    }
    return 1;
}

static void a_recorded_signature_is_refused(void **state)
{
    struct {
        uint8_t msg[STAMP_SMP_MAX];
        size_t len;
    } kept = {.len = 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof p;

    (void)state;
    live.hook = replay;
    live.hook_ctx = &kept;
    assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_OK);
    assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_E_AUTH);
}

static void without_a_stamp_the_error_says_so(void **state)
{
    const struct live_options o = {.no_stamp = true};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof p;

    (void)state;
    live_start(&live, &o);
    assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_E_BLANK);
    assert_non_null(strstr(err.what, "has no stamp"));
    live.flash[0] = 0;
    live_boot(&live);
    assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_E_CORRUPT);
    live_stop(&live);
}

static unsigned silence(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    (void)ctx;
    (void)up;
    (void)msg;
    (void)len;
    return 0;
}

static void a_silent_port_is_named(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof p;

    (void)state;
    live.hook = silence;
    assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_E_TIMEOUT);
    assert_non_null(strstr(err.what, "'memory'"));
    assert_true(err.hint[0] != '\0');
}

/* Answers that lie about lengths must end, not loop or overrun. */
static unsigned lie(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    const char *body = ctx;
    size_t body_len = strlen(body) / 2;

    if (up || msg[7] != STAMP_SMP_ITEM) {
        return 1;
    }
    for (size_t i = 0; i < body_len; i++) {
        char hex[3] = {body[2 * i], body[2 * i + 1], 0};

        msg[STAMP_SMP_HEADER + i] = (uint8_t)strtoul(hex, NULL, 16);
    }
    msg[2] = 0;
    msg[3] = (uint8_t)body_len;
    *len = STAMP_SMP_HEADER + body_len;
    return 1;
}

static void answers_that_lie_are_errors(void **state)
{
    static char lies[][64] = {
        "a2616440636c656e05",   /* no bytes, so no progress */
        "a2616441aa636c656e00", /* longer than the whole */
        "a2616441aa636c656e1affffffff",
        "a2616441aa636c656e191000", /* never ends: 4096 of the same byte */
        "a1636c656e05",
        "a1616441aa",
        "a16161f5",
        "80",
        "ff",
    };
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof p;

    (void)state;
    live.hook = lie;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        live.hook_ctx = lies[i];
        assert_int_equal(prove(STAMP_BIRTH, &p, &err), STAMP_E_FORMAT);
    }
}

/* Info with texts that would move a terminal's cursor. */
static unsigned paint(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct stamp_cbor c;
    struct stamp_slice s;

    (void)ctx;
    if (!up && msg[7] == STAMP_SMP_INFO) {
        stamp_smp_field(msg + STAMP_SMP_HEADER, *len - STAMP_SMP_HEADER, "product", &c);
        s = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 7, 7); /* LIVE_PRODUCT */
        assert_int_equal(c.err, STAMP_OK);
        memcpy(msg + (s.p - msg), "\x1b[A\xc2\x9b\x7f\n", 7);
    }
    return 1;
}

static void no_control_character_of_a_device_is_passed_on(void **state)
{
    struct stamp_info info;

    (void)state;
    live.hook = paint;
    assert_int_equal(stamp_smp_info(&live.client, &info, NULL), STAMP_OK);
    assert_string_equal(info.product, "?[A\xc2???");
}

#define PLAIN(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(a_device_with_its_own_key_is_proven),
        cmocka_unit_test_setup_teardown(a_device_with_its_own_key_is_proven,
                                        start_encrypted, end),
        cmocka_unit_test_setup_teardown(
            an_unbound_device_is_proven_and_said_to_be_unbound, start_unbound, end),
        PLAIN(a_device_of_another_root_is_refused),
        PLAIN(any_changed_byte_is_noticed),
        PLAIN(a_clone_without_the_key_is_refused),
        PLAIN(a_recorded_signature_is_refused),
        cmocka_unit_test(without_a_stamp_the_error_says_so),
        PLAIN(a_silent_port_is_named),
        PLAIN(answers_that_lie_are_errors),
        PLAIN(no_control_character_of_a_device_is_passed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
