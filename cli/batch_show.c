/* `stamp batch show`: a batch on the books, or a batch file and the books beside it. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/batch.h"
#include "cli/batch_books.h"
#include "cli/batch_station.h"
#include "cli/print_json.h"
#include "host/hex.h"
#include "host/json.h"

static const char help[] =
    "usage: stamp batch show ID|FILE [OPTION]...\n"
    "\n"
    "All about a batch on the books (by number or name), or about a batch file: what "
    "its\n"
    "signed manifest says, and, where it has books, what became of its stamps and which\n"
    "are in doubt.\n"
    "\n"
    "  -j, --json              JSON\n"
    "      --trust PEM         headquarters' root, for a FILE; or the service's\n"
    "      --server URL        ask a service that has the books (stamp serve) for ID\n"
    "      --api-key-file F    with --server: the first line of F is an API key; or\n"
    "      --client PEM        certificate and key, as which it knows you\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"json", no_argument, NULL, 'j'},
    CLI_ONLINE_OPTIONS,
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

#define PAGE 64u

static void print_recipients(const struct stamp_batch_manifest *m)
{
    for (size_t i = 0; i < m->n_recipients; i++) {
        STAMP_X509_AUTO *cert = NULL;
        char name[256] = "?";
        uint8_t md[32];
        unsigned len = 0;

        if (stamp_pki_decode(m->recipients[i], &cert, NULL) == STAMP_OK) {
            stamp_pki_name(cert, name, sizeof name);
        }
        (void)printf("sealed to ");
        cli_print_text(name, strlen(name));
        if (cert != NULL && X509_digest(cert, EVP_sha256(), md, &len) == 1) {
            (void)printf(", SHA-256 ");
            for (unsigned k = 0; k < len; k++) {
                (void)printf("%02X%s", md[k], k + 1 < len ? ":" : "");
            }
        }
        (void)printf("\n");
    }
}

static void print_manifest(const struct stamp_batch_manifest *m)
{
    char id[33];
    char at[21];

    stamp_hex(m->id, sizeof m->id, id);
    stamp_json_time(m->made_at, at);
    (void)printf("id        %s, volume %u\nproduct   ", id, m->volume);
    cli_print_text(m->product.p, m->product.len);
    (void)printf("\npurpose   %s\nstamps    %u, %.*s to %.*s\nmade      %s\n",
                 m->purpose == STAMP_PRODUCTION ? "production" : "development", m->count,
                 (int)m->first.len, (const char *)m->first.p, (int)m->last.len,
                 (const char *)m->last.p, at);
    if (m->note.p != NULL) {
        (void)printf("note      ");
        cli_print_text(m->note.p, m->note.len);
        (void)printf("\n");
    }
    print_recipients(m);
}

static enum stamp_err each_doubt(struct stamp_books *books,
                                 void (*told)(void *ctx, const struct stamp_books_line *),
                                 void *ctx, struct stamp_error *err)
{
    static struct stamp_books_line line[PAGE];
    uint32_t from = 0;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_books_list(books, STAMP_BOOKS_IN_DOUBT, from, line, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            told(ctx, &line[i]);
            from = line[i].index + 1;
        }
    }
    return rc;
}

static void print_doubt(void *ctx, const struct stamp_books_line *line)
{
    char at[21];

    (void)ctx;
    stamp_json_time((uint32_t)line->handed_at, at);
    (void)printf("in doubt  %s, handed out %s\n", line->serial, at);
}

static void add_doubt(void *ctx, const struct stamp_books_line *line)
{
    char at[21];

    stamp_json_time((uint32_t)line->handed_at, at);
    (void)json_array_append_new(
        ctx, json_pack("{s:s, s:s}", "serial", line->serial, "handed_out_at", at));
}

static enum stamp_err print_books(struct stamp_books *books, struct stamp_error *err)
{
    struct stamp_books_state s;
    enum stamp_err rc = stamp_books_state(books, &s, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    (void)printf("books     %s: %u unused, %u in doubt, %u struck, %u scrapped\n",
                 s.closed ? "closed" : "open", s.unused, s.in_doubt, s.struck,
                 s.scrapped);
    return each_doubt(books, print_doubt, NULL, err);
}

static enum stamp_err json_books(json_t *j, struct stamp_books *books,
                                 struct stamp_error *err)
{
    struct stamp_books_state s;
    json_t *doubts = json_array();
    enum stamp_err rc = stamp_books_state(books, &s, err);

    if (rc == STAMP_OK) {
        rc = each_doubt(books, add_doubt, doubts, err);
    }
    if (rc != STAMP_OK) {
        json_decref(doubts);
        return rc;
    }
    return json_object_set_new(
               j, "books",
               json_pack("{s:b, s:i, s:i, s:i, s:i, s:o}", "closed", s.closed ? 1 : 0,
                         "unused", (int)s.unused, "in_doubt", (int)s.in_doubt, "struck",
                         (int)s.struck, "scrapped", (int)s.scrapped, "doubts", doubts)) ==
                   0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
}

static enum stamp_err show_json(const struct batch_station *s, struct stamp_error *err)
{
    const struct stamp_batch_manifest *m = stamp_batch_manifest(s->batch);
    char id[33];
    char at[21];
    json_t *j;
    enum stamp_err rc = STAMP_OK;

    stamp_hex(m->id, sizeof m->id, id);
    stamp_json_time(m->made_at, at);
    j = json_pack("{s:s, s:i, s:s%, s:s, s:i, s:s%, s:s%, s:s, s:i}", "id", id, "volume",
                  (int)m->volume, "product", m->product.p, m->product.len, "purpose",
                  m->purpose == STAMP_PRODUCTION ? "production" : "development", "count",
                  (int)m->count, "first", m->first.p, m->first.len, "last", m->last.p,
                  m->last.len, "made_at", at, "stations", (int)m->n_recipients);
    if (j != NULL && s->books != NULL) {
        rc = json_books(j, s->books, err);
    }
    if (rc != STAMP_OK) {
        json_decref(j);
        return rc;
    }
    return cli_json_put(j, err);
}

static int show_file(const struct batch_station_args *args, bool json)
{
    BATCH_STATION_AUTO s;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = batch_station_look(args, &s, &err);

    if (rc == STAMP_OK && json) {
        rc = show_json(&s, &err);
    } else if (rc == STAMP_OK) {
        print_manifest(stamp_batch_manifest(s.batch));
        rc = s.books == NULL ? STAMP_OK : print_books(s.books, &err);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

static bool is_part(const char *path)
{
    size_t len = strlen(path);
    size_t n = strlen(STAMP_BATCH_PART);

    return len > n && strcmp(path + len - n, STAMP_BATCH_PART) == 0;
}

/* Not finished: nobody vouches for it yet. */
static int show_part(const char *path, bool json)
{
    struct stamp_batch_part_state s;
    struct stamp_error err = STAMP_ERROR_INIT;
    char id[33];
    enum stamp_err rc = stamp_batch_part_look(path, &s, &err);

    stamp_hex(s.id, sizeof s.id, id);
    if (rc == STAMP_OK && json) {
        rc = cli_json_put(json_pack("{s:s, s:i, s:b, s:i, s:s, s:I, s:I}", "id", id,
                                    "volume", (int)s.volume, "finished", 0, "stamps",
                                    (int)s.records, "last", s.last, "whole",
                                    (json_int_t)s.whole, "size", (json_int_t)s.size),
                          &err);
    } else if (rc == STAMP_OK) {
        (void)printf("id        %s, volume %u\nstate     not finished, not signed\n"
                     "stamps    %u so far%s%s\nbytes     %llu of %llu are whole\n",
                     id, s.volume, s.records, s.records > 0 ? ", to " : "", s.last,
                     (unsigned long long)s.whole, (unsigned long long)s.size);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

int batch_show(int argc, char **argv)
{
    struct batch_station_args a = {.fd = -1};
    struct cli_online online = {.url = NULL};
    bool json = false;
    int opt;

    while ((opt = getopt_long(argc, argv, "jC:h", options, NULL)) != -1) {
        switch (opt) {
        case 'j':
            json = true;
            break;
        case 'C':
            a.workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            if (cli_online_take(&online, opt, optarg)) {
                break;
            }
            return cli_bad_option("batch show");
        }
    }
    if (argc - optind != 1) {
        return cli_usage("batch show", "one ID or FILE is wanted");
    }
    a.file = argv[optind];
    if (online.url == NULL && online.key_file == NULL &&
        (access(a.file, F_OK) == 0 || strchr(a.file, '/') != NULL)) {
        a.trust = online.trust;
        return is_part(a.file) ? show_part(a.file, json) : show_file(&a, json);
    }
    return cli_online_check(&online, "batch show") == 0
               ? batch_books_show(a.workspace, &online, a.file, json)
               : CLI_USAGE;
}
