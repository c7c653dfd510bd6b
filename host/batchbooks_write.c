/* What is written down in the books of a batch file. Each is one transaction. */
#include <stdio.h>
#include <string.h>

#include "core/stamp.h"
#include "host/batchbooks_own.h"

static enum stamp_err unchanged(enum stamp_err rc, struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        stamp_error_state(err, "the books were not changed");
    }
    return rc;
}

/* ---- handing out ---- */

static enum stamp_err none_left(const struct stamp_books *b,
                                const struct stampi_books_head *head,
                                struct stamp_error *err)
{
    if (head->state.closed) {
        return stamp_error_set(err, STAMP_E_MISSING, STAMP_BOOKS_DRAINED,
                               "'%s' are closed: nothing is handed out any more",
                               b->path);
    }
    (void)stamp_error_set(err, STAMP_E_MISSING, STAMP_BOOKS_DRAINED,
                          "no stamp is left: %u struck, %u scrapped, %u in doubt",
                          head->state.struck, head->state.scrapped, head->state.in_doubt);
    if (head->state.in_doubt > 0) {
        stamp_error_hint(err, "report those in doubt with stamp batch report");
    }
    return STAMP_E_MISSING;
}

static enum stamp_err hand(struct stamp_books *b, uint32_t index, time_t at,
                           struct stamp_error *err)
{
    sqlite3_stmt *s = stampi_books_sql(b, STAMPI_BOOKS_HAND, err);

    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    (void)sqlite3_bind_int64(s, 1, at);
    (void)sqlite3_bind_int64(s, 2, index);
    return stampi_books_run(b, s, err);
}

enum stamp_err stampi_books_take(struct stamp_books *b, time_t now, uint32_t *indices,
                                 size_t max, size_t *n, struct stamp_error *err)
{
    struct stampi_books_head head;
    sqlite3_stmt *s;
    time_t at = 0;
    enum stamp_err rc = stampi_books_head(b, &head, err);

    if (rc == STAMP_OK && (head.state.closed || head.state.unused == 0)) {
        return none_left(b, &head, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_books_clock(&head, now, &at, err);
    }
    for (; rc == STAMP_OK && *n < max && *n < head.state.unused; (*n)++) {
        indices[*n] = head.next + (uint32_t)*n;
        rc = hand(b, indices[*n], at, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    s = stampi_books_sql(b, STAMPI_BOOKS_TAKEN, err);
    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)*n);
    (void)sqlite3_bind_int64(s, 2, at);
    return stampi_books_run(b, s, err);
}

enum stamp_err stamp_books_next(struct stamp_books *b, time_t now, uint32_t *indices,
                                size_t max, size_t *n, struct stamp_error *err)
{
    enum stamp_err rc = stampi_books_begin(b, err);

    *n = 0;
    if (rc == STAMP_OK) {
        rc = stampi_books_end(b, stampi_books_take(b, now, indices, max, n, err), err);
    }
    if (rc != STAMP_OK) {
        *n = 0;
    }
    return unchanged(rc, err);
}

/* ---- reports ---- */

static bool text_ok(const char *text, size_t size)
{
    size_t len = text == NULL ? 0 : strlen(text);

    return len < size && stamp_text_ok((const uint8_t *)text, len, false);
}

static enum stamp_err check_report(const struct stamp_books *b,
                                   const struct stamp_books_report *what,
                                   struct stamp_error *err)
{
    if (what->result != STAMP_BOOKS_STRUCK && what->result != STAMP_BOOKS_SCRAPPED) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "only struck or scrapped is "
                               "reported");
    }
    if (!text_ok(what->chip, STAMP_BOOKS_CHIP_SIZE) ||
        (what->chip != NULL && what->chip[0] == '\0')) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "a chip id is 1 to %u bytes of text",
                               STAMP_BOOKS_CHIP_SIZE - 1);
    }
    if (!text_ok(what->reason, STAMP_BOOKS_TEXT_SIZE) ||
        !text_ok(b->who, sizeof b->who) || !text_ok(b->where, sizeof b->where)) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "who, where and the reason are up to %u bytes of text",
                               STAMP_BOOKS_TEXT_SIZE - 1);
    }
    return STAMP_OK;
}

static const char *word(enum stamp_books_result result)
{
    return result == STAMP_BOOKS_STRUCK     ? "struck"
           : result == STAMP_BOOKS_SCRAPPED ? "scrapped"
                                            : "in doubt";
}

/* Said again, it may leave out what it said before. */
static bool same(const struct stamp_books_line *line,
                 const struct stamp_books_report *what)
{
    return line->result == what->result &&
           (what->chip == NULL || strcmp(what->chip, line->chip) == 0) &&
           (what->result == STAMP_BOOKS_STRUCK || what->reason == NULL ||
            strcmp(what->reason, line->reason) == 0);
}

/* What was said of the stamp before. */
enum stamp_err stampi_books_line(struct stamp_books *b, const char *serial,
                                 struct stamp_books_line *line, struct stamp_error *err)
{
    struct stamp_batch_entry entry;
    sqlite3_stmt *s;
    enum stamp_err rc = stamp_batch_find(b->batch, serial, &entry, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    s = stampi_books_sql(b, STAMPI_BOOKS_LINE, err);
    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    (void)sqlite3_bind_int64(s, 1, entry.index);
    rc = stampi_books_row(b, s, err);
    if (rc == STAMP_OK) {
        stampi_books_take_line(s, line);
    } else if (rc == STAMP_E_MISSING) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "'%s' was never handed out", serial);
    }
    (void)sqlite3_reset(s);
    return rc;
}

