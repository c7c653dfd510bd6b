#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "host/dpp.h"

/* A fresh key's point, and its DER with compressed point as OpenSSL writes it. */
static void make_key(uint8_t point[65], uint8_t der[STAMP_DPP_DER_LEN])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    size_t len = 0;
    unsigned char *p = der;

    assert_int_equal(EVP_PKEY_get_octet_string_param(
                         key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point, 65, &len),
                     1);
    assert_int_equal(len, 65);
    assert_int_equal(EVP_PKEY_set_utf8_string_param(
                         key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"),
                     1);
    assert_int_equal(i2d_PUBKEY(key, &p), STAMP_DPP_DER_LEN);
    EVP_PKEY_free(key);
}

/* The form with the key for each '@'. */
static size_t expand(char *out, size_t size, const char *form, const char *key)
{
    size_t n = 0;

    for (; *form != '\0'; form++) {
        assert_true(n + strlen(key) + 1 < size);
        if (*form == '@') {
            memcpy(out + n, key, strlen(key));
            n += strlen(key);
        } else {
            out[n++] = *form;
        }
    }
    out[n] = '\0';
    return n;
}

static void der_and_hash_are_those_of_openssl(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        uint8_t point[65];
        uint8_t want[STAMP_DPP_DER_LEN];
        uint8_t got[STAMP_DPP_DER_LEN];
        uint8_t want_hash[32];
        uint8_t got_hash[32];

        make_key(point, want);
        stamp_dpp_der(point, got);
        assert_memory_equal(got, want, sizeof want);
        SHA256(want, sizeof want, want_hash);
        assert_int_equal(stamp_dpp_hash(point, got_hash, &err), STAMP_OK);
        assert_memory_equal(got_hash, want_hash, 32);
    }
}

static void key_text_has_the_known_prefix(void **state)
{
    uint8_t point[65];
    uint8_t der[STAMP_DPP_DER_LEN];
    char key[STAMP_DPP_KEY_LEN + 1];

    (void)state;
    make_key(point, der);
    stamp_dpp_key(point, key);
    assert_int_equal(strlen(key), 80);
    assert_memory_equal(key, "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgA", 35);
}

static void uri_gives_back_the_point(void **state)
{
    static const char *const forms[] = {"DPP:K:@;;", "DPP:I:SN=4774LH2b4044;K:@;;",
                                        "DPP:C:81/1,115/36;M:5254005828e5;K:@;;",
                                        "DPP:K:@;V:2;;", "DPP:Z:something new;K:@;I:;;"};

    (void)state;
    for (int i = 0; i < 50; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        uint8_t point[65];
        uint8_t got[65];
        uint8_t der[STAMP_DPP_DER_LEN];
        char key[STAMP_DPP_KEY_LEN + 1];
        char uri[200];

        make_key(point, der);
        stamp_dpp_key(point, key);
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
            size_t n = expand(uri, sizeof uri, forms[f], key);

            assert_int_equal(stamp_dpp_parse(uri, n, got, &err), STAMP_OK);
            assert_memory_equal(got, point, 65);
        }
    }
}

static void broken_uris_are_refused(void **state)
{
    static const char good_key[] = "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACZ4DF/"
                                   "HAnXixwYaDnh3uxdN6t65iHAn8/qDZUFYun9Qw=";
    static const struct {
        const char *form;
        const char *want;
    } cases[] = {
        {"", "it does not begin with 'DPP:'"},
        {"dpp:K:@;;", "it does not begin with 'DPP:'"},
        {"DPP:K:@;", "it does not end in ';;'"},
        {"DPP:K:@", "it does not end in ';;'"},
        {"DPP:K:@;;\n", "there is more after its end"},
        {"DPP:K:@;;K:x;;", "there is more after its end"},
        {"DPP:;", "it has no key"},
        {"DPP:I:x;;", "it has no key"},
        {"DPP:K:@;K:@;;", "it has two keys"},
        {"DPP:k:@;;", "a field is not a capital letter, ':' and a value"},
        {"DPP:K@;;", "a field is not a capital letter, ':' and a value"},
        {"DPP:I:a\tb;K:@;;", "it has a character that is not printable"},
        {"DPP:I:\xC3\xA4;K:@;;", "it has a character that is not printable"},
        {"DPP:K: @;;", "its key is not a compressed P-256 key"},
        {"DPP:K:;;", "its key is not a compressed P-256 key"},
    };
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t point[65];
    static const uint8_t zeros[65];
    char uri[300];
    char want[300];
    size_t n;

    (void)state;
    n = expand(uri, sizeof uri, "DPP:K:@;;", good_key);
    assert_int_equal(stamp_dpp_parse(uri, n, point, &err), STAMP_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        n = expand(uri, sizeof uri, cases[i].form, good_key);
        stamp_error_clear(&err);
        assert_int_equal(stamp_dpp_parse(uri, n, point, &err), STAMP_E_FORMAT);
        (void)snprintf(want, sizeof want, "not a DPP URI: %s", cases[i].want);
        assert_string_equal(err.what, want);
        assert_memory_equal(point, zeros, sizeof zeros);
    }
}

/* About half of all x are on the curve; what is taken must be another key, and never
 * crash. */
static void changed_characters_never_give_the_same_key(void **state)
{
    uint8_t point[65];
    uint8_t got[65];
    uint8_t der[STAMP_DPP_DER_LEN];
    char uri[100] = "DPP:K:";
    unsigned refused = 0;

    (void)state;
    make_key(point, der);
    stamp_dpp_key(point, uri + 6);
    memcpy(uri + 6 + STAMP_DPP_KEY_LEN, ";;", 3);
    for (size_t i = 6; i < 6 + STAMP_DPP_KEY_LEN; i++) {
        char old = uri[i];

        for (int c = 0x20; c < 0x7F; c++) {
            uri[i] = (char)c;
            if (c == old) {
                continue;
            }
            if (stamp_dpp_parse(uri, strlen(uri), got, NULL) == STAMP_OK) {
                assert_memory_not_equal(got, point, 65);
            } else {
                refused++;
            }
        }
        uri[i] = old;
    }
    assert_true(refused > 80 * 31 + 35 * 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(der_and_hash_are_those_of_openssl),
        cmocka_unit_test(key_text_has_the_known_prefix),
        cmocka_unit_test(uri_gives_back_the_point),
        cmocka_unit_test(broken_uris_are_refused),
        cmocka_unit_test(changed_characters_never_give_the_same_key),
    };

    return cmocka_run_group_tests_name("dpp", tests, NULL, NULL);
}
