/*
 * What the files of the books share (host/batchbooks.h): the database and its statements,
 * and what results are made of.
 */
#ifndef HOST_BATCHBOOKS_OWN_H
#define HOST_BATCHBOOKS_OWN_H

#include <sqlite3.h>

#include "core/cbor.h"
#include "host/batchbooks.h"
#include "host/sig.h"

#define STAMPI_BOOKS_VERSION 1
#define STAMPI_BOOKS_BUSY_MS 60000

/* A program takes the time and then waits for the others: so much later than the last
 * event it may find itself. More, and the clock was set back. */
#define STAMPI_BOOKS_LAG_S 120

#define STAMPI_VOUCHER_MAX 160u /* bytes of a voucher's payload */

enum stampi_books_sql {
    STAMPI_BOOKS_HEAD,
    STAMPI_BOOKS_HEAD_ADD,
    STAMPI_BOOKS_TAKEN,
    STAMPI_BOOKS_HAND,
    STAMPI_BOOKS_LINE,
    STAMPI_BOOKS_CHIP,
    STAMPI_BOOKS_MEANT,
    STAMPI_BOOKS_MEAN,
    STAMPI_BOOKS_WRITE,
    STAMPI_BOOKS_REPORTED,
    STAMPI_BOOKS_CLOSE,
    STAMPI_BOOKS_LIST,
    STAMPI_BOOKS_ANCHOR,
    STAMPI_BOOKS_ANCHOR_ADD,
    STAMPI_BOOKS_VOUCHER,
    STAMPI_BOOKS_RESULTS,
    STAMPI_BOOKS_RESULTS_ADD,
    STAMPI_BOOKS_SQL_COUNT
};

struct stamp_books {
    char *path; /* of the books */
    struct stamp_batch *batch;
    sqlite3 *db;
    sqlite3_stmt *statement[STAMPI_BOOKS_SQL_COUNT];
    char who[STAMP_BOOKS_TEXT_SIZE];
    char where[STAMP_BOOKS_TEXT_SIZE];
};

/** The one row of `books`. */
struct stampi_books_head {
    struct stamp_books_state state;
    uint32_t next;
    time_t last_at;
};

enum stamp_err stampi_books_failed(struct stamp_books *b, const char *verb,
                                   struct stamp_error *err);

/** A statement, reset, to bind and step; NULL on failure, `err` is set. */
sqlite3_stmt *stampi_books_sql(struct stamp_books *b, enum stampi_books_sql which,
                               struct stamp_error *err);

/** Run a statement that gives no row. */
STAMP_MUST_USE enum stamp_err stampi_books_run(struct stamp_books *b, sqlite3_stmt *s,
                                               struct stamp_error *err);

/** The next row. STAMP_E_MISSING where there is none; `err` is left alone then. */
STAMP_MUST_USE enum stamp_err stampi_books_row(struct stamp_books *b, sqlite3_stmt *s,
                                               struct stamp_error *err);

STAMP_MUST_USE enum stamp_err stampi_books_begin(struct stamp_books *b,
                                                 struct stamp_error *err);

/** Commit where `rc` is STAMP_OK, else roll back. Returns `rc`, or why it did not go. */
STAMP_MUST_USE enum stamp_err stampi_books_end(struct stamp_books *b, enum stamp_err rc,
                                               struct stamp_error *err);

STAMP_MUST_USE enum stamp_err stampi_books_head(struct stamp_books *b,
                                                struct stampi_books_head *out,
                                                struct stamp_error *err);

/** May something that happens `now` be written down? `*at` is when it is said to be. */
STAMP_MUST_USE enum stamp_err stampi_books_clock(const struct stampi_books_head *head,
                                                 time_t now, time_t *at,
                                                 struct stamp_error *err);

/** With a transaction begun: take up to `max`. */
STAMP_MUST_USE enum stamp_err stampi_books_take(struct stamp_books *b, time_t now,
                                                uint32_t *indices, size_t max, size_t *n,
                                                struct stamp_error *err);

/** What is known of a stamp. STAMP_E_STATE: it was never handed out. */
STAMP_MUST_USE enum stamp_err stampi_books_line(struct stamp_books *b, const char *serial,
                                                struct stamp_books_line *line,
                                                struct stamp_error *err);

/** Whose chip is it? STAMP_E_MISSING: it was reported with no stamp; `err` is left alone.
 */
STAMP_MUST_USE enum stamp_err stampi_books_chip(struct stamp_books *b, const char *chip,
                                                uint32_t *index, struct stamp_error *err);

/** The error for a chip that was reported with the stamp `index`. */
STAMP_MUST_USE enum stamp_err stampi_books_chip_is_taken(struct stamp_books *b,
                                                         const char *chip, uint32_t index,
                                                         struct stamp_error *err);

/** A row of `handed` from the first column on; its serial is not looked up. */
void stampi_books_take_line(sqlite3_stmt *s, struct stamp_books_line *out);

/** Open a database and set it up; `out->db` is closed by stamp_books_free() also where
 * this fails. */
STAMP_MUST_USE enum stamp_err stampi_books_connect(struct stamp_books *b,
                                                   const char *path, int flags,
                                                   struct stamp_error *err);

/** Make books under `b->path`, or find that others did. */
STAMP_MUST_USE enum stamp_err stampi_books_make(struct stamp_books *b,
                                                struct stamp_error *err);

/** SHA-256 of the manifest as it was signed: which batch file it is. */
STAMP_MUST_USE enum stamp_err
stampi_books_manifest(const struct stamp_batch *batch,
                      uint8_t digest[STAMP_BATCH_DIGEST_SIZE], struct stamp_error *err);

#endif
