/* `stamp station retry`: units that failed for good on a port are tried again. */
#include <getopt.h>
#include <stdio.h>

#include "cli/station.h"
#include "station/control.h"

static const char help[] =
    "usage: stamp station retry DIR\n"
    "\n"
    "Units that failed for good, and are still on their ports, are tried again by the\n"
    "line that runs. (A unit that is taken off its port and put back is, too.)\n"
    "\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int run(const char *dir)
{
    STAMP_SITE_AUTO site;
    struct stamp_error err = STAMP_ERROR_INIT;
    json_t *answer = NULL;
    json_t *request = json_pack("{s:s}", "do", "retry");
    enum stamp_err rc = stamp_site_open(dir, &site, &err);

    if (rc == STAMP_OK) {
        rc = stamp_control_ask(&site, request, &answer, &err);
    }
    if (rc == STAMP_OK && answer == NULL) {
        stamp_error_hint(&err, "stamp station run goes on with each unit where it was");
        rc = stamp_error_set(&err, STAMP_E_STATE, 0, "no line runs in '%s'", dir);
    }
    json_decref(request);
    json_decref(answer);
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : station_fail(&err, "nothing changed");
}

int station_retry(int argc, char **argv)
{
    const char *dir;
    int opt;

    while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (opt == 'h') {
            return cli_help(help);
        }
        return cli_bad_option("station retry");
    }
    dir = station_operand("station retry", "station's directory", argc, argv);
    return dir == NULL ? CLI_USAGE : run(dir);
}
