/* `stamp order show` and `stamp order list`. */
#include <getopt.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/order.h"
#include "cli/print_json.h"
#include "cli/station.h"
#include "host/file.h"
#include "host/hex.h"
#include "host/order.h"
#include "host/registry_json.h"

#define PAGE ((size_t)50)
#define FILE_NAME "order-"

static const char show_help[] =
    "usage: stamp order show ORDER [OPTION]...\n"
    "\n"
    "How a work order stands on the books, and which units of it were refused.\n"
    "\n"
    "  ORDER                   its file, its number, or its id of 32 digits\n"
    "  -j, --json              JSON\n"
    "      --server URL        ask a service that has the books (stamp "
    "serve)\n" CLI_ONLINE_HELP "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const char list_help[] =
    "usage: stamp order list [OPTION]...\n"
    "\n"
    "The work orders on the books, oldest first.\n"
    "\n"
    "  -j, --json              JSON\n"
    "      --server URL        ask a service that has the books (stamp "
    "serve)\n" CLI_ONLINE_HELP "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"json", no_argument, NULL, 'j'},
    {"dir", required_argument, NULL, 'C'},
    CLI_ONLINE_OPTIONS,
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* ---- finding ---- */

/* STAMP_E_MISSING where it is none. */
static enum stamp_err name_file(const char *path, char out[ORDER_NAME_SIZE],
                                struct stamp_error *err)
{
    uint8_t digest[32];
    uint8_t *file = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_file_read(path, STAMP_ORDER_MAX, &file, &len, err);

    if (rc == STAMP_OK &&
        EVP_Digest(file, len, digest, NULL, stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash a file");
    }
    if (rc == STAMP_OK) {
        stamp_hex(digest, sizeof digest, out);
    }
    free(file);
    return rc;
}

/* A file that is none of the books' may still bear the name of one. */
static bool name_text(const char *text, char out[ORDER_NAME_SIZE])
{
    const char *base = strrchr(text, '/');

    base = base == NULL ? text : base + 1;
    if (strncmp(base, FILE_NAME, strlen(FILE_NAME)) == 0 &&
        base[strlen(FILE_NAME)] != 0) {
        base += strlen(FILE_NAME);
    }
    return snprintf(out, ORDER_NAME_SIZE, "%s", base) < (int)ORDER_NAME_SIZE;
}

/* What the books can find it by: the digest of its file, its number or its name. */
static enum stamp_err order_name(const char *text, char out[ORDER_NAME_SIZE],
                                 struct stamp_error *err)
{
    if (access(text, R_OK) == 0 && name_file(text, out, NULL) == STAMP_OK) {
        return STAMP_OK;
    }
    return name_text(text, out) ? STAMP_OK
                                : stamp_error_set(err, STAMP_E_MISSING, 0,
                                                  "there is no work order '%s'", text);
}

static enum stamp_err seek(struct stamp_registry *books, const char *text,
                           struct stamp_registry_order *order, struct stamp_error *err)
{
    char name[ORDER_NAME_SIZE];
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = order_name(text, name, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_order_seek(books, name, order, &why);
    }
    if (rc == STAMP_E_MISSING && name_text(text, name)) {
        stamp_error_clear(&why);
        rc = stamp_registry_order_seek(books, name, order, &why);
    }
    return rc == STAMP_OK || rc == STAMP_E_MISSING
               ? rc
               : stamp_error_set(err, rc, why.native, "%s", why.what);
}

enum stamp_err order_find(struct stamp_registry *books, const char *text,
                          struct stamp_registry_order *order, struct stamp_error *err)
{
    enum stamp_err rc = seek(books, text, order, err);

    if (rc == STAMP_E_MISSING) {
        stamp_error_hint(err, "stamp order list shows which there are");
        return stamp_error_set(err, rc, 0, "there is no work order '%s'", text);
    }
    return rc;
}

enum stamp_err order_get(struct cli_online *online, const char *text, json_t **out,
                         struct stamp_error *err)
{
    char name[ORDER_NAME_SIZE];
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = order_name(text, name, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = cli_online_get(online, ORDERS_PATH "/", name, "", out, &why);
    if (rc == STAMP_E_MISSING && name_text(text, name)) {
        stamp_error_clear(&why);
        rc = cli_online_get(online, ORDERS_PATH "/", name, "", out, &why);
    }
    return rc == STAMP_OK ? rc : stamp_error_set(err, rc, why.native, "%s", why.what);
}

/* ---- text ---- */

void order_print(const json_t *o)
{
    (void)printf("order %s: ", cli_json_text(o, "name"));
    cli_json_print(o, "product");
    (void)printf(", %s\n", cli_json_text(o, "state"));
    cli_json_print(o, "first");
    (void)printf("..");
    cli_json_print(o, "last");
    (void)printf(", for ");
    cli_json_print(o, "station");
    (void)printf(
        " until %s\nlock %s, proof of possession %s\n", cli_json_text(o, "not_after"),
        strcmp(cli_json_text(o, "lock"), "later") == 0 ? "later" : "at the strike",
        cli_json_text(o, "pop"));
    (void)printf("%lld units: %lld struck, %lld scrapped, %lld revoked, %lld signed and "
                 "not known to be finished, %lld not begun; %lld refused\n",
                 cli_json_number(o, "count"), cli_json_number(o, "struck"),
                 cli_json_number(o, "scrapped"), cli_json_number(o, "revoked"),
                 cli_json_number(o, "outstanding"), cli_json_number(o, "reserved"),
                 cli_json_number(o, "refused"));
}

static void print_refused(const json_t *order)
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(order, "quarantine"), i, one)
    {
        (void)printf("refused: unit %lld (", cli_json_number(one, "index"));
        cli_json_print(one, "serial");
        (void)printf("): ");
        cli_json_print(one, "why");
        (void)printf("\n");
    }
}

