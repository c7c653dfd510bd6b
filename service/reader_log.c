/* The reader's answers about the transparency log. */
#include <stdlib.h>

#include "host/hex.h"
#include "host/json.h"
#include "host/log_prove.h"
#include "service/reader_own.h"

static bool have_head(struct reader_reply *r, struct stamp_log_head *head)
{
    enum stamp_err rc = stamp_registry_log_head(r->r->registry, head, &r->err);

    if (rc != STAMP_OK) {
        reader_refuse_error(r, rc);
    }
    return rc == STAMP_OK;
}

void reader_receipt(struct reader_reply *r, const char *serial)
{
    struct stamp_log_receipt receipt = {.bytes = NULL};
    struct stamp_log_head head;
    uint8_t *bytes = NULL;
    uint64_t later;
    size_t len = 0;
    enum stamp_err rc;

    if (!have_head(r, &head)) {
        return;
    }
    if (r->r->log_certificate == NULL) {
        service_answer_problem(&r->to, ANSWER_NOT_FOUND,
                               "the service has no log key's certificate yet");
        return;
    }
    rc = stamp_log_prove(r->r->registry, serial, &head, &receipt, &later, &r->err);
    if (rc == STAMP_OK) {
        rc = stamp_log_receipt_write(&receipt, &head, r->r->log_certificate, &bytes, &len,
                                     &r->err);
    }
    if (rc == STAMP_OK) {
        service_answer(&r->to, ANSWER_OK, SERVICE_CBOR, bytes, len);
    } else {
        reader_refuse_error(r, rc);
    }
    free(receipt.bytes);
    free(bytes);
}

void reader_log_head(struct reader_reply *r)
{
    static const struct stamp_log_receipt none = {.bytes = NULL};
    struct stamp_log_head head;
    char id[2 * STAMP_LOG_ID_SIZE + 1];
    char root[2 * STAMP_MERKLE_SIZE + 1];
    char at[21];
    uint8_t *bytes = NULL;
    size_t len = 0;
    json_t *j;

    if (!have_head(r, &head)) {
        return;
    }
    stamp_hex(head.id, sizeof head.id, id);
    stamp_hex(head.root, sizeof head.root, root);
    stamp_json_time((uint32_t)head.at, at);
    j = json_pack("{s:s, s:I, s:s, s:s}", "log", id, "size", (json_int_t)head.size, "at",
                  at, "root", root);
    if (j != NULL && r->r->log_certificate != NULL &&
        stamp_log_receipt_write(&none, &head, r->r->log_certificate, &bytes, &len,
                                NULL) == STAMP_OK) {
        (void)json_object_set_new(j, "receipt", service_base64(bytes, len));
    }
    free(bytes);
    service_answer_json(&r->to, ANSWER_OK, j);
}

static bool add_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct stamp_log_entry e;
    char at[21];
    json_t *j;

    if (stamp_log_is_dropped(leaf)) {
        return json_array_append_new(ctx, json_pack("{s:I, s:n, s:n, s:n}", "leaf",
                                                    (json_int_t)index, "kind", "at",
                                                    "entry")) == 0;
    }
    if (stamp_log_entry_decode(leaf, &e, NULL) != STAMP_OK) {
        return true;
    }
    stamp_json_time((uint32_t)e.at, at);
    j = json_pack("{s:I, s:s, s:s, s:o}", "leaf", (json_int_t)index, "kind",
                  stamp_log_kind_name(e.kind), "at", at, "entry",
                  service_base64(leaf.p, leaf.len));
    if (j != NULL && e.serial.len > 0) {
        (void)json_object_set_new(j, "serial",
                                  json_stringn((const char *)e.serial.p, e.serial.len));
    }
    if (j != NULL && e.kind == STAMP_LOG_DEVICE && e.has_state) {
        (void)json_object_set_new(
            j, "state",
            json_string(stamp_registry_state_name((enum stamp_registry_state)e.state)));
    }
    return json_array_append_new(ctx, j) == 0;
}

static enum stamp_err add_hash(struct stamp_log_tree *tree, json_t *leaf,
                               struct stamp_error *err)
{
    const struct stamp_merkle_tree *nodes = stamp_log_tree_nodes(tree);
    uint64_t index = (uint64_t)json_integer_value(json_object_get(leaf, "leaf"));
    uint8_t hash[STAMP_MERKLE_SIZE];
    enum stamp_err rc = nodes->node(nodes->ctx, 0, index, hash, err);

