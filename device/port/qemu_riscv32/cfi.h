/*
 * The stamp partition in the machine's NOR flash: two 16-bit chips side by side on a
 * 32-bit bus, Intel command set, found and measured by the chips' own CFI tables.
 *
 * What always holds: outside these functions the flash is in read-array mode and mapped;
 * nothing outside the partition is ever programmed or erased; nothing below the protected
 * end is either.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_CFI_H
#define DEVICE_PORT_QEMU_RISCV32_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define CFI_PROGRAM_SIZE 4u

struct cfi {
    uintptr_t base;         /* where the partition begins in the address space */
    uint32_t size;          /* of the partition */
    uint32_t sector_size;   /* of both chips together */
    uint32_t protected_end; /* no change below this offset */
    bool never_erase;       /* nothing of it is erased, whatever is asked */
};

/**
 * Ask the chips who they are and take the partition [base, base + size).
 *
 * @param base  start of the flash; the partition begins there
 * @param size  bytes of the partition, whole sectors
 * @retval STAMP_OK       ready, nothing protected
 * @retval STAMP_E_FLASH  no two chips of the Intel command set answer at `base`
 * @retval STAMP_E_RANGE  the partition is not whole sectors, or larger than the flash
 */
STAMP_MUST_USE enum stamp_err cfi_init(struct cfi *cfi, uintptr_t base, uint32_t size);

/**
 * Take a part of one that was found, as a partition of its own: the chips answer queries
 * at their beginning only.
 *
 * @retval STAMP_OK       ready, nothing protected
 * @retval STAMP_E_RANGE  not whole sectors, or not inside `whole`
 */
STAMP_MUST_USE enum stamp_err cfi_part(const struct cfi *whole, uint32_t off,
                                       uint32_t size, struct cfi *part);

/**
 * Copy `len` bytes from `off`. STAMP_E_RANGE outside the partition.
 */
STAMP_MUST_USE enum stamp_err cfi_read(const struct cfi *cfi, uint32_t off, void *buf,
                                       size_t len);

/**
 * Erase the sector at `off`; afterwards its bytes are 0xFF. Blocks until the chips are
 * done.
 *
 * @retval STAMP_OK
 * @retval STAMP_E_RANGE   `off` is not the start of a sector of the partition; nothing
 * changed
 * @retval STAMP_E_LOCKED  the sector is protected, or never erased; nothing changed
 * @retval STAMP_E_FLASH   the chips report an error or do not finish, or the sector is
 * not erased; its content is undefined
 */
STAMP_MUST_USE enum stamp_err cfi_erase(struct cfi *cfi, uint32_t off);

/**
 * Program `len` bytes at `off`, both multiples of CFI_PROGRAM_SIZE, all erased before.
 * The units are written in ascending order and read back.
 *
 * @retval STAMP_OK
 * @retval STAMP_E_RANGE   outside the partition or not whole units; nothing changed
 * @retval STAMP_E_LOCKED  a byte of it is protected; nothing changed
 * @retval STAMP_E_FLASH   a unit was not erased (it and those behind it were not
 * touched), or the chips report an error or do not finish, or the bytes do not read back
 */
STAMP_MUST_USE enum stamp_err cfi_program(struct cfi *cfi, uint32_t off, const void *buf,
                                          size_t len);

/**
 * Refuse every change below `end` until the next reset; it never shrinks. The chips of
 * this machine ignore Block Lock, so this driver is the lock: it holds against everything
 * that changes flash through this driver, not against other code on the hart.
 */
void cfi_protect(struct cfi *cfi, uint32_t end);

/** Refuse every erase until the next reset: for bits that go one way. */
void cfi_never_erase(struct cfi *cfi);

#endif
