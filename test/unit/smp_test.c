/*
 * core/smp: the header, the look-up, and the framing. The frames were made by a script
 * of its own (binascii.crc_hqx and base64 of Python), not by the code under test.
 */
#include "core/smp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char echo_frame[] = "\x06\tABMCAAAJAAAqAKFhZGVoZWxsb40o\n";

/* bytes i * 7 mod 256, 256 of them: three lines */
static const char *const long_frame[] = {
    "\x06\tAQIABw4VHCMqMTg/Rk1UW2JpcHd+hYyTmqGor7a9xMvS2eDn7vX8AwoRGB8mLTQ7QklQV15lbHN6g"
    "YiPlp2kq7K5wMfO1dzj6vH4/wYNFBsiKTA3PkVMU1phaG92\n",
    "\x04\x14"
    "fYSLkpmgp661vMPK0djf5u30+wIJEBceJSwzOkFIT1ZdZGtyeYCHjpWco6qxuL/GzdTb4unw9/4FDBMaI"
    "SgvNj1ES1JZYGdudXyDipGYn6attLvCydDX3uXs8/oB\n",
    "\x04\x14"
    "CA8WHSQrMjlAR05VXGNqcXh/ho2Um6KpsLe+xczT2uHo7/b9BAsSGSAnLjU8Q0pRWF9mbXR7gomQl56lr"
    "LO6wcjP1t3k6/L5v+Y=\n",
};

struct sink {
    char text[2048];
    size_t len;
    size_t lines;
};

static void take_line(void *ctx, const uint8_t *line, size_t len)
{
    struct sink *s = ctx;

    assert_in_range(len, 4, STAMP_SMP_LINE);
    assert_true(s->len + len < sizeof s->text);
    memcpy(s->text + s->len, line, len);
    s->len += len;
    s->text[s->len] = '\0';
    s->lines++;
}

static size_t feed(struct stamp_smp_rx *rx, const char *text, size_t len)
{
    size_t got = 0;

    for (size_t i = 0; i < len; i++) {
        size_t n = stamp_smp_rx_byte(rx, (uint8_t)text[i]);

        if (n > 0) {
            assert_int_equal(got, 0);
            got = n;
        }
    }
    return got;
}

static size_t feed_text(struct stamp_smp_rx *rx, const char *text)
{
    return feed(rx, text, strlen(text));
}

static void fill_long(uint8_t *buf)
{
    for (unsigned i = 0; i < STAMP_SMP_MAX; i++) {
        buf[STAMP_SMP_ROOM + i] = (uint8_t)(i * 7);
    }
}

static void crc16_has_the_published_check_value(void **state)
{
    (void)state;
    assert_int_equal(stamp_crc16("123456789", 9), 0x31C3);
    assert_int_equal(stamp_crc16("", 0), 0);
}

static void a_known_message_gives_the_known_frame(void **state)
{
    uint8_t buf[STAMP_SMP_BUFFER];
    struct stamp_smp_header h = {
        .op = STAMP_SMP_WRITE, .len = 9, .group = 0, .seq = 0x2a};
    struct sink s = {.len = 0};

    (void)state;
    stamp_smp_header_put(buf + STAMP_SMP_ROOM, &h);
    memcpy(buf + STAMP_SMP_ROOM + STAMP_SMP_HEADER,
           "\xa1\x61"
           "d\x65hello",
           9);
    stamp_smp_send(buf, 17, take_line, &s);
    assert_string_equal(s.text, echo_frame);
}

static void a_message_of_full_size_goes_in_lines_of_at_most_127(void **state)
{
    uint8_t buf[STAMP_SMP_BUFFER];
    struct sink want = {.len = 0};
    struct sink s = {.len = 0};

    (void)state;
    fill_long(buf);
    for (size_t i = 0; i < 3; i++) {
        take_line(&want, (const uint8_t *)long_frame[i], strlen(long_frame[i]));
    }
    stamp_smp_send(buf, STAMP_SMP_MAX, take_line, &s);
    assert_int_equal(s.lines, 3);
    assert_string_equal(s.text, want.text);
}

