/* Reading an offer, and the barcodes that it asks for. SPEC 13-4 to 13-7. */
#include <string.h>

#include "device/chain_i.h"
#include "device/strike_i.h"

enum {
    SPKI_SIZE = 59, /* of a compressed point */
    SPKI_POINT = 26,
    ALPHABET_MAX = 64,
    POP_MIN = 4,
};

enum stamp_err stampi_map_find(struct stamp_slice map, uint32_t key,
                               struct stamp_slice *value)
{
    struct stamp_cbor c;
    struct stamp_slice v;
    enum stamp_err rc = STAMP_E_MISSING;
    uint32_t n;

    *value = (struct stamp_slice){NULL, 0};
    stamp_cbor_init(&c, map.p, map.len);
    for (n = stamp_cbor_expect(&c, STAMP_CBOR_MAP); n > 0 && c.err == STAMP_OK; n--) {
        uint32_t k = stamp_cbor_expect(&c, STAMP_CBOR_UINT);

        v = stamp_cbor_skip(&c);
        if (c.err == STAMP_OK && k == key) {
            *value = v;
            rc = STAMP_OK;
        }
    }
    return c.err != STAMP_OK || c.left != 0 ? STAMP_E_FORMAT : rc;
}

static bool is_true(struct stamp_slice v)
{
    return v.len == 1 && v.p[0] == 0xF5;
}

static enum stamp_err take_pop(struct stamp_slice v, struct stampi_offer *offer)
{
    struct stamp_cbor c;

    if (v.p == NULL) {
        return STAMP_OK;
    }
    stamp_cbor_init(&c, v.p, v.len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 2);
    offer->alphabet = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 2, ALPHABET_MAX);
    offer->pop_len = stamp_cbor_uint(&c, STAMP_MAX_TEXT);
    for (size_t i = 0; i < offer->alphabet.len; i++) {
        if (offer->alphabet.p[i] < 0x21 || offer->alphabet.p[i] > 0x7E) {
            return STAMP_E_FORMAT;
        }
    }
    return c.err != STAMP_OK || offer->pop_len < POP_MIN ? STAMP_E_FORMAT : STAMP_OK;
}

/* The offer's own bundle must be that of the owner whom this firmware knows; without a
 * pinned hash, of the one whom the offer names. */
static enum stamp_err check_owner(const struct stamp_port *port,
                                  struct stampi_offer *offer)
{
    static const uint8_t binding[STAMPI_BINDING_SHORT] = {0x30, 37, 0x0A, 1};
    struct stampi_identity who;
    mbedtls_x509_crt anchors;
    struct stamp_bundle b;
    struct stamp_slice v;
    enum stamp_err rc = stampi_map_find(offer->claims, STAMP_OWNER_KEY_HASH, &v);

    if (rc == STAMP_OK &&
        (v.len != 2 + STAMPI_HASH_SIZE ||
         (port->owner_key_hash != NULL &&
          memcmp(v.p + 2, port->owner_key_hash, STAMPI_HASH_SIZE) != 0))) {
        rc = STAMP_E_AUTH;
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    memset(&who, 0, sizeof who);
    memcpy(who.owner, v.p + 2, STAMPI_HASH_SIZE);
    rc = stampi_map_find(offer->claims, STAMP_PURPOSE, &v);
    if (rc == STAMP_OK) {
        who.purpose = v.p[0];
        memcpy(who.binding, binding, sizeof binding); /* of authorities: no digest */
        who.binding[STAMPI_BINDING_SHORT - 1] = who.purpose;
        rc = stampi_map_find(offer->claims, STAMP_TRUST_BUNDLE, &offer->bundle);
    }
    mbedtls_x509_crt_init(&anchors);
    if (rc == STAMP_OK) {
        rc = stampi_take_anchors(offer->bundle, NULL, &who, &anchors);
    }
    mbedtls_x509_crt_free(&anchors);
    if (rc == STAMP_OK) {
        rc = stamp_bundle_decode(&b, offer->bundle.p, offer->bundle.len);
    }
    if (rc == STAMP_OK &&
        stamp_bundle_recipient(&b, &offer->recipient) == STAMP_E_FORMAT) {
        rc = STAMP_E_FORMAT;
    }
    return rc;
}

enum stamp_err stampi_offer_take(struct stampi_call *c, struct stampi_offer *offer)
{
    const struct stamp_strike *s = stampi_strike_of(c);
    struct stamp_slice all = {s->buf, s->len[STAMP_PUT_OFFER]};
    struct stamp_slice v;
    psa_hash_operation_t op = PSA_HASH_OPERATION_INIT;
    enum stamp_err rc;
    size_t len;

