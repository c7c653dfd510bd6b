/* `stamp log verify`. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/log.h"
#include "host/file.h"
#include "host/hex.h"
#include "host/registry_log.h"
#include "host/workspace_signer.h"

static const char help[] =
    "usage: stamp log verify [--head FILE]... [OPTION]...\n"
    "       stamp log verify --receipt FILE [--trust PEM] [OPTION]...\n"
    "\n"
    "Goes through the whole log: every leaf, the stored tree, and all heads that were\n"
    "signed must be of one log, and so must heads that were kept elsewhere. What is not\n"
    "is named, and the exit status is 3. With --receipt, checks a receipt (stamp log\n"
    "prove) and says what it proves; that needs no books.\n"
    "\n"
    "      --head FILE         a head that was kept (stamp log head -o)\n"
    "      --receipt FILE      a receipt\n"
    "      --trust PEM         the root certificate; else the workspace's\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

enum { OPT_HEAD = 1, OPT_RECEIPT, OPT_TRUST, HEADS_MAX = 64 };

static const struct option options[] = {
    {"head", required_argument, NULL, OPT_HEAD},
    {"receipt", required_argument, NULL, OPT_RECEIPT},
    {"trust", required_argument, NULL, OPT_TRUST},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *workspace, *receipt, *trust;
    const char *head[HEADS_MAX];
    size_t n_heads;
};

static void print_proven(void *ctx, const struct stamp_log_item *item,
                         const struct stamp_log_entry *e)
{
    const bool *quiet = ctx;
    struct stamp_slice serial;
    struct stamp_cbor c;

    if (*quiet) {
        return;
    }
    log_print_entry(item->index, e);
    if (item->in_run) {
        stamp_cbor_init(&c, item->record.p, item->record.len);
        stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 3);
        serial = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 1, STAMP_SERIAL_MAX);
        (void)printf("  device %" PRIu32 " of it: ", item->place + 1);
        if (c.err == STAMP_OK) {
            cli_print_text(serial.p, serial.len);
        }
        (void)printf("\n");
    }
}

static enum stamp_err check_file(const char *path, const struct stamp_trust *trust,
                                 bool quiet, struct stamp_log_head *head,
                                 struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_file_read(path, STAMP_LOG_RECEIPT_MAX, &bytes, &len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_log_receipt_check((struct stamp_slice){bytes, len}, trust, head,
                                 print_proven, &quiet, &why);
    free(bytes);
    return rc == STAMP_OK
               ? rc
               : stamp_error_set(err, rc, why.native, "'%s': %s", path, why.what);
}

static int verify_receipt(const struct args *a)
{
    STAMP_TRUST_AUTO *trust = NULL;
    struct stamp_log_head head;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = cli_trust(a->trust, a->workspace, &trust, &err);

    if (rc == STAMP_OK) {
        rc = check_file(a->receipt, trust, false, &head, &err);
    }
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    (void)printf("proven, under the head of ");
    log_print_head(&head);
    return cli_flush(CLI_DONE);
}

/* ---- the whole log ---- */

static void tell(void *ctx, const char *what)
{
    (void)ctx;
    (void)fflush(stdout);
    (void)fprintf(stderr, "wrong: %s\n", what);
}

static enum stamp_err verify_books(const struct args *a, struct stamp_workspace *ws,
                                   struct stamp_log_head *heads,
                                   struct stamp_log_checked *out, struct stamp_error *err)
{
    STAMP_TRUST_AUTO *trust = NULL;
    STAMP_X509_AUTO *cert = NULL;
    enum stamp_err rc = cli_trust(a->trust, a->workspace, &trust, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_signer_certificate(ws, STAMP_ARC_LOG_SIGNER, &cert, err);
        if (rc == STAMP_E_MISSING) {
            stamp_error_hint(err, "there is no log key before the first head: stamp log "
                                  "head");
        }
    }
    for (size_t i = 0; i < a->n_heads && rc == STAMP_OK; i++) {
        rc = check_file(a->head[i], trust, true, &heads[i], err);
    }
    return rc == STAMP_OK
               ? stamp_registry_log_check(ws->registry, X509_get0_pubkey(cert), heads,
                                          a->n_heads, tell, NULL, out, err)
               : rc;
}

static int verify_log(const struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_log_head *heads = calloc(HEADS_MAX, sizeof *heads);
    struct stamp_log_checked out = {.leaves = 0};
    char root[2 * STAMP_MERKLE_SIZE + 1];
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = heads == NULL
                            ? stamp_error_set(&err, STAMP_E_NOMEM, 0, "out of memory")
                            : stamp_workspace_open(a->workspace, &ws, &err);

    if (rc == STAMP_OK) {
        rc = verify_books(a, ws, heads, &out, &err);
    }
    free(heads);
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    stamp_hex(out.root, sizeof out.root, root);
    (void)printf("%" PRIu64 " leaves and %" PRIu64 " heads, root %s: ", out.leaves,
                 out.heads, root);
    if (out.wrong > 0) {
        (void)printf("%" PRIu64 " wrong\n", out.wrong);
        return cli_flush(CLI_NOT_AUTHENTIC);
    }
    (void)printf("whole\n");
    return cli_flush(CLI_DONE);
}

int log_verify(int argc, char **argv)
{
    struct args a = {.workspace = NULL};
    int opt;

    while ((opt = getopt_long(argc, argv, "C:h", options, NULL)) != -1) {
        switch (opt) {
        case OPT_HEAD:
            if (a.n_heads == HEADS_MAX) {
                return cli_usage("log verify", "more than %d heads", HEADS_MAX);
            }
            a.head[a.n_heads++] = optarg;
            break;
        case OPT_RECEIPT:
            a.receipt = optarg;
            break;
        case OPT_TRUST:
            a.trust = optarg;
            break;
        case 'C':
            a.workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("log verify");
        }
    }
    if (optind < argc) {
        return cli_usage("log verify", "'%s' is too much", argv[optind]);
    }
    if (a.receipt != NULL && a.n_heads > 0) {
        return cli_usage("log verify", "a receipt or heads, not both");
    }
    return a.receipt != NULL ? verify_receipt(&a) : verify_log(&a);
}
