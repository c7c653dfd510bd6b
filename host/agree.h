/*
 * Keys for messages between two ends that know each other's points, a message each: ECDH
 * on P-256, HKDF-SHA-256, then AES-256-GCM. SPEC 10-13, 13-17, 13-24.
 */
#ifndef HOST_AGREE_H
#define HOST_AGREE_H

#include "core/stamp.h"
#include "host/error.h"
#include "host/openssl.h"

#define STAMP_AGREE_KEY 32u
#define STAMP_AGREE_TAG 16u

/**
 * ECDH, then HKDF with SHA-256 of what both ends know of the exchange as its salt.
 *
 * @param own   our half; it may live in a token
 * @param out   `len` bytes; secret: the caller wipes it
 * @retval STAMP_E_FORMAT  `peer` is no point of the curve
 */
STAMP_MUST_USE enum stamp_err stamp_agree_derive(EVP_PKEY *own,
                                                 const uint8_t peer[STAMP_POINT_SIZE],
                                                 struct stamp_slice exchange,
                                                 const char *label, uint8_t *out,
                                                 size_t len, struct stamp_error *err);

/**
 * The key of an exchange that is its two points.
 *
 * @param own    our half; it may live in a token
 * @param first  the point that enters the salt first: the device's
 * @param second the other one; one of both is `own`'s
 * @param label  of the use, as core/keys.h has it
 * @param key    secret; the caller wipes it
 * @retval STAMP_E_AUTH  the other one is no point of the curve
 */
STAMP_MUST_USE enum stamp_err stamp_agree(EVP_PKEY *own,
                                          const uint8_t first[STAMP_POINT_SIZE],
                                          const uint8_t second[STAMP_POINT_SIZE],
                                          const char *label, uint8_t key[STAMP_AGREE_KEY],
                                          struct stamp_error *err);

/** @param out  in.len + STAMP_AGREE_TAG bytes */
STAMP_MUST_USE enum stamp_err stamp_agree_seal(const uint8_t key[STAMP_AGREE_KEY],
                                               struct stamp_slice in, uint8_t *out,
                                               struct stamp_error *err);

/** @param in   with the tag behind it
 * @param out  in.len - STAMP_AGREE_TAG bytes; meaningless where this is false */
bool stamp_agree_open(const uint8_t key[STAMP_AGREE_KEY], struct stamp_slice in,
                      uint8_t *out);

#endif
