/* The units of a line: what the journal knows of them, and what is signed for them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/offer.h"
#include "station/line_own.h"

static struct stamp_slice text_slice(const char *text)
{
    return (struct stamp_slice){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

void stamp_line_unit_fini(struct stamp_line_unit *u)
{
    stamp_buffer_free(&u->offer);
    memset(u, 0, sizeof *u);
}

enum stamp_err stampi_line_serial(struct stamp_line *line, uint32_t index,
                                  char serial[STAMP_SERIAL_SIZE], struct stamp_error *err)
{
    return stamp_serial_format(&line->profile->serial,
                               (uint64_t)line->order.first_counter + index,
                               (time_t)line->order.at, serial, STAMP_SERIAL_SIZE, err);
}

enum stamp_err stampi_line_begin(struct stamp_line *line, uint32_t index,
                                 struct stamp_slice chip, uint64_t now,
                                 struct stamp_line_unit *u, struct stamp_journal_entry *e,
                                 struct stamp_error *err)
{
    struct stamp_offer_subject subject = {
        .serial = u->serial,
        .at = (time_t)now,
        .purpose = line->order.purpose,
        .owner_hash = line->site->cert.owner_hash,
        .bundle = line->order.bundle,
        .show = line->order.pop == STAMP_ORDER_POP_SHOWN,
    };
    enum stamp_err rc;

    if (index >= line->order.count) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "the order is used up: all %u units were begun",
                               line->order.count);
    }
    rc = stampi_line_holds(line, now, err);
    if (rc == STAMP_OK) {
        rc = stampi_line_serial(line, index, u->serial, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_offer_make(line->profile, &subject, &u->offer, err);
    }
    u->index = index;
    stampi_line_entry(line, u, STAMP_JOURNAL_BEGIN, e);
    e->chip = chip;
    e->data = (struct stamp_slice){u->offer.p, u->offer.len};
    return rc;
}

enum stamp_err stampi_line_recall(struct stamp_line *line,
                                  const struct stamp_journal_unit *is,
                                  struct stamp_line_unit *u, struct stamp_error *err)
{
    uint8_t buf[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_journal_entry e;
    enum stamp_err rc = stampi_line_serial(line, is->index, u->serial, err);

    u->index = is->index;
    u->last = is->last;
    memcpy(u->chip, is->chip, is->chip_len);
    u->chip_len = is->chip_len;

    if (rc == STAMP_OK) {
        rc = stamp_journal_entry(line->journal, is->begin, buf, &e, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(&u->offer, e.data.len, 0, err);
    }
    if (rc == STAMP_OK && e.data.len > 0) { /* a journal made anew has none */
        memcpy(u->offer.p, e.data.p, e.data.len);
    }
    if (rc == STAMP_OK && is->certificate != 0) {
        rc = stamp_journal_entry(line->journal, is->certificate, buf, &e, err);
        if (rc == STAMP_OK) {
            memcpy(u->certificate, e.data.p, e.data.len);
            u->certificate_len = e.data.len;
        }
    }
    return rc;
}

enum stamp_err stamp_line_unit(struct stamp_line *line, struct stamp_slice chip,
                               bool begin, struct stamp_line_unit *u,
                               struct stamp_error *err)
{
    struct stampi_work w = {.kind = STAMPI_BEGIN, .unit = u, .chip = chip, .err = err};
    const struct stamp_journal_unit *is;
    enum stamp_err rc = STAMP_E_MISSING;

    memset(u, 0, sizeof *u);
    if (chip.len == 0 || chip.len > sizeof u->chip) {
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                               "the unit's chip has no number of its own");
    }
    (void)pthread_mutex_lock(&line->lock);
    is = stamp_journal_unit_of(line->journal, chip);
    if (is != NULL) {
        rc = stampi_line_recall(line, is, u, err);
    }
    (void)pthread_mutex_unlock(&line->lock);
    if (is == NULL && begin) {
        rc = stampi_line_work(line, &w);
    }
    if (rc != STAMP_OK) {
        stamp_line_unit_fini(u);
    }
    return rc;
}

