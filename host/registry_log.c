#include "host/registry_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_log_own.h"
#include "host/registry_own.h"

#define COUNTER "log" /* one more than the leaves of the tree */

/* ---- growing ---- */

struct waiting {
    int64_t id, device;
    size_t at; /* in the bytes */
    size_t len;
};

/* Leaves that were taken from the queue. */
struct taken {
    struct waiting *row;
    size_t n, n_room;
    uint8_t *bytes;
    size_t len, room;
};

static void taken_fini(struct taken *t)
{
    free(t->row);
    free(t->bytes);
}

static bool make_room(void **p, size_t *room, size_t need, size_t size)
{
    size_t more = *room == 0 ? 256 : *room;
    void *grown;

    if (need <= *room) {
        return true;
    }
    while (more < need) {
        more *= 2;
    }
    grown = realloc(*p, more * size);
    if (grown != NULL) {
        *p = grown;
        *room = more;
    }
    return grown != NULL;
}

/* id, device, leaf */
static enum stamp_err take_leaf(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct taken *t = ctx;
    void *row = t->row;
    void *bytes = t->bytes;
    bool ok = make_room(&row, &t->n_room, t->n + 1, sizeof *t->row) &&
              make_room(&bytes, &t->room, t->len + v[2].len, 1);

    t->row = row;
    t->bytes = bytes;
    if (!ok) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    t->row[t->n++] = (struct waiting){
        v[0].number, v[1].type == STAMPI_NULL ? STAMPI_NO_DEVICE : v[1].number, t->len,
        v[2].len};
    if (v[2].len > 0) {
        memcpy(t->bytes + t->len, v[2].p, v[2].len);
    }
    t->len += v[2].len;
    return STAMP_OK;
}

