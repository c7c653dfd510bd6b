/* Images: made, read back, laid out anew, encrypted, and in their other forms. */
#include "host/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/file.h"
#include "host/ihex.h"
#include "host/imagefile.h"
#include "host/rest.h"
#include "host/verify.h"
#include "test/unit/desk/desk.h"

static struct desk desk;
static struct stamp_buffer body;
static struct stamp_slice encoded;
static struct stamp_secret *root_key;

static int open_desk(void **state)
{
    (void)state;
    desk_open(&desk, STAMP_DEVELOPMENT);
    desk_issue(&desk, &body);
    encoded.p = body.p;
    encoded.len = body.len;
    assert_int_equal(stamp_secret_random(&root_key, 32, NULL), STAMP_OK);
    return 0;
}

static int close_desk(void **state)
{
    (void)state;
    stamp_buffer_free(&body);
    stamp_secret_free(&root_key);
    desk_close(&desk);
    return 0;
}

static const struct stamp_geometry geometries[] = {
    {4096, 4096, 4096, 1, 0xFF},       {8192, 4096, 4096, 8, 0xFF},
    {4096, 2048, 2048, 8, 0x00},       {131072, 131072, 131072, 32, 0xFF},
    {262144, 262144, 262144, 4, 0xFF}, {4096, 512, 512, 16, 0x00},
};
#define N_GEOMETRIES (sizeof geometries / sizeof *geometries)

static void every_geometry_is_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_GEOMETRIES; i++) {
        STAMP_BUFFER_AUTO image = {NULL, 0};
        STAMP_IMAGE_AUTO *img = NULL;

        assert_int_equal(stamp_image_make(&geometries[i], encoded, NULL, &image, NULL),
                         STAMP_OK);
        assert_int_equal(image.len, stamp_geometry_size(&geometries[i]));
        assert_int_equal(stamp_image_open(image.p, image.len, true, NULL, &img, NULL),
                         STAMP_OK);
        assert_int_equal(img->erased, geometries[i].erased);
        assert_int_equal(img->region[STAMP_BIRTH].body.len, body.len);
        assert_memory_equal(img->region[STAMP_BIRTH].body.p, body.p, body.len);
        assert_null(stamp_image_bank(img));
        assert_false(img->locked);
        assert_int_equal(desk_verdict(&desk, image.p, image.len), 0);
    }
}

static void every_geometry_is_laid_out_as_every_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_GEOMETRIES * N_GEOMETRIES; i++) {
        const struct stamp_geometry *from = &geometries[i / N_GEOMETRIES];
        const struct stamp_geometry *to = &geometries[i % N_GEOMETRIES];
        STAMP_BUFFER_AUTO image = {NULL, 0};
        STAMP_BUFFER_AUTO again = {NULL, 0};
        STAMP_BUFFER_AUTO direct = {NULL, 0};
        STAMP_IMAGE_AUTO *img = NULL;

        assert_int_equal(stamp_image_make(from, encoded, NULL, &image, NULL), STAMP_OK);
        assert_int_equal(stamp_image_make(to, encoded, NULL, &direct, NULL), STAMP_OK);
        assert_int_equal(stamp_image_open(image.p, image.len, true, NULL, &img, NULL),
                         STAMP_OK);
        assert_int_equal(stamp_image_relayout(img, to, NULL, &again, NULL), STAMP_OK);
        assert_int_equal(again.len, direct.len);
        assert_memory_equal(again.p, direct.p, direct.len);
    }
}

