#include "service/books.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/certificate.h"
#include "host/key.h"
#include "host/registry_issued.h"
#include "host/workspace.h"
#include "service/counters.h"
#include "service/log.h"
#include "service/names.h"
#include "service/sandbox.h"

enum {
    ROUND_MAX = 256, /* messages in one transaction */
    DAY = 86400,
    SERVERS_BURST = 200, /* certificates for fronts; one more each second */
    REOPEN_MS = 1000
};

/* What the signer is to sign. It is sent again where the signer dies. */
struct job {
    bool used;
    enum { JOB_DEVICE, JOB_SERVER, JOB_MAKER, JOB_UNIT } kind;
    uint64_t id;
    unsigned front;
    uint64_t front_id;
    int64_t device;
    uint32_t n;
    struct service_sign sign;      /* but of a unit: */
    struct service_sign_unit unit; /* points into the job */
    uint8_t provisioning[STAMP_POINT_SIZE];
    uint8_t *birth;
    char serial[STAMP_SERIAL_SIZE];
    char who[BOOKS_WHO_MAX];
};

/* A message of this round, and what comes of it. */
struct taken {
    int front; /* -1 = the signer */
    struct service_message m;
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct books_verdict verdict;
    bool failed; /* nothing is decided */
    uint8_t *certificate;
    size_t certificate_len;
};

struct books {
    const struct stamp_service_setup *setup;
    char where[PATH_MAX];
    struct stamp_registry *registry; /* NULL: out of reach */
    struct service_channel control;
    struct service_channel signer;
    struct service_channel front[SERVICE_FRONTS_MAX + 1]; /* behind them: the maker */
    struct books_numbers numbers;
    struct job *jobs;
    size_t n_jobs, jobs_size;
    uint64_t sequence;
    struct taken *taken; /* ROUND_MAX */
    size_t n_taken;
    unsigned servers_left;
    time_t servers_at;
    time_t tried_at; /* to open the registry again */
    bool stopping;
};

/* ---- answers ---- */

static void tell(struct books *b, unsigned front, uint64_t id,
                 enum service_outcome outcome, enum stamp_refusal refusal,
                 struct stamp_slice certificate)
{
    const struct service_message m = {.type = SERVICE_ANSWER,
                                      .id = id,
                                      .u.answer = {.outcome = (uint8_t)outcome,
                                                   .refusal = (uint8_t)refusal,
                                                   .certificate = certificate}};

    service_channel_post(&b->front[front], &m);
}

static void later(struct books *b, unsigned front, uint64_t id)
{
    SERVICE_COUNT(later);
    tell(b, front, id, SERVICE_LATER, STAMP_REFUSAL_NONE, (struct stamp_slice){NULL, 0});
}

/* ---- jobs ---- */

static struct job *new_job(struct books *b)
{
    size_t i = 0;

    while (i < b->jobs_size && b->jobs[i].used) {
        i++;
    }
    if (i == b->jobs_size) {
        size_t size = b->jobs_size == 0 ? 64 : 2 * b->jobs_size;
        struct job *more = realloc(b->jobs, size * sizeof *more);

        if (more == NULL) {
            service_die("out of memory");
        }
        memset(more + b->jobs_size, 0, (size - b->jobs_size) * sizeof *more);
        b->jobs = more;
        b->jobs_size = size;
    }
    b->jobs[i] = (struct job){.used = true, .id = b->sequence++ << 24 | i};
    b->n_jobs++;
    return &b->jobs[i];
}

static struct job *find_job(struct books *b, uint64_t id)
{
    size_t i = id & 0xFFFFFF;

    return i < b->jobs_size && b->jobs[i].used && b->jobs[i].id == id ? &b->jobs[i]
                                                                      : NULL;
}

/* Of a process of the service, and not of a device. */
static bool is_own(const struct job *j)
{
    return j->kind == JOB_SERVER || j->kind == JOB_MAKER;
}

static void end_job(struct books *b, struct job *j)
{
    free(j->birth);
    memset(j, 0, sizeof *j);
    b->n_jobs--;
}

