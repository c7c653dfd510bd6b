/* The strike, both ends: a device in memory and what a station asks of it. SPEC 13. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/rand.h>

#include "core/keys.h"
#include "host/agree.h"
#include "host/bundle.h"
#include "host/claims.h"
#include "host/key.h"
#include "host/leaf.h"
#include "host/offer.h"
#include "host/pki.h"
#include "host/pop.h"
#include "host/prove.h"
#include "host/request.h"
#include "host/trust.h"
#include "host/unit.h"
#include "test/fixture/fixture.h"
#include "test/unit/live/live.h"

static const char profile_text[] =
    "company: Live test\n"
    "product: Lantern\n"
    "serial:\n  pattern: \"LT-{counter:6}\"\n"
    "proof_of_possession:\n  alphabet: ABCDEFGH23456789\n  length: 10\n"
    "provisioning_key:\n  kind: device\n"
    "barcodes:\n"
    "  - {name: serial, symbology: datamatrix, payload: serial}\n"
    "  - {name: dpp, symbology: qr, payload: dpp}\n"
    "  - {name: claim, symbology: qr, payload: claim}\n"
    "  - {name: own, symbology: qr, payload: \"{pop}/{key_hash}/{pop}\"}\n"
    "fields:\n  site: Lyon\n";

static const char serial[] = "LT-000007";

/* Headquarters and station in one. */
struct line {
    struct live live;
    struct stamp_profile *profile;
    EVP_PKEY *recipient;
    uint8_t recipient_point[STAMP_POINT_SIZE];
    uint8_t bundle[STAMP_MAX_BUNDLE];
    size_t bundle_len;
    X509 *root;
    X509 *ca;
    EVP_PKEY *ca_key;
    struct stamp_buffer offer;
    uint8_t certificate[STAMP_MAX_CERTIFICATE]; /* as it was signed first */
    size_t certificate_len;
    uint8_t point[STAMP_POINT_SIZE]; /* that it is for */
    bool show;
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
                       const char *role, int path_len)
{
    struct stamp_authority what = {.organization = "Live test",
                                   .role = role,
                                   .purpose = STAMP_DEVELOPMENT,
                                   .not_before = 1700000000,
                                   .path_len = path_len};
    X509 *cert = NULL;

    assert_int_equal(stamp_pki_authority(&what, key, issuer, issuer_key, &cert, NULL),
                     STAMP_OK);
    return cert;
}

static void sign_bundle(struct line *x, EVP_PKEY *owner, bool with_recipient)
{
    struct stamp_bundle b = {.version = 1, .purpose = STAMP_DEVELOPMENT, .n_anchors = 1};
    uint8_t *der = NULL;
    size_t len;

    assert_int_equal(stamp_pki_encode(x->root, &der, &len, NULL), STAMP_OK);
    b.anchors[0] = slice(der, len);
    if (with_recipient) {
        b.recipient = slice(x->recipient_point, STAMP_POINT_SIZE);
    }
    assert_int_equal(stamp_bundle_sign(&b, owner, x->bundle, &x->bundle_len, NULL),
                     STAMP_OK);
    OPENSSL_free(der);
}