static void banks_and_their_signatures_move_along(void **state)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    STAMP_BUFFER_AUTO again = {NULL, 0};
    STAMP_BUFFER_AUTO sealed = {NULL, 0};
    STAMP_IMAGE_AUTO *img = NULL;
    STAMP_IMAGE_AUTO *moved = NULL;
    struct stamp items;

    (void)state;
    memset(&items, 0, sizeof items);
    items.has_claim_state = true;
    items.claim_tries = 5;
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, NULL, &image, NULL),
                     STAMP_OK);
    desk_put_bank(&image, &desk_geometry, STAMP_BANK_B, 7, &items, NULL);
    assert_int_equal(stamp_image_open(image.p, image.len, true, NULL, &img, NULL),
                     STAMP_OK);
    assert_int_equal(img->newest, STAMP_BANK_B);
    assert_int_equal(stamp_image_relayout(img, &geometries[4], NULL, &again, NULL),
                     STAMP_OK);
    assert_int_equal(desk_verdict(&desk, again.p, again.len), 0);
    assert_int_equal(stamp_image_open(again.p, again.len, true, NULL, &moved, NULL),
                     STAMP_OK);
    assert_int_equal(moved->newest, STAMP_BANK_B);
    assert_int_equal(stamp_image_bank(moved)->claim_tries, 5);
    assert_int_equal(stamp_image_relayout(img, &geometries[4], root_key, &sealed, NULL),
                     STAMP_E_UNSUPPORTED);
    assert_null(sealed.p);
}

static void partition_too_small_is_said(void **state)
{
    static const struct stamp_geometry small = {1024, 512, 512, 4, 0xFF};
    STAMP_BUFFER_AUTO image = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_image_make(&small, encoded, NULL, &image, &err),
                     STAMP_E_SPACE);
    assert_non_null(strstr(err.what, "the birth region has 1024"));
    assert_null(image.p);
}

static void impossible_geometry_is_refused(void **state)
{
    static const struct stamp_geometry bad[] = {
        {0, 4096, 4096, 4, 0xFF},    {4096, 0, 4096, 4, 0xFF},
        {4096, 4096, 0, 4, 0xFF},    {4096, 4096, 8192, 4, 0xFF},
        {4096, 4096, 4096, 4, 0x55}, {256, 4096, 256, 4, 0xFF},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        STAMP_BUFFER_AUTO image = {NULL, 0};

        assert_int_equal(stamp_image_make(&bad[i], encoded, NULL, &image, NULL),
                         STAMP_E_RANGE);
        assert_null(image.p);
    }
}

static void encrypted_image_opens_with_its_key_only(void **state)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    STAMP_IMAGE_AUTO *img = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *other = NULL;

    (void)state;
    assert_int_equal(stamp_secret_random(&other, 32, NULL), STAMP_OK);
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, root_key, &image, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_image_open(image.p, image.len, true, NULL, &img, NULL),
                     STAMP_E_CRYPTO);
    assert_int_equal(stamp_image_open(image.p, image.len, true, other, &img, NULL),
                     STAMP_E_CRYPTO);
    assert_null(img);
    assert_int_equal(stamp_image_open(image.p, image.len, true, root_key, &img, NULL),
                     STAMP_OK);
    assert_memory_equal(img->region[STAMP_BIRTH].body.p, body.p, body.len);
    assert_int_equal(desk_verdict_by(desk.trust, image.p, image.len, root_key, NULL), 0);
}

/* No run of 8 bytes of any secret. */
static void holds_no_run_of(const struct stamp_buffer *image, struct stamp_slice secret)
{
    assert_true(secret.len >= 8);
    for (size_t i = 0; i + 8 <= secret.len; i++) {
        assert_null(memmem(image->p, image->len, secret.p + i, 8));
    }
}

static void encrypted_image_holds_no_secret(void **state)
{
    STAMP_BUFFER_AUTO plain = {NULL, 0};
    STAMP_BUFFER_AUTO image = {NULL, 0};
    STAMP_IMAGE_AUTO *img = NULL;
    const struct stamp *s;

    (void)state;
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, NULL, &plain, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_image_open(plain.p, plain.len, true, NULL, &img, NULL),
                     STAMP_OK);
    s = stamp_image_birth(img);
    assert_non_null(memmem(plain.p, plain.len, s->pop.p, s->pop.len));
    assert_int_equal(stamp_image_relayout(img, &geometries[1], root_key, &image, NULL),
                     STAMP_OK);
    holds_no_run_of(&image, s->pop);
    holds_no_run_of(&image, s->key_private);
    holds_no_run_of(&image, s->provisioning_private);
    holds_no_run_of(&image, s->secret_barcodes[0].payload);
    holds_no_run_of(&image, s->pop_salt);
    assert_int_equal(desk_verdict_by(desk.trust, image.p, image.len, root_key, NULL), 0);
}

