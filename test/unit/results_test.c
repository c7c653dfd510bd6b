/* Reading results: what is not as SPEC 12 says is refused, and told nothing of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/key.h"
#include "test/fixture/results.h"

#define COUNT 5u
#define T ((time_t)1750000100)

static struct batch_fixture f;
static struct results_maker maker;
static struct stamp_books_line lines[COUNT];
static struct results_text text;
static struct stamp_error err;
static char path[80];

static int begin_all(void **state)
{
    (void)state;
    batch_fixture_init(&f, STAMP_PRODUCTION);
    batch_fixture_write(&f, COUNT);
    results_maker_init(&maker, &f, 0xB0);
    (void)snprintf(path, sizeof path, "%s.results", f.path);
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    (void)unlink(path);
    results_maker_fini(&maker);
    batch_fixture_fini(&f);
    return 0;
}

/* One of each, and two that were returned. */
static int begin(void **state)
{
    (void)state;
    memset(lines, 0, sizeof lines);
    for (uint32_t i = 0; i < COUNT; i++) {
        lines[i].index = i;
        batch_fixture_serial(i, lines[i].serial);
        if (i < 3) {
            lines[i].result = (enum stamp_books_result)(i + 1);
            lines[i].handed_at = T + (time_t)i;
        }
        if (i == 1 || i == 2) {
            lines[i].reported_at = T + 10;
            (void)snprintf(lines[i].chip, sizeof lines[i].chip, "chip-%u", i);
            (void)snprintf(lines[i].who, sizeof lines[i].who, "J\xc3\xbcrg");
            (void)snprintf(lines[i].where, sizeof lines[i].where, "line 1");
        }
    }
    (void)snprintf(lines[2].reason, sizeof lines[2].reason, "bent");
    text = (struct results_text){.version = 1,
                                 .number = 1,
                                 .made_at = 1750000200,
                                 .events = 7,
                                 .lines = lines,
                                 .n = COUNT};
    stamp_error_clear(&err);
    return 0;
}

static enum stamp_err open_file(struct stamp_results **out)
{
    stamp_error_clear(&err);
    return stamp_results_open(path, &f.pki.root, 1, out, &err);
}

static void refused(enum stamp_err want, const char *what)
{
    struct stamp_results *r = NULL;

    assert_int_equal(open_file(&r), want);
    assert_null(r);
    if (strstr(err.what, what) == NULL) {
        fail_msg("'%s' is not in '%s'", what, err.what);
    }
}

/* ---- what is right ---- */

/* SPEC 12-4 to 12-6. */
static void every_entry_is_told_as_it_was_written(void **state)
{
    STAMP_RESULTS_AUTO *r = NULL;
    struct stamp_books_line line;
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];

    (void)state;
    results_put(&maker, &text, path, digest);
    assert_int_equal(open_file(&r), STAMP_OK);
    assert_int_equal(stamp_results_head(r)->count, COUNT);
    assert_int_equal(stamp_results_head(r)->number, 1);
    assert_int_equal(stamp_results_head(r)->events, 7);
    assert_int_equal(stamp_results_head(r)->made_at, 1750000200);
    assert_string_equal(stamp_results_head(r)->product, "Thermostat");
    assert_memory_equal(stamp_results_head(r)->batch, maker.batch, 16);
    assert_memory_equal(stamp_results_head(r)->books, maker.books, 16);
    assert_memory_equal(stamp_results_head(r)->digest, digest, sizeof digest);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_int_equal(stamp_results_next(r, &line, &err), STAMP_OK);
            assert_memory_equal(&line, &lines[i], sizeof line);
        }
        assert_int_equal(stamp_results_next(r, &line, &err), STAMP_E_MISSING);
        assert_int_equal(stamp_results_rewind(r, &err), STAMP_OK);
    }
}

/* SPEC 12-5: number 1 follows nothing, another number does. */
static void later_results_name_those_before(void **state)
{
    STAMP_RESULTS_AUTO *r = NULL;

    (void)state;
    text.number = 2;
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_CORRUPT, "the head of");
    text.previous[31] = 1;
    results_put(&maker, &text, path, NULL);
    assert_int_equal(open_file(&r), STAMP_OK);
    assert_memory_equal(stamp_results_head(r)->previous, text.previous, 32);
    text.number = 1;
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_CORRUPT, "the head of");
    text.number = 0;
    memset(text.previous, 0, sizeof text.previous);
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_CORRUPT, "the head of");
}

/* ---- what is not ---- */

static void every_flipped_bit_is_found(void **state)
{
    size_t len = 0;
    uint8_t *bytes = results_unsigned(&maker, &text, &len);

    (void)state;
    len = results_sign(&maker, bytes, len, NULL);
    for (size_t i = 0; i < len; i++) {
        struct stamp_results *r = NULL;
        uint8_t bit = (uint8_t)(1u << i % 8);

        bytes[i] ^= bit;
        batch_fixture_put(path, bytes, len);
        if (open_file(&r) == STAMP_OK) {
            fail_msg("byte %zu of %zu does not count", i, len);
        }
        assert_null(r);
        assert_true(err.code != STAMP_OK && strstr(err.what, path) != NULL);
        bytes[i] ^= bit;
    }
    free(bytes);
}

