/* The trust bundle: anchors count only when the owner of this device signed them, and
 * never an older set than the one that is held. SPEC 8-4. */
#include <string.h>

#include "device/chain_i.h"

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
                                   const uint8_t owner[STAMPI_HASH_SIZE], uint8_t purpose)
{
    uint8_t hash[STAMPI_HASH_SIZE];

    if (stampi_sha256(b->owner.p, b->owner.len, hash) != STAMP_OK) {
        return STAMP_E_CRYPTO;
    }
    if (memcmp(hash, owner, sizeof hash) != 0) {
        return STAMP_E_AUTH;
    }
    if (b->purpose != purpose) {
        return STAMP_E_PURPOSE;
    }
    return stamp_verify_point(b->owner.p, STAMP_LABEL_BUNDLE, b->payload.p,
                              b->payload.len, b->signature.p);
}

enum stamp_err stampi_take_anchors(const struct stamp_device *dev,
                                   const struct stamp_slice *offered,
                                   struct stampi_identity *who, mbedtls_x509_crt *anchors)
{
    uint8_t owner[STAMPI_HASH_SIZE];
    struct stamp_bundle b;
    struct stamp_slice v;
    uint32_t version = 0;
    enum stamp_err rc = owner_hash(dev, owner);

    if (rc == STAMP_OK) {
        rc = stampi_find(dev, STAMP_NEWEST, STAMP_TRUST_BUNDLE, &v);
    }
    if (rc == STAMP_OK) {
        rc = stamp_bundle_decode(&b, v.p, v.len);
        version = b.version;
    }
    if (rc == STAMP_OK && offered != NULL) {
        rc = stamp_bundle_decode(&b, offered->p, offered->len);
    }
    if (rc == STAMP_OK) {
        rc = check_bundle(&b, owner, who->purpose);
    }
    if (rc == STAMP_OK && b.version < version) {
        rc = STAMP_E_ROLLBACK;
    }
    for (uint8_t i = 0; rc == STAMP_OK && i < b.n_anchors; i++) {
        rc = stampi_parse_certificate(anchors, b.anchors[i], who);
    }
    stampi_done(dev);
    return rc;
}
