/* Results of stations: which ones were imported. */
#include "host/registry_books.h"

#include <inttypes.h>
#include <string.h>

#include "host/registry_own.h"

struct page {
    struct stamp_registry_results *row;
    size_t n;
};

/* books, number, batch, volume, digest, previous, events, made_at, imported_at, who,
 * place
 */
static enum stamp_err take_results(void *ctx, const struct stampi_value *v,
                                   struct stamp_error *err)
{
    struct page *page = ctx;
    struct stamp_registry_results *row = &page->row[page->n++];

    (void)err;
    memset(row, 0, sizeof *row);
    stampi_get_blob(&v[0], row->books, sizeof row->books);
    row->number = (uint64_t)v[1].number;
    row->batch = (uint32_t)v[2].number;
    row->volume = (uint32_t)v[3].number;
    stampi_get_blob(&v[4], row->digest, sizeof row->digest);
    stampi_get_blob(&v[5], row->previous, sizeof row->previous);
    row->events = (uint64_t)v[6].number;
    row->made_at = (time_t)v[7].number;
    row->imported_at = (time_t)v[8].number;
    stampi_get_text(&v[9], row->who, sizeof row->who);
    stampi_get_text(&v[10], row->where, sizeof row->where);
    return STAMP_OK;
}

enum stamp_err stamp_registry_results_find(struct stamp_registry *r,
                                           const uint8_t books[STAMP_REGISTRY_BOOKS_SIZE],
                                           uint64_t number,
                                           struct stamp_registry_results *out,
                                           struct stamp_error *err)
{
    struct page page = {out, 0};
    enum stamp_err rc = STAMP_OK;

    memset(out, 0, sizeof *out);
    if (number <= INT64_MAX) {
        rc = STAMPI_RUN(r, STAMPI_RESULTS_FIND, take_results, &page, NULL, err,
                        stampi_blob(books, STAMP_REGISTRY_BOOKS_SIZE),
                        stampi_int((int64_t)number));
    }
    return rc == STAMP_OK && page.n == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "results %" PRIu64 " of these books were not imported",
                                 number)
               : rc;
}

enum stamp_err stamp_registry_results_last(struct stamp_registry *r,
                                           const uint8_t books[STAMP_REGISTRY_BOOKS_SIZE],
                                           struct stamp_registry_results *out,
                                           struct stamp_error *err)
{
    struct page page = {out, 0};

    memset(out, 0, sizeof *out);
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_RESULTS_LAST, take_results, &page, NULL, err,
                                   stampi_blob(books, STAMP_REGISTRY_BOOKS_SIZE));

    return rc == STAMP_OK && page.n == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "no results of these books were imported")
               : rc;
}

enum stamp_err stamp_registry_results_list(struct stamp_registry *r, uint32_t batch,
                                           const struct stamp_registry_results *after,
                                           struct stamp_registry_results *out, size_t max,
                                           size_t *n, struct stamp_error *err)
{
    static const uint8_t zeros[STAMP_REGISTRY_BOOKS_SIZE];
    struct page page = {out, 0};
    enum stamp_err rc = STAMPI_RUN(
        r, STAMPI_RESULTS_LIST, take_results, &page, NULL, err, stampi_int(batch),
        stampi_blob(after == NULL ? zeros : after->books, sizeof zeros),
        stampi_int(after == NULL ? 0 : (int64_t)after->number), stampi_int((int64_t)max));

    *n = rc == STAMP_OK ? page.n : 0;
    return rc;
}

enum stamp_err stampi_results_add(struct stamp_registry *r,
                                  const struct stamp_registry_results *row,
                                  struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc;

    if (row->number == 0 || row->number > INT64_MAX || row->events > INT64_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "results cannot have the number %" PRIu64, row->number);
    }
    rc = STAMPI_RUN(r, STAMPI_RESULTS_ADD, NULL, NULL, &changed, err,
                    stampi_blob(row->books, sizeof row->books),
                    stampi_int((int64_t)row->number), stampi_int(row->batch),
                    stampi_int(row->volume), stampi_blob(row->digest, sizeof row->digest),
                    stampi_blob(row->previous, sizeof row->previous),
                    stampi_int((int64_t)row->events), stampi_int((int64_t)row->made_at),
                    stampi_int((int64_t)row->imported_at), stampi_text(r->who),
                    stampi_text(r->where));
    if (rc == STAMP_OK && changed != 1) {
        rc = stamp_error_set(err, STAMP_E_EXISTS, 0,
                             "results %" PRIu64 " of these books were imported already",
                             row->number);
    }
    return rc == STAMP_OK ? stampi_leaf_anchor(r, STAMPI_ANCHOR_RESULTS, row->digest,
                                               (int64_t)row->imported_at, err)
                          : rc;
}

enum stamp_err stamp_registry_results_add(struct stamp_registry *r,
                                          const struct stamp_registry_results *row,
                                          struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK ? stampi_finish(r, stampi_results_add(r, row, err), err) : rc;
}
