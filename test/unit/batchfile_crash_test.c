/* What is left of a FILE.part when its writer is killed, the power fails or the disk is
 * full, and how it goes on. SPEC 11-15, 11-26..11-28. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "host/batchfile.h"
#include "host/cms.h"
#include "test/fixture/batch.h"

#define HEAD 16u
#define CHECK 8u
#define FRAME (HEAD + CHECK)
#define HEADER 104u

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

static int clean(void **state)
{
    (void)state;
    batch_fixture_clean(&f);
    return 0;
}

static struct stamp_batch_writer *open_writer(void)
{
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_writer *w = NULL;

    if (stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    return w;
}

/* A part with records up to each of `ends`, a segment for each. */
static void write_part(const uint32_t *ends, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct stamp_batch_writer *w = open_writer();

        batch_fixture_append(&f, w, ends[i]);
        assert_int_equal(stamp_batch_sync(w, NULL), STAMP_OK);
        stamp_batch_writer_free(&w);
    }
}

/* Go on to `count` records, finish, and open every one. */
static void finish_and_verify(struct stamp_batch_writer *w, uint32_t count)
{
    struct stamp_batch_closing closing = batch_fixture_closing(&f, count);
    struct stamp_error err = STAMP_ERROR_INIT;
    STAMP_BATCH_AUTO *b = NULL;

    batch_fixture_append(&f, w, count);
    if (stamp_batch_finish(w, &closing, &err) != STAMP_OK ||
        batch_fixture_open(&f, &b, &err) != STAMP_OK ||
        stamp_batch_unlock(b, f.station_key[0], &err) != STAMP_OK ||
        stamp_batch_verify(b, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(stamp_batch_manifest(b)->count, count);
    assert_true(stamp_batch_manifest(b)->ordered);
}

static size_t block_size(const uint8_t *p)
{
    return FRAME + stamp_get_u32(p + 4);
}

/* Records that end at or before `len`. */
static uint32_t whole_records(const uint8_t *bytes, size_t size, size_t len)
{
    uint32_t n = 0;

    for (size_t at = 0; at < size; at += block_size(bytes + at)) {
        n += memcmp(bytes + at, "dStR", 4) == 0 && at + block_size(bytes + at) <= len;
    }
    return n;
}

static void cut_anywhere_it_goes_on_with_the_whole_records(void **state)
{
    static const uint32_t ends[] = {2, 4};
    uint8_t *bytes;
    size_t size;

    (void)state;
    write_part(ends, 2);
    bytes = batch_fixture_read(f.part, &size);
    for (size_t at = 0, end; at < size; at = end) {
        end = at + block_size(bytes + at);
        for (size_t len = at; len <= end; len++) {
            struct stamp_batch_writer *w;

            /* Each place near a block's ends, and some within. */
            if (len > at + 20 && len + 20 < end && (len - at) % 97 != 0) {
                continue;
            }
            batch_fixture_clean(&f);
            batch_fixture_put(f.part, bytes, len);
            w = open_writer();
            assert_int_equal(stamp_batch_writer_count(w),
                             whole_records(bytes, size, len));
            finish_and_verify(w, 5);
            stamp_batch_writer_free(&w);
        }
    }
    free(bytes);
}

/* The disk took some pages and not others: what is behind a hole is not taken. */
static void damage_anywhere_cuts_there(void **state)
{
    static const uint32_t ends[] = {2, 4};
    uint8_t *bytes;
    size_t size;

    (void)state;
    write_part(ends, 2);
    bytes = batch_fixture_read(f.part, &size);
    for (size_t at = HEADER, end; at < size; at = end) {
        end = at + block_size(bytes + at);
        for (size_t i = at; i < end; i += i < at + HEAD ? 1 : 61) {
            struct stamp_batch_writer *w;

            batch_fixture_clean(&f);
            bytes[i] ^= 0x10;
            batch_fixture_put(f.part, bytes, size);
            bytes[i] ^= 0x10;
            w = open_writer();
            assert_int_equal(stamp_batch_writer_count(w), whole_records(bytes, size, at));
            finish_and_verify(w, 5);
            stamp_batch_writer_free(&w);
        }
    }
    free(bytes);
}

static void zeros_and_rubbish_behind_are_cut(void **state)
{
    static const uint32_t ends[] = {3};
    static uint8_t tail[5000];
    uint8_t *bytes;
    size_t size;

    (void)state;
    write_part(ends, 1);
    bytes = batch_fixture_read(f.part, &size);
    for (int round = 0; round < 2; round++) {
        FILE *file;
        struct stamp_batch_writer *w;

        memset(tail, round == 0 ? 0 : 0xA7, sizeof tail);
        batch_fixture_clean(&f);
        batch_fixture_put(f.part, bytes, size);
        file = fopen(f.part, "ab");
        assert_int_equal(fwrite(tail, 1, sizeof tail, file), sizeof tail);
        (void)fclose(file);
        w = open_writer();
        assert_int_equal(stamp_batch_writer_count(w), 3);
        assert_int_equal(stamp_batch_writer_size(w), size);
        finish_and_verify(w, 4);
        stamp_batch_writer_free(&w);
    }
    free(bytes);
}

/* Cut before, within and behind a page's block, and a page that is another's. */
static void page_that_is_missing_or_torn_is_made_again(void **state)
{
    static const uint32_t ends[] = {256};
    uint8_t *bytes;
    size_t size;
    size_t page = 0;

    (void)state;
    write_part(ends, 1);
    bytes = batch_fixture_read(f.part, &size);
    while (memcmp(bytes + page, "dStL", 4) != 0) {
        page += block_size(bytes + page);
    }
    assert_int_equal(page + block_size(bytes + page), size);
    for (int i = 0; i < 4; i++) {
        const size_t lens[] = {page, page + 100, size - 1, size};
        struct stamp_batch_writer *w;

        batch_fixture_clean(&f);
        batch_fixture_put(f.part, bytes, lens[i]);
        w = open_writer();
        assert_int_equal(stamp_batch_writer_count(w), 256);
        assert_int_equal(stamp_batch_writer_size(w), size);
        finish_and_verify(w, i % 2 == 0 ? 256 : 300);
        stamp_batch_writer_free(&w);
    }
    free(bytes);
}

/* Killed after the end was written, before the name was taken. */
static void finished_but_not_named_is_finished_again(void **state)
{
    struct stamp_batch_writer *w;
    uint8_t *bytes;
    size_t size;

    (void)state;
    batch_fixture_write(&f, 3);
    bytes = batch_fixture_read(f.path, &size);
    for (size_t len = size; len + 60 > size; len -= 20) {
        batch_fixture_clean(&f);
        batch_fixture_put(f.part, bytes, len);
        w = open_writer();
        assert_int_equal(stamp_batch_writer_count(w), 3);
        finish_and_verify(w, 3);
        stamp_batch_writer_free(&w);
    }
    free(bytes);
}

struct keep {
    uint32_t first; /* records from here on are not wanted */
    uint32_t seen;
};

static bool keep_some(void *ctx, const struct stamp_batch_entry *entry)
{
    struct keep *k = ctx;
    char serial[10];

    batch_fixture_serial(entry->index, serial);
    assert_int_equal(entry->index, k->seen);
    assert_string_equal(entry->serial, serial);
    k->seen++;
    return entry->index < k->first;
}

/* The books know less than the file has: what they do not know is made anew. */
static void records_that_the_books_do_not_know_are_cut(void **state)
{
    static const uint32_t ends[] = {2, 5};
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    uint8_t *bytes;
    size_t size;

    (void)state;
    write_part(ends, 2);
    bytes = batch_fixture_read(f.part, &size);
    for (uint32_t keep = 0; keep <= 5; keep++) {
        struct keep k = {keep, 0};
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_batch_writer *w = NULL;

        batch_fixture_clean(&f);
        batch_fixture_put(f.part, bytes, size);
        assert_int_equal(stamp_batch_writer_open(f.path, &s, keep_some, &k, &w, &err),
                         STAMP_OK);
        assert_int_equal(stamp_batch_writer_count(w), keep);
        assert_int_equal(k.seen, keep < 5 ? keep + 1 : 5);
        finish_and_verify(w, 6);
        stamp_batch_writer_free(&w);
    }
    free(bytes);
}

/* The n-th segment's content key, as the station gets it. */
static void content_key(const uint8_t *bytes, size_t size, uint32_t n, uint8_t key[32])
{
    for (size_t at = 0; at < size; at += block_size(bytes + at)) {
        if (memcmp(bytes + at, "dStS", 4) == 0 && stamp_get_u32(bytes + at + 8) == n) {
            struct stamp_slice der = {bytes + at + HEAD, stamp_get_u32(bytes + at + 4)};

            assert_int_equal(stamp_cms_unwrap(der, f.station_key[1], key, 32, NULL),
                             STAMP_OK);
            return;
        }
    }
    fail_msg("no segment %u", n);
}

/* SPEC 11-15. */
static void each_run_has_a_content_key_of_its_own(void **state)
{
    static const uint32_t ends[] = {1, 2, 3, 4};
    static const uint32_t one[] = {1};
    uint8_t keys[6][32];
    uint8_t *bytes;
    size_t size;

    (void)state;
    write_part(ends, 4);
    bytes = batch_fixture_read(f.part, &size);
    for (uint32_t i = 0; i < 4; i++) {
        content_key(bytes, size, i, keys[i]);
    }
    free(bytes);
    /* The same file name, batch and records, made anew. */
    for (int i = 4; i < 6; i++) {
        batch_fixture_clean(&f);
        write_part(one, 1);
        bytes = batch_fixture_read(f.part, &size);
        content_key(bytes, size, 0, keys[i]);
        free(bytes);
    }
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < i; k++) {
            assert_memory_not_equal(keys[i], keys[k], 32);
        }
    }
}

