/* `stamp station run`: the line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/station.h"
#include "cli/station_label.h"
#include "station/run.h"

static const char help[] =
    "usage: stamp station run DIR --order ORDER --port TTY... [OPTION]...\n"
    "\n"
    "Strikes the units that come to the ports: each makes its own keys, gets its\n"
    "certificate from the token, writes its stamp, is locked, restarts and proves\n"
    "itself. Every step is in DIR/journal.db first. What was cut short goes on where it\n"
    "was. Ends when the order is used up, or with SIGINT or SIGTERM.\n"
    "\n"
    "      --order ORDER       the work order\n"
    "  -p, --port TTY          a serial port; may be given again\n"
    "      --ports-from RULE   all that match: '/dev/serial/by-path/*'; ports that are\n"
    "                          plugged in later join\n"
    "      --unit-s S          seconds that one unit may take (default 120)\n"
    "      --label PROGRAM     prints a label: JSON on its standard input; for orders\n"
    "                          whose proofs of possession are shown\n"
    "      --who NAME          the operator, for the journal\n"
    "      --once              one unit for each port, then end\n"
    "      --pin-fd N          read the token's PIN from file descriptor N\n"
    "      --pin-file F        the same from a file (mode 0600)\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"order", required_argument, NULL, 'o'},
    {"port", required_argument, NULL, 'p'},
    {"ports-from", required_argument, NULL, 'g'},
    {"unit-s", required_argument, NULL, 'u'},
    {"label", required_argument, NULL, 'l'},
    {"who", required_argument, NULL, 'w'},
    {"once", no_argument, NULL, '1'},
    {"pin-fd", required_argument, NULL, 'P'},
    {"pin-file", required_argument, NULL, 'Q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *dir;
    struct stamp_line_setup line;
    const char *port[STAMP_RUN_PORTS];
    size_t n_ports;
    const char *rule[STAMP_RUN_PORTS];
    size_t n_rules;
    uint32_t unit_s;
    char *label;
    bool once;
};

static void tell(void *ctx, const char *port, const char *text)
{
    (void)ctx;
    (void)printf("%s%s%s\n", port == NULL ? "" : port, port == NULL ? "" : ": ", text);
    (void)fflush(stdout);
}

static void tell_counts(const struct stamp_journal_status *s, const char *first)
{
    (void)printf("%s; of %u: %u done, %u failed, %u scrapped, %u in doubt, %u "
                 "remaining\n",
                 first, s->count, s->done, s->failed, s->scrapped, s->doubt,
                 s->remaining);
    (void)fflush(stdout);
}

static int run(struct args *a)
{
    STAMP_SITE_AUTO site;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_run_setup setup = {.ports = a->port,
                                    .n_ports = a->n_ports,
                                    .rules = a->rule,
                                    .n_rules = a->n_rules,
                                    .unit_ms = a->unit_s * 1000,
                                    .once = a->once,
                                    .label = a->label == NULL ? NULL : station_label,
                                    .label_ctx = a->label};
    struct stamp_journal_status s;
    char first[48];
    uint32_t done = 0;
    uint32_t failed = 0;
    bool halted;
    enum stamp_err rc = stamp_site_open(a->dir, &site, &err);

    a->line.tell = tell;
    if (rc == STAMP_OK) {
        rc = stamp_line_open(&site, &a->line, &setup.line, &err);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "no unit was touched");
    }
    stamp_line_status(setup.line, &s);
    tell_counts(&s, "the line is up");
    rc = stamp_run(&setup, &done, &failed, &err);
    stamp_line_status(setup.line, &s);
    halted = stamp_line_halted(setup.line);
    stamp_line_close(&setup.line);
    (void)snprintf(first, sizeof first, "%u done now", done);
    tell_counts(&s, first);
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    return cli_flush(failed > 0 || halted            ? CLI_FAILED
                     : s.remaining == 0 && done == 0 ? CLI_NOTHING_LEFT
                                                     : CLI_DONE);
}

static bool add_port(struct args *a, const char *path)
{
    if (a->n_ports == STAMP_RUN_PORTS) {
        return false;
    }
    a->port[a->n_ports++] = path;
    return true;
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'o':
        a->line.order = optarg;
        return -1;
    case 'p':
        return add_port(a, optarg)
                   ? -1
                   : cli_usage("station run", "more than %d ports", STAMP_RUN_PORTS);
    case 'g':
        if (a->n_rules == STAMP_RUN_PORTS) {
            return cli_usage("station run", "more than %d rules", STAMP_RUN_PORTS);
        }
        a->rule[a->n_rules++] = optarg;
        return -1;
    case 'u':
        if (!cli_number(optarg, 1, 86400, &number)) {
            return cli_usage("station run", "'%s' is no number of seconds", optarg);
        }
        a->unit_s = (uint32_t)number;
        return -1;
    case 'l':
        a->label = optarg;
        return -1;
    case 'w':
        a->line.who = optarg;
        return -1;
    case '1':
        a->once = true;
        return -1;
    case 'P':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("station run", "'%s' is no file descriptor", optarg);
        }
        a->line.pin.fd = (int)number;
        return -1;
    case 'Q':
        a->line.pin.file = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_bad_option("station run");
    }
}

int station_run(int argc, char **argv)
{
    static struct args a = {.line = {.pin = {.fd = -1}}, .unit_s = 120};
    int status = -1;
    int opt;

    while (status < 0 && (opt = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
        status = take(&a, opt);
    }
    if (status < 0) {
        a.dir = station_operand("station run", "station's directory", argc, argv);
        status = a.dir == NULL          ? CLI_USAGE
                 : a.line.order == NULL ? cli_usage("station run", "--order is wanted")
                 : a.n_ports + a.n_rules == 0
                     ? cli_usage("station run", "give --port TTY or --ports-from RULE")
                     : run(&a);
    }
    return status;
}
