/* The reader's lists: batches, orders, stations, products. */
#include <errno.h>
#include <stdlib.h>

#include "host/hex.h"
#include "host/json.h"
#include "host/registry_order.h"
#include "host/registry_station.h"
#include "service/reader_own.h"

static json_t *time_of(time_t at)
{
    char text[21];

    stamp_json_time((uint32_t)at, text);
    return json_string(text);
}

static json_t *hex_of(const uint8_t *p, size_t len)
{
    char text[2 * 32 + 1];

    stamp_hex(p, len, text);
    return json_string(text);
}

static void no_memory(struct reader_reply *r)
{
    reader_refuse_error(r,
                        stamp_error_set(&r->err, STAMP_E_NOMEM, ENOMEM, "out of memory"));
}

static json_t *batch_of(const struct stamp_registry_batch *b)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:o, s:s}", "batch",
                     (json_int_t)b->id, "name", b->name, "product", b->product, "note",
                     b->note, "state", stamp_registry_batch_state_name(b->state), "count",
                     (json_int_t)b->count, "at", time_of(b->at), "who", b->who);
}

static void end_page(struct reader_reply *r, const char *name, json_t *all, size_t n,
                     const struct service_query *q, uint32_t last)
{
    reader_send_json(r, json_pack("{s:o, s:o}", name, all, "next",
                                  n == q->limit ? json_integer(last) : json_null()));
}

void reader_batches(struct reader_reply *r, const struct service_query *q)
{
    struct stamp_registry_batch *rows = calloc(SERVICE_PAGE_MAX, sizeof *rows);
    json_t *all = json_array();
    size_t n = 0;
    enum stamp_err rc;

    if (rows == NULL || all == NULL) {
        json_decref(all);
        free(rows);
        no_memory(r);
        return;
    }
    rc = stamp_registry_batch_list(r->r->registry, (uint32_t)q->from, rows,
                                   (size_t)q->limit, &n, &r->err);
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        if (json_array_append_new(all, batch_of(&rows[i])) != 0) {
            rc = stamp_error_set(&r->err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
    }
    if (rc == STAMP_OK) {
        end_page(r, "batches", all, n, q, n > 0 ? rows[n - 1].id : 0);
    } else {
        json_decref(all);
        reader_refuse_error(r, rc);
    }
    free(rows);
}

static json_t *order_of(const struct stamp_registry_order *o)
{
    return json_pack("{s:o, s:I, s:s, s:s, s:o, s:s, s:I, s:o, s:o}", "order",
                     hex_of(o->id, sizeof o->id), "batch", (json_int_t)o->batch.id,
                     "name", o->batch.name, "product", o->batch.product, "station",
                     hex_of(o->station, sizeof o->station), "state",
                     o->state == STAMP_REGISTRY_ORDER_CLOSED ? "closed" : "open", "count",
                     (json_int_t)o->batch.count, "at", time_of(o->batch.at), "not_after",
                     o->not_after == 0 ? json_null() : time_of(o->not_after));
}

void reader_orders(struct reader_reply *r, const struct service_query *q)
{
    struct stamp_registry_order *rows = calloc(SERVICE_PAGE_MAX, sizeof *rows);
    json_t *all = json_array();
    size_t n = 0;
    enum stamp_err rc;

    if (rows == NULL || all == NULL) {
        json_decref(all);
        free(rows);
        no_memory(r);
        return;
    }
    rc = stamp_registry_order_list(r->r->registry, (uint32_t)q->from, rows,
                                   (size_t)q->limit, &n, &r->err);
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        if (json_array_append_new(all, order_of(&rows[i])) != 0) {
            rc = stamp_error_set(&r->err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
    }
    if (rc == STAMP_OK) {
        end_page(r, "orders", all, n, q, n > 0 ? rows[n - 1].batch.id : 0);
    } else {
        json_decref(all);
        reader_refuse_error(r, rc);
    }
    free(rows);
}

static bool add_station(void *ctx, const struct stamp_registry_station *s)
{
    return json_array_append_new(ctx, json_pack("{s:o, s:s, s:o, s:s, s:s}", "station",
                                                hex_of(s->id, sizeof s->id), "name",
                                                s->name, "at", time_of(s->at), "who",
                                                s->who, "where", s->where)) == 0;
}

static bool add_product(void *ctx, const char *product, uint64_t batches)
{
    return json_array_append_new(ctx, json_pack("{s:s, s:I}", "product", product,
                                                "batches", (json_int_t)batches)) == 0;
}

static void end_list(struct reader_reply *r, const char *name, json_t *all,
                     enum stamp_err rc)
{
    if (rc == STAMP_OK) {
        reader_send_json(r, json_pack("{s:o}", name, all));
    } else {
        json_decref(all);
        reader_refuse_error(r, rc);
    }
}

void reader_stations(struct reader_reply *r)
{
    json_t *all = json_array();

    end_list(r, "stations", all,
             stamp_registry_station_list(r->r->registry, add_station, all, &r->err));
}

void reader_products(struct reader_reply *r)
{
    json_t *all = json_array();

    end_list(r, "products", all,
             stamp_registry_products(r->r->registry, add_product, all, &r->err));
}
