/*
 * The registry's database in PostgreSQL, in a schema of its own. Statements are prepared
 * once and exchange binary values; rows by the thousand go through COPY.
 */
#include "host/registry_db.h"

#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Types of columns, as in the server's pg_type.h. */
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23 };

/* "devstamp": whoever makes or changes the tables. */
#define LOCK "SELECT pg_advisory_xact_lock(7234318614686428528)"

/* A client that is gone without a word must not hold locks for ever. */
#define SETTINGS                                                                         \
    "SET client_min_messages = warning; SET lock_timeout = '60s';"                       \
    "SET idle_in_transaction_session_timeout = '10min';"                                 \
    "SET search_path = " STAMPI_PG_SCHEMA

#define COPY_SIZE ((size_t)65536)

struct pg_db {
    struct stampi_db head;
    PGconn *conn;
    bool prepared[STAMPI_SQL_COUNT];
    uint8_t *copy; /* COPY_SIZE bytes, sent when full */
    size_t copy_len;
};

static struct pg_db *own(struct stampi_db *db)
{
    return (struct pg_db *)db;
}

static void clear(PGresult **res)
{
    PQclear(*res);
    *res = NULL;
}
#define RESULT_AUTO __attribute__((cleanup(clear))) PGresult

/* One line without its end. */
static void line_of(const char *text, char *out, size_t size)
{
    size_t len = strcspn(text, "\n");

    len = len < size ? len : size - 1;
    memcpy(out, text, len);
    out[len] = '\0';
}

static enum stamp_err lost(const struct pg_db *d, const char *verb,
                           struct stamp_error *err)
{
    char text[160];

    line_of(PQerrorMessage(d->conn), text, sizeof text);
    (void)stamp_error_set(err, STAMP_E_DATABASE, 0, "cannot %s the registry: %s", verb,
                          text);
    stamp_error_hint(err, "see that PostgreSQL runs, then run the command again");
    return STAMP_E_DATABASE;
}

static bool is_busy(const char *state)
{
    return strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 ||
           strcmp(state, "55P03") == 0;
}

static enum stamp_err failed(const struct pg_db *d, const PGresult *res, const char *verb,
                             struct stamp_error *err)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
    long native = state == NULL ? 0 : strtol(state, NULL, 36);

    if (PQstatus(d->conn) != CONNECTION_OK || state == NULL || text == NULL) {
        return lost(d, verb, err);
    }
    if (strcmp(state, "23505") == 0) {
        return stamp_error_set(err, STAMP_E_DUPLICATE, native,
                               "it is on the books already: %s",
                               detail == NULL ? text : detail);
    }
    if (is_busy(state)) {
        (void)stamp_error_set(err, STAMP_E_BUSY, native,
                              "cannot %s the registry: another program holds it", verb);
        stamp_error_hint(err, "run the command again");
        return STAMP_E_BUSY;
    }
    return stamp_error_set(err, STAMP_E_DATABASE, native, "cannot %s the registry: %s",
                           verb, text);
}

static enum stamp_err execute(struct pg_db *d, const char *sql, const char *verb,
                              struct stamp_error *err)
{
    RESULT_AUTO *res = PQexec(d->conn, sql);
    ExecStatusType status = PQresultStatus(res);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
               ? STAMP_OK
               : failed(d, res, verb, err);
}

static enum stamp_err begin(struct stampi_db *db, struct stamp_error *err)
{
    return execute(own(db), "BEGIN", "write", err);
}

/* COMMIT of a transaction that failed succeeds as a rollback; it says so. */
static enum stamp_err commit(struct stampi_db *db, struct stamp_error *err)
{
    struct pg_db *d = own(db);
    RESULT_AUTO *res = PQexec(d->conn, "COMMIT");

    if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        return failed(d, res, "write", err);
    }
    return strcmp(PQcmdStatus(res), "COMMIT") == 0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_DATABASE, 0,
                                 "cannot write the registry: it was rolled back");
}

static void rollback(struct stampi_db *db)
{
    struct pg_db *d = own(db);

    if (PQtransactionStatus(d->conn) != PQTRANS_IDLE) {
        PQclear(PQexec(d->conn, "ROLLBACK"));
    }
}

static void put_be(uint8_t *out, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    }
}

static int64_t get_be(const char *p, int len)
{
    uint64_t v = p[0] < 0 ? UINT64_MAX : 0;

    for (int i = 0; i < len; i++) {
        v = v << 8 | (uint8_t)p[i];
    }
    return (int64_t)v;
}

static void take(const PGresult *res, int row, struct stampi_value *v, int n)
{
    for (int i = 0; i < n; i++) {
        Oid type = PQftype(res, i);

        memset(&v[i], 0, sizeof v[i]);
        if (PQgetisnull(res, row, i)) {
            continue;
        }
        v[i].p = PQgetvalue(res, row, i);
        v[i].len = (size_t)PQgetlength(res, row, i);
        if (type == OID_INT8 || type == OID_INT4 || type == OID_INT2) {
            v[i] = stampi_int(get_be(PQgetvalue(res, row, i), PQgetlength(res, row, i)));
        } else {
            v[i].type = type == OID_BYTEA ? STAMPI_BLOB : STAMPI_TEXT;
        }
    }
}

