#include "host/serial.h"

#include <string.h>

#include "host/serial_own.h"

static const char base32_digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
static const char plain_digits[] = "0123456789ABCDEF";

/* X.680 PrintableString without the space. Not isalnum(): that depends on the locale. */
bool stampi_serial_printable(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("'()+,-./:=?", c) != NULL);
}

static const char *digits_of(unsigned base)
{
    return base == 32 ? base32_digits : plain_digits;
}

bool stamp_serial_has_counter(const struct stamp_serial_pattern *pat)
{
    for (size_t i = 0; i < pat->n_elements; i++) {
        if (pat->element[i].kind == STAMP_SERIAL_COUNTER) {
            return true;
        }
    }
    return false;
}

/* Leading zeros kept. False where the value needs more than `width` digits. */
static bool put_number(char *out, size_t width, uint64_t value, unsigned base)
{
    for (size_t i = width; i > 0; i--) {
        out[i - 1] = digits_of(base)[value % base];
        value /= base;
    }
    return value == 0;
}

struct date {
    unsigned year;
    unsigned month;
    unsigned day;
    unsigned week;
    unsigned week_year;
};

static int days_in(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 366 : 365;
}

/*
 * The ISO 8601 week: weeks begin on Monday, and the year's first is the one with its
 * first Thursday. So a day's week is that of its Thursday, and so is the week's year.
 */
static void set_week(const struct tm *tm, struct date *out)
{
    int year = tm->tm_year + 1900;
    int thursday = tm->tm_yday + 3 - (tm->tm_wday + 6) % 7; /* day of the year, from 0 */

    if (thursday < 0) {
        year--;
        thursday += days_in(year);
    } else if (thursday >= days_in(year)) {
        thursday -= days_in(year);
        year++;
    }
    out->week_year = (unsigned)year;
    out->week = (unsigned)(thursday / 7 + 1);
}

static enum stamp_err set_date(time_t when, bool week_year, struct date *out,
                               struct stamp_error *err)
{
    struct tm tm;

    if (gmtime_r(&when, &tm) == NULL || tm.tm_year < 2 - 1900 ||
        tm.tm_year > 9998 - 1900) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the date is out of range");
    }
    set_week(&tm, out);
    out->year = week_year ? out->week_year : (unsigned)tm.tm_year + 1900u;
    out->month = (unsigned)tm.tm_mon + 1u;
    out->day = (unsigned)tm.tm_mday;
    return STAMP_OK;
}

static bool put_date(const struct stamp_serial_element *e, const struct date *d,
                     char *out)
{
    uint64_t value;

    switch (e->kind) {
    case STAMP_SERIAL_YEAR:
        value = d->year;
        break;
    case STAMP_SERIAL_YY:
        value = d->year % 100;
        break;
    case STAMP_SERIAL_MONTH:
        value = d->month;
        break;
    case STAMP_SERIAL_DAY:
        value = d->day;
        break;
    case STAMP_SERIAL_WEEK:
        value = d->week;
        break;
    case STAMP_SERIAL_DATE:
        value = d->year * 10000u + d->month * 100u + d->day;
        break;
    case STAMP_SERIAL_LITERAL:
    case STAMP_SERIAL_COUNTER:
    case STAMP_SERIAL_RANDOM:
    case STAMP_SERIAL_LUHN:
    default:
        return false;
    }
    return put_number(out, e->width, value, 10);
}

static enum stamp_err put_element(const struct stamp_serial_pattern *pat,
                                  const struct stamp_serial_element *e, uint64_t counter,
                                  const struct date *d, char *serial, size_t at,
                                  struct stamp_error *err)
{
    char drawn[STAMP_SERIAL_SIZE];

    switch (e->kind) {
    case STAMP_SERIAL_LITERAL:
        memcpy(serial + at, pat->literals + e->at, e->width);
        return STAMP_OK;
    case STAMP_SERIAL_COUNTER:
        if (!put_number(serial + at, e->width, counter, e->base)) {
            return stamp_error_set(
                err, STAMP_E_RANGE, 0,
                "the serial pattern is used up: %llu has more than the %u "
                "characters of its counter",
                (unsigned long long)counter, e->width);
        }
        return STAMP_OK;
    case STAMP_SERIAL_RANDOM:
        if (stamp_alphabet_draw(pat->alphabet, e->width, drawn, err) != STAMP_OK) {
            return STAMP_E_CRYPTO;
        }
        memcpy(serial + at, drawn, e->width);
        return STAMP_OK;
    case STAMP_SERIAL_LUHN:
        serial[at] = stamp_luhn(serial, at, e->base);
        return serial[at] != '\0' ? STAMP_OK
                                  : stamp_error_set(err, STAMP_E_RANGE, 0,
                                                    "{luhn} has nothing to check");
    case STAMP_SERIAL_YEAR:
    case STAMP_SERIAL_YY:
    case STAMP_SERIAL_MONTH:
    case STAMP_SERIAL_DAY:
    case STAMP_SERIAL_WEEK:
    case STAMP_SERIAL_DATE:
    default:
        break;
    }
    if (!put_date(e, d, serial + at)) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the date is out of range");
    }
    return STAMP_OK;
}

