/*
 * The device's part of a claim: an owner's app proves that it has the label. SPEC 10.1.
 *
 * What always holds here: a try is counted in flash before the proof of possession is
 * compared; an exchange judges one message only; its keys live in PSA and are destroyed
 * with it.
 */
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/agent_i.h"
#include "device/device_i.h"

enum {
    TRIES_FREE = 3,        /* wrong tries before waiting begins */
    WAIT_MAX_MS = 3600000, /* SPEC 10-17 */
    WAIT_DOUBLINGS = 12,   /* 2^12 s is beyond WAIT_MAX_MS */
    POP_MIN = 4,
    POP_MAX = 64,
    PLAIN_MAX = 1 + 4 + 2 + POP_MAX, /* {"pop": text} */
    POINTS = 2 * STAMP_POINT_SIZE,
    SHARED_MAX = POINTS + STAMP_MAX_TEXT,
    POP_AT = 1 + 1 + STAMP_SALT_SIZE, /* where [salt, text] has its text */
    CLAIMED_AT = 1 + 2 + 2,           /* heads of {"c": bytes}, of 24..255 bytes */
    CLAIMED_MAX = 1 + 7 + 2 + STAMP_MAX_TEXT + 8 + 1,
    NONCE = 0, /* a key seals one message, with a nonce of zeroes: SPEC 10-14, 10-15 */
};

enum stamp_err stampi_claim_state(const struct stamp_device *dev,
                                  struct stamp_claim_state *state)
{
    struct stamp_slice v;
    struct stamp_cbor c;
    enum stamp_err err = stampi_find(dev, STAMP_NEWEST, STAMP_CLAIM_STATE, &v);

    state->tries = 0;
    state->claimed = false;
    if (err == STAMP_OK) {
        stamp_cbor_init(&c, v.p, v.len);
        (void)stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
        state->tries = stamp_cbor_expect(&c, STAMP_CBOR_UINT);
        state->claimed = stamp_cbor_expect(&c, STAMP_CBOR_SIMPLE) == 21;
        err = c.err;
    }
    stampi_done(dev);
    return err == STAMP_E_MISSING ? STAMP_OK : err;
}

static enum stamp_err write_state(struct stamp_agent *a, uint32_t tries, bool claimed)
{
    uint8_t buf[1 + STAMP_CBOR_HEAD_MAX + 1];
    struct stamp_cbor_out o;
    struct stamp_change change = {STAMP_CLAIM_STATE, {buf, 0}};

    stamp_cbor_out_init(&o, buf, sizeof buf);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, tries);
    stamp_cbor_put_head(&o, STAMP_CBOR_SIMPLE, 20u + claimed);
    change.value.len = o.len;
    return stamp_bank_update(a->cfg.dev, &change, 1);
}

static uint32_t now_ms(const struct stamp_agent *a)
{
    const struct stamp_port *port = a->cfg.dev->port;

    return port->now_ms(port->ctx);
}

/* May a try be made now? SPEC 10-17. */
static int check_wait(struct stampi_call *c, struct stamp_claim_state *state)
{
    uint32_t passed = now_ms(c->a) - c->a->claim.since_ms;
    uint32_t wait;
    uint32_t n;
    enum stamp_err err = stampi_claim_state(c->a->cfg.dev, state);

    if (err != STAMP_OK || state->tries < TRIES_FREE) {
        return err;
    }
    n = state->tries - TRIES_FREE;
    wait = n < WAIT_DOUBLINGS ? 1000u << n : WAIT_MAX_MS;
    c->wait_ms = wait - passed;
    return passed >= wait ? STAMP_RC_OK : STAMP_RC_BUSY;
}

void stampi_claim_init(struct stamp_agent *a)
{
    a->claim.since_ms = now_ms(a);
}

void stampi_claim_end(struct stamp_agent *a)
{
    for (unsigned i = 0; i < 2; i++) {
        (void)psa_destroy_key(a->claim.key[i]); /* of no id: does nothing */
        a->claim.key[i] = PSA_KEY_ID_NULL;
    }
}

/* Agree on both keys with the app, by an ephemeral pair whose point goes to its place in
 * `shared`. No secret leaves PSA. SPEC 10-11, 10-13. */
