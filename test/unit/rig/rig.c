#include "test/unit/rig/rig.h"

#include <string.h>

struct fixture rig_owner;

int rig_group_setup(void **state)
{
    (void)state;
    fixture_init(&rig_owner, STAMP_DEVELOPMENT);
    return psa_crypto_init() == PSA_SUCCESS ? 0 : -1;
}

int rig_group_teardown(void **state)
{
    (void)state;
    fixture_fini(&rig_owner);
    mbedtls_psa_crypto_free();
    return 0;
}

void rig_init(struct rig *r, unsigned mode)
{
    const struct nor_geometry g = {1024, 8, 0xFF, 4096};

    memset(r, 0, sizeof(*r));
    nor_init(&r->nor, &g, (mode & 1u) != 0, (mode & 2u) != 0);
    assert_int_equal(rig_open(r), STAMP_E_BLANK);
}

void rig_born(struct rig *r, unsigned mode, const struct fixture_options *options)
{
    rig_init(r, mode);
    fixture_birth(&rig_owner, options, &r->birth);
    assert_int_equal(stamp_birth_write(&r->dev, r->birth.bytes, r->birth.len), STAMP_OK);
}

void rig_fini(struct rig *r)
{
    assert_string_equal(r->nor.broken, "");
    nor_fini(&r->nor);
    nor_image_fini(&r->image);
}

enum stamp_err rig_open(struct rig *r)
{
    return stamp_device_open(&r->dev, &r->nor.port);
}

void rig_mark(struct rig *r)
{
    nor_save(&r->nor, &r->image);
    nor_record(&r->nor);
}

void rig_assert_untouched(struct rig *r)
{
    assert_int_equal(r->nor.count, 0);
    assert_memory_equal(r->nor.cells, r->image.bytes, r->nor.size);
}

struct stamp_slice rig_item(const void *stamp, size_t len, uint32_t key)
{
    struct stamp_slice value = {NULL, 0};
    struct stamp_cbor c;
    uint32_t n;

    stamp_cbor_init(&c, stamp, len);
    for (n = stamp_cbor_expect(&c, STAMP_CBOR_MAP); n > 0; n--) {
        uint32_t at = stamp_cbor_uint(&c, STAMP_KEY_LAST);

        value = stamp_cbor_skip(&c);
        if (at == key) {
            return value;
        }
    }
    fail_msg("no item %u", key);
    return value;
}

void rig_assert_item(const struct rig *r, enum stamp_which which, uint32_t key,
                     struct stamp_slice expected)
{
    uint8_t value[4096];
    size_t len;

    assert_int_equal(stamp_get(&r->dev, which, key, value, expected.len, &len), STAMP_OK);
    assert_int_equal(len, expected.len);
    assert_memory_equal(value, expected.p, len);
}

void rig_assert_stamp(const struct rig *r, enum stamp_which which, const void *stamp,
                      size_t len)
{
    struct stamp_cbor c;
    uint32_t n;

    stamp_cbor_init(&c, stamp, len);
    for (n = stamp_cbor_expect(&c, STAMP_CBOR_MAP); n > 0; n--) {
        uint32_t key = stamp_cbor_uint(&c, STAMP_KEY_LAST);

        rig_assert_item(r, which, key, stamp_cbor_skip(&c));
    }
    assert_int_equal(c.err, STAMP_OK);
}

size_t rig_operational(const struct rig *r, uint8_t number, uint8_t *out, size_t size)
{
    struct fixture_identity id;
    struct stamp_cbor_out o;

    fixture_operational(&rig_owner, &r->birth, NULL, &id);
    stamp_cbor_out_init(&o, out, size);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, 3);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_DEVICE_KEY);
    stamp_cbor_put_raw(&o, id.key, id.key_len);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_CERTIFICATES);
    stamp_cbor_put_raw(&o, id.certificates, id.certificates_len);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_CLAIM_STATE);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, number);
    stamp_cbor_put_head(&o, STAMP_CBOR_SIMPLE, 20);
    assert_true(stamp_cbor_out_ok(&o));
    return o.len;
}

void rig_rotate(struct rig *r, uint8_t number)
{
    uint8_t in[3072];
    size_t len = rig_operational(r, number, in, sizeof(in));

    assert_int_equal(stamp_bank_replace(&r->dev, in, len), STAMP_OK);
}
