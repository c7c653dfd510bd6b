/*
 * The books against themselves: rows, log, certificates and counts. What one of them says
 * that another does not is named. For books that nobody writes to at the same time, as a
 * copy or a restored backup; else what changes meanwhile may be named, too.
 */
#ifndef HOST_REGISTRY_CHECK_H
#define HOST_REGISTRY_CHECK_H

#include "host/registry.h"

/** What is wrong, for people. */
typedef void (*stamp_registry_wrong)(void *ctx, const char *what);

struct stamp_registry_checked {
    uint64_t devices, keys, leaves; /* looked at; keys are operational ones */
    uint64_t wrong;
};

/**
 * Check all of it but the tree of the log itself: stamp_registry_log_check().
 *
 * Leaves that wait count as written.
 *
 * @retval STAMP_OK also where something is wrong: see `out`
 */
STAMP_MUST_USE enum stamp_err stamp_registry_check(struct stamp_registry *r,
                                                   stamp_registry_wrong wrong, void *ctx,
                                                   struct stamp_registry_checked *out,
                                                   struct stamp_error *err);

#endif
