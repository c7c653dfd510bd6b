/*
 * The books of whoever opens a batch file: which of its stamps was handed out, and what
 * became of it. An SQLite file beside the batch file, FILE.books, mode 0600, for any
 * number of processes of one machine at once. No key or other secret of a stamp is in it;
 * its own journal key is. SPEC 12.
 *
 *     stamp_books_open()      finds the books, or makes them: needs the unlocked batch
 * then stamp_books_next()      takes the next unused stamp: durable before it returns
 *     stamp_batch_get()       its bytes
 *     stamp_books_report()    struck or scrapped
 *     stamp_books_close()     from now on nothing is handed out
 *     stamp_results_write()   host/results.h: what headquarters gets
 *
 * A stamp that was taken and not reported is in doubt. It is never handed out again.
 * What returns STAMP_OK is durable; what fails has changed nothing. Time does not go
 * back: with a clock more than two minutes behind the last event (a program may wait one
 * for the others) nothing is written down: STAMP_E_STATE.
 */
#ifndef HOST_BATCHBOOKS_H
#define HOST_BATCHBOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "host/batchfile.h"

#define STAMP_BOOKS_SUFFIX ".books" /* behind the batch file's name */
#define STAMP_BOOKS_ID_SIZE 16u
#define STAMP_BOOKS_CHIP_SIZE 65u
#define STAMP_BOOKS_TEXT_SIZE 201u
#define STAMP_BOOKS_DRAINED 5

/** SPEC 12-6; the numbers are in the format. */
enum stamp_books_result {
    STAMP_BOOKS_UNUSED = 0, /* "returned" once the books are closed */
    STAMP_BOOKS_IN_DOUBT = 1,
    STAMP_BOOKS_STRUCK = 2,
    STAMP_BOOKS_SCRAPPED = 3,
};

struct stamp_books;

/**
 * Open the books of a batch file; make them where there are none.
 *
 * @param path   of the batch file; the books are `path`.books
 * @param batch  opened; borrowed until the books are freed; to make books it must be
 * unlocked, too: the voucher is signed then
 * @retval STAMP_E_IO       others may read them, or they cannot be written
 * @param make   false: STAMP_E_MISSING where there are none
 * @retval STAMP_E_AUTH     the batch is not unlocked and there are no books yet, or the
 * books are of another batch file: untouched
 * @retval STAMP_E_BUSY     other processes hold them for a minute already
 */
STAMP_MUST_USE enum stamp_err stamp_books_open(const char *path,
                                               struct stamp_batch *batch, bool make,
                                               struct stamp_books **out,
                                               struct stamp_error *err);
void stamp_books_free(struct stamp_books **p);
#define STAMP_BOOKS_AUTO __attribute__((cleanup(stamp_books_free))) struct stamp_books

/**
 * Whom the batch file was checked with: kept where the books know of nobody yet, so that
 * it need not be said again. */
STAMP_MUST_USE enum stamp_err stamp_books_pin(struct stamp_books *b, const X509 *anchor,
                                              struct stamp_error *err);

/**
 * Whom the books of the batch file at `path` know, before that is opened.
 *
 * @param out  the caller frees it
 * @retval STAMP_E_MISSING  there are no books, or they know nobody
 */
STAMP_MUST_USE enum stamp_err stamp_books_anchor(const char *path, X509 **out,
                                                 struct stamp_error *err);

/** Who, and where, reports say from now on; else the user's and the machine's names. */
void stamp_books_author(struct stamp_books *b, const char *who, const char *where);

/**
 * Take up to `max` unused stamps, in the order of the file; durable before return. Each
 * is in doubt from now on.
 *
 * @param indices  `max` of them; for stamp_batch_get()
 * @param n        how many
 * @retval STAMP_E_MISSING  none is left, or the books are closed: `err` says which, and
 * its `native` is STAMP_BOOKS_DRAINED
 */
STAMP_MUST_USE enum stamp_err stamp_books_next(struct stamp_books *b, time_t now,
                                               uint32_t *indices, size_t max, size_t *n,
                                               struct stamp_error *err);

/**
 * The stamp for a chip: the next unused one, or the one that was taken for this chip
 * before and is in doubt since. So a unit whose strike was cut short gets the same again.
 *
 * @retval STAMP_E_DUPLICATE  the chip was reported with a stamp already
 * @retval others             as stamp_books_next()
 */
STAMP_MUST_USE enum stamp_err stamp_books_for_chip(struct stamp_books *b, time_t now,
                                                   const char *chip, uint32_t *index,
                                                   struct stamp_error *err);

struct stamp_books_report {
    const char *serial;
    enum stamp_books_result result; /* STRUCK or SCRAPPED */
    const char *chip;               /* NULL = not known */
    const char *reason;             /* NULL = none; of SCRAPPED */
    time_t at;
};

/**
 * Write down what became of a stamp that was handed out. The same report again is no
 * error and changes nothing.
 *
 * @retval STAMP_E_MISSING    no such serial in the batch file
 * @retval STAMP_E_STATE      it was never handed out; or it was reported otherwise
 * already (a struck one may be scrapped later; nothing else changes)
 * @retval STAMP_E_DUPLICATE  the chip was reported with another serial
 * @retval STAMP_E_RANGE      a text is too long
 */
STAMP_MUST_USE enum stamp_err stamp_books_report(struct stamp_books *b,
                                                 const struct stamp_books_report *what,
                                                 struct stamp_error *err);

/** One stamp as the books have it. */
struct stamp_books_line {
    uint32_t index;
    char serial[STAMP_SERIAL_SIZE];
    enum stamp_books_result result;
    time_t handed_at;                 /* 0 = not */
    time_t reported_at;               /* 0 = not */
    char chip[STAMP_BOOKS_CHIP_SIZE]; /* "" = not known */
    char who[STAMP_BOOKS_TEXT_SIZE];
    char where[STAMP_BOOKS_TEXT_SIZE];
    char reason[STAMP_BOOKS_TEXT_SIZE];
};

/** What the books have of a stamp; of `serial` all but itself is filled.
 * @retval STAMP_E_MISSING  no such serial in the batch file
 * @retval STAMP_E_STATE    it was never handed out */
STAMP_MUST_USE enum stamp_err stamp_books_find(struct stamp_books *b, const char *serial,
                                               struct stamp_books_line *line,
                                               struct stamp_error *err);

/** Lines of this result with an index not below `from`, in order; UNUSED is no line. */
STAMP_MUST_USE enum stamp_err stamp_books_list(struct stamp_books *b,
                                               enum stamp_books_result result,
                                               uint32_t from,
                                               struct stamp_books_line *lines, size_t max,
                                               size_t *n, struct stamp_error *err);

struct stamp_books_state {
    uint8_t id[STAMP_BOOKS_ID_SIZE];
    uint32_t count; /* of the batch file */
    uint32_t unused;
    uint32_t in_doubt;
    uint32_t struck;
    uint32_t scrapped;
    bool closed;
    uint32_t results; /* number of the last ones; 0 = none yet */
    uint32_t due;     /* number that results written now would have */
    uint32_t events;
};

STAMP_MUST_USE enum stamp_err stamp_books_state(struct stamp_books *b,
                                                struct stamp_books_state *out,
                                                struct stamp_error *err);

/** From now on nothing is handed out. Closing closed books is no error. */
STAMP_MUST_USE enum stamp_err stamp_books_close(struct stamp_books *b, time_t now,
                                                struct stamp_error *err);

#endif
