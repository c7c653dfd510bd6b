/*
 * The parent: starts the processes and starts them again. It holds both ends of each
 * channel, so that what was sent to a process that died waits for the next one; what that
 * had taken and not answered is lost, and the others are told.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "service/counters.h"
#include "service/listen.h"
#include "service/log.h"
#include "service/process.h"
#include "service/watch.h"

enum {
    PROCESSES_MAX = SERVICE_FRONTS_MAX + 8,
    FDS_MAX =
        SERVICE_FRONTS_MAX + 10 + 3 * SERVICE_LISTENERS_MAX, /* that one process gets */
    HIGH_FD = 200, /* above all that a process is given, so that none is overwritten */
    ARGS_MAX = 64,
    CALM_MS = 500, /* who lived shorter than this waits as long before it starts again */
    STOP_MS = 15000, /* for a process to end what it does */
    WATCH_MS = 1000
};

struct process {
    enum service_role role;
    unsigned index;
    pid_t pid;          /* 0 = is to be started */
    int64_t started_ms; /* -1 = not yet */
    int64_t start_at_ms;
    bool ready;  /* said so, since it was started */
    bool worked; /* did so ever */
    bool stopping;
    const char *renews; /* it stops, to read this file of the workspace; NULL = none */
    int control;        /* its end */
    struct service_channel channel;
};

struct parent {
    const struct stamp_service_setup *setup;
    char *const *argv;
    const struct stamp_secret *passphrase;
    struct process process[PROCESSES_MAX];
    unsigned n;
    struct service_listeners listen, http, admin;
    int counters;
    char address[128];
    char http_address[128];
    char admin_address[128];
    int signals;
    int front_books[SERVICE_FRONTS_MAX][2]; /* front's end, books' end */
    int front_status[SERVICE_FRONTS_MAX][2];
    int front_maker[SERVICE_FRONTS_MAX][2];
    int front_batches[SERVICE_FRONTS_MAX][2];
    int front_reader[SERVICE_FRONTS_MAX][2];
    int front_factory[SERVICE_FRONTS_MAX][2];
    int maker_books[2];
    int batches_signer[2];
    int books_signer[2];
    int status_signer[2];
    struct service_watch watch;
    int64_t watched_ms;
    bool announced;
    bool stopping;
    int64_t stop_by_ms;
};

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what is made once ---- */

static int to_high(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

    if (fd >= 0) {
        (void)close(fd);
    }
    return high;
}

static enum stamp_err make_pair(int pair[2], struct stamp_error *err)
{
    int size = 1 << 20;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot make a channel: %s",
                               strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        pair[i] = to_high(ends[i]);
        if (pair[i] < 0) {
            return stamp_error_set(err, STAMP_E_IO, errno, "cannot make a channel: %s",
                                   strerror(errno));
        }
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    return STAMP_OK;
}

static enum stamp_err make_listeners(const char *text, const char *scheme,
                                     struct service_listeners *out, char *address,
                                     size_t size, struct stamp_error *err)
{
    enum stamp_err rc = text == NULL ? STAMP_OK : service_listen(text, out, err);

    service_listeners_say(out, scheme, address, size);
    for (unsigned i = 0; i < SERVICE_LISTENERS_MAX; i++) {
        out->fd[i] = to_high(out->fd[i]);
    }
    return rc;
}

static enum stamp_err make_signals(struct parent *p, struct stamp_error *err)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    p->signals = to_high(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    return p->signals >= 0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_IO, errno, "cannot wait for signals: %s",
                                 strerror(errno));
}

static enum stamp_err add_process(struct parent *p, enum service_role role,
                                  unsigned index, struct stamp_error *err)
{
    struct process *one = &p->process[p->n];
    int pair[2];
    enum stamp_err rc = make_pair(pair, err);

    if (rc == STAMP_OK) {
        *one = (struct process){
            .role = role, .index = index, .control = pair[1], .started_ms = -1};
        service_channel_init(&one->channel, pair[0]);
        p->n++;
    }
    return rc;
}

