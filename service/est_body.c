#include "service/est_body.h"

#include <openssl/evp.h>
#include <string.h>

#include "host/der.h"

enum { WRAP = 64 };

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           c == '+' || c == '/';
}

/* Leave what is between "-----BEGIN X-----" and "-----END"; all of it where there is no
 * such armour. False where it is half there. */
static bool strip_armour(const uint8_t **p, size_t *len)
{
    static const char begin[] = "-----BEGIN ";
    static const char end[] = "-----END ";
    const uint8_t *from = memmem(*p, *len, begin, sizeof begin - 1);
    const uint8_t *to;
    size_t left;

    if (from == NULL) {
        return true;
    }
    from += sizeof begin - 1;
    left = *len - (size_t)(from - *p);
    to = memmem(from, left, "-----", 5);
    if (to == NULL) {
        return false;
    }
    left -= (size_t)(to - from) + 5;
    from = to + 5;
    to = memmem(from, left, end, sizeof end - 1);
    if (to == NULL) {
        return false;
    }
    *p = from;
    *len = (size_t)(to - from);
    return true;
}

/* Digits and padding alone, in `out`; 0 where there is something else. */
static size_t gather(const uint8_t *p, size_t len, uint8_t *out, size_t *padded,
                     bool *broken)
{
    size_t n = 0;
    size_t padding = 0;
    bool line_ended = false;

    *broken = false;
    for (size_t i = 0; i < len; i++) {
        if (is_space(p[i])) {
            line_ended = line_ended || (p[i] == '\n' && n > 0);
            continue;
        }
        *broken = *broken || line_ended;
        if (p[i] == '=') {
            padding++;
        } else if (!is_digit(p[i]) || padding > 0) {
            return 0;
        }
        out[n++] = p[i];
    }
    *padded = padding;
    return padding <= 2 && n % 4 == 0 ? n : 0;
}

bool est_body_read(const void *body, size_t len, uint8_t *out, size_t *out_len,
                   enum est_style *style)
{
    const uint8_t *p = body;
    size_t padding;
    bool broken;
    size_t n;
    int got;

    *out_len = 0;
    *style = EST_ONE_LINE;
    if (len == 0 || len > EST_BODY_MAX || !strip_armour(&p, &len)) {
        return false;
    }
    n = gather(p, len, out, &padding, &broken);
    if (n == 0) {
        return false;
    }
    *style = broken ? EST_WRAPPED : EST_ONE_LINE;
    got = EVP_DecodeBlock(out, out, (int)n);
    if (got <= 0) {
        return false;
    }
    *out_len = (size_t)got - padding;
    return true;
}

size_t est_body_size(size_t len, enum est_style style)
{
    size_t n = (len + 2) / 3 * 4;

    return style == EST_WRAPPED ? n + (n + WRAP - 1) / WRAP : n + 1;
}

void est_body_write(const uint8_t *der, size_t len, enum est_style style, char *out)
{
    size_t step = style == EST_WRAPPED ? (size_t)WRAP / 4 * 3 : len;
    unsigned char line[4 * ((EST_BODY_MAX + 2) / 3) + 1];

    for (size_t at = 0; at < len; at += step) {
        size_t part = len - at < step ? len - at : step;
        int n = EVP_EncodeBlock(line, der + at, (int)part);

        memcpy(out, line, (size_t)n);
        out[n] = '\n';
        out += n + 1;
    }
}

size_t est_certs_only(const struct stamp_slice *certificates, size_t n, uint8_t *out,
                      size_t size)
{
    static const uint8_t signed_data[] = {0x2A, 0x86, 0x48, 0x86, 0xF7,
                                          0x0D, 0x01, 0x07, 0x02};
    static const uint8_t data[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01};
    static const uint8_t one = 1;
    struct stamp_der d;
    size_t inner;
    size_t len;

    stamp_der_init(&d, out, size);
    stamp_der_put(&d, STAMP_DER_SET, NULL, 0); /* signerInfos */
    inner = stamp_der_len(&d);
    for (size_t i = n; i > 0; i--) {
        stamp_der_raw(&d, certificates[i - 1].p, certificates[i - 1].len);
    }
    stamp_der_wrap(&d, STAMP_DER_CONTEXT(0), inner);
    inner = stamp_der_len(&d);
    stamp_der_put(&d, STAMP_DER_OID, data, sizeof data);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, inner);
    stamp_der_put(&d, STAMP_DER_SET, NULL, 0); /* digestAlgorithms */
    stamp_der_put(&d, STAMP_DER_INTEGER, &one, 1);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    stamp_der_wrap(&d, STAMP_DER_CONTEXT(0), 0);
    stamp_der_put(&d, STAMP_DER_OID, signed_data, sizeof signed_data);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    if (d.full) {
        return 0;
    }
    len = stamp_der_len(&d);
    memmove(out, stamp_der_bytes(&d), len);
    return len;
}