static PGresult *call(struct pg_db *d, enum stampi_sql which,
                      const struct stampi_value *in, size_t n_in)
{
    uint8_t number[STAMPI_COLUMNS_MAX][8];
    const char *value[STAMPI_COLUMNS_MAX];
    int len[STAMPI_COLUMNS_MAX];
    int format[STAMPI_COLUMNS_MAX];
    char name[16];

    for (size_t i = 0; i < n_in; i++) {
        value[i] = in[i].p;
        len[i] = (int)in[i].len;
        format[i] = 1;
        if (in[i].type == STAMPI_INT) {
            put_be(number[i], (uint64_t)in[i].number, sizeof number[i]);
            value[i] = (const char *)number[i];
            len[i] = (int)sizeof number[i];
        } else if (in[i].type == STAMPI_NULL) {
            value[i] = NULL;
        } else if (in[i].p == NULL) {
            value[i] = ""; /* NULL would be NULL */
        }
    }
    (void)snprintf(name, sizeof name, "s%d", (int)which);
    return PQexecPrepared(d->conn, name, (int)n_in, value, len, format, 1);
}

static enum stamp_err prepare(struct pg_db *d, enum stampi_sql which,
                              struct stamp_error *err)
{
    const struct stampi_statement *s = &stampi_statements[which];
    char name[16];

    if (!d->prepared[which]) {
        (void)snprintf(name, sizeof name, "s%d", (int)which);
        RESULT_AUTO *res =
            PQprepare(d->conn, name, s->pg == NULL ? s->text : s->pg, 0, NULL);

        if (PQresultStatus(res) != PGRES_COMMAND_OK) {
            return failed(d, res, "read", err);
        }
        d->prepared[which] = true;
    }
    return STAMP_OK;
}

static enum stamp_err run(struct stampi_db *db, enum stampi_sql which,
                          const struct stampi_value *in, size_t n_in, stampi_row row,
                          void *ctx, int64_t *changed, struct stamp_error *err)
{
    struct pg_db *d = own(db);
    struct stampi_value out[STAMPI_COLUMNS_MAX];
    enum stamp_err rc = prepare(d, which, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (n_in > STAMPI_COLUMNS_MAX) {
        STAMP_BUG("a statement has too many parameters");
    }
    RESULT_AUTO *res = call(d, which, in, n_in);
    ExecStatusType status = PQresultStatus(res);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        return failed(d, res, "use", err);
    }
    if (PQnfields(res) > (int)STAMPI_COLUMNS_MAX) {
        STAMP_BUG("a statement has too many columns");
    }
    for (int i = 0; i < PQntuples(res) && rc == STAMP_OK && row != NULL; i++) {
        take(res, i, out, PQnfields(res));
        rc = row(ctx, out, err);
    }
    if (changed != NULL) {
        *changed = strtoll(PQcmdTuples(res), NULL, 10);
    }
    return rc;
}

/* ---- COPY ---- */

static enum stamp_err flush(struct pg_db *d, struct stamp_error *err)
{
    size_t len = d->copy_len;

    d->copy_len = 0;
    return len == 0 || PQputCopyData(d->conn, (const char *)d->copy, (int)len) == 1
               ? STAMP_OK
               : lost(d, "write", err);
}

static enum stamp_err put(struct pg_db *d, const void *bytes, size_t len,
                          struct stamp_error *err)
{
    if (len > COPY_SIZE) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "a value is too long to book");
    }
    if (len > COPY_SIZE - d->copy_len) {
        enum stamp_err rc = flush(d, err);

        if (rc != STAMP_OK) {
            return rc;
        }
    }
    if (len > 0) {
        memcpy(d->copy + d->copy_len, bytes, len);
    }
    d->copy_len += len;
    return STAMP_OK;
}

static enum stamp_err put_number(struct pg_db *d, uint64_t v, size_t n,
                                 struct stamp_error *err)
{
    uint8_t bytes[8];

    put_be(bytes, v, n);
    return put(d, bytes, n, err);
}

static enum stamp_err copy_begin(struct stampi_db *db, enum stampi_copy which,
                                 struct stamp_error *err)
{
    /* signature, flags, and the length of an extension */
    static const uint8_t head[19] = "PGCOPY\n\377\r\n";
    struct pg_db *d = own(db);
    char text[160];

    (void)snprintf(text, sizeof text, "COPY %s FROM STDIN (FORMAT binary)",
                   stampi_copy_columns[which]);
    RESULT_AUTO *res = PQexec(d->conn, text);

    if (PQresultStatus(res) != PGRES_COPY_IN) {
        return failed(d, res, "write", err);
    }
    d->copy_len = 0;
    return put(d, head, sizeof head, err);
}

