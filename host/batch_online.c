#include "host/batch_online.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/file.h"
#include "host/hex.h"
#include "host/pki.h"
#include "host/service_client.h"

#define BATCHES "/api/v1/batches"

enum {
    NAME_BYTES = 16,
    PATH_SIZE = 4096,
    SUFFIX_MAX = 8,
    CREATED = 201,
    ACCEPTED = 202,
    PAUSE_MS = 500
};

struct ordering {
    const struct stamp_batch_online *o;
    char name[2 * NAME_BYTES + 1];
    char ask[PATH_SIZE], part[PATH_SIZE];
    char *body;
    bool fresh; /* the name is */
    uint64_t batch, size;
};

static bool stopped(const struct ordering *r)
{
    return r->o->stop != NULL && *r->o->stop != 0;
}

/* ---- the request's name ---- */

static bool is_name(const uint8_t *text, size_t len)
{
    return len >= 2 * NAME_BYTES &&
           strspn((const char *)text, "0123456789abcdef") == 2 * NAME_BYTES;
}

/* The name of a request that was broken off, or a new one, durable before it is used. */
static enum stamp_err take_name(struct ordering *r, struct stamp_error *err)
{
    uint8_t bytes[NAME_BYTES];
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc;

    if (access(r->ask, F_OK) == 0) {
        rc = stamp_file_read(r->ask, 256, &text, &len, err);
        if (rc == STAMP_OK && !is_name(text, len)) {
            rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "'%s' is no name of a request for a batch", r->ask);
        }
        if (rc == STAMP_OK) {
            memcpy(r->name, text, 2 * NAME_BYTES);
        }
        free(text);
        return rc;
    }
    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        return stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    stamp_hex(bytes, sizeof bytes, r->name);
    r->fresh = true;
    return stamp_file_write(r->ask, r->name, strlen(r->name), STAMP_FILE_SECRET, false,
                            err);
}

static enum stamp_err make_body(struct ordering *r, struct stamp_error *err)
{
    json_t *list = json_array();
    json_t *body = json_pack("{s:s, s:I, s:O}", "product", r->o->product, "count",
                             (json_int_t)r->o->count, "stations", list);

    for (size_t i = 0; i < r->o->n_stations; i++) {
        uint8_t digest[32];
        char hex[65] = "";

        if (X509_digest(r->o->stations[i], EVP_sha256(), digest, NULL) == 1) {
            stamp_hex(digest, sizeof digest, hex);
        }
        (void)json_array_append_new(list, json_string(hex));
    }
    if (body != NULL && r->o->note != NULL) {
        (void)json_object_set_new(body, "note", json_string(r->o->note));
    }
    r->body = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    json_decref(body);
    json_decref(list);
    return r->body != NULL ? STAMP_OK
                           : stamp_error_set(err, STAMP_E_RANGE, 0,
                                             "product or note is no text in UTF-8");
}

/* ---- asking ---- */

static enum stamp_err take_progress(struct ordering *r, struct stamp_slice answer,
                                    struct stamp_error *err)
{
    json_t *j = json_loadb((const char *)answer.p, answer.len, 0, NULL);
    json_int_t made = json_integer_value(json_object_get(j, "made"));
    json_int_t batch = json_integer_value(json_object_get(j, "batch"));
    json_int_t size = json_integer_value(json_object_get(j, "size"));
    bool ok = json_is_object(j) && made >= 0 && made <= (json_int_t)r->o->count &&
              batch >= 0 && batch <= (json_int_t)UINT32_MAX && size >= 0;

    json_decref(j);
    if (!ok) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "'%s' answers with something else than a batch",
                               r->o->url);
    }
    r->batch = (uint64_t)batch;
    r->size = (uint64_t)size;
    if (r->o->progress != NULL) {
        r->o->progress(r->o->ctx, (uint32_t)made, r->o->count);
    }
    return STAMP_OK;
}

static enum stamp_err ask_once(struct ordering *r, long *status, struct stamp_error *err)
{
    struct stamp_slice body = {(const uint8_t *)r->body, strlen(r->body)};
    struct stamp_slice answer;
    char header[64];
    enum stamp_err rc;

    (void)snprintf(header, sizeof header, "Idempotency-Key: %s", r->name);
    rc = stamp_https_try(r->o->https, BATCHES, header, "application/json", body, status,
                         &answer, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    return *status == CREATED || *status == ACCEPTED
               ? take_progress(r, answer, err)
               : stamp_service_refused(r->o->url, *status, answer, err);
}

/* Until it is made. A service that starts again, or is busy, is asked again. */
static enum stamp_err ask(struct ordering *r, struct stamp_error *err)
{
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    time_t heard = time(NULL);
    long status = 0;

