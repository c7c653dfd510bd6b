/*
 * Every call of the batch file's code that can fail is made to fail in turn: memory,
 * random numbers, ciphers, CMS, reads, writes, syncs, renames. Whatever fails, there is a
 * message, no half-made file has the name, what was synced is kept, and the same run
 * again completes it.
 *
 * The linker puts __wrap_X in the place of X in our own objects (ld --wrap); the
 * libraries' calls of each other are their own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/cms.h>
#include <openssl/rand.h>

#include "host/batchfile.h"
#include "test/fixture/batch.h"

static long countdown; /* 0: none fails any more */
static const char *failed;

static bool fails(const char *name)
{
    if (countdown == 0 || --countdown > 0) {
        return false;
    }
    failed = name;
    return true;
}

/* FAIL(result, X, (parameters), (arguments), value, errno) */
#define FAIL(type, name, parameters, arguments, value, code)                             \
    type __real_##name parameters;                                                       \
    type __wrap_##name parameters;                                                       \
    type __wrap_##name parameters                                                        \
    {                                                                                    \
        if (fails(#name)) {                                                              \
            errno = code;                                                                \
            return value;                                                                \
        }                                                                                \
        return __real_##name arguments;                                                  \
    }

FAIL(void *, malloc, (size_t n), (n), NULL, ENOMEM)
FAIL(void *, calloc, (size_t n, size_t size), (n, size), NULL, ENOMEM)
FAIL(void *, realloc, (void *p, size_t n), (p, n), NULL, ENOMEM)
FAIL(int, RAND_bytes, (unsigned char *p, int n), (p, n), 0, 0)
FAIL(int, RAND_priv_bytes, (unsigned char *p, int n), (p, n), 0, 0)
FAIL(EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL, 0)
FAIL(int, EVP_DigestUpdate, (EVP_MD_CTX * c, const void *p, size_t n), (c, p, n), 0, 0)
FAIL(EVP_MAC_CTX *, EVP_MAC_CTX_dup, (const EVP_MAC_CTX *c), (c), NULL, 0)
FAIL(int, EVP_MAC_update, (EVP_MAC_CTX * c, const unsigned char *p, size_t n), (c, p, n),
     0, 0)
FAIL(int, EVP_EncryptUpdate,
     (EVP_CIPHER_CTX * c, unsigned char *out, int *out_n, const unsigned char *p, int n),
     (c, out, out_n, p, n), 0, 0)
FAIL(int, EVP_DecryptUpdate,
     (EVP_CIPHER_CTX * c, unsigned char *out, int *out_n, const unsigned char *p, int n),
     (c, out, out_n, p, n), 0, 0)
FAIL(int, CMS_final, (CMS_ContentInfo * c, BIO *data, BIO *dcont, unsigned flags),
     (c, data, dcont, flags), 0, 0)
FAIL(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), -1, EIO)
FAIL(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), -1,
     ENOSPC)
FAIL(int, ftruncate, (int fd, off_t n), (fd, n), -1, EIO)
FAIL(int, fsync, (int fd), (fd), -1, EIO)
FAIL(int, fdatasync, (int fd), (fd), -1, EIO)
FAIL(int, renameat2, (int a, const char *b, int c, const char *d, unsigned e),
     (a, b, c, d, e), -1, EIO)

static struct batch_fixture f;

static int setup(void **state)
{
    (void)state;
    batch_fixture_init(&f, STAMP_PRODUCTION);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    batch_fixture_fini(&f);
    return 0;
}

/* Up to `end`, and a sync. */
static enum stamp_err append(struct stamp_batch_writer *w, uint32_t end,
                             struct stamp_error *err)
{
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    enum stamp_err rc = stamp_batch_sealer_new(w, &sealer, err);

    for (uint32_t i = stamp_batch_writer_count(w); i < end && rc == STAMP_OK; i++) {
        struct stamp_batch_record record;
        char serial[10];

        batch_fixture_serial(i, serial);
        rc = stamp_batch_seal(sealer, i, serial, batch_fixture_body(&f, i), bytes,
                              sizeof bytes, &record, err);
        if (rc == STAMP_OK) {
            rc = stamp_batch_append(w, bytes, &record, err);
        }
    }
    return rc == STAMP_OK ? stamp_batch_sync(w, err) : rc;
}

/* One run: opens, goes on to `count`, finishes. */
static enum stamp_err run(uint32_t count, struct stamp_error *err)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, count);
    enum stamp_err rc = stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, err);

    if (rc == STAMP_OK) {
        rc = append(w, count, err);
    }
    return rc == STAMP_OK ? stamp_batch_finish(w, &closing, err) : rc;
}

static enum stamp_err read_all(struct stamp_error *err)
{
    STAMP_BATCH_AUTO *b = NULL;
    enum stamp_err rc = batch_fixture_open(&f, &b, err);

    if (rc == STAMP_OK) {
        rc = stamp_batch_unlock(b, f.station_key[0], err);
    }
    return rc == STAMP_OK ? stamp_batch_verify(b, err) : rc;
}

static void begin_part(void)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);

    batch_fixture_clean(&f);
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, NULL), STAMP_OK);
    assert_int_equal(append(w, 2, NULL), STAMP_OK);
}

static uint32_t records_left(void)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_error err = STAMP_ERROR_INIT;

    if (stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err) != STAMP_OK) {
        fail_msg("after %s: %s", failed, err.what);
    }
    return stamp_batch_writer_count(w);
}

static void whatever_fails_the_next_run_completes_it(void **state)
{
    long n = 1;

    (void)state;
    for (;; n++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        enum stamp_err rc;
        bool named;

        begin_part();
        failed = NULL;
        countdown = n;
        rc = run(5, &err);
        countdown = 0;
        if (failed == NULL) {
            assert_int_equal(rc, STAMP_OK);
            break;
        }
        named = access(f.path, F_OK) == 0;
        if (rc == STAMP_OK || err.what[0] == '\0') {
            fail_msg("call %ld, %s: %d '%s'", n, failed, rc, err.what);
        }
        if (!named) {
            assert_in_range(records_left(), 2, 5);
            assert_int_equal(run(5, NULL), STAMP_OK);
        }
        /* Named, it is whole: only the directory's sync was still to come. */
        assert_int_equal(read_all(NULL), STAMP_OK);
    }
    print_message("%ld calls failed in turn\n", n - 1);
    assert_true(n > 60);
}

static void whatever_fails_nothing_is_taken_for_checked(void **state)
{
    long n = 1;

    (void)state;
    begin_part();
    assert_int_equal(run(5, NULL), STAMP_OK);
    for (;; n++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        enum stamp_err rc;

        failed = NULL;
        countdown = n;
        rc = read_all(&err);
        countdown = 0;
        if (failed == NULL) {
            assert_int_equal(rc, STAMP_OK);
            break;
        }
        if (rc == STAMP_OK || err.what[0] == '\0') {
            fail_msg("call %ld, %s: %d '%s'", n, failed, rc, err.what);
        }
    }
    print_message("%ld calls failed in turn\n", n - 1);
    assert_true(n > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_the_next_run_completes_it),
        cmocka_unit_test(whatever_fails_nothing_is_taken_for_checked),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
