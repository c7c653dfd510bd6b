/*
 * The batch key: signs the manifests of batch files and nothing else. Its certificate
 * says so with an extended key usage of its own, critical, so that no device's
 * certificate of the same root can pass for one, nor the other way round. SPEC 11-23.
 */
#ifndef HOST_BATCHKEY_H
#define HOST_BATCHKEY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "host/openssl.h"
#include "host/pki.h"

/** The arc of the extended key usage, beside those in host/pki.h. */
#define STAMP_ARC_BATCH_SIGNER ((enum stamp_arc)3)

/** What a batch key's certificate says. */
struct stamp_batchkey {
    const char *organization; /* 1..64 characters, UTF-8 */
    uint8_t purpose;
    uint32_t pen;
    time_t not_before;
};

/**
 * Issue a batch key's certificate, without end of validity.
 *
 * @param key         whose public half is certified
 * @param issuer      the workspace's root, say
 * @param issuer_key  of `issuer`
 * @param out         the caller frees it
 */
STAMP_MUST_USE enum stamp_err
stamp_batchkey_certificate(const struct stamp_batchkey *what, EVP_PKEY *key, X509 *issuer,
                           EVP_PKEY *issuer_key, X509 **out, struct stamp_error *err);

/**
 * Is this the certificate of a batch key? The chain above it is not looked at.
 *
 * @param binding  filled: the purpose it states
 * @retval STAMP_E_AUTH    it is for something else, or its key is not on P-256
 * @retval STAMP_E_FORMAT  the stamp extension is malformed
 */
STAMP_MUST_USE enum stamp_err
stamp_batchkey_check(X509 *cert, struct stamp_binding *binding, struct stamp_error *err);

#endif
