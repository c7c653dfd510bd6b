/* Private keys: from the stamp into PSA, or named where they live. SPEC 5-6. */
#include <mbedtls/platform_util.h>

#include "device/device_i.h"

/* [salt, scalar] and [curve, where, scalar], the longer one with its heads. */
#define KEY_VALUE_MAX (1u + 1u + STAMP_SALT_SIZE + 2u + STAMP_SCALAR_SIZE)

enum stamp_err stampi_import(psa_key_type_t type, psa_key_usage_t usage,
                             psa_algorithm_t alg, const uint8_t *data, size_t len,
                             psa_key_id_t *id)
{
    psa_key_attributes_t attr = PSA_KEY_ATTRIBUTES_INIT;

    psa_set_key_type(&attr, type);
    psa_set_key_usage_flags(&attr, usage);
    psa_set_key_algorithm(&attr, alg);
    return psa_import_key(&attr, data, len, id) == PSA_SUCCESS ? STAMP_OK
                                                               : STAMP_E_CRYPTO;
}

/* A key that lives outside the stamp. */
static enum stamp_err locate(const struct stamp_port *port, uint32_t where, uint32_t ref,
                             psa_key_id_t *id)
{
    uint32_t found = ref;

    if (where == STAMP_KEY_ELEMENT &&
        (port->element_key == NULL || port->element_key(port->ctx, ref, &found) != 0)) {
        return STAMP_E_CRYPTO;
    }
    *id = found;
    return STAMP_OK;
}

enum stamp_err stampi_key_parse(const struct stamp_port *port, struct stamp_slice value,
                                bool salted, psa_key_id_t *id)
{
    uint32_t where = STAMP_KEY_HERE;
    uint32_t ref = 0;
    struct stamp_slice scalar = {NULL, 0};
    struct stamp_cbor c;

    *id = PSA_KEY_ID_NULL;
    stamp_cbor_init(&c, value.p, value.len);
    if (stamp_cbor_expect(&c, STAMP_CBOR_ARRAY) != (salted ? 2u : 3u)) {
        return STAMP_E_FORMAT;
    }
    if (salted) {
        (void)stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SALT_SIZE, STAMP_SALT_SIZE);
    } else {
        if (stamp_cbor_uint(&c, STAMP_P256) != STAMP_P256) {
            return STAMP_E_FORMAT;
        }
        where = stamp_cbor_uint(&c, STAMP_KEY_ELEMENT);
    }
    if (where == STAMP_KEY_HERE) {
        scalar =
            stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SCALAR_SIZE, STAMP_SCALAR_SIZE);
    } else {
        ref = stamp_cbor_uint(&c, UINT32_MAX);
    }
    if (c.err != STAMP_OK || c.left != 0) {
        return STAMP_E_FORMAT;
    }
    if (where != STAMP_KEY_HERE) {
        return locate(port, where, ref, id);
    }
    /* any hash: TLS picks SHA-256 or SHA-384 */
    return stampi_import(PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1),
                         PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_VERIFY_HASH,
                         PSA_ALG_ECDSA(PSA_ALG_ANY_HASH), scalar.p, scalar.len, id);
}

enum stamp_err stamp_key_load(const struct stamp_device *dev, enum stamp_which which,
                              uint32_t key, psa_key_id_t *id)
{
    uint8_t buf[KEY_VALUE_MAX];
    struct stamp_slice value = {buf, 0};
    enum stamp_err rc;

    *id = PSA_KEY_ID_NULL;
    if (key != STAMP_DEVICE_KEY && key != STAMP_PROVISIONING_PRIVATE) {
        return STAMP_E_RANGE;
    }
    rc = stamp_get(dev, which, key, buf, sizeof buf, &value.len);
    if (rc == STAMP_OK) {
        rc = stampi_key_parse(dev->port, value, key == STAMP_PROVISIONING_PRIVATE, id);
    }
    mbedtls_platform_zeroize(buf, sizeof buf);
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
