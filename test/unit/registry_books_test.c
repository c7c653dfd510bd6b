/* Results of stations on the books, and their import. */
#include "host/registry_books.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/books/books.h"

#define NOW BOOKS_NOW

static struct stamp_serial_pattern pattern;
static struct stamp_registry_batch batch; /* of the test */

static int open_books(void **state)
{
    pattern = books_pattern("SN-{counter:6}");
    return books_open(state);
}

/* A batch with all its devices issued: SN-000001 on. */
static void make_batch(uint32_t count)
{
    struct stamp_registry_batch_setup setup = {
        .product = "Sensor", .pattern = &pattern, .count = count, .now = NOW};
    struct stamp_registry_share share;
    STAMP_REGISTRY_RUN_AUTO *run = NULL;
    char serial[STAMP_SERIAL_SIZE];
    uint8_t key[32];
    static const uint8_t certificate[64] = {0x30};

    assert_int_equal(stamp_registry_batch_create(books, &setup, &batch, NULL, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_registry_share_claim(books, batch.id, 0, &share, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_registry_run_new(books, books_dir, &run, NULL), STAMP_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct stamp_registry_device d = {
            .serial = serial,
            .fingerprint = key,
            .certificate = certificate,
            .certificate_len = sizeof certificate,
        };

        (void)snprintf(serial, sizeof serial, "SN-%06u", (unsigned)i + 1);
        books_key(key, i + 1);
        assert_int_equal(stamp_registry_run_add(run, &d, NULL), STAMP_OK);
    }
    assert_int_equal(stamp_registry_run_commit(books, run, &share, NULL, 0, NOW, NULL),
                     STAMP_OK);
    assert_int_equal(
        stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, NULL),
        STAMP_OK);
}

static struct stamp_registry_balance balance(void)
{
    struct stamp_registry_balance b;

    assert_int_equal(stamp_registry_balance(books, batch.id, &b, NULL), STAMP_OK);
    assert_int_equal(b.issued,
                     b.struck + b.scrapped + b.returned + b.revoked + b.outstanding);
    return b;
}

static struct stamp_registry_results results(uint8_t id, uint64_t number)
{
    struct stamp_registry_results row = {.number = number,
                                         .batch = 7,
                                         .volume = 2,
                                         .events = 40 + number,
                                         .made_at = NOW + 1,
                                         .imported_at = NOW + 2};

    memset(row.books, id, sizeof row.books);
    memset(row.digest, (int)number, sizeof row.digest);
    memset(row.previous, (int)number - 1, sizeof row.previous);
    return row;
}

/* ---- results ---- */

static void results_are_booked_once_for_each_number(void **state)
{
    struct stamp_registry_results one = results(0xAA, 1);
    struct stamp_registry_results two = results(0xAA, 2);
    struct stamp_registry_results got;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    stamp_registry_author(books, "importer", "headquarters");
    assert_int_equal(stamp_registry_results_last(books, one.books, &got, &err),
                     STAMP_E_MISSING);
    assert_int_equal(stamp_registry_results_add(books, &one, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_results_add(books, &two, NULL), STAMP_OK);
    two.digest[0] = 9; /* other ones with its number */
    err = (struct stamp_error)STAMP_ERROR_INIT;
    assert_int_equal(stamp_registry_results_add(books, &two, &err), STAMP_E_EXISTS);
    assert_string_equal(err.what, "results 2 of these books were imported already");
    books_reopen();
    assert_int_equal(stamp_registry_results_last(books, one.books, &got, NULL), STAMP_OK);
    assert_int_equal(got.number, 2);
    assert_int_equal(got.digest[0], 2);
    assert_int_equal(stamp_registry_results_find(books, one.books, 1, &got, NULL),
                     STAMP_OK);
    (void)snprintf(one.who, sizeof one.who, "importer");
    (void)snprintf(one.where, sizeof one.where, "headquarters");
    assert_memory_equal(got.books, one.books, sizeof one.books);
    assert_memory_equal(got.digest, one.digest, sizeof one.digest);
    assert_memory_equal(got.previous, one.previous, sizeof one.previous);
    assert_int_equal(got.batch, 7);
    assert_int_equal(got.volume, 2);
    assert_int_equal(got.events, 41);
    assert_int_equal(got.made_at, NOW + 1);
    assert_int_equal(got.imported_at, NOW + 2);
    assert_string_equal(got.who, "importer");
    assert_string_equal(got.where, "headquarters");
    assert_int_equal(stamp_registry_results_find(books, one.books, 3, &got, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(
        stamp_registry_results_find(books, one.books, UINT64_MAX, &got, NULL),
        STAMP_E_MISSING);
}

static void number_that_cannot_be_is_refused(void **state)
{
    struct stamp_registry_results row = results(0xAA, 0);

    (void)state;
    assert_int_equal(stamp_registry_results_add(books, &row, NULL), STAMP_E_RANGE);
    row.number = UINT64_MAX;
    assert_int_equal(stamp_registry_results_add(books, &row, NULL), STAMP_E_RANGE);
    assert_int_equal(books_number("SELECT count(*) FROM books_results"), 0);
}

static void results_of_a_batch_are_listed_by_page(void **state)
{
    struct stamp_registry_results page[3];
    struct stamp_registry_results row;
    size_t n = 3;
    unsigned total = 0;

    (void)state;
    for (unsigned i = 8; i-- > 0;) { /* two books, four numbers each */
        row = results(i % 2 == 0 ? 0x01 : 0xFE, 1 + i / 2);
        assert_int_equal(stamp_registry_results_add(books, &row, NULL), STAMP_OK);
    }
    row = results(0x77, 1);
    row.batch = 8;
    assert_int_equal(stamp_registry_results_add(books, &row, NULL), STAMP_OK);
    while (n == 3) {
        assert_int_equal(stamp_registry_results_list(
                             books, 7, total == 0 ? NULL : &page[2], page, 3, &n, NULL),
                         STAMP_OK);
        for (size_t i = 0; i < n; i++, total++) {
            assert_int_equal(page[i].books[0], total < 4 ? 0x01 : 0xFE);
            assert_int_equal(page[i].number, 1 + total % 4);
        }
    }
    assert_int_equal(total, 8);
}

/* ---- import ---- */

#define CHANGES 6000u

struct changes {
    char serial[CHANGES][STAMP_SERIAL_SIZE];
    char chip[CHANGES][16];
    struct stamp_registry_change change[CHANGES];
    size_t n;
};
static struct changes told;

static void add_change(unsigned number, enum stamp_registry_state to, time_t at,
                       bool with_chip)
{
    struct stamp_registry_change *c = &told.change[told.n];

    (void)snprintf(told.serial[told.n], sizeof told.serial[0], "SN-%06u", number);
    (void)snprintf(told.chip[told.n], sizeof told.chip[0], "CHIP-%u", number);
    *c = (struct stamp_registry_change){.serial = told.serial[told.n],
                                        .to = to,
                                        .at = at,
                                        .chip = with_chip ? told.chip[told.n] : NULL,
                                        .who = "station 3",
                                        .where = "line 1",
                                        .why = "results"};
    told.n++;
}

/* Of three: one struck, one scrapped, one returned and revoked. */
static void tell(unsigned count)
{
    told.n = 0;
    for (unsigned i = 1; i <= count; i++) {
        if (i % 3 == 0) {
            add_change(i, STAMP_REGISTRY_STRUCK, NOW + 5, true);
        } else if (i % 3 == 1) {
            add_change(i, STAMP_REGISTRY_SCRAPPED, NOW + 5, i % 2 == 0);
        } else {
            add_change(i, STAMP_REGISTRY_RETURNED, NOW + 5, false);
            add_change(i, STAMP_REGISTRY_REVOKED, NOW + 5, false);
        }
    }
}

static enum stamp_err import(size_t step, size_t *bad, struct stamp_error *err)
{
    STAMP_REGISTRY_IMPORT_AUTO *im = NULL;
    struct stamp_registry_results row = results(0xAA, 1);
    enum stamp_err rc = stamp_registry_import_begin(books, &im, err);

    for (size_t i = 0; i < told.n && rc == STAMP_OK; i += step) {
        rc = stamp_registry_import_add(im, told.change + i,
                                       told.n - i < step ? told.n - i : step, bad, err);
        *bad += i;
    }
    return rc == STAMP_OK ? stamp_registry_import_commit(im, &row, err) : rc;
}

static void check_untouched(uint32_t count)
{
    assert_int_equal(balance().outstanding, count);
    assert_int_equal(books_number("SELECT count(*) FROM event"), 0);
    assert_int_equal(books_number("SELECT count(*) FROM claim_chip"), 0);
    assert_int_equal(books_number("SELECT count(*) FROM books_results"), 0);
    assert_int_equal(books_number("SELECT count(*) FROM device WHERE state <> 1"
                                  " OR changed_at IS NOT NULL OR chip IS NOT NULL"),
                     0);
}

static void check_imported(void)
{
    struct stamp_registry_balance b = balance();
    struct stamp_registry_row row;

    assert_int_equal(b.struck, 1000);
    assert_int_equal(b.scrapped, 1000);
    assert_int_equal(b.returned, 1000);
    assert_int_equal(b.revoked, 0);
    assert_int_equal(b.outstanding, 0);
    assert_int_equal(b.state[STAMP_REGISTRY_REVOKED], 1000);
    assert_int_equal(b.state[STAMP_REGISTRY_RETURNED], 0);
    assert_int_equal(books_number("SELECT count(*) FROM event"), 4000);
    assert_int_equal(books_number("SELECT count(*) FROM event WHERE n = 1 AND state = 9"
                                  " AND who = 'station 3' AND place = 'line 1'"
                                  " AND why = 'results'"),
                     1000);
    assert_int_equal(books_number("SELECT count(*) FROM claim_chip c JOIN device d"
                                  " ON d.id = c.device AND d.chip = c.chip"),
                     1500);
    assert_int_equal(books_number("SELECT count(*) FROM books_results"), 1);
    assert_int_equal(stamp_registry_find_chip(books, "CHIP-2997", &row, NULL), STAMP_OK);
    assert_string_equal(row.serial, "SN-002997");
    assert_int_equal(row.state, STAMP_REGISTRY_STRUCK);
    assert_int_equal(row.at, NOW + 5);
    stamp_registry_row_fini(&row);
}

static void import_books_devices_and_results_together(void **state)
{
    struct stamp_registry_results last;
    size_t bad = 0;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    make_batch(3000);
    tell(3000);
    assert_int_equal(import(1700, &bad, NULL), STAMP_OK);
    check_imported();
    /* again: the devices are passed over, the results are there */
    assert_int_equal(stamp_registry_results_last(
                         books, (const uint8_t *)results(0xAA, 1).books, &last, NULL),
                     STAMP_OK);
    told.n = 1; /* SN-000001, scrapped: on the books to the second */
    assert_int_equal(import(1, &bad, &err), STAMP_E_EXISTS);
    check_imported();
}

static void refused_change_leaves_nothing_of_an_import(void **state)
{
    size_t bad = 0;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    make_batch(3000);
    tell(3000);
    told.change[3500].serial = "SN-999999";
    assert_int_equal(import(1000, &bad, &err), STAMP_E_MISSING);
    assert_string_equal(err.what, "serial 'SN-999999' is not on the books");
    assert_int_equal(bad, 3500);
    check_untouched(3000);
    tell(3000);
    told.change[3500].to = STAMP_REGISTRY_ACTIVE;
    err = (struct stamp_error)STAMP_ERROR_INIT;
    assert_int_equal(import(1000, &bad, &err), STAMP_E_STATE);
    assert_int_equal(bad, 3500);
    check_untouched(3000);
}

static void chip_of_another_device_leaves_nothing_of_an_import(void **state)
{
    static const struct {
        size_t at, of; /* the change at `at` has the chip of `of` */
    } cases[] = {{3999, 3}, {3999, 3995}, {3, 7}};
    size_t bad = 0;

    (void)state;
    make_batch(3000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;

        tell(3000);
        assert_int_equal(told.change[cases[i].at].to, STAMP_REGISTRY_STRUCK);
        assert_int_equal(told.change[cases[i].of].to, STAMP_REGISTRY_STRUCK);
        told.change[cases[i].at].chip = told.chip[cases[i].of];
        assert_int_equal(import(1000, &bad, &err), STAMP_E_DUPLICATE);
        assert_non_null(strstr(err.what, "is another device's already"));
        assert_non_null(strstr(err.what, told.chip[cases[i].of]));
        assert_int_equal(bad, cases[i].at > cases[i].of ? cases[i].at : cases[i].of);
        check_untouched(3000);
    }
}

static void import_that_is_over_books_nothing_more(void **state)
{
    STAMP_REGISTRY_IMPORT_AUTO *im = NULL;
    struct stamp_registry_results row = results(0xAA, 1);

    (void)state;
    make_batch(3);
    tell(3);
    told.change[2].to = STAMP_REGISTRY_ACTIVE;
    assert_int_equal(stamp_registry_import_begin(books, &im, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_import_add(im, told.change, told.n, NULL, NULL),
                     STAMP_E_STATE);
    assert_int_equal(stamp_registry_import_add(im, told.change, 1, NULL, NULL),
                     STAMP_E_STATE);
    assert_int_equal(stamp_registry_import_commit(im, &row, NULL), STAMP_E_STATE);
    stamp_registry_import_free(&im);
    check_untouched(3);
    assert_int_equal(stamp_registry_import_begin(books, &im, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_import_add(im, told.change, 2, NULL, NULL), STAMP_OK);
    stamp_registry_import_free(&im); /* given up */
    check_untouched(3);
}

#define BOOK(test) cmocka_unit_test_setup_teardown(test, open_books, books_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        BOOK(results_are_booked_once_for_each_number),
        BOOK(number_that_cannot_be_is_refused),
        BOOK(results_of_a_batch_are_listed_by_page),
        BOOK(import_books_devices_and_results_together),
        BOOK(refused_change_leaves_nothing_of_an_import),
        BOOK(chip_of_another_device_leaves_nothing_of_an_import),
        BOOK(import_that_is_over_books_nothing_more),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