/* What the signer gave is what it was asked for. */
static bool is_asked(const struct job *j, struct stamp_slice certificate)
{
    bool unit = j->kind == JOB_UNIT;

    if (stamp_certificate_is(certificate,
                             unit ? j->unit.serial_number : j->sign.serial_number,
                             unit ? j->unit.point : j->sign.point)) {
        return true;
    }
    service_log("alarm", "why", "the signer gives another certificate", "device",
                j->serial, NULL);
    return false;
}

static void send_job(struct books *b, const struct job *j)
{
    static const uint8_t types[] = {[JOB_DEVICE] = SERVICE_SIGN,
                                    [JOB_SERVER] = SERVICE_SIGN_SERVER,
                                    [JOB_MAKER] = SERVICE_SIGN_MAKER,
                                    [JOB_UNIT] = SERVICE_SIGN_UNIT};
    struct service_message m = {.type = types[j->kind], .id = j->id, .u.sign = j->sign};

    if (j->kind == JOB_UNIT) {
        m.u.sign_unit = j->unit;
        m.u.sign_unit.serial =
            (struct stamp_slice){(const uint8_t *)j->serial, strlen(j->serial)};
        m.u.sign_unit.provisioning.p = j->provisioning;
    }

    service_channel_post(&b->signer, &m);
}

/* ---- the registry ---- */

static enum stamp_err open_registry(struct books *b, struct stamp_error *err)
{
    enum stamp_err rc = stamp_registry_open(b->where, &b->registry, err);

    if (rc == STAMP_OK) {
        stamp_registry_author(b->registry, BOOKS_AUTHOR, NULL);
    }
    return rc;
}

/* An error of one call may mean that the database went away: begin anew with it, but not
 * more than once a second. */
static void failed(struct books *b, const struct stamp_error *err)
{
    service_log_error("books-failed", err);
    if (err->code == STAMP_E_DATABASE) {
        stamp_registry_close(&b->registry);
        b->tried_at = time(NULL);
    }
}

static bool have_registry(struct books *b)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    if (b->registry == NULL && time(NULL) != b->tried_at) {
        b->tried_at = time(NULL);
        if (open_registry(b, &err) != STAMP_OK) {
            service_log_error("books-failed", &err);
        } else {
            service_log("books-open", NULL);
        }
    }
    return b->registry != NULL;
}

static enum stamp_err have_numbers(struct books *b, size_t n, struct stamp_error *err)
{
    enum stamp_err rc;

    if (b->numbers.next != 0 && UINT32_MAX - b->numbers.next >= n) {
        return STAMP_OK;
    }
    rc = stamp_registry_certificate_block(b->registry, b->numbers.prefix, err);
    if (rc == STAMP_OK) {
        b->numbers.next = 1;
    }
    return rc;
}

/* ---- certificates of fronts, and of the maker ---- */

static bool is_maker(const struct books *b, const struct taken *t)
{
    return t->front == (int)b->setup->fronts;
}

/* A front that was taken over may ask for many. */
static bool may_have_server(struct books *b)
{
    time_t now = time(NULL);

    if (now > b->servers_at) {
        time_t more = now - b->servers_at;

        b->servers_left = more > SERVERS_BURST - (time_t)b->servers_left
                              ? SERVERS_BURST
                              : b->servers_left + (unsigned)more;
        b->servers_at = now;
    }
    if (b->servers_left == 0) {
        return false;
    }
    b->servers_left--;
    return true;
}

static enum stamp_err begin_server(struct books *b, const struct taken *t,
                                   struct stamp_error *err)
{
    struct stamp_issued i = {.kind = is_maker(b, t) ? STAMP_ISSUED_MAKER
                                                    : STAMP_ISSUED_SERVER,
                             .at = time(NULL),
                             .not_after = time(NULL) + (time_t)SERVICE_SERVER_DAYS * DAY};
    struct job *j;
    enum stamp_err rc = have_numbers(b, 1, err);