/* A run that appends nothing leaves nothing: else a loop of crashes would fill the disk.
 */
static void run_without_a_record_leaves_no_segment(void **state)
{
    static const uint32_t ends[] = {2};
    struct stamp_batch_writer *w;
    struct stat before;
    struct stat after;

    (void)state;
    write_part(ends, 1);
    assert_int_equal(stat(f.part, &before), 0);
    for (int i = 0; i < 3; i++) {
        w = open_writer();
        assert_int_equal(stamp_batch_sync(w, NULL), STAMP_OK);
        stamp_batch_writer_free(&w);
    }
    assert_int_equal(stat(f.part, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
}

/* ---- what is not ours ---- */

static void assert_untouched(const char *path, const uint8_t *bytes, size_t len)
{
    size_t got_len;
    uint8_t *got = batch_fixture_read(path, &got_len);

    assert_int_equal(got_len, len);
    assert_memory_equal(got, bytes, len);
    free(got);
}

/* SPEC 11-28. */
static void part_of_another_batch_is_left_alone(void **state)
{
    static const uint32_t ends[] = {2};
    struct stamp_batch_setup s[5];
    uint8_t *bytes;
    size_t size;

    (void)state;
    write_part(ends, 1);
    bytes = batch_fixture_read(f.part, &size);
    for (int i = 0; i < 5; i++) {
        s[i] = batch_fixture_setup(&f);
    }
    s[0].id[15] ^= 1;
    s[1].volume = 1;
    s[2].profile_digest[0] ^= 1;
    s[3].n_recipients = 1;
    s[4].recipients = f.station + 1;
    s[4].n_recipients = 1;
    for (int i = 0; i < 5; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_batch_writer *w = NULL;

        assert_int_equal(stamp_batch_writer_open(f.path, &s[i], NULL, NULL, &w, &err),
                         STAMP_E_EXISTS);
        assert_null(w);
        assert_non_null(strstr(err.what, "is of another batch"));
        assert_untouched(f.part, bytes, size);
    }
    free(bytes);
}

static void somebody_elses_file_is_left_alone(void **state)
{
    static const char *const texts[] = {"x", "dStB and more",
                                        "a text that is longer than the header of a "
                                        "batch file would be, which takes a hundred and "
                                        "four bytes"};
    struct stamp_batch_setup s = batch_fixture_setup(&f);

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct stamp_batch_writer *w = NULL;

        batch_fixture_put(f.part, (const uint8_t *)texts[i], strlen(texts[i]));
        assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, NULL),
                         STAMP_E_CORRUPT);
        assert_untouched(f.part, (const uint8_t *)texts[i], strlen(texts[i]));
    }
    batch_fixture_clean(&f);
    assert_int_equal(symlink("elsewhere", f.part), 0);
    {
        struct stamp_batch_writer *w = NULL;

        assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, NULL),
                         STAMP_E_IO);
    }
}

