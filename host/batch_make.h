/*
 * Making a batch: serial block, file, books, in an order that survives kill -9 and power
 * loss at any time. The same call again goes on where the last one was broken off.
 *
 *     1. the batch with its block and its owner ("host:/path of the file") on the books
 *     2. FILE.part; of what a former run left, as much as the books call issued
 *     3. share by share: host/batch_pipe.h
 *     4. index, manifest, the name FILE; the batch is made
 */
#ifndef HOST_BATCH_MAKE_H
#define HOST_BATCH_MAKE_H

#include <signal.h>

#include "host/issue.h"
#include "host/registry_batch.h"

struct stamp_batch_job {
    const char *path; /* FILE; NULL = the next free name in the workspace's batches/ */
    const char *name; /* of a batch that several machines share; NULL = FILE's own */
    const char *note; /* NULL = none */
    uint32_t count;   /* devices in the batch */
    X509 *const *stations; /* 1..STAMP_BATCH_RECIPIENTS_MAX */
    size_t n_stations;
    EVP_PKEY *key; /* the batch key: host/workspace_signer.h */
    X509 *certificate;
    const struct stamp_registry_request *request; /* that asks for it; NULL = none */
    const char *temp; /* where temporary files go; NULL = the workspace */
    unsigned threads; /* 0 = one worker for each core */
    const volatile sig_atomic_t *stop; /* not 0: stop cleanly; NULL = none */
    /* Told before anything is made, and then often. `done` of `total` devices of this
     * file; `total` is 0 where others make parts of the batch, too. NULL = not told. */
    void (*progress)(void *ctx, uint32_t done, uint32_t total);
    void *ctx;
};

/** What became of it. */
struct stamp_batch_made {
    struct stamp_registry_batch batch;
    char path[PATH_MAX];
    uint32_t volume;
    uint32_t count;   /* records in this file */
    uint32_t resumed; /* those that a former run had made */
};

/**
 * Make a batch, or go on with it.
 *
 * @retval STAMP_E_EXISTS   FILE is there and complete, or FILE.part is another batch's,
 * or the batch on the books is of another product or count: nothing was changed
 * @retval STAMP_E_CONFIG   nothing can be sealed to a station: nothing was changed
 * @retval STAMP_E_STATE    the clock is behind the batch's, or FILE.part lacks stamps
 * that the books call issued: nothing was changed; `err` says what to do
 * @retval STAMP_E_MISSING  others make all of the shared batch: there is no file
 * @retval STAMP_E_BUSY     stopped: call again
 * @retval others           call again once the cause is gone: it goes on where it was
 */
STAMP_MUST_USE enum stamp_err stamp_batch_make(struct stamp_workspace *ws,
                                               const struct stamp_issuer *issuer,
                                               const struct stamp_batch_job *job,
                                               struct stamp_batch_made *made,
                                               struct stamp_error *err);

/** By which `path` is known on the books, as the owner of its volume: "HOST:/DIR/FILE".
 * STAMP_E_IO where its folder is not there. */
STAMP_MUST_USE enum stamp_err stamp_batch_owner(const char *path,
                                                char out[STAMP_REGISTRY_TEXT_SIZE],
                                                struct stamp_error *err);

#endif
