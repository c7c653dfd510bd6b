/*
 * The process "log": grows the transparency log by what waits, once a second, and signs
 * its heads. It has the registry and the log key, and nobody talks to it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "host/registry_log.h"
#include "host/workspace_signer.h"
#include "service/counters.h"
#include "service/log.h"
#include "service/sandbox.h"

enum { LOOK_MS = 1000 };

struct tlog {
    const struct stamp_service_setup *setup;
    char where[PATH_MAX];
    struct stamp_registry *registry; /* NULL: out of reach */
    struct service_channel control;
    EVP_PKEY *key; /* NULL: there is none here */
    uint8_t purpose;
    bool signed_; /* all that is in the tree is under a head */
    bool stopping;
};

static bool have_registry(struct tlog *t)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    if (t->registry == NULL &&
        stamp_registry_open(t->where, &t->registry, &err) != STAMP_OK) {
        service_log_error("log-failed", &err);
    }
    return t->registry != NULL;
}

static void failed(struct tlog *t, const struct stamp_error *err)
{
    service_log_error("log-failed", err);
    if (err->code == STAMP_E_DATABASE) { /* it may have gone away: begin anew with it */
        stamp_registry_close(&t->registry);
    }
}

/* All that waits; the head with the last of it. */
static enum stamp_err grow(struct tlog *t, struct stamp_error *err)
{
    const struct stamp_log_signer signer = {t->key, t->purpose};
    uint64_t waiting = 0;
    uint32_t added = 0;
    enum stamp_err rc = stamp_registry_log_waiting(t->registry, &waiting, err);

    if (rc != STAMP_OK || (waiting == 0 && t->signed_)) {
        return rc;
    }
    do {
        bool last = waiting <= STAMP_LOG_GROW_MAX;

        rc = stamp_registry_log_grow(t->registry, last && t->key != NULL ? &signer : NULL,
                                     time(NULL), &added, err);
        (void)atomic_fetch_add(&service_count->leaves, added);
        waiting = waiting > added ? waiting - added : 0;
        t->signed_ = rc == STAMP_OK && last;
    } while (rc == STAMP_OK && !t->signed_ && !t->stopping);
    if (t->signed_ && t->key != NULL) {
        SERVICE_COUNT(heads);
    }
    return rc;
}

static void hear_control(struct tlog *t)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&t->control, buf, &m)) == SERVICE_GOT) {
        t->stopping = t->stopping || m.type == SERVICE_STOP;
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

/* A root key that is elsewhere is no reason not to start: then the log grows, and its
 * heads are signed where the key is. */
static enum stamp_err open_key(struct tlog *t, const struct stamp_workspace *ws,
                               struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = service_take_secret(&t->control, &passphrase, err);

    if (rc == STAMP_OK && stamp_workspace_signer_key(ws, STAMP_ARC_LOG_SIGNER, passphrase,
                                                     &t->key, &cert, &why) != STAMP_OK) {
        service_log_error("no-heads", &why);
    }
    return rc;
}

static enum stamp_err open_all(struct tlog *t, struct stamp_error *err)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct service_sandbox box = {.role = SERVICE_TLOG, .books = t->where};
    enum stamp_err rc = stamp_workspace_open_keys(t->setup->dir, &ws, err);

    if (rc == STAMP_OK) {
        t->purpose = ws->purpose;
        rc = stamp_workspace_books(ws->dir, t->where, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_open(t->where, &t->registry, err);
    }
    if (rc == STAMP_OK) {
        rc = open_key(t, ws, err);
    }
    /* OpenSSL reads files of its own when it does something for the first time */
    if (rc == STAMP_OK) {
        rc = grow(t, err);
    }
    return rc == STAMP_OK ? service_sandbox_enter(&box, err) : rc;
}

int service_tlog(const struct stamp_service_setup *setup)
{
    static struct tlog t;
    struct service_channel *const all[] = {&t.control};
    struct stamp_error err = STAMP_ERROR_INIT;

    t.setup = setup;
    service_channel_init(&t.control, SERVICE_FD_CONTROL);
    if (open_all(&t, &err) != STAMP_OK) {
        return service_failed(&err);
    }
    service_ready(&t.control);
    for (bool last = false; !last;) {
        last = t.stopping; /* what the others still did is in it, too */
        stamp_error_clear(&err);
        if (have_registry(&t) && grow(&t, &err) != STAMP_OK) {
            failed(&t, &err);
        }
        if (!last) {
            service_channels_wait(all, 1, LOOK_MS);
            hear_control(&t);
        }
    }
    stamp_registry_close(&t.registry);
    EVP_PKEY_free(t.key);
    return 0;
}
