#include "host/batch_make.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "host/batch_pipe.h"
#include "host/batchfile.h"
#include "host/cms.h"
#include "host/escrow.h"
#include "host/file.h"
#include "host/registry_escrow.h"
#include "host/registry_log.h"

#define DIR_NAME "batches"
/* Devices that one machine takes of a shared batch at a time: a run of the books at
 * least, and no more shares than are quickly listed. */
#define SHARE_MIN 16384u
#define SHARES_WANTED 64u
#define SHARES_MAX ((size_t)16384) /* of a volume, with those that were given back */

struct maker {
    struct stamp_workspace *ws;
    const struct stamp_issuer *issuer;
    const struct stamp_batch_job *job;
    struct stamp_batch_made *made;
    char owner[STAMP_REGISTRY_TEXT_SIZE];
    bool exists; /* FILE */
    bool found;  /* the batch was on the books */
    struct stamp_batch_writer *writer;
    uint32_t booked; /* records of the file that the books call issued */
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE]; /* of the last of them */
    struct stamp_batch_entry last;           /* of the records found */
};

/* ---- names ---- */

static bool is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* "host:/dir/file", by which the same command finds its batch again; of a long path, its
 * digest. */
enum stamp_err stamp_batch_owner(const char *path, char out[STAMP_REGISTRY_TEXT_SIZE],
                                 struct stamp_error *err)
{
    char host[65] = "";
    char dir[PATH_MAX];
    char *real;
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    uint8_t md[32];
    int n;

    if (base[0] == '\0') {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "'%s' cannot be a file", path);
    }
    (void)snprintf(dir, sizeof dir, "%.*s", (int)len, path);
    real = realpath(slash == NULL ? "." : (len == 0 ? "/" : dir), NULL);
    if (real == NULL) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot write to '%s': %s",
                               slash == NULL ? "." : dir, strerror(errno));
    }
    (void)gethostname(host, sizeof host - 1);
    n = snprintf(out, STAMP_REGISTRY_TEXT_SIZE, "%s:%s/%s", host,
                 strcmp(real, "/") == 0 ? "" : real, base);
    if (n >= (int)STAMP_REGISTRY_TEXT_SIZE) {
        char whole[PATH_MAX + NAME_MAX + 2];
        size_t at;

        (void)snprintf(whole, sizeof whole, "%s/%s", real, base);
        if (EVP_Digest(whole, strlen(whole), md, NULL, EVP_sha256(), NULL) != 1) {
            free(real);
            return stamp_openssl_failed(err, "cannot compute a digest");
        }
        at = (size_t)snprintf(out, STAMP_REGISTRY_TEXT_SIZE, "%s:", host);
        for (size_t i = 0; i < sizeof md; i++) {
            (void)snprintf(out + at + 2 * i, 3, "%02x", md[i]);
        }
    }
    free(real);
    return STAMP_OK;
}

static enum stamp_err set_path(struct maker *m, const char *path, struct stamp_error *err)
{
    if (strlen(path) + sizeof STAMP_BATCH_PART >= sizeof m->made->path) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
    }
    memcpy(m->made->path, path, strlen(path) + 1);
    m->exists = is_there(path);
    return stamp_batch_owner(m->made->path, m->owner, err);
}

/* The batch of this owner that is not finished; `found` says whether there is one. */
static enum stamp_err find_own(struct maker *m, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc =
        stamp_registry_batch_find_owner(m->ws->registry, m->owner, &m->made->batch, &why);

    m->found = rc == STAMP_OK && m->made->batch.state == STAMP_REGISTRY_BATCH_OPEN;
    if (!m->found) {
        memset(&m->made->batch, 0, sizeof m->made->batch);
    }
    if (rc != STAMP_OK && rc != STAMP_E_MISSING) {
        *err = why;
        return rc;
    }
    return STAMP_OK;
}

/* batches/PRODUCT-1.batch and so on: the first that is free, unless the one before it is
 * not on the books as made yet. */
static enum stamp_err choose_path(struct maker *m, struct stamp_error *err)
{
    char dir[PATH_MAX];
    char path[PATH_MAX];
    char product[STAMP_MAX_TEXT + 1];
    size_t i = 0;
    enum stamp_err rc = stamp_workspace_path(m->ws, DIR_NAME, dir, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot make '%s': %s", dir,
                               strerror(errno));
    }
    for (const char *p = m->ws->profile->product; *p != '\0'; p++) {
        bool plain = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '.';

        product[i++] = (char)(plain ? *p : '_');
    }
    product[i] = '\0';
    for (unsigned n = 1;; n++) {
        if (snprintf(path, sizeof path, "%s/%s-%u.batch", dir, product, n) >=
            (int)sizeof path) {
            return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
        }
        rc = set_path(m, path, err);
        if (rc == STAMP_OK) {
            rc = find_own(m, err);
        }
        if (rc != STAMP_OK || m->found || !m->exists) {
            return rc;
        }
    }
}

