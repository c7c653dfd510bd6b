/*
 * What each process of the service may still do once it has opened what it needs: all of
 * it on one page, service/sandbox.c. Nothing of it can be taken back.
 *
 * seccomp kills a process that calls anything else; Landlock refuses it files that are
 * not its own. Where the service is started as root, a process becomes a user of its own.
 */
#ifndef SERVICE_SANDBOX_H
#define SERVICE_SANDBOX_H

#include "service/process.h"

struct service_sandbox {
    enum service_role role;
    bool token; /* signer: its key is in a token, whose module has files of its own */
    const char *books;    /* whoever has the registry: its file or URL */
    const char *folder;   /* batches: where their files are */
    const char *stations; /* batches, factory: certificates of stations */
    const char *profile;  /* batches: the workspace's profile */
    const char *escrow;   /* batches: whom proofs are sealed to; NULL = nobody */
};

/**
 * Go in: another user, Landlock, seccomp, in this order. Says on the log what the kernel
 * does not have.
 *
 * @retval STAMP_E_STATE  it cannot be done: the process must not go on
 */
STAMP_MUST_USE enum stamp_err service_sandbox_enter(const struct service_sandbox *s,
                                                    struct stamp_error *err);

/** Its parts, for tests. `have` false: this kernel has no Landlock. */
STAMP_MUST_USE enum stamp_err service_sandbox_files(const struct service_sandbox *s,
                                                    bool *have, struct stamp_error *err);
STAMP_MUST_USE enum stamp_err service_sandbox_calls(const struct service_sandbox *s,
                                                    struct stamp_error *err);

#endif
