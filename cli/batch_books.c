/* `stamp batch list`, `balance`, and what `show` says of a batch on the books. */
#include "cli/batch_books.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/batch.h"
#include "cli/print_json.h"
#include "host/registry_json.h"

#define PAGE ((size_t)50)
#define BATCHES "/api/v1/batches"

static const char list_help[] =
    "usage: stamp batch list [OPTION]...\n"
    "\n"
    "The batches on the books, oldest first.\n"
    "\n"
    "  -j, --json              JSON\n"
    "      --server URL        ask a service that has the books (stamp "
    "serve)\n" CLI_ONLINE_HELP "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const char balance_help[] =
    "usage: stamp batch balance ID [OPTION]...\n"
    "\n"
    "What became of the stamps of a batch: issued = struck + scrapped + returned +\n"
    "revoked + outstanding. Exits with 1 where that does not hold.\n"
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

/* ---- list ---- */

static void print_line(const json_t *b)
{
    (void)printf("%5lld  %-6s  %10lld  %s  ", cli_json_number(b, "batch"),
                 cli_json_text(b, "state"), cli_json_number(b, "count"),
                 cli_json_text(b, "at"));
    cli_json_print(b, "product");
    (void)printf("  ");
    cli_json_print(b, "name");
    if (cli_json_text(b, "note")[0] != '\0') {
        (void)printf("  ");
        cli_json_print(b, "note");
    }
    (void)printf("\n");
}

/* @param ctx  an array that takes it; NULL: it is printed */
static enum stamp_err take_row(void *ctx, json_t *row, struct stamp_error *err)
{
    if (row == NULL || (ctx != NULL && json_array_append(ctx, row) != 0)) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    if (ctx == NULL) {
        print_line(row);
    }
    return STAMP_OK;
}

static enum stamp_err list_here(const char *dir, json_t *all, struct stamp_error *err)
{
    static struct stamp_registry_batch page[PAGE];
    STAMP_REGISTRY_AUTO *r = NULL;
    uint32_t after = 0;
    size_t n = PAGE;
    enum stamp_err rc = cli_books(dir, &r, err);

    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_registry_batch_list(r, after, page, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            json_t *row = stamp_batch_json(&page[i]);

            after = page[i].id;
            rc = take_row(all, row, err);
            json_decref(row);
        }
    }
    return rc;
}

/* ---- one ---- */

static enum stamp_err find_here(const char *dir, const char *id, json_t **out,
                                struct stamp_error *err)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_registry_batch batch;
    enum stamp_err rc = cli_books(dir, &r, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_batch_find(r, id, &batch, err);
    }
    return rc == STAMP_OK ? stamp_batch_json_whole(r, &batch, out, err) : rc;
}

static enum stamp_err find(const char *dir, struct cli_online *online, const char *id,
                           json_t **out, struct stamp_error *err)
{
    enum stamp_err rc;

    *out = NULL;
    if (online->url == NULL) {
        return find_here(dir, id, out, err);
    }
    rc = cli_online_open(online, dir, err);
    if (rc == STAMP_OK) {
        rc = cli_online_get(online, BATCHES "/", id, "/balance", out, err);
    }
    cli_online_close(online);
    return rc;
}

static void print_balance(const json_t *batch)
{
    const json_t *b = json_object_get(batch, "balance");

    (void)printf("issued %lld = struck %lld + scrapped %lld + returned %lld + revoked "
                 "%lld + outstanding %lld%s\n",
                 cli_json_number(b, "issued"), cli_json_number(b, "struck"),
                 cli_json_number(b, "scrapped"), cli_json_number(b, "returned"),
                 cli_json_number(b, "revoked"), cli_json_number(b, "outstanding"),
                 json_is_true(json_object_get(b, "holds")) ? "" : "  DOES NOT HOLD");
    if (cli_json_number(b, "reserved") > 0) {
        (void)printf("not made yet: %lld of %lld\n", cli_json_number(b, "reserved"),
                     cli_json_number(batch, "count"));
    }
}

