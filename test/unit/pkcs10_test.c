/* host/pkcs10: requests that OpenSSL made, changed in every way. RFC 2986. */
#include "host/pkcs10.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "host/image.h"
#include "host/key.h"

static struct {
    EVP_PKEY *key;
    uint8_t point[STAMP_POINT_SIZE];
} rig;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(stamp_key_generate(&rig.key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(rig.key, rig.point, NULL), STAMP_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(rig.key);
    return 0;
}

/* A request for `key`, signed by `by`, with so many lists of extensions.
 * @return  DER; OPENSSL_free() it */
static struct stamp_buffer make_with(EVP_PKEY *key, EVP_PKEY *by, int lists,
                                     const EVP_MD *md)
{
    struct stamp_buffer out = {NULL, 0};
    X509_REQ *req = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *san =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:sensor");
    int len;

    assert_non_null(req);
    assert_non_null(exts);
    assert_non_null(san);
    assert_int_equal(sk_X509_EXTENSION_push(exts, san), 1);
    assert_int_equal(X509_REQ_set_pubkey(req, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req),
                                                "serialNumber", MBSTRING_ASC,
                                                (const unsigned char *)"SN-1", -1, -1, 0),
                     1);
    if (lists > 0) {
        assert_int_equal(X509_REQ_add_extensions(req, exts), 1);
    }
    for (int i = 1; i < lists; i++) { /* which OpenSSL makes in this way only */
        assert_int_equal(X509_ATTRIBUTE_set1_data(X509_REQ_get_attr(req, 0),
                                                  V_ASN1_SEQUENCE, "\x30\x00", 2),
                         1);
    }
    assert_true(X509_REQ_sign(req, by, md) > 0);
    len = i2d_X509_REQ(req, &out.p);
    assert_true(len > 0);
    out.len = (size_t)len;
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_REQ_free(req);
    return out;
}

static struct stamp_buffer make(EVP_PKEY *key, EVP_PKEY *by, int lists)
{
    return make_with(key, by, lists, EVP_sha256());
}

static enum stamp_err open_bytes(const uint8_t *p, size_t len, struct stamp_pkcs10 *out,
                                 struct stamp_error *err)
{
    stamp_error_clear(err);
    return stamp_pkcs10_open((struct stamp_slice){p, len}, out, err);
}

static void refused(struct stamp_buffer der, enum stamp_err want, const char *why)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_pkcs10 r;

    assert_int_equal(open_bytes(der.p, der.len, &r, &err), want);
    assert_non_null(strstr(err.what, why));
    assert_null(r.subject);
    assert_null(r.extensions);
    OPENSSL_free(der.p);
}

static void what_openssl_makes_is_read(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    for (int lists = 0; lists < 2; lists++) {
        STAMP_PKCS10_AUTO r;
        struct stamp_buffer der = make(rig.key, rig.key, lists);

        assert_int_equal(open_bytes(der.p, der.len, &r, &err), STAMP_OK);
        assert_memory_equal(r.point, rig.point, sizeof r.point);
        assert_int_equal(X509_NAME_entry_count(r.subject), 1);
        assert_true(X509_NAME_get_index_by_NID(r.subject, NID_serialNumber, -1) == 0);
        assert_int_equal(r.extensions == NULL ? 0 : sk_X509_EXTENSION_num(r.extensions),
                         lists);
        OPENSSL_free(der.p);
    }
}

static void another_key_s_signature_is_refused(void **state)
{
    EVP_PKEY *other = NULL;

    (void)state;
    assert_int_equal(stamp_key_generate(&other, NULL), STAMP_OK);
    refused(make(rig.key, other, 1), STAMP_E_AUTH, "not of its own key");
    EVP_PKEY_free(other);
}

/* Some clients hash with more than the curve is worth. */
static void other_hashes_are_read_and_checked(void **state)
{
    const EVP_MD *const hash[] = {EVP_sha384(), EVP_sha512()};
    EVP_PKEY *other = NULL;

    (void)state;
    assert_int_equal(stamp_key_generate(&other, NULL), STAMP_OK);
    for (size_t i = 0; i < sizeof hash / sizeof *hash; i++) {
        STAMP_PKCS10_AUTO r;
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_buffer der = make_with(rig.key, rig.key, 1, hash[i]);

        assert_int_equal(open_bytes(der.p, der.len, &r, &err), STAMP_OK);
        assert_memory_equal(r.point, rig.point, sizeof r.point);
        OPENSSL_free(der.p);
        refused(make_with(rig.key, other, 1, hash[i]), STAMP_E_AUTH,
                "not of its own key");
    }
    EVP_PKEY_free(other);
}

