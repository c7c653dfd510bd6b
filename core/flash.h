/*
 * The flash that holds the stamp partition, as core and device see it: geometry and three
 * functions. Offsets count from the start of the partition.
 *
 * Layout (SPEC 2): birth region, then bank A, then bank B, each whole erase sectors.
 */
#ifndef CORE_FLASH_H
#define CORE_FLASH_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct stamp_flash {
    /* The partition where the CPU sees it (plain or transparently decrypted); NULL = not
     * mapped. Readers then get pointers and copy nothing. */
    const uint8_t *map;

    /* Copy `len` bytes from `off`. 0 or negative. Not called where `map` is set. */
    int (*read)(void *ctx, uint32_t off, void *buf, size_t len);

    /* Program `len` bytes at `off`, both multiples of program_size, erased before.
     * Returns when the bytes are in the cells. May tear under power loss. NULL =
     * read-only. 0 or negative. */
    int (*program)(void *ctx, uint32_t off, const void *buf, size_t len);

    /* Erase the one sector that starts at `off`. NULL = read-only. 0 or negative. */
    int (*erase)(void *ctx, uint32_t off);

    void *ctx;

    uint32_t birth_size;   /* bytes, whole sectors, at least STAMP_REGION_MIN */
    uint32_t bank_size;    /* bytes of one bank, whole sectors */
    uint32_t erase_size;   /* bytes of one sector */
    uint16_t program_size; /* bytes of one program unit: a power of two, 1..64 */
    uint8_t erased;        /* value of an erased byte: 0xFF or 0x00 */
};

#endif
