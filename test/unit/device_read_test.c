/* Opening, reading, keys, signatures, claims; from flash that is read or mapped, plain or
 * encrypted. */
#include <string.h>

#include "core/bytes.h"
#include "core/crc32.h"
#include "test/unit/rig/rig.h"

static void items_come_back(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rig r;
        uint8_t small[4];
        char serial[7];
        size_t len;

        rig_born(&r, mode, NULL);
        rig_assert_stamp(&r, STAMP_BIRTH, r.birth.bytes, r.birth.len);
        rig_assert_stamp(&r, STAMP_NEWEST, r.birth.bytes, r.birth.len);
        assert_int_equal(stamp_get(&r.dev, STAMP_BANK_A, STAMP_SERIAL, small, 4, &len),
                         STAMP_E_MISSING);
        assert_int_equal(
            stamp_get(&r.dev, STAMP_BIRTH, STAMP_CLAIM_STATE, small, 4, &len),
            STAMP_E_MISSING);
        /* too small: says how much it takes */
        assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_SERIAL, small, 4, &len),
                         STAMP_E_SPACE);
        assert_int_equal(len, 8);
        assert_int_equal(
            stamp_get_string(&r.dev, STAMP_BIRTH, STAMP_SERIAL, serial, 6, &len),
            STAMP_E_SPACE);
        assert_int_equal(len, 7);
        assert_int_equal(
            stamp_get_string(&r.dev, STAMP_BIRTH, STAMP_SERIAL, serial, 7, &len),
            STAMP_OK);
        assert_memory_equal(serial, "SN-0001", 7);
        assert_int_equal(
            stamp_get_string(&r.dev, STAMP_BIRTH, STAMP_PURPOSE, serial, 7, &len),
            STAMP_E_FORMAT);
        rig_fini(&r);
    }
}

static void work_buffer_is_wiped_and_measured(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES - 1;
         mode++) { /* not: encrypted and mapped */
        struct rig r;
        uint8_t value[64];
        size_t len;

        rig_born(&r, mode, NULL);
        assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_POP, value, 64, &len),
                         STAMP_OK);
        for (size_t i = 0; i < sizeof(r.nor.work); i++) {
            assert_int_equal(r.nor.work[i], 0);
        }
        r.nor.port.work_size = len + STAMP_WORK_EXTRA;
        assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_POP, value, 64, &len),
                         STAMP_OK);
        r.nor.port.work_size = mode == 0 ? len + 7 : len + STAMP_WORK_EXTRA - 1;
        assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_POP, value, 64, &len),
                         mode == 2 ? STAMP_OK : STAMP_E_SPACE);
        r.nor.port.work = NULL;
        assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_POP, value, 64, &len),
                         mode == 2 ? STAMP_OK : STAMP_E_SPACE);
        r.nor.port.work = r.nor.work;
        rig_fini(&r);
    }
}

static void encrypted_items_need_the_root_key(void **state)
{
    struct rig r;
    uint8_t value[64];
    size_t len;
    psa_key_id_t id;

    (void)state;
    rig_born(&r, 1, NULL);
    r.nor.root_key[5] ^= 1;
    assert_int_equal(rig_open(&r), STAMP_OK); /* no bank to check */
    assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_SERIAL, value, 64, &len),
                     STAMP_E_CRYPTO);
    assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                     STAMP_E_CRYPTO);
    assert_int_equal(id, PSA_KEY_ID_NULL);
    r.nor.root_key[5] ^= 1;
    r.nor.no_root_key = true;
    assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_SERIAL, value, 64, &len),
                     STAMP_E_CRYPTO);
    r.nor.no_root_key = false;
    r.nor.port.root_key = NULL;
    assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_SERIAL, value, 64, &len),
                     STAMP_E_CRYPTO);
    rig_fini(&r);
}

/* The CRC is right, the tag is not: somebody changed a record on purpose. */
static void changed_record_does_not_open(void **state)
{
    struct rig r;
    struct stamp_item item = {0};
    uint8_t value[64];
    size_t len;
    uint8_t *h;

    (void)state;
    rig_born(&r, 1, NULL);
    assert_int_equal(stamp_find(&r.dev.part, STAMP_BIRTH, STAMP_SERIAL, &item), STAMP_OK);
    h = r.nor.cells;
    h[item.off + 3] ^= 1;
    stamp_put_u32(h + 40, stamp_crc32(0, h + 128, stamp_get_u32(h + 12)));
    stamp_put_u32(h + 60, stamp_crc32(0, h, 60));
    assert_int_equal(rig_open(&r), STAMP_OK);
    assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_SERIAL, value, 64, &len),
                     STAMP_E_CRYPTO);
    assert_int_equal(stamp_get(&r.dev, STAMP_BIRTH, STAMP_COMPANY, value, 64, &len),
                     STAMP_OK);
    rig_fini(&r);
}

