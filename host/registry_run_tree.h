/*
 * The tree over the devices of a run (SPEC 18-6), and of it what is kept beside the run:
 * the hashes over each 256 devices. They are there to be fast: with them a device is
 * proven from 256 rows. Whoever uses them sees whether the root comes out.
 */
#ifndef HOST_REGISTRY_RUN_TREE_H
#define HOST_REGISTRY_RUN_TREE_H

#include "host/merkle_proof.h"
#include "host/registry_log_own.h"
#include "host/registry_own.h"

struct stampi_run_tree {
    EVP_MD_CTX *md;
    uint64_t n;                        /* leaves */
    uint8_t (*top)[STAMP_MERKLE_SIZE]; /* over each whole tile */
    size_t room;
    uint8_t leaf[STAMPI_TILE_MAX][STAMP_MERKLE_SIZE]; /* of the one that is not */
};

/** An empty one; end it with stampi_run_tree_fini(), also after a failure. */
STAMP_MUST_USE enum stamp_err stampi_run_tree_init(struct stampi_run_tree *t,
                                                   struct stamp_error *err);
void stampi_run_tree_fini(struct stampi_run_tree *t);

/** The next device. */
STAMP_MUST_USE enum stamp_err stampi_run_tree_add(struct stampi_run_tree *t,
                                                  struct stamp_slice serial,
                                                  const uint8_t fingerprint[32],
                                                  struct stamp_slice certificate,
                                                  struct stamp_error *err);

STAMP_MUST_USE enum stamp_err stampi_run_tree_root(struct stampi_run_tree *t,
                                                   uint8_t root[STAMP_MERKLE_SIZE],
                                                   struct stamp_error *err);

/** Keep what is kept of it, in a transaction. @param first  device of the run */
STAMP_MUST_USE enum stamp_err stampi_run_tree_keep(struct stamp_registry *r,
                                                   int64_t first,
                                                   const struct stampi_run_tree *t,
                                                   struct stamp_error *err);

/** The path from a device to the root over all of its run.
 *
 * @param root  that must come out
 * @retval STAMP_E_DATABASE  it does not: rows are missing, or were changed */
STAMP_MUST_USE enum stamp_err
stampi_run_tree_prove(struct stamp_registry *r, const struct stampi_span *run,
                      uint32_t place, const uint8_t root[STAMP_MERKLE_SIZE],
                      struct stamp_merkle_path *path, struct stamp_error *err);

#endif
