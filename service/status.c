/*
 * The status: what is revoked, said in lists (CRL, RFC 5280) and answers (OCSP, RFC 6960
 * and 5019). It reads the registry, and has the key of a certificate with which the
 * authority lets it answer. Lists are the authority's own: their entries go to the
 * signer, which makes a list around them.
 */
#include "service/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/certificate.h"
#include "host/key.h"
#include "host/ocsp.h"
#include "host/pki.h"
#include "host/registry_issued.h"
#include "host/workspace.h"
#include "service/counters.h"
#include "service/log.h"
#include "service/process.h"
#include "service/sandbox.h"

enum {
    DAY = 86400,
    LIST_DAYS = 7,  /* until the next list; made anew after half of it */
    ANSWER_S = DAY, /* an answer is good for */
    SKEW_S = 300,   /* clocks of clients that are late */
    AGAIN_S = 5,    /* after something failed */
    LOOK_MS = 1000  /* for new revocations */
};

/* A list that is being made. */
struct list {
    int entries; /* a file; -1 = none is made */
    uint64_t id; /* of its messages */
    uint64_t len, sent, count;
    struct stamp_crl_what what;
    bool ended; /* all is with the signer */
};

struct status {
    const struct stamp_service_setup *setup;
    char where[PATH_MAX];
    struct stamp_registry *registry;
    struct stamp_workspace *ws;
    struct stamp_ca ca;
    struct service_channel control, signer;
    struct service_channel front[SERVICE_FRONTS_MAX];
    EVP_PKEY *next_key; /* waits for its certificate */
    EVP_PKEY *key;
    X509 *cert;
    time_t renew_at;                               /* the certificate */
    uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE]; /* that was asked for */
    uint8_t point[STAMP_POINT_SIZE];               /* of next_key */
    uint64_t key_id, sequence; /* of what the signer is asked: for it, for all */
    struct list list;
    int file; /* of the list that is told; -1 = none yet */
    struct service_message told;
    int64_t mark;   /* of the registry, when it was made */
    time_t list_at; /* make the next one */
    bool front_has[SERVICE_FRONTS_MAX];
    bool ready, stopping;
};

/* ---- the certificate ---- */

static enum stamp_err ask_certificate(struct status *s, struct stamp_error *err)
{
    uint8_t prefix[STAMP_CERTIFICATE_PREFIX_SIZE];
    struct stamp_issued i = {.kind = STAMP_ISSUED_OCSP,
                             .at = time(NULL),
                             .not_after = time(NULL) + (time_t)STATUS_KEY_DAYS * DAY,
                             .name = "OCSP"};
    struct service_message m = {.type = SERVICE_SIGN_OCSP,
                                .id = s->key_id = ++s->sequence};
    enum stamp_err rc;

