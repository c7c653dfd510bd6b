/* The operational bank: replaced and updated, old or new; and rotation, which judges
 * first. */
#include <string.h>

#include "core/bytes.h"
#include "core/crc32.h"
#include "test/unit/rig/rig.h"

static const uint8_t claimed[] = {0x82, 0x00, 0xF5};
static const uint8_t pop[] = "\x82\x50"
                             "0123456789abcdef"
                             "\x68NEWPOP99";

static struct stamp_change change(uint32_t key, const void *p, size_t len)
{
    return (struct stamp_change){key, {p, len}};
}

static void replaces_by_turns(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rig r;
        uint8_t in[3072];

        rig_born(&r, mode, NULL);
        for (uint8_t i = 1; i <= 4; i++) {
            size_t len = rig_operational(&r, i, in, sizeof(in));

            assert_int_equal(stamp_bank_replace(&r.dev, in, len), STAMP_OK);
            for (unsigned boot = 0; boot < 2; boot++) {
                assert_int_equal(r.dev.part.newest,
                                 i % 2 == 1 ? STAMP_BANK_A : STAMP_BANK_B);
                assert_int_equal(r.dev.part.region[r.dev.part.newest].seq, i);
                rig_assert_stamp(&r, STAMP_NEWEST, in, len);
                /* what the bank does not hold is the birth stamp's: SPEC 6-1 */
                rig_assert_item(&r, STAMP_NEWEST, STAMP_SERIAL,
                                rig_item(r.birth.bytes, r.birth.len, STAMP_SERIAL));
                assert_int_equal(rig_open(&r), STAMP_OK);
            }
        }
        rig_assert_stamp(&r, STAMP_BIRTH, r.birth.bytes, r.birth.len);
        rig_fini(&r);
    }
}

/* SPEC 6-2, checked with OpenSSL. */
static void bank_is_signed_by_the_birth_key(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < 2; mode++) {
        struct rig r;
        uint8_t payload[4096];
        const uint8_t *h;
        uint32_t len;

        rig_born(&r, mode, NULL);
        rig_rotate(&r, 1);
        h = r.nor.cells + 4096;
        len = stamp_get_u32(h + 12);
        memcpy(payload, h, 32);
        memcpy(payload + 32, h + 128, len);
        assert_true(fixture_verify(r.birth.key_point, STAMP_LABEL_BANK, payload, 32 + len,
                                   h + 128 + len));
        for (uint32_t i = 128 + len + 64; i < 4096; i++) {
            assert_int_equal(h[i], 0xFF);
        }
        rig_fini(&r);
    }
}

static void update_keeps_the_rest(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rig r;
        uint8_t in[3072];
        uint8_t out[64];
        struct stamp_change c[2];
        size_t len;

        rig_born(&r, mode, NULL);
        len = rig_operational(&r, 7, in, sizeof(in));
        assert_int_equal(stamp_bank_replace(&r.dev, in, len), STAMP_OK);
        c[0] = change(STAMP_CLAIM_STATE, claimed, sizeof(claimed));
        assert_int_equal(stamp_bank_update(&r.dev, c, 1), STAMP_OK);
        assert_int_equal(rig_open(&r), STAMP_OK);
        assert_int_equal(r.dev.part.region[r.dev.part.newest].seq, 2);
        rig_assert_item(&r, STAMP_NEWEST, STAMP_CLAIM_STATE, c[0].value);
        rig_assert_item(&r, STAMP_BANK_B, STAMP_DEVICE_KEY,
                        rig_item(in, len, STAMP_DEVICE_KEY));
        rig_assert_item(&r, STAMP_BANK_B, STAMP_CERTIFICATES,
                        rig_item(in, len, STAMP_CERTIFICATES));
        /* one more item, one fewer */
        c[0] = change(STAMP_CLAIM_STATE, NULL, 0);
        c[1] = change(STAMP_POP, pop, sizeof(pop) - 1);
        assert_int_equal(stamp_bank_update(&r.dev, c, 2), STAMP_OK);
        assert_int_equal(
            stamp_get(&r.dev, STAMP_NEWEST, STAMP_CLAIM_STATE, out, 64, &len),
            STAMP_E_MISSING);
        rig_assert_item(&r, STAMP_NEWEST, STAMP_POP, c[1].value);
        /* key and certificates go together, also out */
        c[0] = change(STAMP_DEVICE_KEY, NULL, 0);
        c[1] = change(STAMP_CERTIFICATES, NULL, 0);
        assert_int_equal(stamp_bank_update(&r.dev, c, 2), STAMP_OK);
        rig_assert_item(&r, STAMP_NEWEST, STAMP_CERTIFICATES,
                        rig_item(r.birth.bytes, r.birth.len, STAMP_CERTIFICATES));
        rig_fini(&r);
    }
}

