/* Keys, signatures and key files. */
#include "host/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>

#include "host/file.h"
#include "host/keyfile.h"
#include "host/sig.h"
#include "test/unit/desk/desk.h"

static char dir[] = "/tmp/stamp-key-XXXXXX";
static char path[64];

static int open_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stamp-key-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/k.key", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    desk_remove(dir);
    return 0;
}

static void scalar_and_point_give_the_key_back(void **state)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY *again = NULL;
    EVP_PKEY *public_key = NULL;
    uint8_t scalar[32];
    uint8_t point[65];

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_scalar(key, scalar, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(key, point, NULL), STAMP_OK);
    assert_int_equal(stamp_key_from_scalar(scalar, &again, NULL), STAMP_OK);
    assert_int_equal(stamp_key_from_point(point, &public_key, NULL), STAMP_OK);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    assert_int_equal(EVP_PKEY_eq(key, public_key), 1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
    EVP_PKEY_free(public_key);
}

static void what_is_no_key_is_refused(void **state)
{
    static const uint8_t order[32] = {0xFF, 0xFF, 0xFF, 0xFF, 0,    0,    0,    0,
                                      0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                      0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84,
                                      0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51};
    uint8_t zero[32] = {0};
    uint8_t point[65] = {0x04, 1, 2, 3};
    EVP_PKEY *key = NULL;
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    EVP_PKEY *p384 = EVP_EC_gen("P-384");

    (void)state;
    assert_int_equal(stamp_key_from_scalar(zero, &key, NULL), STAMP_E_FORMAT);
    assert_int_equal(stamp_key_from_scalar(order, &key, NULL), STAMP_E_FORMAT);
    assert_null(key);
    assert_int_equal(stamp_key_from_point(point, &key, NULL), STAMP_E_FORMAT);
    point[0] = 0x02;
    assert_int_equal(stamp_key_from_point(point, &key, NULL), STAMP_E_FORMAT);
    assert_null(key);
    assert_int_equal(stamp_key_point(rsa, point, NULL), STAMP_E_FORMAT);
    assert_int_equal(stamp_key_point(p384, point, NULL), STAMP_E_FORMAT);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p384);
}

static void signature_is_for_its_label_and_payload_only(void **state)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY *other = NULL;
    uint8_t point[65];
    uint8_t sig[64];
    uint8_t none[64] = {0};

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_generate(&other, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(key, point, NULL), STAMP_OK);
    assert_int_equal(stamp_sig_make(key, STAMP_LABEL_PROVE, "nonce", 5, sig, NULL),
                     STAMP_OK);
    assert_int_equal(
        stamp_sig_check_point(point, STAMP_LABEL_PROVE, "nonce", 5, sig, NULL), STAMP_OK);
    assert_int_equal(stamp_sig_check(key, STAMP_LABEL_CLAIM, "nonce", 5, sig, NULL),
                     STAMP_E_AUTH);
    assert_int_equal(stamp_sig_check(key, STAMP_LABEL_PROVE, "nonce", 4, sig, NULL),
                     STAMP_E_AUTH);
    assert_int_equal(stamp_sig_check(other, STAMP_LABEL_PROVE, "nonce", 5, sig, NULL),
                     STAMP_E_AUTH);
    assert_int_equal(stamp_sig_check(key, STAMP_LABEL_PROVE, "nonce", 5, none, NULL),
                     STAMP_E_AUTH);
    sig[63] ^= 1;
    assert_int_equal(stamp_sig_check(key, STAMP_LABEL_PROVE, "nonce", 5, sig, NULL),
                     STAMP_E_AUTH);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void key_file_is_private_and_read_back(void **state)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY *again = NULL;
    struct stat st;

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_int_equal(stamp_keyfile_write(path, key, NULL, NULL), STAMP_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stamp_keyfile_read(path, NULL, &again, NULL), STAMP_OK);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    assert_int_equal(stamp_keyfile_write(path, key, NULL, NULL), STAMP_E_EXISTS);
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
}

