#include "host/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK ((size_t)2048) /* changes that go to the books together */
#define WHAT_SIZE 400u

struct importer {
    struct stamp_workspace *ws;
    const struct stamp_import_job *job;
    struct stamp_imported *out;
    struct stamp_results *results;
    struct stamp_registry_import *import; /* NULL while conflicts are looked for */
    struct stamp_registry_change *changes;
    struct stamp_books_line *lines; /* what the changes point into: two a line at most */
    size_t n_changes;
    size_t n_lines;
    bool known; /* earlier results of the same books are on ours */
    char why[96];
};

/* What the history says of a device. */
struct past {
    bool struck;
    bool scrapped;
    bool returned;
    time_t struck_at;
    time_t scrapped_at;
};

/* ---- conflicts ---- */

__attribute__((format(printf, 3, 4))) static void
conflict(struct importer *m, const char *serial, const char *fmt, ...)
{
    char what[WHAT_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    m->out->conflicts++;
    if (m->job->conflict != NULL) {
        m->job->conflict(m->job->ctx, serial, what);
    }
}

static const char *when(time_t t, char out[32])
{
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        memcpy(out, "?", 2);
    }
    return out;
}

static bool remember(void *ctx, const struct stamp_registry_entry *entry)
{
    struct past *past = ctx;

    if (entry->state == STAMP_REGISTRY_STRUCK) {
        past->struck = true;
        past->struck_at = entry->at;
    } else if (entry->state == STAMP_REGISTRY_SCRAPPED) {
        past->scrapped = true;
        past->scrapped_at = entry->at;
    } else if (entry->state == STAMP_REGISTRY_RETURNED && !past->struck) {
        past->returned = true;
    }
    return true;
}

static const char *chip_of(const char *chip)
{
    return chip[0] == '\0' ? "an unknown chip" : chip;
}

/* One chip, two serials? */
static enum stamp_err check_chip(struct importer *m, const struct stamp_books_line *line,
                                 bool *bad, struct stamp_error *err)
{
    struct stamp_registry_row other;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (line->chip[0] == '\0') {
        return STAMP_OK;
    }
    rc = stamp_registry_find_chip(m->ws->registry, line->chip, &other, &why);
    if (rc == STAMP_E_MISSING) {
        return STAMP_OK;
    }
    if (rc != STAMP_OK) {
        *err = why;
        return rc;
    }
    if (strcmp(other.serial, line->serial) != 0) {
        *bad = true;
        conflict(m, line->serial, "chip %s has '%s' already", line->chip, other.serial);
    }
    stamp_registry_row_fini(&other);
    return STAMP_OK;
}

/* A stamp that was used up is said to be unused, or not to be reported. */
static bool check_unused(struct importer *m, const struct stamp_books_line *line,
                         const struct stamp_registry_row *row, const struct past *past)
{
    char at[32];
    const char *now = line->result == STAMP_BOOKS_UNUSED ? "returned" : "in doubt";

    if (past->struck || past->scrapped) {
        conflict(m, line->serial, "%s, and was %s %s%s%s: %s", now,
                 past->struck ? "struck on" : "scrapped",
                 past->struck ? chip_of(row->chip) : "", past->struck ? " at " : "at ",
                 when(past->struck ? past->struck_at : past->scrapped_at, at),
                 m->known ? "the books went back in time" : "other books had it, too");
        return true;
    }
    if (line->result == STAMP_BOOKS_IN_DOUBT && past->returned) {
        conflict(m, line->serial, "in doubt, and was returned: %s",
                 m->known ? "the books went back in time" : "other books had it, too");
        return true;
    }
    return false;
}

static bool check_used(struct importer *m, const struct stamp_books_line *line,
                       const struct stamp_registry_row *row, const struct past *past)
{
    char one[32];
    char two[32];

    if (past->returned) {
        conflict(m, line->serial, "%s %s at %s, and was returned: %s",
                 line->result == STAMP_BOOKS_STRUCK ? "struck on" : "scrapped with",
                 chip_of(line->chip), when(line->reported_at, one),
                 m->known ? "the books went back in time" : "other books had it, too");
        return true;
    }
    if (past->struck &&
        (strcmp(row->chip, line->chip) != 0 ||
         (line->result == STAMP_BOOKS_STRUCK && past->struck_at != line->reported_at))) {
        conflict(m, line->serial, "struck on two units: on %s at %s, and on %s at %s",
                 chip_of(row->chip), when(past->struck_at, one), chip_of(line->chip),
                 when(line->reported_at, two));
        return true;
    }
    if (past->scrapped &&
        (line->result == STAMP_BOOKS_STRUCK || past->scrapped_at != line->reported_at)) {
        conflict(m, line->serial, "%s at %s, and was scrapped at %s: %s",
                 line->result == STAMP_BOOKS_STRUCK ? "struck" : "scrapped",
                 when(line->reported_at, one), when(past->scrapped_at, two),
                 m->known ? "the books went back in time" : "other books had it, too");
        return true;
    }
    return false;
}

