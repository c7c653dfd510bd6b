#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/cms.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "host/cms.h"
#include "host/key.h"
#include "host/signerkey.h"
#include "test/fixture/batch.h"

static struct batch_fixture f;
static const uint8_t secret[32] = "32 bytes that nobody else knows";

static int setup(void **state)
{
    (void)state;
    batch_fixture_init(&f, STAMP_PRODUCTION);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    batch_fixture_fini(&f);
    return 0;
}

static struct stamp_slice wrap(size_t n)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *der = NULL;
    struct stamp_slice out;

    assert_int_equal(
        stamp_cms_wrap(secret, sizeof secret, f.station, n, &der, &out.len, &err),
        STAMP_OK);
    out.p = der;
    return out;
}

static void drop(struct stamp_slice s)
{
    uint8_t *p;

    memcpy(&p, &s.p, sizeof p);
    OPENSSL_free(p);
}

static void each_recipient_unwraps_and_nobody_else(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice der = wrap(2);
    STAMP_PKEY_AUTO *other = NULL;
    uint8_t got[32];
    uint8_t zero[32] = {0};

    (void)state;
    for (int i = 0; i < BATCH_STATIONS; i++) {
        assert_int_equal(stamp_cms_unwrap(der, f.station_key[i], got, sizeof got, &err),
                         STAMP_OK);
        assert_memory_equal(got, secret, sizeof got);
    }
    assert_int_equal(stamp_key_generate(&other, &err), STAMP_OK);
    assert_int_equal(stamp_cms_unwrap(der, other, got, sizeof got, &err), STAMP_E_AUTH);
    assert_string_equal(err.what, "this key does not open it");
    assert_memory_equal(got, zero, sizeof got);
    drop(der);
}

/* SPEC 11-17. */
static void envelope_is_as_the_spec_says(void **state)
{
    struct stamp_slice der = wrap(2);
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.len);
    STACK_OF(CMS_RecipientInfo) *infos = CMS_get0_RecipientInfos(cms);
    int found[2] = {0, 0};

    (void)state;
    assert_int_equal(OBJ_obj2nid(CMS_get0_type(cms)), NID_pkcs7_enveloped);
    assert_int_equal(sk_CMS_RecipientInfo_num(infos), 2);
    for (int i = 0; i < 2; i++) {
        CMS_RecipientInfo *ri = sk_CMS_RecipientInfo_value(infos, i);
        CMS_RecipientEncryptedKey *rek =
            sk_CMS_RecipientEncryptedKey_value(CMS_RecipientInfo_kari_get0_reks(ri), 0);
        const X509_ALGOR *alg = NULL;
        const X509_ALGOR *inner = NULL;
        const ASN1_OBJECT *oid = NULL;
        const void *param = NULL;
        ASN1_OCTET_STRING *ukm = NULL;
        X509_ALGOR *got = NULL;
        int type = 0;

        assert_int_equal(CMS_RecipientInfo_type(ri), CMS_RECIPINFO_AGREE);
        assert_int_equal(CMS_RecipientInfo_kari_get0_alg(ri, &got, &ukm), 1);
        alg = got;
        X509_ALGOR_get0(&oid, &type, &param, alg);
        assert_int_equal(OBJ_obj2nid(oid), NID_dhSinglePass_stdDH_sha256kdf_scheme);
        assert_int_equal(type, V_ASN1_SEQUENCE);
        p = ASN1_STRING_get0_data(param);
        inner = d2i_X509_ALGOR(NULL, &p, ASN1_STRING_length(param));
        X509_ALGOR_get0(&oid, NULL, NULL, inner);
        assert_int_equal(OBJ_obj2nid(oid), NID_id_aes256_wrap);
        X509_ALGOR_free((X509_ALGOR *)(uintptr_t)inner);
        /* In DER a set is sorted: either may be the first. */
        found[CMS_RecipientEncryptedKey_cert_cmp(rek, f.station[0]) == 0 ? 0 : 1]++;
        assert_true(CMS_RecipientEncryptedKey_cert_cmp(rek, f.station[0]) == 0 ||
                    CMS_RecipientEncryptedKey_cert_cmp(rek, f.station[1]) == 0);
    }
    assert_int_equal(found[0], 1);
    assert_int_equal(found[1], 1);
    CMS_ContentInfo_free(cms);
    drop(der);
}

static void two_envelopes_share_nothing(void **state)
{
    struct stamp_slice a = wrap(1);
    struct stamp_slice b = wrap(1);

    (void)state;
    assert_memory_not_equal(a.p, b.p, a.len < b.len ? a.len : b.len);
    drop(a);
    drop(b);
}

