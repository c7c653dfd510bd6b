#include "device/port/qemu_riscv32/power.h"

#include <stdint.h>

#include "device/port/qemu_riscv32/mmio.h"
#include "device/port/qemu_riscv32/uart.h"

#define FINISHER 0x00100000u
#define FINISHER_PASS 0x5555u
#define FINISHER_FAIL 0x3333u
#define FINISHER_RESET 0x7777u

__attribute__((noreturn)) static void finish(uint32_t how)
{
    mmio_write32(FINISHER, how);
    for (;;) {
        __asm__ volatile("wfi");
    }
}

__attribute__((noreturn)) void power_off(unsigned status)
{
    finish(status == 0 ? FINISHER_PASS
                       : FINISHER_FAIL | ((uint32_t)status & 0xFFu) << 16);
}

__attribute__((noreturn)) void power_restart(void)
{
    finish(FINISHER_RESET);
}

__attribute__((noreturn)) void power_fail(const char *why)
{
    uart_puts("devstamp: ");
    uart_puts(why);
    uart_puts("\n");
    power_off(1);
}

__attribute__((noreturn)) void _exit(int status);

/* Where exit() of the C library ends; Mbed TLS calls that when its heap is damaged. */
__attribute__((noreturn)) void _exit(int status)
{
    (void)status;
    power_fail("the crypto library stopped");
}

__attribute__((noreturn)) void trap_report(uint32_t cause, uint32_t pc, uint32_t value);

/* Called by start.S on any trap. */
__attribute__((noreturn)) void trap_report(uint32_t cause, uint32_t pc, uint32_t value)
{
    uart_puts("\ndevstamp: fault, mcause ");
    uart_put_hex(cause);
    uart_puts(" at ");
    uart_put_hex(pc);
    uart_puts(", mtval ");
    uart_put_hex(value);
    uart_puts("\n");
    power_off(2);
}
