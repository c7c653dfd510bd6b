/* SMP header, body look-up and serial framing. SPEC 10-1, 10-2. */
#include "core/smp.h"

#include <string.h>

enum { LINE_FIRST = 0x06, LINE_FIRST_2 = 0x09, LINE_NEXT = 0x04, LINE_NEXT_2 = 0x14 };

/* Bytes of a frame that one full line of base64 carries. */
enum { LINE_BYTES = (STAMP_SMP_LINE - 3) / 4 * 3 };

enum rx_state {
    RX_IDLE = 0, /* before a line */
    RX_FIRST,    /* after 06 */
    RX_NEXT,     /* after 04 */
    RX_TEXT,     /* in a line */
};

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
    out[0] = h->op;
    out[1] = 0;
    put16(out + 2, h->len);
    put16(out + 4, h->group);
    out[6] = h->seq;
    out[7] = h->id;
}

enum stamp_err stamp_smp_header_get(const uint8_t *in, size_t len,
                                    struct stamp_smp_header *h)
{
    if (len < STAMP_SMP_HEADER) {
        return STAMP_E_FORMAT;
    }
    h->op = in[0] & 7u;
    h->len = get16(in + 2);
    h->group = get16(in + 4);
    h->seq = in[6];
    h->id = in[7];
    return h->len == len - STAMP_SMP_HEADER ? STAMP_OK : STAMP_E_FORMAT;
}

enum stamp_err stamp_smp_field(const uint8_t *body, size_t len, const char *key,
                               struct stamp_cbor *value)
{
    struct stamp_cbor c;
    size_t key_len = strlen(key);
    bool found = false;
    uint32_t n;

    stamp_cbor_init(&c, body, len);
    stamp_cbor_init(value, NULL, 0);
    value->err = STAMP_E_MISSING;
    n = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    for (; n > 0 && c.err == STAMP_OK; n--) {
        struct stamp_slice name = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 0, len);
        struct stamp_slice item = stamp_cbor_skip(&c);

        if (!found && name.len == key_len && item.p != NULL &&
            memcmp(name.p, key, key_len) == 0) {
            stamp_cbor_init(value, item.p, item.len);
            found = true;
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

/* By ranges and not by a table: 64 bytes less, and no look-up that depends on data. */
static char base64_char(unsigned v)
{
    if (v < 26) {
        return (char)('A' + v);
    }
    if (v < 52) {
        return (char)('a' + (v - 26));
    }
    if (v < 62) {
        return (char)('0' + (v - 52));
    }
    return v == 62 ? '+' : '/';
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+') {
        return 62;
    }
    return c == '/' ? 63 : -1;
}

static size_t base64_line(uint8_t *out, const uint8_t *in, size_t len)
{
    uint8_t *p = out;

    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)in[i] << 16;

        bits |= i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= i + 2 < len ? (uint32_t)in[i + 2] : 0;
        *p++ = (uint8_t)base64_char(bits >> 18 & 63u);
        *p++ = (uint8_t)base64_char(bits >> 12 & 63u);
        *p++ = (uint8_t)(i + 1 < len ? base64_char(bits >> 6 & 63u) : '=');
        *p++ = (uint8_t)(i + 2 < len ? base64_char(bits & 63u) : '=');
    }
    return (size_t)(p - out);
}

void stamp_smp_send(uint8_t buf[STAMP_SMP_BUFFER], size_t len, stamp_smp_tx tx, void *ctx)
{
    uint8_t line[STAMP_SMP_LINE];
    size_t total = len + 2 * STAMP_SMP_ROOM;

    put16(buf, len + 2);
    put16(buf + STAMP_SMP_ROOM + len, stamp_crc16(buf + STAMP_SMP_ROOM, len));
    for (size_t off = 0; off < total; off += LINE_BYTES) {
        size_t n = total - off < LINE_BYTES ? total - off : LINE_BYTES;

        line[0] = off == 0 ? LINE_FIRST : LINE_NEXT;
        line[1] = off == 0 ? LINE_FIRST_2 : LINE_NEXT_2;
        n = 2 + base64_line(line + 2, buf + off, n);
        line[n] = '\n';
        tx(ctx, line, n + 1);
    }
}

void stamp_smp_rx_init(struct stamp_smp_rx *rx)
{
    memset(rx, 0, sizeof *rx);
}

/* The two bytes in front of a line. A next line counts only where a frame is unfinished.
 */
static void take_start(struct stamp_smp_rx *rx, uint8_t byte)
{
    bool first = rx->state == RX_FIRST && byte == LINE_FIRST_2;

    if (first || (rx->state == RX_NEXT && byte == LINE_NEXT_2 && rx->more)) {
        rx->len = first ? 0 : rx->len;
        rx->more = false;
        rx->state = RX_TEXT;
        rx->pads = 0;
        rx->chars = 0;
        rx->bits = 0;
        return;
    }
    rx->state = byte == LINE_FIRST ? RX_FIRST : byte == LINE_NEXT ? RX_NEXT : RX_IDLE;
}

/* One base64 character; false: the line is not base64, or the frame is too long. */
static bool take_char(struct stamp_smp_rx *rx, uint8_t byte)
{
    int v = base64_value(byte);

    if (byte == '=') {
        if (rx->chars < 2) {
            return false;
        }
        rx->pads++;
        v = 0;
    } else if (v < 0 || rx->pads > 0) {
        return false;
    }
    rx->bits = rx->bits << 6 | (uint32_t)v;
    if (++rx->chars < 4) {
        return true;
    }
    for (unsigned i = 0; i + rx->pads < 3; i++) {
        if (rx->len == sizeof rx->buf) {
            return false;
        }
        rx->buf[rx->len++] = (uint8_t)(rx->bits >> (16u - 8u * i));
    }
    rx->chars = 0;
    rx->bits = 0;
    return true;
}

/* A line has ended: is the message whole? */
static size_t end_line(struct stamp_smp_rx *rx)
{
    size_t want;

    rx->state = RX_IDLE;
    if (rx->chars != 0 || rx->len < STAMP_SMP_ROOM) {
        return 0;
    }
    want = get16(rx->buf);
    if (want < 2 || want > STAMP_SMP_MAX + 2 || rx->len > want + STAMP_SMP_ROOM) {
        return 0;
    }
    if (rx->len < want + STAMP_SMP_ROOM) {
        rx->more = true;
        return 0;
    }
    want -= 2;
    if (stamp_crc16(rx->buf + STAMP_SMP_ROOM, want) !=
        get16(rx->buf + STAMP_SMP_ROOM + want)) {
        return 0;
    }
    return want;
}

size_t stamp_smp_rx_byte(struct stamp_smp_rx *rx, uint8_t byte)
{
    if (rx->state != RX_TEXT) {
        take_start(rx, byte);
        return 0;
    }
    if (byte == '\n') {
        return end_line(rx);
    }
    if (byte == '\r') { /* a terminal on the way may add it */
        return 0;
    }
    if (!take_char(rx, byte)) {
        rx->state = byte == LINE_FIRST ? RX_FIRST : RX_IDLE;
    }
    return 0;
}
