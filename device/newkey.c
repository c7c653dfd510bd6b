/* Keys that the device makes. SPEC 13-8, 16-4. */
#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/share_i.h"

enum stamp_err stampi_put_pair(struct stamp_cbor_out *o, uint8_t point[STAMP_POINT_SIZE])
{
    uint8_t scalar[STAMP_SCALAR_SIZE];
    psa_key_attributes_t attr;
    psa_key_id_t id = PSA_KEY_ID_NULL;
    enum stamp_err rc = STAMP_OK;
    size_t len;

    stampi_attributes(&attr, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1),
                      PSA_KEY_USAGE_EXPORT, PSA_ALG_ECDSA(PSA_ALG_ANY_HASH));
    psa_set_key_bits(&attr, 256);
    if (psa_generate_key(&attr, &id) != PSA_SUCCESS ||
        psa_export_key(id, scalar, sizeof scalar, &len) != PSA_SUCCESS ||
        len != sizeof scalar ||
        psa_export_public_key(id, point, STAMP_POINT_SIZE, &len) != PSA_SUCCESS) {
        rc = STAMP_E_CRYPTO;
        memset(scalar, 0, sizeof scalar);
    }
    (void)psa_destroy_key(id);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, scalar, sizeof scalar);
    mbedtls_platform_zeroize(scalar, sizeof scalar);
    return rc;
}

enum stamp_err stampi_put_device_key(struct stamp_cbor_out *o,
                                     uint8_t point[STAMP_POINT_SIZE])
{
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 3);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, STAMP_P256);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, STAMP_KEY_HERE);
    return stampi_put_pair(o, point);
}
