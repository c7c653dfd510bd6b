/*
 * The journal of a station that lost it, made anew at headquarters: the entries that it
 * exported, as they were, and behind them what devices show that came back. A unit that
 * neither tells of may exist or not: its index is given up, so that nothing is signed
 * under it again.
 */
#ifndef STATION_REBUILD_H
#define STATION_REBUILD_H

#include "host/registry_journal.h"
#include "host/registry_order.h"
#include "host/workspace.h"

#define STAMP_REBUILD_ORDERS 64u

/** How many units of an order the token counted; the station says so when it refuses a
 * journal that knows fewer. */
struct stamp_rebuild_count {
    struct stamp_registry_order order;
    uint32_t counted;
};

struct stamp_rebuild_setup {
    const struct stamp_workspace *ws;
    const uint8_t *station; /* 32 bytes */
    const struct stamp_rebuild_count *count;
    size_t n_counts;
    const char *path; /* must not be there */
};

struct stamp_rebuilt {
    uint32_t exported; /* entries */
    uint32_t devices;  /* units that are known by a device that came back */
    uint32_t lost;     /* units that were given up */
};

/**
 * @retval STAMP_E_EXISTS   there is a file already
 * @retval STAMP_E_CORRUPT  the exports have a gap or a fork: people must say first which
 *                          entries count
 * On failure there is no file.
 */
STAMP_MUST_USE enum stamp_err stamp_rebuild(const struct stamp_rebuild_setup *setup,
                                            struct stamp_rebuilt *out,
                                            struct stamp_error *err);

#endif
