/* `stamp order show` and `stamp order list`. */
#include <getopt.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/batch_books.h"
#include "cli/order.h"
#include "cli/station.h"
#include "host/file.h"
#include "host/json.h"
#include "host/order.h"

#define PAGE ((size_t)50)
#define FILE_NAME "order-"

static const char show_help[] =
    "usage: stamp order show ORDER [OPTION]...\n"
    "\n"
    "How a work order stands on the books, and which units of it were refused.\n"
    "\n"
    "  ORDER                   its file, its number, or its id of 32 digits\n"
    "  -j, --json              JSON\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const char list_help[] = "usage: stamp order list [OPTION]...\n"
                                "\n"
                                "The work orders on the books, oldest first.\n"
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

static const char *const pops[] = {
    [STAMP_ORDER_POP_NONE] = "none",
    [STAMP_ORDER_POP_SEALED] = "sealed",
    [STAMP_ORDER_POP_SHOWN] = "shown",
};

/* All that is known of one order. */
struct view {
    struct stamp_registry_order order;
    char station[STAMP_REGISTRY_NAME_SIZE];
    struct stamp_registry_balance balance;
    uint32_t refused;
    char id[33];
    char first[STAMP_SERIAL_SIZE];
    char last[STAMP_SERIAL_SIZE];
    char at[21];
    char not_after[21];
};

/* ---- finding ---- */

static bool is_hex(const char *text, uint8_t id[16])
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != 32 || strspn(text, digits) != 32) {
        return false;
    }
    for (size_t i = 0; i < 32; i++) {
        unsigned v = (unsigned)(strchr(digits, text[i]) - digits);

        id[i / 2] = (uint8_t)(i % 2 == 0 ? v << 4 : id[i / 2] | v);
    }
    return true;
}

static enum stamp_err find_file(struct stamp_registry *books, const char *path,
                                struct stamp_registry_order *order,
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
    free(file);
    return rc == STAMP_OK ? stamp_registry_order_find_file(books, digest, order, err)
                          : rc;
}

enum stamp_err order_find(struct stamp_registry *books, const char *name,
                          struct stamp_registry_order *order, struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_error no_file = STAMP_ERROR_INIT;
    const char *base = strrchr(name, '/');
    uint8_t id[16];
    enum stamp_err rc;

    if (is_hex(name, id)) {
        return stamp_registry_order_find(books, id, order, err);
    }
    if (access(name, R_OK) == 0) {
        rc = find_file(books, name, order, &no_file);
        if (rc == STAMP_OK) {
            return rc;
        }
    }
    base = base == NULL ? name : base + 1;
    rc = stamp_registry_batch_find(books, base, &batch, &why);
    if (rc == STAMP_E_MISSING && strncmp(base, FILE_NAME, strlen(FILE_NAME)) == 0) {
        rc = stamp_registry_batch_find(books, base + strlen(FILE_NAME), &batch, &why);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_order_find(books, batch.uid, order, &why);
    }
    if (rc == STAMP_OK) {
        return rc;
    }
    if (rc != STAMP_E_MISSING) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    stamp_error_hint(err, "stamp order list shows which there are");
    return stamp_error_set(err, rc, 0, "there is no work order '%s'", name);
}

