/*
 * The claims of a birth stamp and their digest, which its certificate binds. SPEC
 * 7-1..7-3.
 */
#ifndef HOST_CLAIMS_H
#define HOST_CLAIMS_H

#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/error.h"

/* A secret may be shorter than the hash that stands for it, and there are 16 at most. */
#define STAMP_CLAIMS_MAX (STAMP_MAX_LEN + 16u * 34u)

/**
 * The claims of an encoded birth stamp: public items as they are, secrets as SHA-256.
 *
 * @param body  plaintext
 * @param out   STAMP_CLAIMS_MAX bytes are enough for every stamp
 * @retval STAMP_E_FORMAT  not a map as SPEC 4 wants it
 * @retval STAMP_E_SPACE   `size` is too small
 */
STAMP_MUST_USE enum stamp_err stamp_claims_encode(const void *body, size_t body_len,
                                                  void *out, size_t size, size_t *len,
                                                  struct stamp_error *err);

/** The digest of encoded claims. SPEC 7-3. */
STAMP_MUST_USE enum stamp_err stamp_claims_hash(const void *claims, size_t len,
                                                uint8_t digest[32],
                                                struct stamp_error *err);

/** Both at once, from the encoded birth stamp. */
STAMP_MUST_USE enum stamp_err stamp_claims_of(const void *body, size_t body_len,
                                              uint8_t digest[32],
                                              struct stamp_error *err);

#endif
