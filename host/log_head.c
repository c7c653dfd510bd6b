#include "host/log_head.h"

#include <string.h>

#include "core/keys.h"
#include "host/key.h"
#include "host/sig.h"

/* SPEC 18-8. */
enum key { VERSION = 1, ID = 2, PURPOSE = 3, SIZE = 4, ROOT = 5, AT = 6, KEYS = 6 };

#define PAYLOAD_MAX 160u
#define SIZE_LEN 8u

static void put_key(struct stamp_cbor_out *o, enum key key)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
}

static size_t payload_of(const struct stamp_log_head *h, uint8_t out[PAYLOAD_MAX])
{
    uint8_t size[SIZE_LEN];
    struct stamp_cbor_out o;

    for (unsigned i = 0; i < SIZE_LEN; i++) {
        size[i] = (uint8_t)(h->size >> (56u - 8u * i));
    }
    stamp_cbor_out_init(&o, out, PAYLOAD_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, KEYS);
    put_key(&o, VERSION);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 1);
    put_key(&o, ID);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, h->id, sizeof h->id);
    put_key(&o, PURPOSE);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, h->purpose);
    put_key(&o, SIZE);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, size, sizeof size);
    put_key(&o, ROOT);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, h->root, sizeof h->root);
    put_key(&o, AT);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, (uint32_t)h->at);
    return o.len;
}

static enum stamp_err id_of(EVP_PKEY *key, uint8_t id[STAMP_LOG_ID_SIZE],
                            struct stamp_error *err)
{
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_key_point(key, point, err);

    return rc == STAMP_OK ? stamp_key_hash(point, id, err) : rc;
}

enum stamp_err stamp_log_head_sign(const struct stamp_log_signer *s,
                                   struct stamp_log_head *head, struct stamp_error *err)
{
    uint8_t payload[PAYLOAD_MAX];
    uint8_t sig[STAMP_SIG_SIZE];
    struct stamp_cbor_out o;
    size_t len;
    enum stamp_err rc = id_of(s->key, head->id, err);

    head->purpose = s->purpose;
    len = payload_of(head, payload);
    if (rc == STAMP_OK) {
        rc = stamp_sig_make(s->key, STAMP_LABEL_LOG, payload, len, sig, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_cbor_out_init(&o, head->bytes, sizeof head->bytes);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, payload, len);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, sig, sizeof sig);
    head->len = o.len;
    return STAMP_OK;
}

static bool read_payload(struct stamp_slice in, struct stamp_log_head *h)
{
    struct stamp_cbor c;
    struct stamp_slice v;

    stamp_cbor_init(&c, in.p, in.len);
    stamp_cbor_want(&c, STAMP_CBOR_MAP, KEYS);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, VERSION);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, 1);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, ID);
    v = stamp_cbor_string(&c, STAMP_CBOR_BYTES, sizeof h->id, sizeof h->id);
    if (c.err == STAMP_OK) {
        memcpy(h->id, v.p, v.len);
    }
    stamp_cbor_want(&c, STAMP_CBOR_UINT, PURPOSE);
    h->purpose = (uint8_t)stamp_cbor_uint(&c, STAMP_PRODUCTION);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, SIZE);
    v = stamp_cbor_string(&c, STAMP_CBOR_BYTES, SIZE_LEN, SIZE_LEN);
    for (size_t i = 0; i < SIZE_LEN && c.err == STAMP_OK; i++) {
        h->size = h->size << 8 | v.p[i];
    }
    stamp_cbor_want(&c, STAMP_CBOR_UINT, ROOT);
    v = stamp_cbor_string(&c, STAMP_CBOR_BYTES, sizeof h->root, sizeof h->root);
    if (c.err == STAMP_OK) {
        memcpy(h->root, v.p, v.len);
    }
    stamp_cbor_want(&c, STAMP_CBOR_UINT, AT);
    h->at = (time_t)stamp_cbor_uint(&c, UINT32_MAX);
    return c.err == STAMP_OK && c.left == 0 && h->size <= INT64_MAX;
}

/* The payload and the signature. */
static bool open_head(const uint8_t *p, size_t len, struct stamp_slice *payload,
                      struct stamp_slice *sig)
{
    struct stamp_cbor c;

    stamp_cbor_init(&c, p, len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 2);
    *payload = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, PAYLOAD_MAX);
    *sig = stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SIG_SIZE, STAMP_SIG_SIZE);
    return c.err == STAMP_OK && c.left == 0;
}

enum stamp_err stamp_log_head_read(struct stamp_slice in, struct stamp_log_head *out,
                                   struct stamp_error *err)
{
    struct stamp_slice payload;
    struct stamp_slice sig;

    memset(out, 0, sizeof *out);
    if (in.len > sizeof out->bytes || !open_head(in.p, in.len, &payload, &sig) ||
        !read_payload(payload, out)) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "that is no head of a log");
    }
    memcpy(out->bytes, in.p, in.len);
    out->len = in.len;
    return STAMP_OK;
}

enum stamp_err stamp_log_head_check(const struct stamp_log_head *head, EVP_PKEY *key,
                                    struct stamp_error *err)
{
    uint8_t id[STAMP_LOG_ID_SIZE];
    struct stamp_slice payload;
    struct stamp_slice sig;
    enum stamp_err rc = id_of(key, id, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (memcmp(id, head->id, sizeof id) != 0 ||
        !open_head(head->bytes, head->len, &payload, &sig)) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "the head is of another log");
    }
    return stamp_sig_check(key, STAMP_LABEL_LOG, payload.p, payload.len, sig.p, err);
}
