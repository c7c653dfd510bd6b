/* The rotation, both ends: a device in memory and what a registrar asks of it. SPEC 16.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/bundle.h"
#include "host/claims.h"
#include "host/key.h"
#include "host/leaf.h"
#include "host/pki.h"
#include "host/rotate.h"
#include "host/trust.h"
#include "test/unit/live/live.h"

/* A registrar, and the service behind it. */
struct desk {
    struct live live;
    struct stamp_trust *trust;
    X509 *root;
    X509 *ca;
    EVP_PKEY *ca_key;
    STACK_OF(X509) * others;                    /* what the service says of its CAs */
    uint8_t certificate[STAMP_MAX_CERTIFICATE]; /* the last one */
    size_t certificate_len;
    uint8_t point[STAMP_POINT_SIZE]; /* that it is for */
    unsigned signatures;
    uint8_t birth[STAMP_POINT_SIZE];
    uint8_t digest[32];
};

static struct stamp_slice slice(const void *p, size_t len)
{
    return (struct stamp_slice){p, len};
}

static struct stamp_slice of(const struct stamp_buffer *b)
{
    return slice(b->p, b->len);
}

static X509 *authority(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                       const char *role, uint8_t purpose)
{
    const struct stamp_authority what = {.organization = "Live test",
                                         .role = role,
                                         .purpose = purpose,
                                         .not_before = 1700000000,
                                         .path_len = issuer == NULL ? -1 : 0};
    X509 *cert = NULL;

    assert_int_equal(stamp_pki_authority(&what, key, issuer, issuer_key, &cert, NULL),
                     STAMP_OK);
    return cert;
}

static struct desk *begin(const struct live_options *o)
{
    struct desk *x = calloc(1, sizeof *x);
    const unsigned char *der;

    assert_non_null(x);
    live_start(&x->live, o);
    der = x->live.root_der;
    x->root = d2i_X509(NULL, &der, (long)x->live.root_der_len);
    assert_non_null(x->root);
    assert_int_equal(stamp_key_generate(&x->ca_key, NULL), STAMP_OK);
    x->ca = authority(x->ca_key, x->root, x->live.root, "sub-CA", STAMP_DEVELOPMENT);
    x->others = sk_X509_new_null();
    assert_int_not_equal(sk_X509_push(x->others, x->ca), 0);
    assert_int_equal(stamp_trust_new(&x->trust, NULL), STAMP_OK);
    assert_int_equal(stamp_trust_add(x->trust, x->root, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(x->live.device_key, x->birth, NULL), STAMP_OK);
    assert_int_equal(stamp_claims_digest(&x->live.dev, x->digest), STAMP_OK);
    return x;
}

static void end(struct desk *x)
{
    sk_X509_free(x->others);
    X509_free(x->root);
    X509_free(x->ca);
    EVP_PKEY_free(x->ca_key);
    stamp_trust_free(&x->trust);
    live_stop(&x->live);
    free(x);
}

static const struct live_options plain = {.no_stamp = false};
static const struct live_options encrypted = {.encrypted = true};

/* What a certificate is about; what a test does not say is as it should be. */
struct wish {
    const char *serial;
    const char *organization;
    const uint8_t *point;
    const uint8_t *digest;
    X509 *ca;
    EVP_PKEY *ca_key;
    uint32_t days;
    time_t from;
};

static void sign(struct desk *x, const uint8_t *point, const struct wish *w)
{
    const struct stamp_leaf_profile profile = {
        .organization = w->organization != NULL ? w->organization : "Live test",
        .purpose = STAMP_DEVELOPMENT,
        .validity_days = w->days};
    const char *serial = w->serial != NULL ? w->serial : LIVE_SERIAL;
    struct stamp_leaf_subject subject = {
        .serial_number = {0x12, (uint8_t)++x->signatures},
        .serial = serial,
        .common_name = serial,
        .point = w->point != NULL ? w->point : point,
        .digest = w->digest != NULL ? w->digest : x->digest,
        .not_before = w->from != 0 ? w->from : 1735689600};
    struct stamp_leaf_maker *maker = NULL;

    assert_int_equal(stamp_leaf_new(&profile, w->ca != NULL ? w->ca : x->ca,
                                    w->ca != NULL ? w->ca_key : x->ca_key, &maker, NULL),
                     STAMP_OK);
    assert_int_equal(
        stamp_leaf_make(maker, &subject, x->certificate, &x->certificate_len, NULL),
        STAMP_OK);
    memcpy(x->point, point, sizeof x->point);
    stamp_leaf_free(&maker);
}

/* The service: the same key gets the same certificate. */
static void serve(struct desk *x, const uint8_t *point)
{
    const struct wish as_it_should = {0};

    if (x->certificate_len == 0 || memcmp(x->point, point, sizeof x->point) != 0) {
        sign(x, point, &as_it_should);
    }
}

static enum stamp_err prove(struct desk *x, enum stamp_which which,
                            struct stamp_proof *proof, struct stamp_error *err)
{
    return stamp_prove_device(&x->live.client, x->trust, which, proof, err);
}

/* All that a registrar does. */
static enum stamp_err rotate(struct desk *x, struct stamp_slice bundle,
                             struct stamp_error *err)
{
    struct stamp_smp_client *c = &x->live.client;
    struct stamp_renewal r = {0};
    struct stamp_buffer chain = {0};
    struct stamp_proof proof;
    uint32_t seq;
    enum stamp_err rc = prove(x, STAMP_BIRTH, &proof, err);

