/*
 * The end of a run and the start of another: the machine's test finisher, which ends QEMU
 * with an exit status, or resets all of the machine.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_POWER_H
#define DEVICE_PORT_QEMU_RISCV32_POWER_H

/** End the machine: QEMU exits with `status` 0..255. Does not return. */
__attribute__((noreturn)) void power_off(unsigned status);

/** Reset the machine: RAM is loaded anew, flash stays. Does not return. */
__attribute__((noreturn)) void power_restart(void);

/** Print "devstamp: " and `why`, then end the machine with status 1. Does not return. */
__attribute__((noreturn)) void power_fail(const char *why);

#endif
