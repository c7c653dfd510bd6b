/*
 * Any bytes as a partition: opened, and every item found and walked. Nothing is read
 * outside, and what is found lies inside its region. The last byte says how: bit 0 mapped
 * or read, bit 1 with CRCs put right, so that what lies behind them is reached too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32.h"
#include "core/part.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SIZE_MAX_REGION 65536u

struct flash {
    const uint8_t *bytes;
    size_t len;
};

static int flash_read(void *ctx, uint32_t off, void *buf, size_t len)
{
    const struct flash *f = ctx;

    if (off > f->len || len > f->len - off) {
        abort(); /* outside the partition */
    }
    memcpy(buf, f->bytes + off, len);
    return 0;
}

static uint32_t plausible(uint32_t size)
{
    return size >= STAMP_REGION_MIN && size <= SIZE_MAX_REGION ? size : STAMP_REGION_MIN;
}

static void put_crcs_right(uint8_t *h, uint32_t size, bool birth)
{
    uint32_t body = stamp_get_u32(h + 12);
    uint32_t tail = birth ? 0 : STAMP_SIGNATURE_SIZE;

    if (body <= size - STAMP_BODY_OFFSET - tail) {
        stamp_put_u32(h + 40, stamp_crc32(0, h + STAMP_BODY_OFFSET, body + tail));
    }
    stamp_put_u32(h + 60, stamp_crc32(0, h, 60));
}

static void use_item(const struct stamp_part *part, const struct stamp_flash *flash,
                     unsigned which, struct stamp_item item)
{
    const struct stamp_region *r = &part->region[which];

    if (item.off < r->off + STAMP_BODY_OFFSET || item.len > r->body_len ||
        item.off + item.len > r->off + STAMP_BODY_OFFSET + r->body_len ||
        (flash->map != NULL && item.map != flash->map + item.off)) {
        abort();
    }
    if (stamp_item_content(part, &item) == STAMP_OK &&
        item.off + item.len > r->off + STAMP_BODY_OFFSET + r->body_len) {
        abort();
    }
}

static void walk(const struct stamp_part *part, const struct stamp_flash *flash)
{
    struct stamp_item item;

    for (unsigned which = STAMP_BIRTH; which <= STAMP_BANK_B; which++) {
        uint32_t steps = 0;

        memset(&item, 0, sizeof(item));
        while (stamp_next(part, (enum stamp_which)which, &item) == STAMP_OK) {
            use_item(part, flash, which, item);
            if (++steps > SIZE_MAX_REGION) {
                abort(); /* walks for ever */
            }
        }
        for (uint32_t key = 0; key <= 64; key++) {
            if (stamp_find(part, (enum stamp_which)which, key, &item) == STAMP_OK) {
                use_item(part, flash, which, item);
            }
        }
    }
    for (uint32_t key = 0; key <= 64; key++) {
        if (stamp_find(part, STAMP_NEWEST, key, &item) == STAMP_OK && item.key != key) {
            abort();
        }
    }
    (void)stamp_part_locked(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t birth = len >= 64 ? plausible(stamp_get_u32(data + 32)) : STAMP_REGION_MIN;
    uint32_t bank = len >= 64 ? plausible(stamp_get_u32(data + 36)) : STAMP_REGION_MIN;
    uint8_t how = len > 0 ? data[len - 1] : 0;
    size_t size = birth + 2 * (size_t)bank;
    uint8_t *bytes = malloc(size); /* exactly, so that a sanitizer sees the end */
    struct flash f = {bytes, size};
    struct stamp_flash flash = {.read = flash_read,
                                .ctx = &f,
                                .birth_size = birth,
                                .bank_size = bank,
                                .erase_size = 1,
                                .program_size = 1,
                                .erased = 0xFF};
    struct stamp_part part;

    if (bytes == NULL) {
        return 0;
    }
    memset(bytes, 0xFF, size);
    memcpy(bytes, data, len < size ? len : size);
    if ((how & 2) != 0) {
        put_crcs_right(bytes, birth, true);
        put_crcs_right(bytes + birth, bank, false);
        put_crcs_right(bytes + birth + bank, bank, false);
    }
    flash.map = (how & 1) != 0 ? bytes : NULL;
    if (stamp_part_open(&part, &flash) != STAMP_E_FLASH) {
        walk(&part, &flash);
    }
    free(bytes);
    return 0;
}
