/* The birth stamp: written once, then locked. SPEC 3-10, 3-13. */
#include <string.h>

#include "device/device_i.h"

enum stamp_err stampi_identity_of(const struct stamp_device *dev,
                                  struct stampi_identity *who, uint8_t *serial)
{
    struct stamp_cbor c;
    uint8_t purpose[2];
    size_t len;
    enum stamp_err rc;

    memset(who, 0, sizeof *who);
    rc = stamp_get_string(dev, STAMP_BIRTH, STAMP_SERIAL, serial, STAMP_MAX_TEXT,
                          &who->serial.len);
    who->serial.p = serial;
    if (rc == STAMP_OK) {
        rc = stamp_get(dev, STAMP_BIRTH, STAMP_PURPOSE, purpose, sizeof purpose, &len);
    }
    if (rc == STAMP_OK) {
        stamp_cbor_init(&c, purpose, len);
        who->purpose = (uint8_t)stamp_cbor_uint(&c, STAMP_PRODUCTION);
        rc = c.err;
    }
    return rc == STAMP_OK ? stamp_claims_digest(dev, who->digest) : rc;
}

enum stamp_err stamp_check_binding(const struct stamp_device *dev)
{
    uint8_t serial[STAMP_MAX_TEXT];
    struct stampi_identity who;
    struct stamp_bundle bundle;
    struct stamp_slice v = {NULL, 0};
    psa_key_id_t id = PSA_KEY_ID_NULL;
    bool bound = false;
    size_t len;
    enum stamp_err rc = stampi_identity_of(dev, &who, serial);

    if (rc == STAMP_OK) {
        rc = stamp_key_load(dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id);
    }
    if (rc == STAMP_OK &&
        psa_export_public_key(id, who.point, sizeof who.point, &len) != PSA_SUCCESS) {
        rc = STAMP_E_CRYPTO;
    }
    stamp_key_unload(id);
    if (rc == STAMP_OK) {
        rc = stampi_find_value(dev, STAMP_BIRTH, STAMP_TRUST_BUNDLE, &v);
    }
    if (rc == STAMP_OK) {
        rc = stamp_bundle_decode(&bundle, v.p, v.len);
        if (rc == STAMP_OK && bundle.purpose != who.purpose) {
            rc = STAMP_E_PURPOSE;
        }
        stampi_value_done(dev, &v);
    }
    if (rc == STAMP_OK) {
        rc = stampi_find_value(dev, STAMP_BIRTH, STAMP_CERTIFICATES, &v);
    }
    if (rc == STAMP_OK) {
        rc = stampi_chain_check(v, &who, &bound);
        stampi_value_done(dev, &v);
    }
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
    };
    enum stamp_err rc = check_place(dev);

    if (rc == STAMP_OK) {
        rc = stampi_check_stamp(in, in_len, true);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stampi_view_init(&view, dev->port, in, in_len);
    rc = stamp_check_binding(&view.dev);
    if (rc != STAMP_OK && rc != STAMP_E_MISSING) {
        return rc;
    }
    rc = stampi_region_write(dev, &job);
    return rc == STAMP_OK ? stamp_device_open(dev, dev->port) : rc;
}

enum stamp_err stamp_lock(struct stamp_device *dev)
{
    const struct stamp_flash *flash = dev->part.flash;
    uint8_t mark[STAMP_HEADER_SIZE];
    size_t len = flash->program_size < 4 ? 4 : flash->program_size;
    enum stamp_err rc = STAMP_OK;

    if (dev->part.region[STAMP_BIRTH].state != STAMP_REGION_WHOLE) {
        return STAMP_E_BLANK;
    }
    if (!stamp_part_locked(&dev->part)) {
        for (size_t i = 0; i < len; i++) {
            mark[i] = (uint8_t)STAMP_LOCK_MARK[i % 4];
        }
        rc = stampi_program(flash, STAMP_LOCK_OFFSET, mark, len);
    }
    dev->locked = stamp_part_locked(&dev->part);
    if (rc == STAMP_OK && !dev->locked) {
        rc = STAMP_E_FLASH;
    }
    if (dev->locked && dev->port->lock != NULL && dev->port->lock(dev->port->ctx) != 0) {
        rc = STAMP_E_FLASH;
    }
    return rc;
}