static void first_update_begins_with_an_empty_bank(void **state)
{
    struct stamp_change c = change(STAMP_CLAIM_STATE, claimed, sizeof(claimed));
    struct stamp_item item;
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_OK);
    assert_int_equal(r.dev.part.newest, STAMP_BANK_A);
    assert_int_equal(stamp_find(&r.dev.part, STAMP_BANK_A, STAMP_POP, &item),
                     STAMP_E_MISSING);
    rig_assert_item(&r, STAMP_NEWEST, STAMP_CLAIM_STATE, c.value);
    rig_fini(&r);
}

/* A plain bank is kept when the firmware begins to encrypt, and encrypted then. */
static void update_encrypts_what_was_plain(void **state)
{
    struct stamp_change c = change(STAMP_CLAIM_STATE, claimed, sizeof(claimed));
    struct rig r;
    struct rig keys;
    uint8_t in[3072];
    size_t len;

    (void)state;
    rig_born(&r, 0, NULL);
    len = rig_operational(&r, 7, in, sizeof(in));
    assert_int_equal(stamp_bank_replace(&r.dev, in, len), STAMP_OK);
    rig_init(&keys, 1);
    r.nor.port.root_key = keys.nor.port.root_key;
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_OK);
    assert_int_equal(rig_open(&r), STAMP_OK);
    assert_int_equal(r.dev.part.region[STAMP_BANK_B].flags, STAMP_FLAG_ENCRYPTED);
    rig_assert_item(&r, STAMP_BANK_B, STAMP_DEVICE_KEY,
                    rig_item(in, len, STAMP_DEVICE_KEY));
    rig_fini(&keys);
    rig_fini(&r);
}

static void what_no_bank_holds_is_refused(void **state)
{
    static const uint8_t serial[] = {0x61, 'x'};
    static const uint8_t two[] = {0x00, 0x00};
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"", 0},
        {"\x80", 1},
        {"\xA1\x01\x61x", 4},                /* serial */
        {"\xA1\x18\x3F\x00", 4},             /* a key that no bank has: SPEC 6-1 */
        {"\xA1\x18\x30\x83\x01\x01\x05", 7}, /* key without certificates */
        {"\xA1\x18\x31\x81\x41x", 6},        /* certificates without key */
        {"\xA2\x18\x32\x82\x00\xF4", 6},     /* an item fewer than it says */
        {"\xA1\x18\x32\x82\x00\xF4\x00", 7}, /* something behind */
        {"\xA2\x18\x32\x82\x00\xF4\x09\x81\x00", 9}, /* out of order */
        {"\xA1\x18\x32\x82\x00", 5},                 /* cut short */
    };
    struct stamp_change c;
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    rig_rotate(&r, 1);
    rig_mark(&r);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(stamp_bank_replace(&r.dev, bad[i].bytes, bad[i].len),
                         STAMP_E_FORMAT);
    }
    c = change(STAMP_SERIAL, serial, sizeof(serial));
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_E_FORMAT);
    c = change(STAMP_CLAIM_STATE, two, sizeof(two));
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_E_FORMAT);
    c = change(STAMP_CLAIM_STATE, two, 0);
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_E_FORMAT);
    c = change(STAMP_DEVICE_KEY, NULL, 0);
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_E_FORMAT);
    rig_assert_untouched(&r);
    assert_int_equal(rig_open(&r), STAMP_OK);
    assert_int_equal(r.dev.part.newest, STAMP_BANK_A);
    rig_fini(&r);
}

