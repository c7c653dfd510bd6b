#include "device/port/qemu_riscv32/cfi.h"

#include <stdbool.h>
#include <string.h>

#include "device/port/qemu_riscv32/clock.h"
#include "device/port/qemu_riscv32/mmio.h"

/* A value for both chips, one in each half of the bus. */
#define BOTH(v) ((uint32_t)(v) << 16 | (uint32_t)(v))

#define CMD_READ_ARRAY BOTH(0xFF)
#define CMD_CLEAR_STATUS BOTH(0x50)
#define CMD_ERASE BOTH(0x20)
#define CMD_CONFIRM BOTH(0xD0)
#define CMD_PROGRAM BOTH(0x40)
#define CMD_QUERY BOTH(0x98)
#define QUERY_ADDRESS 0x55u

#define STATUS_READY BOTH(0x80)
#define STATUS_ERRORS BOTH(0x3A) /* erase, program, voltage, block locked */

/* Places in the query table, in words of a chip. */
#define QUERY_MARK 0x10u
#define QUERY_COMMAND_SET 0x13u
#define QUERY_SIZE 0x27u        /* log2 of a chip's bytes */
#define QUERY_REGIONS 0x2Cu     /* of different sector size */
#define QUERY_SECTOR_SIZE 0x2Fu /* low byte of (bytes / 256), then high */
#define COMMAND_SET_INTEL 0x0001u

#define CHIPS 2u
#define ERASED 0xFFFFFFFFu

/* Generous against data sheets (4 s and 1 ms): only a dead chip meets them. */
#define ERASE_TIMEOUT_MS 8000u
#define PROGRAM_TIMEOUT_MS 500u

static uint32_t bus_read(const struct cfi *cfi, uint32_t off)
{
    return mmio_read32(cfi->base + off);
}

static void bus_write(const struct cfi *cfi, uint32_t off, uint32_t value)
{
    mmio_write32(cfi->base + off, value);
}

/* One byte of the query table; -1 where the two chips do not say the same. */
static int query(const struct cfi *cfi, uint32_t word)
{
    uint32_t value = bus_read(cfi, word * 4u);

    if ((value >> 16 & 0xFFu) != (value & 0xFFu)) {
        return -1;
    }
    return (int)(value & 0xFFu);
}

static bool query_is(const struct cfi *cfi, uint32_t word, char expected)
{
    return query(cfi, word) == (int)expected;
}

/* The chips are in query mode: check them and learn the geometry. */
static enum stamp_err identify(struct cfi *cfi, uint32_t *flash_size)
{
    int size_log2 = query(cfi, QUERY_SIZE);
    int sector_low = query(cfi, QUERY_SECTOR_SIZE);
    int sector_high = query(cfi, QUERY_SECTOR_SIZE + 1);

    if (!query_is(cfi, QUERY_MARK, 'Q') || !query_is(cfi, QUERY_MARK + 1, 'R') ||
        !query_is(cfi, QUERY_MARK + 2, 'Y')) {
        return STAMP_E_FLASH;
    }
    if (query(cfi, QUERY_COMMAND_SET) != (int)COMMAND_SET_INTEL ||
        query(cfi, QUERY_REGIONS) != 1) {
        return STAMP_E_FLASH;
    }
    if (size_log2 < 16 || size_log2 > 28 || sector_low < 0 || sector_high < 0) {
        return STAMP_E_FLASH;
    }
    *flash_size = CHIPS << (unsigned)size_log2;
    cfi->sector_size = CHIPS * 256u * ((uint32_t)sector_high << 8 | (uint32_t)sector_low);
    return cfi->sector_size != 0 ? STAMP_OK : STAMP_E_FLASH;
}

enum stamp_err cfi_init(struct cfi *cfi, uintptr_t base, uint32_t size)
{
    uint32_t flash_size = 0;
    enum stamp_err err;

    memset(cfi, 0, sizeof(*cfi));
    cfi->base = base;
    bus_write(cfi, QUERY_ADDRESS * 4u, CMD_QUERY);
    err = identify(cfi, &flash_size);
    bus_write(cfi, 0, CMD_READ_ARRAY);
    if (err != STAMP_OK) {
        return err;
    }
    if (size == 0 || size > flash_size || size % cfi->sector_size != 0) {
        return STAMP_E_RANGE;
    }
    cfi->size = size;
    return STAMP_OK;
}

