/*
 * The provisioning public key as Wi-Fi Easy Connect writes it: DER SubjectPublicKeyInfo
 * of a P-256 key with compressed point, its base64, its hash, and the "DPP:" URI.
 */
#ifndef HOST_DPP_H
#define HOST_DPP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/error.h"

#define STAMP_DPP_DER_LEN 59u
#define STAMP_DPP_KEY_LEN 80u /* base64 of it */
#define STAMP_DPP_HASH_LEN 32u

/** The DER of `point` (04 x y). The point is not checked to be on the curve. */
void stamp_dpp_der(const uint8_t point[STAMP_POINT_SIZE], uint8_t out[STAMP_DPP_DER_LEN]);

/** Its base64 on one line, NUL-terminated: what "K:" of a DPP URI holds. */
void stamp_dpp_key(const uint8_t point[STAMP_POINT_SIZE],
                   char out[STAMP_DPP_KEY_LEN + 1u]);

/** The bootstrapping key hash: SHA-256 of the DER. */
STAMP_MUST_USE enum stamp_err stamp_dpp_hash(const uint8_t point[STAMP_POINT_SIZE],
                                             uint8_t out[STAMP_DPP_HASH_LEN],
                                             struct stamp_error *err);

/**
 * The key of a DPP URI. Fields of any order; unknown ones are passed over.
 *
 * @param uri    `len` bytes, no NUL needed
 * @param point  uncompressed, and on the curve; zeroed on failure
 * @retval STAMP_E_FORMAT  not a DPP URI, no key in it or two, or not a compressed P-256
 * key
 */
STAMP_MUST_USE enum stamp_err stamp_dpp_parse(const char *uri, size_t len,
                                              uint8_t point[STAMP_POINT_SIZE],
                                              struct stamp_error *err);

#endif