static void keys_sign_and_stay_inside(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rig r;
        psa_key_id_t id;
        uint8_t sig[64];
        uint8_t out[64];
        size_t len;

        rig_born(&r, mode, NULL);
        assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                         STAMP_OK);
        assert_int_equal(stamp_sign(id, STAMP_LABEL_PROVE, "nonce", 5, sig), STAMP_OK);
        assert_true(
            fixture_verify(r.birth.key_point, STAMP_LABEL_PROVE, "nonce", 5, sig));
        assert_false(
            fixture_verify(r.birth.key_point, STAMP_LABEL_CLAIM, "nonce", 5, sig));
        assert_int_equal(stamp_verify(id, STAMP_LABEL_PROVE, "nonce", 5, sig), STAMP_OK);
        assert_int_equal(stamp_verify(id, STAMP_LABEL_PROVE, "nonce", 4, sig),
                         STAMP_E_AUTH);
        assert_int_not_equal(psa_export_key(id, out, sizeof(out), &len), PSA_SUCCESS);
        stamp_key_unload(id);
        assert_int_equal(stamp_sign(id, STAMP_LABEL_PROVE, "nonce", 5, sig),
                         STAMP_E_CRYPTO);

        assert_int_equal(
            stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_PROVISIONING_PRIVATE, &id),
            STAMP_OK);
        assert_int_equal(stamp_sign(id, STAMP_LABEL_CLAIM, "A", 1, sig), STAMP_OK);
        assert_true(
            fixture_verify(r.birth.provisioning_point, STAMP_LABEL_CLAIM, "A", 1, sig));
        stamp_key_unload(id);

        assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_SERIAL, &id),
                         STAMP_E_FORMAT);
        assert_int_equal(id, PSA_KEY_ID_NULL);
        assert_int_equal(stamp_key_load(&r.dev, STAMP_BANK_A, STAMP_DEVICE_KEY, &id),
                         STAMP_E_MISSING);
        rig_fini(&r);
    }
}

static void verification_tells_each_difference(void **state)
{
    uint8_t sig[64];
    uint8_t point[65];

    (void)state;
    memcpy(point, rig_owner.owner_point, 65);
    fixture_sign(rig_owner.owner_key, STAMP_LABEL_BUNDLE, "payload", 7, sig);
    assert_int_equal(stamp_verify_point(point, STAMP_LABEL_BUNDLE, "payload", 7, sig),
                     STAMP_OK);
    assert_int_equal(stamp_verify_point(point, STAMP_LABEL_BANK, "payload", 7, sig),
                     STAMP_E_AUTH);
    assert_int_equal(stamp_verify_point(point, STAMP_LABEL_BUNDLE, "Payload", 7, sig),
                     STAMP_E_AUTH);
    for (unsigned bit = 0; bit < 512; bit++) {
        sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(stamp_verify_point(point, STAMP_LABEL_BUNDLE, "payload", 7, sig),
                         STAMP_E_AUTH);
        sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memset(sig, 0, sizeof(sig));
    assert_int_equal(stamp_verify_point(point, STAMP_LABEL_BUNDLE, "payload", 7, sig),
                     STAMP_E_AUTH);
    point[64] ^= 1; /* off the curve */
    assert_int_equal(stamp_verify_point(point, STAMP_LABEL_BUNDLE, "payload", 7, sig),
                     STAMP_E_CRYPTO);
}

static void long_labels_are_refused(void **state)
{
    static const char longest[] = "0123456789012345678901234567890123456789";
    static const char longer[] = "01234567890123456789012345678901234567890123456789";
    struct rig r;
    psa_key_id_t id;
    uint8_t sig[64];

    (void)state;
    rig_born(&r, 0, NULL);
    assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                     STAMP_OK);
    assert_int_equal(stamp_sign(id, longest, "x", 1, sig), STAMP_OK);
    assert_true(fixture_verify(r.birth.key_point, longest, "x", 1, sig));
    assert_int_equal(stamp_sign(id, longer, "x", 1, sig), STAMP_E_CRYPTO);
    assert_int_equal(stamp_verify(id, longer, "x", 1, sig), STAMP_E_CRYPTO);
    stamp_key_unload(id);
    rig_fini(&r);
}

