#include "cli/reconcile_print.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/reconcile_json.h"

void reconcile_print_init(struct reconcile_print *p, bool json)
{
    *p = (struct reconcile_print){.json = json};
    if (json) {
        p->orders = json_array();
        p->problems = json_array();
        p->devices = json_array();
    }
}

void reconcile_tell(void *ctx, const struct stamp_reconcile_told *told)
{
    struct reconcile_print *p = ctx;

    if (!p->json) {
        (void)printf("%s\n", told->text);
    } else if (told->what == STAMP_RECONCILE_ORDER) {
        (void)json_array_append_new(p->orders, stamp_reconcile_order_json(told));
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