    if (rc == STAMP_OK) {
        rc = stamp_renewal_begin(c, &proof.identity, &r, err);
    }
    if (rc == STAMP_OK) {
        serve(x, r.point);
        rc = stamp_renewal_judge(&r, slice(x->certificate, x->certificate_len), x->others,
                                 bundle, &chain, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_rotate_hand(c, STAMP_HAND_CERTIFICATES, of(&chain), err);
    }
    if (rc == STAMP_OK && bundle.p != NULL) {
        rc = stamp_rotate_hand(c, STAMP_HAND_BUNDLE, bundle, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_rotate_commit(c, &seq, err);
    }
    stamp_buffer_free(&chain);
    stamp_renewal_fini(&r);
    return rc;
}

static const struct stamp_slice no_bundle = {NULL, 0};

/* Which key is in use? It must hold: birth or operational, whole and proven. */
static void in_use(struct desk *x, uint8_t point[STAMP_POINT_SIZE])
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_proof proof;

    if (prove(x, STAMP_BIRTH, &proof, &err) != STAMP_OK ||
        memcmp(proof.identity.point, x->birth, sizeof x->birth) != 0 ||
        prove(x, STAMP_NEWEST, &proof, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    assert_string_equal(proof.identity.serial, LIVE_SERIAL);
    memcpy(point, proof.identity.point, STAMP_POINT_SIZE);
}

static void assert_uses(struct desk *x, const uint8_t *point)
{
    uint8_t now[STAMP_POINT_SIZE];

    in_use(x, now);
    assert_memory_equal(now, point, sizeof now);
}

static bool waits(struct desk *x)
{
    struct stamp_rotation state;

    assert_int_equal(stamp_rotate_ask(&x->live.client, &state, NULL), STAMP_OK);
    assert_int_equal(state.room, STAMP_ROTATE_BUFFER);
    return state.waits;
}

static void again_and_again(const struct live_options *o)
{
    struct desk *x = begin(o);
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t last[STAMP_POINT_SIZE];

    in_use(x, last);
    assert_memory_equal(last, x->birth, sizeof last);
    for (unsigned i = 0; i < 5; i++) {
        if (rotate(x, no_bundle, &err) != STAMP_OK) {
            fail_msg("%s", err.what);
        }
        assert_int_equal(x->signatures, i + 1);
        assert_memory_not_equal(x->point, last, sizeof last);
        assert_uses(x, x->point);
        assert_false(waits(x));
        live_boot(&x->live);
        assert_uses(x, x->point);
        in_use(x, last);
    }
    end(x);
}

static void each_rotation_has_a_new_key(void **state)
{
    (void)state;
    again_and_again(&plain);
    again_and_again(&encrypted);
}

/* ---- what goes wrong on the way ---- */

/* Power fails in each flash operation, and again in the recovery. Old or new each time; a
 * key that waits is never lost, so that one certificate is enough. */
static unsigned cut_everywhere(const struct live_options *o)
{
    unsigned cuts = 0;

    for (unsigned at = 1;; at++) {
        struct desk *x = begin(o);
        struct stamp_error err = STAMP_ERROR_INIT;
        uint8_t old[STAMP_POINT_SIZE];
        uint8_t now[STAMP_POINT_SIZE];
        unsigned turns = 0;
        bool committed = false;
        enum stamp_err rc = rotate(x, no_bundle, &err);

        assert_int_equal(rc, STAMP_OK);
        in_use(x, old);
        x->live.flash_ops = 0;
        x->live.cut_at = at;
        do {
            rc = rotate(x, no_bundle, &err);
            if (!x->live.dead) {
                break;
            }
            cuts++;
            live_boot(&x->live);
            in_use(x, now);
            committed = memcmp(now, old, sizeof now) != 0;
            assert_true(!committed || memcmp(now, x->point, sizeof now) == 0);
            if (turns == 0 && at % 2 == 0) {
                x->live.cut_at = x->live.flash_ops + 3;
            }
            assert_true(++turns < 4);
        } while (!committed);
        assert_true(committed || rc == STAMP_OK);
        assert_uses(x, x->point);
        assert_in_range(x->signatures, 2, 2);
        end(x);
        if (turns == 0) {
            return cuts;
        }
    }
}

static void power_may_fail_in_any_operation(void **state)
{
    (void)state;
    assert_in_range(cut_everywhere(&plain), 15, 400);
    assert_in_range(cut_everywhere(&encrypted), 15, 400);
}

enum trouble { LOSE, DOUBLE, DAMAGE, CUT_POWER };

struct wire {
    struct desk *desk;
    enum trouble what;
    unsigned at;
    unsigned n;
    bool hit;
};

static unsigned disturb(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct wire *w = ctx;

    (void)up;
    if (++w->n != w->at) {
        return 1;
    }
    w->hit = true;
    switch (w->what) {
    case LOSE:
        return 0;
    case DOUBLE:
        return 2;
    case DAMAGE: /* the frame's own check is made anew, so the other end sees nonsense */
        msg[*len - 1] ^= 0x40;
        return 1;
    case CUT_POWER:
    default:
        w->desk->live.dead = true;
        return 0;
    }
}

/* A rotation whose message number `at` comes to grief. False: it has not that many. */
static bool rotate_disturbed(enum trouble what, unsigned at)
{
    struct desk *x = begin(&plain);
    struct wire w = {x, what, at, 0, false};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t now[STAMP_POINT_SIZE];
    unsigned turns = 0;
    enum stamp_err rc;

    x->live.hook = disturb;
    x->live.hook_ctx = &w;
    do {
        rc = rotate(x, no_bundle, &err);
        x->live.hook = NULL;
        if (x->live.dead) {
            live_boot(&x->live);
        }
        in_use(x, now);
        assert_true(++turns < 4);
    } while (rc != STAMP_OK && memcmp(now, x->birth, sizeof now) == 0);
    assert_memory_equal(now, x->point, sizeof now);
    assert_int_equal(x->signatures, 1);
    end(x);
    return w.hit;
}

/* Each message once lost, doubled, damaged, or with power failing at it. */
static void any_message_may_come_to_grief(void **state)
{
    (void)state;
    for (int what = LOSE; what <= CUT_POWER; what++) {
        unsigned at = 1;

        while (rotate_disturbed((enum trouble)what, at)) {
            at++;
        }
        assert_in_range(at, 25, 80);
    }
}

/* A claim writes banks too: neither loses what the other has. SPEC 16-4. */
static void other_changes_keep_the_key_that_waits(void **state)
{
    static const uint8_t claimed[] = {0x82, 0x03, 0xF5}; /* [3, true] */
    const struct stamp_change change = {STAMP_CLAIM_STATE, {claimed, sizeof claimed}};
    struct desk *x = begin(&encrypted);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_renewal r = {0};
    struct stamp_proof proof;
    uint8_t point[STAMP_POINT_SIZE];
    bool is_claimed;

    (void)state;
    assert_int_equal(prove(x, STAMP_BIRTH, &proof, &err), STAMP_OK);
    assert_int_equal(stamp_renewal_begin(&x->live.client, &proof.identity, &r, &err),
                     STAMP_OK);
    memcpy(point, r.point, sizeof point);
    stamp_renewal_fini(&r);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(waits(x));
        assert_int_equal(stamp_bank_update(&x->live.dev, &change, 1), STAMP_OK);
        live_boot(&x->live);
    }
    assert_uses(x, x->birth);
    assert_int_equal(rotate(x, no_bundle, &err), STAMP_OK);
    assert_memory_equal(x->point, point, sizeof point);
    assert_uses(x, point);
    assert_int_equal(live_tries(&x->live, &is_claimed), 3);
    assert_true(is_claimed);
    end(x);
}

static void a_key_that_waits_can_be_dropped(void **state)
{
    struct desk *x = begin(&plain);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_renewal r = {0};
    struct stamp_renewal again = {0};
    struct stamp_proof proof;
    unsigned ops;
    uint32_t seq;

    (void)state;
    ops = x->live.flash_ops;
    assert_int_equal(stamp_rotate_drop(&x->live.client, &err), STAMP_OK);
    assert_int_equal(x->live.flash_ops, ops); /* SPEC 16-11 */
    assert_int_equal(prove(x, STAMP_BIRTH, &proof, &err), STAMP_OK);
    assert_int_equal(stamp_renewal_begin(&x->live.client, &proof.identity, &r, &err),
                     STAMP_OK);
    assert_int_equal(stamp_rotate_drop(&x->live.client, &err), STAMP_OK);
    assert_false(waits(x));
    assert_int_equal(stamp_rotate_commit(&x->live.client, &seq, &err), STAMP_E_STATE);
    assert_int_equal(stamp_renewal_begin(&x->live.client, &proof.identity, &again, &err),
                     STAMP_OK);
    assert_memory_not_equal(again.point, r.point, sizeof r.point);
    stamp_renewal_fini(&r);
    stamp_renewal_fini(&again);
    assert_uses(x, x->birth);
    end(x);
}

/* ---- what neither end believes ---- */

/* The certificate goes past the registrar's judgement, to the device itself. */
static enum stamp_err force(struct desk *x, X509 *issuer, struct stamp_slice bundle)
{
    struct stamp_smp_client *c = &x->live.client;
    uint8_t chain[3 * STAMP_MAX_CERTIFICATE];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_cbor_out o;
    uint8_t *der = NULL;
    uint32_t seq;
    size_t len = 0;
    enum stamp_err rc;

    assert_int_equal(stamp_pki_encode(issuer, &der, &len, NULL), STAMP_OK);
    stamp_cbor_out_init(&o, chain, sizeof chain);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, x->certificate, x->certificate_len);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, der, len);
    OPENSSL_free(der);
    rc = stamp_rotate_hand(c, STAMP_HAND_CERTIFICATES, slice(chain, o.len), &err);
    if (rc == STAMP_OK && bundle.p != NULL) {
        rc = stamp_rotate_hand(c, STAMP_HAND_BUNDLE, bundle, &err);
    }
    return rc == STAMP_OK ? stamp_rotate_commit(c, &seq, &err) : rc;
}

static void wrong_certificates_are_refused_by_name(void **state)
{
    struct desk *x = begin(&encrypted);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_renewal r = {0};
    struct stamp_proof proof;
    uint8_t other[STAMP_POINT_SIZE];
    uint8_t digest[32] = {9};
    EVP_PKEY *key = NULL;
    X509 *rogue;

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(key, other, NULL), STAMP_OK);
    rogue = authority(key, NULL, key, "device root", STAMP_DEVELOPMENT);
    const struct {
        struct wish wish;
        const char *why;
        bool device_too; /* it has no clock, and asks for no subject of old */
    } cases[] = {
        {{.point = other}, "another key", true},
        {{.point = x->birth}, "birth key", true},
        {{.serial = "LV-000124"}, "serial number", true},
        {{.organization = "Somebody"}, "subject", false},
        {{.ca = rogue, .ca_key = key}, "no authority", true},
        {{.days = 1}, "expired", false},
        {{.from = 4102444800}, "clock", false},
    };

