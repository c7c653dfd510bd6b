/*
 * Device certificates put together by hand must be, byte for byte, what OpenSSL's own
 * X.509 functions make of the same content.
 */
#include "host/leaf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/conf.h>
#include <openssl/x509v3.h>

#include "host/key.h"
#include "host/pki.h"

#define NOW ((time_t)1774000000) /* 2026-03-20 */

static EVP_PKEY *ca_key;
static EVP_PKEY *device_key;
static X509 *ca;
static uint8_t point[STAMP_POINT_SIZE];
static uint8_t digest[32];

static int make_authority(void **state)
{
    struct stamp_authority what = {.organization = "Example GmbH",
                                   .role = "Device CA",
                                   .purpose = STAMP_DEVELOPMENT,
                                   .not_before = NOW,
                                   .path_len = 0};

    (void)state;
    memset(digest, 0xD1, sizeof digest);
    assert_int_equal(stamp_key_generate(&ca_key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_generate(&device_key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(device_key, point, NULL), STAMP_OK);
    assert_int_equal(stamp_pki_authority(&what, ca_key, NULL, ca_key, &ca, NULL),
                     STAMP_OK);
    return 0;
}

static int free_authority(void **state)
{
    (void)state;
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(device_key);
    X509_free(ca);
    return 0;
}

static void add_name(X509 *cert, int nid, int type, const char *text)
{
    if (text != NULL) {
        assert_int_equal(X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), nid,
                                                    type, (const unsigned char *)text, -1,
                                                    -1, 0),
                         1);
    }
}

/* otherName from OpenSSL's configuration language, which knows nothing of our encoder. */
static void add_alt_name(X509 *cert, const char *oid, const char *serial)
{
    char hex[2 * 64 + 1] = "";
    char text[512];
    BIO *bio;
    CONF *conf = NCONF_new(NULL);
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    long line;

    for (size_t i = 0; serial[i] != '\0'; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned)(unsigned char)serial[i]);
    }
    (void)snprintf(text, sizeof text,
                   "[san]\notherName=1.3.6.1.5.5.7.8.4;SEQUENCE:module\n"
                   "[module]\ntype=OID:%s\nserial=FORMAT:HEX,OCTETSTRING:%s\n",
                   oid, hex);
    bio = BIO_new_mem_buf(text, -1);
    assert_int_equal(NCONF_load_bio(conf, bio, &line), 1);
    X509V3_set_ctx(&ctx, ca, cert, NULL, NULL, 0);
    X509V3_set_nconf(&ctx, conf);
    ext = X509V3_EXT_nconf_nid(conf, &ctx, NID_subject_alt_name, "@san");
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
    NCONF_free(conf);
    BIO_free(bio);
}

static void add_conf(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&ctx, ca, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static void add_binding(X509 *cert, const char *oid, const uint8_t *hash)
{
    char text[128] = "DER:30:25:0a:01:00:04:20";
    size_t n = strlen(text);
    X509_EXTENSION *ext;

    for (size_t i = 0; i < 32; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, ":%02x", hash[i]);
    }
    /* "OID = DER:..." is generic: no code of ours takes part */
    ext = X509V3_EXT_conf(NULL, NULL, oid, text);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static X509 *by_openssl(const struct stamp_leaf_profile *p,
                        const struct stamp_leaf_subject *s)
{
    X509 *cert = X509_new();
    BIGNUM *bn = BN_bin2bn(s->serial_number, sizeof s->serial_number, NULL);
    char oid[STAMP_OID_SIZE];
    char type[STAMP_OID_SIZE];

    stamp_pki_oid(p->pen, STAMP_ARC_BINDING, oid);
    stamp_pki_oid(p->pen, STAMP_ARC_HARDWARE_TYPE, type);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_non_null(BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)));
    assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(ca)), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), s->not_before));
    if (p->validity_days == 0) {
        assert_int_equal(
            ASN1_TIME_set_string(X509_getm_notAfter(cert), "99991231235959Z"), 1);
    } else {
        assert_non_null(ASN1_TIME_adj(X509_getm_notAfter(cert), s->not_before,
                                      (int)p->validity_days, 0));
    }
    add_name(cert, NID_countryName, V_ASN1_PRINTABLESTRING, p->country);
    add_name(cert, NID_organizationName, V_ASN1_UTF8STRING, p->organization);
    add_name(cert, NID_organizationalUnitName, V_ASN1_UTF8STRING, p->organizational_unit);
    add_name(cert, NID_commonName, V_ASN1_UTF8STRING, s->common_name);
    add_name(cert, NID_serialNumber, V_ASN1_PRINTABLESTRING, s->serial);
    assert_int_equal(X509_set_pubkey(cert, device_key), 1);
    add_conf(cert, NID_authority_key_identifier, "keyid:always");
    add_conf(cert, NID_key_usage, "critical,digitalSignature");
    add_alt_name(cert, p->hardware_type_oid == NULL ? type : p->hardware_type_oid,
                 s->serial);
    if (s->digest != NULL) {
        add_binding(cert, oid, s->digest);
    }
    assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    BN_free(bn);
    return cert;
}