static int by_id(const void *a, const void *b)
{
    const struct waiting *x = a;
    const struct waiting *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

static enum stamp_err write_leaves(struct stamp_registry *r, const struct taken *t,
                                   uint64_t first, struct stamp_error *err)
{
    const struct stampi_ops *ops = r->db->ops;
    enum stamp_err rc = ops->copy_begin(r->db, STAMPI_COPY_LOG_LEAF, err);

    for (size_t i = 0; i < t->n && rc == STAMP_OK; i++) {
        const struct waiting *w = &t->row[i];
        const struct stampi_value v[] = {
            stampi_int((int64_t)(first + i)),
            w->device == STAMPI_NO_DEVICE ? stampi_blob(NULL, 0) : stampi_int(w->device),
            stampi_blob(t->bytes + w->at, w->len)};

        rc = ops->copy_row(r->db, v, sizeof v / sizeof *v, err);
    }
    return rc == STAMP_OK ? ops->copy_end(r->db, err) : rc;
}

static enum stamp_err write_tile(void *ctx, unsigned level, const struct stampi_tile *t,
                                 struct stamp_error *err)
{
    struct stamp_registry *r = ctx;

    return STAMPI_RUN(r, STAMPI_LOG_TILE_SET, NULL, NULL, NULL, err, stampi_int(level),
                      stampi_int((int64_t)t->n),
                      stampi_blob(t->hash, (size_t)t->count * STAMP_MERKLE_SIZE));
}

static enum stamp_err read_edge(struct stamp_registry *r, struct stampi_edge *e,
                                uint64_t size, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    e->size = size;
    e->keep = write_tile;
    e->ctx = r;
    for (unsigned level = 0; level < STAMPI_TILE_LEVELS && rc == STAMP_OK; level++) {
        uint64_t hashes = size >> level * STAMPI_TILE_BITS;
        uint32_t count = (uint32_t)(hashes % STAMPI_TILE_MAX);

        e->tile[level].n = hashes / STAMPI_TILE_MAX;
        if (count > 0) {
            rc = stampi_tile_read(r, level, e->tile[level].n, &e->tile[level], err);
            if (rc == STAMP_OK && e->tile[level].count != count) {
                rc = stamp_error_set(err, STAMP_E_DATABASE, 0,
                                     "the tree of the log is damaged");
                stamp_error_hint(err, "see what it is: stamp log verify");
            }
        }
    }
    return rc;
}

static enum stamp_err write_tree(struct stamp_registry *r, const struct taken *t,
                                 uint64_t size, struct stamp_error *err)
{
    struct stampi_edge *e = calloc(1, sizeof *e);
    uint8_t hash[STAMP_MERKLE_SIZE];
    enum stamp_err rc;

    if (e == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = read_edge(r, e, size, err);
    e->md = stamp_merkle_md();
    for (size_t i = 0; i < t->n && rc == STAMP_OK; i++) {
        rc = e->md != NULL && stamp_merkle_leaf(e->md, t->bytes + t->row[i].at,
                                                t->row[i].len, hash)
                 ? stampi_edge_add(e, hash, err)
                 : stamp_openssl_failed(err, "cannot compute a digest");
    }
    if (rc == STAMP_OK) {
        rc = stampi_edge_keep(e, err);
    }
    EVP_MD_CTX_free(e->md);
    free(e);
    return rc;
}

static enum stamp_err take_head(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    return stamp_log_head_read((struct stamp_slice){v[0].p, v[0].len}, ctx, err);
}

static enum stamp_err last_head(struct stamp_registry *r, struct stamp_log_head *out,
                                struct stamp_error *err)
{
    memset(out, 0, sizeof *out);
    return r->db->ops->run(r->db, STAMPI_LOG_HEAD_LAST, NULL, 0, take_head, out, NULL,
                           err);
}

/* Where there is none of this size. */
static enum stamp_err write_head(struct stamp_registry *r,
                                 const struct stamp_log_signer *signer, uint64_t size,
                                 time_t now, struct stamp_error *err)
{
    STAMP_LOG_TREE_AUTO *tree = NULL;
    struct stamp_log_head head;
    enum stamp_err rc = last_head(r, &head, err);

    if (rc != STAMP_OK || (head.len > 0 && head.size == size)) {
        return rc;
    }
    if (head.len > 0 && head.size > size) {
        return stamp_error_set(err, STAMP_E_DATABASE, 0,
                               "the log is shorter than a head that was signed");
    }
    rc = stamp_log_tree_open(r, &tree, err);
    if (rc == STAMP_OK) {
        rc = stamp_merkle_root_of(stamp_log_tree_nodes(tree), size, head.root, err);
    }
    if (rc == STAMP_OK) {
        head.size = size;
        head.at = now > head.at ? now : head.at;
        rc = stamp_log_head_sign(signer, &head, err);
    }
    return rc == STAMP_OK
               ? STAMPI_RUN(r, STAMPI_LOG_HEAD_ADD, NULL, NULL, NULL, err,
                            stampi_int((int64_t)size), stampi_blob(head.bytes, head.len))
               : rc;
}

/* @param size  of the tree before, and then */
static enum stamp_err take_waiting(struct stamp_registry *r, struct taken *t,
                                   uint64_t *size, struct stamp_error *err)
{
    int64_t next = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_LOG_TAKE, take_leaf, t, NULL, err,
                                   stampi_int(STAMP_LOG_GROW_MAX));

    if (rc != STAMP_OK || t->n == 0) {
        return rc;
    }
    qsort(t->row, t->n, sizeof *t->row, by_id);
    rc = write_leaves(r, t, *size, err);
    if (rc == STAMP_OK) {
        rc = write_tree(r, t, *size, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_count_on(r, COUNTER, t->n, &next, err);
    }
    *size += t->n;
    return rc;
}

static enum stamp_err grow(struct stamp_registry *r, struct taken *t,
                           const struct stamp_log_signer *signer, time_t now,
                           struct stamp_error *err)
{
    int64_t next = 0;
    uint64_t size;
    enum stamp_err rc = stampi_count_on(r, COUNTER, 0, &next, err); /* nobody else */

    size = (uint64_t)next - 1;
    if (rc == STAMP_OK) {
        rc = take_waiting(r, t, &size, err);
    }
    return rc == STAMP_OK && signer != NULL ? write_head(r, signer, size, now, err) : rc;
}

enum stamp_err stamp_registry_log_grow(struct stamp_registry *r,
                                       const struct stamp_log_signer *head, time_t now,
                                       uint32_t *added, struct stamp_error *err)
{
    struct taken t = {.row = NULL};
    enum stamp_err rc = stampi_begin(r, err);

    *added = 0;
    if (rc == STAMP_OK) {
        rc = stampi_finish(r, grow(r, &t, head, now, err), err);
    }
    if (rc == STAMP_OK) {
        *added = (uint32_t)t.n;
    }
    taken_fini(&t);
    return rc;
}

enum stamp_err stampi_log_grow_now(struct stamp_registry *r, struct stamp_error *err)
{
    int64_t next = 0;
    size_t n = 1;
    enum stamp_err rc = stampi_leaves_write(r, err);

    stampi_leaves_clear(r);
    while (rc == STAMP_OK && n > 0) {
        struct taken t = {.row = NULL};
        uint64_t size;

        rc = stampi_count_on(r, COUNTER, 0, &next, err);
        size = (uint64_t)next - 1;
        if (rc == STAMP_OK) {
            rc = take_waiting(r, &t, &size, err);
        }
        n = t.n;
        taken_fini(&t);
    }
    return rc;
}

enum stamp_err stamp_registry_log_anchor(struct stamp_registry *r, const char *name,
                                         const uint8_t digest[32], time_t now,
                                         struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK
               ? stampi_finish(r, stampi_leaf_anchor(r, name, digest, (int64_t)now, err),
                               err)
               : rc;
}

/* ---- reading ---- */

enum stamp_err stamp_registry_log_size(struct stamp_registry *r, uint64_t *size,
                                       struct stamp_error *err)
{
    int64_t next = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_COUNTER_GET, stampi_take_number, &next, NULL,
                                   err, stampi_text(COUNTER));

    *size = next > 0 ? (uint64_t)next - 1 : 0;
    return rc;
}

enum stamp_err stamp_registry_log_waiting(struct stamp_registry *r, uint64_t *n,
                                          struct stamp_error *err)
{
    int64_t count = 0;
    enum stamp_err rc = r->db->ops->run(r->db, STAMPI_LOG_WAITING, NULL, 0,
                                        stampi_take_number, &count, NULL, err);

    *n = (uint64_t)count;
    return rc;
}

enum stamp_err stamp_registry_log_head(struct stamp_registry *r,
                                       struct stamp_log_head *out,
                                       struct stamp_error *err)
{
    enum stamp_err rc = last_head(r, out, err);

    if (rc == STAMP_OK && out->len == 0) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "the log has no head yet");
        stamp_error_hint(err, "have one signed: stamp log head");
    }
    return rc;
}

