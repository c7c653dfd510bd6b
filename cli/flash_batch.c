/*
 * `stamp flash --batch`: the next stamp of a batch file goes on the unit, the unit proves
 * itself where it can be asked, and the books say so. Whatever fails after the stamp was
 * taken leaves it in doubt, and the operator is told which one and what to do.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/batch_station.h"
#include "cli/flash.h"
#include "host/batchbooks.h"
#include "host/prove.h"
#include "host/rest.h"

/* What the flow has in hand. */
struct strike {
    struct flash_batch *a;
    struct batch_station station;
    uint32_t index;
    char serial[STAMP_SERIAL_SIZE];
    bool taken;
};

/* The stamp that is in doubt is put on its unit once more. */
static enum stamp_err take_again(struct strike *s, struct stamp_error *err)
{
    struct stamp_batch_entry entry;
    struct stamp_books_line line;
    size_t n = 0;
    enum stamp_err rc = stamp_batch_find(s->station.batch, s->a->again, &entry, err);

    if (rc == STAMP_OK) {
        rc = stamp_books_list(s->station.books, STAMP_BOOKS_IN_DOUBT, entry.index, &line,
                              1, &n, err);
    }
    if (rc == STAMP_OK && (n == 0 || line.index != entry.index)) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "'%s' is not in doubt", s->a->again);
        stamp_error_hint(err, "--again is for a stamp that was handed out and is not "
                              "reported; without it the next one is taken");
    }
    s->index = entry.index;
    return rc;
}

static enum stamp_err take(struct strike *s, struct stamp_error *err)
{
    struct stamp_batch_entry entry;
    size_t n = 0;
    enum stamp_err rc =
        s->a->again != NULL
            ? take_again(s, err)
            : stamp_books_next(s->station.books, time(NULL), &s->index, 1, &n, err);

    if (rc == STAMP_OK) {
        s->taken = true;
        rc = stamp_batch_entry(s->station.batch, s->index, &entry, err);
    }
    if (rc == STAMP_OK) {
        memcpy(s->serial, entry.serial, sizeof s->serial);
    }
    return rc;
}

/* The stamp as an image of its own: any layout will do, the target's follows. */
static enum stamp_err open_image(struct strike *s, struct stamp_image **img,
                                 struct stamp_error *err)
{
    STAMP_BUFFER_AUTO body = {NULL, 0};
    STAMP_BUFFER_AUTO bytes = {NULL, 0};
    struct stamp_geometry g;
    struct stamp_slice slice;
    size_t len = 0;
    enum stamp_err rc = batch_station_geometry(&s->station, &g, err);

    *img = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(&body, STAMP_MAX_LEN, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_batch_get(s->station.batch, s->index, body.p, &len, err);
    }
    if (rc == STAMP_OK) {
        slice.p = body.p;
        slice.len = len;
        rc = stamp_image_make(&g, slice, NULL, &bytes, err);
    }
    return rc == STAMP_OK ? stamp_image_open(bytes.p, bytes.len, true, NULL, img, err)
                          : rc;
}

static enum stamp_err ask(struct strike *s, const struct stamp_trust *trust,
                          struct stamp_proof *proof, struct stamp_error *err)
{
    STAMP_TTY_AUTO struct stamp_tty *tty = NULL;
    struct stamp_smp_client client;
    struct stamp_smp_line line;
    enum stamp_err rc = stamp_tty_open(&tty, s->a->port, err);

    if (rc == STAMP_OK) {
        line = stamp_smp_tty_line(tty);
        stamp_smp_client_init(&client, &line);
        rc = stamp_prove_device(&client, trust, STAMP_BIRTH, proof, err);
    }
    return rc;
}

/* A unit takes its time to boot: what is only not there yet is asked for again. */
static bool may_come(enum stamp_err rc)
{
    return rc == STAMP_E_TIMEOUT || rc == STAMP_E_IO || rc == STAMP_E_BUSY ||
           rc == STAMP_E_BLANK;
}

static enum stamp_err prove(struct strike *s, struct stamp_error *err)
{
    STAMP_TRUST_AUTO *trust = NULL;
    struct stamp_proof proof;
    time_t end = time(NULL) + (time_t)s->a->wait_s;
    enum stamp_err rc = batch_station_trust(&s->station, &trust, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    for (;;) {
        struct stamp_error why = STAMP_ERROR_INIT;

        rc = ask(s, trust, &proof, &why);
        if (rc == STAMP_OK) {
            break;
        }
        if (!may_come(rc) || time(NULL) >= end) {
            (void)stamp_error_set(err, rc, why.native, "%s", why.what);
            return rc;
        }
        (void)usleep(200000);
    }
    if (strcmp(proof.identity.serial, s->serial) != 0) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the unit proves itself as '%s', not as '%s'",
                               proof.identity.serial, s->serial);
    }
    return STAMP_OK;
}

static enum stamp_err report(struct strike *s, struct stamp_error *err)
{
    struct stamp_books_report what = {.serial = s->serial,
                                      .result = STAMP_BOOKS_STRUCK,
                                      .chip = s->a->chip,
                                      .at = time(NULL)};

    return stamp_books_report(s->station.books, &what, err);
}

/* Beside what failed: what became of the stamp, and what to do. */
static int in_doubt(const struct strike *s, const struct stamp_error *err)
{
    const char *serial = s->serial[0] != '\0' ? s->serial : "the stamp";
    int status = cli_fail(err);

    (void)fprintf(
        stderr,
        "  %s was handed out and is in doubt\n"
        "  try: the same unit again: stamp flash --again %s ...; or give it up: "
        "stamp batch report %s --unit %s --result scrapped\n",
        serial, serial, s->a->station.file, serial);
    return status;
}

static enum stamp_err strike(struct strike *s, bool *unchanged, struct stamp_error *err)
{
    STAMP_IMAGE_AUTO *img = NULL;
    struct stamp_profile_partition partition;
    enum stamp_err rc = batch_station_partition(&s->station, &partition, err);

    if (rc == STAMP_OK) {
        s->a->target.partition = &partition;
        rc = take(s, err);
    }
    if (rc == STAMP_OK) {
        rc = open_image(s, &img, err);
    }
    if (rc == STAMP_OK) {
        rc = flash_put(&s->a->target, img, unchanged, err);
    }
    if (rc == STAMP_OK && s->a->port != NULL) {
        rc = prove(s, err);
    }
    return rc == STAMP_OK ? report(s, err) : rc;
}

int flash_from_batch(struct flash_batch *a)
{
    struct strike s = {.a = a};
    struct stamp_error err = STAMP_ERROR_INIT;
    bool unchanged = false;
    int status;
    enum stamp_err rc = batch_station_open(&a->station, &s.station, &err);

    if (rc == STAMP_OK) {
        rc = strike(&s, &unchanged, &err);
    }
    if (rc == STAMP_OK) {
        (void)printf("%s is %son %s%s\n", s.serial, unchanged ? "already " : "",
                     flash_name(&a->target), a->port != NULL ? " and proves itself" : "");
        status = cli_flush(CLI_DONE);
    } else if (s.taken) {
        status = in_doubt(&s, &err);
    } else {
        stamp_error_state(&err, "nothing was flashed");
        status = batch_station_fail(rc, &err);
    }
    batch_station_close(&s.station);
    return status;
}
