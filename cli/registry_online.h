/* `stamp registry show --server`: a device as the service tells it. */
#ifndef CLI_REGISTRY_ONLINE_H
#define CLI_REGISTRY_ONLINE_H

#include "cli/online.h"

/** Print it, as JSON or in lines. */
STAMP_MUST_USE enum stamp_err registry_online_show(struct cli_online *o,
                                                   const char *serial, bool json,
                                                   struct stamp_error *err);

#endif
