/*
 * The board's fuses: two words of memory that the machine's builder fills before reset
 * and that no flash image holds. QEMU's loader does it (scripts/run-qemu), in the page
 * behind the firmware's RAM; its fw_cfg device cannot carry items of ours on this
 * machine. A fuse that was never blown reads as zeros.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_FUSE_H
#define DEVICE_PORT_QEMU_RISCV32_FUSE_H

#include <stdbool.h>
#include <stdint.h>

#define FUSE_ROOT_KEY_SIZE 32u

/** Copy the root key. False: it was never blown, and `key` is zeroed. */
bool fuse_root_key(uint8_t key[FUSE_ROOT_KEY_SIZE]);

/** A number for test firmware; 0 where none was given. */
uint32_t fuse_test_word(void);

#endif
