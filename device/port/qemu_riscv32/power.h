/*
 * The end of a run: the machine's test finisher, which ends QEMU with an exit status.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_POWER_H
#define DEVICE_PORT_QEMU_RISCV32_POWER_H

/** End the machine: QEMU exits with `status` 0..255. Does not return. */
__attribute__((noreturn)) void power_off(unsigned status);

/** Print "devstamp: " and `why`, then end the machine with status 1. Does not return. */
__attribute__((noreturn)) void power_fail(const char *why);

#endif
