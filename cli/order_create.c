/* `stamp order create`: what is asked for. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/order_make.h"
#include "cli/station.h"
#include "host/file.h"
#include "host/registry.h"

static const char help[] =
    "usage: stamp order create --product P --count N --station CERT --not-after DATE\n"
    "                          [-o ORDER] [OPTION]...\n"
    "\n"
    "Makes a work order: reserves serials on the books, and allows one station to make\n"
    "that many units of the workspace's product. Signed with the owner key, sealed to\n"
    "the station.\n"
    "\n"
    "      --product P         must be the profile's: it is asked twice on purpose\n"
    "  -n, --count N           units\n"
    "  -s, --station CERT      what `stamp station enrol` wrote for it\n"
    "      --spare CERT        another station, with a token of its own, that may take "
    "over:\n"
    "      --spare-count M     the last M of the N units are its share. Its order goes "
    "into\n"
    "                          ORDER.spare\n"
    "      --serials R         FROM..TO, or auto (default): the next free block\n"
    "      --not-after DATE    2027-01-31 or 2027-01-31T12:00:00Z: no later\n"
    "      --not-before DATE   no earlier (default: now)\n"
    "      --lock WHEN         strike (default), or later: at a stage of its own\n"
    "      --pop HOW           sealed (default): by the unit, to --recipient; shown: to\n"
    "                          the station, for its label; none\n"
    "      --recipient PEM     certificate that proofs of possession are sealed to\n"
    "                          (default: headquarters' reception)\n"
    "      --uncounted         the stations' tokens need not keep a count of the units: "
    "PIV\n"
    "                          cannot. Then a copied or restored station directory is "
    "found\n"
    "                          by stamp reconcile, and not before\n"
    "      --backdate S        seconds that certificates may begin before the station's\n"
    "                          clock (default 300)\n"
    "      --note TEXT         for people\n"
    "      --server URL        a service has the books (stamp serve); the owner key is\n"
    "                          here\n" CLI_ONLINE_HELP
    "  -o, --output ORDER      the file (default: order-N)\n"
    "      --passphrase-fd N   of a production workspace: from file descriptor N\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

enum { BACKDATE = 300, BACKDATE_MAX = 604800 };

static const struct option options[] = {
    {"product", required_argument, NULL, 'P'},
    {"count", required_argument, NULL, 'n'},
    {"station", required_argument, NULL, 's'},
    {"spare", required_argument, NULL, 'E'},
    {"spare-count", required_argument, NULL, 'M'},
    {"serials", required_argument, NULL, 'S'},
    {"not-after", required_argument, NULL, 'a'},
    {"not-before", required_argument, NULL, 'b'},
    {"lock", required_argument, NULL, 'L'},
    {"pop", required_argument, NULL, 'Q'},
    {"recipient", required_argument, NULL, 'R'},
    {"uncounted", no_argument, NULL, 'U'},
    {"backdate", required_argument, NULL, 'B'},
    {"note", required_argument, NULL, 'N'},
    CLI_ONLINE_OPTIONS,
    {"output", required_argument, NULL, 'o'},
    {"passphrase-fd", required_argument, NULL, 'F'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    struct order_making making;
    struct cli_online online; /* url NULL = the books are at hand */
    const char *out;
    const char *workspace;
    int fd;
};

static void name_share(const struct args *a, unsigned i, const char *number,
                       char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%s%s%s", a->out != NULL ? a->out : "order-",
                   a->out != NULL ? "" : number, i > 0 ? ".spare" : "");
}

/* A file that is there already is not written over, and nothing is reserved for it. */
static enum stamp_err check_free(const struct args *a, struct stamp_error *err)
{
    char path[PATH_MAX];

    for (unsigned i = 0; a->out != NULL && i < a->making.n_shares; i++) {
        name_share(a, i, "", path);
        if (access(path, F_OK) == 0) {
            return stamp_error_set(err, STAMP_E_EXISTS, 0, "'%s' is there already", path);
        }
    }
    return STAMP_OK;
}

static enum stamp_err write_shares(const struct args *a, struct order_share *share,
                                   char path[ORDER_SHARES][PATH_MAX],
                                   struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (unsigned i = 0; i < a->making.n_shares && rc == STAMP_OK; i++) {
        char name[PATH_MAX];

        name_share(a, i, share[0].order.batch.name, name);
        rc = stamp_file_write(name, share[i].file.p, share[i].file.len, STAMP_FILE_PUBLIC,
                              false, err);
        if (rc == STAMP_OK) {
            memcpy(path[i], name, sizeof name);
        }
    }
    return rc;
}

static void print_share(const struct order_share *s, const char *path)
{
    (void)printf("%s..%s, %u units\n%s\n", s->first_serial, s->last_serial, s->count,
                 path);
}

