#include "cli/registry_operational.h"

#include <stdio.h>

#include "host/hex.h"
#include "host/json.h"
#include "host/registry_enrol.h"
#include "host/registry_json.h"

#define PRINTED 16u /* the newest */

static void print_one(const struct stamp_ldevid *l)
{
    char serial[2 * STAMP_CERTIFICATE_SERIAL_SIZE + 1];
    char at[21];
    char end[21];

    stamp_hex(l->certificate_serial, sizeof l->certificate_serial, serial);
    stamp_json_time((uint32_t)l->at, at);
    stamp_json_time((uint32_t)l->not_after, end);
    (void)printf("operational key %-4u %s %s until %s by %s: certificate %s\n", l->n, at,
                 stamp_ldevid_state_name((uint32_t)l->state), end, l->who, serial);
}

enum stamp_err cli_print_operational(struct stamp_registry *r, int64_t device,
                                     struct stamp_error *err)
{
    struct stamp_ldevid rows[PRINTED];
    size_t n = 0;
    enum stamp_err rc = stamp_registry_ldevid_list(r, device, rows, PRINTED, &n, err);

    for (size_t i = n; i > 0; i--) {
        if (rc == STAMP_OK) {
            print_one(&rows[i - 1]);
        }
        stamp_ldevid_fini(&rows[i - 1]);
    }
    return rc;
}
