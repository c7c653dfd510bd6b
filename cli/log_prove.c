/* `stamp log prove`. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/log.h"
#include "host/log_prove.h"

static const char help[] =
    "usage: stamp log prove SERIAL -o FILE [OPTION]...\n"
    "\n"
    "Writes a receipt: all that the log has of a device, each with the proof that it is\n"
    "under the log's newest head, and the head. Who has the root certificate checks it\n"
    "without the books: stamp log verify --receipt FILE --trust root.pem\n"
    "\n"
    "  -o, --output FILE       the receipt\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int run(const char *workspace, const char *serial, const char *output)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_log_receipt receipt = {.bytes = NULL};
    struct stamp_log_head head;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint64_t later = 0;
    enum stamp_err rc = stamp_workspace_open(workspace, &ws, &err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_log_head(ws->registry, &head, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_log_prove(ws->registry, serial, &head, &receipt, &later, &err);
    }
    if (rc == STAMP_OK) {
        rc = log_write(ws, &receipt, &head, output, &err);
    }
    free(receipt.bytes);
    if (rc != STAMP_OK) {
        return station_fail(&err, "no receipt was written");
    }
    (void)printf("%zu %s of '%s' under the head of ", receipt.items,
                 receipt.items == 1 ? "entry" : "entries", serial);
    log_print_head(&head);
    if (later > 0) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "%" PRIu64 " newer %s not under it yet: stamp log head\n",
                      later, later == 1 ? "entry is" : "entries are");
    }
    return cli_flush(CLI_DONE);
}

int log_prove(int argc, char **argv)
{
    const char *workspace = NULL;
    const char *output = NULL;
    const char *serial;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            output = optarg;
            break;
        case 'C':
            workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("log prove");
        }
    }
    serial = station_operand("log prove", "serial", argc, argv);
    if (serial == NULL) {
        return CLI_USAGE;
    }
    return output == NULL ? cli_usage("log prove", "-o FILE is wanted")
                          : run(workspace, serial, output);
}
