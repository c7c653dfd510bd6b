/*
 * Key pairs in bulk, as the bytes that a stamp holds. A pair is a random scalar of the
 * group's order and its point, both by OpenSSL's own arithmetic, as OpenSSL's key
 * generation does it (FIPS 186-5 A.2.2: testing candidates); what is left out is the key
 * object around it, which takes half as long again.
 */
#ifndef HOST_KEYGEN_H
#define HOST_KEYGEN_H

#include <stdint.h>

#include "core/stamp.h"
#include "host/openssl.h"

/** One thread's. */
struct stamp_keygen;

STAMP_MUST_USE enum stamp_err stamp_keygen_new(struct stamp_keygen **out,
                                               struct stamp_error *err);
void stamp_keygen_free(struct stamp_keygen **p);
#define STAMP_KEYGEN_AUTO __attribute__((cleanup(stamp_keygen_free))) struct stamp_keygen

/** A new pair; the caller wipes the scalar. Nothing of it stays here. */
STAMP_MUST_USE enum stamp_err stamp_keygen_pair(struct stamp_keygen *g,
                                                uint8_t scalar[STAMP_SCALAR_SIZE],
                                                uint8_t point[STAMP_POINT_SIZE],
                                                struct stamp_error *err);

#endif
