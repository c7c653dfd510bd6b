/*
 * `wfi` ends when an interrupt is pending and enabled in mie, even with mstatus.MIE
 * clear: the hart wakes and goes on behind the wfi, no handler runs. So nothing here is
 * asynchronous.
 */
#include "device/port/qemu_riscv32/idle.h"

#include "device/port/qemu_riscv32/clock.h"
#include "device/port/qemu_riscv32/mmio.h"

#define CLINT_MTIMECMP 0x02004000u
#define PLIC_BASE 0x0C000000u
#define PLIC_PRIORITY(irq) (PLIC_BASE + 4u * (irq))
#define PLIC_ENABLE_HART0 (PLIC_BASE + 0x2000u)
#define PLIC_THRESHOLD_HART0 (PLIC_BASE + 0x200000u)
#define PLIC_CLAIM_HART0 (PLIC_BASE + 0x200004u)
#define UART_IRQ 10u

#define MIE_TIMER (1u << 7)
#define MIE_EXTERNAL (1u << 11)

void idle_init(void)
{
    mmio_write32(PLIC_PRIORITY(UART_IRQ), 1);
    mmio_write32(PLIC_ENABLE_HART0, 1u << UART_IRQ);
    mmio_write32(PLIC_THRESHOLD_HART0, 0);
    __asm__ volatile("csrw mie, %0" : : "r"(MIE_TIMER | MIE_EXTERNAL));
}

void idle_wait(uint32_t ms)
{
    uint64_t wake = clock_ticks() + (uint64_t)ms * CLOCK_TICKS_PER_MS;
    uint32_t irq;

    /* Upper word first to the far future, so that no half-written value lies in the past.
     */
    mmio_write32(CLINT_MTIMECMP + 4, UINT32_MAX);
    mmio_write32(CLINT_MTIMECMP, (uint32_t)wake);
    mmio_write32(CLINT_MTIMECMP + 4, (uint32_t)(wake >> 32));
    __asm__ volatile("wfi" ::: "memory");

    /* Re-arms the UART's line: it raises again at once if bytes are still waiting. */
    irq = mmio_read32(PLIC_CLAIM_HART0);
    if (irq != 0) {
        mmio_write32(PLIC_CLAIM_HART0, irq);
    }
}