static void make_offer(struct line *x)
{
    struct stamp_offer_subject subject = {.serial = serial,
                                          .at = 1735689600,
                                          .purpose = STAMP_DEVELOPMENT,
                                          .owner_hash = x->live.owner_hash,
                                          .bundle = slice(x->bundle, x->bundle_len),
                                          .show = x->show};
    struct stamp_error err = STAMP_ERROR_INIT;

    stamp_buffer_free(&x->offer);
    if (stamp_offer_make(x->profile, &subject, &x->offer, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
}

static void begin(struct line *x, const struct live_options *o, bool show)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    memset(x, 0, sizeof *x);
    live_start(&x->live, o);
    x->show = show;
    if (stamp_profile_parse(profile_text, sizeof profile_text - 1, "p", &x->profile,
                            &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(stamp_key_generate(&x->recipient, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(x->recipient, x->recipient_point, NULL), STAMP_OK);
    assert_int_equal(stamp_key_generate(&x->ca_key, NULL), STAMP_OK);
    x->root = authority(x->live.root, NULL, x->live.root, "device root", -1);
    x->ca = authority(x->ca_key, x->root, x->live.root, "station CA", 0);
    sign_bundle(x, x->live.owner, !show);
    make_offer(x);
}

static void end(struct line *x)
{
    stamp_buffer_free(&x->offer);
    stamp_profile_free(&x->profile);
    X509_free(x->root);
    X509_free(x->ca);
    EVP_PKEY_free(x->ca_key);
    EVP_PKEY_free(x->recipient);
    live_stop(&x->live);
}

static const struct live_options plain = {.no_stamp = true, .strike = true};
static const struct live_options encrypted = {
    .no_stamp = true, .strike = true, .encrypted = true};

/* The station signs once; afterwards it has only what it signed. */
static void sign(struct line *x, const struct stamp_request *r, X509 *ca, EVP_PKEY *key)
{
    const struct stamp_leaf_profile profile = {.organization = "Live test",
                                               .purpose = STAMP_DEVELOPMENT};
    struct stamp_leaf_subject subject = {.serial_number = {0x11, 0x22},
                                         .serial = serial,
                                         .common_name = serial,
                                         .point = r->point,
                                         .digest = r->digest,
                                         .not_before = 1735689600};
    struct stamp_leaf_maker *maker = NULL;

    if (x->certificate_len > 0) {
        assert_memory_equal(x->point, r->point, sizeof x->point);
        return;
    }
    assert_int_equal(stamp_leaf_new(&profile, ca, key, &maker, NULL), STAMP_OK);
    assert_int_equal(
        stamp_leaf_make(maker, &subject, x->certificate, &x->certificate_len, NULL),
        STAMP_OK);
    memcpy(x->point, r->point, sizeof x->point);
    stamp_leaf_free(&maker);
}

static enum stamp_err put_certificates(struct line *x, X509 *ca, struct stamp_error *err)
{
    uint8_t chain[2 * STAMP_MAX_CERTIFICATE];
    struct stamp_cbor_out o;
    uint8_t *der = NULL;
    size_t len;

    assert_int_equal(stamp_pki_encode(ca, &der, &len, NULL), STAMP_OK);
    stamp_cbor_out_init(&o, chain, sizeof chain);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, x->certificate, x->certificate_len);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, der, len);
    OPENSSL_free(der);
    return stamp_unit_put(&x->live.client, STAMP_PUT_CERTIFICATES, slice(chain, o.len),
                          err);
}

static enum stamp_err ask_request(struct line *x, struct stamp_request *r,
                                  struct stamp_error *err)
{
    struct stamp_smp_client *c = &x->live.client;
    struct stamp_request_asked asked = {.offer = of(&x->offer),
                                        .serial = serial,
                                        .purpose = STAMP_DEVELOPMENT,
                                        .chip = slice(x->live.chip, sizeof x->live.chip)};
    uint8_t challenge[32];
    uint8_t claims[STAMP_CLAIMS_MAX];
    struct stamp_buffer request = {0};
    size_t len;
    enum stamp_err rc = stamp_unit_put(c, STAMP_PUT_OFFER, of(&x->offer), err);

    assert_int_equal(RAND_bytes(challenge, sizeof challenge), 1);
    asked.challenge = challenge;
    if (rc == STAMP_OK) {
        rc = stamp_unit_make(c, challenge, &request, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_request_read(of(&request), r, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_request_check(r, &asked, claims, &len, err);
    }
    stamp_buffer_free(&request);
    return rc;
}

/* All that a station does, from wherever the unit is. */
static enum stamp_err strike(struct line *x, struct stamp_buffer *pop, bool *shown,
                             struct stamp_error *err)
{
    struct stamp_smp_client *c = &x->live.client;
    struct stamp_request r;
    struct stamp_unit unit;
    uint8_t digest[32];
    uint32_t can;
    uint32_t lock;
    enum stamp_err rc = stamp_unit_ask(c, &unit, err);

    if (rc == STAMP_OK && unit.phase < STAMP_PHASE_STRUCK) {
        rc = ask_request(x, &r, err);
        if (rc == STAMP_OK) {
            sign(x, &r, x->ca, x->ca_key);
            rc = put_certificates(x, x->ca, err);
        }
        if (rc == STAMP_OK) {
            rc = stamp_unit_strike(c, digest, err);
        }
        if (rc == STAMP_OK && memcmp(digest, r.digest, sizeof digest) != 0) {
            rc = STAMP_E_AUTH;
        }
        if (rc == STAMP_OK) {
            unit.phase = STAMP_PHASE_STRUCK;
        }
    }
    if (rc == STAMP_OK && unit.phase == STAMP_PHASE_STRUCK) {
        stamp_buffer_free(pop);
        rc = stamp_unit_pop(c, shown, pop, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_unit_finish(c, true, &can, &lock, err);
    }
    if (rc == STAMP_OK) {
        rc = can == 7 && lock == 7 ? STAMP_OK : STAMP_E_AUTH;
    }
    return rc;
}

static void prove(struct line *x)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_trust *trust = NULL;
    struct stamp_proof proof;
    struct stamp_unit unit;

    assert_int_equal(stamp_trust_new(&trust, NULL), STAMP_OK);
    assert_int_equal(stamp_trust_add(trust, x->root, NULL), STAMP_OK);
    if (stamp_prove_device(&x->live.client, trust, STAMP_BIRTH, &proof, &err) !=
        STAMP_OK) {
        fail_msg("%s", err.what);
    }
    assert_string_equal(proof.identity.serial, serial);
    assert_memory_equal(proof.identity.point, x->point, sizeof x->point);
    assert_string_equal(proof.info.state, "locked");
    assert_int_equal(stamp_unit_ask(&x->live.client, &unit, &err), STAMP_OK);
    assert_int_equal(unit.phase, STAMP_PHASE_FINISHED);
    assert_int_equal(unit.lock, 7);
    stamp_trust_free(&trust);
}

/* The proof that the device holds, which no test may ask a device for. */
static void held_pop(struct line *x, char out[65])
{
    uint8_t buf[128];
    struct stamp_slice v;
    struct stamp_cbor c;
    size_t len;

    assert_int_equal(
        stamp_get(&x->live.dev, STAMP_BIRTH, STAMP_POP, buf, sizeof buf, &len), STAMP_OK);
    stamp_cbor_init(&c, buf, len);
    assert_int_equal(stamp_cbor_expect(&c, STAMP_CBOR_ARRAY), 2);
    (void)stamp_cbor_string(&c, STAMP_CBOR_BYTES, 16, 16);
    v = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 4, 64);
    assert_int_equal(c.err, STAMP_OK);
    memcpy(out, v.p, v.len);
    out[v.len] = '\0';
}

static void whole(const struct live_options *o, bool show)
{
    struct line *x = calloc(1, sizeof *x);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_buffer pop = {0};
    struct stamp_secret *opened = NULL;
    char held[65];
    bool shown;
    size_t len;

    assert_non_null(x);
    begin(x, o, show);
    if (strike(x, &pop, &shown, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(shown, show);
    held_pop(x, held);
    assert_int_equal(strlen(held), 10);
    assert_int_equal(strspn(held, "ABCDEFGH23456789"), 10);
    if (show) {
        assert_int_equal(pop.len, 10);
        assert_memory_equal(pop.p, held, 10);
    } else {
        assert_int_equal(stamp_pop_open(of(&pop), x->recipient, &opened, &err), STAMP_OK);
        assert_memory_equal(stamp_secret_use(opened, &len), held, 10);
        assert_int_equal(len, 10);
        stamp_secret_free(&opened);
        pop.p[70] ^= 1;
        assert_int_equal(stamp_pop_open(of(&pop), x->recipient, &opened, &err),
                         STAMP_E_AUTH);
    }
    /* once only: SPEC 13-18 */
    stamp_buffer_free(&pop);
    assert_int_equal(stamp_unit_pop(&x->live.client, &shown, &pop, &err), STAMP_E_STATE);
    assert_int_equal(stamp_unit_restart(&x->live.client, &err), STAMP_OK);
    assert_int_equal(x->live.restarts, 1);
    live_boot(&x->live);
    prove(x);
    end(x);
    free(x);
}

static void keys_are_made_on_the_device(void **state)
{
    (void)state;
    whole(&plain, false);
    whole(&encrypted, false);
}

static void a_shown_proof_is_told_and_marked(void **state)
{
    (void)state;
    whole(&plain, true);
}

/* Where power failed. @param again  it does once more, shortly after */
static void boot_again(struct line *x, bool again)
{
    if (!x->live.dead) {
        return;
    }
    live_boot(&x->live);
    if (again) {
        x->live.cut_at = x->live.flash_ops + 2;
    }
}

/* Power fails in each flash operation of a strike, and again in the one after it: the
 * unit is brought to the end each time, with the key that its one certificate names. */
static unsigned cut_everywhere(const struct live_options *o)
{
    unsigned cuts = 0;

    for (unsigned at = 1;; at++) {
        struct line *x = calloc(1, sizeof *x);
        struct stamp_buffer pop = {0};
        struct stamp_error err = STAMP_ERROR_INIT;
        enum stamp_err rc;
        unsigned boots = 0;
        bool shown;

        assert_non_null(x);
        begin(x, o, false);
        x->live.flash_ops = 0;
        x->live.cut_at = at;
        do {
            rc = strike(x, &pop, &shown, &err);
            cuts += x->live.dead;
            boot_again(x, boots == 0 && at % 2 == 0);
            assert_true(++boots < 8);
        } while (rc != STAMP_OK);
        live_boot(&x->live);
        prove(x);
        stamp_buffer_free(&pop);
        rc = boots == 1 ? STAMP_E_MISSING : STAMP_OK; /* no cut: that was all of them */
        end(x);
        free(x);
        if (rc != STAMP_OK) {
            return cuts;
        }
    }
}

static void power_may_fail_in_any_operation(void **state)
{
    static const struct live_flash flashes[] = {
        {4096, 8, 0xFF},  {4096, 1, 0xFF}, {2048, 8, 0xFF},  {512, 16, 0xFF},
        {8192, 32, 0xFF}, {4096, 4, 0xFF}, {4096, 64, 0xFF}, {4096, 8, 0x00},
    };

    (void)state;
    for (size_t i = 0; i < sizeof flashes / sizeof flashes[0]; i++) {
        struct live_options o = i % 2 == 0 ? plain : encrypted;

        o.flash = &flashes[i];
        assert_in_range(cut_everywhere(&o), 20, 400);
        if (i == 0 || getenv("STAMP_LONG") != NULL) { /* make soak */
            o = i % 2 == 0 ? encrypted : plain;
            o.flash = &flashes[i];
            assert_in_range(cut_everywhere(&o), 20, 400);
        }
    }
}

/* ---- the wire ---- */

enum trouble { LOSE, DOUBLE, DAMAGE, CUT_POWER };

struct wire {
    struct line *line;
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
    case DAMAGE: /* the frame's own check is made anew, so the device sees nonsense */
        msg[*len - 1] ^= 0x40;
        return 1;
    case CUT_POWER:
    default:
        w->line->live.dead = true;
        return 0;
    }
}

/* A strike whose message number `at` comes to grief. False: it has not that many. */
static bool strike_disturbed(enum trouble what, unsigned at)
{
    struct line *x = calloc(1, sizeof *x);
    struct wire w = {x, what, at, 0, false};
    struct stamp_buffer pop = {0};
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;
    unsigned turns = 0;
    bool shown;

    assert_non_null(x);
    begin(x, &plain, false);
    x->live.hook = disturb;
    x->live.hook_ctx = &w;
    do {
        rc = strike(x, &pop, &shown, &err);
        boot_again(x, false);
        assert_true(++turns < 5);
    } while (rc != STAMP_OK);
    x->live.hook = NULL;
    live_boot(&x->live);
    prove(x);
    stamp_buffer_free(&pop);
    end(x);
    free(x);
    return w.hit;
}

/* Each message once lost, doubled, damaged, or with power failing at it. */
static void any_message_may_come_to_grief(void **state)
{
    (void)state;
    for (int what = LOSE; what <= CUT_POWER; what++) {
        unsigned at = 1;

        while (strike_disturbed((enum trouble)what, at)) {
            at++;
        }
        assert_in_range(at, 25, 60);
    }
}

/* ---- who it does not believe ---- */

static void only_the_owners_offer(void **state)
{
    struct line *x = calloc(1, sizeof *x);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_request r;
    struct stamp_unit unit;

    (void)state;
    assert_non_null(x);
    begin(x, &plain, false);
    sign_bundle(x, x->ca_key, true); /* a station with an owner of its own */
    make_offer(x);
    assert_int_equal(ask_request(x, &r, &err), STAMP_E_AUTH);
    memset(x->live.owner_hash, 7, 32); /* the offer then names this hash */
    make_offer(x);
    sign_bundle(x, x->live.owner, true);
    assert_int_equal(ask_request(x, &r, &err), STAMP_E_AUTH);
    assert_int_equal(stamp_unit_ask(&x->live.client, &unit, &err), STAMP_OK);
    assert_int_equal(unit.phase, STAMP_PHASE_BLANK);
    end(x);
    free(x);
}

/* ---- a stamp that was made before, SPEC 13-24 ---- */

/* As headquarters of this line's owner, or of another one, would have made it. */
static void make_before(struct line *x, bool ours, struct fixture_stamp *out)
{
    struct fixture f;

    fixture_init(&f, STAMP_DEVELOPMENT);
    if (ours) {
        EVP_PKEY_free(f.owner_key);
        f.owner_key = x->live.owner;
        assert_int_equal(EVP_PKEY_up_ref(f.owner_key), 1);
        assert_int_equal(stamp_key_point(f.owner_key, f.owner_point, NULL), STAMP_OK);
        assert_int_equal(stamp_key_hash(f.owner_point, f.owner_hash, NULL), STAMP_OK);
        f.bundle_len =
            fixture_bundle(&f, 1, STAMP_DEVELOPMENT, f.bundle, sizeof f.bundle);
    }
    fixture_birth(&f, NULL, out);
    fixture_fini(&f);
}

static size_t seal_before(struct line *x, const struct fixture_stamp *stamp,
                          uint8_t sealed[FIXTURE_MAX + STAMP_AGREE_TAG])
{
    EVP_PKEY *own = NULL;
    uint8_t mine[STAMP_POINT_SIZE];
    uint8_t theirs[STAMP_POINT_SIZE];
    uint8_t key[STAMP_AGREE_KEY];

    assert_int_equal(stamp_key_generate(&own, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(own, mine, NULL), STAMP_OK);
    assert_int_equal(stamp_unit_agree(&x->live.client, mine, theirs, NULL), STAMP_OK);
    assert_int_equal(stamp_agree(own, theirs, mine, STAMP_LABEL_STRIKE, key, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_agree_seal(key, slice(stamp->bytes, stamp->len), sealed, NULL),
                     STAMP_OK);
    EVP_PKEY_free(own);
    return stamp->len + STAMP_AGREE_TAG;
}

static enum stamp_err strike_before(struct line *x, const uint8_t *sealed, size_t len,
                                    uint8_t digest[32])
{
    enum stamp_err rc =
        stamp_unit_put(&x->live.client, STAMP_PUT_SEALED, slice(sealed, len), NULL);

    return rc == STAMP_OK ? stamp_unit_strike(&x->live.client, digest, NULL) : rc;
}

static void a_stamp_that_was_made_before(void **state)
{
    struct line *x = calloc(1, sizeof *x);
    static struct fixture_stamp stamp;
    static uint8_t sealed[FIXTURE_MAX + STAMP_AGREE_TAG];
    uint8_t digest[32];
    uint8_t point[STAMP_POINT_SIZE] = {4};
    uint8_t theirs[STAMP_POINT_SIZE];
    size_t len;

    (void)state;
    assert_non_null(x);
    begin(x, &plain, false);
    make_before(x, true, &stamp);
    memset(sealed, 0, sizeof sealed);
    assert_int_equal(strike_before(x, sealed, stamp.len, digest), STAMP_E_STATE);
    assert_int_equal(stamp_unit_agree(&x->live.client, point, theirs, NULL),
                     STAMP_E_DEVICE); /* no point of the curve */

    len = seal_before(x, &stamp, sealed);
    sealed[len / 2] ^= 1;
    assert_int_equal(strike_before(x, sealed, len, digest), STAMP_E_AUTH);
    sealed[len / 2] ^= 1; /* a try ends the exchange */
    assert_int_equal(strike_before(x, sealed, len, digest), STAMP_E_STATE);

    len = seal_before(x, &stamp, sealed);
    assert_int_equal(stamp_unit_agree(&x->live.client, x->recipient_point, theirs, NULL),
                     STAMP_OK);
    assert_int_equal(strike_before(x, sealed, len, digest), STAMP_E_AUTH); /* replayed */

    make_before(x, false, &stamp);
    len = seal_before(x, &stamp, sealed);
    assert_int_equal(strike_before(x, sealed, len, digest), STAMP_E_AUTH);

    make_before(x, true, &stamp);
    len = seal_before(x, &stamp, sealed);
    assert_int_equal(strike_before(x, sealed, len, digest), STAMP_OK);
    assert_memory_equal(digest, stamp.digest, sizeof digest);
    assert_int_equal(stamp_unit_agree(&x->live.client, x->recipient_point, theirs, NULL),
                     STAMP_E_STATE);
    end(x);
    free(x);
}

/* The recipient is in what the owner signed; a station cannot have the proof shown. */
static void a_sealed_proof_is_not_shown(void **state)
{
    struct line *x = calloc(1, sizeof *x);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_request r;

    (void)state;
    assert_non_null(x);
    begin(x, &plain, false);
    x->show = true;
    make_offer(x);
    assert_int_equal(ask_request(x, &r, &err), STAMP_E_AUTH);
    x->show = false;
    sign_bundle(x, x->live.owner, false); /* sealed to nobody */
    make_offer(x);
    assert_int_equal(ask_request(x, &r, &err), STAMP_E_AUTH);
    end(x);
    free(x);
}

static void only_certificates_of_the_bundles_anchors(void **state)
{
    struct line *x = calloc(1, sizeof *x);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_request r;
    struct stamp_unit unit;
    uint8_t digest[32];
    EVP_PKEY *key = NULL;
    X509 *rogue;

    (void)state;
    assert_non_null(x);
    begin(x, &plain, false);
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    rogue = authority(key, NULL, key, "station CA", 0);
    assert_int_equal(ask_request(x, &r, &err), STAMP_OK);
    sign(x, &r, rogue, key);
    assert_int_equal(put_certificates(x, rogue, &err), STAMP_OK);
    assert_int_equal(stamp_unit_strike(&x->live.client, digest, &err), STAMP_E_AUTH);
    X509_free(rogue);
    EVP_PKEY_free(key);

    /* another unit's key, and claims that are not this unit's */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask_request(x, &r, &err), STAMP_OK);
        x->certificate_len = 0;
        if (i == 0) {
            memcpy(r.point, x->recipient_point, sizeof r.point);
        } else {
            r.digest[0] ^= 1;
        }
        sign(x, &r, x->ca, x->ca_key);
        assert_int_equal(put_certificates(x, x->ca, &err), STAMP_OK);
        assert_int_equal(stamp_unit_strike(&x->live.client, digest, &err), STAMP_E_AUTH);
    }
    assert_int_equal(stamp_unit_ask(&x->live.client, &unit, &err), STAMP_OK);
    assert_int_equal(unit.phase, STAMP_PHASE_PENDING);
    end(x);
    free(x);
}

/* Keys wait for their offer: another one is refused until they are given up. SPEC 13-9.
 */
static void keys_wait_for_their_offer(void **state)
{
    struct line *x = calloc(1, sizeof *x);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_request r;
    struct stamp_request again;
    struct stamp_unit unit;
    uint8_t digest[32];

    (void)state;
    assert_non_null(x);
    begin(x, &encrypted, false);
    assert_int_equal(ask_request(x, &r, &err), STAMP_OK);
    live_boot(&x->live);
    assert_int_equal(stamp_unit_ask(&x->live.client, &unit, &err), STAMP_OK);
    assert_true(unit.pending);
    assert_int_equal(stamp_offer_digest(of(&x->offer), digest, NULL), STAMP_OK);
    assert_memory_equal(unit.offer, digest, sizeof digest);
    assert_int_equal(ask_request(x, &again, &err), STAMP_OK);
    assert_memory_equal(again.point, r.point, sizeof r.point);
    assert_memory_equal(again.digest, r.digest, sizeof r.digest);
    assert_memory_not_equal(again.evidence.challenge, r.evidence.challenge, 32);

    x->show = false;
    sign_bundle(x, x->live.owner, true); /* another signature: another offer */
    make_offer(x);
    assert_int_equal(ask_request(x, &again, &err), STAMP_E_STATE);
    assert_int_equal(stamp_unit_abandon(&x->live.client, &err), STAMP_OK);
    assert_int_equal(ask_request(x, &again, &err), STAMP_OK);
    assert_memory_not_equal(again.point, r.point, sizeof r.point);
    end(x);
    free(x);
}

static void a_locked_unit_takes_nothing(void **state)
{
    struct line *x = calloc(1, sizeof *x);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_buffer pop = {0};
    struct stamp_request r = {0};
    bool shown;

    (void)state;
    assert_non_null(x);
    begin(x, &plain, false);
    assert_int_equal(strike(x, &pop, &shown, &err), STAMP_OK);
    stamp_buffer_free(&pop);
    assert_int_equal(ask_request(x, &r, &err), STAMP_E_STATE);
    assert_int_equal(stamp_unit_abandon(&x->live.client, &err), STAMP_E_STATE);
    end(x);
    free(x);
}

/* A request of another time or unit does not answer this challenge. */
static void requests_are_fresh_and_of_this_chip(void **state)
{
    struct line *x = calloc(1, sizeof *x);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_request r = {0};
    uint8_t claims[STAMP_CLAIMS_MAX];
    uint8_t challenge[32];
    uint8_t chip[8] = {9};
    struct stamp_request_asked asked;
    size_t len;

    (void)state;
    assert_non_null(x);
    begin(x, &plain, false);
    assert_int_equal(ask_request(x, &r, &err), STAMP_OK);
    memcpy(challenge, r.evidence.challenge, sizeof challenge);
    asked = (struct stamp_request_asked){.challenge = challenge,
                                         .chip = slice(x->live.chip, 8),
                                         .offer = of(&x->offer),
                                         .serial = serial,
                                         .purpose = STAMP_DEVELOPMENT};
    assert_int_equal(stamp_request_check(&r, &asked, claims, &len, &err), STAMP_OK);
    challenge[3] ^= 1;
    assert_int_equal(stamp_request_check(&r, &asked, claims, &len, &err), STAMP_E_AUTH);
    challenge[3] ^= 1;
    asked.chip = slice(chip, 8);
    assert_int_equal(stamp_request_check(&r, &asked, claims, &len, &err), STAMP_E_AUTH);
    asked.chip = slice(x->live.chip, 8);
    asked.serial = "LT-000008";
    assert_int_equal(stamp_request_check(&r, &asked, claims, &len, &err), STAMP_E_AUTH);
    asked.serial = serial;
    asked.purpose = STAMP_PRODUCTION;
    assert_int_equal(stamp_request_check(&r, &asked, claims, &len, &err),
                     STAMP_E_PURPOSE);
    asked.purpose = STAMP_DEVELOPMENT;
    r.evidence.commitment[0][5] ^= 1; /* the proof of another unit */
    assert_int_equal(stamp_request_check(&r, &asked, claims, &len, &err), STAMP_E_AUTH);
    end(x);
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

static void no_run_of(const uint8_t *hay, size_t hay_len, const uint8_t *secret,
                      size_t len)
{
    for (size_t i = 0; i + 8 <= len; i++) {
        assert_null(memmem(hay, hay_len, secret + i, 8));
    }
}

static void no_secret_on_the_wire(void **state)
{
    struct line *x = calloc(1, sizeof *x);
    struct tap *tap = calloc(1, sizeof *tap);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_buffer pop = {0};
    uint8_t buf[64];
    char held[65];
    bool shown;
    size_t len;

    (void)state;
    assert_non_null(x);
    assert_non_null(tap);
    begin(x, &encrypted, false);
    x->live.hook = listen_in;
    x->live.hook_ctx = tap;
    assert_int_equal(strike(x, &pop, &shown, &err), STAMP_OK);
    x->live.hook = NULL;
    assert_true(tap->len > 2000);
    assert_int_equal(
        stamp_get(&x->live.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, buf, sizeof buf, &len),
        STAMP_OK);
    no_run_of(tap->seen, tap->len, buf + len - 32, 32);
    no_run_of(x->live.flash, sizeof x->live.flash, buf + len - 32, 32);
    no_run_of(x->live.strike_room, sizeof x->live.strike_room, buf + len - 32, 32);
    assert_int_equal(stamp_get(&x->live.dev, STAMP_BIRTH, STAMP_PROVISIONING_PRIVATE, buf,
                               sizeof buf, &len),
                     STAMP_OK);
    no_run_of(tap->seen, tap->len, buf + len - 32, 32);
    no_run_of(x->live.flash, sizeof x->live.flash, buf + len - 32, 32);
    held_pop(x, held);
    no_run_of(tap->seen, tap->len, (const uint8_t *)held, 10);
    no_run_of(x->live.flash, sizeof x->live.flash, (const uint8_t *)held, 10);
    no_run_of(x->live.strike_room, sizeof x->live.strike_room, (const uint8_t *)held, 10);
    print_message("wire: %zu bytes of messages a unit\n", tap->len);
    stamp_buffer_free(&pop);
    end(x);
    free(tap);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_made_on_the_device),
        cmocka_unit_test(a_shown_proof_is_told_and_marked),
        cmocka_unit_test(power_may_fail_in_any_operation),
        cmocka_unit_test(any_message_may_come_to_grief),
        cmocka_unit_test(only_the_owners_offer),
        cmocka_unit_test(a_stamp_that_was_made_before),
        cmocka_unit_test(a_sealed_proof_is_not_shown),
        cmocka_unit_test(only_certificates_of_the_bundles_anchors),
        cmocka_unit_test(keys_wait_for_their_offer),
        cmocka_unit_test(a_locked_unit_takes_nothing),
        cmocka_unit_test(requests_are_fresh_and_of_this_chip),
        cmocka_unit_test(no_secret_on_the_wire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