/* ---- the batch on the books ---- */

static enum stamp_err differs(const struct maker *m, struct stamp_error *err)
{
    const struct stamp_registry_batch *b = &m->made->batch;

    (void)stamp_error_set(err, STAMP_E_EXISTS, 0,
                          "batch %u was begun with %u stamps of '%s', not %u of '%s'",
                          b->id, b->count, b->product, m->job->count,
                          m->ws->profile->product);
    stamp_error_hint(err, "finish it with --count %u, or take another file or --id",
                     b->count);
    return STAMP_E_EXISTS;
}

static enum stamp_err check_found(const struct maker *m, time_t now,
                                  struct stamp_error *err)
{
    const struct stamp_registry_batch *b = &m->made->batch;

    if (b->count != m->job->count || strcmp(b->product, m->ws->profile->product) != 0) {
        return differs(m, err);
    }
    if (now < b->at) {
        (void)stamp_error_set(err, STAMP_E_STATE, 0,
                              "the clock is %lld s behind the start of batch %u",
                              (long long)(b->at - now), b->id);
        stamp_error_hint(err, "set the clock right, then run the same command again");
        return STAMP_E_STATE;
    }
    return STAMP_OK;
}

static uint32_t share_size(uint32_t count)
{
    return count / SHARES_WANTED < SHARE_MIN ? SHARE_MIN : count / SHARES_WANTED;
}

static enum stamp_err get_batch(struct maker *m, struct stamp_error *err)
{
    struct stamp_registry_batch_setup setup = {
        .name = m->job->name,
        .product = m->ws->profile->product,
        .note = m->job->note,
        .pattern = &m->ws->profile->serial,
        .count = m->job->count,
        .share_size = m->job->name == NULL ? 0 : share_size(m->job->count),
        .now = time(NULL),
        .owner = m->owner,
        .request = m->job->request};
    enum stamp_err rc = STAMP_OK;

    if (!m->found && m->exists) {
        (void)stamp_error_set(err, STAMP_E_EXISTS, EEXIST, "'%s' exists already",
                              m->made->path);
        stamp_error_hint(err, "name another file with -o");
        return STAMP_E_EXISTS;
    }
    if (!m->found) {
        rc = stamp_registry_batch_create(m->ws->registry, &setup, &m->made->batch, NULL,
                                         err);
    }
    if (rc == STAMP_OK) {
        rc = check_found(m, setup.now, err);
    }
    return rc == STAMP_OK ? stamp_registry_volume(m->ws->registry, m->made->batch.id,
                                                  m->owner, &m->made->volume, err)
                          : rc;
}

/* How far the books go in this file: what the newest run's mark says. */
static enum stamp_err read_marks(struct maker *m, struct stamp_error *err)
{
    size_t n = SHARES_MAX;
    struct stamp_registry_share *shares = calloc(n, sizeof *shares);
    uint32_t sum = 0;
    enum stamp_err rc;

    if (shares == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = stamp_registry_share_list(m->ws->registry, m->made->batch.id, m->made->volume,
                                   shares, SHARES_MAX, &n, err);
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        const struct stamp_registry_share *s = &shares[i];

        sum += s->done;
        if (s->mark_len == STAMP_BATCH_MARK_SIZE && stamp_get_u32(s->mark) > m->booked) {
            m->booked = stamp_get_u32(s->mark);
            memcpy(m->digest, s->mark + 4, sizeof m->digest);
        }
    }
    free(shares);
    if (rc == STAMP_OK && sum != m->booked) {
        rc = stamp_error_set(err, STAMP_E_CORRUPT, 0,
                             "the books of batch %u do not agree with themselves: %u "
                             "stamps in runs, %u in marks",
                             m->made->batch.id, sum, m->booked);
    }
    return rc;
}

/* ---- the file ---- */

static bool keep_booked(void *ctx, const struct stamp_batch_entry *entry)
{
    struct maker *m = ctx;

    if (entry->index >= m->booked) {
        return false;
    }
    m->last = *entry;
    return true;
}

