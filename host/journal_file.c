/* The file that headquarters' copies of journals were in before the books had them. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/registry_journal.h"

struct old {
    sqlite3 *db;
    const char *path;
    struct stamp_registry *r;
};

static enum stamp_err failed(const struct old *o, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_DATABASE, sqlite3_extended_errcode(o->db),
                           "the journals in '%s' failed: %s", o->path,
                           sqlite3_errmsg(o->db));
}

static sqlite3_stmt *prepare(const struct old *o, const char *sql)
{
    sqlite3_stmt *st = NULL;

    return sqlite3_prepare_v2(o->db, sql, -1, &st, NULL) == SQLITE_OK ? st : NULL;
}

static bool column(sqlite3_stmt *st, int i, void *out, size_t size)
{
    bool fits = sqlite3_column_bytes(st, i) == (int)size;

    if (fits) {
        memcpy(out, sqlite3_column_blob(st, i), size);
    }
    return fits;
}

/* All of one station, entry by entry. */
static enum stamp_err take_station(const struct old *o, struct stamp_journal_part *part,
                                   struct stamp_error *err)
{
    sqlite3_stmt *st =
        prepare(o, "SELECT body FROM entry WHERE station = ? ORDER BY seq, hash");
    struct stamp_journal_stored counts = {.added = 0};
    int code = SQLITE_ERROR;
    enum stamp_err rc = STAMP_OK;

    if (st != NULL && sqlite3_bind_blob(st, 1, part->station, sizeof part->station,
                                        SQLITE_STATIC) == SQLITE_OK) {
        part->n = 1;
        while (rc == STAMP_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
            part->entry[0] = (struct stamp_slice){sqlite3_column_blob(st, 0),
                                                  (size_t)sqlite3_column_bytes(st, 0)};
            rc = stamp_registry_journal_put(o->r, part, &counts, err);
        }
    }
    (void)sqlite3_finalize(st);
    return rc != STAMP_OK || code == SQLITE_DONE ? rc : failed(o, err);
}

static enum stamp_err take_stations(const struct old *o, struct stamp_error *err)
{
    static struct stamp_journal_part part;
    sqlite3_stmt *st = prepare(o, "SELECT station, seq, hash FROM head");
    int code = SQLITE_ERROR;
    enum stamp_err rc = STAMP_OK;

    while (st != NULL && rc == STAMP_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        part.head = (uint32_t)sqlite3_column_int64(st, 1);
        rc = column(st, 0, part.station, sizeof part.station) &&
                     column(st, 2, part.head_hash, sizeof part.head_hash)
                 ? take_station(o, &part, err)
                 : stamp_error_set(err, STAMP_E_CORRUPT, 0,
                                   "the journals in '%s' hold a head that is none",
                                   o->path);
    }
    (void)sqlite3_finalize(st);
    return rc != STAMP_OK || code == SQLITE_DONE ? rc : failed(o, err);
}

static bool take_blob(sqlite3_stmt *st, int i, uint8_t *out, size_t size, size_t *len)
{
    *len = (size_t)sqlite3_column_bytes(st, i);
    if (*len > 0 && *len <= size) {
        memcpy(out, sqlite3_column_blob(st, i), *len);
    }
    return *len <= size;
}

static enum stamp_err take_devices(const struct old *o, struct stamp_error *err)
{
    sqlite3_stmt *st = prepare(o, "SELECT certificate, chip, lock, at FROM device");
    struct stamp_journal_device d;
    int code = SQLITE_ERROR;
    enum stamp_err rc = STAMP_OK;

    while (st != NULL && rc == STAMP_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        d.lock = (uint8_t)sqlite3_column_int64(st, 2);
        d.at = (uint64_t)sqlite3_column_int64(st, 3);
        rc = take_blob(st, 0, d.certificate, sizeof d.certificate, &d.certificate_len) &&
                     take_blob(st, 1, d.chip, sizeof d.chip, &d.chip_len)
                 ? stamp_registry_journal_device(o->r, &d, err)
                 : stamp_error_set(err, STAMP_E_CORRUPT, 0,
                                   "the journals in '%s' hold a device that is too long",
                                   o->path);
    }
    (void)sqlite3_finalize(st);
    return rc != STAMP_OK || code == SQLITE_DONE ? rc : failed(o, err);
}

/* Taken in twice is taken in once: it may have been cut short before. */
enum stamp_err stamp_registry_journal_take_over(struct stamp_registry *r,
                                                const char *path, struct stamp_error *err)
{
    struct old o = {.path = path, .r = r};
    char *taken = NULL;
    enum stamp_err rc = STAMP_OK;

    if (access(path, F_OK) != 0) {
        return STAMP_OK;
    }
    if (sqlite3_open_v2(path, &o.db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        rc = failed(&o, err);
    }
    if (rc == STAMP_OK) {
        rc = take_stations(&o, err);
    }
    if (rc == STAMP_OK) {
        rc = take_devices(&o, err);
    }
    (void)sqlite3_close(o.db); /* its WAL goes into the file */
    if (rc == STAMP_OK &&
        (asprintf(&taken, "%s.taken", path) < 0 || rename(path, taken) != 0)) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot rename '%s': %s", path,
                             strerror(errno));
    }
    free(taken);
    return rc;
}
