#include "station/port.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/tty.h"

enum {
    IDLE_MS = 200,
    TRIES = 3,
    ASK_MS = 1000,
    WORK_MS = 30000,
    BACKOFF_MS = 300,
    REOPEN_MS = 10000, /* that a port may take to come back from another program */
    STOP_MS = 3000,    /* that a unit may go on when the line is to end */
};

struct stamp_port_thread {
    struct stamp_port_setup setup;
    char path[PATH_MAX];
    char place[256];
    pthread_t thread;
    struct stamp_tty *tty; /* while it is open */
    struct stamp_slot slot;
    struct stamp_smp_client client;
    atomic_int state;
    int64_t stopped; /* when it was seen that the line is to end; 0 = not */
    uint32_t done;
    bool failed; /* the last unit */
};

static void find_place(const char *port, char *out, size_t size)
{
    static const char dir[] = "/dev/serial/by-path";
    char real[PATH_MAX];
    DIR *d = opendir(dir);
    struct dirent *e;

    (void)snprintf(out, size, "%s", port);
    if (d == NULL) {
        return;
    }
    while (realpath(port, real) != NULL && (e = readdir(d)) != NULL) {
        char link[PATH_MAX];
        char target[PATH_MAX];

        (void)snprintf(link, sizeof link, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.' && realpath(link, target) != NULL &&
            strcmp(target, real) == 0) {
            (void)snprintf(out, size, "%s", e->d_name);
            break;
        }
    }
    (void)closedir(d);
}

static void wait_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

static bool stopping(const struct stamp_port_thread *p)
{
    return p->setup.source.stopping(p->setup.source.ctx);
}

/* Asked by the client while it waits for the unit. */
static bool is_over(void *ctx)
{
    struct stamp_port_thread *p = ctx;
    int64_t now = stamp_slot_now_ms();

    if (stopping(p)) {
        p->stopped = p->stopped == 0 ? now : p->stopped;
        if (now - p->stopped > STOP_MS) {
            return true;
        }
    }
    return p->slot.end_ms != 0 && now > p->slot.end_ms;
}

static void tell_failure(struct stamp_port_thread *p, const char *serial, bool again,
                         const struct stamp_error *err)
{
    const char *what = serial[0] != '\0' ? serial : "the unit";
    bool late = p->slot.end_ms != 0 && stamp_slot_now_ms() > p->slot.end_ms;

    stamp_source_say(&p->setup.source, p->place, "%s failed%s: %s%s%s%s", what,
                     again ? ", tried again" : "", late ? "its time is over: " : "",
                     err->what, err->hint[0] ? "; " : "", err->hint);
}

enum outcome { DONE, AGAIN, NOBODY, GONE, GAVE_UP };

static enum outcome attempt(struct stamp_port_thread *p, int n)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    char serial[STAMP_SERIAL_SIZE];
    bool fresh = false;
    bool again;
    enum stamp_err rc;

    p->slot.end_ms = stamp_slot_now_ms() + p->setup.unit_ms;
    rc = p->setup.source.strike(p->setup.source.ctx, &p->slot, serial, &fresh, &err);
    if (rc == STAMP_OK) {
        if (fresh) {
            p->done++;
            p->failed = false;
            stamp_source_say(&p->setup.source, p->place, "%s done", serial);
        }
        return DONE;
    }
    if (serial[0] == '\0' && (rc == STAMP_E_TIMEOUT || rc == STAMP_E_IO)) {
        return rc == STAMP_E_IO ? GONE : NOBODY;
    }
    if (rc == STAMP_E_RANGE) { /* of the order, or of the signatures of a key */
        stamp_source_say(&p->setup.source, p->place, "%s%s%s", err.what,
                         err.hint[0] ? "; " : "", err.hint);
        p->setup.source.stop(p->setup.source.ctx);
        p->failed = serial[0] != '\0';
        return GAVE_UP;
    }
    p->failed = true;
    again = n < TRIES && rc != STAMP_E_STATE && rc != STAMP_E_UNSUPPORTED &&
            rc != STAMP_E_IO && stamp_slot_now_ms() <= p->slot.end_ms;
    tell_failure(p, serial, again, &err);
    return rc == STAMP_E_IO ? GONE : again ? AGAIN : GAVE_UP;
}

/* Until the unit that failed was taken away, or the operator wants it tried again. */
static void wait_for_another(struct stamp_port_thread *p)
{
    unsigned retry = atomic_load(p->setup.retry);
    struct stamp_unit unit;

    atomic_store(&p->state, STAMP_PORT_FAILED);
    p->slot.end_ms = 0;
    while (!stopping(p) && atomic_load(p->setup.retry) == retry &&
           stamp_unit_ask(&p->client, &unit, NULL) == STAMP_OK) {
        wait_ms(IDLE_MS);
    }
    p->failed = false;
}

