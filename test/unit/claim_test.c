/* host/claim against device/claim: who may claim a device, and what an attacker on the
 * line gets. SPEC 10-10..10-18. */
#include "host/claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/claim_own.h"
#include "host/dpp.h"
#include "host/key.h"
#include "test/unit/live/live.h"

enum { POINTS = 2 * STAMP_POINT_SIZE };

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

static int end(void **state)
{
    (void)state;
    live_stop(&live);
    return 0;
}

/* Claim with the label's proof, or with another one. */
static enum stamp_err claim(const char *pop, struct stamp_error *err)
{
    struct stamp_claim_result result;
    struct stamp_scan label;
    enum stamp_err code;

    stamp_error_clear(err);
    live_label(&live, &label);
    if (pop != NULL) {
        stamp_secret_free(&label.pop);
        assert_int_equal(stamp_secret_new(&label.pop, pop, strlen(pop), NULL), STAMP_OK);
    }
    code = stamp_claim_run(&live.client, &label, NULL, NULL, &result, err);
    if (code == STAMP_OK) {
        assert_string_equal(result.serial, LIVE_SERIAL);
        assert_string_equal(result.product, LIVE_PRODUCT);
    } else {
        assert_string_equal(result.serial, "");
        assert_null(strstr(err->what, LIVE_POP));
    }
    stamp_scan_fini(&label);
    return code;
}

static void assert_tries(uint32_t want, bool want_claimed)
{
    bool claimed;

    assert_int_equal(live_tries(&live, &claimed), want);
    assert_int_equal(claimed, want_claimed);
}

static void the_right_label_claims(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_info info;

    (void)state;
    assert_int_equal(claim(NULL, &err), STAMP_OK);
    assert_tries(0, true);
    assert_int_equal(stamp_smp_info(&live.client, &info, NULL), STAMP_OK);
    assert_true(info.claimed);
    live_boot(&live);
    assert_tries(0, true);
    assert_int_equal(claim(NULL, &err), STAMP_OK); /* and once more: a new owner's app */
}

static void a_wrong_proof_is_refused_and_counted_across_restarts(void **state)
{
    static const char *const wrong[] = {"wrong-one", "q7RkWz3n", "q7RkWz3", "q7RkWz3mm",
                                        "q7RkWz3mq7RkWz3m"};
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    for (uint32_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        live_boot(&live);
        live.now_ms = 10000; /* longer than any wait so far */
        assert_int_equal(claim(wrong[i], &err), STAMP_E_AUTH);
        assert_non_null(strstr(err.what, "refused the proof of possession"));
        assert_tries(i + 1, false);
    }
    live.now_ms += 10000;
    assert_int_equal(claim(NULL, &err), STAMP_OK);
    assert_tries(0, true);
}

/* SPEC 10-17, to the millisecond, and again from boot. */
static void tries_are_slowed(void **state)
{
    static const uint32_t waits_s[] = {0,  0,   0,   1,   2,    4,    8,    16,  32,
                                       64, 128, 256, 512, 1024, 2048, 3600, 3600};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint32_t last = 0;

    (void)state;
    for (uint32_t n = 0; n < sizeof waits_s / sizeof waits_s[0]; n++) {
        uint32_t wait_ms = waits_s[n] * 1000;

        if (wait_ms > 0) {
            live.now_ms = last + wait_ms - 1;
            assert_int_equal(claim(NULL, &err),
                             STAMP_E_BUSY); /* also with the right one */
            assert_int_equal(err.native, 1);
            live_boot(&live);
            live.now_ms = wait_ms - 1;
            assert_int_equal(claim(NULL, &err), STAMP_E_BUSY);
            assert_int_equal(err.native, 1);
            last = 0;
        }
        live.now_ms = last + wait_ms;
        assert_tries(n, false);
        assert_int_equal(claim("wrong-one", &err), STAMP_E_AUTH);
        assert_tries(n + 1, false);
        last = live.now_ms;
    }
    assert_int_equal(live.requests[STAMP_SMP_POSSESS],
                     sizeof waits_s / sizeof waits_s[0]);
}