/* Does the entry contradict the books? And what is new in it? */
static enum stamp_err judge(struct importer *m, const struct stamp_books_line *line,
                            struct stamp_registry_row *row, struct past *past, bool *bad,
                            struct stamp_error *err)
{
    enum stamp_err rc = stamp_registry_find(m->ws->registry, line->serial, row, err);

    *bad = false;
    memset(past, 0, sizeof *past);
    if (rc == STAMP_E_MISSING ||
        (rc == STAMP_OK && stamp_registry_batch_of(row) != m->out->batch.id)) {
        return stamp_error_set(err, STAMP_E_MISSING, 0,
                               "'%s' is not of batch %u on these books", line->serial,
                               m->out->batch.id);
    }
    if (rc == STAMP_OK && row->own) {
        rc = stamp_registry_history(m->ws->registry, line->serial, remember, past, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (line->result == STAMP_BOOKS_UNUSED || line->result == STAMP_BOOKS_IN_DOUBT) {
        *bad = check_unused(m, line, row, past);
        return STAMP_OK;
    }
    *bad = check_used(m, line, row, past);
    return *bad ? STAMP_OK : check_chip(m, line, bad, err);
}

/* ---- booking ---- */

static enum stamp_err flush(struct importer *m, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (m->n_changes > 0) {
        rc = stamp_registry_import_add(m->import, m->changes, m->n_changes, NULL, err);
    }
    m->n_changes = 0;
    m->n_lines = 0;
    return rc;
}

static void add(struct importer *m, const struct stamp_books_line *line,
                enum stamp_registry_state to, time_t at, const char *why)
{
    bool told = line->who[0] != '\0' && why != m->why;

    m->changes[m->n_changes++] =
        (struct stamp_registry_change){.serial = line->serial,
                                       .to = to,
                                       .at = at,
                                       .chip = line->chip[0] == '\0' ? NULL : line->chip,
                                       .who = told ? line->who : NULL,
                                       .where = told ? line->where : NULL,
                                       .why = why};
}

/* What of the entry is not on the books yet. */
static void add_news(struct importer *m, const struct stamp_books_line *line,
                     const struct stamp_registry_row *row, const struct past *past)
{
    size_t before = m->n_changes;
    time_t made_at = (time_t)m->out->head.made_at;

    if (line->result == STAMP_BOOKS_UNUSED && !past->returned &&
        row->state == STAMP_REGISTRY_ISSUED) {
        add(m, line, STAMP_REGISTRY_RETURNED, made_at, "");
        add(m, line, STAMP_REGISTRY_REVOKED, made_at, "never used, never to be used");
    } else if (line->result == STAMP_BOOKS_STRUCK && !past->struck) {
        add(m, line, STAMP_REGISTRY_STRUCK, line->reported_at, "");
    } else if (line->result == STAMP_BOOKS_SCRAPPED && !past->scrapped) {
        add(m, line, STAMP_REGISTRY_SCRAPPED, line->reported_at, line->reason);
    }
    m->out->booked += m->n_changes > before ? 1u : 0u;
}

static void add_quarantine(struct importer *m, const struct stamp_books_line *line,
                           const struct stamp_registry_row *row)
{
    if (row->state != STAMP_REGISTRY_REVOKED &&
        stamp_registry_may(row->state, STAMP_REGISTRY_REVOKED)) {
        struct stamp_registry_change *c = &m->changes[m->n_changes];

        add(m, line, STAMP_REGISTRY_REVOKED, time(NULL), m->why);
        c->chip = NULL;
        m->out->quarantined++;
    }
}

static void count(struct stamp_imported *out, enum stamp_books_result result)
{
    uint32_t *n[] = {&out->returned, &out->in_doubt, &out->struck, &out->scrapped};

    (*n[result])++;
}

static enum stamp_err take(struct importer *m, struct stamp_error *err)
{
    struct stamp_books_line *line = &m->lines[m->n_lines];
    struct stamp_registry_row row = {.id = 0};
    struct past past;
    bool bad = false;
    enum stamp_err rc = stamp_results_next(m->results, line, err);

    if (rc == STAMP_OK) {
        rc = judge(m, line, &row, &past, &bad, err);
    }
    if (rc == STAMP_OK && m->import == NULL) {
        count(m->out, line->result);
    } else if (rc == STAMP_OK) {
        if (bad) {
            add_quarantine(m, line, &row);
        } else {
            add_news(m, line, &row, &past);
        }
        m->n_lines++;
        if (m->n_lines == CHUNK / 2) {
            rc = flush(m, err);
        }
    }
    stamp_registry_row_fini(&row);
    return rc;
}

static enum stamp_err take_all(struct importer *m, struct stamp_error *err)
{
    enum stamp_err rc = stamp_results_rewind(m->results, err);

    for (uint32_t i = 0; i < m->out->head.count && rc == STAMP_OK; i++) {
        rc = take(m, err);
    }
    return rc;
}

static enum stamp_err book(struct importer *m, const struct stamp_registry_results *row,
                           struct stamp_error *err)
{
    STAMP_REGISTRY_IMPORT_AUTO *import = NULL;
    struct stamp_import_job quiet = *m->job;
    uint32_t conflicts = m->out->conflicts;
    enum stamp_err rc = stamp_registry_import_begin(m->ws->registry, &import, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    quiet.conflict = NULL; /* they were told */
    m->job = &quiet;
    m->import = import;
    rc = take_all(m, err);
    if (rc == STAMP_OK) {
        rc = flush(m, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_import_commit(import, row, err);
    }
    m->out->conflicts = conflicts;
    return rc;
}

/* ---- the results as a whole ---- */

static bool is_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++) {
        any |= p[i];
    }
    return any == 0;
}

/* Where are these among the results of the same books? `row` = those with the number. */
static enum stamp_err place(struct importer *m, bool *again, struct stamp_error *err)
{
    const struct stamp_results_head *h = &m->out->head;
    struct stamp_registry_results row;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc =
        stamp_registry_results_find(m->ws->registry, h->books, h->number, &row, &why);

    *again = rc == STAMP_OK;
    if (rc == STAMP_OK && memcmp(row.digest, h->digest, sizeof row.digest) == 0) {
        m->out->before = true;
        return STAMP_OK;
    }
    if (rc == STAMP_OK) {
        conflict(
            m, NULL,
            "results %u of these books are there already, and say something else: the "
            "books went back in time",
            h->number);
        return STAMP_OK;
    }
    if (rc == STAMP_E_MISSING && h->number > 1) {
        rc = stamp_registry_results_find(m->ws->registry, h->books, h->number - 1, &row,
                                         &why);
        if (rc == STAMP_OK && memcmp(row.digest, h->previous, sizeof row.digest) != 0) {
            conflict(m, NULL,
                     "results %u do not follow results %u that are there: the books went "
                     "back in time",
                     h->number, h->number - 1);
        }
    } else if (rc == STAMP_E_MISSING && !is_zero(h->previous, sizeof h->previous)) {
        conflict(m, NULL, "results 1 claim to follow others");
    }
    if (rc != STAMP_OK && rc != STAMP_E_MISSING) {
        *err = why;
        return rc;
    }
    return STAMP_OK;
}

/* Against the latest ones that are there. */
static enum stamp_err compare(struct importer *m, struct stamp_error *err)
{
    const struct stamp_results_head *h = &m->out->head;
    struct stamp_registry_results last;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc =
        stamp_registry_results_last(m->ws->registry, h->books, &last, &why);

    if (rc == STAMP_E_MISSING) {
        return STAMP_OK;
    }
    if (rc != STAMP_OK) {
        *err = why;
        return rc;
    }
    m->known = true;
    m->out->superseded = h->number < last.number;
    if (m->out->superseded ? h->events > last.events : h->events < last.events) {
        conflict(
            m, NULL,
            "results %u tell of %u events, results %llu of %llu: the books went back "
            "in time",
            h->number, h->events, (unsigned long long)last.number,
            (unsigned long long)last.events);
    }
    if (m->out->superseded && last.number == (uint64_t)h->number + 1 &&
        memcmp(last.previous, h->digest, sizeof last.previous) != 0) {
        conflict(m, NULL, "results %llu do not follow these: the books went back in time",
                 (unsigned long long)last.number);
    }
    return STAMP_OK;
}

static enum stamp_err find_batch(struct importer *m, struct stamp_error *err)
{
    struct stamp_registry_batch *b = &m->out->batch;
    enum stamp_err rc =
        stamp_registry_batch_find_uid(m->ws->registry, m->out->head.batch, b, err);

    if (rc == STAMP_OK && strcmp(b->product, m->out->head.product) != 0) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0, "batch %u is of '%s', not of '%s'",
                             b->id, b->product, m->out->head.product);
    }
    return rc;
}

