#include "host/journal_store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TABLES                                                                           \
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;" \
    "BEGIN IMMEDIATE;"                                                                   \
    "CREATE TABLE IF NOT EXISTS entry (station BLOB NOT NULL, seq INTEGER NOT NULL,"     \
    "  hash BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (station, seq, hash))"        \
    "  STRICT, WITHOUT ROWID;"                                                           \
    "CREATE TABLE IF NOT EXISTS head (station BLOB PRIMARY KEY, seq INTEGER NOT NULL,"   \
    "  hash BLOB NOT NULL) STRICT, WITHOUT ROWID;"                                       \
    "CREATE TABLE IF NOT EXISTS device (certificate BLOB PRIMARY KEY, chip BLOB NOT "    \
    "NULL,"                                                                              \
    "  lock INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"               \
    "COMMIT"

enum { BUSY_MS = 60000 };

struct stamp_journal_store {
    sqlite3 *db;
    char *path;
};

static enum stamp_err failed(struct stamp_journal_store *s, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_DATABASE, sqlite3_extended_errcode(s->db),
                           "the journals in '%s' failed: %s", s->path,
                           sqlite3_errmsg(s->db));
}

enum stamp_err stamp_journal_store_open(const char *path,
                                        struct stamp_journal_store **out,
                                        struct stamp_error *err)
{
    struct stamp_journal_store *s = calloc(1, sizeof *s);
    enum stamp_err rc = STAMP_OK;
    mode_t mask;

    *out = NULL;
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        free(s);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    mask = umask(077);
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
            SQLITE_OK ||
        sqlite3_busy_timeout(s->db, BUSY_MS) != SQLITE_OK ||
        sqlite3_exec(s->db, TABLES, NULL, NULL, NULL) != SQLITE_OK) {
        rc = failed(s, err);
        stamp_journal_store_close(&s);
    }
    (void)umask(mask);
    *out = s;
    return rc;
}

void stamp_journal_store_close(struct stamp_journal_store **p)
{
    if (*p != NULL) {
        (void)sqlite3_close((*p)->db);
        free((*p)->path);
        free(*p);
    }
    *p = NULL;
}

/* ---- taking in ---- */

static sqlite3_stmt *prepare(struct stamp_journal_store *s, const char *sql)
{
    sqlite3_stmt *st = NULL;

    return sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK ? st : NULL;
}

static bool bind(sqlite3_stmt *st, int i, const void *p, size_t len)
{
    return sqlite3_bind_blob(st, i, p, (int)len, SQLITE_STATIC) == SQLITE_OK;
}

static enum stamp_err put_entry(struct stamp_journal_store *s, sqlite3_stmt *find,
                                sqlite3_stmt *add, const uint8_t station[32],
                                struct stamp_slice body,
                                struct stamp_journal_stored *counts,
                                struct stamp_error *err)
{
    struct stamp_journal_entry e;
    uint8_t hash[STAMP_JOURNAL_HASH];
    bool other = false;
    bool same = false;
    enum stamp_err rc = stamp_journal_entry_decode(body, &e, err);

