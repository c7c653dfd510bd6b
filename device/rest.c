/* Items at rest: each its own AES-256-GCM record under a key of its region. SPEC 9. */
#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/device_i.h"

#define NONCE_SIZE 12u
#define INFO_HEADER 12u /* bytes 0 to 11 of the header */
#define SALT_OFFSET 16u
#define SALT_SIZE 16u

/* The root key, for the time of one derivation. */
STAMPI_OWN_FRAME static enum stamp_err load_root(const struct stamp_port *port,
                                                 psa_key_id_t *id)
{
    uint8_t key[32];
    enum stamp_err rc = STAMP_E_CRYPTO;

    if (port->root_key != NULL && port->root_key(port->ctx, key) == 0) {
        rc = stampi_import(PSA_KEY_TYPE_DERIVE, PSA_KEY_USAGE_DERIVE,
                           PSA_ALG_HKDF(PSA_ALG_SHA_256), key, sizeof key, id);
    }
    mbedtls_platform_zeroize(key, sizeof key);
    return rc;
}

enum stamp_err stampi_rest_key(const struct stamp_port *port, uint8_t *header,
                               psa_key_usage_t usage, psa_key_id_t *id)
{
    struct stampi_kdf kdf = {
        .salt = {header + STAMPI_HEADER_AT + SALT_OFFSET, SALT_SIZE},
        .info = {header, STAMPI_HEADER_AT + INFO_HEADER},
    };
    enum stamp_err rc = load_root(port, &kdf.secret);

    *id = PSA_KEY_ID_NULL;
    memcpy(header, STAMP_LABEL_REST, STAMPI_HEADER_AT);
    if (rc == STAMP_OK && stampi_derive(&kdf, usage, id, 1) != PSA_SUCCESS) {
        rc = STAMP_E_CRYPTO;
    }
    (void)psa_destroy_key(kdf.secret); /* of no id: does nothing */
    return rc;
}

enum stamp_err stampi_crypt(psa_key_id_t id, uint32_t key, bool open, const uint8_t *in,
                            size_t in_len, uint8_t *out)
{
    uint8_t nonce[NONCE_SIZE] = {0};
    size_t out_len = open ? in_len - STAMPI_TAG_SIZE : in_len + STAMPI_TAG_SIZE;

    nonce[NONCE_SIZE - 1] = (uint8_t)key; /* at most STAMP_KEY_LAST */
    return (open ? psa_aead_decrypt
                 : psa_aead_encrypt)(id, PSA_ALG_GCM, nonce, sizeof nonce, NULL, 0, in,
                                     in_len, out, out_len, &out_len) == PSA_SUCCESS
               ? STAMP_OK
               : STAMP_E_CRYPTO;
}
