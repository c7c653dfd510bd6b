/* What the files of the import share (host/import.h). */
#ifndef HOST_IMPORT_OWN_H
#define HOST_IMPORT_OWN_H

#include "host/import.h"

#define STAMPI_IMPORT_LINES 1024u /* entries that go to the books together */
#define STAMPI_IMPORT_CHIPS 4096u /* more than twice as many, a power of two */

/* A share of a batch is 65,536 devices or all of them, but for what was given back. */
#define STAMPI_IMPORT_SHARES ((size_t)16384)

/* Begins the reason for which a serial in conflict is revoked: who reads the history
 * knows it again. */
#define STAMPI_IMPORT_WHY "in conflict with results "

/* An entry that was judged, for as long as changes point into it. */
struct stampi_import_line {
    struct stamp_books_line entry;
    char other[STAMP_SERIAL_SIZE]; /* the serial that has its chip; "" = none */
};

struct stampi_importer {
    struct stamp_workspace *ws;
    const struct stamp_import_job *job;
    struct stamp_imported *out;
    struct stamp_results *results;
    struct stamp_registry_import *import;
    time_t now;

    struct stamp_registry_share *shares; /* of the volume, by first index */
    size_t n_shares;
    size_t share;    /* that the last entry was of; n_shares = none yet */
    uint32_t inside; /* entries of it so far */
    uint8_t *seen;   /* shares: a byte for each */

    bool known;  /* results of these books are on ours */
    bool others; /* results of other books of the same volume are */
    bool forked; /* the books went back in time as a whole */
    bool again;  /* there are other results with this number */
    char blame[96];
    char why[96];

    struct stampi_import_line *lines; /* STAMPI_IMPORT_LINES */
    size_t n_lines;
    struct stamp_registry_change *changes; /* two for each line at most */
    size_t n_changes;
    uint16_t chips[STAMPI_IMPORT_CHIPS]; /* hash table of lines + 1 that have chips */
};

/** What an entry means for the books. */
enum stampi_import_verdict {
    STAMPI_IMPORT_NOTHING, /* they say so already */
    STAMPI_IMPORT_NEWS,
    STAMPI_IMPORT_CONFLICT,    /* told */
    STAMPI_IMPORT_QUARANTINED, /* was in conflict before, and is revoked for it */
};

/** Tell of a conflict. @param serial  NULL = the results as a whole */
__attribute__((format(printf, 3, 4))) void
stampi_import_conflict(struct stampi_importer *m, const char *serial, const char *fmt,
                       ...);

/** Judge an entry; `line->other` is filled where its chip has another serial. */
STAMP_MUST_USE enum stamp_err stampi_import_judge(struct stampi_importer *m,
                                                  struct stampi_import_line *line,
                                                  const struct stamp_registry_row *row,
                                                  enum stampi_import_verdict *verdict,
                                                  struct stamp_error *err);

/** Where are these results among those on the books? Fills known, others, forked, again
 * and blame. SPEC 12-10. */
STAMP_MUST_USE enum stamp_err stampi_import_place(struct stampi_importer *m,
                                                  struct stamp_error *err);

/** The batch of the results, and what this volume has made of it, by the books. */
STAMP_MUST_USE enum stamp_err stampi_import_batch(struct stampi_importer *m,
                                                  struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_import_shares(struct stampi_importer *m,
                                                   struct stamp_error *err);

/** Is every stamp told of? Then the batch is closed. */
STAMP_MUST_USE enum stamp_err stampi_import_close(struct stampi_importer *m,
                                                  struct stamp_error *err);

#endif
