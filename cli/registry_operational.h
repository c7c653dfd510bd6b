/* `stamp registry show`: a device's operational keys, as the service booked them. */
#ifndef CLI_REGISTRY_OPERATIONAL_H
#define CLI_REGISTRY_OPERATIONAL_H

#include "host/registry.h"

/** Print them, a line each. */
STAMP_MUST_USE enum stamp_err
cli_print_operational(struct stamp_registry *r, int64_t device, struct stamp_error *err);

#endif
