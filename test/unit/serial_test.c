#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "host/serial.h"

/* 2026-02-03 04:05:06 UTC, a Tuesday of week 6 */
#define WHEN ((time_t)1770091506)
/* 2027-01-01 00:00:00 UTC, a Friday of week 53 of 2026 */
#define NEW_YEAR ((time_t)1798761600)

static void patterns_give_known_serials(void **state)
{
    static const struct {
        const char *pattern;
        uint64_t counter;
        time_t when;
        const char *want;
    } cases[] = {
        {"SN-{counter:6}", 42, WHEN, "SN-000042"},
        {"SN-{counter:6}", 0, WHEN, "SN-000000"},
        {"{counter:1}", 9, WHEN, "9"},
        {"{counter:18}", 999999999999999999u, WHEN, "999999999999999999"},
        {"{counter:4:16}", 0xBEEF, WHEN, "BEEF"},
        {"{counter:4:32}", 32 * 32 * 32 * 31 + 18, WHEN, "Z00J"},
        {"{year}{month}{day}-{counter:3}", 7, WHEN, "20260203-007"},
        {"{yyyymmdd}{counter:3}", 7, WHEN, "20260203007"},
        {"{yy}{week}{counter:3}", 7, WHEN, "2606007"},
        {"{year}{week}-{counter:3}", 7, NEW_YEAR, "202653-007"},
        {"{yy}{week}-{counter:3}", 7, NEW_YEAR, "2653-007"},
        {"{year}{month}{week}-{counter:3}", 7, NEW_YEAR, "20270153-007"},
        {"{counter:10}{luhn:10}", 7992739871, WHEN, "79927398713"},
        {"0079-{counter:4}{luhn:10}", 0, WHEN, "0079-00004"},
        {"AZ{counter:1}{luhn}", 0, WHEN, "AZ0H"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_serial_pattern pat;
        char out[STAMP_SERIAL_SIZE];

        assert_int_equal(stamp_serial_parse(&pat, cases[i].pattern, NULL, &err),
                         STAMP_OK);
        assert_int_equal(stamp_serial_format(&pat, cases[i].counter, cases[i].when, out,
                                             sizeof out, &err),
                         STAMP_OK);
        assert_string_equal(out, cases[i].want);
        assert_int_equal(pat.len, strlen(out));
        assert_true(stamp_serial_matches(&pat, out));
        assert_int_equal(stamp_serial_check(out, &err), STAMP_OK);
    }
}

/* Every day of 400 years, after which the calendar repeats, against the C library. */
static void a_patterns_text_makes_the_same_serials(void **state)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool ascends;
    } cases[] = {
        {"SN-{counter:6}", "SN-{counter:6:10}", true},
        {"({yy}{month}{day}){counter:4:32}{luhn}",
         "({yy}{month}{day}){counter:4:32}{luhn:36}", true},
        {"{year}{week}{counter:18}{luhn:10}", "{year}{week}{counter:18:10}{luhn:10}",
         true},
        {"{yyyymmdd}-{random:20}", "{yyyymmdd}-{random:20}", false},
        {"{counter:3}{random:2}", "{counter:3:10}{random:2}", false},
    };
    struct stamp_serial_pattern pat;
    struct stamp_serial_pattern again;
    char text[STAMP_SERIAL_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(stamp_serial_parse(&pat, cases[i].pattern, NULL, NULL),
                         STAMP_OK);
        stamp_serial_text(&pat, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(stamp_serial_ascends(&pat), cases[i].ascends);
        assert_int_equal(stamp_serial_parse(&again, text, NULL, NULL), STAMP_OK);
        assert_memory_equal(&again, &pat, sizeof pat);
    }
}

static void weeks_are_those_of_iso_8601(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_serial_pattern pat;

    (void)state;
    assert_int_equal(stamp_serial_parse(&pat, "{year}{week}{counter:1}", NULL, &err),
                     STAMP_OK);
    for (time_t day = 0; day < 146097; day++) {
        time_t when = day * 86400 + 86399;
        char out[STAMP_SERIAL_SIZE];
        char want[16];
        struct tm tm;

        assert_non_null(gmtime_r(&when, &tm));
        assert_int_equal(strftime(want, sizeof want, "%G%V0", &tm), 7);
        assert_int_equal(stamp_serial_format(&pat, 0, when, out, sizeof out, &err),
                         STAMP_OK);
        assert_string_equal(out, want);
    }
}

