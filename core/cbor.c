/* Reading CBOR. Writing is in cbor_out.c, so that a reader carries none of it. */
#include "core/cbor.h"

enum stamp_err stamp_cbor_head(const uint8_t *p, size_t len, struct stamp_cbor_head *h)
{
    unsigned type;
    unsigned n = 0; /* bytes of the argument behind the first one */
    uint32_t arg;

    if (len == 0) {
        return STAMP_E_FORMAT;
    }
    type = p[0] >> 5;
    arg = p[0] & 31u;
    if (type == 6 || arg > 26) { /* tags, 64-bit, reserved, indefinite */
        return STAMP_E_FORMAT;
    }
    if (type == STAMP_CBOR_SIMPLE) {
        if (arg != 20 && arg != 21) { /* only false and true */
            return STAMP_E_FORMAT;
        }
    } else if (arg >= 24) {
        n = 1u << (arg - 24u);
        if (len <= n) {
            return STAMP_E_FORMAT;
        }
        arg = 0;
        for (unsigned i = 1; i <= n; i++) {
            arg = arg << 8 | p[i];
        }
        /* shortest form: the value needs more than half of the bytes it takes */
        if (n == 1 ? arg < 24 : arg >> (4u * n) == 0) {
            return STAMP_E_FORMAT;
        }
    }
    h->type = (uint8_t)type;
    h->size = (uint8_t)(1u + n);
    h->arg = arg;
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

void stamp_cbor_want(struct stamp_cbor *c, enum stamp_cbor_type type, uint32_t arg)
{
    if (stamp_cbor_expect(c, type) != arg) {
        fail(c);
    }
}

/* The next bytes. */
static struct stamp_slice take(struct stamp_cbor *c, uint32_t len)
{
    struct stamp_slice s = {NULL, 0};

    if (len > c->left) {
        fail(c);
    } else if (c->err == STAMP_OK) {
        s.p = c->p;
        s.len = len;
        advance(c, len);
    }
    return s;
}

struct stamp_slice stamp_cbor_string(struct stamp_cbor *c, enum stamp_cbor_type type,
                                     size_t min, size_t max)
{
    uint32_t len = stamp_cbor_expect(c, type);

    if (len < min || len > max) {
        fail(c);
    }
    return take(c, len);
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

struct stamp_slice stamp_cbor_skip(struct stamp_cbor *c)
{
    struct stamp_slice s = {c->p, c->left};
    size_t owed[STAMP_CBOR_DEPTH + 1]; /* items still to come at each level */
    unsigned depth = 0;

    owed[0] = 1;
    do {
        int type = stamp_cbor_peek(c);
        uint32_t n = stamp_cbor_expect(c, (enum stamp_cbor_type)type);

        owed[depth]--;
        if (type == STAMP_CBOR_BYTES || type == STAMP_CBOR_TEXT) {
            (void)take(c, n);
        } else if (type == STAMP_CBOR_ARRAY || type == STAMP_CBOR_MAP) {
            /* each item takes a byte at least, so a count beyond what is left is a lie */
            if (n > c->left || depth == STAMP_CBOR_DEPTH) {
                fail(c);
            } else {
                owed[++depth] = (size_t)n << (type == STAMP_CBOR_MAP ? 1 : 0);
            }
        }
        while (owed[depth] == 0 && depth > 0) {
            depth--;
        }
    } while (owed[depth] > 0 && c->err == STAMP_OK);
    if (c->err != STAMP_OK) {
        return (struct stamp_slice){NULL, 0};
    }
    s.len -= c->left;
    return s;
}
