/* Signatures over a COSE Sig_structure, hashed as it streams by. SPEC 6-3. */
#include <string.h>

#include "device/device_i.h"

#define ES256 PSA_ALG_ECDSA(PSA_ALG_SHA_256)

enum stamp_err stampi_sha256(const void *p, size_t len, uint8_t hash[STAMPI_HASH_SIZE])
{
    size_t hash_len;

    return psa_hash_compute(PSA_ALG_SHA_256, p, len, hash, STAMPI_HASH_SIZE, &hash_len) ==
                   PSA_SUCCESS
               ? STAMP_OK
               : STAMP_E_CRYPTO;
}

void stampi_hash(psa_hash_operation_t *op, const void *p, size_t len)
{
    (void)psa_hash_update(op, p, len); /* psa_hash_finish() tells */
}

/* A label that is too long leaves the operation without a set-up, which its end tells. */
void stampi_sig_begin(psa_hash_operation_t *op, const char *label, size_t payload_len)
{
    uint8_t prefix[STAMP_SIG_PREFIX_MAX];
    size_t len = stamp_sig_prefix(label, payload_len, prefix);

    memset(op, 0, sizeof *op); /* as PSA_HASH_OPERATION_INIT, and shorter */
    if (len <= sizeof prefix) {
        (void)psa_hash_setup(op, PSA_ALG_SHA_256);
        stampi_hash(op, prefix, len);
    }
}

enum stamp_err stampi_sig_end(psa_hash_operation_t *op, psa_key_id_t id, uint8_t *sig,
                              const uint8_t *check)
{
    uint8_t hash[STAMPI_HASH_SIZE];
    size_t len;
    psa_status_t status = psa_hash_finish(op, hash, sizeof hash, &len);

    if (status == PSA_SUCCESS) {
        status = sig != NULL ? psa_sign_hash(id, ES256, hash, sizeof hash, sig,
                                             STAMP_SIGNATURE_SIZE, &len)
                             : psa_verify_hash(id, ES256, hash, sizeof hash, check,
                                               STAMP_SIGNATURE_SIZE);
    }
    if (status == PSA_ERROR_INVALID_SIGNATURE) {
        return STAMP_E_AUTH;
    }
    return status == PSA_SUCCESS ? STAMP_OK : STAMP_E_CRYPTO;
}

/* Sign, or check. */
static enum stamp_err run(psa_key_id_t id, const char *label, const void *payload,
                          size_t payload_len, uint8_t *sig, const uint8_t *check)
{
    psa_hash_operation_t op;

    stampi_sig_begin(&op, label, payload_len);
    stampi_hash(&op, payload, payload_len);
    return stampi_sig_end(&op, id, sig, check);
}

enum stamp_err stamp_sign(psa_key_id_t id, const char *label, const void *payload,
                          size_t payload_len, uint8_t sig[64])
{
    return run(id, label, payload, payload_len, sig, NULL);
}

enum stamp_err stamp_verify(psa_key_id_t id, const char *label, const void *payload,
                            size_t payload_len, const uint8_t sig[64])
{
    return run(id, label, payload, payload_len, NULL, sig);
}

enum stamp_err stamp_verify_point(const uint8_t point[65], const char *label,
                                  const void *payload, size_t payload_len,
                                  const uint8_t sig[64])
{
    psa_key_id_t id;
    enum stamp_err rc =
        stampi_import(PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1),
                      PSA_KEY_USAGE_VERIFY_HASH, ES256, point, STAMP_POINT_SIZE, &id);

    if (rc == STAMP_OK) {
        rc = stamp_verify(id, label, payload, payload_len, sig);
        (void)psa_destroy_key(id);
    }
    return rc;
}
