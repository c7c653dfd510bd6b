/*
 * The root of a Merkle tree as in RFC 6962 2.1, over leaf hashes that come one after the
 * other: a state of 32 nodes, however many leaves there are.
 */
#ifndef HOST_MERKLE_H
#define HOST_MERKLE_H

#include <stdint.h>

#include "host/openssl.h"

#define STAMP_MERKLE_SIZE 32u
#define STAMP_MERKLE_LEVELS 32u /* up to 2^32-1 leaves */

struct stamp_merkle {
    EVP_MD_CTX *md;
    uint32_t count;
    /* node[k]: root of a whole subtree of 2^k leaves, where bit k of count is set */
    uint8_t node[STAMP_MERKLE_LEVELS][STAMP_MERKLE_SIZE];
};

/** An empty tree; end it with stamp_merkle_fini(), also after a failure. */
STAMP_MUST_USE enum stamp_err stamp_merkle_init(struct stamp_merkle *m,
                                                struct stamp_error *err);

void stamp_merkle_fini(struct stamp_merkle *m);

/**
 * One more leaf at the end.
 *
 * @param leaf  SHA-256 of a zero byte and the leaf's bytes
 * @retval STAMP_E_RANGE  there are 2^32-1 already
 */
STAMP_MUST_USE enum stamp_err stamp_merkle_add(struct stamp_merkle *m,
                                               const uint8_t leaf[STAMP_MERKLE_SIZE],
                                               struct stamp_error *err);

/** The root over all leaves so far; the tree can grow on. */
STAMP_MUST_USE enum stamp_err stamp_merkle_root(const struct stamp_merkle *m,
                                                uint8_t root[STAMP_MERKLE_SIZE],
                                                struct stamp_error *err);

#endif