    if (rc == STAMP_OK) {
        rc = stamp_journal_entry_hash(body, hash, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    (void)sqlite3_reset(find);
    if (!bind(find, 1, station, 32) || sqlite3_bind_int64(find, 2, e.seq) != SQLITE_OK) {
        return failed(s, err);
    }
    while (sqlite3_step(find) == SQLITE_ROW) {
        bool is = sqlite3_column_bytes(find, 0) == (int)sizeof hash &&
                  memcmp(sqlite3_column_blob(find, 0), hash, sizeof hash) == 0;

        same |= is;
        other |= !is;
    }
    if (same) {
        counts->known++;
        return STAMP_OK;
    }
    (void)sqlite3_reset(add);
    if (!bind(add, 1, station, 32) || sqlite3_bind_int64(add, 2, e.seq) != SQLITE_OK ||
        !bind(add, 3, hash, sizeof hash) || !bind(add, 4, body.p, body.len) ||
        sqlite3_step(add) != SQLITE_DONE) {
        return failed(s, err);
    }
    counts->forks += other;
    counts->added += !other;
    return STAMP_OK;
}

static enum stamp_err put_head(struct stamp_journal_store *s,
                               const struct stamp_journal_part *part,
                               struct stamp_error *err)
{
    sqlite3_stmt *st =
        prepare(s, "INSERT INTO head (station, seq, hash) VALUES (?, ?, ?) "
                   "ON CONFLICT (station) DO UPDATE SET seq = excluded.seq, "
                   "hash = excluded.hash WHERE excluded.seq > head.seq");
    bool ok = st != NULL && bind(st, 1, part->station, 32) &&
              sqlite3_bind_int64(st, 2, part->head) == SQLITE_OK &&
              bind(st, 3, part->head_hash, sizeof part->head_hash) &&
              sqlite3_step(st) == SQLITE_DONE;

    (void)sqlite3_finalize(st);
    return ok ? STAMP_OK : failed(s, err);
}

enum stamp_err stamp_journal_store_put(struct stamp_journal_store *s,
                                       const struct stamp_journal_part *part,
                                       struct stamp_journal_stored *counts,
                                       struct stamp_error *err)
{
    struct stamp_journal_stored sum = *counts;
    sqlite3_stmt *find;
    sqlite3_stmt *add;
    enum stamp_err rc = STAMP_OK;

    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        return failed(s, err);
    }
    find = prepare(s, "SELECT hash FROM entry WHERE station = ? AND seq = ?");
    add = prepare(s, "INSERT INTO entry (station, seq, hash, body) VALUES (?, ?, ?, ?)");
    if (find == NULL || add == NULL) {
        rc = failed(s, err);
    }
    for (size_t i = 0; i < part->n && rc == STAMP_OK; i++) {
        rc = put_entry(s, find, add, part->station, part->entry[i], &sum, err);
    }
    (void)sqlite3_finalize(find);
    (void)sqlite3_finalize(add);
    if (rc == STAMP_OK) {
        rc = put_head(s, part, err);
    }
    if (rc == STAMP_OK && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        rc = failed(s, err);
    }
    if (rc == STAMP_OK) {
        *counts = sum;
    } else {
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

/* ---- what is there ---- */

static enum stamp_err first_missing(struct stamp_journal_store *s,
                                    struct stamp_journal_have *have,
                                    struct stamp_error *err)
{
    sqlite3_stmt *st = prepare(s, "SELECT DISTINCT seq FROM entry WHERE station = ? "
                                  "ORDER BY seq");
    uint32_t want = 1;
    int code = SQLITE_ERROR;

    if (st != NULL && bind(st, 1, have->station, 32)) {
        while ((code = sqlite3_step(st)) == SQLITE_ROW &&
               sqlite3_column_int64(st, 0) == want) {
            want++;
        }
    }
    (void)sqlite3_finalize(st);
    have->missing = want <= have->head || want <= have->last ? want : 0;
    return code == SQLITE_ROW || code == SQLITE_DONE ? STAMP_OK : failed(s, err);
}

enum stamp_err stamp_journal_store_list(struct stamp_journal_store *s,
                                        struct stamp_journal_have *have, size_t *n,
                                        struct stamp_error *err)
{
    sqlite3_stmt *st =
        prepare(s, "SELECT h.station, count(DISTINCT e.seq), coalesce(max(e.seq), 0), "
                   "h.seq, count(e.seq) - count(DISTINCT e.seq) FROM head h LEFT JOIN "
                   "entry e ON e.station = h.station GROUP BY h.station");
    size_t room = *n;
    int code = SQLITE_ERROR;
    enum stamp_err rc = STAMP_OK;

    *n = 0;
    while (st != NULL && *n < room && (code = sqlite3_step(st)) == SQLITE_ROW) {
        struct stamp_journal_have *h = &have[(*n)++];

        memset(h, 0, sizeof *h);
        if (sqlite3_column_bytes(st, 0) == 32) {
            memcpy(h->station, sqlite3_column_blob(st, 0), 32);
        }
        h->entries = (uint32_t)sqlite3_column_int64(st, 1);
        h->last = (uint32_t)sqlite3_column_int64(st, 2);
        h->head = (uint32_t)sqlite3_column_int64(st, 3);
        h->forks = (uint32_t)sqlite3_column_int64(st, 4);
    }
    (void)sqlite3_finalize(st);
    if (code != SQLITE_DONE && code != SQLITE_ROW) {
        return failed(s, err);
    }
    for (size_t i = 0; i < *n && rc == STAMP_OK; i++) {
        rc = first_missing(s, &have[i], err);
    }
    return rc;
}

enum stamp_err stamp_journal_store_each(struct stamp_journal_store *s,
                                        const uint8_t station[32], uint32_t from,
                                        stamp_journal_each each, void *ctx,
                                        struct stamp_error *err)
{
    sqlite3_stmt *st = prepare(s, "SELECT body FROM entry WHERE station = ? AND seq >= ? "
                                  "ORDER BY seq, hash");
    int code = SQLITE_ERROR;
    enum stamp_err rc = STAMP_OK;

    if (st != NULL && bind(st, 1, station, 32) &&
        sqlite3_bind_int64(st, 2, from) == SQLITE_OK) {
        while (rc == STAMP_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
            struct stamp_slice body = {sqlite3_column_blob(st, 0),
                                       (size_t)sqlite3_column_bytes(st, 0)};
            struct stamp_journal_entry e;

            rc = stamp_journal_entry_decode(body, &e, err);
            if (rc == STAMP_OK) {
                rc = each(ctx, body, &e, err);
            }
        }
    }
    (void)sqlite3_finalize(st);
    return rc != STAMP_OK || code == SQLITE_DONE ? rc : failed(s, err);
}

/* ---- devices that came back ---- */

enum stamp_err stamp_journal_store_device(struct stamp_journal_store *s,
                                          const struct stamp_journal_device *device,
                                          struct stamp_error *err)
{
    sqlite3_stmt *st =
        prepare(s, "INSERT INTO device (certificate, chip, lock, at) VALUES (?, ?, ?, ?) "
                   "ON CONFLICT (certificate) DO UPDATE SET chip = excluded.chip, "
                   "lock = excluded.lock, at = excluded.at");
    bool ok = st != NULL && bind(st, 1, device->certificate, device->certificate_len) &&
              sqlite3_bind_blob(st, 2, device->chip, (int)device->chip_len,
                                SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_int64(st, 3, device->lock) == SQLITE_OK &&
              sqlite3_bind_int64(st, 4, (int64_t)device->at) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_DONE;

    (void)sqlite3_finalize(st);
    return ok ? STAMP_OK : failed(s, err);
}

static bool take_blob(sqlite3_stmt *st, int column, uint8_t *out, size_t size,
                      size_t *len)
{
    *len = (size_t)sqlite3_column_bytes(st, column);
    if (*len > size) {
        return false;
    }
    if (*len > 0) {
        memcpy(out, sqlite3_column_blob(st, column), *len);
    }
    return true;
}

enum stamp_err stamp_journal_store_devices(struct stamp_journal_store *s,
                                           stamp_journal_device_each each, void *ctx,
                                           struct stamp_error *err)
{
    sqlite3_stmt *st =
        prepare(s, "SELECT certificate, chip, lock, at FROM device ORDER BY at");
    struct stamp_journal_device d;
    int code = SQLITE_ERROR;
    enum stamp_err rc = STAMP_OK;

    while (st != NULL && rc == STAMP_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        if (!take_blob(st, 0, d.certificate, sizeof d.certificate, &d.certificate_len) ||
            !take_blob(st, 1, d.chip, sizeof d.chip, &d.chip_len)) {
            rc = stamp_error_set(err, STAMP_E_CORRUPT, 0,
                                 "the journals in '%s' hold a device that is too long",
                                 s->path);
            break;
        }
        d.lock = (uint8_t)sqlite3_column_int64(st, 2);
        d.at = (uint64_t)sqlite3_column_int64(st, 3);
        rc = each(ctx, &d, err);
    }
    (void)sqlite3_finalize(st);
    return rc != STAMP_OK || code == SQLITE_DONE ? rc : failed(s, err);
}
