/* The reader: which regions are whole, and what no flipped bit gets past. SPEC 3 and 4.
 */
#include <string.h>

#include "core/bytes.h"
#include "core/crc32.h"
#include "test/unit/rig/rig.h"

#define REGION 4096u

/* Build an image by hand, from SPEC and not with the writer. */
struct image {
    uint8_t bytes[3 * REGION];
    struct stamp_flash flash;
    struct stamp_part part;
    bool fail;
    uint32_t reads;
};

static int image_read(void *ctx, uint32_t off, void *buf, size_t len)
{
    struct image *m = ctx;

    m->reads++;
    if (m->fail || off > sizeof(m->bytes) || len > sizeof(m->bytes) - off) {
        return -1;
    }
    memcpy(buf, m->bytes + off, len);
    return 0;
}

static void blank(struct image *m, uint8_t erased)
{
    memset(m, 0, sizeof(*m));
    memset(m->bytes, erased, sizeof(m->bytes));
    m->flash.read = image_read;
    m->flash.ctx = m;
    m->flash.birth_size = REGION;
    m->flash.bank_size = REGION;
    m->flash.erase_size = REGION;
    m->flash.program_size = 1;
    m->flash.erased = erased;
}

static const uint8_t body[] = {0xA3, 1, 0x63, 'a', 'b',  'c', 9, 0x82,
                               1,    2, 0x18, 48,  0x42, 7,   8};

static uint8_t *header_of(struct image *m, unsigned which)
{
    return m->bytes + (size_t)which * REGION;
}

static void seal_header(uint8_t *h)
{
    stamp_put_u32(h + 60, stamp_crc32(0, h, 60));
}

static void put_region(struct image *m, unsigned which, uint8_t kind, uint32_t seq,
                       const uint8_t *content, size_t len)
{
    uint8_t *h = header_of(m, which);
    size_t tail = which == STAMP_BIRTH ? 0 : 64;

    memcpy(h + 128, content, len);
    memset(h + 128 + len, 0x5A, tail);
    memset(h, 0, 64);
    memcpy(h, "dStp", 4);
    h[4] = 1;
    h[5] = kind;
    stamp_put_u32(h + 8, seq);
    stamp_put_u32(h + 12, (uint32_t)len);
    stamp_put_u32(h + 32, REGION);
    stamp_put_u32(h + 36, REGION);
    stamp_put_u32(h + 40, stamp_crc32(0, h + 128, len + tail));
    seal_header(h);
}

static enum stamp_err open_image(struct image *m)
{
    return stamp_part_open(&m->part, &m->flash);
}

static void blank_flash_has_no_stamp(void **state)
{
    struct image m;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        blank(&m, i == 0 ? 0xFF : 0x00);
        assert_int_equal(open_image(&m), STAMP_E_BLANK);
        assert_int_equal(m.part.newest, STAMP_BIRTH);
        assert_int_equal(m.part.region[2].state, STAMP_REGION_BLANK);
        assert_int_equal(m.part.region[2].off, 2 * REGION);
    }
}

static void birth_and_banks_are_found(void **state)
{
    struct image m;

    (void)state;
    for (unsigned mapped = 0; mapped < 2; mapped++) {
        blank(&m, 0xFF);
        m.flash.map = mapped != 0 ? m.bytes : NULL;
        put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
        assert_int_equal(open_image(&m), STAMP_OK);
        assert_int_equal(m.part.newest, STAMP_BIRTH);
        assert_int_equal(m.part.region[0].body_len, sizeof(body));
        put_region(&m, 1, STAMP_KIND_OPERATIONAL, 5, body, sizeof(body));
        assert_int_equal(open_image(&m), STAMP_OK);
        assert_int_equal(m.part.newest, STAMP_BANK_A);
        put_region(&m, 2, STAMP_KIND_OPERATIONAL, 6, body, sizeof(body));
        assert_int_equal(open_image(&m), STAMP_OK);
        assert_int_equal(m.part.newest, STAMP_BANK_B);
        /* a pending one does not count as current: SPEC 3-9 */
        put_region(&m, 2, STAMP_KIND_PENDING, 7, body, sizeof(body));
        assert_int_equal(open_image(&m), STAMP_OK);
        assert_int_equal(m.part.newest, STAMP_BANK_A);
        assert_int_equal(m.reads == 0, mapped);
    }
}

