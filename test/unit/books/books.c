#include "test/unit/books/books.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <openssl/evp.h>
#include <sqlite3.h>

#include "test/unit/desk/desk.h"

bool books_in_postgres;
char books_dir[32];
char books_where[256];
struct stamp_registry *books;

void books_init(int argc, char **argv)
{
    const char *url = getenv("STAMP_TEST_PG");

    books_in_postgres = argc > 1 && strcmp(argv[1], "postgres") == 0;
    if (books_in_postgres && url == NULL) {
        (void)fprintf(stderr, "there is no server; try: test/pg_server.sh %s postgres\n",
                      argv[0]);
        exit(1);
    }
    (void)snprintf(books_where, sizeof books_where, "%s", url == NULL ? "" : url);
}

int books_open(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    (void)snprintf(books_dir, sizeof books_dir, "/tmp/stamp-books-XXXXXX");
    assert_non_null(mkdtemp(books_dir));
    if (books_in_postgres) {
        books_sql("DROP SCHEMA IF EXISTS devstamp CASCADE");
    } else {
        (void)snprintf(books_where, sizeof books_where, "%s/registry.db", books_dir);
    }
    if (stamp_registry_create(books_where, STAMP_DEVELOPMENT, &err) != STAMP_OK ||
        stamp_registry_open(books_where, &books, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    return 0;
}

int books_close(void **state)
{
    (void)state;
    stamp_registry_close(&books);
    desk_remove(books_dir);
    return 0;
}

void books_reopen(void)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    stamp_registry_close(&books);
    if (stamp_registry_open(books_where, &books, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
}

static long long ask_pg(const char *sql)
{
    PGconn *conn = PQconnectdb(books_where);
    PGresult *res =
        PQexec(conn, "SET search_path = devstamp; SET client_min_messages = warning");
    long long n = -1;

    PQclear(res);
    res = PQexec(conn, sql);
    if (PQresultStatus(res) != PGRES_COMMAND_OK &&
        PQresultStatus(res) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    }
    if (PQntuples(res) == 1) {
        n = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
    }
    PQclear(res);
    PQfinish(conn);
    return n;
}

static int take_number(void *ctx, int n, char **values, char **names)
{
    long long *out = ctx;

    (void)n;
    (void)names;
    *out = values[0] == NULL ? 0 : strtoll(values[0], NULL, 10);
    return 0;
}

static long long ask_sqlite(const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    long long n = -1;

    assert_int_equal(sqlite3_open(books_where, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 10000);
    if (sqlite3_exec(db, sql, take_number, &n, &why) != SQLITE_OK) {
        fail_msg("%s: %s", sql, why);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return n;
}

long long books_number(const char *sql)
{
    return books_in_postgres ? ask_pg(sql) : ask_sqlite(sql);
}

void books_sql(const char *sql)
{
    (void)books_number(sql);
}

struct stamp_serial_pattern books_pattern(const char *text)
{
    struct stamp_serial_pattern pattern;

    assert_int_equal(stamp_serial_parse(&pattern, text, NULL, NULL), STAMP_OK);
    return pattern;
}

void books_key(uint8_t fingerprint[32], uint64_t n)
{
    assert_int_equal(EVP_Digest(&n, sizeof n, fingerprint, NULL, EVP_sha256(), NULL), 1);
}