static enum stamp_err make_all(struct parent *p, struct stamp_error *err)
{
    enum stamp_err rc = make_listeners(p->setup->listen, "https", &p->listen, p->address,
                                       sizeof p->address, err);

    if (rc == STAMP_OK) {
        rc = make_listeners(p->setup->http, "http", &p->http, p->http_address,
                            sizeof p->http_address, err);
    }
    if (rc == STAMP_OK) {
        rc = make_listeners(p->setup->admin, "http", &p->admin, p->admin_address,
                            sizeof p->admin_address, err);
    }
    p->counters = to_high(service_counters_make());
    if (rc == STAMP_OK && (p->counters < 0 || !service_counters_open(p->counters))) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "no shared memory: %s",
                             strerror(errno));
    }
    if (rc == STAMP_OK) {
        rc = make_signals(p, err);
    }
    if (rc == STAMP_OK) {
        rc = make_pair(p->books_signer, err);
    }
    if (rc == STAMP_OK) {
        rc = make_pair(p->status_signer, err);
    }
    if (rc == STAMP_OK) {
        rc = make_pair(p->maker_books, err);
    }
    if (rc == STAMP_OK) {
        rc = make_pair(p->batches_signer, err);
    }
    if (rc == STAMP_OK) {
        rc = add_process(p, SERVICE_SIGNER, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = add_process(p, SERVICE_BOOKS, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = add_process(p, SERVICE_STATUS, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = add_process(p, SERVICE_MAKER, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = add_process(p, SERVICE_BATCHES, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = add_process(p, SERVICE_TLOG, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = add_process(p, SERVICE_READER, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = add_process(p, SERVICE_FACTORY, 0, err);
    }
    for (unsigned i = 0; i < p->setup->fronts && rc == STAMP_OK; i++) {
        rc = make_pair(p->front_books[i], err);
        if (rc == STAMP_OK) {
            rc = make_pair(p->front_maker[i], err);
        }
        if (rc == STAMP_OK) {
            rc = make_pair(p->front_batches[i], err);
        }
        if (rc == STAMP_OK) {
            rc = make_pair(p->front_reader[i], err);
        }
        if (rc == STAMP_OK) {
            rc = make_pair(p->front_factory[i], err);
        }
        if (rc == STAMP_OK) {
            rc = make_pair(p->front_status[i], err);
        }
        if (rc == STAMP_OK) {
            rc = add_process(p, SERVICE_FRONT, i, err);
        }
    }
    return rc;
}

/* ---- starting ---- */

/* What the process gets, in the order of SERVICE_FD_CONTROL and on. */
static unsigned list_fds(const struct parent *p, const struct process *one,
                         int fds[FDS_MAX])
{
    unsigned n = 0;

    fds[n++] = one->control;
    for (unsigned i = 0; i < 3 * SERVICE_LISTENERS_MAX; i++) {
        const struct service_listeners *l = i < SERVICE_LISTENERS_MAX       ? &p->listen
                                            : i < 2 * SERVICE_LISTENERS_MAX ? &p->http
                                                                            : &p->admin;

        fds[n++] = one->role == SERVICE_FRONT ? l->fd[i % SERVICE_LISTENERS_MAX] : -1;
    }
    fds[n++] = p->counters;
    switch (one->role) {
    case SERVICE_FRONT:
        fds[n++] = p->front_books[one->index][0];
        fds[n++] = p->front_status[one->index][0];
        fds[n++] = p->front_maker[one->index][0];
        fds[n++] = p->front_batches[one->index][0];
        fds[n++] = p->front_reader[one->index][0];
        fds[n++] = p->front_factory[one->index][0];
        break;
    case SERVICE_TLOG:
        break;
    case SERVICE_READER:
    case SERVICE_FACTORY:
        fds[n++] = -1; /* they ask nobody */
        for (unsigned i = 0; i < p->setup->fronts; i++) {
            fds[n++] = one->role == SERVICE_READER ? p->front_reader[i][1]
                                                   : p->front_factory[i][1];
        }
        break;
    case SERVICE_MAKER:
        fds[n++] = p->maker_books[0];
        for (unsigned i = 0; i < p->setup->fronts; i++) {
            fds[n++] = p->front_maker[i][1];
        }
        break;
    case SERVICE_SIGNER:
        fds[n++] = p->books_signer[1];
        fds[n++] = p->status_signer[1];
        fds[n++] = p->batches_signer[1];
        break;
    case SERVICE_BATCHES:
        fds[n++] = p->batches_signer[0];
        for (unsigned i = 0; i < p->setup->fronts; i++) {
            fds[n++] = p->front_batches[i][1];
        }
        break;
    case SERVICE_BOOKS:
    case SERVICE_STATUS:
    default:
        fds[n++] = one->role == SERVICE_BOOKS ? p->books_signer[0] : p->status_signer[0];
        for (unsigned i = 0; i < p->setup->fronts; i++) {
            fds[n++] =
                one->role == SERVICE_BOOKS ? p->front_books[i][1] : p->front_status[i][1];
        }
        if (one->role == SERVICE_BOOKS) {
            fds[n++] = p->maker_books[1];
        }
        break;
    }
    return n;
}

static int spawn(const struct parent *p, struct process *one)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *argv[ARGS_MAX + 4];
    int fds[FDS_MAX];
    unsigned n = list_fds(p, one, fds);
    char program[] = "stamp";
    char as[] = "--as";
    char role[32];
    sigset_t none;
    unsigned k = 0;
    int rc;

    (void)snprintf(role, sizeof role, one->role == SERVICE_FRONT ? "%s %u" : "%s",
                   service_role_name(one->role), one->index);
    argv[k++] = program;
    argv[k++] = p->argv[0]; /* the verb */
    argv[k++] = as;
    argv[k++] = role;
    for (unsigned i = 1; i < ARGS_MAX && p->argv[i] != NULL; i++) {
        argv[k++] = p->argv[i];
    }
    argv[k] = NULL;
    (void)sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    for (unsigned i = 0; i < n; i++) {
        if (fds[i] >= 0) {
            (void)posix_spawn_file_actions_adddup2(&actions, fds[i],
                                                   SERVICE_FD_CONTROL + (int)i);
        }
    }
    rc = posix_spawn(&one->pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return rc;
}

static void send_secret(const struct parent *p, struct process *one)
{
    struct service_message m = {.type = SERVICE_SECRET};

    if ((one->role == SERVICE_SIGNER || one->role == SERVICE_BATCHES ||
         one->role == SERVICE_TLOG || one->role == SERVICE_FACTORY) &&
        p->passphrase != NULL) {
        m.u.secret.p = stamp_secret_use(p->passphrase, &m.u.secret.len);
        service_channel_send(&one->channel, &m);
    }
}

/* What the one before was sent and did not read is not for this one. */
static void drain(const struct process *one)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];

    while (recv(one->control, buf, sizeof buf, MSG_DONTWAIT) > 0) {
    }
}

static void tell_lost(struct parent *p, const struct process *lost)
{
    const struct service_message m = {.type = SERVICE_LOST,
                                      .u.lost = (uint8_t)lost->role};

    for (unsigned i = 0; i < p->n; i++) {
        struct process *one = &p->process[i];

        if (one != lost && one->pid != 0 && one->role != lost->role) {
            service_channel_send(&one->channel, &m);
        }
    }
}

static enum stamp_err start(struct parent *p, struct process *one,
                            struct stamp_error *err)
{
    bool again = one->started_ms >= 0;
    int rc;

    drain(one);
    send_secret(p, one);
    rc = spawn(p, one);
    if (rc != 0) {
        one->pid = 0;
        return stamp_error_set(err, STAMP_E_IO, rc, "cannot start a process: %s",
                               strerror(rc));
    }
    one->started_ms = now_ms();
    one->ready = one->stopping = false;
    one->renews = NULL;
    if (again) {
        tell_lost(p, one);
    }
    return STAMP_OK;
}

/* ---- running ---- */

static void announce(struct parent *p)
{
    uint64_t down = 0;

    for (unsigned i = 0; i < p->n; i++) {
        down += !p->process[i].ready;
    }
    atomic_store(&service_count->down, down);
    if (down == 0 && !p->announced) {
        p->announced = true;
        service_log("listening", "url", p->address, "http", p->http_address, "admin",
                    p->admin_address, NULL);
    }
}

static void hear(struct parent *p, struct process *one)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    while (service_channel_receive(&one->channel, buf, &m) == SERVICE_GOT) {
        if (m.type == SERVICE_READY) {
            one->ready = one->worked = true;
            service_watch_note(&p->watch, one->role);
            announce(p);
        }
    }
}

static struct process *find(struct parent *p, pid_t pid)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->process[i].pid == pid) {
            return &p->process[i];
        }
    }
    return NULL;
}