    assert_int_equal(prove(x, STAMP_BIRTH, &proof, &err), STAMP_OK);
    assert_int_equal(stamp_renewal_begin(&x->live.client, &proof.identity, &r, &err),
                     STAMP_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stamp_error why = STAMP_ERROR_INIT;
        struct stamp_buffer chain = {0};

        sign(x, r.point, &cases[i].wish);
        assert_int_equal(stamp_renewal_judge(&r,
                                             slice(x->certificate, x->certificate_len),
                                             x->others, no_bundle, &chain, &why),
                         STAMP_E_AUTH);
        assert_null(chain.p);
        assert_non_null(strstr(why.what, "the new certificate is refused: "));
        assert_non_null(strstr(why.what, cases[i].why));
        if (cases[i].device_too) {
            assert_int_equal(
                force(x, cases[i].wish.ca != NULL ? rogue : x->ca, no_bundle),
                STAMP_E_AUTH);
        }
    }
    /* claims that are not this device's, which only the device knows for sure */
    sign(x, r.point, &(struct wish){.digest = digest});
    assert_int_equal(force(x, x->ca, no_bundle), STAMP_E_AUTH);
    assert_true(waits(x));
    assert_uses(x, x->birth);
    live_boot(&x->live);
    assert_uses(x, x->birth);
    /* and the right one still gets through */
    x->certificate_len = 0;
    assert_int_equal(rotate(x, no_bundle, &err), STAMP_OK);
    assert_memory_equal(x->point, r.point, sizeof r.point);
    stamp_renewal_fini(&r);
    X509_free(rogue);
    EVP_PKEY_free(key);
    end(x);
}

