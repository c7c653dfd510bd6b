/* The books of a batch file, and the results that are made of them. SPEC 12. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/key.h"
#include "host/results.h"
#include "host/sig.h"
#include "test/fixture/batch.h"

#define COUNT 6u

static struct batch_fixture f;
static struct stamp_batch *batch;
static struct stamp_books *books;
static struct stamp_error err;
static time_t now;

static char *beside(const char *suffix)
{
    static char name[128];

    (void)snprintf(name, sizeof name, "%s%s", f.path, suffix);
    return name;
}

static void remove_all(void)
{
    static const char *const suffix[] = {".books", ".books-wal", ".books-shm",
                                         ".r1",    ".r2",        ".again"};

    stamp_books_free(&books);
    stamp_batch_close(&batch);
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        (void)unlink(beside(suffix[i]));
    }
    batch_fixture_clean(&f);
}

static void must(enum stamp_err rc)
{
    if (rc != STAMP_OK) {
        fail_msg("%d: %s", rc, err.what);
    }
}

static void refuses(enum stamp_err rc, enum stamp_err want, const char *what)
{
    assert_int_equal(rc, want);
    if (strstr(err.what, what) == NULL) {
        fail_msg("'%s' is not in '%s'", what, err.what);
    }
    stamp_error_clear(&err);
}

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

static int begin(void **state)
{
    (void)state;
    now = time(NULL) + 10;
    stamp_error_clear(&err);
    batch_fixture_write(&f, COUNT);
    must(batch_fixture_open(&f, &batch, &err));
    must(stamp_batch_unlock(batch, f.station_key[0], &err));
    must(stamp_books_open(f.path, batch, true, &books, &err));
    stamp_books_author(books, "ann", "line 1");
    return 0;
}

static int end(void **state)
{
    (void)state;
    remove_all();
    return 0;
}

static uint32_t next_one(void)
{
    uint32_t index = 99;
    size_t n = 0;

    must(stamp_books_next(books, now, &index, 1, &n, &err));
    assert_int_equal(n, 1);
    return index;
}

static enum stamp_err report(const char *serial, enum stamp_books_result result,
                             const char *chip, const char *reason)
{
    struct stamp_books_report what = {
        .serial = serial, .result = result, .chip = chip, .reason = reason, .at = now};

    return stamp_books_report(books, &what, &err);
}

static struct stamp_books_state state_of(void)
{
    struct stamp_books_state s;

    must(stamp_books_state(books, &s, &err));
    assert_int_equal(s.count, s.unused + s.in_doubt + s.struck + s.scrapped);
    return s;
}

/* ---- handing out ---- */

static void each_is_handed_out_once_in_the_order_of_the_file(void **state)
{
    uint32_t indices[COUNT + 1];
    size_t n = 0;

    (void)state;
    assert_int_equal(next_one(), 0);
    assert_int_equal(next_one(), 1);
    must(stamp_books_next(books, now, indices, COUNT + 1, &n, &err));
    assert_int_equal(n, COUNT - 2);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(indices[i], i + 2);
    }
    refuses(stamp_books_next(books, now, indices, 1, &n, &err), STAMP_E_MISSING,
            "no stamp is left: 0 struck, 0 scrapped, 6 in doubt");
    assert_int_equal(n, 0);
    assert_int_equal(state_of().in_doubt, COUNT);
    assert_int_equal(state_of().events, COUNT);
}

static uint32_t for_chip(const char *chip)
{
    uint32_t index = 99;

    must(stamp_books_for_chip(books, now, chip, &index, &err));
    return index;
}

