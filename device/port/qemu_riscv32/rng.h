/*
 * Entropy: the virtio-rng device (virtio 1.1, 5.4) on one of the machine's eight
 * virtio-mmio slots, legacy and current transport. Polled; one request at a time.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_RNG_H
#define DEVICE_PORT_QEMU_RISCV32_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/**
 * Find and start the device. Call once.
 *
 * @retval STAMP_OK
 * @retval STAMP_E_MISSING  the machine has no entropy device
 * @retval STAMP_E_CRYPTO   it refused the set-up
 */
STAMP_MUST_USE enum stamp_err rng_init(void);

/**
 * Fill `buf` with `len` bytes from the device. Blocks until it delivers, at most 2 s for
 * a piece.
 *
 * @retval STAMP_OK
 * @retval STAMP_E_CRYPTO  not started, or the device did not deliver; `buf` is zeroed
 */
STAMP_MUST_USE enum stamp_err rng_read(uint8_t *buf, size_t len);

#endif
