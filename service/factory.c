/*
 * The factory: what headquarters does for stations of others. It books work orders, whose
 * files are signed where the owner key is; takes in what stations export; and reconciles
 * that with the orders. It has the registry, and the reception key, which opens exports
 * and signs nothing. It reads messages, and what stations signed.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/workspace_home.h"
#include "service/counters.h"
#include "service/factory_own.h"
#include "service/log.h"
#include "service/reopen.h"
#include "service/sandbox.h"

enum { REOPEN_MS = 1000 };

/* ---- who may ---- */

#define MAY(role) (1u << STAMP_ROLE_##role)

static const unsigned may[SERVICE_FACTORY_VERBS] = {
    [SERVICE_FACTORY_ORDER] = MAY(ADMIN) | MAY(FACTORY),
    [SERVICE_FACTORY_FILE] = MAY(ADMIN) | MAY(FACTORY),
    [SERVICE_FACTORY_CLOSE] = MAY(ADMIN) | MAY(FACTORY),
    [SERVICE_FACTORY_JOURNALS] = MAY(ADMIN) | MAY(FACTORY) | MAY(AUDITOR) | MAY(STATION),
    [SERVICE_FACTORY_BUNDLE] = MAY(ADMIN) | MAY(FACTORY) | MAY(STATION),
    [SERVICE_FACTORY_RECONCILE] = MAY(ADMIN) | MAY(FACTORY),
    [SERVICE_FACTORY_RESULTS] = MAY(ADMIN) | MAY(FACTORY) | MAY(STATION),
    [SERVICE_FACTORY_RETURNED] = MAY(ADMIN) | MAY(FACTORY),
};

/* ---- answering ---- */

void factory_refuse_error(struct factory_reply *r, enum stamp_err rc)
{
    switch ((int)rc) {
    case STAMP_E_MISSING:
        service_answer_problem(&r->to, ANSWER_NOT_FOUND, r->err.what);
        return;
    case STAMP_E_EXISTS:
    case STAMP_E_DUPLICATE:
    case STAMP_E_STATE:
        service_answer_problem(&r->to, ANSWER_CONFLICT, r->err.what);
        return;
    case STAMP_E_RANGE:
    case STAMP_E_CONFIG:
    case STAMP_E_FORMAT:
    case STAMP_E_CORRUPT:
    case STAMP_E_VERSION:
    case STAMP_E_AUTH:
    case STAMP_E_PURPOSE:
        service_answer_problem(&r->to, ANSWER_UNPROCESSABLE, r->err.what);
        return;
    default:
        break;
    }
    service_reopen_after(&r->f->ws->registry, &r->f->tried_at, &r->err, "factory-failed");
    service_answer_later(&r->to);
}

static const struct factory_report *kept(const struct factory_reply *r, const char *name)
{
    for (unsigned i = 0; i < FACTORY_REPORTS; i++) {
        const struct factory_report *one = &r->f->report[i];

        if (one->text != NULL && one->verb == r->verb && strcmp(one->name, name) == 0 &&
            strcmp(one->who, r->key.name) == 0) {
            return one;
        }
    }
    return NULL;
}

bool factory_told_before(struct factory_reply *r, const char *name)
{
    const struct factory_report *report = kept(r, name);

    if (report != NULL) {
        service_answer(&r->to, ANSWER_OK, SERVICE_JSON, (const uint8_t *)report->text,
                       strlen(report->text));
    }
    return report != NULL;
}

void factory_tell(struct factory_reply *r, const char *name, json_t *report)
{
    struct factory_report *one = &r->f->report[r->f->n_reports++ % FACTORY_REPORTS];
    char *text = report == NULL ? NULL : json_dumps(report, JSON_COMPACT);

    json_decref(report);
    free(one->text);
    one->text = text;
    one->verb = r->verb;
    (void)snprintf(one->name, sizeof one->name, "%s", name);
    (void)snprintf(one->who, sizeof one->who, "%s", r->key.name);
    if (!factory_told_before(r, name)) {
        service_answer_later(&r->to);
    }
}

static void answer(struct factory_reply *r, const struct service_factory *q, int file)
{
    switch (q->verb) {
    case SERVICE_FACTORY_ORDER:
        factory_order(r, q);
        break;
    case SERVICE_FACTORY_FILE:
        factory_order_file(r, q);
        break;
    case SERVICE_FACTORY_CLOSE:
        factory_order_close(r, q);
        break;
    case SERVICE_FACTORY_BUNDLE:
        factory_bundle(r, file);
        break;
    case SERVICE_FACTORY_RECONCILE:
        factory_reconcile(r, q);
        break;
    case SERVICE_FACTORY_RESULTS:
        factory_results(r, q, file);
        break;
    case SERVICE_FACTORY_RETURNED:
        factory_returned(r, q);
        break;
    case SERVICE_FACTORY_JOURNALS:
    default:
        factory_journals(r);
        break;
    }
}

static bool have_registry(struct factory *f)
{
    return service_reopen(&f->ws->registry, &f->tried_at, f->where, "factory-failed");
}

