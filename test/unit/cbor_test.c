#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/cbor.h"

struct sample {
    const char *bytes;
    size_t len;
};
#define SAMPLE(s)                                                                        \
    {                                                                                    \
        s, sizeof(s) - 1                                                                 \
    }

static void heads_round_trip(void **state)
{
    static const uint32_t args[] = {0,     1,     23,       24,         255,       256,
                                    65535, 65536, 16777216, 0x7FFFFFFF, 0xFFFFFFFF};
    static const uint8_t sizes[] = {1, 1, 1, 2, 2, 3, 3, 5, 5, 5, 5};

    (void)state;
    for (unsigned type = STAMP_CBOR_UINT; type <= STAMP_CBOR_MAP; type++) {
        for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
            uint8_t buf[STAMP_CBOR_HEAD_MAX];
            struct stamp_cbor_head h;

            assert_int_equal(
                stamp_cbor_encode_head(buf, (enum stamp_cbor_type)type, args[i]),
                sizes[i]);
            assert_int_equal(stamp_cbor_head(buf, sizes[i], &h), STAMP_OK);
            assert_int_equal(h.type, type);
            assert_int_equal(h.size, sizes[i]);
            assert_int_equal(h.arg, args[i]);
            for (uint8_t cut = 0; cut < sizes[i]; cut++) {
                assert_int_equal(stamp_cbor_head(buf, cut, &h), STAMP_E_FORMAT);
            }
        }
    }
}

/* SPEC 4-1, 4-2, 4-3 */
static void heads_outside_the_subset_are_refused(void **state)
{
    static const struct sample bad[] = {
        SAMPLE("\x18\x00"),             /* 0 in two bytes */
        SAMPLE("\x18\x17"),             /* 23 in two bytes */
        SAMPLE("\x19\x00\xFF"),         /* 255 in three */
        SAMPLE("\x1A\x00\x00\xFF\xFF"), /* 65535 in five */
        SAMPLE("\x1B\0\0\0\1\0\0\0\0"), /* 2^32 */
        SAMPLE("\x1C"),                 /* reserved */
        SAMPLE("\x5F"),                 /* indefinite */
        SAMPLE("\x7F"),
        SAMPLE("\x9F"),
        SAMPLE("\xBF"),
        SAMPLE("\xC0\x00"), /* tag */
        SAMPLE("\xDB\0\0\0\1\0\0\0\0\0"),
        SAMPLE("\xE0"),         /* simple 0 */
        SAMPLE("\xF6"),         /* null */
        SAMPLE("\xF7"),         /* undefined */
        SAMPLE("\xF8\x20"),     /* simple 32 */
        SAMPLE("\xF9\x3C\x00"), /* half 1.0 */
        SAMPLE("\xFA\0\0\0\0"),
        SAMPLE("\xFF"), /* break */
    };
    struct stamp_cbor_head h;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(stamp_cbor_head((const uint8_t *)bad[i].bytes, bad[i].len, &h),
                         STAMP_E_FORMAT);
    }
}

static void reader_takes_values_in_order(void **state)
{
    static const uint8_t in[] = {0x84, 0x18, 0x2A, 0x43, 1, 2, 3, 0x62, 'h', 'i', 0xF5};
    struct stamp_cbor c;
    struct stamp_slice s;

    (void)state;
    stamp_cbor_init(&c, in, sizeof(in));
    assert_int_equal(stamp_cbor_peek(&c), STAMP_CBOR_ARRAY);
    assert_int_equal(stamp_cbor_expect(&c, STAMP_CBOR_ARRAY), 4);
    assert_int_equal(stamp_cbor_uint(&c, 42), 42);
    s = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 3, 3);
    assert_memory_equal(s.p, "\1\2\3", 3);
    s = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 0, 2);
    assert_int_equal(s.len, 2);
    assert_int_equal(stamp_cbor_expect(&c, STAMP_CBOR_SIMPLE), 21);
    assert_int_equal(c.err, STAMP_OK);
    assert_int_equal(c.left, 0);
    assert_int_equal(stamp_cbor_peek(&c), -1);
}

static void an_error_sticks(void **state)
{
    static const uint8_t in[] = {0x01, 0x02, 0x03};
    struct stamp_cbor c;

    (void)state;
    stamp_cbor_init(&c, in, sizeof(in));
    assert_int_equal(stamp_cbor_uint(&c, 0), 0); /* 1 is too large */
    assert_int_equal(c.err, STAMP_E_FORMAT);
    assert_int_equal(stamp_cbor_uint(&c, 9), 0);
    assert_null(stamp_cbor_skip(&c).p);
    assert_null(stamp_cbor_string(&c, STAMP_CBOR_TEXT, 0, 9).p);
    assert_int_equal(stamp_cbor_peek(&c), -1);
    assert_int_equal(c.err, STAMP_E_FORMAT);
}

