/*
 * Operational certificates say of a device what its birth certificate says, byte for
 * byte, and nothing that who asks for them could choose.
 */
#include "host/operational.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "host/certificate.h"
#include "host/key.h"
#include "host/pki.h"

#define NOW ((time_t)1774000000) /* 2026-03-20 */
#define DAY ((time_t)86400)

static EVP_PKEY *ca_key;
static X509 *ca;
static uint8_t birth_point[STAMP_POINT_SIZE];
static uint8_t point[STAMP_POINT_SIZE];
static uint8_t birth[STAMP_MAX_CERTIFICATE];
static size_t birth_len;
static struct stamp_operational_maker *maker;

static X509 *authority(uint8_t purpose)
{
    struct stamp_authority what = {.organization = "Example GmbH",
                                   .role = "Device CA",
                                   .purpose = purpose,
                                   .not_before = NOW,
                                   .path_len = 0};
    X509 *cert = NULL;

    assert_int_equal(stamp_pki_authority(&what, ca_key, NULL, ca_key, &cert, NULL),
                     STAMP_OK);
    return cert;
}

static void new_point(uint8_t out[STAMP_POINT_SIZE])
{
    EVP_PKEY *key = NULL;

    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(key, out, NULL), STAMP_OK);
    EVP_PKEY_free(key);
}

