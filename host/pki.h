/*
 * Certificates: the authorities of a workspace, the extension that binds a certificate to
 * a stamp (SPEC 7-4, 7-5), and what else is read from a certificate.
 */
#ifndef HOST_PKI_H
#define HOST_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/stamp.h"
#include "host/openssl.h"

#define STAMP_OID_SIZE 128u
#define STAMP_FOREVER "99991231235959Z"

/** The arcs under the owner's PEN or the one everybody may use. SPEC 7-5, 7-13. */
enum stamp_arc { STAMP_ARC_BINDING = 1, STAMP_ARC_HARDWARE_TYPE = 2 };

/** Dotted text. @param pen  0 = none */
void stamp_pki_oid(uint32_t pen, enum stamp_arc arc, char out[STAMP_OID_SIZE]);

/** Seconds since 1970. False where it is no time. */
bool stamp_pki_time(const ASN1_TIME *t, time_t *out);

/** The extension of SPEC 7-4, as read from a certificate. */
struct stamp_binding {
    bool present;
    int at;          /* which of the certificate's extensions it is */
    uint8_t purpose; /* enum stamp_purpose */
    bool has_digest;
    uint8_t digest[32];
};

#define STAMP_BINDING_MAX 39u

/** The extension's value; returns its length. @param digest  NULL = without */
size_t stamp_binding_encode(uint8_t purpose, const uint8_t *digest,
                            uint8_t out[STAMP_BINDING_MAX]);

/** @retval STAMP_E_FORMAT  it is there twice, critical, or malformed */
STAMP_MUST_USE enum stamp_err
stamp_binding_read(const X509 *cert, struct stamp_binding *out, struct stamp_error *err);

/** The same among a certificate's extensions. */
STAMP_MUST_USE enum stamp_err
stamp_binding_of(const STACK_OF(X509_EXTENSION) * extensions, struct stamp_binding *out,
                 struct stamp_error *err);

/** What a new authority's certificate says. */
struct stamp_authority {
    const char *organization; /* 1..64 characters, UTF-8 */
    const char *role;         /* "device root", say: goes into the common name */
    uint8_t purpose;
    uint32_t pen;
    time_t not_before;
    int path_len; /* -1 = not limited */
};

/**
 * Issue an authority's certificate without end of validity.
 *
 * @param issuer      NULL: self-signed
 * @param issuer_key  `key` where self-signed
 */
STAMP_MUST_USE enum stamp_err stamp_pki_authority(const struct stamp_authority *what,
                                                  EVP_PKEY *key, X509 *issuer,
                                                  EVP_PKEY *issuer_key, X509 **out,
                                                  struct stamp_error *err);

/** From DER: all of it, and in DER, not BER. STAMP_E_FORMAT otherwise. */
STAMP_MUST_USE enum stamp_err stamp_pki_decode(struct stamp_slice der, X509 **out,
                                               struct stamp_error *err);

/** The first of a stamp's certificates (key 49); `p` is NULL where there is none. */
struct stamp_slice stamp_pki_leaf(struct stamp_slice certificates);

/** To DER; the caller frees it with OPENSSL_free(). */
STAMP_MUST_USE enum stamp_err stamp_pki_encode(X509 *cert, uint8_t **der, size_t *len,
                                               struct stamp_error *err);

/** To PEM, NUL-terminated; the caller frees it with free(). */
STAMP_MUST_USE enum stamp_err stamp_pki_pem(struct stamp_slice der, char **out,
                                            struct stamp_error *err);

/** A certificate's PEM, likewise. */
STAMP_MUST_USE enum stamp_err stamp_pki_text(X509 *cert, char **out,
                                             struct stamp_error *err);

/** The first certificate of a PEM file. */
STAMP_MUST_USE enum stamp_err stamp_pki_load(const char *path, X509 **out,
                                             struct stamp_error *err);

/** The subject's serialNumber (2.5.4.5). STAMP_E_MISSING where there is not exactly one.
 * @param out  NUL-terminated */
STAMP_MUST_USE enum stamp_err stamp_pki_serial(const X509 *cert, char *out, size_t size,
                                               struct stamp_error *err);

/** Subject as text, for messages. */
void stamp_pki_name(const X509 *cert, char *out, size_t size);

#endif
