#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/batch.h"
#include "cli/batch_station.h"
#include "host/results.h"

static const char help[] =
    "usage: stamp batch close FILE [OPTION]...\n"
    "\n"
    "Closes the books of a batch file: nothing is handed out any more, and what never\n"
    "was is returned. Writes signed results for headquarters. What is in doubt can\n"
    "still be reported; close again then, for the next results.\n"
    "\n"
    "  -o, --output RESULTS    (default: FILE.results-N)\n"
    "  -k, --key KEY           the station's key, only where no stamp was ever taken\n"
    "      --pin-fd N          read its PIN or passphrase from file descriptor N\n"
    "      --pin-file F        the same from a file\n"
    "      --trust PEM         headquarters' root, instead of whom the books know\n"
    "  -C, --dir DIR           the workspace, where there is one\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'}, {"key", required_argument, NULL, 'k'},
    {"pin-fd", required_argument, NULL, 'P'}, {"pin-file", required_argument, NULL, 'Q'},
    {"trust", required_argument, NULL, 'T'},  {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

#define PAGE 64u

struct args {
    struct batch_station_args station;
    const char *out;
};

static enum stamp_err print_doubts(struct stamp_books *books, struct stamp_error *err)
{
    static struct stamp_books_line line[PAGE];
    uint32_t from = 0;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && n == PAGE) {
        rc = stamp_books_list(books, STAMP_BOOKS_IN_DOUBT, from, line, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            (void)printf("in doubt: %s\n", line[i].serial);
            from = line[i].index + 1;
        }
    }
    return rc;
}

static enum stamp_err print_state(struct stamp_books *books,
                                  const struct stamp_books_state *state, uint32_t number,
                                  const char *path, struct stamp_error *err)
{
    (void)printf("%u stamps: %u struck, %u scrapped, %u in doubt, %u returned\n",
                 state->count, state->struck, state->scrapped, state->in_doubt,
                 state->unused);
    enum stamp_err rc = print_doubts(books, err);

    (void)printf("results %u: %s\n", number, path);
    (void)fflush(stdout);
    if (rc == STAMP_OK && state->in_doubt > 0) {
        (void)fprintf(stderr, "stamp: report what is in doubt, then close once more\n");
    }
    if (rc == STAMP_OK) {
        (void)fprintf(stderr, "stamp: now destroy the station's key: who has it and the "
                              "file can open every stamp\n");
    }
    return rc;
}

static int run(const struct args *a)
{
    BATCH_STATION_AUTO s;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_books_state state;
    char path[PATH_MAX];
    uint32_t number = 0;
    bool closed = false;
    enum stamp_err rc = batch_station_open(&a->station, &s, &err);

    if (rc == STAMP_OK) {
        rc = stamp_books_close(s.books, time(NULL), &err);
        closed = rc == STAMP_OK;
    }
    if (rc == STAMP_OK) {
        rc = stamp_books_state(s.books, &state, &err);
    }
    if (rc == STAMP_OK) {
        int len = a->out != NULL ? snprintf(path, sizeof path, "%s", a->out)
                                 : snprintf(path, sizeof path, "%s.results-%u",
                                            a->station.file, state.due);

        rc = (size_t)len < sizeof path
                 ? stamp_results_write(s.books, s.batch, path, time(NULL), &number, &err)
                 : stamp_error_set(&err, STAMP_E_RANGE, 0, "the path is too long");
    }
    if (rc == STAMP_OK) {
        rc = print_state(s.books, &state, number, path, &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, closed ? "the books are closed, no results were written"
                                       : "nothing was changed");
        return batch_station_fail(rc, &err);
    }
    return cli_flush(CLI_DONE);
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'o':
        a->out = optarg;
        return -1;
    case 'k':
        a->station.key = optarg;
        return -1;
    case 'P':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("batch close", "'%s' is no file descriptor", optarg);
        }
        a->station.fd = (int)number;
        return -1;
    case 'Q':
        a->station.pin_file = optarg;
        return -1;
    case 'T':
        a->station.trust = optarg;
        return -1;
    case 'C':
        a->station.workspace = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_bad_option("batch close");
    }
}

int batch_close(int argc, char **argv)
{
    struct args a = {.station = {.fd = -1}};
    int opt;

    while ((opt = getopt_long(argc, argv, "o:k:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    if (argc - optind != 1) {
        return cli_usage("batch close", "one batch file is wanted");
    }
    a.station.file = argv[optind];
    return run(&a);
}
