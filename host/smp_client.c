/* Requests, answers, retries. SPEC 10-1..10-6. */
#include "host/smp_client.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/keys.h"

enum {
    SEND_MS = 2000,
    SLICE_MS = 200,
    FRAME_MAX = 4 * STAMP_SMP_LINE, /* base64 of STAMP_SMP_BUFFER, in lines */
};

static enum stamp_err tty_send(void *ctx, const void *p, size_t len,
                               struct stamp_error *err)
{
    return stamp_tty_write(ctx, p, len, SEND_MS, err);
}

static enum stamp_err tty_receive(void *ctx, void *buf, size_t size, int timeout_ms,
                                  size_t *len, struct stamp_error *err)
{
    return stamp_tty_read(ctx, buf, size, timeout_ms, len, err);
}

struct stamp_smp_line stamp_smp_tty_line(struct stamp_tty *tty)
{
    struct stamp_smp_line line = {tty_send, tty_receive, tty, stamp_tty_path(tty)};

    return line;
}

void stamp_smp_client_init(struct stamp_smp_client *c, const struct stamp_smp_line *line)
{
    struct timespec now;

    memset(c, 0, sizeof *c);
    c->line = *line;
    c->read_ms = 1000;
    c->write_ms = 10000;
    c->tries = 3;
    /* not always from 0: an answer that an earlier command gave up on may still come */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    c->seq = (uint8_t)(now.tv_nsec >> 10);
    stamp_smp_rx_init(&c->rx);
}

void stamp_smp_body_init(struct stamp_smp_body *b, uint32_t n)
{
    stamp_cbor_out_init(&b->out, b->bytes, sizeof b->bytes);
    stamp_cbor_put_head(&b->out, STAMP_CBOR_MAP, n);
}

void stamp_smp_body_uint(struct stamp_smp_body *b, const char *key, uint32_t v)
{
    stamp_cbor_put_string(&b->out, STAMP_CBOR_TEXT, key, strlen(key));
    stamp_cbor_put_head(&b->out, STAMP_CBOR_UINT, v);
}

void stamp_smp_body_bytes(struct stamp_smp_body *b, const char *key, const void *p,
                          size_t len)
{
    stamp_cbor_put_string(&b->out, STAMP_CBOR_TEXT, key, strlen(key));
    stamp_cbor_put_string(&b->out, STAMP_CBOR_BYTES, p, len);
}

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The lines of a frame: they go out as one write. */
struct frame {
    uint8_t bytes[FRAME_MAX];
    size_t len;
};

static void add_line(void *ctx, const uint8_t *line, size_t len)
{
    struct frame *f = ctx;

    if (len > sizeof f->bytes - f->len) {
        STAMP_BUG("a frame beyond the size of a message");
    }
    memcpy(f->bytes + f->len, line, len);
    f->len += len;
}

static enum stamp_err send_request(struct stamp_smp_client *c,
                                   const struct stamp_smp_header *h,
                                   const struct stamp_smp_body *body,
                                   struct stamp_error *err)
{
    uint8_t buf[STAMP_SMP_BUFFER];
    struct frame f = {.len = 0};

    stamp_smp_header_put(buf + STAMP_SMP_ROOM, h);
    memcpy(buf + STAMP_SMP_ROOM + STAMP_SMP_HEADER, body->bytes, body->out.len);
    stamp_smp_send(buf, STAMP_SMP_HEADER + body->out.len, add_line, &f);
    return c->line.send(c->line.ctx, f.bytes, f.len, err);
}

static bool answers(const uint8_t *msg, size_t len, const struct stamp_smp_header *asked)
{
    struct stamp_smp_header h;

    return stamp_smp_header_get(msg, len, &h) == STAMP_OK && h.op == asked->op + 1 &&
           h.group == asked->group && h.id == asked->id && h.seq == asked->seq;
}

/* STAMP_E_TIMEOUT leaves `err` alone: the caller may try again. */
static bool is_over(const struct stamp_smp_client *c)
{
    return c->is_over != NULL && c->is_over(c->is_over_ctx);
}

static enum stamp_err await(struct stamp_smp_client *c,
                            const struct stamp_smp_header *asked, int timeout_ms,
                            struct stamp_smp_reply *r, struct stamp_error *err)
{
    const int64_t end = now_ms() + timeout_ms;
    const int64_t most = c->is_over == NULL ? timeout_ms : SLICE_MS;
    const uint8_t *msg = c->rx.buf + STAMP_SMP_ROOM;