static void no_changed_byte_gives_the_secret(void **state)
{
    struct stamp_slice der = wrap(1);
    uint8_t *bytes = malloc(der.len);
    unsigned same = 0;

    (void)state;
    for (size_t i = 0; i < der.len; i++) {
        struct stamp_slice changed = {bytes, der.len};
        uint8_t got[32];

        memcpy(bytes, der.p, der.len);
        bytes[i] ^= 0x01;
        if (stamp_cms_unwrap(changed, f.station_key[0], got, sizeof got, NULL) ==
            STAMP_OK) {
            same += memcmp(got, secret, sizeof got) == 0;
        }
        changed.len = i;
        assert_int_equal(
            stamp_cms_unwrap(changed, f.station_key[0], got, sizeof got, NULL),
            STAMP_E_AUTH);
    }
    /* The recipient's name says who may open it, and is looked at by nobody here; other
     * bytes leave the same key only where they leave the same meaning. */
    assert_in_range(same, 0, 60);
    free(bytes);
    drop(der);
}

static void another_length_is_not_unwrapped(void **state)
{
    struct stamp_slice der = wrap(1);
    uint8_t got[64];

    (void)state;
    assert_int_equal(stamp_cms_unwrap(der, f.station_key[0], got, 16, NULL),
                     STAMP_E_AUTH);
    assert_int_equal(stamp_cms_unwrap(der, f.station_key[0], got, 64, NULL),
                     STAMP_E_AUTH);
    drop(der);
}

static void refuse(EVP_PKEY *key, const char *usage, long days, const char *why)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    X509 *cert = batch_fixture_station(key, "X", usage, days);
    uint8_t *der = NULL;
    size_t len = 0;

    assert_int_equal(stamp_cms_wrap(secret, 32, &cert, 1, &der, &len, &err),
                     STAMP_E_CONFIG);
    assert_non_null(strstr(err.what, why));
    assert_null(der);
    X509_free(cert);
}

/* SPEC 11-18. */
static void unfit_recipients_are_refused(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    EVP_PKEY *p384 = EVP_EC_gen("P-384");
    struct stamp_error err = STAMP_ERROR_INIT;
    X509 *plain = batch_fixture_station(f.station_key[0], "X", NULL, 30);

    (void)state;
    refuse(rsa, NULL, 30, "is not on P-256");
    refuse(p384, NULL, 30, "is not on P-256");
    refuse(f.station_key[0], "digitalSignature", 30, "is not for key agreement");
    refuse(f.station_key[0], "keyAgreement", -1, "has expired");
    assert_int_equal(stamp_cms_check_recipient(plain, &err), STAMP_OK);
    X509_free(plain);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p384);
}

static void number_of_recipients_is_bounded(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    X509 *many[9];
    uint8_t *der = NULL;
    size_t len = 0;

    (void)state;
    for (size_t i = 0; i < 9; i++) {
        many[i] = f.station[0];
    }
    assert_int_equal(stamp_cms_wrap(secret, 32, many, 9, &der, &len, &err),
                     STAMP_E_RANGE);
    stamp_error_clear(&err);
    assert_int_equal(stamp_cms_wrap(secret, 32, many, 0, &der, &len, &err),
                     STAMP_E_RANGE);
}

static struct stamp_slice sign(EVP_PKEY *key, X509 *cert)
{
    struct stamp_slice content = {(const uint8_t *)"a manifest", 10};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *der = NULL;
    struct stamp_slice out;

    assert_int_equal(stamp_cms_sign(content, key, cert, &der, &out.len, &err), STAMP_OK);
    out.p = der;
    return out;
}

static enum stamp_err verify(struct stamp_slice der, X509 *anchor,
                             struct stamp_error *err)
{
    uint8_t *content = NULL;
    X509 *signer = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_cms_verify(der, &anchor, 1, &content, &len, &signer, err);

    if (rc == STAMP_OK) {
        assert_int_equal(len, 10);
        assert_memory_equal(content, "a manifest", 10);
        assert_int_equal(X509_cmp(signer, f.certificate), 0);
    } else {
        assert_null(content);
        assert_null(signer);
    }
    OPENSSL_free(content);
    X509_free(signer);
    return rc;
}

static void what_is_signed_is_given_back(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice der = sign(f.key, f.certificate);

    (void)state;
    assert_int_equal(verify(der, f.pki.root, &err), STAMP_OK);
    drop(der);
}

static void another_anchor_is_not_believed(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice der = sign(f.key, f.certificate);
    struct fixture other;

    (void)state;
    fixture_init(&other, STAMP_PRODUCTION);
    assert_int_equal(verify(der, other.root, &err), STAMP_E_AUTH);
    fixture_fini(&other);
    drop(der);
}

static void key_of_another_certificate_does_not_sign(void **state)
{
    struct stamp_slice content = {(const uint8_t *)"a manifest", 10};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *der = NULL;
    size_t len = 0;

    (void)state;
    assert_int_equal(
        stamp_cms_sign(content, f.station_key[0], f.certificate, &der, &len, &err),
        STAMP_E_CRYPTO);
    assert_null(der);
}