    if (rc == STAMP_OK) {
        (void)json_object_set_new(leaf, "hash", service_base64(hash, sizeof hash));
    }
    return rc;
}

/* Of what was dropped the hash is told: the tree over all can still be made. */
static enum stamp_err add_hashes(struct reader_reply *r, json_t *all)
{
    STAMP_LOG_TREE_AUTO *tree = NULL;
    enum stamp_err rc = STAMP_OK;
    json_t *j;
    size_t i;

    json_array_foreach(all, i, j)
    {
        bool dropped = json_is_null(json_object_get(j, "entry"));

        if (rc == STAMP_OK && dropped && tree == NULL) {
            rc = stamp_log_tree_open(r->r->registry, &tree, &r->err);
        }
        if (rc == STAMP_OK && dropped) {
            rc = add_hash(tree, j, &r->err);
        }
    }
    return rc;
}

void reader_log_entries(struct reader_reply *r, const struct service_query *q)
{
    uint64_t size = 0;
    uint64_t end;
    json_t *all = json_array();
    enum stamp_err rc = stamp_registry_log_size(r->r->registry, &size, &r->err);

    if (rc == STAMP_OK && all != NULL) {
        rc = stamp_registry_log_leaves(r->r->registry, q->from, (uint32_t)q->limit,
                                       add_leaf, all, &r->err);
    }
    if (rc == STAMP_OK) {
        rc = add_hashes(r, all);
    }
    if (rc != STAMP_OK) {
        json_decref(all);
        reader_refuse_error(r, rc);
        return;
    }
    end = q->from + json_array_size(all);
    service_answer_json(
        &r->to, ANSWER_OK,
        json_pack("{s:o, s:I, s:o}", "entries", all, "size", (json_int_t)size, "next",
                  end < size ? json_integer((json_int_t)end) : json_null()));
}

static json_t *path_of(const struct stamp_merkle_path *p)
{
    json_t *j = json_array();

    for (size_t i = 0; j != NULL && i < p->n; i++) {
        if (json_array_append_new(j, service_base64(p->node[i], STAMP_MERKLE_SIZE)) !=
            0) {
            json_decref(j);
            j = NULL;
        }
    }
    return j;
}

/* Of a tree that a head could be of: there are so many leaves. */
static enum stamp_err check_size(struct reader_reply *r, uint64_t size)
{
    uint64_t is = 0;
    enum stamp_err rc = stamp_registry_log_size(r->r->registry, &is, &r->err);

    return rc == STAMP_OK && size > is ? stamp_error_set(&r->err, STAMP_E_RANGE, 0,
                                                         "the log has not so many leaves")
                                       : rc;
}

void reader_log_proof(struct reader_reply *r, const struct service_query *q)
{
    bool growth = q->verb == SERVICE_QUERY_GROWTH;
    STAMP_LOG_TREE_AUTO *tree = NULL;
    struct stamp_merkle_path path = {.n = 0};
    struct stamp_log_head head;
    uint64_t to = q->to;
    uint8_t root[STAMP_MERKLE_SIZE];
    enum stamp_err rc;

    if (to == 0) {
        if (!have_head(r, &head)) {
            return;
        }
        to = head.size;
    }
    rc = check_size(r, to);
    if (rc == STAMP_OK) {
        rc = stamp_log_tree_open(r->r->registry, &tree, &r->err);
    }
    if (rc == STAMP_OK) {
        const struct stamp_merkle_tree *nodes = stamp_log_tree_nodes(tree);

        rc = growth ? stamp_merkle_prove_growth(nodes, q->from, to, &path, &r->err)
                    : stamp_merkle_prove(nodes, q->from, to, &path, &r->err);
        if (rc == STAMP_OK) {
            rc = stamp_merkle_root_of(nodes, to, root, &r->err);
        }
    }
    if (rc != STAMP_OK) {
        reader_refuse_error(r, rc);
        return;
    }
    service_answer_json(&r->to, ANSWER_OK,
                        json_pack("{s:I, s:I, s:o, s:o}", growth ? "from" : "leaf",
                                  (json_int_t)q->from, growth ? "to" : "size",
                                  (json_int_t)to, "path", path_of(&path), "root",
                                  service_base64(root, sizeof root)));
}
