/*
 * Reconciling: orders as headquarters has them, and what the journals of stations tell
 * was made under them. What agrees goes on the books; what does not is named and kept
 * apart, and nothing is smoothed over. SPEC 15-11.
 */
#ifndef HOST_RECONCILE_H
#define HOST_RECONCILE_H

#include "host/registry_journal.h"
#include "host/workspace.h"

enum stamp_reconcile_what {
    STAMP_RECONCILE_ORDER,   /* how one stands; no problem */
    STAMP_RECONCILE_DEVICE,  /* one that came back agrees with the books; no problem */
    STAMP_RECONCILE_DAMAGED, /* a part of an export cannot be read, or is cut, or forged
                              */
    STAMP_RECONCILE_GAP,     /* entries are missing */
    STAMP_RECONCILE_FORK,    /* there are two of one number */
    STAMP_RECONCILE_CHANGED, /* an entry does not follow the one before it */
    STAMP_RECONCILE_REFUSED, /* the books do not admit a unit */
    STAMP_RECONCILE_FOREIGN, /* a station worked under another station's order */
    STAMP_RECONCILE_UNKNOWN, /* a station worked under an order that is on no books */
    STAMP_RECONCILE_STRANGE, /* a device that came back does not agree with the books */
};

/** "gap", "fork", ... */
const char *stamp_reconcile_name(enum stamp_reconcile_what what);
/** False: nothing has this name. */
bool stamp_reconcile_of(const char *name, enum stamp_reconcile_what *out);
bool stamp_reconcile_is_problem(enum stamp_reconcile_what what);

/** How an order stands by one station's journal, in units. */
struct stamp_reconcile_order {
    const char *name;
    uint32_t expected;
    uint32_t made;        /* locked where the order says so, restarted, proven */
    uint32_t unproven;    /* written and read back */
    uint32_t signed_only; /* signed for, not known to be written */
    uint32_t begun;       /* nothing was signed */
    uint32_t moved;       /* begun here, and the chip was struck under another index */
    uint32_t scrapped;
    uint32_t not_begun;
    uint32_t too_many; /* beyond the count */
    uint32_t refused;  /* kept apart by the books */
};

/** Something that people should know; not the end of it. All is borrowed. */
struct stamp_reconcile_told {
    enum stamp_reconcile_what what;
    const char *text;
    const char *station;                       /* its name; NULL = not known */
    const struct stamp_reconcile_order *order; /* of ORDER, else NULL */
};
typedef void (*stamp_reconcile_tell)(void *ctx, const struct stamp_reconcile_told *told);

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
STAMP_MUST_USE enum stamp_err stamp_reconcile_take(const struct stamp_workspace *ws,
                                                   EVP_PKEY *home, const char *path,
                                                   stamp_reconcile_tell tell, void *ctx,
                                                   struct stamp_reconciled *r,
                                                   struct stamp_error *err);

/** The same of an export that is in memory. @param name  what it is called, for people */
STAMP_MUST_USE enum stamp_err
stamp_reconcile_take_bytes(const struct stamp_workspace *ws, EVP_PKEY *home,
                           const char *name, struct stamp_slice bytes,
                           stamp_reconcile_tell tell, void *ctx,
                           struct stamp_reconciled *r, struct stamp_error *err);

/** Compare all that is there, and book what can be. Tells one line for each order. */
STAMP_MUST_USE enum stamp_err stamp_reconcile(const struct stamp_workspace *ws,
                                              stamp_reconcile_tell tell, void *ctx,
                                              struct stamp_reconciled *r,
                                              struct stamp_error *err);

#endif
