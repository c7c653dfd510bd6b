#include "device/port/qemu_riscv32/rng.h"

#include <stdbool.h>
#include <string.h>

#include "mbedtls/platform_util.h"

#include "device/port/qemu_riscv32/clock.h"
#include "device/port/qemu_riscv32/mmio.h"

#define SLOT_FIRST 0x10001000u
#define SLOT_STRIDE 0x1000u
#define SLOTS 8u

/* Registers of virtio-mmio: 4.2.2, and 4.2.4 for those of the legacy transport (version
 * 1). */
#define REG_MAGIC 0x000u
#define REG_VERSION 0x004u
#define REG_DEVICE_ID 0x008u
#define REG_DEVICE_FEATURES 0x010u
#define REG_DEVICE_FEATURES_SEL 0x014u
#define REG_DRIVER_FEATURES 0x020u
#define REG_DRIVER_FEATURES_SEL 0x024u
#define REG_LEGACY_PAGE_SIZE 0x028u
#define REG_QUEUE_SEL 0x030u
#define REG_QUEUE_NUM_MAX 0x034u
#define REG_QUEUE_NUM 0x038u
#define REG_LEGACY_QUEUE_ALIGN 0x03Cu
#define REG_LEGACY_QUEUE_PFN 0x040u
#define REG_QUEUE_READY 0x044u
#define REG_QUEUE_NOTIFY 0x050u
#define REG_STATUS 0x070u
#define REG_QUEUE_DESC 0x080u
#define REG_QUEUE_DRIVER 0x090u
#define REG_QUEUE_DEVICE 0x0A0u

#define MAGIC 0x74726976u
#define DEVICE_ENTROPY 4u
#define FEATURE_VERSION_1 0x1u /* bit 32: bit 0 of the upper word */

#define STATUS_ACKNOWLEDGE 0x01u
#define STATUS_DRIVER 0x02u
#define STATUS_DRIVER_OK 0x04u
#define STATUS_FEATURES_OK 0x08u

#define PAGE 4096u
#define QUEUE_NUM 1u
#define DESC_DEVICE_WRITES 2u
#define REQUEST_SIZE 64u
#define TIMEOUT_MS 2000u

/* The split virtqueue of one entry (2.6), laid out as the legacy transport wants it: the
 * used ring begins a page of its own. */
struct queue {
    struct {
        uint32_t addr_low;
        uint32_t addr_high;
        uint32_t len;
        uint16_t flags;
        uint16_t next;
    } desc[QUEUE_NUM];
    struct {
        uint16_t flags;
        uint16_t idx;
        uint16_t ring[QUEUE_NUM];
        uint16_t used_event;
    } avail;
    struct {
        uint16_t flags;
        uint16_t idx;
        struct {
            uint32_t id;
            uint32_t len;
        } ring[QUEUE_NUM];
        uint16_t avail_event;
    } used __attribute__((aligned(PAGE)));
};

static volatile struct queue queue __attribute__((aligned(PAGE)));
static uint8_t request[REQUEST_SIZE];
static uintptr_t slot; /* 0 = not started */

static uintptr_t slot_find(void)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        uintptr_t at = SLOT_FIRST + i * SLOT_STRIDE;

        if (mmio_read32(at + REG_MAGIC) == MAGIC &&
            mmio_read32(at + REG_DEVICE_ID) == DEVICE_ENTROPY) {
            return at;
        }
    }
    return 0;
}

static void address_write(uintptr_t reg, const volatile void *p)
{
    mmio_write32(reg, (uint32_t)(uintptr_t)p);
    mmio_write32(reg + 4, 0);
}

