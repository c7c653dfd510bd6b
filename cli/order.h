/* What the verbs of `stamp order` share. */
#ifndef CLI_ORDER_H
#define CLI_ORDER_H

#include <jansson.h>

#include "cli/online.h"
#include "host/registry_order.h"

#define ORDER_NAME_SIZE 65u
#define ORDERS_PATH "/api/v1/orders"

/** An order on the books: by its file, its number or name, or its id. */
STAMP_MUST_USE enum stamp_err order_find(struct stamp_registry *books, const char *text,
                                         struct stamp_registry_order *order,
                                         struct stamp_error *err);

/** The same from a service: host/registry_json.h. @param out  free with json_decref() */
STAMP_MUST_USE enum stamp_err order_get(struct cli_online *online, const char *text,
                                        json_t **out, struct stamp_error *err);

/** How it stands, as lines of text. @param order  host/registry_json.h */
void order_print(const json_t *order);

#endif