    stamp_free_pkey(&s->next_key);
    rc = stamp_key_generate(&s->next_key, err);
    if (rc == STAMP_OK) {
        rc = stamp_key_point(s->next_key, m.u.sign.point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(m.u.sign.point, i.fingerprint, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_certificate_block(s->registry, prefix, err);
    }
    if (rc == STAMP_OK) {
        stamp_registry_certificate_serial(prefix, 1, i.certificate_serial);
        rc = stamp_registry_issued_add(s->registry, &i, err);
    }
    if (rc == STAMP_OK) {
        memcpy(s->number, i.certificate_serial, sizeof s->number);
        memcpy(s->point, m.u.sign.point, sizeof s->point);
        memcpy(m.u.sign.serial_number, i.certificate_serial, sizeof s->number);
        m.u.sign.not_before = (uint64_t)i.at;
        m.u.sign.not_after = (uint64_t)i.not_after;
        service_channel_send(&s->signer, &m);
    }
    return rc;
}

static enum stamp_err take_certificate(struct status *s, const struct service_signed *m,
                                       struct stamp_error *err)
{
    X509 *cert = NULL;
    enum stamp_err rc =
        m->certificate.len == 0
            ? stamp_error_set(err, STAMP_E_STATE, 0, "the signer gives no certificate")
        : !stamp_certificate_is(m->certificate, s->number, s->point)
            ? stamp_error_set(err, STAMP_E_STATE, 0,
                              "the signer gives another certificate")
            : stamp_pki_decode(m->certificate, &cert, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_issued_certify(s->registry, s->number, m->certificate, err);
    }
    if (rc != STAMP_OK || s->next_key == NULL) {
        X509_free(cert);
        return rc;
    }
    EVP_PKEY_free(s->key);
    X509_free(s->cert);
    s->key = s->next_key;
    s->next_key = NULL;
    s->cert = cert;
    return STAMP_OK;
}

/* ---- answers ---- */

/* Signed, in DER; 0 where OpenSSL fails. */
static size_t make_response(const struct status *s, const struct service_ocsp *asked,
                            struct stamp_ocsp_single *single, uint8_t **der,
                            struct stamp_error *err)
{
    struct stamp_ocsp *o = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_ocsp_new(s->ws->sub_ca, &o, err);

    single->md = asked->hash == SERVICE_OCSP_SHA1 ? EVP_sha1() : EVP_sha256();
    single->serial_number = asked->serial_number;
    if (rc == STAMP_OK) {
        rc = stamp_ocsp_add(o, single, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_ocsp_sign(o, s->cert, s->key, der, &len, err);
    }
    stamp_ocsp_free(&o);
    return rc == STAMP_OK ? len : 0;
}

static void answer(struct status *s, unsigned front, const struct service_message *m)
{
    const struct service_ocsp *asked = &m->u.ocsp;
    struct service_message reply = {.type = SERVICE_OCSP_ANSWER, .id = m->id};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE] = {0};
    time_t now = time(NULL);
    struct stamp_ocsp_single single = {.status = STAMP_CERTIFICATE_UNKNOWN,
                                       .this_update = now - SKEW_S,
                                       .next_update = now + ANSWER_S};
    uint8_t *der = NULL;
    enum stamp_err rc = STAMP_OK;
    size_t len = 0;

    if (asked->serial_number.len > 0 && asked->serial_number.len <= sizeof number) {
        memcpy(number + sizeof number - asked->serial_number.len, asked->serial_number.p,
               asked->serial_number.len);
        rc = stamp_registry_certificate_status(s->registry, &s->ca, number,
                                               &single.status, &single.revocation, &err);
    }
    if (rc == STAMP_OK && s->cert != NULL) {
        len = make_response(s, asked, &single, &der, &err);
    }
    if (err.code != STAMP_OK) {
        service_log_error("status-failed", &err);
    }
    if (len > 0 && len <= SERVICE_OCSP_MAX) {
        SERVICE_COUNT(ocsp_made);
        reply.u.ocsp_answer = (struct service_ocsp_answer){
            {der, len}, (uint64_t)single.this_update, (uint64_t)single.next_update};
    }
    service_channel_send(&s->front[front], &reply);
    OPENSSL_free(der);
    if (rc == STAMP_E_DATABASE) {
        service_die("the registry is out of reach");
    }
}

/* ---- the list ---- */

static void drop_list(struct status *s)
{
    if (s->list.entries >= 0) {
        (void)close(s->list.entries);
    }
    s->list = (struct list){.entries = -1};
}

/* A file without a name. */
static int temporary(void)
{
    return open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

static enum stamp_err gather(struct status *s, struct stamp_error *err)
{
    time_t now = time(NULL);
    int64_t number = 0;
    enum stamp_err rc;

    drop_list(s);
    s->list.entries = temporary();
    if (s->list.entries < 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "no temporary file in /tmp: %s",
                               strerror(errno));
    }
    rc = stamp_crl_gather(s->registry, &s->ca, now, s->list.entries, &s->list.len,
                          &s->list.count, err);
    if (rc == STAMP_OK) {
        rc = stamp_registry_crl_number(s->registry, &number, err);
    }
    s->list.what = (struct stamp_crl_what){.number = (uint64_t)number,
                                           .this_update = now,
                                           .next_update = now + (time_t)LIST_DAYS * DAY,
                                           .entries_len = s->list.len};
    return rc;
}

static void send_begin(struct status *s)
{
    const struct stamp_crl_what *w = &s->list.what;
    const struct service_message m = {.type = SERVICE_CRL_BEGIN,
                                      .id = s->list.id = ++s->sequence,
                                      .u.crl_begin = {w->number, (uint64_t)w->this_update,
                                                      (uint64_t)w->next_update,
                                                      w->entries_len}};

    s->list.sent = 0;
    s->list.ended = false;
    service_channel_send(&s->signer, &m);
}

/* As much as the signer takes now: nothing of it waits in memory. */
static void send_parts(struct status *s)
{
    uint8_t buf[SERVICE_PART_MAX];
    struct service_message m = {.type = SERVICE_CRL_PART, .id = s->list.id};

    while (s->list.entries >= 0 && !s->list.ended && s->signer.first == NULL) {
        ssize_t n = pread(s->list.entries, buf, sizeof buf, (off_t)s->list.sent);

        if (n < 0) {
            service_die("the entries of a list cannot be read");
        }
        if (n == 0) {
            m.type = SERVICE_CRL_END;
            s->list.ended = true;
        } else {
            m.u.crl_part = (struct stamp_slice){buf, (size_t)n};
            s->list.sent += (uint64_t)n;
        }
        service_channel_send(&s->signer, &m);
    }
}

static bool copy_entries(int to, int from)
{
    uint8_t buf[SERVICE_PART_MAX];
    off_t at = 0;
    ssize_t n;

    while ((n = pread(from, buf, sizeof buf, at)) > 0) {
        if (write(to, buf, (size_t)n) != n) {
            return false;
        }
        at += n;
    }
    return n == 0;
}

static void tell_list(struct status *s)
{
    for (unsigned i = 0; i < s->setup->fronts; i++) {
        if (s->file >= 0 && !s->front_has[i]) {
            s->front_has[i] = service_channel_send_file(&s->front[i], &s->told, s->file);
        }
    }
}

static enum stamp_err finish_list(struct status *s, const struct service_crl_signed *m,
                                  struct stamp_error *err)
{
    int file = temporary();
    char count[24];

    if (file < 0 || write(file, m->head.p, m->head.len) != (ssize_t)m->head.len ||
        !copy_entries(file, s->list.entries) ||
        write(file, m->tail.p, m->tail.len) != (ssize_t)m->tail.len) {
        if (file >= 0) {
            (void)close(file);
        }
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot write a list: %s",
                               strerror(errno));
    }
    if (s->file >= 0) {
        (void)close(s->file);
    }
    s->file = file;
    s->told = (struct service_message){.type = SERVICE_CRL,
                                       .u.crl = {m->head.len + s->list.len + m->tail.len,
                                                 (uint64_t)s->list.what.this_update,
                                                 (uint64_t)s->list.what.next_update}};
    memset(s->front_has, 0, sizeof s->front_has);
    (void)snprintf(count, sizeof count, "%llu", (unsigned long long)s->list.count);
    SERVICE_COUNT(lists);
    service_log("list", "certificates", count, NULL);
    s->list_at = s->list.what.this_update + (time_t)LIST_DAYS * DAY / 2;
    drop_list(s);
    tell_list(s);
    return STAMP_OK;
}

static void begin_list(struct status *s)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    if (gather(s, &err) != STAMP_OK) {
        service_log_error("status-failed", &err);
        drop_list(s);
        s->list_at = time(NULL) + AGAIN_S;
        if (err.code == STAMP_E_DATABASE) {
            service_die("the registry is out of reach");
        }
        return;
    }
    send_begin(s);
}

