/*
 * The maker: makes keys for devices that cannot (RFC 7030 4.4), and nothing of a key
 * leaves it but sealed to the device that asked, or where the service was told so for its
 * product, as it is. It keeps none. It reads nothing but messages, and a certificate.
 */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/key.h"
#include "host/keypackage.h"
#include "host/pki.h"
#include "service/log.h"
#include "service/names.h"
#include "service/process.h"
#include "service/sandbox.h"

enum { DAY = 86400, LOOK_MS = 1000, AGAIN_S = 2 };

struct maker {
    const struct stamp_service_setup *setup;
    struct service_channel control;
    struct service_channel books;
    struct service_channel front[SERVICE_FRONTS_MAX];
    EVP_PKEY *key; /* signs what is made */
    X509 *cert;
    EVP_PKEY *next_key; /* waits for its certificate */
    uint64_t sequence;
    time_t renew_at;
    bool ready, stopping;
};

/* ---- its own certificate ---- */

static void ask_certificate(struct maker *k)
{
    struct service_message m = {.type = SERVICE_SERVER, .id = ++k->sequence};
    struct stamp_error err = STAMP_ERROR_INIT;

    EVP_PKEY_free(k->next_key);
    k->next_key = NULL;
    k->renew_at = time(NULL) + AGAIN_S;
    if (stamp_key_generate(&k->next_key, &err) != STAMP_OK ||
        stamp_key_point(k->next_key, m.u.server.point, &err) != STAMP_OK) {
        service_log_error("failed", &err);
        service_die("no key of its own");
    }
    service_channel_send(&k->books, &m);
}

static void take_certificate(struct maker *k, const struct service_message *m)
{
    X509 *cert = NULL;

    if (m->id != k->sequence || k->next_key == NULL ||
        m->u.answer.outcome != SERVICE_CERTIFICATE ||
        stamp_pki_decode(m->u.answer.certificate, &cert, NULL) != STAMP_OK) {
        return; /* it is asked again */
    }
    if (X509_check_private_key(cert, k->next_key) != 1) {
        X509_free(cert); /* of the maker before this one, which died */
        ERR_clear_error();
        return;
    }
    EVP_PKEY_free(k->key);
    X509_free(k->cert);
    k->key = k->next_key;
    k->next_key = NULL;
    k->cert = cert;
    k->renew_at = time(NULL) + (time_t)SERVICE_SERVER_DAYS * DAY / 2;
    if (!k->ready) {
        k->ready = true;
        service_ready(&k->control);
    }
}

static void hear_books(struct maker *k)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    while (service_channel_receive(&k->books, buf, &m) == SERVICE_GOT) {
        if (m.type != SERVICE_ANSWER) {
            service_die("the books say what they may not");
        }
        take_certificate(k, &m);
    }
}

/* ---- keys of devices ---- */

static enum stamp_err make(struct maker *k, const struct service_make *what,
                           struct service_made *made, uint8_t **der, size_t *len,
                           struct stamp_error *err)
{
    STAMP_X509_AUTO *recipient = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    enum stamp_err rc = stamp_key_generate(&key, err);

    if (rc == STAMP_OK) {
        rc = stamp_key_point(key, made->point, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (what->recipient.len == 0) {
        return k->setup->plain_keys == NULL
                   ? stamp_error_set(err, STAMP_E_STATE, 0,
                                     "no key goes out in the clear")
                   : stamp_keypackage_plain(key, der, len, err);
    }
    rc = stamp_pki_decode(what->recipient, &recipient, err);
    return rc == STAMP_OK
               ? stamp_keypackage_seal(key, k->key, k->cert, recipient, der, len, err)
               : rc;
}

static void answer(struct maker *k, struct service_channel *to,
                   const struct service_message *m)
{
    struct service_message reply = {.type = SERVICE_MADE, .id = m->id};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *der = NULL;
    size_t len = 0;

    if (k->cert != NULL &&
        make(k, &m->u.make, &reply.u.made, &der, &len, &err) != STAMP_OK) {
        service_log_error("failed", &err);
        len = 0;
    }
    reply.u.made.key = (struct stamp_slice){der, len};
    service_channel_send(to, &reply);
    OPENSSL_clear_free(der, len);
}

static void hear_fronts(struct maker *k)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    for (unsigned i = 0; i < k->setup->fronts; i++) {
        while (service_channel_receive(&k->front[i], buf, &m) == SERVICE_GOT) {
            if (m.type != SERVICE_MAKE) {
                service_die("a front asks for what it may not");
            }
            answer(k, &k->front[i], &m);
        }
    }
}

/* ---- running ---- */

/* OpenSSL reads files of its own when it does something for the first time: all that is
 * done later is done once before the sandbox. */
static enum stamp_err warm_up(const struct maker *k, struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = X509_new();
    uint8_t *der = NULL;
    size_t len = 0;
    enum stamp_err rc;

    if (cert == NULL || X509_set_pubkey(cert, k->next_key) != 1 ||
        X509_gmtime_adj(X509_getm_notBefore(cert), 0) == NULL ||
        X509_gmtime_adj(X509_getm_notAfter(cert), DAY) == NULL ||
        X509_sign(cert, k->next_key, stamp_sha256()) == 0) {
        return stamp_openssl_failed(err, "cannot make a certificate");
    }
    rc = stamp_keypackage_seal(k->next_key, k->next_key, cert, cert, &der, &len, err);
    OPENSSL_free(der);
    return rc;
}

static void hear_control(struct maker *k)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&k->control, buf, &m)) == SERVICE_GOT) {
        if (m.type == SERVICE_STOP) {
            k->stopping = true;
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_BOOKS &&
                   k->next_key != NULL) {
            ask_certificate(k);
        }
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void wait_for_some(struct maker *k)
{
    struct service_channel *all[SERVICE_FRONTS_MAX + 2];
    unsigned n = 0;

    for (; n < k->setup->fronts; n++) {
        all[n] = &k->front[n];
    }
    all[n++] = &k->books;
    all[n++] = &k->control;
    service_channels_wait(all, n, LOOK_MS);
}

int service_maker(const struct stamp_service_setup *setup)
{
    static struct maker k;
    struct stamp_error err = STAMP_ERROR_INIT;

    k.setup = setup;
    k.sequence = service_first_number();
    service_channel_init(&k.control, SERVICE_FD_CONTROL);
    service_channel_init(&k.books, SERVICE_FD_BOOKS);
    for (unsigned i = 0; i < setup->fronts; i++) {
        service_channel_init(&k.front[i], SERVICE_FD_FRONT + (int)i);
    }
    ask_certificate(&k);
    if (warm_up(&k, &err) != STAMP_OK ||
        service_sandbox_enter(&(struct service_sandbox){.role = SERVICE_MAKER}, &err) !=
            STAMP_OK) {
        return service_failed(&err);
    }
    while (!k.stopping) {
        if (time(NULL) >= k.renew_at) {
            ask_certificate(&k);
        }
        wait_for_some(&k);
        hear_books(&k);
        hear_fronts(&k);
        hear_control(&k);
    }
    for (unsigned i = 0; i < setup->fronts; i++) {
        (void)service_channel_flush(&k.front[i]);
    }
    EVP_PKEY_free(k.key);
    EVP_PKEY_free(k.next_key);
    X509_free(k.cert);
    return 0;
}