    for (;;) {
        struct stamp_error why = STAMP_ERROR_INIT;
        enum stamp_err rc = ask_once(r, &status, &why);
        bool again = rc == STAMP_E_IO || rc == STAMP_E_BUSY;

        if (rc == STAMP_OK && status == CREATED) {
            return STAMP_OK;
        }
        if (stopped(r)) {
            return stamp_error_set(err, STAMP_E_BUSY, 0, "stopped");
        }
        heard = rc == STAMP_OK ? time(NULL) : heard;
        if ((rc != STAMP_OK && !again) ||
            time(NULL) - heard >= (time_t)r->o->patience_s) {
            return stamp_error_set(err, rc, why.native, "%s", why.what);
        }
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- fetching ---- */

static bool has_recipient(const struct stamp_batch_manifest *m, X509 *station)
{
    for (size_t i = 0; i < m->n_recipients; i++) {
        X509 *cert = NULL;
        bool same = stamp_pki_decode(m->recipients[i], &cert, NULL) == STAMP_OK &&
                    X509_cmp(cert, station) == 0;

        X509_free(cert);
        if (same) {
            return true;
        }
    }
    return false;
}

/* All of it: signed by a batch key of the root's, whole, and what was asked for. */
static enum stamp_err check(const struct ordering *r, struct stamp_error *err)
{
    STAMP_BATCH_AUTO *batch = NULL;
    STAMP_X509_AUTO *root = NULL;
    const struct stamp_batch_manifest *m;
    X509 *anchors[1];
    bool fits;
    enum stamp_err rc = stamp_pki_load(r->o->trust, &root, err);

    if (rc == STAMP_OK) {
        anchors[0] = root;
        rc = stamp_batch_open(r->part, anchors, 1, &batch, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_batch_verify(batch, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    m = stamp_batch_manifest(batch);
    fits = m->count == r->o->count && m->n_recipients == r->o->n_stations &&
           m->product.len == strlen(r->o->product) &&
           memcmp(m->product.p, r->o->product, m->product.len) == 0;
    for (size_t i = 0; i < r->o->n_stations && fits; i++) {
        fits = has_recipient(m, r->o->stations[i]);
    }
    return fits ? STAMP_OK
                : stamp_error_set(err, STAMP_E_AUTH, 0,
                                  "what '%s' gives is another batch than was asked for",
                                  r->o->url);
}

static enum stamp_err io_failed(const char *path, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_IO, errno, "cannot write '%s': %s", path,
                           strerror(errno));
}

static enum stamp_err fetch(struct ordering *r, struct stamp_error *err)
{
    char path[64];
    uint64_t len = 0;
    int fd = open(r->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum stamp_err rc;

    if (fd < 0) {
        return io_failed(r->part, err);
    }
    (void)snprintf(path, sizeof path, BATCHES "/%llu/file", (unsigned long long)r->batch);
    rc = stamp_https_fetch(r->o->https, path, fd, &len, err);
    if (rc == STAMP_OK && len != r->size) {
        rc = stamp_error_set(err, STAMP_E_IO, 0,
                             "'%s' gave %llu of %llu bytes of batch %llu", r->o->url,
                             (unsigned long long)len, (unsigned long long)r->size,
                             (unsigned long long)r->batch);
    }
    if (rc == STAMP_OK && fsync(fd) != 0) {
        rc = io_failed(r->part, err);
    }
    (void)close(fd);
    return rc == STAMP_OK ? check(r, err) : rc;
}

/* The name, never over a file that is there. */
static enum stamp_err name_file(const struct ordering *r, struct stamp_error *err)
{
    if (link(r->part, r->o->path) != 0) {
        return errno == EEXIST ? stamp_error_set(err, STAMP_E_EXISTS, errno,
                                                 "'%s' is there already", r->o->path)
                               : io_failed(r->o->path, err);
    }
    (void)unlink(r->part);
    (void)unlink(r->ask); /* it is done: who asks again gets another batch */
    return STAMP_OK;
}

enum stamp_err stamp_batch_order_online(const struct stamp_batch_online *o,
                                        uint32_t *batch, struct stamp_error *err)
{
    struct ordering r = {.o = o};
    enum stamp_err rc;

    *batch = 0;
    if (access(o->path, F_OK) == 0) {
        return stamp_error_set(err, STAMP_E_EXISTS, 0, "'%s' is there already", o->path);
    }
    if (strlen(o->path) + SUFFIX_MAX > sizeof r.ask) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
    }
    (void)snprintf(r.ask, sizeof r.ask, "%.4080s" STAMP_BATCH_ASK, o->path);
    (void)snprintf(r.part, sizeof r.part, "%.4080s" STAMP_BATCH_PART, o->path);
    rc = make_body(&r, err);
    if (rc == STAMP_OK) {
        rc = take_name(&r, err);
    }
    if (rc == STAMP_OK) {
        if (r.fresh && o->progress != NULL) {
            o->progress(o->ctx, 0, o->count);
        }
        rc = ask(&r, err);
        *batch = (uint32_t)r.batch;
        if ((rc == STAMP_E_AUTH || rc == STAMP_E_STATE) && r.fresh && r.batch == 0) {
            (void)unlink(r.ask); /* nothing was begun under it */
        }
    }
    if (rc == STAMP_OK) {
        rc = fetch(&r, err);
    }
    if (rc == STAMP_OK) {
        rc = name_file(&r, err);
    }
    free(r.body);
    return rc;
}