static void compare(const struct stamp_leaf_profile *p,
                    const struct stamp_leaf_subject *s)
{
    struct stamp_leaf_maker *m = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t der[STAMP_MAX_CERTIFICATE];
    struct stamp_slice slice = {der, 0};
    X509 *mine = NULL;
    X509 *theirs = by_openssl(p, s);
    uint8_t *a = NULL;
    uint8_t *b = NULL;
    int a_len;
    int b_len;

    assert_int_equal(stamp_leaf_new(p, ca, ca_key, &m, &err), STAMP_OK);
    assert_int_equal(stamp_leaf_make(m, s, der, &slice.len, &err), STAMP_OK);
    assert_int_equal(stamp_pki_decode(slice, &mine, &err), STAMP_OK);
    assert_int_equal(X509_verify(mine, ca_key), 1);
    a_len = i2d_re_X509_tbs(mine, &a);
    b_len = i2d_re_X509_tbs(theirs, &b);
    assert_int_equal(a_len, b_len);
    assert_memory_equal(a, b, (size_t)a_len);
    OPENSSL_free(a);
    OPENSSL_free(b);
    X509_free(mine);
    X509_free(theirs);
    stamp_leaf_free(&m);
}

static struct stamp_leaf_subject subject(const char *serial)
{
    struct stamp_leaf_subject s = {
        .serial_number = {0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 1},
        .serial = serial,
        .common_name = serial,
        .point = point,
        .digest = digest,
        .not_before = NOW};

    return s;
}

static void usual_certificate_is_what_openssl_makes(void **state)
{
    struct stamp_leaf_profile p = {.organization = "Example GmbH"};
    struct stamp_leaf_subject s = subject("SN-000001");

    (void)state;
    compare(&p, &s);
    s.digest = NULL; /* unbound */
    compare(&p, &s);
    s.common_name = NULL;
    compare(&p, &s);
    s.serial_number[0] = 0x7F;
    compare(&p, &s);
}

static void every_length_of_a_serial_is_what_openssl_makes(void **state)
{
    struct stamp_leaf_profile p = {.organization = "Example GmbH",
                                   .organizational_unit = "Sensors",
                                   .country = "DE"};
    char serial[65];

    (void)state;
    for (size_t len = 1; len <= 64; len++) {
        struct stamp_leaf_subject s;

        memset(serial, 'A', sizeof serial);
        serial[len] = '\0';
        s = subject(serial);
        compare(&p, &s);
    }
}

static void every_length_of_a_company_is_what_openssl_makes(void **state)
{
    char company[65];

    (void)state;
    for (size_t len = 1; len <= 64; len++) {
        struct stamp_leaf_profile p = {.organization = company,
                                       .organizational_unit = company,
                                       .pen = (uint32_t)(len * len * len * 16381u),
                                       .hardware_type_oid =
                                           len % 2 == 0 ? "1.3.6.1.4.1.99999.1" : NULL};
        struct stamp_leaf_subject s = subject("X");

        memset(company, 'c', sizeof company);
        company[len] = '\0';
        if (len > 1) { /* two bytes of UTF-8 */
            memcpy(company + len - 2, "\xC3\xBC", 2);
        }
        compare(&p, &s);
    }
}

static void dates_change_their_type_with_2050(void **state)
{
    struct stamp_leaf_profile p = {.organization = "Example", .validity_days = 1};
    struct stamp_leaf_subject s = subject("X");
    static const time_t when[] = {0,          946684800,  2524607998, 2524521600,
                                  2524607999, 2524608000, 4102444800, 253370764799};

    (void)state;
    for (size_t i = 0; i < sizeof when / sizeof *when; i++) {
        s.not_before = when[i];
        compare(&p, &s);
    }
}

static void too_long_a_certificate_is_refused(void **state)
{
    struct stamp_leaf_profile p = {.organization = "Example"};
    struct stamp_leaf_subject s = subject("X");
    struct stamp_leaf_maker *m = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t der[STAMP_MAX_CERTIFICATE];
    char name[STAMP_MAX_CERTIFICATE];
    size_t len = 1;

    (void)state;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    s.common_name = name;
    assert_int_equal(stamp_leaf_new(&p, ca, ca_key, &m, NULL), STAMP_OK);
    assert_int_equal(stamp_leaf_make(m, &s, der, &len, &err), STAMP_E_SPACE);
    assert_int_equal(len, 0);
    stamp_leaf_free(&m);
}

static void serial_number_must_be_positive(void **state)
{
    struct stamp_leaf_profile p = {.organization = "Example"};
    struct stamp_leaf_subject s = subject("X");
    struct stamp_leaf_maker *m = NULL;
    uint8_t der[STAMP_MAX_CERTIFICATE];
    size_t len;

    (void)state;
    assert_int_equal(stamp_leaf_new(&p, ca, ca_key, &m, NULL), STAMP_OK);
    s.serial_number[0] = 0x80;
    assert_int_equal(stamp_leaf_make(m, &s, der, &len, NULL), STAMP_E_RANGE);
    s.serial_number[0] = 0;
    assert_int_equal(stamp_leaf_make(m, &s, der, &len, NULL), STAMP_E_RANGE);
    stamp_leaf_free(&m);
}

static void authority_of_the_other_purpose_is_refused(void **state)
{
    struct stamp_leaf_profile p = {.organization = "Example",
                                   .purpose = STAMP_PRODUCTION};
    struct stamp_leaf_maker *m = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_leaf_new(&p, ca, ca_key, &m, &err), STAMP_E_PURPOSE);
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_certificate_is_what_openssl_makes),
        cmocka_unit_test(every_length_of_a_serial_is_what_openssl_makes),
        cmocka_unit_test(every_length_of_a_company_is_what_openssl_makes),
        cmocka_unit_test(dates_change_their_type_with_2050),
        cmocka_unit_test(too_long_a_certificate_is_refused),
        cmocka_unit_test(serial_number_must_be_positive),
        cmocka_unit_test(authority_of_the_other_purpose_is_refused),
    };

    return cmocka_run_group_tests(tests, make_authority, free_authority);
}
