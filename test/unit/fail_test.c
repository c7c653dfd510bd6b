/*
 * Every call that can fail is made to fail in turn: memory, random numbers, signatures,
 * hashes, SQL, writes, syncs, renames. Whatever fails, nothing half-made is left, no
 * serial is given out twice, nothing is authentic that was not checked, and there is a
 * message.
 *
 * The linker puts __wrap_X in the place of X in our own objects (ld --wrap); the
 * libraries' calls of each other are their own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sqlite3.h>

#include "host/imagefile.h"
#include "host/make.h"
#include "host/verify.h"
#include "test/unit/desk/desk.h"

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
int __real_RAND_bytes(unsigned char *buf, int n);
int __real_EVP_PKEY_sign(EVP_PKEY_CTX *ctx, unsigned char *sig, size_t *sig_len,
                         const unsigned char *tbs, size_t tbs_len);
int __real_EVP_Digest(const void *data, size_t n, unsigned char *md, unsigned int *size,
                      const EVP_MD *type, ENGINE *impl);
EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
int __real_sqlite3_step(sqlite3_stmt *s);
int __real_sqlite3_exec(sqlite3 *db, const char *sql,
                        int (*f)(void *, int, char **, char **), void *arg, char **err);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __real_syncfs(int fd);
int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to,
                     unsigned flags);
int __real_mkdir(const char *path, mode_t mode);
int __real_fchmod(int fd, mode_t mode);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
int __wrap_RAND_bytes(unsigned char *buf, int n);
int __wrap_EVP_PKEY_sign(EVP_PKEY_CTX *ctx, unsigned char *sig, size_t *sig_len,
                         const unsigned char *tbs, size_t tbs_len);
int __wrap_EVP_Digest(const void *data, size_t n, unsigned char *md, unsigned int *size,
                      const EVP_MD *type, ENGINE *impl);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
int __wrap_sqlite3_step(sqlite3_stmt *s);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql,
                        int (*f)(void *, int, char **, char **), void *arg, char **err);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __wrap_syncfs(int fd);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to,
                     unsigned flags);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

int __wrap_RAND_bytes(unsigned char *buf, int n)
{
    return fails() ? 0 : __real_RAND_bytes(buf, n);
}

int __wrap_EVP_PKEY_sign(EVP_PKEY_CTX *ctx, unsigned char *sig, size_t *sig_len,
                         const unsigned char *tbs, size_t tbs_len)
{
    return fails() ? 0 : __real_EVP_PKEY_sign(ctx, sig, sig_len, tbs, tbs_len);
}

int __wrap_EVP_Digest(const void *data, size_t n, unsigned char *md, unsigned int *size,
                      const EVP_MD *type, ENGINE *impl)
{
    return fails() ? 0 : __real_EVP_Digest(data, n, md, size, type, impl);
}

EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void)
{
    return fails() ? NULL : __real_EVP_MD_CTX_new();
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

static int no_space(void)
{
    errno = ENOSPC;
    return -1;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (fails()) { /* a part of it is written first, as on a full disk */
        (void)__real_write(fd, p, n / 2);
        return no_space();
    }
    return __real_write(fd, p, n);
}

int __wrap_fsync(int fd)
{
    return fails() ? no_space() : __real_fsync(fd);
}

int __wrap_syncfs(int fd)
{
    return fails() ? no_space() : __real_syncfs(fd);
}

int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to,
                     unsigned flags)
{
    return fails() ? no_space() : __real_renameat2(from_dir, from, to_dir, to, flags);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return fails() ? no_space() : __real_mkdir(path, mode);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return fails() ? no_space() : __real_fchmod(fd, mode);
}

/* ---- what must hold ---- */

#define N 3u
#define LIMIT 5000

static struct desk desk;

static int open_desk(void **state)
{
    (void)state;
    desk_open(&desk, STAMP_DEVELOPMENT);
    return 0;
}

static int close_desk(void **state)
{
    (void)state;
    countdown = -1;
    desk_close(&desk);
    return 0;
}

/* Files in stamps/; none of them is a temporary one. */
static unsigned files(void)
{
    char path[128];
    unsigned n = 0;
    struct dirent *e;
    DIR *d;

    (void)snprintf(path, sizeof path, "%s/stamps", desk.path);
    d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            assert_null(strstr(e->d_name, ".tmp"));
            n++;
        }
    }
    (void)closedir(d);
    return n;
}

static unsigned made(void)
{
    uint64_t n = 0;

    assert_int_equal(
        stamp_registry_count(desk.ws->registry, STAMP_REGISTRY_ISSUED, &n, NULL),
        STAMP_OK);
    return (unsigned)n;
}

