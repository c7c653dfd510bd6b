/*
 * CMS (RFC 5652) as the batch file has it: a small secret wrapped to station
 * certificates, and a signed text with the signer's certificate in it. Both are DER that
 * the openssl command reads.
 */
#ifndef HOST_CMS_H
#define HOST_CMS_H

#include <stddef.h>
#include <stdint.h>

#include "core/cbor.h"
#include "host/openssl.h"

#define STAMP_CMS_RECIPIENTS_MAX 8u
#define STAMP_CMS_SECRET_MAX 64u
#define STAMP_CMS_ENVELOPE_MAX 32768u /* bytes of an envelope that is read */

/**
 * Can a secret be wrapped to this certificate? Its key is on P-256, its key usage, where
 * it says one, allows key agreement, and it has not expired.
 *
 * @retval STAMP_E_CONFIG  no; `err` says why
 */
STAMP_MUST_USE enum stamp_err stamp_cms_check_recipient(const X509 *cert,
                                                        struct stamp_error *err);

/**
 * Wrap a secret: EnvelopedData with AES-256-CBC, and for each recipient ephemeral-static
 * ECDH on P-256 with the X9.63 KDF over SHA-256 (RFC 5753) and AES-256 key wrap.
 *
 * @param secret  1..STAMP_CMS_SECRET_MAX bytes
 * @param certs   1..STAMP_CMS_RECIPIENTS_MAX, as stamp_cms_check_recipient() wants them
 * @param der     the ContentInfo; the caller frees it with OPENSSL_free()
 * @retval STAMP_E_CONFIG  a certificate that nothing can be wrapped to
 * SPEC 11-17.
 */
STAMP_MUST_USE enum stamp_err stamp_cms_wrap(const void *secret, size_t len,
                                             X509 *const *certs, size_t n, uint8_t **der,
                                             size_t *der_len, struct stamp_error *err);

/**
 * Unwrap it.
 *
 * @param key     a recipient's private key; it may live in a token
 * @param secret  `len` bytes, which the caller wipes
 * @retval STAMP_E_AUTH  the key does not open it, whatever the cause; `secret` is zeroed
 */
STAMP_MUST_USE enum stamp_err stamp_cms_unwrap(struct stamp_slice der, EVP_PKEY *key,
                                               void *secret, size_t len,
                                               struct stamp_error *err);

/**
 * Sign: SignedData with the content and the signer's certificate inside, SHA-256.
 *
 * @param cert  of `key`
 * @param der   the ContentInfo; the caller frees it with OPENSSL_free()
 */
STAMP_MUST_USE enum stamp_err stamp_cms_sign(struct stamp_slice content, EVP_PKEY *key,
                                             X509 *cert, uint8_t **der, size_t *der_len,
                                             struct stamp_error *err);

/**
 * Check a signature: one signer, whose certificate is inside and leads to an anchor at
 * this time. What the certificate is for (its extended key usage) is the caller's to
 * check.
 *
 * @param content  the caller frees it with OPENSSL_free()
 * @param signer   the caller frees it
 * @retval STAMP_E_FORMAT  not such a CMS, or not in DER
 * @retval STAMP_E_AUTH    the signature is wrong, or the certificate is not to be trusted
 * On failure `*content` and `*signer` are NULL.
 */
STAMP_MUST_USE enum stamp_err stamp_cms_verify(struct stamp_slice der,
                                               X509 *const *anchors, size_t n,
                                               uint8_t **content, size_t *content_len,
                                               X509 **signer, struct stamp_error *err);

#endif
