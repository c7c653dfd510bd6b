#include "host/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/import_own.h"

/* A share of a batch is 65,536 devices or all of them, but for what was given back. */
#define SHARES_MAX ((size_t)16384)

/* ---- booking ---- */

static enum stamp_err flush(struct stampi_importer *m, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (m->n_changes > 0) {
        rc = stamp_registry_import_add(m->import, m->changes, m->n_changes, NULL, err);
    }
    m->n_changes = 0;
    m->n_lines = 0;
    memset(m->chips, 0, sizeof m->chips);
    return rc;
}

static void add(struct stampi_importer *m, struct stamp_registry_change change)
{
    m->changes[m->n_changes++] = change;
}

/* As the station wrote it down. */
static void add_report(struct stampi_importer *m, const struct stamp_books_line *entry,
                       enum stamp_registry_state to)
{
    add(m, (struct stamp_registry_change){
               .serial = entry->serial,
               .to = to,
               .at = entry->reported_at,
               .chip = entry->chip[0] == '\0' ? NULL : entry->chip,
               .who = entry->who,
               .where = entry->where,
               .why = entry->reason,
           });
}

static void add_news(struct stampi_importer *m, const struct stamp_books_line *entry)
{
    struct stamp_registry_change back = {.serial = entry->serial,
                                         .to = STAMP_REGISTRY_RETURNED,
                                         .at = (time_t)m->out->head.made_at,
                                         .why = "never handed out"};

    m->out->booked++;
    if (entry->result == STAMP_BOOKS_STRUCK) {
        add_report(m, entry, STAMP_REGISTRY_STRUCK);
    } else if (entry->result == STAMP_BOOKS_SCRAPPED) {
        add_report(m, entry, STAMP_REGISTRY_SCRAPPED);
    } else {
        /* Whoever had file and key could have opened it. */
        add(m, back);
        back.to = STAMP_REGISTRY_REVOKED;
        back.why = "returned stamps are never used again";
        add(m, back);
    }
}

static void quarantine(struct stampi_importer *m, const char *serial,
                       enum stamp_registry_state state)
{
    if (stamp_registry_may(state, STAMP_REGISTRY_REVOKED)) {
        add(m, (struct stamp_registry_change){.serial = serial,
                                              .to = STAMP_REGISTRY_REVOKED,
                                              .at = m->now,
                                              .why = m->why});
        m->out->quarantined++;
    }
}

/* The serial, and the one whose chip it claims. */
static enum stamp_err add_quarantine(struct stampi_importer *m,
                                     const struct stampi_import_line *line,
                                     const struct stamp_registry_row *row,
                                     struct stamp_error *err)
{
    struct stamp_registry_row other;
    enum stamp_err rc = STAMP_OK;

    /* The other one may be among what is not on the books yet. */
    if (line->other[0] != '\0' && m->n_changes > 0) {
        struct stampi_import_line keep = *line;

        rc = flush(m, err);
        m->lines[0] = keep;
        line = &m->lines[0];
    }
    quarantine(m, line->entry.serial, row->state);
    if (rc == STAMP_OK && line->other[0] != '\0') {
        rc = stamp_registry_find(m->ws->registry, line->other, &other, err);
        if (rc == STAMP_OK) {
            quarantine(m, line->other, other.state);
        }
        stamp_registry_row_fini(&other);
    }
    return rc;
}

/* ---- entries ---- */

/* In a volume the stamps of a share stand one behind the other, each share once: so no
 * record is told twice in place of another one. SPEC 12-9. */
static bool in_its_place(struct stampi_importer *m, const struct stamp_registry_row *row)
{
    uint32_t index = (uint32_t)row->id;
    const struct stamp_registry_share *s = &m->shares[m->share];

    if (stamp_registry_batch_of(row) != m->out->batch.id) {
        return false;
    }
    if (m->share < m->n_shares && m->inside < s->done) {
        return index == s->first + m->inside++;
    }
    for (size_t i = 0; i < m->n_shares; i++) {
        s = &m->shares[i];
        if (s->done > 0 && s->first == index && m->seen[i] == 0) {
            m->seen[i] = 1;
            m->share = i;
            m->inside = 1;
            return true;
        }
    }
    return false;
}