    for (;;) {
        int64_t left = end - now_ms();
        uint8_t buf[256];
        enum stamp_err code;
        size_t n;

        if (left <= 0 || is_over(c)) {
            return STAMP_E_TIMEOUT;
        }
        code = c->line.receive(c->line.ctx, buf, sizeof buf,
                               (int)(left < most ? left : most), &n, err);
        if (code != STAMP_OK) {
            return code;
        }
        if (n == 0 && c->is_over == NULL) { /* all of the time was waited at once */
            return STAMP_E_TIMEOUT;
        }
        for (size_t i = 0; i < n; i++) {
            size_t len = stamp_smp_rx_byte(&c->rx, buf[i]);

            if (len > 0 && answers(msg, len, asked)) {
                r->len = len - STAMP_SMP_HEADER;
                memcpy(r->body, msg + STAMP_SMP_HEADER, r->len);
                return STAMP_OK;
            }
        }
    }
}

static enum stamp_err device_error(uint32_t rc, const struct stamp_smp_reply *r,
                                   const char *path, struct stamp_error *err)
{
    struct stamp_cbor c;
    uint32_t wait;

    switch (rc) {
    case STAMP_RC_BUSY:
        stamp_smp_field(r->body, r->len, "wait", &c);
        wait = stamp_cbor_uint(&c, UINT32_MAX);
        stamp_error_hint(err, "run the same command again in %u s", wait / 1000 + 1);
        return stamp_error_set(err, STAMP_E_BUSY, (long)wait,
                               "the device on '%s' is slowing down after wrong tries",
                               path);
    case STAMP_RC_NOT_AUTHENTIC:
        return stamp_error_set(err, STAMP_E_AUTH, (long)rc,
                               "the device on '%s' refused: not authentic", path);
    case STAMP_RC_NOT_FOUND:
        return stamp_error_set(err, STAMP_E_MISSING, (long)rc,
                               "the device on '%s' does not have that", path);
    case STAMP_RC_NOT_SUPPORTED:
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, (long)rc,
                               "the device on '%s' does not do that", path);
    default:
        return stamp_error_set(err, STAMP_E_DEVICE, (long)rc,
                               "the device on '%s' answered with error %u", path, rc);
    }
}

static enum stamp_err bad_answer(const char *path, const char *why,
                                 struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0,
                           "the device on '%s' gave an answer that is not to the "
                           "specification: %s",
                           path, why);
}

static enum stamp_err check_reply(struct stamp_smp_client *c,
                                  const struct stamp_smp_reply *r,
                                  struct stamp_error *err)
{
    const char *path = c->line.name;
    struct stamp_cbor v;
    enum stamp_err code = stamp_smp_field(r->body, r->len, "rc", &v);
    uint32_t rc;

    if (code == STAMP_E_MISSING) {
        return STAMP_OK;
    }
    rc = stamp_cbor_uint(&v, UINT32_MAX);
    if (v.err != STAMP_OK) {
        return bad_answer(path, "not a map of texts", err);
    }
    return rc == STAMP_RC_OK ? STAMP_OK : device_error(rc, r, path, err);
}

enum stamp_err stamp_smp_request(struct stamp_smp_client *c, enum stamp_smp_op op,
                                 uint16_t group, uint8_t id,
                                 const struct stamp_smp_body *body,
                                 struct stamp_smp_reply *r, struct stamp_error *err)
{
    struct stamp_smp_header h = {.op = (uint8_t)op, .group = group, .id = id};
    const int answer_ms = op == STAMP_SMP_READ ? c->read_ms : c->write_ms;
    const int again_ms = c->tries > 1 && c->read_ms < answer_ms ? c->read_ms : answer_ms;
    const int most = c->tries * ((answer_ms + again_ms - 1) / again_ms);
    const int64_t start = now_ms();
    enum stamp_err code = STAMP_E_TIMEOUT;
    int asked = 0;

    if (!stamp_cbor_out_ok(&body->out)) {
        STAMP_BUG("a request beyond the size of a message");
    }
    r->len = 0;
    h.len = (uint16_t)body->out.len;
    h.seq = c->seq++;
    while (asked < most && code == STAMP_E_TIMEOUT && (asked == 0 || !is_over(c))) {
        asked++;
        code = send_request(c, &h, body, err);
        if (code == STAMP_OK) {
            code = await(c, &h, again_ms, r, err);
        }
    }
    if (code == STAMP_E_TIMEOUT) {
        stamp_error_hint(err,
                         "see that it is the right port and speed (115200), that the "
                         "device runs, and that no other program reads the port");
        return stamp_error_set(err, code, 0,
                               "no answer from a device on port '%s' (asked %d times in "
                               "%d s)",
                               c->line.name, asked,
                               (int)((now_ms() - start + 999) / 1000));
    }
    return code != STAMP_OK ? code : check_reply(c, r, err);
}

enum stamp_err stamp_smp_reply_bytes(const struct stamp_smp_reply *r, const char *key,
                                     void *out, size_t len, struct stamp_error *err)
{
    struct stamp_cbor c;
    struct stamp_slice s;

    stamp_smp_field(r->body, r->len, key, &c);
    s = stamp_cbor_string(&c, STAMP_CBOR_BYTES, len, len);
    if (c.err != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "the device's answer lacks \"%s\" of %zu bytes", key, len);
    }
    memcpy(out, s.p, len);
    return STAMP_OK;
}

