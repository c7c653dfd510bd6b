/*
 * Judging an identity before it is written: the birth stamp's own, or a new operational
 * one. Nothing is believed that does not go back to the owner's key. SPEC 7-7, 8-4.
 */
#include <string.h>

#include "device/chain_i.h"

/* All of `who` but the point. `serial` takes STAMP_MAX_TEXT bytes. */
static enum stamp_err identify(const struct stamp_device *dev,
                               struct stampi_identity *who, uint8_t *serial)
{
    uint8_t purpose;
    size_t len;
    enum stamp_err rc = stamp_get_string(dev, STAMP_BIRTH, STAMP_SERIAL, serial,
                                         STAMP_MAX_TEXT, &who->serial.len);

    who->serial.p = serial;
    if (rc == STAMP_OK) {
        rc = stamp_get(dev, STAMP_BIRTH, STAMP_PURPOSE, &purpose, 1, &len);
        who->purpose = purpose; /* small enough to be its own encoding */
    }
    return rc == STAMP_OK ? stamp_claims_digest(dev, who->digest) : rc;
}

static enum stamp_err key_point(const struct stamp_device *dev,
                                const struct stamp_slice *key,
                                uint8_t point[STAMP_POINT_SIZE])
{
    psa_key_id_t id;
    size_t len;
    enum stamp_err rc;

    rc = key != NULL ? stampi_key_parse(dev->port, STAMP_DEVICE_KEY, *key, &id)
                     : stamp_key_load(dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id);
    if (rc == STAMP_OK &&
        psa_export_public_key(id, point, STAMP_POINT_SIZE, &len) != PSA_SUCCESS) {
        rc = STAMP_E_CRYPTO;
    }
    stamp_key_unload(id);
    return rc;
}
static enum stamp_err take_chain(struct stamp_slice certificates,
                                 struct stampi_identity *who, mbedtls_x509_crt *chain)
{
    struct stamp_cbor c;
    uint32_t n;
    enum stamp_err rc = STAMP_OK;

    stamp_cbor_init(&c, certificates.p, certificates.len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    if (n == 0 || n > STAMP_MAX_CERTIFICATES) {
        return STAMP_E_FORMAT;
    }
    for (; n > 0 && rc == STAMP_OK; n--) {
        struct stamp_slice der =
            stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);

        rc = stampi_parse_certificate(chain, der, who);
    }
    return rc == STAMP_OK && c.left != 0 ? STAMP_E_FORMAT : rc;
}

/* A device's clock is no judge of dates: many have none, or begin in 1970. */
static enum stamp_err follow(mbedtls_x509_crt *chain, mbedtls_x509_crt *anchors)
{
    const uint32_t dates = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
    uint32_t flags = 0;
    int rc = mbedtls_x509_crt_verify(chain, anchors, NULL, NULL, &flags, NULL, NULL);

    return rc == 0 || (rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED && (flags & ~dates) == 0)
               ? STAMP_OK
               : STAMP_E_AUTH;
}

enum stamp_err stampi_judge(const struct stamp_device *dev,
                            const struct stamp_change *changes, size_t n, bool *bound)
{
    uint8_t serial[STAMP_MAX_TEXT];
    struct stampi_identity who = {.leaf = false};
    const struct stamp_slice *chosen;
    struct stamp_slice v;
    mbedtls_x509_crt chain;
    mbedtls_x509_crt anchors;
    enum stamp_err rc;

    mbedtls_x509_crt_init(&chain);
    mbedtls_x509_crt_init(&anchors);
    rc = identify(dev, &who, serial);
    if (rc == STAMP_OK) {
        rc = key_point(dev, stampi_change(changes, n, STAMP_DEVICE_KEY), who.point);
    }
    if (rc == STAMP_OK) {
        chosen = stampi_change(changes, n, STAMP_TRUST_BUNDLE);
        rc = stampi_take_anchors(dev, chosen, &who, &anchors);
        who.leaf = true;
    }
    chosen = stampi_change(changes, n, STAMP_CERTIFICATES);
    if (rc == STAMP_OK && chosen != NULL) {
        v = *chosen;
    } else if (rc == STAMP_OK) {
        rc = stampi_find(dev, STAMP_BIRTH, STAMP_CERTIFICATES, &v);
    }
    if (rc == STAMP_OK) {
        rc = take_chain(v, &who, &chain);
    }
    if (rc == STAMP_OK && !stampi_certifies(&chain, &who)) {
        rc = STAMP_E_AUTH;
    }
    if (rc == STAMP_OK) {
        rc = follow(&chain, &anchors);
    }
    stampi_done(dev);
    mbedtls_x509_crt_free(&chain);
    mbedtls_x509_crt_free(&anchors);
    *bound = who.bound;
    return rc;
}
