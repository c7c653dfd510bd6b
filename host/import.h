/*
 * Results of a station go on the books of headquarters: all of one file, or nothing of
 * it. What contradicts the books is found before anything is booked, and named. SPEC
 * 12-10.
 */
#ifndef HOST_IMPORT_H
#define HOST_IMPORT_H

#include "host/registry_books.h"
#include "host/results.h"
#include "host/workspace.h"

/** One contradiction, in words. @param serial  NULL = of the results as a whole */
typedef void (*stamp_import_told)(void *ctx, const char *serial, const char *what);

struct stamp_import_job {
    const char *path; /* or what `file` is called */
    int file;         /* open, and taken over; 0 = none: `path` is opened */
    bool quarantine;  /* book what does not contradict, revoke what does */
    stamp_import_told conflict;
    void *ctx;
};

/** What was found and booked. */
struct stamp_imported {
    struct stamp_results_head head;
    struct stamp_registry_batch batch;
    bool before;     /* these results were on the books already: nothing was done */
    bool superseded; /* later results of the same books are: checked, and noted */
    uint32_t struck; /* in the file, as the other three */
    uint32_t scrapped;
    uint32_t returned;
    uint32_t in_doubt;
    uint32_t booked;      /* devices whose state changed */
    uint32_t conflicts;   /* serials in conflict, and one for books gone back in time */
    uint32_t quarantined; /* serials revoked for that */
    uint32_t passed_over; /* serials that an earlier import revoked for that */
    bool closed;          /* the batch is: there are results of all its volumes */
};

/**
 * Import results. A kill or power loss anywhere leaves all of it or nothing; the same
 * call again completes it. Memory does not grow with the batch.
 *
 * @param out  filled as far as it got, on failure too
 * @retval STAMP_E_DUPLICATE  conflicts were found and told; nothing was booked
 * @retval STAMP_E_MISSING    the batch is not on these books
 * @retval STAMP_E_AUTH       they are not of the stamps that the books have in this
 * volume
 * @retval others             as stamp_results_open(), or the database; nothing was booked
 */
STAMP_MUST_USE enum stamp_err stamp_import(struct stamp_workspace *ws,
                                           const struct stamp_import_job *job,
                                           struct stamp_imported *out,
                                           struct stamp_error *err);

#endif
