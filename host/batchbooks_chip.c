/* Which stamp a chip gets, by the books of a batch file. */
#include <string.h>

#include "host/batchbooks_own.h"

/* Books that were made before there was this have no such table. */
#define TABLE                                                                            \
    "CREATE TABLE IF NOT EXISTS meant (chip TEXT PRIMARY KEY, number INTEGER NOT NULL) " \
    "STRICT"

/* A row's first column for a chip, and the second one where `second` is wanted.
 * STAMP_E_MISSING: there is none. */
static enum stamp_err ask(struct stamp_books *b, enum stampi_books_sql which,
                          const char *chip, uint32_t *first, uint32_t *second,
                          struct stamp_error *err)
{
    sqlite3_stmt *s = stampi_books_sql(b, which, err);
    enum stamp_err rc;

    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    (void)sqlite3_bind_text(s, 1, chip, -1, SQLITE_STATIC);
    rc = stampi_books_row(b, s, err);
    if (rc == STAMP_OK) {
        *first = (uint32_t)sqlite3_column_int64(s, 0);
        if (second != NULL) {
            *second = (uint32_t)sqlite3_column_int64(s, 1);
        }
    }
    (void)sqlite3_reset(s);
    return rc;
}

enum stamp_err stampi_books_chip(struct stamp_books *b, const char *chip, uint32_t *index,
                                 struct stamp_error *err)
{
    return ask(b, STAMPI_BOOKS_CHIP, chip, index, NULL, err);
}

enum stamp_err stampi_books_chip_is_taken(struct stamp_books *b, const char *chip,
                                          uint32_t index, struct stamp_error *err)
{
    struct stamp_batch_entry entry;
    enum stamp_err rc = stamp_batch_entry(b->batch, index, &entry, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_error_hint(err, "keep the unit apart: it had a stamp and has none now, or its "
                          "chip has the number of another one");
    return stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                           "chip '%s' was reported with '%s' already", chip,
                           entry.serial);
}

static enum stamp_err mean(struct stamp_books *b, const char *chip, uint32_t index,
                           struct stamp_error *err)
{
    sqlite3_stmt *s = stampi_books_sql(b, STAMPI_BOOKS_MEAN, err);

    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    (void)sqlite3_bind_text(s, 1, chip, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 2, index);
    return stampi_books_run(b, s, err);
}

static enum stamp_err for_chip(struct stamp_books *b, time_t now, const char *chip,
                               uint32_t *index, struct stamp_error *err)
{
    uint32_t result = STAMP_BOOKS_SCRAPPED;
    size_t n = 0;
    enum stamp_err rc;

    if (sqlite3_exec(b->db, TABLE, NULL, NULL, NULL) != SQLITE_OK) {
        return stampi_books_failed(b, "write", err);
    }
    rc = stampi_books_chip(b, chip, index, err);
    if (rc != STAMP_E_MISSING) {
        return rc == STAMP_OK ? stampi_books_chip_is_taken(b, chip, *index, err) : rc;
    }
    rc = ask(b, STAMPI_BOOKS_MEANT, chip, index, &result, err);
    if (rc == STAMP_OK && result == STAMP_BOOKS_IN_DOUBT) {
        return STAMP_OK;
    }
    if (rc == STAMP_OK && result == STAMP_BOOKS_STRUCK) {
        return stampi_books_chip_is_taken(b, chip, *index, err);
    }
    if (rc == STAMP_OK || rc == STAMP_E_MISSING) {
        rc = stampi_books_take(b, now, index, 1, &n, err);
    }
    return rc == STAMP_OK ? mean(b, chip, *index, err) : rc;
}

enum stamp_err stamp_books_for_chip(struct stamp_books *b, time_t now, const char *chip,
                                    uint32_t *index, struct stamp_error *err)
{
    enum stamp_err rc;

    if (chip[0] == '\0' || strlen(chip) >= STAMP_BOOKS_CHIP_SIZE) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "a chip id is 1 to %u bytes of text",
                               STAMP_BOOKS_CHIP_SIZE - 1);
    }
    rc = stampi_books_begin(b, err);
    if (rc == STAMP_OK) {
        rc = stampi_books_end(b, for_chip(b, now, chip, index, err), err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(err, "the books were not changed");
    }
    return rc;
}

enum stamp_err stamp_books_find(struct stamp_books *b, const char *serial,
                                struct stamp_books_line *line, struct stamp_error *err)
{
    memset(line, 0, sizeof *line);
    return stampi_books_line(b, serial, line, err);
}
