/* Private keys: from the stamp into PSA, or named where they live. SPEC 5-6. */
#include <string.h>

#include "device/device_i.h"

void stampi_attributes(psa_key_attributes_t *attr, psa_key_type_t type,
                       psa_key_usage_t usage, psa_algorithm_t alg)
{
    *attr = psa_key_attributes_init();
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

/* SPEC 4-1 leaves one encoding for each form: [1, 0, scalar], [salt, scalar], and [1,
 * where, number] for a key that lives elsewhere. */
enum stamp_err stampi_key_parse(const struct stamp_port *port, uint32_t key,
                                struct stamp_slice value, psa_key_id_t *id)
{
    static const uint8_t here[] = {0x83, STAMP_P256, STAMP_KEY_HERE, 0x58, 0x20};
    bool device = key == STAMP_DEVICE_KEY;
    size_t at = device ? sizeof here : 4 + STAMP_SALT_SIZE;
    const uint8_t *p = value.p;
    struct stamp_cbor_head ref;

    *id = PSA_KEY_ID_NULL;
    if (value.len == at + STAMP_SCALAR_SIZE &&
        (device
             ? memcmp(p, here, sizeof here) == 0
             : p[0] == 0x82 && p[1] == 0x50 && p[at - 2] == 0x58 && p[at - 1] == 0x20)) {
        /* any hash: TLS picks SHA-256 or SHA-384 */
        return stampi_import(PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1),
                             PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_VERIFY_HASH,
                             PSA_ALG_ECDSA(PSA_ALG_ANY_HASH), p + at, STAMP_SCALAR_SIZE,
                             id);
    }
    if (!device || value.len < 4 || memcmp(p, here, 2) != 0 || p[2] == STAMP_KEY_HERE ||
        p[2] > STAMP_KEY_ELEMENT ||
        stamp_cbor_head(p + 3, value.len - 3, &ref) != STAMP_OK ||
        ref.type != STAMP_CBOR_UINT || ref.size != value.len - 3) {
        return STAMP_E_FORMAT;
    }
    if (p[2] == STAMP_KEY_ELEMENT &&
        (port->element_key == NULL ||
         port->element_key(port->ctx, ref.arg, &ref.arg) != 0)) {
        return STAMP_E_CRYPTO;
    }
    *id = ref.arg;
    return STAMP_OK;
}

enum stamp_err stamp_key_load(const struct stamp_device *dev, enum stamp_which which,
                              uint32_t key, psa_key_id_t *id)
{
    struct stamp_slice v;
    enum stamp_err rc;

    *id = PSA_KEY_ID_NULL;
    if (key != STAMP_DEVICE_KEY && key != STAMP_PROVISIONING_PRIVATE) {
        return STAMP_E_RANGE;
    }
    rc = stampi_find(dev, which, key, &v);
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