enum stamp_err stamp_serial_format(const struct stamp_serial_pattern *pat,
                                   uint64_t counter, time_t when, char *out, size_t size,
                                   struct stamp_error *err)
{
    char serial[STAMP_SERIAL_SIZE] = "";
    struct date d = {0};
    size_t at = 0;
    enum stamp_err rc;

    if (size > 0) {
        out[0] = '\0';
    }
    if (size < pat->len + 1) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "no room for a serial");
    }
    rc = set_date(when, pat->week_year, &d, err);
    for (size_t i = 0; rc == STAMP_OK && i < pat->n_elements; i++) {
        rc = put_element(pat, &pat->element[i], counter, &d, serial, at, err);
        at += pat->element[i].width;
    }
    if (rc == STAMP_OK) {
        memcpy(out, serial, pat->len + 1);
    }
    return rc;
}

static bool all_in(const char *text, size_t len, const char *set, size_t set_len)
{
    for (size_t i = 0; i < len; i++) {
        if (memchr(set, text[i], set_len) == NULL) {
            return false;
        }
    }
    return true;
}

static bool number_between(const char *text, size_t len, unsigned least, unsigned most)
{
    unsigned value = 0;

    if (!all_in(text, len, plain_digits, 10)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    return value >= least && value <= most;
}

static bool element_matches(const struct stamp_serial_pattern *pat,
                            const struct stamp_serial_element *e, const char *serial,
                            size_t at)
{
    const char *text = serial + at;

    switch (e->kind) {
    case STAMP_SERIAL_LITERAL:
        return memcmp(text, pat->literals + e->at, e->width) == 0;
    case STAMP_SERIAL_COUNTER:
        return all_in(text, e->width, digits_of(e->base), e->base);
    case STAMP_SERIAL_RANDOM:
        return all_in(text, e->width, pat->alphabet, strlen(pat->alphabet));
    case STAMP_SERIAL_LUHN:
        return stamp_luhn(serial, at, e->base) == *text;
    case STAMP_SERIAL_YEAR:
        return number_between(text, 4, 1, 9999);
    case STAMP_SERIAL_YY:
        return number_between(text, 2, 0, 99);
    case STAMP_SERIAL_MONTH:
        return number_between(text, 2, 1, 12);
    case STAMP_SERIAL_DAY:
        return number_between(text, 2, 1, 31);
    case STAMP_SERIAL_WEEK:
        return number_between(text, 2, 1, 53);
    case STAMP_SERIAL_DATE:
        return number_between(text, 4, 1, 9999) && number_between(text + 4, 2, 1, 12) &&
               number_between(text + 6, 2, 1, 31);
    default:
        return false;
    }
}

bool stamp_serial_matches(const struct stamp_serial_pattern *pat, const char *text)
{
    size_t at = 0;

    if (pat->n_elements == 0 || strlen(text) != pat->len) {
        return false;
    }
    for (size_t i = 0; i < pat->n_elements; i++) {
        if (!element_matches(pat, &pat->element[i], text, at)) {
            return false;
        }
        at += pat->element[i].width;
    }
    return true;
}

enum stamp_err stamp_serial_check(const char *text, struct stamp_error *err)
{
    size_t len = strlen(text);

    if (len < 1 || len > STAMP_SERIAL_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "a serial has 1 to %u characters, not %zu",
                               STAMP_SERIAL_MAX, len);
    }
    for (size_t i = 0; i < len; i++) {
        if (!stampi_serial_printable(text[i])) {
            return stamp_error_set(err, STAMP_E_RANGE, 0,
                                   "character %zu of the serial is not one that a "
                                   "certificate's serialNumber has",
                                   i + 1);
        }
    }
    return STAMP_OK;
}
