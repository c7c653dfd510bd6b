/*
 * The request for a certificate: PKCS#10 (RFC 2986), by the crypto library. In its
 * extensions (RFC 2985 5.4.2) it has the binding that the certificate is to carry, and
 * what tells the station about the unit. SPEC 13-11, 13-12.
 */
#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509_csr.h>
#include <string.h>

#include "device/chain_i.h"
#include "device/strike_i.h"

enum {
    EVIDENCE_MAX = 384,
    OID_EVIDENCE = 3, /* last arc, where that of the binding is 1 */
};

/* The hash that stands for a secret in the claims. */
static enum stamp_err put_commitment(struct stamp_cbor_out *o,
                                     const struct stamp_device *dev, uint32_t key,
                                     uint32_t *count)
{
    uint8_t hash[STAMPI_HASH_SIZE];
    struct stamp_slice v;
    enum stamp_err rc = stampi_find(dev, STAMPI_PENDING, key, &v);

    if (rc == STAMP_OK) {
        rc = stampi_sha256(v.p, v.len, hash);
        stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
        stamp_cbor_put_string(o, STAMP_CBOR_BYTES, hash, sizeof hash);
        ++*count;
    }
    stampi_done(dev);
    return rc == STAMP_E_MISSING ? STAMP_OK : rc;
}

static void put_bytes(struct stamp_cbor_out *o, uint32_t key, const void *p, size_t len)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, p, len);
}

static enum stamp_err put_evidence(struct stamp_cbor_out *o,
                                   const struct stamp_device *dev,
                                   const struct stampi_offer *offer, const uint8_t *point,
                                   struct stamp_slice challenge)
{
    const struct stamp_port *port = dev->port;
    uint8_t chip[STAMP_CHIP_ID_MAX];
    size_t len = 0;
    uint32_t count = 3;
    enum stamp_err rc = STAMP_OK;

    if (port->chip_id != NULL && port->chip_id(port->ctx, chip, &len) != 0) {
        return STAMP_E_FLASH;
    }
    stamp_cbor_put_head(o, STAMP_CBOR_MAP, 0);
    put_bytes(o, STAMP_EVIDENCE_CHALLENGE, challenge.p, challenge.len);
    put_bytes(o, STAMP_EVIDENCE_CHIP, chip, len);
    put_bytes(o, STAMP_EVIDENCE_OFFER, offer->digest, sizeof offer->digest);
    if (offer->own_key) {
        put_bytes(o, STAMP_PROVISIONING_KEY, point, STAMP_POINT_SIZE);
        count++;
    }
    for (uint32_t key = STAMP_POP; key <= STAMP_SECRET_BARCODES && rc == STAMP_OK;
         key++) {
        rc = put_commitment(o, dev, key, &count);
    }
    o->p[0] = (uint8_t)(STAMP_CBOR_MAP << 5 | count);
    return rc == STAMP_OK && !stamp_cbor_out_ok(o) ? STAMP_E_SPACE : rc;
}

/* Extensions of the request, and the subject's serial number. */
STAMPI_OWN_FRAME static enum stamp_err
describe(mbedtls_x509write_csr *csr, const struct stamp_device *dev,
         const struct stampi_offer *offer, const uint8_t *point, struct stamp_slice body,
         struct stamp_slice challenge)
{
    uint8_t evidence[EVIDENCE_MAX];
    uint8_t binding[STAMPI_BINDING_LONG] = {0x30, 37, 0x0A, 1, 0, 0x04, STAMPI_HASH_SIZE};
    uint8_t oid[STAMPI_OID_SIZE];
    struct stamp_cbor_out o;
    struct stampi_view view;
    struct stamp_slice v;
    struct stamp_cbor_head head;
    mbedtls_asn1_named_data *name = NULL;
    enum stamp_err rc;

    memcpy(oid, stampi_oid, sizeof oid);
    stampi_view_init(&view, dev->port, body.p, body.len);
    rc = stamp_claims_digest(&view.dev, binding + STAMPI_BINDING_DIGEST);
    if (rc == STAMP_OK) {
        rc = stampi_map_find(offer->claims, STAMP_PURPOSE, &v);
    }
    if (rc == STAMP_OK) {
        binding[STAMPI_BINDING_SHORT - 1] = v.p[0];
        rc = stampi_map_find(offer->claims, STAMP_SERIAL, &v);
    }
    if (rc == STAMP_OK) {
        rc = stamp_cbor_head(v.p, v.len, &head);
    }
    if (rc == STAMP_OK) {
        name = mbedtls_asn1_store_named_data(&csr->subject, MBEDTLS_OID_AT_SERIAL_NUMBER,
                                             sizeof MBEDTLS_OID_AT_SERIAL_NUMBER - 1,
                                             v.p + head.size, v.len - head.size);
    }
    stamp_cbor_out_init(&o, evidence, sizeof evidence);
    if (rc == STAMP_OK) {
        rc = put_evidence(&o, dev, offer, point, challenge);
    }
    if (rc != STAMP_OK || name == NULL) {
        return rc != STAMP_OK ? rc : STAMP_E_CRYPTO;
    }
    name->val.tag = MBEDTLS_ASN1_UTF8_STRING;
    if (mbedtls_x509write_csr_set_extension(csr, (const char *)oid, sizeof oid, binding,
                                            sizeof binding) != 0) {
        return STAMP_E_CRYPTO;
    }
    oid[sizeof oid - 1] = OID_EVIDENCE;
    return mbedtls_x509write_csr_set_extension(csr, (const char *)oid, sizeof oid,
                                               evidence, o.len) == 0
               ? STAMP_OK
               : STAMP_E_CRYPTO;
}

enum stamp_err stampi_request_make(struct stampi_call *c,
                                   const struct stampi_offer *offer, const uint8_t *point,
                                   struct stamp_slice body, struct stamp_slice challenge)
{
    struct stamp_strike *s = stampi_strike_of(c);
    const struct stamp_device *dev = c->a->cfg.dev;
    uint8_t *room = s->buf + (body.p + body.len - s->buf);
    mbedtls_x509write_csr csr;
    mbedtls_pk_context pk;
    psa_key_id_t id;
    int len = 0;
    enum stamp_err rc = stamp_key_load(dev, STAMPI_PENDING, STAMP_DEVICE_KEY, &id);

    mbedtls_x509write_csr_init(&csr);
    mbedtls_pk_init(&pk);
    mbedtls_x509write_csr_set_md_alg(&csr, MBEDTLS_MD_SHA256);
    mbedtls_x509write_csr_set_key(&csr, &pk);
    if (rc == STAMP_OK && mbedtls_pk_setup_opaque(&pk, id) != 0) {
        rc = STAMP_E_CRYPTO;
    }
    if (rc == STAMP_OK) {
        rc = describe(&csr, dev, offer, point, body, challenge);
    }
    if (rc == STAMP_OK) {
        len = mbedtls_x509write_csr_der(&csr, room, (size_t)(s->buf + s->size - room),
                                        NULL, NULL);
        rc = len > 0 ? STAMP_OK : STAMP_E_SPACE;
    }
    s->request = rc == STAMP_OK ? (uint32_t)len : 0;
    mbedtls_x509write_csr_free(&csr);
    mbedtls_pk_free(&pk);
    stamp_key_unload(id);
    return rc;
}
