#include "host/import_json.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *key;
    size_t at;
} counts[] = {
    {"struck", offsetof(struct stamp_imported, struck)},
    {"scrapped", offsetof(struct stamp_imported, scrapped)},
    {"returned", offsetof(struct stamp_imported, returned)},
    {"in_doubt", offsetof(struct stamp_imported, in_doubt)},
    {"booked", offsetof(struct stamp_imported, booked)},
    {"conflicts", offsetof(struct stamp_imported, conflicts)},
    {"quarantined", offsetof(struct stamp_imported, quarantined)},
    {"passed_over", offsetof(struct stamp_imported, passed_over)},
};
#define COUNTS (sizeof counts / sizeof counts[0])

static const char *outcome(const struct stamp_imported *m, bool conflicts)
{
    return conflicts       ? "conflicts"
           : m->before     ? "before"
           : m->superseded ? "superseded"
                           : "booked";
}

json_t *stamp_imported_json(const struct stamp_imported *m, bool conflicts, json_t *told)
{
    json_t *j =
        json_pack("{s:I, s:I, s:s, s:b, s:o}", "batch", (json_int_t)m->batch.id, "number",
                  (json_int_t)m->head.number, "outcome", outcome(m, conflicts), "closed",
                  m->closed ? 1 : 0, "told", told);

    for (size_t i = 0; j != NULL && i < COUNTS; i++) {
        const uint32_t *n = (const void *)((const uint8_t *)m + counts[i].at);

        (void)json_object_set_new(j, counts[i].key, json_integer(*n));
    }
    return j;
}

json_t *stamp_import_told_json(const char *serial, const char *what)
{
    return json_pack("{s:s?, s:s}", "serial", serial, "what", what);
}

static uint32_t number(const json_t *j, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(j, key));

    return n < 0 || n > UINT32_MAX ? 0 : (uint32_t)n;
}

enum stamp_err stamp_imported_read(const json_t *j, struct stamp_imported *m,
                                   bool *conflicts, stamp_import_told told, void *ctx,
                                   struct stamp_error *err)
{
    const char *what = json_string_value(json_object_get(j, "outcome"));
    const json_t *one;
    size_t i;

    memset(m, 0, sizeof *m);
    *conflicts = false;
    if (what == NULL) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "the service answers with no report of an import");
    }
    *conflicts = strcmp(what, "conflicts") == 0;
    m->before = strcmp(what, "before") == 0;
    m->superseded = strcmp(what, "superseded") == 0;
    m->closed = json_is_true(json_object_get(j, "closed"));
    m->batch.id = number(j, "batch");
    m->head.number = number(j, "number");
    for (i = 0; i < COUNTS; i++) {
        *(uint32_t *)(void *)((uint8_t *)m + counts[i].at) = number(j, counts[i].key);
    }
    json_array_foreach(json_object_get(j, "told"), i, one)
    {
        what = json_string_value(json_object_get(one, "what"));
        if (what != NULL) {
            told(ctx, json_string_value(json_object_get(one, "serial")), what);
        }
    }
    return STAMP_OK;
}
