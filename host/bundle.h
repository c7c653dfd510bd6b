/*
 * Trust bundles: which anchors a device believes, said by the owner key. SPEC 8.
 */
#ifndef HOST_BUNDLE_H
#define HOST_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/openssl.h"

/**
 * Sign a bundle.
 *
 * @param what  version, purpose and anchors; its owner point is taken from `owner`
 * @param out   at least STAMP_MAX_BUNDLE bytes
 * @retval STAMP_E_SPACE  too long a bundle: too many or too large anchors
 */
STAMP_MUST_USE enum stamp_err stamp_bundle_sign(const struct stamp_bundle *what,
                                                EVP_PKEY *owner, uint8_t *out,
                                                size_t *len, struct stamp_error *err);

/**
 * Check a bundle as a device does (SPEC 8-4).
 *
 * @param owner_hash  32 bytes
 * @param purpose     of the stamp
 * @param out         filled on success; points into `in`. May be NULL
 * @retval STAMP_E_FORMAT   not a bundle
 * @retval STAMP_E_AUTH     another owner, or the signature is wrong
 * @retval STAMP_E_PURPOSE  for the other purpose
 */
STAMP_MUST_USE enum stamp_err
stamp_bundle_check(struct stamp_slice in, const uint8_t *owner_hash, uint8_t purpose,
                   struct stamp_bundle *out, struct stamp_error *err);

#endif