static void torn_newer_bank_falls_back(void **state)
{
    struct image m;

    (void)state;
    blank(&m, 0xFF);
    put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
    put_region(&m, 1, STAMP_KIND_OPERATIONAL, 5, body, sizeof(body));
    put_region(&m, 2, STAMP_KIND_OPERATIONAL, 6, body, sizeof(body));
    m.bytes[2 * REGION + 128] ^= 1;
    assert_int_equal(open_image(&m), STAMP_OK);
    assert_int_equal(m.part.region[2].state, STAMP_REGION_TORN);
    assert_int_equal(m.part.newest, STAMP_BANK_A);
}

/* Headers whose CRC is right and whose content is not. SPEC 3-5, 3-6. */
static void headers_that_do_not_fit_are_torn(void **state)
{
    static const struct {
        unsigned region;
        unsigned at;
        uint32_t value;
        uint8_t size;
    } bad[] = {
        {0, 5, STAMP_KIND_OPERATIONAL, 1}, /* kind of another region */
        {1, 5, STAMP_KIND_BIRTH, 1},
        {0, 8, 1, 4}, /* a birth stamp with a number */
        {1, 8, 0, 4}, /* a bank without */
        {0, 6, 2, 1}, /* unknown flag */
        {0, 6, 0x80, 1},
        {0, 32, REGION + 1, 4}, /* another partition */
        {0, 36, REGION - 1, 4},
        {0, 12, REGION - 128 + 1, 4}, /* longer than the region */
        {1, 12, REGION - 128 - 64 + 1, 4},
        {0, 12, 0xFFFFFFFF, 4},
        {1, 12, 0xFFFFFFFF, 4},
        {0, 12, sizeof(body) + 1, 4},
        {0, 40, 0, 4}, /* body CRC */
    };
    struct image m;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t *h;

        blank(&m, 0xFF);
        put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
        put_region(&m, 1, STAMP_KIND_OPERATIONAL, 1, body, sizeof(body));
        h = header_of(&m, bad[i].region);
        if (bad[i].size == 1) {
            h[bad[i].at] = (uint8_t)bad[i].value;
        } else {
            stamp_put_u32(h + bad[i].at, bad[i].value);
        }
        seal_header(h);
        assert_int_equal(open_image(&m), bad[i].region == 0 ? STAMP_E_CORRUPT : STAMP_OK);
        assert_int_equal(m.part.region[bad[i].region].state, STAMP_REGION_TORN);
        if (bad[i].region == 1) {
            assert_int_equal(m.part.newest, STAMP_BIRTH);
        }
    }
}

/* SPEC 3-8 */
static void newer_version_is_told_apart_from_torn(void **state)
{
    struct image m;

    (void)state;
    blank(&m, 0xFF);
    put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
    header_of(&m, 0)[4] = 2;
    assert_int_equal(open_image(&m), STAMP_E_CORRUPT); /* its CRC is wrong */
    memset(header_of(&m, 0) + 5, 0x77, 55);            /* and whatever it has */
    seal_header(header_of(&m, 0));
    assert_int_equal(open_image(&m), STAMP_E_VERSION);
    assert_int_equal(m.part.region[0].state, STAMP_REGION_NEWER);
}

static void unreadable_flash_is_told(void **state)
{
    struct image m;

    (void)state;
    blank(&m, 0xFF);
    put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
    m.fail = true;
    assert_int_equal(open_image(&m), STAMP_E_FLASH);
    m.fail = false;
    m.flash.bank_size = STAMP_REGION_MIN - 1;
    assert_int_equal(open_image(&m), STAMP_E_FLASH);
}

/* Each bit of header, body and signature is covered by a CRC; those of the lock mark's
 * place and of what lies behind are not, and change nothing. */
