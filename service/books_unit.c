#include <stdio.h>
#include <string.h>

#include "host/hex.h"
#include "service/books.h"

enum { STATION_SHOWN = 8 }; /* bytes of a station's id, for the log */

static void take(const struct service_unit *asked, struct stamp_unit_request *u)
{
    memset(u, 0, sizeof *u);
    memcpy(u->station, asked->station, sizeof u->station);
    memcpy(u->order, asked->order, sizeof u->order);
    u->index = (uint32_t)asked->index;
    memcpy(u->point, asked->point, sizeof u->point);
    memcpy(u->digest, asked->digest, sizeof u->digest);
    u->not_before = asked->not_before;
    u->has_provisioning = asked->provisioning.len == sizeof u->provisioning;
    if (u->has_provisioning) {
        memcpy(u->provisioning, asked->provisioning.p, sizeof u->provisioning);
    }
}

enum stamp_err books_unit(struct stamp_registry *r, const struct service_unit *asked,
                          time_t now, struct books_verdict *v, struct stamp_error *err)
{
    struct stamp_unit_request u;
    char id[2 * STATION_SHOWN + 1];
    enum stamp_err rc;

    memset(v, 0, sizeof *v);
    stamp_hex(asked->station, STATION_SHOWN, id);
    (void)snprintf(v->who, sizeof v->who, "station %s", id);
    take(asked, &u);
    rc = stamp_registry_unit_begin(r, &u, asked->sig, now, &v->refusal, &v->unit, err);
    memcpy(v->serial, v->unit.serial, sizeof v->serial);
    return rc;
}