static void bank_needs_a_birth_stamp(void **state)
{
    struct stamp_change c = change(STAMP_CLAIM_STATE, claimed, sizeof(claimed));
    struct rig r;

    (void)state;
    rig_init(&r, 0);
    rig_mark(&r);
    assert_int_equal(stamp_bank_replace(&r.dev, "\xA0", 1), STAMP_E_BLANK);
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_E_BLANK);
    assert_int_equal(stamp_rotate(&r.dev, &c, 1), STAMP_E_MISSING);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

/* SPEC 3-8: whichever bank it is. */
static void newer_bank_is_not_overwritten(void **state)
{
    struct stamp_change c = change(STAMP_CLAIM_STATE, claimed, sizeof(claimed));

    (void)state;
    for (unsigned bank = 1; bank <= 2; bank++) {
        struct rig r;
        uint8_t *h;

        rig_born(&r, 0, NULL);
        rig_rotate(&r, 1);
        rig_rotate(&r, 2);
        h = r.nor.cells + (size_t)bank * 4096;
        h[4] = 9;
        stamp_put_u32(h + 60, stamp_crc32(0, h, 60));
        assert_int_equal(rig_open(&r), STAMP_OK);
        rig_mark(&r);
        assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_E_VERSION);
        rig_assert_untouched(&r);
        rig_fini(&r);
    }
}

/* Sign a bank with another number, as the device's own key would. */
static void renumber(struct rig *r, unsigned bank, uint32_t seq)
{
    uint8_t payload[4096];
    uint8_t *h = r->nor.cells + (size_t)bank * 4096;
    uint32_t len = stamp_get_u32(h + 12);
    psa_key_id_t id;

    stamp_put_u32(h + 8, seq);
    memcpy(payload, h, 32);
    memcpy(payload + 32, h + 128, len);
    assert_int_equal(stamp_key_load(&r->dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &id),
                     STAMP_OK);
    assert_int_equal(stamp_sign(id, STAMP_LABEL_BANK, payload, 32 + len, h + 128 + len),
                     STAMP_OK);
    stamp_key_unload(id);
    stamp_put_u32(h + 40, stamp_crc32(0, h + 128, len + 64));
    stamp_put_u32(h + 60, stamp_crc32(0, h, 60));
    assert_int_equal(rig_open(r), STAMP_OK);
}

static void sequence_numbers_end(void **state)
{
    struct stamp_change c = change(STAMP_CLAIM_STATE, claimed, sizeof(claimed));
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    rig_rotate(&r, 1);
    renumber(&r, 1, UINT32_MAX - 1);
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_OK);
    assert_int_equal(r.dev.part.region[STAMP_BANK_B].seq, UINT32_MAX);
    rig_mark(&r);
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_E_RANGE);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

/* SPEC 3-12: above a pending bank too, though that does not count as current. */
static void next_number_is_above_every_whole_bank(void **state)
{
    struct stamp_change c = change(STAMP_CLAIM_STATE, claimed, sizeof(claimed));
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    rig_rotate(&r, 1);
    rig_rotate(&r, 2);
    r.nor.cells[2 * 4096 + 5] = STAMP_KIND_PENDING;
    renumber(&r, 2, 40);
    assert_int_equal(r.dev.part.newest, STAMP_BANK_A);
    assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_OK);
    assert_int_equal(r.dev.part.newest, STAMP_BANK_B);
    assert_int_equal(r.dev.part.region[STAMP_BANK_B].seq, 41);
    rig_fini(&r);
}

static void what_does_not_fit_a_bank_is_refused(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        static uint8_t bundle[4096];
        struct stamp_change c = change(STAMP_TRUST_BUNDLE, bundle, 0);
        size_t sealed = (mode & 1) != 0 ? 3 + 16 : 0;
        struct rig r;

        rig_born(&r, mode, NULL);
        /* map, key, value: to the last byte before the signature */
        c.value.len = 4096 - 128 - 64 - 1 - 1 - sealed + 1;
        bundle[0] = 0x59;
        bundle[1] = (uint8_t)((c.value.len - 3) >> 8);
        bundle[2] = (uint8_t)(c.value.len - 3);
        rig_mark(&r);
        assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_E_SPACE);
        rig_assert_untouched(&r);
        bundle[2]--;
        c.value.len--;
        assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_OK);
        assert_int_equal(rig_open(&r), STAMP_OK);
        rig_assert_item(&r, STAMP_NEWEST, STAMP_TRUST_BUNDLE, c.value);
        rig_fini(&r);
    }
}

