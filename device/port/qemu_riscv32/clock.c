#include "device/port/qemu_riscv32/clock.h"

#include "device/port/qemu_riscv32/mmio.h"

#define CLINT_MTIME 0x0200BFF8u

uint64_t clock_ticks(void)
{
    uint32_t high;
    uint32_t low;

    do {
        high = mmio_read32(CLINT_MTIME + 4);
        low = mmio_read32(CLINT_MTIME);
    } while (high != mmio_read32(CLINT_MTIME + 4));
    return (uint64_t)high << 32 | low;
}

uint32_t clock_now_ms(void)
{
    return (uint32_t)(clock_ticks() / CLOCK_TICKS_PER_MS);
}

bool clock_passed(uint32_t start_ms, uint32_t ms)
{
    return clock_now_ms() - start_ms >= ms;
}
