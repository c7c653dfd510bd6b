/*
 * The workspace's batch key: keys/batch.key and batch.pem. Made with the root key when
 * the first batch asks for it.
 */
#ifndef HOST_WORKSPACE_BATCH_H
#define HOST_WORKSPACE_BATCH_H

#include "host/workspace.h"

/**
 * @param passphrase  of the workspace's keys; NULL in development
 * @param key, cert   the caller frees them; NULL on failure
 * @retval STAMP_E_AUTH    the passphrase is wrong, or key and certificate do not belong
 * together
 * @retval STAMP_E_PURPOSE the certificate is for the other purpose
 */
STAMP_MUST_USE enum stamp_err
stamp_workspace_batch_key(const struct stamp_workspace *ws,
                          const struct stamp_secret *passphrase, EVP_PKEY **key,
                          X509 **cert, struct stamp_error *err);

#endif
