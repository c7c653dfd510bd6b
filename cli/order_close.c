/* `stamp order close`. */
#include <getopt.h>
#include <string.h>
#include <time.h>

#include "cli/order.h"
#include "cli/print_json.h"
#include "cli/station.h"
#include "host/registry_json.h"

static const char help[] =
    "usage: stamp order close ORDER [OPTION]...\n"
    "\n"
    "Closes a work order on the books: no unit of it that is not there already is\n"
    "admitted from now on, whatever a journal says. Its serials stay its own for good.\n"
    "\n"
    "  ORDER                   its file, its number, or its id of 32 digits\n"
    "      --server URL        have a service do it (stamp serve)\n" CLI_ONLINE_HELP
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"dir", required_argument, NULL, 'C'},
    CLI_ONLINE_OPTIONS,
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static enum stamp_err close_here(const char *workspace, const char *id, bool *closed,
                                 json_t **out, struct stamp_error *err)
{
    STAMP_REGISTRY_AUTO *books = NULL;
    struct stamp_registry_order order;
    enum stamp_err rc = cli_books(workspace, &books, err);

    if (rc == STAMP_OK) {
        rc = order_find(books, id, &order, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_order_close(books, order.id, time(NULL), err);
    }
    if (rc == STAMP_OK) {
        uint8_t which[16];

        memcpy(which, order.id, sizeof which);
        *closed = true;
        rc = stamp_registry_order_find(books, which, &order, err);
    }
    return rc == STAMP_OK ? stamp_order_json(books, &order, out, err) : rc;
}

static enum stamp_err close_online(struct cli_online *online, const char *workspace,
                                   const char *id, json_t **out, struct stamp_error *err)
{
    json_t *order = NULL;
    enum stamp_err rc = cli_online_open(online, workspace, err);

    if (rc == STAMP_OK) {
        rc = order_get(online, id, &order, err);
    }
    if (rc == STAMP_OK) {
        rc = cli_online_post(online, ORDERS_PATH "/", cli_json_text(order, "id"),
                             "/close", json_object(), out, err);
    }
    json_decref(order);
    cli_online_close(online);
    return rc;
}

static int run(struct cli_online *online, const char *workspace, const char *id)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    json_t *order = NULL;
    bool closed = false;
    enum stamp_err rc = online->url == NULL
                            ? close_here(workspace, id, &closed, &order, &err)
                            : close_online(online, workspace, id, &order, &err);

    if (rc == STAMP_OK) {
        order_print(order);
    }
    json_decref(order);
    return rc == STAMP_OK ? cli_flush(CLI_DONE)
                          : station_fail(&err, closed ? "the order is closed"
                                                      : "nothing was changed");
}

int order_close(int argc, char **argv)
{
    struct cli_online online = {.url = NULL};
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
            if (cli_online_take(&online, opt, optarg)) {
                break;
            }
            return cli_bad_option("order close");
        }
    }
    id = station_operand("order close", "order", argc, argv);
    return id == NULL || cli_online_check(&online, "order close") != 0
               ? CLI_USAGE
               : run(&online, workspace, id);
}
