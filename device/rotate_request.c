/*
 * The request for a new certificate: who it is for is what the certificate in use says,
 * and the birth key vouches for the new key, so that whoever carries the request cannot
 * put a key of its own there. SPEC 16-5, 16-6.
 */
#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <string.h>

#include "device/chain_i.h"
#include "device/rotate_i.h"

enum {
    COUNT = 4, /* of what is in the evidence */
    VOUCHED_MAX =
        STAMP_POINT_SIZE + STAMPI_CHALLENGE_SIZE + STAMPI_HASH_SIZE + STAMP_CHIP_ID_MAX,
    EVIDENCE_MAX = 1 + COUNT * 3 + STAMPI_CHALLENGE_SIZE + STAMP_CHIP_ID_MAX +
                   STAMPI_HASH_SIZE + STAMP_SIGNATURE_SIZE,
};

/* The leaf in use, and its hash. */
static enum stamp_err take_leaf(const struct stamp_device *dev, mbedtls_x509_crt *leaf,
                                uint8_t hash[STAMPI_HASH_SIZE])
{
    struct stamp_slice v;
    struct stamp_cbor c;
    enum stamp_err rc = stampi_find(dev, STAMP_NEWEST, STAMP_CERTIFICATES, &v);

    if (rc == STAMP_OK) {
        stamp_cbor_init(&c, v.p, v.len);
        (void)stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
        v = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);
        rc = v.p == NULL || mbedtls_x509_crt_parse_der(leaf, v.p, v.len) != 0
                 ? STAMP_E_UNSUPPORTED
                 : stampi_sha256(v.p, v.len, hash);
    }
    stampi_done(dev);
    return rc;
}

/* The crypto library keeps names the other way round, and each attribute once. */
static enum stamp_err put_subject(struct stampi_csr *csr, const mbedtls_x509_crt *leaf)
{
    const mbedtls_x509_name *from = &leaf->subject;

    for (; from != NULL && from->oid.p != NULL; from = from->next) {
        mbedtls_asn1_named_data *to;

        if (from->next_merged != 0 ||
            mbedtls_asn1_find_named_data(csr->out.subject, (const char *)from->oid.p,
                                         from->oid.len) != NULL) {
            return STAMP_E_UNSUPPORTED;
        }
        to = mbedtls_asn1_store_named_data(&csr->out.subject, (const char *)from->oid.p,
                                           from->oid.len, from->val.p, from->val.len);
        if (to == NULL) {
            return STAMP_E_CRYPTO;
        }
        to->val.tag = from->val.tag;
    }
    return STAMP_OK;
}

/* subjectAltName, where the leaf has one, as it is. */
static enum stamp_err put_alternative(struct stampi_csr *csr,
                                      const mbedtls_x509_crt *leaf)
{
    const int sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
    unsigned char *p = leaf->v3_ext.p;
    const unsigned char *end = p + leaf->v3_ext.len;
    size_t len;

    if (p == NULL || mbedtls_asn1_get_tag(&p, end, &len, sequence) != 0) {
        return STAMP_OK; /* it has no extensions */
    }
    while (p < end && mbedtls_asn1_get_tag(&p, end, &len, sequence) == 0) {
        const unsigned char *next = p + len;
        const char *oid;
        size_t oid_len;
        int critical;

        if (mbedtls_asn1_get_tag(&p, next, &oid_len, MBEDTLS_ASN1_OID) != 0) {
            return STAMP_E_UNSUPPORTED;
        }
        oid = (const char *)p;
        p += oid_len;
        (void)mbedtls_asn1_get_bool(&p, next, &critical); /* may be absent */
        if (mbedtls_asn1_get_tag(&p, next, &len, MBEDTLS_ASN1_OCTET_STRING) != 0) {
            return STAMP_E_UNSUPPORTED;
        }
        if (oid_len == sizeof MBEDTLS_OID_SUBJECT_ALT_NAME - 1 &&
            memcmp(oid, MBEDTLS_OID_SUBJECT_ALT_NAME, oid_len) == 0) {
            return mbedtls_x509write_csr_set_extension(&csr->out, oid, oid_len, p, len) ==
                           0
                       ? STAMP_OK
                       : STAMP_E_CRYPTO;
        }
        p += len;
    }
    return STAMP_OK;
}

