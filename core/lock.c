/* The lock mark; apart from part.c, since a reader needs none of it. SPEC 3-10. */
#include <string.h>

#include "core/part.h"

bool stamp_part_locked(const struct stamp_part *part)
{
    const struct stamp_flash *flash = part->flash;
    uint8_t mark[4];
    uint8_t seen = 0;

    if (stamp_flash_read(flash, STAMP_LOCK_OFFSET, mark, sizeof mark) != STAMP_OK) {
        return true;
    }
    if (part->region[STAMP_BIRTH].state != STAMP_REGION_WHOLE) {
        return memcmp(mark, STAMP_LOCK_MARK, sizeof mark) == 0;
    }
    for (unsigned i = 0; i < sizeof mark; i++) {
        seen |= mark[i] ^ flash->erased;
    }
    return seen != 0;
}
