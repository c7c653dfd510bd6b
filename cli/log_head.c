/* `stamp log head`. */
#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "cli/log.h"
#include "host/hex.h"
#include "host/json.h"
#include "host/registry_log.h"
#include "host/workspace_signer.h"

static const char help[] =
    "usage: stamp log head [OPTION]...\n"
    "\n"
    "Puts what happened since the last time into the log's tree and signs its head: how\n"
    "many leaves it has, and the hash over all of them. A head that an auditor keeps\n"
    "shows whatever is changed or taken away later. The service does the same by "
    "itself.\n"
    "\n"
    "  -o, --output FILE       write the head for others, with the log key's "
    "certificate\n"
    "      --json              as JSON\n"
    "      --passphrase-fd N   read the passphrase of the workspace's keys from there\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

enum { OPT_JSON = 1, OPT_FD };

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"json", no_argument, NULL, OPT_JSON},
    {"passphrase-fd", required_argument, NULL, OPT_FD},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *workspace, *output;
    bool json;
    int fd;
};

static enum stamp_err grow(struct stamp_workspace *ws, const struct args *a,
                           struct stamp_log_head *head, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    STAMP_X509_AUTO *cert = NULL;
    uint32_t added = 0;
    enum stamp_err rc = cli_passphrase(ws, a->fd, &passphrase, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_signer_key(ws, STAMP_ARC_LOG_SIGNER, passphrase, &key, &cert,
                                        err);
    }
    while (rc == STAMP_OK) {
        rc = stamp_registry_log_grow(ws->registry, NULL, 0, &added, err);
        if (added == 0) {
            break;
        }
    }
    if (rc == STAMP_OK) {
        const struct stamp_log_signer signer = {key, ws->purpose};

        rc = stamp_registry_log_grow(ws->registry, &signer, time(NULL), &added, err);
    }
    return rc == STAMP_OK ? stamp_registry_log_head(ws->registry, head, err) : rc;
}

static void print_json(const struct stamp_log_head *head)
{
    char root[2 * STAMP_MERKLE_SIZE + 1];
    char id[2 * STAMP_LOG_ID_SIZE + 1];
    char at[21];
    json_t *j;

    stamp_hex(head->root, sizeof head->root, root);
    stamp_hex(head->id, sizeof head->id, id);
    stamp_json_time((uint32_t)head->at, at);
    j = json_pack("{s:s, s:I, s:s, s:s}", "log", id, "size", (json_int_t)head->size, "at",
                  at, "root", root);
    (void)json_dumpf(j, stdout, JSON_INDENT(2));
    (void)printf("\n");
    json_decref(j);
}

static int run(const struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_log_head head;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_workspace_open(a->workspace, &ws, &err);

    if (rc == STAMP_OK) {
        rc = grow(ws, a, &head, &err);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "no head was signed");
    }
    if (a->output != NULL) {
        rc = log_write(ws, NULL, &head, a->output, &err);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "the head is signed and on the books, the file is not "
                                  "written");
    }
    if (a->json) {
        print_json(&head);
    } else {
        log_print_head(&head);
    }
    return cli_flush(CLI_DONE);
}

int log_head(int argc, char **argv)
{
    struct args a = {.fd = -1};
    uint64_t fd;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            a.output = optarg;
            break;
        case OPT_JSON:
            a.json = true;
            break;
        case OPT_FD:
            if (!cli_number(optarg, 0, 1024, &fd)) {
                return cli_usage("log head", "'%s' is no file descriptor", optarg);
            }
            a.fd = (int)fd;
            break;
        case 'C':
            a.workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("log head");
        }
    }
    return optind == argc ? run(&a)
                          : cli_usage("log head", "'%s' is too much", argv[optind]);
}
