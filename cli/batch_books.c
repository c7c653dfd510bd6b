/* `stamp batch list`, `balance`, and what `show` says of a batch on the books. */
#include "cli/batch_books.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/batch.h"
#include "host/json.h"

#define PAGE ((size_t)50)

static const char list_help[] = "usage: stamp batch list [OPTION]...\n"
                                "\n"
                                "The batches on the books, oldest first.\n"
                                "\n"
                                "  -j, --json              JSON\n"
                                "  -C, --dir DIR           the workspace\n"
                                "  -h, --help              this\n";

static const char balance_help[] =
    "usage: stamp batch balance ID [OPTION]...\n"
    "\n"
    "What became of the stamps of a batch: issued = struck + scrapped + returned +\n"
    "revoked + outstanding. Exits with 1 where that does not hold.\n"
    "\n"
    "  -j, --json              JSON\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"json", no_argument, NULL, 'j'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

void batch_books_hex(const uint8_t id[16], char out[33])
{
    for (size_t i = 0; i < 16; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", id[i]);
    }
}

enum stamp_err batch_books_put(json_t *j, struct stamp_error *err)
{
    int rc = j == NULL ? -1 : json_dumpf(j, stdout, JSON_COMPACT);

    json_decref(j);
    if (rc != 0) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    (void)printf("\n");
    return STAMP_OK;
}

/* ---- list ---- */

static json_t *json_of(const struct stamp_registry_batch *b)
{
    char uid[33];
    char at[21];

    batch_books_hex(b->uid, uid);
    stamp_json_time((uint32_t)b->at, at);
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "batch",
                     (int)b->id, "uid", uid, "name", b->name, "product", b->product,
                     "state", stamp_registry_batch_state_name(b->state), "count",
                     (int)b->count, "at", at, "who", b->who, "where", b->where, "note",
                     b->note);
}

static void print_line(const struct stamp_registry_batch *b)
{
    char at[21];

    stamp_json_time((uint32_t)b->at, at);
    (void)printf("%5u  %-6s  %10u  %s  ", b->id,
                 stamp_registry_batch_state_name(b->state), b->count, at);
    cli_print_text(b->product, strlen(b->product));
    (void)printf("  ");
    cli_print_text(b->name, strlen(b->name));
    if (b->note[0] != '\0') {
        (void)printf("  ");
        cli_print_text(b->note, strlen(b->note));
    }
    (void)printf("\n");
}

static enum stamp_err list(struct stamp_registry *r, bool json, struct stamp_error *err)
{
    static struct stamp_registry_batch page[PAGE];
    json_t *all = json ? json_array() : NULL;
    uint32_t after = 0;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    if (!json) {
        (void)printf("BATCH  STATE       STAMPS  MADE                  PRODUCT  NAME\n");
    }
    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_registry_batch_list(r, after, page, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            after = page[i].id;
            if (!json) {
                print_line(&page[i]);
            } else if (json_array_append_new(all, json_of(&page[i])) != 0) {
                rc = stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
            }
        }
    }
    if (!json || rc != STAMP_OK) {
        json_decref(all);
        return rc;
    }
    return batch_books_put(all, err);
}

/* ---- balance ---- */

static uint64_t sum(const struct stamp_registry_balance *b)
{
    return b->struck + b->scrapped + b->returned + b->revoked + b->outstanding;
}

static bool holds(const struct stamp_registry_batch *batch,
                  const struct stamp_registry_balance *b)
{
    return b->issued == sum(b) && b->reserved + b->issued == batch->count;
}

static json_t *json_balance(const struct stamp_registry_batch *batch,
                            const struct stamp_registry_balance *b)
{
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "batch",
                     (int)batch->id, "reserved", (json_int_t)b->reserved, "issued",
                     (json_int_t)b->issued, "struck", (json_int_t)b->struck, "scrapped",
                     (json_int_t)b->scrapped, "returned", (json_int_t)b->returned,
                     "revoked", (json_int_t)b->revoked, "outstanding",
                     (json_int_t)b->outstanding, "holds", holds(batch, b) ? 1 : 0);
}

static void print_balance(const struct stamp_registry_batch *batch,
                          const struct stamp_registry_balance *b)
{
    (void)printf("issued %" PRIu64 " = struck %" PRIu64 " + scrapped %" PRIu64
                 " + returned %" PRIu64 " + revoked %" PRIu64 " + outstanding %" PRIu64
                 "%s\n",
                 b->issued, b->struck, b->scrapped, b->returned, b->revoked,
                 b->outstanding, holds(batch, b) ? "" : "  DOES NOT HOLD");
    if (b->reserved > 0) {
        (void)printf("not made yet: %" PRIu64 " of %u\n", b->reserved, batch->count);
    }
}

static enum stamp_err balance(struct stamp_registry *r, const char *id, bool json,
                              bool *ok, struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    struct stamp_registry_balance b;
    enum stamp_err rc = stamp_registry_batch_find(r, id, &batch, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_balance(r, batch.id, &b, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    *ok = holds(&batch, &b);
    if (json) {
        return batch_books_put(json_balance(&batch, &b), err);
    }
    print_balance(&batch, &b);
    return STAMP_OK;
}

/* ---- show ---- */

/* Called with each result that was imported. */
static enum stamp_err each_results(struct stamp_registry *r, uint32_t batch,
                                   void (*told)(void *ctx,
                                                const struct stamp_registry_results *row),
                                   void *ctx, struct stamp_error *err)
{
    static struct stamp_registry_results page[PAGE];
    struct stamp_registry_results last;
    bool first = true;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_registry_results_list(r, batch, first ? NULL : &last, page, PAGE, &n,
                                         err);
        first = false;
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            last = page[i];
            told(ctx, &last);
        }
    }
    return rc;
}

