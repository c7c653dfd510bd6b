/* `stamp station VERB`: a factory line. One file a verb: cli/station_VERB.c. */
#include "cli/station.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

int station_fail(struct stamp_error *err, const char *state)
{
    stamp_error_state(err, "%s", state);
    return cli_fail(err);
}

static int print_verbs(const char *verb, const char *intro,
                       const struct station_verb *table)
{
    (void)printf("usage: stamp %s VERB ...\n\n%s\n\n", verb, intro);
    for (const struct station_verb *v = table; v->name != NULL; v++) {
        (void)printf("  %-8s %s\n", v->name, v->what);
    }
    (void)printf("\n  -h, --help  this; `stamp %s VERB --help` for one verb\n", verb);
    return cli_flush(CLI_DONE);
}

int station_verbs(const char *verb, const char *intro, const struct station_verb *table,
                  int argc, char **argv)
{
    if (argc < 2) {
        return cli_usage(verb, "a verb is missing");
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        return print_verbs(verb, intro, table);
    }
    for (const struct station_verb *v = table; v->name != NULL; v++) {
        if (strcmp(argv[1], v->name) == 0) {
            return v->run(argc - 1, argv + 1);
        }
    }
    return cli_usage(verb, "there is no verb '%s'", argv[1]);
}

const char *station_operand(const char *verb, const char *what, int argc, char **argv)
{
    if (argc - optind == 1) {
        return argv[optind];
    }
    (void)cli_usage(verb, "one %s is wanted", what);
    return NULL;
}

int cmd_station(int argc, char **argv)
{
    static const struct station_verb table[] = {
        {"init", station_init, "make a station: keys in its token, requests"},
        {"enrol", station_enrol, "headquarters certifies a station"},
        {"run", station_run, "strike units under a work order"},
        {"status", station_status, "how the shift stands"},
        {"retry", station_retry, "try units again that failed on their ports"},
        {"scrap", station_scrap, "give a unit up"},
        {"rework", station_rework, "let a returned unit be struck again"},
        {"export", station_export, "the journal, sealed to headquarters"},
        {NULL, NULL, NULL},
    };

    return station_verbs("station",
                         "A line in a factory that nobody trusts: keys are made on the "
                         "units, certificates\nare signed in the station's token, under "
                         "a work order.",
                         table, argc, argv);
}
