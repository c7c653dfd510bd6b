#include "device/port/qemu_riscv32/fwcfg.h"

#include <string.h>

#include "device/port/qemu_riscv32/mmio.h"

#define FWCFG_DATA 0x10100000u
#define FWCFG_SELECT 0x10100008u /* big endian */

#define KEY_SIGNATURE 0x0000u
#define KEY_DIRECTORY 0x0019u

#define NAME_SIZE 56u

static void item_select(uint16_t key)
{
    mmio_write16(FWCFG_SELECT, (uint16_t)((uint16_t)(key << 8) | key >> 8));
}

static void item_bytes(uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        buf[i] = mmio_read8(FWCFG_DATA);
    }
}

static uint32_t item_be(size_t len)
{
    uint32_t value = 0;

    while (len-- > 0) {
        value = value << 8 | mmio_read8(FWCFG_DATA);
    }
    return value;
}

static enum stamp_err item_find(const char *name, uint16_t *key, uint32_t *len)
{
    uint8_t entry_name[NAME_SIZE];
    uint32_t entries;

    item_select(KEY_DIRECTORY);
    entries = item_be(4);
    while (entries-- > 0) {
        *len = item_be(4);
        *key = (uint16_t)item_be(2);
        (void)item_be(2);
        item_bytes(entry_name, NAME_SIZE);
        entry_name[NAME_SIZE - 1] = 0;
        if (strcmp((const char *)entry_name, name) == 0) {
            return STAMP_OK;
        }
    }
    return STAMP_E_MISSING;
}

enum stamp_err fwcfg_read(const char *name, uint8_t *buf, size_t size, size_t *len)
{
    uint8_t signature[4];
    uint32_t item_len;
    uint16_t key;
    enum stamp_err err;

    *len = 0;
    item_select(KEY_SIGNATURE);
    item_bytes(signature, sizeof(signature));
    if (memcmp(signature, "QEMU", sizeof(signature)) != 0) {
        return STAMP_E_MISSING;
    }
    err = item_find(name, &key, &item_len);
    if (err != STAMP_OK) {
        return err;
    }
    if (item_len > size) {
        return STAMP_E_SPACE;
    }
    item_select(key);
    item_bytes(buf, item_len);
    *len = item_len;
    return STAMP_OK;
}
