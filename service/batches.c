/*
 * The batches: stamps in bulk for programs that ask for them over the API, sealed to
 * stations that the service knows, in files of its own folder. Keys of devices are made
 * here and leave sealed; certificates come from the signer, one by one. It has the
 * registry, and the batch key, which signs manifests and nothing else. It reads nothing
 * but messages.
 *
 * A request has a name, and so the file; the same request again goes on where the last
 * one was broken off, and gets the same batch for ever.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/hex.h"
#include "host/pki.h"
#include "host/workspace_signer.h"
#include "service/answer.h"
#include "service/batch_job.h"
#include "service/counters.h"
#include "service/log.h"
#include "service/process.h"
#include "service/reopen.h"
#include "service/sandbox.h"

#define FOLDER "batches"
#define STATIONS "stations"
#define ELSEWHERE "its file is with another node of this service: ask again, or there"

enum { LOOK_MS = 200, NAME_BYTES = 16, THREADS_MORE = 4 };

struct batches {
    const struct stamp_service_setup *setup;
    char folder[PATH_MAX];
    char stations[PATH_MAX]; /* certificates of those who may get batches */
    char books[PATH_MAX];
    struct service_channel control;
    struct service_channel front[SERVICE_FRONTS_MAX];
    struct batch_signer signer;
    struct stamp_registry *registry; /* the loop's own; NULL: out of reach */
    time_t tried_at;                 /* to open it again */
    struct stamp_workspace *ws;      /* the job's, too */
    struct stamp_issuer *issuer;
    EVP_PKEY *key;
    X509 *certificate;
    struct stamp_error no_key; /* why there is none */
    struct batch_job job;
    bool stopping;
};

/* An answer in the making; its slices point into the rest. */
struct reply {
    struct service_batch_answer a;
    struct stamp_registry_batch batch;
    struct stamp_error err;
    char path[PATH_MAX];
};

/* ---- the registry ---- */

static bool have_registry(struct batches *b)
{
    return service_reopen(&b->registry, &b->tried_at, b->books, "books-failed");
}

/* The books failed: nothing is decided. */
static void away(struct batches *b, struct reply *r)
{
    service_reopen_after(&b->registry, &b->tried_at, &r->err, "books-failed");
    stamp_error_clear(&r->err);
    r->a.outcome = SERVICE_BATCH_LATER;
}

/* ---- who asks ---- */

#define MAY(role) (1u << STAMP_ROLE_##role)

static unsigned may(uint8_t verb)
{
    return MAY(ADMIN) | MAY(FACTORY) | (verb == SERVICE_BATCH_LOOK ? MAY(AUDITOR) : 0);
}

static bool admit(struct batches *b, const struct service_batch *asked,
                  struct stamp_apikey *key, struct reply *r)
{
    enum stamp_err rc = service_admit(b->registry, asked->key, may(asked->verb),
                                      asked->from, time(NULL), key, &r->err);

    if (rc == STAMP_E_AUTH || rc == STAMP_E_MISSING) {
        r->a.outcome = rc == STAMP_E_AUTH ? SERVICE_BATCH_ROLE : SERVICE_BATCH_KEY;
    } else if (rc != STAMP_OK) {
        away(b, r);
    }
    return rc == STAMP_OK;
}

/* ---- files and books ---- */

static uint64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* The file of a request: a key's names are its own. */
static bool name_file(const struct batches *b, const struct stamp_apikey *key,
                      struct stamp_slice name, char path[PATH_MAX])
{
    char text[STAMP_REGISTRY_NAME_SIZE + SERVICE_NAME_MAX];
    char hex[2 * NAME_BYTES + 1];
    uint8_t digest[STAMP_TOKEN_DIGEST_SIZE];
    size_t len = strlen(key->name) + 1;

    memcpy(text, key->name, len);
    memcpy(text + len, name.p, name.len);
    if (stamp_token_digest(text, len + name.len, digest, NULL) != STAMP_OK) {
        return false;
    }
    stamp_hex(digest, NAME_BYTES, hex);
    return snprintf(path, PATH_MAX, "%s/%s.batch", b->folder, hex) < PATH_MAX;
}

static bool is_running(const struct batches *b, const char *path)
{
    return b->job.running && strcmp(b->job.path, path) == 0;
}

