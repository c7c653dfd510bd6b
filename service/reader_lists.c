/* The reader's lists: batches, orders, stations, products. */
#include <errno.h>

#include "host/hex.h"
#include "host/json.h"
#include "host/registry_json.h"
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

/* ---- one ---- */

static void end_one(struct reader_reply *r, json_t *j, enum stamp_err rc)
{
    if (rc == STAMP_OK) {
        service_answer_json(&r->to, ANSWER_OK, j);
    } else {
        reader_refuse_error(r, rc);
    }
}

void reader_batch(struct reader_reply *r, const char *name)
{
    struct stamp_registry_batch batch;
    json_t *j = NULL;
    enum stamp_err rc = stamp_registry_batch_find(r->r->registry, name, &batch, &r->err);

    if (rc == STAMP_OK) {
        rc = stamp_batch_json_whole(r->r->registry, &batch, &j, &r->err);
    }
    end_one(r, j, rc);
}

void reader_order(struct reader_reply *r, const char *name)
{
    struct stamp_registry_order order;
    json_t *j = NULL;
    enum stamp_err rc = stamp_registry_order_seek(r->r->registry, name, &order, &r->err);

    if (rc == STAMP_OK) {
        rc = stamp_order_json_whole(r->r->registry, &order, &j, &r->err);
    }
    end_one(r, j, rc);
}

/* ---- pages ---- */

union row {
    struct stamp_registry_batch batch;
    struct stamp_registry_order order;
};

/* Rows of one kind, by number. */
struct kind {
    const char *name;
    enum stamp_err (*list)(struct stamp_registry *r, uint32_t after, union row *row,
                           size_t *n, struct stamp_error *err);
    enum stamp_err (*json)(struct stamp_registry *r, const union row *row, json_t **out,
                           struct stamp_error *err);
    uint32_t (*number)(const union row *row);
};

static enum stamp_err list_batch(struct stamp_registry *r, uint32_t after, union row *row,
                                 size_t *n, struct stamp_error *err)
{
    return stamp_registry_batch_list(r, after, &row->batch, 1, n, err);
}

static enum stamp_err list_order(struct stamp_registry *r, uint32_t after, union row *row,
                                 size_t *n, struct stamp_error *err)
{
    return stamp_registry_order_list(r, after, &row->order, 1, n, err);
}

static enum stamp_err json_batch(struct stamp_registry *r, const union row *row,
                                 json_t **out, struct stamp_error *err)
{
    (void)r;
    *out = stamp_batch_json(&row->batch);
    return *out == NULL ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
                        : STAMP_OK;
}

static enum stamp_err json_order(struct stamp_registry *r, const union row *row,
                                 json_t **out, struct stamp_error *err)
{
    return stamp_order_json(r, &row->order, out, err);
}

static uint32_t number_batch(const union row *row)
{
    return row->batch.id;
}

static uint32_t number_order(const union row *row)
{
    return row->order.batch.id;
}

static const struct kind of_batches = {"batches", list_batch, json_batch, number_batch};
static const struct kind of_orders = {"orders", list_order, json_order, number_order};

/* One by one: there are few, and each is found by its key. */
static void page(struct reader_reply *r, const struct kind *kind,
                 const struct service_query *q)
{
    json_t *all = json_array();
    uint32_t last = (uint32_t)q->from;
    size_t n = 1;
    union row row;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == 1 && json_array_size(all) < q->limit) {
        rc = kind->list(r->r->registry, last, &row, &n, &r->err);
        if (rc == STAMP_OK && n == 1) {
            json_t *one = NULL;

            last = kind->number(&row);
            rc = kind->json(r->r->registry, &row, &one, &r->err);
            if (rc == STAMP_OK && json_array_append_new(all, one) != 0) {
                rc = stamp_error_set(&r->err, STAMP_E_NOMEM, ENOMEM, "out of memory");
            }
        }
    }
    if (rc == STAMP_OK) {
        service_answer_json(&r->to, ANSWER_OK,
                            json_pack("{s:o, s:o}", kind->name, all, "next",
                                      n == 1 ? json_integer(last) : json_null()));
    } else {
        json_decref(all);
        reader_refuse_error(r, rc);
    }
}

void reader_batches(struct reader_reply *r, const struct service_query *q)
{
    page(r, &of_batches, q);
}

void reader_orders(struct reader_reply *r, const struct service_query *q)
{
    page(r, &of_orders, q);
}

/* ---- whole lists ---- */

static bool add_station(void *ctx, const struct stamp_registry_station *s)
{
    return json_array_append_new(ctx, json_pack("{s:o, s:s, s:o, s:s, s:s}", "station",
                                                hex_of(s->id, sizeof s->id), "name",
                                                s->name, "at", time_of(s->at), "who",
                                                s->who, "where", s->where)) == 0;
}

static bool add_product(void *ctx, const char *product, uint64_t count)
{
    return json_array_append_new(ctx, json_pack("{s:s, s:I}", "product", product,
                                                "batches", (json_int_t)count)) == 0;
}

static void end_list(struct reader_reply *r, const char *name, json_t *all,
                     enum stamp_err rc)
{
    if (rc == STAMP_OK) {
        service_answer_json(&r->to, ANSWER_OK, json_pack("{s:o}", name, all));
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
