#include "host/base64.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>

/* EVP_DecodeBlock() takes white space around it, and '=' anywhere. */
static bool is_alphabet(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
            !(c >= '0' && c <= '9') && c != '+' && c != '/') {
            return false;
        }
    }
    return true;
}

size_t stamp_base64_read(const char *text, size_t len, uint8_t *out, size_t max)
{
    size_t pad = 0;
    int n;

    if (text == NULL || len == 0 || len % 4 != 0 || len > (max + 2) / 3 * 4 ||
        len > INT_MAX) {
        return 0;
    }
    while (pad < 2 && text[len - 1 - pad] == '=') {
        pad++;
    }
    if (!is_alphabet(text, len - pad)) {
        return 0;
    }
    n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
    return n <= (int)pad || (size_t)n - pad > max ? 0 : (size_t)n - pad;
}
