/* Reading a trust bundle; apart from the codec of stamps, which a device does not link.
 * SPEC 8. */
#include <string.h>

#include "core/stamp.h"
#include "core/stamp_i.h"

static struct stamp_slice bytes(struct stamp_cbor *c, size_t min, size_t max)
{
    return stamp_cbor_string(c, STAMP_CBOR_BYTES, min, max);
}

static void get_payload(struct stamp_cbor *c, struct stamp_bundle *b)
{
    uint32_t more = stamp_cbor_expect(c, STAMP_CBOR_MAP) - 4; /* wraps where it is less */
    uint32_t n;

    stamp_cbor_want(c, STAMP_CBOR_UINT, STAMP_BUNDLE_VERSION);
    b->version = stamp_cbor_expect(c, STAMP_CBOR_UINT);
    stamp_cbor_want(c, STAMP_CBOR_UINT, STAMP_BUNDLE_PURPOSE);
    b->purpose = (uint8_t)stamp_cbor_uint(c, STAMP_PRODUCTION);
    stamp_cbor_want(c, STAMP_CBOR_UINT, STAMP_BUNDLE_ANCHORS);
    n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);
    for (b->n_anchors = 0; b->n_anchors < n && b->n_anchors < STAMP_MAX_CERTIFICATES;
         b->n_anchors++) {
        b->anchors[b->n_anchors] = bytes(c, 1, STAMP_MAX_CERTIFICATE);
    }
    if (b->n_anchors != n) {
        b->n_anchors = 0; /* too many */
    }
    stamp_cbor_want(c, STAMP_CBOR_UINT, STAMP_BUNDLE_OWNER);
    b->owner = bytes(c, STAMP_POINT_SIZE, STAMP_POINT_SIZE);
    for (; more > 0 && c->err == STAMP_OK; more--) { /* SPEC 8-7 */
        (void)stamp_cbor_expect(c, STAMP_CBOR_UINT);
        (void)stamp_cbor_skip(c);
    }
}

enum stamp_err stamp_bundle_decode(struct stamp_bundle *b, const void *in, size_t in_len)
{
    struct stamp_cbor c;
    struct stamp_cbor payload;

    stamp_cbor_init(&c, in, in_len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 4);
    b->protected_header = bytes(&c, 3, 3);
    stamp_cbor_want(&c, STAMP_CBOR_MAP, 0);
    b->payload = bytes(&c, 1, STAMP_MAX_BUNDLE);
    b->signature = bytes(&c, 64, 64);
    stamp_cbor_init(&payload, b->payload.p, b->payload.len);
    get_payload(&payload, b);
    if (in_len <= STAMP_MAX_BUNDLE && payload.err == STAMP_OK && payload.left == 0 &&
        c.err == STAMP_OK && c.left == 0 && b->version > 0 && b->n_anchors > 0 &&
        memcmp(b->protected_header.p, STAMP_ES256_HEADER, 3) == 0) {
        return STAMP_OK;
    }
    memset(b, 0, sizeof *b);
    return STAMP_E_FORMAT;
}

enum stamp_err stamp_bundle_recipient(const struct stamp_bundle *b,
                                      struct stamp_slice *point)
{
    struct stamp_cbor c;
    uint32_t last = 0;

    *point = (struct stamp_slice){NULL, 0};
    stamp_cbor_init(&c, b->payload.p, b->payload.len);
    for (uint32_t n = stamp_cbor_expect(&c, STAMP_CBOR_MAP); n > 0 && c.err == STAMP_OK;
         n--) {
        uint32_t key = stamp_cbor_expect(&c, STAMP_CBOR_UINT);

        if (key <= last) { /* SPEC 8-7 */
            return STAMP_E_FORMAT;
        }
        last = key;
        if (key == STAMP_BUNDLE_RECIPIENT) {
            *point = bytes(&c, STAMP_POINT_SIZE, STAMP_POINT_SIZE);
        } else {
            (void)stamp_cbor_skip(&c);
        }
    }
    return c.err != STAMP_OK ? c.err : point->p != NULL ? STAMP_OK : STAMP_E_MISSING;
}
