/* `stamp registry`: the command line. */
#include "cli/registry_list.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/registry_check.h"
#include "cli/registry_online.h"
#include "cli/registry_pop.h"
#include "cli/registry_prune.h"
#include "cli/registry_show.h"
#include "host/registry_backup.h"

static const char help[] =
    "usage: stamp registry list [OPTION]...\n"
    "       stamp registry show [OPTION]... SERIAL|FINGERPRINT\n"
    "       stamp registry export [OPTION]...\n"
    "       stamp registry pop SERIAL --key KEY\n"
    "       stamp registry set SERIAL --state S [--reason R]\n"
    "       stamp registry check\n"
    "       stamp registry backup -o FILE\n"
    "       stamp registry restore FILE --to R\n"
    "       stamp registry prune --before T\n"
    "\n"
    "Asks the books. list gives one page of devices, show all about one, with its\n"
    "history; export all devices with their certificates, as CSV unless told otherwise;\n"
    "pop prints a proof of possession that the books keep in escrow; set books what\n"
    "became of a device; check holds rows, log, certificates and counts against each\n"
    "other and names what does not agree (exit status 3), for books at rest: a backup.\n"
    "backup writes all of the books as of one moment, while they are in use; restore\n"
    "makes books of a backup, elsewhere. prune drops operational keys that were given "
    "up\n"
    "and whose certificates ended before T, with what the log says of them but its\n"
    "hashes; and tokens, API keys and requests of before T.\n"
    "\n"
    "  -s, --state S           only devices that are reserved, issued, struck,\n"
    "                          labelled, shipped, active, returned, re-struck, scrapped\n"
    "                          or revoked\n"
    "  -p, --product P         only this product\n"
    "  -b, --batch B           only this batch, by name or number\n"
    "      --since T           only what is in its state since T or later:\n"
    "                          2026-11-22 or 2026-11-22T09:30:00Z\n"
    "      --before T          for prune: a time as of --since, that is over\n"
    "  -n, --limit N           devices on a page (default: 50)\n"
    "      --after SERIAL      the page behind this device\n"
    "  -j, --json              JSON\n"
    "      --csv               CSV\n"
    "  -k, --key KEY           of the certificate that proofs are sealed to; for pop\n"
    "      --reason R          why; for set\n"
    "  -o, --output FILE       the backup\n"
    "      --to R              for restore: a file that is not there, or a database\n"
    "                          without books, postgres://...\n"
    "      --passphrase-fd N   read its passphrase from file descriptor N\n"
    "      --server URL        ask a service that has the books (stamp serve): list,\n"
    "                          show, export, set and pop\n" CLI_ONLINE_HELP
    "      --registry R        the books: a file or postgres://...\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"state", required_argument, NULL, 's'},
    {"product", required_argument, NULL, 'p'},
    {"batch", required_argument, NULL, 'b'},
    {"since", required_argument, NULL, 'S'},
    {"before", required_argument, NULL, 'B'},
    {"limit", required_argument, NULL, 'n'},
    {"after", required_argument, NULL, 'A'},
    {"json", no_argument, NULL, 'j'},
    {"csv", no_argument, NULL, 'V'},
    {"key", required_argument, NULL, 'k'},
    {"reason", required_argument, NULL, 'r'},
    {"output", required_argument, NULL, 'o'},
    {"to", required_argument, NULL, 't'},
    {"passphrase-fd", required_argument, NULL, 'F'},
    CLI_ONLINE_OPTIONS,
    {"registry", required_argument, NULL, 'R'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

#define PAGE_MAX 10000u

struct args {
    struct registry_list list; /* its filter has the state of set, too */
    const char *dir;
    const char *what;   /* of show, pop, set and restore */
    const char *key;    /* of pop */
    const char *reason; /* of set */
    const char *output; /* of backup */
    const char *to;     /* of restore */
    time_t before;      /* of prune; 0 = not given */
    int fd;
    struct cli_online online; /* url NULL = the books are at hand */
};

/* ---- options ---- */

/* A day or a moment, UTC. */
static bool parse_time(const char *text, time_t *out)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"};

    for (size_t i = 0; i < 2; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, formats[i], &tm);

        if (isdigit((unsigned char)text[0]) && end != NULL && *end == '\0') {
            *out = timegm(&tm);
            return *out > 0;
        }
    }
    return false;
}