/* What is no certificate, or too much of one. */
static void garbage_is_refused(void **state)
{
    struct desk *x = begin(&plain);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_renewal r = {0};
    struct stamp_buffer chain = {0};
    struct stamp_proof proof;
    uint8_t big[STAMP_ROTATE_BUFFER + 1];
    uint32_t seq;

    (void)state;
    memset(big, 0x30, sizeof big);
    assert_int_equal(prove(x, STAMP_BIRTH, &proof, &err), STAMP_OK);
    assert_int_equal(stamp_renewal_begin(&x->live.client, &proof.identity, &r, &err),
                     STAMP_OK);
    assert_int_equal(
        stamp_renewal_judge(&r, slice(big, 600), x->others, no_bundle, &chain, &err),
        STAMP_E_FORMAT);
    assert_int_equal(stamp_rotate_commit(&x->live.client, &seq, NULL), STAMP_E_STATE);
    assert_int_equal(
        stamp_rotate_hand(&x->live.client, STAMP_HAND_BUNDLE, slice(big, 600), NULL),
        STAMP_E_STATE); /* no certificates before it */
    assert_int_equal(stamp_rotate_hand(&x->live.client, STAMP_HAND_CERTIFICATES,
                                       slice(big, 600), NULL),
                     STAMP_OK);
    err = (struct stamp_error)STAMP_ERROR_INIT;
    assert_int_equal(stamp_rotate_commit(&x->live.client, &seq, &err), STAMP_E_DEVICE);
    assert_int_equal(err.native, STAMP_RC_BAD);
    err = (struct stamp_error)STAMP_ERROR_INIT;
    assert_int_equal(stamp_rotate_hand(&x->live.client, STAMP_HAND_CERTIFICATES,
                                       slice(big, sizeof big), &err),
                     STAMP_E_DEVICE);
    assert_int_equal(err.native, STAMP_RC_TOO_LARGE);
    assert_int_equal(stamp_rotate_commit(&x->live.client, &seq, NULL), STAMP_E_STATE);
    /* half of it is nothing */
    serve(x, r.point);
    assert_int_equal(stamp_renewal_judge(&r, slice(x->certificate, x->certificate_len),
                                         x->others, no_bundle, &chain, NULL),
                     STAMP_OK);
    x->live.requests[STAMP_SMP_HAND] = 0;
    assert_int_equal(
        stamp_rotate_hand(&x->live.client, STAMP_HAND_CERTIFICATES, of(&chain), NULL),
        STAMP_OK);
    assert_in_range(x->live.requests[STAMP_SMP_HAND], 4, 12);
    live_boot(&x->live); /* SPEC 16-3 */
    assert_int_equal(stamp_rotate_commit(&x->live.client, &seq, NULL), STAMP_E_STATE);
    assert_true(waits(x));
    assert_uses(x, x->birth);
    stamp_buffer_free(&chain);
    stamp_renewal_fini(&r);
    end(x);
}

