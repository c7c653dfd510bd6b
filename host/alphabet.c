/* Check characters and random text over an alphabet; see host/serial.h. */
#include <math.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <string.h>

#include "host/serial.h"
#include "host/serial_own.h"

int stampi_luhn_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'Z') {
        return c - 'A' + 10;
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 10;
    }
    return -1;
}

/*
 * The Luhn sum: from the right, every second value is doubled and its two digits in base
 * N added. `doubled` says whether the rightmost is. False where a value is beyond the
 * base, or none is there.
 */
static bool luhn_sum(const char *text, size_t len, unsigned base, bool doubled,
                     unsigned *sum)
{
    bool any = false;

    *sum = 0;
    for (size_t i = len; i > 0; i--) {
        int value = stampi_luhn_value(text[i - 1]);
        unsigned term;

        if (value < 0) {
            continue;
        }
        if ((unsigned)value >= base) {
            return false;
        }
        term = doubled ? 2u * (unsigned)value : (unsigned)value;
        *sum += term / base + term % base;
        doubled = !doubled;
        any = true;
    }
    return any;
}

char stamp_luhn(const char *text, size_t len, unsigned base)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    unsigned sum;

    if ((base != 10 && base != 36) || !luhn_sum(text, len, base, true, &sum)) {
        return '\0';
    }
    return digits[(base - sum % base) % base];
}

bool stamp_luhn_ok(const char *text, size_t len, unsigned base)
{
    while (len > 0 && stampi_luhn_value(text[len - 1]) < 0) {
        len--;
    }
    if (len == 0) {
        return false;
    }
    return stampi_luhn_value(stamp_luhn(text, len - 1, base)) ==
           stampi_luhn_value(text[len - 1]);
}

/* Random bytes by the block: a call of the generator costs more than a block of its
 * bytes. */
struct pool {
    uint8_t bytes[64];
    size_t used;
};

/* Bytes at or above the largest multiple of `n` would make the first characters likelier.
 */
static bool draw_one(struct pool *pool, const char *alphabet, unsigned n, char *out)
{
    unsigned limit = 256u - 256u % n;
    unsigned byte;

    do {
        if (pool->used == sizeof pool->bytes) {
            if (RAND_bytes(pool->bytes, (int)sizeof pool->bytes) != 1) {
                return false;
            }
            pool->used = 0;
        }
        byte = pool->bytes[pool->used++];
    } while (byte >= limit);
    *out = alphabet[byte % n];
    return true;
}

enum stamp_err stamp_alphabet_draw(const char *alphabet, size_t len, char *out,
                                   struct stamp_error *err)
{
    size_t n = strlen(alphabet);
    struct pool pool = {{0}, sizeof pool.bytes};
    bool good = n >= 2 && n <= STAMP_ALPHABET_MAX;

    for (size_t i = 0; good && i < len; i++) {
        good = draw_one(&pool, alphabet, (unsigned)n, &out[i]);
    }
    OPENSSL_cleanse(&pool, sizeof pool);
    if (!good) {
        OPENSSL_cleanse(out, len + 1);
        return stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    out[len] = '\0';
    return STAMP_OK;
}

double stamp_alphabet_bits(size_t n, size_t len)
{
    return n < 2 ? 0.0 : log2((double)n) * (double)len;
}
