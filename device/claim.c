/*
 * The device's part of a claim: an owner's app proves that it has the label. SPEC 10.1.
 *
 * What always holds here: a try is counted in flash before the proof of possession is
 * compared; an exchange judges one message only; its keys live in PSA and are destroyed
 * with it.
 */
#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/agent_i.h"

enum {
    TRIES_FREE = 3,        /* wrong tries before waiting begins */
    WAIT_MAX_MS = 3600000, /* SPEC 10-17 */
    WAIT_DOUBLINGS = 12,   /* 2^12 s is beyond WAIT_MAX_MS */
    POP_MIN = 4,
    POP_MAX = 64,
    PLAIN_MAX = 1 + 4 + 2 + POP_MAX, /* {"pop": text} */
    SHARED_MAX = 2 * STAMP_POINT_SIZE + STAMP_MAX_TEXT,
};

enum stamp_err stampi_claim_state(const struct stamp_device *dev,
                                  struct stamp_claim_state *state)
{
    uint8_t buf[1 + STAMP_CBOR_HEAD_MAX + 1];
    struct stamp_cbor c;
    size_t len;
    enum stamp_err err;

    state->tries = 0;
    state->claimed = false;
    err = stamp_get(dev, STAMP_NEWEST, STAMP_CLAIM_STATE, buf, sizeof buf, &len);
    if (err != STAMP_OK) {
        return err == STAMP_E_MISSING ? STAMP_OK : err;
    }
    stamp_cbor_init(&c, buf, len);
    (void)stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    state->tries = stamp_cbor_uint(&c, UINT32_MAX);
    state->claimed = stamp_cbor_expect(&c, STAMP_CBOR_SIMPLE) == 21;
    return c.err;
}

static enum stamp_err write_state(struct stamp_agent *a,
                                  const struct stamp_claim_state *state)
{
    uint8_t buf[1 + STAMP_CBOR_HEAD_MAX + 1];
    struct stamp_cbor_out o;
    struct stamp_change change = {STAMP_CLAIM_STATE, {buf, 0}};

    stamp_cbor_out_init(&o, buf, sizeof buf);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, state->tries);
    stamp_cbor_put_head(&o, STAMP_CBOR_SIMPLE, state->claimed ? 21 : 20);
    change.value.len = o.len;
    return stamp_bank_update(a->cfg.dev, &change, 1);
}

static uint32_t now_ms(const struct stamp_agent *a)
{
    const struct stamp_port *port = a->cfg.dev->port;

    return port->now_ms(port->ctx);
}

/* May a try be made now? SPEC 10-17. */
static enum stamp_smp_rc
check_wait(struct stamp_agent *a, struct stamp_claim_state *state, struct stamp_reply *r)
{
    uint32_t passed = now_ms(a) - a->claim.since_ms;
    uint32_t wait = 0;
    uint32_t n;

    if (stampi_claim_state(a->cfg.dev, state) != STAMP_OK) {
        return STAMP_RC_UNKNOWN;
    }
    if (state->tries < TRIES_FREE) {
        return STAMP_RC_OK;
    }
    n = state->tries - TRIES_FREE;
    wait = n < WAIT_DOUBLINGS ? 1000u << n : WAIT_MAX_MS;
    if (passed >= wait) {
        return STAMP_RC_OK;
    }
    r->wait_ms = wait - passed;
    return STAMP_RC_BUSY;
}

void stampi_claim_init(struct stamp_agent *a)
{
    a->claim.open = false;
    a->claim.since_ms = now_ms(a);
}

void stampi_claim_end(struct stamp_agent *a)
{
    if (a->claim.open) {
        (void)psa_destroy_key(a->claim.from_app);
        (void)psa_destroy_key(a->claim.to_app);
        a->claim.open = false;
    }
}

/* The device's ephemeral pair; its point goes to `point`. */
static psa_status_t make_ephemeral(psa_key_id_t *id, uint8_t point[STAMP_POINT_SIZE])
{
    psa_key_attributes_t attr = PSA_KEY_ATTRIBUTES_INIT;
    psa_status_t status;
    size_t len;

    psa_set_key_type(&attr, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attr, 256);
    psa_set_key_usage_flags(&attr, PSA_KEY_USAGE_DERIVE);
    psa_set_key_algorithm(
        &attr, PSA_ALG_KEY_AGREEMENT(PSA_ALG_ECDH, PSA_ALG_HKDF(PSA_ALG_SHA_256)));
    status = psa_generate_key(&attr, id);
    if (status == PSA_SUCCESS) {
        status = psa_export_public_key(*id, point, STAMP_POINT_SIZE, &len);
    }
    return status;
}

