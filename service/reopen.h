/*
 * A registry that may be out of reach: a process that answers from it opens it again, at
 * most once a second, and says "later" meanwhile.
 */
#ifndef SERVICE_REOPEN_H
#define SERVICE_REOPEN_H

#include <time.h>

#include "host/registry.h"

/** Is it there? Where it is not, it is tried. @param event  of a failure, for the log */
bool service_reopen(struct stamp_registry **r, time_t *tried_at, const char *where,
                    const char *event);

/** A call failed, which is logged: where the database did, the registry is closed. */
void service_reopen_after(struct stamp_registry **r, time_t *tried_at,
                          const struct stamp_error *err, const char *event);

#endif
