/* `stamp reconcile`: journals of stations against orders and books. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bundle_online.h"
#include "cli/order.h"
#include "cli/reconcile_print.h"
#include "cli/station.h"
#include "host/hex.h"
#include "host/reconcile.h"
#include "host/returned.h"
#include "host/tty.h"
#include "host/workspace_home.h"
#include "station/rebuild.h"

static const char help[] =
    "usage: stamp reconcile [BUNDLE]... [--device TTY]... [OPTION]...\n"
    "       stamp reconcile [BUNDLE]... [--device TTY]... --rebuild STATION -o JOURNAL\n"
    "                       [--counted ORDER=N]...\n"
    "\n"
    "Takes in what stations exported, compares it with the orders, and books the units\n"
    "that agree. What does not agree is named and kept apart: gaps, changed or forked\n"
    "journals, units too many, keys or chips twice. In any order, as often as wanted.\n"
    "\n"
    "      --device TTY        a device that came back: it proves itself, and is "
    "compared\n"
    "                          with the books; for each one on a port\n"
    "      --rebuild STATION   make the lost journal of a station anew: what was "
    "exported,\n"
    "                          and behind it the devices that came back, now or before.\n"
    "                          Its name is as the lines of reconcile have it\n"
    "      --counted ORDER=N   with --rebuild: the token counted N units of this order, "
    "as\n"
    "                          the station says. Those that nothing is known of are "
    "given\n"
    "                          up\n"
    "  -o, --output JOURNAL    where to\n"
    "      --server URL        a service has the books, and the reception key (stamp\n"
    "                          serve): not with --rebuild\n" CLI_ONLINE_HELP
    "  -j, --json              JSON, for programs\n"
    "      --passphrase-fd N   of a production workspace: from file descriptor N\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n"
    "\n"
    "Exit status: 0 all agrees, 1 failed, 3 something does not agree.\n";

enum { DEVICES_MAX = 64, RECONCILE_S = 1800 };

static const struct option options[] = {
    {"device", required_argument, NULL, 'd'},
    {"rebuild", required_argument, NULL, 'r'},
    {"counted", required_argument, NULL, 'n'},
    {"output", required_argument, NULL, 'o'},
    {"json", no_argument, NULL, 'j'},
    CLI_ONLINE_OPTIONS,
    {"passphrase-fd", required_argument, NULL, 'F'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    char **bundles;
    int n;
    const char *device[DEVICES_MAX];
    int n_devices;
    const char *rebuild;
    const char *counted[STAMP_REBUILD_ORDERS];
    size_t n_counted;
    const char *out;
    bool json;
    const char *workspace;
    int fd;
    struct cli_online online; /* url NULL = the books are at hand */
};

/* ---- devices that came back ---- */

/* @param ws  NULL = a service has the books */
static enum stamp_err take_device(struct args *a, const struct stamp_workspace *ws,
                                  const char *port, struct reconcile_print *print,
                                  struct stamp_reconciled *r, struct stamp_error *err)
{
    STAMP_TRUST_AUTO *trust = NULL;
    STAMP_TTY_AUTO struct stamp_tty *tty = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_shown shown;
    struct stamp_smp_client client;
    struct stamp_smp_line line;
    enum stamp_err rc = cli_trust(NULL, a->workspace, &trust, err);

    if (rc == STAMP_OK) {
        rc = stamp_tty_open(&tty, port, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    line = stamp_smp_tty_line(tty);
    stamp_smp_client_init(&client, &line);
    rc = stamp_returned_ask(&client, trust, &shown, &why);
    if (rc == STAMP_OK) {
        return ws == NULL
                   ? bundle_online_returned(&a->online, &shown, port, reconcile_tell,
                                            print, r, err)
                   : stamp_returned(ws, &shown, port, reconcile_tell, print, r, err);
    }
    if (stamp_returned_strange(&why, reconcile_tell, print, r)) {
        return STAMP_OK;
    }
    *err = why;
    return rc;
}

/* ---- a journal made anew ---- */

/* ORDER=N */
static enum stamp_err take_counted(const struct stamp_workspace *ws, const char *text,
                                   struct stamp_rebuild_count *out,
                                   struct stamp_error *err)
{
    const char *is = strrchr(text, '=');
    char name[PATH_MAX];
    uint64_t n;

    if (is == NULL || (size_t)(is - text) >= sizeof name ||
        !cli_number(is + 1, 1, UINT32_MAX, &n)) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "--counted '%s' is no ORDER=N",
                               text);
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(is - text), text);
    out->counted = (uint32_t)n;
    return order_find(ws->registry, name, &out->order, err);
}

