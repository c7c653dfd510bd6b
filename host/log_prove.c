#include "host/log_prove.h"

#include "host/registry_run_tree.h"
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
    if (p->rc == STAMP_OK && e.root == NULL) {
        p->rc =
            stamp_error_set(p->err, STAMP_E_DATABASE, 0, "a leaf of the log is damaged");
    }
    if (p->rc == STAMP_OK) {
        item.in_run = true;
        item.place = (uint32_t)(p->row->id - p->run.first);
        p->rc = stampi_run_tree_prove(p->r, &p->run, item.place, e.root, &item.run_path,
                                      p->err);
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
