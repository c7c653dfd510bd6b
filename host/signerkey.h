/*
 * Keys of headquarters that sign one kind of thing and nothing else: the batch key the
 * manifests of batch files (SPEC 11-23), the log key the heads of the log (SPEC 18-9).
 * Their certificates say so with an extended key usage of their own, critical, so that no
 * certificate of the same root can pass for another's.
 */
#ifndef HOST_SIGNERKEY_H
#define HOST_SIGNERKEY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "host/openssl.h"
#include "host/pki.h"

/** The arcs of the extended key usages, beside those in host/pki.h. */
#define STAMP_ARC_BATCH_SIGNER ((enum stamp_arc)3)
#define STAMP_ARC_LOG_SIGNER ((enum stamp_arc)4)

/** What such a key's certificate says. */
struct stamp_signerkey {
    enum stamp_arc arc;       /* what it signs */
    const char *organization; /* 1..64 characters, UTF-8 */
    uint8_t purpose;
    uint32_t pen;
    time_t not_before;
};

/**
 * Issue such a certificate, without end of validity.
 *
 * @param key         whose public half is certified
 * @param issuer      the workspace's root, say
 * @param issuer_key  of `issuer`
 * @param out         the caller frees it
 */
STAMP_MUST_USE enum stamp_err
stamp_signerkey_certificate(const struct stamp_signerkey *what, EVP_PKEY *key,
                            X509 *issuer, EVP_PKEY *issuer_key, X509 **out,
                            struct stamp_error *err);

/**
 * Is this the certificate of such a key? The chain above it is not looked at.
 *
 * @param arc      what it must sign
 * @param binding  filled: the purpose it states
 * @retval STAMP_E_AUTH    it is for something else, or its key is not on P-256
 * @retval STAMP_E_FORMAT  the stamp extension is malformed
 */
STAMP_MUST_USE enum stamp_err stamp_signerkey_check(X509 *cert, enum stamp_arc arc,
                                                    struct stamp_binding *binding,
                                                    struct stamp_error *err);

#endif
