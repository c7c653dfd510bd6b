/*
 * The names that the service goes by: in its certificate, and so in what clients ask for.
 */
#ifndef SERVICE_NAMES_H
#define SERVICE_NAMES_H

#include "service/service.h"

#define SERVICE_SERVER_DAYS 30u /* its own certificate is valid; renewed after half */

struct service_names {
    const char *name[SERVICE_NAMES_MAX];
    uint32_t n;
    char machine[256];
};

/** Those of the setup; else the machine's, localhost and the loopback addresses.
 * STAMP_E_CONFIG where one is no host name and no address. */
STAMP_MUST_USE enum stamp_err service_names_init(struct service_names *n,
                                                 const struct stamp_service_setup *setup,
                                                 struct stamp_error *err);

#endif
