/* Revocations on the books, and the lists that are made of them. */
#include "host/registry_revoke.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "host/crl.h"
#include "host/key.h"
#include "host/leaf.h"
#include "host/operational.h"
#include "host/pki.h"
#include "host/registry_enrol.h"
#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define DAY 86400L

static struct {
    EVP_PKEY *key[2];
    X509 *ca[2];
    struct stamp_ca id[2];
} rig;

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        print_error("%s\n", err->what);
    }
    assert_int_equal(rc, STAMP_OK);
}

/* A device born under authority `by`, its birth certificate on the books. */
static struct stamp_registry_row device(const char *serial, int by)
{
    const struct stamp_leaf_profile profile = {.organization = "Books",
                                               .purpose = STAMP_DEVELOPMENT};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t digest[32] = {1};
    uint8_t der[STAMP_MAX_CERTIFICATE];
    struct stamp_leaf_subject subject = {.serial = serial,
                                         .common_name = serial,
                                         .point = point,
                                         .digest = digest,
                                         .not_before = NOW};
    struct stamp_leaf_maker *maker = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    size_t len = 0;

    must(stamp_key_generate(&key, &err), &err);
    must(stamp_key_point(key, point, &err), &err);
    must(stamp_registry_reserve_serial(books, "Sensor", serial, NOW, &row, &err), &err);
    must(stamp_key_hash(point, row.fingerprint, &err), &err);
    memcpy(subject.serial_number, row.certificate_serial, sizeof subject.serial_number);
    must(stamp_leaf_new(&profile, rig.ca[by], rig.key[by], &maker, &err), &err);
    must(stamp_leaf_make(maker, &subject, der, &len, &err), &err);
    stamp_leaf_free(&maker);
    row.certificate = der;
    row.certificate_len = len;
    must(stamp_registry_issue(books, &row, 1, NOW, &err), &err);
    row.certificate = NULL;
    return row;
}

/* An operational certificate of the first authority, until `end`. */
static void enrol(const char *serial, uint8_t n, time_t end,
                  uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE])
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    struct stamp_operational_maker *maker = NULL;
    struct stamp_ldevid_asked asked = {
        .now = NOW, .not_after = end, .renew_before = NOW, .per_hour = 1000, .who = "x"};
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t der[STAMP_MAX_CERTIFICATE];
    struct stamp_operational what = {.point = point, .not_before = NOW, .not_after = end};
    STAMP_PKEY_AUTO *key = NULL;
    enum stamp_refusal why;
    struct stamp_ldevid l;
    size_t len = 0;
    bool kept;

    must(stamp_key_generate(&key, &err), &err);
    must(stamp_key_point(key, point, &err), &err);
    must(stamp_registry_find(books, serial, &row, &err), &err);
    must(stamp_registry_certificate_block(books, asked.certificate_serial, &err), &err);
    asked.certificate_serial[15] = n;
    memcpy(number, asked.certificate_serial, sizeof asked.certificate_serial);
    memcpy(what.serial_number, number, sizeof what.serial_number);
    asked.device = row.id;
    must(stamp_key_hash(point, asked.fingerprint, &err), &err);
    what.birth = (struct stamp_slice){row.certificate, row.certificate_len};
    must(stamp_operational_new(rig.ca[0], rig.key[0], &maker, &err), &err);
    must(stamp_operational_make(maker, &what, der, &len, &err), &err);
    stamp_operational_free(&maker);
    must(stamp_registry_group_begin(books, &err), &err);
    must(stamp_registry_ldevid_begin(books, &asked, &why, &l, &err), &err);
    assert_int_equal(why, STAMP_REFUSAL_NONE);
    must(stamp_registry_ldevid_certify(books, l.device, l.n,
                                       (struct stamp_slice){der, len}, &kept, &err),
         &err);
    must(stamp_registry_group_end(books, STAMP_OK, &err), &err);
    assert_true(kept);
    stamp_registry_row_fini(&row);
}

static enum stamp_certificate_status status(int ca, const uint8_t *number)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_certificate_status s;
    struct stamp_revocation r;

    must(stamp_registry_certificate_status(books, &rig.id[ca], number, &s, &r, &err),
         &err);
    return s;
}

static size_t listed(int ca, time_t now)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_revocation rows[64];
    size_t n;

    must(stamp_registry_revocations(books, &rig.id[ca], now, NULL, rows, 64, &n, &err),
         &err);
    return n;
}

static void gone(const char *serial, time_t at)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    must(stamp_registry_revoke(books, serial, STAMP_REASON_KEY_COMPROMISE, at, "why",
                               &err),
         &err);
}

