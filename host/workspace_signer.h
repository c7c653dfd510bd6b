/*
 * The workspace's batch key, keys/batch.key and batch.pem, and its log key, keys/log.key
 * and log.pem. Each is made with the root key when it is asked for first.
 */
#ifndef HOST_WORKSPACE_SIGNER_H
#define HOST_WORKSPACE_SIGNER_H

#include "host/signerkey.h"
#include "host/workspace.h"

/**
 * @param arc         STAMP_ARC_BATCH_SIGNER or STAMP_ARC_LOG_SIGNER
 * @param passphrase  of the workspace's keys; NULL in development
 * @param key, cert   the caller frees them; NULL on failure
 * @retval STAMP_E_AUTH    the passphrase is wrong, or key and certificate do not belong
 * together
 * @retval STAMP_E_PURPOSE the certificate is for the other purpose
 */
STAMP_MUST_USE enum stamp_err
stamp_workspace_signer_key(const struct stamp_workspace *ws, enum stamp_arc arc,
                           const struct stamp_secret *passphrase, EVP_PKEY **key,
                           X509 **cert, struct stamp_error *err);

/** Its certificate alone. STAMP_E_MISSING: the key was not made yet. */
STAMP_MUST_USE enum stamp_err
stamp_workspace_signer_certificate(const struct stamp_workspace *ws, enum stamp_arc arc,
                                   X509 **cert, struct stamp_error *err);

#endif
