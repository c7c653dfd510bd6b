#include "host/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/import_own.h"

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
        rc = stampi_import_place(m, err);
    }
    if (rc != STAMP_OK || m->out->before) {
        return rc;
    }
    rc = stampi_import_shares(m, err);
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
    enum stamp_err rc =
        m->job->file > 0 ? stamp_results_open_file(m->job->file, m->job->path, anchors, 1,
                                                   &m->results, err)
                         : stamp_results_open(m->job->path, anchors, 1, &m->results, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    m->out->head = *stamp_results_head(m->results);
    (void)snprintf(m->why, sizeof m->why,
                   STAMPI_IMPORT_WHY "%u of books %02x%02x%02x%02x", m->out->head.number,
                   m->out->head.books[0], m->out->head.books[1], m->out->head.books[2],
                   m->out->head.books[3]);
    rc = stampi_import_batch(m, err);
    if (rc == STAMP_OK) {
        rc = book(m, err);
    }
    /* Also where they were there: a kill may have come between the two. */
    return rc == STAMP_OK ? stampi_import_close(m, err) : rc;
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
    m->shares = calloc(STAMPI_IMPORT_SHARES + 1, sizeof *m->shares);
    m->seen = calloc(STAMPI_IMPORT_SHARES, 1);
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
