/* The results as a whole: their batch, and their place among others. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/import_own.h"

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

enum stamp_err stampi_import_place(struct stampi_importer *m, struct stamp_error *err)
{
    struct placing p = {.m = m};
    enum stamp_err rc = each_results(m, look, &p, err);

    blame(m, m->others ? p.other : NULL);
    return rc == STAMP_OK ? each_results(m, compare_own, &p, err) : rc;
}

enum stamp_err stampi_import_batch(struct stampi_importer *m, struct stamp_error *err)
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

enum stamp_err stampi_import_shares(struct stampi_importer *m, struct stamp_error *err)
{
    uint64_t made = 0;
    enum stamp_err rc =
        stamp_registry_share_list(m->ws->registry, m->out->batch.id, m->out->head.volume,
                                  m->shares, STAMPI_IMPORT_SHARES, &m->n_shares, err);

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
        rc =
            stamp_registry_share_list(m->ws->registry, m->out->batch.id, v.volume[i],
                                      m->shares, STAMPI_IMPORT_SHARES, &m->n_shares, err);
        for (size_t k = 0; k < m->n_shares && rc == STAMP_OK; k++) {
            *told += m->shares[k].done;
        }
    }
    free(v.volume);
    return rc;
}

enum stamp_err stampi_import_close(struct stampi_importer *m, struct stamp_error *err)
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
