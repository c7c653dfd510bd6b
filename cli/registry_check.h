/* `stamp registry check`. */
#ifndef CLI_REGISTRY_CHECK_H
#define CLI_REGISTRY_CHECK_H

#include "cli/cli.h"
#include "host/registry.h"

/** Check and print. @param workspace  -C; where there is none with a log key, the heads
 * of the log are not looked at, which is said. @param wrong  something does not agree */
STAMP_MUST_USE enum stamp_err registry_check(struct stamp_registry *r,
                                             const char *workspace, bool *wrong,
                                             struct stamp_error *err);

#endif