static void check_made(void *ctx, const char *serial, const char *file)
{
    struct stamp_registry_row row;
    unsigned *told = ctx;
    long saved = countdown;

    countdown = -1;
    assert_int_equal(access(file, R_OK), 0);
    assert_int_equal(stamp_registry_find(desk.ws->registry, serial, &row, NULL),
                     STAMP_OK);
    assert_int_equal(row.state, STAMP_REGISTRY_ISSUED);
    stamp_registry_row_fini(&row);
    countdown = saved;
    (*told)++;
}

static void make_whole_or_not_at_all(void **state)
{
    unsigned told = 0;
    struct stamp_make what = {.n = N, .made = check_made, .ctx = &told};
    unsigned failures = 0;
    long n = 0;

    (void)state;
    do {
        struct stamp_error err = STAMP_ERROR_INIT;
        unsigned before = files();
        size_t done = 0;
        enum stamp_err rc;

        told = 0;
        countdown = ++n;
        rc = stamp_make_run(desk.ws, desk.issuer, &what, &done, &err);
        if (countdown != 0) {
            assert_int_equal(rc, STAMP_OK);
        }
        n = countdown == 0 ? n : -1; /* past the last call */
        countdown = -1;
        if (rc == STAMP_OK) {
            assert_int_equal(done, N);
            assert_int_equal(files(), before + N);
        } else {
            failures++;
            assert_int_equal(done, 0);
            assert_int_equal(told, 0);
            assert_int_equal(files(), before);
            assert_true(err.what[0] != '\0' && err.state[0] != '\0');
        }
        assert_int_equal(files(), made());
    } while (n > 0 && n < LIMIT);
    assert_int_equal(n, -1);
    print_message("make: %u failures\n", failures);
    assert_true(failures > 60);
}

static void workspace_is_made_whole_or_not_at_all(void **state)
{
    struct stamp_workspace_setup setup = {
        .company = "Example", .product = "Lamp", .purpose = STAMP_DEVELOPMENT};
    char path[128];
    unsigned failures = 0;
    long n = 0;

    (void)state;
    do {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_workspace *ws = NULL;
        enum stamp_err rc;

        (void)snprintf(path, sizeof path, "%s/n%ld", desk.dir, n);
        countdown = ++n;
        rc = stamp_workspace_create(path, &setup, &err);
        n = countdown == 0 ? n : -1;
        countdown = -1;
        if (rc == STAMP_OK) {
            assert_int_equal(stamp_workspace_open(path, &ws, &err), STAMP_OK);
            stamp_workspace_close(&ws);
        } else {
            failures++;
            assert_int_equal(access(path, F_OK), -1);
            assert_true(err.what[0] != '\0' && err.state[0] != '\0');
        }
    } while (n > 0 && n < LIMIT);
    assert_int_equal(n, -1);
    print_message("init: %u failures\n", failures);
    assert_true(failures > 30);
}

/* A damaged stamp does not become authentic, and a good one is not called forged, because
 * a call fails on the way. */
static void failing_check_is_never_a_verdict(void **state)
{
    STAMP_BUFFER_AUTO body = {NULL, 0};
    STAMP_BUFFER_AUTO good = {NULL, 0};
    STAMP_BUFFER_AUTO bad = {NULL, 0};
    struct stamp_slice encoded;
    struct stamp s;
    unsigned failures = 0;
    long n = 0;

    (void)state;
    desk_issue(&desk, &body);
    encoded.p = body.p;
    encoded.len = body.len;
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, NULL, &good, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_decode(&s, body.p, body.len), STAMP_OK);
    body.p[s.pop.p - body.p] ^= 1; /* the proof of possession of another device */
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, NULL, &bad, NULL),
                     STAMP_OK);
    do {
        struct stamp_error err = STAMP_ERROR_INIT;
        int verdict;

        countdown = ++n;
        verdict = desk_verdict_by(desk.trust, bad.p, bad.len, NULL, &err);
        countdown = -1;
        assert_int_not_equal(verdict, 0);
        assert_true(err.what[0] != '\0');
        stamp_error_clear(&err);
        countdown = n;
        verdict = desk_verdict_by(desk.trust, good.p, good.len, NULL, &err);
        n = countdown == 0 ? n : -1;
        countdown = -1;
        failures += verdict != 0 ? 1 : 0;
        assert_int_equal(verdict, n == -1 ? 0 : 1);
        assert_true(verdict == 0 || err.what[0] != '\0');
    } while (n > 0 && n < LIMIT);
    assert_int_equal(n, -1);
    print_message("verify: %u failures\n", failures);
    assert_true(failures > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(make_whole_or_not_at_all),
        cmocka_unit_test(workspace_is_made_whole_or_not_at_all),
        cmocka_unit_test(failing_check_is_never_a_verdict),
    };

    return cmocka_run_group_tests(tests, open_desk, close_desk);
}