static enum stamp_err profile_digest(const struct maker *m, uint8_t digest[32],
                                     struct stamp_error *err)
{
    char path[PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_workspace_path(m->ws, STAMP_PROFILE_FILE, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_file_read(path, STAMP_PROFILE_MAX, &text, &len, err);
    }
    if (rc == STAMP_OK && EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot compute a digest");
    }
    free(text);
    return rc;
}

/* The books call issued what the file does not have: nothing may be made in its place. */
static enum stamp_err file_lacks(const struct maker *m, uint32_t has,
                                 struct stamp_error *err)
{
    (void)stamp_error_set(err, STAMP_E_STATE, 0,
                          "'%s" STAMP_BATCH_PART "' has %u stamps, and the books say %u "
                          "were made",
                          m->made->path, has, m->booked);
    stamp_error_state(err, "nothing was changed");
    stamp_error_hint(err, "bring the file back from where it was moved or restored; the "
                          "stamps in it cannot be made again");
    return STAMP_E_STATE;
}

static enum stamp_err open_file(struct maker *m, struct stamp_error *err)
{
    struct stamp_batch_setup setup = {.volume = m->made->volume,
                                      .recipients = m->job->stations,
                                      .n_recipients = m->job->n_stations};
    char part[PATH_MAX + sizeof STAMP_BATCH_PART];
    uint32_t has;
    enum stamp_err rc = profile_digest(m, setup.profile_digest, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    (void)snprintf(part, sizeof part, "%s%s", m->made->path, STAMP_BATCH_PART);
    if (m->booked > 0 && !is_there(part)) {
        return file_lacks(m, 0, err);
    }
    memcpy(setup.id, m->made->batch.uid, sizeof setup.id);
    rc = stamp_batch_writer_open(m->made->path, &setup, keep_booked, m, &m->writer, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    has = stamp_batch_writer_count(m->writer);
    if (has < m->booked) {
        return file_lacks(m, has, err);
    }
    if (has > 0 && memcmp(m->last.digest, m->digest, sizeof m->digest) != 0) {
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "'%s' is not what the books have: record %u differs", part,
                               m->last.index);
    }
    m->made->resumed = has;
    return STAMP_OK;
}

/* ---- making ---- */

struct told {
    const struct stamp_batch_job *job;
    uint32_t before;
    uint32_t total;
};

static void tell(void *ctx, uint32_t made)
{
    const struct told *t = ctx;

    if (t->job->progress != NULL) {
        t->job->progress(t->job->ctx, t->before + made, t->total);
    }
}

/* Each run has an envelope of its own: what sealed the former one is forgotten. */
static enum stamp_err open_escrow(const struct maker *m, struct stamp_escrow **escrow,
                                  int64_t *key, struct stamp_error *err)
{
    const char *path = m->ws->profile->pop.escrow_file;
    enum stamp_err rc;

    if (path == NULL) {
        return STAMP_OK;
    }
    rc = stamp_escrow_new(path, escrow, err);
    return rc == STAMP_OK
               ? stamp_registry_escrow_key(m->ws->registry, m->made->batch.id,
                                           stamp_escrow_envelope(*escrow), key, err)
               : rc;
}

static enum stamp_err make_shares(struct maker *m, struct stamp_error *err)
{
    STAMP_ESCROW_AUTO *escrow = NULL;
    STAMP_BATCH_PIPE_AUTO *pipe = NULL;
    struct told told = {m->job, m->made->resumed,
                        m->job->name == NULL ? m->job->count : 0};
    struct stamp_batch_pipe_setup setup = {.issuer = m->issuer,
                                           .batch = &m->made->batch,
                                           .pattern = &m->ws->profile->serial,
                                           .writer = m->writer,
                                           .registry = m->ws->registry,
                                           .dir = m->job->temp != NULL ? m->job->temp
                                                                       : m->ws->dir,
                                           .threads = m->job->threads,
                                           .stop = m->job->stop,
                                           .progress = tell,
                                           .ctx = &told};
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = open_escrow(m, &escrow, &setup.escrow_key, err);

    if (rc == STAMP_OK) {
        setup.escrow = escrow;
        rc = stamp_batch_pipe_new(&setup, &pipe, err);
    }
    tell(&told, 0);
    while (rc == STAMP_OK) {
        struct stamp_registry_share share;

        rc = stamp_registry_share_claim(m->ws->registry, m->made->batch.id,
                                        m->made->volume, &share, &why);
        if (rc == STAMP_E_MISSING) {
            return STAMP_OK;
        }
        if (rc != STAMP_OK) {
            *err = why;
            return rc;
        }
        rc = stamp_batch_pipe_run(pipe, &share, err);
    }
    return rc;
}

static enum stamp_err finish_file(struct maker *m, struct stamp_error *err)
{
    struct stamp_batch_closing closing = {
        .count = stamp_batch_writer_count(m->writer),
        .product = m->ws->profile->product,
        .purpose = m->ws->purpose,
        .made_at = time(NULL),
        .bundle = {m->ws->bundle, m->ws->bundle_len},
        .note = m->made->batch.note[0] == '\0' ? NULL : m->made->batch.note,
        .partition = &m->ws->profile->partition,
        .key = m->job->key,
        .certificate = m->job->certificate};

