/*
 * Answers to "what of this certificate?" (OCSP, RFC 6960), signed with the authority's
 * key or with that of who may answer in its name.
 */
#ifndef HOST_OCSP_H
#define HOST_OCSP_H

#include <openssl/ocsp.h>

#include "host/registry_revoke.h"

struct stamp_ocsp;

/** @param issuer  outlives it */
STAMP_MUST_USE enum stamp_err stamp_ocsp_new(X509 *issuer, struct stamp_ocsp **out,
                                             struct stamp_error *err);
void stamp_ocsp_free(struct stamp_ocsp **p);

struct stamp_ocsp_single {
    const EVP_MD *md;                 /* of the request: its hash of the issuer */
    struct stamp_slice serial_number; /* of the certificate, big-endian */
    enum stamp_certificate_status status;
    struct stamp_revocation revocation; /* where it is revoked */
    time_t this_update, next_update;
};

/** Say it of one more certificate. */
STAMP_MUST_USE enum stamp_err stamp_ocsp_add(struct stamp_ocsp *o,
                                             const struct stamp_ocsp_single *single,
                                             struct stamp_error *err);

/**
 * Sign what was said.
 *
 * @param cert  of `key`: the issuer, or one that the issuer lets answer
 * @param der   OCSPResponse; the caller frees it with OPENSSL_free()
 */
STAMP_MUST_USE enum stamp_err stamp_ocsp_sign(struct stamp_ocsp *o, X509 *cert,
                                              EVP_PKEY *key, uint8_t **der, size_t *len,
                                              struct stamp_error *err);

#endif
