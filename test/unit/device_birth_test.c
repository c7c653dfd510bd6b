/* The birth stamp: written once, whole or not at all, only when its parts belong
 * together, and then locked. */
#include <string.h>

#include "core/bytes.h"
#include "core/crc32.h"
#include "test/unit/rig/rig.h"

static enum stamp_err write_birth(struct rig *r)
{
    return stamp_birth_write(&r->dev, r->birth.bytes, r->birth.len);
}

static void refuse(const struct fixture_options *options, enum stamp_err expected)
{
    struct rig r;

    rig_init(&r, 0);
    fixture_birth(&rig_owner, options, &r.birth);
    rig_mark(&r);
    assert_int_equal(write_birth(&r), expected);
    rig_assert_untouched(&r);
    assert_int_equal(rig_open(&r), STAMP_E_BLANK);
    rig_fini(&r);
}

/* SPEC 3-11, 3-14 */
static void unused_bytes_stay_erased(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rig r;
        const uint8_t *c;

        rig_born(&r, mode, NULL);
        c = r.nor.cells;
        for (uint32_t i = 128 + stamp_get_u32(c + 12); i < r.nor.size; i++) {
            assert_int_equal(c[i], 0xFF);
        }
        for (uint32_t i = 64; i < 128; i++) {
            assert_int_equal(c[i], 0xFF);
        }
        if ((mode & 1) == 0) { /* the bytes are those that were given */
            assert_memory_equal(c + 128, r.birth.bytes, r.birth.len);
        }
        rig_fini(&r);
    }
}

static void is_written_once(void **state)
{
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    rig_mark(&r);
    assert_int_equal(write_birth(&r), STAMP_E_EXISTS);
    rig_assert_untouched(&r);
    assert_int_equal(stamp_lock(&r.dev), STAMP_OK);
    rig_mark(&r);
    assert_int_equal(write_birth(&r), STAMP_E_LOCKED);
    assert_int_equal(stamp_lock(&r.dev), STAMP_OK); /* again, harmless */
    rig_assert_untouched(&r);
    rig_assert_stamp(&r, STAMP_BIRTH, r.birth.bytes, r.birth.len);
    rig_fini(&r);
}

/* SPEC 3-8, 3-13 */
static void newer_and_damaged_locked_regions_are_kept(void **state)
{
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    r.nor.cells[4] = 2;
    stamp_put_u32(r.nor.cells + 60, stamp_crc32(0, r.nor.cells, 60));
    assert_int_equal(rig_open(&r), STAMP_E_VERSION);
    rig_mark(&r);
    assert_int_equal(write_birth(&r), STAMP_E_VERSION);
    assert_int_equal(stamp_lock(&r.dev), STAMP_E_BLANK);
    rig_assert_untouched(&r);
    rig_fini(&r);

    rig_born(&r, 0, NULL);
    assert_int_equal(stamp_lock(&r.dev), STAMP_OK);
    r.nor.cells[200] ^= 1;
    assert_int_equal(rig_open(&r), STAMP_E_CORRUPT);
    assert_true(r.dev.locked);
    rig_mark(&r);
    assert_int_equal(write_birth(&r), STAMP_E_LOCKED);
    rig_assert_untouched(&r);
    rig_fini(&r);

    rig_born(&r, 0, NULL); /* damaged and not locked: may be written again */
    r.nor.cells[200] ^= 1;
    assert_int_equal(rig_open(&r), STAMP_E_CORRUPT);
    assert_int_equal(write_birth(&r), STAMP_OK);
    rig_fini(&r);
}