static void strings_keep_their_bounds(void **state)
{
    static const uint8_t in[] = {0x43, 1, 2, 3};
    struct stamp_cbor c;

    (void)state;
    stamp_cbor_init(&c, in, sizeof(in));
    assert_null(stamp_cbor_string(&c, STAMP_CBOR_BYTES, 4, 9).p);
    stamp_cbor_init(&c, in, sizeof(in));
    assert_null(stamp_cbor_string(&c, STAMP_CBOR_BYTES, 0, 2).p);
    stamp_cbor_init(&c, in, sizeof(in));
    assert_null(stamp_cbor_string(&c, STAMP_CBOR_TEXT, 0, 9).p);
    stamp_cbor_init(&c, in, sizeof(in) - 1);
    assert_null(stamp_cbor_string(&c, STAMP_CBOR_BYTES, 0, 9).p);
    assert_int_equal(c.err, STAMP_E_FORMAT);
}

static void skip_takes_one_item_whatever_it_is(void **state)
{
    static const struct sample items[] = {
        SAMPLE("\x00"),
        SAMPLE("\x38\x63"),
        SAMPLE("\x44"
               "ABCD"),
        SAMPLE("\x80"),
        SAMPLE("\xA0"),
        SAMPLE("\x82\x01\x82\x02\x03"),
        SAMPLE("\xA2\x01\x81\x02\x03\xF4"),
        SAMPLE("\x81\x81\x81\x81\x81\x00"), /* five levels, six with the body: SPEC 4-4 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        uint8_t in[16];
        struct stamp_cbor c;
        struct stamp_slice s;

        memcpy(in, items[i].bytes, items[i].len);
        in[items[i].len] = 0x00;
        stamp_cbor_init(&c, in, items[i].len + 1);
        s = stamp_cbor_skip(&c);
        assert_int_equal(c.err, STAMP_OK);
        assert_ptr_equal(s.p, in);
        assert_int_equal(s.len, items[i].len);
        assert_int_equal(c.left, 1);
        stamp_cbor_init(&c, in, items[i].len - 1);
        assert_null(stamp_cbor_skip(&c).p);
    }
}

static void skip_refuses_lies(void **state)
{
    static const struct sample bad[] = {
        SAMPLE(""),
        SAMPLE("\x9A\xFF\xFF\xFF\xFF"), /* four billion items */
        SAMPLE("\xBA\xFF\xFF\xFF\xFF"),
        SAMPLE("\x5A\xFF\xFF\xFF\xFF"),
        SAMPLE("\x82\x01"), /* one missing */
        SAMPLE("\xA1\x01"),
        SAMPLE("\x81\x81\x81\x81\x81\x81\x00"), /* six levels */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct stamp_cbor c;

        stamp_cbor_init(&c, bad[i].bytes, bad[i].len);
        assert_null(stamp_cbor_skip(&c).p);
        assert_int_equal(c.err, STAMP_E_FORMAT);
    }
}

static void writer_measures_past_its_end(void **state)
{
    uint8_t buf[8];
    struct stamp_cbor_out o;

    (void)state;
    for (size_t size = 0; size <= sizeof(buf); size++) {
        memset(buf, 0xEE, sizeof(buf));
        stamp_cbor_out_init(&o, buf, size);
        stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
        stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, "hi", 2);
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 1000);
        assert_int_equal(o.len, 7);
        assert_int_equal(stamp_cbor_out_ok(&o), size >= 7);
        for (size_t i = size; i < sizeof(buf); i++) {
            assert_int_equal(buf[i], 0xEE);
        }
    }
    assert_memory_equal(buf, "\x82\x62hi\x19\x03\xE8", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_round_trip),
        cmocka_unit_test(heads_outside_the_subset_are_refused),
        cmocka_unit_test(reader_takes_values_in_order),
        cmocka_unit_test(an_error_sticks),
        cmocka_unit_test(strings_keep_their_bounds),
        cmocka_unit_test(skip_takes_one_item_whatever_it_is),
        cmocka_unit_test(skip_refuses_lies),
        cmocka_unit_test(writer_measures_past_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