static void other_keys_are_refused(void **state)
{
    EVP_PKEY *p384 = EVP_EC_gen("P-384");
    EVP_PKEY *rsa = EVP_RSA_gen(2048);

    (void)state;
    assert_non_null(p384);
    assert_non_null(rsa);
    refused(make(p384, p384, 0), STAMP_E_UNSUPPORTED, "no P-256 key");
    refused(make(rsa, rsa, 0), STAMP_E_UNSUPPORTED, "no P-256 key");
    EVP_PKEY_free(p384);
    EVP_PKEY_free(rsa);
}

static void two_lists_of_extensions_are_refused(void **state)
{
    (void)state;
    refused(make(rig.key, rig.key, 2), STAMP_E_FORMAT, "list of extensions");
}

/* Each byte changed, each cut, one byte more. */
static void nothing_else_is_taken(void **state)
{
    struct stamp_buffer der = make(rig.key, rig.key, 1);
    uint8_t *p = malloc(der.len + 1);

    (void)state;
    assert_non_null(p);
    memcpy(p, der.p, der.len);
    p[der.len] = 0;
    for (size_t i = 0; i <= der.len + 1; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_pkcs10 r;
        size_t len = i;

        if (i == der.len) {
            continue; /* the whole */
        }
        assert_int_equal(open_bytes(p, len, &r, &err), STAMP_E_FORMAT);
        assert_null(r.subject);
    }
    for (size_t i = 0; i < der.len; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_pkcs10 r;
        enum stamp_err rc;

        p[i] ^= 0x01;
        rc = open_bytes(p, der.len, &r, &err);
        p[i] ^= 0x01;
        assert_true(rc == STAMP_E_FORMAT || rc == STAMP_E_AUTH ||
                    rc == STAMP_E_UNSUPPORTED);
        assert_null(r.subject);
        assert_null(r.extensions);
    }
    assert_int_equal(ERR_peek_error(), 0);
    free(p);
    OPENSSL_free(der.p);
}

/* Who gets a key made asks with whatever key, and says which one opens the answer. */
static void where_a_key_is_made_key_and_signature_do_not_count(void **state)
{
    static const unsigned char id[20] = {1, 2, 3};
    EVP_PKEY *rsa = EVP_RSA_gen(1024);
    struct stamp_buffer der = make(rsa, rsa, 1);
    const unsigned char *p = der.p;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.len);
    struct stamp_pkcs10 r;
    unsigned char *with = NULL;
    int len;

    (void)state;
    assert_int_equal(
        stamp_pkcs10_open_keyless((struct stamp_slice){der.p, der.len - 1}, &r, NULL),
        STAMP_E_FORMAT);
    assert_int_equal(
        stamp_pkcs10_open_keyless((struct stamp_slice){der.p, der.len}, &r, NULL),
        STAMP_OK);
    assert_non_null(r.extensions);
    assert_null(r.decrypt_key);
    assert_false(r.decrypt_shared);
    stamp_pkcs10_free(&r);
    assert_non_null(req);
    assert_int_equal(X509_REQ_add1_attr_by_txt(req, "1.2.840.113549.1.9.16.2.54",
                                               V_ASN1_OCTET_STRING, id, sizeof id),
                     1);
    assert_int_equal(X509_REQ_add1_attr_by_txt(req, "1.2.840.113549.1.9.16.2.37",
                                               V_ASN1_OCTET_STRING, id, sizeof id),
                     1);
    len = i2d_re_X509_REQ_tbs(req, NULL); /* encode it anew */
    assert_true(len > 0);
    len = i2d_X509_REQ(req, &with);
    assert_true(len > 0);
    assert_int_equal(
        stamp_pkcs10_open_keyless((struct stamp_slice){with, (size_t)len}, &r, NULL),
        STAMP_OK);
    assert_non_null(r.decrypt_key);
    assert_int_equal(ASN1_STRING_length(r.decrypt_key), sizeof id);
    assert_memory_equal(ASN1_STRING_get0_data(r.decrypt_key), id, sizeof id);
    assert_true(r.decrypt_shared);
    stamp_pkcs10_free(&r);
    OPENSSL_free(with);
    X509_REQ_free(req);
    EVP_PKEY_free(rsa);
    OPENSSL_free(der.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_openssl_makes_is_read),
        cmocka_unit_test(another_key_s_signature_is_refused),
        cmocka_unit_test(other_hashes_are_read_and_checked),
        cmocka_unit_test(other_keys_are_refused),
        cmocka_unit_test(two_lists_of_extensions_are_refused),
        cmocka_unit_test(nothing_else_is_taken),
        cmocka_unit_test(where_a_key_is_made_key_and_signature_do_not_count),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