static int run(struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    char path[ORDER_SHARES][PATH_MAX] = {"", ""};
    const struct order_share *share = a->making.share;
    bool online = a->online.url != NULL;
    enum stamp_err rc = online ? stamp_workspace_open_keys(a->workspace, &ws, &err)
                               : stamp_workspace_open(a->workspace, &ws, &err);

    if (rc == STAMP_OK) {
        rc = order_make_begin(&a->making, ws, &err);
    }
    if (rc == STAMP_OK) {
        rc = check_free(a, &err);
    }
    if (rc == STAMP_OK) {
        rc = cli_passphrase(ws, a->fd, &passphrase, &err);
    }
    if (rc == STAMP_OK && online) {
        a->making.online = &a->online;
        rc = cli_online_open(&a->online, a->workspace, &err);
    }
    if (rc == STAMP_OK) {
        rc = order_make(&a->making, passphrase, &err);
    }
    if (rc == STAMP_OK) {
        rc = write_shares(a, a->making.share, path, &err);
    }
    for (unsigned i = 0; i < ORDER_SHARES && path[i][0] != '\0'; i++) {
        print_share(&share[i], path[i]);
    }
    if (rc != STAMP_OK) {
        int status = station_fail(
            &err, share[0].order.batch.id == 0 ? "nothing was changed"
                  : path[0][0] != '\0'         ? "the station's order is written, the "
                                                 "spare's serials stay reserved"
                                       : "the serials stay reserved on the books");

        cli_online_close(&a->online);
        order_make_end(&a->making);
        return status;
    }
    cli_online_close(&a->online);
    order_make_end(&a->making);
    return cli_flush(CLI_DONE);
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'P':
        a->making.product = optarg;
        return -1;
    case 'U':
        a->making.uncounted = true;
        return -1;
    case 'n':
        if (!cli_number(optarg, 1, STAMP_REGISTRY_BATCH_MAX, &number)) {
            return cli_usage("order create", "'%s' is no number of units", optarg);
        }
        a->making.count = (uint32_t)number;
        return -1;
    case 's':
        a->making.share[0].station_file = optarg;
        return -1;
    case 'E':
        a->making.share[1].station_file = optarg;
        return -1;
    case 'M':
        if (!cli_number(optarg, 1, STAMP_REGISTRY_BATCH_MAX, &number)) {
            return cli_usage("order create", "'%s' is no number of units", optarg);
        }
        a->making.share[1].count = (uint32_t)number;
        return -1;
    case 'S':
        a->making.serials = optarg;
        return -1;
    case 'a':
    case 'b':
        return cli_date(optarg, opt == 'a',
                        opt == 'a' ? &a->making.not_after : &a->making.not_before)
                   ? -1
                   : cli_usage("order create", "'%s' is no date as 2027-01-31", optarg);
    case 'L':
        a->making.lock_later = strcmp(optarg, "later") == 0;
        return a->making.lock_later || strcmp(optarg, "strike") == 0
                   ? -1
                   : cli_usage("order create", "--lock is strike or later");
    case 'Q':
        a->making.pop = strcmp(optarg, "none") == 0    ? STAMP_ORDER_POP_NONE
                        : strcmp(optarg, "shown") == 0 ? STAMP_ORDER_POP_SHOWN
                                                       : STAMP_ORDER_POP_SEALED;
        return a->making.pop != STAMP_ORDER_POP_SEALED || strcmp(optarg, "sealed") == 0
                   ? -1
                   : cli_usage("order create", "--pop is sealed, shown or none");
    case 'R':
        a->making.recipient = optarg;
        return -1;
    case 'B':
        if (!cli_number(optarg, 0, BACKDATE_MAX, &number)) {
            return cli_usage("order create", "'%s' is no number of seconds up to a week",
                             optarg);
        }
        a->making.backdate = (uint32_t)number;
        return -1;
    case 'N':
        a->making.note = optarg;
        return -1;
    case 'o':
        a->out = optarg;
        return -1;
    case 'F':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("order create", "'%s' is no file descriptor", optarg);
        }
        a->fd = (int)number;
        return -1;
    case 'C':
        a->workspace = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_online_take(&a->online, opt, optarg) ? -1
                                                        : cli_bad_option("order create");
    }
}

int order_create(int argc, char **argv)
{
    struct args a = {
        .fd = -1,
        .making = {.pop = STAMP_ORDER_POP_SEALED, .backdate = BACKDATE, .n_shares = 1}};
    struct order_share *share = a.making.share;
    int opt;

    while ((opt = getopt_long(argc, argv, "n:s:o:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    if (optind != argc) {
        return cli_usage("order create", "'%s' is too much", argv[optind]);
    }
    if (a.making.product == NULL || a.making.count == 0 ||
        share[0].station_file == NULL || a.making.not_after == 0) {
        return cli_usage("order create",
                         "--product, --count, --station and --not-after are wanted");
    }
    if ((share[1].station_file == NULL) != (share[1].count == 0)) {
        return cli_usage("order create", "--spare and --spare-count go together");
    }
    if (share[1].count >= a.making.count) {
        return cli_usage("order create", "--spare-count is less than --count");
    }
    if (cli_online_check(&a.online, "order create") != 0) {
        return CLI_USAGE;
    }
    a.making.n_shares += share[1].count > 0;
    share[0].count = a.making.count - share[1].count;
    return run(&a);
}