static void print_line(const json_t *o)
{
    (void)printf("%5lld  %-6s  %10lld  %s  ", cli_json_number(o, "order"),
                 cli_json_text(o, "state"), cli_json_number(o, "count"),
                 cli_json_text(o, "at"));
    cli_json_print(o, "product");
    (void)printf("  ");
    cli_json_print(o, "station");
    (void)printf("  ");
    cli_json_print(o, "first");
    (void)printf("..");
    cli_json_print(o, "last");
    (void)printf("\n");
}

/* ---- verbs ---- */

struct args {
    const char *workspace;
    struct cli_online online;
    bool json;
};

static enum stamp_err find_here(const char *workspace, const char *text, json_t **out,
                                struct stamp_error *err)
{
    STAMP_REGISTRY_AUTO *books = NULL;
    struct stamp_registry_order order;
    enum stamp_err rc = cli_books(workspace, &books, err);

    if (rc == STAMP_OK) {
        rc = order_find(books, text, &order, err);
    }
    return rc == STAMP_OK ? stamp_order_json_whole(books, &order, out, err) : rc;
}

static enum stamp_err find_online(struct args *a, const char *text, json_t **out,
                                  struct stamp_error *err)
{
    enum stamp_err rc = cli_online_open(&a->online, a->workspace, err);

    if (rc == STAMP_OK) {
        rc = order_get(&a->online, text, out, err);
    }
    cli_online_close(&a->online);
    return rc;
}

static enum stamp_err show(struct args *a, const char *text, struct stamp_error *err)
{
    json_t *order = NULL;
    enum stamp_err rc = a->online.url == NULL ? find_here(a->workspace, text, &order, err)
                                              : find_online(a, text, &order, err);

    if (rc == STAMP_OK && a->json) {
        return cli_json_put(order, err);
    }
    if (rc == STAMP_OK) {
        order_print(order);
        print_refused(order);
    }
    json_decref(order);
    return rc;
}

/* @param ctx  an array that takes it; NULL: it is printed */
static enum stamp_err take_row(void *ctx, json_t *row, struct stamp_error *err)
{
    if (ctx != NULL && json_array_append(ctx, row) != 0) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    if (ctx == NULL) {
        print_line(row);
    }
    return STAMP_OK;
}

static enum stamp_err list_here(const char *workspace, json_t *all,
                                struct stamp_error *err)
{
    static struct stamp_registry_order page[PAGE];
    STAMP_REGISTRY_AUTO *books = NULL;
    uint32_t after = 0;
    size_t n = PAGE;
    enum stamp_err rc = cli_books(workspace, &books, err);

    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_registry_order_list(books, after, page, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            json_t *row = NULL;

            after = page[i].batch.id;
            rc = stamp_order_json(books, &page[i], &row, err);
            if (rc == STAMP_OK) {
                rc = take_row(all, row, err);
            }
            json_decref(row);
        }
    }
    return rc;
}

static enum stamp_err list(struct args *a, struct stamp_error *err)
{
    json_t *all = a->json ? json_array() : NULL;
    enum stamp_err rc = STAMP_OK;

    if (!a->json) {
        (void)printf("ORDER  STATE        UNITS  MADE                  PRODUCT  STATION  "
                     "SERIALS\n");
    }
    if (a->online.url == NULL) {
        rc = list_here(a->workspace, all, err);
    } else {
        rc = cli_online_open(&a->online, a->workspace, err);
        if (rc == STAMP_OK) {
            rc = cli_online_list(&a->online, ORDERS_PATH, "orders", take_row, all, err);
        }
        cli_online_close(&a->online);
    }
    if (rc == STAMP_OK && a->json) {
        return cli_json_put(all, err);
    }
    json_decref(all);
    return rc;
}

static int run(const char *verb, const char *help, bool one, int argc, char **argv)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct args a = {.workspace = NULL};
    const char *name = NULL;
    enum stamp_err rc;
    int opt;

    while ((opt = getopt_long(argc, argv, "jC:h", options, NULL)) != -1) {
        switch (opt) {
        case 'j':
            a.json = true;
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
            return cli_bad_option(verb);
        }
    }
    if (one) {
        name = station_operand(verb, "order", argc, argv);
        if (name == NULL) {
            return CLI_USAGE;
        }
    } else if (optind != argc) {
        return cli_usage(verb, "'%s' is too much", argv[optind]);
    }
    if (cli_online_check(&a.online, verb) != 0) {
        return CLI_USAGE;
    }
    rc = one ? show(&a, name, &err) : list(&a, &err);
    return rc == STAMP_OK ? cli_flush(CLI_DONE)
                          : station_fail(&err, "nothing was changed");
}

int order_show(int argc, char **argv)
{
    return run("order show", show_help, true, argc, argv);
}

int order_list(int argc, char **argv)
{
    return run("order list", list_help, false, argc, argv);
}
