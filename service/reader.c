/*
 * The reader: answers what programs ask of devices and of the transparency log. It reads
 * the registry and writes nothing, has no key, and reads nothing but messages. Who may
 * ask what is one table here.
 */
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/merkle.h"
#include "host/workspace_signer.h"
#include "service/counters.h"
#include "service/log.h"
#include "service/reader_own.h"
#include "service/reopen.h"
#include "service/sandbox.h"

enum {
    REOPEN_MS = 1000,
    KEY_WAIT_MS = 3000 /* for the log key to be made, at the first start */
};

/* ---- who may ---- */

#define MAY(role) (1u << STAMP_ROLE_##role)

static const unsigned may[SERVICE_QUERY_VERBS] = {
    [SERVICE_QUERY_DEVICE] =
        MAY(ADMIN) | MAY(FACTORY) | MAY(SUPPORT) | MAY(AUDITOR) | MAY(DEVICE),
    [SERVICE_QUERY_DEVICES] = MAY(ADMIN) | MAY(SUPPORT) | MAY(AUDITOR),
    [SERVICE_QUERY_RECEIPT] = MAY(ADMIN) | MAY(SUPPORT) | MAY(AUDITOR) | MAY(DEVICE),
    [SERVICE_QUERY_HEAD] = MAY(ADMIN) | MAY(SUPPORT) | MAY(AUDITOR),
    [SERVICE_QUERY_ENTRIES] = MAY(ADMIN) | MAY(AUDITOR),
    [SERVICE_QUERY_PROOF] = MAY(ADMIN) | MAY(AUDITOR),
    [SERVICE_QUERY_GROWTH] = MAY(ADMIN) | MAY(AUDITOR),
    [SERVICE_QUERY_BATCH] = MAY(ADMIN) | MAY(FACTORY) | MAY(AUDITOR),
    [SERVICE_QUERY_ORDER] = MAY(ADMIN) | MAY(FACTORY) | MAY(AUDITOR),
    [SERVICE_QUERY_BATCHES] = MAY(ADMIN) | MAY(FACTORY) | MAY(AUDITOR),
    [SERVICE_QUERY_ORDERS] = MAY(ADMIN) | MAY(FACTORY) | MAY(AUDITOR),
    [SERVICE_QUERY_STATIONS] = MAY(ADMIN) | MAY(FACTORY) | MAY(AUDITOR),
    [SERVICE_QUERY_POP] = MAY(ADMIN) | MAY(SUPPORT),
    [SERVICE_QUERY_PRODUCTS] = MAY(ADMIN) | MAY(FACTORY) | MAY(SUPPORT) | MAY(AUDITOR),
};

/* ---- answering ---- */

void reader_refuse_error(struct reader_reply *r, enum stamp_err rc)
{
    if (rc == STAMP_E_MISSING) {
        service_answer_problem(&r->to, ANSWER_NOT_FOUND, r->err.what);
        return;
    }
    if (rc == STAMP_E_RANGE) {
        service_answer_problem(&r->to, ANSWER_UNPROCESSABLE, r->err.what);
        return;
    }
    service_reopen_after(&r->r->registry, &r->r->tried_at, &r->err, "reader-failed");
    service_answer_later(&r->to);
}

/* ---- questions ---- */

/* A device may ask about itself: with one of its certificates, or with an API key of that
 * role that has its serial for a name. */
static bool is_about_itself(struct reader_reply *r, const struct service_query *q,
                            bool *is)
{
    char serial[SERVICE_ID_MAX + 1];
    enum stamp_err rc;

    *is = false;
    if (q->by_certificate == 0 ||
        (q->verb != SERVICE_QUERY_DEVICE && q->verb != SERVICE_QUERY_RECEIPT)) {
        return true;
    }
    service_text(q->text, serial, sizeof serial);
    rc = reader_is_of(r, serial, q->key, is);
    if (rc != STAMP_OK) {
        reader_refuse_error(r, rc);
    }
    return rc == STAMP_OK;
}

static bool is_named(const struct stamp_apikey *key, const struct service_query *q)
{
    return strlen(key->name) == q->text.len &&
           memcmp(key->name, q->text.p, q->text.len) == 0;
}

/* Whoever has the owner's key, too, can claim the device. */
static void say_pop(const struct stamp_apikey *key, const struct service_query *q)
{
    char serial[SERVICE_ID_MAX + 1];
    char from[SERVICE_FROM_MAX + 1];

    service_text(q->text, serial, sizeof serial);
    service_text(q->address, from, sizeof from);
    service_log("sealed-proof", "device", serial, "by", key->name, "from", from, NULL);
}

static bool admit(struct reader_reply *r, const struct service_query *q)
{
    struct stamp_apikey key;
    bool is;
    enum stamp_err rc;

    if (!is_about_itself(r, q, &is) || is) {
        return is;
    }
    rc = service_admit(r->r->registry, q->key, may[q->verb], q->address, time(NULL), &key,
                       &r->err);
    if (rc == STAMP_OK && key.role == STAMP_ROLE_DEVICE && !is_named(&key, q)) {
        rc = service_refuse_role(&key, q->address);
    }
    if (rc == STAMP_E_MISSING || rc == STAMP_E_AUTH) {
        service_answer_not_admitted(&r->to, rc);
    } else if (rc != STAMP_OK) {
        reader_refuse_error(r, rc);
    } else if (q->verb == SERVICE_QUERY_POP) {
        say_pop(&key, q);
    }
    return rc == STAMP_OK;
}

