/*
 * A proof of possession that a device sealed itself: an ephemeral point, then AES-256-GCM
 * under a key agreed with the recipient whom the owner's bundle names. SPEC 13-17.
 */
#ifndef HOST_POP_H
#define HOST_POP_H

#include "core/stamp.h"
#include "host/openssl.h"
#include "host/secret.h"

#define STAMP_POP_SEALED_MAX (STAMP_POINT_SIZE + STAMP_MAX_TEXT + 16u)

/**
 * @param sealed  as the device gave it
 * @param key     the recipient's; it may live in a token
 * @retval STAMP_E_AUTH  sealed to somebody else, or damaged
 */
STAMP_MUST_USE enum stamp_err stamp_pop_open(struct stamp_slice sealed, EVP_PKEY *key,
                                             struct stamp_secret **pop,
                                             struct stamp_error *err);

#endif