/* SPEC 16-6. */
STAMPI_OWN_FRAME static enum stamp_err put_evidence(struct stampi_csr *csr,
                                                    const struct stamp_device *dev,
                                                    struct stamp_slice challenge,
                                                    const uint8_t hash[STAMPI_HASH_SIZE],
                                                    psa_key_id_t next)
{
    uint8_t vouched[VOUCHED_MAX];
    uint8_t evidence[EVIDENCE_MAX];
    uint8_t sig[STAMP_SIGNATURE_SIZE];
    struct stamp_cbor_out o;
    size_t len = 0;
    size_t chip = 0;
    enum stamp_err rc;

    stamp_cbor_out_init(&o, evidence, sizeof evidence);
    rc = stampi_evidence_begin(&o, dev, challenge);
    stampi_evidence_put(&o, STAMP_EVIDENCE_IN_USE, hash, STAMPI_HASH_SIZE);
    if (rc == STAMP_OK &&
        psa_export_public_key(next, vouched, STAMP_POINT_SIZE, &len) != PSA_SUCCESS) {
        rc = STAMP_E_CRYPTO;
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    memcpy(vouched + len, challenge.p, STAMPI_CHALLENGE_SIZE);
    len += STAMPI_CHALLENGE_SIZE;
    memcpy(vouched + len, hash, STAMPI_HASH_SIZE);
    len += STAMPI_HASH_SIZE;
    if (dev->port->chip_id != NULL &&
        dev->port->chip_id(dev->port->ctx, vouched + len, &chip) != 0) {
        return STAMP_E_FLASH;
    }
    rc = stampi_sign_with(dev, STAMP_BIRTH, STAMP_DEVICE_KEY, STAMP_LABEL_ROTATE,
                          (struct stamp_slice){vouched, len + chip}, sig, NULL);
    stampi_evidence_put(&o, STAMP_EVIDENCE_VOUCHER, sig, sizeof sig);
    return rc == STAMP_OK ? stampi_csr_evidence(csr, &o, COUNT) : rc;
}

STAMPI_OWN_FRAME static enum stamp_err describe(struct stampi_csr *csr,
                                                const struct stamp_device *dev,
                                                uint8_t hash[STAMPI_HASH_SIZE])
{
    mbedtls_x509_crt leaf;
    uint8_t purpose;
    size_t len;
    enum stamp_err rc;

    mbedtls_x509_crt_init(&leaf);
    rc = take_leaf(dev, &leaf, hash);
    if (rc == STAMP_OK) {
        rc = put_subject(csr, &leaf);
    }
    if (rc == STAMP_OK) {
        rc = put_alternative(csr, &leaf);
    }
    mbedtls_x509_crt_free(&leaf);
    if (rc == STAMP_OK) { /* small enough to be its own encoding */
        rc = stamp_get(dev, STAMP_BIRTH, STAMP_PURPOSE, &purpose, 1, &len);
    }
    return rc == STAMP_OK ? stampi_csr_binding(csr, dev, purpose) : rc;
}

enum stamp_err stampi_renewal_make(const struct stamp_device *dev,
                                   struct stamp_slice challenge,
                                   struct stamp_cbor_out room, uint32_t *len)
{
    uint8_t hash[STAMPI_HASH_SIZE];
    struct stampi_csr csr;
    struct stamp_slice v;
    psa_key_id_t id = PSA_KEY_ID_NULL;
    enum stamp_err rc = stampi_find(dev, STAMP_NEWEST, STAMP_NEXT_KEY, &v);

    if (rc == STAMP_OK) {
        rc = stampi_key_parse(dev->port, STAMP_DEVICE_KEY, v, &id);
    }
    stampi_done(dev);
    if (rc == STAMP_OK) {
        rc = stampi_csr_begin(&csr, id);
        if (rc == STAMP_OK) {
            rc = describe(&csr, dev, hash);
        }
        if (rc == STAMP_OK) {
            rc = put_evidence(&csr, dev, challenge, hash, id);
        }
        rc = stampi_csr_end(&csr, rc, room, len);
    }
    stamp_key_unload(id);
    return rc;
}
