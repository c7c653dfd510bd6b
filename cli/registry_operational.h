/* `stamp registry show`: a device's operational keys, as the service booked them. */
#ifndef CLI_REGISTRY_OPERATIONAL_H
#define CLI_REGISTRY_OPERATIONAL_H

#include <jansson.h>

#include "host/registry.h"

/** "pending", ...; "?" where there is no such state. */
const char *cli_operational_state(uint32_t state);

/** Print them, a line each. */
STAMP_MUST_USE enum stamp_err
cli_print_operational(struct stamp_registry *r, int64_t device, struct stamp_error *err);

/** An array of them; to be freed. */
STAMP_MUST_USE enum stamp_err cli_json_operational(struct stamp_registry *r,
                                                   int64_t device, json_t **out,
                                                   struct stamp_error *err);

#endif
