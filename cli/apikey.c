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
#include "host/hex.h"
#include "host/json.h"
#include "host/pki.h"

enum { HOUR = 3600, DAY = 86400, DAYS = 365, NAMES_TRIED = 1000 };

static const char help[] =
    "usage: stamp apikey add [OPTION]... --role ROLE [NAME]\n"
    "       stamp apikey list [OPTION]...\n"
    "       stamp apikey remove [OPTION]... NAME...\n"
    "\n"
    "A key lets a program use the service's API (stamp serve), as a bearer token. `add`\n"
    "prints NAME and key; that is shown this once, and the books have its digest\n"
    "alone. Or a certificate does that the program has already, of whatever authority:\n"
    "it shows it to the service by TLS. What is done with it is on the books under its\n"
    "name. `remove` ends it at once.\n"
    "\n"
    "  -r, --role ROLE         what it may do: admin, all; factory, make batches and "
    "fetch\n"
    "                          them; auditor, look at them; support; station; device,\n"
    "                          ask about the device that has the key's name\n"
    "  -c, --certificate PEM   no key: who shows this certificate, till it ends\n"
    "  -o, --out FILE          the key goes there, mode 0600, and not to the screen\n"
    "      --expires WHEN      90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z; else 365d\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"role", required_argument, NULL, 'r'},
    {"out", required_argument, NULL, 'o'},
    {"expires", required_argument, NULL, 'e'},
    {"certificate", required_argument, NULL, 'c'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *dir, *out;
    const char *certificate; /* file; NULL = a key is drawn */
    int role;
    time_t not_after;
    uint8_t digest[STAMP_TOKEN_DIGEST_SIZE]; /* of the certificate */
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

static enum stamp_err add_key(struct stamp_registry *r, const struct args *a,
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

static enum stamp_err add_named(struct stamp_registry *r, const struct args *a,
                                const char *name, struct stamp_error *err)
{
    char text[2 * STAMP_TOKEN_DIGEST_SIZE + 1];
    enum stamp_err rc;

    if (a->certificate == NULL) {
        return add_key(r, a, name, err);
    }
    rc = stamp_registry_apikey_add(r, name, (enum stamp_role)a->role, a->digest,
                                   time(NULL), a->not_after, err);
    if (rc == STAMP_OK) {
        stamp_hex(a->digest, sizeof a->digest, text);
        cli_print_text(name, strlen(name));
        (void)printf("\tcertificate %s\n", text);
    }
    return rc;
}

/* By which the service knows it; its own end is the latest. */
static enum stamp_err take_certificate(struct args *a, struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    time_t end;
    enum stamp_err rc = stamp_pki_load(a->certificate, &cert, err);

    if (rc == STAMP_OK && !stamp_pki_time(X509_get0_notAfter(cert), &end)) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' has no end that is a time",
                             a->certificate);
    }
    if (rc == STAMP_OK && end <= time(NULL)) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "'%s' has ended", a->certificate);
    }
    if (rc == STAMP_OK && X509_digest(cert, stamp_sha256(), a->digest, NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash a certificate");
    }
    if (rc == STAMP_OK && end < a->not_after) {
        a->not_after = end;
    }
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

static int add(struct args *a)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (a->role == 0 || a->n > 1) {
        return cli_usage("apikey", a->role == 0 ? "say what it may do with --role"
                                                : "one name at a time");
    }
    if (a->certificate != NULL && a->out != NULL) {
        return cli_usage("apikey", "--out is for a key, and --certificate draws none");
    }
    if (a->not_after <= time(NULL)) {
        return cli_usage("apikey", "a key that has ended is of no use: see --expires");
    }
    if (a->out != NULL && access(a->out, F_OK) == 0) { /* before it is on the books */
        stamp_error_state(&err, "no key was made");
        (void)stamp_error_set(&err, STAMP_E_EXISTS, 0, "'%s' is there already", a->out);
        return cli_fail(&err);
    }
    rc = a->certificate == NULL ? STAMP_OK : take_certificate(a, &err);
    if (rc == STAMP_OK) {
        rc = cli_books(a->dir, &r, &err);
    }
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

static int list(struct args *a)
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

static int take_away(struct args *a)
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
        int (*run)(struct args *);
    } what[] = {{"add", add}, {"list", list}, {"remove", take_away}};
    struct args a = {.not_after = time(NULL) + (time_t)DAYS * DAY};
    int opt;

    while ((opt = getopt_long(argc, argv, "r:o:c:C:h", options, NULL)) != -1) {
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
        case 'c':
            a.certificate = optarg;
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