static void every_flipped_bit_is_detected(void **state)
{
    struct image m;

    (void)state;
    blank(&m, 0xFF);
    put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
    put_region(&m, 1, STAMP_KIND_OPERATIONAL, 1, body, sizeof(body));
    for (uint32_t bit = 0; bit < 2 * REGION * 8; bit++) {
        uint32_t off = bit / 8 % REGION;
        bool birth = bit / 8 < REGION;
        uint32_t end = 128 + sizeof(body) + (birth ? 0 : 64);
        bool covered = off < 64 || (off >= 128 && off < end);
        enum stamp_err rc;

        m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        rc = open_image(&m);
        assert_int_equal(rc, covered && birth ? STAMP_E_CORRUPT : STAMP_OK);
        assert_int_equal(m.part.newest, covered && !birth ? STAMP_BIRTH : STAMP_BANK_A);
        m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* SPEC 3-10 */
static void lock_mark_counts(void **state)
{
    struct image m;

    (void)state;
    for (unsigned erased = 0; erased < 2; erased++) {
        uint8_t fill = erased == 0 ? 0xFF : 0x00;

        blank(&m, fill);
        put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
        assert_int_equal(open_image(&m), STAMP_OK);
        assert_false(stamp_part_locked(&m.part));
        for (unsigned bit = 0; bit < 32; bit++) { /* any trace in a whole region */
            m.bytes[64 + bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_true(stamp_part_locked(&m.part));
            m.bytes[64 + bit / 8] = fill;
        }
        m.bytes[68] = (uint8_t)~fill; /* not of the mark */
        assert_false(stamp_part_locked(&m.part));
        /* in a torn region only the mark itself: a cut erase leaves anything */
        m.bytes[0] ^= 1;
        assert_int_equal(open_image(&m), STAMP_E_CORRUPT);
        memset(m.bytes + 64, 0xA5, 4);
        assert_false(stamp_part_locked(&m.part));
        memcpy(m.bytes + 64, "LOCK", 4);
        assert_true(stamp_part_locked(&m.part));
        m.fail = true;
        assert_true(stamp_part_locked(&m.part));
    }
}

static void items_are_found(void **state)
{
    static const uint8_t newer[] = {0xA1, 9, 0x18, 200};
    struct image m;
    struct stamp_item item = {0};

    (void)state;
    for (unsigned mapped = 0; mapped < 2; mapped++) {
        blank(&m, 0xFF);
        m.flash.map = mapped != 0 ? m.bytes : NULL;
        put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
        put_region(&m, 1, STAMP_KIND_OPERATIONAL, 1, newer, sizeof(newer));
        assert_int_equal(open_image(&m), STAMP_OK);
        assert_int_equal(stamp_find(&m.part, STAMP_BIRTH, 1, &item), STAMP_OK);
        assert_int_equal(item.off, 128 + 2);
        assert_int_equal(item.len, 4);
        assert_ptr_equal(item.map, mapped != 0 ? m.bytes + 130 : NULL);
        assert_int_equal(stamp_item_content(&m.part, &item), STAMP_OK);
        assert_int_equal(item.off, 128 + 3);
        assert_int_equal(item.len, 3);
        assert_ptr_equal(item.map, mapped != 0 ? m.bytes + 131 : NULL);
        assert_int_equal(stamp_find(&m.part, STAMP_BIRTH, 48, &item), STAMP_OK);
        assert_int_equal(stamp_find(&m.part, STAMP_BIRTH, 2, &item), STAMP_E_MISSING);
        assert_int_equal(stamp_find(&m.part, STAMP_BIRTH, 63, &item), STAMP_E_MISSING);
        assert_int_equal(stamp_find(&m.part, STAMP_BANK_B, 1, &item), STAMP_E_MISSING);
        /* the newest bank's, else the birth stamp's */
        assert_int_equal(stamp_find(&m.part, STAMP_NEWEST, 9, &item), STAMP_OK);
        assert_int_equal(item.off, REGION + 130);
        assert_int_equal(stamp_item_content(&m.part, &item), STAMP_E_FORMAT);
        assert_int_equal(stamp_find(&m.part, STAMP_NEWEST, 1, &item), STAMP_OK);
        assert_int_equal(item.off, 130);
        assert_int_equal(stamp_find(&m.part, STAMP_NEWEST, 2, &item), STAMP_E_MISSING);
    }
}

static void items_are_walked_in_order(void **state)
{
    static const uint32_t keys[] = {1, 9, 48};
    struct stamp_item item = {0};
    struct image m;

    (void)state;
    blank(&m, 0xFF);
    put_region(&m, 0, STAMP_KIND_BIRTH, 0, body, sizeof(body));
    assert_int_equal(open_image(&m), STAMP_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(stamp_next(&m.part, STAMP_BIRTH, &item), STAMP_OK);
        assert_int_equal(item.key, keys[i]);
    }
    assert_int_equal(stamp_next(&m.part, STAMP_BIRTH, &item), STAMP_E_MISSING);
    m.fail = true;
    assert_int_equal(stamp_find(&m.part, STAMP_BIRTH, 9, &item), STAMP_E_FLASH);
}

static void malformed_bodies_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x81\x01", 2},                     /* no map */
        {"\xA1\x41\x01", 3},                 /* key is no number */
        {"\xA1\x02", 2},                     /* no value */
        {"\xA1\x02\x18\x01", 4},             /* not shortest */
        {"\xA1\x02\x5A\xFF\xFF\xFF\xFF", 7}, /* longer than all */
        {"\xA1\x02\x9A\xFF\xFF\xFF\xFF", 7},
        {"\xA1\x02\xBA\x80\x00\x00\x01", 7}, /* a count that doubles to little */
        {"\xA1\x02\xC1\x01", 4},             /* a tag */
    };
    struct stamp_item item;
    struct image m;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        blank(&m, 0xFF);
        put_region(&m, 0, STAMP_KIND_BIRTH, 0, (const uint8_t *)bad[i].bytes, bad[i].len);
        assert_int_equal(open_image(&m), STAMP_OK);
        assert_int_equal(stamp_find(&m.part, STAMP_BIRTH, 2, &item), STAMP_E_FORMAT);
    }
}