static enum stamp_err find_station(struct stamp_workspace *ws, const char *name,
                                   uint8_t station[32], uint32_t *head,
                                   struct stamp_error *err)
{
    static struct stamp_journal_have have[256];
    static struct stamp_registry_order order[256];
    size_t n = sizeof have / sizeof have[0];
    size_t n_orders = 0;
    bool found = false;
    char text[17];
    enum stamp_err rc = stamp_registry_journal_list(ws->registry, have, &n, err);

    *head = 0;
    if (rc == STAMP_OK) { /* where nothing came home, its orders are known */
        rc = stamp_registry_order_list(ws->registry, 0, order, 256, &n_orders, err);
    }
    for (size_t i = 0; i < n_orders && rc == STAMP_OK; i++) {
        stamp_hex(order[i].station, 8, text);
        if (strcmp(text, name) == 0) {
            memcpy(station, order[i].station, 32);
            found = true;
        }
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        stamp_hex(have[i].station, 8, text);
        if (strcmp(text, name) == 0) {
            memcpy(station, have[i].station, 32);
            *head = have[i].head;
            found = true;
        }
    }
    return rc != STAMP_OK || found
               ? rc
               : stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "nothing of a station '%s' is here", name);
}

static enum stamp_err rebuild(const struct args *a, struct stamp_workspace *ws,
                              struct stamp_error *err)
{
    static struct stamp_rebuild_count count[STAMP_REBUILD_ORDERS];
    uint8_t station[32];
    uint32_t head;
    struct stamp_rebuild_setup setup = {.ws = ws,
                                        .station = station,
                                        .count = count,
                                        .n_counts = a->n_counted,
                                        .path = a->out};
    struct stamp_rebuilt is;
    enum stamp_err rc = find_station(ws, a->rebuild, station, &head, err);

    for (size_t i = 0; i < a->n_counted && rc == STAMP_OK; i++) {
        rc = take_counted(ws, a->counted[i], &count[i], err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_rebuild(&setup, &is, err);
    }
    if (rc == STAMP_OK) {
        (void)printf("%s: %u entries that were exported (the station had %u), %u units "
                     "that came back, %u given up\n",
                     a->out, is.exported, head, is.devices, is.lost);
    }
    if (rc == STAMP_OK && a->n_counted == 0) {
        (void)fprintf(stderr,
                      "stamp: where the token counted more units, the station says how "
                      "many and of which order: then make it again with --counted\n");
    }
    return rc;
}

/* ---- all of it ---- */

static int run(struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_PKEY_AUTO *home = NULL;
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_reconciled r = {0};
    struct reconcile_print print;
    char path[PATH_MAX];
    enum stamp_err rc = stamp_workspace_open(a->workspace, &ws, &err);

    reconcile_print_init(&print, a->json);
    if (rc == STAMP_OK) {
        rc = stamp_workspace_path(ws, "journals.db", path, &err);
    }
    if (rc == STAMP_OK && a->n > 0) {
        rc = cli_passphrase(ws, a->fd, &passphrase, &err);
        if (rc == STAMP_OK) {
            rc = stamp_workspace_home(ws, NULL, passphrase, &home, &cert, &err);
        }
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_journal_take_over(ws->registry, path, &err);
    }
    for (int i = 0; i < a->n && rc == STAMP_OK; i++) {
        rc = stamp_reconcile_take(ws, home, a->bundles[i], reconcile_tell, &print, &r,
                                  &err);
    }
    if (rc == STAMP_OK && a->rebuild == NULL) {
        rc = stamp_reconcile(ws, reconcile_tell, &print, &r, &err);
    }
    for (int i = 0; i < a->n_devices && rc == STAMP_OK; i++) {
        rc = take_device(a, ws, a->device[i], &print, &r, &err);
    }
    if (rc == STAMP_OK && a->rebuild != NULL) {
        rc = rebuild(a, ws, &err);
    }
    if (rc == STAMP_OK && a->rebuild == NULL) {
        reconcile_print_end(&print, &r);
    } else {
        reconcile_print_free(&print);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "what was taken in before stays");
    }
    return cli_flush(r.problems > 0 ? CLI_NOT_AUTHENTIC : CLI_DONE);
}