/* The clock of the port wraps after 49 days. */
static void the_wait_is_right_when_the_clock_wraps(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    live.now_ms = UINT32_MAX - 100;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(claim("wrong-one", &err), STAMP_E_AUTH);
    }
    live.now_ms = 898; /* 999 ms later */
    assert_int_equal(claim(NULL, &err), STAMP_E_BUSY);
    assert_int_equal(err.native, 1);
    live.now_ms = 899;
    assert_int_equal(claim(NULL, &err), STAMP_OK);
}

static void a_try_that_cannot_be_counted_is_not_judged(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    live.flash_fails = true;
    assert_int_equal(claim(NULL, &err), STAMP_E_DEVICE);
    assert_int_equal(err.native, STAMP_RC_UNKNOWN);
    assert_int_equal(claim("wrong-one", &err), STAMP_E_DEVICE);
    assert_int_equal(err.native, STAMP_RC_UNKNOWN);
    live.flash_fails = false;
    assert_tries(0, false);
    assert_int_equal(claim(NULL, &err), STAMP_OK);
}

static void another_device_is_refused_before_the_proof_is_sent(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_claim_result result;
    struct stamp_scan label;
    EVP_PKEY *other = NULL;

    (void)state;
    live_label(&live, &label);
    assert_int_equal(stamp_key_generate(&other, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(other, label.key, NULL), STAMP_OK);
    assert_int_equal(stamp_dpp_hash(label.key, label.hash, NULL), STAMP_OK);
    assert_int_equal(stamp_claim_run(&live.client, &label, NULL, NULL, &result, &err),
                     STAMP_E_AUTH);
    assert_non_null(strstr(err.what, "another provisioning key"));
    assert_string_equal(err.state, "the proof of possession was not sent");
    assert_int_equal(live.requests[STAMP_SMP_CLAIM], 1);
    assert_int_equal(live.requests[STAMP_SMP_POSSESS], 0);
    assert_tries(0, false);
    EVP_PKEY_free(other);
    stamp_scan_fini(&label);
}

static void a_label_of_another_serial_is_refused_at_once(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_claim_result result;
    struct stamp_scan label;

    (void)state;
    live_label(&live, &label);
    label.serial[0] = 'X';
    assert_int_equal(stamp_claim_run(&live.client, &label, NULL, NULL, &result, &err),
                     STAMP_E_AUTH);
    assert_non_null(strstr(err.what, LIVE_SERIAL));
    assert_int_equal(live.requests[STAMP_SMP_CLAIM], 0);
    label.serial[0] = '\0'; /* a label without serial number is fine */
    assert_int_equal(stamp_claim_run(&live.client, &label, NULL, NULL, &result, NULL),
                     STAMP_OK);
    stamp_scan_fini(&label);
}

static void a_label_must_have_key_and_proof(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_claim_result result;
    struct stamp_scan label;

    (void)state;
    live_label(&live, &label);
    label.has_hash = false;
    label.has_key = false;
    assert_int_equal(stamp_claim_run(&live.client, &label, NULL, NULL, &result, &err),
                     STAMP_E_MISSING);
    assert_non_null(strstr(err.what, "no provisioning key"));
    label.has_hash = true;
    stamp_secret_free(&label.pop);
    stamp_error_clear(&err);
    assert_int_equal(stamp_claim_run(&live.client, &label, NULL, NULL, &result, &err),
                     STAMP_E_MISSING);
    assert_non_null(strstr(err.what, "no proof of possession"));
    assert_int_equal(live.requests[STAMP_SMP_INFO], 0);
    stamp_scan_fini(&label);
}

static void barcodes_of_one_label_add_up_and_of_two_contradict(void **state)
{
    char dpp[256];
    char key[STAMP_DPP_KEY_LEN + 1];
    static const char esp[] = "{\"ver\":\"v1\",\"name\":\"PROV_1\",\"pop\":\"" LIVE_POP
                              "\",\"transport\":\"ble\"}";
    static const char esp_other[] =
        "{\"ver\":\"v1\",\"name\":\"PROV_1\",\"pop\":\"another1\",\"transport\":\"ble\"}";
    struct stamp_claim_result result;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_scan label;

    (void)state;
    memset(&label, 0, sizeof label);
    stamp_dpp_key(live.provisioning_point, key);
    (void)snprintf(dpp, sizeof dpp, "DPP:K:%s;;", key);
    assert_int_equal(stamp_claim_label_add(&label, dpp, strlen(dpp), NULL), STAMP_OK);
    assert_int_equal(stamp_claim_label_check(&label, NULL), STAMP_E_MISSING);
    assert_int_equal(stamp_claim_label_add(&label, esp, strlen(esp), NULL), STAMP_OK);
    assert_int_equal(stamp_claim_label_check(&label, NULL), STAMP_OK);
    assert_int_equal(stamp_claim_run(&live.client, &label, NULL, NULL, &result, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_claim_label_add(&label, esp_other, strlen(esp_other), &err),
                     STAMP_E_AUTH);
    assert_null(strstr(err.what, "another1"));
    stamp_scan_fini(&label);
}

static void a_stamp_without_what_it_takes_cannot_be_claimed(void **state)
{
    const struct live_options without[] = {
        {.no_provisioning = true}, {.peer_provisioning = true}, {.no_pop = true}};
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        live_start(&live, &without[i]);
        assert_int_equal(claim(NULL, &err), STAMP_E_UNSUPPORTED);
        live_stop(&live);
    }
}

/* ---- somebody on the line ---- */

struct attack {
    bool up;
    uint8_t id;
    const char *field;
    size_t at; /* which byte of it is flipped */
    unsigned seen;
};

static unsigned flip(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct attack *a = ctx;
    struct stamp_cbor c;
    struct stamp_slice s;

    if (up != a->up || msg[7] != a->id || msg[5] != STAMP_SMP_GROUP_STAMP) {
        return 1;
    }
    stamp_smp_field(msg + STAMP_SMP_HEADER, *len - STAMP_SMP_HEADER, a->field, &c);
    s = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_SMP_MAX);
    if (c.err == STAMP_OK && a->at < s.len) {
        msg[(size_t)(s.p - msg) + a->at] ^= 0x10;
        a->seen++;
    }
    return 1;
}

