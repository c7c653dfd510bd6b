/*
 * What stations are to the workspace. Its reception: keys/home.key and home.pem, which
 * stations seal their journals to; made with the root key when the first station is
 * enrolled. And stations/ID.pem, a copy of what each was given.
 */
#ifndef HOST_WORKSPACE_HOME_H
#define HOST_WORKSPACE_HOME_H

#include "host/workspace.h"

/** @param root  the root key; NULL = what is not there is not made
 * @param key, cert  the caller frees them; NULL on failure */
STAMP_MUST_USE enum stamp_err stamp_workspace_home(const struct stamp_workspace *ws,
                                                   EVP_PKEY *root,
                                                   const struct stamp_secret *passphrase,
                                                   EVP_PKEY **key, X509 **cert,
                                                   struct stamp_error *err);

/** Path of the workspace's copy of a station's certificates.
 * @param id  32 bytes, SHA-256 of the station CA's */
STAMP_MUST_USE enum stamp_err stamp_workspace_station(const struct stamp_workspace *ws,
                                                      const uint8_t id[32],
                                                      char out[PATH_MAX],
                                                      struct stamp_error *err);

#endif