static void wrong_patterns_are_told_apart(void **state)
{
    static const struct {
        const char *pattern;
        const char *alphabet;
        const char *want;
    } cases[] = {
        {"", NULL, "the serial pattern is empty"},
        {"SN", NULL,
         "serials of this pattern would not be unique: it has no {counter:N}, and 0 "
         "random "
         "bits of at least 40"},
        {"SN-{random:7}", NULL,
         "serials of this pattern would not be unique: it has no {counter:N}, and 35 "
         "random "
         "bits of at least 40"},
        {"{random:39}", "01",
         "serials of this pattern would not be unique: it has no {counter:N}, and 39 "
         "random "
         "bits of at least 40"},
        {"{year", NULL, "a '{' is not closed"},
        {"{ye{ar}", NULL, "a '{' is not closed"},
        {"ab}c", NULL, "a '}' closes nothing"},
        {"{counter}", NULL, "'{counter}' needs a width, as in {counter:6}"},
        {"{random}", NULL, "'{random}' needs a width, as in {random:6}"},
        {"{counter:0}", NULL, "a counter has 1 to 18 characters, not 0"},
        {"{counter:19}", NULL, "a counter has 1 to 18 characters, not 19"},
        {"{counter:6:8}", NULL, "a counter's base is 10, 16 or 32, not 8"},
        {"{counter:6:10:1}", NULL,
         "'{counter:6:10:1}' is not an element of a serial pattern"},
        {"{counter:6:10:}", NULL,
         "'{counter:6:10:}' is not an element of a serial pattern"},
        {"{counter:x}", NULL, "'{counter:x}' is not an element of a serial pattern"},
        {"{counter:}", NULL, "'{counter:}' is not an element of a serial pattern"},
        {"{counter:6666}", NULL,
         "'{counter:6666}' is not an element of a serial pattern"},
        {"{Counter:6}", NULL, "'{Counter}' is not an element of a serial pattern"},
        {"{countercounter}", NULL,
         "'{countercounter}' is not an element of a serial pattern"},
        {"{}", NULL, "'{}' is not an element of a serial pattern"},
        {"{year:4}{counter:1}", NULL, "'{year}' takes fewer numbers"},
        {"{random:0}", NULL, "{random} has 1 to 64 characters, not 0"},
        {"{random:65}", NULL, "{random} has 1 to 64 characters, not 65"},
        {"{counter:6}{random:59}", NULL,
         "the pattern makes serials of more than 64 characters"},
        {"{counter:6}{luhn:16}", NULL, "{luhn}'s base is 10 or 36, not 16"},
        {"{luhn}{counter:6}", NULL, "nothing may follow {luhn}: it checks all before it"},
        {"{counter:6}{luhn}x", NULL,
         "nothing may follow {luhn}: it checks all before it"},
        {"SN{counter:6}{luhn:10}", NULL,
         "{luhn:10} checks digits only, and there are letters before it; use {luhn}"},
        {"{counter:6:16}{luhn:10}", NULL,
         "{luhn:10} checks digits only, and there are letters before it; use {luhn}"},
        {"{random:9}{luhn:10}", NULL,
         "{luhn:10} checks digits only, and there are letters before it; use {luhn}"},
        {"A B{counter:6}", NULL, "a serial cannot have the byte 0x20"},
        {"A_B{counter:6}", NULL,
         "a serial cannot have '_': a certificate's serialNumber has no such character"},
        {"{{{counter:6}", NULL,
         "a serial cannot have '{': a certificate's serialNumber has no such character"},
        {"\xC3\xA4{counter:6}", NULL, "a serial cannot have the byte 0xc3"},
        {"{random:64}", "A", "the serial's alphabet has fewer than 2 characters"},
        {"{random:64}", "ABA", "the serial's alphabet has 'A' twice"},
        {"{random:64}", "AB-", "the serial's alphabet may hold letters and digits only"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_serial_pattern pat;

        assert_int_equal(
            stamp_serial_parse(&pat, cases[i].pattern, cases[i].alphabet, &err),
            STAMP_E_CONFIG);
        assert_string_equal(err.what, cases[i].want);
        assert_int_equal(pat.n_elements, 0);
    }
}

static void longest_pattern_is_accepted(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_serial_pattern pat;
    char text[100];
    char out[STAMP_SERIAL_SIZE];

    (void)state;
    memset(text, 'x', 58);
    memcpy(text + 58, "{counter:6}", 12);
    assert_int_equal(stamp_serial_parse(&pat, text, NULL, &err), STAMP_OK);
    assert_int_equal(stamp_serial_format(&pat, 1, WHEN, out, sizeof out, &err), STAMP_OK);
    assert_int_equal(strlen(out), 64);
    assert_int_equal(stamp_serial_format(&pat, 1, WHEN, out, sizeof out - 1, &err),
                     STAMP_E_SPACE);
    assert_string_equal(out, "");
    memset(text, 'x', 59);
    memcpy(text + 59, "{counter:6}", 12);
    stamp_error_clear(&err);
    assert_int_equal(stamp_serial_parse(&pat, text, NULL, &err), STAMP_E_CONFIG);
    memset(text, 'x', 65);
    text[65] = '\0';
    stamp_error_clear(&err);
    assert_int_equal(stamp_serial_parse(&pat, text, NULL, &err), STAMP_E_CONFIG);
    assert_string_equal(err.what, "the pattern makes serials of more than 64 characters");
}

static void counter_past_its_width_is_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_serial_pattern pat;
    char out[STAMP_SERIAL_SIZE];

    (void)state;
    assert_int_equal(stamp_serial_parse(&pat, "A{counter:3:16}", NULL, &err), STAMP_OK);
    assert_int_equal(stamp_serial_format(&pat, 0xFFF, WHEN, out, sizeof out, &err),
                     STAMP_OK);
    assert_string_equal(out, "AFFF");
    assert_int_equal(stamp_serial_format(&pat, 0x1000, WHEN, out, sizeof out, &err),
                     STAMP_E_RANGE);
    assert_string_equal(err.what,
                        "the serial pattern is used up: 4096 has more than the 3 "
                        "characters of its counter");
    assert_string_equal(out, "");
}

