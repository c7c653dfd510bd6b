#include "service/names.h"

#include <unistd.h>

#include "host/issued.h"

enum stamp_err service_names_init(struct service_names *n,
                                  const struct stamp_service_setup *setup,
                                  struct stamp_error *err)
{
    n->n = 0;
    for (uint32_t i = 0; i < setup->n_names; i++) {
        if (!stamp_issued_is_host(setup->name[i])) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "'%s' is no host name and no address", setup->name[i]);
        }
        n->name[n->n++] = setup->name[i];
    }
    if (n->n > 0) {
        return STAMP_OK;
    }
    if (gethostname(n->machine, sizeof n->machine - 1) == 0 &&
        stamp_issued_is_host(n->machine)) {
        n->name[n->n++] = n->machine;
    }
    n->name[n->n++] = "localhost";
    n->name[n->n++] = "127.0.0.1";
    n->name[n->n++] = "::1";
    return STAMP_OK;
}
