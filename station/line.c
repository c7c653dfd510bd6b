#include "station/line.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/file.h"
#include "host/key.h"
#include "station/line_own.h"

enum { TEXT_MAX = 400 };

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

bool stamp_line_halted(const struct stamp_line *line)
{
    return line->halted;
}

const struct stamp_order *stamp_line_order(const struct stamp_line *line)
{
    return &line->order;
}

X509 *stamp_line_issuer(const struct stamp_line *line)
{
    return line->issuer;
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

enum stamp_err stampi_line_append(struct stamp_line *line,
                                  struct stamp_journal_entry *entries, size_t n,
                                  struct stamp_error *err)
{
    uint64_t now;
    enum stamp_err rc = stampi_line_clock(line, &now, err);

    for (size_t i = 0; i < n; i++) {
        entries[i].at = now;
        if (entries[i].who.len == 0) {
            entries[i].who = text_slice(line->setup.who);
        }
    }
    return rc == STAMP_OK ? stamp_journal_append(line->journal, entries, n, err) : rc;
}

enum stamp_err stampi_line_append_kind(struct stamp_line *line,
                                       enum stamp_journal_kind kind, const char *why,
                                       struct stamp_error *err)
{
    struct stamp_journal_entry e = {.kind = kind, .why = text_slice(why)};

    return stampi_line_append(line, &e, 1, err);
}

/* ---- opening ---- */

static enum stamp_err open_order(struct stamp_line *line, struct stamp_token *token,
                                 struct stamp_error *err)
{
    EVP_PKEY *box = NULL;
    struct stamp_slice file = {NULL, 0};
    struct stamp_error why = STAMP_ERROR_INIT;
    uint8_t *bytes = NULL;
    uint8_t *ca = NULL;
    size_t ca_len = 0;
    enum stamp_err rc =
        stamp_file_read(line->setup.order, STAMP_ORDER_MAX, &bytes, &file.len, err);

    file.p = bytes;
    if (rc == STAMP_OK) {
        rc = stamp_token_key(token, &box, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_order_open(file, line->site->cert.owner_hash, box, &line->plain,
                              &line->order, &why);
        if (rc != STAMP_OK) {
            rc = stamp_error_set(err, rc, why.native,
                                 "order '%s' is not for this station, or damaged: %s",
                                 line->setup.order, why.what);
        }
    }
    if (rc == STAMP_OK) {
        rc = stamp_station_cert_der(&line->site->cert, STAMP_STATION_CA, &ca, &ca_len,
                                    err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_order_check(&line->order, (struct stamp_slice){ca, ca_len},
                               line->site->cert.purpose, time(NULL), err);
    }
    if (rc == STAMP_OK && line->site->piv && !line->order.uncounted) {
        stamp_error_hint(err, "ask headquarters for one made with --uncounted");
        rc = stamp_error_set(err, STAMP_E_STATE, 0,
                             "order '%s' wants a count of its units in the token, and "
                             "this one keeps none",
                             line->setup.order);
    }
    EVP_PKEY_free(box);
    OPENSSL_free(ca);
    free(bytes);
    return rc;
}

static enum stamp_err open_session(struct stamp_line *line, const struct stamp_pin *pin,
                                   struct stamp_error *err)
{
    enum stamp_err rc = stamp_session_open(line->site->token, pin, &line->session, err);

    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        uint8_t have[STAMP_POINT_SIZE];
        uint8_t want[STAMP_POINT_SIZE];

        rc = stamp_session_key(line->session, line->site->label[i],
                               stamp_site_use(line->site, (enum stamp_station_key)i), 0,
                               NULL, have, err);
        if (rc == STAMP_OK) {
            rc = stamp_key_point(X509_get0_pubkey(line->site->cert.cert[i]), want, err);
        }
        if (rc == STAMP_OK && memcmp(have, want, sizeof have) != 0) {
            rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                                 "key '%s' of token %s is not the one of the station's "
                                 "certificate",
                                 line->site->label[i], stamp_session_name(line->session));
        }
    }
    return rc;
}

/* First by way of OpenSSL, which opens the order, then the session that stays: both would
 * finalize the module under each other. */
static enum stamp_err open_token(struct stamp_line *line, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *secret = NULL;
    struct stamp_token *token = NULL;
    char uri[640];
    enum stamp_err rc = stamp_site_uri(line->site, STAMP_STATION_BOX, uri, err);

    if (rc == STAMP_OK) {
        rc = stamp_token_open(uri, &line->setup.pin, &token, err);
    }
    if (rc == STAMP_OK) {
        rc = open_order(line, token, err);
    }
    if (rc == STAMP_OK && stamp_token_pin(token) != NULL) {
        size_t len;
        const uint8_t *p = stamp_secret_use(stamp_token_pin(token), &len);

        rc = stamp_secret_new(&secret, p, len, err);
    }
    stamp_token_close(&token);
    if (rc == STAMP_OK) {
        const struct stamp_pin pin = {.fd = -1, .known = secret};

        rc = open_session(line, &pin, err);
    }
    return rc;
}

static enum stamp_err open_profile(struct stamp_line *line, struct stamp_error *err)
{
    const struct stamp_order *o = &line->order;
    enum stamp_err rc =
        stamp_profile_parse(o->profile.p, o->profile.len, "order", &line->profile, err);

    return rc == STAMP_OK ? stamp_birth_new(line->profile, o->purpose, line->issuer, NULL,
                                            &line->births, err)
                          : rc;
}

static enum stamp_err open_issuer(struct stamp_line *line, struct stamp_error *err)
{
    if (line->setup.server != NULL) {
        return stampi_line_service_open(line, err);
    }
    line->issuer = line->site->cert.cert[STAMP_STATION_CA];
    return X509_up_ref(line->issuer) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot take the station's CA");
}

/* What the token counted, and what the journal has: the token counts directly after the
 * entries of the units that were begun together, and is never ahead. */
static enum stamp_err check_count(struct stamp_line *line, struct stamp_error *err)
{
    uint32_t begun = stamp_journal_begun(line->journal);
    uint32_t count;
    enum stamp_err rc;

    if (line->site->piv) {
        line->counted = UINT32_MAX; /* never less than what was begun */
        return STAMP_OK;
    }
    rc = stamp_session_count(line->session, line->order.id, &count, err);
    if (rc == STAMP_OK && count < begun && begun - count <= STAMPI_LINE_AHEAD) {
        rc = stamp_session_count_to(line->session, line->order.id, begun, err);
        count = begun;
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (count == begun) {
        line->counted = begun;
        return STAMP_OK;
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
    struct stamp_journal_entry e[2] = {{.kind = STAMP_JOURNAL_OPEN},
                                       {.kind = STAMP_JOURNAL_ORDER}};
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
        rc = stampi_line_clock(line, &now, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc =
        stamp_station_cert_der(&line->site->cert, STAMP_STATION_JOURNAL, &der, &len, err);
    if (rc == STAMP_OK && EVP_Digest(line->plain.p, line->plain.len, hash, NULL,
                                     stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash the order");
    }
    if (rc == STAMP_OK) {
        for (int i = 0; i < 4; i++) {
            hash[32 + i] = (uint8_t)(o->count >> (24 - 8 * i));
        }
        e[0].data = (struct stamp_slice){der, len};
        e[1].data = (struct stamp_slice){hash, sizeof hash};
        memcpy(e[1].order, o->id, sizeof e[1].order);
        rc = stampi_line_append(
            line, e, stamp_journal_head(line->journal)->orders == 0 ? 2 : 1, err);
    }
    OPENSSL_free(der);
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
    line->last = &line->first;
    line->counted = UINT32_MAX; /* not known yet: nothing is counted for it */
    line->locks = pthread_mutex_init(&line->lock, NULL) == 0 &&
                  pthread_mutex_init(&line->queue, NULL) == 0 &&
                  pthread_mutex_init(&line->say, NULL) == 0;
    if (!site->enrolled) {
        stamp_error_hint(err,
                         "send '%s/" STAMP_SITE_CSR "' to headquarters, then: stamp "
                         "station init %s --cert FILE",
                         site->dir, site->dir);
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "the station '%s' is not enrolled",
                             site->dir);
    }
    if (rc == STAMP_OK && site->piv != site->cert.uncounted) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "what '%s' says of its token is not what its certificate "
                             "says",
                             site->dir);
    }
    if (rc == STAMP_OK) {
        rc = open_issuer(line, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_line_clock_start(line, err);
    }
    if (rc == STAMP_OK) {
        rc = open_token(line, err);
    }
    if (rc == STAMP_OK) {
        rc = open_profile(line, err);
    }
    if (rc == STAMP_OK) {
        rc = open_journal(line, err);
    }
    if (rc != STAMP_OK) {
        stamp_line_close(&line);
    } else {
        line->up = true;
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
        if (stamp_journal_begun(line->journal) > line->counted) {
            (void)stampi_line_token_count(line, stamp_journal_begun(line->journal), NULL);
        }
        if (stamp_journal_checkpoint(line->journal, stampi_line_sign_journal, line,
                                     NULL) != STAMP_OK) {
            stamp_line_say(line, NULL,
                           "the journal has no last checkpoint: the token "
                           "failed; the next run makes one");
        }
    }
    stamp_journal_close(&line->journal);
    stamp_session_close(&line->session);
    stamp_birth_free(&line->births);
    stampi_line_service_close(line);
    X509_free(line->issuer);
    stamp_profile_free(&line->profile);
    stamp_buffer_free(&line->plain);
    if (line->locks) {
        (void)pthread_mutex_destroy(&line->lock);
        (void)pthread_mutex_destroy(&line->queue);
        (void)pthread_mutex_destroy(&line->say);
    }
    free(line);
    *p = NULL;
}

/* Not for longer than people wait. */
static bool lock_soon(struct stamp_line *line)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    return pthread_mutex_timedlock(&line->lock, &until) == 0;
}

bool stamp_line_status(struct stamp_line *line, struct stamp_journal_status *s)
{
    bool now = lock_soon(line);

    if (now) {
        stamp_journal_status(line->journal, (uint64_t)time(NULL), s);
        (void)pthread_mutex_unlock(&line->lock);
    }
    (void)pthread_mutex_lock(&line->say);
    if (now) {
        line->status = *s;
    }
    *s = line->status;
    (void)pthread_mutex_unlock(&line->say);
    return now;
}

enum stamp_err stamp_line_part(struct stamp_line *line, uint32_t from,
                               struct stamp_sealed_part *out, struct stamp_error *err)
{
    enum stamp_err rc;

    *out = (struct stamp_sealed_part){.next = from};
    if (!lock_soon(line)) {
        return stamp_error_set(err, STAMP_E_BUSY, 0,
                               "the line stands: its token is away, or slow");
    }
    rc = stamp_sealed_part_make(line->site, line->journal, stampi_line_sign_journal, line,
                                from, out, err);
    (void)pthread_mutex_unlock(&line->lock);
    return rc;
}
