/*
 * A batch on the books while every call that can fail is made to fail in turn: memory,
 * random numbers, SQL, the temporary file. Whatever fails, there is a message, nothing is
 * booked by half, and the same again goes through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/rand.h>
#include <sqlite3.h>

#include "test/unit/books/books.h"

/* ---- calls that fail ---- */

static long countdown = -1; /* -1: none fails; 0: one has failed */

static bool fails(void)
{
    if (countdown <= 0) {
        return false;
    }
    countdown--;
    return countdown == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_RAND_bytes(unsigned char *buf, int n);
int __real_sqlite3_step(sqlite3_stmt *s);
int __real_sqlite3_exec(sqlite3 *db, const char *sql,
                        int (*f)(void *, int, char **, char **), void *arg, char **err);
ssize_t __real_pread(int fd, void *p, size_t n, off_t at);
ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_RAND_bytes(unsigned char *buf, int n);
int __wrap_sqlite3_step(sqlite3_stmt *s);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql,
                        int (*f)(void *, int, char **, char **), void *arg, char **err);
ssize_t __wrap_pread(int fd, void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

int __wrap_RAND_bytes(unsigned char *buf, int n)
{
    return fails() ? 0 : __real_RAND_bytes(buf, n);
}

int __wrap_sqlite3_step(sqlite3_stmt *s)
{
    return fails() ? SQLITE_IOERR : __real_sqlite3_step(s);
}

int __wrap_sqlite3_exec(sqlite3 *db, const char *sql,
                        int (*f)(void *, int, char **, char **), void *arg, char **err)
{
    return fails() ? SQLITE_FULL : __real_sqlite3_exec(db, sql, f, arg, err);
}

ssize_t __wrap_pread(int fd, void *p, size_t n, off_t at)
{
    return fails() ? 0 : __real_pread(fd, p, n, at);
}

ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (fails()) { /* a part of it, as on a full disk */
        return __real_pwrite(fd, p, n / 2, at);
    }
    return __real_pwrite(fd, p, n, at);
}

/* ---- what must hold ---- */

#define COUNT 40u
#define LIMIT 5000

static struct stamp_serial_pattern pattern;

static enum stamp_err fill(struct stamp_registry_run *run, uint64_t counter, uint32_t n,
                           struct stamp_error *err)
{
    static const uint8_t certificate[600];
    enum stamp_err rc = STAMP_OK;

    for (uint32_t i = 0; i < n && rc == STAMP_OK; i++) {
        char serial[STAMP_SERIAL_SIZE];
        uint8_t key[32] = {0};
        struct stamp_registry_device d = {.serial = serial,
                                          .fingerprint = key,
                                          .certificate = certificate,
                                          .certificate_len = sizeof certificate};
        uint64_t number = counter + i;

        memcpy(key, &number, sizeof number);
        rc = stamp_serial_format(&pattern, number, BOOKS_NOW, serial, sizeof serial, err);
        if (rc == STAMP_OK) {
            rc = stamp_registry_run_add(run, &d, err);
        }
    }
    return rc;
}

/* All that a batch goes through; a second call goes on where the first one broke off. */
static enum stamp_err make_batch(const char *name, struct stamp_registry_batch *batch,
                                 struct stamp_error *err)
{
    STAMP_REGISTRY_RUN_AUTO *run = NULL;
    struct stamp_registry_batch_setup setup = {.name = name,
                                               .product = "Sensor",
                                               .pattern = &pattern,
                                               .count = COUNT,
                                               .share_size = COUNT / 2,
                                               .now = BOOKS_NOW};
    struct stamp_registry_share share;
    uint32_t volume = 0;
    enum stamp_err rc = stamp_registry_batch_create(books, &setup, batch, NULL, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_volume(books, batch->id, "fail", &volume, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_run_new(books, books_dir, &run, err);
    }
    for (unsigned i = 0; rc == STAMP_OK && i < 2; i++) {
        struct stamp_error none = STAMP_ERROR_INIT;

        rc = stamp_registry_share_claim(books, batch->id, volume, &share, &none);
        if (rc == STAMP_E_MISSING) {
            rc = STAMP_OK;
            break;
        }
        if (rc != STAMP_OK) {
            *err = none;
            break;
        }
        rc = fill(run, batch->first_counter + share.first + share.done,
                  share.n - share.done, err);
        if (rc == STAMP_OK) {
            rc = stamp_registry_run_commit(books, run, &share, "m", 1, BOOKS_NOW, err);
        }
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_batch_step(books, batch->id, STAMP_REGISTRY_BATCH_MADE, err);
    }
    return rc;
}

static enum stamp_err strike(const struct stamp_registry_batch *batch,
                             struct stamp_error *err)
{
    char serial[2][STAMP_SERIAL_SIZE];
    struct stamp_registry_change c[2];
    enum stamp_err rc = STAMP_OK;