static void sealed_key_file_needs_its_passphrase(void **state)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY *again = NULL;
    struct stamp_secret *right = NULL;
    struct stamp_secret *wrong = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *text = NULL;
    size_t len;

    (void)state;
    assert_int_equal(stamp_secret_new(&right, "open sesame", 11, NULL), STAMP_OK);
    assert_int_equal(stamp_secret_new(&wrong, "open barley", 11, NULL), STAMP_OK);
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_int_equal(stamp_keyfile_write(path, key, right, NULL), STAMP_OK);
    assert_int_equal(stamp_file_read(path, 4096, &text, &len, NULL), STAMP_OK);
    assert_non_null(strstr((char *)text, "BEGIN ENCRYPTED PRIVATE KEY"));
    assert_int_equal(stamp_keyfile_read(path, NULL, &again, &err), STAMP_E_AUTH);
    assert_null(again);
    assert_int_equal(stamp_keyfile_read(path, wrong, &again, NULL), STAMP_E_AUTH);
    assert_null(again);
    assert_int_equal(stamp_keyfile_read(path, right, &again, NULL), STAMP_OK);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    free(text);
    stamp_secret_free(&right);
    stamp_secret_free(&wrong);
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
}

static void key_file_that_others_read_is_refused(void **state)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY *again = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_int_equal(stamp_keyfile_write(path, key, NULL, NULL), STAMP_OK);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(stamp_keyfile_read(path, NULL, &again, &err), STAMP_E_IO);
    assert_true(err.hint[0] != '\0');
    EVP_PKEY_free(key);
}

static void file_without_a_p256_key_is_refused(void **state)
{
    static const char text[] = "nothing of the kind\n";
    EVP_PKEY *p384 = EVP_EC_gen("P-384");
    EVP_PKEY *key = NULL;

    (void)state;
    assert_int_equal(stamp_file_write(path, text, sizeof text - 1, 0600, false, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_keyfile_read(path, NULL, &key, NULL), STAMP_E_FORMAT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(stamp_keyfile_write(path, p384, NULL, NULL), STAMP_OK);
    assert_int_equal(stamp_keyfile_read(path, NULL, &key, NULL), STAMP_E_FORMAT);
    assert_null(key);
    EVP_PKEY_free(p384);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, open_dir, remove_dir)

/* One object for all points of a thread: each time it is the point it was given last. */
static void a_key_is_lent_to_a_thread(void **state)
{
    EVP_PKEY *own[2] = {NULL, NULL};
    EVP_PKEY *lent = NULL;
    uint8_t point[2][STAMP_POINT_SIZE];
    uint8_t off[STAMP_POINT_SIZE];

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stamp_key_generate(&own[i], NULL), STAMP_OK);
        assert_int_equal(stamp_key_point(own[i], point[i], NULL), STAMP_OK);
    }
    memcpy(off, point[0], sizeof off);
    off[40] ^= 1;
    assert_int_equal(stamp_key_lend_point(off, &lent, NULL), STAMP_E_FORMAT);
    assert_null(lent);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(stamp_key_lend_point(point[i % 2], &lent, NULL), STAMP_OK);
        assert_int_equal(EVP_PKEY_eq(lent, own[i % 2]), 1);
        assert_int_equal(EVP_PKEY_eq(lent, own[1 - i % 2]), 0);
        assert_int_equal(stamp_key_lend_point(off, &lent, NULL), STAMP_E_FORMAT);
        assert_null(lent);
    }
    off[0] = 0x02;
    assert_int_equal(stamp_key_lend_point(off, &lent, NULL), STAMP_E_FORMAT);
    EVP_PKEY_free(own[0]);
    EVP_PKEY_free(own[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_lent_to_a_thread),
        cmocka_unit_test(scalar_and_point_give_the_key_back),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(signature_is_for_its_label_and_payload_only),
        IN_DIR(key_file_is_private_and_read_back),
        IN_DIR(sealed_key_file_needs_its_passphrase),
        IN_DIR(key_file_that_others_read_is_refused),
        IN_DIR(file_without_a_p256_key_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