/* What is on the books, and how far. */
static enum stamp_err describe(struct batches *b, struct reply *r)
{
    struct stamp_registry_balance balance = {.issued = 0};
    enum stamp_err rc =
        stamp_registry_balance(b->registry, r->batch.id, &balance, &r->err);

    r->a.batch = r->batch.id;
    r->a.count = r->batch.count;
    r->a.made = is_running(b, r->path) ? atomic_load(&b->job.done) : balance.issued;
    r->a.product =
        (struct stamp_slice){(const uint8_t *)r->batch.product, strlen(r->batch.product)};
    r->a.size = r->path[0] == '\0' ? 0 : size_of(r->path);
    r->a.outcome = r->batch.state == STAMP_REGISTRY_BATCH_OPEN ? SERVICE_BATCH_OPEN
                                                               : SERVICE_BATCH_MADE;
    return rc;
}

static void say_why(struct reply *r, enum service_batch_outcome outcome)
{
    r->a.outcome = (uint8_t)outcome;
    r->a.why = (struct stamp_slice){(const uint8_t *)r->err.what, strlen(r->err.what)};
}

/* ---- whom it may be sealed to ---- */

static bool is_digest_of(const uint8_t digest[32], X509 *cert)
{
    uint8_t own[32];

    return X509_digest(cert, stamp_sha256(), own, NULL) == 1 &&
           memcmp(own, digest, sizeof own) == 0;
}

/* Headquarters puts a certificate there once it has compared it with the station's; so a
 * station may have a key of its own for each batch, and nobody starts anything anew. */
static X509 *seek(DIR *dir, const char *folder, const uint8_t digest[32])
{
    const struct dirent *e;

    while ((e = readdir(dir)) != NULL) {
        struct stamp_error err = STAMP_ERROR_INIT;
        char path[PATH_MAX];
        X509 *cert = NULL;

        if (e->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path) {
            continue;
        }
        if (stamp_pki_load(path, &cert, &err) != STAMP_OK) {
            service_log_error("no-station", &err); /* perhaps it may not be read */
            continue;
        }
        if (is_digest_of(digest, cert)) {
            return cert;
        }
        X509_free(cert);
    }
    return NULL;
}

static enum stamp_err find_station(const struct batches *b, const uint8_t digest[32],
                                   X509 **out, struct stamp_error *err)
{
    DIR *dir = opendir(b->stations);
    char hex[65];

    *out = dir == NULL ? NULL : seek(dir, b->stations, digest);
    if (dir != NULL) {
        (void)closedir(dir);
    }
    if (*out != NULL) {
        return STAMP_OK;
    }
    stamp_hex(digest, 32, hex);
    return stamp_error_set(err, STAMP_E_CONFIG, 0,
                           "the service knows no station %.16s...: put its certificate "
                           "into " STATIONS "/ of the workspace",
                           hex);
}

/* ---- making ---- */

static enum stamp_err check(const struct batches *b, const struct service_batch *asked,
                            struct stamp_error *err)
{
    const char *product = b->ws->profile->product;

    if (asked->product.len != strlen(product) ||
        memcmp(asked->product.p, product, asked->product.len) != 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "this service makes '%s'",
                               product);
    }
    if (asked->batch == 0 || asked->batch > STAMP_REGISTRY_BATCH_MAX) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "a batch has 1 to %u stamps",
                               STAMP_REGISTRY_BATCH_MAX);
    }
    if (asked->stations.len == 0 || asked->stations.len % 32 != 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "a batch is for 1 to %u stations",
                               STAMP_BATCH_RECIPIENTS_MAX);
    }
    if (b->issuer == NULL || b->key == NULL) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "this service makes no batches: %.120s", b->no_key.what);
    }
    return STAMP_OK;
}

static enum stamp_err take_request(struct batch_request *q,
                                   const struct service_batch *asked,
                                   const struct stamp_apikey *key,
                                   struct stamp_error *err)
{
    struct service_message m = {.type = SERVICE_BATCH, .u.batch = *asked};

    (void)snprintf(q->key, sizeof q->key, "%s", key->name);
    service_text(asked->name, q->name, sizeof q->name);
    q->of = (struct stamp_registry_request){.who = q->key, .name = q->name};
    memset(m.u.batch.key, 0, sizeof m.u.batch.key); /* another key of this name */
    m.u.batch.from = (struct stamp_slice){NULL, 0};
    return service_question_digest(&m, q->of.digest, err);
}