static void
a_changed_byte_of_the_exchange_is_noticed_before_the_proof_is_sent(void **state)
{
    static const struct attack attacks[] = {
        {true, STAMP_SMP_CLAIM, "e", 0, 0},  {true, STAMP_SMP_CLAIM, "e", 40, 0},
        {false, STAMP_SMP_CLAIM, "e", 0, 0}, {false, STAMP_SMP_CLAIM, "e", 64, 0},
        {false, STAMP_SMP_CLAIM, "k", 0, 0}, {false, STAMP_SMP_CLAIM, "k", 33, 0},
        {false, STAMP_SMP_CLAIM, "s", 0, 0}, {false, STAMP_SMP_CLAIM, "s", 63, 0},
    };
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    live.hook = flip;
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        struct attack a = attacks[i];

        live.hook_ctx = &a;
        assert_int_not_equal(claim(NULL, &err), STAMP_OK);
        assert_int_equal(a.seen, 1);
        assert_string_equal(err.state, "the proof of possession was not sent");
        assert_int_equal(live.requests[STAMP_SMP_POSSESS], 0);
    }
    assert_tries(0, false);
}

static void a_changed_proof_is_no_try(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    live.hook = flip;
    for (size_t at = 0; at < 30; at += 5) {
        struct attack a = {true, STAMP_SMP_POSSESS, "c", at, 0};

        live.hook_ctx = &a;
        assert_int_equal(claim(NULL, &err), STAMP_E_AUTH);
        assert_int_equal(a.seen, 1);
        assert_tries(0, false);
    }
}

static void a_changed_answer_to_the_proof_is_noticed(void **state)
{
    struct attack a = {false, STAMP_SMP_POSSESS, "c", 3, 0};
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    live.hook = flip;
    live.hook_ctx = &a;
    assert_int_equal(claim(NULL, &err), STAMP_E_AUTH);
    assert_string_equal(err.state,
                        "the proof was sent; the device may have been claimed");
    assert_tries(0, true);
}

