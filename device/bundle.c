/* The trust bundle: anchors count only when the owner of this device signed them, and
 * never an older set than the one that is held. SPEC 8-4. */
#include <string.h>

#include "device/chain_i.h"

/* SPEC 8-4. */
static enum stamp_err check_bundle(const struct stamp_bundle *b,
                                   const struct stampi_identity *who)
{
    uint8_t hash[STAMPI_HASH_SIZE];
    enum stamp_err rc = stampi_sha256(b->owner.p, b->owner.len, hash);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (memcmp(hash, who->owner, sizeof hash) != 0) {
        return STAMP_E_AUTH;
    }
    if (b->purpose != who->purpose) {
        return STAMP_E_PURPOSE;
    }
    return stamp_verify_point(b->owner.p, STAMP_LABEL_BUNDLE, b->payload.p,
                              b->payload.len, b->signature.p);
}

enum stamp_err stampi_take_anchors(struct stamp_slice held,
                                   const struct stamp_slice *offered,
                                   struct stampi_identity *who, mbedtls_x509_crt *anchors)
{
    struct stamp_bundle b;
    enum stamp_err rc = stamp_bundle_decode(&b, held.p, held.len);
    uint32_t version = b.version;

    if (rc == STAMP_OK && offered != NULL) {
        rc = stamp_bundle_decode(&b, offered->p, offered->len);
    }
    if (rc == STAMP_OK) {
        rc = check_bundle(&b, who);
    }
    if (rc == STAMP_OK && b.version < version) {
        rc = STAMP_E_ROLLBACK;
    }
    for (uint8_t i = 0; rc == STAMP_OK && i < b.n_anchors; i++) {
        rc = stampi_parse_certificate(anchors, b.anchors[i], who);
    }
    return rc;
}