static void make_birth(const X509 *issuer, uint8_t purpose)
{
    static const uint8_t digest[32] = {0xD1};
    struct stamp_leaf_profile profile = {
        .country = "DE", .organization = "Example GmbH", .purpose = purpose};
    struct stamp_leaf_subject s = {.serial_number = {0x11, 0x22},
                                   .serial = "SN-000042",
                                   .common_name = "Weather Sensor",
                                   .point = birth_point,
                                   .digest = digest,
                                   .not_before = NOW};
    struct stamp_leaf_maker *m = NULL;

    assert_int_equal(stamp_leaf_new(&profile, issuer, ca_key, &m, NULL), STAMP_OK);
    assert_int_equal(stamp_leaf_make(m, &s, birth, &birth_len, NULL), STAMP_OK);
    stamp_leaf_free(&m);
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(stamp_key_generate(&ca_key, NULL), STAMP_OK);
    ca = authority(STAMP_DEVELOPMENT);
    new_point(birth_point);
    new_point(point);
    make_birth(ca, STAMP_DEVELOPMENT);
    assert_int_equal(stamp_operational_new(ca, ca_key, &maker, NULL), STAMP_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stamp_operational_free(&maker);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return 0;
}

static struct stamp_operational asked(void)
{
    return (struct stamp_operational){.serial_number = {0x33, 0x44},
                                      .point = point,
                                      .birth = {birth, birth_len},
                                      .not_before = NOW,
                                      .not_after = NOW + 90 * DAY};
}

static X509 *decode(const uint8_t *der, size_t len)
{
    X509 *cert = NULL;

    assert_int_equal(stamp_pki_decode((struct stamp_slice){der, len}, &cert, NULL),
                     STAMP_OK);
    return cert;
}

static void same_extension(const X509 *a, const X509 *b, int nid)
{
    const ASN1_OCTET_STRING *va =
        X509_EXTENSION_get_data(X509_get_ext(a, X509_get_ext_by_NID(a, nid, -1)));
    const ASN1_OCTET_STRING *vb =
        X509_EXTENSION_get_data(X509_get_ext(b, X509_get_ext_by_NID(b, nid, -1)));

    assert_int_equal(ASN1_OCTET_STRING_cmp(va, vb), 0);
}

static bool is(const uint8_t *der, size_t len, const struct stamp_operational *what)
{
    return stamp_certificate_is((struct stamp_slice){der, len}, what->serial_number,
                                what->point);
}

/* Where `part` is in `der`. */
static size_t find(const uint8_t *der, size_t len, const uint8_t *part, size_t part_len)
{
    const uint8_t *at = memmem(der, len, part, part_len);

    assert_non_null(at);
    return (size_t)(at - der);
}

/* What was asked for, and nothing else: neither another number or key, nor what is no
 * certificate, or not all of one. */
static void one_that_was_asked_for_is_told_from_others(void **state)
{
    struct stamp_operational what = asked();
    struct stamp_operational other = asked();
    uint8_t der[STAMP_MAX_CERTIFICATE];
    uint8_t *cut;
    size_t len;
    size_t number;
    size_t key;

    (void)state;
    assert_int_equal(stamp_operational_make(maker, &what, der, &len, NULL), STAMP_OK);
    assert_true(is(der, len, &what));
    other.serial_number[1] ^= 1;
    assert_false(is(der, len, &other));
    other = what;
    other.point = birth_point;
    assert_false(is(der, len, &other));
    assert_false(is(der, len + 1, &what));
    for (size_t i = 0; i < len; i++) { /* of its own, so that reading on is seen */
        cut = malloc(i + 1);
        assert_non_null(cut);
        memcpy(cut, der, i);
        assert_false(is(cut, i, &what));
        free(cut);
    }
    number = find(der, len, what.serial_number, sizeof what.serial_number);
    key = find(der, len, what.point, STAMP_POINT_SIZE);
    for (size_t i = 0; i < len; i++) {
        /* up to the version's INTEGER, 5 bytes before the number; the number; the key */
        bool counts = (i < number + sizeof what.serial_number &&
                       (i < number - 5 || i >= number - 2)) ||
                      (i >= key && i < key + STAMP_POINT_SIZE);

        for (unsigned bit = 0; bit < 8; bit++) {
            bool same;

            der[i] ^= (uint8_t)(1u << bit);
            same = is(der, len, &what);
            der[i] ^= (uint8_t)(1u << bit);
            assert_false(counts && same);
        }
    }
    assert_true(is(der, len, &what));
}

static void not_read(const uint8_t *der, size_t len)
{
    struct stamp_certificate c;

    assert_int_equal(stamp_certificate_open((struct stamp_slice){der, len}, &c, NULL),
                     STAMP_E_FORMAT);
    assert_null(c.subject.p);
    assert_null(c.extensions);
}

/* A birth certificate is read as OpenSSL reads it; not in part, nor with more behind it,
 * nor with a length that DER would write shorter. */
static void a_certificate_is_read_whole_and_in_der(void **state)
{
    const struct stamp_slice whole = {birth, birth_len};
    STAMP_CERTIFICATE_AUTO c;
    X509 *cert = decode(whole.p, whole.len);
    uint8_t *der = malloc(whole.len + 1);
    uint8_t *name = NULL;
    int name_len = i2d_X509_NAME(X509_get_subject_name(cert), &name);

    (void)state;
    assert_non_null(der);
    assert_int_equal(stamp_certificate_open(whole, &c, NULL), STAMP_OK);
    assert_int_equal(c.subject.len, name_len);
    assert_memory_equal(c.subject.p, name, c.subject.len);
    assert_int_equal(sk_X509_EXTENSION_num(c.extensions), X509_get_ext_count(cert));
    OPENSSL_free(name);
    X509_free(cert);
    for (size_t i = 0; i < whole.len; i++) {
        uint8_t *cut = malloc(i + 1);

        assert_non_null(cut);
        memcpy(cut, whole.p, i);
        not_read(cut, i);
        free(cut);
    }
    memcpy(der, whole.p, whole.len);
    der[whole.len] = 0;
    not_read(der, whole.len + 1);
    assert_memory_equal(der, "\x30\x82", 2); /* as 0x83 0x00 .. */
    der[1] = 0x83;
    memcpy(der + 3, whole.p + 2, whole.len - 2);
    der[2] = 0;
    not_read(der, whole.len + 1);
    free(der);
}

static void it_has_the_names_of_birth_and_the_new_key(void **state)
{
    struct stamp_operational what = asked();
    uint8_t der[STAMP_MAX_CERTIFICATE];
    uint8_t got[STAMP_POINT_SIZE];
    struct stamp_binding b;
    char serial[65];
    size_t len;
    X509 *cert;
    X509 *born = decode(birth, birth_len);

    (void)state;
    assert_int_equal(stamp_operational_make(maker, &what, der, &len, NULL), STAMP_OK);
    cert = decode(der, len);
    assert_int_equal(X509_verify(cert, ca_key), 1);
    assert_int_equal(
        X509_NAME_cmp(X509_get_subject_name(cert), X509_get_subject_name(born)), 0);
    same_extension(cert, born, NID_subject_alt_name);
    same_extension(cert, born, NID_key_usage);
    same_extension(cert, born, NID_authority_key_identifier);
    assert_int_equal(stamp_pki_serial(cert, serial, sizeof serial, NULL), STAMP_OK);
    assert_string_equal(serial, "SN-000042");
    assert_int_equal(stamp_binding_read(cert, &b, NULL), STAMP_OK);
    assert_true(b.present && b.has_digest);
    assert_int_equal(b.digest[0], 0xD1);
    assert_int_equal(stamp_key_point(X509_get0_pubkey(cert), got, NULL), STAMP_OK);
    assert_memory_equal(got, point, sizeof got);
    assert_int_equal(X509_get_ext_count(cert), X509_get_ext_count(born));
    X509_free(cert);
    X509_free(born);
}

static void it_ends_when_it_is_told_to(void **state)
{
    struct stamp_operational what = asked();
    uint8_t der[STAMP_MAX_CERTIFICATE];
    time_t end = what.not_after;
    time_t before = end - 1;
    size_t len;
    X509 *cert;

    (void)state;
    assert_int_equal(stamp_operational_make(maker, &what, der, &len, NULL), STAMP_OK);
    cert = decode(der, len);
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(cert), &before), 1);
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(cert), &end), -1);
    X509_free(cert);
}

