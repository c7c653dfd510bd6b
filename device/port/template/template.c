#include "device/port/template/template.h"

/*
 * Where the stamp is. Give it sectors of its own that no firmware image and no update
 * covers. A region is one or more whole sectors; 4 KiB each is enough for a chain of
 * three certificates.
 */
#define PARTITION_ADDRESS 0x000F0000u
#define SECTOR_SIZE 4096u
#define BIRTH_SIZE (1u * SECTOR_SIZE)
#define BANK_SIZE (1u * SECTOR_SIZE)

/*
 * The smallest piece the flash programs at once. With ECC it is the piece that one check
 * word covers (8, 16 or 32 bytes), whatever the driver would take: programming it twice
 * makes it unreadable. Plain NOR flash: 1.
 */
#define PROGRAM_SIZE 8u

/* Room for the largest item and STAMP_WORK_EXTRA. */
static uint32_t work[(2048u + STAMP_WORK_EXTRA) / sizeof(uint32_t)];

/* Offsets count from the start of the partition. Any offset and length inside it are
 * asked for. */
static int flash_read(void *ctx, uint32_t off, void *buf, size_t len)
{
    (void)ctx;
    return hal_flash_read(PARTITION_ADDRESS + off, buf, len);
}

/*
 * Offset and length are multiples of PROGRAM_SIZE, at most 64 bytes at once, and what is
 * there is erased. `buf` may be anywhere in RAM, not aligned: drivers with DMA copy
 * first. The bytes are in the cells when this returns; a driver that queues writes must
 * be flushed. Where readers see the flash through a cache, this is the place to
 * invalidate it.
 */
static int flash_program(void *ctx, uint32_t off, const void *buf, size_t len)
{
    (void)ctx;
    return hal_flash_program(PARTITION_ADDRESS + off, buf, len);
}

/* One sector. Feed the watchdog, or give it time: large sectors take seconds. */
static int flash_erase(void *ctx, uint32_t off)
{
    (void)ctx;
    return hal_flash_erase_sector(PARTITION_ADDRESS + off);
}

/*
 * The same 32 bytes at every boot, made in the chip or burnt before the first stamp, and
 * not to be had by whoever reads the flash. Leave root_key NULL where the chip encrypts
 * its flash itself.
 */
static int root_key(void *ctx, uint8_t key[32])
{
    (void)ctx;
    return hal_fuse_key(key);
}

/*
 * Once the stamp is locked: now, and at each boot. What lasts for ever (option bytes,
 * fuses) may come here too, as long as it does no harm to do it again.
 */
static int lock(void *ctx)
{
    (void)ctx;
    if (hal_flash_protect(PARTITION_ADDRESS, BIRTH_SIZE) != 0) {
        return -1;
    }
    return hal_debug_off();
}

/* As the chip has it now, not as it was told. This one has no encryption of its flash. */
static uint32_t lock_state(void *ctx, uint32_t *can)
{
    (void)ctx;
    *can = STAMP_LOCK_WRITE | STAMP_LOCK_DEBUG;
    return (hal_flash_is_protected(PARTITION_ADDRESS, BIRTH_SIZE) == 1 ? STAMP_LOCK_WRITE
                                                                       : 0u) |
           (hal_debug_is_off() == 1 ? STAMP_LOCK_DEBUG : 0u);
}

static int chip_id(void *ctx, uint8_t id[STAMP_CHIP_ID_MAX], size_t *len)
{
    (void)ctx;
    *len = 8;
    return hal_chip_number(id);
}

static void restart(void *ctx)
{
    (void)ctx;
    hal_reset();
}

/* A tick that a reset restarts will do: waiting begins anew with each boot. */
static uint32_t now_ms(void *ctx)
{
    (void)ctx;
    return hal_uptime_ms();
}

const struct stamp_port *template_port(void)
{
    static const struct stamp_port port = {
        .flash =
            {
                .map = NULL, /* where the CPU sees the partition, if it does */
                .read = flash_read,
                .program = flash_program,
                .erase = flash_erase,
                .birth_size = BIRTH_SIZE,
                .bank_size = BANK_SIZE,
                .erase_size = SECTOR_SIZE,
                .program_size = PROGRAM_SIZE,
                .erased = 0xFF,
            },
        .work = work,
        .work_size = sizeof work,
        .root_key = root_key,
        .lock = lock,
        .now_ms = now_ms,
        .chip_id = chip_id,
        .lock_state = lock_state,
        .restart = restart,
        .element_key = NULL,    /* no secure element */
        .owner_key_hash = NULL, /* products pin theirs here */
    };

    return &port;
}