static psa_status_t output_key(psa_key_derivation_operation_t *kdf, psa_key_usage_t usage,
                               psa_key_id_t *id)
{
    psa_key_attributes_t attr = PSA_KEY_ATTRIBUTES_INIT;

    psa_set_key_type(&attr, PSA_KEY_TYPE_AES);
    psa_set_key_bits(&attr, 256);
    psa_set_key_usage_flags(&attr, usage);
    psa_set_key_algorithm(&attr, PSA_ALG_GCM);
    return psa_key_derivation_output_key(&attr, kdf, id);
}

/* Both keys of the exchange; the shared secret never leaves PSA. SPEC 10-13. */
static psa_status_t derive(struct stamp_claim *claim, psa_key_id_t ephemeral,
                           const uint8_t *shared, size_t shared_len)
{
    psa_key_derivation_operation_t kdf = PSA_KEY_DERIVATION_OPERATION_INIT;
    uint8_t salt[32];
    size_t salt_len;
    psa_status_t s;

    s = psa_hash_compute(PSA_ALG_SHA_256, shared, shared_len, salt, sizeof salt,
                         &salt_len);
    s = s != PSA_SUCCESS
            ? s
            : psa_key_derivation_setup(
                  &kdf,
                  PSA_ALG_KEY_AGREEMENT(PSA_ALG_ECDH, PSA_ALG_HKDF(PSA_ALG_SHA_256)));
    s = s != PSA_SUCCESS ? s
                         : psa_key_derivation_input_bytes(
                               &kdf, PSA_KEY_DERIVATION_INPUT_SALT, salt, salt_len);
    s = s != PSA_SUCCESS ? s
                         : psa_key_derivation_key_agreement(
                               &kdf, PSA_KEY_DERIVATION_INPUT_SECRET, ephemeral, shared,
                               STAMP_POINT_SIZE); /* the app's point comes first */
    s = s != PSA_SUCCESS
            ? s
            : psa_key_derivation_input_bytes(&kdf, PSA_KEY_DERIVATION_INPUT_INFO,
                                             (const uint8_t *)STAMP_LABEL_CLAIM,
                                             sizeof STAMP_LABEL_CLAIM - 1);
    if (s == PSA_SUCCESS) {
        s = output_key(&kdf, PSA_KEY_USAGE_DECRYPT, &claim->from_app);
    }
    if (s == PSA_SUCCESS) {
        s = output_key(&kdf, PSA_KEY_USAGE_ENCRYPT, &claim->to_app);
        if (s != PSA_SUCCESS) {
            (void)psa_destroy_key(claim->from_app);
        }
    }
    claim->open = s == PSA_SUCCESS;
    (void)psa_key_derivation_abort(&kdf);
    return s;
}

static enum stamp_err sign_shared(const struct stamp_device *dev, const uint8_t *shared,
                                  size_t len, uint8_t signature[STAMP_SIGNATURE_SIZE])
{
    psa_key_id_t id;
    enum stamp_err err;

    err = stamp_key_load(dev, STAMP_BIRTH, STAMP_PROVISIONING_PRIVATE, &id);
    if (err == STAMP_OK) {
        err = stamp_sign(id, STAMP_LABEL_CLAIM, shared, len, signature);
        stamp_key_unload(id);
    }
    return err;
}

