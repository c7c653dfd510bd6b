/*
 * Reconciling: orders as headquarters has them, and what the journals of stations tell
 * was made under them. What agrees goes on the books; what does not is named and kept
 * apart, and nothing is smoothed over. SPEC 15-11.
 */
#ifndef HOST_RECONCILE_H
#define HOST_RECONCILE_H

#include "host/journal_store.h"
#include "host/workspace.h"

/** Something that people should know; not the end of it. */
typedef void (*stamp_reconcile_tell)(void *ctx, const char *text);

struct stamp_reconciled {
    uint32_t parts;   /* taken in */
    uint32_t damaged; /* not taken in */
    struct stamp_journal_stored stored;
    uint32_t gaps;    /* stations with entries missing */
    uint32_t forks;   /* entries that there are two of */
    uint32_t broken;  /* entries that do not follow the one before */
    uint32_t refused; /* units that the books do not admit */
    uint32_t booked;
    uint32_t problems; /* all of these that want somebody's attention */
};

/** Take in an export: what is damaged is named, the rest is taken in. Repeating is
 * harmless. @param home  headquarters' reception key */
STAMP_MUST_USE enum stamp_err
stamp_reconcile_take(const struct stamp_workspace *ws, struct stamp_journal_store *store,
                     EVP_PKEY *home, const char *path, stamp_reconcile_tell tell,
                     void *ctx, struct stamp_reconciled *r, struct stamp_error *err);

/** Compare all that is there, and book what can be. Tells one line for each order. */
STAMP_MUST_USE enum stamp_err stamp_reconcile(const struct stamp_workspace *ws,
                                              struct stamp_journal_store *store,
                                              stamp_reconcile_tell tell, void *ctx,
                                              struct stamp_reconciled *r,
                                              struct stamp_error *err);

#endif
