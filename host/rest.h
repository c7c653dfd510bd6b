/*
 * Encryption at rest of a region's items under the device's root key. SPEC 9.
 */
#ifndef HOST_REST_H
#define HOST_REST_H

#include <stddef.h>
#include <stdint.h>

#include "core/part.h"
#include "core/stamp.h"
#include "host/secret.h"

#define STAMP_ROOT_KEY_SIZE 32u
#define STAMP_REST_MAX (STAMP_MAX_LEN + 64u * 32u)

/** 32 bytes, or 64 hexadecimal digits, in a file of mode 0600. */
STAMP_MUST_USE enum stamp_err stamp_rest_load(const char *path, struct stamp_secret **out,
                                              struct stamp_error *err);

/**
 * Encrypt a body for a region with this header (its bytes 0 to 31 count).
 *
 * @param out  at least STAMP_REST_MAX bytes
 */
STAMP_MUST_USE enum stamp_err stamp_rest_seal(const struct stamp_secret *root_key,
                                              const uint8_t header[STAMP_HEADER_SIZE],
                                              struct stamp_slice body, uint8_t *out,
                                              size_t *len, struct stamp_error *err);

/**
 * Decrypt a region's body.
 *
 * @param out  at least `body.len` bytes; wiped on failure
 * @retval STAMP_E_FORMAT  not a map of byte strings
 * @retval STAMP_E_CRYPTO  an item does not open: damaged, or another root key
 */
STAMP_MUST_USE enum stamp_err stamp_rest_open(const struct stamp_secret *root_key,
                                              const uint8_t header[STAMP_HEADER_SIZE],
                                              struct stamp_slice body, uint8_t *out,
                                              size_t *len, struct stamp_error *err);

#endif
