/* SMP header, body look-up and serial framing. SPEC 10-1, 10-2. */
#include "core/smp.h"

#include <string.h>

enum { LINE_FIRST = 0x06, LINE_FIRST_2 = 0x09, LINE_NEXT = 0x04, LINE_NEXT_2 = 0x14 };

enum { IN_LINE = 0x100 }; /* in place of the byte before */

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

void stamp_smp_header_put(uint8_t out[STAMP_SMP_HEADER], const struct stamp_smp_header *h)
{
    out[STAMP_SMP_AT_OP] = h->op;
    out[STAMP_SMP_AT_FLAGS] = 0;
    put16(out + STAMP_SMP_AT_LEN, h->len);
    put16(out + STAMP_SMP_AT_GROUP, h->group);
    out[STAMP_SMP_AT_SEQ] = h->seq;
    out[STAMP_SMP_AT_ID] = h->id;
}

enum stamp_err stamp_smp_header_get(const uint8_t *in, size_t len,
                                    struct stamp_smp_header *h)
{
    if (len < STAMP_SMP_HEADER) {
        return STAMP_E_FORMAT;
    }
    h->op = in[STAMP_SMP_AT_OP] & STAMP_SMP_OP_MASK;
    h->len = get16(in + STAMP_SMP_AT_LEN);
    h->group = get16(in + STAMP_SMP_AT_GROUP);
    h->seq = in[STAMP_SMP_AT_SEQ];
    h->id = in[STAMP_SMP_AT_ID];
    return h->len == len - STAMP_SMP_HEADER ? STAMP_OK : STAMP_E_FORMAT;
}

enum stamp_err stamp_smp_field(const uint8_t *body, size_t len, const char *key,
                               struct stamp_cbor *value)
{
    struct stamp_cbor c;
    size_t key_len = strlen(key);
    uint32_t n;

    stamp_cbor_init(&c, body, len);
    stamp_cbor_init(value, NULL, 0);
    value->err = STAMP_E_MISSING;
    n = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    for (; n > 0 && c.err == STAMP_OK; n--) {
        struct stamp_slice name = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 0, len);
        struct stamp_slice item = stamp_cbor_skip(&c);

        if (value->p == NULL && item.p != NULL && name.len == key_len &&
            memcmp(name.p, key, key_len) == 0) {
            stamp_cbor_init(value, item.p, item.len);
        }
    }
    if (c.err != STAMP_OK || c.left != 0) {
        value->left = 0;
        value->err = STAMP_E_FORMAT;
    }
    return value->err;
}

uint16_t stamp_crc16(const void *data, size_t len)
{
    const uint8_t *p = data;
    unsigned crc = 0;

    while (len-- > 0) {
        crc ^= (unsigned)*p++ << 8;
        for (unsigned i = 0; i < 8; i++) {
            crc = (crc << 1) ^ ((crc & 0x8000u) != 0 ? 0x1021u : 0u);
        }
    }
    return (uint16_t)crc;
}

static const char base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Three bytes in four characters; what is missing at the end counts as 0. */
static void encode(uint8_t out[4], const uint8_t *in, size_t len)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 3; i++) {
        bits = bits << 8 | (i < len ? in[i] : 0u);
    }
    for (size_t i = 4; i-- > 0; bits >>= 6) {
        out[i] = i > len ? (uint8_t)'=' : (uint8_t)base64[bits & 63u];
    }
}

void stamp_smp_send(uint8_t buf[STAMP_SMP_BUFFER], size_t len, stamp_smp_tx tx, void *ctx)
{
    uint8_t line[STAMP_SMP_LINE];
    size_t total = len + STAMP_SMP_ROOM + STAMP_SMP_ROOM;
    size_t off = 0;

    put16(buf, len + 2);
    put16(buf + STAMP_SMP_ROOM + len, stamp_crc16(buf + STAMP_SMP_ROOM, len));
    do {
        size_t n = 2;

        line[0] = off == 0 ? LINE_FIRST : LINE_NEXT;
        line[1] = off == 0 ? LINE_FIRST_2 : LINE_NEXT_2;
        for (; off < total && n < STAMP_SMP_LINE - 1; off += 3, n += 4) {
            encode(line + n, buf + off, total - off);
        }
        line[n] = '\n';
        tx(ctx, line, n + 1);
    } while (off < total);
}

void stamp_smp_rx_init(struct stamp_smp_rx *rx)
{
    memset(rx, 0, sizeof *rx);
}

/* One base64 character; false: the line is not base64, or the frame is too long. */
static bool take_char(struct stamp_smp_rx *rx, uint8_t byte)
{
    unsigned at = rx->chars++ & 3u;
    unsigned v = 0;

    if (byte == '=') {
        rx->padded = true;
        return at >= 2;
    }
    while (v < 64 && base64[v] != (char)byte) {
        v++;
    }
    if (v == 64 || rx->padded || rx->len == sizeof rx->buf) {
        return false;
    }
    rx->bits = rx->bits << 6 | v;
    if (at > 0) {
        rx->buf[rx->len++] = (uint8_t)(rx->bits >> (6u - 2u * at));
    }
    return true;
}

/* A line has ended: is the message whole? The CRC over a message and its CRC is 0. */
static size_t end_line(struct stamp_smp_rx *rx)
{
    size_t len = (size_t)get16(rx->buf) - STAMP_SMP_ROOM;
    size_t missing = len + STAMP_SMP_ROOM + STAMP_SMP_ROOM - rx->len;
    bool ok = (rx->chars & 3u) == 0 && len <= STAMP_SMP_MAX;

    if (ok && missing - 1 < STAMP_SMP_BUFFER) {
        return 0; /* the next line goes on */
    }
    rx->len = 0;
    return ok && missing == 0 &&
                   stamp_crc16(rx->buf + STAMP_SMP_ROOM, len + STAMP_SMP_ROOM) == 0
               ? len
               : 0;
}

size_t stamp_smp_rx_byte(struct stamp_smp_rx *rx, uint8_t byte)
{
    bool first = rx->last == LINE_FIRST && byte == LINE_FIRST_2;

    if (rx->last != IN_LINE) {
        if (first) {
            rx->len = 0;
        }
        first = first || (rx->last == LINE_NEXT && byte == LINE_NEXT_2 && rx->len > 0);
        rx->chars = 0;
        rx->padded = false;
        rx->last = first ? IN_LINE : byte;
    } else if (byte == '\n') {
        rx->last = byte;
        return end_line(rx);
    } else if (byte != '\r' && !take_char(rx, byte)) { /* a terminal may add '\r' */
        rx->last = byte;
        rx->len = 0;
    }
    return 0;
}