static void other_serials_do_not_match(void **state)
{
    static const struct {
        const char *pattern;
        const char *text;
    } cases[] = {
        {"SN-{counter:6}", "SN-00004"},
        {"SN-{counter:6}", "SN-0000423"},
        {"SN-{counter:6}", "SM-000042"},
        {"SN-{counter:6}", "SN-00004A"},
        {"SN-{counter:6:16}", "SN-00004a"},
        {"{counter:4:32}", "000I"},
        {"{year}{month}-{counter:2}", "202613-00"},
        {"{year}{month}-{counter:2}", "202600-00"},
        {"{year}{month}-{counter:2}", "000001-00"},
        {"{year}{week}-{counter:2}", "202654-00"},
        {"{yyyymmdd}{counter:1}", "202602320"},
        {"{day}{counter:1}", "320"},
        {"{random:8}", "ABCDEFG0"},
        {"{counter:10}{luhn:10}", "79927398710"},
        {"{counter:10}{luhn:10}", "79927398731"},
        {"SN-{counter:6}", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_serial_pattern pat;

        assert_int_equal(stamp_serial_parse(&pat, cases[i].pattern, NULL, &err),
                         STAMP_OK);
        assert_false(stamp_serial_matches(&pat, cases[i].text));
    }
}

/* The sums are worked out by hand from the definition. */
static void luhn_gives_known_characters(void **state)
{
    static const struct {
        const char *text;
        unsigned base;
        char want;
    } cases[] = {
        {"7992739871", 10, '3'},
        {"453957876362148", 10, '6'},
        {"37828224631000", 10, '5'},
        {"0000", 10, '0'},
        {"0", 36, '0'},
        {"A", 36, 'G'},  /* 10 doubled = 20; 36 - 20 = 16 */
        {"Z", 36, '1'},  /* 35 doubled = 70 = 1 x 36 + 34, 1 + 34 = 35 */
        {"AZ", 36, 'R'}, /* 35 + 10 = 45, 45 mod 36 = 9; 36 - 9 = 27 */
        {"A-Z", 36, 'R'},
        {"az", 36, 'R'},
        {"A", 10, '\0'},
        {"--", 36, '\0'},
        {"", 36, '\0'},
        {"1", 16, '\0'},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].text);
        char whole[40];

        assert_int_equal(stamp_luhn(cases[i].text, len, cases[i].base), cases[i].want);
        if (cases[i].want != '\0') {
            (void)snprintf(whole, sizeof whole, "%s%c", cases[i].text, cases[i].want);
            assert_true(stamp_luhn_ok(whole, len + 1, cases[i].base));
        }
    }
    assert_false(stamp_luhn_ok("", 0, 36));
    assert_false(stamp_luhn_ok("7", 1, 10));
}

