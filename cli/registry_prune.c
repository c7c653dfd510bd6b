#include "cli/registry_prune.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "host/registry_prune.h"
#include "host/workspace_signer.h"

static enum stamp_err prune(struct stamp_workspace *ws, int fd, time_t before,
                            struct stamp_registry_pruned *n, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    STAMP_X509_AUTO *cert = NULL;
    enum stamp_err rc = cli_passphrase(ws, fd, &passphrase, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_signer_key(ws, STAMP_ARC_LOG_SIGNER, passphrase, &key, &cert,
                                        err);
    }
    if (rc == STAMP_OK) {
        const struct stamp_log_signer signer = {key, ws->purpose};

        rc = stamp_registry_prune(ws->registry, &signer, before, time(NULL), n, err);
    }
    return rc;
}

int registry_prune(const char *workspace, int fd, time_t before)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_registry_pruned n = {.keys = 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_workspace_open(workspace, &ws, &err);

    if (rc == STAMP_OK) {
        rc = prune(ws, fd, before, &n, &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "%" PRIu64 " operational keys were dropped", n.keys);
        return cli_fail(&err);
    }
    (void)printf("%" PRIu64 " operational keys, %" PRIu64 " entries of the log, %" PRIu64
                 " tokens, %" PRIu64 " requests and %" PRIu64 " API keys were dropped\n",
                 n.keys, n.leaves, n.tokens, n.requests, n.api_keys);
    return cli_flush(CLI_DONE);
}