static void same_stamp_is_never_encrypted_alike(void **state)
{
    STAMP_BUFFER_AUTO a = {NULL, 0};
    STAMP_BUFFER_AUTO b = {NULL, 0};

    (void)state;
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, root_key, &a, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, root_key, &b, NULL),
                     STAMP_OK);
    assert_memory_not_equal(a.p + 16, b.p + 16, 16);
    assert_memory_not_equal(a.p + 128 + 3, b.p + 128 + 3, 16);
}

/* An item moved under another key of the map does not open: the nonce is the key. */
static void every_flipped_bit_of_ciphertext_is_found(void **state)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    size_t end;

    (void)state;
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, root_key, &image, NULL),
                     STAMP_OK);
    end = STAMP_BODY_OFFSET + (size_t)image.p[12] + ((size_t)image.p[13] << 8);
    for (size_t i = 0; i < end; i += 3) {
        image.p[i] ^= 0x10;
        desk_repair(&image, &desk_geometry, STAMP_BIRTH);
        if (i < 40 || (i >= 44 && i < 60) || i >= STAMP_LOCK_OFFSET) {
            assert_int_not_equal(
                desk_verdict_by(desk.trust, image.p, image.len, root_key, NULL), 0);
        }
        image.p[i] ^= 0x10;
        desk_repair(&image, &desk_geometry, STAMP_BIRTH);
    }
    assert_int_equal(desk_verdict_by(desk.trust, image.p, image.len, root_key, NULL), 0);
}

static void root_key_file_is_bytes_or_digits(void **state)
{
    char path[96];
    static const char digits[] =
        "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n";
    STAMP_SECRET_AUTO struct stamp_secret *a = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *b = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *c = NULL;
    uint8_t raw[32];

    (void)state;
    for (uint8_t i = 0; i < 32; i++) {
        raw[i] = i;
    }
    (void)snprintf(path, sizeof path, "%s/root", desk.dir);
    assert_int_equal(stamp_file_write(path, digits, sizeof digits - 1, 0600, true, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_rest_load(path, &a, NULL), STAMP_OK);
    assert_int_equal(stamp_file_write(path, raw, 32, 0600, true, NULL), STAMP_OK);
    assert_int_equal(stamp_rest_load(path, &b, NULL), STAMP_OK);
    assert_true(stamp_secret_equal(a, b));
    assert_int_equal(stamp_file_write(path, raw, 31, 0600, true, NULL), STAMP_OK);
    assert_int_equal(stamp_rest_load(path, &c, NULL), STAMP_E_FORMAT);
    assert_int_equal(stamp_file_write(path, digits, 63, 0600, true, NULL), STAMP_OK);
    assert_int_equal(stamp_rest_load(path, &c, NULL), STAMP_E_FORMAT);
    assert_int_equal(stamp_file_write(path, raw, 32, 0644, true, NULL), STAMP_OK);
    assert_int_equal(stamp_rest_load(path, &c, NULL), STAMP_E_IO);
}

static void every_form_is_read_back(void **state)
{
    (void)state;
    for (int f = STAMP_IMAGE_PARTITION; f <= STAMP_IMAGE_PEM; f++) {
        for (size_t i = 0; i < N_GEOMETRIES; i++) {
            STAMP_BUFFER_AUTO file = {NULL, 0};
            STAMP_IMAGE_AUTO *img = NULL;
            struct stamp_error err = STAMP_ERROR_INIT;
            struct stamp_identity id;

            assert_int_equal(stamp_imagefile_render((enum stamp_image_format)f,
                                                    &geometries[i], 0x1FF000, encoded,
                                                    &file, NULL),
                             STAMP_OK);
            assert_int_equal(stamp_imagefile_open(file.p, file.len, -1, NULL, &img, &err),
                             STAMP_OK);
            assert_memory_equal(img->region[STAMP_BIRTH].body.p, body.p, body.len);
            assert_int_equal(stamp_verify_image(img, desk.trust, &id, NULL), STAMP_OK);
        }
    }
}

static void partition_is_found_in_a_dump(void **state)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    STAMP_BUFFER_AUTO dump = {NULL, 0};
    STAMP_IMAGE_AUTO *img = NULL;

    (void)state;
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, NULL, &image, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_buffer_new(&dump, 65536, 0x5A, NULL), STAMP_OK);
    memcpy(dump.p + 8192, image.p, image.len);
    assert_int_equal(stamp_imagefile_open(dump.p, dump.len, 8192, NULL, &img, NULL),
                     STAMP_OK);
    stamp_image_free(&img);
    assert_int_equal(stamp_imagefile_open(dump.p, dump.len, 4096, NULL, &img, NULL),
                     STAMP_E_CORRUPT);
    assert_int_equal(stamp_imagefile_open(dump.p, dump.len, 65537, NULL, &img, NULL),
                     STAMP_E_CORRUPT);
    assert_int_equal(
        stamp_imagefile_open(dump.p, 8192 + image.len - 1, 8192, NULL, &img, NULL),
        STAMP_E_CORRUPT);
}

