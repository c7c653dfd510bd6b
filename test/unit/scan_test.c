#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "host/scan.h"

/* Private key 42 on P-256: computed with another library. */
#define KEY                                                                              \
    "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACZ4DF/HAnXixwYaDnh3uxdN6t65iHAn8/qDZUFYun9Qw="
#define HASH "18ab269044cda02280cc60bae0b94a6272d066fae4975fe303622cc4e551cd4d"

static const uint8_t hash[32] = {0x18, 0xab, 0x26, 0x90, 0x44, 0xcd, 0xa0, 0x22,
                                 0x80, 0xcc, 0x60, 0xba, 0xe0, 0xb9, 0x4a, 0x62,
                                 0x72, 0xd0, 0x66, 0xfa, 0xe4, 0x97, 0x5f, 0xe3,
                                 0x03, 0x62, 0x2c, 0xc4, 0xe5, 0x51, 0xcd, 0x4d};

static enum stamp_err scan(const char *text, struct stamp_scan *out,
                           struct stamp_error *err)
{
    return stamp_scan_parse(text, strlen(text), out, err);
}

static void assert_pop(const struct stamp_scan *s, const char *want)
{
    size_t len;

    assert_non_null(s->pop);
    assert_memory_equal(stamp_secret_use(s->pop, &len), want, strlen(want) + 1);
    assert_int_equal(len, strlen(want));
}

static void claim_label_gives_serial_hash_and_pop(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_scan s;

    (void)state;
    assert_int_equal(scan("STAMP:S:SN-0042;H:" HASH ";P:K7PQ:XYZ9;;", &s, &err),
                     STAMP_OK);
    assert_string_equal(s.serial, "SN-0042");
    assert_false(s.has_key);
    assert_true(s.has_hash);
    assert_memory_equal(s.hash, hash, 32);
    assert_pop(&s, "K7PQ:XYZ9");
    stamp_scan_fini(&s);
    assert_null(s.pop);
    assert_false(s.has_hash);
}

static void dpp_uri_gives_key_and_hash(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_scan s;

    (void)state;
    assert_int_equal(scan("DPP:K:" KEY ";;", &s, &err), STAMP_OK);
    assert_true(s.has_key && s.has_hash);
    assert_memory_equal(s.hash, hash, 32);
    assert_int_equal(s.key[0], 4);
    assert_int_equal(s.key[1], 0x67);
    assert_int_equal(s.key[64], 0x66);
    assert_null(s.pop);
    assert_string_equal(s.serial, "");
    stamp_scan_fini(&s);
}

static void esp_json_gives_the_pop(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_scan s;

    (void)state;
    assert_int_equal(
        scan("{\"ver\":\"v1\",\"name\":\"PROV_CE03C0\",\"username\":\"wifiprov\","
             "\"pop\":\"k7\\\"p\\u0041\",\"transport\":\"ble\"}",
             &s, &err),
        STAMP_OK);
    assert_pop(&s, "k7\"pA");
    assert_false(s.has_key || s.has_hash);
    stamp_scan_fini(&s);
    assert_int_equal(
        scan("{\"ver\":\"v1\",\"name\":\"x\",\"transport\":\"softap\"}", &s, &err),
        STAMP_OK);
    assert_null(s.pop);
}

static void broken_labels_are_refused(void **state)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"", "the label's text is no claim label, DPP URI or ESP JSON"},
        {"SN-0042", "the label's text is no claim label, DPP URI or ESP JSON"},
        {"STAMP:", "not a claim label: it does not begin with 'STAMP:S:' and a serial"},
        {"STAMP:S:SN-0042",
         "not a claim label: it does not begin with 'STAMP:S:' and a serial"},
        {"STAMP:S:;H:" HASH ";P:abcd;;", "not a claim label: its serial is not one"},
        {"STAMP:S:a b;H:" HASH ";P:abcd;;", "not a claim label: its serial is not one"},
        {"STAMP:S:1234567890123456789012345678901234567890123456789012345678901234"
         "5;H:" HASH ";P:abcd;;",
         "not a claim label: its serial is not one"},
        {"STAMP:S:1;H:" HASH "0;P:abcd;;",
         "not a claim label: no 'H:' and 64 hex digits follow the serial"},
        {"STAMP:S:1;H:18AB;P:abcd;;",
         "not a claim label: no 'H:' and 64 hex digits follow the serial"},
        {"STAMP:S:1;P:abcd;H:" HASH ";;",
         "not a claim label: no 'H:' and 64 hex digits follow the serial"},
        {"STAMP:S:1;H:" HASH ";;",
         "not a claim label: no 'P:' and a proof of possession follow the hash"},
        {"STAMP:S:1;H:" HASH ";P:abcd",
         "not a claim label: no 'P:' and a proof of possession follow the hash"},
        {"STAMP:S:1;H:" HASH ";P:abc;;",
         "not a claim label: its proof of possession has not 4 to 64 characters"},
        {"STAMP:S:1;H:" HASH ";P:abcd;", "not a claim label: it does not end in ';;'"},
        {"STAMP:S:1;H:" HASH ";P:abcd;; ", "not a claim label: it does not end in ';;'"},
        {"STAMP:S:1;H:" HASH ";P:ab;cd;;",
         "not a claim label: its proof of possession has not 4 to 64 characters"},
        {"DPP:K:x;;", "not a DPP URI: its key is not a compressed P-256 key"},
        {"{", "not ESP provisioning JSON: it is not one JSON object"},
        {"{}", "not ESP provisioning JSON: its \"ver\" is not \"v1\""},
        {"{\"ver\":1}", "not ESP provisioning JSON: its \"ver\" is not \"v1\""},
        {"{\"ver\":\"v1\"}", "not ESP provisioning JSON: it has no \"transport\""},
        {"{\"ver\":\"v1\",\"transport\":\"ble\",\"pop\":1234}",
         "not ESP provisioning JSON: its \"pop\" is not text"},
        {"{\"ver\":\"v1\",\"transport\":\"ble\",\"pop\":\"abc\"}",
         "not ESP provisioning JSON: its proof of possession has not 4 to 64 characters"},
        {"{\"ver\":\"v1\",\"transport\":\"ble\",\"pop\":\"abcd\",\"pop\":\"abcd\"}",
         "not ESP provisioning JSON: it is not one JSON object"},
        {"{\"ver\":\"v1\",\"transport\":\"ble\"}x",
         "not ESP provisioning JSON: it is not one JSON object"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_scan s;

        assert_int_equal(scan(cases[i].text, &s, &err), STAMP_E_FORMAT);
        assert_string_equal(err.what, cases[i].want);
        assert_null(s.pop);
        assert_false(s.has_hash || s.has_key);
        assert_null(strstr(err.what, "abcd"));
    }
}

/* Every cut of a good label is refused, so that a half-read code claims nothing. */
static void cut_labels_are_refused(void **state)
{
    static const char *const good[] = {
        "STAMP:S:SN-0042;H:" HASH ";P:K7PQXYZ9;;", "DPP:K:" KEY ";;",
        "{\"ver\":\"v1\",\"pop\":\"abcd\",\"transport\":\"ble\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        for (size_t len = 0; len < strlen(good[i]); len++) {
            struct stamp_scan s;

            assert_int_equal(stamp_scan_parse(good[i], len, &s, NULL), STAMP_E_FORMAT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claim_label_gives_serial_hash_and_pop),
        cmocka_unit_test(dpp_uri_gives_key_and_hash),
        cmocka_unit_test(esp_json_gives_the_pop),
        cmocka_unit_test(broken_labels_are_refused),
        cmocka_unit_test(cut_labels_are_refused),
    };

    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
