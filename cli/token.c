/* `stamp token`: one-time tokens for devices that have nothing else to show. */
#include "host/registry_token.h"

#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "host/hex.h"
#include "host/json.h"

enum { HOUR = 3600, ID_BYTES = 6, HOURS_MAX = 24 * 366 };

static const char help[] =
    "usage: stamp token add [OPTION]... SERIAL...\n"
    "       stamp token list [OPTION]...\n"
    "       stamp token drop [OPTION]... ID...\n"
    "\n"
    "A token lets a device enrol that has no certificate to show: once, with one key, "
    "as\n"
    "its HTTP password (user name: the serial) or bearer token. `add` prints SERIAL, "
    "token\n"
    "and the token's id, a line each; the token is shown this once, and the books have "
    "its\n"
    "digest alone. `drop` takes back what is not used yet.\n"
    "\n"
    "      --hours N           good for so long, 1 to 8784; else 24\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"hours", required_argument, NULL, 'H'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *dir;
    uint64_t hours;
    char *const *what;
    int n;
};

static void id_of(const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                  char out[2 * ID_BYTES + 1])
{
    stamp_hex(digest, ID_BYTES, out);
}

static enum stamp_err add_one(struct stamp_registry *r, const char *serial,
                              uint64_t hours, struct stamp_error *err)
{
    char text[STAMP_TOKEN_TEXT_SIZE];
    char id[2 * ID_BYTES + 1];
    uint8_t digest[STAMP_TOKEN_DIGEST_SIZE];
    time_t now = time(NULL);
    enum stamp_err rc = stamp_token_draw(text, digest, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_token_add(r, serial, digest, now, now + (time_t)hours * HOUR,
                                      err);
    }
    if (rc == STAMP_OK) {
        id_of(digest, id);
        (void)printf("%s\t%s\t%s\n", serial, text, id);
    }
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}

static int add(const struct args *a)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (a->n == 0) {
        return cli_usage("token", "say the serials");
    }
    rc = cli_books(a->dir, &r, &err);
    for (int i = 0; i < a->n && rc == STAMP_OK; i++) {
        rc = add_one(r, a->what[i], a->hours, &err);
        if (rc != STAMP_OK) {
            stamp_error_state(&err, "%d of %d tokens were made", i, a->n);
        }
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

static bool print(void *ctx, const struct stamp_registry_token *t)
{
    const time_t *now = ctx;
    char id[2 * ID_BYTES + 1];
    char at[21];

    id_of(t->digest, id);
    stamp_json_time((uint32_t)(t->used_at != 0 ? t->used_at : t->not_after), at);
    (void)printf("%s\t%s\t%s %s\t", t->serial, id,
                 t->used_at != 0       ? "used"
                 : t->not_after < *now ? "ended"
                                       : "good until",
                 at);
    cli_print_text(t->who, strlen(t->who));
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
        return cli_usage("token", "list takes nothing more");
    }
    rc = cli_books(a->dir, &r, &err);
    if (rc == STAMP_OK) {
        rc = stamp_registry_token_list(r, print, &now, &err);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

struct sought {
    const char *id;
    uint8_t digest[STAMP_TOKEN_DIGEST_SIZE];
    bool found;
};

static bool seek(void *ctx, const struct stamp_registry_token *t)
{
    struct sought *s = ctx;
    char id[2 * ID_BYTES + 1];

    id_of(t->digest, id);
    if (strcmp(id, s->id) == 0) {
        memcpy(s->digest, t->digest, sizeof s->digest);
        s->found = true;
    }
    return !s->found;
}

static enum stamp_err drop_one(struct stamp_registry *r, const char *id,
                               struct stamp_error *err)
{
    struct sought s = {.id = id};
    enum stamp_err rc = stamp_registry_token_list(r, seek, &s, err);

    if (rc == STAMP_OK && !s.found) {
        stamp_error_hint(err, "stamp token list shows what there is");
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "there is no token '%s'", id);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_token_drop(r, s.digest, err);
    }
    return rc;
}

static int drop(const struct args *a)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (a->n == 0) {
        return cli_usage("token", "say the ids");
    }
    rc = cli_books(a->dir, &r, &err);
    for (int i = 0; i < a->n && rc == STAMP_OK; i++) {
        rc = drop_one(r, a->what[i], &err);
        if (rc != STAMP_OK) {
            stamp_error_state(&err, "%d of %d tokens were dropped", i, a->n);
        }
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

int cmd_token(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct args *);
    } what[] = {{"add", add}, {"list", list}, {"drop", drop}};
    struct args a = {.hours = 24};
    int opt;

    while ((opt = getopt_long(argc, argv, "C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'H':
            if (!cli_number(optarg, 1, HOURS_MAX, &a.hours)) {
                return cli_usage("token", "'%s' is no number of 1 to %d", optarg,
                                 HOURS_MAX);
            }
            break;
        case 'C':
            a.dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("token");
        }
    }
    for (size_t i = 0; i < sizeof what / sizeof what[0] && optind < argc; i++) {
        if (strcmp(argv[optind], what[i].name) == 0) {
            a.what = argv + optind + 1;
            a.n = argc - optind - 1;
            return what[i].run(&a);
        }
    }
    return cli_usage("token", "say what to do: add, list or drop");
}
