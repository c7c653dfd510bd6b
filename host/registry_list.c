/* Looking devices up: one, and pages of many. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_own.h"

/* What many devices have in common is looked up once. */
struct common {
    int64_t batch; /* -1 = none yet */
    char product[STAMP_MAX_TEXT + 1u];
    struct stampi_span block, run;
};

struct page {
    struct stamp_registry *r;
    const struct stamp_registry_filter *filter;
    struct stamp_registry_row *rows;
    size_t max, n;
    struct common common;
};

/* ---- a row ---- */

static enum stamp_err take_bytes(const struct stampi_value *v, void *out, size_t *len,
                                 struct stamp_error *err)
{
    uint8_t **p = out;

    *p = NULL;
    if (v->type == STAMPI_NULL) {
        return STAMP_OK;
    }
    *p = malloc(v->len + 1);
    if (*p == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (v->len > 0) {
        memcpy(*p, v->p, v->len);
    }
    (*p)[v->len] = '\0';
    if (len != NULL) {
        *len = v->len;
    }
    return STAMP_OK;
}

/* id, serial, state, changed_at, chip, file, fingerprint, certificate */
static enum stamp_err take_row(void *ctx, const struct stampi_value *v,
                               struct stamp_error *err)
{
    struct page *page = ctx;
    struct stamp_registry_row *row = &page->rows[page->n];
    enum stamp_err rc;

    memset(row, 0, sizeof *row);
    row->id = v[0].number;
    stampi_get_text(&v[1], row->serial, sizeof row->serial);
    row->state = (enum stamp_registry_state)v[2].number;
    row->own = v[3].type != STAMPI_NULL;
    row->at = (time_t)v[3].number;
    stampi_get_text(&v[4], row->chip, sizeof row->chip);
    stampi_get_blob(&v[6], row->fingerprint, sizeof row->fingerprint);
    rc = take_bytes(&v[5], &row->file, NULL, err);
    if (rc == STAMP_OK) {
        rc = take_bytes(&v[7], &row->certificate, &row->certificate_len, err);
    }
    if (rc == STAMP_OK) {
        page->n++;
    } else {
        stamp_registry_row_fini(row);
    }
    return rc;
}

void stamp_registry_row_fini(struct stamp_registry_row *row)
{
    free(row->file);
    free(row->certificate);
    memset(row, 0, sizeof *row);
}

static enum stamp_err take_block(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct stampi_span *block = ctx;

    (void)err;
    stampi_get_blob(&v[0], block->prefix, sizeof block->prefix);
    block->first = v[1].number;
    block->n = v[2].number;
    return STAMP_OK;
}

/* first, n, at */
static enum stamp_err take_run(void *ctx, const struct stampi_value *v,
                               struct stamp_error *err)
{
    struct stampi_span *run = ctx;

    (void)err;
    run->first = v[0].number;
    run->n = v[1].number;
    run->at = v[2].number;
    return STAMP_OK;
}

enum stamp_err stampi_find_block(struct stamp_registry *r, int64_t id,
                                 struct stampi_span *s, struct stamp_error *err)
{
    return stampi_is_within(id, s)
               ? STAMP_OK
               : STAMPI_RUN(r, STAMPI_BLOCK_OF, take_block, s, NULL, err, stampi_int(id));
}

enum stamp_err stampi_find_run(struct stamp_registry *r, int64_t id,
                               struct stampi_span *s, struct stamp_error *err)
{
    return stampi_is_within(id, s)
               ? STAMP_OK
               : STAMPI_RUN(r, STAMPI_RUN_OF, take_run, s, NULL, err, stampi_int(id));
}

enum stamp_err stampi_take_name(void *name, const struct stampi_value *v,
                                struct stamp_error *err)
{
    (void)err;
    stampi_get_text(&v[0], name, STAMP_REGISTRY_NAME_SIZE);
    return STAMP_OK;
}

_Static_assert(STAMP_MAX_TEXT + 1u == STAMP_REGISTRY_NAME_SIZE, "a product is a name");

static enum stamp_err know_batch(struct page *page, int64_t batch,
                                 struct stamp_error *err)
{
    struct common *c = &page->common;