/* ---- signing ---- */

void stampi_line_entry(struct stamp_line *line, const struct stamp_line_unit *u,
                       enum stamp_journal_kind kind, struct stamp_journal_entry *e)
{
    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->has_unit = true;
    memcpy(e->order, line->order.id, sizeof e->order);
    e->index = u->index;
}

static enum stamp_err make_tbs(struct stamp_line *line, const struct stamp_line_unit *u,
                               const struct stamp_request *r, uint64_t now, uint8_t *tbs,
                               size_t *len, struct stamp_error *err)
{
    struct stamp_birth b = {.serial = u->serial,
                            .point = r->point,
                            .digest = r->digest,
                            .provisioning =
                                r->evidence.has_point ? r->evidence.point : NULL,
                            .not_before = (time_t)(now - line->order.backdate_s)};

    b.not_before = b.not_before < line->ca_from ? line->ca_from : b.not_before;
    memcpy(b.serial_number, line->order.prefix, sizeof line->order.prefix);
    for (int i = 0; i < 4; i++) {
        b.serial_number[12 + i] = (uint8_t)(u->index >> (24 - 8 * i));
    }
    return stamp_birth_tbs(line->births, &b, tbs, len, err);
}

/* Does what was or will be signed name this key and these claims? */
static bool is_for(const uint8_t *der, size_t len, const struct stamp_request *r)
{
    return memmem(der, len, r->point, sizeof r->point) != NULL &&
           memmem(der, len, r->digest, sizeof r->digest) != NULL;
}

static enum stamp_err other_keys(const struct stamp_line_unit *u, struct stamp_error *err)
{
    stamp_error_hint(err, "scrap it, or have it reworked: stamp station rework");
    return stamp_error_set(
        err, STAMP_E_AUTH, 0,
        "unit %s has other keys than it asked a certificate for before", u->serial);
}

/* Does what was or will be signed name who signs now? A line that began with the service
 * goes on with it, and one with its token as well. */
static enum stamp_err check_issuer(const struct stamp_line *line,
                                   const struct stamp_line_unit *u, const uint8_t *der,
                                   size_t len, struct stamp_error *err)
{
    const uint8_t *name;
    size_t n;

    if (X509_NAME_get0_der(X509_get_subject_name(line->issuer), &name, &n) != 1) {
        return stamp_openssl_failed(err, "cannot read who signs");
    }
    if (memmem(der, len, name, n) != NULL) {
        return STAMP_OK;
    }
    stamp_error_hint(err, line->service == NULL ? "go on with --server"
                                                : "go on without --server");
    return stamp_error_set(err, STAMP_E_STATE, 0,
                           "the certificate of unit %s was begun with another signer",
                           u->serial);
}