/* 3.1.1 steps 4 to 6: the entropy device has no features of its own. */
static bool features_agree(uintptr_t at)
{
    mmio_write32(at + REG_DEVICE_FEATURES_SEL, 1);
    if ((mmio_read32(at + REG_DEVICE_FEATURES) & FEATURE_VERSION_1) == 0) {
        return false;
    }
    mmio_write32(at + REG_DRIVER_FEATURES_SEL, 0);
    mmio_write32(at + REG_DRIVER_FEATURES, 0);
    mmio_write32(at + REG_DRIVER_FEATURES_SEL, 1);
    mmio_write32(at + REG_DRIVER_FEATURES, FEATURE_VERSION_1);
    mmio_write32(at + REG_STATUS,
                 STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    return (mmio_read32(at + REG_STATUS) & STATUS_FEATURES_OK) != 0;
}

static bool queue_start(uintptr_t at, bool legacy)
{
    mmio_write32(at + REG_QUEUE_SEL, 0);
    if (mmio_read32(at + REG_QUEUE_NUM_MAX) < QUEUE_NUM) {
        return false;
    }
    mmio_write32(at + REG_QUEUE_NUM, QUEUE_NUM);
    if (legacy) {
        mmio_write32(at + REG_LEGACY_QUEUE_ALIGN, PAGE);
        mmio_write32(at + REG_LEGACY_QUEUE_PFN, (uint32_t)(uintptr_t)&queue / PAGE);
        return true;
    }
    address_write(at + REG_QUEUE_DESC, queue.desc);
    address_write(at + REG_QUEUE_DRIVER, &queue.avail);
    address_write(at + REG_QUEUE_DEVICE, &queue.used);
    mmio_write32(at + REG_QUEUE_READY, 1);
    return true;
}

enum stamp_err rng_init(void)
{
    uintptr_t at = slot_find();
    bool legacy;
    uint32_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;

    if (at == 0) {
        return STAMP_E_MISSING;
    }
    legacy = mmio_read32(at + REG_VERSION) == 1;
    mmio_write32(at + REG_STATUS, 0);
    mmio_write32(at + REG_STATUS, status);
    if (legacy) {
        mmio_write32(at + REG_LEGACY_PAGE_SIZE, PAGE);
    } else {
        if (!features_agree(at)) {
            return STAMP_E_CRYPTO;
        }
        status |= STATUS_FEATURES_OK;
    }
    if (!queue_start(at, legacy)) {
        return STAMP_E_CRYPTO;
    }
    mmio_write32(at + REG_STATUS, status | STATUS_DRIVER_OK);
    slot = at;
    return STAMP_OK;
}

/* One request; `*got` bytes of `request` are fresh afterwards. */
static enum stamp_err request_do(size_t want, size_t *got)
{
    uint32_t start_ms = clock_now_ms();
    uint16_t used = queue.used.idx;

    queue.desc[0].addr_low = (uint32_t)(uintptr_t)request;
    queue.desc[0].addr_high = 0;
    queue.desc[0].len = (uint32_t)want;
    queue.desc[0].flags = DESC_DEVICE_WRITES;
    queue.desc[0].next = 0;
    queue.avail.ring[0] = 0;
    mmio_fence();
    queue.avail.idx = (uint16_t)(queue.avail.idx + 1u);
    mmio_fence();
    mmio_write32(slot + REG_QUEUE_NOTIFY, 0);
    while (queue.used.idx == used) {
        if (clock_passed(start_ms, TIMEOUT_MS)) {
            /* The request stays with the device, which may still write it: use it no
             * more. */
            slot = 0;
            return STAMP_E_CRYPTO;
        }
    }
    mmio_fence();
    *got = queue.used.ring[0].len;
    return *got > 0 && *got <= want ? STAMP_OK : STAMP_E_CRYPTO;
}

enum stamp_err rng_read(uint8_t *buf, size_t len)
{
    enum stamp_err err = slot != 0 ? STAMP_OK : STAMP_E_CRYPTO;
    size_t done = 0;

    while (err == STAMP_OK && done < len) {
        size_t want = len - done < REQUEST_SIZE ? len - done : REQUEST_SIZE;
        size_t got = 0;

        err = request_do(want, &got);
        if (err == STAMP_OK) {
            memcpy(buf + done, request, got);
            done += got;
        }
        mbedtls_platform_zeroize(request, sizeof(request));
    }
    if (err != STAMP_OK) {
        mbedtls_platform_zeroize(buf, len);
    }
    return err;
}