/* -1 = go on, else the exit status */
static int take_filter(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 's':
        a->list.filter.by_state = true;
        if (!stamp_registry_state_parse(optarg, &a->list.filter.state)) {
            return cli_usage("registry", "'%s' is no state", optarg);
        }
        return -1;
    case 'p':
        a->list.filter.product = optarg;
        return -1;
    case 'b':
        a->list.batch = optarg;
        return -1;
    case 'S':
        if (!parse_time(optarg, &a->list.filter.since)) {
            return cli_usage("registry", "'%s' is no time as 2026-11-22T09:30:00Z",
                             optarg);
        }
        return -1;
    case 'B':
        if (!parse_time(optarg, &a->before)) {
            return cli_usage("registry", "'%s' is no time as 2026-11-22T09:30:00Z",
                             optarg);
        }
        return -1;
    case 'n':
        if (!cli_number(optarg, 1, PAGE_MAX, &number)) {
            return cli_usage("registry", "'%s' is not 1 to %u", optarg, PAGE_MAX);
        }
        a->list.limit = (size_t)number;
        return -1;
    case 'A':
        a->list.after = optarg;
        return -1;
    default:
        return cli_online_take(&a->online, opt, optarg) ? -1 : cli_bad_option("registry");
    }
}

static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'j':
        a->list.format = REGISTRY_JSON;
        return -1;
    case 'V':
        a->list.format = REGISTRY_CSV;
        return -1;
    case 'o':
        a->output = optarg;
        return -1;
    case 't':
        a->to = optarg;
        return -1;
    case 'R':
        return setenv(STAMP_WORKSPACE_REGISTRY, optarg, 1) == 0
                   ? -1
                   : cli_usage("registry", "cannot take '%s'", optarg);
    case 'r':
        a->reason = optarg;
        return -1;
    case 'k':
        a->key = optarg;
        return -1;
    case 'F':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("registry", "'%s' is no file descriptor", optarg);
        }
        a->fd = (int)number;
        return -1;
    case 'C':
        a->dir = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return take_filter(a, opt);
    }
}

/* ---- verbs ---- */

/* What one does with the books, once they are open. */
typedef enum stamp_err (*deed)(struct stamp_registry *r, struct args *a,
                               struct stamp_error *err);

static int with_books(struct args *a, deed d)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = cli_books(a->dir, &r, &err);

    if (rc == STAMP_OK) {
        rc = d(r, a, &err);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

/* The same by a service: without a registry. */
static int anywhere(struct args *a, deed d)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (a->online.url == NULL) {
        return with_books(a, d);
    }
    rc = cli_online_open(&a->online, a->dir, &err);
    if (rc == STAMP_OK) {
        rc = d(NULL, a, &err);
    }
    cli_online_close(&a->online);
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

static enum stamp_err list_devices(struct stamp_registry *r, struct args *a,
                                   struct stamp_error *err)
{
    a->list.online = &a->online;
    return registry_list(r, &a->list, err);
}

static int list(struct args *a)
{
    return anywhere(a, list_devices);
}

static int export(struct args *a)
{
    a->list.all = true;
    if (a->list.format == REGISTRY_PLAIN) {
        a->list.format = REGISTRY_CSV;
    }
    return anywhere(a, list_devices);
}

static enum stamp_err show_device(struct stamp_registry *r, struct args *a,
                                  struct stamp_error *err)
{
    return r == NULL ? registry_online_show(&a->online, a->what,
                                            a->list.format == REGISTRY_JSON, err)
                     : registry_show(r, a->what, a->list.format, err);
}

static int show(struct args *a)
{
    return anywhere(a, show_device);
}

static enum stamp_err set_state(struct stamp_registry *r, struct args *a,
                                struct stamp_error *err)
{
    const struct stamp_registry_change c = {.serial = a->what,
                                            .to = a->list.filter.state,
                                            .at = time(NULL),
                                            .why = a->reason};

    return r == NULL ? registry_online_set(&a->online, c.serial, c.to, c.why, err)
                     : stamp_registry_change(r, &c, 1, NULL, err);
}

static int set(struct args *a)
{
    return anywhere(a, set_state);
}

static enum stamp_err pop_of(struct stamp_registry *r, struct args *a,
                             struct stamp_error *err)
{
    return registry_pop(r, &a->online, a->what, a->key, a->fd, err);
}

static int pop(struct args *a)
{
    return anywhere(a, pop_of);
}

static int check(struct args *a)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    bool wrong = false;
    enum stamp_err rc = cli_books(a->dir, &r, &err);

    if (rc == STAMP_OK) {
        rc = registry_check(r, a->dir, &wrong, &err);
    }
    return rc == STAMP_OK ? cli_flush(wrong ? CLI_NOT_AUTHENTIC : CLI_DONE)
                          : cli_fail(&err);
}

