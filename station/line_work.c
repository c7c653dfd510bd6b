/*
 * What ports want of journal and token, done together. SPEC 15-6: what an entry announces
 * follows only when it is on the disk. So a round is
 *
 *     BEGIN, INTENT and what ports told: one write
 *     where a unit not counted yet is to be signed for, the token counts all begun ones;
 *     it signs
 *     CERTIFICATE of each: one write
 *
 * and whoever waited meanwhile is in the next round.
 */
#include <string.h>
#include <time.h>

#include "station/line_own.h"

enum {
    ROUND_MAX = STAMPI_LINE_AHEAD / 2,
    ROUND_MS = 100, /* a slow token signs the rest in the next round */
    CHECKPOINT_UNITS = 16,
};

struct round {
    struct stampi_work *work[ROUND_MAX];
    size_t n;
    struct stamp_journal_entry entry[ROUND_MAX];
    struct stampi_work *of[ROUND_MAX]; /* whose entry it is */
    size_t n_entries;
    uint32_t begun; /* with those of this round */
};

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fail(struct stampi_work *w, enum stamp_err rc, const struct stamp_error *why)
{
    w->rc = rc;
    if (w->err != NULL && why != NULL && w->err != why) {
        *w->err = *why;
    }
}

static struct stamp_journal_entry *next_entry(struct round *r, struct stampi_work *w)
{
    r->of[r->n_entries] = w;
    return &r->entry[r->n_entries];
}

/* ---- before the first write ---- */

static bool chip_is_in(const struct round *r, struct stamp_slice chip)
{
    for (size_t i = 0; i < r->n_entries; i++) {
        if (r->of[i]->kind == STAMPI_BEGIN && r->of[i]->chip.len == chip.len &&
            memcmp(r->of[i]->chip.p, chip.p, chip.len) == 0) {
            return true;
        }
    }
    return false;
}

static void prepare_begin(struct stamp_line *line, struct round *r, struct stampi_work *w,
                          uint64_t now)
{
    const struct stamp_journal_unit *is = stamp_journal_unit_of(line->journal, w->chip);

    if (is != NULL) { /* begun by another port meanwhile */
        w->rc = stampi_line_recall(line, is, w->unit, w->err);
        return;
    }
    if (chip_is_in(r, w->chip)) {
        w->again = true;
        return;
    }
    w->rc = stampi_line_begin(line, r->begun, w->chip, now, w->unit, next_entry(r, w),
                              w->err);
    if (w->rc == STAMP_OK) {
        r->n_entries++;
        r->begun++;
    }
}

static void prepare_sign(struct stamp_line *line, struct round *r, struct stampi_work *w,
                         uint64_t now)
{
    bool fresh;

    w->rc =
        stampi_line_intent(line, w->unit, w->r, now, &fresh, w->tbs, &w->tbs_len, w->err);
    if (w->rc == STAMP_OK && fresh) {
        struct stamp_journal_entry *e = next_entry(r, w);

        stampi_line_entry(line, w->unit, STAMP_JOURNAL_INTENT, e);
        e->data = (struct stamp_slice){w->tbs, w->tbs_len};
        r->n_entries++;
    }
}

/* The operator may have given a unit up while it is on a port. */
static bool is_given_up(struct stamp_line *line, struct stampi_work *w)
{
    enum stamp_journal_kind last =
        stamp_journal_unit(line->journal, w->unit->index)->last;

    if (w->kind == STAMPI_BEGIN ||
        (last != STAMP_JOURNAL_SCRAPPED && last != STAMP_JOURNAL_REWORK) ||
        (w->kind == STAMPI_NOTE && w->note.kind == STAMP_JOURNAL_REWORK)) {
        return false;
    }
    w->rc = stamp_error_set(w->err, STAMP_E_STATE, 0, "the unit was given up");
    return true;
}

static void prepare(struct stamp_line *line, struct round *r)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    uint64_t now;
    enum stamp_err rc = stampi_line_clock(line, &now, &why);

    r->begun = stamp_journal_begun(line->journal);
    for (size_t i = 0; i < r->n; i++) {
        struct stampi_work *w = r->work[i];

        if (rc != STAMP_OK) {
            fail(w, rc, &why);
        } else if (is_given_up(line, w)) {
            continue;
        } else if (w->kind == STAMPI_BEGIN) {
            prepare_begin(line, r, w, now);
        } else if (w->kind == STAMPI_SIGN) {
            prepare_sign(line, r, w, now);
        } else {
            *next_entry(r, w) = w->note;
            r->n_entries++;
        }
    }
}

/* ---- writes ---- */

static void write_entries(struct stamp_line *line, struct round *r)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = STAMP_OK;

    if (r->n_entries > 0) {
        rc = stampi_line_append(line, r->entry, r->n_entries, &why);
    }
    for (size_t i = 0; i < r->n_entries && rc != STAMP_OK; i++) {
        fail(r->of[i], rc, &why);
    }
}

static void note_written(struct stamp_line *line, struct stampi_work *w)
{
    struct stamp_line_unit *u = w->unit;

    if (w->kind == STAMPI_NOTE && w->note.kind != STAMP_JOURNAL_FAILED) {
        u->last = w->note.kind;
        line->since += w->note.kind == STAMP_JOURNAL_DONE;
    } else if (w->kind == STAMPI_BEGIN && u->chip_len == 0) {
        u->last = STAMP_JOURNAL_BEGIN;
        memcpy(u->chip, w->chip.p, w->chip.len);
        u->chip_len = w->chip.len;
    }
}

/* ---- the token ---- */