/* Keeps the answers of one run and gives them in the next instead of the device's. */
struct recording {
    bool replay;
    uint8_t claim[STAMP_SMP_MAX];
    size_t claim_len;
    uint8_t possess[STAMP_SMP_MAX];
    size_t possess_len;
};

static unsigned record(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct recording *r = ctx;
    bool claim_answer = !up && msg[7] == STAMP_SMP_CLAIM;
    bool possess = up && msg[7] == STAMP_SMP_POSSESS;
    uint8_t *kept = claim_answer ? r->claim : r->possess;
    size_t *kept_len = claim_answer ? &r->claim_len : &r->possess_len;
    uint8_t seq = msg[6];

    if (msg[5] != STAMP_SMP_GROUP_STAMP || (!claim_answer && !possess)) {
        return 1;
    }
    if (!r->replay) {
        memcpy(kept, msg, *len);
        *kept_len = *len;
    } else {
        memcpy(msg, kept, *kept_len);
        *len = *kept_len;
        msg[6] = seq;
    }
    return 1;
}

static void recorded_messages_are_useless(void **state)
{
    static struct recording r;
    struct stamp_error err = STAMP_ERROR_INIT;
    bool claimed;

    (void)state;
    memset(&r, 0, sizeof r);
    live.hook = record;
    live.hook_ctx = &r;
    assert_int_equal(claim("wrong-one", &err), STAMP_E_AUTH); /* so that it counts 1 */
    assert_int_equal(claim(NULL, &err), STAMP_OK);
    assert_true(r.claim_len > 0 && r.possess_len > 0);

    /* an impostor with the device's old answer is not told the proof */
    r.replay = true;
    live.requests[STAMP_SMP_POSSESS] = 0;
    assert_int_equal(claim(NULL, &err), STAMP_E_AUTH);
    assert_int_equal(live.requests[STAMP_SMP_POSSESS], 0);

    /* and an impostor of the app with the old proof does not get in, nor uses up a try */
    r.claim_len = 0;
    live_boot(&live);
    {
        uint8_t buf[STAMP_SMP_BUFFER] = {0};
        struct stamp_smp_body b;
        struct stamp_smp_reply reply;
        EVP_PKEY *own = NULL;
        uint8_t point[STAMP_POINT_SIZE];

        live.hook = NULL;
        assert_int_equal(stamp_key_generate(&own, NULL), STAMP_OK);
        assert_int_equal(stamp_key_point(own, point, NULL), STAMP_OK);
        stamp_smp_body_init(&b, 1);
        stamp_smp_body_bytes(&b, "e", point, sizeof point);
        assert_int_equal(stamp_smp_request(&live.client, STAMP_SMP_WRITE,
                                           STAMP_SMP_GROUP_STAMP, STAMP_SMP_CLAIM, &b,
                                           &reply, NULL),
                         STAMP_OK);
        live.out_len = 0;
        memcpy(buf + STAMP_SMP_ROOM, r.possess, r.possess_len);
        live_send_raw(&live, buf, r.possess_len);
        assert_true(live.out_len > 0);
        EVP_PKEY_free(own);
    }
    assert_int_equal(live_tries(&live, &claimed), 0);
}

static enum stamp_err possess(const uint8_t *sealed, size_t len, struct stamp_error *err)
{
    struct stamp_smp_body b;
    struct stamp_smp_reply r;

    stamp_error_clear(err);
    stamp_smp_body_init(&b, 1);
    stamp_smp_body_bytes(&b, "c", sealed, len);
    return stamp_smp_request(&live.client, STAMP_SMP_WRITE, STAMP_SMP_GROUP_STAMP,
                             STAMP_SMP_POSSESS, &b, &r, err);
}