/* ---- running ---- */

static void become_ready(struct status *s)
{
    if (!s->ready && s->file >= 0 && s->cert != NULL) {
        s->ready = true;
        service_ready(&s->control);
    }
}

static void hear_signer(struct status *s)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    while (service_channel_receive(&s->signer, buf, &m) == SERVICE_GOT) {
        struct stamp_error err = STAMP_ERROR_INIT;
        enum stamp_err rc = STAMP_OK;

        if (m.type == SERVICE_SIGNED && m.id == s->key_id) {
            rc = take_certificate(s, &m.u.signed_, &err);
            s->renew_at = time(NULL) + (rc == STAMP_OK ? (time_t)STATUS_KEY_DAYS * DAY / 2
                                                       : (time_t)AGAIN_S);
        } else if (m.type == SERVICE_CRL_SIGNED && s->list.ended && m.id == s->list.id) {
            if (m.u.crl_signed.head.len > 0) {
                rc = finish_list(s, &m.u.crl_signed, &err);
            } else {
                rc = stamp_error_set(&err, STAMP_E_STATE, 0, "the signer gives no list");
            }
            if (rc != STAMP_OK) {
                drop_list(s);
                s->list_at = time(NULL) + AGAIN_S;
            }
        }
        if (rc != STAMP_OK) {
            service_log_error("status-failed", &err);
        }
    }
}

