#include "service/batch_job.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/certificate.h"
#include "host/pki.h"
#include "service/log.h"
#include "service/process.h"

enum { LOOK_MS = 500, AGAIN_MS = 200, WHY_MAX = 200 };

/* ---- the signer ---- */

/* What a worker asks, and waits for. */
struct batch_call {
    struct service_message asked; /* points into what the worker was given */
    pthread_cond_t turn;
    bool answered;
    bool refused;
    size_t len; /* of the certificate; 0 = not now, or refused */
    uint8_t certificate[STAMP_MAX_CERTIFICATE];
    char why[WHY_MAX + 1];
};

void batch_signer_init(struct batch_signer *s, int fd)
{
    memset(s, 0, sizeof *s);
    s->sequence = service_first_number();
    service_channel_init(&s->channel, fd);
    (void)pthread_mutex_init(&s->lock, NULL);
}

bool batch_signer_flush(struct batch_signer *s)
{
    bool all;

    (void)pthread_mutex_lock(&s->lock);
    all = service_channel_flush(&s->channel);
    (void)pthread_mutex_unlock(&s->lock);
    return all;
}

static void take(struct batch_signer *s, const struct service_message *m)
{
    struct batch_call *c = s->call[m->id % BATCH_CALLS_MAX];
    const struct service_signed *a = &m->u.signed_;
    const struct service_sign_unit *u;

    if (c == NULL || c->asked.id != m->id || c->answered) {
        return;
    }
    u = &c->asked.u.sign_unit;
    c->answered = true;
    c->refused = a->refused != 0;
    c->len = 0;
    service_text(a->why, c->why, sizeof c->why);
    if (stamp_certificate_is(a->certificate, u->serial_number, u->point)) {
        c->len = a->certificate.len;
        memcpy(c->certificate, a->certificate.p, c->len);
    } else if (a->certificate.len > 0) {
        service_log("alarm", "why", "the signer gives another certificate", NULL);
    }
    (void)pthread_cond_signal(&c->turn);
}

void batch_signer_hear(struct batch_signer *s)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    while (service_channel_receive(&s->channel, buf, &m) == SERVICE_GOT) {
        if (m.type != SERVICE_SIGNED) {
            service_die("the signer says what it may not");
        }
        (void)pthread_mutex_lock(&s->lock);
        take(s, &m);
        (void)pthread_mutex_unlock(&s->lock);
    }
}

