/*
 * The registry's database as an SQLite file. A transaction that writes waits for others
 * up to a minute and then has the file for itself; readers wait for nobody (WAL).
 */
#include "host/registry_db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long one program waits for the others' transactions. */
#define BUSY_MS 60000

/* Pages of 8 KiB: a batch takes no longer with them than with those of 16 KiB, and a
 * certificate issued or a device changed, which writes pages here and there, an eighth
 * less; with those of 4 KiB a batch takes a seventh longer, and a tenth more room. A
 * cache of 4 MiB does as well as one of 16: everything arrives in order. The log is
 * folded back at 64 MiB (8192 pages), so that a page which several runs change is written
 * back once. */
#define PAGE_SIZE "8192"
#define SETTINGS                                                                         \
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8192;"   \
    "PRAGMA wal_autocheckpoint = 8192; PRAGMA journal_size_limit = 67108864;"            \
    "PRAGMA trusted_schema = OFF"

struct sqlite_db {
    struct stampi_db head;
    sqlite3 *db;
    sqlite3_stmt *statement[STAMPI_SQL_COUNT];
    sqlite3_stmt *copy[STAMPI_COPY_COUNT];
    sqlite3_stmt *copying;
    sqlite3_stmt *begin, *commit;
};

static struct sqlite_db *own(struct stampi_db *db)
{
    return (struct sqlite_db *)db;
}

static enum stamp_err failed(struct sqlite_db *d, const char *verb,
                             struct stamp_error *err)
{
    int code = sqlite3_extended_errcode(d->db);

    switch (code & 0xFF) {
    case SQLITE_BUSY:
        (void)stamp_error_set(err, STAMP_E_BUSY, code,
                              "cannot %s the registry: another program holds it", verb);
        stamp_error_hint(err, "run the command again");
        return STAMP_E_BUSY;
    case SQLITE_CONSTRAINT:
        if (code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_UNIQUE ||
            code == SQLITE_CONSTRAINT_ROWID) {
            return stamp_error_set(err, STAMP_E_DUPLICATE, code,
                                   "it is on the books already: %s",
                                   sqlite3_errmsg(d->db));
        }
        break;
    case SQLITE_FULL:
        (void)stamp_error_set(err, STAMP_E_DATABASE, code,
                              "cannot %s the registry: the disk is full", verb);
        stamp_error_hint(err, "make room on the disk, then run the command again");
        return STAMP_E_DATABASE;
    default:
        break;
    }
    return stamp_error_set(err, STAMP_E_DATABASE, code, "cannot %s the registry: %s",
                           verb, sqlite3_errmsg(d->db));
}

static enum stamp_err execute(struct sqlite_db *d, const char *sql, const char *verb,
                              struct stamp_error *err)
{
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK ? STAMP_OK
                                                                   : failed(d, verb, err);
}

static void rollback(struct stampi_db *db)
{
    struct sqlite_db *d = own(db);

    if (sqlite3_get_autocommit(d->db) == 0) {
        (void)sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
    }
}

/* Both databases must see the same numbers of parameters: registry_sql.h. */
static void check_parameters(sqlite3_stmt *s)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(s); i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "$%d", i);
        if (sqlite3_bind_parameter_index(s, name) != i) {
            STAMP_BUG("the parameters of a statement are not in order");
        }
    }
}

static enum stamp_err prepare(struct sqlite_db *d, const char *text, sqlite3_stmt **s,
                              struct stamp_error *err)
{
    if (*s == NULL) {
        if (sqlite3_prepare_v3(d->db, text, -1, SQLITE_PREPARE_PERSISTENT, s, NULL) !=
            SQLITE_OK) {
            return failed(d, "read", err);
        }
        check_parameters(*s);
    }
    return STAMP_OK;
}

/* A statement without parameters and rows. */
static enum stamp_err perform(struct sqlite_db *d, const char *text, sqlite3_stmt **s,
                              struct stamp_error *err)
{
    enum stamp_err rc = prepare(d, text, s, err);

    if (rc == STAMP_OK && sqlite3_step(*s) != SQLITE_DONE) {
        rc = failed(d, "write", err);
    }
    (void)sqlite3_reset(*s);
    return rc;
}

static enum stamp_err begin(struct stampi_db *db, struct stamp_error *err)
{
    return perform(own(db), "BEGIN IMMEDIATE", &own(db)->begin, err);
}

static enum stamp_err commit(struct stampi_db *db, struct stamp_error *err)
{
    return perform(own(db), "COMMIT", &own(db)->commit, err);
}