static void print(const json_t *batch)
{
    const json_t *one;
    size_t i;

    (void)printf("batch     %lld (%s)\nid        %s\nproduct   ",
                 cli_json_number(batch, "batch"), cli_json_text(batch, "name"),
                 cli_json_text(batch, "uid"));
    cli_json_print(batch, "product");
    (void)printf("\nstate     %s\nstamps    %lld\nmade      %s by %s on %s\n",
                 cli_json_text(batch, "state"), cli_json_number(batch, "count"),
                 cli_json_text(batch, "at"), cli_json_text(batch, "who"),
                 cli_json_text(batch, "where"));
    if (cli_json_text(batch, "note")[0] != '\0') {
        (void)printf("note      ");
        cli_json_print(batch, "note");
        (void)printf("\n");
    }
    json_array_foreach(json_object_get(batch, "volumes"), i, one)
    {
        (void)printf("volume    %lld: %lld of %lld stamps made, ",
                     cli_json_number(one, "volume"), cli_json_number(one, "made"),
                     cli_json_number(one, "claimed"));
        cli_json_print(one, "owner");
        (void)printf("\n");
    }
    (void)printf("balance   ");
    print_balance(batch);
    json_array_foreach(json_object_get(batch, "results"), i, one)
    {
        (void)printf("results   %lld of volume %lld, books %.8s, imported %s\n",
                     cli_json_number(one, "number"), cli_json_number(one, "volume"),
                     cli_json_text(one, "books"), cli_json_text(one, "imported_at"));
    }
}

int batch_books_show(const char *dir, struct cli_online *online, const char *id,
                     bool json)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    json_t *batch = NULL;
    enum stamp_err rc = find(dir, online, id, &batch, &err);

    if (rc == STAMP_OK && json) {
        rc = cli_json_put(batch, &err);
    } else if (rc == STAMP_OK) {
        print(batch);
        json_decref(batch);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

/* ---- the two verbs ---- */

struct args {
    const char *dir;
    struct cli_online online;
    bool json;
};

/* -1 = go on, else the exit status */
static int take(struct args *a, int argc, char **argv, const char *verb, const char *help)
{
    int opt;

    while ((opt = getopt_long(argc, argv, "jC:h", options, NULL)) != -1) {
        switch (opt) {
        case 'j':
            a->json = true;
            break;
        case 'C':
            a->dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            if (cli_online_take(&a->online, opt, optarg)) {
                break;
            }
            return cli_bad_option(verb);
        }
    }
    return cli_online_check(&a->online, verb) == 0 ? -1 : CLI_USAGE;
}

int batch_list(int argc, char **argv)
{
    struct args a = {.dir = NULL};
    struct stamp_error err = STAMP_ERROR_INIT;
    int status = take(&a, argc, argv, "batch list", list_help);
    json_t *all;
    enum stamp_err rc = STAMP_OK;

    if (status >= 0) {
        return status;
    }
    if (optind < argc) {
        return cli_usage("batch list", "'%s' is not understood", argv[optind]);
    }
    all = a.json ? json_array() : NULL;
    if (!a.json) {
        (void)printf("BATCH  STATE       STAMPS  MADE                  PRODUCT  NAME\n");
    }
    if (a.online.url == NULL) {
        rc = list_here(a.dir, all, &err);
    } else {
        rc = cli_online_open(&a.online, a.dir, &err);
        if (rc == STAMP_OK) {
            rc = cli_online_list(&a.online, BATCHES, "batches", take_row, all, &err);
        }
        cli_online_close(&a.online);
    }
    if (rc == STAMP_OK && a.json) {
        rc = cli_json_put(all, &err);
    } else {
        json_decref(all);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

int batch_balance(int argc, char **argv)
{
    struct args a = {.dir = NULL};
    struct stamp_error err = STAMP_ERROR_INIT;
    int status = take(&a, argc, argv, "batch balance", balance_help);
    json_t *batch = NULL;
    const json_t *balance;
    bool holds;
    enum stamp_err rc;

    if (status >= 0) {
        return status;
    }
    if (argc - optind != 1) {
        return cli_usage("batch balance", "one ID is wanted");
    }
    rc = find(a.dir, &a.online, argv[optind], &batch, &err);
    balance = json_object_get(batch, "balance");
    holds = json_is_true(json_object_get(balance, "holds"));
    if (rc == STAMP_OK && a.json) {
        rc = cli_json_put(json_deep_copy(balance), &err);
    } else if (rc == STAMP_OK) {
        print_balance(batch);
    }
    json_decref(batch);
    return rc == STAMP_OK ? cli_flush(holds ? CLI_DONE : CLI_FAILED) : cli_fail(&err);
}