/* Operation `at` of an update fails: the old bank stays, and the next update gets
 * through. */
static enum stamp_err fail_update(unsigned mode, uint32_t at)
{
    struct stamp_change c = change(STAMP_CLAIM_STATE, claimed, sizeof(claimed));
    struct rig r;
    uint8_t in[3072];
    size_t len;
    enum stamp_err rc;

    rig_born(&r, mode, NULL);
    rig_rotate(&r, 1);
    len = rig_operational(&r, 2, in, sizeof(in));
    assert_int_equal(stamp_bank_replace(&r.dev, in, len), STAMP_OK);
    nor_record(&r.nor);
    r.nor.fail_at = at;
    rc = stamp_bank_update(&r.dev, &c, 1);
    if (rc == STAMP_E_FLASH) {
        assert_int_equal(r.nor.count, at + 1);
        for (unsigned boot = 0; boot < 2; boot++) {
            assert_int_equal(r.dev.part.newest, STAMP_BANK_B);
            rig_assert_stamp(&r, STAMP_NEWEST, in, len);
            assert_int_equal(rig_open(&r), STAMP_OK);
        }
        r.nor.fail_at = NOR_NEVER;
        assert_int_equal(stamp_bank_update(&r.dev, &c, 1), STAMP_OK);
    }
    assert_int_equal(r.dev.part.newest, STAMP_BANK_A);
    assert_int_equal(r.dev.part.region[STAMP_BANK_A].seq, 3);
    rig_fini(&r);
    return rc;
}

static void failing_flash_keeps_the_old_bank(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < 2; mode++) {
        uint32_t at = 0;
        enum stamp_err rc;

        while ((rc = fail_update(mode, at)) == STAMP_E_FLASH) {
            at++;
        }
        assert_int_equal(rc, STAMP_OK);
        assert_true(at > 10);
    }
}

/* ---- rotation ---- */

struct rotation {
    struct fixture_identity id;
    uint8_t bundle[1024];
    struct stamp_change changes[3];
    size_t n;
};

static void make_rotation(const struct rig *r, const struct fixture_options *options,
                          struct rotation *t)
{
    fixture_operational(&rig_owner, &r->birth, options, &t->id);
    t->changes[0] = change(STAMP_DEVICE_KEY, t->id.key, t->id.key_len);
    t->changes[1] =
        change(STAMP_CERTIFICATES, t->id.certificates, t->id.certificates_len);
    t->n = 2;
}

static void add_bundle(const struct fixture *owner, uint32_t version, uint8_t purpose,
                       struct rotation *t)
{
    size_t len = fixture_bundle(owner, version, purpose, t->bundle, sizeof(t->bundle));

    t->changes[2] = change(STAMP_TRUST_BUNDLE, t->bundle, len);
    t->n = 3;
}

static void rotation_gives_a_new_identity(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        struct rotation t;
        struct rig r;
        psa_key_id_t id;
        uint8_t sig[64];

        rig_born(&r, mode, NULL);
        make_rotation(&r, NULL, &t);
        assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
        assert_int_equal(rig_open(&r), STAMP_OK);
        assert_int_equal(stamp_key_load(&r.dev, STAMP_NEWEST, STAMP_DEVICE_KEY, &id),
                         STAMP_OK);
        assert_int_equal(stamp_sign(id, STAMP_LABEL_PROVE, "n", 1, sig), STAMP_OK);
        assert_true(fixture_verify(t.id.point, STAMP_LABEL_PROVE, "n", 1, sig));
        stamp_key_unload(id);
        /* the birth identity is what it was */
        assert_int_equal(stamp_check_binding(&r.dev), STAMP_OK);
        rig_fini(&r);
    }
}

static void refuse_rotation(const struct fixture_options *options,
                            enum stamp_err expected)
{
    struct rotation t;
    struct rig r;

    rig_born(&r, 0, NULL);
    make_rotation(&r, options, &t);
    rig_mark(&r);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), expected);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