/* ---- bundles ---- */

static struct stamp_slice sign_bundle(X509 *anchor, uint32_t version, uint8_t purpose,
                                      EVP_PKEY *owner, uint8_t out[STAMP_MAX_BUNDLE])
{
    struct stamp_bundle b = {.version = version, .purpose = purpose, .n_anchors = 1};
    uint8_t *der = NULL;
    size_t len;

    assert_int_equal(stamp_pki_encode(anchor, &der, &len, NULL), STAMP_OK);
    b.anchors[0] = slice(der, len);
    assert_int_equal(stamp_bundle_sign(&b, owner, out, &len, NULL), STAMP_OK);
    OPENSSL_free(der);
    return slice(out, len);
}

/* A new root comes with the owner's bundle, never by itself, and there is no way back. */
static void a_newer_bundle_brings_a_new_root(void **state)
{
    struct desk *x = begin(&plain);
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t room[STAMP_MAX_BUNDLE];
    uint8_t old[STAMP_MAX_BUNDLE];
    struct stamp_slice first;
    struct stamp_slice second;
    struct stamp_proof proof;
    struct stamp_renewal r = {0};
    EVP_PKEY *key = NULL;
    X509 *root;
    X509 *was = x->ca;

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    root = authority(key, NULL, key, "device root", STAMP_DEVELOPMENT);
    x->ca = authority(x->ca_key, root, key, "sub-CA", STAMP_DEVELOPMENT);
    (void)sk_X509_pop(x->others);
    assert_int_not_equal(sk_X509_push(x->others, x->ca), 0);
    assert_int_equal(rotate(x, no_bundle, &err), STAMP_E_AUTH);
    err = (struct stamp_error)STAMP_ERROR_INIT;
    first = sign_bundle(root, 2, STAMP_DEVELOPMENT, key, room); /* not the owner's */
    assert_int_equal(rotate(x, first, &err), STAMP_E_AUTH);
    assert_int_equal(force(x, x->ca, first), STAMP_E_AUTH);
    first = sign_bundle(root, 2, STAMP_PRODUCTION, x->live.owner, room);
    assert_int_equal(force(x, x->ca, first), STAMP_E_AUTH);
    assert_uses(x, x->birth);

    assert_int_equal(stamp_trust_add(x->trust, root, NULL), STAMP_OK);
    second = sign_bundle(root, 2, STAMP_DEVELOPMENT, x->live.owner, room);
    err = (struct stamp_error)STAMP_ERROR_INIT;
    if (rotate(x, second, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    assert_uses(x, x->point);
    assert_int_equal(prove(x, STAMP_NEWEST, &proof, &err), STAMP_OK);
    assert_int_equal(proof.bundle_version, 2);

    /* back to the first root: SPEC 8-4 */
    first = sign_bundle(x->root, 1, STAMP_DEVELOPMENT, x->live.owner, old);
    assert_int_equal(prove(x, STAMP_BIRTH, &proof, &err), STAMP_OK);
    assert_int_equal(stamp_renewal_begin(&x->live.client, &proof.identity, &r, &err),
                     STAMP_OK);
    sign(x, r.point, &(struct wish){.ca = was, .ca_key = x->ca_key});
    assert_int_equal(force(x, was, first), STAMP_E_AUTH);
    {
        struct stamp_buffer chain = {0};

        assert_int_equal(stamp_renewal_judge(&r,
                                             slice(x->certificate, x->certificate_len),
                                             x->others, first, &chain, &err),
                         STAMP_E_ROLLBACK);
    }
    stamp_renewal_fini(&r);
    X509_free(was);
    X509_free(root);
    EVP_PKEY_free(key);
    end(x);
}

/* ---- the request ---- */

/* Who stands between, and has a key of its own, gets no certificate for it. SPEC 16-7. */
static void requests_are_fresh_and_vouched_for(void **state)
{
    struct desk *x = begin(&plain);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_renewal r = {0};
    struct stamp_proof proof;
    const uint8_t challenge[32] = {1};
    X509_REQ *req;
    EVP_PKEY *key = NULL;
    uint8_t *der = NULL;
    int len;

    (void)state;
    assert_int_equal(prove(x, STAMP_BIRTH, &proof, &err), STAMP_OK);
    assert_int_equal(stamp_renewal_begin(&x->live.client, &proof.identity, &r, &err),
                     STAMP_OK);
    assert_int_equal(stamp_renewal_check(&r, challenge, &err), STAMP_E_AUTH);
    assert_non_null(strstr(err.what, "challenge"));

    /* signed anew by another key, all else as it was */
    {
        const unsigned char *p = r.request.p;
        const uint8_t *c;
        uint8_t asked[32];
        struct stamp_error why = STAMP_ERROR_INIT;

        req = d2i_X509_REQ(NULL, &p, (long)r.request.len);
        assert_non_null(req);
        c = memmem(r.request.p, r.request.len, "\xA4\x01\x58\x20", 4);
        assert_non_null(c);
        memcpy(asked, c + 4, sizeof asked);
        assert_int_equal(stamp_renewal_check(&r, asked, &why), STAMP_OK);
        assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
        assert_int_equal(X509_REQ_set_pubkey(req, key), 1);
        assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
        len = i2d_X509_REQ(req, &der);
        assert_true(len > 0);
        stamp_buffer_free(&r.request);
        assert_int_equal(stamp_buffer_new(&r.request, (size_t)len, 0, NULL), STAMP_OK);
        memcpy(r.request.p, der, (size_t)len);
        assert_int_equal(stamp_renewal_check(&r, asked, &why), STAMP_E_AUTH);
        assert_non_null(strstr(why.what, "vouch"));
        /* another chip */
        r.state.chip_len = 1;
        why = (struct stamp_error)STAMP_ERROR_INIT;
        assert_int_equal(stamp_renewal_check(&r, asked, &why), STAMP_E_AUTH);
        assert_non_null(strstr(why.what, "chip"));
        /* a bit of it */
        r.request.p[r.request.len - 1] ^= 1;
        why = (struct stamp_error)STAMP_ERROR_INIT;
        assert_int_equal(stamp_renewal_check(&r, asked, &why), STAMP_E_AUTH);
    }
    OPENSSL_free(der);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    stamp_renewal_fini(&r);
    end(x);
}

static void without_a_stamp_there_is_nothing_to_renew(void **state)
{
    static const struct live_options blank = {.no_stamp = true};
    struct desk *x = calloc(1, sizeof *x);
    struct stamp_rotation what;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_non_null(x);
    live_start(&x->live, &blank);
    assert_int_equal(stamp_rotate_ask(&x->live.client, &what, &err), STAMP_E_MISSING);
    x->live.agent.cfg.more[STAMP_AGENT_ROTATE] = NULL;
    err = (struct stamp_error)STAMP_ERROR_INIT;
    assert_int_equal(stamp_rotate_ask(&x->live.client, &what, &err), STAMP_E_UNSUPPORTED);
    live_stop(&x->live);
    free(x);
}

/* ---- what the wire sees ---- */

struct tap {
    uint8_t seen[65536];
    size_t len;
};

static unsigned listen_in(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct tap *t = ctx;

    (void)up;
    assert_true(*len <= sizeof t->seen - t->len);
    memcpy(t->seen + t->len, msg, *len);
    t->len += *len;
    return 1;
}

/* SPEC 16-13 */
static void no_private_key_on_the_wire(void **state)
{
    struct desk *x = begin(&encrypted);
    struct tap *tap = calloc(1, sizeof *tap);
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t buf[64];
    size_t len;

    (void)state;
    assert_non_null(tap);
    x->live.hook = listen_in;
    x->live.hook_ctx = tap;
    assert_int_equal(rotate(x, no_bundle, &err), STAMP_OK);
    x->live.hook = NULL;
    assert_int_equal(
        stamp_get(&x->live.dev, STAMP_NEWEST, STAMP_DEVICE_KEY, buf, sizeof buf, &len),
        STAMP_OK);
    for (size_t i = len - 32; i + 8 <= len; i++) {
        assert_null(memmem(tap->seen, tap->len, buf + i, 8));
        assert_null(memmem(x->live.flash, sizeof x->live.flash, buf + i, 8));
        assert_null(memmem(x->live.rotate_room, sizeof x->live.rotate_room, buf + i, 8));
        assert_null(memmem(x->live.port_work, sizeof x->live.port_work, buf + i, 8));
    }
    free(tap);
    end(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rotation_has_a_new_key),
        cmocka_unit_test(power_may_fail_in_any_operation),
        cmocka_unit_test(any_message_may_come_to_grief),
        cmocka_unit_test(other_changes_keep_the_key_that_waits),
        cmocka_unit_test(a_key_that_waits_can_be_dropped),
        cmocka_unit_test(wrong_certificates_are_refused_by_name),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(a_newer_bundle_brings_a_new_root),
        cmocka_unit_test(requests_are_fresh_and_vouched_for),
        cmocka_unit_test(without_a_stamp_there_is_nothing_to_renew),
        cmocka_unit_test(no_private_key_on_the_wire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
