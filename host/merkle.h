/*
 * The root of a Merkle tree as in RFC 9162 2.1.1, over leaf hashes that come one after
 * the other: a state of 64 nodes, however many leaves there are. Proofs in such a tree
 * are in host/merkle_proof.h.
 */
#ifndef HOST_MERKLE_H
#define HOST_MERKLE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/openssl.h"

#define STAMP_MERKLE_SIZE 32u
#define STAMP_MERKLE_LEVELS 64u

struct stamp_merkle {
    EVP_MD_CTX *md;
    uint64_t count;
    /* node[k]: root of a whole subtree of 2^k leaves, where bit k of count is set */
    uint8_t node[STAMP_MERKLE_LEVELS][STAMP_MERKLE_SIZE];
};

/** What hashes: SHA-256, for the functions below; the caller frees it. NULL: no memory.
 */
EVP_MD_CTX *stamp_merkle_md(void);

/** The hash of a leaf: of a zero byte and its bytes. @param out  may be what is hashed */
STAMP_MUST_USE bool stamp_merkle_leaf(EVP_MD_CTX *md, const void *bytes, size_t len,
                                      uint8_t out[STAMP_MERKLE_SIZE]);

/** The hash of a node over two others. @param out  may be one of them */
STAMP_MUST_USE bool stamp_merkle_join(EVP_MD_CTX *md,
                                      const uint8_t left[STAMP_MERKLE_SIZE],
                                      const uint8_t right[STAMP_MERKLE_SIZE],
                                      uint8_t out[STAMP_MERKLE_SIZE]);

/** An empty tree; end it with stamp_merkle_fini(), also after a failure. */
STAMP_MUST_USE enum stamp_err stamp_merkle_init(struct stamp_merkle *m,
                                                struct stamp_error *err);

void stamp_merkle_fini(struct stamp_merkle *m);

/**
 * One more leaf at the end.
 *
 * @param leaf  SHA-256 of a zero byte and the leaf's bytes
 * @retval STAMP_E_RANGE  there are 2^63-1 already
 */
STAMP_MUST_USE enum stamp_err stamp_merkle_add(struct stamp_merkle *m,
                                               const uint8_t leaf[STAMP_MERKLE_SIZE],
                                               struct stamp_error *err);

/** The root over all leaves so far; the tree can grow on. */
STAMP_MUST_USE enum stamp_err stamp_merkle_root(const struct stamp_merkle *m,
                                                uint8_t root[STAMP_MERKLE_SIZE],
                                                struct stamp_error *err);

#endif
