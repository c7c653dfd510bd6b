#include "service/reopen.h"

#include "service/log.h"

bool service_reopen(struct stamp_registry **r, time_t *tried_at, const char *where,
                    const char *event)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    if (*r == NULL && time(NULL) != *tried_at) {
        *tried_at = time(NULL);
        if (stamp_registry_open(where, r, &err) != STAMP_OK) {
            service_log_error(event, &err);
        }
    }
    return *r != NULL;
}

void service_reopen_after(struct stamp_registry **r, time_t *tried_at,
                          const struct stamp_error *err, const char *event)
{
    service_log_error(event, err);
    if (err->code == STAMP_E_DATABASE) {
        stamp_registry_close(r);
        *tried_at = time(NULL);
    }
}
