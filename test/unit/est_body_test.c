/* service/est_body: what EST clients send, and what they get. RFC 8951 3. */
#include "service/est_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pkcs7.h>

#include "host/key.h"

static uint8_t out[EST_BODY_MAX];
static size_t len;
static enum est_style style;

static bool take(const char *text)
{
    return est_body_read(text, strlen(text), out, &len, &style);
}

static void is(const char *text, const char *plain, enum est_style expected)
{
    assert_true(take(text));
    assert_int_equal(len, strlen(plain));
    assert_memory_equal(out, plain, len);
    assert_int_equal(style, expected);
}

static void every_style_that_clients_have_is_read(void **state)
{
    (void)state;
    is("aGVsbG8gd29ybGQ=", "hello world", EST_ONE_LINE);
    is("aGVsbG8gd29ybGQ=\n", "hello world", EST_ONE_LINE);
    is("aGVsbG8gd29ybGQ=\r\n", "hello world", EST_ONE_LINE);
    is("\n\n aGVsbG8gd29ybGQ=  ", "hello world", EST_ONE_LINE);
    is("aGVsbG8\ngd29ybGQ=", "hello world", EST_WRAPPED);
    is("aGVsbG8\r\ngd29y\tbGQ=\r\n", "hello world", EST_WRAPPED);
    is("-----BEGIN CERTIFICATE REQUEST-----\naGVsbG8gd29ybGQ=\n"
       "-----END CERTIFICATE REQUEST-----\n",
       "hello world", EST_ONE_LINE);
    is("-----BEGIN X-----\naGVsbG8g\nd29ybGQ=\n-----END X-----\n", "hello world",
       EST_WRAPPED);
    is("aGVsbG8h", "hello!", EST_ONE_LINE);
    is("aGVsbA==", "hell", EST_ONE_LINE);
}

static void what_is_no_base64_is_refused(void **state)
{
    static char long_text[EST_BODY_MAX + 5];
    const char *const bad[] = {"",
                               " \n",
                               "a",
                               "aGVsbG8",
                               "aGVsbA=",
                               "aGVsbA===",
                               "====",
                               "aGV=sbG8",
                               "aGVs bA=a",
                               "aGVs!A==",
                               "aGVs-bA_",
                               "-----BEGIN X",
                               "-----BEGIN X-----\naGVsbA==\n",
                               "-----BEGIN X-----\n-----END X-----"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(take(bad[i]));
        assert_int_equal(len, 0);
    }
    memset(long_text, 'A', sizeof long_text - 1);
    assert_false(take(long_text));
    assert_false(est_body_read("AAAA\0AAA", 8, out, &len, &style));
}

static void what_is_written_is_read_back_in_its_style(void **state)
{
    static uint8_t plain[3000];
    static char text[5000];

    (void)state;
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i * 7 + i / 256);
    }
    for (size_t n = 1; n <= sizeof plain; n += n < 200 ? 1 : 97) {
        for (int s = EST_ONE_LINE; s <= EST_WRAPPED; s++) {
            size_t size = est_body_size(n, (enum est_style)s);

            memset(text, '#', sizeof text);
            est_body_write(plain, n, (enum est_style)s, text);
            assert_int_equal(text[size - 1], '\n');
            assert_int_equal(text[size], '#');
            assert_true(est_body_read(text, size, out, &len, &style));
            assert_int_equal(len, n);
            assert_memory_equal(out, plain, n);
            assert_int_equal(style, n > 48 ? s : EST_ONE_LINE);
        }
    }
}

static X509 *certificate(void)
{
    STAMP_PKEY_AUTO *key = NULL;
    X509 *cert = X509_new();

    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_non_null(cert);
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static void certificates_are_pkcs7_that_openssl_reads(void **state)
{
    struct stamp_slice der[3];
    X509 *cert[3];
    const uint8_t *p = out;
    PKCS7 *p7;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t *bytes = NULL;

        cert[i] = certificate();
        der[i].len = (size_t)i2d_X509(cert[i], &bytes);
        der[i].p = bytes;
    }
    for (size_t n = 1; n <= 3; n++) {
        size_t got = est_certs_only(der, n, out, sizeof out);

        p = out;
        p7 = d2i_PKCS7(NULL, &p, (long)got);
        assert_non_null(p7);
        assert_ptr_equal(p, out + got);
        assert_true(PKCS7_type_is_signed(p7));
        assert_int_equal(sk_X509_num(p7->d.sign->cert), n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(X509_cmp(sk_X509_value(p7->d.sign->cert, (int)i), cert[i]),
                             0);
        }
        PKCS7_free(p7);
        assert_int_equal(est_certs_only(der, n, out, got - 1), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        X509_free(cert[i]);
        OPENSSL_free((void *)(uintptr_t)der[i].p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_style_that_clients_have_is_read),
        cmocka_unit_test(what_is_no_base64_is_refused),
        cmocka_unit_test(what_is_written_is_read_back_in_its_style),
        cmocka_unit_test(certificates_are_pkcs7_that_openssl_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
