/*
 * The line while it runs: an event loop (libevent) for what comes from outside, that is
 * signals, ports that are plugged in, and people who ask (station/control.h), and a
 * thread for each port (station/port.h). What they share is in station/line.h.
 */
#ifndef STATION_RUN_H
#define STATION_RUN_H

#include "station/port.h"

#define STAMP_RUN_PORTS 64

struct stamp_run_setup {
    struct stamp_source source;
    struct stamp_line *line;  /* whom people may ask, in its directory; NULL = nobody */
    const char *const *ports; /* devices */
    size_t n_ports;
    const char *const *rules; /* patterns of ports, looked at again and again */
    size_t n_rules;
    bool once; /* end when each port has had its unit, or failed for good */
    uint32_t unit_ms;
    enum stamp_err (*label)(void *ctx, const struct stamp_slot_label *label,
                            struct stamp_error *err);
    void *label_ctx;
};

/**
 * Strike units until the order is used up, SIGINT or SIGTERM comes, or with `once` each
 * port has had one.
 *
 * @param failed  ports whose last unit failed
 */
STAMP_MUST_USE enum stamp_err stamp_run(const struct stamp_run_setup *setup,
                                        uint32_t *done, uint32_t *failed,
                                        struct stamp_error *err);

#endif