static enum stamp_err check_chip(struct stamp_books *b,
                                 const struct stamp_books_line *line, const char *chip,
                                 struct stamp_error *err)
{
    uint32_t index;
    enum stamp_err rc = stampi_books_chip(b, chip, &index, err);

    if (rc != STAMP_OK) {
        return rc == STAMP_E_MISSING ? STAMP_OK : rc;
    }
    return index == line->index ? STAMP_OK
                                : stampi_books_chip_is_taken(b, chip, index, err);
}

static enum stamp_err write_line(struct stamp_books *b,
                                 const struct stamp_books_line *line,
                                 const struct stamp_books_report *what, time_t at,
                                 struct stamp_error *err)
{
    const char *chip = what->chip != NULL ? what->chip : line->chip;
    sqlite3_stmt *s = stampi_books_sql(b, STAMPI_BOOKS_WRITE, err);

    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    (void)sqlite3_bind_int(s, 1, (int)what->result);
    (void)sqlite3_bind_int64(s, 2, at);
    (void)sqlite3_bind_text(s, 3, chip[0] == '\0' ? NULL : chip, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 4, b->who, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 5, b->where, -1, SQLITE_STATIC);
    if (what->result == STAMP_BOOKS_SCRAPPED) {
        (void)sqlite3_bind_text(s, 6, what->reason, -1, SQLITE_STATIC);
    }
    (void)sqlite3_bind_int64(s, 7, line->index);
    return stampi_books_run(b, s, err);
}

static enum stamp_err count_report(struct stamp_books *b, enum stamp_books_result from,
                                   enum stamp_books_result to, time_t at,
                                   struct stamp_error *err)
{
    sqlite3_stmt *s = stampi_books_sql(b, STAMPI_BOOKS_REPORTED, err);

    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    for (int r = STAMP_BOOKS_IN_DOUBT; r <= STAMP_BOOKS_SCRAPPED; r++) {
        (void)sqlite3_bind_int(s, r, (r == (int)to) - (r == (int)from));
    }
    (void)sqlite3_bind_int64(s, 4, at);
    return stampi_books_run(b, s, err);
}

static enum stamp_err report(struct stamp_books *b, const struct stamp_books_report *what,
                             struct stamp_error *err)
{
    struct stampi_books_head head;
    struct stamp_books_line line = {.index = 0};
    time_t at = 0;
    enum stamp_err rc = stampi_books_line(b, what->serial, &line, err);

    if (rc != STAMP_OK || same(&line, what)) {
        return rc;
    }
    if ((line.result != STAMP_BOOKS_IN_DOUBT &&
         !(line.result == STAMP_BOOKS_STRUCK && what->result == STAMP_BOOKS_SCRAPPED)) ||
        (what->chip != NULL && line.chip[0] != '\0' &&
         strcmp(what->chip, line.chip) != 0)) {
        return stamp_error_set(err, STAMP_E_STATE, 0, "'%s' was reported %s%s%s already",
                               what->serial, word(line.result),
                               line.chip[0] == '\0' ? "" : " on chip ", line.chip);
    }
    rc = what->chip == NULL ? STAMP_OK : check_chip(b, &line, what->chip, err);
    if (rc == STAMP_OK) {
        rc = stampi_books_head(b, &head, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_books_clock(&head, what->at, &at, err);
    }
    if (rc == STAMP_OK) {
        rc = write_line(b, &line, what, at, err);
    }
    return rc == STAMP_OK ? count_report(b, line.result, what->result, at, err) : rc;
}

enum stamp_err stamp_books_report(struct stamp_books *b,
                                  const struct stamp_books_report *what,
                                  struct stamp_error *err)
{
    enum stamp_err rc = check_report(b, what, err);

    if (rc == STAMP_OK) {
        rc = stampi_books_begin(b, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_books_end(b, report(b, what, err), err);
    }
    return unchanged(rc, err);
}

/* ---- the end ---- */

static enum stamp_err close_books(struct stamp_books *b, time_t now,
                                  struct stamp_error *err)
{
    struct stampi_books_head head;
    sqlite3_stmt *s = NULL;
    time_t at = 0;
    enum stamp_err rc = stampi_books_head(b, &head, err);

    if (rc != STAMP_OK || head.state.closed) {
        return rc;
    }
    rc = stampi_books_clock(&head, now, &at, err);
    if (rc == STAMP_OK) {
        s = stampi_books_sql(b, STAMPI_BOOKS_CLOSE, err);
        rc = s == NULL ? STAMP_E_DATABASE : STAMP_OK;
    }
    if (rc == STAMP_OK) {
        (void)sqlite3_bind_int64(s, 1, at);
        rc = stampi_books_run(b, s, err);
    }
    return rc;
}

enum stamp_err stamp_books_close(struct stamp_books *b, time_t now,
                                 struct stamp_error *err)
{
    enum stamp_err rc = stampi_books_begin(b, err);

    if (rc == STAMP_OK) {
        rc = stampi_books_end(b, close_books(b, now, err), err);
    }
    return unchanged(rc, err);
}