static void parts_that_do_not_belong_together_are_refused(void **state)
{
    static struct fixture other;
    const struct fixture_options wrong_digest = {.wrong_digest = true};
    const struct fixture_options wrong_digest_pen = {.wrong_digest = true,
                                                     .pen_oid = true};
    const struct fixture_options wrong_key = {.wrong_key = true};
    const struct fixture_options wrong_serial = {.wrong_serial = true};
    const struct fixture_options leaf = {.other_purpose_leaf = true};
    const struct fixture_options bundle = {.other_purpose_bundle = true};
    const struct fixture_options ca = {.other_ca = &other};
    const struct fixture_options other_bundle = {.other_bundle = &other};

    (void)state;
    fixture_init(&other, STAMP_DEVELOPMENT);
    refuse(&wrong_digest, STAMP_E_AUTH);
    refuse(&wrong_digest_pen, STAMP_E_AUTH);
    refuse(&wrong_key, STAMP_E_AUTH);
    refuse(&wrong_serial, STAMP_E_AUTH);
    refuse(&leaf, STAMP_E_PURPOSE);
    refuse(&bundle, STAMP_E_PURPOSE);
    refuse(&ca, STAMP_E_AUTH);
    refuse(&other_bundle, STAMP_E_AUTH);
    fixture_fini(&other);
}

/* SPEC 7-5, 7-6 */
static void bound_and_unbound_are_told_apart(void **state)
{
    const struct fixture_options pen = {.pen_oid = true};
    const struct fixture_options unbound = {.unbound = true};
    const struct fixture_options small = {.small = true};

    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rig r;

        rig_born(&r, mode, NULL);
        assert_int_equal(stamp_check_binding(&r.dev), STAMP_OK);
        rig_fini(&r);
        rig_born(&r, mode, &pen);
        assert_int_equal(stamp_check_binding(&r.dev), STAMP_OK);
        rig_fini(&r);
        rig_born(&r, mode, &small);
        assert_int_equal(stamp_check_binding(&r.dev), STAMP_OK);
        rig_fini(&r);
        rig_born(&r, mode, &unbound);
        assert_int_equal(stamp_check_binding(&r.dev), STAMP_E_MISSING);
        rig_fini(&r);
    }
}

/* A rogue station brings a bundle of its own, and the hash of its own key in the stamp.
 */
static void pinned_owner_beats_the_one_in_the_stamp(void **state)
{
    static struct fixture rogue;
    struct rig r;

    (void)state;
    fixture_init(&rogue, STAMP_DEVELOPMENT);
    rig_init(&r, 0);
    fixture_birth(&rogue, NULL, &r.birth);
    r.nor.port.owner_key_hash = rig_owner.owner_hash;
    rig_mark(&r);
    assert_int_equal(write_birth(&r), STAMP_E_AUTH);
    rig_assert_untouched(&r);
    fixture_birth(&rig_owner, NULL, &r.birth);
    assert_int_equal(write_birth(&r), STAMP_OK);
    rig_fini(&r);
    fixture_fini(&rogue);
}

/* Take one item out of the encoded stamp. */
static void remove_item(struct fixture_stamp *s, uint32_t key)
{
    struct stamp_slice v = rig_item(s->bytes, s->len, key);
    uint8_t *from = s->bytes + (v.p - s->bytes) - (key < 24 ? 1 : 2);
    uint8_t *to = s->bytes + (v.p - s->bytes) + v.len;

    memmove(from, to, (size_t)(s->bytes + s->len - to));
    s->len -= (size_t)(to - from);
    s->bytes[0]--;
}

static void what_must_be_there_is_missed(void **state)
{
    static const uint32_t must[] = {
        STAMP_SERIAL,       STAMP_COMPANY,    STAMP_PRODUCT,
        STAMP_MADE_AT,      STAMP_PURPOSE,    STAMP_OWNER_KEY_HASH,
        STAMP_TRUST_BUNDLE, STAMP_DEVICE_KEY, STAMP_CERTIFICATES};
    const struct fixture_options unbound = {.unbound = true};

    (void)state;
    for (size_t i = 0; i < sizeof(must) / sizeof(must[0]); i++) {
        struct rig r;

        rig_init(&r, 0);
        fixture_birth(&rig_owner, &unbound, &r.birth);
        remove_item(&r.birth, must[i]);
        rig_mark(&r);
        assert_int_equal(write_birth(&r), STAMP_E_MISSING);
        rig_assert_untouched(&r);
        rig_fini(&r);
    }
}