/* ---- by a service ---- */

static enum stamp_err reconcile_there(struct cli_online *o, struct reconcile_print *print,
                                      struct stamp_reconciled *r, struct stamp_error *err)
{
    json_t *answer = NULL;
    enum stamp_err rc =
        cli_online_once(o, "/api/v1/reconcile", json_object(), RECONCILE_S, &answer, err);

    if (rc == STAMP_OK) {
        rc = bundle_online_told(o, answer, reconcile_tell, print, r, err);
    }
    json_decref(answer);
    return rc;
}

static int run_online(struct args *a)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_reconciled r = {0};
    struct reconcile_print print;
    enum stamp_err rc = cli_online_open(&a->online, a->workspace, &err);

    reconcile_print_init(&print, a->json);
    for (int i = 0; i < a->n && rc == STAMP_OK; i++) {
        rc = bundle_online_send(&a->online, a->bundles[i], reconcile_tell, &print, &r,
                                &err);
    }
    if (rc == STAMP_OK) {
        rc = reconcile_there(&a->online, &print, &r, &err);
    }
    for (int i = 0; i < a->n_devices && rc == STAMP_OK; i++) {
        rc = take_device(a, NULL, a->device[i], &print, &r, &err);
    }
    cli_online_close(&a->online);
    if (rc == STAMP_OK) {
        reconcile_print_end(&print, &r);
    } else {
        reconcile_print_free(&print);
        return station_fail(&err, "what was taken in before stays");
    }
    return cli_flush(r.problems > 0 ? CLI_NOT_AUTHENTIC : CLI_DONE);
}

int cmd_reconcile(int argc, char **argv)
{
    struct args a = {.fd = -1};
    uint64_t number;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:jC:h", options, NULL)) != -1) {
        switch (opt) {
        case 'd':
            if (a.n_devices == DEVICES_MAX) {
                return cli_usage("reconcile", "at most %d devices at once", DEVICES_MAX);
            }
            a.device[a.n_devices++] = optarg;
            break;
        case 'n':
            if (a.n_counted == STAMP_REBUILD_ORDERS) {
                return cli_usage("reconcile", "at most %u orders", STAMP_REBUILD_ORDERS);
            }
            a.counted[a.n_counted++] = optarg;
            break;
        case 'j':
            a.json = true;
            break;
        case 'r':
            a.rebuild = optarg;
            break;
        case 'o':
            a.out = optarg;
            break;
        case 'F':
            if (!cli_number(optarg, 0, 65535, &number)) {
                return cli_usage("reconcile", "'%s' is no file descriptor", optarg);
            }
            a.fd = (int)number;
            break;
        case 'C':
            a.workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            if (cli_online_take(&a.online, opt, optarg)) {
                break;
            }
            return cli_bad_option("reconcile");
        }
    }
    a.bundles = argv + optind;
    a.n = argc - optind;
    if ((a.rebuild == NULL) != (a.out == NULL)) {
        return cli_usage("reconcile", "--rebuild STATION and -o JOURNAL go together");
    }
    if (a.rebuild == NULL && a.n_counted > 0) {
        return cli_usage("reconcile", "--counted goes with --rebuild");
    }
    if (cli_online_check(&a.online, "reconcile") != 0) {
        return CLI_USAGE;
    }
    if (a.online.url != NULL && a.rebuild != NULL) {
        return cli_usage("reconcile", "--rebuild wants the books at hand");
    }
    return a.online.url != NULL ? run_online(&a) : run(&a);
}