static enum stamp_err find(struct stampi_importer *m,
                           const struct stamp_books_line *entry,
                           struct stamp_registry_row *row, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_registry_find(m->ws->registry, entry->serial, row, &why);

    if (rc == STAMP_E_MISSING || (rc == STAMP_OK && !in_its_place(m, row))) {
        return stamp_error_set(
            err, STAMP_E_AUTH, 0,
            "entry %u of '%s': '%s' is not the stamp that batch %u has "
            "there",
            entry->index, m->job->path, entry->serial, m->out->batch.id);
    }
    if (rc != STAMP_OK) {
        *err = why;
    }
    return rc;
}

static void count(struct stamp_imported *out, enum stamp_books_result result)
{
    uint32_t *n[] = {&out->returned, &out->in_doubt, &out->struck, &out->scrapped};

    (*n[result])++;
}

static enum stamp_err take(struct stampi_importer *m, struct stamp_error *err)
{
    struct stampi_import_line *line = &m->lines[m->n_lines];
    struct stamp_registry_row row = {.id = 0};
    enum stampi_import_verdict verdict = STAMPI_IMPORT_NOTHING;
    enum stamp_err rc = stamp_results_next(m->results, &line->entry, err);

    line->other[0] = '\0';
    if (rc == STAMP_OK) {
        rc = find(m, &line->entry, &row, err);
    }
    if (rc == STAMP_OK) {
        count(m->out, line->entry.result);
        rc = stampi_import_judge(m, line, &row, &verdict, err);
    }
    if (rc == STAMP_OK && verdict == STAMPI_IMPORT_NEWS) {
        add_news(m, &line->entry);
    } else if (rc == STAMP_OK && verdict == STAMPI_IMPORT_CONFLICT) {
        rc = add_quarantine(m, line, &row, err);
    }
    m->out->passed_over += verdict == STAMPI_IMPORT_QUARANTINED ? 1u : 0u;
    stamp_registry_row_fini(&row);
    if (rc == STAMP_OK && ++m->n_lines == STAMPI_IMPORT_LINES) {
        rc = flush(m, err);
    }
    return rc;
}

/* What is read a second time is what was checked: the end of it says so. */
static enum stamp_err take_all(struct stampi_importer *m, struct stamp_error *err)
{
    struct stamp_books_line none;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_results_rewind(m->results, err);

    for (uint32_t i = 0; i < m->out->head.count && rc == STAMP_OK; i++) {
        rc = take(m, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_results_next(m->results, &none, &why);
        if (rc != STAMP_E_MISSING) {
            *err = why;
            return rc;
        }
        rc = flush(m, err);
    }
    return rc;
}

/* ---- the results as a whole ---- */

/* These against others of the same books. SPEC 12-10. */
static void compare(struct stampi_importer *m, const struct stamp_registry_results *row,
                    bool *events_told)
{
    const struct stamp_results_head *h = &m->out->head;
    bool later = row->number > h->number;
    uint32_t before = m->out->conflicts;

    if (row->number == h->number) {
        m->out->before = memcmp(row->digest, h->digest, sizeof h->digest) == 0;
        m->again = !m->out->before;
        if (m->again) {
            stampi_import_conflict(m, NULL,
                                   "results %u are on the books, and say something else",
                                   h->number);
        }
    } else if ((row->number + 1 == h->number &&
                memcmp(row->digest, h->previous, sizeof h->previous) != 0) ||
               (row->number == (uint64_t)h->number + 1 &&
                memcmp(row->previous, h->digest, sizeof h->digest) != 0)) {
        stampi_import_conflict(m, NULL, "results %u do not follow results %u",
                               later ? h->number + 1 : h->number,
                               later ? h->number : h->number - 1);
    }
    if (row->number != h->number && !*events_told &&
        (later ? row->events < h->events : row->events > h->events)) {
        *events_told = true;
        stampi_import_conflict(
            m, NULL, "results %u tell of %u events, results %llu of %llu", h->number,
            h->events, (unsigned long long)row->number, (unsigned long long)row->events);
    }
    m->out->superseded = m->out->superseded || later;
    m->forked = m->forked || m->out->conflicts > before;
}

static void blame(struct stampi_importer *m, const uint8_t *others)
{
    const uint8_t *own = m->out->head.books;
    char before[9] = "";

    if (others != NULL) {
        (void)snprintf(before, sizeof before, "%02x%02x%02x%02x", others[0], others[1],
                       others[2], others[3]);
    }
    (void)snprintf(m->blame, sizeof m->blame, "books %02x%02x%02x%02x%s%s%s", own[0],
                   own[1], own[2], own[3], m->known ? " went back in time" : "",
                   others != NULL ? ", there are books " : "", before);
}

typedef void (*row_told)(void *ctx, const struct stamp_registry_results *row);

static enum stamp_err each_results(struct stampi_importer *m, row_told told, void *ctx,
                                   struct stamp_error *err)
{
    struct stamp_registry_results page[8];
    struct stamp_registry_results last;
    const struct stamp_registry_results *after = NULL;
    size_t n = 8;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == 8) {
        rc = stamp_registry_results_list(m->ws->registry, m->out->batch.id, after, page,
                                         8, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            told(ctx, &page[i]);
            last = page[i];
            after = &last;
        }
    }
    return rc;
}