typedef void (*volume_told)(void *ctx, const struct stamp_registry_volume *v);

static enum stamp_err each_volume(struct stamp_registry *r, uint32_t batch,
                                  volume_told told, void *ctx, struct stamp_error *err)
{
    static struct stamp_registry_volume page[PAGE];
    uint32_t from = 0;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_registry_volume_list(r, batch, from, page, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            told(ctx, &page[i]);
            from = page[i].volume + 1;
        }
    }
    return rc;
}

static void print_volume(void *ctx, const struct stamp_registry_volume *v)
{
    (void)ctx;
    (void)printf("volume    %u: %" PRIu64 " of %" PRIu64 " stamps made, ", v->volume,
                 v->done, v->claimed);
    cli_print_text(v->owner, strlen(v->owner));
    (void)printf("\n");
}

static void add_volume(void *ctx, const struct stamp_registry_volume *v)
{
    (void)json_array_append_new(ctx, json_pack("{s:i, s:s, s:I, s:I}", "volume",
                                               (int)v->volume, "owner", v->owner,
                                               "claimed", (json_int_t)v->claimed, "made",
                                               (json_int_t)v->done));
}

static void print_results(void *ctx, const struct stamp_registry_results *row)
{
    char books[33];
    char at[21];

    (void)ctx;
    batch_books_hex(row->books, books);
    stamp_json_time((uint32_t)row->imported_at, at);
    (void)printf("results   %" PRIu64 " of volume %u, books %.8s, imported %s\n",
                 row->number, row->volume, books, at);
}

static void add_results(void *ctx, const struct stamp_registry_results *row)
{
    char books[33];
    char at[21];

    batch_books_hex(row->books, books);
    stamp_json_time((uint32_t)row->imported_at, at);
    (void)json_array_append_new(ctx,
                                json_pack("{s:s, s:I, s:i, s:s}", "books", books,
                                          "number", (json_int_t)row->number, "volume",
                                          (int)row->volume, "imported_at", at));
}

static enum stamp_err show_json(struct stamp_registry *r,
                                const struct stamp_registry_batch *batch,
                                const struct stamp_registry_balance *b,
                                struct stamp_error *err)
{
    json_t *j = json_of(batch);
    json_t *results = json_array();
    json_t *volumes = json_array();
    enum stamp_err rc = each_results(r, batch->id, add_results, results, err);

    if (rc == STAMP_OK) {
        rc = each_volume(r, batch->id, add_volume, volumes, err);
    }
    if (json_object_set_new(j, "volumes", volumes) != 0 ||
        json_object_set_new(j, "balance", json_balance(batch, b)) != 0 ||
        json_object_set_new(j, "results", results) != 0) {
        json_decref(j);
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    if (rc != STAMP_OK) {
        json_decref(j);
        return rc;
    }
    return batch_books_put(j, err);
}

enum stamp_err batch_books_show(struct stamp_registry *r, const char *id, bool json,
                                struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    struct stamp_registry_balance b;
    char uid[33];
    char at[21];
    enum stamp_err rc = stamp_registry_batch_find(r, id, &batch, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_balance(r, batch.id, &b, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (json) {
        return show_json(r, &batch, &b, err);
    }
    batch_books_hex(batch.uid, uid);
    stamp_json_time((uint32_t)batch.at, at);
    (void)printf("batch     %u (%s)\nid        %s\nproduct   ", batch.id, batch.name,
                 uid);
    cli_print_text(batch.product, strlen(batch.product));
    (void)printf("\nstate     %s\nstamps    %u\nmade      %s by %s on %s\n",
                 stamp_registry_batch_state_name(batch.state), batch.count, at, batch.who,
                 batch.where);
    if (batch.note[0] != '\0') {
        (void)printf("note      ");
        cli_print_text(batch.note, strlen(batch.note));
        (void)printf("\n");
    }
    rc = each_volume(r, batch.id, print_volume, NULL, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    (void)printf("balance   ");
    print_balance(&batch, &b);
    return each_results(r, batch.id, print_results, NULL, err);
}

/* ---- the two verbs ---- */

struct args {
    const char *dir;
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
            return cli_bad_option(verb);
        }
    }
    return -1;
}

int batch_list(int argc, char **argv)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct args a = {NULL, false};
    struct stamp_error err = STAMP_ERROR_INIT;
    int status = take(&a, argc, argv, "batch list", list_help);
    enum stamp_err rc;

    if (status >= 0) {
        return status;
    }
    if (optind < argc) {
        return cli_usage("batch list", "'%s' is not understood", argv[optind]);
    }
    rc = cli_books(a.dir, &r, &err);
    if (rc == STAMP_OK) {
        rc = list(r, a.json, &err);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

int batch_balance(int argc, char **argv)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct args a = {NULL, false};
    struct stamp_error err = STAMP_ERROR_INIT;
    bool ok = false;
    int status = take(&a, argc, argv, "batch balance", balance_help);
    enum stamp_err rc;

    if (status >= 0) {
        return status;
    }
    if (argc - optind != 1) {
        return cli_usage("batch balance", "one ID is wanted");
    }
    rc = cli_books(a.dir, &r, &err);
    if (rc == STAMP_OK) {
        rc = balance(r, argv[optind], a.json, &ok, &err);
    }
    return rc == STAMP_OK ? cli_flush(ok ? CLI_DONE : CLI_FAILED) : cli_fail(&err);
}