    if (rc == STAMP_OK) {
        books_number(&b->numbers, i.certificate_serial);
        (void)snprintf(i.name, sizeof i.name, is_maker(b, t) ? "maker" : "front %d",
                       t->front);
        rc = stamp_key_hash(t->m.u.server.point, i.fingerprint, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_issued_add(b->registry, &i, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    j = new_job(b);
    j->kind = is_maker(b, t) ? JOB_MAKER : JOB_SERVER;
    j->front = (unsigned)t->front;
    j->front_id = t->m.id;
    memcpy(j->sign.serial_number, i.certificate_serial, sizeof j->sign.serial_number);
    memcpy(j->sign.point, t->m.u.server.point, sizeof j->sign.point);
    j->sign.not_before = (uint64_t)i.at;
    j->sign.not_after = (uint64_t)i.not_after;
    send_job(b, j);
    return STAMP_OK;
}

static void do_server(struct books *b, const struct taken *t)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    if (!may_have_server(b)) {
        service_log("alarm", "why", "a front asks for too many certificates", NULL);
    } else if (have_registry(b) && begin_server(b, t, &err) == STAMP_OK) {
        return;
    } else if (err.code != STAMP_OK) {
        failed(b, &err);
    }
    later(b, (unsigned)t->front, t->m.id);
}

/* In a transaction of its own: such changes are few. */
static void do_change(struct books *b, const struct taken *t)
{
    struct service_message m = {.type = SERVICE_CHANGE_ANSWER, .id = t->m.id};
    struct stamp_error err = STAMP_ERROR_INIT;

    if (!have_registry(b)) {
        m.u.change_answer.outcome = SERVICE_CHANGE_LATER;
    } else if (books_change(b->registry, &t->m.u.change, time(NULL), &m.u.change_answer,
                            &err) != STAMP_OK) {
        failed(b, &err);
        m.u.change_answer =
            (struct service_change_answer){.outcome = SERVICE_CHANGE_LATER};
    }
    service_channel_post(&b->front[t->front], &m);
}

static void end_server(struct books *b, struct job *j, struct stamp_slice certificate)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    if (is_asked(j, certificate) && have_registry(b) &&
        stamp_registry_issued_certify(b->registry, j->sign.serial_number, certificate,
                                      &err) == STAMP_OK) {
        tell(b, j->front, j->front_id, SERVICE_CERTIFICATE, STAMP_REFUSAL_NONE,
             certificate);
    } else {
        if (err.code != STAMP_OK) {
            failed(b, &err);
        }
        later(b, j->front, j->front_id);
    }
    end_job(b, j);
}

/* ---- a round ---- */

/* The row has a certificate already, of the same request made twice: that one counts. */
static enum stamp_err take_other(struct books *b, const struct job *j, struct taken *t,
                                 struct stamp_error *err)
{
    struct stamp_ldevid rows[4];
    size_t n = 0;
    enum stamp_err rc =
        stamp_registry_ldevid_list(b->registry, j->device, rows, 4, &n, err);

    for (size_t i = 0; i < n; i++) {
        if (rc == STAMP_OK && rows[i].n == j->n &&
            rows[i].state != STAMP_LDEVID_RETIRED) {
            t->certificate = rows[i].certificate;
            t->certificate_len = rows[i].certificate_len;
            rows[i].certificate = NULL;
        }
        stamp_ldevid_fini(&rows[i]);
    }
    return rc;
}

static enum stamp_err take_other_unit(struct books *b, const struct job *j,
                                      struct taken *t, struct stamp_error *err)
{
    struct stamp_unit_booked is;
    enum stamp_err rc = stamp_registry_unit_find(b->registry, j->device, &is, err);

    t->certificate = is.certificate;
    t->certificate_len = is.certificate_len;
    is.certificate = NULL;
    stamp_unit_booked_fini(&is);
    return rc;
}

static enum stamp_err take_signed(struct books *b, struct taken *t, time_t now,
                                  struct stamp_error *err)
{
    const struct job *j = find_job(b, t->m.id);
    struct stamp_slice certificate = t->m.u.signed_.certificate;
    bool kept = false;
    enum stamp_err rc;

