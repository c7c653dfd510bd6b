#include "cli/registry_check.h"

#include <inttypes.h>
#include <stdio.h>

#include "host/registry_check.h"
#include "host/registry_log.h"
#include "host/workspace_signer.h"

static void tell(void *ctx, const char *what)
{
    (void)ctx;
    (void)fflush(stdout);
    (void)fprintf(stderr, "wrong: %s\n", what);
}

/* The log key's certificate of the workspace, if there is one. */
static X509 *find_certificate(const char *workspace)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    X509 *cert = NULL;

    if (stamp_workspace_open_keys(workspace, &ws, NULL) != STAMP_OK ||
        stamp_workspace_signer_certificate(ws, STAMP_ARC_LOG_SIGNER, &cert, NULL) !=
            STAMP_OK) {
        return NULL;
    }
    return cert;
}

enum stamp_err registry_check(struct stamp_registry *r, const char *workspace,
                              bool *wrong, struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = find_certificate(workspace);
    struct stamp_registry_checked rows;
    struct stamp_log_checked log = {.wrong = 0};
    enum stamp_err rc = stamp_registry_check(r, tell, NULL, &rows, err);

    if (rc == STAMP_OK && cert != NULL) {
        rc = stamp_registry_log_check(r, X509_get0_pubkey(cert), NULL, 0, tell, NULL,
                                      &log, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    *wrong = rows.wrong + log.wrong > 0;
    (void)printf("%" PRIu64 " devices, %" PRIu64 " operational keys, %" PRIu64
                 " entries of the log, %" PRIu64 " heads: ",
                 rows.devices, rows.keys, rows.leaves, log.heads);
    if (*wrong) {
        (void)printf("%" PRIu64 " wrong\n", rows.wrong + log.wrong);
    } else {
        (void)printf("all agree\n");
    }
    if (cert == NULL) {
        (void)fflush(stdout);
        (void)fprintf(stderr,
                      "The log's heads were not looked at: no log.pem here yet.\n");
    }
    return STAMP_OK;
}