static void what_is_no_stamp_is_refused(void **state)
{
    const struct fixture_options unbound = {.unbound = true};
    static uint8_t big[20000];
    struct rig r;
    uint8_t *end;

    (void)state;
    rig_init(&r, 0);
    rig_mark(&r);
    assert_int_equal(stamp_birth_write(&r.dev, "", 0), STAMP_E_FORMAT);
    assert_int_equal(stamp_birth_write(&r.dev, "\xA0", 1), STAMP_E_MISSING);
    assert_int_equal(stamp_birth_write(&r.dev, "\x80", 1), STAMP_E_FORMAT);
    memset(big, 0xFF, sizeof(big));
    assert_int_equal(stamp_birth_write(&r.dev, big, sizeof(big)), STAMP_E_FORMAT);
    fixture_birth(&rig_owner, &unbound, &r.birth);
    for (size_t len = 0; len < r.birth.len; len += 13) { /* cut short */
        assert_int_not_equal(stamp_birth_write(&r.dev, r.birth.bytes, len), STAMP_OK);
    }
    end = r.birth.bytes + r.birth.len;
    end[0] = 0x18; /* something behind the map */
    end[1] = 63;
    end[2] = 0x00;
    assert_int_equal(stamp_birth_write(&r.dev, r.birth.bytes, r.birth.len + 3),
                     STAMP_E_FORMAT);
    r.birth.bytes[0]++; /* now it is inside, an item this code does not know: SPEC 4-6 */
    r.birth.len += 3;
    rig_assert_untouched(&r);
    assert_int_equal(write_birth(&r), STAMP_OK);
    rig_assert_item(&r, STAMP_BIRTH, 63, (struct stamp_slice){(const uint8_t *)"\0", 1});
    rig_fini(&r);

    rig_init(&r, 0); /* a claim state is for banks */
    fixture_birth(&rig_owner, &unbound, &r.birth);
    end = r.birth.bytes + r.birth.len;
    memcpy(end, "\x18\x32\x82\x00\xF4", 5);
    r.birth.bytes[0]++;
    r.birth.len += 5;
    rig_mark(&r);
    assert_int_equal(write_birth(&r), STAMP_E_FORMAT);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

static void maps_out_of_order_are_refused(void **state)
{
    const struct fixture_options unbound = {.unbound = true};
    struct rig r;
    struct stamp_slice company;
    struct stamp_slice product;
    size_t at;

    (void)state;
    rig_init(&r, 0);
    fixture_birth(&rig_owner, &unbound, &r.birth);
    company = rig_item(r.birth.bytes, r.birth.len, STAMP_COMPANY);
    product = rig_item(r.birth.bytes, r.birth.len, STAMP_PRODUCT);
    at = (size_t)(company.p - r.birth.bytes) - 1;
    rig_mark(&r);
    r.birth.bytes[at] = STAMP_PRODUCT; /* 3, 3: one twice */
    assert_int_equal(write_birth(&r), STAMP_E_FORMAT);
    r.birth.bytes[(size_t)(product.p - r.birth.bytes) - 1] = STAMP_COMPANY; /* 3, 2 */
    assert_int_not_equal(write_birth(&r), STAMP_OK);
    r.birth.bytes[at] = 0; /* SPEC 4-6 */
    assert_int_not_equal(write_birth(&r), STAMP_OK);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct rig r;

    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        rig_init(&r, mode);
        r.nor.port.flash.birth_size = 1024; /* the region is full before the stamp is */
        fixture_birth(&rig_owner, NULL, &r.birth);
        assert_int_equal(rig_open(&r), STAMP_E_BLANK);
        rig_mark(&r);
        assert_int_equal(write_birth(&r), STAMP_E_SPACE);
        rig_assert_untouched(&r);
        rig_fini(&r);
    }
    rig_init(&r, 1);
    fixture_birth(&rig_owner, NULL, &r.birth);
    r.nor.port.work_size = 512; /* no room to seal the certificates */
    rig_mark(&r);
    assert_int_equal(write_birth(&r), STAMP_E_SPACE);
    rig_assert_untouched(&r);
    r.nor.port.work_size = sizeof(r.nor.work);
    r.nor.no_root_key = true;
    assert_int_equal(write_birth(&r), STAMP_E_CRYPTO);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

/* Fill the region to the last byte. */
static void last_byte_of_the_region_is_used(void **state)
{
    const struct fixture_options unbound = {.unbound = true};
    struct rig r;
    size_t room;
    size_t fill;
    uint8_t *end;

    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        rig_init(&r, 0);
        fixture_birth(&rig_owner, &unbound, &r.birth);
        room = 4096 - 128 + over;
        end = r.birth.bytes + r.birth.len;
        fill = room - r.birth.len - 2 - 3; /* key 63, head, bytes */
        assert_true(fill > 255);
        end[0] = 0x18;
        end[1] = 63;
        end[2] = 0x59;
        end[3] = (uint8_t)(fill >> 8);
        end[4] = (uint8_t)fill;
        memset(end + 5, 0x42, fill);
        r.birth.bytes[0]++;
        r.birth.len = room;
        assert_int_equal(write_birth(&r), over == 0 ? STAMP_OK : STAMP_E_SPACE);
        rig_fini(&r);
    }
}

