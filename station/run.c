#include "station/run.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "station/control.h"

enum { LOOK_MS = 500 };

struct run {
    const struct stamp_run_setup *setup;
    struct stamp_port_setup port_setup;
    atomic_uint retry;
    struct event_base *base;
    struct event *signals[2];
    struct event *look;  /* for new ports, and whether all is over */
    struct event *ended; /* a port's thread did */
    struct stamp_control *control;
    struct stamp_port_thread *port[STAMP_RUN_PORTS];
    size_t n_ports;
};

/* ---- ports ---- */

static enum stamp_err add_port(struct run *r, const char *path, struct stamp_error *err)
{
    enum stamp_err rc;

    for (size_t i = 0; i < r->n_ports; i++) {
        if (strcmp(stamp_port_path(r->port[i]), path) == 0) {
            return STAMP_OK;
        }
    }
    if (r->n_ports == STAMP_RUN_PORTS) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "more than %d ports: '%s'",
                               STAMP_RUN_PORTS, path);
    }
    rc = stamp_port_start(&r->port_setup, path, &r->port[r->n_ports], err);
    r->n_ports += rc == STAMP_OK;
    return rc;
}

static enum stamp_err add_found(struct run *r, const glob_t *found, bool first,
                                struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < found->gl_pathc && rc == STAMP_OK; i++) {
        size_t before = r->n_ports;

        rc = add_port(r, found->gl_pathv[i], err);
        if (!first && r->n_ports > before) {
            stamp_source_say(&r->setup->source, stamp_port_place(r->port[before]),
                             "a new port");
        }
    }
    return rc;
}

static enum stamp_err look_for_ports(struct run *r, bool first, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t k = 0; k < r->setup->n_rules && rc == STAMP_OK; k++) {
        glob_t found = {0};

        if (glob(r->setup->rules[k], 0, NULL, &found) == 0) {
            rc = add_found(r, &found, first, err);
        }
        globfree(&found);
    }
    return rc;
}

static bool all_ended(const struct run *r)
{
    for (size_t i = 0; i < r->n_ports; i++) {
        if (stamp_port_state(r->port[i]) != STAMP_PORT_ENDED) {
            return false;
        }
    }
    return r->setup->once || r->setup->source.stopping(r->setup->source.ctx);
}

/* ---- events ---- */

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct run *r = arg;

    (void)number;
    (void)what;
    r->setup->source.stop(r->setup->source.ctx);
    event_active(r->ended, EV_TIMEOUT, 0);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)fd;
    (void)what;
    if (!r->setup->source.stopping(r->setup->source.ctx) && !r->setup->once &&
        look_for_ports(r, false, &err) != STAMP_OK) {
        stamp_source_say(&r->setup->source, NULL, "%s", err.what);
    }
    if (all_ended(r)) {
        (void)event_base_loopbreak(r->base);
    }
}

/* By a port's thread. */
static void tell_ended(void *ctx)
{
    struct run *r = ctx;

    event_active(r->ended, EV_TIMEOUT, 0);
}

/* ---- people ---- */

static const char *state_name(enum stamp_port_state state)
{
    static const char *const names[] = {"waiting", "working", "failed", "ended"};

    return names[state];
}

static void tell_ports(void *ctx, stamp_control_port tell, void *to)
{
    const struct run *r = ctx;

    for (size_t i = 0; i < r->n_ports; i++) {
        tell(to, stamp_port_place(r->port[i]), state_name(stamp_port_state(r->port[i])));
    }
}

static void retry(void *ctx)
{
    struct run *r = ctx;

    (void)atomic_fetch_add(&r->retry, 1);
}

/* ---- the loop ---- */

static enum stamp_err set_up(struct run *r, struct stamp_error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    const struct timeval look = {LOOK_MS / 1000, LOOK_MS % 1000 * 1000L};
    bool ok = evthread_use_pthreads() == 0;

    r->base = ok ? event_base_new() : NULL;
    if (r->base == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "cannot make an event loop");
    }
    for (int i = 0; i < 2; i++) {
        r->signals[i] = evsignal_new(r->base, numbers[i], on_signal, r);
        ok = ok && r->signals[i] != NULL && evsignal_add(r->signals[i], NULL) == 0;
    }
    r->look = event_new(r->base, -1, EV_PERSIST, on_look, r);
    r->ended = event_new(r->base, -1, 0, on_look, r);
    ok = ok && r->look != NULL && r->ended != NULL && event_add(r->look, &look) == 0;
    if (!ok) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "cannot make an event loop");
    }
    return r->setup->line == NULL
               ? STAMP_OK
               : stamp_control_open(r->base, r->setup->line,
                                    &(struct stamp_control_run){tell_ports, retry, r},
                                    &r->control, err);
}

static void clear(struct run *r)
{
    stamp_control_close(&r->control);
    for (int i = 0; i < 2; i++) {
        if (r->signals[i] != NULL) {
            event_free(r->signals[i]);
        }
    }
    if (r->look != NULL) {
        event_free(r->look);
    }
    if (r->ended != NULL) {
        event_free(r->ended);
    }
    if (r->base != NULL) {
        event_base_free(r->base);
    }
}

enum stamp_err stamp_run(const struct stamp_run_setup *setup, uint32_t *done,
                         uint32_t *failed, struct stamp_error *err)
{
    struct run r = {.setup = setup};
    enum stamp_err rc = set_up(&r, err);

    *done = 0;
    *failed = 0;
    r.port_setup = (struct stamp_port_setup){.source = setup->source,
                                             .once = setup->once,
                                             .unit_ms = setup->unit_ms,
                                             .retry = &r.retry,
                                             .ended = tell_ended,
                                             .ctx = &r,
                                             .label = setup->label,
                                             .label_ctx = setup->label_ctx};
    for (size_t i = 0; i < setup->n_ports && rc == STAMP_OK; i++) {
        rc = add_port(&r, setup->ports[i], err);
    }
    if (rc == STAMP_OK) {
        rc = look_for_ports(&r, true, err);
    }
    if (rc == STAMP_OK && event_base_dispatch(r.base) < 0) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "the event loop failed");
    }
    if (rc != STAMP_OK) {
        setup->source.stop(setup->source.ctx);
    }
    for (size_t i = 0; i < r.n_ports; i++) {
        uint32_t n;
        bool bad;

        stamp_port_join(&r.port[i], &n, &bad);
        *done += n;
        *failed += bad;
    }
    clear(&r);
    return rc;
}
