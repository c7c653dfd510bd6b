/* Writing CBOR: heads in their shortest form, so what is written is deterministic as long
 * as the caller writes map keys in ascending order. */
#include <string.h>

#include "core/cbor.h"

size_t stamp_cbor_encode_head(uint8_t *p, enum stamp_cbor_type type, uint32_t arg)
{
    uint32_t info = arg;
    unsigned n = 0; /* bytes of the argument behind the first one */

    if (arg >= 24) {
        info = 24;
        for (n = 1; n < 4 && arg >> (8u * n) != 0; n *= 2u) {
            info++;
        }
    }
    p[0] = (uint8_t)((unsigned)type << 5 | info);
    for (unsigned i = n; i > 0; i--) {
        p[i] = (uint8_t)arg;
        arg >>= 8;
    }
    return 1u + n;
}

void stamp_cbor_out_init(struct stamp_cbor_out *o, void *p, size_t size)
{
    o->p = p;
    o->size = size;
    o->len = 0;
}

void stamp_cbor_put_raw(struct stamp_cbor_out *o, const void *p, size_t len)
{
    if (o->len <= o->size && len <= o->size - o->len && len > 0) {
        memcpy(o->p + o->len, p, len);
    }
    o->len += len;
}

void stamp_cbor_put_head(struct stamp_cbor_out *o, enum stamp_cbor_type type,
                         uint32_t arg)
{
    uint8_t head[STAMP_CBOR_HEAD_MAX];

    stamp_cbor_put_raw(o, head, stamp_cbor_encode_head(head, type, arg));
}

void stamp_cbor_put_string(struct stamp_cbor_out *o, enum stamp_cbor_type type,
                           const void *p, size_t len)
{
    stamp_cbor_put_head(o, type, (uint32_t)len);
    stamp_cbor_put_raw(o, p, len);
}

bool stamp_cbor_out_ok(const struct stamp_cbor_out *o)
{
    return o->len <= o->size;
}
