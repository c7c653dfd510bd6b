/* What the verbs of `stamp order` share. */
#ifndef CLI_ORDER_H
#define CLI_ORDER_H

#include "cli/cli.h"
#include "host/registry_order.h"

/** An order on the books: by its file, its number or name, its id in hex, or the name
 * that its file has where none is given. */
STAMP_MUST_USE enum stamp_err order_find(struct stamp_registry *books, const char *name,
                                         struct stamp_registry_order *order,
                                         struct stamp_error *err);

/** How it stands, as lines of text. */
STAMP_MUST_USE enum stamp_err order_print(struct stamp_registry *books,
                                          const uint8_t id[16], struct stamp_error *err);

#endif