static enum stamp_err begin(struct batches *b, const struct service_batch *asked,
                            const struct stamp_apikey *key, struct reply *r)
{
    struct batch_job *j = &b->job;
    enum stamp_err rc = check(b, asked, &r->err);

    for (size_t i = 0; i * 32 < asked->stations.len && rc == STAMP_OK; i++) {
        rc = find_station(b, asked->stations.p + 32 * i, &j->station[j->n_stations],
                          &r->err);
        j->n_stations += rc == STAMP_OK ? 1u : 0u;
    }
    if (rc == STAMP_OK) {
        memcpy(j->path, r->path, sizeof j->path);
        service_text(asked->note, j->note, sizeof j->note);
        service_text(asked->from, j->from, sizeof j->from);
        (void)snprintf(j->who, sizeof j->who, "API key %s", key->name);
        j->count = (uint32_t)asked->batch;
        rc = take_request(&j->request, asked, key, &r->err);
    }
    if (rc == STAMP_OK) {
        rc = batch_job_start(j, &r->err);
    }
    if (rc != STAMP_OK) {
        batch_job_drop(j);
    }
    return rc;
}

/* It was asked for before, under this name: is it the same? */
static bool is_same(const struct service_batch *asked, struct reply *r)
{
    if (r->batch.count == asked->batch &&
        asked->product.len == strlen(r->batch.product) &&
        memcmp(asked->product.p, r->batch.product, asked->product.len) == 0) {
        return true;
    }
    (void)stamp_error_set(&r->err, STAMP_E_EXISTS, 0,
                          "under this name %u stamps of '%s' were asked for",
                          r->batch.count, r->batch.product);
    say_why(r, SERVICE_BATCH_OTHER);
    return false;
}

static void begin_or_say(struct batches *b, const struct service_batch *asked,
                         const struct stamp_apikey *key, struct reply *r)
{
    enum stamp_err rc;

    if (b->job.running) {
        (void)stamp_error_set(&r->err, STAMP_E_BUSY, 0, "another batch is being made");
        say_why(r, SERVICE_BATCH_LATER);
        return;
    }
    if (b->job.rc != STAMP_OK && strcmp(b->job.path, r->path) == 0) {
        b->job.rc = STAMP_OK; /* it is told once; who asks again has it tried again */
        r->err = b->job.err;
        say_why(r, SERVICE_BATCH_FAILED);
        return;
    }
    rc = begin(b, asked, key, r);
    if (rc == STAMP_E_DATABASE) {
        away(b, r);
    } else if (rc != STAMP_OK) {
        say_why(r, rc == STAMP_E_CONFIG ? SERVICE_BATCH_WRONG : SERVICE_BATCH_FAILED);
    } else {
        r->a.outcome = SERVICE_BATCH_OPEN;
        r->a.count = asked->batch;
        r->a.product = asked->product;
    }
}

/* Another node may have it in a file, or in the making: then that is what there is. */
static bool is_elsewhere(struct batches *b, const struct service_batch *asked,
                         const struct stamp_apikey *key, struct reply *r)
{
    struct batch_request q;
    uint32_t id = 0;
    enum stamp_err rc = take_request(&q, asked, key, &r->err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_request_find(b->registry, &q.of, &id, &r->err);
    }
    if (rc == STAMP_E_MISSING) {
        stamp_error_clear(&r->err);
        return false;
    }
    if (rc == STAMP_E_EXISTS) {
        say_why(r, SERVICE_BATCH_OTHER);
        return true;
    }
    if (strcmp(b->job.path, r->path) == 0) {
        b->job.rc = STAMP_OK; /* both were asked at once, and the other one was faster */
    }
    r->path[0] = '\0';
    if (rc == STAMP_OK) {
        rc = stamp_registry_batch_get(b->registry, id, &r->batch, &r->err);
    }
    if (rc == STAMP_OK) {
        rc = describe(b, r);
    }
    if (rc != STAMP_OK) {
        away(b, r);
    } else if (r->a.outcome == SERVICE_BATCH_MADE) {
        (void)stamp_error_set(&r->err, STAMP_E_BUSY, 0, "%s", ELSEWHERE);
        say_why(r, SERVICE_BATCH_LATER);
    }
    return true;
}

