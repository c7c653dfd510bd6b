/*
 * The signer: holds the key of the certificate authority and signs what its own policy
 * allows, whoever asks: operational certificates with the names of a birth certificate of
 * this purpose, not longer than configured, and certificates for this server's names. It
 * reads nothing but messages of books, status and batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/birth.h"
#include "host/crl.h"
#include "host/issued.h"
#include "host/operational.h"
#include "host/pki.h"
#include "host/workspace.h"
#include "service/log.h"
#include "service/names.h"
#include "service/process.h"
#include "service/sandbox.h"
#include "service/status.h"

enum { SKEW = 3600, DAY = 86400, MINUTE = 60 };

/* How many certificates of a kind may be signed, for now. */
struct allowance {
    const char *option; /* that sets it */
    uint32_t a_minute, left;
    time_t filled_at;
    time_t alarmed_at;
};

struct signer {
    const struct stamp_service_setup *setup;
    struct service_channel control;
    struct service_channel books;
    struct service_channel status;
    struct service_channel batches;
    struct stamp_workspace *ws;
    EVP_PKEY *key;
    struct stamp_operational_maker *maker;
    struct stamp_birth_maker *births;
    time_t ca_from;        /* when the authority's certificate begins */
    struct stamp_crl *crl; /* a list that goes by */
    struct service_names names;
    struct allowance devices, batched;
    bool stopping;
};

/* ---- what may be signed ---- */

/* From about now, and no longer than its kind is allowed. */
static bool dates_are_fair(const struct service_sign *s, uint32_t days)
{
    time_t now = time(NULL);
    time_t from = (time_t)s->not_before;
    time_t to = (time_t)s->not_after;

    return s->not_before < INT64_MAX && s->not_after < INT64_MAX && from <= now + SKEW &&
           from >= now - 2 * DAY && to > from && to - from <= (time_t)days * DAY;
}

static enum stamp_err refuse(const char *why, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_STATE, 0, "%s", why);
}

static enum stamp_err sign_device(struct signer *s, const struct service_sign *what,
                                  uint8_t *out, size_t *len, struct stamp_error *err)
{
    struct stamp_operational o = {.point = what->point,
                                  .birth = what->birth,
                                  .not_before = (time_t)what->not_before,
                                  .not_after = (time_t)what->not_after};

    if (!dates_are_fair(what, s->setup->days)) {
        return refuse("a device's certificate with such dates", err);
    }
    memcpy(o.serial_number, what->serial_number, sizeof o.serial_number);
    return stamp_operational_make(s->maker, &o, out, len, err);
}

/* For a unit of a work order, whose station and place the books have checked. What it may
 * be named is the profile's; it may not begin before its authority, or in the future. */
static enum stamp_err sign_unit(struct signer *s, const struct service_sign_unit *what,
                                uint8_t *out, size_t *len, struct stamp_error *err)
{
    char serial[STAMP_SERIAL_SIZE];
    struct stamp_birth b = {.serial = serial,
                            .point = what->point,
                            .digest = what->digest,
                            .not_before = (time_t)what->not_before};

    if (what->not_before > (uint64_t)(time(NULL) + SKEW) ||
        (time_t)what->not_before < s->ca_from) {
        return refuse("a birth certificate with such a date", err);
    }
    if (what->serial.len == 0 ||
        (what->provisioning.len != 0 && what->provisioning.len != STAMP_POINT_SIZE)) {
        return refuse("a birth certificate for no such device", err);
    }
    service_text(what->serial, serial, sizeof serial);
    b.provisioning = what->provisioning.len == 0 ? NULL : what->provisioning.p;
    memcpy(b.serial_number, what->serial_number, sizeof b.serial_number);
    return stamp_birth_make(s->births, &b, out, len, err);
}

/* For this server, for who answers in the authority's name, or who makes keys. */
static enum stamp_err sign_issued(struct signer *s, enum stamp_issued_kind kind,
                                  const struct service_sign *what, uint8_t *out,
                                  size_t *len, struct stamp_error *err)
{
    static const char *const ocsp = "OCSP";
    static const char *const maker = "Key maker";
    bool server = kind == STAMP_ISSUED_SERVER;
    struct stamp_issued_asked asked = {.kind = kind,
                                       .point = what->point,
                                       .organization = s->ws->profile->company,
                                       .name = server ? s->names.name
                                               : kind == STAMP_ISSUED_MAKER ? &maker
                                                                            : &ocsp,
                                       .n_names = server ? s->names.n : 1,
                                       .purpose = s->ws->purpose,
                                       .pen = s->ws->profile->certificate.pen,
                                       .not_before = (time_t)what->not_before,
                                       .not_after = (time_t)what->not_after};
    uint8_t *der = NULL;
    enum stamp_err rc;

    if (!dates_are_fair(what, kind == STAMP_ISSUED_OCSP ? STATUS_KEY_DAYS
                                                        : SERVICE_SERVER_DAYS)) {
        return refuse("a certificate of the service with such dates", err);
    }
    memcpy(asked.serial_number, what->serial_number, sizeof asked.serial_number);
    rc = stamp_issued_make(&asked, s->ws->sub_ca, s->key, &der, len, err);
    if (rc == STAMP_OK && *len > STAMP_MAX_CERTIFICATE) {
        rc = stamp_error_set(err, STAMP_E_SPACE, 0, "too long a certificate");
    }
    if (rc == STAMP_OK) {
        memcpy(out, der, *len);
    }
    OPENSSL_free(der);
    return rc;
}