static void a_revoked_device_takes_its_certificates_along(void **state)
{
    struct stamp_registry_row row = device("SN-1", 0);
    struct stamp_ldevid keys[4];
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t first[STAMP_CERTIFICATE_SERIAL_SIZE];
    uint8_t second[STAMP_CERTIFICATE_SERIAL_SIZE];
    int64_t before;
    int64_t after;
    size_t n;

    (void)state;
    enrol("SN-1", 1, NOW + 90 * DAY, first);
    enrol("SN-1", 2, NOW + 90 * DAY, second); /* retires the first */
    assert_int_equal(status(0, row.certificate_serial), STAMP_CERTIFICATE_GOOD);
    assert_int_equal(status(0, first), STAMP_CERTIFICATE_GOOD);
    must(stamp_registry_revocation_mark(books, &before, &err), &err);
    gone("SN-1", NOW + 5);
    must(stamp_registry_revocation_mark(books, &after, &err), &err);
    assert_true(after > before);
    assert_int_equal(status(0, row.certificate_serial), STAMP_CERTIFICATE_REVOKED);
    assert_int_equal(status(0, first), STAMP_CERTIFICATE_REVOKED);
    assert_int_equal(status(0, second), STAMP_CERTIFICATE_REVOKED);
    assert_int_equal(listed(0, NOW), 3);
    must(stamp_registry_ldevid_list(books, row.id, keys, 4, &n, &err), &err);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(keys[i].state, STAMP_LDEVID_RETIRED);
        stamp_ldevid_fini(&keys[i]);
    }
    assert_int_equal(
        stamp_registry_revoke(books, "SN-1", STAMP_REASON_SUPERSEDED, NOW + 6, "", &err),
        STAMP_E_STATE);
    assert_int_equal(listed(0, NOW), 3);
}

/* However many it has: those of before are good until they end, too. */
static void all_certificates_of_a_device_are_revoked(void **state)
{
    enum { MANY = 530 }; /* more than two pages */
    struct stamp_registry_row row = device("SN-1", 0);
    uint8_t first[STAMP_CERTIFICATE_SERIAL_SIZE];
    uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE];

    (void)state;
    enrol("SN-1", 1, NOW + 90 * DAY, first);
    for (unsigned i = 1; i < MANY; i++) {
        enrol("SN-1", 2, NOW + 90 * DAY, number);
    }
    gone("SN-1", NOW + 5);
    assert_int_equal(status(0, first), STAMP_CERTIFICATE_REVOKED);
    assert_int_equal(status(0, number), STAMP_CERTIFICATE_REVOKED);
    assert_int_equal(books_number("SELECT count(*) FROM revocation"), MANY + 1);
    stamp_registry_row_fini(&row);
}

static void an_operational_key_alone_is_revoked(void **state)
{
    struct stamp_registry_row row = device("SN-1", 0);
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE];
    size_t n;

    (void)state;
    enrol("SN-1", 1, NOW + 90 * DAY, number);
    must(stamp_registry_revoke_operational(books, "SN-1", STAMP_REASON_SUPERSEDED,
                                           NOW + 5, &n, &err),
         &err);
    assert_int_equal(n, 1);
    assert_int_equal(status(0, number), STAMP_CERTIFICATE_REVOKED);
    assert_int_equal(status(0, row.certificate_serial), STAMP_CERTIFICATE_GOOD);
    must(stamp_registry_revoke_operational(books, "SN-1", STAMP_REASON_SUPERSEDED,
                                           NOW + 6, &n, &err),
         &err);
    assert_int_equal(n, 0);
    assert_int_equal(stamp_registry_revoke_operational(
                         books, "SN-2", STAMP_REASON_SUPERSEDED, NOW, &n, &err),
                     STAMP_E_MISSING);
}

static void a_certificate_is_on_its_own_authoritys_list(void **state)
{
    struct stamp_registry_row row = device("SN-1", 1);

    (void)state;
    gone("SN-1", NOW);
    assert_int_equal(listed(0, NOW), 0);
    assert_int_equal(listed(1, NOW), 1);
    assert_int_equal(status(1, row.certificate_serial), STAMP_CERTIFICATE_REVOKED);
}

static void what_has_ended_is_on_no_list(void **state)
{
    uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE];

    (void)state;
    (void)device("SN-1", 0);
    enrol("SN-1", 1, NOW + 10 * DAY, number);
    gone("SN-1", NOW + DAY);
    assert_int_equal(listed(0, NOW + 9 * DAY), 2);
    assert_int_equal(listed(0, NOW + 11 * DAY), 1); /* birth has no end */

    (void)device("SN-2", 0);
    enrol("SN-2", 2, NOW + 10 * DAY, number);
    gone("SN-2", NOW + 20 * DAY); /* it had ended before */
    assert_int_equal(listed(0, NOW), 3);
}

static void a_number_that_was_never_given_is_unknown(void **state)
{
    uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE];
    uint8_t prefix[STAMP_CERTIFICATE_PREFIX_SIZE];
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    memset(number, 0x11, sizeof number);
    assert_int_equal(status(0, number), STAMP_CERTIFICATE_UNKNOWN);
    must(stamp_registry_certificate_block(books, prefix, &err), &err);
    memcpy(number, prefix, sizeof prefix);
    memset(number + sizeof prefix, 0, sizeof number - sizeof prefix);
    assert_int_equal(status(0, number), STAMP_CERTIFICATE_UNKNOWN);
}