    m->made->count = closing.count;
    if (closing.count == 0) {
        char part[PATH_MAX + sizeof STAMP_BATCH_PART];

        (void)snprintf(part, sizeof part, "%s%s", m->made->path, STAMP_BATCH_PART);
        (void)unlink(part);
        return stamp_error_set(err, STAMP_E_MISSING, 0,
                               "nothing of batch %u is left to make: others have it",
                               m->made->batch.id);
    }
    return stamp_batch_finish(m->writer, &closing, err);
}

/* FILE is there, and the books do not know yet that it is finished: is it this batch's?
 */
static enum stamp_err adopt(struct maker *m, struct stamp_error *err)
{
    STAMP_BATCH_AUTO *batch = NULL;
    X509 *anchors[1] = {m->ws->root};
    const struct stamp_batch_manifest *manifest;
    enum stamp_err rc = stamp_batch_open(m->made->path, anchors, 1, &batch, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    manifest = stamp_batch_manifest(batch);
    if (memcmp(manifest->id, m->made->batch.uid, sizeof manifest->id) != 0 ||
        manifest->volume != m->made->volume || manifest->count != m->booked) {
        return stamp_error_set(err, STAMP_E_EXISTS, EEXIST,
                               "'%s' exists already, and is not batch %u", m->made->path,
                               m->made->batch.id);
    }
    m->made->count = manifest->count;
    m->made->resumed = manifest->count;
    return STAMP_OK;
}

/* What the file says of itself is in the log before the books call it made. */
static enum stamp_err anchor(struct maker *m, struct stamp_error *err)
{
    STAMP_BATCH_AUTO *batch = NULL;
    X509 *anchors[1] = {m->ws->root};
    uint8_t digest[32];
    char name[64];
    struct stamp_slice cms;
    enum stamp_err rc = stamp_batch_open(m->made->path, anchors, 1, &batch, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    cms = stamp_batch_manifest_cms(batch);
    (void)snprintf(name, sizeof name, "manifest of batch %u, volume %u",
                   m->made->batch.id, m->made->volume);
    return EVP_Digest(cms.p, cms.len, digest, NULL, stamp_sha256(), NULL) == 1
               ? stamp_registry_log_anchor(m->ws->registry, name, digest, time(NULL), err)
               : stamp_openssl_failed(err, "cannot compute a digest");
}

/* Of a shared batch, the one who makes the last share makes the step. */
static enum stamp_err step(struct maker *m, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_registry_batch_step(m->ws->registry, m->made->batch.id,
                                                  STAMP_REGISTRY_BATCH_MADE, &why);

    if (rc == STAMP_OK) {
        m->made->batch.state = STAMP_REGISTRY_BATCH_MADE;
        return rc;
    }
    if (rc == STAMP_E_STATE && m->job->name != NULL) {
        return STAMP_OK;
    }
    *err = why;
    return rc;
}

static enum stamp_err check_job(const struct maker *m, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (m->job->count == 0 || m->job->count > STAMP_REGISTRY_BATCH_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "a batch has 1 to %u stamps",
                               STAMP_REGISTRY_BATCH_MAX);
    }
    if (m->job->n_stations == 0 || m->job->n_stations > STAMP_BATCH_RECIPIENTS_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "a batch is for 1 to %u stations",
                               STAMP_BATCH_RECIPIENTS_MAX);
    }
    for (size_t i = 0; i < m->job->n_stations && rc == STAMP_OK; i++) {
        rc = stamp_cms_check_recipient(m->job->stations[i], err);
    }
    return rc;
}

static enum stamp_err make(struct maker *m, struct stamp_error *err)
{
    enum stamp_err rc = check_job(m, err);

    if (rc == STAMP_OK && m->job->path == NULL) {
        rc = choose_path(m, err);
    } else if (rc == STAMP_OK) {
        rc = set_path(m, m->job->path, err);
        if (rc == STAMP_OK) {
            rc = find_own(m, err);
        }
    }
    if (rc == STAMP_OK) {
        rc = get_batch(m, err);
    }
    if (rc == STAMP_OK) {
        rc = read_marks(m, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (m->exists) {
        rc = adopt(m, err);
    } else {
        rc = open_file(m, err);
        if (rc == STAMP_OK) {
            rc = make_shares(m, err);
        }
        if (rc == STAMP_OK) {
            rc = finish_file(m, err);
        }
    }
    if (rc == STAMP_OK) {
        rc = anchor(m, err);
    }
    return rc == STAMP_OK ? step(m, err) : rc;
}

enum stamp_err stamp_batch_make(struct stamp_workspace *ws,
                                const struct stamp_issuer *issuer,
                                const struct stamp_batch_job *job,
                                struct stamp_batch_made *made, struct stamp_error *err)
{
    struct maker m = {.ws = ws, .issuer = issuer, .job = job, .made = made};
    enum stamp_err rc;

    memset(made, 0, sizeof *made);
    rc = make(&m, err);
    stamp_batch_writer_free(&m.writer);
    return rc;
}
