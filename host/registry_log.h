/*
 * The transparency log of the books: what was issued and what became of it is a leaf of
 * an append-only Merkle tree (SPEC 18). A leaf waits in a queue, written in the
 * transaction that it tells of, until the tree grows by it; whoever grows the tree signs
 * its head.
 *
 * The tree is stored in tiles: 256 hashes of one level, the level above them being the
 * roots of whole tiles. So a proof reads one tile a level, however many leaves there are.
 */
#ifndef HOST_REGISTRY_LOG_H
#define HOST_REGISTRY_LOG_H

#include "host/log_entry.h"
#include "host/log_head.h"
#include "host/merkle_proof.h"
#include "host/registry.h"

#define STAMP_LOG_GROW_MAX 4096u /* leaves in one transaction */

/** Leaves in the tree. */
STAMP_MUST_USE enum stamp_err stamp_registry_log_size(struct stamp_registry *r,
                                                      uint64_t *size,
                                                      struct stamp_error *err);

/** Leaves that wait. */
STAMP_MUST_USE enum stamp_err stamp_registry_log_waiting(struct stamp_registry *r,
                                                         uint64_t *n,
                                                         struct stamp_error *err);

/**
 * Grow the tree by what waits, at most STAMP_LOG_GROW_MAX leaves. Others that grow it
 * wait.
 *
 * @param head  NULL = no head; else one is signed in the same transaction where there is
 *              none of this size yet
 * @param added how many leaves
 */
STAMP_MUST_USE enum stamp_err stamp_registry_log_grow(struct stamp_registry *r,
                                                      const struct stamp_log_signer *head,
                                                      time_t now, uint32_t *added,
                                                      struct stamp_error *err);

/** Put something that is kept elsewhere into the log: its SHA-256, under a name of at
 * most STAMP_LOG_TEXT_MAX bytes. */
STAMP_MUST_USE enum stamp_err
stamp_registry_log_anchor(struct stamp_registry *r, const char *name,
                          const uint8_t digest[32], time_t now, struct stamp_error *err);

/** Is this what is left of a leaf whose content was dropped (SPEC 18-12)? Its hash is in
 * the stored tree. */
bool stamp_log_is_dropped(struct stamp_slice leaf);

/** The newest head. STAMP_E_MISSING: none was signed yet. */
STAMP_MUST_USE enum stamp_err stamp_registry_log_head(struct stamp_registry *r,
                                                      struct stamp_log_head *out,
                                                      struct stamp_error *err);

/** Called with each; false ends. Bytes are borrowed. */
typedef bool (*stamp_log_leaf)(void *ctx, uint64_t index, struct stamp_slice leaf);
typedef bool (*stamp_log_head_row)(void *ctx, const struct stamp_log_head *head);

/** Leaves from `from` on, at most `max`. */
STAMP_MUST_USE enum stamp_err stamp_registry_log_leaves(struct stamp_registry *r,
                                                        uint64_t from, uint32_t max,
                                                        stamp_log_leaf leaf, void *ctx,
                                                        struct stamp_error *err);

/** Those that name one device (stamp_registry_row.id), from `from` on; a run names its
 * first one. */
STAMP_MUST_USE enum stamp_err stamp_registry_log_of(struct stamp_registry *r,
                                                    int64_t device, uint64_t from,
                                                    uint32_t max, stamp_log_leaf leaf,
                                                    void *ctx, struct stamp_error *err);

/** Heads of `from` leaves and more, at most `max`. */
STAMP_MUST_USE enum stamp_err stamp_registry_log_heads(struct stamp_registry *r,
                                                       uint64_t from, uint32_t max,
                                                       stamp_log_head_row head, void *ctx,
                                                       struct stamp_error *err);

/* ---- the tree ---- */

struct stamp_log_tree;

/** The tree as it is stored. @param out  free with stamp_log_tree_free(); the registry
 * must outlive it */
STAMP_MUST_USE enum stamp_err stamp_log_tree_open(struct stamp_registry *r,
                                                  struct stamp_log_tree **out,
                                                  struct stamp_error *err);
void stamp_log_tree_free(struct stamp_log_tree **t);
#define STAMP_LOG_TREE_AUTO                                                              \
    __attribute__((cleanup(stamp_log_tree_free))) struct stamp_log_tree

/** Its nodes, for host/merkle_proof.h. */
const struct stamp_merkle_tree *stamp_log_tree_nodes(const struct stamp_log_tree *t);

/* ---- checking all of it ---- */

/** What is wrong, for people. */
typedef void (*stamp_log_wrong)(void *ctx, const char *what);

struct stamp_log_checked {
    uint64_t leaves, heads, wrong;
    uint8_t root[STAMP_MERKLE_SIZE]; /* over all leaves */
};

/**
 * Go through all leaves: that the stored tree and every stored head are theirs.
 *
 * @param key    of the log, by which heads are signed
 * @param heads  more of them, that others kept; each must be one of this log, too
 * @retval STAMP_OK also where something is wrong: see `out`
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_log_check(struct stamp_registry *r, EVP_PKEY *key,
                         const struct stamp_log_head *heads, size_t n,
                         stamp_log_wrong wrong, void *ctx, struct stamp_log_checked *out,
                         struct stamp_error *err);

#endif