static void answer(struct reader_reply *r, const struct service_query *q)
{
    char serial[SERVICE_ID_MAX + 1];

    service_text(q->text, serial, sizeof serial);
    switch (q->verb) {
    case SERVICE_QUERY_DEVICE:
        reader_device(r, serial);
        break;
    case SERVICE_QUERY_DEVICES:
        reader_devices(r, q);
        break;
    case SERVICE_QUERY_RECEIPT:
        reader_receipt(r, serial);
        break;
    case SERVICE_QUERY_HEAD:
        reader_log_head(r);
        break;
    case SERVICE_QUERY_ENTRIES:
        reader_log_entries(r, q);
        break;
    case SERVICE_QUERY_BATCH:
        reader_batch(r, serial);
        break;
    case SERVICE_QUERY_ORDER:
        reader_order(r, serial);
        break;
    case SERVICE_QUERY_BATCHES:
        reader_batches(r, q);
        break;
    case SERVICE_QUERY_ORDERS:
        reader_orders(r, q);
        break;
    case SERVICE_QUERY_STATIONS:
        reader_stations(r);
        break;
    case SERVICE_QUERY_PRODUCTS:
        reader_products(r);
        break;
    case SERVICE_QUERY_POP:
        reader_pop(r, serial);
        break;
    case SERVICE_QUERY_PROOF:
    case SERVICE_QUERY_GROWTH:
    default:
        reader_log_proof(r, q);
        break;
    }
}

static bool have_registry(struct reader *r)
{
    return service_reopen(&r->registry, &r->tried_at, r->where, "reader-failed");
}

static void hear_fronts(struct reader *r)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    for (unsigned i = 0; i < r->setup->fronts; i++) {
        while (service_channel_receive(&r->front[i], buf, &m) == SERVICE_GOT) {
            struct reader_reply reply = {
                .r = r, .to = {&r->front[i], m.id}, .err = STAMP_ERROR_INIT};

            if (m.type != SERVICE_QUERY || m.u.query.verb >= SERVICE_QUERY_VERBS ||
                m.u.query.limit < 1 || m.u.query.limit > SERVICE_PAGE_MAX ||
                m.u.query.from > INT64_MAX || m.u.query.batch > INT32_MAX) {
                service_die("a front asks for what it may not");
            }
            SERVICE_COUNT(queries);
            if (!have_registry(r)) {
                service_answer_later(&reply.to);
            } else if (admit(&reply, &m.u.query)) {
                answer(&reply, &m.u.query);
            }
        }
    }
}

/* ---- running ---- */

static void hear_control(struct reader *r)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&r->control, buf, &m)) == SERVICE_GOT) {
        r->stopping = r->stopping || m.type == SERVICE_STOP;
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void wait_for_some(struct reader *r)
{
    struct service_channel *all[SERVICE_FRONTS_MAX + 1];
    unsigned n = 0;

    for (; n < r->setup->fronts; n++) {
        all[n] = &r->front[n];
    }
    all[n++] = &r->control;
    service_channels_wait(all, n, REOPEN_MS);
}

/* The process "log" makes it when the service is started for the first time. */
static void find_certificate(struct reader *r, const struct stamp_workspace *ws)
{
    const struct timespec pause = {0, 50 * 1000000L};

    for (int ms = 0; ms < KEY_WAIT_MS; ms += 50) {
        if (stamp_workspace_signer_certificate(ws, STAMP_ARC_LOG_SIGNER,
                                               &r->log_certificate, NULL) == STAMP_OK) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    service_log("no-receipts", "why", "there is no log key: stamp log head", NULL);
}

/* OpenSSL and jansson do everything once before the sandbox: they read files of their own
 * when they do something for the first time. */
static void warm_up(void)
{
    static const uint8_t bytes[3] = {1, 2, 3};
    EVP_MD_CTX *md = stamp_merkle_md();
    char *text;
    json_t *j =
        json_pack("{s:o, s:f}", "x", service_base64(bytes, sizeof bytes), "y", 1.5);

    text = j == NULL ? NULL : json_dumps(j, JSON_COMPACT);
    free(text);
    json_decref(j);
    EVP_MD_CTX_free(md);
}

static enum stamp_err open_all(struct reader *r, struct stamp_error *err)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct service_sandbox box = {.role = SERVICE_READER, .books = r->where};
    enum stamp_err rc = stamp_workspace_open_keys(r->setup->dir, &ws, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_books(ws->dir, r->where, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_open(r->where, &r->registry, err);
    }
    if (rc == STAMP_OK) {
        find_certificate(r, ws);
        warm_up();
        rc = service_sandbox_enter(&box, err);
    }
    return rc;
}

int service_reader(const struct stamp_service_setup *setup)
{
    static struct reader r;
    struct stamp_error err = STAMP_ERROR_INIT;

    r.setup = setup;
    service_channel_init(&r.control, SERVICE_FD_CONTROL);
    for (unsigned i = 0; i < setup->fronts; i++) {
        service_channel_init(&r.front[i], SERVICE_FD_FRONT + (int)i);
    }
    if (open_all(&r, &err) != STAMP_OK) {
        return service_failed(&err);
    }
    service_ready(&r.control);
    while (!r.stopping) {
        wait_for_some(&r);
        hear_fronts(&r);
        hear_control(&r);
    }
    for (unsigned i = 0; i < setup->fronts; i++) {
        (void)service_channel_flush(&r.front[i]);
    }
    stamp_registry_close(&r.registry);
    X509_free(r.log_certificate);
    return 0;
}