static enum stamp_err look(struct stamp_registry *books, const uint8_t id[16],
                           struct view *v, struct stamp_error *err)
{
    STAMP_REGISTRY_STATION_AUTO station = {.own = NULL};
    const struct stamp_registry_batch *b = &v->order.batch;
    enum stamp_err rc = stamp_registry_order_find(books, id, &v->order, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_station_find(books, v->order.station, &station, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_balance(books, b->id, &v->balance, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_quarantined(books, v->order.id, &v->refused, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&v->order.pattern, b->first_counter, b->at, v->first,
                                 sizeof v->first, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&v->order.pattern, b->first_counter + b->count - 1,
                                 b->at, v->last, sizeof v->last, err);
    }
    memcpy(v->station, station.name, sizeof v->station);
    batch_books_hex(v->order.id, v->id);
    stamp_json_time((uint32_t)b->at, v->at);
    stamp_json_time((uint32_t)v->order.not_after, v->not_after);
    return rc;
}

static const char *state_name(const struct view *v)
{
    return v->order.state == STAMP_REGISTRY_ORDER_OPEN ? "open" : "closed";
}

/* ---- text ---- */

static void print(const struct view *v)
{
    const struct stamp_registry_batch *b = &v->order.batch;
    const struct stamp_registry_balance *is = &v->balance;

    (void)printf("order %s: ", b->name);
    cli_print_text(b->product, strlen(b->product));
    (void)printf(", %s\n%s..%s, for ", state_name(v), v->first, v->last);
    cli_print_text(v->station, strlen(v->station));
    (void)printf(" until %s\nlock %s, proof of possession %s\n", v->not_after,
                 v->order.lock_later ? "later" : "at the strike", pops[v->order.pop]);
    (void)printf("%" PRIu32 " units: %" PRIu64 " struck, %" PRIu64 " scrapped, %" PRIu64
                 " revoked, %" PRIu64 " signed and not known to be finished, %" PRIu64
                 " not begun; %" PRIu32 " refused\n",
                 b->count, is->struck, is->scrapped, is->revoked, is->outstanding,
                 is->reserved, v->refused);
}

enum stamp_err order_print(struct stamp_registry *books, const uint8_t id[16],
                           struct stamp_error *err)
{
    struct view v;
    enum stamp_err rc = look(books, id, &v, err);

    if (rc == STAMP_OK) {
        print(&v);
    }
    return rc;
}

static bool print_refused(void *ctx, const struct stamp_registry_quarantine *q)
{
    (void)ctx;
    (void)printf("refused: unit %" PRIu32 " (", q->index);
    cli_print_text(q->serial, strlen(q->serial));
    (void)printf("): ");
    cli_print_text(q->why, strlen(q->why));
    (void)printf("\n");
    return true;
}

static void print_line(const struct view *v)
{
    (void)printf("%5u  %-6s  %10u  %s  ", v->order.batch.id, state_name(v),
                 v->order.batch.count, v->at);
    cli_print_text(v->order.batch.product, strlen(v->order.batch.product));
    (void)printf("  ");
    cli_print_text(v->station, strlen(v->station));
    (void)printf("  %s..%s\n", v->first, v->last);
}

/* ---- JSON ---- */

static json_t *json_of(const struct view *v)
{
    const struct stamp_registry_batch *b = &v->order.batch;
    const struct stamp_registry_balance *is = &v->balance;

    return json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I,"
        " s:I, s:I, s:I, s:i}",
        "order", (int)b->id, "id", v->id, "name", b->name, "product", b->product,
        "station", v->station, "state", state_name(v), "count", (int)b->count, "first",
        v->first, "last", v->last, "at", v->at, "not-after", v->not_after, "lock",
        v->order.lock_later ? "later" : "strike", "pop", pops[v->order.pop], "note",
        b->note, "struck", (json_int_t)is->struck, "scrapped", (json_int_t)is->scrapped,
        "revoked", (json_int_t)is->revoked, "outstanding", (json_int_t)is->outstanding,
        "reserved", (json_int_t)is->reserved, "refused", (int)v->refused);
}

static bool add_refused(void *ctx, const struct stamp_registry_quarantine *q)
{
    char at[21];

    stamp_json_time((uint32_t)q->at, at);
    return json_array_append_new(ctx, json_pack("{s:I, s:s, s:s, s:s}", "index",
                                                (json_int_t)q->index, "serial", q->serial,
                                                "why", q->why, "at", at)) == 0;
}

/* ---- verbs ---- */

static enum stamp_err show(struct stamp_registry *books, const char *name, bool json,
                           struct stamp_error *err)
{
    struct stamp_registry_order order;
    struct view v;
    json_t *all = NULL;
    json_t *one;
    enum stamp_err rc = order_find(books, name, &order, err);

    if (rc == STAMP_OK) {
        rc = look(books, order.id, &v, err);
    }
    if (rc == STAMP_OK && !json) {
        print(&v);
        return stamp_registry_quarantine(books, order.id, print_refused, NULL, err);
    }
    if (rc == STAMP_OK) {
        all = json_array();
        rc = stamp_registry_quarantine(books, order.id, add_refused, all, err);
    }
    if (rc != STAMP_OK) {
        json_decref(all);
        return rc;
    }
    one = json_of(&v);
    if (json_object_set_new(one, "quarantine", all) != 0) {
        json_decref(one);
        one = NULL;
    }
    return batch_books_put(one, err);
}

static enum stamp_err list(struct stamp_registry *books, bool json,
                           struct stamp_error *err)
{
    static struct stamp_registry_order page[PAGE];
    static struct view v;
    json_t *all = json ? json_array() : NULL;
    uint32_t after = 0;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    if (!json) {
        (void)printf("ORDER  STATE        UNITS  MADE                  PRODUCT  STATION  "
                     "SERIALS\n");
    }
    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_registry_order_list(books, after, page, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            after = page[i].batch.id;
            rc = look(books, page[i].id, &v, err);
            if (rc == STAMP_OK && !json) {
                print_line(&v);
            } else if (rc == STAMP_OK && json_array_append_new(all, json_of(&v)) != 0) {
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

static int run(const char *verb, const char *help, bool one, int argc, char **argv)
{
    STAMP_REGISTRY_AUTO *books = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    const char *workspace = NULL;
    const char *name = NULL;
    bool json = false;
    enum stamp_err rc;
    int opt;

    while ((opt = getopt_long(argc, argv, "jC:h", options, NULL)) != -1) {
        switch (opt) {
        case 'j':
            json = true;
            break;
        case 'C':
            workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
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
    rc = cli_books(workspace, &books, &err);
    if (rc == STAMP_OK) {
        rc = one ? show(books, name, json, &err) : list(books, json, &err);
    }
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
