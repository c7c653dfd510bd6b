#include "device/port/qemu_riscv32/fuse.h"

#include "device/port/qemu_riscv32/mmio.h"

#define FUSE_ROOT_KEY 0x80400000u /* link.ld ends the firmware's RAM here */
#define FUSE_CHIP_ID 0x80400020u
#define FUSE_OWNER_HASH 0x80400028u
#define FUSE_TEST_WORD 0x80401000u

/* False where all of it is zero. */
static bool copy(uint8_t *out, uintptr_t from, uint32_t len)
{
    uint8_t any = 0;

    for (uint32_t i = 0; i < len; i++) {
        out[i] = mmio_read8(from + i);
        any |= out[i];
    }
    return any != 0;
}

bool fuse_root_key(uint8_t key[FUSE_ROOT_KEY_SIZE])
{
    return copy(key, FUSE_ROOT_KEY, FUSE_ROOT_KEY_SIZE);
}

bool fuse_chip_id(uint8_t id[FUSE_CHIP_ID_SIZE])
{
    return copy(id, FUSE_CHIP_ID, FUSE_CHIP_ID_SIZE);
}

bool fuse_owner_hash(uint8_t hash[FUSE_OWNER_HASH_SIZE])
{
    return copy(hash, FUSE_OWNER_HASH, FUSE_OWNER_HASH_SIZE);
}

uint32_t fuse_test_word(void)
{
    return mmio_read32(FUSE_TEST_WORD);
}
