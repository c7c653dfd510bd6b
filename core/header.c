/* Writing a region header; reading it is in part.c, so that a reader carries none of
 * this. */
#include <string.h>

#include "core/bytes.h"
#include "core/crc32.h"
#include "core/part.h"

void stamp_header_encode(const struct stamp_header *h, uint8_t out[STAMP_HEADER_SIZE])
{
    memset(out, 0, STAMP_HEADER_SIZE);
    stamp_put_u32(out, STAMP_MAGIC);
    out[4] = STAMP_VERSION;
    out[5] = h->kind;
    out[6] = h->flags;
    stamp_put_u32(out + 8, h->seq);
    stamp_put_u32(out + 12, h->body_len);
    memcpy(out + 16, h->salt, sizeof h->salt);
    stamp_put_u32(out + 32, h->birth_size);
    stamp_put_u32(out + 36, h->bank_size);
    stamp_put_u32(out + 40, h->body_crc);
    stamp_put_u32(out + 60, stamp_crc32(0, out, 60));
}

void stamp_put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}
