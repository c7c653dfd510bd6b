/*
 * The books' database. One row of `books` holds what is counted, so that nothing is ever
 * scanned for it; `handed` has a row for each stamp that was handed out.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/batchbooks_own.h"

/* Durable at each commit; one wait for the disk each. */
#define SETTINGS "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF"

static const char *const statements[STAMPI_BOOKS_SQL_COUNT] = {
    [STAMPI_BOOKS_HEAD] = "SELECT version, id, manifest, count, next, in_doubt, struck, "
                          "scrapped, events, last_at, closed_at, results FROM books",
    [STAMPI_BOOKS_HEAD_ADD] =
        "INSERT INTO books (one, version, id, manifest, count, voucher, "
        "voucher_signature, journal, last_at) VALUES (1, 1, ?, ?, ?, ?, ?, ?, ?)",
    [STAMPI_BOOKS_TAKEN] = "UPDATE books SET next = next + ?1, in_doubt = in_doubt + ?1, "
                           "events = events + ?1, last_at = ?2",
    [STAMPI_BOOKS_HAND] = "INSERT INTO handed (at, number, result) VALUES (?, ?, 1)",
    [STAMPI_BOOKS_LINE] = "SELECT number, result, at, reported_at, chip, who, place, "
                          "reason FROM handed WHERE number = ?",
    [STAMPI_BOOKS_CHIP] = "SELECT number FROM handed WHERE chip = ?",
    [STAMPI_BOOKS_MEANT] = "SELECT h.number, h.result FROM meant m JOIN handed h ON "
                           "h.number = m.number WHERE m.chip = ?",
    [STAMPI_BOOKS_MEAN] = "INSERT INTO meant (chip, number) VALUES (?1, ?2) ON CONFLICT "
                          "(chip) DO UPDATE SET number = ?2",
    [STAMPI_BOOKS_WRITE] = "UPDATE handed SET result = ?, reported_at = ?, chip = ?, "
                           "who = ?, place = ?, reason = ? WHERE number = ?",
    [STAMPI_BOOKS_REPORTED] = "UPDATE books SET in_doubt = in_doubt + ?, struck = struck "
                              "+ ?, scrapped = scrapped + ?, events = events + 1, "
                              "last_at = ?",
    [STAMPI_BOOKS_CLOSE] =
        "UPDATE books SET closed_at = ?1, last_at = ?1, events = events + 1",
    [STAMPI_BOOKS_LIST] = "SELECT number, result, at, reported_at, chip, who, place, "
                          "reason FROM handed WHERE result = ? AND number >= ? ORDER BY "
                          "number LIMIT ?",
    [STAMPI_BOOKS_ANCHOR] = "SELECT anchor FROM books",
    [STAMPI_BOOKS_ANCHOR_ADD] = "UPDATE books SET anchor = ? WHERE anchor IS NULL",
    [STAMPI_BOOKS_VOUCHER] = "SELECT voucher, voucher_signature, journal FROM books",
    [STAMPI_BOOKS_RESULTS] =
        "SELECT number, events, made_at, previous, digest, signature "
        "FROM results ORDER BY number DESC LIMIT 1",
    [STAMPI_BOOKS_RESULTS_ADD] =
        "INSERT INTO results (number, events, made_at, previous, "
        "digest, signature) VALUES (?, ?, ?, ?, ?, ?)",
};

enum stamp_err stampi_books_failed(struct stamp_books *b, const char *verb,
                                   struct stamp_error *err)
{
    int code = sqlite3_extended_errcode(b->db);
    enum stamp_err rc = STAMP_E_DATABASE;

    switch (code & 0xFF) {
    case SQLITE_BUSY:
        rc = STAMP_E_BUSY;
        (void)stamp_error_set(err, rc, code, "cannot %s '%s': other programs hold it",
                              verb, b->path);
        stamp_error_hint(err, "run the command again");
        break;
    case SQLITE_FULL:
        (void)stamp_error_set(err, rc, code, "cannot %s '%s': the disk is full", verb,
                              b->path);
        stamp_error_hint(err, "make room on the disk, then run the command again");
        break;
    case SQLITE_READONLY:
        (void)stamp_error_set(err, rc, code, "cannot %s '%s': it is read-only", verb,
                              b->path);
        stamp_error_hint(err, "work where the books can be written: they go with the "
                              "batch file");
        break;
    default:
        (void)stamp_error_set(err, rc, code, "cannot %s '%s': %s", verb, b->path,
                              sqlite3_errmsg(b->db));
        break;
    }
    return rc;
}

sqlite3_stmt *stampi_books_sql(struct stamp_books *b, enum stampi_books_sql which,
                               struct stamp_error *err)
{
    sqlite3_stmt **s = &b->statement[which];

    if (*s == NULL &&
        sqlite3_prepare_v3(b->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, s,
                           NULL) != SQLITE_OK) {
        (void)stampi_books_failed(b, "read", err);
        return NULL;
    }
    (void)sqlite3_reset(*s);
    (void)sqlite3_clear_bindings(*s);
    return *s;
}

enum stamp_err stampi_books_row(struct stamp_books *b, sqlite3_stmt *s,
                                struct stamp_error *err)
{
    int code = sqlite3_step(s);

    if (code == SQLITE_ROW) {
        return STAMP_OK;
    }
    if (code == SQLITE_DONE) {
        (void)sqlite3_reset(s);
        return STAMP_E_MISSING;
    }
    return stampi_books_failed(b, sqlite3_stmt_readonly(s) != 0 ? "read" : "write", err);
}

enum stamp_err stampi_books_run(struct stamp_books *b, sqlite3_stmt *s,
                                struct stamp_error *err)
{
    enum stamp_err rc = stampi_books_row(b, s, err);