/* A version number more or less is all that the signature does not cover. */
static void no_changed_byte_gives_another_content_or_signer(void **state)
{
    struct stamp_slice der = sign(f.key, f.certificate);
    uint8_t *bytes = malloc(der.len);
    unsigned taken = 0;

    (void)state;
    for (size_t i = 0; i < der.len; i++) {
        struct stamp_slice changed = {bytes, der.len};
        struct stamp_error err = STAMP_ERROR_INIT;
        enum stamp_err rc;

        memcpy(bytes, der.p, der.len);
        bytes[i] ^= 0x04;
        rc = verify(changed, f.pki.root, &err); /* compares what it gives */
        taken += rc == STAMP_OK;
        if (rc != STAMP_OK && rc != STAMP_E_AUTH && rc != STAMP_E_FORMAT) {
            fail_msg("byte %zu: %d", i, rc);
        }
    }
    print_message("%u of %zu bytes without a meaning\n", taken, der.len);
    assert_in_range(taken, 0, 16);
    free(bytes);
    drop(der);
}

static void bytes_behind_are_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice der = sign(f.key, f.certificate);
    uint8_t *bytes = calloc(1, der.len + 1);
    struct stamp_slice longer = {bytes, der.len + 1};

    (void)state;
    memcpy(bytes, der.p, der.len);
    assert_int_equal(verify(longer, f.pki.root, &err), STAMP_E_FORMAT);
    free(bytes);
    drop(der);
}

static void batch_certificate_is_told_from_others(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_binding binding;
    struct stamp_signerkey what = {.arc = STAMP_ARC_BATCH_SIGNER,
                                   .organization = "Acme",
                                   .purpose = STAMP_PRODUCTION,
                                   .pen = 32473,
                                   .not_before = time(NULL)};
    X509 *with_pen = NULL;

    (void)state;
    assert_int_equal(
        stamp_signerkey_check(f.certificate, STAMP_ARC_BATCH_SIGNER, &binding, &err),
        STAMP_OK);
    assert_true(binding.present && binding.purpose == STAMP_PRODUCTION);
    assert_int_equal(stamp_signerkey_certificate(&what, f.key, f.pki.root, f.pki.root_key,
                                                 &with_pen, &err),
                     STAMP_OK);
    assert_int_equal(
        stamp_signerkey_check(with_pen, STAMP_ARC_BATCH_SIGNER, &binding, &err),
        STAMP_OK);
    assert_int_equal(
        stamp_signerkey_check(f.pki.root, STAMP_ARC_BATCH_SIGNER, &binding, &err),
        STAMP_E_AUTH);
    stamp_error_clear(&err);
    assert_int_equal(
        stamp_signerkey_check(f.pki.sub, STAMP_ARC_BATCH_SIGNER, &binding, &err),
        STAMP_E_AUTH);
    stamp_error_clear(&err);
    assert_int_equal(
        stamp_signerkey_check(f.station[0], STAMP_ARC_BATCH_SIGNER, &binding, &err),
        STAMP_E_AUTH);
    assert_string_equal(err.what, "the certificate is not a batch key's");
    X509_free(with_pen);
}

/* A device's certificate of the same root. SPEC 11-23. */
static void device_certificate_is_no_batch_key(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_binding binding;
    const unsigned char *p;
    struct stamp stamp;
    X509 *leaf;

    (void)state;
    assert_int_equal(stamp_decode(&stamp, f.stamp.bytes, f.stamp.len), STAMP_OK);
    p = stamp.certificates[0].p;
    leaf = d2i_X509(NULL, &p, (long)stamp.certificates[0].len);
    assert_non_null(leaf);
    assert_int_equal(stamp_signerkey_check(leaf, STAMP_ARC_BATCH_SIGNER, &binding, &err),
                     STAMP_E_AUTH);
    X509_free(leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_recipient_unwraps_and_nobody_else),
        cmocka_unit_test(envelope_is_as_the_spec_says),
        cmocka_unit_test(two_envelopes_share_nothing),
        cmocka_unit_test(no_changed_byte_gives_the_secret),
        cmocka_unit_test(another_length_is_not_unwrapped),
        cmocka_unit_test(unfit_recipients_are_refused),
        cmocka_unit_test(number_of_recipients_is_bounded),
        cmocka_unit_test(what_is_signed_is_given_back),
        cmocka_unit_test(another_anchor_is_not_believed),
        cmocka_unit_test(key_of_another_certificate_does_not_sign),
        cmocka_unit_test(no_changed_byte_gives_another_content_or_signer),
        cmocka_unit_test(bytes_behind_are_refused),
        cmocka_unit_test(batch_certificate_is_told_from_others),
        cmocka_unit_test(device_certificate_is_no_batch_key),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
