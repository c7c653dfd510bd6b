/* `stamp station run`: what its two sources of stamps share. */
#ifndef CLI_STATION_RUN_H
#define CLI_STATION_RUN_H

#include "cli/station.h"
#include "station/run.h"

struct station_run_args {
    const char *dir;              /* of the station; NULL = none, with a batch file */
    struct stamp_run_setup setup; /* but for the source and what belongs to it */
    struct stamp_pin pin;

    const char *batch; /* NULL = under an order; what follows goes with it */
    const char *key;   /* NULL = the station's box */
    bool lock_later;
    const char *exec;      /* NULL = over the line */
    const char *trust;     /* NULL = the books', else the workspace's */
    const char *workspace; /* NULL = look for it */
};

/** A line on standard output, at once. */
void station_run_tell(void *ctx, const char *port, const char *text);

/** `stamp station run --batch`. */
int station_run_batch(const struct station_run_args *a);

#endif