static void say_died(const struct process *one, int status)
{
    char how[64];
    char index[16] = "";

    if (WIFSIGNALED(status)) {
        (void)snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
    } else {
        (void)snprintf(how, sizeof how, "exit %d", WEXITSTATUS(status));
    }
    if (one->role == SERVICE_FRONT) {
        (void)snprintf(index, sizeof index, "%u", one->index);
    }
    service_log("restarted", "which", service_role_name(one->role), "index", index, "how",
                how, NULL);
}

/* A process ended. One that never worked ends all: the next one would not either. */
static enum stamp_err bury(struct parent *p, struct process *one, int status,
                           struct stamp_error *err)
{
    one->pid = 0;
    if (p->stopping) {
        return STAMP_OK;
    }
    hear(p, one);
    if (!one->worked) {
        return stamp_error_set(err, STAMP_E_STATE, 0, "the service's process '%s' failed",
                               service_role_name(one->role));
    }
    if (one->renews != NULL) {
        service_log("renewed", "which", service_role_name(one->role), "file", one->renews,
                    NULL);
    } else {
        say_died(one, status);
        SERVICE_COUNT(restarts[one->role]);
    }
    one->ready = false;
    announce(p);
    if (one->role == SERVICE_FRONT) {
        atomic_store(&service_count->connections[one->index], 0);
    }
    one->start_at_ms = now_ms() - one->started_ms < CALM_MS ? now_ms() + CALM_MS : 0;
    return STAMP_OK;
}

