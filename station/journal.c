#include "station/journal.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/openssl.h"
#include "host/sig.h"

#define SETTINGS                                                                         \
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"                        \
    "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
#define TABLE                                                                            \
    "CREATE TABLE IF NOT EXISTS entry (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) "    \
    "STRICT;"

enum { VERSION = 1, HOUR = 3600, SHIFT = 8 * 3600, PATIENCE_MS = 5000 };

struct stamp_journal {
    sqlite3 *db;
    sqlite3_stmt *add;
    sqlite3_stmt *get;
    char *path;
    struct stamp_journal_head head;
    uint8_t order[16];
    uint32_t count;
    struct stamp_journal_unit *unit; /* `count` of them */
    uint32_t begun;
};

static enum stamp_err failed(struct stamp_journal *j, const char *verb,
                             struct stamp_error *err)
{
    int code = sqlite3_extended_errcode(j->db);

    if ((code & 0xFF) == SQLITE_BUSY) {
        stamp_error_hint(err, "one station has one journal: end the other program");
        return stamp_error_set(err, STAMP_E_BUSY, code,
                               "another program has the journal '%s'", j->path);
    }
    if ((code & 0xFF) == SQLITE_FULL) {
        stamp_error_hint(err, "make room on the disk; the line goes on where it was");
    }
    return stamp_error_set(err, STAMP_E_DATABASE, code, "cannot %s the journal '%s': %s",
                           verb, j->path, sqlite3_errmsg(j->db));
}

/* ---- what follows from entries ---- */

static void follow(struct stamp_journal *j, const struct stamp_journal_entry *e)
{
    struct stamp_journal_unit *u;

    j->head.at = e->at;
    if (e->kind == STAMP_JOURNAL_CHECKPOINT) {
        j->head.checkpoint = e->seq;
    }
    if ((!e->has_unit && e->kind != STAMP_JOURNAL_ORDER) ||
        memcmp(e->order, j->order, sizeof j->order) != 0) {
        return;
    }
    if (e->kind == STAMP_JOURNAL_ORDER) {
        j->head.orders++;
        return;
    }
    if (e->index >= j->count) {
        return;
    }
    u = &j->unit[e->index];
    u->index = e->index;
    u->at = e->at;
    if (e->kind == STAMP_JOURNAL_FAILED) {
        u->failed = true;
        return;
    }
    u->failed = false;
    u->last = e->kind;
    if (e->kind == STAMP_JOURNAL_BEGIN) {
        u->begin = e->seq;
        u->chip_len = e->chip.len;
        if (e->chip.len > 0) { /* of a unit that was lost with a journal, none is known */
            memcpy(u->chip, e->chip.p, e->chip.len);
        }
        j->begun = e->index + 1 > j->begun ? e->index + 1 : j->begun;
    } else if (e->kind == STAMP_JOURNAL_INTENT) {
        u->intent = e->seq;
    } else if (e->kind == STAMP_JOURNAL_CERTIFICATE) {
        u->certificate = e->seq;
    } else if (e->kind == STAMP_JOURNAL_POP) {
        u->pop = e->seq;
    }
}

static enum stamp_err take(struct stamp_journal *j, struct stamp_slice body,
                           struct stamp_error *err)
{
    struct stamp_journal_entry e;
    enum stamp_err rc = stamp_journal_entry_decode(body, &e, NULL);
    const char *what = rc != STAMP_OK             ? "is malformed"
                       : e.seq != j->head.seq + 1 ? "is missing"
                       : memcmp(e.previous, j->head.hash, sizeof e.previous) != 0
                           ? "does not follow the one before it: one of both was changed"
                           : NULL;

    if (what != NULL) {
        stamp_error_hint(err, "keep the file as it is for headquarters; their imports "
                              "say what was there, and `stamp reconcile --rebuild` makes "
                              "a new one");
        return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                               "entry %u of the journal '%s' %s: nothing is made with it",
                               j->head.seq + 1, j->path, what);
    }
    rc = stamp_journal_entry_hash(body, j->head.hash, err);
    j->head.seq = e.seq;
    follow(j, &e);
    return rc;
}

static enum stamp_err read_all(struct stamp_journal *j, struct stamp_error *err)
{
    sqlite3_stmt *s = NULL;
    enum stamp_err rc = STAMP_OK;
    int code;

    if (sqlite3_prepare_v2(j->db, "SELECT body FROM entry ORDER BY seq", -1, &s, NULL) !=
        SQLITE_OK) {
        return failed(j, "read", err);
    }
    while (rc == STAMP_OK && (code = sqlite3_step(s)) != SQLITE_DONE) {
        struct stamp_slice body = {sqlite3_column_blob(s, 0),
                                   (size_t)sqlite3_column_bytes(s, 0)};

        rc = code == SQLITE_ROW ? take(j, body, err) : failed(j, "read", err);
    }
    (void)sqlite3_finalize(s);
    return rc;
}

/* ---- open and close ---- */

