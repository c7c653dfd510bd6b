#include "station/line.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/file.h"
#include "host/key.h"
#include "host/leaf.h"
#include "host/offer.h"
#include "host/pki.h"

enum { TEXT_MAX = 400, AGAIN_MS = 500, CHECKPOINT_UNITS = 16, CLOCK_SLACK = 2 };

struct stamp_line {
    const struct stamp_site *site;
    struct stamp_line_setup setup;
    struct stamp_session *session;
    struct stamp_buffer plain; /* of the order */
    struct stamp_order order;
    struct stamp_profile *profile;
    struct stamp_leaf_maker *leaf;
    struct stamp_journal *journal;
    pthread_mutex_t lock; /* journal and token */
    pthread_mutex_t say;
    bool locks; /* both are made */
    bool paused;
    unsigned since; /* units done since the last checkpoint */
    volatile sig_atomic_t stop;
};

/* ---- words ---- */

void stamp_line_say(struct stamp_line *line, const char *port, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)pthread_mutex_lock(&line->say);
    line->setup.tell(line->setup.ctx, port, text);
    (void)pthread_mutex_unlock(&line->say);
}

void stamp_line_stop(struct stamp_line *line)
{
    line->stop = 1;
}

bool stamp_line_stopping(const struct stamp_line *line)
{
    return line->stop != 0;
}

const struct stamp_order *stamp_line_order(const struct stamp_line *line)
{
    return &line->order;
}

const struct stamp_site *stamp_line_site(const struct stamp_line *line)
{
    return line->site;
}

