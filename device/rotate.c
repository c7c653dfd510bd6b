/* A new operational identity: nothing is written before all of it is judged. SPEC 8-4,
 * 7-7. */
#include <string.h>

#include "device/device_i.h"

/* The hash of the owner's key: pinned in the firmware, else the birth stamp's. */
static enum stamp_err owner_hash(const struct stamp_device *dev,
                                 uint8_t hash[STAMPI_HASH_SIZE])
{
    size_t len;

    if (dev->port->owner_key_hash != NULL) {
        memcpy(hash, dev->port->owner_key_hash, STAMPI_HASH_SIZE);
        return STAMP_OK;
    }
    return stamp_get_string(dev, STAMP_BIRTH, STAMP_OWNER_KEY_HASH, hash,
                            STAMPI_HASH_SIZE, &len);
}

/* SPEC 8-4. Uses no work buffer: the bundle may lie there. */
static enum stamp_err check_bundle(const struct stamp_bundle *b,
                                   const uint8_t owner[STAMPI_HASH_SIZE], uint8_t purpose,
                                   uint32_t version)
{
    uint8_t hash[STAMPI_HASH_SIZE];
    enum stamp_err rc;
    size_t len;

    if (psa_hash_compute(PSA_ALG_SHA_256, b->owner.p, b->owner.len, hash, sizeof hash,
                         &len) != PSA_SUCCESS) {
        return STAMP_E_CRYPTO;
    }
    if (memcmp(hash, owner, sizeof hash) != 0) {
        return STAMP_E_AUTH;
    }
    rc = stamp_verify_point(b->owner.p, STAMP_LABEL_BUNDLE, b->payload.p, b->payload.len,
                            b->signature.p);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (b->purpose != purpose) {
        return STAMP_E_PURPOSE;
    }
    return b->version < version ? STAMP_E_ROLLBACK : STAMP_OK;
}

/* Decode the offered bundle, and find the version of the one that is held. */
static enum stamp_err take_bundle(const struct stamp_device *dev,
                                  struct stamp_slice offered, struct stamp_bundle *b,
                                  uint32_t *version)
{
    struct stamp_slice held;
    enum stamp_err rc = stampi_find_value(dev, STAMP_NEWEST, STAMP_TRUST_BUNDLE, &held);

    if (rc == STAMP_OK) {
        rc = stamp_bundle_decode(b, held.p, held.len);
        *version = b->version;
        stampi_value_done(dev, &held);
    }
    return rc == STAMP_OK ? stamp_bundle_decode(b, offered.p, offered.len) : rc;
}

static enum stamp_err key_point(const struct stamp_port *port, struct stamp_slice key,
                                uint8_t point[STAMP_POINT_SIZE])
{
    psa_key_id_t id;
    size_t len;
    enum stamp_err rc = stampi_key_parse(port, key, false, &id);

    if (rc == STAMP_OK &&
        psa_export_public_key(id, point, STAMP_POINT_SIZE, &len) != PSA_SUCCESS) {
        rc = STAMP_E_CRYPTO;
    }
    stamp_key_unload(id);
    return rc;
}

static enum stamp_err judge(const struct stamp_device *dev,
                            const struct stamp_rotation *rotation)
{
    uint8_t serial[STAMP_MAX_TEXT];
    struct stampi_identity who;
    struct stamp_bundle bundle;
    struct stamp_slice held = {NULL, 0};
    uint8_t owner[STAMPI_HASH_SIZE];
    uint32_t version = 0;
    bool bound;
    enum stamp_err rc = stampi_identity_of(dev, &who, serial);

    if (rc == STAMP_OK) {
        rc = owner_hash(dev, owner);
    }
    if (rc == STAMP_OK) {
        rc = key_point(dev->port, rotation->key, who.point);
    }
    if (rc == STAMP_OK && rotation->bundle.p != NULL) {
        rc = take_bundle(dev, rotation->bundle, &bundle, &version);
    } else if (rc == STAMP_OK) {
        rc = stampi_find_value(dev, STAMP_NEWEST, STAMP_TRUST_BUNDLE, &held);
        if (rc == STAMP_OK) {
            rc = stamp_bundle_decode(&bundle, held.p, held.len);
        }
    }
    if (rc == STAMP_OK) {
        rc = check_bundle(&bundle, owner, who.purpose, version);
    }
    if (rc == STAMP_OK) {
        who.bundle = &bundle;
        rc = stampi_chain_check(rotation->certificates, &who, &bound);
    }
    stampi_value_done(dev, &held);
    return rc;
}

static void add(struct stamp_change *changes, size_t *n, uint32_t key,
                struct stamp_slice value)
{
    if (value.p != NULL) {
        changes[*n].key = key;
        changes[*n].value = value;
        ++*n;
    }
}

enum stamp_err stamp_rotate(struct stamp_device *dev,
                            const struct stamp_rotation *rotation)
{
    struct stamp_change changes[4];
    enum stamp_err rc;
    size_t n = 0;

    if (dev->part.region[STAMP_BIRTH].state != STAMP_REGION_WHOLE) {
        return STAMP_E_BLANK;
    }
    rc = judge(dev, rotation);
    if (rc != STAMP_OK) {
        return rc;
    }
    add(changes, &n, STAMP_TRUST_BUNDLE, rotation->bundle);
    add(changes, &n, STAMP_POP, rotation->pop);
    add(changes, &n, STAMP_DEVICE_KEY, rotation->key);
    add(changes, &n, STAMP_CERTIFICATES, rotation->certificates);
    return stamp_bank_update(dev, changes, n);
}