static int backup(struct args *a)
{
    char books[PATH_MAX];
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = cli_books_place(a->dir, books, &err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_backup(books, a->output, &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "there is no backup");
        return cli_fail(&err);
    }
    (void)printf("%s\n", a->output);
    return cli_flush(CLI_DONE);
}

static int restore(struct args *a)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    if (stamp_registry_restore(a->what, a->to, &err) != STAMP_OK) {
        stamp_error_state(&err, "nothing was restored");
        return cli_fail(&err);
    }
    (void)printf("The books are in %s. What they are worth: stamp --registry %s registry "
                 "check\n",
                 a->to, a->to);
    return cli_flush(CLI_DONE);
}

static int prune(struct args *a)
{
    return registry_prune(a->dir, a->fd, a->before);
}

static const struct verb {
    const char *name;
    int (*run)(struct args *a);
    bool one;    /* it takes a serial, or a file */
    bool online; /* a service does it, too */
} verbs[] = {
    {"list", list, false, true},      {"show", show, true, true},
    {"export", export, false, true},  {"pop", pop, true, true},
    {"set", set, true, true},         {"check", check, false, false},
    {"backup", backup, false, false}, {"restore", restore, true, false},
    {"prune", prune, false, false},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(name, verbs[i].name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* Do the options go with the verb? 0 = they do. */
static int check_options(const struct args *a, const struct verb *v)
{
    if ((v->run == backup) != (a->output != NULL) ||
        (v->run == restore) != (a->to != NULL)) {
        return cli_usage("registry",
                         "backup and -o FILE go together, and restore FILE and --to R");
    }
    if ((v->run == prune) != (a->before != 0)) {
        return cli_usage("registry", "prune and --before T go together");
    }
    if ((v->run == pop) != (a->key != NULL)) {
        return cli_usage("registry", "pop and --key KEY go together");
    }
    if (v->run == set ? !a->list.filter.by_state : a->reason != NULL) {
        return cli_usage("registry", "set takes --state S, and --reason is for set");
    }
    if (cli_online_check(&a->online, "registry") != 0) {
        return CLI_USAGE;
    }
    return a->online.url != NULL && !v->online
               ? cli_usage("registry",
                           "--server goes with list, show, export, set and pop")
               : 0;
}

int cmd_registry(int argc, char **argv)
{
    struct args a = {.list = {.limit = 50}, .fd = -1};
    const struct verb *v;
    int opt;

    while ((opt = getopt_long(argc, argv, "s:p:b:n:jk:o:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    v = optind == argc ? NULL : find_verb(argv[optind]);
    if (v == NULL) {
        return cli_usage("registry", "say list, show, export, pop, set, check, backup, "
                                     "restore or prune");
    }
    optind++;
    if (v->one != (argc - optind == 1) || argc - optind > 1) {
        return cli_usage("registry",
                         v->one ? "show, pop and set take one serial, restore a file"
                                : "'%s' is not understood",
                         argv[optind]);
    }
    a.what = argv[optind];
    return check_options(&a, v) != 0 ? CLI_USAGE : v->run(&a);
}
