/*
 * Deterministic CBOR, checked to the bottom: also in items that this program does not
 * know, which the codec passes over. SPEC 4-1 to 4-5.
 */
#ifndef HOST_STRICT_H
#define HOST_STRICT_H

#include <stdbool.h>

#include "core/cbor.h"

/** Is `in` just one map as a body is, in deterministic encoding? */
bool stamp_strict_cbor(struct stamp_slice in);

#endif