/* An app of its own, that can seal what it likes. */
static void open_exchange(struct stamp_claim_keys *keys)
{
    uint8_t shared[POINTS + sizeof LIVE_SERIAL - 1];
    struct stamp_smp_body b;
    struct stamp_smp_reply r;
    EVP_PKEY *own = NULL;

    assert_int_equal(stamp_key_generate(&own, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(own, shared, NULL), STAMP_OK);
    stamp_smp_body_init(&b, 1);
    stamp_smp_body_bytes(&b, "e", shared, STAMP_POINT_SIZE);
    assert_int_equal(stamp_smp_request(&live.client, STAMP_SMP_WRITE,
                                       STAMP_SMP_GROUP_STAMP, STAMP_SMP_CLAIM, &b, &r,
                                       NULL),
                     STAMP_OK);
    assert_int_equal(
        stamp_smp_reply_bytes(&r, "e", shared + STAMP_POINT_SIZE, STAMP_POINT_SIZE, NULL),
        STAMP_OK);
    memcpy(shared + POINTS, LIVE_SERIAL, sizeof LIVE_SERIAL - 1);
    assert_int_equal(stampi_claim_keys(own, shared + STAMP_POINT_SIZE, shared,
                                       sizeof shared, keys, NULL),
                     STAMP_OK);
    EVP_PKEY_free(own);
}

static void an_exchange_is_for_one_message(void **state)
{
    uint8_t plain[] = {0xA1, 0x63, 'p', 'o', 'p', 0x65, 'w', 'r', 'o', 'n', 'g'};
    uint8_t sealed[sizeof plain + 16];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_claim_keys keys;

    (void)state;
    memset(sealed, 0, sizeof sealed);
    assert_int_equal(possess(sealed, sizeof sealed, &err), STAMP_E_DEVICE);
    assert_int_equal(err.native, STAMP_RC_BAD); /* without an exchange */
    open_exchange(&keys);
    assert_int_equal(stampi_claim_seal(keys.to_device, plain, sizeof plain, sealed, NULL),
                     STAMP_OK);
    assert_int_equal(possess(sealed, sizeof sealed, &err), STAMP_E_AUTH);
    assert_tries(1, false);
    assert_int_equal(possess(sealed, sizeof sealed, &err), STAMP_E_DEVICE);
    assert_int_equal(err.native, STAMP_RC_BAD);
    assert_tries(1, false);
}

static void the_keys_of_the_two_directions_differ(void **state)
{
    uint8_t plain[] = {0xA1, 0x63, 'p', 'o', 'p', 0x65, 'w', 'r', 'o', 'n', 'g'};
    uint8_t sealed[sizeof plain + 16];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_claim_keys keys;

    (void)state;
    open_exchange(&keys);
    assert_int_equal(
        stampi_claim_seal(keys.from_device, plain, sizeof plain, sealed, NULL), STAMP_OK);
    assert_int_equal(possess(sealed, sizeof sealed, &err), STAMP_E_AUTH);
    assert_tries(0, false); /* it did not open */
}

static void a_sealed_message_that_is_no_proof_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\xA0", 1},
        {"\xA1\x63pop\x63"
         "abc",
         9}, /* too short */
        {"\xA1\x63pop\x45hello", 11},
        {"\xA1\x63pap\x65hello", 11},
        {"\xA1\x63pop\x65hello\x00", 12},
        {"", 0},
    };
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t sealed[64];
        struct stamp_claim_keys keys;

        open_exchange(&keys);
        assert_int_equal(stampi_claim_seal(keys.to_device, (const uint8_t *)bad[i].bytes,
                                           bad[i].len, sealed, NULL),
                         STAMP_OK);
        assert_int_equal(possess(sealed, bad[i].len + 16, &err), STAMP_E_DEVICE);
        assert_int_equal(err.native, STAMP_RC_BAD);
        assert_tries(0, false);
    }
}