    if (c->batch == batch) {
        return STAMP_OK;
    }
    c->batch = batch;
    c->product[0] = '\0';
    return STAMPI_RUN(page->r, STAMPI_BATCH_PRODUCT, stampi_take_name, c->product, NULL,
                      err, stampi_int(batch));
}

/* What the device's own row does not hold. */
static enum stamp_err complete(struct page *page, struct stamp_registry_row *row,
                               struct stamp_error *err)
{
    struct common *c = &page->common;
    enum stamp_err rc = know_batch(page, row->id >> 32, err);

    if (rc == STAMP_OK) {
        rc = stampi_find_block(page->r, row->id, &c->block, err);
    }
    if (rc == STAMP_OK && !row->own) {
        rc = stampi_find_run(page->r, row->id, &c->run, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    memcpy(row->product, c->product, sizeof row->product);
    if (stampi_is_within(row->id, &c->block)) {
        stamp_registry_certificate_serial(c->block.prefix,
                                          (uint32_t)(row->id - c->block.first),
                                          row->certificate_serial);
    }
    if (!row->own && stampi_is_within(row->id, &c->run)) {
        row->at = (time_t)c->run.at;
    }
    return STAMP_OK;
}

/* ---- one ---- */

enum stamp_err stampi_batch_with(struct stamp_registry *r, const char *serial,
                                 char name[STAMP_REGISTRY_NAME_SIZE],
                                 struct stamp_error *err)
{
    name[0] = '\0';
    if (!stampi_is_text(serial)) {
        return STAMP_OK;
    }
    return STAMPI_RUN(r, STAMPI_SERIAL_IN_BATCH, stampi_take_name, name, NULL, err,
                      stampi_text(serial));
}

static enum stamp_err find(struct stamp_registry *r, enum stampi_sql which,
                           struct stampi_value key, struct stamp_registry_row *row,
                           bool *found, struct stamp_error *err)
{
    struct page page = {.r = r, .rows = row, .max = 1, .common = {.batch = -1}};
    enum stamp_err rc;

    memset(row, 0, sizeof *row);
    *found = false;
    if (key.type == STAMPI_TEXT && !stampi_is_text(key.p)) {
        return STAMP_OK;
    }
    rc = STAMPI_RUN(r, which, take_row, &page, NULL, err, key);
    if (rc == STAMP_OK && page.n == 1) {
        rc = complete(&page, row, err);
    }
    if (rc != STAMP_OK) {
        stamp_registry_row_fini(row);
    }
    *found = page.n == 1;
    return rc;
}

enum stamp_err stamp_registry_find(struct stamp_registry *r, const char *serial,
                                   struct stamp_registry_row *row,
                                   struct stamp_error *err)
{
    char name[STAMP_REGISTRY_NAME_SIZE];
    bool found;
    enum stamp_err rc =
        find(r, STAMPI_FIND_SERIAL, stampi_text(serial), row, &found, err);

    if (rc != STAMP_OK || found) {
        return rc;
    }
    rc = stampi_batch_with(r, serial, name, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    (void)stamp_error_set(err, STAMP_E_MISSING, 0, "serial '%s' is not on the books",
                          serial);
    if (name[0] != '\0') {
        stamp_error_hint(err, "batch '%s' has reserved it, and has not made it yet",
                         name);
    }
    return STAMP_E_MISSING;
}

enum stamp_err stamp_registry_find_key(struct stamp_registry *r,
                                       const uint8_t fingerprint[32],
                                       struct stamp_registry_row *row,
                                       struct stamp_error *err)
{
    bool found;
    enum stamp_err rc =
        find(r, STAMPI_FIND_KEY, stampi_blob(fingerprint, 32), row, &found, err);

    return rc == STAMP_OK && !found
               ? stamp_error_set(err, STAMP_E_MISSING, 0, "the key is not on the books")
               : rc;
}

enum stamp_err stamp_registry_find_chip(struct stamp_registry *r, const char *chip,
                                        struct stamp_registry_row *row,
                                        struct stamp_error *err)
{
    bool found;
    enum stamp_err rc = find(r, STAMPI_FIND_CHIP, stampi_text(chip), row, &found, err);

    return rc == STAMP_OK && !found
               ? stamp_error_set(err, STAMP_E_MISSING, 0, "chip '%s' is not on the books",
                                 chip)
               : rc;
}

/* ---- pages ---- */

#define ID_END INT64_MAX

/* Numbers of devices: above `from`, below `to`. */
struct range {
    int64_t from, to;
};

static struct range range_of(int64_t batch)
{
    return batch == 0 ? (struct range){0, ID_END}
                      : (struct range){(batch << 32) - 1, (batch + 1) << 32};
}

static struct stampi_value room(const struct page *page)
{
    return stampi_int((int64_t)(page->max - page->n));
}

/* Complete the rows from `from` on, and drop those of another product. */
static enum stamp_err settle(struct page *page, size_t from, struct stamp_error *err)
{
    const char *product = page->filter->product;
    enum stamp_err rc = STAMP_OK;
    size_t kept = from;

    for (size_t i = from; i < page->n; i++) {
        struct stamp_registry_row *row = &page->rows[i];

        rc = rc == STAMP_OK ? complete(page, row, err) : rc;
        if (rc == STAMP_OK && (product == NULL || strcmp(product, row->product) == 0)) {
            struct stamp_registry_row keep = *row;

            memset(row, 0, sizeof *row);
            page->rows[kept++] = keep;
        } else {
            stamp_registry_row_fini(row);
        }
    }
    page->n = kept;
    return rc;
}

static enum stamp_err list_range(struct page *page, struct range in,
                                 struct stamp_error *err)
{
    size_t from = page->n;
    enum stamp_err rc =
        page->filter->by_state
            ? STAMPI_RUN(page->r, STAMPI_LIST_STATE, take_row, page, NULL, err,
                         stampi_int(page->filter->state), stampi_int(in.from),
                         stampi_int(in.to), room(page))
            : STAMPI_RUN(page->r, STAMPI_LIST_ALL, take_row, page, NULL, err,
                         stampi_int(in.from), stampi_int(in.to), room(page));

    return rc == STAMP_OK ? settle(page, from, err) : rc;
}

/* The batches of a product one after the other; those without any such device are passed
 * over by their tallies. */
static enum stamp_err list_product(struct page *page, int64_t after,
                                   struct stamp_error *err)
{
    const struct stamp_registry_filter *f = page->filter;
    int64_t batch = after >> 32;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && page->n < page->max) {
        int64_t next = 0;

        rc = f->by_state
                 ? STAMPI_RUN(page->r, STAMPI_PRODUCT_STATE_NEXT, stampi_take_number,
                              &next, NULL, err, stampi_int(f->state),
                              stampi_text(f->product), stampi_int(batch))
                 : STAMPI_RUN(page->r, STAMPI_PRODUCT_NEXT, stampi_take_number, &next,
                              NULL, err, stampi_text(f->product), stampi_int(batch));
        if (rc != STAMP_OK || next == 0) {
            return rc;
        }
        struct range in = range_of(next);

        in.from = after > in.from ? after : in.from;
        rc = list_range(page, in, err);
        batch = next + 1;
    }
    return rc;
}

/* Devices with a history of their own: by state, and by time in each. */
static enum stamp_err list_own(struct page *page, enum stamp_registry_state state,
                               struct range in, const struct stamp_registry_row *after,
                               struct stamp_error *err)
{
    int64_t at = after != NULL ? (int64_t)after->at : (int64_t)page->filter->since;
    int64_t id = after != NULL ? after->id : -1;
    enum stamp_err rc = STAMP_OK;
    bool more = true;

    while (rc == STAMP_OK && more && page->n < page->max) {
        size_t from = page->n;

        rc = STAMPI_RUN(page->r, STAMPI_LIST_CHANGED, take_row, page, NULL, err,
                        stampi_int(state), stampi_int(at), stampi_int(id),
                        stampi_int(in.from), stampi_int(in.to), room(page));
        more = rc == STAMP_OK && page->n == page->max;
        if (page->n > from) {
            at = (int64_t)page->rows[page->n - 1].at;
            id = page->rows[page->n - 1].id;
        }
        rc = rc == STAMP_OK ? settle(page, from, err) : rc;
    }
    return rc;
}

/* Devices that nothing happened to since their batch issued them: run by run. */
static enum stamp_err list_runs(struct page *page, struct range in,
                                const struct stamp_registry_row *after,
                                struct stamp_error *err)
{
    const char *product = page->filter->product;
    struct stampi_span run = {.first = -1, .at = (int64_t)page->filter->since};
    int64_t from = -1;
    enum stamp_err rc = STAMP_OK;

    if (after != NULL) {
        rc = STAMPI_RUN(page->r, STAMPI_RUN_OF, take_run, &run, NULL, err,
                        stampi_int(after->id));
        from = after->id;
    }
    while (rc == STAMP_OK && page->n < page->max) {
        size_t had = page->n;

        if (from < 0) {
            run.n = 0;
            rc = STAMPI_RUN(page->r, STAMPI_RUN_NEXT, take_run, &run, NULL, err,
                            stampi_int(run.at), stampi_int(run.first),
                            stampi_int(in.from), stampi_int(in.to));
            from = run.first - 1;
        }
        if (rc == STAMP_OK && run.n == 0) {
            return STAMP_OK;
        }
        rc = rc == STAMP_OK ? know_batch(page, run.first >> 32, err) : rc;
        if (rc == STAMP_OK &&
            (product == NULL || strcmp(product, page->common.product) == 0)) {
            rc = STAMPI_RUN(page->r, STAMPI_LIST_UNCHANGED, take_row, page, NULL, err,
                            stampi_int(from), stampi_int(run.first + run.n), room(page));
            rc = rc == STAMP_OK ? settle(page, had, err) : rc;
        }
        from = -1;
    }
    return rc;
}

static enum stamp_err list_since(struct page *page, struct range in,
                                 const struct stamp_registry_row *after,
                                 struct stamp_error *err)
{
    const struct stamp_registry_filter *f = page->filter;
    bool in_runs = after != NULL && !after->own;
    unsigned first = f->by_state ? (unsigned)f->state : 0;
    unsigned last = f->by_state ? first : STAMP_REGISTRY_STATES - 1u;
    enum stamp_err rc = STAMP_OK;

    for (unsigned i = first; i <= last && !in_runs && rc == STAMP_OK; i++) {
        enum stamp_registry_state state = (enum stamp_registry_state)i;

        if (after == NULL || state > after->state) {
            rc = list_own(page, state, in, NULL, err);
        } else if (state == after->state) {
            rc = list_own(page, state, in, after, err);
        }
    }
    if (rc == STAMP_OK && (!f->by_state || f->state == STAMP_REGISTRY_ISSUED)) {
        rc = list_runs(page, in, in_runs ? after : NULL, err);
    }
    return rc;
}

static enum stamp_err list(struct page *page, const struct stamp_registry_row *after,
                           struct stamp_error *err)
{
    const struct stamp_registry_filter *f = page->filter;
    struct range in = range_of(f->batch);

    if (f->product != NULL && !stampi_is_text(f->product)) {
        return STAMP_OK;
    }
    if (f->since != 0) {
        return list_since(page, in, after, err);
    }
    if (f->product != NULL && f->batch == 0) {
        return list_product(page, after == NULL ? 0 : after->id, err);
    }
    in.from = after != NULL && after->id > in.from ? after->id : in.from;
    if (f->product != NULL) {
        enum stamp_err rc = know_batch(page, f->batch, err);

        if (rc != STAMP_OK || strcmp(f->product, page->common.product) != 0) {
            return rc;
        }
    }
    return list_range(page, in, err);
}

enum stamp_err stamp_registry_list(struct stamp_registry *r,
                                   const struct stamp_registry_filter *filter,
                                   const struct stamp_registry_row *after,
                                   struct stamp_registry_row *rows, size_t max, size_t *n,
                                   struct stamp_error *err)
{
    struct page page = {
        .r = r, .filter = filter, .rows = rows, .max = max, .common = {.batch = -1}};
    enum stamp_err rc = list(&page, after, err);

    if (rc != STAMP_OK) {
        for (size_t i = 0; i < page.n; i++) {
            stamp_registry_row_fini(&rows[i]);
        }
        page.n = 0;
    }
    *n = page.n;
    return rc;
}

enum stamp_err stamp_registry_count(struct stamp_registry *r,
                                    enum stamp_registry_state state, uint64_t *count,
                                    struct stamp_error *err)
{
    int64_t n = 0;
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_COUNT, stampi_take_number, &n, NULL, err, stampi_int(state));

    *count = (uint64_t)n;
    return rc;
}
