/* The stored tree: tiles of 256 hashes of one level. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_log_own.h"
#include "host/registry_own.h"

#define CACHE 12u /* tiles: two a level for trees of 2^48 leaves */

/* ---- tiles ---- */

static enum stamp_err take_tile(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct stampi_tile *t = ctx;

    if (v[0].type != STAMPI_BLOB || v[0].len == 0 || v[0].len > sizeof t->hash ||
        v[0].len % STAMP_MERKLE_SIZE != 0) {
        return stamp_error_set(err, STAMP_E_DATABASE, 0, "a tile of the log is damaged");
    }
    memcpy(t->hash, v[0].p, v[0].len);
    t->count = (uint32_t)(v[0].len / STAMP_MERKLE_SIZE);
    return STAMP_OK;
}

enum stamp_err stampi_tile_read(struct stamp_registry *r, unsigned level, uint64_t n,
                                struct stampi_tile *out, struct stamp_error *err)
{
    out->n = n;
    out->count = 0;
    out->changed = false;
    return STAMPI_RUN(r, STAMPI_LOG_TILE, take_tile, out, NULL, err, stampi_int(level),
                      stampi_int((int64_t)n));
}

bool stampi_fold(EVP_MD_CTX *md, uint8_t (*hash)[STAMP_MERKLE_SIZE], uint32_t count)
{
    for (; count > 1; count /= 2) {
        for (uint32_t i = 0; i < count / 2; i++) {
            if (!stamp_merkle_join(md, hash[2 * (size_t)i], hash[2 * (size_t)i + 1],
                                   hash[i])) {
                return false;
            }
        }
    }
    return true;
}

/* ---- growing ---- */

static enum stamp_err add(struct stampi_edge *e, unsigned level,
                          const uint8_t hash[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    uint8_t root[STAMP_MERKLE_SIZE];
    struct stampi_tile *t = &e->tile[level];
    enum stamp_err rc;

    memcpy(t->hash[t->count++], hash, STAMP_MERKLE_SIZE);
    t->changed = true;
    if (t->count < STAMPI_TILE_MAX) {
        return STAMP_OK;
    }
    rc = e->keep(e->ctx, level, t, err);
    if (rc == STAMP_OK && !stampi_fold(e->md, t->hash, STAMPI_TILE_MAX)) {
        rc = stamp_openssl_failed(err, "cannot compute a digest");
    }
    memcpy(root, t->hash[0], sizeof root);
    t->n++;
    t->count = 0;
    t->changed = false;
    return rc == STAMP_OK && level + 1 < STAMPI_TILE_LEVELS ? add(e, level + 1, root, err)
                                                            : rc;
}

enum stamp_err stampi_edge_add(struct stampi_edge *e,
                               const uint8_t leaf[STAMP_MERKLE_SIZE],
                               struct stamp_error *err)
{
    enum stamp_err rc = add(e, 0, leaf, err);

    e->size += rc == STAMP_OK;
    return rc;
}

enum stamp_err stampi_edge_keep(struct stampi_edge *e, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (unsigned level = 0; level < STAMPI_TILE_LEVELS && rc == STAMP_OK; level++) {
        if (e->tile[level].changed) {
            rc = e->keep(e->ctx, level, &e->tile[level], err);
            e->tile[level].changed = false;
        }
    }
    return rc;
}

/* ---- reading ---- */

struct stamp_log_tree {
    struct stamp_registry *r;
    struct stamp_merkle_tree nodes;
    unsigned next; /* to be used anew */
    struct {
        bool used;
        unsigned level;
        struct stampi_tile tile;
    } cache[CACHE];
};

/* Tiles are never changed but that they grow. */
static enum stamp_err find_tile(struct stamp_log_tree *t, unsigned level, uint64_t n,
                                uint32_t count, const struct stampi_tile **out,
                                struct stamp_error *err)
{
    enum stamp_err rc;
    unsigned i = 0;

    while (i < CACHE &&
           (!t->cache[i].used || t->cache[i].level != level || t->cache[i].tile.n != n)) {
        i++;
    }
    if (i < CACHE && t->cache[i].tile.count >= count) {
        *out = &t->cache[i].tile;
        return STAMP_OK;
    }
    if (i == CACHE) {
        i = t->next++ % CACHE;
    }
    t->cache[i].used = false;
    rc = stampi_tile_read(t->r, level, n, &t->cache[i].tile, err);
    if (rc == STAMP_OK && t->cache[i].tile.count < count) {
        rc = stamp_error_set(err, STAMP_E_DATABASE, 0, "a tile of the log is missing");
    }
    t->cache[i].used = rc == STAMP_OK;
    t->cache[i].level = level;
    *out = &t->cache[i].tile;
    return rc;
}

static enum stamp_err node_of(void *ctx, unsigned height, uint64_t index,
                              uint8_t out[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    struct stamp_log_tree *t = ctx;
    uint8_t hash[STAMPI_TILE_MAX][STAMP_MERKLE_SIZE];
    const struct stampi_tile *tile = NULL;
    unsigned level = height / STAMPI_TILE_BITS;
    uint32_t count = 1u << height % STAMPI_TILE_BITS;
    uint64_t first = index << height % STAMPI_TILE_BITS;
    uint32_t at = (uint32_t)(first % STAMPI_TILE_MAX);
    enum stamp_err rc =
        find_tile(t, level, first / STAMPI_TILE_MAX, at + count, &tile, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    memcpy(hash, tile->hash[at], (size_t)count * STAMP_MERKLE_SIZE);
    if (!stampi_fold(t->nodes.md, hash, count)) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    memcpy(out, hash[0], STAMP_MERKLE_SIZE);
    return STAMP_OK;
}

enum stamp_err stamp_log_tree_open(struct stamp_registry *r, struct stamp_log_tree **out,
                                   struct stamp_error *err)
{
    struct stamp_log_tree *t = calloc(1, sizeof *t);

    *out = t;
    if (t == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    t->r = r;
    t->nodes = (struct stamp_merkle_tree){stamp_merkle_md(), node_of, t};
    if (t->nodes.md == NULL) {
        stamp_log_tree_free(out);
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    return STAMP_OK;
}

void stamp_log_tree_free(struct stamp_log_tree **p)
{
    if (*p != NULL) {
        EVP_MD_CTX_free((*p)->nodes.md);
        free(*p);
    }
    *p = NULL;
}

const struct stamp_merkle_tree *stamp_log_tree_nodes(const struct stamp_log_tree *t)
{
    return &t->nodes;
}