static void wrong_identities_are_refused(void **state)
{
    static struct fixture other;
    const struct fixture_options key = {.wrong_key = true};
    const struct fixture_options serial = {.wrong_serial = true};
    const struct fixture_options digest = {.wrong_digest = true};
    const struct fixture_options purpose = {.other_purpose_leaf = true};
    const struct fixture_options ca = {.other_ca = &other};

    (void)state;
    fixture_init(&other, STAMP_DEVELOPMENT);
    refuse_rotation(&key, STAMP_E_AUTH);
    refuse_rotation(&serial, STAMP_E_AUTH);
    refuse_rotation(&digest, STAMP_E_AUTH);
    refuse_rotation(&purpose, STAMP_E_PURPOSE);
    refuse_rotation(&ca, STAMP_E_AUTH);
    fixture_fini(&other);
}

/* A customer's CA need not know the extension, nor the root sign through a sub-CA. */
static void plain_certificates_are_taken(void **state)
{
    const struct fixture_options unbound = {.unbound = true};
    const struct fixture_options small = {.small = true};
    struct rotation t;
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    make_rotation(&r, &unbound, &t);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
    make_rotation(&r, &small, &t);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
    rig_fini(&r);
}

static void broken_parts_are_refused(void **state)
{
    struct rotation t;
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    make_rotation(&r, NULL, &t);
    rig_mark(&r);
    t.changes[1].value.len--; /* certificates cut short */
    assert_int_equal(stamp_rotate(&r.dev, t.changes, 2), STAMP_E_FORMAT);
    t.changes[1].value.len++;
    t.id.certificates[0] = 0x80; /* none */
    assert_int_equal(stamp_rotate(&r.dev, t.changes, 2), STAMP_E_FORMAT);
    t.id.certificates[0] = 0x81; /* one, and something behind */
    assert_int_equal(stamp_rotate(&r.dev, t.changes, 2), STAMP_E_FORMAT);
    t.id.certificates[0] = 0x82;
    t.id.key[1] = 2; /* another curve */
    assert_int_equal(stamp_rotate(&r.dev, t.changes, 2), STAMP_E_FORMAT);
    t.id.key[1] = STAMP_P256;
    memset(t.id.key + 5, 0, 32); /* no scalar */
    assert_int_equal(stamp_rotate(&r.dev, t.changes, 2), STAMP_E_CRYPTO);
    make_rotation(&r, NULL, &t);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, 1), STAMP_E_AUTH); /* key alone */
    assert_int_equal(stamp_rotate(&r.dev, t.changes + 1, 1), STAMP_E_AUTH);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

/* Every bit of the certificates: whatever it breaks, nothing is written. */
static void flipped_certificates_are_refused(void **state)
{
    const struct fixture_options small = {.small = true};
    struct rotation t;
    struct rig r;

    (void)state;
    rig_born(&r, 2, NULL);
    make_rotation(&r, &small, &t);
    rig_mark(&r);
    for (size_t bit = 0; bit < t.id.certificates_len * 8; bit += 5) {
        t.id.certificates[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
        t.id.certificates[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    rig_assert_untouched(&r);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
    rig_fini(&r);
}

/* SPEC 8-4 */
static void bundles_are_the_owners_and_never_older(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        static struct fixture other;
        struct rotation t;
        struct rig r;

        fixture_init(&other, STAMP_DEVELOPMENT);
        rig_born(&r, mode, NULL);
        make_rotation(&r, NULL, &t);
        rig_mark(&r);
        add_bundle(&other, 9, STAMP_DEVELOPMENT, &t); /* another owner's */
        assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_AUTH);
        add_bundle(&rig_owner, 9, STAMP_PRODUCTION, &t);
        assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_PURPOSE);
        add_bundle(&rig_owner, 9, STAMP_DEVELOPMENT, &t); /* signature flipped */
        t.bundle[t.changes[2].value.len - 1] ^= 1;
        assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_AUTH);
        t.bundle[t.changes[2].value.len - 1] ^= 1;
        t.changes[2].value.len--;
        assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_FORMAT);
        t.changes[2].value.len++;
        rig_assert_untouched(&r);
        assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
        rig_assert_item(&r, STAMP_NEWEST, STAMP_TRUST_BUNDLE, t.changes[2].value);
        rig_mark(&r);
        add_bundle(&rig_owner, 8, STAMP_DEVELOPMENT, &t);
        assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_ROLLBACK);
        rig_assert_untouched(&r);
        add_bundle(&rig_owner, 9, STAMP_DEVELOPMENT, &t); /* the same is not older */
        assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
        rig_fini(&r);
        fixture_fini(&other);
    }
}