/* A stamp whose device key is elsewhere, put in place by hand: [1, where, 7]. */
static void put_foreign_key(struct rig *r, uint8_t where)
{
    struct stamp_slice key = rig_item(r->birth.bytes, r->birth.len, STAMP_DEVICE_KEY);
    uint8_t *value = r->birth.bytes + (key.p - r->birth.bytes);
    uint8_t *h = r->nor.cells;
    size_t tail = r->birth.len - (size_t)(value + key.len - r->birth.bytes);

    memcpy(value, "\x83\x01", 2);
    value[2] = where;
    value[3] = 7;
    memmove(value + 4, value + key.len, tail);
    r->birth.len -= key.len - 4;
    memcpy(h + 128, r->birth.bytes, r->birth.len);
    stamp_put_u32(h + 12, (uint32_t)r->birth.len);
    stamp_put_u32(h + 40, stamp_crc32(0, h + 128, r->birth.len));
    stamp_put_u32(h + 60, stamp_crc32(0, h, 60));
    assert_int_equal(rig_open(r), STAMP_OK);
}

static int element_key(void *ctx, uint32_t slot, uint32_t *psa_id)
{
    (void)ctx;
    *psa_id = slot + 100;
    return 0;
}

static int no_element_key(void *ctx, uint32_t slot, uint32_t *psa_id)
{
    (void)ctx;
    (void)slot;
    (void)psa_id;
    return -1;
}

static void keys_elsewhere_are_named(void **state)
{
    struct rig r;
    psa_key_id_t id;

    (void)state;
    rig_born(&r, 0, NULL);
    put_foreign_key(&r, STAMP_KEY_PSA);
    assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                     STAMP_OK);
    assert_int_equal(id, 7);
    rig_fini(&r);

    rig_born(&r, 0, NULL);
    put_foreign_key(&r, STAMP_KEY_ELEMENT);
    assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                     STAMP_E_CRYPTO);
    r.nor.port.element_key = no_element_key;
    assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                     STAMP_E_CRYPTO);
    r.nor.port.element_key = element_key;
    assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                     STAMP_OK);
    assert_int_equal(id, 107);
    rig_fini(&r);

    rig_born(&r, 0, NULL);
    put_foreign_key(&r, 3);
    assert_int_equal(stamp_key_load(&r.dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                     STAMP_E_FORMAT);
    rig_fini(&r);
}

static void claims_are_those_of_the_certificate(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rig r;
        uint8_t digest[32];
        uint8_t whole[2048];
        uint8_t part[2048];
        uint8_t claims[2048] = STAMP_LABEL_CLAIMS;
        size_t total;
        size_t len;

        rig_born(&r, mode, NULL);
        assert_int_equal(stamp_claims_digest(&r.dev, digest), STAMP_OK);
        assert_memory_equal(digest, r.birth.digest, 32);
        assert_int_equal(stamp_claims_read(&r.dev, 0, whole, sizeof(whole), &len, &total),
                         STAMP_OK);
        assert_int_equal(len, total);
        memcpy(claims + sizeof(STAMP_LABEL_CLAIMS) - 1, whole, len);
        assert_int_equal(psa_hash_compute(PSA_ALG_SHA_256, claims,
                                          sizeof(STAMP_LABEL_CLAIMS) - 1 + total, digest,
                                          32, &len),
                         PSA_SUCCESS);
        assert_memory_equal(digest, r.birth.digest, 32);
        /* any window */
        for (size_t off = 0; off < total + 3; off += 37) {
            size_t expected = off < total ? total - off : 0;

            expected = expected < 50 ? expected : 50;
            assert_int_equal(stamp_claims_read(&r.dev, off, part, 50, &len, &total),
                             STAMP_OK);
            assert_int_equal(len, expected);
            assert_memory_equal(part, whole + off, len);
        }
        assert_int_equal(stamp_claims_read(&r.dev, SIZE_MAX, part, 50, &len, &total),
                         STAMP_OK);
        assert_int_equal(len, 0);
        rig_fini(&r);
    }
}

static void claims_hold_no_secret(void **state)
{
    struct rig r;
    uint8_t claims[2048];
    size_t total;
    size_t len;

    (void)state;
    rig_born(&r, 0, NULL);
    assert_int_equal(stamp_claims_read(&r.dev, 0, claims, sizeof(claims), &len, &total),
                     STAMP_OK);
    for (size_t i = 0; i + 8 <= len; i++) {
        assert_memory_not_equal(claims + i, FIXTURE_POP, 8);
        assert_memory_not_equal(claims + i, r.birth.key_scalar, 8);
        assert_memory_not_equal(claims + i, r.birth.provisioning_scalar, 8);
    }
    rig_fini(&r);
}

