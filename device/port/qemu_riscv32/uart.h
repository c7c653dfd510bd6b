/*
 * The console: the machine's 16550 UART at 0x10000000, polled. One user, no interrupts
 * handled.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_UART_H
#define DEVICE_PORT_QEMU_RISCV32_UART_H

#include <stddef.h>
#include <stdint.h>

/** 8N1, FIFOs on and empty, receive interrupt raised to the PLIC (for idle.c to wake up
 * on). */
void uart_init(void);

/** The next received byte 0..255, or -1 where none waits. Does not block. */
int uart_getc(void);

/** Send; blocks while the transmitter is full. */
void uart_write(const uint8_t *buf, size_t len);

/** Send text; "\n" goes out as "\r\n". */
void uart_puts(const char *text);

/** Send a number as 0x and 8 hex digits. */
void uart_put_hex(uint32_t value);

#endif