/* After a kill the same is signed again. */
enum stamp_err stampi_line_intent(struct stamp_line *line,
                                  const struct stamp_line_unit *u,
                                  const struct stamp_request *r, uint64_t now,
                                  bool *fresh, uint8_t *tbs, size_t *len,
                                  struct stamp_error *err)
{
    const struct stamp_journal_unit *is = stamp_journal_unit(line->journal, u->index);
    uint8_t buf[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_journal_entry e;
    enum stamp_err rc;

    *fresh = is->intent == 0;
    if (*fresh) {
        rc = stampi_line_holds(line, now, err);
        return rc == STAMP_OK ? make_tbs(line, u, r, now, tbs, len, err) : rc;
    }
    rc = stamp_journal_entry(line->journal, is->intent, buf, &e, err);
    if (rc == STAMP_OK && !is_for(e.data.p, e.data.len, r)) {
        rc = other_keys(u, err);
    }
    if (rc == STAMP_OK) {
        rc = check_issuer(line, u, e.data.p, e.data.len, err);
    }
    if (rc == STAMP_OK) {
        memcpy(tbs, e.data.p, e.data.len);
        *len = e.data.len;
    }
    return rc;
}

enum stamp_err stamp_line_sign(struct stamp_line *line, struct stamp_line_unit *u,
                               const struct stamp_request *r, struct stamp_error *err)
{
    struct stampi_work w = {.kind = STAMPI_SIGN, .unit = u, .r = r, .err = err};

    if (u->certificate_len > 0) {
        return is_for(u->certificate, u->certificate_len, r)
                   ? check_issuer(line, u, u->certificate, u->certificate_len, err)
                   : other_keys(u, err);
    }
    return stampi_line_work(line, &w);
}

enum stamp_err stamp_line_note(struct stamp_line *line, struct stamp_line_unit *u,
                               enum stamp_journal_kind kind, struct stamp_slice data,
                               const char *why, struct stamp_error *err)
{
    struct stampi_work w = {.kind = STAMPI_NOTE, .unit = u, .err = err};

    stampi_line_entry(line, u, kind, &w.note);
    w.note.data = data;
    w.note.why = text_slice(why);
    while (w.note.why.len > STAMP_JOURNAL_TEXT_MAX ||
           (w.note.why.len > 0 && !stamp_text_ok(w.note.why.p, w.note.why.len, false))) {
        w.note.why.len--; /* cut, and not within a character */
    }
    return stampi_line_work(line, &w);
}

static enum stamp_err find_serial(struct stamp_line *line, const char *serial,
                                  uint32_t *index, struct stamp_error *err)
{
    char text[STAMP_SERIAL_SIZE];
    enum stamp_err rc = STAMP_OK;

    for (uint32_t i = 0; i < stamp_journal_begun(line->journal) && rc == STAMP_OK; i++) {
        rc = stampi_line_serial(line, i, text, err);
        if (rc == STAMP_OK && strcmp(text, serial) == 0) {
            *index = i;
            return STAMP_OK;
        }
    }
    return rc != STAMP_OK
               ? rc
               : stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "no unit %s was begun under this order", serial);
}

/* With the lock held. */
static enum stamp_err may_give_up(struct stamp_line *line, const char *serial,
                                  enum stamp_journal_kind kind, uint32_t *index,
                                  struct stamp_error *err)
{
    enum stamp_journal_kind last;
    enum stamp_err rc = find_serial(line, serial, index, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    last = stamp_journal_unit(line->journal, *index)->last;
    return last == STAMP_JOURNAL_REWORK ||
                   (last == STAMP_JOURNAL_SCRAPPED && kind == STAMP_JOURNAL_SCRAPPED)
               ? stamp_error_set(err, STAMP_E_STATE, 0, "unit %s was given up before",
                                 serial)
               : STAMP_OK;
}

enum stamp_err stamp_line_give_up(struct stamp_line *line, const char *serial,
                                  enum stamp_journal_kind kind, const char *why,
                                  const char *who, const char *confirmed,
                                  struct stamp_error *err)
{
    struct stamp_line_unit u = {.index = 0};
    struct stampi_work w = {.kind = STAMPI_NOTE, .unit = &u, .err = err};
    enum stamp_err rc;

    if (kind == STAMP_JOURNAL_REWORK &&
        (who == NULL || confirmed == NULL || strcmp(who, confirmed) == 0)) {
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "a second operator must confirm that %s is struck again",
                               serial);
    }
    (void)pthread_mutex_lock(&line->lock);
    rc = may_give_up(line, serial, kind, &u.index, err);
    (void)pthread_mutex_unlock(&line->lock);
    if (rc != STAMP_OK) {
        return rc;
    }
    stampi_line_entry(line, &u, kind, &w.note);
    w.note.data = text_slice(confirmed);
    w.note.why = text_slice(why);
    w.note.who = text_slice(who);
    return stampi_line_work(line, &w);
}