static void any_way_of_revoking_is_one(void **state)
{
    struct stamp_registry_change changes[100];
    char serials[100][16];
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    for (int i = 0; i < 100; i++) { /* as many as are booked in bulk */
        (void)snprintf(serials[i], sizeof serials[i], "SN-%03d", i);
        (void)device(serials[i], 0);
        changes[i] = (struct stamp_registry_change){
            .serial = serials[i], .to = STAMP_REGISTRY_REVOKED, .at = NOW + 1};
    }
    must(stamp_registry_change(books, changes, 100, NULL, &err), &err);
    assert_int_equal(listed(0, NOW), 64); /* a full page */
    for (int i = 0; i < 100; i++) {
        struct stamp_registry_row row;

        must(stamp_registry_find(books, serials[i], &row, &err), &err);
        assert_int_equal(status(0, row.certificate_serial), STAMP_CERTIFICATE_REVOKED);
        stamp_registry_row_fini(&row);
    }
}

/* The whole way: a list in a file, as OpenSSL reads it. */
static void a_list_has_all_of_them(void **state)
{
    char path[] = "crl-test-XXXXXX";
    struct stamp_error err = STAMP_ERROR_INIT;
    uint64_t count = 0;
    uint64_t last = 0;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    for (uint64_t made = 0; made < 40; made += 13) {
        STAMP_BIO_AUTO *bio = NULL;
        X509_CRL *crl;
        ASN1_INTEGER *number;

        must(stamp_crl_write(books, rig.ca[0], rig.key[0], 7, path, &count, &err), &err);
        assert_true(count == made);
        bio = BIO_new_file(path, "rb");
        crl = d2i_X509_CRL_bio(bio, NULL);
        assert_non_null(crl);
        assert_int_equal(BIO_read(bio, &count, 1), 0); /* nothing behind it */
        assert_int_equal(X509_CRL_verify(crl, rig.key[0]), 1);
        assert_int_equal(X509_CRL_get_version(crl), 1);
        assert_int_equal(
            X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(rig.ca[0])), 0);
        assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)),
                         made == 0 ? -1 : (int)made);
        number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
        assert_non_null(number);
        assert_true((uint64_t)ASN1_INTEGER_get(number) > last);
        last = (uint64_t)ASN1_INTEGER_get(number);
        ASN1_INTEGER_free(number);
        X509_CRL_free(crl);
        for (uint64_t i = made; i < made + 13; i++) {
            char serial[16];

            (void)snprintf(serial, sizeof serial, "SN-%02u", (unsigned)i);
            (void)device(serial, 0);
            gone(serial, NOW);
        }
    }
    (void)close(fd);
    (void)unlink(path);
}

static void reasons_have_the_names_of_rfc_5280(void **state)
{
    enum stamp_reason r;

    (void)state;
    assert_true(stamp_reason_parse("keyCompromise", &r));
    assert_int_equal(r, STAMP_REASON_KEY_COMPROMISE);
    assert_true(stamp_reason_parse("KEYCOMPROMISE", &r));
    assert_string_equal(stamp_reason_name(STAMP_REASON_CESSATION),
                        "cessationOfOperation");
    assert_false(stamp_reason_parse("certificateHold", &r)); /* there is no way back */
    assert_false(stamp_reason_parse("removeFromCRL", &r));
    assert_false(stamp_reason_parse("", &r));
}

static int authorities(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct stamp_authority what = {.organization = "Books",
                                             .role = i == 0 ? "sub-CA" : "station CA",
                                             .purpose = STAMP_DEVELOPMENT,
                                             .not_before = 1600000000,
                                             .path_len = 0};
        struct stamp_error err = STAMP_ERROR_INIT;

        must(stamp_key_generate(&rig.key[i], &err), &err);
        must(stamp_pki_authority(&what, rig.key[i], NULL, rig.key[i], &rig.ca[i], &err),
             &err);
        must(stamp_ca_of(rig.ca[i], &rig.id[i], &err), &err);
    }
    return 0;
}

static int no_authorities(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        X509_free(rig.ca[i]);
        EVP_PKEY_free(rig.key[i]);
    }
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, books_open, books_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_revoked_device_takes_its_certificates_along),
        TEST(all_certificates_of_a_device_are_revoked),
        TEST(an_operational_key_alone_is_revoked),
        TEST(a_certificate_is_on_its_own_authoritys_list),
        TEST(what_has_ended_is_on_no_list),
        TEST(a_number_that_was_never_given_is_unknown),
        TEST(any_way_of_revoking_is_one),
        TEST(a_list_has_all_of_them),
        cmocka_unit_test(reasons_have_the_names_of_rfc_5280),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, authorities, no_authorities);
}