static int agree(struct stamp_claim *claim, uint8_t *shared, size_t shared_len)
{
    uint8_t salt[STAMPI_HASH_SIZE];
    struct stampi_kdf kdf = {
        .peer = shared, /* the app's point is at its beginning */
        .salt = {salt, sizeof salt},
        .info = {(const uint8_t *)STAMP_LABEL_CLAIM, sizeof STAMP_LABEL_CLAIM - 1},
    };
    psa_key_attributes_t attr;
    psa_status_t status;
    size_t len;

    stampi_attributes(&attr, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1),
                      PSA_KEY_USAGE_DERIVE,
                      PSA_ALG_KEY_AGREEMENT(PSA_ALG_ECDH, PSA_ALG_HKDF(PSA_ALG_SHA_256)));
    psa_set_key_bits(&attr, 256);
    status = psa_generate_key(&attr, &kdf.secret);
    if (status == PSA_SUCCESS) {
        status = psa_export_public_key(kdf.secret, shared + STAMP_POINT_SIZE,
                                       STAMP_POINT_SIZE, &len);
    }
    if (status == PSA_SUCCESS && stampi_sha256(shared, shared_len, salt) != STAMP_OK) {
        status = PSA_ERROR_GENERIC_ERROR;
    }
    if (status == PSA_SUCCESS) {
        status = stampi_derive(&kdf, PSA_KEY_USAGE_DECRYPT, claim->key, 2);
    }
    (void)psa_destroy_key(kdf.secret);
    if (status == PSA_ERROR_INVALID_ARGUMENT) {
        return STAMP_RC_BAD; /* no point of the curve */
    }
    return status == PSA_SUCCESS ? STAMP_OK : STAMP_E_CRYPTO;
}

/* What a claim takes is in the stamp: SPEC 10-20. */
static int check_items(const struct stamp_part *part)
{
    struct stamp_item item;
    enum stamp_err err = stamp_find(part, STAMP_NEWEST, STAMP_POP, &item);

    if (err == STAMP_OK) {
        err = stamp_find(part, STAMP_BIRTH, STAMP_PROVISIONING_PRIVATE, &item);
    }
    return err == STAMP_E_MISSING ? STAMP_RC_NOT_SUPPORTED : (int)err;
}

/* SPEC 10-11. */
int stampi_claim(struct stampi_call *c)
{
    const struct stamp_device *dev = c->a->cfg.dev;
    uint8_t shared[SHARED_MAX]; /* A, B, serial */
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t sig[STAMP_SIGNATURE_SIZE];
    struct stamp_claim_state state;
    struct stamp_slice app;
    size_t len = 0;
    int rc;

    stampi_claim_end(c->a);
    if (!stampi_field_bytes(c, "e", STAMP_POINT_SIZE, STAMP_POINT_SIZE, &app) ||
        app.p[0] != 0x04) {
        return STAMP_RC_BAD;
    }
    memcpy(shared, app.p, STAMP_POINT_SIZE);
    rc = check_wait(c, &state);
    if (rc == STAMP_OK) {
        rc = check_items(&dev->part);
    }
    if (rc == STAMP_OK) {
        rc = stamp_get_string(dev, STAMP_BIRTH, STAMP_SERIAL, shared + POINTS,
                              STAMP_MAX_TEXT, &len);
    }
    len += POINTS;
    if (rc == STAMP_OK) {
        rc = agree(&c->a->claim, shared, len);
    }
    if (rc == STAMP_OK) {
        rc = stampi_sign_with(dev, STAMP_BIRTH, STAMP_PROVISIONING_PRIVATE,
                              STAMP_LABEL_CLAIM, (struct stamp_slice){shared, len}, sig,
                              point);
    }
    if (rc != STAMP_OK) {
        stampi_claim_end(c->a);
        return rc;
    }
    stampi_put_map(&c->out, 3);
    stampi_put(&c->out, "e", STAMP_CBOR_BYTES, STAMP_POINT_SIZE,
               shared + STAMP_POINT_SIZE);
    stampi_put(&c->out, "k", STAMP_CBOR_BYTES, sizeof point, point);
    stampi_put(&c->out, "s", STAMP_CBOR_BYTES, sizeof sig, sig);
    return STAMP_RC_OK;
}

