/*
 * Where the units on a line get their stamps from, as far as ports and the loop around
 * them know it: a work order (station/line.h) or a batch file (station/batch_line.h).
 */
#ifndef STATION_SOURCE_H
#define STATION_SOURCE_H

#include "host/error.h"
#include "host/serial.h"

struct stamp_slot;

struct stamp_source {
    void *ctx;

    /** Bring the unit in the slot to its end; called by the threads of ports.
     * @retval STAMP_E_RANGE  there are no stamps left
     * Others as stamp_slot_strike(). */
    enum stamp_err (*strike)(void *ctx, struct stamp_slot *slot,
                             char serial[STAMP_SERIAL_SIZE], bool *fresh,
                             struct stamp_error *err);

    /** Something that the people on the line should read. @param port  NULL = of none */
    void (*say)(void *ctx, const char *port, const char *text);

    /** End it, from any thread or a signal's handler. */
    void (*stop)(void *ctx);
    bool (*stopping)(void *ctx);
};

void stamp_source_say(const struct stamp_source *source, const char *port,
                      const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