static void the_known_frames_are_read(void **state)
{
    struct stamp_smp_rx rx;
    uint8_t buf[STAMP_SMP_BUFFER];
    struct stamp_smp_header h;

    (void)state;
    stamp_smp_rx_init(&rx);
    assert_int_equal(feed_text(&rx, echo_frame), 17);
    assert_int_equal(stamp_smp_header_get(rx.buf + STAMP_SMP_ROOM, 17, &h), STAMP_OK);
    assert_int_equal(h.op, STAMP_SMP_WRITE);
    assert_int_equal(h.len, 9);
    assert_int_equal(h.group, 0);
    assert_int_equal(h.seq, 0x2a);
    assert_int_equal(h.id, 0);
    fill_long(buf);
    assert_int_equal(feed_text(&rx, long_frame[0]), 0);
    assert_int_equal(feed_text(&rx, long_frame[1]), 0);
    assert_int_equal(feed_text(&rx, long_frame[2]), STAMP_SMP_MAX);
    assert_memory_equal(rx.buf + STAMP_SMP_ROOM, buf + STAMP_SMP_ROOM, STAMP_SMP_MAX);
}

static void console_text_around_frames_is_passed_over(void **state)
{
    struct stamp_smp_rx rx;

    (void)state;
    stamp_smp_rx_init(&rx);
    assert_int_equal(feed_text(&rx, "devstamp 0.1: booting\r\n\x06 \x04\x14 x\n"), 0);
    assert_int_equal(feed_text(&rx, echo_frame), 17);
    assert_int_equal(feed_text(&rx, long_frame[0]), 0);
    assert_int_equal(feed_text(&rx, "a log line between two lines of a frame\n"), 0);
    assert_int_equal(feed_text(&rx, long_frame[1]), 0);
    assert_int_equal(feed_text(&rx, long_frame[2]), STAMP_SMP_MAX);
}

static void carriage_returns_of_a_terminal_are_passed_over(void **state)
{
    struct stamp_smp_rx rx;

    (void)state;
    stamp_smp_rx_init(&rx);
    assert_int_equal(feed_text(&rx, "\x06\tABMCAAAJAAAqAKFhZGVoZWxsb40o\r\n"), 17);
}

/* Every single change of a character, and every single character lost or doubled. */
static void a_damaged_frame_is_dropped_and_the_next_one_read(void **state)
{
    const size_t len = strlen(echo_frame);
    struct stamp_smp_rx rx;
    char bad[64];

    (void)state;
    stamp_smp_rx_init(&rx);
    for (size_t i = 2; i < len - 1; i++) {
        for (int c = 0; c < 256; c++) {
            if ((char)c == echo_frame[i] || c == '\r') {
                continue;
            }
            memcpy(bad, echo_frame, len);
            bad[i] = (char)c;
            assert_int_equal(feed(&rx, bad, len), 0);
            assert_int_equal(feed_text(&rx, echo_frame), 17);
        }
        memcpy(bad, echo_frame, i);
        memcpy(bad + i, echo_frame + i + 1, len - i - 1);
        assert_int_equal(feed(&rx, bad, len - 1), 0);
        assert_int_equal(feed_text(&rx, echo_frame), 17);
        memcpy(bad, echo_frame, i);
        memcpy(bad + i, echo_frame + i - 1, len - i + 1);
        if (echo_frame[i] != echo_frame[i - 1]) {
            assert_int_equal(feed(&rx, bad, len + 1), 0);
        }
        assert_int_equal(feed_text(&rx, echo_frame), 17);
    }
}

static void a_frame_cut_anywhere_does_not_hide_the_next_one(void **state)
{
    struct stamp_smp_rx rx;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (size_t cut = 0; cut + 1 < strlen(long_frame[i]); cut++) {
            stamp_smp_rx_init(&rx);
            for (size_t k = 0; k < i; k++) {
                assert_int_equal(feed_text(&rx, long_frame[k]), 0);
            }
            assert_int_equal(feed(&rx, long_frame[i], cut), 0);
            assert_int_equal(feed_text(&rx, cut % 2 != 0 ? "\n" : ""), 0);
            assert_int_equal(feed_text(&rx, echo_frame), 17);
        }
    }
}

static void lost_doubled_and_swapped_lines_give_no_message(void **state)
{
    static const uint8_t orders[][3] = {{0, 2, 2}, {1, 2, 0}, {0, 1, 1},
                                        {0, 0, 2}, {0, 2, 1}, {2, 1, 0}};
    struct stamp_smp_rx rx;

    (void)state;
    stamp_smp_rx_init(&rx);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        for (size_t k = 0; k < 3; k++) {
            assert_int_equal(feed_text(&rx, long_frame[orders[i][k]]), 0);
        }
        assert_int_equal(feed_text(&rx, echo_frame), 17);
    }
}

