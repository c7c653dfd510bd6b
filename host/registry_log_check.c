/* The whole log, gone through once: leaves, tiles and heads against each other. */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/keys.h"
#include "host/registry_log_own.h"
#include "host/registry_own.h"
#include "host/sig.h"

#define PAGE 4096u
#define HEADS_PAGE 256u
#define WRONG_MAX 100u /* told one by one */

/* Leaves that were dropped together, and what the log says of it. */
struct drop {
    uint8_t id[STAMPI_DROP_ID];
    EVP_MD_CTX *md; /* over those that were found; NULL = none */
    uint64_t n;
    bool said;
    uint64_t said_n;
    uint8_t digest[32];
};

struct check {
    struct stamp_registry *r;
    EVP_PKEY *key;
    const struct stamp_log_head *given;
    size_t n_given;
    struct stampi_findings found;
    struct stamp_log_checked *out;
    struct stampi_edge *edge;
    struct stampi_tile stored;
    struct stamp_merkle tree; /* over what came so far */
    uint64_t next;            /* leaf that must come */
    bool stopped;
    enum stamp_err rc; /* of what a row's function could not return */
    struct stamp_error *err;
    struct stamp_log_head head[HEADS_PAGE]; /* stored ones that come next */
    size_t n_heads, at_head;
    uint64_t heads_from;
    void *drops;                /* tree of struct drop, by id: tsearch() */
    struct stampi_tile dropped; /* hashes of the last leaf that was dropped */
};

void stampi_tell(struct stampi_findings *f, const char *format, ...)
{
    char what[320];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (f->n++ < WRONG_MAX) {
        f->wrong(f->ctx, what);
    }
}

/* ---- heads ---- */

static bool take_head(void *ctx, const struct stamp_log_head *head)
{
    struct check *c = ctx;

    c->head[c->n_heads++] = *head;
    return true;
}

static enum stamp_err more_heads(struct check *c)
{
    enum stamp_err rc;

    if (c->at_head < c->n_heads || (c->n_heads > 0 && c->n_heads < HEADS_PAGE)) {
        return STAMP_OK; /* some are left, or there are no more */
    }
    c->n_heads = c->at_head = 0;
    rc = stamp_registry_log_heads(c->r, c->heads_from, HEADS_PAGE, take_head, c, c->err);
    if (c->n_heads > 0) {
        c->heads_from = c->head[c->n_heads - 1].size + 1;
    }
    return rc;
}

static enum stamp_err check_root(struct check *c, const struct stamp_log_head *h,
                                 const char *which)
{
    uint8_t root[STAMP_MERKLE_SIZE];
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_merkle_root(&c->tree, root, c->err);

    if (rc != STAMP_OK) {
        return rc;
    }
    c->out->heads++;
    if (stamp_log_head_check(h, c->key, &why) != STAMP_OK) {
        stampi_tell(&c->found, "%s head of %" PRIu64 " leaves: %s", which, h->size,
                    why.what);
    } else if (memcmp(root, h->root, sizeof root) != 0) {
        stampi_tell(
            &c->found,
            "%s head of %" PRIu64
            " leaves is of another log: a leaf before that was changed, put in or taken "
            "away",
            which, h->size);
    }
    return STAMP_OK;
}

/* Those of the size that the tree has now. */
static enum stamp_err check_heads(struct check *c)
{
    enum stamp_err rc = more_heads(c);

    while (rc == STAMP_OK && c->at_head < c->n_heads &&
           c->head[c->at_head].size == c->tree.count) {
        rc = check_root(c, &c->head[c->at_head++], "the stored");
        if (rc == STAMP_OK) {
            rc = more_heads(c);
        }
    }
    for (size_t i = 0; i < c->n_given && rc == STAMP_OK; i++) {
        if (c->given[i].size == c->tree.count) {
            rc = check_root(c, &c->given[i], "the kept");
        }
    }
    return rc;
}

/* ---- tiles ---- */

static enum stamp_err check_tile(void *ctx, unsigned level, const struct stampi_tile *t,
                                 struct stamp_error *err)
{
    struct check *c = ctx;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stampi_tile_read(c->r, level, t->n, &c->stored, &why);

    if (rc != STAMP_OK && rc != STAMP_E_DATABASE) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    if (rc != STAMP_OK || c->stored.count != t->count ||
        memcmp(c->stored.hash, t->hash, (size_t)t->count * STAMP_MERKLE_SIZE) != 0) {
        stampi_tell(&c->found, "tile %" PRIu64 " of level %u is not that of the leaves",
                    t->n, level);
    }
    return STAMP_OK;
}

/* ---- leaves ---- */

static int by_drop(const void *a, const void *b)
{
    return memcmp(((const struct drop *)a)->id, ((const struct drop *)b)->id,
                  STAMPI_DROP_ID);
}

/* NULL: out of memory. */
static struct drop *find_drop(struct check *c, const uint8_t id[STAMPI_DROP_ID])
{
    struct drop *d = calloc(1, sizeof *d);
    struct drop **found;