/* Nothing of it is on the books in a file of ours. */
static void make_new(struct batches *b, const struct service_batch *asked,
                     const struct stamp_apikey *key, struct reply *r)
{
    if (size_of(r->path) > 0) {
        (void)stamp_error_set(&r->err, STAMP_E_EXISTS, 0,
                              "under this name a batch was made that is closed");
        say_why(r, SERVICE_BATCH_OTHER);
    } else if (is_running(b, r->path)) {
        r->a.outcome = SERVICE_BATCH_OPEN; /* not on the books yet */
        r->a.count = b->job.count;
    } else if (!is_elsewhere(b, asked, key, r)) {
        begin_or_say(b, asked, key, r);
    }
}

static void make(struct batches *b, const struct service_batch *asked,
                 const struct stamp_apikey *key, struct reply *r)
{
    char owner[STAMP_REGISTRY_TEXT_SIZE];
    enum stamp_err rc;

    if (asked->name.len == 0 || !name_file(b, key, asked->name, r->path)) {
        (void)stamp_error_set(&r->err, STAMP_E_CONFIG, 0, "the request has no name");
        say_why(r, SERVICE_BATCH_WRONG);
        return;
    }
    rc = stamp_batch_owner(r->path, owner, &r->err);
    if (rc == STAMP_OK) {
        rc = stamp_registry_batch_find_owner(b->registry, owner, &r->batch, &r->err);
    }
    if (rc == STAMP_E_MISSING) {
        stamp_error_clear(&r->err);
        make_new(b, asked, key, r);
        return;
    }
    if (rc == STAMP_OK) {
        rc = describe(b, r);
    }
    if (rc != STAMP_OK) {
        away(b, r);
        return;
    }
    if (!is_same(asked, r) || r->a.outcome != SERVICE_BATCH_OPEN) {
        return;
    }
    if (!is_running(b, r->path)) {
        begin_or_say(b, asked, key, r);
        r->a.batch = r->batch.id;
    }
}

/* ---- looking ---- */

/* Is it this one? The books know a file by its owner. */
static bool is_file(struct reply *r, const struct batches *b, const char *name,
                    const char *owner)
{
    char own[STAMP_REGISTRY_TEXT_SIZE];

    if (snprintf(r->path, sizeof r->path, "%s/%s", b->folder, name) <
            (int)sizeof r->path &&
        stamp_batch_owner(r->path, own, NULL) == STAMP_OK && strcmp(own, owner) == 0) {
        return true;
    }
    r->path[0] = '\0';
    return false;
}

/* Its file, where that is one of ours. Of a long path the owner is a digest. */
static enum stamp_err find_file(struct batches *b, struct reply *r)
{
    struct stamp_registry_volume volume;
    const struct dirent *e;
    const char *base;
    size_t n = 0;
    DIR *dir;
    enum stamp_err rc =
        stamp_registry_volume_list(b->registry, r->batch.id, 0, &volume, 1, &n, &r->err);