static enum stamp_err reap(struct parent *p, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;
    int status;
    pid_t pid;

    while (rc == STAMP_OK && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct process *one = find(p, pid);

        if (one != NULL) {
            rc = bury(p, one, status, err);
        }
    }
    return rc;
}

static enum stamp_err start_due(struct parent *p, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (unsigned i = 0; i < p->n && rc == STAMP_OK && !p->stopping; i++) {
        struct process *one = &p->process[i];

        if (one->pid == 0 && one->start_at_ms <= now_ms()) {
            rc = start(p, one, err);
        }
    }
    return rc;
}

static void stop(struct process *one)
{
    const struct service_message m = {.type = SERVICE_STOP};

    one->stopping = true;
    service_channel_send(&one->channel, &m);
}

/* Who read a file that is another one now starts anew. */
static void renew_some(struct parent *p)
{
    if (p->stopping || now_ms() < p->watched_ms + WATCH_MS) {
        return;
    }
    p->watched_ms = now_ms();
    for (unsigned i = 0; i < p->n; i++) {
        struct process *one = &p->process[i];
        const char *name = one->ready && one->pid != 0 && !one->stopping
                               ? service_watch_changed(&p->watch, one->role)
                               : NULL;

        if (name != NULL) {
            one->renews = name;
            stop(one);
        }
    }
}