/* Are results of every volume there? Then the batch is closed. */
static enum stamp_err close_batch(struct importer *m, struct stamp_error *err)
{
    struct stamp_registry *r = m->ws->registry;
    const struct stamp_registry_batch *b = &m->out->batch;
    struct stamp_registry_results page[16];
    struct stamp_registry_results last;
    struct stamp_registry_share share[64];
    uint64_t made = 0;
    size_t n = 16;
    bool first = true;
    uint32_t seen[1024] = {0}; /* a bit for each volume */
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == 16) {
        rc = stamp_registry_results_list(r, b->id, first ? NULL : &last, page, 16, &n,
                                         err);
        first = false;
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            last = page[i];
            if (last.volume / 32 < 1024) {
                seen[last.volume / 32] |= UINT32_C(1) << last.volume % 32;
            }
        }
    }
    for (uint32_t v = 0; v < 1024 * 32 && rc == STAMP_OK && made < b->count; v++) {
        size_t shares = 64;

        rc = stamp_registry_share_list(r, b->id, v, share, 64, &shares, err);
        if (rc == STAMP_OK && shares > 0 && (seen[v / 32] >> v % 32 & 1u) == 0) {
            return STAMP_OK;
        }
        for (size_t i = 0; i < shares && rc == STAMP_OK; i++) {
            made += share[i].n;
        }
        if (shares == 64) {
            break; /* more than is looked at: all of them are this volume's */
        }
    }
    return rc == STAMP_OK
               ? stamp_registry_batch_step(r, b->id, STAMP_REGISTRY_BATCH_CLOSED, err)
               : rc;
}

