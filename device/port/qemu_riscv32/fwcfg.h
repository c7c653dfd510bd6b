/*
 * QEMU's fw_cfg device stands for the board's fuses: values that are given to the machine
 * from outside and that no flash image holds. `-fw_cfg
 * name=opt/devstamp/root_key,file=KEY`.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_FWCFG_H
#define DEVICE_PORT_QEMU_RISCV32_FWCFG_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/**
 * Read the item `name`.
 *
 * @param name    at most 55 characters
 * @param buf     receives the item
 * @param size    bytes in buf
 * @param len     receives the item's length
 * @retval STAMP_OK         `*len` bytes are in `buf`
 * @retval STAMP_E_MISSING  the machine has no such item; `buf` untouched
 * @retval STAMP_E_SPACE    longer than `size`; `buf` untouched
 */
STAMP_MUST_USE enum stamp_err fwcfg_read(const char *name, uint8_t *buf, size_t size,
                                         size_t *len);

#endif