/* Each erase and program fails once: nothing counts, and a second call gets through. */
static void failing_flash_leaves_nothing_that_counts(void **state)
{
    static struct fixture_stamp birth; /* one: its length, too, is of the keys */

    (void)state;
    fixture_birth(&rig_owner, NULL, &birth);
    for (unsigned mode = 0; mode < 2; mode++) {
        uint32_t failed = 0;
        enum stamp_err rc;

        do {
            struct rig r;

            rig_init(&r, mode);
            r.birth = birth;
            nor_record(&r.nor);
            r.nor.fail_at = failed;
            rc = write_birth(&r);
            if (rc == STAMP_E_FLASH) {
                failed++;
                assert_int_equal(r.nor.count, failed); /* nothing is done after it */
                assert_int_not_equal(r.dev.part.region[STAMP_BIRTH].state,
                                     STAMP_REGION_WHOLE);
                assert_int_not_equal(rig_open(&r), STAMP_OK);
                r.nor.fail_at = NOR_NEVER;
                assert_int_equal(write_birth(&r), STAMP_OK);
            } else {
                assert_int_equal(rc, STAMP_OK);
            }
            rig_assert_stamp(&r, STAMP_BIRTH, birth.bytes, birth.len);
            rig_fini(&r);
        } while (rc == STAMP_E_FLASH);
        /* sectors, body in pieces of 64, header */
        assert_true(failed >= 4 + birth.len / 64 + 1);
    }
}

static void read_only_flash_is_told(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 0);
    fixture_birth(&rig_owner, NULL, &r.birth);
    r.nor.port.flash.erase = NULL;
    assert_int_equal(write_birth(&r), STAMP_E_FLASH);
    rig_fini(&r);
    rig_born(&r, 0, NULL);
    r.nor.port.flash.program = NULL;
    assert_int_equal(stamp_lock(&r.dev), STAMP_E_FLASH);
    assert_false(r.dev.locked);
    rig_fini(&r);
}

static void lock_needs_a_stamp_and_tells_failures(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 0);
    rig_mark(&r);
    assert_int_equal(stamp_lock(&r.dev), STAMP_E_BLANK);
    rig_assert_untouched(&r);
    rig_fini(&r);
    rig_born(&r, 0, NULL);
    nor_record(&r.nor);
    r.nor.fail_at = 0;
    assert_int_equal(stamp_lock(&r.dev), STAMP_E_FLASH);
    assert_false(r.dev.locked);
    assert_int_equal(r.nor.lock_calls, 0);
    r.nor.fail_at = NOR_NEVER;
    r.nor.fail_lock = true;
    assert_int_equal(stamp_lock(&r.dev),
                     STAMP_E_FLASH); /* the mark is set all the same */
    assert_true(r.dev.locked);
    r.nor.fail_lock = false;
    assert_int_equal(stamp_lock(&r.dev), STAMP_OK);
    rig_fini(&r);
}

