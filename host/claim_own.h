/* The crypto of a claim, for claim.c and its tests. SPEC 10-13..10-15. */
#ifndef HOST_CLAIM_OWN_H
#define HOST_CLAIM_OWN_H

#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/openssl.h"

struct stamp_claim_keys {
    uint8_t to_device[32];
    uint8_t from_device[32];
};

/**
 * Derive both keys.
 *
 * @param own     the app's ephemeral pair
 * @param peer    the device's point
 * @param shared  A || B || serial
 * @retval STAMP_E_FORMAT  the point is not on the curve
 */
STAMP_MUST_USE enum stamp_err stampi_claim_keys(EVP_PKEY *own,
                                                const uint8_t peer[STAMP_POINT_SIZE],
                                                const uint8_t *shared, size_t shared_len,
                                                struct stamp_claim_keys *keys,
                                                struct stamp_error *err);

/** AES-256-GCM with a nonce of zeros: each key seals one message. `out` takes `len` + 16
 * bytes. */
STAMP_MUST_USE enum stamp_err stampi_claim_seal(const uint8_t key[32], const uint8_t *in,
                                                size_t len, uint8_t *out,
                                                struct stamp_error *err);

/** The reverse; `out` takes `len` - 16 bytes. STAMP_E_AUTH where it does not open. */
STAMP_MUST_USE enum stamp_err stampi_claim_open(const uint8_t key[32], const uint8_t *in,
                                                size_t len, uint8_t *out,
                                                struct stamp_error *err);

#endif