/* The provisioning key's point: the last of [kind, curve, point]. */
static enum stamp_err own_point(const struct stamp_device *dev,
                                uint8_t point[STAMP_POINT_SIZE])
{
    uint8_t buf[8 + STAMP_POINT_SIZE];
    struct stamp_slice s;
    struct stamp_cbor c;
    size_t len;
    enum stamp_err err =
        stamp_get(dev, STAMP_BIRTH, STAMP_PROVISIONING_KEY, buf, sizeof buf, &len);

    if (err != STAMP_OK) {
        return err;
    }
    stamp_cbor_init(&c, buf, len);
    (void)stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    if (stamp_cbor_uint(&c, UINT32_MAX) != STAMP_PROVISIONING_OWN) {
        return STAMP_E_MISSING;
    }
    (void)stamp_cbor_uint(&c, UINT32_MAX);
    s = stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_POINT_SIZE, STAMP_POINT_SIZE);
    if (c.err == STAMP_OK) {
        memcpy(point, s.p, STAMP_POINT_SIZE);
    }
    return c.err;
}

/* SPEC 10-11. */
enum stamp_smp_rc stampi_claim(struct stamp_agent *a, const struct stamp_request *q,
                               struct stamp_reply *r)
{
    uint8_t shared[SHARED_MAX]; /* A, B, serial */
    uint8_t *device_point = shared + STAMP_POINT_SIZE;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t signature[STAMP_SIGNATURE_SIZE];
    struct stamp_claim_state state;
    struct stamp_slice app;
    enum stamp_smp_rc rc;
    enum stamp_err err;
    psa_key_id_t id = PSA_KEY_ID_NULL;
    psa_status_t status;
    size_t len;

    stampi_claim_end(a);
    if (!stampi_field_bytes(q, "e", STAMP_POINT_SIZE, STAMP_POINT_SIZE, &app) ||
        app.p[0] != 0x04) {
        return STAMP_RC_BAD;
    }
    rc = check_wait(a, &state, r);
    if (rc != STAMP_RC_OK) {
        return rc;
    }
    err = own_point(a->cfg.dev, point);
    if (err != STAMP_OK) {
        return err == STAMP_E_MISSING ? STAMP_RC_NOT_SUPPORTED : STAMP_RC_UNKNOWN;
    }
    memcpy(shared, app.p, STAMP_POINT_SIZE);
    err = stamp_get_string(a->cfg.dev, STAMP_BIRTH, STAMP_SERIAL,
                           shared + 2 * STAMP_POINT_SIZE, STAMP_MAX_TEXT, &len);
    if (err != STAMP_OK) {
        return stampi_rc(err);
    }
    len += 2 * STAMP_POINT_SIZE;
    status = make_ephemeral(&id, device_point);
    if (status == PSA_SUCCESS) {
        status = derive(&a->claim, id, shared, len);
    }
    (void)psa_destroy_key(id); /* of no id: does nothing */
    if (status != PSA_SUCCESS) {
        return status == PSA_ERROR_INVALID_ARGUMENT ? STAMP_RC_BAD : STAMP_RC_UNKNOWN;
    }
    err = sign_shared(a->cfg.dev, shared, len, signature);
    if (err != STAMP_OK) {
        stampi_claim_end(a);
        return stampi_rc(err);
    }
    stamp_cbor_put_head(&r->out, STAMP_CBOR_MAP, 3);
    stampi_put_bytes(r, "e", device_point, STAMP_POINT_SIZE);
    stampi_put_bytes(r, "k", point, sizeof point);
    stampi_put_bytes(r, "s", signature, sizeof signature);
    return STAMP_RC_OK;
}

/* Compare with the stamp's, in a time that says nothing about where they differ. */
static enum stamp_err pop_equal(const struct stamp_device *dev, struct stamp_slice given,
                                bool *equal)
{
    uint8_t buf[1 + 1 + STAMP_SALT_SIZE + 2 + POP_MAX];
    struct stamp_cbor c;
    struct stamp_slice pop;
    unsigned diff;
    size_t len;
    enum stamp_err err = stamp_get(dev, STAMP_NEWEST, STAMP_POP, buf, sizeof buf, &len);

    *equal = false;
    if (err == STAMP_OK) {
        stamp_cbor_init(&c, buf, len);
        (void)stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
        (void)stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SALT_SIZE, STAMP_SALT_SIZE);
        pop = stamp_cbor_string(&c, STAMP_CBOR_TEXT, POP_MIN, POP_MAX);
        err = c.err;
    }
    if (err == STAMP_OK) {
        diff = pop.len == given.len ? 0u : 1u;
        for (size_t i = 0; i < given.len; i++) {
            diff |= (unsigned)given.p[i] ^ pop.p[i % pop.len];
        }
        *equal = diff == 0;
    }
    mbedtls_platform_zeroize(buf, sizeof buf);
    return err;
}