    (void)sqlite3_reset(s);
    return rc == STAMP_E_MISSING ? STAMP_OK : rc;
}

enum stamp_err stampi_books_begin(struct stamp_books *b, struct stamp_error *err)
{
    return sqlite3_exec(b->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK
               ? STAMP_OK
               : stampi_books_failed(b, "write", err);
}

enum stamp_err stampi_books_end(struct stamp_books *b, enum stamp_err rc,
                                struct stamp_error *err)
{
    for (size_t i = 0; i < STAMPI_BOOKS_SQL_COUNT; i++) {
        (void)sqlite3_reset(b->statement[i]);
    }
    if (rc == STAMP_OK && sqlite3_exec(b->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        rc = stampi_books_failed(b, "write", err);
    }
    if (sqlite3_get_autocommit(b->db) == 0) {
        (void)sqlite3_exec(b->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

enum stamp_err stampi_books_connect(struct stamp_books *b, const char *path, int flags,
                                    struct stamp_error *err)
{
    if (sqlite3_open_v2(path, &b->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
                        NULL) != SQLITE_OK) {
        return stampi_books_failed(b, "open", err);
    }
    (void)sqlite3_extended_result_codes(b->db, 1);
    (void)sqlite3_busy_timeout(b->db, STAMPI_BOOKS_BUSY_MS);
    return sqlite3_exec(b->db, SETTINGS, NULL, NULL, NULL) == SQLITE_OK
               ? STAMP_OK
               : stampi_books_failed(b, "open", err);
}

static enum stamp_err damaged(const struct stamp_books *b, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_CORRUPT, 0, "'%s' are no books of a batch file",
                           b->path);
}

static bool blob(sqlite3_stmt *s, int column, void *out, size_t len)
{
    if (sqlite3_column_bytes(s, column) != (int)len) {
        return false;
    }
    memcpy(out, sqlite3_column_blob(s, column), len);
    return true;
}

static uint32_t number(sqlite3_stmt *s, int column)
{
    return (uint32_t)sqlite3_column_int64(s, column);
}

static enum stamp_err take_head(struct stamp_books *b, sqlite3_stmt *s,
                                struct stampi_books_head *out, struct stamp_error *err)
{
    struct stamp_books_state *state = &out->state;
    uint8_t want[STAMP_BATCH_DIGEST_SIZE];
    uint8_t have[STAMP_BATCH_DIGEST_SIZE];
    enum stamp_err rc;

    if (number(s, 0) != STAMPI_BOOKS_VERSION) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "'%s' was made by a newer program", b->path);
    }
    if (!blob(s, 1, state->id, sizeof state->id) || !blob(s, 2, have, sizeof have)) {
        return damaged(b, err);
    }
    rc = stampi_books_manifest(b->batch, want, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    state->count = number(s, 3);
    if (memcmp(want, have, sizeof want) != 0 ||
        state->count != stamp_batch_manifest(b->batch)->count) {
        (void)stamp_error_set(err, STAMP_E_AUTH, 0,
                              "'%s' are the books of another batch file", b->path);
        stamp_error_hint(err, "books and batch file go together: put the right ones side "
                              "by side");
        return STAMP_E_AUTH;
    }
    out->next = number(s, 4);
    state->unused = state->count - out->next;
    state->in_doubt = number(s, 5);
    state->struck = number(s, 6);
    state->scrapped = number(s, 7);
    state->events = number(s, 8);
    out->last_at = (time_t)sqlite3_column_int64(s, 9);
    state->closed = sqlite3_column_type(s, 10) != SQLITE_NULL;
    state->results = number(s, 11);
    return STAMP_OK;
}

enum stamp_err stampi_books_head(struct stamp_books *b, struct stampi_books_head *out,
                                 struct stamp_error *err)
{
    sqlite3_stmt *s = stampi_books_sql(b, STAMPI_BOOKS_HEAD, err);
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    rc = stampi_books_row(b, s, err);
    if (rc == STAMP_E_MISSING) {
        return damaged(b, err);
    }
    if (rc == STAMP_OK) {
        rc = take_head(b, s, out, err);
    }
    (void)sqlite3_reset(s);
    return rc;
}

enum stamp_err stampi_books_clock(const struct stampi_books_head *head, time_t now,
                                  time_t *at, struct stamp_error *err)
{
    *at = now < head->last_at ? head->last_at : now;
    if (now >= 0 && now <= (time_t)UINT32_MAX && *at - now <= STAMPI_BOOKS_LAG_S) {
        return STAMP_OK;
    }
    (void)stamp_error_set(err, STAMP_E_STATE, 0,
                          "the clock was set back: the last event on the books is %lld "
                          "seconds ahead of it",
                          (long long)(head->last_at - now));
    stamp_error_hint(err, "put the clock right, then run the command again");
    return STAMP_E_STATE;
}

static void text(sqlite3_stmt *s, int column, char *out, size_t size)
{
    const unsigned char *p = sqlite3_column_text(s, column);

    (void)snprintf(out, size, "%s", p == NULL ? "" : (const char *)p);
}

void stampi_books_take_line(sqlite3_stmt *s, struct stamp_books_line *out)
{
    memset(out, 0, sizeof *out);
    out->index = number(s, 0);
    out->result = (enum stamp_books_result)sqlite3_column_int(s, 1);
    out->handed_at = (time_t)sqlite3_column_int64(s, 2);
    out->reported_at = (time_t)sqlite3_column_int64(s, 3);
    text(s, 4, out->chip, sizeof out->chip);
    text(s, 5, out->who, sizeof out->who);
    text(s, 6, out->where, sizeof out->where);
    text(s, 7, out->reason, sizeof out->reason);
}
