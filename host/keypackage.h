/*
 * A private key that was made for somebody else, on its way to him (RFC 7030 4.4.2): an
 * AsymmetricKeyPackage (RFC 5958) that its maker signed, sealed to the one certificate
 * that can open it; or as it stands, PKCS#8.
 */
#ifndef HOST_KEYPACKAGE_H
#define HOST_KEYPACKAGE_H

#include <stdbool.h>

#include "core/stamp.h"
#include "host/openssl.h"

#define STAMP_KEYPACKAGE_MAX 8192u

/**
 * EnvelopedData of SignedData of the key: AES-256-CBC, ephemeral-static ECDH on P-256
 * with the X9.63 KDF over SHA-256 (RFC 5753); ECDSA with SHA-256.
 *
 * @param maker, cert  who made it
 * @param recipient    P-256. What its key usage says is not asked: its holder named it
 * @param der          the caller frees it with OPENSSL_free()
 * @retval STAMP_E_CONFIG  nothing can be sealed to the recipient
 * @retval STAMP_E_SPACE   it would be longer than STAMP_KEYPACKAGE_MAX
 */
STAMP_MUST_USE enum stamp_err stamp_keypackage_seal(EVP_PKEY *key, EVP_PKEY *maker,
                                                    X509 *cert, X509 *recipient,
                                                    uint8_t **der, size_t *len,
                                                    struct stamp_error *err);

/** PKCS#8, DER, in the clear; the caller frees it with OPENSSL_clear_free(). */
STAMP_MUST_USE enum stamp_err stamp_keypackage_plain(EVP_PKEY *key, uint8_t **der,
                                                     size_t *len,
                                                     struct stamp_error *err);

/** Is it sealed? Else it is PKCS#8. Both are DER of the functions above. */
bool stamp_keypackage_is_sealed(struct stamp_slice der);

#endif