struct placing {
    struct stampi_importer *m;
    uint8_t other[STAMP_BOOKS_ID_SIZE];
    bool events_told;
};

static bool is_own(const struct placing *p, const struct stamp_registry_results *row)
{
    return memcmp(row->books, p->m->out->head.books, sizeof row->books) == 0;
}

static void look(void *ctx, const struct stamp_registry_results *row)
{
    struct placing *p = ctx;

    if (is_own(p, row)) {
        p->m->known = true;
    } else if (row->volume == p->m->out->head.volume) {
        p->m->others = true;
        memcpy(p->other, row->books, sizeof p->other);
    }
}

static void compare_own(void *ctx, const struct stamp_registry_results *row)
{
    struct placing *p = ctx;

    if (is_own(p, row)) {
        compare(p->m, row, &p->events_told);
    }
}

/* Where are these among the results that are there? */
static enum stamp_err place(struct stampi_importer *m, struct stamp_error *err)
{
    struct placing p = {.m = m};
    enum stamp_err rc = each_results(m, look, &p, err);

    blame(m, m->others ? p.other : NULL);
    return rc == STAMP_OK ? each_results(m, compare_own, &p, err) : rc;
}

static enum stamp_err find_batch(struct stampi_importer *m, struct stamp_error *err)
{
    struct stamp_registry_batch *b = &m->out->batch;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc =
        stamp_registry_batch_find_uid(m->ws->registry, m->out->head.batch, b, &why);

    if (rc == STAMP_E_MISSING) {
        return stamp_error_set(err, rc, 0, "the batch of '%s' is not on these books",
                               m->job->path);
    }
    if (rc != STAMP_OK) {
        *err = why;
        return rc;
    }
    return strcmp(b->product, m->out->head.product) == 0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_AUTH, 0, "batch %u is of '%s', not of '%s'",
                                 b->id, b->product, m->out->head.product);
}

/* What this volume has made, by the books. */
static enum stamp_err find_shares(struct stampi_importer *m, struct stamp_error *err)
{
    uint64_t made = 0;
    enum stamp_err rc =
        stamp_registry_share_list(m->ws->registry, m->out->batch.id, m->out->head.volume,
                                  m->shares, SHARES_MAX, &m->n_shares, err);

    m->share = m->n_shares;
    for (size_t i = 0; i < m->n_shares && rc == STAMP_OK; i++) {
        made += m->shares[i].done;
    }
    return rc == STAMP_OK && made != m->out->head.count
               ? stamp_error_set(err, STAMP_E_AUTH, 0,
                                 "'%s' is of %u stamps, and volume %u of batch %u has "
                                 "%llu",
                                 m->job->path, m->out->head.count, m->out->head.volume,
                                 m->out->batch.id, (unsigned long long)made)
               : rc;
}

struct volumes {
    uint32_t *volume; /* with results */
    size_t n, room;
    bool failed;
};

static void note_volume(void *ctx, const struct stamp_registry_results *row)
{
    struct volumes *v = ctx;

    for (size_t i = v->n; i > 0; i--) {
        if (v->volume[i - 1] == row->volume) {
            return;
        }
    }
    if (v->n == v->room) {
        size_t room = v->room == 0 ? 16 : 2 * v->room;
        uint32_t *p = realloc(v->volume, room * sizeof *p);

        if (p == NULL) {
            v->failed = true;
            return;
        }
        v->volume = p;
        v->room = room;
    }
    v->volume[v->n++] = row->volume;
}

/* How much of the batch is in the volumes that there are results of? */
static enum stamp_err count_told(struct stampi_importer *m, uint64_t *told,
                                 struct stamp_error *err)
{
    struct volumes v = {.volume = NULL};
    enum stamp_err rc = each_results(m, note_volume, &v, err);