    if (j == NULL || is_own(j) || certificate.len == 0 || !is_asked(j, certificate)) {
        return STAMP_OK;
    }
    if (j->kind == JOB_UNIT) {
        rc = stamp_registry_unit_certify(b->registry, j->device, now, certificate, &kept,
                                         err);
    } else {
        rc = stamp_registry_ldevid_certify(b->registry, j->device, j->n, certificate,
                                           &kept, err);
    }
    if (rc == STAMP_OK && !kept) {
        return j->kind == JOB_UNIT ? take_other_unit(b, j, t, err)
                                   : take_other(b, j, t, err);
    }
    if (rc == STAMP_OK) {
        t->certificate = malloc(certificate.len);
        if (t->certificate == NULL) {
            service_die("out of memory");
        }
        memcpy(t->certificate, certificate.p, certificate.len);
        t->certificate_len = certificate.len;
    }
    return rc;
}

static void undo(struct taken *t)
{
    books_verdict_fini(&t->verdict);
    free(t->certificate);
    t->certificate = NULL;
    t->certificate_len = 0;
}

/* One transaction for `n` of what was taken. */
static enum stamp_err write_some(struct books *b, struct taken *t, size_t n,
                                 struct stamp_error *err)
{
    time_t now = time(NULL);
    enum stamp_err rc = have_numbers(b, n, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_group_begin(b->registry, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        if (t[i].m.type == SERVICE_SIGNED) {
            rc = take_signed(b, &t[i], now, err);
        } else if (t[i].m.type == SERVICE_UNIT) {
            rc = books_unit(b->registry, &t[i].m.u.unit, now, &t[i].verdict, err);
        } else if (t[i].m.type == SERVICE_ENROL) {
            rc = books_enrol(b->registry, b->setup, &t[i].m.u.enrol, now, &b->numbers,
                             &t[i].verdict, err);
        }
    }
    rc = stamp_registry_group_end(b->registry, rc, err);
    for (size_t i = 0; i < n && rc != STAMP_OK; i++) {
        undo(&t[i]);
    }
    return rc;
}

/* One that cannot be written does not take the others with it. */
static void write_round(struct books *b)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = STAMP_E_DATABASE;

    if (have_registry(b)) {
        rc = write_some(b, b->taken, b->n_taken, &err);
        if (rc == STAMP_OK) {
            return;
        }
        failed(b, &err);
    }
    for (size_t i = 0; i < b->n_taken; i++) {
        struct taken *t = &b->taken[i];

        if (b->registry != NULL && b->n_taken > 1) {
            stamp_error_clear(&err);
            rc = write_some(b, t, 1, &err);
            if (rc != STAMP_OK) {
                failed(b, &err);
            }
        }
        t->failed = rc != STAMP_OK || b->registry == NULL;
    }
}

static void say(const char *event, const struct books_verdict *v, struct stamp_slice from,
                enum stamp_refusal refusal)
{
    char address[SERVICE_FROM_MAX + 1];