static void refused(const struct stamp_operational *what, enum stamp_err want,
                    const char *text)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t der[STAMP_MAX_CERTIFICATE];
    size_t len = 1;

    assert_int_equal(stamp_operational_make(maker, what, der, &len, &err), want);
    assert_non_null(strstr(err.what, text));
    assert_int_equal(len, 0);
}

static void dates_and_numbers_that_cannot_be_are_refused(void **state)
{
    struct stamp_operational what = asked();

    (void)state;
    what.not_after = what.not_before;
    refused(&what, STAMP_E_RANGE, "end before it begins");
    what = asked();
    what.serial_number[0] = 0x80;
    refused(&what, STAMP_E_RANGE, "not positive");
    what = asked();
    what.birth.len--;
    refused(&what, STAMP_E_FORMAT, "");
}

static void none_outlives_its_issuer(void **state)
{
    struct stamp_operational_maker *old = maker;
    struct stamp_operational what = asked();
    X509 *brief = authority(STAMP_DEVELOPMENT);

    (void)state;
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(brief), 0));
    assert_int_equal(stamp_operational_new(brief, ca_key, &maker, NULL), STAMP_OK);
    what.not_after = NOW + 36500 * DAY;
    refused(&what, STAMP_E_RANGE, "outlive its issuer");
    stamp_operational_free(&maker);
    maker = old;
    X509_free(brief);
}

static void a_device_of_the_other_purpose_is_refused(void **state)
{
    X509 *other = authority(STAMP_PRODUCTION);
    struct stamp_operational what;

    (void)state;
    make_birth(other, STAMP_PRODUCTION);
    what = asked();
    refused(&what, STAMP_E_PURPOSE, "other purpose");
    make_birth(ca, STAMP_DEVELOPMENT);
    X509_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_was_asked_for_is_told_from_others),
        cmocka_unit_test(a_certificate_is_read_whole_and_in_der),
        cmocka_unit_test(it_has_the_names_of_birth_and_the_new_key),
        cmocka_unit_test(it_ends_when_it_is_told_to),
        cmocka_unit_test(dates_and_numbers_that_cannot_be_are_refused),
        cmocka_unit_test(none_outlives_its_issuer),
        cmocka_unit_test(a_device_of_the_other_purpose_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
