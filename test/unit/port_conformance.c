#include "test/unit/port_conformance.h"

#include <string.h>

#include "core/part.h"

#define CHUNK 64u

static uint32_t partition_size(const struct stamp_flash *f)
{
    return f->birth_size + 2 * f->bank_size;
}

static const char *check_geometry(const struct stamp_port *port)
{
    const struct stamp_flash *f = &port->flash;

    if (f->program_size < 1 || f->program_size > 64 ||
        (f->program_size & (f->program_size - 1)) != 0) {
        return "program_size is not a power of two from 1 to 64";
    }
    if (f->erase_size == 0 || f->erase_size % f->program_size != 0) {
        return "erase_size is not a multiple of program_size";
    }
    if (f->birth_size % f->erase_size != 0 || f->bank_size % f->erase_size != 0) {
        return "a region is not whole sectors";
    }
    if (f->birth_size < STAMP_REGION_MIN || f->bank_size < STAMP_REGION_MIN) {
        return "a region is smaller than 512 bytes";
    }
    if (f->birth_size > INT32_MAX / 4 || f->bank_size > INT32_MAX / 4) {
        return "the partition is larger than offsets can say";
    }
    if (f->erased != 0xFF && f->erased != 0x00) {
        return "erased is neither 0xFF nor 0x00";
    }
    if (f->read == NULL && f->map == NULL) {
        return "the flash can neither be read nor is it mapped";
    }
    if (f->program == NULL || f->erase == NULL || port->now_ms == NULL) {
        return "program, erase or now_ms is missing";
    }
    if ((port->root_key != NULL || f->map == NULL) &&
        (port->work == NULL || port->work_size < 1024)) {
        return "the work buffer is missing or too small";
    }
    return NULL;
}

/* By read(), and where the flash is mapped by the CPU too. */
static bool holds(const struct stamp_flash *f, uint32_t off, const uint8_t *expected,
                  size_t len)
{
    uint8_t buf[CHUNK];

    if (f->map != NULL && memcmp(f->map + off, expected, len) != 0) {
        return false;
    }
    return f->read == NULL ||
           (f->read(f->ctx, off, buf, len) == 0 && memcmp(buf, expected, len) == 0);
}

static bool is_erased(const struct stamp_flash *f, uint32_t off, uint32_t end)
{
    uint8_t expected[CHUNK];

    memset(expected, f->erased, sizeof(expected));
    for (; off < end; off += CHUNK) {
        if (!holds(f, off, expected, end - off < CHUNK ? end - off : CHUNK)) {
            return false;
        }
    }
    return true;
}

static const char *erase_all(const struct stamp_flash *f)
{
    for (uint32_t off = 0; off < partition_size(f); off += f->erase_size) {
        if (f->erase(f->ctx, off) != 0) {
            return "erase fails";
        }
    }
    return is_erased(f, 0, partition_size(f)) ? NULL
                                              : "an erased byte does not read as erased";
}

static void pattern(uint8_t *p, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        p[i] = (uint8_t)(seed >> 16);
    }
}

/* Program `len` bytes at `off` from memory that is not aligned, and look around. */
static const char *try_program(const struct stamp_flash *f, uint32_t off, uint32_t len)
{
    uint8_t data[CHUNK + 1];

    pattern(data + 1, len, off + len);
    if (f->program(f->ctx, off, data + 1, len) != 0) {
        return "program fails";
    }
    if (!holds(f, off, data + 1, len)) {
        return "what was programmed does not read back";
    }
    for (uint32_t i = 0; i < len; i++) { /* any offset, any length */
        if (!holds(f, off + i, data + 1 + i, 1)) {
            return "single bytes read other than together";
        }
    }
    return NULL;
}

/* The first and last units of a region, one unit and many at once. */
static const char *try_region(const struct stamp_flash *f, uint32_t start, uint32_t size)
{
    uint32_t unit = f->program_size;
    uint32_t many = CHUNK / unit * unit;
    uint32_t last = start + size - unit;
    const char *wrong = try_program(f, start, unit);

    if (wrong == NULL) {
        wrong = try_program(f, start + CHUNK, many);
    }
    if (wrong == NULL) {
        wrong = try_program(f, last, unit);
    }
    if (wrong == NULL && !is_erased(f, start + unit, start + CHUNK)) {
        wrong = "program changes bytes behind its own";
    }
    if (wrong == NULL && !is_erased(f, start + 2 * CHUNK, last)) {
        wrong = "program changes bytes elsewhere";
    }
    return wrong;
}

static const char *try_regions(const struct stamp_flash *f)
{
    const char *wrong = try_region(f, 0, f->birth_size);

    if (wrong == NULL) {
        wrong = try_region(f, f->birth_size, f->bank_size);
    }
    if (wrong == NULL) {
        wrong = try_region(f, f->birth_size + f->bank_size, f->bank_size);
    }
    return wrong;
}