static struct stamp_slice text_slice(const char *text)
{
    return (struct stamp_slice){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

/* ---- the journal, with the lock held ---- */

static enum stamp_err clock_now(struct stamp_line *line, uint64_t *now,
                                struct stamp_error *err)
{
    uint64_t last = stamp_journal_head(line->journal)->at;

    *now = (uint64_t)time(NULL);
    if (*now + CLOCK_SLACK < last) {
        stamp_error_hint(err, "set the clock right, then go on");
        return stamp_error_set(
            err, STAMP_E_STATE, 0,
            "the clock is in doubt: it is %llu s before the last entry "
            "of the journal",
            (unsigned long long)(last - *now));
    }
    *now = *now < last ? last : *now;
    return STAMP_OK;
}

static enum stamp_err append(struct stamp_line *line, struct stamp_journal_entry *e,
                             struct stamp_error *err)
{
    enum stamp_err rc = clock_now(line, &e->at, err);

    e->who = text_slice(line->setup.who);
    return rc == STAMP_OK ? stamp_journal_append(line->journal, e, 1, err) : rc;
}

static enum stamp_err append_kind(struct stamp_line *line, enum stamp_journal_kind kind,
                                  const char *why, struct stamp_error *err)
{
    struct stamp_journal_entry e = {.kind = kind, .why = text_slice(why)};

    return append(line, &e, err);
}

/* ---- the token, with the lock held ---- */

static void wait_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* The token failed: the line stands until it is back, and nothing is lost. */
static enum stamp_err token_lost(struct stamp_line *line, struct stamp_error *why,
                                 struct stamp_error *err)
{
    struct stamp_error again;
    char text[STAMP_JOURNAL_TEXT_MAX];
    enum stamp_err rc;

    (void)snprintf(text, sizeof text, "%.180s", why->what);
    stamp_line_say(line, NULL, "the line stands: %s (%s)", why->what, why->hint);
    rc = append_kind(line, STAMP_JOURNAL_PAUSE, text, err);
    while (rc == STAMP_OK) {
        wait_ms(AGAIN_MS);
        if (line->stop) {
            return stamp_error_set(err, STAMP_E_DEVICE, why->native, "%s", why->what);
        }
        stamp_error_clear(&again);
        if (stamp_session_again(line->session, &again) == STAMP_OK) {
            stamp_line_say(line, NULL, "the token is back: the line goes on");
            return append_kind(line, STAMP_JOURNAL_RESUME, NULL, err);
        }
    }
    return rc;
}

static bool is_loss(enum stamp_err rc)
{
    return rc == STAMP_E_DEVICE || rc == STAMP_E_AUTH;
}

static enum stamp_err token_sign(struct stamp_line *line, enum stamp_station_key which,
                                 const uint8_t digest[32], uint8_t sig[64],
                                 struct stamp_error *err)
{
    struct stamp_error why;
    enum stamp_err rc;

    do {
        stamp_error_clear(&why);
        rc = stamp_session_sign(line->session, line->site->label[which], digest, sig,
                                &why);
        if (!is_loss(rc)) {
            break;
        }
        rc = token_lost(line, &why, err);
    } while (rc == STAMP_OK && !line->stop);
    return rc == STAMP_OK || is_loss(rc)
               ? rc
               : stamp_error_set(err, rc, why.native, "%s", why.what);
}

static enum stamp_err token_count(struct stamp_line *line, uint32_t n,
                                  struct stamp_error *err)
{
    struct stamp_error why;
    enum stamp_err rc;

    do {
        stamp_error_clear(&why);
        rc = stamp_session_count_to(line->session, line->order.id, n, &why);
        if (!is_loss(rc)) {
            break;
        }
        rc = token_lost(line, &why, err);
    } while (rc == STAMP_OK && !line->stop);
    return rc;
}

static enum stamp_err sign_journal(void *ctx, const uint8_t digest[32], uint8_t sig[64],
                                   struct stamp_error *err)
{
    return token_sign(ctx, STAMP_STATION_JOURNAL, digest, sig, err);
}

/* ---- opening ---- */

static enum stamp_err open_order(struct stamp_line *line, struct stamp_error *err)
{
    struct stamp_token *token = NULL;
    EVP_PKEY *box = NULL;
    struct stamp_slice file = {NULL, 0};
    uint8_t *bytes = NULL;
    uint8_t *ca = NULL;
    size_t ca_len = 0;
    char uri[640];
    enum stamp_err rc = stamp_site_uri(line->site, STAMP_STATION_BOX, uri, err);

    if (rc == STAMP_OK) {
        rc = stamp_file_read(line->setup.order, STAMP_ORDER_MAX, &bytes, &file.len, err);
        file.p = bytes;
    }
    if (rc == STAMP_OK) {
        rc = stamp_token_open(uri, &line->setup.pin, &token, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_token_key(token, &box, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_order_open(file, line->site->cert.owner_hash, box, &line->plain,
                              &line->order, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_station_cert_der(&line->site->cert, STAMP_STATION_CA, &ca, &ca_len,
                                    err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_order_check(&line->order, (struct stamp_slice){ca, ca_len},
                               line->site->cert.purpose, time(NULL), err);
    }
    EVP_PKEY_free(box);
    stamp_token_close(&token);
    OPENSSL_free(ca);
    free(bytes);
    return rc;
}

static enum stamp_err open_session(struct stamp_line *line, struct stamp_error *err)
{
    enum stamp_err rc =
        stamp_session_open(line->site->token, &line->setup.pin, &line->session, err);

    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        uint8_t have[STAMP_POINT_SIZE];
        uint8_t want[STAMP_POINT_SIZE];
        bool made;

        rc = stamp_session_key(line->session, line->site->label[i],
                               i == STAMP_STATION_BOX ? STAMP_TOKEN_AGREE
                                                      : STAMP_TOKEN_SIGN,
                               0, &made, have, err);
        if (rc == STAMP_OK) {
            rc = stamp_key_point(X509_get0_pubkey(line->site->cert.cert[i]), want, err);
        }
        if (rc == STAMP_OK && (made || memcmp(have, want, sizeof have) != 0)) {
            rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                                 "key '%s' of token %s is not the one of the station's "
                                 "certificate",
                                 line->site->label[i], stamp_session_name(line->session));
        }
    }
    return rc;
}

static enum stamp_err open_profile(struct stamp_line *line, struct stamp_error *err)
{
    const struct stamp_order *o = &line->order;
    enum stamp_err rc =
        stamp_profile_parse(o->profile.p, o->profile.len, "order", &line->profile, err);
    struct stamp_leaf_profile leaf;

    if (rc != STAMP_OK) {
        return rc;
    }
    leaf = (struct stamp_leaf_profile){
        .country = line->profile->certificate.country,
        .organization = line->profile->certificate.organization,
        .organizational_unit = line->profile->certificate.organizational_unit,
        .hardware_type_oid = line->profile->certificate.hardware_type_oid,
        .pen = line->profile->certificate.pen,
        .purpose = o->purpose,
        .validity_days = line->profile->certificate.validity_days,
    };
    return stamp_leaf_new(&leaf, line->site->cert.cert[STAMP_STATION_CA], NULL,
                          &line->leaf, err);
}

/* What the token counted, and what the journal has: the token counts directly after the
 * entry, so it is at most one behind and never ahead. */
static enum stamp_err check_count(struct stamp_line *line, struct stamp_error *err)
{
    uint32_t begun = stamp_journal_begun(line->journal);
    uint32_t count;
    enum stamp_err rc = stamp_session_count(line->session, line->order.id, &count, err);

    if (rc != STAMP_OK || count == begun) {
        return rc;
    }
    if (count + 1 == begun) {
        return stamp_session_count_to(line->session, line->order.id, begun, err);
    }
    stamp_error_hint(err, "put the right journal back, or ask headquarters for `stamp "
                          "reconcile --rebuild`");
    return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                           count > begun
                               ? "the token has counted %u units of this order and the "
                                 "journal knows %u: it is an old copy, or was cut"
                               : "the token has counted %u units of this order and the "
                                 "journal knows %u: it is another token",
                           count, begun);
}

static enum stamp_err open_journal(struct stamp_line *line, struct stamp_error *err)
{
    const struct stamp_order *o = &line->order;
    struct stamp_journal_entry e = {.kind = STAMP_JOURNAL_ORDER};
    uint8_t hash[32 + 4];
    char path[PATH_MAX];
    uint8_t *der = NULL;
    size_t len;
    uint64_t now;
    enum stamp_err rc = stamp_site_path(line->site, STAMP_SITE_JOURNAL, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_journal_open(path, true, o->id, o->count, &line->journal, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_journal_check(
            line->journal, X509_get0_pubkey(line->site->cert.cert[STAMP_STATION_JOURNAL]),
            err);
    }
    if (rc == STAMP_OK) {
        rc = check_count(line, err);
    }
    if (rc == STAMP_OK) {
        rc = clock_now(line, &now, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc =
        stamp_station_cert_der(&line->site->cert, STAMP_STATION_JOURNAL, &der, &len, err);
    if (rc == STAMP_OK) {
        struct stamp_journal_entry open = {.kind = STAMP_JOURNAL_OPEN,
                                           .data = {der, len}};

        rc = append(line, &open, err);
    }
    OPENSSL_free(der);
    if (rc == STAMP_OK && stamp_journal_head(line->journal)->orders == 0) {
        if (EVP_Digest(line->plain.p, line->plain.len, hash, NULL, stamp_sha256(),
                       NULL) != 1) {
            return stamp_openssl_failed(err, "cannot hash the order");
        }
        for (int i = 0; i < 4; i++) {
            hash[32 + i] = (uint8_t)(o->count >> (24 - 8 * i));
        }
        memcpy(e.order, o->id, sizeof e.order);
        e.data = (struct stamp_slice){hash, sizeof hash};
        rc = append(line, &e, err);
    }
    return rc;
}

enum stamp_err stamp_line_open(const struct stamp_site *site,
                               const struct stamp_line_setup *setup,
                               struct stamp_line **out, struct stamp_error *err)
{
    struct stamp_line *line = calloc(1, sizeof *line);
    enum stamp_err rc = STAMP_OK;

    *out = NULL;
    if (line == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    line->site = site;
    line->setup = *setup;
    line->locks = pthread_mutex_init(&line->lock, NULL) == 0 &&
                  pthread_mutex_init(&line->say, NULL) == 0;
    if (!site->enrolled) {
        stamp_error_hint(err,
                         "send '%s/" STAMP_SITE_CSR "' to headquarters, then: stamp "
                         "station init %s --cert FILE",
                         site->dir, site->dir);
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "the station '%s' is not enrolled",
                             site->dir);
    }
    if (rc == STAMP_OK) {
        rc = open_order(line, err);
    }
    if (rc == STAMP_OK) {
        rc = open_profile(line, err);
    }
    if (rc == STAMP_OK) {
        rc = open_session(line, err);
    }
    if (rc == STAMP_OK) {
        rc = open_journal(line, err);
    }
    if (rc != STAMP_OK) {
        stamp_line_close(&line);
    }
    *out = line;
    return rc;
}

void stamp_line_close(struct stamp_line **p)
{
    struct stamp_line *line = *p;

    if (line == NULL) {
        return;
    }
    if (line->journal != NULL && line->session != NULL) {
        line->stop = 1; /* a token that is away is not waited for */
        if (stamp_journal_checkpoint(line->journal, sign_journal, line, NULL) !=
            STAMP_OK) {
            stamp_line_say(line, NULL,
                           "the journal has no last checkpoint: the token "
                           "failed; the next run makes one");
        }
    }
    stamp_journal_close(&line->journal);
    stamp_session_close(&line->session);
    stamp_leaf_free(&line->leaf);
    stamp_profile_free(&line->profile);
    stamp_buffer_free(&line->plain);
    if (line->locks) {
        (void)pthread_mutex_destroy(&line->lock);
        (void)pthread_mutex_destroy(&line->say);
    }
    free(line);
    *p = NULL;
}

/* ---- units ---- */

void stamp_line_unit_fini(struct stamp_line_unit *u)
{
    stamp_buffer_free(&u->offer);
    memset(u, 0, sizeof *u);
}

static enum stamp_err serial_of(struct stamp_line *line, uint32_t index,
                                char serial[STAMP_SERIAL_SIZE], struct stamp_error *err)
{
    return stamp_serial_format(&line->profile->serial,
                               (uint64_t)line->order.first_counter + index,
                               (time_t)line->order.at, serial, STAMP_SERIAL_SIZE, err);
}

static enum stamp_err begin(struct stamp_line *line, struct stamp_slice chip,
                            struct stamp_line_unit *u, struct stamp_error *err)
{
    struct stamp_journal_entry e = {.kind = STAMP_JOURNAL_BEGIN, .has_unit = true};
    struct stamp_offer_subject subject = {
        .purpose = line->order.purpose,
        .owner_hash = line->site->cert.owner_hash,
        .bundle = line->order.bundle,
        .show = line->order.pop == STAMP_ORDER_POP_SHOWN,
    };
    uint32_t index = stamp_journal_begun(line->journal);
    uint64_t now;
    enum stamp_err rc = clock_now(line, &now, err);

    if (rc == STAMP_OK && index >= line->order.count) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0,
                             "the order is used up: all %u units were begun",
                             line->order.count);
    }
    if (rc == STAMP_OK && now > line->order.not_after) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "the order holds no longer");
    }
    if (rc == STAMP_OK) {
        rc = serial_of(line, index, u->serial, err);
    }
    subject.serial = u->serial;
    subject.at = (time_t)now;
    if (rc == STAMP_OK) {
        rc = stamp_offer_make(line->profile, &subject, &u->offer, err);
    }
    if (rc == STAMP_OK) {
        memcpy(e.order, line->order.id, sizeof e.order);
        e.index = index;
        e.chip = chip;
        e.data = (struct stamp_slice){u->offer.p, u->offer.len};
        rc = append(line, &e, err);
    }
    return rc == STAMP_OK ? token_count(line, index + 1, err) : rc;
}

static enum stamp_err recall(struct stamp_line *line, const struct stamp_journal_unit *is,
                             struct stamp_line_unit *u, struct stamp_error *err)
{
    uint8_t buf[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_journal_entry e;
    enum stamp_err rc = serial_of(line, is->index, u->serial, err);

    if (rc == STAMP_OK) {
        rc = stamp_journal_entry(line->journal, is->begin, buf, &e, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(&u->offer, e.data.len, 0, err);
    }
    if (rc == STAMP_OK) {
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
                               bool start, struct stamp_line_unit *u,
                               struct stamp_error *err)
{
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
        rc = recall(line, is, u, err);
    } else if (start) {
        rc = begin(line, chip, u, err);
        is = rc == STAMP_OK ? stamp_journal_unit_of(line->journal, chip) : NULL;
    }
    if (is != NULL) {
        u->index = is->index;
        u->last = is->last;
        memcpy(u->chip, chip.p, chip.len);
        u->chip_len = chip.len;
    }
    (void)pthread_mutex_unlock(&line->lock);
    if (rc != STAMP_OK) {
        stamp_line_unit_fini(u);
    }
    return rc;
}

/* ---- signing ---- */

static void unit_entry(struct stamp_line *line, const struct stamp_line_unit *u,
                       enum stamp_journal_kind kind, struct stamp_journal_entry *e)
{
    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->has_unit = true;
    memcpy(e->order, line->order.id, sizeof e->order);
    e->index = u->index;
}

static enum stamp_err make_tbs(struct stamp_line *line, const struct stamp_line_unit *u,
                               const struct stamp_request *r, uint8_t *tbs, size_t *len,
                               struct stamp_error *err)
{
    struct stamp_leaf_subject s = {
        .serial = u->serial, .point = r->point, .digest = r->digest};
    struct stamp_barcode_vars vars;
    char name[STAMP_MAX_TEXT * 4 + 1];
    uint64_t now;
    enum stamp_err rc = clock_now(line, &now, err);

    stamp_profile_vars(line->profile, &vars);
    vars.serial = u->serial;
    vars.point = r->evidence.has_point ? r->evidence.point : NULL;
    if (rc == STAMP_OK) {
        rc = stamp_template_fill(line->profile->certificate.common_name, &vars, name,
                                 sizeof name, err);
    }
    s.common_name = name;
    s.not_before = (time_t)(now - line->order.backdate_s);
    memcpy(s.serial_number, line->order.prefix, sizeof line->order.prefix);
    for (int i = 0; i < 4; i++) {
        s.serial_number[12 + i] = (uint8_t)(u->index >> (24 - 8 * i));
    }
    return rc == STAMP_OK ? stamp_leaf_tbs(line->leaf, &s, tbs, len, err) : rc;
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

/* What is signed is written down first; after a kill the same is signed again. */
static enum stamp_err intend(struct stamp_line *line, const struct stamp_line_unit *u,
                             const struct stamp_request *r, uint8_t *tbs, size_t *len,
                             struct stamp_error *err)
{
    const struct stamp_journal_unit *is = stamp_journal_unit(line->journal, u->index);
    uint8_t buf[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_journal_entry e;
    enum stamp_err rc;

    if (is->intent != 0) {
        rc = stamp_journal_entry(line->journal, is->intent, buf, &e, err);
        if (rc == STAMP_OK && !is_for(e.data.p, e.data.len, r)) {
            rc = other_keys(u, err);
        }
        if (rc == STAMP_OK) {
            memcpy(tbs, e.data.p, e.data.len);
            *len = e.data.len;
        }
        return rc;
    }
    rc = make_tbs(line, u, r, tbs, len, err);
    if (rc == STAMP_OK) {
        unit_entry(line, u, STAMP_JOURNAL_INTENT, &e);
        e.data = (struct stamp_slice){tbs, *len};
        rc = append(line, &e, err);
    }
    return rc;
}

static enum stamp_err sign(struct stamp_line *line, struct stamp_line_unit *u,
                           const struct stamp_request *r, struct stamp_error *err)
{
    uint8_t tbs[STAMP_MAX_CERTIFICATE];
    struct stamp_journal_entry e;
    uint8_t digest[32];
    uint8_t sig[64];
    size_t len = 0;
    enum stamp_err rc = intend(line, u, r, tbs, &len, err);

    if (rc == STAMP_OK && EVP_Digest(tbs, len, digest, NULL, stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash");
    }
    if (rc == STAMP_OK) {
        rc = token_sign(line, STAMP_STATION_CA, digest, sig, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_leaf_signed((struct stamp_slice){tbs, len}, sig, u->certificate,
                               &u->certificate_len, err);
    }
    if (rc == STAMP_OK) {
        unit_entry(line, u, STAMP_JOURNAL_CERTIFICATE, &e);
        e.data = (struct stamp_slice){u->certificate, u->certificate_len};
        rc = append(line, &e, err);
    }
    return rc;
}

enum stamp_err stamp_line_sign(struct stamp_line *line, struct stamp_line_unit *u,
                               const struct stamp_request *r, struct stamp_error *err)
{
    enum stamp_err rc;

    if (u->certificate_len > 0) {
        return is_for(u->certificate, u->certificate_len, r) ? STAMP_OK
                                                             : other_keys(u, err);
    }
    (void)pthread_mutex_lock(&line->lock);
    rc = sign(line, u, r, err);
    if (rc == STAMP_OK) {
        u->last = STAMP_JOURNAL_CERTIFICATE;
    }
    (void)pthread_mutex_unlock(&line->lock);
    return rc;
}

enum stamp_err stamp_line_note(struct stamp_line *line, struct stamp_line_unit *u,
                               enum stamp_journal_kind kind, struct stamp_slice data,
                               const char *why, struct stamp_error *err)
{
    struct stamp_journal_entry e;
    enum stamp_err rc;

    unit_entry(line, u, kind, &e);
    e.data = data;
    e.why = text_slice(why);
    while (e.why.len > STAMP_JOURNAL_TEXT_MAX ||
           (e.why.len > 0 && !stamp_text_ok(e.why.p, e.why.len, false))) {
        e.why.len--; /* cut, and not within a character */
    }
    (void)pthread_mutex_lock(&line->lock);
    rc = append(line, &e, err);
    if (rc == STAMP_OK && kind == STAMP_JOURNAL_DONE &&
        ++line->since >= CHECKPOINT_UNITS) {
        line->since = 0;
        rc = stamp_journal_checkpoint(line->journal, sign_journal, line, err);
    }
    (void)pthread_mutex_unlock(&line->lock);
    if (rc == STAMP_OK && kind != STAMP_JOURNAL_FAILED) {
        u->last = kind;
    }
    return rc;
}

static enum stamp_err find_serial(struct stamp_line *line, const char *serial,
                                  uint32_t *index, struct stamp_error *err)
{
    char text[STAMP_SERIAL_SIZE];
    enum stamp_err rc = STAMP_OK;

    for (uint32_t i = 0; i < stamp_journal_begun(line->journal) && rc == STAMP_OK; i++) {
        rc = serial_of(line, i, text, err);
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

enum stamp_err stamp_line_give_up(struct stamp_line *line, const char *serial,
                                  enum stamp_journal_kind kind, const char *why,
                                  const char *confirmed, struct stamp_error *err)
{
    struct stamp_line_unit u = {.index = 0};
    const char *who = line->setup.who;
    enum stamp_journal_kind last;
    enum stamp_err rc = find_serial(line, serial, &u.index, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    last = stamp_journal_unit(line->journal, u.index)->last;
    if (last == STAMP_JOURNAL_REWORK ||
        (last == STAMP_JOURNAL_SCRAPPED && kind == STAMP_JOURNAL_SCRAPPED)) {
        return stamp_error_set(err, STAMP_E_STATE, 0, "unit %s was given up before",
                               serial);
    }
    if (kind == STAMP_JOURNAL_REWORK &&
        (who == NULL || confirmed == NULL || strcmp(who, confirmed) == 0)) {
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "a second operator must confirm that %s is struck again",
                               serial);
    }
    return stamp_line_note(line, &u, kind, text_slice(confirmed), why, err);
}

void stamp_line_status(struct stamp_line *line, struct stamp_journal_status *s)
{
    (void)pthread_mutex_lock(&line->lock);
    stamp_journal_status(line->journal, (uint64_t)time(NULL), s);
    (void)pthread_mutex_unlock(&line->lock);
}
