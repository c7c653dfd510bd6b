#include "core/part.h"

#include <string.h>

#include "core/bytes.h"
#include "core/crc32.h"

#define CHUNK 32u /* bytes read at a time from flash that is not mapped */

uint32_t stamp_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

enum stamp_err stamp_flash_read(const struct stamp_flash *flash, uint32_t off, void *buf,
                                size_t len)
{
    if (flash->map != NULL) {
        memcpy(buf, flash->map + off, len);
        return STAMP_OK;
    }
    return flash->read(flash->ctx, off, buf, len) == 0 ? STAMP_OK : STAMP_E_FLASH;
}

void stamp_region_place(const struct stamp_flash *flash, enum stamp_which which,
                        uint32_t *off, uint32_t *size)
{
    *off = 0;
    *size = flash->birth_size;
    if (which != STAMP_BIRTH) {
        *off = flash->birth_size + (which == STAMP_BANK_B ? flash->bank_size : 0);
        *size = flash->bank_size;
    }
}

enum stamp_err stamp_header_decode(const uint8_t in[STAMP_HEADER_SIZE],
                                   struct stamp_header *h)
{
    if (stamp_get_u32(in) != STAMP_MAGIC ||
        stamp_get_u32(in + 60) != stamp_crc32(0, in, 60)) {
        return STAMP_E_CORRUPT;
    }
    if (in[4] != STAMP_VERSION) {
        return STAMP_E_VERSION;
    }
    h->kind = in[5];
    h->flags = in[6];
    h->seq = stamp_get_u32(in + 8);
    h->body_len = stamp_get_u32(in + 12);
    memcpy(h->salt, in + 16, sizeof h->salt);
    h->birth_size = stamp_get_u32(in + 32);
    h->bank_size = stamp_get_u32(in + 36);
    h->body_crc = stamp_get_u32(in + 40);
    return STAMP_OK;
}

static bool is_erased(const struct stamp_flash *flash, const uint8_t *p, size_t len)
{
    while (len > 0 && p[len - 1] == flash->erased) {
        len--;
    }
    return len == 0;
}

/* The header fits its place: right kind, known flags, and lengths inside the region. */
static bool header_fits(const struct stamp_flash *flash, const struct stamp_header *h,
                        const struct stamp_region *r)
{
    bool birth = r->off == 0;
    uint32_t room = r->size - STAMP_BODY_OFFSET - (birth ? 0u : STAMP_SIGNATURE_SIZE);

    return (birth ? h->kind == STAMP_KIND_BIRTH && h->seq == 0
                  : h->kind != STAMP_KIND_BIRTH && h->seq != 0) &&
           h->flags <= STAMP_FLAG_ENCRYPTED && h->birth_size == flash->birth_size &&
           h->bank_size == flash->bank_size && h->body_len <= room;
}

static enum stamp_err crc_of(const struct stamp_flash *flash, uint32_t off, uint32_t len,
                             uint32_t *crc)
{
    uint8_t buf[CHUNK];
    uint32_t n;

    *crc = 0;
    for (; len > 0; off += n, len -= n) {
        n = len < CHUNK ? len : CHUNK;
        if (stamp_flash_read(flash, off, buf, n) != STAMP_OK) {
            return STAMP_E_FLASH;
        }
        *crc = stamp_crc32(*crc, buf, n);
    }
    return STAMP_OK;
}

static enum stamp_err open_region(const struct stamp_flash *flash, struct stamp_region *r)
{
    uint8_t raw[STAMP_HEADER_SIZE];
    struct stamp_header h;
    enum stamp_err rc;
    uint32_t crc;
    uint32_t len;

    if (stamp_flash_read(flash, r->off, raw, sizeof raw) != STAMP_OK) {
        return STAMP_E_FLASH;
    }
    if (is_erased(flash, raw, sizeof raw)) {
        r->state = STAMP_REGION_BLANK;
        return STAMP_OK;
    }
    rc = stamp_header_decode(raw, &h);
    if (rc == STAMP_E_VERSION) {
        r->state = STAMP_REGION_NEWER;
    }
    if (rc != STAMP_OK || !header_fits(flash, &h, r)) {
        return STAMP_OK;
    }
    len = h.body_len + (r->off == 0 ? 0u : STAMP_SIGNATURE_SIZE);
    if (crc_of(flash, r->off + STAMP_BODY_OFFSET, len, &crc) != STAMP_OK) {
        return STAMP_E_FLASH;
    }
    if (crc == h.body_crc) {
        r->state = STAMP_REGION_WHOLE;
        r->kind = h.kind;
        r->flags = h.flags;
        r->seq = h.seq;
        r->body_len = h.body_len;
    }
    return STAMP_OK;
}

void stamp_part_pick(struct stamp_part *part)
{
    uint32_t best = 0;

    part->newest = STAMP_BIRTH;
    for (unsigned i = STAMP_BANK_A; i <= STAMP_BANK_B; i++) {
        const struct stamp_region *r = &part->region[i];

        if (r->state == STAMP_REGION_WHOLE && r->kind == STAMP_KIND_OPERATIONAL &&
            r->seq > best) {
            best = r->seq;
            part->newest = (uint8_t)i;
        }
    }
}

enum stamp_err stamp_part_open(struct stamp_part *part, const struct stamp_flash *flash)
{
    static const int8_t result[] = {STAMP_E_CORRUPT, STAMP_E_BLANK, STAMP_OK,
                                    STAMP_E_VERSION};

    memset(part, 0, sizeof *part);
    part->flash = flash;
    for (unsigned i = 0; i < 3; i++) {
        struct stamp_region *r = &part->region[i];

        stamp_region_place(flash, (enum stamp_which)i, &r->off, &r->size);
        if (r->size < STAMP_REGION_MIN || open_region(flash, r) != STAMP_OK) {
            return STAMP_E_FLASH;
        }
    }
    stamp_part_pick(part);
    return (enum stamp_err)result[part->region[STAMP_BIRTH].state];
}
