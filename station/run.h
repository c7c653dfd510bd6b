/*
 * All ports of a line at once: a thread for each, so that a unit that hangs holds up no
 * other. What they share is in station/line.h.
 */
#ifndef STATION_RUN_H
#define STATION_RUN_H

#include "station/slot.h"

#define STAMP_RUN_PORTS 64

struct stamp_run_setup {
    struct stamp_line *line;
    const char *const *ports; /* devices; a slot is called by its physical place */
    size_t n_ports;
    bool once; /* end when each port has had its unit, or failed for good */
    enum stamp_err (*label)(void *ctx, const struct stamp_slot_label *label,
                            struct stamp_error *err);
    void *label_ctx;
};

/**
 * Strike units until the order is used up, stamp_line_stop() is called, or with `once`
 * each port has had one.
 *
 * @param failed  ports whose last unit failed
 */
STAMP_MUST_USE enum stamp_err stamp_run(const struct stamp_run_setup *setup,
                                        uint32_t *done, uint32_t *failed,
                                        struct stamp_error *err);

/** The name of a port's physical place: its link in /dev/serial/by-path, else the port.
 */
void stamp_run_place(const char *port, char *out, size_t size);

#endif
