#include "host/pieces.h"

#include <string.h>

enum {
    PUT_CHUNK = 200, /* with the other fields in a request of 256 bytes */
    PUT_STALLS = 8,  /* answers in a row that bring it no further */
    REQUEST_MAX = 2048,
};

enum stamp_err stampi_bad_answer(const struct stamp_smp_client *c, const char *why,
                                 struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0,
                           "the device on '%s' gave an answer that is not to the "
                           "specification: %s",
                           c->line.name, why);
}

bool stampi_reply_uint(const struct stamp_smp_reply *r, const char *key, uint32_t *out)
{
    struct stamp_cbor v;

    stamp_smp_field(r->body, r->len, key, &v);
    *out = stamp_cbor_uint(&v, UINT32_MAX);
    return v.err == STAMP_OK;
}

enum stamp_err stampi_ask(struct stamp_smp_client *c, enum stamp_smp_op op,
                          enum stamp_smp_id id, const struct stamp_smp_body *body,
                          struct stamp_smp_reply *r, struct stamp_error *err)
{
    uint32_t code;
    enum stamp_err rc =
        stamp_smp_request(c, op, STAMP_SMP_GROUP_STAMP, (uint8_t)id, body, r, err);

    if (rc == STAMP_E_DEVICE && stampi_reply_uint(r, "rc", &code) &&
        code == STAMP_RC_STATE) {
        return stamp_error_set(err, STAMP_E_STATE, STAMP_RC_STATE,
                               "the device on '%s' does not do this where it is now",
                               c->line.name);
    }
    return rc;
}

struct stamp_slice stampi_reply_bytes(const struct stamp_smp_reply *r, const char *key,
                                      size_t max)
{
    struct stamp_cbor v;
    struct stamp_slice s;

    stamp_smp_field(r->body, r->len, key, &v);
    s = stamp_cbor_string(&v, STAMP_CBOR_BYTES, 0, max);
    return v.err == STAMP_OK ? s : (struct stamp_slice){NULL, 0};
}

enum stamp_err stampi_pieces_put(struct stamp_smp_client *c, enum stamp_smp_id id,
                                 uint32_t what, struct stamp_slice bytes,
                                 struct stamp_error *err)
{
    uint32_t at = 0;
    int stalls = 0;

    while (at < bytes.len) {
        size_t n = bytes.len - at < PUT_CHUNK ? bytes.len - at : PUT_CHUNK;
        struct stamp_smp_body body;
        struct stamp_smp_reply r;
        uint32_t next;
        enum stamp_err rc;

        stamp_smp_body_init(&body, 4);
        stamp_smp_body_bytes(&body, "d", bytes.p + at, n);
        stamp_smp_body_uint(&body, "w", what);
        stamp_smp_body_uint(&body, "len", (uint32_t)bytes.len);
        stamp_smp_body_uint(&body, "off", at);
        rc = stampi_ask(c, STAMP_SMP_WRITE, id, &body, &r, err);
        if (rc != STAMP_OK) {
            return rc;
        }
        if (!stampi_reply_uint(&r, "off", &next) || next > bytes.len) {
            return stampi_bad_answer(c, "it does not say how far it is", err);
        }
        stalls = next > at ? 0 : stalls + 1;
        if (stalls > PUT_STALLS) {
            return stampi_bad_answer(c, "it takes nothing in", err);
        }
        at = next;
    }
    return STAMP_OK;
}

static enum stamp_err read_all(struct stamp_smp_client *c, enum stamp_smp_id id,
                               uint32_t len, struct stamp_buffer *request,
                               struct stamp_error *err)
{
    size_t have = 0;

    while (have < len) {
        struct stamp_smp_body body;
        struct stamp_smp_reply r;
        struct stamp_slice d;
        enum stamp_err rc;

        stamp_smp_body_init(&body, 1);
        stamp_smp_body_uint(&body, "off", (uint32_t)have);
        rc = stampi_ask(c, STAMP_SMP_READ, id, &body, &r, err);
        if (rc != STAMP_OK) {
            return rc;
        }
        d = stampi_reply_bytes(&r, "d", sizeof r.body);
        if (d.len == 0 || d.len > len - have) {
            return stampi_bad_answer(
                c, "a request for a certificate whose length changes", err);
        }
        memcpy(request->p + have, d.p, d.len);
        have += d.len;
    }
    return STAMP_OK;
}

enum stamp_err stampi_pieces_request(struct stamp_smp_client *c, enum stamp_smp_id make,
                                     enum stamp_smp_id read, const uint8_t challenge[32],
                                     struct stamp_buffer *request,
                                     struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    uint32_t len;
    enum stamp_err rc;

    *request = (struct stamp_buffer){0};
    stamp_smp_body_init(&body, 1);
    stamp_smp_body_bytes(&body, "n", challenge, 32);
    rc = stampi_ask(c, STAMP_SMP_WRITE, make, &body, &r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (!stampi_reply_uint(&r, "len", &len) || len == 0 || len > REQUEST_MAX) {
        return stampi_bad_answer(c, "a request for a certificate of no sensible length",
                                 err);
    }
    rc = stamp_buffer_new(request, len, 0, err);
    if (rc == STAMP_OK) {
        rc = read_all(c, read, len, request, err);
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(request);
    }
    return rc;
}