/* Whoever asks, and whatever the books say: no more than this leaves the authority. What
 * is not used in a minute is not kept for the next one. */
static bool is_within(struct allowance *a)
{
    time_t now = time(NULL);

    if (now / MINUTE != a->filled_at / MINUTE) {
        a->left = a->a_minute;
        a->filled_at = now;
    }
    if (a->left > 0) {
        a->left--;
        return true;
    }
    if (now / MINUTE != a->alarmed_at / MINUTE) {
        char why[64];

        a->alarmed_at = now;
        (void)snprintf(why, sizeof why, "more certificates than %s allows in a minute",
                       a->option);
        service_log("alarm", "why", why, NULL);
    }
    return false;
}

/* Refused, and so for ever; anything else is a key that does not do its work. */
static bool is_policy(enum stamp_err rc)
{
    return rc == STAMP_E_STATE || rc == STAMP_E_FORMAT || rc == STAMP_E_PURPOSE ||
           rc == STAMP_E_RANGE || rc == STAMP_E_SPACE;
}

static enum stamp_err sign(struct signer *s, const struct service_message *m,
                           uint8_t *out, size_t *len, struct stamp_error *err)
{
    if (m->type == SERVICE_SIGN) {
        return sign_device(s, &m->u.sign, out, len, err);
    }
    if (m->type == SERVICE_SIGN_UNIT) {
        return sign_unit(s, &m->u.sign_unit, out, len, err);
    }
    return sign_issued(s,
                       m->type == SERVICE_SIGN_OCSP    ? STAMP_ISSUED_OCSP
                       : m->type == SERVICE_SIGN_MAKER ? STAMP_ISSUED_MAKER
                                                       : STAMP_ISSUED_SERVER,
                       &m->u.sign, out, len, err);
}

static void answer(struct signer *s, struct service_channel *to,
                   const struct service_message *m)
{
    struct service_message reply = {.type = SERVICE_SIGNED, .id = m->id};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t out[STAMP_MAX_CERTIFICATE];
    size_t len = 0;
    bool device = m->type == SERVICE_SIGN || m->type == SERVICE_SIGN_UNIT;
    enum stamp_err rc = STAMP_OK;

    if (device && !is_within(to == &s->batches ? &s->batched : &s->devices)) {
        reply.u.signed_.why = (struct stamp_slice){(const uint8_t *)"rate", 4};
        service_channel_post(to, &reply);
        return; /* later */
    }
    rc = sign(s, m, out, &len, &err);
    if (rc == STAMP_OK) {
        reply.u.signed_.certificate = (struct stamp_slice){out, len};
    } else {
        reply.u.signed_.refused = is_policy(rc);
        reply.u.signed_.why =
            (struct stamp_slice){(const uint8_t *)err.what, strlen(err.what)};
    }
    service_channel_post(to, &reply);
    if (rc != STAMP_OK && !is_policy(rc)) { /* a token that was pulled: open it anew */
        (void)service_channel_flush(to);
        service_log_error("failed", &err);
        service_die("it cannot sign");
    }
}

/* ---- lists ---- */

static enum stamp_err begin_list(struct signer *s, const struct service_crl_begin *b,
                                 struct stamp_error *err)
{
    const struct stamp_crl_what what = {b->number, (time_t)b->this_update,
                                        (time_t)b->next_update, b->entries_len};
    time_t now = time(NULL);

    stamp_crl_free(&s->crl);
    if (b->this_update > INT64_MAX || b->next_update > INT64_MAX ||
        what.this_update > now + SKEW || what.this_update < now - 2 * DAY ||
        what.next_update > now + (time_t)STATUS_LIST_DAYS_MAX * DAY) {
        return refuse("a list with such dates", err);
    }
    if (stamp_crl_new(s->ws->sub_ca, s->key, &s->crl, err) != STAMP_OK) {
        return err->code;
    }
    return stamp_crl_begin(s->crl, &what, err);
}

static enum stamp_err no_list(struct stamp_error *err)
{
    return refuse("a part of no list", err);
}