static void fill_row(const struct importer *m, struct stamp_registry_results *row)
{
    const struct stamp_results_head *h = &m->out->head;

    memset(row, 0, sizeof *row);
    memcpy(row->books, h->books, sizeof row->books);
    row->number = h->number;
    row->batch = m->out->batch.id;
    row->volume = h->volume;
    memcpy(row->digest, h->digest, sizeof row->digest);
    memcpy(row->previous, h->previous, sizeof row->previous);
    row->events = h->events;
    row->made_at = (time_t)h->made_at;
    row->imported_at = time(NULL);
}

static enum stamp_err import(struct importer *m, struct stamp_error *err)
{
    struct stamp_registry_results row;
    bool again = false;
    enum stamp_err rc = find_batch(m, err);

    if (rc == STAMP_OK) {
        rc = place(m, &again, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (m->out->before) {
        return close_batch(m, err); /* a kill may have come between the two */
    }
    rc = compare(m, err);
    if (rc == STAMP_OK && !m->out->superseded) {
        rc = take_all(m, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (m->out->conflicts > 0 && !m->job->quarantine) {
        return stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                               "'%s' contradicts the books in %u places", m->job->path,
                               m->out->conflicts);
    }
    fill_row(m, &row);
    rc = m->out->superseded ? stamp_registry_results_add(m->ws->registry, &row, err)
                            : book(m, again ? NULL : &row, err);
    return rc == STAMP_OK ? close_batch(m, err) : rc;
}

enum stamp_err stamp_import(struct stamp_workspace *ws,
                            const struct stamp_import_job *job,
                            struct stamp_imported *out, struct stamp_error *err)
{
    struct importer m = {.ws = ws, .job = job, .out = out};
    X509 *anchors[1] = {ws->root};
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    m.changes = calloc(CHUNK, sizeof *m.changes);
    m.lines = calloc(CHUNK / 2, sizeof *m.lines);
    if (m.changes == NULL || m.lines == NULL) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    } else {
        rc = stamp_results_open(job->path, anchors, 1, &m.results, err);
    }
    if (rc == STAMP_OK) {
        out->head = *stamp_results_head(m.results);
        (void)snprintf(m.why, sizeof m.why, "in conflict with results %u of its batch",
                       out->head.number);
        rc = import(&m, err);
    }
    stamp_results_free(&m.results);
    free(m.changes);
    free(m.lines);
    return rc;
}
