#include "host/registry_run_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_walk.h"

#define WHOLE_MIN 2u /* tiles: of fewer nothing is kept */

static enum stamp_err no_memory(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
}

static enum stamp_err no_digest(struct stamp_error *err)
{
    return stamp_openssl_failed(err, "cannot compute a digest");
}

/* The node over 2^levels hashes side by side. */
static enum stamp_err fold(EVP_MD_CTX *md, const uint8_t *hashes, unsigned levels,
                           uint8_t out[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    uint32_t n = 1u << levels;
    uint8_t(*room)[STAMP_MERKLE_SIZE] = malloc((size_t)n * sizeof *room);
    bool ok;

    if (room == NULL) {
        return no_memory(err);
    }
    memcpy(room, hashes, (size_t)n * sizeof *room);
    ok = stampi_fold(md, room, n);
    memcpy(out, room[0], STAMP_MERKLE_SIZE);
    free(room);
    return ok ? STAMP_OK : no_digest(err);
}

/* ---- making ---- */

enum stamp_err stampi_run_tree_init(struct stampi_run_tree *t, struct stamp_error *err)
{
    memset(t, 0, sizeof *t);
    t->md = stamp_merkle_md();
    return t->md == NULL ? no_digest(err) : STAMP_OK;
}

void stampi_run_tree_fini(struct stampi_run_tree *t)
{
    EVP_MD_CTX_free(t->md);
    free(t->top);
    memset(t, 0, sizeof *t);
}

static enum stamp_err end_tile(struct stampi_run_tree *t, struct stamp_error *err)
{
    size_t n = (size_t)(t->n / STAMPI_TILE_MAX);

    if (n > t->room) {
        size_t room = t->room == 0 ? 64 : 2 * t->room;
        uint8_t(*top)[STAMP_MERKLE_SIZE] = realloc(t->top, room * sizeof *top);

        if (top == NULL) {
            return no_memory(err);
        }
        t->top = top;
        t->room = room;
    }
    if (!stampi_fold(t->md, t->leaf, STAMPI_TILE_MAX)) {
        return no_digest(err);
    }
    memcpy(t->top[n - 1], t->leaf[0], STAMP_MERKLE_SIZE);
    return STAMP_OK;
}

enum stamp_err stampi_run_tree_add(struct stampi_run_tree *t, struct stamp_slice serial,
                                   const uint8_t fingerprint[32],
                                   struct stamp_slice certificate,
                                   struct stamp_error *err)
{
    if (!stampi_run_leaf(t->md, serial, fingerprint, certificate,
                         t->leaf[t->n % STAMPI_TILE_MAX])) {
        return no_digest(err);
    }
    t->n++;
    return t->n % STAMPI_TILE_MAX == 0 ? end_tile(t, err) : STAMP_OK;
}

/* Of whole tiles, and of the one that is not: nobody asks for a node below a whole one.
 */
static enum stamp_err own_node(void *ctx, unsigned height, uint64_t index,
                               uint8_t out[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    const struct stampi_run_tree *t = ctx;

    return height >= STAMPI_TILE_BITS
               ? fold(t->md, t->top[index << (height - STAMPI_TILE_BITS)],
                      height - STAMPI_TILE_BITS, out, err)
               : fold(t->md, t->leaf[(index << height) % STAMPI_TILE_MAX], height, out,
                      err);
}

enum stamp_err stampi_run_tree_root(struct stampi_run_tree *t,
                                    uint8_t root[STAMP_MERKLE_SIZE],
                                    struct stamp_error *err)
{
    const struct stamp_merkle_tree nodes = {t->md, own_node, t};

    return stamp_merkle_root_of(&nodes, t->n, root, err);
}

enum stamp_err stampi_run_tree_keep(struct stamp_registry *r, int64_t first,
                                    const struct stampi_run_tree *t,
                                    struct stamp_error *err)
{
    size_t n = (size_t)(t->n / STAMPI_TILE_MAX);

    return n < WHOLE_MIN ? STAMP_OK
                         : STAMPI_RUN(r, STAMPI_RUN_NODES_ADD, NULL, NULL, NULL, err,
                                      stampi_int(first),
                                      stampi_blob(t->top, n * STAMP_MERKLE_SIZE));
}

/* ---- proving ---- */

struct tile {
    uint64_t n;
    uint32_t count; /* 0 = none was read */
    uint8_t leaf[STAMPI_TILE_MAX][STAMP_MERKLE_SIZE];
};

/* A device is in one tile; and the last one, where it is not whole, is asked for, too. */
struct proving {
    struct stamp_registry *r;
    const struct stampi_span *run;
    EVP_MD_CTX *md;
    struct tile tile[2];
    unsigned next; /* of the two, to be used anew */
    struct tile *reading;
    uint8_t (*top)[STAMP_MERKLE_SIZE]; /* NULL: they are made of rows */
    size_t n_top;
};

/* id, serial, state, changed_at, chip, fingerprint, certificate */
static enum stamp_err take_device(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    struct proving *p = ctx;
    struct tile *t = p->reading;
    uint8_t fingerprint[32];

    stampi_get_blob(&v[5], fingerprint, sizeof fingerprint);
    if (t->count == STAMPI_TILE_MAX ||
        !stampi_run_leaf(p->md, (struct stamp_slice){v[1].p, v[1].len}, fingerprint,
                         (struct stamp_slice){v[6].p, v[6].len}, t->leaf[t->count])) {
        return no_digest(err);
    }
    t->count++;
    return STAMP_OK;
}

static enum stamp_err read_tile(struct proving *p, uint64_t n, const struct tile **out,
                                struct stamp_error *err)
{
    int64_t from = p->run->first + (int64_t)(n * STAMPI_TILE_MAX);
    int64_t left = p->run->first + p->run->n - from;
    uint32_t want = left < (int64_t)STAMPI_TILE_MAX ? (uint32_t)left : STAMPI_TILE_MAX;
    enum stamp_err rc;

    for (unsigned i = 0; i < 2; i++) {
        if (p->tile[i].count > 0 && p->tile[i].n == n) {
            *out = &p->tile[i];
            return STAMP_OK;
        }
    }
    p->reading = &p->tile[p->next++ % 2];
    p->reading->n = n;
    p->reading->count = 0;
    *out = p->reading;
    rc = stampi_walk_devices(p->r, from, from + want, take_device, p, err);
    return rc == STAMP_OK && p->reading->count != want
               ? stamp_error_set(err, STAMP_E_DATABASE, 0,
                                 "the books do not have all devices of a run any more")
               : rc;
}

static enum stamp_err make_top(struct proving *p, uint64_t n,
                               uint8_t out[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    const struct tile *t = NULL;
    enum stamp_err rc = read_tile(p, n, &t, err);

    return rc == STAMP_OK ? fold(p->md, t->leaf[0], STAMPI_TILE_BITS, out, err) : rc;
}

static enum stamp_err node_of(void *ctx, unsigned height, uint64_t index,
                              uint8_t out[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    struct proving *p = ctx;
    const struct tile *t = NULL;
    uint64_t first = index << height;
    enum stamp_err rc;

    if (height >= STAMPI_TILE_BITS) {
        return fold(p->md, p->top[first / STAMPI_TILE_MAX], height - STAMPI_TILE_BITS,
                    out, err);
    }
    rc = read_tile(p, first / STAMPI_TILE_MAX, &t, err);
    return rc == STAMP_OK
               ? fold(p->md, t->leaf[first % STAMPI_TILE_MAX], height, out, err)
               : rc;
}

static enum stamp_err take_nodes(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct proving *p = ctx;

    if (v[0].type != STAMPI_BLOB || v[0].len != p->n_top * STAMP_MERKLE_SIZE) {
        return STAMP_OK; /* as if there were none */
    }
    p->top = malloc(v[0].len);
    if (p->top == NULL) {
        return no_memory(err);
    }
    memcpy(p->top, v[0].p, v[0].len);
    return STAMP_OK;
}

/* Of all rows: a run that was booked before they were kept, or is too small. */
static enum stamp_err make_tops(struct proving *p, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    free(p->top);
    p->top = malloc((p->n_top + 1) * STAMP_MERKLE_SIZE);
    if (p->top == NULL) {
        return no_memory(err);
    }
    for (size_t n = 0; n < p->n_top && rc == STAMP_OK; n++) {
        rc = make_top(p, n, p->top[n], err);
    }
    return rc;
}

/* @param is  whether the root came out */
static enum stamp_err prove(struct proving *p, uint32_t place, const uint8_t *root,
                            struct stamp_merkle_path *path, bool *is,
                            struct stamp_error *err)
{
    const struct stamp_merkle_tree nodes = {p->md, node_of, p};
    const struct tile *t = NULL;
    uint64_t n = (uint64_t)p->run->n;
    enum stamp_err rc = stamp_merkle_prove(&nodes, place, n, path, err);

    if (rc == STAMP_OK) {
        rc = read_tile(p, place / STAMPI_TILE_MAX, &t, err);
    }
    *is =
        rc == STAMP_OK &&
        stamp_merkle_is_in(p->md, place, n, t->leaf[place % STAMPI_TILE_MAX], path, root);
    return rc;
}

static enum stamp_err prove_all(struct proving *p, uint32_t place, const uint8_t *root,
                                struct stamp_merkle_path *path, struct stamp_error *err)
{
    bool is = false;
    enum stamp_err rc = STAMPI_RUN(p->r, STAMPI_RUN_NODES, take_nodes, p, NULL, err,
                                   stampi_int(p->run->first));

    if (rc == STAMP_OK && p->top != NULL) {
        rc = prove(p, place, root, path, &is, err);
    }
    if (rc == STAMP_OK && !is) {
        rc = make_tops(p, err);
        if (rc == STAMP_OK) {
            rc = prove(p, place, root, path, &is, err);
        }
    }
    return rc == STAMP_OK && !is
               ? stamp_error_set(err, STAMP_E_DATABASE, 0,
                                 "devices of a run are not those that the log has: see "
                                 "stamp registry check")
               : rc;
}

enum stamp_err stampi_run_tree_prove(struct stamp_registry *r,
                                     const struct stampi_span *run, uint32_t place,
                                     const uint8_t root[STAMP_MERKLE_SIZE],
                                     struct stamp_merkle_path *path,
                                     struct stamp_error *err)
{
    struct proving *p = calloc(1, sizeof *p);
    enum stamp_err rc;

    if (p == NULL) {
        return no_memory(err);
    }
    p->r = r;
    p->run = run;
    p->n_top = (size_t)run->n / STAMPI_TILE_MAX;
    p->md = stamp_merkle_md();
    rc = p->md == NULL ? no_digest(err) : prove_all(p, place, root, path, err);
    EVP_MD_CTX_free(p->md);
    free(p->top);
    free(p);
    return rc;
}