    memset(c, 0, sizeof c);
    for (unsigned i = 0; i < 2 && rc == STAMP_OK; i++) {
        rc = stamp_serial_format(&pattern, batch->first_counter + i, BOOKS_NOW, serial[i],
                                 sizeof serial[i], err);
        c[i].serial = serial[i];
        c[i].chip = serial[i];
        c[i].at = BOOKS_NOW + 1;
        c[i].to = STAMP_REGISTRY_STRUCK;
    }
    return rc == STAMP_OK ? stamp_registry_change(books, c, 2, NULL, err) : rc;
}

/* The tables agree with each other. */
static void check_books(void)
{
    assert_int_equal(books_number("SELECT count(*) FROM claim_serial"),
                     books_number("SELECT count(*) FROM device"));
    assert_int_equal(books_number("SELECT count(*) FROM claim_key"),
                     books_number("SELECT count(*) FROM device"));
    assert_int_equal(books_number("SELECT coalesce(sum(done), 0) FROM batch_share"),
                     books_number("SELECT count(*) FROM device"));
    assert_int_equal(books_number("SELECT coalesce(sum(n), 0) FROM batch_share"),
                     books_number("SELECT coalesce(sum(count), 0) FROM batch"));
    assert_int_equal(books_number("SELECT coalesce(sum(n), 0) FROM run"),
                     books_number("SELECT count(*) FROM device"));
    assert_int_equal(books_number("SELECT count(*) FROM claim_block"),
                     books_number("SELECT count(*) FROM batch"));
    assert_int_equal(
        books_number("SELECT coalesce(sum(n), 0) FROM tally WHERE what < 10"),
        books_number("SELECT coalesce(sum(count), 0) FROM batch"));
    assert_int_equal(books_number("SELECT coalesce(sum(n), 0) FROM tally WHERE what = 2"),
                     books_number("SELECT count(*) FROM event"));
    assert_int_equal(books_number("SELECT count(*) FROM claim_chip"),
                     books_number("SELECT count(*) FROM device WHERE state = 2"));
}

static void batch_is_whole_or_goes_on(void **state)
{
    unsigned failures = 0;
    bool reached = true;

    (void)state;
    pattern = books_pattern("SN-{counter:8}");
    for (long n = 1; n < LIMIT && reached; n++) {
        struct stamp_registry_batch batch;
        struct stamp_error err = STAMP_ERROR_INIT;
        char name[16];
        enum stamp_err rc;

        (void)snprintf(name, sizeof name, "B%ld", n);
        countdown = n;
        rc = make_batch(name, &batch, &err);
        if (rc == STAMP_OK) {
            rc = strike(&batch, &err);
        }
        reached = countdown == 0;
        countdown = -1;
        if (rc != STAMP_OK) {
            assert_true(reached);
            assert_string_not_equal(err.what, "");
            failures++;
        }
        check_books();
        stamp_error_clear(&err);
        if (make_batch(name, &batch, &err) != STAMP_OK ||
            strike(&batch, &err) != STAMP_OK) {
            fail_msg("call %ld: %s", n, err.what);
        }
        check_books();
    }
    assert_false(reached);
    assert_in_range(failures, 100, LIMIT);
    print_message("%u failures\n", failures);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batch_is_whole_or_goes_on, books_open,
                                        books_close),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
