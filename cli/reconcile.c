/* `stamp reconcile`: journals of stations against orders and books. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/station.h"
#include "host/reconcile.h"
#include "host/workspace_home.h"
#include "station/export.h"

static const char help[] =
    "usage: stamp reconcile [BUNDLE]... [OPTION]...\n"
    "       stamp reconcile [BUNDLE]... --rebuild STATION -o JOURNAL\n"
    "\n"
    "Takes in what stations exported, compares it with the orders, and books the units\n"
    "that agree. What does not agree is named and kept apart: gaps, changed or forked\n"
    "journals, units too many, keys or chips twice. In any order, as often as wanted.\n"
    "\n"
    "      --rebuild STATION   make the lost journal of a station anew from what was\n"
    "                          exported; its name is as the lines of reconcile have it\n"
    "  -o, --output JOURNAL    where to\n"
    "      --passphrase-fd N   of a production workspace: from file descriptor N\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n"
    "\n"
    "Exit status: 0 all agrees, 1 failed, 3 something does not agree.\n";

static const struct option options[] = {
    {"rebuild", required_argument, NULL, 'r'},
    {"output", required_argument, NULL, 'o'},
    {"passphrase-fd", required_argument, NULL, 'F'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    char **bundles;
    int n;
    const char *rebuild;
    const char *out;
    const char *workspace;
    int fd;
};

static void tell(void *ctx, const struct stamp_reconcile_told *told)
{
    (void)ctx;
    (void)printf("%s\n", told->text);
}

struct rebuilding {
    struct stamp_restore *to;
    uint32_t seq;
};

static enum stamp_err rebuild_entry(void *ctx, struct stamp_slice body,
                                    const struct stamp_journal_entry *e,
                                    struct stamp_error *err)
{
    struct rebuilding *r = ctx;

    if (e->seq != r->seq + 1) {
        return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                               e->seq == r->seq ? "there are two entries %u: which one "
                                                  "counts is for people to say"
                                                : "entry %u is the first behind a gap",
                               e->seq);
    }
    r->seq = e->seq;
    return stamp_restore_entry(r->to, body, err);
}

static enum stamp_err rebuild(const struct args *a, struct stamp_journal_store *store,
                              struct stamp_error *err)
{
    static struct stamp_journal_have have[256];
    size_t n = sizeof have / sizeof have[0];
    const struct stamp_journal_have *found = NULL;
    struct rebuilding r = {NULL, 0};
    uint32_t entries = 0;
    enum stamp_err rc = stamp_journal_store_list(store, have, &n, err);

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        char name[17];

        for (int k = 0; k < 8; k++) {
            (void)snprintf(name + 2 * k, 3, "%02x", have[i].station[k]);
        }
        found = strcmp(name, a->rebuild) == 0 ? &have[i] : found;
    }
    if (rc == STAMP_OK && found == NULL) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "nothing of a station '%s' is here",
                             a->rebuild);
    }
    if (rc == STAMP_OK) {
        rc = stamp_restore_begin(a->out, &r.to, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_journal_store_each(store, found->station, 1, rebuild_entry, &r, err);
        if (stamp_restore_end(&r.to, &entries, rc == STAMP_OK ? err : NULL) != STAMP_OK &&
            rc == STAMP_OK) {
            rc = STAMP_E_DATABASE;
        }
    }
    if (rc == STAMP_OK) {
        (void)printf("%s: %u entries; the station had %u\n", a->out, entries,
                     found->head);
        (void)fprintf(stderr,
                      "stamp: units that were begun behind them are in the token's "
                      "count: the station will say so\n");
    }
    return rc;
}

static int run(const struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_JOURNAL_STORE_AUTO *store = NULL;
    STAMP_PKEY_AUTO *home = NULL;
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_reconciled r = {0};
    char path[PATH_MAX];
    enum stamp_err rc = stamp_workspace_open(a->workspace, &ws, &err);

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
        rc = stamp_journal_store_open(path, &store, &err);
    }
    for (int i = 0; i < a->n && rc == STAMP_OK; i++) {
        rc = stamp_reconcile_take(ws, store, home, a->bundles[i], tell, NULL, &r, &err);
    }
    if (rc == STAMP_OK && a->rebuild != NULL) {
        rc = rebuild(a, store, &err);
    } else if (rc == STAMP_OK) {
        rc = stamp_reconcile(ws, store, tell, NULL, &r, &err);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "what was taken in before stays");
    }
    (void)printf(
        "%u parts taken in: %u new entries, %u known; %u units booked; %u problems\n",
        r.parts, r.stored.added, r.stored.known, r.booked, r.problems);
    return cli_flush(r.problems > 0 ? CLI_NOT_AUTHENTIC : CLI_DONE);
}

int cmd_reconcile(int argc, char **argv)
{
    struct args a = {.fd = -1};
    uint64_t number;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:C:h", options, NULL)) != -1) {
        switch (opt) {
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
            return cli_bad_option("reconcile");
        }
    }
    a.bundles = argv + optind;
    a.n = argc - optind;
    if ((a.rebuild == NULL) != (a.out == NULL)) {
        return cli_usage("reconcile", "--rebuild STATION and -o JOURNAL go together");
    }
    return run(&a);
}