/* Fronts first, then who answers them. */
static bool stop_some(struct parent *p)
{
    static const enum service_role order[] = {
        SERVICE_FRONT, SERVICE_READER, SERVICE_FACTORY, SERVICE_MAKER, SERVICE_BATCHES,
        SERVICE_BOOKS, SERVICE_STATUS, SERVICE_SIGNER,  SERVICE_TLOG};
    for (unsigned k = 0; k < sizeof order / sizeof order[0]; k++) {
        bool some = false;

        for (unsigned i = 0; i < p->n; i++) {
            struct process *one = &p->process[i];

            if (one->role != order[k] || one->pid == 0) {
                continue;
            }
            some = true;
            if (!one->stopping) {
                stop(one);
            } else if (now_ms() > p->stop_by_ms) {
                (void)kill(one->pid, SIGKILL);
            }
        }
        if (some) {
            return true;
        }
    }
    return false;
}

static enum stamp_err take_signals(struct parent *p, struct stamp_error *err)
{
    struct signalfd_siginfo info;

    while (read(p->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD && !p->stopping) {
            p->stopping = true;
            p->stop_by_ms = now_ms() + STOP_MS;
            service_log("stopping", NULL);
        }
    }
    return reap(p, err);
}

static enum stamp_err look(struct parent *p, struct stamp_error *err)
{
    struct pollfd fds[PROCESSES_MAX + 1];
    enum stamp_err rc;

    fds[p->n] = (struct pollfd){.fd = p->signals, .events = POLLIN};
    for (unsigned i = 0; i < p->n; i++) {
        struct service_channel *c = &p->process[i].channel;

        fds[i] = (struct pollfd){.fd = c->fd, .events = POLLIN};
        if (!service_channel_flush(c)) {
            fds[i].events |= POLLOUT;
        }
    }
    (void)poll(fds, p->n + 1, 100);
    for (unsigned i = 0; i < p->n; i++) {
        hear(p, &p->process[i]);
    }
    rc = take_signals(p, err);
    return rc == STAMP_OK ? start_due(p, err) : rc;
}

static enum stamp_err run(struct parent *p, struct stamp_error *err)
{
    enum stamp_err rc = service_watch_init(&p->watch, p->setup->dir, err);

    if (rc == STAMP_OK) {
        rc = make_all(p, err);
    }
    if (rc == STAMP_OK) {
        rc = start_due(p, err);
    }
    while (rc == STAMP_OK) {
        renew_some(p);
        rc = look(p, err);
        if (rc == STAMP_OK && p->stopping && !stop_some(p)) {
            service_log("stopped", NULL);
            return STAMP_OK;
        }
    }
    for (unsigned i = 0; i < p->n; i++) {
        if (p->process[i].pid > 0) {
            (void)kill(p->process[i].pid, SIGKILL);
            (void)waitpid(p->process[i].pid, NULL, 0);
        }
    }
    return rc;
}

enum stamp_err stamp_service_run(const struct stamp_service_setup *setup,
                                 char *const *argv, const struct stamp_secret *passphrase,
                                 struct stamp_error *err)
{
    struct parent *p = calloc(1, sizeof *p);
    enum stamp_err rc;

    if (p == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    service_log_as("parent");
    /* what whoever started this left open is nothing for the others */
    (void)close_range(SERVICE_FD_CONTROL, ~0U, CLOSE_RANGE_CLOEXEC);
    p->setup = setup;
    p->argv = argv;
    p->passphrase = passphrase;
    p->listen = p->http = p->admin = (struct service_listeners)SERVICE_LISTENERS_NONE;
    p->counters = -1;
    rc = run(p, err);
    for (unsigned i = 0; i < p->n; i++) {
        service_channel_fini(&p->process[i].channel);
    }
    free(p);
    return rc;
}
