/*
 * A port to start from: copy this folder, replace the hal_ functions by your SDK's, and
 * run test/unit/port_conformance on the result. device/PORTING.md explains each function.
 */
#ifndef DEVICE_PORT_TEMPLATE_TEMPLATE_H
#define DEVICE_PORT_TEMPLATE_TEMPLATE_H

#include "device/port.h"

/** The port, filled in; the same object at each call, which lives as long as the
 * firmware. Call it after the flash driver is up, and before stamp_device_open(). */
const struct stamp_port *template_port(void);

/*
 * What the chip's SDK has under other names. Addresses count from the start of the flash;
 * each function returns 0 or a negative number when it is done, and not before.
 */
int hal_flash_read(uint32_t address, void *buf, size_t len);
int hal_flash_program(uint32_t address, const void *buf, size_t len);
int hal_flash_erase_sector(uint32_t address);
int hal_flash_protect(uint32_t address, uint32_t size); /* until the next reset */
int hal_fuse_key(uint8_t key[32]); /* of the chip's own, never exported */
int hal_flash_is_protected(uint32_t address, uint32_t size); /* 1 or 0 */
int hal_debug_off(void);
int hal_debug_is_off(void); /* 1 or 0 */
int hal_chip_number(uint8_t id[8]);
void hal_reset(void);
uint32_t hal_uptime_ms(void);

#endif