/* Every change of one character, and every swap of two neighbours but 0 and the last of
 * the alphabet, is seen: what a check character is for. */
static void luhn_sees_single_errors_and_swaps(void **state)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char text[] = "SN202606000042?";
    size_t last = sizeof text - 2;

    (void)state;
    text[last] = stamp_luhn(text, last, 36);
    assert_true(stamp_luhn_ok(text, last + 1, 36));
    for (size_t i = 0; i <= last; i++) {
        char old = text[i];

        for (const char *d = digits; *d != '\0'; d++) {
            text[i] = *d;
            assert_int_equal(stamp_luhn_ok(text, last + 1, 36), *d == old);
        }
        text[i] = old;
        if (i > 0 && text[i - 1] != old) {
            text[i] = text[i - 1];
            text[i - 1] = old;
            assert_false(stamp_luhn_ok(text, last + 1, 36));
            text[i - 1] = text[i];
            text[i] = old;
        }
    }
}

static void random_serials_use_the_alphabet_evenly(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    unsigned seen[256] = {0};
    char out[1001];

    (void)state;
    for (int i = 0; i < 60; i++) {
        assert_int_equal(stamp_alphabet_draw("ABCDEFGHIJ", 1000, out, &err), STAMP_OK);
        assert_int_equal(strlen(out), 1000);
        for (size_t k = 0; k < 1000; k++) {
            seen[(unsigned char)out[k]]++;
        }
    }
    /* 6,000 each; 8 standard deviations of 73 */
    for (unsigned c = 'A'; c <= 'J'; c++) {
        assert_in_range(seen[c], 6000 - 590, 6000 + 590);
    }
}

static void random_serials_differ_and_match(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_serial_pattern pat;
    char a[STAMP_SERIAL_SIZE];
    char b[STAMP_SERIAL_SIZE];

    (void)state;
    assert_int_equal(stamp_serial_parse(&pat, "R{random:20}{luhn}", "abcdef01", &err),
                     STAMP_OK);
    assert_false(stamp_serial_has_counter(&pat));
    assert_int_equal(stamp_serial_format(&pat, 0, WHEN, a, sizeof a, &err), STAMP_OK);
    assert_int_equal(stamp_serial_format(&pat, 0, WHEN, b, sizeof b, &err), STAMP_OK);
    assert_string_not_equal(a, b);
    assert_true(stamp_serial_matches(&pat, a));
    assert_true(stamp_serial_matches(&pat, b));
}

static void serials_a_certificate_cannot_carry_are_refused(void **state)
{
    static const char *const good[] = {"A", "0042", "a'()+,-./:=?Z"};
    static const char *const bad[] = {"", "a b", "a_b", "a\"b", "\xC3\xA4", "a;b", "a\n"};
    struct stamp_error err = STAMP_ERROR_INIT;
    char longest[66];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(stamp_serial_check(good[i], &err), STAMP_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(stamp_serial_check(bad[i], &err), STAMP_E_RANGE);
    }
    memset(longest, '1', 65);
    longest[65] = '\0';
    assert_int_equal(stamp_serial_check(longest, &err), STAMP_E_RANGE);
    assert_int_equal(stamp_serial_check(longest + 1, &err), STAMP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_give_known_serials),
        cmocka_unit_test(a_patterns_text_makes_the_same_serials),
        cmocka_unit_test(weeks_are_those_of_iso_8601),
        cmocka_unit_test(wrong_patterns_are_told_apart),
        cmocka_unit_test(longest_pattern_is_accepted),
        cmocka_unit_test(counter_past_its_width_is_refused),
        cmocka_unit_test(other_serials_do_not_match),
        cmocka_unit_test(luhn_gives_known_characters),
        cmocka_unit_test(luhn_sees_single_errors_and_swaps),
        cmocka_unit_test(random_serials_use_the_alphabet_evenly),
        cmocka_unit_test(random_serials_differ_and_match),
        cmocka_unit_test(serials_a_certificate_cannot_carry_are_refused),
    };

    return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