/* The answer to a right proof: {"serial": text, "claimed": true} under the device's key.
 */
static enum stamp_smp_rc put_claimed(struct stamp_agent *a, struct stamp_reply *r)
{
    static const uint8_t nonce[12];
    uint8_t plain[1 + 8 + 1 + 7 + 2 + STAMP_MAX_TEXT];
    uint8_t sealed[sizeof plain + STAMP_GCM_TAG];
    char serial[STAMP_MAX_TEXT];
    struct stamp_cbor_out o;
    size_t len;

    if (stamp_get_string(a->cfg.dev, STAMP_BIRTH, STAMP_SERIAL, serial, sizeof serial,
                         &len) != STAMP_OK) {
        return STAMP_RC_UNKNOWN;
    }
    stamp_cbor_out_init(&o, plain, sizeof plain);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, "serial", 6);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, serial, len);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, "claimed", 7);
    stamp_cbor_put_head(&o, STAMP_CBOR_SIMPLE, 21);
    if (psa_aead_encrypt(a->claim.to_app, PSA_ALG_GCM, nonce, sizeof nonce, NULL, 0,
                         plain, o.len, sealed, sizeof sealed, &len) != PSA_SUCCESS) {
        return STAMP_RC_UNKNOWN;
    }
    stamp_cbor_put_head(&r->out, STAMP_CBOR_MAP, 1);
    stampi_put_bytes(r, "c", sealed, len);
    return STAMP_RC_OK;
}

/* Count, then compare, then clear the count or not. SPEC 10-15. */
static enum stamp_smp_rc judge(struct stamp_agent *a, struct stamp_claim_state state,
                               struct stamp_slice pop, struct stamp_reply *r)
{
    enum stamp_err err;
    bool equal;

    state.tries += state.tries < UINT32_MAX ? 1u : 0u;
    err = write_state(a, &state);
    a->claim.since_ms = now_ms(a);
    if (err == STAMP_OK) {
        err = pop_equal(a->cfg.dev, pop, &equal);
    }
    if (err != STAMP_OK) {
        return err == STAMP_E_MISSING ? STAMP_RC_NOT_SUPPORTED : STAMP_RC_UNKNOWN;
    }
    if (!equal) {
        return STAMP_RC_NOT_AUTHENTIC;
    }
    state.tries = 0;
    state.claimed = true;
    err = write_state(a, &state);
    return err == STAMP_OK ? put_claimed(a, r) : stampi_rc(err);
}

enum stamp_smp_rc stampi_possess(struct stamp_agent *a, const struct stamp_request *q,
                                 struct stamp_reply *r)
{
    static const uint8_t nonce[12];
    uint8_t plain[PLAIN_MAX];
    struct stamp_claim_state state;
    struct stamp_slice sealed;
    struct stamp_slice pop;
    struct stamp_cbor c;
    enum stamp_smp_rc rc;
    size_t len = 0;

    if (!a->claim.open ||
        !stampi_field_bytes(q, "c", STAMP_GCM_TAG, PLAIN_MAX + STAMP_GCM_TAG, &sealed)) {
        stampi_claim_end(a);
        return STAMP_RC_BAD;
    }
    rc = check_wait(a, &state, r);
    if (rc == STAMP_RC_OK && psa_aead_decrypt(a->claim.from_app, PSA_ALG_GCM, nonce,
                                              sizeof nonce, NULL, 0, sealed.p, sealed.len,
                                              plain, sizeof plain, &len) != PSA_SUCCESS) {
        rc = STAMP_RC_NOT_AUTHENTIC;
    }
    if (rc == STAMP_RC_OK) {
        stamp_smp_field(plain, len, "pop", &c); /* its error stays in `c` */
        pop = stamp_cbor_string(&c, STAMP_CBOR_TEXT, POP_MIN, POP_MAX);
        rc = c.err == STAMP_OK ? judge(a, state, pop, r) : STAMP_RC_BAD;
    }
    stampi_claim_end(a); /* for one message only, whatever came of it: SPEC 10-16 */
    mbedtls_platform_zeroize(plain, sizeof plain);
    return rc;
}