/* The owner changes CAs: what counts is the bundle that comes along. */
static void new_ca_counts_with_the_bundle_that_names_it(void **state)
{
    static struct fixture next;
    const struct fixture_options by_next = {.other_ca = &next};
    struct rotation t;
    struct rig r;

    (void)state;
    fixture_init(&next, STAMP_DEVELOPMENT);
    rig_born(&r, 0, NULL);
    make_rotation(&r, &by_next, &t);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_AUTH);
    EVP_PKEY_free(next.owner_key); /* the same owner, with the next root */
    next.owner_key = rig_owner.owner_key;
    EVP_PKEY_up_ref(next.owner_key);
    memcpy(next.owner_point, rig_owner.owner_point, 65);
    add_bundle(&next, 2, STAMP_DEVELOPMENT, &t);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
    /* from now on the old CA does not count */
    make_rotation(&r, NULL, &t);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_AUTH);
    rig_fini(&r);
    fixture_fini(&next);
}

static void pop_rotates_along(void **state)
{
    struct rotation t;
    struct rig r;

    (void)state;
    rig_born(&r, 1, NULL);
    make_rotation(&r, NULL, &t);
    t.changes[2] = change(STAMP_POP, pop, sizeof(pop) - 1);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, 3), STAMP_OK);
    rig_assert_item(&r, STAMP_NEWEST, STAMP_POP, t.changes[2].value);
    rig_fini(&r);
}

static void pinned_owner_decides(void **state)
{
    uint8_t pinned[32];
    struct rotation t;
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    make_rotation(&r, NULL, &t);
    memcpy(pinned, rig_owner.owner_hash, 32);
    r.nor.port.owner_key_hash = pinned;
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_OK);
    pinned[31] ^= 1;
    rig_mark(&r);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_AUTH);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

static void rotation_needs_the_work_buffer(void **state)
{
    struct rotation t;
    struct rig r;

    (void)state;
    rig_born(&r, 0, NULL);
    make_rotation(&r, NULL, &t);
    r.nor.port.work_size = 100; /* the held bundle does not fit */
    rig_mark(&r);
    assert_int_equal(stamp_rotate(&r.dev, t.changes, t.n), STAMP_E_SPACE);
    rig_assert_untouched(&r);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_by_turns),
        cmocka_unit_test(bank_is_signed_by_the_birth_key),
        cmocka_unit_test(update_keeps_the_rest),
        cmocka_unit_test(first_update_begins_with_an_empty_bank),
        cmocka_unit_test(update_encrypts_what_was_plain),
        cmocka_unit_test(what_no_bank_holds_is_refused),
        cmocka_unit_test(bank_needs_a_birth_stamp),
        cmocka_unit_test(newer_bank_is_not_overwritten),
        cmocka_unit_test(sequence_numbers_end),
        cmocka_unit_test(next_number_is_above_every_whole_bank),
        cmocka_unit_test(what_does_not_fit_a_bank_is_refused),
        cmocka_unit_test(failing_flash_keeps_the_old_bank),
        cmocka_unit_test(rotation_gives_a_new_identity),
        cmocka_unit_test(wrong_identities_are_refused),
        cmocka_unit_test(plain_certificates_are_taken),
        cmocka_unit_test(broken_parts_are_refused),
        cmocka_unit_test(flipped_certificates_are_refused),
        cmocka_unit_test(bundles_are_the_owners_and_never_older),
        cmocka_unit_test(new_ca_counts_with_the_bundle_that_names_it),
        cmocka_unit_test(pop_rotates_along),
        cmocka_unit_test(pinned_owner_decides),
        cmocka_unit_test(rotation_needs_the_work_buffer),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
