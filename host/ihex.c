#include "host/ihex.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define ROW 16u
#define RECORD_MAX (255u + 5u)

/* ---- writing ---- */

struct writer {
    char *p;
    size_t len; /* counted also where `p` is NULL */
};

static void put_record(struct writer *w, uint8_t type, uint16_t at, const uint8_t *data,
                       size_t len)
{
    uint8_t sum = (uint8_t)(len + (at >> 8) + (at & 0xFFu) + type);
    char line[2 * RECORD_MAX + 3];
    size_t n = (size_t)snprintf(line, sizeof line, ":%02zX%04X%02X", len, at, type);

    for (size_t i = 0; i < len; i++) {
        n += (size_t)snprintf(line + n, sizeof line - n, "%02X", data[i]);
        sum = (uint8_t)(sum + data[i]);
    }
    n += (size_t)snprintf(line + n, sizeof line - n, "%02X\n", (uint8_t)-sum);
    if (w->p != NULL) {
        memcpy(w->p + w->len, line, n);
    }
    w->len += n;
    OPENSSL_cleanse(line, sizeof line);
}

static bool to_skip(const uint8_t *row, size_t len, int skip)
{
    for (size_t i = 0; i < len; i++) {
        if (skip < 0 || row[i] != (uint8_t)skip) {
            return false;
        }
    }
    return true;
}

static void write_all(struct writer *w, const uint8_t *bytes, size_t len,
                      uint32_t address, int skip)
{
    uint32_t high = UINT32_MAX;
    size_t n;

    for (size_t i = 0; i < len; i += n) {
        uint32_t at = address + (uint32_t)i;

        /* rows end where an address ends in 0: none crosses 64 KiB */
        n = ROW - (at % ROW);
        n = n < len - i ? n : len - i;
        if (to_skip(bytes + i, n, skip)) {
            continue;
        }
        if (at >> 16 != high) {
            uint8_t upper[2];

            high = at >> 16;
            upper[0] = (uint8_t)(high >> 8);
            upper[1] = (uint8_t)high;
            put_record(w, 4, 0, upper, sizeof upper);
        }
        put_record(w, 0, (uint16_t)at, bytes + i, n);
    }
    put_record(w, 1, 0, NULL, 0);
}

enum stamp_err stamp_ihex_write(const uint8_t *bytes, size_t len, uint32_t address,
                                int skip, struct stamp_buffer *out,
                                struct stamp_error *err)
{
    struct writer w = {NULL, 0};
    enum stamp_err rc;

    if (len > UINT32_MAX - address) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "the partition does not fit 32-bit addresses");
    }
    write_all(&w, bytes, len, address, skip);
    rc = stamp_buffer_new(out, w.len, 0, err);
    if (rc == STAMP_OK) {
        w.p = (char *)out->p;
        w.len = 0;
        write_all(&w, bytes, len, address, skip);
    }
    return rc;
}

/* ---- reading ---- */

struct record {
    uint8_t type;
    uint8_t len;
    uint16_t at;
    const uint8_t *data;
    uint8_t raw[RECORD_MAX];
};

struct reader {
    const uint8_t *p;
    size_t left;
    uint32_t base;
    unsigned line;
};

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (uint8_t)(c | 0x20u);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 1 = a record, 0 = the end of the text, -1 = malformed */
static int next(struct reader *r, struct record *rec)
{
    uint8_t sum = 0;
    size_t n = 0;

    while (r->left > 0 && (r->p[0] == '\n' || r->p[0] == '\r')) {
        r->p++;
        r->left--;
    }
    if (r->left == 0) {
        return 0;
    }
    r->line++;
    if (r->p[0] != ':') {
        return -1;
    }
    r->p++;
    r->left--;
    while (r->left >= 2 && n < sizeof rec->raw && digit(r->p[0]) >= 0 &&
           digit(r->p[1]) >= 0) {
        rec->raw[n] = (uint8_t)(digit(r->p[0]) << 4 | digit(r->p[1]));
        sum = (uint8_t)(sum + rec->raw[n]);
        n++;
        r->p += 2;
        r->left -= 2;
    }
    if (n < 5 || sum != 0 || rec->raw[0] != n - 5 ||
        (r->left > 0 && r->p[0] != '\n' && r->p[0] != '\r')) {
        return -1;
    }
    rec->len = rec->raw[0];
    rec->at = (uint16_t)(rec->raw[1] << 8 | rec->raw[2]);
    rec->type = rec->raw[3];
    rec->data = rec->raw + 4;
    return 1;
}

/* Takes the address records; false where the record is not known. */
static bool set_base(struct reader *r, const struct record *rec)
{
    uint32_t value;

    if ((rec->type != 2 && rec->type != 4) || rec->len != 2) {
        return rec->type == 0 || rec->type == 3 || rec->type == 5;
    }
    value = (uint32_t)rec->data[0] << 8 | rec->data[1];
    r->base = rec->type == 4 ? value << 16 : value << 4;
    return true;
}

/* One pass over the text: with `out` NULL it measures. */
static bool pass(struct reader r, uint64_t *low, uint64_t *high, struct stamp_buffer *out,
                 unsigned *line)
{
    struct record rec;
    bool ok = false;
    int got;

    while ((got = next(&r, &rec)) == 1 && set_base(&r, &rec)) {
        uint64_t at = (uint64_t)r.base + rec.at;

        if (rec.type != 0) {
            continue;
        }
        if (out != NULL) {
            memcpy(out->p + (at - *low), rec.data, rec.len);
            continue;
        }
        *low = at < *low ? at : *low;
        *high = at + rec.len > *high ? at + rec.len : *high;
    }
    ok = got == 1 && rec.type == 1;
    *line = r.line;
    OPENSSL_cleanse(&rec, sizeof rec);
    return ok;
}

enum stamp_err stamp_ihex_read(const uint8_t *text, size_t len, struct stamp_buffer *out,
                               struct stamp_error *err)
{
    struct reader r = {text, len, 0, 0};
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;
    unsigned line = 0;
    enum stamp_err rc;

    out->p = NULL;
    out->len = 0;
    if (!pass(r, &low, &high, NULL, &line)) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "line %u is no record of Intel HEX", line);
    }
    if (low >= high || high - low > STAMP_IMAGE_MAX) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "the Intel HEX file has no data, or too much");
    }
    rc = stamp_buffer_new(out, (size_t)(high - low), 0xFF, err);
    if (rc == STAMP_OK) {
        (void)pass(r, &low, &high, out, &line);
    }
    return rc;
}
