/* Reading CBOR. Writing is in cbor_out.c, so that a reader carries none of it. */
#include "core/cbor.h"

enum stamp_err stamp_cbor_head(const uint8_t *p, size_t len, struct stamp_cbor_head *h)
{
    uint8_t info;
    uint8_t n;

    if (len == 0) {
        return STAMP_E_FORMAT;
    }
    h->type = p[0] >> 5;
    info = p[0] & 31u;
    h->arg = info;
    h->size = 1;
    if (h->type == 6 || info > 26) { /* tags, 64-bit, reserved, indefinite */
        return STAMP_E_FORMAT;
    }
    if (h->type == STAMP_CBOR_SIMPLE) { /* only false and true */
        return info == 20 || info == 21 ? STAMP_OK : STAMP_E_FORMAT;
    }
    if (info < 24) {
        return STAMP_OK;
    }
    n = (uint8_t)(1u << (info - 24u));
    if (len <= n) {
        return STAMP_E_FORMAT;
    }
    h->arg = 0;
    h->size = (uint8_t)(1u + n);
    for (uint8_t i = 1; i <= n; i++) {
        h->arg = h->arg << 8 | p[i];
    }
    /* shortest form: the value needs more than half of the bytes it takes */
    if (n == 1 ? h->arg < 24 : h->arg >> (4u * n) == 0) {
        return STAMP_E_FORMAT;
    }
    return STAMP_OK;
}

void stamp_cbor_init(struct stamp_cbor *c, const void *p, size_t len)
{
    c->p = p;
    c->left = len;
    c->err = STAMP_OK;
}

static void fail(struct stamp_cbor *c)
{
    c->err = STAMP_E_FORMAT;
    c->left = 0;
}

static void advance(struct stamp_cbor *c, size_t n)
{
    c->p += n;
    c->left -= n;
}

int stamp_cbor_peek(const struct stamp_cbor *c)
{
    return c->err != STAMP_OK || c->left == 0 ? -1 : c->p[0] >> 5;
}

uint32_t stamp_cbor_expect(struct stamp_cbor *c, enum stamp_cbor_type type)
{
    struct stamp_cbor_head h;

    if (c->err != STAMP_OK || stamp_cbor_head(c->p, c->left, &h) != STAMP_OK ||
        h.type != (uint8_t)type) {
        fail(c);
        return 0;
    }
    advance(c, h.size);
    return h.arg;
}

struct stamp_slice stamp_cbor_string(struct stamp_cbor *c, enum stamp_cbor_type type,
                                     size_t min, size_t max)
{
    struct stamp_slice s = {NULL, 0};
    uint32_t len = stamp_cbor_expect(c, type);

    if (c->err != STAMP_OK || len < min || len > max || len > c->left) {
        fail(c);
        return s;
    }
    s.p = c->p;
    s.len = (size_t)len;
    advance(c, s.len);
    return s;
}

uint32_t stamp_cbor_uint(struct stamp_cbor *c, uint32_t max)
{
    uint32_t v = stamp_cbor_expect(c, STAMP_CBOR_UINT);

    if (v > max) {
        fail(c);
        return 0;
    }
    return v;
}

/* Consume one head and, of a string, its bytes. */
static bool step(struct stamp_cbor *c, struct stamp_cbor_head *h)
{
    if (stamp_cbor_head(c->p, c->left, h) != STAMP_OK) {
        return false;
    }
    advance(c, h->size);
    if (h->type == STAMP_CBOR_BYTES || h->type == STAMP_CBOR_TEXT) {
        if (h->arg > c->left) {
            return false;
        }
        advance(c, (size_t)h->arg);
    }
    return true;
}

struct stamp_slice stamp_cbor_skip(struct stamp_cbor *c)
{
    struct stamp_slice s = {c->p, c->left};
    size_t owed[STAMP_CBOR_DEPTH + 1]; /* items still to come at each level */
    unsigned depth = 0;
    struct stamp_cbor_head h;

    owed[0] = 1;
    for (;;) {
        if (c->err != STAMP_OK || !step(c, &h)) {
            goto bad;
        }
        owed[depth]--;
        if (h.type == STAMP_CBOR_ARRAY || h.type == STAMP_CBOR_MAP) {
            /* each item takes a byte at least, so a count beyond what is left is a lie */
            if (h.arg > c->left || depth == STAMP_CBOR_DEPTH) {
                goto bad;
            }
            owed[++depth] = (size_t)h.arg << (h.type == STAMP_CBOR_MAP ? 1 : 0);
        }
        while (owed[depth] == 0) {
            if (depth == 0) {
                s.len -= c->left;
                return s;
            }
            depth--;
        }
    }
bad:
    fail(c);
    s.p = NULL;
    s.len = 0;
    return s;
}
