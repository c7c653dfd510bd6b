#include "host/registry_batch.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/online.h"
#include "cli/registry_check.h"
#include "cli/registry_online.h"
#include "cli/registry_operational.h"
#include "cli/registry_pop.h"
#include "cli/registry_prune.h"
#include "host/json.h"
#include "host/registry_backup.h"
#include "host/registry_json.h"

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
    "                          show, export and set\n" CLI_ONLINE_HELP
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
#define EXPORT_PAGE 500u
#define KEYS_SHOWN 4096u

enum format { PLAIN, JSON, CSV };

struct args {
    struct stamp_registry_filter filter;
    const char *batch;
    const char *after;
    const char *dir;
    const char *what;   /* of show and pop */
    const char *key;    /* of pop */
    const char *reason; /* of set */
    const char *output; /* of backup */
    const char *to;     /* of restore */
    time_t before;      /* of prune; 0 = not given */
    int fd;
    size_t limit;
    enum format format;
    struct cli_online online; /* url NULL = the books are at hand */
};

/* RFC 4180 */
static void put_csv(const char *text, char end)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;

    if (quoted) {
        (void)putchar('"');
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"') {
            (void)putchar('"');
        }
        (void)putchar(*p);
    }
    if (quoted) {
        (void)putchar('"');
    }
    (void)putchar(end);
}

static enum stamp_err put_json(json_t *j, const char *end, struct stamp_error *err)
{
    int rc = j == NULL ? -1 : json_dumpf(j, stdout, JSON_COMPACT);

    json_decref(j);
    (void)fputs(end, stdout);
    if (rc != 0 && ferror(stdout) == 0) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    return STAMP_OK; /* a full disk is found by cli_flush() */
}

static enum stamp_err put_row(const struct stamp_registry_row *row, enum format format,
                              bool first, struct stamp_error *err)
{
    struct stamp_registry_text t;
    enum stamp_err rc = stamp_registry_text_of(row, &t, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (format == PLAIN) {
        (void)printf("%-24s %-9s %s %6s  %s\n", row->serial,
                     stamp_registry_state_name(row->state), t.at, t.batch, row->product);
    } else if (format == JSON) {
        (void)fputs(first ? "[\n" : ",\n", stdout);
        rc = put_json(stamp_registry_json(row, &t), "", err);
    } else {
        put_csv(row->serial, ',');
        put_csv(stamp_registry_state_name(row->state), ',');
        put_csv(t.at, ',');
        put_csv(row->product, ',');
        put_csv(t.batch, ',');
        put_csv(t.fingerprint, ',');
        put_csv(t.certificate_serial, ',');
        put_csv(row->chip, ',');
        put_csv(row->file == NULL ? "" : row->file, ',');
        put_csv(t.certificate, '\n');
    }
    stamp_registry_text_fini(&t);
    return rc;
}

static void put_head(enum format format)
{
    if (format == PLAIN) {
        (void)printf("%-24s %-9s %-20s %6s  %s\n", "SERIAL", "STATE", "SINCE", "BATCH",
                     "PRODUCT");
    } else if (format == CSV) {
        (void)puts("serial,state,since,product,batch,fingerprint,certificate_serial,"
                   "chip,file,certificate");
    }
}

static void put_end(enum format format, bool none)
{
    if (format == JSON) {
        (void)puts(none ? "[]" : "\n]");
    }
}

/* ---- the books ---- */

static enum stamp_err find_batch(struct stamp_registry *r, struct args *a,
                                 struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    uint64_t number;
    enum stamp_err rc;

    if (a->batch == NULL) {
        return STAMP_OK;
    }
    if (cli_number(a->batch, 1, INT32_MAX, &number)) {
        a->filter.batch = (uint32_t)number; /* those of the desk have no name */
        return STAMP_OK;
    }
    if (r == NULL) {
        return stamp_error_set(
            err, STAMP_E_RANGE, 0,
            "with --server a batch is told by its number, and not '%s'", a->batch);
    }
    rc = stamp_registry_batch_find(r, a->batch, &batch, err);
    a->filter.batch = batch.id;
    return rc;
}

static enum stamp_err put_page(struct stamp_registry_row *rows, size_t n,
                               enum format format, bool *none, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = put_row(&rows[i], format, *none, err);
        *none = false;
    }
    return rc;
}

