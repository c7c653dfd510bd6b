/*
 * Signatures as the stamp has them: ECDSA with P-256 and SHA-256, 64 bytes r then s, over
 * the COSE Sig_structure of a label and a payload (SPEC 6-3), so that a signature made
 * for one thing is none for another.
 */
#ifndef HOST_SIG_H
#define HOST_SIG_H

#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/openssl.h"

#define STAMP_SIG_SIZE 64u

/** What is signed, for keys that sign a digest: a token's. */
STAMP_MUST_USE enum stamp_err stamp_sig_digest(const char *label, const void *payload,
                                               size_t len, uint8_t digest[32],
                                               struct stamp_error *err);

/** Sign. @param label  one of STAMP_LABEL_* */
STAMP_MUST_USE enum stamp_err stamp_sig_make(EVP_PKEY *key, const char *label,
                                             const void *payload, size_t len,
                                             uint8_t sig[STAMP_SIG_SIZE],
                                             struct stamp_error *err);

/** Check. @retval STAMP_E_AUTH  the signature is wrong */
STAMP_MUST_USE enum stamp_err stamp_sig_check(EVP_PKEY *key, const char *label,
                                              const void *payload, size_t len,
                                              const uint8_t sig[STAMP_SIG_SIZE],
                                              struct stamp_error *err);

/** As stamp_sig_check() with a point. STAMP_E_FORMAT where it is not on the curve. */
STAMP_MUST_USE enum stamp_err stamp_sig_check_point(const uint8_t point[STAMP_POINT_SIZE],
                                                    const char *label,
                                                    const void *payload, size_t len,
                                                    const uint8_t sig[STAMP_SIG_SIZE],
                                                    struct stamp_error *err);

#endif