/* Another program has the port for a while. It may be gone for a moment then. */
static enum stamp_err let_go(void *ctx,
                             enum stamp_err (*what)(void *, struct stamp_error *),
                             void *what_ctx, struct stamp_error *err)
{
    struct stamp_port_thread *p = ctx;
    const int64_t end = stamp_slot_now_ms() + REOPEN_MS;
    enum stamp_err opened;
    enum stamp_err rc;

    stamp_tty_free(&p->tty);
    rc = what(what_ctx, err);
    do {
        struct stamp_error why = STAMP_ERROR_INIT;

        opened = stamp_tty_open(&p->tty, p->path, &why);
        if (opened != STAMP_OK && stamp_slot_now_ms() > end) {
            return rc != STAMP_OK
                       ? rc
                       : stamp_error_set(err, STAMP_E_IO, why.native, "%s", why.what);
        }
        wait_ms(opened == STAMP_OK ? 0 : IDLE_MS);
    } while (opened != STAMP_OK);
    p->client.line = stamp_smp_tty_line(p->tty);
    return rc;
}

/* The units that come to a port, as long as it is there. */
static void serve(struct stamp_port_thread *p)
{
    const struct stamp_smp_line wire = stamp_smp_tty_line(p->tty);
    int n = 0;

    stamp_smp_client_init(&p->client, &wire);
    p->client.read_ms = ASK_MS;
    p->client.write_ms = WORK_MS;
    p->client.is_over = is_over;
    p->client.is_over_ctx = p;
    p->slot.done_len = 0;
    while (!stopping(p)) {
        enum outcome how;

        atomic_store(&p->state, n > 0 ? STAMP_PORT_WORKING : STAMP_PORT_WAITING);
        how = attempt(p, ++n);
        if (how == GONE || (p->setup.once && (how == DONE || how == GAVE_UP))) {
            return;
        }
        if (how == GAVE_UP) {
            wait_for_another(p);
        }
        n = how == AGAIN ? n : 0;
        wait_ms(how == AGAIN ? BACKOFF_MS : IDLE_MS);
    }
}

static void *run(void *arg)
{
    struct stamp_port_thread *p = arg;
    bool told = false;

    while (!stopping(p)) {
        struct stamp_error err = STAMP_ERROR_INIT;

        if (stamp_tty_open(&p->tty, p->path, &err) == STAMP_OK) {
            told = false;
            serve(p);
            stamp_tty_free(&p->tty);
            if (p->setup.once) {
                break;
            }
        } else if (!told) {
            stamp_source_say(&p->setup.source, p->place, "waiting: %s", err.what);
            told = true;
        }
        atomic_store(&p->state, STAMP_PORT_WAITING);
        wait_ms(IDLE_MS);
    }
    atomic_store(&p->state, STAMP_PORT_ENDED);
    p->setup.ended(p->setup.ctx);
    return NULL;
}

enum stamp_err stamp_port_start(const struct stamp_port_setup *setup, const char *path,
                                struct stamp_port_thread **out, struct stamp_error *err)
{
    struct stamp_port_thread *p = calloc(1, sizeof *p);
    int code;

    *out = NULL;
    if (p == NULL || strlen(path) >= sizeof p->path) {
        free(p);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    p->setup = *setup;
    (void)snprintf(p->path, sizeof p->path, "%s", path);
    find_place(path, p->place, sizeof p->place);
    p->slot = (struct stamp_slot){.port = p->place,
                                  .path = p->path,
                                  .let_go = let_go,
                                  .let_go_ctx = p,
                                  .client = &p->client,
                                  .label = setup->label,
                                  .label_ctx = setup->label_ctx};
    code = pthread_create(&p->thread, NULL, run, p);
    if (code != 0) {
        free(p);
        return stamp_error_set(err, STAMP_E_NOMEM, code, "cannot start a thread: %s",
                               strerror(code));
    }
    *out = p;
    return STAMP_OK;
}

void stamp_port_join(struct stamp_port_thread **port, uint32_t *done, bool *failed)
{
    struct stamp_port_thread *p = *port;

    *done = 0;
    *failed = false;
    if (p == NULL) {
        return;
    }
    (void)pthread_join(p->thread, NULL);
    *done = p->done;
    *failed = p->failed;
    free(p);
    *port = NULL;
}

const char *stamp_port_path(const struct stamp_port_thread *p)
{
    return p->path;
}

const char *stamp_port_place(const struct stamp_port_thread *p)
{
    return p->place;
}

enum stamp_port_state stamp_port_state(const struct stamp_port_thread *p)
{
    return (enum stamp_port_state)atomic_load(&p->state);
}
