/* Private keys: from the stamp into PSA, or named where they live. SPEC 5-6. */
#include <string.h>

#include "device/device_i.h"

void stampi_attributes(psa_key_attributes_t *attr, psa_key_type_t type,
                       psa_key_usage_t usage, psa_algorithm_t alg)
{
    memset(attr, 0, sizeof *attr); /* as PSA_KEY_ATTRIBUTES_INIT, and shorter */
    psa_set_key_type(attr, type);
    psa_set_key_usage_flags(attr, usage);
    psa_set_key_algorithm(attr, alg);
}

enum stamp_err stampi_import(psa_key_type_t type, psa_key_usage_t usage,
                             psa_algorithm_t alg, const uint8_t *data, size_t len,
                             psa_key_id_t *id)
{
    psa_key_attributes_t attr;

    stampi_attributes(&attr, type, usage, alg);
    return psa_import_key(&attr, data, len, id) == PSA_SUCCESS ? STAMP_OK
                                                               : STAMP_E_CRYPTO;
}

/* An error sticks in the operation, so that only the ends are looked at. */
psa_status_t stampi_derive(const struct stampi_kdf *kdf, psa_key_usage_t usage,
                           psa_key_id_t *id, size_t n)
{
    const psa_algorithm_t hkdf = PSA_ALG_HKDF(PSA_ALG_SHA_256);
    psa_key_derivation_operation_t op;
    psa_key_attributes_t attr;
    psa_status_t secret;
    psa_status_t status = PSA_SUCCESS;

    memset(&op, 0, sizeof op);
    (void)psa_key_derivation_setup(
        &op, kdf->peer != NULL ? PSA_ALG_KEY_AGREEMENT(PSA_ALG_ECDH, hkdf) : hkdf);
    (void)psa_key_derivation_input_bytes(&op, PSA_KEY_DERIVATION_INPUT_SALT, kdf->salt.p,
                                         kdf->salt.len);
    secret =
        kdf->peer != NULL
            ? psa_key_derivation_key_agreement(&op, PSA_KEY_DERIVATION_INPUT_SECRET,
                                               kdf->secret, kdf->peer, STAMP_POINT_SIZE)
            : psa_key_derivation_input_key(&op, PSA_KEY_DERIVATION_INPUT_SECRET,
                                           kdf->secret);
    (void)psa_key_derivation_input_bytes(&op, PSA_KEY_DERIVATION_INPUT_INFO, kdf->info.p,
                                         kdf->info.len);
    for (; n > 0 && status == PSA_SUCCESS; n--, id++) {
        stampi_attributes(&attr, PSA_KEY_TYPE_AES, usage, PSA_ALG_GCM);
        psa_set_key_bits(&attr, 256);
        status = psa_key_derivation_output_key(&attr, &op, id);
        usage ^= PSA_KEY_USAGE_ENCRYPT | PSA_KEY_USAGE_DECRYPT;
    }
    (void)psa_key_derivation_abort(&op);
    return secret != PSA_SUCCESS ? secret : status;
}

/* [1, where, ref], or [salt, scalar]. */
enum stamp_err stampi_key_parse(const struct stamp_port *port, uint32_t key,
                                struct stamp_slice value, psa_key_id_t *id)
{
    uint32_t where = STAMP_KEY_HERE;
    uint32_t ref = 0;
    struct stamp_slice scalar = {NULL, 0};
    struct stamp_cbor c;

    *id = PSA_KEY_ID_NULL;
    stamp_cbor_init(&c, value.p, value.len);
    if (key == STAMP_DEVICE_KEY) {
        stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 3);
        stamp_cbor_want(&c, STAMP_CBOR_UINT, STAMP_P256);
        where = stamp_cbor_uint(&c, STAMP_KEY_ELEMENT);
    } else {
        stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 2);
        (void)stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SALT_SIZE, STAMP_SALT_SIZE);
    }
    if (where == STAMP_KEY_HERE) {
        scalar =
            stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SCALAR_SIZE, STAMP_SCALAR_SIZE);
    } else {
        ref = stamp_cbor_expect(&c, STAMP_CBOR_UINT);
    }
    if (c.err != STAMP_OK || c.left != 0) {
        return STAMP_E_FORMAT;
    }
    if (where == STAMP_KEY_HERE) { /* any hash: TLS picks SHA-256 or SHA-384 */
        return stampi_import(PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1),
                             PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_VERIFY_HASH,
                             PSA_ALG_ECDSA(PSA_ALG_ANY_HASH), scalar.p, scalar.len, id);
    }
    if (where == STAMP_KEY_ELEMENT &&
        (port->element_key == NULL || port->element_key(port->ctx, ref, &ref) != 0)) {
        return STAMP_E_CRYPTO;
    }
    *id = ref;
    return STAMP_OK;
}

enum stamp_err stamp_key_load(const struct stamp_device *dev, enum stamp_which which,
                              uint32_t key, psa_key_id_t *id)
{
    struct stamp_slice v;
    enum stamp_err rc = stampi_find(dev, which, key, &v);

    *id = PSA_KEY_ID_NULL;
    if (rc == STAMP_OK) {
        rc = stampi_key_parse(dev->port, key, v, id);
    }
    stampi_done(dev);
    return rc;
}

void stamp_key_unload(psa_key_id_t id)
{
    psa_key_attributes_t attr = PSA_KEY_ATTRIBUTES_INIT;

    if (psa_get_key_attributes(id, &attr) == PSA_SUCCESS &&
        PSA_KEY_LIFETIME_IS_VOLATILE(psa_get_key_lifetime(&attr))) {
        (void)psa_destroy_key(id);
    }
    psa_reset_key_attributes(&attr);
}