static enum stamp_err copy_row(struct stampi_db *db, const struct stampi_value *v,
                               size_t n, struct stamp_error *err)
{
    struct pg_db *d = own(db);
    enum stamp_err rc = put_number(d, n, 2, err);

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        if (v[i].type == STAMPI_NULL) {
            rc = put_number(d, UINT32_MAX, 4, err);
        } else if (v[i].type == STAMPI_INT) {
            rc = put_number(d, 8, 4, err);
            rc = rc == STAMP_OK ? put_number(d, (uint64_t)v[i].number, 8, err) : rc;
        } else {
            rc = put_number(d, v[i].len, 4, err);
            rc = rc == STAMP_OK ? put(d, v[i].p, v[i].len, err) : rc;
        }
    }
    return rc;
}

static enum stamp_err copy_end(struct stampi_db *db, struct stamp_error *err)
{
    struct pg_db *d = own(db);
    enum stamp_err rc = put_number(d, UINT16_MAX, 2, err);

    if (rc == STAMP_OK) {
        rc = flush(d, err);
    }
    if (rc == STAMP_OK && PQputCopyEnd(d->conn, NULL) != 1) {
        rc = lost(d, "write", err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    for (PGresult *res = PQgetResult(d->conn); res != NULL; res = PQgetResult(d->conn)) {
        if (rc == STAMP_OK && PQresultStatus(res) != PGRES_COMMAND_OK) {
            rc = failed(d, res, "write", err);
        }
        PQclear(res);
    }
    return rc;
}

/* ---- tables ---- */

static enum stamp_err script(struct stampi_db *db, const char *sql,
                             struct stamp_error *err)
{
    return execute(own(db), sql, "update", err);
}

static enum stamp_err number_of(struct pg_db *d, const char *sql, int64_t *out,
                                struct stamp_error *err)
{
    RESULT_AUTO *res = PQexec(d->conn, sql);

    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1) {
        return failed(d, res, "open", err);
    }
    *out = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
    return STAMP_OK;
}

static enum stamp_err version(struct stampi_db *db, bool lock, int64_t *out,
                              struct stamp_error *err)
{
    struct pg_db *d = own(db);
    enum stamp_err rc = lock ? execute(d, LOCK, "update", err) : STAMP_OK;

    *out = 0;
    if (rc == STAMP_OK) {
        rc = number_of(d,
                       "SELECT count(*) FROM pg_tables WHERE schemaname = "
                       "'" STAMPI_PG_SCHEMA "' AND tablename = 'schema_version'",
                       out, err);
    }
    return rc == STAMP_OK && *out == 1
               ? number_of(d, "SELECT version FROM schema_version", out, err)
               : rc;
}

static enum stamp_err set_version(struct stampi_db *db, int64_t number,
                                  struct stamp_error *err)
{
    struct pg_db *d = own(db);
    char sql[64];
    enum stamp_err rc =
        execute(d,
                "CREATE SCHEMA IF NOT EXISTS " STAMPI_PG_SCHEMA ";"
                "CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL);"
                "DELETE FROM schema_version",
                "update", err);

    (void)snprintf(sql, sizeof sql, "INSERT INTO schema_version VALUES (%lld)",
                   (long long)number);
    return rc == STAMP_OK ? execute(d, sql, "update", err) : rc;
}

static void close_db(struct stampi_db **p)
{
    struct pg_db *d = own(*p);

    if (d == NULL) {
        return;
    }
    PQfinish(d->conn);
    free(d->copy);
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
    .migrations = &stampi_pg_migrations,
};

/* A password on the command line is one that everybody on the machine reads. */
static enum stamp_err check_url(const char *url, struct stamp_error *err)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &why);
    bool password = false;

    if (options == NULL) {
        char text[160];

        line_of(why == NULL ? "out of memory" : why, text, sizeof text);
        PQfreemem(why);
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "the registry's URL is wrong: %s",
                               text);
    }
    for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
        password = password || (strcmp(o->keyword, "password") == 0 && o->val != NULL);
    }
    PQconninfoFree(options);
    if (password) {
        (void)stamp_error_set(err, STAMP_E_CONFIG, 0,
                              "the registry's URL holds a password");
        stamp_error_hint(err, "put it into ~/.pgpass, which has mode 0600");
        return STAMP_E_CONFIG;
    }
    return STAMP_OK;
}

static enum stamp_err connect_to(struct pg_db *d, const char *url,
                                 struct stamp_error *err)
{
    const char *const keys[] = {"connect_timeout", "fallback_application_name", "dbname",
                                NULL};
    const char *const values[] = {"10", "devstamp", url, NULL};

    d->copy = malloc(COPY_SIZE);
    d->conn = PQconnectdbParams(keys, values, 1);
    if (d->copy == NULL || d->conn == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (PQstatus(d->conn) != CONNECTION_OK) {
        return lost(d, "open", err);
    }
    return execute(d, SETTINGS, "open", err);
}

enum stamp_err stampi_pg_open(const char *url, struct stampi_db **out,
                              struct stamp_error *err)
{
    struct pg_db *d;
    enum stamp_err rc = check_url(url, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    d = calloc(1, sizeof *d);
    if (d == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    d->head.ops = &ops;
    *out = &d->head;
    rc = connect_to(d, url, err);
    if (rc != STAMP_OK) {
        close_db(out);
    }
    return rc;
}
