/* A serial pattern's text, compiled and checked. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/serial.h"
#include "host/serial_own.h"

#define RANDOM_BITS_MIN 40.0
#define COUNTER_WIDTH_MAX 18u

/* One element of a pattern as written: its name and up to two numbers behind colons. */
struct element_text {
    char name[12];
    unsigned number[2];
    size_t n_numbers;
};

static const struct {
    const char *name;
    enum stamp_serial_kind kind;
    uint8_t width; /* 0 = the first number says it */
    uint8_t least_numbers;
    uint8_t most_numbers;
} elements[] = {
    {"year", STAMP_SERIAL_YEAR, 4, 0, 0},       {"yy", STAMP_SERIAL_YY, 2, 0, 0},
    {"month", STAMP_SERIAL_MONTH, 2, 0, 0},     {"day", STAMP_SERIAL_DAY, 2, 0, 0},
    {"week", STAMP_SERIAL_WEEK, 2, 0, 0},       {"yyyymmdd", STAMP_SERIAL_DATE, 8, 0, 0},
    {"counter", STAMP_SERIAL_COUNTER, 0, 1, 2}, {"random", STAMP_SERIAL_RANDOM, 0, 1, 1},
    {"luhn", STAMP_SERIAL_LUHN, 1, 0, 1},
};

static enum stamp_err split_element(const char *text, size_t len,
                                    struct element_text *out, struct stamp_error *err)
{
    size_t i = 0;
    bool good = true;

    memset(out, 0, sizeof *out);
    while (i < len && text[i] != ':' && i + 1 < sizeof out->name) {
        out->name[i] = text[i];
        i++;
    }
    while (good && i < len) {
        unsigned value = 0;
        size_t digits = 0;

        good = text[i++] == ':' && out->n_numbers < 2;
        for (; good && i < len && digits < 3 && text[i] >= '0' && text[i] <= '9'; i++) {
            value = value * 10 + (unsigned)(text[i] - '0');
            digits++;
        }
        good = good && digits > 0;
        if (good) {
            out->number[out->n_numbers++] = value;
        }
    }
    return good ? STAMP_OK
                : stamp_error_set(err, STAMP_E_CONFIG, 0,
                                  "'{%.*s}' is not an element of a serial pattern",
                                  (int)(len > 40 ? 40 : len), text);
}

static enum stamp_err set_counter(struct stamp_serial_element *e,
                                  const struct element_text *t, struct stamp_error *err)
{
    unsigned base = t->n_numbers == 2 ? t->number[1] : 10;

    if (t->number[0] < 1 || t->number[0] > COUNTER_WIDTH_MAX) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "a counter has 1 to %u characters, not %u",
                               COUNTER_WIDTH_MAX, t->number[0]);
    }
    if (base != 10 && base != 16 && base != 32) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "a counter's base is 10, 16 or 32, not %u", base);
    }
    e->width = (uint8_t)t->number[0];
    e->base = (uint8_t)base;
    return STAMP_OK;
}

static enum stamp_err set_numbers(struct stamp_serial_element *e,
                                  const struct element_text *t, struct stamp_error *err)
{
    unsigned base;

    if (e->kind == STAMP_SERIAL_COUNTER) {
        return set_counter(e, t, err);
    }
    if (e->kind == STAMP_SERIAL_RANDOM) {
        if (t->number[0] < 1 || t->number[0] > STAMP_SERIAL_MAX) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "{random} has 1 to %u characters, not %u",
                                   STAMP_SERIAL_MAX, t->number[0]);
        }
        e->width = (uint8_t)t->number[0];
    }
    if (e->kind == STAMP_SERIAL_LUHN) {
        base = t->n_numbers == 1 ? t->number[0] : 36;
        if (base != 10 && base != 36) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "{luhn}'s base is 10 or 36, not %u", base);
        }
        e->base = (uint8_t)base;
    }
    return STAMP_OK;
}

/* One "{...}", without its braces. */
static enum stamp_err parse_element(const char *text, size_t len,
                                    struct stamp_serial_element *e,
                                    struct stamp_error *err)
{
    struct element_text t;
    enum stamp_err rc = split_element(text, len, &t, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        if (strcmp(t.name, elements[i].name) != 0) {
            continue;
        }
        if (t.n_numbers < elements[i].least_numbers) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "'{%s}' needs a width, as in {%s:6}", t.name, t.name);
        }
        if (t.n_numbers > elements[i].most_numbers) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0, "'{%s}' takes fewer numbers",
                                   t.name);
        }
        e->kind = elements[i].kind;
        e->width = elements[i].width;
        return set_numbers(e, &t, err);
    }
    return stamp_error_set(err, STAMP_E_CONFIG, 0,
                           "'{%s}' is not an element of a serial pattern", t.name);
}