static void a_point_off_the_curve_is_refused(void **state)
{
    static const uint8_t firsts[] = {0x04, 0x02, 0x00};
    uint8_t point[STAMP_POINT_SIZE];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_smp_reply r;
    struct stamp_smp_body b;

    (void)state;
    for (size_t i = 0; i < sizeof firsts; i++) {
        memset(point, 0x11, sizeof point);
        point[0] = firsts[i];
        stamp_smp_body_init(&b, 1);
        stamp_smp_body_bytes(&b, "e", point, sizeof point);
        stamp_error_clear(&err);
        assert_int_equal(stamp_smp_request(&live.client, STAMP_SMP_WRITE,
                                           STAMP_SMP_GROUP_STAMP, STAMP_SMP_CLAIM, &b, &r,
                                           &err),
                         STAMP_E_DEVICE);
        assert_int_equal(err.native, STAMP_RC_BAD);
        assert_int_equal(live.agent.claim.key[1], PSA_KEY_ID_NULL);
    }
}

/* Loses the nth message, either way; or doubles each. */
struct trouble {
    unsigned lose; /* counts from 1; 0 = none */
    unsigned seen;
    unsigned times;
};

static unsigned trouble(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct trouble *t = ctx;

    (void)up;
    (void)msg;
    (void)len;
    return ++t->seen == t->lose ? 0 : t->times;
}

static void any_lost_message_is_asked_for_again(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    live.hook = trouble;
    for (unsigned n = 1; n <= 6; n++) { /* three requests, three answers */
        struct trouble t = {.lose = n, .times = 1};

        live.hook_ctx = &t;
        assert_int_equal(claim(NULL, &err), STAMP_OK);
        assert_tries(0, true);
        t = (struct trouble){.lose = n, .times = 1};
        assert_int_equal(claim("wrong-one", &err), STAMP_E_AUTH);
        assert_tries(1, true); /* counted once, though it was asked twice */
        t = (struct trouble){.lose = 0, .times = 1};
        assert_int_equal(claim(NULL, &err), STAMP_OK);
    }
}

static void doubled_messages_do_no_harm(void **state)
{
    struct trouble t = {.lose = 0, .times = 2};
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    live.hook = trouble;
    live.hook_ctx = &t;
    assert_int_equal(claim("wrong-one", &err), STAMP_E_AUTH);
    assert_tries(1, false);
    assert_int_equal(claim(NULL, &err), STAMP_OK);
    assert_tries(0, true);
}

static void a_device_that_falls_silent_is_reported(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct trouble t = {.lose = 0, .times = 0};

    (void)state;
    live.hook = trouble;
    live.hook_ctx = &t;
    assert_int_equal(claim(NULL, &err), STAMP_E_TIMEOUT);
    assert_non_null(strstr(err.what, "'memory'"));
    assert_string_equal(err.state, "the proof of possession was not sent");
}

#define PLAIN(test) cmocka_unit_test_setup_teardown(test, start, end)
#define CRYPT(test) cmocka_unit_test_setup_teardown(test, start_encrypted, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(the_right_label_claims),
        CRYPT(the_right_label_claims),
        PLAIN(a_wrong_proof_is_refused_and_counted_across_restarts),
        CRYPT(a_wrong_proof_is_refused_and_counted_across_restarts),
        PLAIN(tries_are_slowed),
        PLAIN(the_wait_is_right_when_the_clock_wraps),
        PLAIN(a_try_that_cannot_be_counted_is_not_judged),
        PLAIN(another_device_is_refused_before_the_proof_is_sent),
        PLAIN(a_label_of_another_serial_is_refused_at_once),
        PLAIN(a_label_must_have_key_and_proof),
        PLAIN(barcodes_of_one_label_add_up_and_of_two_contradict),
        cmocka_unit_test(a_stamp_without_what_it_takes_cannot_be_claimed),
        PLAIN(a_changed_byte_of_the_exchange_is_noticed_before_the_proof_is_sent),
        PLAIN(a_changed_proof_is_no_try),
        PLAIN(a_changed_answer_to_the_proof_is_noticed),
        PLAIN(recorded_messages_are_useless),
        PLAIN(an_exchange_is_for_one_message),
        PLAIN(the_keys_of_the_two_directions_differ),
        PLAIN(a_sealed_message_that_is_no_proof_is_refused),
        PLAIN(a_point_off_the_curve_is_refused),
        PLAIN(any_lost_message_is_asked_for_again),
        PLAIN(doubled_messages_do_no_harm),
        PLAIN(a_device_that_falls_silent_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