/* ---- what was dropped ---- */

#define DROPPED_HEAD (STAMP_CBOR_BYTES << 5 | STAMPI_DROP_ID)

void stampi_dropped_mark(const uint8_t id[STAMPI_DROP_ID],
                         uint8_t out[STAMPI_DROPPED_SIZE])
{
    out[0] = DROPPED_HEAD;
    memcpy(out + 1, id, STAMPI_DROP_ID);
}

bool stamp_log_is_dropped(struct stamp_slice leaf)
{
    return leaf.len == STAMPI_DROPPED_SIZE && leaf.p[0] == DROPPED_HEAD;
}

void stampi_drop_signed(const uint8_t id[STAMPI_DROP_ID], const uint8_t digest[32],
                        uint8_t out[STAMPI_DROP_SIGNED])
{
    memcpy(out, id, STAMPI_DROP_ID);
    memcpy(out + STAMPI_DROP_ID, digest, 32);
}

bool stampi_dropped_add(EVP_MD_CTX *md, uint64_t index,
                        const uint8_t hash[STAMP_MERKLE_SIZE])
{
    uint8_t number[8];

    for (unsigned i = 0; i < sizeof number; i++) {
        number[i] = (uint8_t)(index >> 8 * (sizeof number - 1 - i));
    }
    return EVP_DigestUpdate(md, number, sizeof number) == 1 &&
           EVP_DigestUpdate(md, hash, STAMP_MERKLE_SIZE) == 1;
}

struct reading {
    stamp_log_leaf leaf;
    stamp_log_head_row head;
    void *ctx;
    bool ended;
};

/* n, leaf */
static enum stamp_err tell_leaf(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct reading *t = ctx;

    (void)err;
    t->ended = t->ended || !t->leaf(t->ctx, (uint64_t)v[0].number,
                                    (struct stamp_slice){v[1].p, v[1].len});
    return STAMP_OK;
}

enum stamp_err stamp_registry_log_leaves(struct stamp_registry *r, uint64_t from,
                                         uint32_t max, stamp_log_leaf leaf, void *ctx,
                                         struct stamp_error *err)
{
    struct reading t = {.leaf = leaf, .ctx = ctx};

    return STAMPI_RUN(r, STAMPI_LOG_LEAVES, tell_leaf, &t, NULL, err,
                      stampi_int((int64_t)from), stampi_int(max));
}

enum stamp_err stamp_registry_log_of(struct stamp_registry *r, int64_t device,
                                     uint64_t from, uint32_t max, stamp_log_leaf leaf,
                                     void *ctx, struct stamp_error *err)
{
    struct reading t = {.leaf = leaf, .ctx = ctx};

    return STAMPI_RUN(r, STAMPI_LOG_OF, tell_leaf, &t, NULL, err, stampi_int(device),
                      stampi_int((int64_t)from), stampi_int(max));
}

/* size, head */
static enum stamp_err tell_head(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct reading *t = ctx;
    struct stamp_log_head head;
    enum stamp_err rc =
        stamp_log_head_read((struct stamp_slice){v[1].p, v[1].len}, &head, err);

    head.size =
        (uint64_t)v[0].number; /* where it is kept: one of another size is wrong */
    t->ended = t->ended || (rc == STAMP_OK && !t->head(t->ctx, &head));
    return rc;
}

enum stamp_err stamp_registry_log_heads(struct stamp_registry *r, uint64_t from,
                                        uint32_t max, stamp_log_head_row head, void *ctx,
                                        struct stamp_error *err)
{
    struct reading t = {.head = head, .ctx = ctx};

    return STAMPI_RUN(r, STAMPI_LOG_HEADS, tell_head, &t, NULL, err,
                      stampi_int((int64_t)from), stampi_int(max));
}
