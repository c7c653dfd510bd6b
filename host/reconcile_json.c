#include "host/reconcile_json.h"

#include <stddef.h>

/* ---- orders ---- */

static const struct {
    const char *key;
    size_t at;
} counts[] = {
    {"expected", offsetof(struct stamp_reconcile_order, expected)},
    {"made", offsetof(struct stamp_reconcile_order, made)},
    {"unproven", offsetof(struct stamp_reconcile_order, unproven)},
    {"signed_only", offsetof(struct stamp_reconcile_order, signed_only)},
    {"begun", offsetof(struct stamp_reconcile_order, begun)},
    {"moved", offsetof(struct stamp_reconcile_order, moved)},
    {"scrapped", offsetof(struct stamp_reconcile_order, scrapped)},
    {"not_begun", offsetof(struct stamp_reconcile_order, not_begun)},
    {"too_many", offsetof(struct stamp_reconcile_order, too_many)},
    {"refused", offsetof(struct stamp_reconcile_order, refused)},
};
#define COUNTS (sizeof counts / sizeof counts[0])

json_t *stamp_reconcile_order_json(const struct stamp_reconcile_told *told)
{
    json_t *j =
        json_pack("{s:s, s:s?}", "order", told->order->name, "station", told->station);

    for (size_t i = 0; j != NULL && i < COUNTS; i++) {
        const uint32_t *n = (const void *)((const uint8_t *)told->order + counts[i].at);

        (void)json_object_set_new(j, counts[i].key, json_integer(*n));
    }
    return j;
}

json_t *stamp_reconcile_told_json(const struct stamp_reconcile_told *told)
{
    json_t *j = json_pack("{s:s, s:s?, s:s}", "what", stamp_reconcile_name(told->what),
                          "station", told->station, "text", told->text);

    if (j != NULL && told->order != NULL) {
        (void)json_object_set_new(j, "order", stamp_reconcile_order_json(told));
    }
    return j;
}

static uint32_t number(const json_t *j, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(j, key));

    return n < 0 || n > UINT32_MAX ? 0 : (uint32_t)n;
}

bool stamp_reconcile_told_read(const json_t *j, struct stamp_reconcile_told *told,
                               struct stamp_reconcile_order *order)
{
    const char *what = json_string_value(json_object_get(j, "what"));
    const json_t *o = json_object_get(j, "order");

    *told = (struct stamp_reconcile_told){
        .text = json_string_value(json_object_get(j, "text")),
        .station = json_string_value(json_object_get(j, "station"))};
    *order = (struct stamp_reconcile_order){
        .name = json_string_value(json_object_get(o, "order"))};
    if (what == NULL || told->text == NULL || !stamp_reconcile_of(what, &told->what) ||
        (told->what == STAMP_RECONCILE_ORDER && order->name == NULL)) {
        return false;
    }
    for (size_t i = 0; i < COUNTS; i++) {
        *(uint32_t *)(void *)((uint8_t *)order + counts[i].at) = number(o, counts[i].key);
    }
    told->order = told->what == STAMP_RECONCILE_ORDER ? order : NULL;
    return true;
}

/* ---- counts ---- */

json_t *stamp_reconciled_json(const struct stamp_reconciled *r)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "parts", (json_int_t)r->parts,
                     "damaged", (json_int_t)r->damaged, "new_entries",
                     (json_int_t)r->stored.added, "known_entries",
                     (json_int_t)r->stored.known, "forks", (json_int_t)r->stored.forks,
                     "booked", (json_int_t)r->booked, "problems",
                     (json_int_t)r->problems);
}

void stamp_reconciled_add(struct stamp_reconciled *r, const json_t *j)
{
    r->parts += number(j, "parts");
    r->damaged += number(j, "damaged");
    r->stored.added += number(j, "new_entries");
    r->stored.known += number(j, "known_entries");
    r->stored.forks += number(j, "forks");
    r->booked += number(j, "booked");
    r->problems += number(j, "problems");
}
