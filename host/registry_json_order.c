/* Work orders of the books as JSON. */
#include <errno.h>
#include <string.h>

#include "host/hex.h"
#include "host/json.h"
#include "host/order.h"
#include "host/registry_json.h"

static const char *const pops[] = {
    [STAMP_ORDER_POP_NONE] = "none",
    [STAMP_ORDER_POP_SEALED] = "sealed",
    [STAMP_ORDER_POP_SHOWN] = "shown",
};

/* All that is known of one order. */
struct view {
    char station[STAMP_REGISTRY_NAME_SIZE];
    struct stamp_registry_balance balance;
    uint32_t refused;
    char first[STAMP_SERIAL_SIZE];
    char last[STAMP_SERIAL_SIZE];
};

static enum stamp_err look(struct stamp_registry *r, const struct stamp_registry_order *o,
                           struct view *v, struct stamp_error *err)
{
    STAMP_REGISTRY_STATION_AUTO station = {.own = NULL};
    const struct stamp_registry_batch *b = &o->batch;
    enum stamp_err rc = stamp_registry_station_find(r, o->station, &station, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_balance(r, b->id, &v->balance, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_quarantined(r, o->id, &v->refused, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&o->pattern, b->first_counter, b->at, v->first,
                                 sizeof v->first, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&o->pattern, b->first_counter + b->count - 1, b->at,
                                 v->last, sizeof v->last, err);
    }
    memcpy(v->station, station.name, sizeof v->station);
    return rc;
}

enum stamp_err stamp_order_json(struct stamp_registry *r,
                                const struct stamp_registry_order *o, json_t **out,
                                struct stamp_error *err)
{
    const struct stamp_registry_batch *b = &o->batch;
    struct view v = {.refused = 0};
    char id[33];
    char station[65];
    char prefix[25];
    char at[21];
    char not_after[21];
    enum stamp_err rc = look(r, o, &v, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_hex(o->id, sizeof o->id, id);
    stamp_hex(o->station, sizeof o->station, station);
    stamp_hex(b->prefix, sizeof b->prefix, prefix);
    stamp_json_time((uint32_t)b->at, at);
    stamp_json_time((uint32_t)o->not_after, not_after);
    *out = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:s, s:s, "
        "s:s, s:s, s:I,"
        " s:I, s:I, s:I, s:I, s:i}",
        "order", (int)b->id, "id", id, "name", b->name, "product", b->product, "station",
        v.station, "station_id", station, "state",
        o->state == STAMP_REGISTRY_ORDER_OPEN ? "open" : "closed", "count", (int)b->count,
        "first_counter", (json_int_t)b->first_counter, "prefix", prefix, "first", v.first,
        "last", v.last, "at", at, "not_after", not_after, "lock",
        o->lock_later ? "later" : "strike", "pop", pops[o->pop], "note", b->note,
        "struck", (json_int_t)v.balance.struck, "scrapped",
        (json_int_t)v.balance.scrapped, "revoked", (json_int_t)v.balance.revoked,
        "outstanding", (json_int_t)v.balance.outstanding, "reserved",
        (json_int_t)v.balance.reserved, "refused", (int)v.refused);
    return *out == NULL ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
                        : STAMP_OK;
}

static bool add_refused(void *ctx, const struct stamp_registry_quarantine *q)
{
    char at[21];

    stamp_json_time((uint32_t)q->at, at);
    return json_array_append_new(ctx, json_pack("{s:I, s:s, s:s, s:s}", "index",
                                                (json_int_t)q->index, "serial", q->serial,
                                                "why", q->why, "at", at)) == 0;
}

enum stamp_err stamp_order_json_whole(struct stamp_registry *r,
                                      const struct stamp_registry_order *order,
                                      json_t **out, struct stamp_error *err)
{
    json_t *all = json_array();
    enum stamp_err rc = stamp_order_json(r, order, out, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_quarantine(r, order->id, add_refused, all, err);
    }
    if (rc == STAMP_OK && json_object_set(*out, "quarantine", all) != 0) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (rc != STAMP_OK) {
        json_decref(*out);
        *out = NULL;
    }
    json_decref(all);
    return rc;
}
