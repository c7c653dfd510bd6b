#include "cli/reconcile_print.h"

#include <stdio.h>
#include <stdlib.h>

void reconcile_print_init(struct reconcile_print *p, bool json)
{
    *p = (struct reconcile_print){.json = json};
    if (json) {
        p->orders = json_array();
        p->problems = json_array();
        p->devices = json_array();
    }
}

static json_t *order_json(const struct stamp_reconcile_told *told)
{
    const struct stamp_reconcile_order *o = told->order;

    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                     "order", o->name, "station", told->station, "expected",
                     (json_int_t)o->expected, "made", (json_int_t)o->made, "unproven",
                     (json_int_t)o->unproven, "signed_only", (json_int_t)o->signed_only,
                     "begun", (json_int_t)o->begun, "moved", (json_int_t)o->moved,
                     "scrapped", (json_int_t)o->scrapped, "not_begun",
                     (json_int_t)o->not_begun, "too_many", (json_int_t)o->too_many,
                     "refused", (json_int_t)o->refused);
}

void reconcile_tell(void *ctx, const struct stamp_reconcile_told *told)
{
    struct reconcile_print *p = ctx;

    if (!p->json) {
        (void)printf("%s\n", told->text);
    } else if (told->what == STAMP_RECONCILE_ORDER) {
        (void)json_array_append_new(p->orders, order_json(told));
    } else if (told->what == STAMP_RECONCILE_DEVICE) {
        (void)json_array_append_new(p->devices, json_string(told->text));
    } else {
        (void)json_array_append_new(p->problems,
                                    json_pack("{s:s, s:s*, s:s}", "what",
                                              stamp_reconcile_name(told->what), "station",
                                              told->station, "text", told->text));
    }
}

void reconcile_print_free(struct reconcile_print *p)
{
    json_decref(p->orders);
    json_decref(p->problems);
    json_decref(p->devices);
}

void reconcile_print_end(struct reconcile_print *p, const struct stamp_reconciled *r)
{
    json_t *all;
    char *text;

    if (!p->json) {
        (void)printf("%u parts taken in: %u new entries, %u known; %u units booked; %u "
                     "problems\n",
                     r->parts, r->stored.added, r->stored.known, r->booked, r->problems);
        return;
    }
    all = json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "parts", (json_int_t)r->parts,
                    "new_entries", (json_int_t)r->stored.added, "known_entries",
                    (json_int_t)r->stored.known, "booked", (json_int_t)r->booked,
                    "orders", p->orders, "devices", p->devices, "problems", p->problems);
    text = all == NULL ? NULL : json_dumps(all, JSON_INDENT(2));
    if (text != NULL) {
        (void)printf("%s\n", text);
    }
    free(text);
    json_decref(all);
}
