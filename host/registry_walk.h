/* All rows of a table, page by page, in the order of its key. */
#ifndef HOST_REGISTRY_WALK_H
#define HOST_REGISTRY_WALK_H

#include "host/registry_own.h"

enum stampi_walk {
    STAMPI_WALK_BATCHES,     /* id, name, count, at, state, who, place */
    STAMPI_WALK_RUNS,        /* first, n, at, who, place */
    STAMPI_WALK_DEVICES,     /* id, serial, state, changed_at, chip, fingerprint,
                                certificate */
    STAMPI_WALK_EVENTS,      /* device, n, serial, state, at, who, place, why, chip,
                                fingerprint, certificate */
    STAMPI_WALK_OPERATIONAL, /* device, n, state, certificate, at, changed_at */
    STAMPI_WALK_REVOCATIONS, /* ca, serial, device, reason, at */
    STAMPI_WALK_OWN,         /* serial, certificate, at, who */
    STAMPI_WALK_RESULTS,     /* books, number, digest, imported_at, who, place */
    STAMPI_WALK_TALLY,       /* what, batch, n */
};

/** Those of the whole table. */
STAMP_MUST_USE enum stamp_err stampi_walk_table(struct stamp_registry *r,
                                                enum stampi_walk what, stampi_row row,
                                                void *ctx, struct stamp_error *err);

/** Devices whose id is at least `from` and below `to`. */
STAMP_MUST_USE enum stamp_err stampi_walk_devices(struct stamp_registry *r, int64_t from,
                                                  int64_t to, stampi_row row, void *ctx,
                                                  struct stamp_error *err);

/** What to do with the leaves that a row has: they are in r->leaves, and are cleared
 * afterwards. */
typedef enum stamp_err (*stampi_leaves_taken)(void *ctx, struct stamp_registry *r,
                                              struct stamp_error *err);

/** The leaves that the rows of a table have in the log, made as they were when it was
 * written; what rows do not keep is as good as they have it (host/registry_check.c).
 * STAMPI_WALK_DEVICES and STAMPI_WALK_TALLY have none. */
STAMP_MUST_USE enum stamp_err stampi_walk_leaves(struct stamp_registry *r,
                                                 enum stampi_walk what,
                                                 stampi_leaves_taken taken, void *ctx,
                                                 struct stamp_error *err);

/** All of them into the queue, in a transaction: of books that are older than the log. */
STAMP_MUST_USE enum stamp_err stampi_take_over(struct stamp_registry *r,
                                               struct stamp_error *err);

/** The root of a run (SPEC 18-6) as its devices are on the books.
 * @param found  how many of them there are */
STAMP_MUST_USE enum stamp_err stampi_run_root(struct stamp_registry *r, int64_t first,
                                              uint32_t n, uint32_t *found,
                                              uint8_t root[STAMP_MERKLE_SIZE],
                                              struct stamp_error *err);

#endif
