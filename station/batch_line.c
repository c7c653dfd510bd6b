#include "station/batch_line.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/agree.h"
#include "host/claims.h"
#include "host/exec.h"
#include "host/hex.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/unit.h"

enum {
    CHIP_SIZE = 2 * 32 + 1,
    BOOT_MS = 30000, /* that a unit may take to answer after it was flashed */
    BOOT_WAIT_US = 200000,
};

struct stamp_batch_line {
    struct stamp_batch_line_setup setup;
    pthread_mutex_t books; /* books and batch file: one port at a time */
    pthread_mutex_t say;
    volatile sig_atomic_t stop;
    bool drained; /* with `books` held */
};

/* One unit. */
struct strike {
    struct stamp_batch_line *line;
    struct stamp_slot *slot;
    struct stamp_unit is;
    char chip[CHIP_SIZE];
    char serial[STAMP_SERIAL_SIZE];
    uint8_t body[STAMP_MAX_LEN]; /* secret */
    size_t len;
    uint8_t digest[32]; /* of its claims */
    uint8_t point[STAMP_POINT_SIZE];
    const struct stamp_buffer *image; /* while it is flashed */
};

/* ---- the stamp ---- */

/* With the books held. */
static enum stamp_err load(struct strike *s, uint32_t index, struct stamp_error *err)
{
    struct stamp_batch *batch = s->line->setup.batch;
    struct stamp_batch_entry entry;
    enum stamp_err rc = stamp_batch_entry(batch, index, &entry, err);

    if (rc == STAMP_OK) {
        memcpy(s->serial, entry.serial, sizeof s->serial);
        rc = stamp_batch_get(batch, index, s->body, &s->len, err);
    }
    return rc;
}

/* What the unit is to prove then. */
static enum stamp_err read_stamp(struct strike *s, struct stamp_error *err)
{
    struct stamp *stamp = calloc(1, sizeof *stamp);
    STAMP_X509_AUTO *cert = NULL;
    enum stamp_err rc = stamp == NULL
                            ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
                            : stamp_decode(stamp, s->body, s->len);

