/* `stamp order close` and `stamp order show`: an order on the books, named by the file
 * that says its id, or by its id. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/station.h"
#include "host/registry_order.h"

static const char close_help[] =
    "usage: stamp order close ID [OPTION]...\n"
    "\n"
    "Closes a work order on the books: no unit of it that is not there already is\n"
    "admitted from now on, whatever a journal says.\n"
    "\n"
    "  ID                      the number that `stamp order create` printed\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const char show_help[] =
    "usage: stamp order show ID [OPTION]...\n"
    "\n"
    "How a work order stands on the books.\n"
    "\n"
    "  ID                      the number that `stamp order create` printed\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* An order is a batch; its number or name finds it. */
static enum stamp_err find(struct stamp_registry *books, const char *name,
                           struct stamp_registry_order *order, struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    const char *base = strrchr(name, '/');
    enum stamp_err rc;

    base = base == NULL ? name : base + 1;
    if (strncmp(base, "order-", 6) == 0) {
        base += 6;
    }
    rc = stamp_registry_batch_find(books, base, &batch, err);
    return rc == STAMP_OK ? stamp_registry_order_find(books, batch.uid, order, err) : rc;
}

static enum stamp_err print(struct stamp_registry *books,
                            const struct stamp_registry_order *order,
                            struct stamp_error *err)
{
    struct stamp_registry_balance b;
    uint32_t refused = 0;
    enum stamp_err rc = stamp_registry_balance(books, order->batch.id, &b, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_quarantined(books, order->id, &refused, err);
    }
    if (rc == STAMP_OK) {
        (void)printf("order %s: %s, %s\n", order->batch.name, order->batch.product,
                     order->state == STAMP_REGISTRY_ORDER_OPEN ? "open" : "closed");
        (void)printf("%u units: %llu struck, %llu scrapped, %llu signed and not known to "
                     "be finished, %llu not begun; %u refused\n",
                     order->batch.count, (unsigned long long)b.struck,
                     (unsigned long long)b.scrapped, (unsigned long long)b.outstanding,
                     (unsigned long long)b.reserved, refused);
    }
    return rc;
}

static int run(const char *verb, const char *help, bool close, int argc, char **argv)
{
    STAMP_REGISTRY_AUTO *books = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_order order;
    const char *workspace = NULL;
    const char *name;
    enum stamp_err rc;
    int opt;

    while ((opt = getopt_long(argc, argv, "C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'C':
            workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option(verb);
        }
    }
    name = station_operand(verb, "order", argc, argv);
    if (name == NULL) {
        return CLI_USAGE;
    }
    rc = cli_books(workspace, &books, &err);
    if (rc == STAMP_OK) {
        rc = find(books, name, &order, &err);
    }
    if (rc == STAMP_OK && close) {
        rc = stamp_registry_order_close(books, order.id, time(NULL), &err);
        order.state = STAMP_REGISTRY_ORDER_CLOSED;
    }
    if (rc == STAMP_OK) {
        rc = print(books, &order, &err);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE)
                          : station_fail(&err, "nothing was changed");
}

int order_close(int argc, char **argv)
{
    return run("order close", close_help, true, argc, argv);
}

int order_show(int argc, char **argv)
{
    return run("order show", show_help, false, argc, argv);
}
