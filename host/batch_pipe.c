#include "host/batch_pipe.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"

#define CHUNK 16u  /* stamps that a worker makes between two looks at the ring */
#define CHUNKS 32u /* in the ring */
#define THREADS_MAX 256u

/* One stamp on its way from a worker to the writer: nothing in it is secret any more. */
struct slot {
    char serial[STAMP_SERIAL_SIZE];
    uint8_t fingerprint[32];
    uint8_t certificate[STAMP_MAX_CERTIFICATE];
    size_t certificate_len;
    uint8_t sealed[STAMP_ESCROW_MAX]; /* the proof, where it is kept in escrow */
    size_t sealed_len;
    struct stamp_batch_record record;
    uint8_t bytes[STAMP_BATCH_RECORD_MAX];
};

struct chunk {
    struct slot slot[CHUNK];
    uint32_t n; /* stamps in it; 0 = not ready */
};

struct worker {
    struct stamp_batch_pipe *pipe;
    pthread_t thread;
    struct stamp_issue_worker *issue;
    struct stamp_batch_sealer *sealer;
    struct stamp_issued *issued;
};

struct stamp_batch_pipe {
    struct stamp_batch_pipe_setup setup;
    struct worker *workers;
    unsigned n_workers;
    struct chunk *ring;
    struct stamp_registry_run *run[2]; /* one is filled, the other one committed */
    unsigned filling;
    uint32_t made; /* by this pipe */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t room;  /* in the ring */
    pthread_cond_t ready; /* a chunk is */
    pthread_cond_t turn;  /* the committer's, or it has done */
    uint32_t index;       /* batch index of the share's first stamp that is left */
    uint32_t record;      /* its index in the file */
    uint32_t total;       /* stamps that are left */
    uint32_t next;        /* the first one no worker has taken */
    uint32_t written;
    bool end; /* workers and committer are to go */
    enum stamp_err rc;
    struct stamp_error err;
    struct stamp_registry_run *handed; /* to the committer; NULL = it is idle */
    struct stamp_registry_share *share;
    uint8_t mark[STAMP_BATCH_MARK_SIZE];
};

/* The first error counts. */
static void fail(struct stamp_batch_pipe *p, const struct stamp_error *why,
                 enum stamp_err rc)
{
    (void)pthread_mutex_lock(&p->lock);
    if (p->rc == STAMP_OK) {
        p->rc = rc;
        p->err = *why;
    }
    p->end = true;
    (void)pthread_cond_broadcast(&p->room);
    (void)pthread_cond_broadcast(&p->ready);
    (void)pthread_cond_broadcast(&p->turn);
    (void)pthread_mutex_unlock(&p->lock);
}

/* ---- workers ---- */