static enum stamp_err open_db(struct stamp_journal *j, bool create,
                              struct stamp_error *err)
{
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    struct stat st;
    mode_t mask;
    int code;

    if (!create && stat(j->path, &st) != 0) {
        stamp_error_hint(err, "is this the station's directory?");
        return stamp_error_set(err, STAMP_E_MISSING, errno, "there is no journal '%s'",
                               j->path);
    }
    mask = umask(077);
    code = sqlite3_open_v2(j->path, &j->db, flags, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_busy_timeout(j->db, PATIENCE_MS);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_exec(j->db, SETTINGS "BEGIN EXCLUSIVE;" TABLE "COMMIT", NULL, NULL,
                            NULL);
    }
    (void)umask(mask);
    if (code != SQLITE_OK ||
        sqlite3_prepare_v3(j->db, "INSERT INTO entry (seq, body) VALUES (?, ?)", -1,
                           SQLITE_PREPARE_PERSISTENT, &j->add, NULL) != SQLITE_OK ||
        sqlite3_prepare_v3(j->db, "SELECT body FROM entry WHERE seq = ?", -1,
                           SQLITE_PREPARE_PERSISTENT, &j->get, NULL) != SQLITE_OK) {
        return failed(j, "open", err);
    }
    return STAMP_OK;
}

enum stamp_err stamp_journal_open(const char *path, bool create, const uint8_t order[16],
                                  uint32_t count, struct stamp_journal **out,
                                  struct stamp_error *err)
{
    struct stamp_journal *j = calloc(1, sizeof *j);
    enum stamp_err rc = STAMP_OK;

    *out = NULL;
    if (j != NULL) {
        j->path = strdup(path);
        j->unit = calloc(count + 1u, sizeof *j->unit);
    }
    if (j == NULL || j->path == NULL || j->unit == NULL) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (rc == STAMP_OK) {
        memcpy(j->order, order, sizeof j->order);
        j->count = count;
        rc = open_db(j, create, err);
    }
    if (rc == STAMP_OK) {
        rc = read_all(j, err);
    }
    if (rc != STAMP_OK) {
        stamp_journal_close(&j);
    }
    *out = j;
    return rc;
}

void stamp_journal_close(struct stamp_journal **p)
{
    struct stamp_journal *j = *p;

    if (j == NULL) {
        return;
    }
    (void)sqlite3_finalize(j->add);
    (void)sqlite3_finalize(j->get);
    (void)sqlite3_close(j->db);
    free(j->unit);
    free(j->path);
    free(j);
    *p = NULL;
}

/* ---- writing ---- */

