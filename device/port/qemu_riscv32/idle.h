/*
 * Waiting without burning the host's CPU: the hart sleeps until a byte arrives or a while
 * passed.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_IDLE_H
#define DEVICE_PORT_QEMU_RISCV32_IDLE_H

#include <stdint.h>

/** Routes the UART's interrupt to this hart. Call after uart_init(). */
void idle_init(void);

/** Sleep until the UART holds a byte, at most `ms`. May return early. Drain the UART
 * before. */
void idle_wait(uint32_t ms);

#endif
