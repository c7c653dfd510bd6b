/* Batches of the books as JSON. */
#include <errno.h>

#include "host/hex.h"
#include "host/json.h"
#include "host/registry_json.h"

#define PAGE ((size_t)50)

json_t *stamp_batch_json(const struct stamp_registry_batch *b)
{
    char uid[33];
    char at[21];

    stamp_hex(b->uid, sizeof b->uid, uid);
    stamp_json_time((uint32_t)b->at, at);
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "batch",
                     (int)b->id, "uid", uid, "name", b->name, "product", b->product,
                     "state", stamp_registry_batch_state_name(b->state), "count",
                     (int)b->count, "at", at, "who", b->who, "where", b->where, "note",
                     b->note);
}

static bool holds(const struct stamp_registry_batch *batch,
                  const struct stamp_registry_balance *b)
{
    uint64_t sum = b->struck + b->scrapped + b->returned + b->revoked + b->outstanding;

    return b->issued == sum && b->reserved + b->issued == batch->count;
}

static json_t *balance_of(const struct stamp_registry_batch *batch,
                          const struct stamp_registry_balance *b)
{
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "batch",
                     (int)batch->id, "reserved", (json_int_t)b->reserved, "issued",
                     (json_int_t)b->issued, "struck", (json_int_t)b->struck, "scrapped",
                     (json_int_t)b->scrapped, "returned", (json_int_t)b->returned,
                     "revoked", (json_int_t)b->revoked, "outstanding",
                     (json_int_t)b->outstanding, "holds", holds(batch, b) ? 1 : 0);
}

static json_t *volume_of(const struct stamp_registry_volume *v)
{
    return json_pack("{s:i, s:s, s:I, s:I}", "volume", (int)v->volume, "owner", v->owner,
                     "claimed", (json_int_t)v->claimed, "made", (json_int_t)v->done);
}

static json_t *results_of(const struct stamp_registry_results *row)
{
    char books[33];
    char at[21];

    stamp_hex(row->books, sizeof row->books, books);
    stamp_json_time((uint32_t)row->imported_at, at);
    return json_pack("{s:s, s:I, s:i, s:s}", "books", books, "number",
                     (json_int_t)row->number, "volume", (int)row->volume, "imported_at",
                     at);
}

static enum stamp_err no_memory(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
}

static enum stamp_err add_volumes(struct stamp_registry *r, uint32_t batch, json_t *all,
                                  struct stamp_error *err)
{
    static struct stamp_registry_volume page[PAGE];
    uint32_t from = 0;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_registry_volume_list(r, batch, from, page, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            from = page[i].volume + 1;
            rc = json_array_append_new(all, volume_of(&page[i])) == 0 ? STAMP_OK
                                                                      : no_memory(err);
        }
    }
    return rc;
}

static enum stamp_err add_results(struct stamp_registry *r, uint32_t batch, json_t *all,
                                  struct stamp_error *err)
{
    static struct stamp_registry_results page[PAGE];
    struct stamp_registry_results last;
    bool first = true;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_registry_results_list(r, batch, first ? NULL : &last, page, PAGE, &n,
                                         err);
        first = false;
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            last = page[i];
            rc = json_array_append_new(all, results_of(&last)) == 0 ? STAMP_OK
                                                                    : no_memory(err);
        }
    }
    return rc;
}

enum stamp_err stamp_batch_json_whole(struct stamp_registry *r,
                                      const struct stamp_registry_batch *batch,
                                      json_t **out, struct stamp_error *err)
{
    struct stamp_registry_balance balance;
    json_t *volumes = json_array();
    json_t *results = json_array();
    enum stamp_err rc = stamp_registry_balance(r, batch->id, &balance, err);

    *out = NULL;
    if (rc == STAMP_OK) {
        rc = add_volumes(r, batch->id, volumes, err);
    }
    if (rc == STAMP_OK) {
        rc = add_results(r, batch->id, results, err);
    }
    if (rc == STAMP_OK) {
        *out = stamp_batch_json(batch);
        if (json_object_set(*out, "volumes", volumes) != 0 ||
            json_object_set_new(*out, "balance", balance_of(batch, &balance)) != 0 ||
            json_object_set(*out, "results", results) != 0) {
            json_decref(*out);
            *out = NULL;
            rc = no_memory(err);
        }
    }
    json_decref(volumes);
    json_decref(results);
    return rc;
}