static void a_chip_gets_its_stamp_again(void **state)
{
    struct stamp_books_line line;
    char long_chip[STAMP_BOOKS_CHIP_SIZE + 1];
    uint32_t index;

    (void)state;
    assert_int_equal(for_chip("a"), 0);
    assert_int_equal(for_chip("b"), 1);
    assert_int_equal(for_chip("a"), 0);
    stamp_books_free(&books); /* also after a restart */
    must(stamp_books_open(f.path, batch, false, &books, &err));
    assert_int_equal(for_chip("b"), 1);
    assert_int_equal(state_of().in_doubt, 2);

    must(report("SN-000000", STAMP_BOOKS_STRUCK, "a", NULL));
    refuses(stamp_books_for_chip(books, now, "a", &index, &err), STAMP_E_DUPLICATE,
            "chip 'a' was reported with");
    must(stamp_books_find(books, "SN-000000", &line, &err));
    assert_int_equal(line.result, STAMP_BOOKS_STRUCK);
    assert_string_equal(line.chip, "a");
    must(report("SN-000001", STAMP_BOOKS_SCRAPPED, NULL, "fell"));
    assert_int_equal(for_chip("b"), 2); /* what was given up is not given again */
    must(report("SN-000002", STAMP_BOOKS_STRUCK, NULL, NULL));
    refuses(stamp_books_for_chip(books, now, "b", &index, &err), STAMP_E_DUPLICATE,
            "chip 'b' was reported with");
    refuses(stamp_books_find(books, "SN-000003", &line, &err), STAMP_E_STATE,
            "was never handed out");

    memset(long_chip, 'x', sizeof long_chip);
    long_chip[sizeof long_chip - 1] = '\0';
    refuses(stamp_books_for_chip(books, now, long_chip, &index, &err), STAMP_E_RANGE,
            "a chip id is 1 to 64 bytes");
    refuses(stamp_books_for_chip(books, now, "", &index, &err), STAMP_E_RANGE,
            "a chip id is 1 to 64 bytes");
    assert_int_equal(for_chip("c"), 3);
    assert_int_equal(for_chip("d"), 4);
    assert_int_equal(for_chip("e"), 5);
    refuses(stamp_books_for_chip(books, now, "f", &index, &err), STAMP_E_MISSING,
            "no stamp is left");
    assert_int_equal(for_chip("e"), 5);
}