static void look(struct status *s)
{
    static const struct service_message flush = {.type = SERVICE_OCSP_FLUSH};
    struct stamp_error err = STAMP_ERROR_INIT;
    time_t now = time(NULL);
    int64_t mark = s->mark;

    if (stamp_registry_revocation_mark(s->registry, &mark, &err) != STAMP_OK) {
        service_log_error("status-failed", &err);
        service_die("the registry is out of reach");
    }
    if (mark != s->mark) {
        for (unsigned i = 0; i < s->setup->fronts && s->mark >= 0; i++) {
            service_channel_send(&s->front[i], &flush);
        }
        s->list_at = now;
        s->mark = mark;
    }
    if (s->list.entries < 0 && now >= s->list_at) {
        begin_list(s);
    }
    if (now >= s->renew_at) {
        s->renew_at = now + AGAIN_S;
        if (ask_certificate(s, &err) != STAMP_OK) {
            service_log_error("status-failed", &err);
        }
    }
}

static void hear_control(struct status *s)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&s->control, buf, &m)) == SERVICE_GOT) {
        if (m.type == SERVICE_STOP) {
            s->stopping = true;
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_SIGNER) {
            drop_list(s);
            s->list_at = time(NULL);
            if (s->next_key != NULL) {
                s->renew_at = time(NULL);
            }
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_FRONT) {
            memset(s->front_has, 0, sizeof s->front_has);
        }
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void wait_for_some(struct status *s)
{
    struct service_channel *all[SERVICE_FRONTS_MAX + 2];
    unsigned n = 0;

    for (; n < s->setup->fronts; n++) {
        all[n] = &s->front[n];
    }
    all[n++] = &s->signer;
    all[n++] = &s->control;
    service_channels_wait(all, n, LOOK_MS);
}

static void hear_fronts(struct status *s)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    for (unsigned i = 0; i < s->setup->fronts; i++) {
        while (service_channel_receive(&s->front[i], buf, &m) == SERVICE_GOT) {
            if (m.type != SERVICE_OCSP) {
                service_die("a front asks for what it may not");
            }
            answer(s, i, &m);
        }
    }
}

static enum stamp_err open_all(struct status *s, struct stamp_error *err)
{
    struct service_sandbox box = {.role = SERVICE_STATUS, .books = s->where};
    enum stamp_err rc = stamp_workspace_open_keys(s->setup->dir, &s->ws, err);

    if (rc == STAMP_OK) {
        rc = stamp_ca_of(s->ws->sub_ca, &s->ca, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_books(s->ws->dir, s->where, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_open(s->where, &s->registry, err);
    }
    if (rc == STAMP_OK) {
        stamp_registry_author(s->registry, "stamp serve", NULL);
        rc = stamp_registry_revocation_mark(s->registry, &s->mark, err);
    }
    return rc == STAMP_OK ? service_sandbox_enter(&box, err) : rc;
}

int service_status(const struct stamp_service_setup *setup)
{
    static struct status s;
    struct stamp_error err = STAMP_ERROR_INIT;
    time_t looked_at = 0;

    s.setup = setup;
    s.file = s.list.entries = -1;
    s.sequence = service_first_number();
    service_channel_init(&s.control, SERVICE_FD_CONTROL);
    service_channel_init(&s.signer, SERVICE_FD_SIGNER);
    for (unsigned i = 0; i < setup->fronts; i++) {
        service_channel_init(&s.front[i], SERVICE_FD_FRONT + (int)i);
    }
    if (open_all(&s, &err) != STAMP_OK) {
        return service_failed(&err);
    }
    while (!s.stopping) {
        if (time(NULL) != looked_at) {
            looked_at = time(NULL);
            look(&s);
        }
        send_parts(&s);
        wait_for_some(&s);
        hear_signer(&s);
        hear_fronts(&s);
        hear_control(&s);
        tell_list(&s);
        become_ready(&s);
    }
    stamp_registry_close(&s.registry);
    stamp_workspace_close(&s.ws);
    EVP_PKEY_free(s.key);
    EVP_PKEY_free(s.next_key);
    X509_free(s.cert);
    return 0;
}
