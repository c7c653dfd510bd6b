/*
 * The verbs of `stamp station` and `stamp order`: each gets its own argv (argv[0] is the
 * verb) and returns the exit status.
 */
#ifndef CLI_STATION_H
#define CLI_STATION_H

#include "cli/cli.h"
#include "host/token.h"

int cmd_station(int argc, char **argv);
int station_init(int argc, char **argv);
int station_enrol(int argc, char **argv);
int station_retry(int argc, char **argv);
int station_run(int argc, char **argv);
int station_status(int argc, char **argv);
int station_export(int argc, char **argv);
int station_scrap(int argc, char **argv);
int station_rework(int argc, char **argv);

int cmd_order(int argc, char **argv);
int order_create(int argc, char **argv);
int order_close(int argc, char **argv);
int order_list(int argc, char **argv);
int order_show(int argc, char **argv);

int cmd_lock(int argc, char **argv);
int cmd_reconcile(int argc, char **argv);

/** Print the error and what did not change; the exit status. */
int station_fail(struct stamp_error *err, const char *state);

/** A verb among others: run it, or say which there are. */
struct station_verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
};
int station_verbs(const char *verb, const char *intro, const struct station_verb *table,
                  int argc, char **argv);

/** Exactly one operand behind the options; NULL = not so, which was said. */
const char *station_operand(const char *verb, const char *what, int argc, char **argv);

#endif