static void second_writer_is_sent_away(void **state)
{
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_writer *first = open_writer();
    struct stamp_batch_writer *second = NULL;

    (void)state;
    batch_fixture_append(&f, first, 1);
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &second, &err),
                     STAMP_E_BUSY);
    finish_and_verify(first, 2);
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &second, NULL),
                     STAMP_E_EXISTS);
    assert_int_equal(access(f.part, F_OK), -1);
    stamp_batch_writer_free(&first);
}

/* ---- full disks and kills ---- */

/* A limit on the file size fails write() part of the way, as a full disk does. */
static void full_disk_is_said_and_it_goes_on_later(void **state)
{
    struct stamp_batch_writer *w;
    int status;
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0) {
        static const struct rlimit small = {100000, 100000};
        static uint8_t bytes[STAMP_BATCH_RECORD_MAX];
        struct stamp_batch_sealer *sealer = NULL;
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_batch_record record;
        enum stamp_err rc = STAMP_OK;

        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &small);
        w = open_writer();
        rc = stamp_batch_sealer_new(w, &sealer, &err);
        for (uint32_t i = 0; i < 500 && rc == STAMP_OK; i++) {
            char serial[10];

            batch_fixture_serial(i, serial);
            rc = stamp_batch_seal(sealer, i, serial, batch_fixture_body(&f, i), bytes,
                                  sizeof bytes, &record, &err);
            if (rc == STAMP_OK) {
                rc = stamp_batch_append(w, bytes, &record, &err);
            }
        }
        /* Nothing is taken after that. */
        _exit(rc == STAMP_E_IO && err.native == EFBIG &&
                      strstr(err.what, "cannot write") != NULL && err.hint[0] != '\0' &&
                      stamp_batch_sync(w, NULL) == STAMP_E_IO
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    w = open_writer();
    assert_in_range(stamp_batch_writer_count(w), 60, 90);
    finish_and_verify(w, 300);
    stamp_batch_writer_free(&w);
}

