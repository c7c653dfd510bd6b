#include "host/unit_request.h"

#include <string.h>

#include "core/keys.h"

/* SPEC 17-2. */
enum key {
    VERSION = 1,
    STATION = 2,
    ORDER = 3,
    INDEX = 4,
    POINT = 5,
    DIGEST = 6,
    NOT_BEFORE = 7,
    PROVISIONING = 8
};

static void put_bytes(struct stamp_cbor_out *o, enum key key, const void *p, size_t len)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, p, len);
}

static void put_number(struct stamp_cbor_out *o, enum key key, uint32_t n)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, n);
}

void stamp_unit_request_payload(const struct stamp_unit_request *u, uint8_t *out,
                                size_t *len)
{
    struct stamp_cbor_out o;

    stamp_cbor_out_init(&o, out, STAMP_UNIT_PAYLOAD_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, u->has_provisioning ? 8 : 7);
    put_number(&o, VERSION, 1);
    put_bytes(&o, STATION, u->station, sizeof u->station);
    put_bytes(&o, ORDER, u->order, sizeof u->order);
    put_number(&o, INDEX, u->index);
    put_bytes(&o, POINT, u->point, sizeof u->point);
    put_bytes(&o, DIGEST, u->digest, sizeof u->digest);
    put_number(&o, NOT_BEFORE, (uint32_t)u->not_before);
    if (u->has_provisioning) {
        put_bytes(&o, PROVISIONING, u->provisioning, sizeof u->provisioning);
    }
    *len = o.len;
}

enum stamp_err stamp_unit_request_digest(const struct stamp_unit_request *u,
                                         uint8_t digest[32], struct stamp_error *err)
{
    uint8_t payload[STAMP_UNIT_PAYLOAD_MAX];
    size_t len;

    stamp_unit_request_payload(u, payload, &len);
    return stamp_sig_digest(STAMP_LABEL_UNIT, payload, len, digest, err);
}

void stamp_unit_request_encode(const struct stamp_unit_request *u,
                               const uint8_t sig[STAMP_SIG_SIZE], uint8_t *out,
                               size_t *len)
{
    uint8_t payload[STAMP_UNIT_PAYLOAD_MAX];
    struct stamp_cbor_out o;
    size_t n;

    stamp_unit_request_payload(u, payload, &n);
    stamp_cbor_out_init(&o, out, STAMP_UNIT_REQUEST_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, payload, n);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, sig, STAMP_SIG_SIZE);
    *len = o.len;
}

static void take(struct stamp_cbor *c, enum key key, void *to, size_t len)
{
    struct stamp_slice v;

    stamp_cbor_want(c, STAMP_CBOR_UINT, key);
    v = stamp_cbor_string(c, STAMP_CBOR_BYTES, len, len);
    if (c->err == STAMP_OK) {
        memcpy(to, v.p, len);
    }
}

static uint32_t take_number(struct stamp_cbor *c, enum key key)
{
    stamp_cbor_want(c, STAMP_CBOR_UINT, key);
    return stamp_cbor_uint(c, UINT32_MAX);
}

static enum stamp_err malformed(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0, "this is no request of a station");
}

static enum stamp_err decode_payload(struct stamp_slice in, struct stamp_unit_request *u,
                                     struct stamp_error *err)
{
    struct stamp_cbor c;
    uint32_t pairs;

    stamp_cbor_init(&c, in.p, in.len);
    pairs = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    if (take_number(&c, VERSION) != 1 && c.err == STAMP_OK) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "this request was made by a newer program");
    }
    take(&c, STATION, u->station, sizeof u->station);
    take(&c, ORDER, u->order, sizeof u->order);
    u->index = take_number(&c, INDEX);
    take(&c, POINT, u->point, sizeof u->point);
    take(&c, DIGEST, u->digest, sizeof u->digest);
    u->not_before = take_number(&c, NOT_BEFORE);
    u->has_provisioning = pairs == PROVISIONING;
    if (u->has_provisioning) {
        take(&c, PROVISIONING, u->provisioning, sizeof u->provisioning);
    }
    return c.err == STAMP_OK && c.left == 0 &&
                   (pairs == PROVISIONING || pairs == PROVISIONING - 1)
               ? STAMP_OK
               : malformed(err);
}

enum stamp_err stamp_unit_request_decode(struct stamp_slice in,
                                         struct stamp_unit_request *u,
                                         uint8_t sig[STAMP_SIG_SIZE],
                                         struct stamp_error *err)
{
    struct stamp_slice payload;
    struct stamp_slice s;
    struct stamp_cbor c;

    memset(u, 0, sizeof *u);
    stamp_cbor_init(&c, in.p, in.len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 2);
    payload = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_UNIT_PAYLOAD_MAX);
    s = stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SIG_SIZE, STAMP_SIG_SIZE);
    if (c.err != STAMP_OK || c.left != 0) {
        return malformed(err);
    }
    memcpy(sig, s.p, STAMP_SIG_SIZE);
    return decode_payload(payload, u, err);
}

enum stamp_err stamp_unit_request_check(const struct stamp_unit_request *u, EVP_PKEY *key,
                                        const uint8_t sig[STAMP_SIG_SIZE],
                                        struct stamp_error *err)
{
    uint8_t payload[STAMP_UNIT_PAYLOAD_MAX];
    size_t len;

    stamp_unit_request_payload(u, payload, &len);
    return stamp_sig_check(key, STAMP_LABEL_UNIT, payload, len, sig, err);
}
