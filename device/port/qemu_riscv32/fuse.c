#include "device/port/qemu_riscv32/fuse.h"

#include "device/port/qemu_riscv32/mmio.h"

#define FUSE_ROOT_KEY 0x80400000u /* link.ld ends the firmware's RAM here */
#define FUSE_TEST_WORD 0x80401000u

bool fuse_root_key(uint8_t key[FUSE_ROOT_KEY_SIZE])
{
    uint8_t any = 0;

    for (uint32_t i = 0; i < FUSE_ROOT_KEY_SIZE; i++) {
        key[i] = mmio_read8(FUSE_ROOT_KEY + i);
        any |= key[i];
    }
    return any != 0;
}

uint32_t fuse_test_word(void)
{
    return mmio_read32(FUSE_TEST_WORD);
}