    *told = 0;
    if (v.failed) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < v.n && rc == STAMP_OK; i++) {
        rc = stamp_registry_share_list(m->ws->registry, m->out->batch.id, v.volume[i],
                                       m->shares, SHARES_MAX, &m->n_shares, err);
        for (size_t k = 0; k < m->n_shares && rc == STAMP_OK; k++) {
            *told += m->shares[k].done;
        }
    }
    free(v.volume);
    return rc;
}

/* Is every stamp told of? Then the batch is closed. */
static enum stamp_err close_batch(struct stampi_importer *m, struct stamp_error *err)
{
    uint64_t told = 0;
    enum stamp_err rc = count_told(m, &told, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_batch_get(m->ws->registry, m->out->batch.id, &m->out->batch,
                                      err);
    }
    if (rc == STAMP_OK && told == m->out->batch.count &&
        m->out->batch.state == STAMP_REGISTRY_BATCH_MADE) {
        rc = stamp_registry_batch_step(m->ws->registry, m->out->batch.id,
                                       STAMP_REGISTRY_BATCH_CLOSED, err);
        m->out->batch.state =
            rc == STAMP_OK ? STAMP_REGISTRY_BATCH_CLOSED : m->out->batch.state;
    }
    m->out->closed = m->out->batch.state == STAMP_REGISTRY_BATCH_CLOSED;
    if (rc != STAMP_OK) {
        stamp_error_state(err, "the results are booked, the batch is not closed yet");
        stamp_error_hint(err, "run the same command again");
    }
    return rc;
}

/* ---- all of it ---- */

static void fill_row(const struct stampi_importer *m, struct stamp_registry_results *row)
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
    row->imported_at = m->now;
}

/* In one transaction, which also what is looked up stands in. */
static enum stamp_err book(struct stampi_importer *m, struct stamp_error *err)
{
    STAMP_REGISTRY_IMPORT_AUTO *import = NULL;
    struct stamp_registry_results row;
    enum stamp_err rc = stamp_registry_import_begin(m->ws->registry, &import, err);

    m->import = import;
    if (rc == STAMP_OK) {
        rc = place(m, err);
    }
    if (rc != STAMP_OK || m->out->before) {
        return rc;
    }
    rc = find_shares(m, err);
    if (rc == STAMP_OK) {
        rc = take_all(m, err);
    }
    if (rc == STAMP_OK && m->out->conflicts > 0 && !m->job->quarantine) {
        m->out->booked = 0;
        m->out->quarantined = 0;
        return stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                               "'%s' contradicts the books in %u places", m->job->path,
                               m->out->conflicts);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    fill_row(m, &row);
    return stamp_registry_import_commit(import, m->again ? NULL : &row, err);
}

static enum stamp_err import(struct stampi_importer *m, struct stamp_error *err)
{
    X509 *anchors[1] = {m->ws->root};
    enum stamp_err rc = stamp_results_open(m->job->path, anchors, 1, &m->results, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    m->out->head = *stamp_results_head(m->results);
    (void)snprintf(m->why, sizeof m->why,
                   STAMPI_IMPORT_WHY "%u of books %02x%02x%02x%02x", m->out->head.number,
                   m->out->head.books[0], m->out->head.books[1], m->out->head.books[2],
                   m->out->head.books[3]);
    rc = find_batch(m, err);
    if (rc == STAMP_OK) {
        rc = book(m, err);
    }
    /* Also where they were there: a kill may have come between the two. */
    return rc == STAMP_OK ? close_batch(m, err) : rc;
}

enum stamp_err stamp_import(struct stamp_workspace *ws,
                            const struct stamp_import_job *job,
                            struct stamp_imported *out, struct stamp_error *err)
{
    struct stampi_importer *m = calloc(1, sizeof *m);
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    if (m == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    m->ws = ws;
    m->job = job;
    m->out = out;
    m->now = time(NULL);
    m->lines = calloc(STAMPI_IMPORT_LINES, sizeof *m->lines);
    m->changes = calloc((size_t)2 * STAMPI_IMPORT_LINES, sizeof *m->changes);
    m->shares = calloc(SHARES_MAX + 1, sizeof *m->shares);
    m->seen = calloc(SHARES_MAX, 1);
    rc = m->lines == NULL || m->changes == NULL || m->shares == NULL || m->seen == NULL
             ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
             : import(m, err);
    stamp_results_free(&m->results);
    free(m->lines);
    free(m->changes);
    free(m->shares);
    free(m->seen);
    free(m);
    return rc;
}
