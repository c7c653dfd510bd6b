/* host/crl: lists put together from parts, of every length; service/ocsp_cache. */
#include "host/crl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "host/key.h"
#include "host/pki.h"
#include "service/ocsp_cache.h"

static EVP_PKEY *key;
static X509 *ca;

static int setup(void **state)
{
    const struct stamp_authority what = {.organization = "List",
                                         .role = "sub-CA",
                                         .purpose = STAMP_DEVELOPMENT,
                                         .not_before = 1600000000,
                                         .path_len = 0};

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    assert_int_equal(stamp_pki_authority(&what, key, NULL, key, &ca, NULL), STAMP_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    X509_free(ca);
    EVP_PKEY_free(key);
    return 0;
}

static struct stamp_revocation revocation(uint32_t i)
{
    struct stamp_revocation r = {.reason = i % 3 == 0 ? STAMP_REASON_UNSPECIFIED
                                                      : STAMP_REASON_KEY_COMPROMISE,
                                 /* before and after 2050 */
                                 .at = i % 2 == 0 ? 1700000000 : 2600000000};

    memset(r.serial_number, 0, sizeof r.serial_number);
    /* short ones, and such with the highest bit */
    r.serial_number[12] = (uint8_t)(i >> 16 | (i % 5 == 0 ? 0x80 : 0));
    r.serial_number[13] = (uint8_t)(i >> 8);
    r.serial_number[14] = (uint8_t)i;
    r.serial_number[15] = 1;
    return r;
}

/* A list of `n`, its entries handed over `step` bytes at a time. */
static X509_CRL *make(uint32_t n, size_t step)
{
    struct stamp_crl *c = NULL;
    struct stamp_crl_what what = {
        .number = n + 1, .this_update = 1700000000, .next_update = 1700086400};
    uint8_t head[STAMP_CRL_HEAD_MAX];
    uint8_t tail[STAMP_CRL_TAIL_MAX];
    size_t head_len;
    size_t tail_len;
    uint8_t *entries = malloc((size_t)n * STAMP_CRL_ENTRY_MAX + 1);
    uint8_t *all;
    const uint8_t *p;
    size_t len = 0;
    X509_CRL *crl;

    assert_non_null(entries);
    for (uint32_t i = 0; i < n; i++) {
        struct stamp_revocation r = revocation(i);

        len += stamp_crl_entry(&r, entries + len);
    }
    what.entries_len = len;
    assert_int_equal(stamp_crl_new(ca, key, &c, NULL), STAMP_OK);
    assert_int_equal(stamp_crl_begin(c, &what, NULL), STAMP_OK);
    for (size_t at = 0; at < len; at += step) {
        assert_int_equal(
            stamp_crl_add(c, entries + at, len - at < step ? len - at : step, NULL),
            STAMP_OK);
    }
    assert_int_equal(stamp_crl_end(c, head, &head_len, tail, &tail_len, NULL), STAMP_OK);
    stamp_crl_free(&c);
    all = malloc(head_len + len + tail_len);
    assert_non_null(all);
    memcpy(all, head, head_len);
    memcpy(all + head_len, entries, len);
    memcpy(all + head_len + len, tail, tail_len);
    p = all;
    crl = d2i_X509_CRL(NULL, &p, (long)(head_len + len + tail_len));
    assert_non_null(crl);
    assert_ptr_equal(p, all + head_len + len + tail_len);
    free(entries);
    free(all);
    return crl;
}

static void lists_of_every_length_are_read_by_openssl(void **state)
{
    static const uint32_t lengths[] = {0, 1, 2, 3, 6, 255, 256, 1500, 70000};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint32_t n = lengths[i];
        X509_CRL *crl = make(n, n < 300 ? 7 : 5000);

        assert_int_equal(X509_CRL_verify(crl, key), 1);
        assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)),
                         n == 0 ? -1 : (int)n);
        for (uint32_t k = 0; k < n; k += n < 300 ? 1 : 997) {
            struct stamp_revocation r = revocation(k);
            BIGNUM *bn = BN_bin2bn(r.serial_number, sizeof r.serial_number, NULL);
            ASN1_INTEGER *number = BN_to_ASN1_INTEGER(bn, NULL);
            X509_REVOKED *found = NULL;
            ASN1_ENUMERATED *reason;

            assert_int_equal(X509_CRL_get0_by_serial(crl, &found, number), 1);
            assert_int_equal(
                ASN1_TIME_cmp_time_t(X509_REVOKED_get0_revocationDate(found), r.at), 0);
            reason = X509_REVOKED_get_ext_d2i(found, NID_crl_reason, NULL, NULL);
            assert_true((reason == NULL) == (r.reason == STAMP_REASON_UNSPECIFIED));
            assert_true(reason == NULL || ASN1_ENUMERATED_get(reason) == (long)r.reason);
            ASN1_ENUMERATED_free(reason);
            ASN1_INTEGER_free(number);
            BN_free(bn);
        }
        X509_CRL_free(crl);
    }
}