static enum stamp_err add_element(struct stamp_serial_pattern *pat,
                                  const struct stamp_serial_element *e,
                                  struct stamp_error *err)
{
    if (pat->n_elements == STAMP_SERIAL_ELEMENTS) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "a serial pattern has at most %u elements",
                               STAMP_SERIAL_ELEMENTS);
    }
    if (pat->n_elements > 0 &&
        pat->element[pat->n_elements - 1].kind == STAMP_SERIAL_LUHN) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "nothing may follow {luhn}: it checks all before it");
    }
    if (e->width > STAMP_SERIAL_MAX - pat->len) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the pattern makes serials of more than %u characters",
                               STAMP_SERIAL_MAX);
    }
    pat->element[pat->n_elements++] = *e;
    pat->len += e->width;
    return STAMP_OK;
}

/* Literal characters run together into one element. */
static enum stamp_err add_literal(struct stamp_serial_pattern *pat, char c,
                                  struct stamp_error *err)
{
    struct stamp_serial_element *last =
        pat->n_elements == 0 ? NULL : &pat->element[pat->n_elements - 1];
    size_t at = strlen(pat->literals);
    struct stamp_serial_element e = {STAMP_SERIAL_LITERAL, 1, 0, (uint8_t)at};

    if (!stampi_serial_printable(c)) {
        return c > ' ' && c <= '~'
                   ? stamp_error_set(err, STAMP_E_CONFIG, 0,
                                     "a serial cannot have '%c': a certificate's "
                                     "serialNumber has no such character",
                                     c)
                   : stamp_error_set(err, STAMP_E_CONFIG, 0,
                                     "a serial cannot have the byte 0x%02x",
                                     (unsigned)(unsigned char)c);
    }
    if (last != NULL && last->kind == STAMP_SERIAL_LITERAL &&
        pat->len < STAMP_SERIAL_MAX) {
        last->width++;
        pat->len++;
        pat->literals[at] = c;
        return STAMP_OK;
    }
    if (add_element(pat, &e, err) != STAMP_OK) {
        return STAMP_E_CONFIG;
    }
    pat->literals[at] = c;
    return STAMP_OK;
}

static enum stamp_err parse_text(struct stamp_serial_pattern *pat, const char *text,
                                 struct stamp_error *err)
{
    while (*text != '\0') {
        struct stamp_serial_element e = {STAMP_SERIAL_LITERAL, 0, 0, 0};
        size_t len;

        if ((*text == '{' || *text == '}') && text[1] == *text) {
            if (add_literal(pat, *text, err) != STAMP_OK) {
                return STAMP_E_CONFIG;
            }
            text += 2;
            continue;
        }
        if (*text == '}') {
            return stamp_error_set(err, STAMP_E_CONFIG, 0, "a '}' closes nothing");
        }
        if (*text != '{') {
            if (add_literal(pat, *text++, err) != STAMP_OK) {
                return STAMP_E_CONFIG;
            }
            continue;
        }
        len = strcspn(text + 1, "{}");
        if (text[len + 1] != '}') {
            return stamp_error_set(err, STAMP_E_CONFIG, 0, "a '{' is not closed");
        }
        if (parse_element(text + 1, len, &e, err) != STAMP_OK ||
            add_element(pat, &e, err) != STAMP_OK) {
            return STAMP_E_CONFIG;
        }
        text += len + 2;
    }
    return STAMP_OK;
}

static enum stamp_err check_alphabet(const char *alphabet, struct stamp_error *err)
{
    size_t n = strlen(alphabet);

    if (n < 2) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the serial's alphabet has fewer than 2 characters");
    }
    for (size_t i = 0; i < n; i++) {
        if (stampi_luhn_value(alphabet[i]) < 0) {
            return stamp_error_set(
                err, STAMP_E_CONFIG, 0,
                "the serial's alphabet may hold letters and digits only");
        }
        if (strchr(alphabet + i + 1, alphabet[i]) != NULL) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "the serial's alphabet has '%c' twice", alphabet[i]);
        }
    }
    return STAMP_OK;
}

/* Characters that an element can bring in: digits only, or letters too. */
static bool has_letters(const struct stamp_serial_pattern *pat,
                        const struct stamp_serial_element *e)
{
    const char *text = NULL;
    size_t len = 0;

    if (e->kind == STAMP_SERIAL_COUNTER) {
        return e->base > 10;
    }
    if (e->kind == STAMP_SERIAL_RANDOM) {
        text = pat->alphabet;
        len = strlen(text);
    } else if (e->kind == STAMP_SERIAL_LITERAL) {
        text = pat->literals + e->at;
        len = e->width;
    }
    for (size_t i = 0; i < len; i++) {
        if (stampi_luhn_value(text[i]) > 9) {
            return true;
        }
    }
    return false;
}

