/* The claims of the stamp that a unit makes of an offer. SPEC 13-13. */
#include <string.h>

#include "core/keys.h"
#include "host/claims.h"
#include "host/offer_own.h"

enum stamp_err stampi_offer_key(const uint8_t point[STAMP_POINT_SIZE], char hash[65],
                                char base64[STAMP_DPP_KEY_LEN + 1],
                                struct stamp_error *err)
{
    uint8_t digest[32];
    enum stamp_err rc = stamp_dpp_hash(point, digest, err);

    stamp_dpp_key(point, base64);
    for (size_t i = 0; i < 64 && rc == STAMP_OK; i++) {
        hash[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u];
    }
    hash[64] = '\0';
    return rc;
}

static enum stamp_err malformed(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0, "an offer is malformed");
}

/* An item of a map with numbers as keys; p NULL = not there. */
static bool find(struct stamp_slice map, uint32_t key, struct stamp_slice *value)
{
    struct stamp_cbor c;
    uint32_t n;

    *value = (struct stamp_slice){NULL, 0};
    stamp_cbor_init(&c, map.p, map.len);
    for (n = stamp_cbor_expect(&c, STAMP_CBOR_MAP); n > 0 && c.err == STAMP_OK; n--) {
        uint32_t k = stamp_cbor_expect(&c, STAMP_CBOR_UINT);
        struct stamp_slice v = stamp_cbor_skip(&c);

        if (k == key) {
            *value = v;
        }
    }
    return c.err == STAMP_OK && c.left == 0;
}

/* ---- barcodes ---- */

struct key_texts {
    bool have;
    char hash[65];
    char base64[STAMP_DPP_KEY_LEN + 1];
};

static bool append(char *out, size_t *len, const void *p, size_t n)
{
    if (n > STAMP_MAX_PAYLOAD - *len) {
        return false;
    }
    memcpy(out + *len, p, n);
    *len += n;
    out[*len] = '\0';
    return true;
}

/* @param secret  set where the proof is a part */
static bool join(struct stamp_cbor *c, const struct key_texts *key,
                 struct stamp_slice pop, char out[STAMP_MAX_PAYLOAD + 1], size_t *len,
                 bool *secret)
{
    bool ok = true;

    *len = 0;
    *secret = false;
    out[0] = '\0';
    for (uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY); n > 0 && ok; n--) {
        struct stamp_slice text = pop;
        uint32_t part = STAMP_PART_POP;

        if (stamp_cbor_peek(c) == STAMP_CBOR_TEXT) {
            text = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_MAX_PAYLOAD);
        } else {
            part = stamp_cbor_uint(c, STAMP_PART_BASE64);
            *secret |= part == STAMP_PART_POP;
        }
        ok = c->err == STAMP_OK && (part == STAMP_PART_POP || key->have) &&
             (part == STAMP_PART_HASH ? append(out, len, key->hash, 64)
              : part == STAMP_PART_BASE64
                  ? append(out, len, key->base64, STAMP_DPP_KEY_LEN)
                  : append(out, len, text.p, text.len));
    }
    return ok;
}

static enum stamp_err key_texts(const struct stamp_evidence *e, struct key_texts *key,
                                struct stamp_error *err)
{
    key->have = e->has_point;
    return key->have ? stampi_offer_key(e->point, key->hash, key->base64, err) : STAMP_OK;
}

static bool get_barcode(struct stamp_cbor *c, const struct key_texts *key,
                        struct stamp_slice pop, struct stamp_barcode *b,
                        char out[STAMP_MAX_PAYLOAD + 1], bool *secret)
{
    size_t len;

    stamp_cbor_want(c, STAMP_CBOR_ARRAY, 3);
    b->symbology = (uint8_t)stamp_cbor_uint(c, STAMP_CODE128);
    b->name = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, 32);
    if (!join(c, key, pop, out, &len, secret)) {
        return false;
    }
    b->payload = (struct stamp_slice){(const uint8_t *)out, len};
    return true;
}