static void parts_that_do_not_add_up_are_not_signed(void **state)
{
    const struct stamp_crl_what what = {
        .number = 1, .this_update = 1, .next_update = 2, .entries_len = 10};
    struct stamp_crl_what never = what;
    struct stamp_crl *c = NULL;
    uint8_t head[STAMP_CRL_HEAD_MAX];
    uint8_t tail[STAMP_CRL_TAIL_MAX];
    size_t n;

    (void)state;
    assert_int_equal(stamp_crl_new(ca, key, &c, NULL), STAMP_OK);
    assert_int_equal(stamp_crl_begin(c, &what, NULL), STAMP_OK);
    assert_int_equal(stamp_crl_add(c, "123456789", 9, NULL), STAMP_OK);
    assert_int_equal(stamp_crl_end(c, head, &n, tail, &n, NULL), STAMP_E_FORMAT);
    assert_int_equal(stamp_crl_add(c, "12", 2, NULL), STAMP_E_FORMAT);
    never.next_update = 1;
    assert_int_equal(stamp_crl_begin(c, &never, NULL), STAMP_E_RANGE);
    never = what;
    never.entries_len = (uint64_t)UINT32_MAX + 1;
    assert_int_equal(stamp_crl_begin(c, &never, NULL), STAMP_E_RANGE);
    stamp_crl_free(&c);
}

/* ---- answers that are kept ---- */

static void an_answer_is_kept_until_it_is_old_or_something_is_revoked(void **state)
{
    static struct ocsp_cache cache;
    static const uint8_t number[] = {1, 2, 3};
    const struct service_ocsp asked = {SERVICE_OCSP_SHA1, {number, 3}};
    const struct service_ocsp longer = {SERVICE_OCSP_SHA1, {number, 2}};
    const struct service_ocsp other = {SERVICE_OCSP_SHA256, {number, 3}};
    const struct service_ocsp_answer answer = {.response = {(const uint8_t *)"answer", 6},
                                               .this_update = 900,
                                               .next_update = 2000};
    const struct ocsp_kept *k;

    (void)state;
    assert_null(ocsp_cache_find(&cache, &asked, 1000));
    ocsp_cache_keep(&cache, &asked, &answer, 1000);
    k = ocsp_cache_find(&cache, &asked, 1001);
    assert_non_null(k);
    assert_int_equal(k->len, 6);
    assert_memory_equal(k->response, "answer", 6);
    assert_null(ocsp_cache_find(&cache, &longer, 1001));
    assert_null(ocsp_cache_find(&cache, &other, 1001));
    assert_non_null(ocsp_cache_find(&cache, &asked, 1499));
    assert_null(ocsp_cache_find(&cache, &asked, 1500)); /* half of its life */
    ocsp_cache_flush(&cache);
    assert_null(ocsp_cache_find(&cache, &asked, 1001));
}

static void more_answers_than_there_is_room_for_take_others_places(void **state)
{
    static struct ocsp_cache cache;
    const struct service_ocsp_answer answer = {.response = {(const uint8_t *)"answer", 6},
                                               .next_update = 2000};
    unsigned found = 0;

    (void)state;
    for (uint32_t i = 0; i < 3 * OCSP_CACHE_SIZE; i++) {
        uint8_t number[3] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        const struct service_ocsp asked = {SERVICE_OCSP_SHA1, {number, 3}};

        ocsp_cache_keep(&cache, &asked, &answer, 1000);
        assert_non_null(ocsp_cache_find(&cache, &asked, 1000));
    }
    for (uint32_t i = 0; i < 3 * OCSP_CACHE_SIZE; i++) {
        uint8_t number[3] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        const struct service_ocsp asked = {SERVICE_OCSP_SHA1, {number, 3}};

        found += ocsp_cache_find(&cache, &asked, 1000) != NULL;
    }
    assert_true(found <= OCSP_CACHE_SIZE && found > OCSP_CACHE_SIZE / 2);
    ocsp_cache_flush(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_every_length_are_read_by_openssl),
        cmocka_unit_test(parts_that_do_not_add_up_are_not_signed),
        cmocka_unit_test(an_answer_is_kept_until_it_is_old_or_something_is_revoked),
        cmocka_unit_test(more_answers_than_there_is_room_for_take_others_places),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
