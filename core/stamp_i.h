/* Shared by the codec's files only. */
#ifndef CORE_STAMP_I_H
#define CORE_STAMP_I_H

#include "core/stamp.h"

/* {1: -7}: ECDSA with SHA-256, RFC 9053 2.1 */
#define STAMP_ES256_HEADER "\xA1\x01\x26"

/** Order of map keys that are text: bytewise order of their encodings. SPEC 4-1. */
int stampi_field_order(struct stamp_slice a, struct stamp_slice b);

#endif