/* All that were begun, before one of them is signed for that is not counted yet: then a
 * copy of the journal that does not know them cannot go on. Who is not signed for may
 * wait for the others, as far as SPEC 15-7 allows. */
static void count(struct stamp_line *line, struct round *r)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    uint32_t begun = stamp_journal_begun(line->journal);
    bool signs = false;
    enum stamp_err rc;

    for (size_t i = 0; i < r->n; i++) {
        signs |= r->work[i]->kind == STAMPI_SIGN && r->work[i]->rc == STAMP_OK &&
                 r->work[i]->unit->index >= line->counted;
    }
    if (line->counted >= begun ||
        (!signs && begun - line->counted < STAMPI_LINE_AHEAD - ROUND_MAX)) {
        return;
    }
    rc = stampi_line_token_count(line, begun, &why);
    if (rc == STAMP_OK) {
        line->counted = begun;
    }
    for (size_t i = 0; i < r->n && rc != STAMP_OK; i++) {
        if (r->work[i]->kind != STAMPI_NOTE && r->work[i]->rc == STAMP_OK) {
            fail(r->work[i], rc, &why);
        }
    }
}

static enum stamp_err sign(struct stamp_line *line, struct stampi_work *w)
{
    struct stamp_line_unit *u = w->unit;
    uint8_t digest[32];
    uint8_t sig[64];
    enum stamp_err rc;

    if (line->service != NULL) {
        return stampi_line_service_sign(line, u->index, w->r,
                                        (struct stamp_slice){w->tbs, w->tbs_len},
                                        u->certificate, &u->certificate_len, w->err);
    }
    if (EVP_Digest(w->tbs, w->tbs_len, digest, NULL, stamp_sha256(), NULL) != 1) {
        return stamp_openssl_failed(w->err, "cannot hash");
    }
    rc = stampi_line_token_sign(line, digest, sig, w->err);
    return rc == STAMP_OK
               ? stamp_leaf_signed((struct stamp_slice){w->tbs, w->tbs_len}, sig,
                                   u->certificate, &u->certificate_len, w->err)
               : rc;
}

/* Signs, and makes the entries of the second write. */
static void sign_all(struct stamp_line *line, struct round *r)
{
    int64_t end = now_ms() + ROUND_MS;

    r->n_entries = 0;
    for (size_t i = 0; i < r->n; i++) {
        struct stampi_work *w = r->work[i];
        struct stamp_journal_entry *e;

        if (w->kind != STAMPI_SIGN || w->rc != STAMP_OK) {
            continue;
        }
        if (r->n_entries > 0 && now_ms() >= end) {
            w->again = true;
            continue;
        }
        w->rc = sign(line, w);
        if (w->rc == STAMP_OK) {
            e = next_entry(r, w);
            stampi_line_entry(line, w->unit, STAMP_JOURNAL_CERTIFICATE, e);
            e->data =
                (struct stamp_slice){w->unit->certificate, w->unit->certificate_len};
            r->n_entries++;
        }
    }
}

static void certify(struct stamp_line *line, struct round *r)
{
    sign_all(line, r);
    write_entries(line, r);
    for (size_t i = 0; i < r->n_entries; i++) {
        if (r->of[i]->rc == STAMP_OK) {
            r->of[i]->unit->last = STAMP_JOURNAL_CERTIFICATE;
        } else { /* it is not known to the journal: it does not exist */
            r->of[i]->unit->certificate_len = 0;
        }
    }
}

/* ---- a round ---- */

/* A checkpoint that fails fails nobody: the next one covers the same entries. */
static void checkpoint(struct stamp_line *line)
{
    struct stamp_error why = STAMP_ERROR_INIT;

    if (line->since < CHECKPOINT_UNITS) {
        return;
    }
    line->since = 0;
    if (stamp_journal_checkpoint(line->journal, stampi_line_sign_journal, line, &why) !=
        STAMP_OK) {
        stamp_line_say(line, NULL, "no checkpoint now: %s", why.what);
    }
}

static void do_round(struct stamp_line *line, struct round *r)
{
    prepare(line, r);
    write_entries(line, r);
    for (size_t i = 0; i < r->n; i++) {
        if (r->work[i]->rc == STAMP_OK && !r->work[i]->again) {
            note_written(line, r->work[i]);
        }
    }
    count(line, r);
    certify(line, r);
    checkpoint(line);
}

/* ---- the queue ---- */

static void enqueue(struct stamp_line *line, struct stampi_work *w)
{
    (void)pthread_mutex_lock(&line->queue);
    w->next = NULL;
    *line->last = w;
    line->last = &w->next;
    (void)pthread_mutex_unlock(&line->queue);
}

static void dequeue(struct stamp_line *line, struct round *r)
{
    (void)pthread_mutex_lock(&line->queue);
    for (r->n = 0; r->n < ROUND_MAX && line->first != NULL; r->n++) {
        struct stampi_work *w = line->first;

        line->first = w->next;
        w->rc = STAMP_OK;
        w->again = false;
        r->work[r->n] = w;
    }
    if (line->first == NULL) {
        line->last = &line->first;
    }
    (void)pthread_mutex_unlock(&line->queue);
}

enum stamp_err stampi_line_work(struct stamp_line *line, struct stampi_work *w)
{
    enqueue(line, w);
    (void)pthread_mutex_lock(&line->lock);
    while (!w->done) { /* else another port did it */
        struct round r = {.n = 0};

        dequeue(line, &r);
        do_round(line, &r);
        for (size_t i = 0; i < r.n; i++) {
            if (r.work[i]->again) {
                enqueue(line, r.work[i]);
            } else {
                r.work[i]->done = true;
            }
        }
    }
    (void)pthread_mutex_unlock(&line->lock);
    return w->rc;
}