    service_text(from, address, sizeof address);
    service_log(event, "device", v->serial, "by", v->who, "from", address, "refusal",
                refusal == STAMP_REFUSAL_NONE ? NULL : stamp_refusal_name(refusal), NULL);
}

static void ask_signer(struct books *b, struct taken *t)
{
    struct books_verdict *v = &t->verdict;
    struct job *j = new_job(b);

    j->front = (unsigned)t->front;
    j->front_id = t->m.id;
    j->device = v->ldevid.device;
    j->n = v->ldevid.n;
    memcpy(j->sign.serial_number, v->ldevid.certificate_serial,
           sizeof j->sign.serial_number);
    memcpy(j->sign.point, t->m.u.enrol.point, sizeof j->sign.point);
    j->sign.not_before = (uint64_t)v->ldevid.not_before;
    j->sign.not_after = (uint64_t)v->ldevid.not_after;
    j->birth = v->birth;
    j->sign.birth = (struct stamp_slice){v->birth, v->birth_len};
    v->birth = NULL;
    memcpy(j->serial, v->serial, sizeof j->serial);
    memcpy(j->who, v->who, sizeof j->who);
    send_job(b, j);
}

static void ask_signer_unit(struct books *b, struct taken *t)
{
    const struct service_unit *asked = &t->m.u.unit;
    const struct books_verdict *v = &t->verdict;
    struct job *j = new_job(b);

    j->kind = JOB_UNIT;
    j->front = (unsigned)t->front;
    j->front_id = t->m.id;
    j->device = v->unit.device;
    memcpy(j->unit.serial_number, v->unit.certificate_serial,
           sizeof j->unit.serial_number);
    memcpy(j->unit.point, asked->point, sizeof j->unit.point);
    memcpy(j->unit.digest, asked->digest, sizeof j->unit.digest);
    j->unit.not_before = asked->not_before;
    j->unit.provisioning.len = asked->provisioning.len;
    if (asked->provisioning.len > 0) {
        memcpy(j->provisioning, asked->provisioning.p, asked->provisioning.len);
    }
    memcpy(j->serial, v->serial, sizeof j->serial);
    memcpy(j->who, v->who, sizeof j->who);
    send_job(b, j);
}

/* What the round decided; without a certificate `sign` has it made. */
static void tell_verdict(struct books *b, struct taken *t, struct stamp_slice from,
                         struct stamp_slice certificate,
                         void (*sign)(struct books *b, struct taken *t))
{
    struct books_verdict *v = &t->verdict;

    if (t->failed) {
        later(b, (unsigned)t->front, t->m.id);
    } else if (v->judge) {
        tell(b, (unsigned)t->front, t->m.id, SERVICE_JUDGE, STAMP_REFUSAL_NONE,
             (struct stamp_slice){NULL, 0});
    } else if (v->refusal != STAMP_REFUSAL_NONE) {
        SERVICE_COUNT(refused[v->refusal]);
        say("refused", v, from, v->refusal);
        tell(b, (unsigned)t->front, t->m.id, SERVICE_REFUSED, v->refusal,
             (struct stamp_slice){NULL, 0});
    } else if (certificate.p == NULL) {
        sign(b, t);
    } else {
        SERVICE_COUNT(again);
        say("again", v, from, STAMP_REFUSAL_NONE);
        tell(b, (unsigned)t->front, t->m.id, SERVICE_CERTIFICATE, STAMP_REFUSAL_NONE,
             certificate);
    }
}

static void tell_unit(struct books *b, struct taken *t)
{
    const struct stamp_unit_booked *u = &t->verdict.unit;

    tell_verdict(b, t, t->m.u.unit.from,
                 (struct stamp_slice){u->certificate, u->certificate_len},
                 ask_signer_unit);
}

static void tell_enrol(struct books *b, struct taken *t)
{
    struct books_verdict *v = &t->verdict;

    if (v->confirmed && !t->failed) {
        SERVICE_COUNT(confirmed);
        say("confirmed", v, t->m.u.enrol.from, STAMP_REFUSAL_NONE);
    }
    tell_verdict(b, t, t->m.u.enrol.from,
                 (struct stamp_slice){v->ldevid.certificate, v->ldevid.certificate_len},
                 ask_signer);
}

static void tell_refused(struct books *b, const struct taken *t, const struct job *j)
{
    char why[201];

    service_text(t->m.u.signed_.why, why, sizeof why);
    SERVICE_COUNT(refused[STAMP_REFUSAL_POLICY]);
    service_log("alarm", "why", "the signer refuses", "reason", why, "device", j->serial,
                "by", j->who, NULL);
    tell(b, j->front, j->front_id, SERVICE_REFUSED, STAMP_REFUSAL_POLICY,
         (struct stamp_slice){NULL, 0});
}

static void tell_signed(struct books *b, struct taken *t)
{
    struct job *j = find_job(b, t->m.id);

    if (j == NULL) {
        return; /* of a signer that died, and was answered by the next one */
    }
    if (is_own(j) && t->m.u.signed_.certificate.len > 0) {
        end_server(b, j, t->m.u.signed_.certificate);
        return;
    }
    if (t->m.u.signed_.certificate.len == 0 && t->m.u.signed_.refused) {
        tell_refused(b, t, j);
    } else if (t->failed || t->certificate == NULL) {
        later(b, j->front, j->front_id);
    } else {
        SERVICE_COUNT(issued);
        service_log(j->kind == JOB_UNIT ? "born" : "issued", "device", j->serial, "by",
                    j->who, NULL);
        tell(b, j->front, j->front_id, SERVICE_CERTIFICATE, STAMP_REFUSAL_NONE,
             (struct stamp_slice){t->certificate, t->certificate_len});
    }
    end_job(b, j);
}

static bool is_change(const struct service_message *m)
{
    return m->type == SERVICE_CHANGE && m->u.change.verb < SERVICE_CHANGE_VERBS &&
           m->u.change.state < STAMP_REGISTRY_STATES;
}

static bool take(struct books *b, struct service_channel *c, int front)
{
    struct taken *t = &b->taken[b->n_taken];

    if (b->n_taken == ROUND_MAX ||
        service_channel_receive(c, t->buf, &t->m) != SERVICE_GOT) {
        return false;
    }
    if (front < 0 ? t->m.type != SERVICE_SIGNED
        : front == (int)b->setup->fronts
            ? t->m.type != SERVICE_SERVER
            : t->m.type != SERVICE_ENROL && t->m.type != SERVICE_SERVER &&
                  t->m.type != SERVICE_UNIT && !is_change(&t->m)) {
        service_die("another process asks for what it may not");
    }
    t->front = front;
    t->failed = false;
    memset(&t->verdict, 0, sizeof t->verdict);
    t->certificate = NULL;
    t->certificate_len = 0;
    b->n_taken++;
    return true;
}

static void do_round(struct books *b)
{
    b->n_taken = 0;
    while (take(b, &b->signer, -1)) {
    }
    for (bool some = true; some && b->n_taken < ROUND_MAX;) {
        some = false;
        for (unsigned i = 0; i <= b->setup->fronts; i++) {
            some |= take(b, &b->front[i], (int)i);
        }
    }
    if (b->n_taken == 0) {
        return;
    }
    service_log_hold(true);
    write_round(b);
    for (size_t i = 0; i < b->n_taken; i++) {
        struct taken *t = &b->taken[i];

        if (t->m.type == SERVICE_SIGNED) {
            tell_signed(b, t);
        } else if (t->m.type == SERVICE_SERVER) {
            do_server(b, t);
        } else if (t->m.type == SERVICE_CHANGE) {
            do_change(b, t);
        } else if (t->m.type == SERVICE_UNIT) {
            tell_unit(b, t);
        } else {
            tell_enrol(b, t);
        }
        undo(t);
    }
    service_log_hold(false);
}

/* ---- running ---- */

static void hear_control(struct books *b)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&b->control, buf, &m)) == SERVICE_GOT) {
        if (m.type == SERVICE_STOP) {
            b->stopping = true;
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_SIGNER) {
            for (size_t i = 0; i < b->jobs_size; i++) {
                if (b->jobs[i].used) {
                    send_job(b, &b->jobs[i]);
                }
            }
        }
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void wait_for_some(struct books *b)
{
    struct service_channel *all[SERVICE_FRONTS_MAX + 3];
    unsigned n = 0;

    for (; n <= b->setup->fronts; n++) {
        all[n] = &b->front[n];
    }
    all[n++] = &b->signer;
    all[n++] = &b->control;
    service_channels_wait(all, n, -1);
}

static enum stamp_err open_all(struct books *b, struct stamp_error *err)
{
    char dir[PATH_MAX];
    enum stamp_err rc = stamp_workspace_locate(b->setup->dir, dir, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_books(dir, b->where, err);
    }
    if (rc == STAMP_OK) {
        rc = open_registry(b, err);
    }
    if (rc == STAMP_OK) {
        rc = have_numbers(b, ROUND_MAX, err);
    }
    if (rc == STAMP_OK) {
        b->taken = calloc(ROUND_MAX, sizeof *b->taken);
        if (b->taken == NULL) {
            rc = stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
        }
    }
    return rc;
}

int service_books(const struct stamp_service_setup *setup)
{
    static struct books b;
    struct stamp_error err = STAMP_ERROR_INIT;

    b.setup = setup;
    b.servers_left = SERVERS_BURST;
    b.servers_at = time(NULL);
    b.sequence = service_first_number();
    service_channel_init(&b.control, SERVICE_FD_CONTROL);
    service_channel_init(&b.signer, SERVICE_FD_SIGNER);
    for (unsigned i = 0; i <= setup->fronts; i++) {
        service_channel_init(&b.front[i], SERVICE_FD_FRONT + (int)i);
    }
    if (open_all(&b, &err) != STAMP_OK ||
        service_sandbox_enter(
            &(struct service_sandbox){.role = SERVICE_BOOKS, .books = b.where}, &err) !=
            STAMP_OK) {
        return service_failed(&err);
    }
    service_ready(&b.control);
    while (!b.stopping || b.n_jobs > 0) {
        wait_for_some(&b);
        do_round(&b);
        hear_control(&b);
    }
    for (unsigned i = 0; i <= setup->fronts; i++) {
        (void)service_channel_flush(&b.front[i]);
    }
    stamp_registry_close(&b.registry);
    free(b.jobs);
    free(b.taken);
    return 0;
}