/* The mark fills whole units, whatever their size. */
static void lock_mark_fills_its_units(void **state)
{
    static const uint16_t sizes[] = {1, 2, 4, 8, 16, 32, 64};
    const struct fixture_options small = {.small = true};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct nor_geometry g = {1024, sizes[i], 0xFF, 4096};
        struct rig r;
        size_t len = sizes[i] < 4 ? 4 : sizes[i];

        memset(&r, 0, sizeof(r));
        nor_init(&r.nor, &g, false, false);
        assert_int_equal(rig_open(&r), STAMP_E_BLANK);
        fixture_birth(&rig_owner, &small, &r.birth);
        assert_int_equal(write_birth(&r), STAMP_OK);
        assert_int_equal(stamp_lock(&r.dev), STAMP_OK);
        for (size_t at = 0; at < len; at += 4) {
            assert_memory_equal(r.nor.cells + 64 + at, "LOCK", 4);
        }
        for (size_t at = 64 + len; at < 128; at++) {
            assert_int_equal(r.nor.cells[at], 0xFF);
        }
        rig_fini(&r);
    }
}

static bool holds_run(const struct nor *n, const uint8_t *secret, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i++) {
        for (size_t at = 0; at + 8 <= n->size; at++) {
            if (memcmp(n->cells + at, secret + i, 8) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void encrypted_flash_holds_no_run_of_a_secret(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < 2; mode++) {
        struct rig r;
        bool plain = mode == 0;

        rig_born(&r, mode, NULL);
        assert_int_equal(holds_run(&r.nor, r.birth.key_scalar, 32), plain);
        assert_int_equal(holds_run(&r.nor, r.birth.provisioning_scalar, 32), plain);
        assert_int_equal(holds_run(&r.nor, (const uint8_t *)FIXTURE_POP, 8), plain);
        assert_int_equal(holds_run(&r.nor, r.birth.bytes, r.birth.len), plain);
        rig_fini(&r);
    }
}

/* SPEC 9-4 */
static void each_writing_draws_a_new_salt(void **state)
{
    struct rig a;
    struct rig b;

    (void)state;
    rig_born(&a, 1, NULL);
    rig_init(&b, 1);
    memcpy(b.birth.bytes, a.birth.bytes, a.birth.len);
    b.birth.len = a.birth.len;
    assert_int_equal(write_birth(&b), STAMP_OK);
    assert_memory_not_equal(a.nor.cells + 16, b.nor.cells + 16, 16);
    assert_memory_not_equal(a.nor.cells + 140, b.nor.cells + 140, 16);
    rig_fini(&a);
    rig_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unused_bytes_stay_erased),
        cmocka_unit_test(is_written_once),
        cmocka_unit_test(newer_and_damaged_locked_regions_are_kept),
        cmocka_unit_test(parts_that_do_not_belong_together_are_refused),
        cmocka_unit_test(bound_and_unbound_are_told_apart),
        cmocka_unit_test(pinned_owner_beats_the_one_in_the_stamp),
        cmocka_unit_test(what_must_be_there_is_missed),
        cmocka_unit_test(what_is_no_stamp_is_refused),
        cmocka_unit_test(maps_out_of_order_are_refused),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(last_byte_of_the_region_is_used),
        cmocka_unit_test(failing_flash_leaves_nothing_that_counts),
        cmocka_unit_test(read_only_flash_is_told),
        cmocka_unit_test(lock_needs_a_stamp_and_tells_failures),
        cmocka_unit_test(lock_mark_fills_its_units),
        cmocka_unit_test(encrypted_flash_holds_no_run_of_a_secret),
        cmocka_unit_test(each_writing_draws_a_new_salt),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