    if (rc != STAMP_OK || n == 0) {
        return rc;
    }
    base = strrchr(volume.owner, '/');
    if (base != NULL) {
        (void)is_file(r, b, base + 1, volume.owner);
        return STAMP_OK;
    }
    dir = opendir(b->folder);
    while (dir != NULL && (e = readdir(dir)) != NULL &&
           !is_file(r, b, e->d_name, volume.owner)) {
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return STAMP_OK;
}

/* What a service made for a program is with that service, and a program that is led to
 * another one may be led back. */
static void no_file(struct batches *b, struct reply *r)
{
    bool asked_for = false;
    bool open = r->a.outcome == SERVICE_BATCH_OPEN;
    enum stamp_err rc =
        stamp_registry_request_of(b->registry, r->batch.id, &asked_for, &r->err);
    bool elsewhere = asked_for && !open && r->path[0] == '\0';

    if (rc != STAMP_OK) {
        away(b, r);
        return;
    }
    (void)stamp_error_set(&r->err, STAMP_E_MISSING, 0,
                          open        ? "it is not made yet"
                          : elsewhere ? ELSEWHERE
                                      : "its file is not with this service");
    say_why(r, elsewhere ? SERVICE_BATCH_LATER : SERVICE_BATCH_NONE);
}

/* @param file  the file of a FETCH; -1 else */
static void look(struct batches *b, const struct service_batch *asked, struct reply *r,
                 int *file)
{
    enum stamp_err rc =
        asked->batch > UINT32_MAX
            ? STAMP_E_MISSING
            : stamp_registry_batch_get(b->registry, (uint32_t)asked->batch, &r->batch,
                                       &r->err);

    if (rc == STAMP_E_MISSING) {
        stamp_error_clear(&r->err);
        (void)stamp_error_set(&r->err, rc, 0, "there is no such batch");
        say_why(r, SERVICE_BATCH_NONE);
        return;
    }
    if (rc == STAMP_OK) {
        rc = find_file(b, r);
    }
    if (rc == STAMP_OK) {
        rc = describe(b, r);
    }
    if (rc != STAMP_OK) {
        away(b, r);
        return;
    }
    if (asked->verb != SERVICE_BATCH_FETCH) {
        return;
    }
    *file = r->a.size > 0 ? open(r->path, O_RDONLY | O_CLOEXEC) : -1;
    if (*file < 0) {
        no_file(b, r);
    }
}

/* ---- messages ---- */

static void answer(struct batches *b, struct service_channel *to,
                   const struct service_message *m)
{
    const struct service_batch *asked = &m->u.batch;
    struct service_message reply = {.type = SERVICE_BATCH_ANSWER, .id = m->id};
    struct reply r = {.err = STAMP_ERROR_INIT, .path = ""};
    struct stamp_apikey key;
    int file = -1;

    r.a.outcome = SERVICE_BATCH_LATER;
    if (have_registry(b) && admit(b, asked, &key, &r)) {
        if (asked->verb == SERVICE_BATCH_MAKE) {
            make(b, asked, &key, &r);
        } else {
            look(b, asked, &r, &file);
        }
    }
    reply.u.batch_answer = r.a;
    if (file < 0) {
        service_channel_send(to, &reply);
        return;
    }
    if (!service_channel_send_file(to, &reply, file)) {
        reply.u.batch_answer =
            (struct service_batch_answer){.outcome = SERVICE_BATCH_LATER};
        service_channel_send(to, &reply);
    }
    (void)close(file);
}

static void hear_fronts(struct batches *b)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    for (unsigned i = 0; i < b->setup->fronts; i++) {
        while (service_channel_receive(&b->front[i], buf, &m) == SERVICE_GOT) {
            if (m.type != SERVICE_BATCH || m.u.batch.verb > SERVICE_BATCH_FETCH) {
                service_die("a front asks for what it may not");
            }
            answer(b, &b->front[i], &m);
        }
    }
}

static void hear_control(struct batches *b)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&b->control, buf, &m)) == SERVICE_GOT) {
        if (m.type == SERVICE_STOP) {
            b->stopping = true;
            b->job.stop = 1;
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_SIGNER) {
            batch_signer_again(&b->signer);
        }
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void see_job(struct batches *b)
{
    struct batch_job *j = &b->job;
    char number[16];
    char count[16];

    if (!batch_job_ended(j)) {
        return;
    }
    (void)snprintf(number, sizeof number, "%u", j->made.batch.id);
    (void)snprintf(count, sizeof count, "%u", j->made.count);
    if (j->rc == STAMP_OK) {
        SERVICE_COUNT(batches);
        (void)atomic_fetch_add(&service_count->batched, j->made.count);
        service_log("batch", "number", number, "stamps", count, "by", j->who, "from",
                    j->from, NULL);
    } else {
        service_log_error("failed", &j->err);
    }
}

/* The signer's channel is written to by workers, too, so it is flushed under its lock. */
static void wait_for_some(struct batches *b)
{
    struct pollfd fds[SERVICE_FRONTS_MAX + 2];
    unsigned n = 0;

    for (; n < b->setup->fronts; n++) {
        fds[n] = (struct pollfd){.fd = b->front[n].fd, .events = POLLIN};
        if (!service_channel_flush(&b->front[n])) {
            fds[n].events |= POLLOUT;
        }
    }
    fds[n++] = (struct pollfd){.fd = b->control.fd, .events = POLLIN};
    fds[n] = (struct pollfd){.fd = b->signer.channel.fd, .events = POLLIN};
    if (!batch_signer_flush(&b->signer)) {
        fds[n].events |= POLLOUT;
    }
    (void)poll(fds, n + 1, LOOK_MS);
}

/* ---- running ---- */

/* A folder of the workspace, for whoever the books are of: see service/sandbox.c. */
static enum stamp_err make_folder(const struct batches *b, const char *name,
                                  char path[PATH_MAX], struct stamp_error *err)
{
    struct stat books;
    struct stat st;
    enum stamp_err rc = stamp_workspace_path(b->ws, name, path, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot make '%s': %s", path,
                               strerror(errno));
    }
    if (geteuid() == 0 && !stamp_registry_is_url(b->books) &&
        stat(b->books, &books) == 0 && stat(path, &st) == 0 &&
        (st.st_uid != books.st_uid || st.st_gid != books.st_gid) &&
        chown(path, books.st_uid, books.st_gid) != 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot give '%s' away: %s", path,
                               strerror(errno));
    }
    return STAMP_OK;
}

