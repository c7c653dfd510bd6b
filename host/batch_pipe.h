/*
 * The pipeline that makes a share of a batch: workers issue and seal, the calling thread
 * appends what they made in the order of indices, and a third thread puts runs of devices
 * on the books once the file holds them durably. Memory is the same for every size.
 *
 *     workers ──▶ ring of chunks ──▶ writer: file, run ──▶ committer: sync, books
 */
#ifndef HOST_BATCH_PIPE_H
#define HOST_BATCH_PIPE_H

#include <signal.h>

#include "host/batchfile.h"
#include "host/escrow.h"
#include "host/issue.h"
#include "host/registry_batch.h"

/** Bytes of the mark that goes on the books with a run: records in the file (4 bytes),
 * digest of the last one. */
#define STAMP_BATCH_MARK_SIZE (4u + STAMP_BATCH_DIGEST_SIZE)

struct stamp_batch_pipe_setup {
    const struct stamp_issuer *issuer;
    const struct stamp_registry_batch *batch;
    const struct stamp_serial_pattern *pattern;
    struct stamp_batch_writer *writer;
    struct stamp_registry *registry;   /* the committer's while a share is made */
    const char *dir;                   /* for the registry's temporary files */
    const struct stamp_escrow *escrow; /* of proofs; NULL = none is kept */
    int64_t escrow_key;                /* its number on the books */
    unsigned threads;                  /* workers; 0 = one for each core */
    const volatile sig_atomic_t *stop; /* not 0: end where you are; NULL = none */
    void (*progress)(void *ctx, uint32_t made); /* in this run; NULL = not told */
    void *ctx;
};

struct stamp_batch_pipe;

/** All of `setup` is borrowed until the pipe is freed. */
STAMP_MUST_USE enum stamp_err
stamp_batch_pipe_new(const struct stamp_batch_pipe_setup *setup,
                     struct stamp_batch_pipe **out, struct stamp_error *err);
void stamp_batch_pipe_free(struct stamp_batch_pipe **p);
#define STAMP_BATCH_PIPE_AUTO                                                            \
    __attribute__((cleanup(stamp_batch_pipe_free))) struct stamp_batch_pipe

/**
 * Make what a share has left.
 *
 * @param share  `done` moves on with what is on the books
 * @retval STAMP_E_BUSY  it was stopped; what was made is in the file and on the books
 * @retval others        the first error of any thread; the file may hold more than the
 * books
 */
STAMP_MUST_USE enum stamp_err stamp_batch_pipe_run(struct stamp_batch_pipe *p,
                                                   struct stamp_registry_share *share,
                                                   struct stamp_error *err);

#endif