static void header_round_trip(void **state)
{
    struct stamp_header in = {.kind = 2,
                              .flags = 1,
                              .seq = 0x01020304,
                              .body_len = 0xA0B0C0D0,
                              .birth_size = 4096,
                              .bank_size = 8192,
                              .body_crc = 0xDEADBEEF};
    struct stamp_header out;
    uint8_t raw[STAMP_HEADER_SIZE];

    (void)state;
    memset(in.salt, 0x3C, sizeof(in.salt));
    stamp_header_encode(&in, raw);
    assert_memory_equal(raw, "dStp\1\2\1\0\4\3\2\1\xD0\xC0\xB0\xA0", 16);
    memset(&out, 0, sizeof(out));
    assert_int_equal(stamp_header_decode(raw, &out), STAMP_OK);
    assert_memory_equal(&in, &out, sizeof(in));
    for (unsigned bit = 0; bit < STAMP_HEADER_SIZE * 8; bit++) {
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(stamp_header_decode(raw, &out), STAMP_E_CORRUPT);
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blank_flash_has_no_stamp),
        cmocka_unit_test(birth_and_banks_are_found),
        cmocka_unit_test(torn_newer_bank_falls_back),
        cmocka_unit_test(headers_that_do_not_fit_are_torn),
        cmocka_unit_test(newer_version_is_told_apart_from_torn),
        cmocka_unit_test(unreadable_flash_is_told),
        cmocka_unit_test(every_flipped_bit_is_detected),
        cmocka_unit_test(lock_mark_counts),
        cmocka_unit_test(items_are_found),
        cmocka_unit_test(items_are_walked_in_order),
        cmocka_unit_test(malformed_bodies_are_refused),
        cmocka_unit_test(header_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
