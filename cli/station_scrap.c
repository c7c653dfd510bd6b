/* `stamp station scrap` and `stamp station rework`: a unit is given up, or came back. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/station.h"
#include "station/control.h"

static const char scrap_help[] =
    "usage: stamp station scrap DIR --order ORDER --serial S --reason R --who NAME\n"
    "\n"
    "Gives a unit up: its serial is used up for ever, and what was signed for it is\n"
    "never admitted as a device.\n"
    "\n"
    "      --order ORDER       the work order\n"
    "      --serial S          the unit\n"
    "      --reason R          why\n"
    "      --who NAME          the operator\n"
    "      --pin-fd N          read the token's PIN from file descriptor N\n"
    "      --pin-file F        the same from a file (mode 0600)\n"
    "  -h, --help              this\n";

static const char rework_help[] =
    "usage: stamp station rework DIR --order ORDER --serial S --reason R --who NAME\n"
    "                            --confirm NAME\n"
    "\n"
    "A unit came back with a stamp that is to be replaced (its flash was made blank): "
    "its\n"
    "old certificate is revoked, its history stays, and its chip may be struck again,\n"
    "with a new serial. A second operator confirms.\n"
    "\n"
    "      --order ORDER       the work order\n"
    "      --serial S          the unit, as it was\n"
    "      --reason R          why\n"
    "      --who NAME          the operator\n"
    "      --confirm NAME      another operator\n"
    "      --pin-fd N          read the token's PIN from file descriptor N\n"
    "      --pin-file F        the same from a file (mode 0600)\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"order", required_argument, NULL, 'o'},
    {"serial", required_argument, NULL, 's'},
    {"reason", required_argument, NULL, 'r'},
    {"who", required_argument, NULL, 'w'},
    {"pin-fd", required_argument, NULL, 'P'},
    {"pin-file", required_argument, NULL, 'Q'},
    {"help", no_argument, NULL, 'h'},
    {"confirm", required_argument, NULL, 'c'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *dir;
    struct stamp_line_setup line;
    const char *serial;
    const char *reason;
    const char *confirm;
};

static void tell(void *ctx, const char *port, const char *text)
{
    (void)ctx;
    (void)port;
    (void)fprintf(stderr, "stamp: %s\n", text);
}

/* A line that runs does it: it has the journal. */
static enum stamp_err ask_line(const struct stamp_site *site, const struct args *a,
                               enum stamp_journal_kind kind, bool *runs,
                               struct stamp_error *err)
{
    const char *verb = kind == STAMP_JOURNAL_REWORK ? "rework" : "scrap";
    json_t *answer = NULL;
    json_t *request =
        json_pack("{s:s, s:s, s:s, s:s, s:s?}", "do", verb, "serial", a->serial, "reason",
                  a->reason, "who", a->line.who, "confirm", a->confirm);
    enum stamp_err rc = stamp_control_ask(site, request, &answer, err);

    *runs = answer != NULL;
    json_decref(request);
    json_decref(answer);
    return rc;
}

static int run(struct args *a, enum stamp_journal_kind kind)
{
    STAMP_SITE_AUTO site;
    struct stamp_line *line = NULL;
    bool runs = false;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_site_open(a->dir, &site, &err);

    a->line.tell = tell;
    if (rc == STAMP_OK) {
        rc = ask_line(&site, a, kind, &runs, &err);
    }
    if (rc == STAMP_OK && !runs) { /* the journal is ours */
        rc = stamp_line_open(&site, &a->line, &line, &err);
        if (rc == STAMP_OK) {
            rc = stamp_line_give_up(line, a->serial, kind, a->reason, a->line.who,
                                    a->confirm, &err);
        }
        stamp_line_close(&line);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "the unit stays as it was");
    }
    (void)printf("%s %s\n", a->serial, stamp_journal_kind_name(kind));
    return cli_flush(CLI_DONE);
}

static int give_up(const char *verb, const char *help, enum stamp_journal_kind kind,
                   int argc, char **argv)
{
    struct args a = {.line = {.pin = {.fd = -1}}};
    uint64_t number;
    int opt;

    while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            a.line.order = optarg;
            break;
        case 's':
            a.serial = optarg;
            break;
        case 'r':
            a.reason = optarg;
            break;
        case 'w':
            a.line.who = optarg;
            break;
        case 'c':
            a.confirm = optarg;
            break;
        case 'P':
            if (!cli_number(optarg, 0, 65535, &number)) {
                return cli_usage(verb, "'%s' is no file descriptor", optarg);
            }
            a.line.pin.fd = (int)number;
            break;
        case 'Q':
            a.line.pin.file = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option(verb);
        }
    }
    a.dir = station_operand(verb, "station's directory", argc, argv);
    if (a.dir == NULL) {
        return CLI_USAGE;
    }
    if (a.line.order == NULL || a.serial == NULL || a.reason == NULL ||
        a.line.who == NULL) {
        return cli_usage(verb, "--order, --serial, --reason and --who are wanted");
    }
    return run(&a, kind);
}

int station_scrap(int argc, char **argv)
{
    return give_up("station scrap", scrap_help, STAMP_JOURNAL_SCRAPPED, argc, argv);
}

int station_rework(int argc, char **argv)
{
    return give_up("station rework", rework_help, STAMP_JOURNAL_REWORK, argc, argv);
}
