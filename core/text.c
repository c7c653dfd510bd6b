/* Text strings: well-formed UTF-8 without control characters. */
#include "core/stamp.h"

/* Length of the sequence at `p`, and its code point; 0 where it is malformed. */
static size_t sequence(const uint8_t *p, size_t left, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n;

    if (p[0] < 0x80) {
        *point = p[0];
        return 1;
    }
    n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || left < n) {
        return 0;
    }
    *point = p[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0u) != 0x80u) {
            return 0;
        }
        *point = *point << 6 | (p[i] & 0x3Fu);
    }
    if (*point < least[n] || *point > 0x10FFFF ||
        (*point >= 0xD800 && *point <= 0xDFFF)) {
        return 0;
    }
    return n;
}

bool stamp_text_ok(const uint8_t *p, size_t len, bool controls)
{
    uint32_t point = 0;

    while (len > 0) {
        size_t n = sequence(p, len, &point);

        if (n == 0) {
            return false;
        }
        if (!controls && (point < 0x20 || (point >= 0x7F && point <= 0x9F))) {
            return false;
        }
        p += n;
        len -= n;
    }
    return true;
}