#define KILLS 60
#define KILL_RECORDS 100000u /* more than are ever reached */

/* Appends and syncs for ever, telling what is durable. */
static void run_writer(int out)
{
    struct stamp_batch_writer *w = open_writer();

    for (uint32_t end = stamp_batch_writer_count(w) + 7; end < KILL_RECORDS; end += 7) {
        uint32_t durable;

        batch_fixture_append(&f, w, end);
        if (end % 3 == 0) {
            continue; /* goes to the file now and then without a sync, too */
        }
        if (stamp_batch_sync(w, NULL) != STAMP_OK) {
            _exit(1);
        }
        durable = stamp_batch_writer_count(w);
        if (write(out, &durable, sizeof durable) != (ssize_t)sizeof durable) {
            _exit(1);
        }
    }
    _exit(1);
}

/* What the child said last. */
static uint32_t last_said(int in)
{
    uint32_t durable = 0;
    uint32_t last = 0;

    while (read(in, &durable, sizeof durable) == (ssize_t)sizeof durable) {
        last = durable;
    }
    return last;
}

static bool holds(const uint8_t *bytes, size_t len, const uint8_t *secret)
{
    return memmem(bytes, len, secret, 32) != NULL;
}

static void killed_at_any_time_it_loses_nothing_that_was_synced(void **state)
{
    struct stamp_batch_writer *w;
    uint32_t durable = 0;
    uint8_t *bytes;
    size_t size;

    (void)state;
    for (int i = 0; i < KILLS; i++) {
        struct timespec pause = {0, 300000L + (long)(i * i) * 20000L};
        uint32_t said;
        int pipes[2];
        int status;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0) {
            (void)close(pipes[0]);
            run_writer(pipes[1]);
        }
        (void)close(pipes[1]);
        (void)nanosleep(&pause, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        said = last_said(pipes[0]);
        (void)close(pipes[0]);
        durable = said > durable ? said : durable;
        if (access(f.part, F_OK) == 0) {
            w = open_writer();
            assert_true(stamp_batch_writer_count(w) >= durable);
            stamp_batch_writer_free(&w);
        }
    }
    assert_true(durable > 100);
    bytes = batch_fixture_read(f.part, &size);
    assert_false(holds(bytes, size, f.stamp.key_scalar));
    free(bytes);
    w = open_writer();
    print_message("%u records after %d kills\n", stamp_batch_writer_count(w), KILLS);
    finish_and_verify(w, stamp_batch_writer_count(w) + 1);
    stamp_batch_writer_free(&w);
    bytes = batch_fixture_read(f.path, &size);
    assert_false(holds(bytes, size, f.stamp.key_scalar));
    assert_true(holds(f.stamp.bytes, f.stamp.len, f.stamp.key_scalar));
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(cut_anywhere_it_goes_on_with_the_whole_records, clean),
        cmocka_unit_test_teardown(damage_anywhere_cuts_there, clean),
        cmocka_unit_test_teardown(zeros_and_rubbish_behind_are_cut, clean),
        cmocka_unit_test_teardown(page_that_is_missing_or_torn_is_made_again, clean),
        cmocka_unit_test_teardown(finished_but_not_named_is_finished_again, clean),
        cmocka_unit_test_teardown(records_that_the_books_do_not_know_are_cut, clean),
        cmocka_unit_test_teardown(each_run_has_a_content_key_of_its_own, clean),
        cmocka_unit_test_teardown(run_without_a_record_leaves_no_segment, clean),
        cmocka_unit_test_teardown(part_of_another_batch_is_left_alone, clean),
        cmocka_unit_test_teardown(somebody_elses_file_is_left_alone, clean),
        cmocka_unit_test_teardown(second_writer_is_sent_away, clean),
        cmocka_unit_test_teardown(full_disk_is_said_and_it_goes_on_later, clean),
        cmocka_unit_test_teardown(killed_at_any_time_it_loses_nothing_that_was_synced,
                                  clean),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
