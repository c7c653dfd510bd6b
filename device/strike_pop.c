/* A proof of possession that the factory was told is not the owner's for good: who brings
 * it gets another one, and claims the device with that. The other one waits in the bank
 * until it was brought, so that nobody is locked out who lost power, or the answer. SPEC
 * 10-25, 10-26. */
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>

#include "device/share_i.h"
#include "device/strike_i.h"

enum {
    POP_LEN = 16, /* of 32 characters: 80 bits */
    NEXT_MAX = 1 + 1 + STAMP_SALT_SIZE + 1 + STAMP_MAX_TEXT + 1,
    TEXT_AT = 1 + 1 + STAMP_SALT_SIZE,
    ANSWER_AT = 1 + 2 + 2, /* heads of {"c": bytes}, of 24..255 bytes */
    NONCE = 0,             /* a key seals one message: SPEC 10-14 */
    ANSWER_MAX = 1 + 4 + 2 + STAMP_MAX_TEXT + 7 + 2 + STAMP_MAX_TEXT + 8 + 1,
};

/* Was the factory told the proof that holds now? */
static bool is_told(const struct stamp_part *part)
{
    struct stamp_item item;

    return stamp_find(part, STAMP_BIRTH, STAMP_POP_SHOWN, &item) == STAMP_OK &&
           (part->newest == STAMP_BIRTH ||
            stamp_find(part, (enum stamp_which)part->newest, STAMP_POP, &item) !=
                STAMP_OK);
}

/* [salt, text], drawn. */
static enum stamp_err draw(uint8_t next[NEXT_MAX], size_t *len)
{
    static const char alphabet[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    uint8_t raw[STAMP_SALT_SIZE + POP_LEN];
    struct stamp_cbor_out o;

    if (psa_generate_random(raw, sizeof raw) != PSA_SUCCESS) {
        return STAMP_E_CRYPTO;
    }
    for (unsigned i = STAMP_SALT_SIZE; i < sizeof raw; i++) {
        raw[i] = (uint8_t)alphabet[raw[i] % 32];
    }
    stamp_cbor_out_init(&o, next, NEXT_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, raw, STAMP_SALT_SIZE);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, raw + STAMP_SALT_SIZE, POP_LEN);
    mbedtls_platform_zeroize(raw, sizeof raw);
    *len = o.len;
    return STAMP_OK;
}

/* The proof that waits, as it is in flash. STAMP_E_MISSING: none does. */
static enum stamp_err waiting(const struct stamp_device *dev, uint8_t next[NEXT_MAX],
                              size_t *len)
{
    return stamp_get(dev, STAMP_NEWEST, STAMP_NEXT_POP, next, NEXT_MAX, len);
}

/* {"pop": text, "serial": text, "claimed": false}, sealed as the answer of 10-15 is. */
static int put_next(struct stampi_call *c, const uint8_t *next, size_t len)
{
    uint8_t *p = c->out.p + ANSWER_AT;
    struct stamp_cbor_out o;
    enum stamp_err rc;

    stamp_cbor_out_init(&o, p, ANSWER_MAX);
    stampi_put_map(&o, 3);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, "pop", 3);
    stamp_cbor_put_raw(&o, next + TEXT_AT, len - TEXT_AT);
    rc = stampi_put_item(&o, c->a->cfg.dev, "serial", STAMP_SERIAL);
    stampi_put_bool(&o, "claimed", false);
    if (rc != STAMP_OK || !stamp_cbor_out_ok(&o)) {
        return STAMP_E_FORMAT;
    }
    rc = stampi_crypt(c->a->claim.key[1], NONCE, false, p, o.len, p);
    stampi_put_map(&c->out, 1);
    stampi_put(&c->out, "c", STAMP_CBOR_BYTES, (uint32_t)o.len + STAMP_GCM_TAG, NULL);
    c->out.len += o.len + STAMP_GCM_TAG;
    return rc;
}

/* The told one was brought: the count is cleared, and another one waits. */
STAMPI_OWN_FRAME static int offer_next(struct stampi_call *c)
{
    struct stamp_device *dev = c->a->cfg.dev;
    uint8_t next[NEXT_MAX];
    static const uint8_t fresh[] = {0x82, 0x00, 0xF4}; /* [0, false] */
    struct stamp_change change[2] = {{STAMP_CLAIM_STATE, {fresh, sizeof fresh}},
                                     {STAMP_NEXT_POP, {next, 0}}};
    size_t *len = &change[1].value.len;
    int rc = waiting(dev, next, len);

    if (rc == STAMP_E_MISSING) {
        rc = draw(next, len);
    }
    if (rc == STAMP_OK) {
        rc = stamp_bank_update(dev, change, 2);
    }
    if (rc == STAMP_OK) {
        rc = put_next(c, next, *len);
    }
    mbedtls_platform_zeroize(next, sizeof next);
    return rc;
}

/* Is it the one that waits? Then it is the device's from now on, and no other. In a time
 * that says nothing about where they differ. */
STAMPI_OWN_FRAME static int take_next(struct stampi_call *c, struct stamp_slice given)
{
    struct stamp_device *dev = c->a->cfg.dev;
    uint8_t next[NEXT_MAX];
    struct stamp_change change[2] = {{STAMP_POP, {next, 0}}, {STAMP_NEXT_POP, {NULL, 0}}};
    size_t *len = &change[0].value.len;
    int rc = waiting(dev, next, len);

    if (rc != STAMP_OK || *len != given.len + TEXT_AT ||
        mbedtls_ct_memcmp(next + TEXT_AT, given.p, given.len) != 0) {
        rc = STAMP_RC_NOT_AUTHENTIC;
    } else {
        rc = stamp_bank_update(dev, change, 2);
    }
    mbedtls_platform_zeroize(next, sizeof next);
    return rc;
}

int stampi_strike_compare(struct stampi_call *c, struct stamp_slice given)
{
    int rc = stampi_claim_compare(c, given);

    if (!is_told(&c->a->cfg.dev->part)) {
        return rc;
    }
    return rc == STAMP_OK                 ? offer_next(c)
           : rc == STAMP_RC_NOT_AUTHENTIC ? take_next(c, given)
                                          : rc;
}
