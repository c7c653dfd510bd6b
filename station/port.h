/*
 * One port of a line: a thread that strikes what comes to it, one unit after the other.
 * A thread and not a part of the event loop, since a token's signature and a write to the
 * disk block anyway, and a strike is then written as what it is, one step after the
 * other. A unit that hangs holds up its own port, and that only until its time is over.
 */
#ifndef STATION_PORT_H
#define STATION_PORT_H

#include <pthread.h>
#include <stdatomic.h>

#include "station/slot.h"
#include "station/source.h"

/** What all ports share. */
struct stamp_port_setup {
    struct stamp_source source;
    bool once;          /* end when the port has had its unit, or it failed for good */
    uint32_t unit_ms;   /* that one unit may take, but for waiting for the token */
    atomic_uint *retry; /* counts up: units that failed for good are tried again */
    void (*ended)(void *ctx); /* called by the thread, last thing */
    void *ctx;
    enum stamp_err (*label)(void *ctx, const struct stamp_slot_label *label,
                            struct stamp_error *err);
    void *label_ctx;
};

enum stamp_port_state {
    STAMP_PORT_WAITING, /* for the port, or a unit on it */
    STAMP_PORT_WORKING,
    STAMP_PORT_FAILED, /* the unit on it, for good */
    STAMP_PORT_ENDED,
};

struct stamp_port_thread;

/** Begin. @param path  copied */
STAMP_MUST_USE enum stamp_err stamp_port_start(const struct stamp_port_setup *setup,
                                               const char *path,
                                               struct stamp_port_thread **out,
                                               struct stamp_error *err);

/** Wait until it has ended. @param done  units; @param failed  its last unit did */
void stamp_port_join(struct stamp_port_thread **p, uint32_t *done, bool *failed);

const char *stamp_port_path(const struct stamp_port_thread *p);

/** The name of its physical place: its link in /dev/serial/by-path, else the port. */
const char *stamp_port_place(const struct stamp_port_thread *p);
enum stamp_port_state stamp_port_state(const struct stamp_port_thread *p);

#endif