int stampi_claim_compare(struct stampi_call *c, struct stamp_slice given)
{
    const struct stamp_device *dev = c->a->cfg.dev;
    struct stamp_slice v;
    int rc = stampi_find(dev, STAMP_NEWEST, STAMP_POP, &v);

    if (rc == STAMP_OK && (v.len != given.len + POP_AT ||
                           mbedtls_ct_memcmp(v.p + POP_AT, given.p, given.len) != 0)) {
        rc = STAMP_RC_NOT_AUTHENTIC;
    }
    stampi_done(dev);
    return rc;
}

/* The answer to a right proof: {"serial": text, "claimed": true} under the device's key,
 * made where it belongs, behind the heads of {"c": bytes}. */
static int put_claimed(struct stampi_call *c)
{
    uint8_t *p = c->out.p + CLAIMED_AT;
    struct stamp_cbor_out o;
    enum stamp_err err;

    stamp_cbor_out_init(&o, p, CLAIMED_MAX);
    stampi_put_map(&o, 2);
    err = stampi_put_item(&o, c->a->cfg.dev, "serial", STAMP_SERIAL);
    stampi_put_bool(&o, "claimed", true);
    if (err != STAMP_OK || !stamp_cbor_out_ok(&o)) {
        return STAMP_E_FORMAT;
    }
    err = stampi_crypt(c->a->claim.key[1], NONCE, false, p, o.len, p);
    stampi_put_map(&c->out, 1);
    stampi_put(&c->out, "c", STAMP_CBOR_BYTES, (uint32_t)o.len + STAMP_GCM_TAG, NULL);
    c->out.len += o.len + STAMP_GCM_TAG;
    return err;
}

/* Count, then compare, then clear the count or not. SPEC 10-15, 10-25. */
static int judge(struct stampi_call *c, const struct stamp_claim_state *state,
                 struct stamp_slice pop)
{
    const struct stamp_agent_more *more;
    int rc;

    rc = write_state(c->a, state->tries + 1, state->claimed);
    stampi_claim_init(c->a); /* the clock of the next try */
    if (rc == STAMP_OK) {
        more = c->a->cfg.more[STAMP_AGENT_STRIKE];
        rc = more != NULL ? more->compare(c, pop) : stampi_claim_compare(c, pop);
    }
    if (rc != STAMP_OK || c->out.len != 0) { /* it has its answer: SPEC 10-25 */
        return rc;
    }
    rc = write_state(c->a, 0, true);
    return rc == STAMP_OK ? put_claimed(c) : rc;
}

int stampi_possess(struct stampi_call *c)
{
    /* where the answer, of CLAIMED_AT + CLAIMED_MAX + STAMP_GCM_TAG bytes, does not reach
     */
    uint8_t *plain = c->a->out + sizeof c->a->out - PLAIN_MAX;
    struct stamp_claim_state state;
    struct stamp_slice sealed;
    struct stamp_slice pop;
    struct stamp_cbor v;
    int rc = STAMP_RC_BAD;

    if (c->a->claim.key[1] != PSA_KEY_ID_NULL &&
        stampi_field_bytes(c, "c", STAMP_GCM_TAG, PLAIN_MAX + STAMP_GCM_TAG, &sealed)) {
        rc = check_wait(c, &state);
    }
    if (rc == STAMP_OK && stampi_crypt(c->a->claim.key[0], NONCE, true, sealed.p,
                                       sealed.len, plain) != STAMP_OK) {
        rc = STAMP_RC_NOT_AUTHENTIC;
    }
    if (rc == STAMP_OK) {
        (void)stamp_smp_field(plain, sealed.len - STAMP_GCM_TAG, "pop", &v);
        pop = (struct stamp_slice){v.p, v.left};
        (void)stamp_cbor_string(&v, STAMP_CBOR_TEXT, POP_MIN, POP_MAX);
        rc = v.err == STAMP_OK ? judge(c, &state, pop) : STAMP_RC_BAD;
    }
    stampi_claim_end(c->a); /* for one message only, whatever came of it: SPEC 10-16 */
    mbedtls_platform_zeroize(plain, PLAIN_MAX);
    return rc;
}
