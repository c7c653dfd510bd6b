/* Work orders on the books of a service: what `stamp order create` does there. */
#ifndef CLI_ORDER_ONLINE_H
#define CLI_ORDER_ONLINE_H

#include "cli/online.h"
#include "host/registry_order.h"

/** As stamp_registry_order_add(); asked again, it is done once. */
STAMP_MUST_USE enum stamp_err
order_add_online(struct cli_online *o, const struct stamp_registry_order_setup *setup,
                 struct stamp_registry_order *out, struct stamp_error *err);

/** As stamp_registry_order_file(). */
STAMP_MUST_USE enum stamp_err order_file_online(struct cli_online *o,
                                                const uint8_t id[16],
                                                const uint8_t digest[32],
                                                struct stamp_error *err);

/** As stamp_registry_order_close(). */
STAMP_MUST_USE enum stamp_err
order_close_online(struct cli_online *o, const uint8_t id[16], struct stamp_error *err);

#endif
