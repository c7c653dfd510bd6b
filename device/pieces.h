/*
 * What comes in pieces, since it does not fit a message: a struct that more than one part
 * of the agent has. SPEC 13-3, 16-3.
 */
#ifndef DEVICE_PIECES_H
#define DEVICE_PIECES_H

#include <stdint.h>

/** Treat as opaque. */
struct stamp_pieces {
    uint32_t what;  /* is on its way */
    uint32_t total; /* bytes of it; 0 = nothing is */
    uint32_t have;  /* bytes that are here */
};

#endif