    if (rc == STAMP_OK) {
        rc = stamp_pki_decode(stamp->certificates[0], &cert, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_point(X509_get0_pubkey(cert), s->point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_claims_of(s->body, s->len, s->digest, err);
    }
    free(stamp);
    return rc;
}

static enum stamp_err take(struct strike *s, struct stamp_error *err)
{
    struct stamp_batch_line *line = s->line;
    uint32_t index;
    enum stamp_err rc;

    (void)pthread_mutex_lock(&line->books);
    rc = stamp_books_for_chip(line->setup.books, time(NULL), s->chip, &index, err);
    if (rc == STAMP_E_MISSING && err != NULL && err->native == STAMP_BOOKS_DRAINED) {
        line->drained = true;
        rc = STAMP_E_RANGE;
    }
    if (rc == STAMP_OK) {
        rc = load(s, index, err);
    }
    (void)pthread_mutex_unlock(&line->books);
    return rc == STAMP_OK ? read_stamp(s, err) : rc;
}

/* A unit that has a stamp: is it one of this file, and this unit's? */
static enum stamp_err recall(struct strike *s, bool *reported, struct stamp_error *err)
{
    struct stamp_batch_line *line = s->line;
    struct stamp_books_line is = {.index = 0};
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_info info;
    enum stamp_err rc = stamp_smp_info(s->slot->client, &info, err);

    *reported = false;
    if (rc != STAMP_OK) {
        return rc;
    }
    (void)pthread_mutex_lock(&line->books);
    rc = stamp_books_find(line->setup.books, info.serial, &is, &why);
    if (rc == STAMP_OK && (is.result == STAMP_BOOKS_SCRAPPED ||
                           (is.chip[0] != '\0' && strcmp(is.chip, s->chip) != 0))) {
        rc = STAMP_E_STATE;
    }
    if (rc == STAMP_OK) {
        rc = load(s, is.index, err);
        *reported = is.result == STAMP_BOOKS_STRUCK;
    } else if (rc == STAMP_E_MISSING || rc == STAMP_E_STATE) {
        stamp_error_hint(err, "keep it apart");
        rc = stamp_error_set(err, STAMP_E_STATE, 0,
                             "the unit has a stamp already, '%.64s', that this batch did "
                             "not give it",
                             info.serial);
    } else {
        rc = stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    (void)pthread_mutex_unlock(&line->books);
    return rc == STAMP_OK ? read_stamp(s, err) : rc;
}

/* ---- onto the unit ---- */

static enum stamp_err send_sealed(struct strike *s, struct stamp_error *err)
{
    struct stamp_smp_client *c = s->slot->client;
    STAMP_PKEY_AUTO *own = NULL;
    uint8_t mine[STAMP_POINT_SIZE];
    uint8_t theirs[STAMP_POINT_SIZE];
    uint8_t key[STAMP_AGREE_KEY];
    uint8_t *sealed = malloc(s->len + STAMP_AGREE_TAG);
    enum stamp_err rc = sealed == NULL
                            ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
                            : stamp_key_generate(&own, err);

    if (rc == STAMP_OK) {
        rc = stamp_key_point(own, mine, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_unit_agree(c, mine, theirs, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_agree(own, theirs, mine, STAMP_LABEL_STRIKE, key, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_agree_seal(key, (struct stamp_slice){s->body, s->len}, sealed, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_unit_put(c, STAMP_PUT_SEALED,
                            (struct stamp_slice){sealed, s->len + STAMP_AGREE_TAG}, err);
    }
    OPENSSL_cleanse(key, sizeof key);
    free(sealed);
    return rc;
}

static enum stamp_err over_the_wire(struct strike *s, struct stamp_error *err)
{
    struct stamp_smp_client *c = s->slot->client;
    uint8_t digest[32];
    enum stamp_err rc = STAMP_OK;

    if (s->len + STAMP_AGREE_TAG > s->is.room) {
        stamp_error_hint(err, "have another program flash it: --exec");
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                               "the stamp of %s has %zu bytes, and the unit takes %u",
                               s->serial, s->len, s->is.room);
    }
    if (s->is.pending) { /* keys of a strike that was given up elsewhere */
        rc = stamp_unit_abandon(c, err);
    }
    if (rc == STAMP_OK) {
        rc = send_sealed(s, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_unit_strike(c, digest, err);
    }
    if (rc == STAMP_OK && memcmp(digest, s->digest, sizeof digest) != 0) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "unit %s read other claims back than it was to write",
                             s->serial);
    }
    return rc;
}

/* The port is the command's meanwhile. */
static enum stamp_err run_command(void *ctx, struct stamp_error *err)
{
    struct strike *s = ctx;
    const struct stamp_exec how = {.command = s->line->setup.exec,
                                   .port = s->slot->path,
                                   .offset = s->line->setup.offset,
                                   .among = true};
    int status = 0;
    enum stamp_err rc = stamp_exec_flash(&how, s->image, &status, err);

    return rc == STAMP_OK && status != 0
               ? stamp_error_set(err, STAMP_E_DEVICE, status,
                                 "the command that flashes ended with status %d", status)
               : rc;
}

static enum stamp_err by_command(struct strike *s, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    struct stamp_unit unit = {.phase = STAMP_PHASE_BLANK};
    enum stamp_err asked = STAMP_OK;
    int64_t end;
    enum stamp_err rc = stamp_image_make(
        &s->line->setup.part, (struct stamp_slice){s->body, s->len}, NULL, &image, err);

    if (rc == STAMP_OK) {
        s->image = &image;
        rc = s->slot->let_go(s->slot->let_go_ctx, run_command, s, err);
    }
    end = stamp_slot_now_ms() + BOOT_MS;
    if (rc == STAMP_OK) { /* the command may have done so, or not */
        asked = stamp_unit_restart(s->slot->client, NULL);
    }
    while (rc == STAMP_OK && (asked != STAMP_OK || unit.phase < STAMP_PHASE_STRUCK)) {
        if (stamp_slot_now_ms() > end) {
            return stamp_error_set(err, STAMP_E_TIMEOUT, 0,
                                   "the unit does not answer with its stamp after it was "
                                   "flashed");
        }
        (void)usleep(BOOT_WAIT_US);
        asked = stamp_unit_ask(s->slot->client, &unit, NULL);
    }
    if (rc == STAMP_OK && (unit.chip_len != s->is.chip_len ||
                           memcmp(unit.chip, s->is.chip, unit.chip_len) != 0)) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "another unit answers after %s was flashed", s->serial);
    }
    return rc;
}

/* ---- its end ---- */

static enum stamp_err report(struct strike *s, struct stamp_error *err)
{
    const struct stamp_books_report what = {.serial = s->serial,
                                            .result = STAMP_BOOKS_STRUCK,
                                            .chip = s->chip,
                                            .at = time(NULL)};
    enum stamp_err rc;

    (void)pthread_mutex_lock(&s->line->books);
    rc = stamp_books_report(s->line->setup.books, &what, err);
    (void)pthread_mutex_unlock(&s->line->books);
    return rc;
}

static enum stamp_err finish(struct strike *s, struct stamp_error *err)
{
    const bool lock = s->line->setup.lock;
    uint32_t can = 0;
    uint32_t in_force = 0;
    enum stamp_err rc = stamp_unit_finish(s->slot->client, lock, &can, &in_force, err);

    if (rc == STAMP_OK && lock) {
        rc = stamp_slot_check_lock(can, in_force, s->serial, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_slot_prove(s->slot->client, s->point, lock, s->serial, err);
    }
    return rc == STAMP_OK ? report(s, err) : rc;
}

static enum stamp_err strike(struct strike *s, bool *fresh, struct stamp_error *err)
{
    bool reported = false;
    enum stamp_err rc;

    if (s->is.phase >= STAMP_PHASE_STRUCK) {
        rc = recall(s, &reported, err);
    } else {
        rc = take(s, err);
        if (rc == STAMP_OK) {
            rc = s->line->setup.exec != NULL ? by_command(s, err) : over_the_wire(s, err);
        }
    }
    *fresh = !reported;
    return rc == STAMP_OK && !reported ? finish(s, err) : rc;
}

/* ---- as a source ---- */

static enum stamp_err source_strike(void *ctx, struct stamp_slot *slot,
                                    char serial[STAMP_SERIAL_SIZE], bool *fresh,
                                    struct stamp_error *err)
{
    struct strike *s = calloc(1, sizeof *s);
    enum stamp_err rc;

    serial[0] = '\0';
    *fresh = false;
    if (s == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    s->line = ctx;
    s->slot = slot;
    rc = stamp_unit_ask(slot->client, &s->is, err);
    if (rc == STAMP_OK && slot->done_len > 0 && slot->done_len == s->is.chip_len &&
        memcmp(slot->done, s->is.chip, slot->done_len) == 0) {
        free(s);
        return STAMP_OK; /* it is still there */
    }
    if (rc == STAMP_OK && s->is.chip_len == 0) {
        rc = stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                             "the unit's chip has no number of its own");
    }
    if (rc == STAMP_OK) {
        stamp_hex(s->is.chip, s->is.chip_len, s->chip);
        rc = strike(s, fresh, err);
        memcpy(serial, s->serial, sizeof s->serial);
    }
    if (rc == STAMP_OK) {
        memcpy(slot->done, s->is.chip, s->is.chip_len);
        slot->done_len = s->is.chip_len;
    }
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
    return rc;
}

static void source_say(void *ctx, const char *port, const char *text)
{
    struct stamp_batch_line *line = ctx;

    (void)pthread_mutex_lock(&line->say);
    line->setup.tell(line->setup.ctx, port, text);
    (void)pthread_mutex_unlock(&line->say);
}

static void source_stop(void *ctx)
{
    struct stamp_batch_line *line = ctx;

    line->stop = 1;
}

static bool source_stopping(void *ctx)
{
    const struct stamp_batch_line *line = ctx;

    return line->stop != 0;
}

struct stamp_source stamp_batch_line_source(struct stamp_batch_line *line)
{
    return (struct stamp_source){line, source_strike, source_say, source_stop,
                                 source_stopping};
}

enum stamp_err stamp_batch_line_new(const struct stamp_batch_line_setup *setup,
                                    struct stamp_batch_line **out,
                                    struct stamp_error *err)
{
    struct stamp_batch_line *line = calloc(1, sizeof *line);

    *out = NULL;
    if (line == NULL || pthread_mutex_init(&line->books, NULL) != 0 ||
        pthread_mutex_init(&line->say, NULL) != 0) {
        free(line);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    line->setup = *setup;
    *out = line;
    return STAMP_OK;
}

void stamp_batch_line_free(struct stamp_batch_line **p)
{
    if (*p != NULL) {
        (void)pthread_mutex_destroy(&(*p)->books);
        (void)pthread_mutex_destroy(&(*p)->say);
        free(*p);
    }
    *p = NULL;
}

bool stamp_batch_line_drained(const struct stamp_batch_line *line)
{
    return line->drained;
}
