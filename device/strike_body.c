/* The birth stamp of a strike: what was offered, what the device made, and the
 * certificates, in the order that SPEC 4-1 asks for. */
#include <string.h>

#include "device/strike_i.h"

enum { MAP_SHORT = 24 }; /* a map of fewer items has a head of one byte */

struct body {
    struct stampi_call *c;
    const struct stampi_offer *offer;
    const uint8_t *point; /* NULL: no pair of its own */
    bool whole;
    struct stamp_cbor_out o;
};

/* Into the body as it is in the pending bank; not there is no error. */
static enum stamp_err put_pending(struct body *b, uint32_t key)
{
    const struct stamp_device *dev = b->c->a->cfg.dev;
    struct stamp_slice v;
    enum stamp_err rc = stampi_find(dev, STAMPI_PENDING, key, &v);

    if (rc == STAMP_OK) {
        stamp_cbor_put_raw(&b->o, v.p, v.len);
    }
    stampi_done(dev);
    return rc == STAMP_E_MISSING ? STAMP_OK : rc;
}

/* The value of one item; nothing where there is none. */
static enum stamp_err put_value(struct body *b, uint32_t key)
{
    const struct stamp_strike *s = stampi_strike_of(b->c);
    struct stamp_slice none = {NULL, 0};
    struct stamp_slice v;
    enum stamp_err rc = STAMP_OK;

    if (key == STAMP_PROVISIONING_KEY && b->point != NULL) {
        stamp_cbor_put_head(&b->o, STAMP_CBOR_ARRAY, 3);
        stamp_cbor_put_head(&b->o, STAMP_CBOR_UINT, STAMP_PROVISIONING_OWN);
        stamp_cbor_put_head(&b->o, STAMP_CBOR_UINT, STAMP_P256);
        stamp_cbor_put_string(&b->o, STAMP_CBOR_BYTES, b->point, STAMP_POINT_SIZE);
    } else if (key == STAMP_BARCODES && b->offer->barcodes.p != NULL) {
        /* secret ones are measured here as if the proof were empty */
        if (b->offer->alphabet.p != NULL) {
            none.p = s->buf;
        }
        rc = stampi_put_barcodes(&b->o, b->offer->barcodes, false, none, b->point);
    } else if (key == STAMP_POP_SHOWN) {
        if (b->offer->show) {
            stamp_cbor_put_head(&b->o, STAMP_CBOR_SIMPLE, 21);
        }
    } else if (key < STAMP_KEY_SECRET_FIRST) {
        rc = stampi_map_find(b->offer->claims, key, &v);
        stamp_cbor_put_raw(&b->o, v.p, v.len);
        rc = rc == STAMP_E_MISSING ? STAMP_OK : rc;
    } else if (key == STAMP_CERTIFICATES) {
        if (b->whole) {
            stamp_cbor_put_raw(&b->o, s->buf + s->len[STAMP_PUT_OFFER],
                               s->len[STAMP_PUT_CERTIFICATES]);
        }
    } else if (key < STAMP_OFFER) {
        rc = put_pending(b, key);
    }
    return rc;
}

static enum stamp_err put_all(struct body *b)
{
    size_t start = b->o.len;
    uint32_t count = 0;
    enum stamp_err rc = STAMP_OK;

    stamp_cbor_put_head(&b->o, STAMP_CBOR_MAP, 0);
    for (uint32_t key = 1; key <= STAMP_KEY_LAST && rc == STAMP_OK; key++) {
        size_t at = b->o.len;
        size_t value;

        stamp_cbor_put_head(&b->o, STAMP_CBOR_UINT, key);
        value = b->o.len;
        rc = put_value(b, key);
        if (b->o.len == value) {
            b->o.len = at;
        } else {
            count++;
        }
    }
    if (rc == STAMP_OK && count >= MAP_SHORT) {
        rc = STAMP_E_FORMAT;
    }
    if (!stamp_cbor_out_ok(&b->o)) {
        return STAMP_E_SPACE;
    }
    b->o.p[start] = (uint8_t)(STAMP_CBOR_MAP << 5 | count);
    return rc;
}

enum stamp_err stampi_compose(struct stampi_call *c, const struct stampi_offer *offer,
                              bool whole, uint8_t point[STAMP_POINT_SIZE],
                              struct stamp_slice *body)
{
    struct body b = {.c = c,
                     .offer = offer,
                     .whole = whole,
                     .o = stampi_strike_room(stampi_strike_of(c))};
    psa_key_id_t id;
    enum stamp_err rc = STAMP_OK;
    size_t len;

    if (offer->own_key) {
        rc = stamp_key_load(c->a->cfg.dev, STAMPI_PENDING, STAMP_PROVISIONING_PRIVATE,
                            &id);
        if (rc == STAMP_OK &&
            psa_export_public_key(id, point, STAMP_POINT_SIZE, &len) != PSA_SUCCESS) {
            rc = STAMP_E_CRYPTO;
        }
        stamp_key_unload(id);
        b.point = point;
    }
    if (rc == STAMP_OK) {
        rc = put_all(&b);
    }
    body->p = b.o.p;
    body->len = b.o.len;
    return rc;
}
