/* The birth stamp: written once, then locked. SPEC 3-10, 3-13. */
#include "device/device_i.h"

enum stamp_err stamp_check_binding(const struct stamp_device *dev)
{
    bool bound;
    enum stamp_err rc = stampi_judge(dev, NULL, 0, &bound);

    return rc == STAMP_OK && !bound ? STAMP_E_MISSING : rc;
}

/* May a birth stamp be written here at all? */
static enum stamp_err check_place(const struct stamp_device *dev)
{
    if (dev->locked) {
        return STAMP_E_LOCKED;
    }
    switch (dev->part.region[STAMP_BIRTH].state) {
    case STAMP_REGION_WHOLE:
        return STAMP_E_EXISTS;
    case STAMP_REGION_NEWER:
        return STAMP_E_VERSION;
    default:
        return STAMP_OK;
    }
}

enum stamp_err stamp_birth_write(struct stamp_device *dev, const void *in, size_t in_len)
{
    struct stampi_view view;
    struct stampi_job job = {
        .which = STAMP_BIRTH,
        .kind = STAMP_KIND_BIRTH,
        .from = &view.dev,
        .from_which = STAMP_BIRTH,
        .in = in,
        .in_len = in_len,
    };
    bool bound;
    enum stamp_err rc;

    stampi_view_init(&view, dev->port, in, in_len);
    rc = check_place(dev);
    if (rc == STAMP_OK) {
        rc = stampi_judge(&view.dev, NULL, 0, &bound);
    }
    if (rc == STAMP_OK) {
        rc = stampi_region_write(dev, &job);
    }
    return rc == STAMP_OK ? stamp_device_open(dev, dev->port) : rc;
}

enum stamp_err stamp_lock(struct stamp_device *dev)
{
    const struct stamp_flash *flash = dev->part.flash;
    uint8_t mark[STAMP_HEADER_SIZE];
    uint32_t len = flash->program_size;
    enum stamp_err rc = STAMP_OK;

    if (dev->part.region[STAMP_BIRTH].state != STAMP_REGION_WHOLE) {
        return STAMP_E_BLANK;
    }
    if (!dev->locked) {
        len = len < 4 ? 4 : len;
        for (uint32_t i = 0; i < len; i++) {
            mark[i] = (uint8_t)STAMP_LOCK_MARK[i % 4];
        }
        rc = stampi_program(flash, STAMP_LOCK_OFFSET, mark, len);
    }
    dev->locked = stamp_part_locked(&dev->part);
    if (!dev->locked ||
        (dev->port->lock != NULL && dev->port->lock(dev->port->ctx) != 0)) {
        rc = STAMP_E_FLASH;
    }
    return rc;
}
