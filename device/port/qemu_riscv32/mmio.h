/*
 * Registers of the machine: one access of the stated width each, never merged or dropped.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_MMIO_H
#define DEVICE_PORT_QEMU_RISCV32_MMIO_H

#include <stdint.h>

static inline uint32_t mmio_read32(uintptr_t addr)
{
    return *(volatile uint32_t *)addr;
}

static inline void mmio_write32(uintptr_t addr, uint32_t value)
{
    *(volatile uint32_t *)addr = value;
}

static inline void mmio_write16(uintptr_t addr, uint16_t value)
{
    *(volatile uint16_t *)addr = value;
}

static inline uint8_t mmio_read8(uintptr_t addr)
{
    return *(volatile uint8_t *)addr;
}

static inline void mmio_write8(uintptr_t addr, uint8_t value)
{
    *(volatile uint8_t *)addr = value;
}

/** Orders memory against device accesses: a queue in RAM before the device is told of it.
 */
static inline void mmio_fence(void)
{
    __asm__ volatile("fence iorw, iorw" ::: "memory");
}

#endif
