/* `stamp order VERB`: work orders. One file a verb: cli/order_VERB.c. */
#include "cli/station.h"

#include <stddef.h>

int cmd_order(int argc, char **argv)
{
    static const struct station_verb table[] = {
        {"create", order_create, "what one station may make, signed and sealed to it"},
        {"close", order_close, "admit nothing new from an order"},
        {"list", order_list, "the work orders on the books"},
        {"show", order_show, "how an order stands on the books"},
        {NULL, NULL, NULL},
    };

    return station_verbs("order",
                         "Work orders: what a station in a factory may make, signed with "
                         "the owner key.",
                         table, argc, argv);
}