static enum stamp_err make_one(struct worker *w, uint32_t off, struct slot *slot,
                               struct stamp_error *err)
{
    const struct stamp_batch_pipe_setup *setup = &w->pipe->setup;
    const struct stamp_registry_batch *batch = setup->batch;
    uint32_t index = w->pipe->index + off;
    struct stamp_issue_subject subject = {.serial = slot->serial, .at = batch->at};
    struct stamp_slice body;
    enum stamp_err rc =
        stamp_serial_format(setup->pattern, batch->first_counter + index, batch->at,
                            slot->serial, sizeof slot->serial, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_registry_batch_serial(batch, index, subject.certificate_serial);
    rc = stamp_issue_one(w->issue, &subject, w->issued, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    body.p = w->issued->body;
    body.len = w->issued->body_len;
    rc = stamp_batch_seal(w->sealer, w->pipe->record + off, slot->serial, body,
                          slot->bytes, sizeof slot->bytes, &slot->record, err);
    memcpy(slot->fingerprint, w->issued->fingerprint, sizeof slot->fingerprint);
    memcpy(slot->certificate, w->issued->certificate, w->issued->certificate_len);
    slot->certificate_len = w->issued->certificate_len;
    slot->sealed_len = 0;
    if (rc == STAMP_OK && setup->escrow != NULL && w->issued->pop.p != NULL) {
        rc = stamp_escrow_seal(setup->escrow, slot->serial, w->issued->pop, slot->sealed,
                               &slot->sealed_len, err);
    }
    stamp_issued_wipe(w->issued);
    return rc;
}

/* The next stamps to make; 0 where there are none, or no more are wanted. */
static uint32_t take(struct stamp_batch_pipe *p, uint32_t *off)
{
    uint32_t n = 0;

    (void)pthread_mutex_lock(&p->lock);
    while (!p->end && p->next < p->total && p->next - p->written >= CHUNK * CHUNKS) {
        (void)pthread_cond_wait(&p->room, &p->lock);
    }
    if (!p->end && p->next < p->total) {
        *off = p->next;
        n = p->total - p->next < CHUNK ? p->total - p->next : CHUNK;
        p->next += n;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

static struct chunk *chunk_of(struct stamp_batch_pipe *p, uint32_t off)
{
    return &p->ring[off / CHUNK % CHUNKS];
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct stamp_batch_pipe *p = w->pipe;
    uint32_t off = 0;
    uint32_t n;

    (void)pthread_setname_np(pthread_self(), "stamp-issue");
    while ((n = take(p, &off)) > 0) {
        struct chunk *chunk = chunk_of(p, off);

        for (uint32_t i = 0; i < n; i++) {
            struct stamp_error why = STAMP_ERROR_INIT;
            enum stamp_err rc = make_one(w, off + i, &chunk->slot[i], &why);

            if (rc != STAMP_OK) {
                fail(p, &why, rc);
                return NULL;
            }
        }
        (void)pthread_mutex_lock(&p->lock);
        chunk->n = n;
        (void)pthread_cond_signal(&p->ready);
        (void)pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

/* ---- committer ---- */

static enum stamp_err commit(struct stamp_batch_pipe *p, struct stamp_registry_run *run,
                             struct stamp_error *err)
{
    /* The file first: what the books call issued is there. */
    enum stamp_err rc = stamp_batch_force(p->setup.writer, err);

    return rc == STAMP_OK
               ? stamp_registry_run_commit(p->setup.registry, run, p->share, p->mark,
                                           sizeof p->mark, time(NULL), err)
               : rc;
}

static void *keep_books(void *arg)
{
    struct stamp_batch_pipe *p = arg;

    (void)pthread_setname_np(pthread_self(), "stamp-books");
    (void)pthread_mutex_lock(&p->lock);
    for (;;) {
        struct stamp_error why = STAMP_ERROR_INIT;
        struct stamp_registry_run *run;
        enum stamp_err rc;

        while (p->handed == NULL && !p->end) {
            (void)pthread_cond_wait(&p->turn, &p->lock);
        }
        run = p->handed;
        if (run == NULL) {
            break;
        }
        (void)pthread_mutex_unlock(&p->lock);
        rc = commit(p, run, &why);
        if (rc != STAMP_OK) {
            fail(p, &why, rc);
        }
        (void)pthread_mutex_lock(&p->lock);
        p->handed = NULL;
        (void)pthread_cond_broadcast(&p->turn);
        if (p->rc != STAMP_OK) {
            break;
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- writer ---- */

static enum stamp_err wait_idle(struct stamp_batch_pipe *p)
{
    enum stamp_err rc;

    (void)pthread_mutex_lock(&p->lock);
    while (p->handed != NULL && p->rc == STAMP_OK) {
        (void)pthread_cond_wait(&p->turn, &p->lock);
    }
    rc = p->rc;
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

/* Give the filled run to the committer, and go on with the other one. */
static enum stamp_err hand_over(struct stamp_batch_pipe *p,
                                const uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                struct stamp_error *err)
{
    enum stamp_err rc = stamp_batch_flush(p->setup.writer, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = wait_idle(p);
    if (rc == STAMP_OK) {
        (void)pthread_mutex_lock(&p->lock);
        stamp_put_u32(p->mark, stamp_batch_writer_count(p->setup.writer));
        memcpy(p->mark + 4, digest, STAMP_BATCH_DIGEST_SIZE);
        p->handed = p->run[p->filling];
        p->filling ^= 1u;
        (void)pthread_cond_broadcast(&p->turn);
        (void)pthread_mutex_unlock(&p->lock);
    }
    return rc;
}

static enum stamp_err put(struct stamp_batch_pipe *p, const struct slot *slot,
                          struct stamp_error *err)
{
    struct stamp_registry_device device = {.serial = slot->serial,
                                           .fingerprint = slot->fingerprint,
                                           .certificate = slot->certificate,
                                           .certificate_len = slot->certificate_len,
                                           .sealed = slot->sealed,
                                           .sealed_len = slot->sealed_len};
    struct stamp_registry_run *run = p->run[p->filling];
    enum stamp_err rc =
        stamp_batch_append(p->setup.writer, slot->bytes, &slot->record, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_run_add(run, &device, err);
    }
    if (rc == STAMP_OK && stamp_registry_run_full(run)) {
        rc = hand_over(p, slot->record.digest, err);
    }
    return rc;
}

static bool stopped(const struct stamp_batch_pipe *p)
{
    return p->setup.stop != NULL && *p->setup.stop != 0;
}

/* The chunk at `off`, once it is ready; NULL where it never will be. */
static struct chunk *next_chunk(struct stamp_batch_pipe *p, uint32_t off)
{
    struct chunk *chunk = chunk_of(p, off);
    bool ok;

    (void)pthread_mutex_lock(&p->lock);
    while (chunk->n == 0 && p->rc == STAMP_OK) {
        (void)pthread_cond_wait(&p->ready, &p->lock);
    }
    ok = p->rc == STAMP_OK;
    (void)pthread_mutex_unlock(&p->lock);
    return ok ? chunk : NULL;
}

static void release(struct stamp_batch_pipe *p, struct chunk *chunk)
{
    (void)pthread_mutex_lock(&p->lock);
    p->written += chunk->n;
    p->made += chunk->n;
    chunk->n = 0;
    (void)pthread_cond_broadcast(&p->room);
    (void)pthread_mutex_unlock(&p->lock);
}

/* Up to the end of the share, or to where it is stopped. */
static enum stamp_err write_all(struct stamp_batch_pipe *p, struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE] = {0};
    uint32_t off = 0;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && off < p->total && !stopped(p)) {
        struct chunk *chunk = next_chunk(p, off);

        if (chunk == NULL) {
            return p->rc;
        }
        for (uint32_t i = 0; i < chunk->n && rc == STAMP_OK; i++) {
            rc = put(p, &chunk->slot[i], err);
        }
        off += chunk->n;
        memcpy(digest, chunk->slot[chunk->n - 1].record.digest, sizeof digest);
        release(p, chunk);
        if (p->setup.progress != NULL) {
            p->setup.progress(p->setup.ctx, p->made);
        }
    }
    if (rc == STAMP_OK && stamp_registry_run_count(p->run[p->filling]) > 0) {
        rc = hand_over(p, digest, err);
    }
    return rc == STAMP_OK ? wait_idle(p) : rc;
}

static void begin(struct stamp_batch_pipe *p, struct stamp_registry_share *share)
{
    p->share = share;
    p->index = share->first + share->done;
    p->record = stamp_batch_writer_count(p->setup.writer);
    p->total = share->n - share->done;
    p->next = 0;
    p->written = 0;
    p->end = false;
    for (size_t i = 0; i < CHUNKS; i++) {
        p->ring[i].n = 0;
    }
}

/* Everybody goes home. */
static void end(struct stamp_batch_pipe *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->end = true;
    (void)pthread_cond_broadcast(&p->room);
    (void)pthread_cond_broadcast(&p->turn);
    (void)pthread_mutex_unlock(&p->lock);
}

enum stamp_err stamp_batch_pipe_run(struct stamp_batch_pipe *p,
                                    struct stamp_registry_share *share,
                                    struct stamp_error *err)
{
    pthread_t committer;
    unsigned n = 0;
    int code;
    enum stamp_err rc = STAMP_OK;

    begin(p, share);
    code = pthread_create(&committer, NULL, keep_books, p);
    if (code != 0) {
        return stamp_error_set(err, STAMP_E_IO, code, "cannot start a thread: %s",
                               strerror(code));
    }
    while (n < p->n_workers && code == 0) {
        code = pthread_create(&p->workers[n].thread, NULL, work, &p->workers[n]);
        n += code == 0 ? 1u : 0u;
    }
    if (code != 0) {
        rc = stamp_error_set(err, STAMP_E_IO, code, "cannot start a thread: %s",
                             strerror(code));
    } else {
        rc = write_all(p, err);
    }
    end(p);
    for (unsigned i = 0; i < n; i++) {
        (void)pthread_join(p->workers[i].thread, NULL);
    }
    (void)pthread_join(committer, NULL);
    if (p->rc != STAMP_OK) {
        if (err != NULL && err->code == STAMP_OK) {
            *err = p->err;
        }
        return p->rc;
    }
    if (rc == STAMP_OK && share->done < share->n) {
        rc = stamp_error_set(err, STAMP_E_BUSY, 0, "stopped");
    }
    return rc;
}

/* ---- making and ending it ---- */

static enum stamp_err make_worker(struct stamp_batch_pipe *p, struct worker *w,
                                  struct stamp_error *err)
{
    enum stamp_err rc = stamp_issue_worker_new(p->setup.issuer, &w->issue, err);

    w->pipe = p;
    if (rc == STAMP_OK) {
        rc = stamp_batch_sealer_new(p->setup.writer, &w->sealer, err);
    }
    if (rc == STAMP_OK) {
        w->issued = calloc(1, sizeof *w->issued);
        if (w->issued == NULL) {
            rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
    }
    return rc;
}

static enum stamp_err fill(struct stamp_batch_pipe *p, struct stamp_error *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    enum stamp_err rc = STAMP_OK;

    p->n_workers =
        p->setup.threads != 0 ? p->setup.threads : (unsigned)(cores > 0 ? cores : 1);
    if (p->n_workers > THREADS_MAX) {
        p->n_workers = THREADS_MAX;
    }
    p->workers = calloc(p->n_workers, sizeof *p->workers);
    p->ring = calloc(CHUNKS, sizeof *p->ring);
    if (p->workers == NULL || p->ring == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    for (unsigned i = 0; i < p->n_workers && rc == STAMP_OK; i++) {
        rc = make_worker(p, &p->workers[i], err);
    }
    for (unsigned i = 0; i < 2 && rc == STAMP_OK; i++) {
        rc = stamp_registry_run_new(p->setup.registry, p->setup.dir, &p->run[i], err);
        if (rc == STAMP_OK) {
            stamp_registry_run_escrow(p->run[i], p->setup.escrow_key);
        }
    }
    return rc;
}

enum stamp_err stamp_batch_pipe_new(const struct stamp_batch_pipe_setup *setup,
                                    struct stamp_batch_pipe **out,
                                    struct stamp_error *err)
{
    struct stamp_batch_pipe *p = calloc(1, sizeof *p);
    enum stamp_err rc;

    *out = NULL;
    if (p == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    p->setup = *setup;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->room, NULL);
    (void)pthread_cond_init(&p->ready, NULL);
    (void)pthread_cond_init(&p->turn, NULL);
    rc = fill(p, err);
    if (rc != STAMP_OK) {
        stamp_batch_pipe_free(&p);
    }
    *out = p;
    return rc;
}

void stamp_batch_pipe_free(struct stamp_batch_pipe **pipe)
{
    struct stamp_batch_pipe *p = *pipe;

    if (p == NULL) {
        return;
    }
    for (unsigned i = 0; i < p->n_workers && p->workers != NULL; i++) {
        stamp_issue_worker_free(&p->workers[i].issue);
        stamp_batch_sealer_free(&p->workers[i].sealer);
        free(p->workers[i].issued);
    }
    stamp_registry_run_free(&p->run[0]);
    stamp_registry_run_free(&p->run[1]);
    (void)pthread_cond_destroy(&p->turn);
    (void)pthread_cond_destroy(&p->ready);
    (void)pthread_cond_destroy(&p->room);
    (void)pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p->ring);
    free(p);
    *pipe = NULL;
}
