/*
 * Requests for a certificate: PKCS#10 (RFC 2986), by the crypto library. In their
 * extensions (RFC 2985 5.4.2) they have the binding that the certificate is to carry, and
 * what tells about the device. SPEC 13-11, 13-12, 16-5.
 */
#include <mbedtls/oid.h>
#include <string.h>

#include "device/chain_i.h"
#include "device/share_i.h"

enum { OID_EVIDENCE = 3 }; /* last arc, where that of the binding is 1 */

static enum stamp_err add(struct stampi_csr *csr, uint8_t arc, const void *value,
                          size_t len)
{
    uint8_t oid[STAMPI_OID_SIZE];

    memcpy(oid, stampi_oid, sizeof oid);
    oid[sizeof oid - 1] = arc;
    return mbedtls_x509write_csr_set_extension(&csr->out, (const char *)oid, sizeof oid,
                                               value, len) == 0
               ? STAMP_OK
               : STAMP_E_CRYPTO;
}

enum stamp_err stampi_csr_binding(struct stampi_csr *csr, const struct stamp_device *dev,
                                  uint8_t purpose)
{
    uint8_t binding[STAMPI_BINDING_LONG] = {0x30, 37, 0x0A, 1, 0, 0x04, STAMPI_HASH_SIZE};
    enum stamp_err rc = stamp_claims_digest(dev, binding + STAMPI_BINDING_DIGEST);

    binding[STAMPI_BINDING_SHORT - 1] = purpose;
    return rc == STAMP_OK
               ? add(csr, stampi_oid[STAMPI_OID_SIZE - 1], binding, sizeof binding)
               : rc;
}

void stampi_evidence_put(struct stamp_cbor_out *o, uint32_t key, const void *p,
                         size_t len)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, p, len);
}

enum stamp_err stampi_evidence_begin(struct stamp_cbor_out *o,
                                     const struct stamp_device *dev,
                                     struct stamp_slice challenge)
{
    const struct stamp_port *port = dev->port;
    uint8_t chip[STAMP_CHIP_ID_MAX];
    size_t len = 0;

    if (port->chip_id != NULL && port->chip_id(port->ctx, chip, &len) != 0) {
        return STAMP_E_FLASH;
    }
    stamp_cbor_put_head(o, STAMP_CBOR_MAP, 0);
    stampi_evidence_put(o, STAMP_EVIDENCE_CHALLENGE, challenge.p, challenge.len);
    stampi_evidence_put(o, STAMP_EVIDENCE_CHIP, chip, len);
    return STAMP_OK;
}

enum stamp_err stampi_csr_evidence(struct stampi_csr *csr, struct stamp_cbor_out *o,
                                   uint32_t count)
{
    if (!stamp_cbor_out_ok(o)) {
        return STAMP_E_SPACE;
    }
    o->p[0] = (uint8_t)(STAMP_CBOR_MAP << 5 | count);
    return add(csr, OID_EVIDENCE, o->p, o->len);
}

enum stamp_err stampi_csr_begin(struct stampi_csr *csr, psa_key_id_t id)
{
    mbedtls_x509write_csr_init(&csr->out);
    mbedtls_pk_init(&csr->pk);
    mbedtls_x509write_csr_set_md_alg(&csr->out, MBEDTLS_MD_SHA256);
    mbedtls_x509write_csr_set_key(&csr->out, &csr->pk);
    return mbedtls_pk_setup_opaque(&csr->pk, id) == 0 ? STAMP_OK : STAMP_E_CRYPTO;
}

enum stamp_err stampi_csr_end(struct stampi_csr *csr, enum stamp_err rc,
                              struct stamp_cbor_out room, uint32_t *len)
{
    int n = 0;

    if (rc == STAMP_OK) {
        n = mbedtls_x509write_csr_der(&csr->out, room.p, room.size, NULL, NULL);
        rc = n > 0 ? STAMP_OK : STAMP_E_SPACE;
    }
    *len = rc == STAMP_OK ? (uint32_t)n : 0;
    mbedtls_x509write_csr_free(&csr->out);
    mbedtls_pk_free(&csr->pk);
    return rc;
}
