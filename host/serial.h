/*
 * Serial numbers: a pattern from the profile, and the serials made from it.
 *
 * A pattern is literal text with elements in braces; "{{" and "}}" are literal braces.
 *
 *     {year} {yy} {month} {day} {yyyymmdd}   date, UTC
 *     {week}                 ISO 8601 week, 01..53; in a pattern with {week} and without
 * {month} and {day}, {year} and {yy} are the year that the week belongs to {counter:W}
 * {counter:W:B}   W characters (1..18) in base B: 10, 16 (0-9A-F) or 32 (0-9A-Z without
 * I, L, O, U); leading zeros kept {random:N}             N characters (1..64) from the
 * profile's alphabet, from the CSPRNG {luhn} {luhn:10}       Luhn mod N check character
 * over all letters and digits before it; N is 36 (0-9A-Z) or, for serials of digits, 10.
 * Last element only.
 *
 * Every element has a fixed width, so all serials of a pattern have one length.
 * Characters are those of PrintableString without the space (X.520: serialNumber of the
 * certificate's subject is one), 1..64 of them.
 */
#ifndef HOST_SERIAL_H
#define HOST_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "host/error.h"
#include "host/secret.h"

#define STAMP_SERIAL_MAX 64u
#define STAMP_SERIAL_SIZE (STAMP_SERIAL_MAX + 1u)
#define STAMP_SERIAL_ELEMENTS 32u
#define STAMP_ALPHABET_MAX 94u

/** Digits and capitals that no one takes for another: no 0 O 1 I. 5 bits a character. */
#define STAMP_ALPHABET_DEFAULT "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

enum stamp_serial_kind {
    STAMP_SERIAL_LITERAL,
    STAMP_SERIAL_YEAR,
    STAMP_SERIAL_YY,
    STAMP_SERIAL_MONTH,
    STAMP_SERIAL_DAY,
    STAMP_SERIAL_WEEK,
    STAMP_SERIAL_DATE,
    STAMP_SERIAL_COUNTER,
    STAMP_SERIAL_RANDOM,
    STAMP_SERIAL_LUHN,
};

struct stamp_serial_element {
    enum stamp_serial_kind kind;
    uint8_t width; /* characters in the serial */
    uint8_t base;  /* of COUNTER and LUHN */
    uint8_t at;    /* of LITERAL: offset into the pattern's literals */
};

/** A pattern, compiled. Plain data: may be copied. */
struct stamp_serial_pattern {
    struct stamp_serial_element element[STAMP_SERIAL_ELEMENTS];
    size_t n_elements;
    size_t len;                             /* characters of every serial */
    char literals[STAMP_SERIAL_SIZE];       /* one after the other */
    char alphabet[STAMP_ALPHABET_MAX + 1u]; /* of {random} */
    bool week_year;                         /* {year} is the week's */
};

/**
 * Compile `text`.
 *
 * @param alphabet  for {random}: 2..62 distinct letters and digits; NULL = the default
 * @retval STAMP_E_CONFIG  not a pattern, or one whose serials would not be unique: no
 * counter and fewer than 40 random bits. `*pat` is zeroed.
 */
STAMP_MUST_USE enum stamp_err stamp_serial_parse(struct stamp_serial_pattern *pat,
                                                 const char *text, const char *alphabet,
                                                 struct stamp_error *err);

#define STAMP_SERIAL_TEXT_SIZE 512u

/** A pattern that stamp_serial_parse() takes and that makes the same serials. The
 * alphabet of {random} is not in it. */
void stamp_serial_text(const struct stamp_serial_pattern *pat,
                       char out[STAMP_SERIAL_TEXT_SIZE]);

/** Do the serials follow from the counter and the date alone, and ascend with the
 * counter?
 */
bool stamp_serial_ascends(const struct stamp_serial_pattern *pat);

/** True where the pattern has a {counter}. */
bool stamp_serial_has_counter(const struct stamp_serial_pattern *pat);

/**
 * Make one serial, NUL-terminated.
 *
 * @param when  the date elements' time
 * @param size  at least pat->len + 1
 * @retval STAMP_E_RANGE  the counter has outgrown its width: the pattern is used up; or a
 * year outside 1..9999
 * @retval STAMP_E_SPACE  `size` is too small
 */
STAMP_MUST_USE enum stamp_err stamp_serial_format(const struct stamp_serial_pattern *pat,
                                                  uint64_t counter, time_t when,
                                                  char *out, size_t size,
                                                  struct stamp_error *err);

/** Could `text` be a serial of this pattern? Dates must be possible, the check character
 * right. */
bool stamp_serial_matches(const struct stamp_serial_pattern *pat, const char *text);

/** Is `text` a serial at all: 1..64 characters that a certificate's serialNumber carries?
 */
STAMP_MUST_USE enum stamp_err stamp_serial_check(const char *text,
                                                 struct stamp_error *err);

/**
 * Luhn mod N check character. Letters count as 10..35, in either case; other characters
 * are passed over.
 *
 * @param base  10 or 36
 * @return '0'..'9', 'A'..'Z'; 0 where `text` has a character beyond `base`, or none to
 * check
 */
char stamp_luhn(const char *text, size_t len, unsigned base);

/** Does the last letter or digit of `text` check the ones before it? */
bool stamp_luhn_ok(const char *text, size_t len, unsigned base);

/**
 * `len` characters, each drawn evenly from `alphabet` by the CSPRNG: {random}, and proofs
 * of possession.
 *
 * @param alphabet  2..94 distinct characters
 * @param out       `len` + 1 bytes, NUL-terminated; wiped on failure
 */
STAMP_MUST_USE enum stamp_err stamp_alphabet_draw(const char *alphabet, size_t len,
                                                  char *out, struct stamp_error *err);

/** Bits of entropy in `len` characters of an alphabet of `n`. */
double stamp_alphabet_bits(size_t n, size_t len);

#endif