enum stamp_err
stamp_offer_barcode(struct stamp_slice offer, const struct stamp_evidence *evidence,
                    struct stamp_slice pop, size_t n, struct stamp_barcode *barcode,
                    char payload[STAMP_MAX_PAYLOAD + 1], struct stamp_error *err)
{
    struct key_texts key;
    struct stamp_slice list;
    struct stamp_cbor c;
    bool secret;
    uint32_t count;
    enum stamp_err rc = key_texts(evidence, &key, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (!find(offer, STAMP_OFFER_BARCODES, &list)) {
        return malformed(err);
    }
    if (list.p == NULL) {
        return STAMP_E_MISSING;
    }
    stamp_cbor_init(&c, list.p, list.len);
    count = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    if (n >= count) {
        return STAMP_E_MISSING;
    }
    for (size_t i = 0; i <= n; i++) {
        if (!get_barcode(&c, &key, pop, barcode, payload, &secret)) {
            return malformed(err);
        }
    }
    return STAMP_OK;
}

/* ---- claims ---- */

struct claims {
    struct stamp_cbor_out o;
    uint32_t count;
};

static void put_raw(struct claims *c, uint32_t key, struct stamp_slice value)
{
    stamp_cbor_put_head(&c->o, STAMP_CBOR_UINT, key);
    stamp_cbor_put_raw(&c->o, value.p, value.len);
    c->count++;
}

static void put_point(struct claims *c, const uint8_t point[STAMP_POINT_SIZE])
{
    stamp_cbor_put_head(&c->o, STAMP_CBOR_UINT, STAMP_PROVISIONING_KEY);
    stamp_cbor_put_head(&c->o, STAMP_CBOR_ARRAY, 3);
    stamp_cbor_put_head(&c->o, STAMP_CBOR_UINT, STAMP_PROVISIONING_OWN);
    stamp_cbor_put_head(&c->o, STAMP_CBOR_UINT, STAMP_P256);
    stamp_cbor_put_string(&c->o, STAMP_CBOR_BYTES, point, STAMP_POINT_SIZE);
    c->count++;
}

/* Those without the proof. @param n_secret  how many have it */
static bool put_public(struct claims *c, struct stamp_slice list,
                       const struct key_texts *key, uint32_t *n_secret)
{
    static const struct stamp_slice nothing = {(const uint8_t *)"", 0};
    char payload[STAMP_MAX_PAYLOAD + 1];
    struct stamp_barcode b;
    struct stamp_cbor in;
    uint32_t total;
    bool secret;

    *n_secret = 0;
    for (int pass = 0; pass < 2; pass++) {
        stamp_cbor_init(&in, list.p, list.len);
        total = stamp_cbor_expect(&in, STAMP_CBOR_ARRAY);
        if (total == 0 || total > STAMP_MAX_BARCODES) {
            return false;
        }
        if (pass == 1 && *n_secret < total) {
            stamp_cbor_put_head(&c->o, STAMP_CBOR_UINT, STAMP_BARCODES);
            stamp_cbor_put_head(&c->o, STAMP_CBOR_ARRAY, total - *n_secret);
            c->count++;
        }
        for (uint32_t i = 0; i < total; i++) {
            if (!get_barcode(&in, key, nothing, &b, payload, &secret)) {
                return false;
            }
            if (pass == 0) {
                *n_secret += secret;
            } else if (!secret) {
                stamp_cbor_put_head(&c->o, STAMP_CBOR_ARRAY, 3);
                stamp_cbor_put_head(&c->o, STAMP_CBOR_UINT, b.symbology);
                stamp_cbor_put_string(&c->o, STAMP_CBOR_TEXT, b.name.p, b.name.len);
                stamp_cbor_put_string(&c->o, STAMP_CBOR_TEXT, b.payload.p, b.payload.len);
            }
        }
    }
    return true;
}

/* Did the unit make what it was asked to make, and nothing else? */
static bool made_as_asked(const struct stamp_evidence *e, bool own, bool pop,
                          uint32_t n_secret)
{
    return e->has_point == own && e->has_commitment[1] == own &&
           e->has_commitment[0] == pop && e->has_commitment[2] == (n_secret > 0);
}

enum stamp_err stamp_offer_claims(struct stamp_slice offer,
                                  const struct stamp_evidence *evidence, uint8_t *out,
                                  size_t *len, struct stamp_error *err)
{
    struct stamp_slice claims;
    struct stamp_slice pop;
    struct stamp_slice own;
    struct stamp_slice list;
    struct stamp_slice show;
    struct stamp_slice v;
    struct key_texts key;
    struct claims c = {.count = 0};
    uint32_t n_secret = 0;
    enum stamp_err rc = key_texts(evidence, &key, err);

    *len = 0;
    if (rc != STAMP_OK) {
        return rc;
    }
    if (!find(offer, STAMP_OFFER_CLAIMS, &claims) || claims.p == NULL ||
        !find(offer, STAMP_OFFER_POP, &pop) || !find(offer, STAMP_OFFER_OWN_KEY, &own) ||
        !find(offer, STAMP_OFFER_BARCODES, &list) ||
        !find(offer, STAMP_OFFER_SHOW, &show)) {
        return malformed(err);
    }
    stamp_cbor_out_init(&c.o, out, STAMP_CLAIMS_MAX);
    stamp_cbor_put_head(&c.o, STAMP_CBOR_MAP, 0);
    for (uint32_t k = 1; k < STAMP_KEY_SECRET_FIRST; k++) {
        if (!find(claims, k, &v)) {
            return malformed(err);
        }
        if (k == STAMP_PROVISIONING_KEY && own.p != NULL) {
            put_point(&c, evidence->point);
        } else if (k == STAMP_BARCODES && list.p != NULL) {
            if (!put_public(&c, list, &key, &n_secret)) {
                return malformed(err);
            }
        } else if (k == STAMP_POP_SHOWN && show.p != NULL) {
            put_raw(&c, k, show);
        } else if (v.p != NULL) {
            put_raw(&c, k, v);
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (evidence->has_commitment[i]) {
            stamp_cbor_put_head(&c.o, STAMP_CBOR_UINT, STAMP_POP + i);
            stamp_cbor_put_string(&c.o, STAMP_CBOR_BYTES, evidence->commitment[i], 32);
            c.count++;
        }
    }
    if (!made_as_asked(evidence, own.p != NULL, pop.p != NULL, n_secret)) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the unit made other secrets than it was asked to make");
    }
    if (!stamp_cbor_out_ok(&c.o) || c.count >= 24) {
        return malformed(err);
    }
    out[0] = (uint8_t)(STAMP_CBOR_MAP << 5 | c.count);
    *len = c.o.len;
    return STAMP_OK;
}
