/*
 * Judging an identity before it is written: the birth stamp's own, or a new operational
 * one. Nothing is believed that does not go back to the owner's key. SPEC 7-7, 8-4.
 */
#include <string.h>

#include "device/chain_i.h"

/* What certificates are held against. Apart from them, so that the stack that each takes
 * is not taken at once. */
STAMPI_OWN_FRAME static enum stamp_err identify(const struct stamp_device *dev,
                                                const struct stamp_slice *key,
                                                struct stampi_identity *who)
{
    static const uint8_t binding[] = {0x30, 37, 0x0A, 1, 0, 0x04, STAMPI_HASH_SIZE};
    const uint8_t *pinned = dev->port->owner_key_hash;
    psa_key_id_t id;
    size_t len;
    enum stamp_err rc = stamp_get_string(dev, STAMP_BIRTH, STAMP_SERIAL, who->serial,
                                         sizeof who->serial, &who->serial_len);

    memcpy(who->binding, binding, sizeof binding);
    if (rc == STAMP_OK) { /* small enough to be its own encoding */
        rc = stamp_get(dev, STAMP_BIRTH, STAMP_PURPOSE, &who->purpose, 1, &len);
    }
    if (rc == STAMP_OK && pinned == NULL) {
        rc = stamp_get_string(dev, STAMP_BIRTH, STAMP_OWNER_KEY_HASH, who->owner,
                              STAMPI_HASH_SIZE, &len);
    }
    if (rc == STAMP_OK) {
        rc = stamp_claims_digest(dev, who->binding + STAMPI_BINDING_DIGEST);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (pinned != NULL) {
        memcpy(who->owner, pinned, STAMPI_HASH_SIZE);
    }
    who->binding[STAMPI_BINDING_SHORT - 1] = who->purpose;
    rc = key != NULL ? stampi_key_parse(dev->port, STAMP_DEVICE_KEY, *key, &id)
                     : stamp_key_load(dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id);
    if (psa_export_public_key(id, who->point, sizeof who->point, &len) != PSA_SUCCESS &&
        rc == STAMP_OK) {
        rc = STAMP_E_CRYPTO;
    }
    stamp_key_unload(id);
    return rc;
}

/* A device's clock is no judge of dates: many have none, or begin in 1970. Flags are all
 * set where verification could not be completed. */
static enum stamp_err follow(mbedtls_x509_crt *chain, mbedtls_x509_crt *anchors)
{
    const uint32_t dates = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
    uint32_t flags = UINT32_MAX;

    (void)mbedtls_x509_crt_verify(chain, anchors, NULL, NULL, &flags, NULL, NULL);
    return (flags & ~dates) == 0 ? STAMP_OK : STAMP_E_AUTH;
}

/* Parse the certificates, leaf first, and follow them to an anchor. */
STAMPI_OWN_FRAME static enum stamp_err check_chain(struct stamp_slice certificates,
                                                   struct stampi_identity *who,
                                                   mbedtls_x509_crt *anchors)
{
    mbedtls_x509_crt chain;
    struct stamp_cbor c;
    enum stamp_err rc = STAMP_OK;
    uint32_t n;

    mbedtls_x509_crt_init(&chain);
    who->leaf = true;
    stamp_cbor_init(&c, certificates.p, certificates.len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    if (n == 0 || n > STAMP_MAX_CERTIFICATES) {
        rc = STAMP_E_FORMAT;
    }
    for (; rc == STAMP_OK && n > 0; n--) {
        rc = stampi_parse_certificate(
            &chain, stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE),
            who);
    }
    if (rc == STAMP_OK && c.left != 0) {
        rc = STAMP_E_FORMAT;
    }
    if (rc == STAMP_OK && !stampi_certifies(&chain, who)) {
        rc = STAMP_E_AUTH;
    }
    if (rc == STAMP_OK) {
        rc = follow(&chain, anchors);
    }
    mbedtls_x509_crt_free(&chain);
    return rc;
}

STAMPI_OWN_FRAME static enum stamp_err
check_certificates(const struct stamp_device *dev, const struct stamp_change *changes,
                   size_t n, struct stampi_identity *who)
{
    const struct stamp_slice *offered = stampi_change(changes, n, STAMP_TRUST_BUNDLE);
    struct stamp_slice v;
    mbedtls_x509_crt anchors;
    enum stamp_err rc = stampi_find(dev, STAMP_NEWEST, STAMP_TRUST_BUNDLE, &v);

    mbedtls_x509_crt_init(&anchors);
    if (rc == STAMP_OK) {
        rc = stampi_take_anchors(v, offered, who, &anchors);
    }
    if (rc == STAMP_OK) {
        offered = stampi_change(changes, n, STAMP_CERTIFICATES);
        if (offered != NULL) {
            v = *offered;
        } else {
            rc = stampi_find(dev, STAMP_BIRTH, STAMP_CERTIFICATES, &v);
        }
    }
    if (rc == STAMP_OK) {
        rc = check_chain(v, who, &anchors);
    }
    stampi_done(dev);
    mbedtls_x509_crt_free(&anchors);
    return rc;
}

enum stamp_err stampi_judge(const struct stamp_device *dev,
                            const struct stamp_change *changes, size_t n, bool *bound)
{
    struct stampi_identity who = {0};
    enum stamp_err rc = identify(dev, stampi_change(changes, n, STAMP_DEVICE_KEY), &who);

    if (rc == STAMP_OK) {
        rc = check_certificates(dev, changes, n, &who);
    }
    *bound = who.bound;
    return rc;
}
