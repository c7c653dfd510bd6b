/*
 * The signer: holds the key of the certificate authority and signs what its own policy
 * allows, whoever asks: operational certificates with the names of a birth certificate of
 * this purpose, not longer than configured, and certificates for this server's names. It
 * reads nothing but messages of the books.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/issued.h"
#include "host/operational.h"
#include "host/workspace.h"
#include "service/log.h"
#include "service/names.h"
#include "service/process.h"
#include "service/sandbox.h"

enum { SKEW = 3600, DAY = 86400 };

struct signer {
    const struct stamp_service_setup *setup;
    struct service_channel control;
    struct service_channel books;
    struct stamp_workspace *ws;
    EVP_PKEY *key;
    struct stamp_operational_maker *maker;
    struct service_names names;
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

static enum stamp_err sign_server(struct signer *s, const struct service_sign *what,
                                  uint8_t *out, size_t *len, struct stamp_error *err)
{
    struct stamp_issued_asked asked = {.kind = STAMP_ISSUED_SERVER,
                                       .point = what->point,
                                       .organization = s->ws->profile->company,
                                       .name = s->names.name,
                                       .n_names = s->names.n,
                                       .purpose = s->ws->purpose,
                                       .pen = s->ws->profile->certificate.pen,
                                       .not_before = (time_t)what->not_before,
                                       .not_after = (time_t)what->not_after};
    uint8_t *der = NULL;
    enum stamp_err rc;

    if (!dates_are_fair(what, SERVICE_SERVER_DAYS)) {
        return refuse("a server's certificate with such dates", err);
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

/* Refused, and so for ever; anything else is a key that does not do its work. */
static bool is_policy(enum stamp_err rc)
{
    return rc == STAMP_E_STATE || rc == STAMP_E_FORMAT || rc == STAMP_E_PURPOSE ||
           rc == STAMP_E_RANGE || rc == STAMP_E_SPACE;
}

static void answer(struct signer *s, const struct service_message *m)
{
    struct service_message reply = {.type = SERVICE_SIGNED, .id = m->id};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t out[STAMP_MAX_CERTIFICATE];
    size_t len = 0;
    enum stamp_err rc = m->type == SERVICE_SIGN
                            ? sign_device(s, &m->u.sign, out, &len, &err)
                            : sign_server(s, &m->u.sign, out, &len, &err);

    if (rc == STAMP_OK) {
        reply.u.signed_.certificate = (struct stamp_slice){out, len};
    } else {
        reply.u.signed_.refused = is_policy(rc);
        reply.u.signed_.why =
            (struct stamp_slice){(const uint8_t *)err.what, strlen(err.what)};
    }
    service_channel_send(&s->books, &reply);
    if (rc != STAMP_OK && !is_policy(rc)) { /* a token that was pulled: open it anew */
        service_log_error("failed", &err);
        service_die("it cannot sign");
    }
}

/* ---- running ---- */

static enum stamp_err take_secret(struct signer *s, struct stamp_secret **out,
                                  struct stamp_error *err)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum stamp_err rc = STAMP_OK;

    if (service_channel_receive(&s->control, buf, &m) == SERVICE_GOT &&
        m.type == SERVICE_SECRET) {
        rc = stamp_secret_new(out, m.u.secret.p, m.u.secret.len, err);
    }
    OPENSSL_cleanse(buf, sizeof buf);
    return rc;
}

static enum stamp_err open_all(struct signer *s, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    enum stamp_err rc = stamp_workspace_open_keys(s->setup->dir, &s->ws, err);

    if (rc == STAMP_OK) {
        rc = take_secret(s, &passphrase, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_key(s->ws, STAMP_WORKSPACE_SUB_CA, passphrase, &s->key, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_operational_new(s->ws->sub_ca, s->key, &s->maker, err);
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
        if (m.type != SERVICE_SIGN && m.type != SERVICE_SIGN_SERVER) {
            service_die("the books ask for what they may not");
        }
        answer(s, &m);
    }
}

int service_signer(const struct stamp_service_setup *setup)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct signer s = {.setup = setup};

    service_channel_init(&s.control, SERVICE_FD_CONTROL);
    service_channel_init(&s.books, SERVICE_FD_BOOKS);
    if (open_all(&s, &err) != STAMP_OK || go_in(&s, &err) != STAMP_OK) {
        return service_failed(&err);
    }
    service_ready(&s.control);
    while (!s.stopping) {
        struct pollfd fds[] = {{.fd = s.control.fd, .events = POLLIN},
                               {.fd = s.books.fd, .events = POLLIN}};

        if (!service_channel_flush(&s.books)) {
            fds[1].events |= POLLOUT;
        }
        (void)poll(fds, 2, -1);
        hear_books(&s);
        hear_control(&s);
    }
    (void)service_channel_flush(&s.books);
    stamp_operational_free(&s.maker);
    EVP_PKEY_free(s.key);
    stamp_workspace_close(&s.ws);
    return 0;
}
