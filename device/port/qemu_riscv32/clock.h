/*
 * Time since reset, from the machine timer (10 MHz). There is no time of day.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_CLOCK_H
#define DEVICE_PORT_QEMU_RISCV32_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_TICKS_PER_MS 10000u

/** Ticks of 100 ns since reset. */
uint64_t clock_ticks(void);

/** Milliseconds since reset; wraps after 49 days. */
uint32_t clock_now_ms(void);

/** True once `ms` have passed since `start_ms` = clock_now_ms(); `ms` below 24 days. */
bool clock_passed(uint32_t start_ms, uint32_t ms);

#endif
