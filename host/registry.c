#include "host/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/rand.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long one program waits for the others' transactions. */
#define BUSY_MS 60000
#define PREFIX_LEN 12u

struct stamp_registry {
    sqlite3 *db;
    uint8_t purpose;
};

/* Append-only: what has run on somebody's books is never changed. */
static const char *const migration[] = {
    "CREATE TABLE workspace ("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  purpose INTEGER NOT NULL CHECK (purpose IN (0, 1)),"
    "  made_at INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE counter ("
    "  name TEXT PRIMARY KEY,"
    "  next INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE block ("
    "  prefix BLOB PRIMARY KEY CHECK (length(prefix) = 12),"
    "  size INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE stamp ("
    "  serial TEXT PRIMARY KEY,"
    "  state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),"
    "  reserved_at INTEGER NOT NULL,"
    "  certificate_serial BLOB NOT NULL UNIQUE,"
    "  file TEXT"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE device_key ("
    "  fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),"
    "  serial TEXT NOT NULL UNIQUE REFERENCES stamp (serial)"
    ") STRICT, WITHOUT ROWID;",
};
#define MIGRATIONS ((int)(sizeof migration / sizeof *migration))

static enum stamp_err failed(struct stamp_registry *r, const char *verb,
                             struct stamp_error *err)
{
    int code = sqlite3_extended_errcode(r->db);

    if ((code & 0xFF) == SQLITE_BUSY) {
        (void)stamp_error_set(err, STAMP_E_BUSY, code,
                              "cannot %s the registry: another program holds it", verb);
        stamp_error_hint(err, "run the command again");
        return STAMP_E_BUSY;
    }
    return stamp_error_set(err, STAMP_E_DATABASE, code, "cannot %s the registry: %s",
                           verb, sqlite3_errmsg(r->db));
}

static enum stamp_err run(struct stamp_registry *r, const char *sql, const char *verb,
                          struct stamp_error *err)
{
    return sqlite3_exec(r->db, sql, NULL, NULL, NULL) == SQLITE_OK ? STAMP_OK
                                                                   : failed(r, verb, err);
}

static void finalize(sqlite3_stmt **s)
{
    (void)sqlite3_finalize(*s);
    *s = NULL;
}
#define STATEMENT_AUTO __attribute__((cleanup(finalize))) sqlite3_stmt

static enum stamp_err prepare(struct stamp_registry *r, const char *sql,
                              sqlite3_stmt **out, struct stamp_error *err)
{
    return sqlite3_prepare_v2(r->db, sql, -1, out, NULL) == SQLITE_OK
               ? STAMP_OK
               : failed(r, "read", err);
}

/* One number from a statement without parameters; `missing` where there is no row. */
static enum stamp_err number(struct stamp_registry *r, const char *sql, int64_t missing,
                             int64_t *out, struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    enum stamp_err rc = prepare(r, sql, &s, err);
    int step;

    *out = missing;
    if (rc != STAMP_OK) {
        return rc;
    }
    step = sqlite3_step(s);
    if (step == SQLITE_ROW) {
        *out = sqlite3_column_int64(s, 0);
    }
    return step == SQLITE_ROW || step == SQLITE_DONE ? STAMP_OK : failed(r, "read", err);
}

static enum stamp_err begin(struct stamp_registry *r, struct stamp_error *err)
{
    return run(r, "BEGIN IMMEDIATE", "write", err);
}

/* End a transaction that went well so far, or not. */
static enum stamp_err finish(struct stamp_registry *r, enum stamp_err rc,
                             struct stamp_error *err)
{
    if (rc == STAMP_OK) {
        rc = run(r, "COMMIT", "write", err);
    }
    if (rc != STAMP_OK) {
        (void)sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

static enum stamp_err migrate(struct stamp_registry *r, struct stamp_error *err)
{
    char pragma[64];
    int64_t version;
    enum stamp_err rc = number(r, "PRAGMA user_version", 0, &version, err);

    if (rc != STAMP_OK || version == MIGRATIONS) {
        return rc; /* the usual case takes no lock */
    }
    rc = begin(r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = number(r, "PRAGMA user_version", 0, &version, err);
    if (rc == STAMP_OK && version > MIGRATIONS) {
        rc = stamp_error_set(err, STAMP_E_VERSION, 0,
                             "the registry is of a newer devstamp");
        stamp_error_hint(err, "use a newer devstamp");
    }
    for (int64_t i = version; rc == STAMP_OK && i < MIGRATIONS; i++) {
        rc = run(r, migration[i], "update", err);
    }
    if (rc == STAMP_OK && version < MIGRATIONS) {
        (void)sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version = %d",
                               MIGRATIONS);
        rc = run(r, pragma, "update", err);
    }
    return finish(r, rc, err);
}

static enum stamp_err open_db(const char *path, struct stamp_registry **out,
                              struct stamp_error *err)
{
    struct stamp_registry *r = calloc(1, sizeof *r);
    enum stamp_err rc;

    *out = r;
    if (r == NULL) {
        (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        return STAMP_E_NOMEM;
    }
    if (sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        return failed(r, "open", err);
    }
    (void)sqlite3_extended_result_codes(r->db, 1);
    (void)sqlite3_busy_timeout(r->db, BUSY_MS);
    rc = run(r, "PRAGMA journal_mode = WAL", "open", err);
    if (rc == STAMP_OK) {
        rc = run(r, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", "open", err);
    }
    return rc == STAMP_OK ? migrate(r, err) : rc;
}

/* SQLite's own files too: it leaves them where closing did not go well. */
static void remove_all(const char *path)
{
    static const char *const suffix[] = {"", "-wal", "-shm"};

    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        char name[PATH_MAX];

        (void)snprintf(name, sizeof name, "%s%s", path, suffix[i]);
        (void)unlink(name);
    }
}

enum stamp_err stamp_registry_create(const char *path, uint8_t purpose,
                                     struct stamp_error *err)
{
    struct stamp_registry *r = NULL;
    sqlite3_stmt *s = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum stamp_err rc;

    if (fd < 0) {
        return stamp_error_set(err, errno == EEXIST ? STAMP_E_EXISTS : STAMP_E_IO, errno,
                               "cannot make '%s': %s", path, strerror(errno));
    }
    (void)close(fd);
    rc = open_db(path, &r, err);
    if (rc == STAMP_OK) {
        rc = prepare(r, "INSERT INTO workspace VALUES (1, ?, unixepoch())", &s, err);
    }
    if (rc == STAMP_OK && (sqlite3_bind_int(s, 1, purpose) != SQLITE_OK ||
                           sqlite3_step(s) != SQLITE_DONE)) {
        rc = failed(r, "write", err);
    }
    finalize(&s);
    stamp_registry_close(&r);
    if (rc != STAMP_OK) {
        remove_all(path);
    }
    return rc;
}

enum stamp_err stamp_registry_open(const char *path, struct stamp_registry **out,
                                   struct stamp_error *err)
{
    int64_t purpose = -1;
    enum stamp_err rc;

    if (access(path, R_OK | W_OK) != 0) {
        *out = NULL;
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot open '%s': %s", path,
                               strerror(errno));
    }
    rc = open_db(path, out, err);
    if (rc == STAMP_OK) {
        rc = number(*out, "SELECT purpose FROM workspace", -1, &purpose, err);
    }
    if (rc == STAMP_OK && purpose < 0) {
        rc = stamp_error_set(err, STAMP_E_DATABASE, 0, "'%s' is no registry", path);
    }
    if (rc != STAMP_OK) {
        stamp_registry_close(out);
        return rc;
    }
    (*out)->purpose = (uint8_t)purpose;
    return STAMP_OK;
}

void stamp_registry_close(struct stamp_registry **p)
{
    if (*p != NULL) {
        (void)sqlite3_close((*p)->db);
        free(*p);
    }
    *p = NULL;
}

uint8_t stamp_registry_purpose(const struct stamp_registry *r)
{
    return r->purpose;
}

/* A prefix that no other block has: certificate serials are unique by construction, and
 * in ascending order, which keeps their index fast. */
static enum stamp_err new_block(struct stamp_registry *r, size_t size,
                                uint8_t prefix[PREFIX_LEN], struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    enum stamp_err rc = prepare(r, "INSERT INTO block VALUES (?, ?)", &s, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (RAND_bytes(prefix, (int)PREFIX_LEN) != 1) {
        return stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    prefix[0] = (uint8_t)((prefix[0] & 0x3Fu) | 0x40u); /* positive, of one length */
    if (sqlite3_bind_blob(s, 1, prefix, (int)PREFIX_LEN, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(s, 2, (sqlite3_int64)size) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_DONE) {
        return failed(r, "write", err);
    }
    return STAMP_OK;
}

static void fill_row(struct stamp_registry_row *row, const uint8_t *prefix, size_t i,
                     time_t now)
{
    memset(row, 0, sizeof *row);
    row->at = now;
    memcpy(row->certificate_serial, prefix, PREFIX_LEN);
    for (unsigned b = 0; b < 4; b++) {
        row->certificate_serial[PREFIX_LEN + b] = (uint8_t)(i >> (24u - 8u * b));
    }
}

/* SQLITE_DONE, or SQLITE_CONSTRAINT where the serial is there already. */
static int insert_row(sqlite3_stmt *s, const struct stamp_registry_row *row)
{
    int step;

    if (sqlite3_bind_text(s, 1, row->serial, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(s, 2, (sqlite3_int64)row->at) != SQLITE_OK ||
        sqlite3_bind_blob(s, 3, row->certificate_serial,
                          (int)sizeof row->certificate_serial,
                          SQLITE_STATIC) != SQLITE_OK) {
        return SQLITE_ERROR;
    }
    step = sqlite3_step(s);
    (void)sqlite3_reset(s);
    return step & 0xFF;
}

#define INSERT_STAMP "INSERT INTO stamp VALUES (?, 0, ?, ?, NULL)"

static enum stamp_err reserve_all(struct stamp_registry *r,
                                  const struct stamp_serial_pattern *pattern, time_t now,
                                  struct stamp_registry_row *rows, size_t n,
                                  int64_t *next, struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    uint8_t prefix[PREFIX_LEN];
    enum stamp_err rc = prepare(r, INSERT_STAMP, &s, err);

    if (rc == STAMP_OK) {
        rc = new_block(r, n, prefix, err);
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        int step;

        fill_row(&rows[i], prefix, i, now);
        do { /* again where somebody gave this very serial by hand */
            rc = stamp_serial_format(pattern, (uint64_t)*next, now, rows[i].serial,
                                     sizeof rows[i].serial, err);
            *next += 1;
            step = rc == STAMP_OK ? insert_row(s, &rows[i]) : SQLITE_DONE;
        } while (step == SQLITE_CONSTRAINT);
        if (step != SQLITE_DONE) {
            rc = failed(r, "write", err);
        }
    }
    return rc;
}

static enum stamp_err set_counter(struct stamp_registry *r, int64_t next,
                                  struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    enum stamp_err rc = prepare(r,
                                "INSERT INTO counter VALUES ('serial', ?1) "
                                "ON CONFLICT (name) DO UPDATE SET next = ?1",
                                &s, err);

    if (rc == STAMP_OK &&
        (sqlite3_bind_int64(s, 1, next) != SQLITE_OK || sqlite3_step(s) != SQLITE_DONE)) {
        rc = failed(r, "write", err);
    }
    return rc;
}

enum stamp_err stamp_registry_reserve(struct stamp_registry *r,
                                      const struct stamp_serial_pattern *pattern,
                                      time_t now, struct stamp_registry_row *rows,
                                      size_t n, struct stamp_error *err)
{
    int64_t next = 1;
    enum stamp_err rc;

    if (n == 0 || n > UINT32_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "cannot reserve %zu serials", n);
    }
    rc = begin(r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = number(r, "SELECT next FROM counter WHERE name = 'serial'", 1, &next, err);
    if (rc == STAMP_OK) {
        rc = reserve_all(r, pattern, now, rows, n, &next, err);
    }
    if (rc == STAMP_OK) {
        rc = set_counter(r, next, err);
    }
    return finish(r, rc, err);
}

enum stamp_err stamp_registry_reserve_serial(struct stamp_registry *r, const char *serial,
                                             time_t now, struct stamp_registry_row *row,
                                             struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    uint8_t prefix[PREFIX_LEN];
    enum stamp_err rc = stamp_serial_check(serial, err);

    if (rc == STAMP_OK) {
        rc = begin(r, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = prepare(r, INSERT_STAMP, &s, err);
    if (rc == STAMP_OK) {
        rc = new_block(r, 1, prefix, err);
    }
    if (rc == STAMP_OK) {
        int step;

        fill_row(row, prefix, 0, now);
        memcpy(row->serial, serial, strlen(serial) + 1);
        step = insert_row(s, row);
        if (step == SQLITE_CONSTRAINT) {
            rc = stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                                 "serial '%s' is on the books already", serial);
        } else if (step != SQLITE_DONE) {
            rc = failed(r, "write", err);
        }
    }
    finalize(&s);
    return finish(r, rc, err);
}

struct by_key {
    const struct stamp_registry_row *row;
};

static int by_fingerprint(const void *a, const void *b)
{
    const struct by_key *x = a;
    const struct by_key *y = b;

    return memcmp(x->row->fingerprint, y->row->fingerprint, sizeof x->row->fingerprint);
}

/* In the order of their index: random inserts into a large one are slow. */
static enum stamp_err add_keys(struct stamp_registry *r,
                               const struct stamp_registry_row *rows, size_t n,
                               struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    struct by_key *sorted = calloc(n, sizeof *sorted);
    enum stamp_err rc = prepare(r, "INSERT INTO device_key VALUES (?, ?)", &s, err);

    if (sorted == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        sorted[i].row = &rows[i];
    }
    qsort(sorted, n, sizeof *sorted, by_fingerprint);
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        int step = SQLITE_ERROR;

        if (sqlite3_bind_blob(s, 1, sorted[i].row->fingerprint,
                              (int)sizeof sorted[i].row->fingerprint,
                              SQLITE_STATIC) == SQLITE_OK &&
            sqlite3_bind_text(s, 2, sorted[i].row->serial, -1, SQLITE_STATIC) ==
                SQLITE_OK) {
            step = sqlite3_step(s) & 0xFF;
        }
        (void)sqlite3_reset(s);
        if (step == SQLITE_CONSTRAINT) {
            rc = stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                                 "the key of '%s' is on the books already",
                                 sorted[i].row->serial);
        } else if (step != SQLITE_DONE) {
            rc = failed(r, "write", err);
        }
    }
    free(sorted);
    return rc;
}

/* From reserved to `state`; each row must be there. */
static enum stamp_err set_states(struct stamp_registry *r,
                                 const struct stamp_registry_row *rows, size_t n,
                                 enum stamp_registry_state state, struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    enum stamp_err rc = prepare(r,
                                "UPDATE stamp SET state = ?, file = ? "
                                "WHERE serial = ? AND state = 0",
                                &s, err);

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        bool made = state == STAMP_REGISTRY_MADE;
        int step = SQLITE_ERROR;

        if (sqlite3_bind_int(s, 1, (int)state) == SQLITE_OK &&
            sqlite3_bind_text(s, 2, made ? rows[i].file : NULL, -1, SQLITE_STATIC) ==
                SQLITE_OK &&
            sqlite3_bind_text(s, 3, rows[i].serial, -1, SQLITE_STATIC) == SQLITE_OK) {
            step = sqlite3_step(s);
        }
        (void)sqlite3_reset(s);
        if (step != SQLITE_DONE) {
            rc = failed(r, "write", err);
        } else if (sqlite3_changes(r->db) != 1) {
            rc = stamp_error_set(err, STAMP_E_DATABASE, 0, "serial '%s' is not reserved",
                                 rows[i].serial);
        }
    }
    return rc;
}

enum stamp_err stamp_registry_made(struct stamp_registry *r,
                                   const struct stamp_registry_row *rows, size_t n,
                                   struct stamp_error *err)
{
    enum stamp_err rc = begin(r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = set_states(r, rows, n, STAMP_REGISTRY_MADE, err);
    if (rc == STAMP_OK) {
        rc = add_keys(r, rows, n, err);
    }
    return finish(r, rc, err);
}

enum stamp_err stamp_registry_void(struct stamp_registry *r,
                                   const struct stamp_registry_row *rows, size_t n,
                                   struct stamp_error *err)
{
    enum stamp_err rc = begin(r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    return finish(r, set_states(r, rows, n, STAMP_REGISTRY_VOID, err), err);
}

static enum stamp_err take_row(sqlite3_stmt *s, struct stamp_registry_row *row,
                               struct stamp_error *err)
{
    const char *file = (const char *)sqlite3_column_text(s, 3);
    int len = sqlite3_column_bytes(s, 2);

    row->state = (enum stamp_registry_state)sqlite3_column_int(s, 0);
    row->at = (time_t)sqlite3_column_int64(s, 1);
    if (len == (int)sizeof row->certificate_serial) {
        memcpy(row->certificate_serial, sqlite3_column_blob(s, 2),
               sizeof row->certificate_serial);
    }
    if (sqlite3_column_bytes(s, 4) == (int)sizeof row->fingerprint) {
        memcpy(row->fingerprint, sqlite3_column_blob(s, 4), sizeof row->fingerprint);
    }
    if (file != NULL) {
        row->file = strdup(file);
        if (row->file == NULL) {
            return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
    }
    return STAMP_OK;
}

enum stamp_err stamp_registry_find(struct stamp_registry *r, const char *serial,
                                   struct stamp_registry_row *row,
                                   struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    int step;
    enum stamp_err rc =
        prepare(r,
                "SELECT state, reserved_at, certificate_serial, file, fingerprint "
                "FROM stamp LEFT JOIN device_key USING (serial) WHERE serial = ?",
                &s, err);

    memset(row, 0, sizeof *row);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (strlen(serial) >= sizeof row->serial ||
        sqlite3_bind_text(s, 1, serial, -1, SQLITE_STATIC) != SQLITE_OK) {
        step = SQLITE_DONE;
    } else {
        step = sqlite3_step(s);
    }
    if (step == SQLITE_ROW) {
        memcpy(row->serial, serial, strlen(serial) + 1);
        return take_row(s, row, err);
    }
    return step == SQLITE_DONE
               ? stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "serial '%s' is not on the books", serial)
               : failed(r, "read", err);
}

void stamp_registry_row_fini(struct stamp_registry_row *row)
{
    free(row->file);
    memset(row, 0, sizeof *row);
}

enum stamp_err stamp_registry_count(struct stamp_registry *r,
                                    enum stamp_registry_state state, uint64_t *count,
                                    struct stamp_error *err)
{
    STATEMENT_AUTO *s = NULL;
    enum stamp_err rc = prepare(r, "SELECT count(*) FROM stamp WHERE state = ?", &s, err);

    *count = 0;
    if (rc != STAMP_OK) {
        return rc;
    }
    if (sqlite3_bind_int(s, 1, (int)state) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW) {
        return failed(r, "read", err);
    }
    *count = (uint64_t)sqlite3_column_int64(s, 0);
    return STAMP_OK;
}