/* Its changes are signed by the name of the key. */
static void answer_as(struct factory_reply *r, const struct service_factory *q, int file)
{
    char who[STAMP_REGISTRY_NAME_SIZE + sizeof "API key "];
    char from[SERVICE_FROM_MAX + 1];

    service_text(q->from, from, sizeof from);
    (void)snprintf(who, sizeof who, "API key %s", r->key.name);
    stamp_registry_author(r->f->ws->registry, who, from);
    answer(r, q, file);
}

static void hear(struct factory *f, struct service_channel *from,
                 const struct service_message *m, int file)
{
    const struct service_factory *q = &m->u.factory;
    struct factory_reply r = {
        .f = f, .verb = q->verb, .to = {from, m->id}, .err = STAMP_ERROR_INIT};
    enum stamp_err rc;

    if (m->type != SERVICE_FACTORY_ASK || q->verb >= SERVICE_FACTORY_VERBS ||
        (q->digest.len != 0 && q->digest.len != 32) ||
        (q->station.len != 0 && q->station.len != 32) || q->count > UINT32_MAX ||
        q->first > UINT32_MAX || q->not_after > UINT32_MAX ||
        (q->verb == SERVICE_FACTORY_BUNDLE || q->verb == SERVICE_FACTORY_RESULTS) !=
            (file >= 0)) {
        service_die("a front asks for what it may not");
    }
    SERVICE_COUNT(queries);
    if (!have_registry(f)) {
        service_answer_later(&r.to);
        return;
    }
    rc = service_admit(f->ws->registry, q->key, may[q->verb], q->from, time(NULL), &r.key,
                       &r.err);
    if (rc == STAMP_OK && q->quarantine != 0 && r.key.role == STAMP_ROLE_STATION) {
        rc = service_refuse_role(&r.key, q->from); /* what it says is not judged by it */
    }
    if (rc == STAMP_OK) {
        answer_as(&r, q, file);
    } else if (rc == STAMP_E_MISSING || rc == STAMP_E_AUTH) {
        service_answer_not_admitted(&r.to, rc);
    } else {
        factory_refuse_error(&r, rc);
    }
}

static void hear_fronts(struct factory *f)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    for (unsigned i = 0; i < f->setup->fronts; i++) {
        while (service_channel_receive(&f->front[i], buf, &m) == SERVICE_GOT) {
            int file = f->front[i].file;

            f->front[i].file = -1;
            hear(f, &f->front[i], &m, file);
            if (file >= 0) {
                (void)close(file);
            }
        }
    }
}

/* ---- running ---- */

static void hear_control(struct factory *f)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&f->control, buf, &m)) == SERVICE_GOT) {
        f->stopping = f->stopping || m.type == SERVICE_STOP;
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void wait_for_some(struct factory *f)
{
    struct service_channel *all[SERVICE_FRONTS_MAX + 1];
    unsigned n = 0;

    for (; n < f->setup->fronts; n++) {
        all[n] = &f->front[n];
    }
    all[n++] = &f->control;
    service_channels_wait(all, n, REOPEN_MS);
}

/* A workspace without stations has none: then exports cannot be opened, and who sends one
 * is told why. */
static enum stamp_err open_home(struct factory *f, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_X509_AUTO *cert = NULL;
    char path[PATH_MAX];
    enum stamp_err rc = service_take_secret(&f->control, &passphrase, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_path(f->ws, "home.pem", path, err);
    }
    if (rc == STAMP_OK && access(path, F_OK) != 0) {
        (void)stamp_error_set(&f->no_home, STAMP_E_STATE, 0,
                              "no station is enrolled yet: stamp station enrol");
    } else if (rc == STAMP_OK && stamp_workspace_home(f->ws, NULL, passphrase, &f->home,
                                                      &cert, &f->no_home) != STAMP_OK) {
        service_log_error("no-reception", &f->no_home);
    }
    return rc;
}

static enum stamp_err open_all(struct factory *f, struct stamp_error *err)
{
    struct service_sandbox box = {
        .role = SERVICE_FACTORY, .books = f->where, .stations = f->stations};
    enum stamp_err rc = stamp_workspace_open(f->setup->dir, &f->ws, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_books(f->ws->dir, f->where, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_path(f->ws, "stations", f->stations, err);
    }
    if (rc == STAMP_OK) {
        rc = open_home(f, err);
    }
    return rc == STAMP_OK ? service_sandbox_enter(&box, err) : rc;
}

int service_factory(const struct stamp_service_setup *setup)
{
    static struct factory f;
    struct stamp_error err = STAMP_ERROR_INIT;

    f.setup = setup;
    service_channel_init(&f.control, SERVICE_FD_CONTROL);
    for (unsigned i = 0; i < setup->fronts; i++) {
        service_channel_init(&f.front[i], SERVICE_FD_FRONT + (int)i);
    }
    if (open_all(&f, &err) != STAMP_OK) {
        return service_failed(&err);
    }
    service_ready(&f.control);
    while (!f.stopping) {
        wait_for_some(&f);
        hear_fronts(&f);
        hear_control(&f);
    }
    for (unsigned i = 0; i < setup->fronts; i++) {
        (void)service_channel_flush(&f.front[i]);
    }
    for (unsigned i = 0; i < FACTORY_REPORTS; i++) {
        free(f.report[i].text);
    }
    EVP_PKEY_free(f.home);
    stamp_workspace_close(&f.ws);
    return 0;
}