static void books_are_found_again(void **state)
{
    struct stamp_books_state before;
    struct stamp_books_state after;
    struct stat st;

    (void)state;
    (void)next_one();
    before = state_of();
    stamp_books_free(&books);
    assert_int_equal(stat(beside(STAMP_BOOKS_SUFFIX), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    stamp_batch_close(&batch);
    must(batch_fixture_open(&f, &batch, &err)); /* and nobody's key is needed */
    must(stamp_books_open(f.path, batch, false, &books, &err));
    after = state_of();
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(next_one(), 1);
}

static void none_are_made_without_the_key(void **state)
{
    (void)state;
    remove_all();
    batch_fixture_write(&f, COUNT);
    must(batch_fixture_open(&f, &batch, &err));
    refuses(stamp_books_open(f.path, batch, false, &books, &err), STAMP_E_MISSING,
            "there are no books");
    refuses(stamp_books_open(f.path, batch, true, &books, &err), STAMP_E_AUTH,
            "no key was given");
    assert_int_equal(access(beside(STAMP_BOOKS_SUFFIX), F_OK), -1);
}

static void of_another_file_are_refused(void **state)
{
    (void)state;
    stamp_books_free(&books);
    stamp_batch_close(&batch);
    batch_fixture_clean(&f);
    batch_fixture_write(&f, COUNT); /* all the same but what is drawn */
    must(batch_fixture_open(&f, &batch, &err));
    refuses(stamp_books_open(f.path, batch, true, &books, &err), STAMP_E_AUTH,
            "of another batch file");
    assert_null(books);
}

static void that_others_may_read_are_refused(void **state)
{
    (void)state;
    stamp_books_free(&books);
    assert_int_equal(chmod(beside(STAMP_BOOKS_SUFFIX), 0640), 0);
    refuses(stamp_books_open(f.path, batch, true, &books, &err), STAMP_E_IO,
            "others may read or write");
}

static void time_does_not_go_back(void **state)
{
    uint32_t index;
    size_t n;
    struct stamp_books_line line;

    (void)state;
    (void)next_one();
    now -= 100; /* waited for the others */
    (void)next_one();
    must(stamp_books_list(books, STAMP_BOOKS_IN_DOUBT, 1, &line, 1, &n, &err));
    assert_int_equal(line.handed_at, now + 100);
    now -= 21;
    refuses(stamp_books_next(books, now, &index, 1, &n, &err), STAMP_E_STATE,
            "the clock was set back");
    refuses(report("SN-000000", STAMP_BOOKS_STRUCK, NULL, NULL), STAMP_E_STATE,
            "the clock was set back");
    refuses(stamp_books_close(books, now, &err), STAMP_E_STATE, "the clock was set back");
    assert_int_equal(state_of().events, 2);
}

static void anchor_is_kept_once(void **state)
{
    X509 *anchor = NULL;

    (void)state;
    refuses(stamp_books_anchor(f.path, &anchor, &err), STAMP_E_MISSING,
            "name nobody to trust");
    must(stamp_books_pin(books, f.pki.root, &err));
    must(stamp_books_pin(books, f.certificate, &err)); /* too late */
    must(stamp_books_anchor(f.path, &anchor, &err));
    assert_int_equal(X509_cmp(anchor, f.pki.root), 0);
    X509_free(anchor);
}

/* ---- reports ---- */

static void a_report_is_kept(void **state)
{
    struct stamp_books_line line;
    size_t n;

    (void)state;
    (void)next_one();
    (void)next_one();
    must(report("SN-000001", STAMP_BOOKS_SCRAPPED, "chip-1", "no boot"));
    must(stamp_books_list(books, STAMP_BOOKS_SCRAPPED, 0, &line, 1, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(line.index, 1);
    assert_string_equal(line.serial, "SN-000001");
    assert_int_equal(line.result, STAMP_BOOKS_SCRAPPED);
    assert_int_equal(line.handed_at, now);
    assert_int_equal(line.reported_at, now);
    assert_string_equal(line.chip, "chip-1");
    assert_string_equal(line.who, "ann");
    assert_string_equal(line.where, "line 1");
    assert_string_equal(line.reason, "no boot");
    must(stamp_books_list(books, STAMP_BOOKS_SCRAPPED, 2, &line, 1, &n, &err));
    assert_int_equal(n, 0);
    assert_int_equal(state_of().in_doubt, 1);
    assert_int_equal(state_of().scrapped, 1);
}

static void the_same_report_changes_nothing(void **state)
{
    struct stamp_books_state before;
    struct stamp_books_state after;

    (void)state;
    (void)next_one();
    must(report("SN-000000", STAMP_BOOKS_STRUCK, "a", NULL));
    before = state_of();
    now += 5;
    must(report("SN-000000", STAMP_BOOKS_STRUCK, "a", NULL));
    must(report("SN-000000", STAMP_BOOKS_STRUCK, NULL, NULL));
    after = state_of();
    assert_memory_equal(&before, &after, sizeof before);
}

static void contradictions_are_refused(void **state)
{
    char text[STAMP_BOOKS_TEXT_SIZE + 1];

    (void)state;
    (void)next_one();
    (void)next_one();
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    must(report("SN-000000", STAMP_BOOKS_STRUCK, "a", NULL));
    refuses(report("SN-000000", STAMP_BOOKS_STRUCK, "b", NULL), STAMP_E_STATE,
            "was reported struck on chip a already");
    refuses(report("SN-000000", STAMP_BOOKS_SCRAPPED, "b", NULL), STAMP_E_STATE,
            "was reported struck on chip a already");
    refuses(report("SN-000001", STAMP_BOOKS_STRUCK, "a", NULL), STAMP_E_DUPLICATE,
            "was reported with 'SN-000000' already");
    refuses(report("SN-000002", STAMP_BOOKS_STRUCK, NULL, NULL), STAMP_E_STATE,
            "was never handed out");
    assert_int_equal(report("SN-000017", STAMP_BOOKS_STRUCK, NULL, NULL),
                     STAMP_E_MISSING);
    stamp_error_clear(&err);
    refuses(report("SN-000001", STAMP_BOOKS_UNUSED, NULL, NULL), STAMP_E_RANGE,
            "only struck or scrapped");
    refuses(report("SN-000001", STAMP_BOOKS_STRUCK, "", NULL), STAMP_E_RANGE, "chip id");
    refuses(report("SN-000001", STAMP_BOOKS_STRUCK, text, NULL), STAMP_E_RANGE,
            "chip id");
    refuses(report("SN-000001", STAMP_BOOKS_SCRAPPED, NULL, text), STAMP_E_RANGE,
            "the reason");
    must(report("SN-000000", STAMP_BOOKS_SCRAPPED, NULL, "cracked"));
    refuses(report("SN-000000", STAMP_BOOKS_STRUCK, NULL, NULL), STAMP_E_STATE,
            "was reported scrapped on chip a already");
    assert_int_equal(state_of().events, 4);
}

/* ---- results ---- */

static void closed_books_hand_out_nothing(void **state)
{
    uint32_t index;
    uint32_t number;
    size_t n;

    (void)state;
    (void)next_one();
    /* SPEC 12-7 */
    refuses(stamp_results_write(books, batch, beside(".r1"), now, &number, &err),
            STAMP_E_STATE, "are not closed");
    assert_int_equal(access(beside(".r1"), F_OK), -1);
    must(stamp_books_close(books, now, &err));
    must(stamp_books_close(books, now, &err));
    refuses(stamp_books_next(books, now, &index, 1, &n, &err), STAMP_E_MISSING,
            "are closed");
    assert_true(state_of().closed);
    assert_int_equal(state_of().events, 2);
    must(report("SN-000000", STAMP_BOOKS_STRUCK, NULL, NULL));
}

static void assert_same_files(const char *a, const char *b, bool same)
{
    size_t len_a;
    size_t len_b;
    uint8_t *bytes_a = batch_fixture_read(a, &len_a);
    uint8_t *bytes_b = batch_fixture_read(b, &len_b);

    assert_int_equal(len_a == len_b && memcmp(bytes_a, bytes_b, len_a) == 0, same);
    free(bytes_a);
    free(bytes_b);
}

static void write_results(const char *suffix, uint32_t want)
{
    uint32_t number = 0;

    assert_int_equal(state_of().due, want);
    must(stamp_results_write(books, batch, beside(suffix), now, &number, &err));
    assert_int_equal(number, want);
    assert_int_equal(state_of().results, want);
}

/* SPEC 12-5, 12-7. */
static void results_have_a_number_for_each_thing_said(void **state)
{
    char again[128];
    uint32_t number;

    (void)state;
    (void)next_one();
    must(stamp_books_close(books, now, &err));
    write_results(".r1", 1);
    now += 1000;
    write_results(".again", 1);
    (void)snprintf(again, sizeof again, "%s", beside(".again"));
    assert_same_files(again, beside(".r1"), true);
    assert_int_equal(unlink(again), 0);
    refuses(stamp_results_write(books, batch, beside(".r1"), now, &number, &err),
            STAMP_E_EXISTS, "exists already");
    must(report("SN-000000", STAMP_BOOKS_STRUCK, NULL, NULL));
    write_results(".again", 2);
    assert_same_files(again, beside(".r1"), false);
}

/* Somebody changed what was said already. */
static void books_that_were_changed_are_found(void **state)
{
    sqlite3 *db = NULL;
    uint32_t number;

    (void)state;
    (void)next_one();
    must(report("SN-000000", STAMP_BOOKS_STRUCK, "a", NULL));
    must(stamp_books_close(books, now, &err));
    write_results(".r1", 1);
    assert_int_equal(sqlite3_open(beside(STAMP_BOOKS_SUFFIX), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE handed SET chip = 'b'", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    refuses(stamp_results_write(books, batch, beside(".again"), now, &number, &err),
            STAMP_E_CORRUPT, "no longer say what results 1 said");
    assert_int_equal(access(beside(".again"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_handed_out_once_in_the_order_of_the_file,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_chip_gets_its_stamp_again, begin, end),
        cmocka_unit_test_setup_teardown(books_are_found_again, begin, end),
        cmocka_unit_test_setup_teardown(none_are_made_without_the_key, begin, end),
        cmocka_unit_test_setup_teardown(of_another_file_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(that_others_may_read_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(time_does_not_go_back, begin, end),
        cmocka_unit_test_setup_teardown(anchor_is_kept_once, begin, end),
        cmocka_unit_test_setup_teardown(a_report_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(the_same_report_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(contradictions_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(closed_books_hand_out_nothing, begin, end),
        cmocka_unit_test_setup_teardown(results_have_a_number_for_each_thing_said, begin,
                                        end),
        cmocka_unit_test_setup_teardown(books_that_were_changed_are_found, begin, end),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
