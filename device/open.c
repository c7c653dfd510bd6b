/*
 * Opening: which regions count. Whole is not enough for a bank, it must also be signed by
 * the birth key; and a stamp that is locked gets the port's lock again at each boot.
 */
#include "device/device_i.h"

/* SPEC 6-2. STAMP_E_AUTH: not this device's. */
static enum stamp_err check_bank(const struct stamp_part *part,
                                 const struct stamp_region *r, psa_key_id_t birth)
{
    uint8_t buf[STAMP_SIGNATURE_SIZE];
    psa_hash_operation_t op;
    uint32_t off = r->off;
    uint32_t left = r->body_len;
    uint32_t n = STAMP_SIGNED_SIZE;
    enum stamp_err rc;

    stampi_sig_begin(&op, STAMP_LABEL_BANK, STAMP_SIGNED_SIZE + r->body_len);
    rc = stamp_flash_read(part->flash, off, buf, n);
    for (off += STAMP_BODY_OFFSET; rc == STAMP_OK; off += n, left -= n) {
        stampi_hash(&op, buf, n);
        if (left == 0) {
            rc = stamp_flash_read(part->flash, off, buf, STAMP_SIGNATURE_SIZE);
            break;
        }
        n = left < sizeof buf ? left : sizeof buf;
        rc = stamp_flash_read(part->flash, off, buf, n);
    }
    if (rc == STAMP_OK) {
        rc = stampi_sig_end(&op, birth, NULL, buf);
    }
    (void)psa_hash_abort(&op);
    return rc;
}

static enum stamp_err check_banks(struct stamp_device *dev)
{
    psa_key_id_t birth = PSA_KEY_ID_NULL;
    enum stamp_err rc = STAMP_OK;

    for (unsigned i = STAMP_BANK_A; i <= STAMP_BANK_B && rc == STAMP_OK; i++) {
        struct stamp_region *r = &dev->part.region[i];

        if (r->state != STAMP_REGION_WHOLE) {
            continue;
        }
        if (birth == PSA_KEY_ID_NULL) {
            rc = stamp_key_load(dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &birth);
        }
        if (rc == STAMP_OK) {
            rc = check_bank(&dev->part, r, birth);
        }
        if (rc == STAMP_E_AUTH) {
            r->state = STAMP_REGION_TORN;
            r->seq = 0;
            rc = STAMP_OK;
        }
    }
    stamp_key_unload(birth);
    stamp_part_pick(&dev->part);
    return rc;
}

enum stamp_err stamp_device_open(struct stamp_device *dev, const struct stamp_port *port)
{
    enum stamp_err rc;

    dev->port = port;
    dev->locked = false;
    rc = stamp_part_open(&dev->part, &port->flash);
    if (rc == STAMP_E_FLASH) {
        return rc;
    }
    dev->locked = stamp_part_locked(&dev->part);
    if (dev->locked && port->lock != NULL && port->lock(port->ctx) != 0) {
        return STAMP_E_FLASH;
    }
    return rc == STAMP_OK ? check_banks(dev) : rc;
}
