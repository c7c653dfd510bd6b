/*
 * A batch that is being made for the service: host/batch_make.h in a thread of its own,
 * with a certificate for each stamp from the signer. One at a time.
 */
#ifndef SERVICE_BATCH_JOB_H
#define SERVICE_BATCH_JOB_H

#include <pthread.h>
#include <stdatomic.h>

#include "host/batch_make.h"
#include "service/channel.h"

/* Workers wait for the signer most of the time. */
#define BATCH_CALLS_MAX 64u

struct batch_call;

/** The channel to the signer, shared by the workers of a batch and the process's loop. */
struct batch_signer {
    struct service_channel channel;
    pthread_mutex_t lock; /* of what is sent, and of all below */
    struct batch_call *call[BATCH_CALLS_MAX];
    uint64_t sequence;
};

void batch_signer_init(struct batch_signer *s, int fd);

/** Send on what waits. True where all is sent. */
bool batch_signer_flush(struct batch_signer *s);

/** Take all that the signer answered. */
void batch_signer_hear(struct batch_signer *s);

/** Another signer is there: ask it what the one before did not answer. */
void batch_signer_again(struct batch_signer *s);

/** By which name it was asked for. */
struct batch_request {
    struct stamp_registry_request of; /* its texts are these: */
    char key[STAMP_REGISTRY_NAME_SIZE], name[SERVICE_NAME_MAX + 1u];
};

struct batch_job {
    /* what all jobs share */
    const char *folder;         /* of the files */
    struct stamp_workspace *ws; /* with a registry of its own; that may be NULL: then it
                                   is opened */
    const char *books;
    struct stamp_issuer *issuer;
    struct batch_signer *signer;
    EVP_PKEY *key; /* the batch key */
    X509 *certificate;
    unsigned threads;
    volatile sig_atomic_t stop;

    /* this one */
    char path[PATH_MAX]; /* of the file that will be; "" = there was none yet */
    char note[STAMP_BATCH_NOTE_MAX + 1u];
    char who[STAMP_REGISTRY_TEXT_SIZE], from[SERVICE_FROM_MAX + 1u];
    struct batch_request request;
    uint32_t count;
    X509 *station[STAMP_BATCH_RECIPIENTS_MAX];
    size_t n_stations;
    bool running;
    pthread_t thread;
    atomic_bool ended;
    atomic_uint done;

    /* what became of it */
    enum stamp_err rc;
    struct stamp_error err;
    struct stamp_batch_made made;
};

/** Begin; the caller has filled what this one is. STAMP_E_IO: no thread. */
STAMP_MUST_USE enum stamp_err batch_job_start(struct batch_job *j,
                                              struct stamp_error *err);

/** If it has ended: take it home. True = it has, and rc, err and made are there. */
bool batch_job_ended(struct batch_job *j);

/** Free its stations: of one that could not be started. */
void batch_job_drop(struct batch_job *j);

/** Get a certificate from the signer: a stamp_issue_sign(). @param job  struct batch_job
 */
STAMP_MUST_USE enum stamp_err batch_job_sign(void *job, const struct stamp_birth *birth,
                                             uint8_t *out, size_t *len,
                                             struct stamp_error *err);

#endif