static void claims_of_nothing_are_missing(void **state)
{
    struct rig r;
    uint8_t digest[32] = {1};
    uint8_t none[32] = {0};
    size_t len;
    size_t total;

    (void)state;
    rig_init(&r, 0);
    assert_int_equal(stamp_claims_digest(&r.dev, digest), STAMP_E_MISSING);
    assert_memory_equal(digest, none, 32);
    assert_int_equal(stamp_claims_read(&r.dev, 0, digest, 32, &len, &total),
                     STAMP_E_MISSING);
    assert_int_equal(stamp_check_binding(&r.dev), STAMP_E_MISSING);
    rig_fini(&r);
}

/* SPEC 3-9, 6-2 */
static void banks_without_a_right_signature_do_not_count(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rig r;
        uint8_t *h;
        uint32_t len;

        rig_born(&r, mode, NULL);
        rig_rotate(&r, 1);
        rig_rotate(&r, 2);
        assert_int_equal(rig_open(&r), STAMP_OK);
        assert_int_equal(r.dev.part.newest, STAMP_BANK_B);
        /* forged: a bit of the signature, of the body, of the signed header; the CRCs are
         * right */
        h = r.nor.cells + (size_t)2 * 4096;
        len = stamp_get_u32(h + 12);
        for (unsigned i = 0; i < 3; i++) {
            uint32_t at = i == 0 ? 128 + len + 5 : i == 1 ? 128 + len - 2 : 8;

            h[at] ^= 2;
            stamp_put_u32(h + 40, stamp_crc32(0, h + 128, len + 64));
            stamp_put_u32(h + 60, stamp_crc32(0, h, 60));
            assert_int_equal(rig_open(&r), STAMP_OK);
            assert_int_equal(r.dev.part.region[STAMP_BANK_B].state, STAMP_REGION_TORN);
            assert_int_equal(r.dev.part.newest, STAMP_BANK_A);
            h[at] ^= 2;
        }
        /* the bank of another device, which the other's birth key signed */
        {
            struct rig other;

            rig_born(&other, mode, NULL);
            rig_rotate(&other, 1);
            rig_rotate(&other, 2);
            memcpy(h, other.nor.cells + (size_t)2 * 4096, 4096);
            rig_fini(&other);
        }
        assert_int_equal(rig_open(&r), STAMP_OK);
        assert_int_equal(r.dev.part.newest, STAMP_BANK_A);
        rig_fini(&r);
    }
}

static void bank_that_cannot_be_checked_is_an_error(void **state)
{
    struct rig r;

    (void)state;
    rig_born(&r, 1, NULL);
    rig_rotate(&r, 1);
    r.nor.root_key[0] ^= 1;
    assert_int_equal(rig_open(&r), STAMP_E_CRYPTO);
    r.nor.root_key[0] ^= 1;
    r.nor.fail_reads = true;
    assert_int_equal(rig_open(&r), STAMP_E_FLASH);
    r.nor.fail_reads = false;
    assert_int_equal(rig_open(&r), STAMP_OK);
    rig_fini(&r);
}

static void lock_is_applied_at_each_boot(void **state)
{
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    assert_int_equal(rig_open(&r), STAMP_OK);
    assert_int_equal(r.nor.lock_calls, 0);
    assert_int_equal(stamp_lock(&r.dev), STAMP_OK);
    assert_int_equal(r.nor.lock_calls, 1);
    assert_int_equal(rig_open(&r), STAMP_OK);
    assert_true(r.dev.locked);
    assert_int_equal(r.nor.lock_calls, 2);
    r.nor.fail_lock = true;
    assert_int_equal(rig_open(&r), STAMP_E_FLASH);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_back),
        cmocka_unit_test(work_buffer_is_wiped_and_measured),
        cmocka_unit_test(encrypted_items_need_the_root_key),
        cmocka_unit_test(changed_record_does_not_open),
        cmocka_unit_test(keys_sign_and_stay_inside),
        cmocka_unit_test(verification_tells_each_difference),
        cmocka_unit_test(long_labels_are_refused),
        cmocka_unit_test(keys_elsewhere_are_named),
        cmocka_unit_test(claims_are_those_of_the_certificate),
        cmocka_unit_test(claims_hold_no_secret),
        cmocka_unit_test(claims_of_nothing_are_missing),
        cmocka_unit_test(banks_without_a_right_signature_do_not_count),
        cmocka_unit_test(bank_that_cannot_be_checked_is_an_error),
        cmocka_unit_test(lock_is_applied_at_each_boot),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