/* A text to show: what could move a terminal's cursor becomes '?'. So do the controls of
 * U+0080 to U+009F, C2 80 to C2 9F. */
static bool reply_text(const struct stamp_smp_reply *r, const char *key, char *out,
                       size_t size)
{
    struct stamp_cbor c;
    struct stamp_slice s;

    stamp_smp_field(r->body, r->len, key, &c);
    s = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 0, size - 1);
    out[0] = '\0';
    if (c.err != STAMP_OK) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        bool control = s.p[i] < 0x20 || s.p[i] == 0x7F ||
                       (i > 0 && s.p[i - 1] == 0xC2 && s.p[i] < 0xA0);

        out[i] = (char)(control ? '?' : s.p[i]);
    }
    out[s.len] = '\0';
    return true;
}

static bool reply_uint(const struct stamp_smp_reply *r, const char *key, uint32_t *out)
{
    struct stamp_cbor c;

    stamp_smp_field(r->body, r->len, key, &c);
    *out = stamp_cbor_uint(&c, UINT32_MAX);
    return c.err == STAMP_OK;
}

static bool reply_bool(const struct stamp_smp_reply *r, const char *key, bool *out)
{
    struct stamp_cbor c;

    stamp_smp_field(r->body, r->len, key, &c);
    *out = stamp_cbor_expect(&c, STAMP_CBOR_SIMPLE) == 21;
    return c.err == STAMP_OK;
}

enum stamp_err stamp_smp_info(struct stamp_smp_client *c, struct stamp_info *info,
                              struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    enum stamp_err code;
    bool all;

    memset(info, 0, sizeof *info);
    stamp_smp_body_init(&body, 0);
    code = stamp_smp_request(c, STAMP_SMP_READ, STAMP_SMP_GROUP_STAMP, STAMP_SMP_INFO,
                             &body, &r, err);
    if (code != STAMP_OK) {
        return code;
    }
    if (!reply_text(&r, "state", info->state, sizeof info->state) ||
        !reply_text(&r, "fw", info->firmware, sizeof info->firmware)) {
        return bad_answer(c->line.name, "no state", err);
    }
    all = reply_text(&r, "serial", info->serial, sizeof info->serial) &&
          reply_text(&r, "product", info->product, sizeof info->product) &&
          reply_uint(&r, "purpose", &info->purpose) &&
          reply_uint(&r, "seq", &info->seq) &&
          reply_bool(&r, "claimed", &info->claimed) &&
          reply_bool(&r, "crypt", &info->encrypted);
    if (!all && strcmp(info->state, "blank") != 0 &&
        strcmp(info->state, "damaged") != 0) {
        return bad_answer(c->line.name, "info is not whole", err);
    }
    return STAMP_OK;
}

/* One chunk, appended to `buf`. */
static enum stamp_err item_chunk(struct stamp_smp_client *c, uint32_t key,
                                 enum stamp_which which, uint8_t *buf, size_t *have,
                                 size_t *total, size_t max, struct stamp_error *err)
{
    const char *path = c->line.name;
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    struct stamp_cbor v;
    struct stamp_slice d;
    enum stamp_err code;
    uint32_t len;

    stamp_smp_body_init(&body, 3);
    stamp_smp_body_uint(&body, "k", key);
    stamp_smp_body_uint(&body, "w", (uint32_t)which);
    stamp_smp_body_uint(&body, "off", (uint32_t)*have);
    code = stamp_smp_request(c, STAMP_SMP_READ, STAMP_SMP_GROUP_STAMP, STAMP_SMP_ITEM,
                             &body, &r, err);
    if (code != STAMP_OK) {
        return code;
    }
    stamp_smp_field(r.body, r.len, "d", &v);
    d = stamp_cbor_string(&v, STAMP_CBOR_BYTES, 1, sizeof r.body);
    if (v.err != STAMP_OK || !reply_uint(&r, "len", &len)) {
        return bad_answer(path, "an item's chunk without bytes or length", err);
    }
    if (len == 0 || len > max || (*have > 0 && len != *total) || d.len > len - *have) {
        return bad_answer(path, "an item's length is out of range or changes", err);
    }
    memcpy(buf + *have, d.p, d.len);
    *have += d.len;
    *total = len;
    return STAMP_OK;
}

enum stamp_err stamp_smp_item(struct stamp_smp_client *c, uint32_t key,
                              enum stamp_which which, size_t max, uint8_t **out,
                              size_t *len, struct stamp_error *err)
{
    uint8_t *buf = malloc(max);
    size_t have = 0;
    size_t total = 1;

    *out = NULL;
    *len = 0;
    if (buf == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    while (have < total) {
        enum stamp_err code = item_chunk(c, key, which, buf, &have, &total, max, err);

        if (code != STAMP_OK) {
            free(buf);
            return code;
        }
    }
    *out = buf;
    *len = total;
    return STAMP_OK;
}
