/* `stamp station export`: the journal for headquarters, in a file or to a service. */
#include "cli/station_export.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/station.h"
#include "host/file.h"
#include "host/files.h"

static const char help[] =
    "usage: stamp station export DIR [-o BUNDLE] [OPTION]...\n"
    "       stamp station export DIR --server URL [--every S] [OPTION]...\n"
    "\n"
    "Writes the journal for headquarters: signed by the station, sealed to\n"
    "headquarters, for `stamp reconcile`. Or sends what a service of headquarters does\n"
    "not have yet. May be done as often as wanted, and while the line runs.\n"
    "\n"
    "  -o, --output BUNDLE     the file (default: DIR/export-TIME)\n"
    "      --from N            only the entries from number N on\n"
    "      --server URL        to a service (stamp serve)\n"
    "      --api-key-file F    with --server: the first line of F is an API key; or\n"
    "      --client PEM        certificate and key, as which it knows you\n"
    "      --trust PEM         with --server: who is believed to be it; else the\n"
    "                          station's owner\n"
    "      --every S           with --server: go on, and look each S seconds for what "
    "is\n"
    "                          new. What cannot be sent waits in the journal\n"
    "      --pin-fd N          read the token's PIN from file descriptor N\n"
    "      --pin-file F        the same from a file (mode 0600); a line that runs has "
    "it\n"
    "  -h, --help              this\n"
    "\n"
    "Exit status: 0 done, 1 failed, 3 headquarters does not agree, or does not know the\n"
    "key, 4 busy: try again.\n";

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"from", required_argument, NULL, 'f'},
    CLI_ONLINE_OPTIONS,
    {"every", required_argument, NULL, 'E'},
    {"pin-fd", required_argument, NULL, 'P'},
    {"pin-file", required_argument, NULL, 'Q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

enum { DAY_S = 86400 };

/* ---- gathering ---- */

bool station_more(const struct station_piece *piece)
{
    return !piece->begun || piece->next <= piece->until;
}

static enum stamp_err add(struct station_piece *piece, const struct stamp_buffer *bytes,
                          struct stamp_error *err)
{
    if (piece->len + bytes->len > piece->room) {
        size_t room = 2 * (piece->len + bytes->len);
        uint8_t *p = realloc(piece->p, room);

        if (p == NULL) {
            return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        piece->p = p;
        piece->room = room;
    }
    memcpy(piece->p + piece->len, bytes->p, bytes->len);
    piece->len += bytes->len;
    return STAMP_OK;
}

enum stamp_err station_gather(struct stamp_export *x, size_t bytes,
                              struct station_piece *piece, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && station_more(piece) && piece->len < bytes) {
        struct stamp_sealed_part part;

        rc = stamp_export_part(x, piece->next, &part, err);
        if (rc == STAMP_OK && part.next > piece->next) {
            rc = add(piece, &part.bytes, err);
        }
        if (rc == STAMP_OK) {
            piece->until = piece->begun ? piece->until : part.head;
            piece->begun = true;
            piece->next = part.next;
        }
        stamp_buffer_free(&part.bytes);
    }
    return rc;
}

/* ---- a file ---- */

static enum stamp_err to_file(const struct station_export *e,
                              const struct stamp_site *site, const char *path,
                              uint32_t *n, struct stamp_error *err)
{
    struct station_piece piece = {.next = e->from == 0 ? 1 : e->from};
    uint32_t from = piece.next;
    struct stamp_export *x = NULL;
    enum stamp_err rc = stamp_export_open(site, &e->pin, &x, err);

    if (rc == STAMP_OK) {
        rc = station_gather(x, SIZE_MAX, &piece, err);
    }
    *n = piece.next - from;
    if (rc == STAMP_OK && *n == 0) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "the journal has %u entries",
                             piece.next - 1);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_write(path, piece.p, piece.len, STAMP_FILE_PUBLIC, false, err);
    }
    free(piece.p);
    stamp_export_close(&x);
    return rc;
}

static int write_file(const struct station_export *e, const struct stamp_site *site)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    char path[PATH_MAX];
    uint32_t n = 0;

    if (e->out != NULL) {
        (void)snprintf(path, sizeof path, "%s", e->out);
    } else {
        (void)snprintf(path, sizeof path, "%s/export-%lld", e->dir,
                       (long long)time(NULL));
    }
    if (to_file(e, site, path, &n, &err) != STAMP_OK) {
        return station_fail(&err, "nothing was written");
    }
    (void)printf("%s: %u entries\n", path, n);
    return cli_flush(CLI_DONE);
}

/* ---- what is asked for ---- */

static int run(struct station_export *e)
{
    STAMP_SITE_AUTO site;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_site_open(e->dir, &site, &err);

    if (rc == STAMP_OK && !site.enrolled) {
        rc = stamp_error_set(&err, STAMP_E_STATE, 0, "the station '%s' is not enrolled",
                             e->dir);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "nothing was written");
    }
    return e->online.url == NULL ? write_file(e, &site) : station_send(e, &site);
}

static int check(const struct station_export *e, const char *verb)
{
    if (cli_online_check(&e->online, verb) != 0) {
        return CLI_USAGE;
    }
    if (e->online.url == NULL && e->every_s > 0) {
        return cli_usage(verb, "--every goes with --server");
    }
    if (e->online.url != NULL && e->out != NULL) {
        return cli_usage(verb, "it is a file with -o, or --server: not both");
    }
    if (e->every_s > 0 && (e->from > 0 || e->pin.fd >= 0)) {
        return cli_usage(verb, "--every does not go with %s",
                         e->from > 0 ? "--from" : "--pin-fd: name a --pin-file");
    }
    return 0;
}

int station_export(int argc, char **argv)
{
    static const char verb[] = "station export";
    struct station_export e = {.pin = {.fd = -1}};
    uint64_t number;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            e.out = optarg;
            break;
        case 'f':
            if (!cli_number(optarg, 1, UINT32_MAX, &number)) {
                return cli_usage(verb, "'%s' is no number of an entry", optarg);
            }
            e.from = (uint32_t)number;
            break;
        case 'E':
            if (!cli_number(optarg, 1, DAY_S, &number)) {
                return cli_usage(verb, "'%s' is not 1 to %d seconds", optarg, DAY_S);
            }
            e.every_s = (unsigned)number;
            break;
        case 'P':
            if (!cli_number(optarg, 0, 65535, &number)) {
                return cli_usage(verb, "'%s' is no file descriptor", optarg);
            }
            e.pin.fd = (int)number;
            break;
        case 'Q':
            e.pin.file = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            if (!cli_online_take(&e.online, opt, optarg)) {
                return cli_bad_option(verb);
            }
        }
    }
    e.dir = station_operand(verb, "station's directory", argc, argv);
    return e.dir == NULL || check(&e, verb) != 0 ? CLI_USAGE : run(&e);
}