/* Its entries are only hashed: what is around them makes it a list, whatever they are. */
static void answer_list(struct signer *s, const struct service_message *m)
{
    struct service_message reply = {.type = SERVICE_CRL_SIGNED, .id = m->id};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t head[STAMP_CRL_HEAD_MAX];
    uint8_t tail[STAMP_CRL_TAIL_MAX];
    enum stamp_err rc = STAMP_OK;

    if (m->type == SERVICE_CRL_BEGIN) {
        rc = begin_list(s, &m->u.crl_begin, &err);
    } else if (m->type == SERVICE_CRL_PART) {
        rc = s->crl == NULL
                 ? no_list(&err)
                 : stamp_crl_add(s->crl, m->u.crl_part.p, m->u.crl_part.len, &err);
    } else {
        rc = s->crl == NULL ? no_list(&err)
                            : stamp_crl_end(s->crl, head, &reply.u.crl_signed.head.len,
                                            tail, &reply.u.crl_signed.tail.len, &err);
    }
    if (rc == STAMP_OK && m->type != SERVICE_CRL_END) {
        return;
    }
    if (rc == STAMP_OK) {
        reply.u.crl_signed.head.p = head;
        reply.u.crl_signed.tail.p = tail;
    } else {
        reply.u.crl_signed = (struct service_crl_signed){
            .why = {(const uint8_t *)err.what, strlen(err.what)}};
    }
    stamp_crl_free(&s->crl);
    service_channel_send(&s->status, &reply);
    if (rc != STAMP_OK && !is_policy(rc)) {
        service_log_error("failed", &err);
        service_die("it cannot sign");
    }
}

/* ---- running ---- */

static enum stamp_err open_all(struct signer *s, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    enum stamp_err rc = stamp_workspace_open_keys(s->setup->dir, &s->ws, err);

    if (rc == STAMP_OK) {
        rc = service_take_secret(&s->control, &passphrase, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_key(s->ws, STAMP_WORKSPACE_SUB_CA, passphrase, &s->key, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_operational_new(s->ws->sub_ca, s->key, &s->maker, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_birth_new(s->ws->profile, s->ws->purpose, s->ws->sub_ca, s->key,
                             &s->births, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_pki_time(X509_get0_notBefore(s->ws->sub_ca), &s->ca_from)
                 ? STAMP_OK
                 : stamp_openssl_failed(err, "cannot read when the authority begins");
    }
    if (rc == STAMP_OK) {
        rc = service_names_init(&s->names, s->setup, err);
    }
    return rc;
}

static enum stamp_err go_in(const struct signer *s, struct stamp_error *err)
{
    const struct service_sandbox box = {
        .role = SERVICE_SIGNER,
        .token = stamp_workspace_key_in_token(s->ws, STAMP_WORKSPACE_SUB_CA)};

    return service_sandbox_enter(&box, err);
}

static void hear_control(struct signer *s)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&s->control, buf, &m)) == SERVICE_GOT) {
        s->stopping = s->stopping || m.type == SERVICE_STOP;
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void hear_books(struct signer *s)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    while (service_channel_receive(&s->books, buf, &m) == SERVICE_GOT) {
        if (m.type != SERVICE_SIGN && m.type != SERVICE_SIGN_SERVER &&
            m.type != SERVICE_SIGN_UNIT && m.type != SERVICE_SIGN_MAKER) {
            service_die("the books ask for what they may not");
        }
        answer(s, &s->books, &m);
    }
}

static void hear_status(struct signer *s)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    while (service_channel_receive(&s->status, buf, &m) == SERVICE_GOT) {
        if (m.type == SERVICE_SIGN_OCSP) {
            answer(s, &s->status, &m);
        } else if (m.type == SERVICE_CRL_BEGIN || m.type == SERVICE_CRL_PART ||
                   m.type == SERVICE_CRL_END) {
            answer_list(s, &m);
        } else {
            service_die("the status asks for what it may not");
        }
    }
}

/* Births alone: in what batch and under which serial, the batches have from the books. */
static void hear_batches(struct signer *s)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    while (service_channel_receive(&s->batches, buf, &m) == SERVICE_GOT) {
        if (m.type != SERVICE_SIGN_UNIT) {
            service_die("the batches ask for what they may not");
        }
        answer(s, &s->batches, &m);
    }
}

int service_signer(const struct stamp_service_setup *setup)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct signer s = {
        .setup = setup,
        .devices = {.option = "--rate", .a_minute = setup->rate},
        .batched = {.option = "--batch-rate", .a_minute = setup->batch_rate}};
    struct service_channel *const all[] = {&s.control, &s.books, &s.status, &s.batches};

    service_channel_init(&s.control, SERVICE_FD_CONTROL);
    service_channel_init(&s.books, SERVICE_FD_BOOKS);
    service_channel_init(&s.status, SERVICE_FD_STATUS);
    service_channel_init(&s.batches, SERVICE_FD_SIGNER_BATCHES);
    if (open_all(&s, &err) != STAMP_OK || go_in(&s, &err) != STAMP_OK) {
        return service_failed(&err);
    }
    service_ready(&s.control);
    while (!s.stopping) {
        service_channels_wait(all, sizeof all / sizeof all[0], -1);
        hear_books(&s);
        hear_status(&s);
        hear_batches(&s);
        hear_control(&s);
    }
    (void)service_channel_flush(&s.books);
    (void)service_channel_flush(&s.batches);
    stamp_operational_free(&s.maker);
    stamp_birth_free(&s.births);
    stamp_crl_free(&s.crl);
    EVP_PKEY_free(s.key);
    stamp_workspace_close(&s.ws);
    return 0;
}
