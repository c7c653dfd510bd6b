/* `stamp log list`. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/log.h"
#include "host/registry_log.h"

static const char help[] =
    "usage: stamp log list [SERIAL] [OPTION]...\n"
    "\n"
    "Prints what is in the log, a line each, or of one device alone. Devices of a batch\n"
    "were issued together: that is one entry of kind 'run'.\n"
    "\n"
    "      --from N            begin with this leaf (default: 0)\n"
    "      --limit N           at most so many (default: 1000)\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

enum { OPT_FROM = 1, OPT_LIMIT };

static const struct option options[] = {
    {"from", required_argument, NULL, OPT_FROM},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool print_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct stamp_log_entry e;
    uint64_t *next = ctx;

    *next = index + 1;
    if (stamp_log_is_dropped(leaf)) {
        (void)printf("%" PRIu64 " is no longer there, but its hash\n", index);
    } else if (stamp_log_entry_decode(leaf, &e, NULL) == STAMP_OK) {
        log_print_entry(index, &e);
    } else {
        (void)printf("%" PRIu64 " is malformed\n", index);
    }
    return true;
}

static int run(const char *workspace, const char *serial, uint64_t from, uint32_t limit)
{
    STAMP_REGISTRY_AUTO *books = NULL;
    struct stamp_registry_row row = {.file = NULL};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint64_t next = from;
    uint64_t size = 0;
    uint64_t waiting = 0;
    enum stamp_err rc = cli_books(workspace, &books, &err);

    if (rc == STAMP_OK && serial != NULL) {
        rc = stamp_registry_find(books, serial, &row, &err);
    }
    if (rc == STAMP_OK) {
        rc = serial == NULL
                 ? stamp_registry_log_leaves(books, from, limit, print_leaf, &next, &err)
                 : stamp_registry_log_of(books, row.id, from, limit, print_leaf, &next,
                                         &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_log_size(books, &size, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_log_waiting(books, &waiting, &err);
    }
    stamp_registry_row_fini(&row);
    if (rc != STAMP_OK) {
        return station_fail(&err, "nothing was changed");
    }
    (void)fflush(stdout);
    if (serial == NULL && next < size) {
        (void)fprintf(stderr, "There are more: --from %" PRIu64 "\n", next);
    }
    if (waiting > 0) {
        (void)fprintf(stderr, "%" PRIu64 " wait for the next head: stamp log head\n",
                      waiting);
    }
    return cli_flush(CLI_DONE);
}

int log_list(int argc, char **argv)
{
    const char *workspace = NULL;
    uint64_t from = 0;
    uint64_t limit = 1000;
    int opt;

    while ((opt = getopt_long(argc, argv, "C:h", options, NULL)) != -1) {
        switch (opt) {
        case OPT_FROM:
            if (!cli_number(optarg, 0, INT64_MAX, &from)) {
                return cli_usage("log list", "'%s' is no number of a leaf", optarg);
            }
            break;
        case OPT_LIMIT:
            if (!cli_number(optarg, 1, 1000000, &limit)) {
                return cli_usage("log list", "'%s' is no number from 1 to 1000000",
                                 optarg);
            }
            break;
        case 'C':
            workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("log list");
        }
    }
    if (argc - optind > 1) {
        return cli_usage("log list", "one serial at most");
    }
    return run(workspace, argc > optind ? argv[optind] : NULL, from, (uint32_t)limit);
}