static bool bind(sqlite3_stmt *s, const struct stampi_value *v, size_t n)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        int at = (int)i + 1;

        switch (v[i].type) {
        case STAMPI_INT:
            rc = sqlite3_bind_int64(s, at, v[i].number);
            break;
        case STAMPI_TEXT:
            rc = sqlite3_bind_text(s, at, v[i].p, (int)v[i].len, SQLITE_STATIC);
            break;
        case STAMPI_BLOB:
            rc = sqlite3_bind_blob(s, at, v[i].p, (int)v[i].len, SQLITE_STATIC);
            break;
        case STAMPI_NULL:
        default:
            rc = sqlite3_bind_null(s, at);
            break;
        }
    }
    return rc == SQLITE_OK;
}

static void take(sqlite3_stmt *s, struct stampi_value *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int at = (int)i;

        memset(&v[i], 0, sizeof v[i]);
        switch (sqlite3_column_type(s, at)) {
        case SQLITE_INTEGER:
            v[i] = stampi_int(sqlite3_column_int64(s, at));
            break;
        case SQLITE_TEXT:
            v[i].type = STAMPI_TEXT;
            v[i].p = sqlite3_column_text(s, at);
            v[i].len = (size_t)sqlite3_column_bytes(s, at);
            break;
        case SQLITE_BLOB:
            v[i].type = STAMPI_BLOB;
            v[i].p = sqlite3_column_blob(s, at);
            v[i].len = (size_t)sqlite3_column_bytes(s, at);
            break;
        default:
            break;
        }
    }
}

static enum stamp_err run(struct stampi_db *db, enum stampi_sql which,
                          const struct stampi_value *in, size_t n_in, stampi_row row,
                          void *ctx, int64_t *changed, struct stamp_error *err)
{
    struct sqlite_db *d = own(db);
    sqlite3_stmt **s = &d->statement[which];
    struct stampi_value out[STAMPI_COLUMNS_MAX];
    int step = SQLITE_ERROR;
    enum stamp_err rc = prepare(d, stampi_statements[which].text, s, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (bind(*s, in, n_in)) {
        step = sqlite3_step(*s);
    }
    while (step == SQLITE_ROW && rc == STAMP_OK) {
        size_t n = (size_t)sqlite3_column_count(*s);

        if (n > STAMPI_COLUMNS_MAX) {
            STAMP_BUG("a statement has too many columns");
        }
        take(*s, out, n);
        rc = row == NULL ? STAMP_OK : row(ctx, out, err);
        step = rc == STAMP_OK ? sqlite3_step(*s) : step;
    }
    if (rc == STAMP_OK && step != SQLITE_DONE) {
        rc = failed(d, sqlite3_stmt_readonly(*s) ? "read" : "write", err);
    }
    if (changed != NULL) {
        *changed = sqlite3_changes64(d->db);
    }
    (void)sqlite3_reset(*s);
    (void)sqlite3_clear_bindings(*s); /* what they point to may go away */
    return rc;
}

static enum stamp_err copy_begin(struct stampi_db *db, enum stampi_copy which,
                                 struct stamp_error *err)
{
    struct sqlite_db *d = own(db);
    const char *columns = stampi_copy_columns[which];
    char text[128];
    unsigned n = 1;
    int len;

    for (const char *p = columns; *p != '\0'; p++) {
        n += *p == ',';
    }
    len = snprintf(text, sizeof text, "INSERT INTO %s VALUES (", columns);
    for (unsigned i = 1; i <= n; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, "$%u%s", i,
                        i < n ? ", " : ")");
    }
    if ((size_t)len >= sizeof text) {
        STAMP_BUG("the columns of a copy are too many");
    }
    d->copying = NULL;
    enum stamp_err rc = prepare(d, text, &d->copy[which], err);

    d->copying = d->copy[which];
    return rc;
}

static enum stamp_err copy_row(struct stampi_db *db, const struct stampi_value *v,
                               size_t n, struct stamp_error *err)
{
    struct sqlite_db *d = own(db);
    enum stamp_err rc = STAMP_OK;

    if (!bind(d->copying, v, n) || sqlite3_step(d->copying) != SQLITE_DONE) {
        rc = failed(d, "write", err);
    }
    (void)sqlite3_reset(d->copying);
    return rc;
}

static enum stamp_err copy_end(struct stampi_db *db, struct stamp_error *err)
{
    struct sqlite_db *d = own(db);

    (void)err;
    (void)sqlite3_clear_bindings(d->copying);
    d->copying = NULL;
    return STAMP_OK;
}