void batch_signer_again(struct batch_signer *s)
{
    (void)pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < BATCH_CALLS_MAX; i++) {
        if (s->call[i] != NULL && !s->call[i]->answered) {
            service_channel_send(&s->channel, &s->call[i]->asked);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

static struct timespec in_ms(long ms)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* False: nobody answered before all had to end. */
static bool ask(struct batch_signer *s, const volatile sig_atomic_t *stop,
                struct batch_call *c)
{
    unsigned slot = 0;

    (void)pthread_mutex_lock(&s->lock);
    while (slot < BATCH_CALLS_MAX && s->call[slot] != NULL) {
        slot++;
    }
    if (slot == BATCH_CALLS_MAX) {
        STAMP_BUG("more workers than calls");
    }
    c->asked.id = ++s->sequence * BATCH_CALLS_MAX + slot;
    c->answered = false;
    s->call[slot] = c;
    service_channel_send(&s->channel, &c->asked);
    while (!c->answered && *stop == 0) {
        struct timespec until = in_ms(LOOK_MS);

        (void)pthread_cond_timedwait(&c->turn, &s->lock, &until);
    }
    s->call[slot] = NULL;
    (void)pthread_mutex_unlock(&s->lock);
    return c->answered;
}

/* Until it is signed, refused, or all has to end: a signer that died is there again soon,
 * and a minute's allowance is over with the minute. */
static enum stamp_err ask_patiently(const struct batch_job *j, struct batch_call *c,
                                    struct stamp_error *err)
{
    const struct timespec pause = {0, AGAIN_MS * 1000000L};

    for (;;) {
        if (!ask(j->signer, &j->stop, c)) {
            return stamp_error_set(err, STAMP_E_BUSY, 0, "stopped");
        }
        if (c->len > 0) {
            return STAMP_OK;
        }
        if (c->refused) {
            return stamp_error_set(err, STAMP_E_STATE, 0, "the signer refuses: %.120s",
                                   c->why);
        }
        (void)nanosleep(&pause, NULL);
    }
}

enum stamp_err batch_job_sign(void *job, const struct stamp_birth *birth, uint8_t *out,
                              size_t *len, struct stamp_error *err)
{
    const struct batch_job *j = job;
    struct batch_call c = {.asked = {.type = SERVICE_SIGN_UNIT}};
    struct service_sign_unit *u = &c.asked.u.sign_unit;
    pthread_condattr_t attr;
    enum stamp_err rc;

    memcpy(u->serial_number, birth->serial_number, sizeof u->serial_number);
    u->serial =
        (struct stamp_slice){(const uint8_t *)birth->serial, strlen(birth->serial)};
    memcpy(u->point, birth->point, sizeof u->point);
    memcpy(u->digest, birth->digest, sizeof u->digest);
    if (birth->provisioning != NULL) {
        u->provisioning = (struct stamp_slice){birth->provisioning, STAMP_POINT_SIZE};
    }
    u->not_before = (uint64_t)birth->not_before;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c.turn, &attr);
    rc = ask_patiently(j, &c, err);
    (void)pthread_cond_destroy(&c.turn);
    if (rc == STAMP_OK) {
        memcpy(out, c.certificate, c.len);
        *len = c.len;
    }
    return rc;
}

/* ---- the job ---- */

static void told(void *ctx, uint32_t done, uint32_t total)
{
    struct batch_job *j = ctx;

    (void)total;
    atomic_store(&j->done, done);
}

static enum stamp_err make(struct batch_job *j)
{
    const struct stamp_batch_job job = {.path = j->path,
                                        .note = j->note[0] == '\0' ? NULL : j->note,
                                        .count = j->count,
                                        .stations = j->station,
                                        .n_stations = j->n_stations,
                                        .key = j->key,
                                        .certificate = j->certificate,
                                        .request = &j->request.of,
                                        .temp = j->folder,
                                        .threads = j->threads,
                                        .stop = &j->stop,
                                        .progress = told,
                                        .ctx = j};
    enum stamp_err rc = STAMP_OK;

    if (j->ws->registry == NULL) {
        rc = stamp_registry_open(j->books, &j->ws->registry, &j->err);
    }
    if (rc == STAMP_OK) {
        stamp_registry_author(j->ws->registry, j->who, j->from);
        rc = stamp_batch_make(j->ws, j->issuer, &job, &j->made, &j->err);
    }
    if (rc == STAMP_E_DATABASE) { /* it may have gone away: the next one opens it anew */
        stamp_registry_close(&j->ws->registry);
    }
    return rc;
}

static void *run(void *arg)
{
    struct batch_job *j = arg;

    j->rc = make(j);
    atomic_store(&j->ended, true);
    return NULL;
}

enum stamp_err batch_job_start(struct batch_job *j, struct stamp_error *err)
{
    int code;

    memset(&j->made, 0, sizeof j->made);
    memset(&j->err, 0, sizeof j->err);
    atomic_store(&j->done, 0);
    atomic_store(&j->ended, false);
    code = pthread_create(&j->thread, NULL, run, j);
    if (code != 0) {
        return stamp_error_set(err, STAMP_E_IO, code, "cannot start a thread: %s",
                               strerror(code));
    }
    j->running = true;
    return STAMP_OK;
}

void batch_job_drop(struct batch_job *j)
{
    for (size_t i = 0; i < j->n_stations; i++) {
        stamp_free_x509(&j->station[i]);
    }
    j->n_stations = 0;
}

bool batch_job_ended(struct batch_job *j)
{
    if (!j->running || !atomic_load(&j->ended)) {
        return false;
    }
    (void)pthread_join(j->thread, NULL);
    j->running = false;
    batch_job_drop(j);
    return true;
}