/* A root key that is elsewhere is no reason not to start: then there are no batches, and
 * who asks for one is told why. */
static enum stamp_err open_keys(struct batches *b, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    enum stamp_err rc = service_take_secret(&b->control, &passphrase, err);
    enum stamp_err have;

    if (rc != STAMP_OK) {
        return rc;
    }
    have = stamp_workspace_signer_key(b->ws, STAMP_ARC_BATCH_SIGNER, passphrase, &b->key,
                                      &b->certificate, &b->no_key);
    if (have == STAMP_OK) {
        have = stamp_issuer_new_elsewhere(b->ws, batch_job_sign, &b->job, &b->issuer,
                                          &b->no_key);
    }
    if (have != STAMP_OK) {
        service_log_error("no-batches", &b->no_key);
    }
    return STAMP_OK;
}

static enum stamp_err open_all(struct batches *b, struct stamp_error *err)
{
    enum stamp_err rc = stamp_workspace_open(b->setup->dir, &b->ws, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_books(b->ws->dir, b->books, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_open(b->books, &b->registry, err);
    }
    if (rc == STAMP_OK) {
        rc = make_folder(b, FOLDER, b->folder, err);
    }
    if (rc == STAMP_OK) {
        rc = make_folder(b, STATIONS, b->stations, err);
    }
    return rc == STAMP_OK ? open_keys(b, err) : rc;
}

static enum stamp_err go_in(struct batches *b, struct stamp_error *err)
{
    char profile[PATH_MAX];
    struct service_sandbox box = {.role = SERVICE_BATCHES,
                                  .books = b->books,
                                  .folder = b->folder,
                                  .stations = b->stations,
                                  .profile = profile,
                                  .escrow = b->ws->profile->pop.escrow_file};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    enum stamp_err rc = stamp_workspace_path(b->ws, STAMP_PROFILE_FILE, profile, err);

    b->job.folder = b->folder;
    b->job.books = b->books;
    b->job.ws = b->ws;
    b->job.issuer = b->issuer;
    b->job.signer = &b->signer;
    b->job.key = b->key;
    b->job.certificate = b->certificate;
    b->job.threads = (unsigned)(cores > 0 ? 2 * cores : 2) + THREADS_MORE;
    if (b->job.threads > BATCH_CALLS_MAX) {
        b->job.threads = BATCH_CALLS_MAX;
    }
    return rc == STAMP_OK ? service_sandbox_enter(&box, err) : rc;
}

int service_batches(const struct stamp_service_setup *setup)
{
    static struct batches b;
    struct stamp_error err = STAMP_ERROR_INIT;

    b.setup = setup;
    service_channel_init(&b.control, SERVICE_FD_CONTROL);
    batch_signer_init(&b.signer, SERVICE_FD_SIGNER);
    for (unsigned i = 0; i < setup->fronts; i++) {
        service_channel_init(&b.front[i], SERVICE_FD_FRONT + (int)i);
    }
    if (open_all(&b, &err) != STAMP_OK || go_in(&b, &err) != STAMP_OK) {
        return service_failed(&err);
    }
    service_ready(&b.control);
    while (!b.stopping || b.job.running) {
        wait_for_some(&b);
        batch_signer_hear(&b.signer);
        hear_fronts(&b);
        hear_control(&b);
        see_job(&b);
    }
    for (unsigned i = 0; i < setup->fronts; i++) {
        (void)service_channel_flush(&b.front[i]);
    }
    stamp_issuer_free(&b.issuer);
    EVP_PKEY_free(b.key);
    X509_free(b.certificate);
    stamp_registry_close(&b.registry);
    stamp_workspace_close(&b.ws);
    return 0;
}
