/* `stamp apikey`: keys for programs that use the service's API. */
#include "host/registry_apikey.h"

#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "host/file.h"
#include "host/json.h"

enum { HOUR = 3600, DAY = 86400, DAYS = 365, NAMES_TRIED = 1000 };

static const char help[] =
    "usage: stamp apikey add [OPTION]... --role ROLE [NAME]\n"
    "       stamp apikey list [OPTION]...\n"
    "       stamp apikey remove [OPTION]... NAME...\n"
    "\n"
    "A key lets a program use the service's API (stamp serve), as a bearer token. `add`\n"
    "prints NAME and key; that is shown this once, and the books have its digest\n"
    "alone. What is done with it is on the books under its name. `remove` ends it at\n"
    "once.\n"
    "\n"
    "  -r, --role ROLE         what it may do: admin, all; factory, make batches and "
    "fetch\n"
    "                          them; auditor, look at them; support, station, device\n"
    "  -o, --out FILE          the key goes there, mode 0600, and not to the screen\n"
    "      --expires WHEN      90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z; else 365d\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"role", required_argument, NULL, 'r'},    {"out", required_argument, NULL, 'o'},
    {"expires", required_argument, NULL, 'e'}, {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

struct args {
    const char *dir, *out;
    int role;
    time_t not_after;
    char *const *what;
    int n;
};

static enum stamp_err show(const struct args *a, const char *name, const char *text,
                           struct stamp_error *err)
{
    char line[STAMP_TOKEN_TEXT_SIZE + 1];
    enum stamp_err rc = STAMP_OK;

    if (a->out != NULL) {
        (void)snprintf(line, sizeof line, "%s\n", text);
        rc = stamp_file_write(a->out, line, strlen(line), STAMP_FILE_SECRET, false, err);
        OPENSSL_cleanse(line, sizeof line);
    }
    if (rc == STAMP_OK) {
        cli_print_text(name, strlen(name));
        (void)printf("\t%s\n", a->out != NULL ? a->out : text);
    }
    return rc;
}

static enum stamp_err add_named(struct stamp_registry *r, const struct args *a,
                                const char *name, struct stamp_error *err)
{
    char text[STAMP_TOKEN_TEXT_SIZE];
    uint8_t digest[STAMP_TOKEN_DIGEST_SIZE];
    enum stamp_err rc = stamp_token_draw(text, digest, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_apikey_add(r, name, (enum stamp_role)a->role, digest,
                                       time(NULL), a->not_after, err);
    }
    if (rc == STAMP_OK) {
        rc = show(a, name, text, err);
    }
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}

/* "factory-1" and so on: the first that is free. */
static enum stamp_err add_any(struct stamp_registry *r, const struct args *a,
                              struct stamp_error *err)
{
    char name[STAMP_REGISTRY_NAME_SIZE];
    enum stamp_err rc = STAMP_E_EXISTS;

    for (int i = 1; rc == STAMP_E_EXISTS && i < NAMES_TRIED; i++) {
        stamp_error_clear(err);
        (void)snprintf(name, sizeof name, "%s-%d", stamp_role_name(a->role), i);
        rc = add_named(r, a, name, err);
    }
    return rc;
}

static int add(const struct args *a)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (a->role == 0 || a->n > 1) {
        return cli_usage("apikey", a->role == 0 ? "say what it may do with --role"
                                                : "one name at a time");
    }
    if (a->not_after <= time(NULL)) {
        return cli_usage("apikey", "a key that has ended is of no use: see --expires");
    }
    if (a->out != NULL && access(a->out, F_OK) == 0) { /* before it is on the books */
        stamp_error_state(&err, "no key was made");
        (void)stamp_error_set(&err, STAMP_E_EXISTS, 0, "'%s' is there already", a->out);
        return cli_fail(&err);
    }
    rc = cli_books(a->dir, &r, &err);
    if (rc == STAMP_OK) {
        rc = a->n == 1 ? add_named(r, a, a->what[0], &err) : add_any(r, a, &err);
    }
    stamp_error_state(&err, "no key was made");
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

static bool print(void *ctx, const struct stamp_apikey *k)
{
    const time_t *now = ctx;
    char at[21];

    stamp_json_time((uint32_t)k->not_after, at);
    cli_print_text(k->name, strlen(k->name));
    (void)printf("\t%s\t%s %s\t", stamp_role_name(k->role),
                 k->not_after < *now ? "ended" : "good until", at);
    cli_print_text(k->who, strlen(k->who));
    (void)printf("\n");
    return true;
}

static int list(const struct args *a)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    time_t now = time(NULL);
    enum stamp_err rc;

    if (a->n != 0) {
        return cli_usage("apikey", "list takes nothing more");
    }
    rc = cli_books(a->dir, &r, &err);
    if (rc == STAMP_OK) {
        rc = stamp_registry_apikey_list(r, print, &now, &err);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

static int take_away(const struct args *a)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (a->n == 0) {
        return cli_usage("apikey", "say the names");
    }
    rc = cli_books(a->dir, &r, &err);
    for (int i = 0; i < a->n && rc == STAMP_OK; i++) {
        rc = stamp_registry_apikey_remove(r, a->what[i], &err);
        if (rc != STAMP_OK) {
            stamp_error_state(&err, "%d of %d keys were removed", i, a->n);
            stamp_error_hint(&err, "stamp apikey list shows what there is");
        }
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

/* "90d", "12h", or a date. */
static bool take_end(const char *text, time_t *out)
{
    size_t len = strlen(text);
    char number[8];
    uint64_t n;
    bool days = len > 1 && text[len - 1] == 'd';

    if (!days && (len < 2 || text[len - 1] != 'h')) {
        return cli_date(text, true, out);
    }
    if (len > sizeof number) {
        return false;
    }
    memcpy(number, text, len - 1);
    number[len - 1] = '\0';
    if (!cli_number(number, 1, days ? 3650 : 87600, &n)) {
        return false;
    }
    *out = time(NULL) + (time_t)n * (days ? DAY : HOUR);
    return true;
}

int cmd_apikey(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct args *);
    } what[] = {{"add", add}, {"list", list}, {"remove", take_away}};
    struct args a = {.not_after = time(NULL) + (time_t)DAYS * DAY};
    int opt;

    while ((opt = getopt_long(argc, argv, "r:o:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'r':
            a.role = stamp_role_of(optarg);
            if (a.role == 0) {
                return cli_usage("apikey",
                                 "'%s' is no role: admin, factory, support, auditor, "
                                 "station or device",
                                 optarg);
            }
            break;
        case 'e':
            if (!take_end(optarg, &a.not_after)) {
                return cli_usage("apikey", "'%s' is no end like 90d or 2027-01-31",
                                 optarg);
            }
            break;
        case 'o':
            a.out = optarg;
            break;
        case 'C':
            a.dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("apikey");
        }
    }
    for (size_t i = 0; i < sizeof what / sizeof what[0] && optind < argc; i++) {
        if (strcmp(argv[optind], what[i].name) == 0) {
            a.what = argv + optind + 1;
            a.n = argc - optind - 1;
            return what[i].run(&a);
        }
    }
    return cli_usage("apikey", "say what to do: add, list or remove");
}
