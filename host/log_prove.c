#include "host/log_prove.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_walk.h"

struct proving {
    struct stamp_registry *r;
    const struct stamp_log_head *head;
    struct stamp_log_receipt *receipt;
    struct stamp_log_tree *tree;
    uint64_t later;
    enum stamp_err rc;
    struct stamp_error *err;

    /* of a device that was issued with others */
    const struct stamp_registry_row *row;
    struct stampi_span run;
};

static enum stamp_err add(struct proving *p, struct stamp_log_item *item)
{
    enum stamp_err rc = stamp_merkle_prove(stamp_log_tree_nodes(p->tree), item->index,
                                           p->head->size, &item->path, p->err);

    return rc == STAMP_OK ? stamp_log_receipt_add(p->receipt, item, p->err) : rc;
}

static bool take_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct proving *p = ctx;
    struct stamp_log_item item = {.index = index, .leaf = leaf};
    struct stamp_log_entry e;

    if (index >= p->head->size) {
        p->later++;
        return true;
    }
    if (stamp_log_entry_decode(leaf, &e, NULL) == STAMP_OK && e.kind == STAMP_LOG_RUN) {
        return true; /* of others, or told by itself */
    }
    p->rc = add(p, &item);
    return p->rc == STAMP_OK;
}

/* ---- runs ---- */

/* The devices of a run, as leaves. */
struct run {
    EVP_MD_CTX *md;
    uint8_t (*leaf)[STAMP_MERKLE_SIZE];
    uint32_t n, room;
};

static enum stamp_err take_device(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    struct run *run = ctx;
    uint8_t fingerprint[32];

    stampi_get_blob(&v[5], fingerprint, sizeof fingerprint);
    if (run->n == run->room ||
        !stampi_run_leaf(run->md, (struct stamp_slice){v[1].p, v[1].len}, fingerprint,
                         (struct stamp_slice){v[6].p, v[6].len}, run->leaf[run->n])) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    run->n++;
    return STAMP_OK;
}

static enum stamp_err node_of(void *ctx, unsigned height, uint64_t index,
                              uint8_t out[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    const struct run *run = ctx;
    struct stamp_merkle tree;
    uint64_t first = index << height;
    enum stamp_err rc = stamp_merkle_init(&tree, err);

    for (uint64_t i = first; i < first + (UINT64_C(1) << height) && rc == STAMP_OK; i++) {
        rc = stamp_merkle_add(&tree, run->leaf[i], err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_merkle_root(&tree, out, err);
    }
    stamp_merkle_fini(&tree);
    return rc;
}

static enum stamp_err prove_in_run(struct proving *p, struct stamp_log_item *item)
{
    struct run run = {.md = stamp_merkle_md(), .room = (uint32_t)p->run.n};
    struct stamp_merkle_tree tree = {run.md, node_of, &run};
    enum stamp_err rc = STAMP_E_NOMEM;

    run.leaf = malloc((size_t)p->run.n * STAMP_MERKLE_SIZE);
    if (run.leaf == NULL || run.md == NULL) {
        (void)stamp_error_set(p->err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    } else {
        rc = stampi_walk_devices(p->r, p->run.first, p->run.first + p->run.n, take_device,
                                 &run, p->err);
    }
    if (rc == STAMP_OK && run.n != p->run.n) {
        rc = stamp_error_set(p->err, STAMP_E_DATABASE, 0,
                             "the books do not have all devices of a run any more");
    }
    if (rc == STAMP_OK) {
        item->in_run = true;
        item->place = (uint32_t)(p->row->id - p->run.first);
        rc = stamp_merkle_prove(&tree, item->place, (uint64_t)p->run.n, &item->run_path,
                                p->err);
    }
    EVP_MD_CTX_free(run.md);
    free(run.leaf);
    return rc;
}

static bool take_run_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct proving *p = ctx;
    struct stamp_log_item item = {.index = index, .leaf = leaf};
    uint8_t record[STAMP_LOG_ENTRY_MAX];
    struct stamp_log_entry e;

    if (stamp_log_entry_decode(leaf, &e, NULL) != STAMP_OK || e.kind != STAMP_LOG_RUN) {
        return true; /* of the run's first device by itself */
    }
    if (index >= p->head->size) {
        p->later++;
        return true;
    }
    item.record.p = record;
    if (!stampi_run_record(
            stamp_log_tree_nodes(p->tree)->md, stamp_log_text(p->row->serial),
            p->row->fingerprint,
            (struct stamp_slice){p->row->certificate, p->row->certificate_len}, record,
            &item.record.len)) {
        p->rc = stamp_openssl_failed(p->err, "cannot compute a digest");
    }
    if (p->rc == STAMP_OK) {
        p->rc = prove_in_run(p, &item);
    }
    if (p->rc == STAMP_OK) {
        p->rc = add(p, &item);
    }
    return p->rc == STAMP_OK;
}

static enum stamp_err prove_all(struct proving *p)
{
    enum stamp_err rc = stampi_find_run(p->r, p->row->id, &p->run, p->err);

    if (rc == STAMP_OK && stampi_is_within(p->row->id, &p->run)) {
        rc = stamp_registry_log_of(p->r, p->run.first, 0, UINT32_MAX, take_run_leaf, p,
                                   p->err);
    }
    rc = rc == STAMP_OK ? p->rc : rc;
    if (rc == STAMP_OK) {
        rc = stamp_registry_log_of(p->r, p->row->id, 0, UINT32_MAX, take_leaf, p, p->err);
    }
    return rc == STAMP_OK ? p->rc : rc;
}

enum stamp_err stamp_log_prove(struct stamp_registry *r, const char *serial,
                               const struct stamp_log_head *head,
                               struct stamp_log_receipt *receipt, uint64_t *later,
                               struct stamp_error *err)
{
    struct stamp_registry_row row;
    struct proving p = {
        .r = r, .head = head, .receipt = receipt, .err = err, .row = &row};
    enum stamp_err rc = stamp_registry_find(r, serial, &row, err);

    if (rc == STAMP_OK) {
        rc = stamp_log_tree_open(r, &p.tree, err);
    }
    if (rc == STAMP_OK) {
        rc = prove_all(&p);
    }
    if (rc == STAMP_OK && receipt->items == 0) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0,
                             "the log has nothing of '%s' under its last head", serial);
        stamp_error_hint(err, "have a new head signed: stamp log head");
    }
    *later = p.later;
    stamp_log_tree_free(&p.tree);
    stamp_registry_row_fini(&row);
    return rc;
}