static void free_rows(struct stamp_registry_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        stamp_registry_row_fini(&rows[i]);
    }
}

/* Of a service `max` is as much as it gives at once, if need be several times. */
static enum stamp_err fetch(struct args *a, const char *after,
                            struct stamp_registry_row *rows, size_t max, size_t *n,
                            struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;
    size_t got = STAMP_SERVICE_PAGE;
    size_t want = STAMP_SERVICE_PAGE;

    *n = 0;
    while (rc == STAMP_OK && *n < max && got == want) {
        want = max - *n < STAMP_SERVICE_PAGE ? max - *n : STAMP_SERVICE_PAGE;
        rc = stamp_service_devices(a->online.https, a->online.url, &a->filter,
                                   *n == 0 ? after : rows[*n - 1].serial, rows + *n, want,
                                   &got, err);
        *n += got;
    }
    return rc;
}

/* @param r  NULL = a service has the books */
static enum stamp_err next_page(struct stamp_registry *r, struct args *a,
                                const struct stamp_registry_row *after,
                                struct stamp_registry_row *rows, size_t max, size_t *n,
                                struct stamp_error *err)
{
    bool first = after->serial[0] == '\0';

    return r == NULL ? fetch(a, first ? NULL : after->serial, rows, max, n, err)
                     : stamp_registry_list(r, &a->filter, first ? NULL : after, rows, max,
                                           n, err);
}

/* One page of `max`, or with `all` every one. */
static enum stamp_err walk(struct stamp_registry *r, struct args *a, bool all,
                           struct stamp_registry_row *rows, size_t max,
                           struct stamp_error *err)
{
    struct stamp_registry_row after = {0};
    bool none = true;
    size_t n = max;
    enum stamp_err rc = STAMP_OK;

    if (a->after != NULL && r != NULL) {
        rc = stamp_registry_find(r, a->after, &after, err);
    } else if (a->after != NULL) {
        (void)snprintf(after.serial, sizeof after.serial, "%s", a->after);
    }
    if (rc == STAMP_OK) {
        put_head(a->format);
    }
    while (rc == STAMP_OK && n == max) {
        rc = next_page(r, a, &after, rows, max, &n, err);
        if (rc == STAMP_OK) {
            rc = put_page(rows, n, a->format, &none, err);
        }
        if (n > 0) {
            stamp_registry_row_fini(&after);
            after = rows[n - 1];
            memset(&rows[n - 1], 0, sizeof rows[n - 1]);
        }
        free_rows(rows, n);
        if (!all) {
            break;
        }
    }
    if (rc == STAMP_OK) {
        put_end(a->format, none);
    }
    if (rc == STAMP_OK && !all && n == max) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "There may be more: --after %s\n", after.serial);
    }
    stamp_registry_row_fini(&after);
    return rc;
}

static enum stamp_err list(struct stamp_registry *r, struct args *a, bool all,
                           struct stamp_error *err)
{
    size_t max = all ? EXPORT_PAGE : a->limit;
    struct stamp_registry_row *rows = calloc(max, sizeof *rows);
    enum stamp_err rc;

