#include "station/run.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/tty.h"

enum { IDLE_MS = 200, TRIES = 3, ASK_MS = 1000, WORK_MS = 30000, BACKOFF_MS = 300 };

struct port {
    const struct stamp_run_setup *setup;
    const struct stamp_trust *trust;
    const char *path;
    char place[256];
    pthread_t thread;
    bool started;
    uint32_t done;
    bool failed; /* the last unit */
};

void stamp_run_place(const char *port, char *out, size_t size)
{
    static const char dir[] = "/dev/serial/by-path";
    char real[PATH_MAX];
    DIR *d = opendir(dir);
    struct dirent *e;

    (void)snprintf(out, size, "%s", port);
    if (d == NULL || realpath(port, real) == NULL) {
        if (d != NULL) {
            (void)closedir(d);
        }
        return;
    }
    while ((e = readdir(d)) != NULL) {
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

/* One try at what is on the port. True: nothing more is to be tried with it. */
static bool attempt(struct port *p, struct stamp_slot *slot, int n)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    char serial[STAMP_SERIAL_SIZE];
    struct stamp_line *line = p->setup->line;
    bool fresh = false;
    bool again;
    enum stamp_err rc = stamp_slot_strike(slot, serial, &fresh, &err);

    if (rc == STAMP_OK) {
        if (fresh) {
            p->done++;
            p->failed = false;
            stamp_line_say(line, p->place, "%s done", serial);
        }
        return true;
    }
    if (rc == STAMP_E_TIMEOUT && serial[0] == '\0') {
        return false; /* nobody is there */
    }
    if (rc == STAMP_E_RANGE) { /* of the order, or of the signatures of a key */
        stamp_line_say(line, p->place, "%s%s%s", err.what, err.hint[0] ? "; " : "",
                       err.hint);
        stamp_line_stop(line);
        p->failed = serial[0] != '\0';
        return true;
    }
    p->failed = true;
    again = n < TRIES && rc != STAMP_E_STATE && rc != STAMP_E_UNSUPPORTED;
    stamp_line_say(line, p->place, "%s failed%s: %s%s%s", serial[0] ? serial : "the unit",
                   again ? ", tried again" : "", err.what, err.hint[0] ? "; " : "",
                   err.hint);
    return !again;
}

/* The unit stays until another one is there or none. */
static void serve(struct port *p, struct stamp_tty *tty)
{
    const struct stamp_smp_line wire = stamp_smp_tty_line(tty);
    struct stamp_smp_client client;
    struct stamp_slot slot = {.line = p->setup->line,
                              .trust = p->trust,
                              .port = p->place,
                              .client = &client,
                              .label = p->setup->label,
                              .label_ctx = p->setup->label_ctx};
    int n = 0;

    stamp_smp_client_init(&client, &wire);
    client.read_ms = ASK_MS;
    client.write_ms = WORK_MS;
    while (!stamp_line_stopping(p->setup->line)) {
        if (attempt(p, &slot, ++n)) {
            n = 0;
            if (p->setup->once) {
                return;
            }
            wait_ms(IDLE_MS);
        } else {
            wait_ms(BACKOFF_MS);
        }
        if (p->failed && n == 0) { /* until it was taken away */
            struct stamp_unit unit;

            while (!stamp_line_stopping(p->setup->line) &&
                   stamp_unit_ask(&client, &unit, NULL) == STAMP_OK) {
                wait_ms(IDLE_MS);
            }
            p->failed = false;
        }
    }
}

static void *run_port(void *arg)
{
    struct port *p = arg;
    bool told = false;

    while (!stamp_line_stopping(p->setup->line)) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_tty *tty = NULL;

        if (stamp_tty_open(&tty, p->path, &err) == STAMP_OK) {
            told = false;
            serve(p, tty);
            stamp_tty_free(&tty);
            if (p->setup->once) {
                return NULL;
            }
        } else if (!told) {
            stamp_line_say(p->setup->line, p->place, "waiting: %s", err.what);
            told = true;
        }
        wait_ms(IDLE_MS);
    }
    return NULL;
}

static enum stamp_err start(struct port *ports, const struct stamp_run_setup *setup,
                            const struct stamp_trust *trust, struct stamp_error *err)
{
    for (size_t i = 0; i < setup->n_ports; i++) {
        int code;

        ports[i].setup = setup;
        ports[i].trust = trust;
        ports[i].path = setup->ports[i];
        stamp_run_place(setup->ports[i], ports[i].place, sizeof ports[i].place);
        code = pthread_create(&ports[i].thread, NULL, run_port, &ports[i]);
        if (code != 0) {
            stamp_line_stop(setup->line);
            return stamp_error_set(err, STAMP_E_NOMEM, code, "cannot start a thread: %s",
                                   strerror(code));
        }
        ports[i].started = true;
    }
    return STAMP_OK;
}

enum stamp_err stamp_run(const struct stamp_run_setup *setup, uint32_t *done,
                         uint32_t *failed, struct stamp_error *err)
{
    const struct stamp_site *site = stamp_line_site(setup->line);
    STAMP_TRUST_AUTO *trust = NULL;
    struct port *ports = calloc(setup->n_ports, sizeof *ports);
    enum stamp_err rc = STAMP_OK;

    *done = 0;
    *failed = 0;
    if (ports == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = stamp_trust_new(&trust, err);
    if (rc == STAMP_OK) {
        rc = stamp_trust_add(trust, site->cert.root, err);
    }
    if (rc == STAMP_OK) {
        stamp_trust_set_owner(trust, site->cert.owner_hash);
        rc = start(ports, setup, trust, err);
    }
    for (size_t i = 0; i < setup->n_ports; i++) {
        if (ports[i].started) {
            (void)pthread_join(ports[i].thread, NULL);
        }
        *done += ports[i].done;
        *failed += ports[i].failed;
    }
    free(ports);
    return rc;
}
