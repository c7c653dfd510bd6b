/* `stamp station run`: the line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/station.h"
#include "cli/station_label.h"
#include "cli/station_run.h"

static const char help[] =
    "usage: stamp station run DIR --order ORDER --port TTY... [OPTION]...\n"
    "       stamp station run [DIR] --batch FILE [--key KEY] --port TTY... [OPTION]...\n"
    "\n"
    "Strikes the units that come to the ports. Under an order each makes its own keys,\n"
    "gets its certificate from the token, writes its stamp, is locked, restarts and\n"
    "proves itself; every step is in DIR/journal.db first. From a batch file each gets\n"
    "the next stamp, and the books of the batch file say so. What was cut short goes on\n"
    "where it was. Ends when order or file is used up, or with SIGINT or SIGTERM.\n"
    "\n"
    "      --order ORDER       the work order\n"
    "      --batch FILE        a batch file that is sealed to this station\n"
    "  -p, --port TTY          a serial port; may be given again\n"
    "      --ports-from RULE   all that match: '/dev/serial/by-path/*'; ports that are\n"
    "                          plugged in later join\n"
    "      --unit-s S          seconds that one unit may take (default 120)\n"
    "      --once              one unit for each port, then end\n"
    "      --pin-fd N          read the token's PIN from file descriptor N\n"
    "      --pin-file F        the same from a file (mode 0600)\n"
    "  -h, --help              this\n"
    "\n"
    "Under an order:\n"
    "      --label PROGRAM     prints a label: JSON on its standard input; for orders\n"
    "                          whose proofs of possession are shown\n"
    "      --who NAME          the operator, for the journal\n"
    "      --server URL        this service signs instead of the token, and books each\n"
    "                          unit as it does: https://HOST:PORT\n"
    "\n"
    "From a batch file:\n"
    "  -k, --key KEY           the station's key: a PEM file or a pkcs11: URI (default:\n"
    "                          the box of the station in DIR)\n"
    "      --lock WHEN         strike (default), or later: stamp lock\n"
    "      --exec COMMAND      this program puts the stamp on the flash, with {image},\n"
    "                          {offset} and {port}; else it goes over the line\n"
    "      --trust PEM         headquarters' root; said once, the books keep it\n"
    "  -C, --dir DIR           the workspace, where there is one\n";

static const struct option options[] = {
    {"order", required_argument, NULL, 'o'},
    {"batch", required_argument, NULL, 'b'},
    {"key", required_argument, NULL, 'k'},
    {"lock", required_argument, NULL, 'L'},
    {"exec", required_argument, NULL, 'x'},
    {"trust", required_argument, NULL, 'T'},
    {"dir", required_argument, NULL, 'C'},
    {"port", required_argument, NULL, 'p'},
    {"ports-from", required_argument, NULL, 'g'},
    {"unit-s", required_argument, NULL, 'u'},
    {"label", required_argument, NULL, 'l'},
    {"who", required_argument, NULL, 'w'},
    {"server", required_argument, NULL, 'S'},
    {"once", no_argument, NULL, '1'},
    {"pin-fd", required_argument, NULL, 'P'},
    {"pin-file", required_argument, NULL, 'Q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    struct station_run_args run;
    struct stamp_line_setup line;
    const char *port[STAMP_RUN_PORTS];
    const char *rule[STAMP_RUN_PORTS];
    char *label;
};

void station_run_tell(void *ctx, const char *port, const char *text)
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
    struct stamp_run_setup setup = a->run.setup;
    struct stamp_journal_status s;
    char first[48];
    uint32_t done = 0;
    uint32_t failed = 0;
    bool halted;
    enum stamp_err rc = stamp_site_open(a->run.dir, &site, &err);

    setup.label = a->label == NULL ? NULL : station_label;
    setup.label_ctx = a->label;
    a->line.tell = station_run_tell;
    a->line.pin = a->run.pin;
    if (rc == STAMP_OK) {
        rc = stamp_line_open(&site, &a->line, &setup.line, &err);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "no unit was touched");
    }
    setup.source = stamp_slot_source(setup.line);
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

static bool add(const char **list, size_t *n, const char *what)
{
    if (*n == STAMP_RUN_PORTS) {
        return false;
    }
    list[(*n)++] = what;
    return true;
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    struct stamp_run_setup *setup = &a->run.setup;
    uint64_t number;

    switch (opt) {
    case 'o':
        a->line.order = optarg;
        return -1;
    case 'b':
        a->run.batch = optarg;
        return -1;
    case 'k':
        a->run.key = optarg;
        return -1;
    case 'x':
        a->run.exec = optarg;
        return -1;
    case 'T':
        a->run.trust = optarg;
        return -1;
    case 'C':
        a->run.workspace = optarg;
        return -1;
    case 'L':
        a->run.lock_later = strcmp(optarg, "later") == 0;
        return a->run.lock_later || strcmp(optarg, "strike") == 0
                   ? -1
                   : cli_usage("station run", "--lock is strike or later");
    case 'p':
        return add(a->port, &setup->n_ports, optarg)
                   ? -1
                   : cli_usage("station run", "more than %d ports", STAMP_RUN_PORTS);
    case 'g':
        return add(a->rule, &setup->n_rules, optarg)
                   ? -1
                   : cli_usage("station run", "more than %d rules", STAMP_RUN_PORTS);
    case 'u':
        if (!cli_number(optarg, 1, 86400, &number)) {
            return cli_usage("station run", "'%s' is no number of seconds", optarg);
        }
        setup->unit_ms = (uint32_t)number * 1000;
        return -1;
    case 'l':
        a->label = optarg;
        return -1;
    case 'w':
        a->line.who = optarg;
        return -1;
    case 'S':
        a->line.server = optarg;
        return -1;
    case '1':
        setup->once = true;
        return -1;
    case 'P':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("station run", "'%s' is no file descriptor", optarg);
        }
        a->run.pin.fd = (int)number;
        return -1;
    case 'Q':
        a->run.pin.file = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_bad_option("station run");
    }
}

/* What goes with what. -1 = all is well */
static int check(const struct args *a)
{
    const struct station_run_args *r = &a->run;

    if ((a->line.order == NULL) == (r->batch == NULL)) {
        return cli_usage("station run", "give --order, or --batch");
    }
    if (r->batch == NULL && (r->key != NULL || r->exec != NULL || r->lock_later ||
                             r->trust != NULL || r->workspace != NULL)) {
        return cli_usage("station run",
                         "--key, --lock, --exec, --trust and --dir go with "
                         "--batch: an order says the rest");
    }
    if (r->batch != NULL &&
        (a->label != NULL || a->line.who != NULL || a->line.server != NULL)) {
        return cli_usage("station run", "--label, --who and --server go with --order");
    }
    if (r->setup.n_ports + r->setup.n_rules == 0) {
        return cli_usage("station run", "give --port TTY or --ports-from RULE");
    }
    return -1;
}

int station_run(int argc, char **argv)
{
    static struct args a = {.run = {.pin = {.fd = -1}, .setup = {.unit_ms = 120000}}};
    int status = -1;
    int opt;

    a.run.setup.ports = a.port;
    a.run.setup.rules = a.rule;
    while (status < 0 &&
           (opt = getopt_long(argc, argv, "p:k:C:h", options, NULL)) != -1) {
        status = take(&a, opt);
    }
    status = status < 0 ? check(&a) : status;
    if (status < 0 && (a.run.batch == NULL || optind < argc || a.run.key == NULL)) {
        a.run.dir = station_operand("station run", "station's directory", argc, argv);
        status = a.run.dir == NULL ? CLI_USAGE : -1;
    }
    return status >= 0           ? status
           : a.run.batch != NULL ? station_run_batch(&a.run)
                                 : run(&a);
}
