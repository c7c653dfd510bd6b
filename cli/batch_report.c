#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/batch.h"
#include "cli/batch_station.h"

static const char help[] =
    "usage: stamp batch report FILE --unit SERIAL --result struck|scrapped [OPTION]...\n"
    "\n"
    "Writes down what became of a stamp that stamp batch next handed out. A struck one\n"
    "may be scrapped later; the same report again changes nothing.\n"
    "\n"
    "  -u, --unit SERIAL       which\n"
    "  -r, --result R          struck: it is on a unit; scrapped: it never will be\n"
    "      --chip ID           the chip that it is on\n"
    "      --reason TEXT       why it was scrapped\n"
    "      --who TEXT          who says so (default: your user name)\n"
    "      --where TEXT        where (default: this machine's name)\n"
    "      --trust PEM         headquarters' root, instead of whom the books know\n"
    "  -C, --dir DIR           the workspace, where there is one\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"unit", required_argument, NULL, 'u'},  {"result", required_argument, NULL, 'r'},
    {"chip", required_argument, NULL, 'c'},  {"reason", required_argument, NULL, 'R'},
    {"who", required_argument, NULL, 'w'},   {"where", required_argument, NULL, 'W'},
    {"trust", required_argument, NULL, 'T'}, {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
};

struct args {
    struct batch_station_args station;
    struct stamp_books_report report;
    const char *who;
    const char *where;
};

static int run(struct args *a)
{
    BATCH_STATION_AUTO s;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = batch_station_open(&a->station, &s, &err);

    if (rc == STAMP_OK) {
        stamp_books_author(s.books, a->who, a->where);
        a->report.at = time(NULL);
        rc = stamp_books_report(s.books, &a->report, &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "nothing was changed");
        return batch_station_fail(rc, &err);
    }
    return cli_flush(CLI_DONE);
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    switch (opt) {
    case 'u':
        a->report.serial = optarg;
        return -1;
    case 'r':
        a->report.result = strcmp(optarg, "struck") == 0     ? STAMP_BOOKS_STRUCK
                           : strcmp(optarg, "scrapped") == 0 ? STAMP_BOOKS_SCRAPPED
                                                             : STAMP_BOOKS_UNUSED;
        return a->report.result == STAMP_BOOKS_UNUSED
                   ? cli_usage("batch report", "'%s' is not struck or scrapped", optarg)
                   : -1;
    case 'c':
        a->report.chip = optarg;
        return -1;
    case 'R':
        a->report.reason = optarg;
        return -1;
    case 'w':
        a->who = optarg;
        return -1;
    case 'W':
        a->where = optarg;
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
        return cli_bad_option("batch report");
    }
}

int batch_report(int argc, char **argv)
{
    struct args a = {.station = {.fd = -1}};
    int opt;

    while ((opt = getopt_long(argc, argv, "u:r:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    if (argc - optind != 1) {
        return cli_usage("batch report", "one batch file is wanted");
    }
    if (a.report.serial == NULL || a.report.result == STAMP_BOOKS_UNUSED) {
        return cli_usage("batch report", "--unit and --result are wanted");
    }
    if (a.report.reason != NULL && a.report.result != STAMP_BOOKS_SCRAPPED) {
        return cli_usage("batch report", "--reason goes with --result scrapped");
    }
    if ((a.who != NULL && strlen(a.who) >= STAMP_BOOKS_TEXT_SIZE) ||
        (a.where != NULL && strlen(a.where) >= STAMP_BOOKS_TEXT_SIZE)) {
        return cli_usage("batch report", "--who and --where take up to %u bytes",
                         STAMP_BOOKS_TEXT_SIZE - 1);
    }
    a.station.file = argv[optind];
    return run(&a);
}
