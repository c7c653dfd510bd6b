/*
 * The board as the device library sees it: the stamp partition in the first three sectors
 * of the second flash (pflash 1), the lock's one-time words in the fourth, root key, chip
 * id and owner in fuses.
 *
 * The lock: STAMP_LOCK_WRITE is the word, and the flash driver that obeys it from boot
 * on. STAMP_LOCK_ENCRYPT can be had where there is a root key; once burnt, nothing is
 * written in the clear any more, even by a board whose root key is gone. STAMP_LOCK_DEBUG
 * is no more than a word that says so: what debugs this machine is QEMU itself.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_PORT_H
#define DEVICE_PORT_QEMU_RISCV32_PORT_H

#include "core/err.h"
#include "core/stamp.h"
#include "device/port.h"
#include "device/port/qemu_riscv32/cfi.h"
#include "device/port/qemu_riscv32/fuse.h"
#include "device/port/qemu_riscv32/otp.h"

#define BOARD_FLASH_BASE 0x22000000u
#define BOARD_SECTOR_SIZE 0x40000u
#define BOARD_OTP_OFFSET (3u * BOARD_SECTOR_SIZE)

/* Room for the largest item there is, a chain of certificates, and its CBOR heads. */
#define BOARD_WORK_SIZE                                                                  \
    (STAMP_MAX_CERTIFICATES * STAMP_MAX_CERTIFICATE + 64u + STAMP_WORK_EXTRA)

struct board {
    struct cfi cfi;
    struct otp otp;
    uint8_t owner_hash[FUSE_OWNER_HASH_SIZE];
    uint8_t work[BOARD_WORK_SIZE];
    struct stamp_port port;
};

/**
 * Fill in `board->port`; it borrows `board` as long as it lives. What was locked is
 * protected when this returns. Without a root key in the fuses, secrets rest in flash as
 * they are.
 *
 * @retval STAMP_OK
 * @retval STAMP_E_FLASH  the flash is not the one of this machine
 */
STAMP_MUST_USE enum stamp_err board_init(struct board *board);

#endif
