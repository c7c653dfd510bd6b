/*
 * P-256 keys as OpenSSL objects and as the bytes that a stamp holds: a 65-byte point
 * 04 x y, a 32-byte scalar (SPEC 1).
 */
#ifndef HOST_KEY_H
#define HOST_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/openssl.h"

/** A new pair; the caller frees it. */
STAMP_MUST_USE enum stamp_err stamp_key_generate(EVP_PKEY **out, struct stamp_error *err);

/** The public point. STAMP_E_FORMAT where the key is not P-256, or is NULL, as OpenSSL
 * gives for a certificate with a key that it does not know. */
STAMP_MUST_USE enum stamp_err stamp_key_point(const EVP_PKEY *key,
                                              uint8_t point[STAMP_POINT_SIZE],
                                              struct stamp_error *err);

/** The private scalar; the caller wipes it. */
STAMP_MUST_USE enum stamp_err stamp_key_scalar(const EVP_PKEY *key,
                                               uint8_t scalar[STAMP_SCALAR_SIZE],
                                               struct stamp_error *err);

/** A public key; STAMP_E_FORMAT where the point is not on the curve. */
STAMP_MUST_USE enum stamp_err stamp_key_from_point(const uint8_t point[STAMP_POINT_SIZE],
                                                   EVP_PKEY **out,
                                                   struct stamp_error *err);

/** The same for the calling thread, to check a signature with: it stays until the thread
 * asks for the next one, and is not to be freed. */
STAMP_MUST_USE enum stamp_err stamp_key_lend_point(const uint8_t point[STAMP_POINT_SIZE],
                                                   EVP_PKEY **out,
                                                   struct stamp_error *err);

/** A pair; its point is computed. STAMP_E_FORMAT where the scalar is 0 or too large. */
STAMP_MUST_USE enum stamp_err
stamp_key_from_scalar(const uint8_t scalar[STAMP_SCALAR_SIZE], EVP_PKEY **out,
                      struct stamp_error *err);

/** SubjectPublicKeyInfo of a point: RFC 5480 2. */
#define STAMP_SPKI_SIZE 91u
void stamp_key_spki(const uint8_t point[STAMP_POINT_SIZE], uint8_t out[STAMP_SPKI_SIZE]);

/** The point in such a one; false where it is of another algorithm, curve or form.
 * Whether it lies on the curve is not looked at. */
bool stamp_key_spki_point(struct stamp_slice der, uint8_t point[STAMP_POINT_SIZE]);

/** SHA-256 over the point: what "owner key hash" means (SPEC 5-8). */
STAMP_MUST_USE enum stamp_err stamp_key_hash(const uint8_t point[STAMP_POINT_SIZE],
                                             uint8_t hash[32], struct stamp_error *err);

/** PEM of a point's SubjectPublicKeyInfo, NUL-terminated; the caller frees it. */
STAMP_MUST_USE enum stamp_err stamp_key_public_pem(const uint8_t point[STAMP_POINT_SIZE],
                                                   char **out, struct stamp_error *err);

#endif
