/*
 * What the board's maker gives each one: memory that is filled before every reset and
 * that no flash image holds. QEMU's loader does it (scripts/run-qemu), in the page behind
 * the firmware's RAM; its fw_cfg device cannot carry items of ours on this machine. What
 * was never given reads as zeros. The firmware does not write here; what it burns itself
 * is in otp.h.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_FUSE_H
#define DEVICE_PORT_QEMU_RISCV32_FUSE_H

#include <stdbool.h>
#include <stdint.h>

#define FUSE_ROOT_KEY_SIZE 32u
#define FUSE_CHIP_ID_SIZE 8u
#define FUSE_OWNER_HASH_SIZE 32u

/** Copy the root key. False: it was never blown, and `key` is zeroed. */
bool fuse_root_key(uint8_t key[FUSE_ROOT_KEY_SIZE]);

/** Copy the chip's number. False: it has none, and `id` is zeroed. */
bool fuse_chip_id(uint8_t id[FUSE_CHIP_ID_SIZE]);

/**
 * Copy SHA-256 of the owner's public point. It stands for what a product compiles into
 * its firmware: here one image serves boards of many owners. False: none, and `hash` is
 * zeroed.
 */
bool fuse_owner_hash(uint8_t hash[FUSE_OWNER_HASH_SIZE]);

/** A number for test firmware; 0 where none was given. */
uint32_t fuse_test_word(void);

#endif
