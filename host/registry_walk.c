#include "host/registry_walk.h"

#include "host/registry_run_tree.h"

#include <string.h>

#define PAGE 512
#define KEY_MAX 64u /* bytes of one column of a key */

/* Its key is in the first columns. */
static const struct {
    enum stampi_sql sql;
    unsigned columns;
    enum stampi_type type[2];
} tables[] = {
    [STAMPI_WALK_BATCHES] = {STAMPI_ALL_BATCHES, 1, {STAMPI_INT}},
    [STAMPI_WALK_RUNS] = {STAMPI_ALL_RUNS, 1, {STAMPI_INT}},
    [STAMPI_WALK_DEVICES] = {STAMPI_ALL_DEVICES, 1, {STAMPI_INT}},
    [STAMPI_WALK_EVENTS] = {STAMPI_ALL_EVENTS, 2, {STAMPI_INT, STAMPI_INT}},
    [STAMPI_WALK_OPERATIONAL] = {STAMPI_ALL_OPERATIONAL, 2, {STAMPI_INT, STAMPI_INT}},
    [STAMPI_WALK_REVOCATIONS] = {STAMPI_ALL_REVOCATIONS, 2, {STAMPI_BLOB, STAMPI_BLOB}},
    [STAMPI_WALK_OWN] = {STAMPI_ALL_OWN, 1, {STAMPI_BLOB}},
    [STAMPI_WALK_RESULTS] = {STAMPI_ALL_RESULTS, 2, {STAMPI_BLOB, STAMPI_INT}},
    [STAMPI_WALK_TALLY] = {STAMPI_ALL_TALLY, 2, {STAMPI_INT, STAMPI_INT}},
};

struct walk {
    stampi_row row;
    void *ctx;
    unsigned columns;
    struct stampi_value key[2];
    uint8_t bytes[2][KEY_MAX];
    uint32_t n; /* of this page */
};

static enum stamp_err take(void *ctx, const struct stampi_value *v,
                           struct stamp_error *err)
{
    struct walk *w = ctx;

    for (unsigned i = 0; i < w->columns; i++) {
        if (v[i].type == STAMPI_INT) {
            w->key[i] = v[i];
        } else if (v[i].len <= KEY_MAX) {
            memcpy(w->bytes[i], v[i].p, v[i].len);
            w->key[i] = stampi_blob(w->bytes[i], v[i].len);
        } else {
            return stamp_error_set(err, STAMP_E_DATABASE, 0, "a key is too long");
        }
    }
    w->n++;
    return w->row(w->ctx, v, err);
}

static enum stamp_err page(struct stamp_registry *r, enum stampi_walk what,
                           struct walk *w, struct stampi_value to,
                           struct stamp_error *err)
{
    enum stampi_sql sql = tables[what].sql;

    w->n = 0;
    if (w->columns == 2) {
        return STAMPI_RUN(r, sql, take, w, NULL, err, w->key[0], w->key[1],
                          stampi_int(PAGE));
    }
    return what == STAMPI_WALK_DEVICES
               ? STAMPI_RUN(r, sql, take, w, NULL, err, w->key[0], to, stampi_int(PAGE))
               : STAMPI_RUN(r, sql, take, w, NULL, err, w->key[0], stampi_int(PAGE));
}

static enum stamp_err walk(struct stamp_registry *r, enum stampi_walk what,
                           struct walk *w, struct stampi_value to,
                           struct stamp_error *err)
{
    enum stamp_err rc;

    do {
        rc = page(r, what, w, to, err);
    } while (rc == STAMP_OK && w->n == PAGE);
    return rc;
}

enum stamp_err stampi_walk_table(struct stamp_registry *r, enum stampi_walk what,
                                 stampi_row row, void *ctx, struct stamp_error *err)
{
    struct walk w = {.row = row, .ctx = ctx, .columns = tables[what].columns};

    for (unsigned i = 0; i < w.columns; i++) {
        w.key[i] = tables[what].type[i] == STAMPI_INT ? stampi_int(INT64_MIN)
                                                      : stampi_blob(w.bytes[i], 0);
    }
    return walk(r, what, &w, stampi_int(INT64_MAX), err);
}

enum stamp_err stampi_walk_devices(struct stamp_registry *r, int64_t from, int64_t to,
                                   stampi_row row, void *ctx, struct stamp_error *err)
{
    struct walk w = {.row = row, .ctx = ctx, .columns = 1, .key = {stampi_int(from - 1)}};

    return walk(r, STAMPI_WALK_DEVICES, &w, stampi_int(to), err);
}

/* ---- runs ---- */

static enum stamp_err add_device(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    uint8_t fingerprint[32];

    stampi_get_blob(&v[5], fingerprint, sizeof fingerprint);
    return stampi_run_tree_add(ctx, (struct stamp_slice){v[1].p, v[1].len}, fingerprint,
                               (struct stamp_slice){v[6].p, v[6].len}, err);
}

enum stamp_err stampi_run_root(struct stamp_registry *r, int64_t first, uint32_t n,
                               uint32_t *found, uint8_t root[STAMP_MERKLE_SIZE],
                               struct stamp_error *err)
{
    struct stampi_run_tree tree;
    enum stamp_err rc = stampi_run_tree_init(&tree, err);

    if (rc == STAMP_OK) {
        rc = stampi_walk_devices(r, first, first + n, add_device, &tree, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_run_tree_root(&tree, root, err);
    }
    *found = (uint32_t)tree.n;
    stampi_run_tree_fini(&tree);
    return rc;
}