static void damaged_hex_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        ":00000001FE\n",                /* checksum */
        ":0100000000FF\n",              /* no end record */
        ":0200000000FF\n:00000001FF\n", /* length */
        ":00000001FF junk\n",
        "x0100000000FF\n:00000001FF\n",
        ":0100000600F9\n:00000001FF\n", /* type 6 */
        ":00000001FF\n",                /* nothing in it */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        STAMP_BUFFER_AUTO out = {NULL, 0};

        assert_int_equal(
            stamp_ihex_read((const uint8_t *)bad[i], strlen(bad[i]), &out, NULL),
            STAMP_E_FORMAT);
        assert_null(out.p);
    }
}

static void hex_crosses_64_kib(void **state)
{
    STAMP_BUFFER_AUTO text = {NULL, 0};
    STAMP_BUFFER_AUTO out = {NULL, 0};
    uint8_t bytes[300];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(stamp_ihex_write(bytes, sizeof bytes, 0x2200FF85, 0xFF, &text, NULL),
                     STAMP_OK);
    assert_non_null(memmem(text.p, text.len, ":020000042200D8\n", 16));
    assert_non_null(memmem(text.p, text.len, ":020000042201D7\n", 16));
    assert_int_equal(stamp_ihex_read(text.p, text.len, &out, NULL), STAMP_OK);
    assert_int_equal(out.len, sizeof bytes);
    assert_memory_equal(out.p, bytes, sizeof bytes);
}

static void pem_that_is_none_is_refused(void **state)
{
    static const char *const bad[] = {
        "-----BEGIN DEVICE STAMP-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN DEVICE STAMP-----\nAAAA\n-----END DEVICE STAMP-----\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        STAMP_IMAGE_AUTO *img = NULL;

        assert_int_equal(stamp_imagefile_open((const uint8_t *)bad[i], strlen(bad[i]), -1,
                                              NULL, &img, NULL),
                         STAMP_E_FORMAT);
        assert_null(img);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_geometry_is_read_back),
        cmocka_unit_test(every_geometry_is_laid_out_as_every_other),
        cmocka_unit_test(banks_and_their_signatures_move_along),
        cmocka_unit_test(partition_too_small_is_said),
        cmocka_unit_test(impossible_geometry_is_refused),
        cmocka_unit_test(encrypted_image_opens_with_its_key_only),
        cmocka_unit_test(encrypted_image_holds_no_secret),
        cmocka_unit_test(same_stamp_is_never_encrypted_alike),
        cmocka_unit_test(every_flipped_bit_of_ciphertext_is_found),
        cmocka_unit_test(root_key_file_is_bytes_or_digits),
        cmocka_unit_test(every_form_is_read_back),
        cmocka_unit_test(partition_is_found_in_a_dump),
        cmocka_unit_test(damaged_hex_is_refused),
        cmocka_unit_test(hex_crosses_64_kib),
        cmocka_unit_test(pem_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, open_desk, close_desk);
}