static enum stamp_err check_luhn(const struct stamp_serial_pattern *pat,
                                 struct stamp_error *err)
{
    const struct stamp_serial_element *last = &pat->element[pat->n_elements - 1];

    if (last->kind != STAMP_SERIAL_LUHN || last->base != 10) {
        return STAMP_OK;
    }
    for (size_t i = 0; i + 1 < pat->n_elements; i++) {
        if (has_letters(pat, &pat->element[i])) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "{luhn:10} checks digits only, and there are letters "
                                   "before it; use {luhn}");
        }
    }
    return STAMP_OK;
}

static enum stamp_err check_unique(const struct stamp_serial_pattern *pat,
                                   struct stamp_error *err)
{
    size_t drawn = 0;
    double bits;

    if (stamp_serial_has_counter(pat)) {
        return STAMP_OK;
    }
    for (size_t i = 0; i < pat->n_elements; i++) {
        drawn += pat->element[i].kind == STAMP_SERIAL_RANDOM ? pat->element[i].width : 0;
    }
    bits = stamp_alphabet_bits(strlen(pat->alphabet), drawn);
    if (bits < RANDOM_BITS_MIN) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "serials of this pattern would not be unique: it has no "
                               "{counter:N}, and %.0f random bits of at least %.0f",
                               floor(bits), RANDOM_BITS_MIN);
    }
    return STAMP_OK;
}

enum stamp_err stamp_serial_parse(struct stamp_serial_pattern *pat, const char *text,
                                  const char *alphabet, struct stamp_error *err)
{
    bool week = false;
    bool day = false;
    enum stamp_err rc;

    memset(pat, 0, sizeof *pat);
    if (alphabet == NULL) {
        alphabet = STAMP_ALPHABET_DEFAULT;
    }
    rc = check_alphabet(alphabet, err);
    if (rc == STAMP_OK) {
        memcpy(pat->alphabet, alphabet, strlen(alphabet) + 1);
        rc = parse_text(pat, text, err);
    }
    if (rc == STAMP_OK && pat->n_elements == 0) {
        rc = stamp_error_set(err, STAMP_E_CONFIG, 0, "the serial pattern is empty");
    }
    if (rc == STAMP_OK) {
        rc = check_luhn(pat, err);
    }
    if (rc == STAMP_OK) {
        rc = check_unique(pat, err);
    }
    if (rc != STAMP_OK) {
        memset(pat, 0, sizeof *pat);
        return rc;
    }
    for (size_t i = 0; i < pat->n_elements; i++) {
        week = week || pat->element[i].kind == STAMP_SERIAL_WEEK;
        day = day || pat->element[i].kind == STAMP_SERIAL_MONTH ||
              pat->element[i].kind == STAMP_SERIAL_DAY;
    }
    pat->week_year = week && !day;
    return STAMP_OK;
}

/* A brace is written twice. */
static char *put_literal(char *to, const char *literal, size_t len)
{
    for (const char *c = literal; c < literal + len; c++) {
        if (*c == '{' || *c == '}') {
            *to++ = *c;
        }
        *to++ = *c;
    }
    return to;
}

/* The longest: 64 braces, each written twice, or 32 elements of up to 15 characters. */
void stamp_serial_text(const struct stamp_serial_pattern *pat,
                       char out[STAMP_SERIAL_TEXT_SIZE])
{
    char *to = out;
    char *const end = out + STAMP_SERIAL_TEXT_SIZE;

    for (size_t i = 0; i < pat->n_elements; i++) {
        const struct stamp_serial_element *e = &pat->element[i];

        if (e->kind == STAMP_SERIAL_LITERAL) {
            to = put_literal(to, pat->literals + e->at, e->width);
            continue;
        }
        for (size_t k = 0; k < sizeof elements / sizeof *elements; k++) {
            if (elements[k].kind == e->kind) {
                to += snprintf(to, (size_t)(end - to), "{%s", elements[k].name);
            }
        }
        if (e->kind == STAMP_SERIAL_COUNTER || e->kind == STAMP_SERIAL_RANDOM) {
            to += snprintf(to, (size_t)(end - to), ":%u", e->width);
        }
        if (e->kind == STAMP_SERIAL_COUNTER || e->kind == STAMP_SERIAL_LUHN) {
            to += snprintf(to, (size_t)(end - to), ":%u", e->base);
        }
        *to++ = '}';
    }
    *to = '\0';
}

bool stamp_serial_ascends(const struct stamp_serial_pattern *pat)
{
    for (size_t i = 0; i < pat->n_elements; i++) {
        if (pat->element[i].kind == STAMP_SERIAL_RANDOM) {
            return false;
        }
    }
    return stamp_serial_has_counter(pat);
}