    if (rows == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = find_batch(r, a, err);
    if (rc == STAMP_OK) {
        rc = walk(r, a, all, rows, max, err);
    }
    free(rows);
    return rc;
}

/* ---- one ---- */

static bool parse_fingerprint(const char *text, uint8_t out[32])
{
    if (strlen(text) != 64 || text[strspn(text, "0123456789abcdefABCDEF")] != '\0') {
        return false;
    }
    for (size_t i = 0; i < 32; i++) {
        char byte[3] = {text[2 * i], text[2 * i + 1], '\0'};

        out[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return true;
}

static enum stamp_err find(struct stamp_registry *r, const char *what,
                           struct stamp_registry_row *row, struct stamp_error *err)
{
    uint8_t fingerprint[32];

    if (parse_fingerprint(what, fingerprint)) {
        enum stamp_err rc = stamp_registry_find_key(r, fingerprint, row, NULL);

        if (rc != STAMP_E_MISSING) {
            return rc == STAMP_OK ? rc
                                  : stamp_registry_find_key(r, fingerprint, row, err);
        }
    }
    return stamp_registry_find(r, what, row, err);
}

static bool tell(void *ctx, const struct stamp_registry_entry *e)
{
    char at[21];

    (void)ctx;
    stamp_json_time((uint32_t)e->at, at);
    (void)printf("history              %s %-9s", at, stamp_registry_state_name(e->state));
    if (e->who[0] != '\0' || e->where[0] != '\0') {
        (void)printf(" by %s at %s", e->who[0] == '\0' ? "?" : e->who,
                     e->where[0] == '\0' ? "?" : e->where);
    }
    (void)printf("%s%s\n", e->why[0] == '\0' ? "" : ": ", e->why);
    return true;
}

static void line(const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        (void)printf("%-20s %s\n", name, value);
    }
}

static enum stamp_err show_json(struct stamp_registry *r,
                                const struct stamp_registry_row *row,
                                struct stamp_error *err)
{
    json_t *j = NULL;
    enum stamp_err rc = stamp_registry_json_whole(r, row, KEYS_SHOWN, &j, err);

    return rc == STAMP_OK ? put_json(j, "\n", err) : rc;
}

static enum stamp_err show_plain(struct stamp_registry *r,
                                 const struct stamp_registry_row *row,
                                 const struct stamp_registry_text *t,
                                 struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    bool named = stamp_registry_batch_get(r, stamp_registry_batch_of(row), &batch,
                                          NULL) == STAMP_OK;
    enum stamp_err rc;

    line("serial", row->serial);
    line("product", row->product);
    line("state", stamp_registry_state_name(row->state));
    line("  since", t->at);
    line("batch", named ? batch.name : "(made one by one)");
    line("chip", row->chip);
    line("key fingerprint", t->fingerprint);
    line("certificate serial", t->certificate_serial);
    line("file", row->file);
    rc = stamp_registry_history(r, row->serial, tell, NULL, err);
    return rc == STAMP_OK ? cli_print_operational(r, row->id, err) : rc;
}

static enum stamp_err show(struct stamp_registry *r, const struct args *a,
                           struct stamp_error *err)
{
    struct stamp_registry_row row = {0};
    struct stamp_registry_text t = {.certificate = NULL};
    enum stamp_err rc = find(r, a->what, &row, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_text_of(&row, &t, err);
    }
    if (rc == STAMP_OK && a->format == PLAIN) {
        rc = show_plain(r, &row, &t, err);
    } else if (rc == STAMP_OK && a->format == JSON) {
        rc = show_json(r, &row, err);
    } else if (rc == STAMP_OK) {
        put_head(CSV);
        rc = put_row(&row, CSV, true, err);
    }
    stamp_registry_text_fini(&t);
    stamp_registry_row_fini(&row);
    return rc;
}

/* ---- the command line ---- */

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
        a->filter.by_state = true;
        if (!stamp_registry_state_parse(optarg, &a->filter.state)) {
            return cli_usage("registry", "'%s' is no state", optarg);
        }
        return -1;
    case 'p':
        a->filter.product = optarg;
        return -1;
    case 'b':
        a->batch = optarg;
        return -1;
    case 'S':
        if (!parse_time(optarg, &a->filter.since)) {
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
        a->limit = (size_t)number;
        return -1;
    case 'A':
        a->after = optarg;
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
        a->format = JSON;
        return -1;
    case 'V':
        a->format = CSV;
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

static enum stamp_err set(struct stamp_registry *r, const struct args *a,
                          struct stamp_error *err)
{
    const struct stamp_registry_change c = {
        .serial = a->what, .to = a->filter.state, .at = time(NULL), .why = a->reason};

    return stamp_registry_change(r, &c, 1, NULL, err);
}

static int backup(const struct args *a)
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

static int restore(const struct args *a)
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

static int run_online(struct args *a, const char *verb)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = cli_online_open(&a->online, a->dir, &err);

    if (rc == STAMP_OK && strcmp(verb, "set") == 0) {
        rc = registry_online_set(&a->online, a->what, a->filter.state, a->reason, &err);
    } else if (rc == STAMP_OK && strcmp(verb, "show") == 0) {
        rc = registry_online_show(&a->online, a->what, a->format == JSON, &err);
    } else if (rc == STAMP_OK) {
        rc = list(NULL, a, strcmp(verb, "export") == 0, &err);
    }
    cli_online_close(&a->online);
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

static int run(struct args *a, const char *verb)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    bool wrong = false;
    enum stamp_err rc = cli_books(a->dir, &r, &err);

    if (rc == STAMP_OK && strcmp(verb, "show") == 0) {
        rc = show(r, a, &err);
    } else if (rc == STAMP_OK && strcmp(verb, "set") == 0) {
        rc = set(r, a, &err);
    } else if (rc == STAMP_OK && strcmp(verb, "check") == 0) {
        rc = registry_check(r, a->dir, &wrong, &err);
    } else if (rc == STAMP_OK && strcmp(verb, "pop") == 0) {
        rc = registry_pop(r, a->what, a->key, a->fd, &err);
    } else if (rc == STAMP_OK) {
        rc = list(r, a, strcmp(verb, "export") == 0, &err);
    }
    return rc == STAMP_OK ? cli_flush(wrong ? CLI_NOT_AUTHENTIC : CLI_DONE)
                          : cli_fail(&err);
}

int cmd_registry(int argc, char **argv)
{
    struct args a = {.limit = 50, .fd = -1};
    const char *verb;
    bool one;
    int opt;

    while ((opt = getopt_long(argc, argv, "s:p:b:n:jk:o:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    if (optind == argc) {
        return cli_usage("registry", "say list, show, export, pop, set, check, backup, "
                                     "restore or prune");
    }
    verb = argv[optind++];
    if ((strcmp(verb, "backup") == 0) != (a.output != NULL) ||
        (strcmp(verb, "restore") == 0) != (a.to != NULL)) {
        return cli_usage("registry",
                         "backup and -o FILE go together, and restore FILE and --to R");
    }
    one = strcmp(verb, "show") == 0 || strcmp(verb, "pop") == 0 ||
          strcmp(verb, "set") == 0 || strcmp(verb, "restore") == 0;
    if (!one && strcmp(verb, "backup") != 0 && strcmp(verb, "list") != 0 &&
        strcmp(verb, "export") != 0 && strcmp(verb, "check") != 0 &&
        strcmp(verb, "prune") != 0) {
        return cli_usage("registry", "'%s' is not list, show, export, pop, set or check",
                         verb);
    }
    if ((strcmp(verb, "prune") == 0) != (a.before != 0)) {
        return cli_usage("registry", "prune and --before T go together");
    }
    if ((strcmp(verb, "pop") == 0) != (a.key != NULL)) {
        return cli_usage("registry", "pop and --key KEY go together");
    }
    if (strcmp(verb, "set") == 0 ? !a.filter.by_state : a.reason != NULL) {
        return cli_usage("registry", "set takes --state S, and --reason is for set");
    }
    if (one != (argc - optind == 1) || argc - optind > 1) {
        return cli_usage("registry",
                         one ? "show, pop and set take one serial, restore a file"
                             : "'%s' is not understood",
                         argv[optind]);
    }
    a.what = argv[optind];
    if ((strcmp(verb, "check") == 0 || strcmp(verb, "backup") == 0 ||
         strcmp(verb, "prune") == 0) &&
        a.what != NULL) {
        return cli_usage("registry", "%s takes no '%s'", verb, a.what);
    }
    if (strcmp(verb, "backup") == 0 || strcmp(verb, "restore") == 0) {
        return a.output != NULL ? backup(&a) : restore(&a);
    }
    if (cli_online_check(&a.online, "registry") != 0) {
        return CLI_USAGE;
    }
    if (a.online.url != NULL && strcmp(verb, "list") != 0 && strcmp(verb, "show") != 0 &&
        strcmp(verb, "export") != 0 && strcmp(verb, "set") != 0) {
        return cli_usage("registry", "--server goes with list, show, export and set");
    }
    if (strcmp(verb, "prune") == 0) {
        return registry_prune(a.dir, a.fd, a.before);
    }
    if (strcmp(verb, "export") == 0 && a.format == PLAIN) {
        a.format = CSV;
    }
    return a.online.url != NULL ? run_online(&a, verb) : run(&a, verb);
}
