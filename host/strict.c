#include "host/strict.h"

#include <string.h>

#include "core/stamp.h"

#define LEVELS (STAMP_CBOR_DEPTH + 1) /* those of an item, and the map around them */

/* Bytewise order of two encodings: a shorter one that the other begins with is less. */
static bool ascends(struct stamp_slice a, struct stamp_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.p, b.p, n);

    return order < 0 || (order == 0 && a.len < b.len);
}

static bool check_item(struct stamp_cbor *c, unsigned depth);

static bool check_array(struct stamp_cbor *c, unsigned depth)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);

    for (uint32_t i = 0; i < n; i++) {
        if (!check_item(c, depth)) {
            return false;
        }
    }
    return c->err == STAMP_OK;
}

static bool check_map(struct stamp_cbor *c, unsigned depth)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_MAP);
    struct stamp_slice last = {NULL, 0};

    for (uint32_t i = 0; i < n; i++) {
        struct stamp_slice key = {c->p, c->left};

        if (!check_item(c, depth)) {
            return false;
        }
        key.len -= c->left;
        if ((i > 0 && !ascends(last, key)) || !check_item(c, depth)) {
            return false;
        }
        last = key;
    }
    return c->err == STAMP_OK;
}

/* Goes down at most LEVELS levels. */
static bool check_item(struct stamp_cbor *c, unsigned depth)
{
    struct stamp_slice s;
    int type = stamp_cbor_peek(c);

    switch (type) {
    case STAMP_CBOR_ARRAY:
        return depth < LEVELS && check_array(c, depth + 1);
    case STAMP_CBOR_MAP:
        return depth < LEVELS && check_map(c, depth + 1);
    case STAMP_CBOR_TEXT:
        s = stamp_cbor_string(c, STAMP_CBOR_TEXT, 0, UINT32_MAX);
        return c->err == STAMP_OK && stamp_text_ok(s.p, s.len, true);
    default:
        (void)stamp_cbor_skip(c);
        return c->err == STAMP_OK;
    }
}

bool stamp_strict_cbor(struct stamp_slice in)
{
    struct stamp_cbor c;

    stamp_cbor_init(&c, in.p, in.len);
    return check_item(&c, 0) && c.left == 0;
}