    if (d == NULL) {
        return NULL;
    }
    memcpy(d->id, id, sizeof d->id);
    found = tsearch(d, &c->drops, by_drop);
    if (found == NULL || *found != d) {
        free(d);
    }
    return found == NULL ? NULL : *found;
}

static enum stamp_err no_memory(struct check *c)
{
    return stamp_error_set(c->err, STAMP_E_NOMEM, ENOMEM, "out of memory");
}

/* Its hash is that of the stored tree, which the heads vouch for. */
static enum stamp_err take_dropped(struct check *c, uint64_t index,
                                   struct stamp_slice leaf,
                                   uint8_t hash[STAMP_MERKLE_SIZE])
{
    struct drop *d = find_drop(c, leaf.p + 1);
    uint64_t tile = index / STAMPI_TILE_MAX;
    size_t at = (size_t)(index % STAMPI_TILE_MAX);
    enum stamp_err rc = d == NULL ? no_memory(c) : STAMP_OK;

    if (rc == STAMP_OK && (c->dropped.count <= at || c->dropped.n != tile)) {
        rc = stampi_tile_read(c->r, 0, tile, &c->dropped, c->err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (c->dropped.count <= at) {
        stampi_tell(&c->found, "leaf %" PRIu64 " was dropped, with its hash", index);
        memset(hash, 0, STAMP_MERKLE_SIZE);
    } else {
        memcpy(hash, c->dropped.hash[at], STAMP_MERKLE_SIZE);
    }
    if (d->md == NULL) {
        d->md = EVP_MD_CTX_new();
        if (d->md == NULL || EVP_DigestInit_ex(d->md, stamp_sha256(), NULL) != 1) {
            return stamp_openssl_failed(c->err, "cannot compute a digest");
        }
    }
    d->n++;
    return stampi_dropped_add(d->md, index, hash)
               ? STAMP_OK
               : stamp_openssl_failed(c->err, "cannot compute a digest");
}

static enum stamp_err take_said(struct check *c, const struct stamp_log_entry *e)
{
    uint8_t body[STAMPI_DROP_SIGNED];
    struct drop *d;

    if (e->kind != STAMP_LOG_DROP || e->number.len != STAMPI_DROP_ID ||
        e->digest == NULL) {
        return STAMP_OK;
    }
    d = find_drop(c, e->number.p);
    if (d == NULL) {
        return no_memory(c);
    }
    stampi_drop_signed(e->number.p, e->digest, body);
    if (e->signature.len == 0 ||
        stamp_sig_check(c->key, STAMP_LABEL_LOG_DROP, body, sizeof body, e->signature.p,
                        NULL) != STAMP_OK) {
        stampi_tell(&c->found,
                    "who says that %u leaves were dropped has not the log's key", e->n);
        return STAMP_OK;
    }
    d->said = true;
    d->said_n = e->n;
    memcpy(d->digest, e->digest, sizeof d->digest);
    return STAMP_OK;
}

static enum stamp_err take_entry(struct check *c, uint64_t index, struct stamp_slice leaf,
                                 uint8_t hash[STAMP_MERKLE_SIZE])
{
    struct stamp_log_entry e;
    enum stamp_err rc = STAMP_OK;

    if (stamp_log_is_dropped(leaf)) {
        return take_dropped(c, index, leaf, hash);
    }
    if (stamp_log_entry_decode(leaf, &e, NULL) == STAMP_OK) {
        rc = take_said(c, &e);
    } else {
        stampi_tell(&c->found, "leaf %" PRIu64 " is malformed", index);
    }
    return rc == STAMP_OK && !stamp_merkle_leaf(c->tree.md, leaf.p, leaf.len, hash)
               ? stamp_openssl_failed(c->err, "cannot compute a digest")
               : rc;
}

static void check_drop(struct check *c, struct drop *d)
{
    uint8_t digest[32];
    bool same = d->said && d->n == d->said_n && d->md != NULL &&
                EVP_DigestFinal_ex(d->md, digest, NULL) == 1 &&
                memcmp(digest, d->digest, sizeof digest) == 0;

    if (!d->said) {
        stampi_tell(&c->found,
                    "%" PRIu64 " leaves were dropped, and the log does not say so", d->n);
    } else if (!same) {
        stampi_tell(&c->found,
                    "%" PRIu64 " leaves were dropped that are not the %" PRIu64
                    " which the log says",
                    d->n, d->said_n);
    }
}

/* All of them; and they are free. Where leaves were not all gone through, nothing is
 * told.
 */
static void end_drops(struct check *c, bool all)
{
    while (c->drops != NULL) {
        struct drop *d = *(struct drop **)c->drops;

        if (all) {
            check_drop(c, d);
        }
        (void)tdelete(d, &c->drops, by_drop);
        EVP_MD_CTX_free(d->md);
        free(d);
    }
}

static bool take_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct check *c = ctx;
    uint8_t hash[STAMP_MERKLE_SIZE];
    enum stamp_err rc;

    if (index != c->next) {
        stampi_tell(&c->found, "leaf %" PRIu64 " is missing", c->next);
        c->stopped = true;
        return false;
    }
    c->next++;
    rc = take_entry(c, index, leaf, hash);
    if (rc == STAMP_OK) {
        rc = stampi_edge_add(c->edge, hash, c->err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_merkle_add(&c->tree, hash, c->err);
    }
    return (c->rc = rc) == STAMP_OK;
}

/* A page ends where a head is to be looked at. */
static uint32_t page_size(const struct check *c)
{
    uint64_t n = PAGE;

    if (c->at_head < c->n_heads && c->head[c->at_head].size > c->next &&
        c->head[c->at_head].size - c->next < n) {
        n = c->head[c->at_head].size - c->next;
    }
    for (size_t i = 0; i < c->n_given; i++) {
        if (c->given[i].size > c->next && c->given[i].size - c->next < n) {
            n = c->given[i].size - c->next;
        }
    }
    return (uint32_t)n;
}

static enum stamp_err check_leaves(struct check *c, uint64_t size)
{
    enum stamp_err rc = check_heads(c);

    while (rc == STAMP_OK && c->next < size && !c->stopped) {
        uint64_t before = c->next;

        rc = stamp_registry_log_leaves(c->r, c->next, page_size(c), take_leaf, c, c->err);
        if (rc == STAMP_OK) {
            rc = c->rc;
        }
        if (rc == STAMP_OK && c->next == before && !c->stopped) {
            stampi_tell(&c->found, "leaf %" PRIu64 " is missing", c->next);
            c->stopped = true;
        }
        if (rc == STAMP_OK && !c->stopped) {
            rc = check_heads(c);
        }
    }
    return rc;
}

static bool is_more(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    bool *more = ctx;

    (void)index;
    (void)leaf;
    *more = true;
    return false;
}

/* Heads of more leaves than there are; and leaves that are not counted. Where the log
 * grows at the same time, what is behind is not looked at. */
static enum stamp_err check_end(struct check *c, uint64_t size)
{
    bool more = false;
    uint64_t grown = size;
    enum stamp_err rc =
        c->stopped ? STAMP_OK
                   : stamp_registry_log_leaves(c->r, size, 1, is_more, &more, c->err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_log_size(c->r, &grown, c->err);
    }

    for (size_t i = 0; i < c->n_given; i++) {
        if (c->given[i].size > c->tree.count) {
            stampi_tell(&c->found,
                        "the kept head is of %" PRIu64 " leaves, and the log has %" PRIu64
                        ": it was cut, or restored from before",
                        c->given[i].size, c->tree.count);
        }
    }
    for (; rc == STAMP_OK && c->at_head < c->n_heads && grown == size; c->at_head++) {
        stampi_tell(&c->found,
                    "the stored head of %" PRIu64 " leaves is of more than there are",
                    c->head[c->at_head].size);
    }
    if (more && grown == size) {
        stampi_tell(&c->found, "there are leaves behind the last one");
    }
    return rc == STAMP_OK && !c->stopped && grown == size
               ? stampi_edge_keep(c->edge, c->err)
               : rc;
}

static enum stamp_err check_all(struct check *c)
{
    uint64_t size = 0;
    enum stamp_err rc = stamp_registry_log_size(c->r, &size, c->err);

    if (rc == STAMP_OK) {
        rc = stamp_merkle_init(&c->tree, c->err);
    }
    c->edge->md = c->tree.md;
    c->edge->keep = check_tile;
    c->edge->ctx = c;
    if (rc == STAMP_OK) {
        rc = check_leaves(c, size);
    }
    end_drops(c, rc == STAMP_OK && !c->stopped);
    if (rc == STAMP_OK) {
        rc = check_end(c, size);
    }
    c->out->leaves = c->tree.count;
    return rc == STAMP_OK ? stamp_merkle_root(&c->tree, c->out->root, c->err) : rc;
}

enum stamp_err stamp_registry_log_check(struct stamp_registry *r, EVP_PKEY *key,
                                        const struct stamp_log_head *heads, size_t n,
                                        stamp_log_wrong wrong, void *ctx,
                                        struct stamp_log_checked *out,
                                        struct stamp_error *err)
{
    struct check *c = calloc(1, sizeof *c);
    enum stamp_err rc = STAMP_E_NOMEM;

    memset(out, 0, sizeof *out);
    if (c != NULL) {
        c->edge = calloc(1, sizeof *c->edge);
    }
    if (c == NULL || c->edge == NULL) {
        (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    } else {
        c->r = r;
        c->key = key;
        c->given = heads;
        c->n_given = n;
        c->found = (struct stampi_findings){wrong, ctx, 0};
        c->out = out;
        c->err = err;
        rc = check_all(c);
        out->wrong = c->found.n;
        stamp_merkle_fini(&c->tree);
        free(c->edge);
    }
    free(c);
    return rc;
}
