/*
 * The board as the device library sees it: the stamp partition in the first three sectors
 * of the second flash (pflash 1), the root key in a fuse, the lock in the flash driver.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_PORT_H
#define DEVICE_PORT_QEMU_RISCV32_PORT_H

#include "core/err.h"
#include "core/stamp.h"
#include "device/port.h"
#include "device/port/qemu_riscv32/cfi.h"

#define BOARD_FLASH_BASE 0x22000000u
#define BOARD_SECTOR_SIZE 0x40000u

/* Room for the largest item there is, a chain of certificates, and its CBOR heads. */
#define BOARD_WORK_SIZE                                                                  \
    (STAMP_MAX_CERTIFICATES * STAMP_MAX_CERTIFICATE + 64u + STAMP_WORK_EXTRA)

struct board {
    struct cfi cfi;
    uint8_t work[BOARD_WORK_SIZE];
    struct stamp_port port;
};

/**
 * Fill in `board->port`; it borrows `board` as long as it lives. Without a
 * root key in the fuses, secrets rest in flash as they are.
 *
 * @retval STAMP_OK
 * @retval STAMP_E_FLASH  the flash is not the one of this machine
 */
STAMP_MUST_USE enum stamp_err board_init(struct board *board);

#endif