static void a_frame_that_claims_too_much_is_dropped(void **state)
{
    struct stamp_smp_rx rx;
    char line[200] = "\x06\t";

    (void)state;
    stamp_smp_rx_init(&rx);
    assert_int_equal(feed_text(&rx, "\x06\tAQMA\n"), 0); /* 259: one beyond the largest */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(feed_text(&rx, "\x04\x14QUFBQUFBQUFBQUFB\n"), 0);
    }
    memset(line + 2, 'A', 150); /* length 0, in a line beyond 127 */
    assert_int_equal(feed_text(&rx, line), 0);
    assert_int_equal(feed_text(&rx, "\n"), 0);
    for (int i = 0; i < 1000; i++) { /* a line without end */
        assert_int_equal(feed_text(&rx, i == 0 ? "\x06\tQUFBQUFB" : "QUFBQUFB"), 0);
    }
    assert_int_equal(feed_text(&rx, "\n"), 0);
    assert_int_equal(feed_text(&rx, echo_frame), 17);
}

static void all_lengths_come_back_as_they_were(void **state)
{
    struct stamp_smp_rx rx;
    uint8_t buf[STAMP_SMP_BUFFER];

    (void)state;
    stamp_smp_rx_init(&rx);
    for (size_t len = 1; len <= STAMP_SMP_MAX; len++) {
        struct sink s = {.len = 0};

        for (size_t i = 0; i < len; i++) {
            buf[STAMP_SMP_ROOM + i] = (uint8_t)(len * 31 + i);
        }
        stamp_smp_send(buf, len, take_line, &s);
        assert_int_equal(feed(&rx, s.text, s.len), len);
        assert_memory_equal(rx.buf + STAMP_SMP_ROOM, buf + STAMP_SMP_ROOM, len);
    }
}

static void a_header_must_tell_the_messages_length(void **state)
{
    uint8_t msg[17] = {0x0a, 0, 0, 9}; /* a newer version in the upper bits of op */
    struct stamp_smp_header h;

    (void)state;
    assert_int_equal(stamp_smp_header_get(msg, 17, &h), STAMP_OK);
    assert_int_equal(h.op, STAMP_SMP_WRITE);
    assert_int_equal(stamp_smp_header_get(msg, 16, &h), STAMP_E_FORMAT);
    assert_int_equal(stamp_smp_header_get(msg, 7, &h), STAMP_E_FORMAT);
}

static void a_field_is_found_in_a_map_and_only_in_a_map(void **state)
{
    static const uint8_t body[] = {0xa3, 0x61, 'a',  0x01, 0x62, 'a', 'b', 0x82,
                                   0x01, 0x02, 0x61, 'b',  0x43, 1,   2,   3};
    struct stamp_cbor v;

    (void)state;
    assert_int_equal(stamp_smp_field(body, sizeof body, "a", &v), STAMP_OK);
    assert_int_equal(stamp_cbor_uint(&v, 10), 1);
    assert_int_equal(stamp_smp_field(body, sizeof body, "b", &v), STAMP_OK);
    assert_int_equal(stamp_cbor_string(&v, STAMP_CBOR_BYTES, 0, 9).len, 3);
    assert_int_equal(stamp_smp_field(body, sizeof body, "c", &v), STAMP_E_MISSING);
    assert_int_equal(stamp_cbor_uint(&v, 10), 0);
    assert_int_not_equal(v.err, STAMP_OK);
    for (size_t len = 0; len < sizeof body;
         len++) { /* cut short: also behind the field */
        assert_int_equal(stamp_smp_field(body, len, "a", &v), STAMP_E_FORMAT);
        assert_int_equal(v.left, 0);
    }
    assert_int_equal(stamp_smp_field((const uint8_t *)"\xa0\x00", 2, "a", &v),
                     STAMP_E_FORMAT);
    assert_int_equal(stamp_smp_field((const uint8_t *)"\x80", 1, "a", &v),
                     STAMP_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc16_has_the_published_check_value),
        cmocka_unit_test(a_known_message_gives_the_known_frame),
        cmocka_unit_test(a_message_of_full_size_goes_in_lines_of_at_most_127),
        cmocka_unit_test(the_known_frames_are_read),
        cmocka_unit_test(console_text_around_frames_is_passed_over),
        cmocka_unit_test(carriage_returns_of_a_terminal_are_passed_over),
        cmocka_unit_test(a_damaged_frame_is_dropped_and_the_next_one_read),
        cmocka_unit_test(a_frame_cut_anywhere_does_not_hide_the_next_one),
        cmocka_unit_test(lost_doubled_and_swapped_lines_give_no_message),
        cmocka_unit_test(a_frame_that_claims_too_much_is_dropped),
        cmocka_unit_test(all_lengths_come_back_as_they_were),
        cmocka_unit_test(a_header_must_tell_the_messages_length),
        cmocka_unit_test(a_field_is_found_in_a_map_and_only_in_a_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