static void file_of_any_other_length_is_refused(void **state)
{
    size_t len = 0;
    uint8_t *bytes = results_unsigned(&maker, &text, &len);
    struct stamp_results *r = NULL;

    (void)state;
    len = results_sign(&maker, bytes, len, NULL);
    for (size_t n = 0; n < len; n += n + 400 < len ? 37 : 1) {
        batch_fixture_put(path, bytes, n);
        assert_true(open_file(&r) == STAMP_E_CORRUPT || err.code == STAMP_E_FORMAT);
        assert_null(r);
    }
    bytes[len] = 0;
    batch_fixture_put(path, bytes, len + 1);
    refused(STAMP_E_CORRUPT, "the end of");
    free(bytes);
    assert_int_equal(unlink(path), 0);
    refused(STAMP_E_IO, "cannot open");
}

/* SPEC 12-6, 12-9: the station's own signature does not make it right. */
static void entries_that_are_not_the_batch_are_refused(void **state)
{
    (void)state;
    text.n = COUNT - 1; /* one is left out */
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_CORRUPT, "entry 4 of");

    begin(NULL);
    lines[3].index = 2; /* one twice */
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_CORRUPT, "entry 3 of");

    begin(NULL);
    batch_fixture_serial(2, lines[3].serial); /* in place of another */
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_CORRUPT, "entry 3 of");

    begin(NULL);
    batch_fixture_serial(9, lines[4].serial); /* not the last one of the manifest */
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_CORRUPT, "entry 4 of");

    begin(NULL);
    (void)snprintf(lines[0].serial, sizeof lines[0].serial, "A");
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_CORRUPT, "entry 0 of");
}

/* SPEC 4-8, 4-9. */
static void texts_that_no_terminal_should_see_are_refused(void **state)
{
    static const char *const bad[] = {"a\tb", "\x1b[2J", "\xc2\x85", "\xff", "\xc3"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(NULL);
        (void)snprintf(lines[2].reason, sizeof lines[2].reason, "%s", bad[i]);
        results_put(&maker, &text, path, NULL);
        refused(STAMP_E_CORRUPT, "entry 2 of");
        begin(NULL);
        (void)snprintf(lines[1].chip, sizeof lines[1].chip, "%s", bad[i]);
        results_put(&maker, &text, path, NULL);
        refused(STAMP_E_CORRUPT, "entry 1 of");
    }
}

static void results_of_a_newer_program_are_told_so(void **state)
{
    (void)state;
    text.version = 2;
    results_put(&maker, &text, path, NULL);
    refused(STAMP_E_VERSION, "made by a newer program");
    batch_fixture_put(path, (const uint8_t *)"no results at all", 17);
    refused(STAMP_E_FORMAT, "are no results of a batch");
}

/* SPEC 12-3, 12-8, 12-9: each signature in the chain. */
static void who_could_not_open_the_batch_has_no_say(void **state)
{
    struct results_maker other = maker;
    STAMP_PKEY_AUTO *key = NULL;

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    other.voucher = key;
    results_put(&other, &text, path, NULL);
    refused(STAMP_E_AUTH, "could not open the batch");
    other = maker;
    other.batch[3] ^= 1;
    results_put(&other, &text, path, NULL);
    refused(STAMP_E_AUTH, "for another batch file");
    other = maker;
    other.volume++;
    results_put(&other, &text, path, NULL);
    refused(STAMP_E_AUTH, "for another batch file");
}

static void results_signed_by_other_books_are_refused(void **state)
{
    struct results_maker other = maker;
    STAMP_PKEY_AUTO *key = NULL;
    size_t len = 0;
    uint8_t *bytes = results_unsigned(&maker, &text, &len);

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    other.journal = key;
    len = results_sign(&other, bytes, len, NULL);
    batch_fixture_put(path, bytes, len);
    refused(STAMP_E_AUTH, "are not signed by the books they name");
    free(bytes);
}

/* SPEC 11-23. */
static void results_of_another_owner_are_refused(void **state)
{
    static struct fixture other;
    struct stamp_results *r = NULL;

    (void)state;
    results_put(&maker, &text, path, NULL);
    fixture_init(&other, STAMP_PRODUCTION);
    assert_int_equal(stamp_results_open(path, &other.root, 1, &r, &err), STAMP_E_AUTH);
    assert_null(r);
    fixture_fini(&other);
}

static void file_that_changes_after_the_check_is_found(void **state)
{
    STAMP_RESULTS_AUTO *r = NULL;
    struct stamp_books_line line;

    (void)state;
    results_put(&maker, &text, path, NULL);
    assert_int_equal(open_file(&r), STAMP_OK);
    lines[1].chip[0] = 'C'; /* signed as well, and of the same length */
    results_put(&maker, &text, path, NULL);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(stamp_results_next(r, &line, &err), STAMP_OK);
    }
    assert_int_equal(stamp_results_next(r, &line, &err), STAMP_E_CORRUPT);
    assert_non_null(strstr(err.what, "was changed while it was read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_entry_is_told_as_it_was_written, begin),
        cmocka_unit_test_setup(later_results_name_those_before, begin),
        cmocka_unit_test_setup(every_flipped_bit_is_found, begin),
        cmocka_unit_test_setup(file_of_any_other_length_is_refused, begin),
        cmocka_unit_test_setup(entries_that_are_not_the_batch_are_refused, begin),
        cmocka_unit_test_setup(texts_that_no_terminal_should_see_are_refused, begin),
        cmocka_unit_test_setup(results_of_a_newer_program_are_told_so, begin),
        cmocka_unit_test_setup(who_could_not_open_the_batch_has_no_say, begin),
        cmocka_unit_test_setup(results_signed_by_other_books_are_refused, begin),
        cmocka_unit_test_setup(results_of_another_owner_are_refused, begin),
        cmocka_unit_test_setup(file_that_changes_after_the_check_is_found, begin),
    };

    return cmocka_run_group_tests(tests, begin_all, end_all);
}