    memset(offer, 0, sizeof *offer);
    if (all.len == 0) {
        return STAMP_E_STATE;
    }
    (void)psa_hash_setup(&op, PSA_ALG_SHA_256);
    stampi_hash(&op, STAMP_LABEL_OFFER, sizeof STAMP_LABEL_OFFER - 1);
    stampi_hash(&op, all.p, all.len);
    if (psa_hash_finish(&op, offer->digest, STAMPI_HASH_SIZE, &len) != PSA_SUCCESS) {
        return STAMP_E_CRYPTO;
    }
    rc = stampi_map_find(all, STAMP_OFFER_CLAIMS, &offer->claims);
    if (rc == STAMP_OK) {
        (void)stampi_map_find(all, STAMP_OFFER_OWN_KEY, &v);
        offer->own_key = is_true(v);
        (void)stampi_map_find(all, STAMP_OFFER_SHOW, &v);
        offer->show = is_true(v);
        (void)stampi_map_find(all, STAMP_OFFER_BARCODES, &offer->barcodes);
        (void)stampi_map_find(all, STAMP_OFFER_POP, &v);
        rc = take_pop(v, offer);
    }
    if (rc == STAMP_OK) {
        rc = check_owner(c->a->cfg.dev->port, offer);
    }
    /* a proof that is nobody's to know would be lost; one that the owner wants sealed is
     * not shown: SPEC 13-7 */
    if (rc == STAMP_OK &&
        (offer->alphabet.p != NULL ? offer->show == (offer->recipient.p != NULL)
                                   : offer->show)) {
        rc = STAMP_E_AUTH;
    }
    return rc;
}

/* ---- barcodes ---- */

/* DER SubjectPublicKeyInfo with the compressed point, as DPP has it. */
static void compress(const uint8_t *point, uint8_t spki[SPKI_SIZE])
{
    static const uint8_t head[SPKI_POINT] = {
        0x30, 0x39, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01,
        0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x22, 0x00};

    memcpy(spki, head, sizeof head);
    spki[SPKI_POINT] = 2u + (point[STAMP_POINT_SIZE - 1] & 1u);
    memcpy(spki + SPKI_POINT + 1, point + 1, STAMP_SCALAR_SIZE);
}

static void put_hex(struct stamp_cbor_out *o, const uint8_t hash[STAMPI_HASH_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < 2 * STAMPI_HASH_SIZE; i++) {
        unsigned digit = hash[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u;

        stamp_cbor_put_raw(o, &digits[digit], 1);
    }
}

/* 59 bytes, so one '=' ends them. */
static void put_base64(struct stamp_cbor_out *o, const uint8_t spki[SPKI_SIZE])
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (unsigned bit = 0; bit < 8 * SPKI_SIZE; bit += 6) {
        unsigned i = bit / 8;
        unsigned two = (unsigned)spki[i] << 8 | (i + 1 < SPKI_SIZE ? spki[i + 1] : 0u);

        stamp_cbor_put_raw(o, digits + (two >> (10 - bit % 8) & 63u), 1);
    }
    stamp_cbor_put_raw(o, "=", 1);
}

/* The text that parts make. @param has_pop  set where one of them is the proof */
static enum stamp_err put_parts(struct stamp_cbor_out *o, struct stamp_slice parts,
                                struct stamp_slice pop, const uint8_t *point,
                                bool *has_pop)
{
    uint8_t spki[SPKI_SIZE];
    uint8_t hash[STAMPI_HASH_SIZE] = {0};
    struct stamp_cbor c;
    uint32_t n;

    if (point != NULL) {
        compress(point, spki);
        (void)stampi_sha256(spki, sizeof spki, hash);
    }
    *has_pop = false;
    stamp_cbor_init(&c, parts.p, parts.len);
    for (n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY); n > 0; n--) {
        struct stamp_slice text = pop;
        uint32_t part = STAMP_PART_POP;

        if (stamp_cbor_peek(&c) == STAMP_CBOR_TEXT) {
            text = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 1, STAMP_MAX_PAYLOAD);
        } else {
            part = stamp_cbor_uint(&c, STAMP_PART_BASE64);
            *has_pop |= part == STAMP_PART_POP;
        }
        if (c.err != STAMP_OK || (part == STAMP_PART_POP ? text.p : point) == NULL) {
            return STAMP_E_FORMAT;
        }
        if (part == STAMP_PART_HASH) {
            put_hex(o, hash);
        } else if (part == STAMP_PART_BASE64) {
            put_base64(o, spki);
        } else {
            stamp_cbor_put_raw(o, text.p, text.len);
        }
    }
    return STAMP_OK;
}

enum stamp_err stampi_put_barcodes(struct stamp_cbor_out *o, struct stamp_slice barcodes,
                                   bool secret, struct stamp_slice pop,
                                   const uint8_t *point)
{
    struct stamp_cbor c;
    size_t head = o->len;
    uint32_t count = 0;
    uint32_t n;

    stamp_cbor_init(&c, barcodes.p, barcodes.len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 0);
    for (; n > 0; n--) {
        struct stamp_cbor_out measure = {NULL, 0, 0};
        struct stamp_slice parts;
        struct stamp_slice name;
        uint32_t symbology;
        bool has_pop;

        stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 3);
        symbology = stamp_cbor_uint(&c, STAMP_CODE128);
        name = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 1, 32);
        parts = stamp_cbor_skip(&c);
        if (c.err != STAMP_OK || count >= STAMP_MAX_BARCODES ||
            put_parts(&measure, parts, pop, point, &has_pop) != STAMP_OK) {
            return STAMP_E_FORMAT;
        }
        if (has_pop == secret) {
            count++;
            stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 3);
            stamp_cbor_put_head(o, STAMP_CBOR_UINT, symbology);
            stamp_cbor_put_string(o, STAMP_CBOR_TEXT, name.p, name.len);
            stamp_cbor_put_head(o, STAMP_CBOR_TEXT, (uint32_t)measure.len);
            (void)put_parts(o, parts, pop, point, &has_pop);
        }
    }
    if (count == 0) {
        o->len = head;
    } else if (head < o->size) {
        o->p[head] = (uint8_t)(STAMP_CBOR_ARRAY << 5 | count);
    }
    return c.left == 0 ? STAMP_OK : STAMP_E_FORMAT;
}
