/* `stamp station run --batch`: the line with stamps that were made before. */
#include "cli/station_run.h"

#include <stdio.h>
#include <time.h>

#include "cli/batch_station.h"
#include "station/batch_line.h"

static enum stamp_err tell_counts(struct batch_station *station, const char *first,
                                  struct stamp_books_state *s, struct stamp_error *err)
{
    enum stamp_err rc = stamp_books_state(station->books, s, err);

    if (rc == STAMP_OK) {
        (void)printf("%s; of %u: %u struck, %u scrapped, %u in doubt, %u remaining\n",
                     first, s->count, s->struck, s->scrapped, s->in_doubt, s->unused);
        (void)fflush(stdout);
    }
    return rc;
}

/* The box of a station that is there is a key for batch files, too. */
static enum stamp_err find_key(const struct station_run_args *a, char uri[640],
                               struct batch_station_args *args, struct stamp_error *err)
{
    STAMP_SITE_AUTO site = {.enrolled = false};
    enum stamp_err rc;

    *args = (struct batch_station_args){.file = a->batch,
                                        .key = a->key,
                                        .pin_file = a->pin.file,
                                        .fd = a->pin.fd,
                                        .trust = a->trust,
                                        .workspace = a->workspace};
    if (a->key != NULL) {
        return STAMP_OK;
    }
    rc = stamp_site_open(a->dir, &site, err);
    if (rc == STAMP_OK) {
        rc = stamp_site_uri(&site, STAMP_STATION_BOX, uri, err);
        args->key = uri;
    }
    return rc;
}

static enum stamp_err set_up(const struct station_run_args *a,
                             struct batch_station *station,
                             struct stamp_batch_line **line, struct stamp_error *err)
{
    struct stamp_batch_line_setup setup = {.batch = station->batch,
                                           .books = station->books,
                                           .lock = !a->lock_later,
                                           .exec = a->exec,
                                           .tell = station_run_tell};
    struct stamp_profile_partition part;
    enum stamp_err rc = STAMP_OK;

    if (a->exec != NULL) {
        rc = batch_station_partition(station, &part, err);
        if (rc == STAMP_OK) {
            setup.offset = part.offset;
            rc = batch_station_geometry(station, &setup.part, err);
        }
    }
    return rc == STAMP_OK ? stamp_batch_line_new(&setup, line, err) : rc;
}

int station_run_batch(const struct station_run_args *a)
{
    BATCH_STATION_AUTO station = {.args = NULL};
    struct batch_station_args args;
    struct stamp_batch_line *line = NULL;
    struct stamp_run_setup setup = a->setup;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_books_state s;
    char uri[640];
    char first[48];
    uint32_t done = 0;
    uint32_t failed = 0;
    bool drained = false;
    enum stamp_err rc = find_key(a, uri, &args, &err);

    if (rc == STAMP_OK) {
        rc = batch_station_open(&args, &station, &err);
    }
    if (rc == STAMP_OK) {
        rc = set_up(a, &station, &line, &err);
    }
    if (rc == STAMP_OK) {
        rc = tell_counts(&station, "the line is up", &s, &err);
    }
    if (rc != STAMP_OK) {
        stamp_batch_line_free(&line);
        return station_fail(&err, "no unit was touched");
    }
    setup.source = stamp_batch_line_source(line);
    rc = stamp_run(&setup, &done, &failed, &err);
    drained = stamp_batch_line_drained(line);
    stamp_batch_line_free(&line);
    (void)snprintf(first, sizeof first, "%u done now", done);
    if (rc == STAMP_OK) {
        rc = tell_counts(&station, first, &s, &err);
    }
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    return cli_flush(failed > 0             ? CLI_FAILED
                     : drained && done == 0 ? CLI_NOTHING_LEFT
                                            : CLI_DONE);
}