enum stamp_err cfi_part(const struct cfi *whole, uint32_t off, uint32_t size,
                        struct cfi *part)
{
    *part = (struct cfi){0};
    if (off > whole->size || size == 0 || size > whole->size - off ||
        off % whole->sector_size != 0 || size % whole->sector_size != 0) {
        return STAMP_E_RANGE;
    }
    part->base = whole->base + off;
    part->size = size;
    part->sector_size = whole->sector_size;
    return STAMP_OK;
}

/* Wait for both chips to finish, then say how it went and leave the status clear. */
static enum stamp_err finish(const struct cfi *cfi, uint32_t off, uint32_t timeout_ms)
{
    uint32_t start_ms = clock_now_ms();
    uint32_t status;

    do {
        status = bus_read(cfi, off);
        if ((status & STATUS_READY) == STATUS_READY) {
            if ((status & STATUS_ERRORS) == 0) {
                return STAMP_OK;
            }
            bus_write(cfi, off, CMD_CLEAR_STATUS);
            return STAMP_E_FLASH;
        }
    } while (!clock_passed(start_ms, timeout_ms));
    return STAMP_E_FLASH;
}

enum stamp_err cfi_read(const struct cfi *cfi, uint32_t off, void *buf, size_t len)
{
    uint8_t *bytes = buf;

    if (off > cfi->size || len > cfi->size - off) {
        return STAMP_E_RANGE;
    }
    for (size_t i = 0; i < len; i++) {
        bytes[i] = mmio_read8(cfi->base + off + i);
    }
    return STAMP_OK;
}

enum stamp_err cfi_erase(struct cfi *cfi, uint32_t off)
{
    enum stamp_err err;

    if (off >= cfi->size || off % cfi->sector_size != 0) {
        return STAMP_E_RANGE;
    }
    if (off < cfi->protected_end || cfi->never_erase) {
        return STAMP_E_LOCKED;
    }
    bus_write(cfi, off, CMD_ERASE);
    bus_write(cfi, off, CMD_CONFIRM);
    err = finish(cfi, off, ERASE_TIMEOUT_MS);
    bus_write(cfi, off, CMD_READ_ARRAY);
    for (uint32_t i = 0; i < cfi->sector_size && err == STAMP_OK; i += 4) {
        if (bus_read(cfi, off + i) != ERASED) {
            err = STAMP_E_FLASH;
        }
    }
    return err;
}

enum stamp_err cfi_program(struct cfi *cfi, uint32_t off, const void *buf, size_t len)
{
    const uint8_t *bytes = buf;
    enum stamp_err err = STAMP_OK;
    uint32_t unit;

    if (off > cfi->size || len > cfi->size - off || off % CFI_PROGRAM_SIZE != 0 ||
        len % CFI_PROGRAM_SIZE != 0) {
        return STAMP_E_RANGE;
    }
    if (off < cfi->protected_end && len > 0) {
        return STAMP_E_LOCKED;
    }
    for (size_t i = 0; i < len && err == STAMP_OK; i += CFI_PROGRAM_SIZE) {
        uint32_t at = off + (uint32_t)i;

        /* A unit is programmed once between erases: chips with ECC allow no second time,
         * and the emulated ones would overwrite where real ones only clear bits. */
        if (bus_read(cfi, at) != ERASED) {
            return STAMP_E_FLASH;
        }
        memcpy(&unit, bytes + i, sizeof(unit));
        bus_write(cfi, at, CMD_PROGRAM);
        bus_write(cfi, at, unit);
        err = finish(cfi, at, PROGRAM_TIMEOUT_MS);
        bus_write(cfi, at, CMD_READ_ARRAY);
        if (err == STAMP_OK && bus_read(cfi, at) != unit) {
            err = STAMP_E_FLASH;
        }
    }
    return err;
}

void cfi_protect(struct cfi *cfi, uint32_t end)
{
    if (end > cfi->protected_end) {
        cfi->protected_end = end;
    }
}

void cfi_never_erase(struct cfi *cfi)
{
    cfi->never_erase = true;
}