/* Erase bank A; the last unit before it and the first behind it must stay. */
static const char *try_erase(const struct stamp_flash *f)
{
    uint8_t before[CHUNK];
    uint8_t behind[CHUNK];
    uint32_t unit = f->program_size;
    uint32_t start = f->birth_size;
    uint32_t end = start + f->bank_size;

    if (stamp_flash_read(f, start - unit, before, unit) != STAMP_OK ||
        stamp_flash_read(f, end, behind, unit) != STAMP_OK) {
        return "read fails";
    }
    for (uint32_t off = start; off < end; off += f->erase_size) {
        if (f->erase(f->ctx, off) != 0) {
            return "erase fails";
        }
    }
    if (!is_erased(f, start, end)) {
        return "an erased sector does not read as erased";
    }
    return holds(f, start - unit, before, unit) && holds(f, end, behind, unit)
               ? NULL
               : "erase changes another sector";
}

static const char *try_keys(const struct stamp_port *port)
{
    uint8_t first[32] = {0};
    uint8_t second[32] = {1};
    uint8_t any = 0;
    uint32_t now = port->now_ms(port->ctx);

    if (port->now_ms(port->ctx) - now > INT32_MAX) {
        return "the clock goes back";
    }
    if (port->root_key == NULL) {
        return NULL;
    }
    if (port->root_key(port->ctx, first) != 0 || port->root_key(port->ctx, second) != 0) {
        return "the root key cannot be had";
    }
    for (unsigned i = 0; i < 32; i++) {
        any |= first[i] ^ first[0];
    }
    if (any == 0) {
        return "the root key is 32 times the same byte";
    }
    return memcmp(first, second, 32) == 0 ? NULL
                                          : "the root key is another one each time";
}

static const char *try_chip_id(const struct stamp_port *port)
{
    uint8_t first[STAMP_CHIP_ID_MAX] = {0};
    uint8_t second[STAMP_CHIP_ID_MAX] = {0};
    size_t len = 0;
    size_t again = 0;

    if (port->chip_id == NULL) {
        return NULL;
    }
    if (port->chip_id(port->ctx, first, &len) != 0 ||
        port->chip_id(port->ctx, second, &again) != 0) {
        return "the chip id cannot be read";
    }
    if (len < 1 || len > STAMP_CHIP_ID_MAX) {
        return "the chip id has no sensible length";
    }
    return again == len && memcmp(first, second, len) == 0
               ? NULL
               : "the chip id is another one each time";
}

/* @param locked  all that the chip can is to be in force; else the birth region is open
 */
static const char *try_lock_state(const struct stamp_port *port, bool locked)
{
    const uint32_t all = STAMP_LOCK_WRITE | STAMP_LOCK_ENCRYPT | STAMP_LOCK_DEBUG;
    uint32_t can = 0;
    uint32_t state;

    if (port->lock_state == NULL) {
        return NULL;
    }
    state = port->lock_state(port->ctx, &can);
    if ((can & ~all) != 0 || (state & ~can) != 0) {
        return "the lock state has parts that the chip does not have";
    }
    if (!locked) {
        return (state & STAMP_LOCK_WRITE) == 0 ? NULL
                                               : "it says that it is locked before";
    }
    return state == can ? NULL : "it is locked, and not all parts are in force";
}

static const char *try_lock(const struct stamp_port *port)
{
    const struct stamp_flash *f = &port->flash;
    uint8_t data[CHUNK];
    uint8_t now[CHUNK];

    if (stamp_flash_read(f, 0, now, f->program_size) != STAMP_OK) {
        return "read fails";
    }
    if (try_lock_state(port, false) != NULL) {
        return try_lock_state(port, false);
    }
    if (port->lock(port->ctx) != 0) {
        return "lock fails";
    }
    if (port->lock(port->ctx) != 0) {
        return "lock fails when it is done again";
    }
    if (try_lock_state(port, true) != NULL) {
        return try_lock_state(port, true);
    }
    pattern(data, f->program_size, 1);
    (void)f->erase(f->ctx, 0); /* refused, or without effect */
    (void)f->program(f->ctx, STAMP_LOCK_OFFSET - f->program_size, data, f->program_size);
    if (!holds(f, 0, now, f->program_size) || f->erase(f->ctx, 0) == 0) {
        return "the locked region can be erased";
    }
    return f->erase(f->ctx, f->birth_size) == 0 ? NULL : "lock locks a bank too";
}

const char *port_conformance(const struct stamp_port *port, bool may_lock)
{
    const char *wrong = check_geometry(port);

    if (wrong == NULL) {
        wrong = erase_all(&port->flash);
    }
    if (wrong == NULL) {
        wrong = try_regions(&port->flash);
    }
    if (wrong == NULL) {
        wrong = try_erase(&port->flash);
    }
    if (wrong == NULL) {
        wrong = try_keys(port);
    }
    if (wrong == NULL) {
        wrong = try_chip_id(port);
    }
    if (wrong == NULL && may_lock && port->lock != NULL) {
        return try_lock(port);
    }
    return wrong == NULL ? erase_all(&port->flash) : wrong;
}
