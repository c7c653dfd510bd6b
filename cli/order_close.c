/* `stamp order close`. */
#include <getopt.h>
#include <time.h>

#include "cli/order.h"
#include "cli/station.h"

static const char help[] =
    "usage: stamp order close ORDER [OPTION]...\n"
    "\n"
    "Closes a work order on the books: no unit of it that is not there already is\n"
    "admitted from now on, whatever a journal says. Its serials stay its own for good.\n"
    "\n"
    "  ORDER                   its file, its number, or its id of 32 digits\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int run(const char *workspace, const char *id)
{
    STAMP_REGISTRY_AUTO *books = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_order order;
    enum stamp_err rc = cli_books(workspace, &books, &err);

    if (rc == STAMP_OK) {
        rc = order_find(books, id, &order, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_order_close(books, order.id, time(NULL), &err);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "nothing was changed");
    }
    rc = order_print(books, order.id, &err);
    return rc == STAMP_OK ? cli_flush(CLI_DONE)
                          : station_fail(&err, "the order is closed");
}

int order_close(int argc, char **argv)
{
    const char *workspace = NULL;
    const char *id;
    int opt;

    while ((opt = getopt_long(argc, argv, "C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'C':
            workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("order close");
        }
    }
    id = station_operand("order close", "order", argc, argv);
    return id == NULL ? CLI_USAGE : run(workspace, id);
}
