/*
 * Proofs in a Merkle tree: that a leaf is in it, and that a later tree goes on from an
 * earlier one. RFC 9162 2.1.3 and 2.1.4.
 */
#ifndef HOST_MERKLE_PROOF_H
#define HOST_MERKLE_PROOF_H

#include "host/merkle.h"

/** Nodes of a path, the lowest first. */
struct stamp_merkle_path {
    size_t n;
    uint8_t node[STAMP_MERKLE_LEVELS][STAMP_MERKLE_SIZE];
};

/** The root of the whole subtree over the leaves index * 2^height and on, 2^height of
 * them. */
typedef enum stamp_err (*stamp_merkle_node)(void *ctx, unsigned height, uint64_t index,
                                            uint8_t out[STAMP_MERKLE_SIZE],
                                            struct stamp_error *err);

/** A tree whose whole subtrees are at hand. */
struct stamp_merkle_tree {
    EVP_MD_CTX *md; /* stamp_merkle_md() */
    stamp_merkle_node node;
    void *ctx;
};

/** The root over the first `size` leaves. */
STAMP_MUST_USE enum stamp_err stamp_merkle_root_of(const struct stamp_merkle_tree *t,
                                                   uint64_t size,
                                                   uint8_t root[STAMP_MERKLE_SIZE],
                                                   struct stamp_error *err);

/** The path from leaf `index` to the root over `size` leaves. RFC 9162 2.1.3.1
 * @retval STAMP_E_RANGE  there is no such leaf */
STAMP_MUST_USE enum stamp_err stamp_merkle_prove(const struct stamp_merkle_tree *t,
                                                 uint64_t index, uint64_t size,
                                                 struct stamp_merkle_path *path,
                                                 struct stamp_error *err);

/** The path from the tree of `from` leaves to that of `to`; empty where they are the
 * same, or `from` is 0. RFC 9162 2.1.4.1
 * @retval STAMP_E_RANGE  from > to */
STAMP_MUST_USE enum stamp_err stamp_merkle_prove_growth(const struct stamp_merkle_tree *t,
                                                        uint64_t from, uint64_t to,
                                                        struct stamp_merkle_path *path,
                                                        struct stamp_error *err);

/** Does the path lead from the leaf to the root? RFC 9162 2.1.3.2 */
STAMP_MUST_USE bool stamp_merkle_is_in(EVP_MD_CTX *md, uint64_t index, uint64_t size,
                                       const uint8_t leaf[STAMP_MERKLE_SIZE],
                                       const struct stamp_merkle_path *path,
                                       const uint8_t root[STAMP_MERKLE_SIZE]);

/** Does the path lead from one root to the other? RFC 9162 2.1.4.2 */
STAMP_MUST_USE bool stamp_merkle_grew(EVP_MD_CTX *md, uint64_t from, uint64_t to,
                                      const uint8_t from_root[STAMP_MERKLE_SIZE],
                                      const uint8_t to_root[STAMP_MERKLE_SIZE],
                                      const struct stamp_merkle_path *path);

#endif
