#include "device/port/qemu_riscv32/uart.h"

#include "device/port/qemu_riscv32/mmio.h"

#define UART_BASE 0x10000000u
#define UART_DATA (UART_BASE + 0u)
#define UART_IER (UART_BASE + 1u)
#define UART_FCR (UART_BASE + 2u)
#define UART_LCR (UART_BASE + 3u)
#define UART_LSR (UART_BASE + 5u)

#define IER_RECEIVED 0x01u
#define FCR_ENABLE_AND_CLEAR 0x07u
#define LCR_8N1 0x03u
#define LSR_RECEIVED 0x01u
#define LSR_CAN_SEND 0x20u

void uart_init(void)
{
    /* QEMU's UART has no line rate worth setting: bytes go as fast as the peer takes
     * them. */
    mmio_write8(UART_LCR, LCR_8N1);
    mmio_write8(UART_FCR, FCR_ENABLE_AND_CLEAR);
    mmio_write8(UART_IER, IER_RECEIVED);
}

int uart_getc(void)
{
    if ((mmio_read8(UART_LSR) & LSR_RECEIVED) == 0) {
        return -1;
    }
    return mmio_read8(UART_DATA);
}

static void put(uint8_t byte)
{
    while ((mmio_read8(UART_LSR) & LSR_CAN_SEND) == 0) {
    }
    mmio_write8(UART_DATA, byte);
}

void uart_write(const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        put(buf[i]);
    }
}

void uart_puts(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            put('\r');
        }
        put((uint8_t)*text);
    }
}

void uart_put_hex(uint32_t value)
{
    uart_puts("0x");
    for (unsigned shift = 32; shift > 0; shift -= 4) {
        put((uint8_t) "0123456789abcdef"[(value >> (shift - 4)) & 0xFu]);
    }
}