static enum stamp_err script(struct stampi_db *db, const char *sql,
                             struct stamp_error *err)
{
    return execute(own(db), sql, "update", err);
}

/* The lock is that of begin(). */
static enum stamp_err version(struct stampi_db *db, bool lock, int64_t *out,
                              struct stamp_error *err)
{
    struct sqlite_db *d = own(db);
    sqlite3_stmt *s = NULL;
    enum stamp_err rc = STAMP_OK;

    (void)lock;
    if (sqlite3_prepare_v2(d->db, "PRAGMA user_version", -1, &s, NULL) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW) {
        rc = failed(d, "open", err);
    } else {
        *out = sqlite3_column_int64(s, 0);
    }
    (void)sqlite3_finalize(s);
    return rc;
}

static enum stamp_err set_version(struct stampi_db *db, int64_t number,
                                  struct stamp_error *err)
{
    char pragma[64];

    (void)sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version = %lld",
                           (long long)number);
    return execute(own(db), pragma, "update", err);
}

static void close_db(struct stampi_db **p)
{
    struct sqlite_db *d = own(*p);

    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < STAMPI_SQL_COUNT; i++) {
        (void)sqlite3_finalize(d->statement[i]);
    }
    for (size_t i = 0; i < STAMPI_COPY_COUNT; i++) {
        (void)sqlite3_finalize(d->copy[i]);
    }
    (void)sqlite3_finalize(d->begin);
    (void)sqlite3_finalize(d->commit);
    (void)sqlite3_close(d->db);
    free(d);
    *p = NULL;
}

static const struct stampi_ops ops = {
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .run = run,
    .copy_begin = copy_begin,
    .copy_row = copy_row,
    .copy_end = copy_end,
    .script = script,
    .version = version,
    .set_version = set_version,
    .close = close_db,
    .migrations = &stampi_sqlite_migrations,
};

static enum stamp_err open_db(const char *path, bool create, struct stampi_db **out,
                              struct stamp_error *err)
{
    struct sqlite_db *d = calloc(1, sizeof *d);
    enum stamp_err rc;

    *out = NULL;
    if (d == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    d->head.ops = &ops;
    if (sqlite3_open_v2(path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK) {
        rc = failed(d, "open", err);
    } else {
        (void)sqlite3_extended_result_codes(d->db, 1);
        (void)sqlite3_busy_timeout(d->db, BUSY_MS);
        rc = create ? execute(d, "PRAGMA page_size = " PAGE_SIZE, "make", err) : STAMP_OK;
    }
    if (rc == STAMP_OK) {
        rc = execute(d, SETTINGS, "open", err);
    }
    *out = &d->head;
    if (rc != STAMP_OK) {
        close_db(out);
    }
    return rc;
}

enum stamp_err stampi_sqlite_create(const char *path, struct stampi_db **out,
                                    struct stamp_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum stamp_err rc;

    *out = NULL;
    if (fd < 0) {
        return stamp_error_set(err, errno == EEXIST ? STAMP_E_EXISTS : STAMP_E_IO, errno,
                               "cannot make '%s': %s", path, strerror(errno));
    }
    (void)close(fd);
    rc = open_db(path, true, out, err);
    if (rc != STAMP_OK) {
        stampi_sqlite_remove(path);
    }
    return rc;
}

void stampi_sqlite_remove(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm"};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *name = NULL;

        if (asprintf(&name, "%s%s", path, ends[i]) >= 0) {
            (void)unlink(name);
            free(name);
        }
    }
}

enum stamp_err stampi_sqlite_open(const char *path, struct stampi_db **out,
                                  struct stamp_error *err)
{
    *out = NULL;
    if (access(path, R_OK | W_OK) != 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot open '%s': %s", path,
                               strerror(errno));
    }
    return open_db(path, false, out, err);
}

enum stamp_err stampi_sqlite_backup(const char *path, const char *to,
                                    struct stamp_error *err)
{
    struct stampi_db *db = NULL;
    sqlite3_stmt *s = NULL;
    enum stamp_err rc = stampi_sqlite_open(path, &db, err);

    if (rc == STAMP_OK &&
        (sqlite3_prepare_v2(own(db)->db, "VACUUM INTO $1", -1, &s, NULL) != SQLITE_OK ||
         sqlite3_bind_text(s, 1, to, -1, SQLITE_STATIC) != SQLITE_OK ||
         sqlite3_step(s) != SQLITE_DONE)) {
        rc = failed(own(db), "back up", err);
    }
    (void)sqlite3_finalize(s);
    close_db(&db);
    return rc;
}