static enum stamp_err add(struct stamp_journal *j, struct stamp_journal_entry *e,
                          struct stamp_journal_head *head, struct stamp_error *err)
{
    uint8_t buf[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_slice body = {buf, 0};
    enum stamp_err rc;

    e->seq = head->seq + 1;
    memcpy(e->previous, head->hash, sizeof e->previous);
    rc = stamp_journal_entry_encode(e, buf, &body.len, err);
    if (rc == STAMP_OK) {
        rc = stamp_journal_entry_hash(body, head->hash, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    head->seq++;
    (void)sqlite3_reset(j->add);
    if (sqlite3_bind_int64(j->add, 1, e->seq) != SQLITE_OK ||
        sqlite3_bind_blob(j->add, 2, buf, (int)body.len, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_step(j->add) != SQLITE_DONE) {
        rc = failed(j, "write", err);
    }
    (void)sqlite3_reset(j->add);
    return rc;
}

enum stamp_err stamp_journal_append(struct stamp_journal *j,
                                    struct stamp_journal_entry *entries, size_t n,
                                    struct stamp_error *err)
{
    struct stamp_journal_head head = j->head;
    enum stamp_err rc = STAMP_OK;

    if (sqlite3_exec(j->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        return failed(j, "write", err);
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = add(j, &entries[i], &head, err);
    }
    if (rc == STAMP_OK && sqlite3_exec(j->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        rc = failed(j, "write", err);
    }
    if (rc != STAMP_OK) {
        (void)sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
        return rc;
    }
    memcpy(j->head.hash, head.hash, sizeof head.hash);
    j->head.seq = head.seq;
    for (size_t i = 0; i < n; i++) {
        follow(j, &entries[i]);
    }
    return STAMP_OK;
}

enum stamp_err stamp_journal_checkpoint(struct stamp_journal *j, stamp_journal_sign sign,
                                        void *ctx, struct stamp_error *err)
{
    struct stamp_journal_entry e = {.kind = STAMP_JOURNAL_CHECKPOINT, .at = j->head.at};
    uint8_t digest[32];
    uint8_t sig[64];
    enum stamp_err rc;

    if (j->head.seq == j->head.checkpoint) {
        return STAMP_OK;
    }
    rc = stamp_sig_digest(STAMP_LABEL_JOURNAL, j->head.hash, sizeof j->head.hash, digest,
                          err);
    if (rc == STAMP_OK) {
        rc = sign(ctx, digest, sig, err);
    }
    e.data = (struct stamp_slice){sig, sizeof sig};
    return rc == STAMP_OK ? stamp_journal_append(j, &e, 1, err) : rc;
}

/* ---- reading ---- */

enum stamp_err stamp_journal_raw(struct stamp_journal *j, uint32_t seq, uint8_t *buf,
                                 size_t *len, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    *len = 0;
    (void)sqlite3_reset(j->get);
    if (sqlite3_bind_int64(j->get, 1, seq) != SQLITE_OK ||
        sqlite3_step(j->get) != SQLITE_ROW ||
        sqlite3_column_bytes(j->get, 0) > (int)STAMP_JOURNAL_ENTRY_MAX) {
        rc = failed(j, "read", err);
    } else {
        *len = (size_t)sqlite3_column_bytes(j->get, 0);
        memcpy(buf, sqlite3_column_blob(j->get, 0), *len);
    }
    (void)sqlite3_reset(j->get);
    return rc;
}

enum stamp_err stamp_journal_entry(struct stamp_journal *j, uint32_t seq, uint8_t *buf,
                                   struct stamp_journal_entry *e, struct stamp_error *err)
{
    size_t len;
    enum stamp_err rc = stamp_journal_raw(j, seq, buf, &len, err);

    return rc == STAMP_OK
               ? stamp_journal_entry_decode((struct stamp_slice){buf, len}, e, err)
               : rc;
}

enum stamp_err stamp_journal_check(struct stamp_journal *j, EVP_PKEY *key,
                                   struct stamp_error *err)
{
    uint8_t buf[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_journal_entry e;
    enum stamp_err rc = STAMP_OK;

    for (uint32_t seq = 1; seq <= j->head.seq && rc == STAMP_OK; seq++) {
        rc = stamp_journal_entry(j, seq, buf, &e, err);
        if (rc == STAMP_OK && e.kind == STAMP_JOURNAL_CHECKPOINT &&
            (e.data.len != 64 ||
             stamp_sig_check(key, STAMP_LABEL_JOURNAL, e.previous, sizeof e.previous,
                             e.data.p, NULL) != STAMP_OK)) {
            rc =
                stamp_error_set(err, STAMP_E_AUTH, 0,
                                "checkpoint %u of the journal '%s' is not signed by this "
                                "station's journal key",
                                seq, j->path);
        }
    }
    return rc;
}

enum stamp_err stamp_journal_last_order(struct stamp_journal *j, uint8_t order[16],
                                        uint32_t *count, struct stamp_error *err)
{
    uint8_t buf[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_journal_entry e;
    enum stamp_err rc = STAMP_OK;

    for (uint32_t seq = j->head.seq; seq > 0 && rc == STAMP_OK; seq--) {
        rc = stamp_journal_entry(j, seq, buf, &e, err);
        if (rc == STAMP_OK && e.kind == STAMP_JOURNAL_ORDER && e.data.len == 36) {
            const uint8_t *n = e.data.p + 32;

            memcpy(order, e.order, 16);
            *count =
                (uint32_t)n[0] << 24 | (uint32_t)n[1] << 16 | (uint32_t)n[2] << 8 | n[3];
            return STAMP_OK;
        }
    }
    return rc != STAMP_OK ? rc
                          : stamp_error_set(err, STAMP_E_MISSING, 0,
                                            "the journal '%s' has no order yet", j->path);
}

const struct stamp_journal_unit *stamp_journal_unit(const struct stamp_journal *j,
                                                    uint32_t index)
{
    return index < j->count ? &j->unit[index] : NULL;
}

const struct stamp_journal_unit *stamp_journal_unit_of(const struct stamp_journal *j,
                                                       struct stamp_slice chip)
{
    for (uint32_t i = j->begun; i-- > 0;) {
        const struct stamp_journal_unit *u = &j->unit[i];

        if (u->last != 0 && u->last != STAMP_JOURNAL_REWORK && u->chip_len == chip.len &&
            memcmp(u->chip, chip.p, chip.len) == 0) {
            return u;
        }
    }
    return NULL;
}

uint32_t stamp_journal_begun(const struct stamp_journal *j)
{
    return j->begun;
}

const struct stamp_journal_head *stamp_journal_head(const struct stamp_journal *j)
{
    return &j->head;
}

void stamp_journal_status(const struct stamp_journal *j, uint64_t now,
                          struct stamp_journal_status *s)
{
    *s = (struct stamp_journal_status){.count = j->count,
                                       .remaining = j->count - j->begun};
    for (uint32_t i = 0; i < j->begun; i++) {
        const struct stamp_journal_unit *u = &j->unit[i];

        if (u->failed) {
            s->failed++;
        } else if (u->last == STAMP_JOURNAL_DONE) {
            s->done++;
            s->per_hour += u->at + HOUR > now;
            s->shift += u->at + SHIFT > now;
        } else if (u->last == STAMP_JOURNAL_SCRAPPED || u->last == STAMP_JOURNAL_REWORK) {
            s->scrapped++;
        } else {
            s->doubt++;
        }
    }
}
