/*
 * The stamp partition, read: where its three regions are, which are whole, which bank is
 * newest, and where an item lies. This is all a bootloader needs (with crc32.c and
 * cbor.c): no crypto, no static RAM, at most 256 bytes of stack. SPEC 2, 3 and 4.
 *
 * Whole is not authentic: CRCs find tearing and flips, not forgery. device/device.h
 * checks the signature of a bank before it counts.
 */
#ifndef CORE_PART_H
#define CORE_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cbor.h"
#include "core/err.h"
#include "core/flash.h"

#define STAMP_HEADER_SIZE 64u /* region header, SPEC 3-1 */
#define STAMP_LOCK_OFFSET 64u /* lock mark, SPEC 3-10 */
#define STAMP_LOCK_MARK "LOCK"
#define STAMP_BODY_OFFSET 128u
#define STAMP_SIGNED_SIZE 32u /* header bytes under a bank's signature, SPEC 6-2 */
#define STAMP_SIGNATURE_SIZE 64u
#define STAMP_REGION_MIN 512u /* smallest region */
#define STAMP_VERSION 1u

#define STAMP_FLAG_ENCRYPTED 0x01u

enum stamp_which {
    STAMP_BIRTH = 0,
    STAMP_BANK_A = 1,
    STAMP_BANK_B = 2,
    STAMP_NEWEST = 3
};

enum stamp_kind {
    STAMP_KIND_BIRTH = 1,
    STAMP_KIND_OPERATIONAL = 2,
    STAMP_KIND_PENDING = 3
};

enum stamp_region_state {
    STAMP_REGION_TORN = 0, /* not erased and not whole */
    STAMP_REGION_BLANK,    /* its header is erased */
    STAMP_REGION_WHOLE,
    STAMP_REGION_NEWER, /* whole, but of a newer format */
};

/** What the header of a region says, after its CRC and the body's were checked. */
struct stamp_region {
    uint32_t off;      /* of the region, from the start of the partition */
    uint32_t size;     /* of the region */
    uint32_t body_len; /* 0 unless whole */
    uint32_t seq;      /* 0 for birth, 1.. for banks */
    uint8_t state;     /* enum stamp_region_state */
    uint8_t kind;
    uint8_t flags;
};

struct stamp_part {
    const struct stamp_flash *flash; /* borrowed */
    struct stamp_region region[3];   /* by enum stamp_which */
    uint8_t newest; /* STAMP_BANK_A, STAMP_BANK_B, or STAMP_BIRTH where neither
                       is whole */
};

/** An item's value: its CBOR encoding in flash. `map` points at it where the flash is
 * mapped. */
struct stamp_item {
    uint32_t key;
    uint32_t off; /* from the start of the partition */
    uint32_t len;
    const uint8_t *map;                /* NULL where not mapped */
    const struct stamp_region *region; /* that it lies in */
};

/**
 * Look at the three regions.
 *
 * @param part   filled in every case; uses `flash` as long as it lives
 * @param flash  borrowed
 * @retval STAMP_OK         the birth region is whole; banks may or may not be
 * @retval STAMP_E_BLANK    the birth region is erased: no stamp yet
 * @retval STAMP_E_CORRUPT  the birth region is torn
 * @retval STAMP_E_VERSION  the birth region is of a newer format
 * @retval STAMP_E_FLASH    the port failed to read
 * Reads only. Time: one pass over what is used. SPEC 3-1..3-9.
 */
STAMP_MUST_USE enum stamp_err stamp_part_open(struct stamp_part *part,
                                              const struct stamp_flash *flash);

/** Set part->newest from the regions as they stand: after some were judged anew. SPEC
 * 3-9. */
void stamp_part_pick(struct stamp_part *part);

/**
 * Find the item `key` in one region, or with STAMP_NEWEST in the newest bank and then in
 * birth.
 *
 * @retval STAMP_OK         `*item` is set
 * @retval STAMP_E_MISSING  not there, or the region is not whole
 * @retval STAMP_E_FORMAT   the body is not the map that SPEC 4 wants
 * @retval STAMP_E_FLASH    the port failed to read
 */
STAMP_MUST_USE enum stamp_err stamp_find(const struct stamp_part *part,
                                         enum stamp_which which, uint32_t key,
                                         struct stamp_item *item);

/**
 * Step through a region's items in order: set `item->len` to 0 and `item->off` to 0 to
 * begin.
 *
 * @retval STAMP_OK         `*item` is the next one
 * @retval STAMP_E_MISSING  no more
 * @retval STAMP_E_FORMAT, STAMP_E_FLASH  as stamp_find()
 */
STAMP_MUST_USE enum stamp_err stamp_next(const struct stamp_part *part,
                                         enum stamp_which which, struct stamp_item *item);

/**
 * The content of an item that is one byte or text string: narrows `item` to the bytes
 * behind the head.
 *
 * @retval STAMP_E_FORMAT  it is another type
 */
STAMP_MUST_USE enum stamp_err stamp_item_content(const struct stamp_part *part,
                                                 struct stamp_item *item);

/** Copy bytes of the partition, mapped or not. 0 or STAMP_E_FLASH. */
STAMP_MUST_USE enum stamp_err stamp_flash_read(const struct stamp_flash *flash,
                                               uint32_t off, void *buf, size_t len);

/** Is the stamp locked? In a whole birth region any trace of the lock mark counts,
 * elsewhere the whole mark only, since a cut erase leaves anything there. Fails safe: an
 * unreadable mark counts as locked. SPEC 3-10. */
bool stamp_part_locked(const struct stamp_part *part);

/** Where a region lies. */
void stamp_region_place(const struct stamp_flash *flash, enum stamp_which which,
                        uint32_t *off, uint32_t *size);

/** What goes into a header; the CRC is computed here. SPEC 3-1. */
struct stamp_header {
    uint8_t kind;
    uint8_t flags;
    uint32_t seq;
    uint32_t body_len;
    uint8_t salt[16];
    uint32_t birth_size;
    uint32_t bank_size;
    uint32_t body_crc; /* over body and, in a bank, signature */
};

void stamp_header_encode(const struct stamp_header *h, uint8_t out[STAMP_HEADER_SIZE]);

/**
 * @retval STAMP_OK         `*h` is set
 * @retval STAMP_E_CORRUPT  magic, CRC or a fixed byte is wrong
 * @retval STAMP_E_VERSION  whole, but of a newer format
 */
STAMP_MUST_USE enum stamp_err stamp_header_decode(const uint8_t in[STAMP_HEADER_SIZE],
                                                  struct stamp_header *h);

#endif
