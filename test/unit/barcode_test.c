#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "host/barcode.h"
#include "host/scan.h"

#define KEY                                                                              \
    "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACZ4DF/HAnXixwYaDnh3uxdN6t65iHAn8/qDZUFYun9Qw="
#define HASH "18ab269044cda02280cc60bae0b94a6272d066fae4975fe303622cc4e551cd4d"

/* Private key 42 on P-256: computed with another library. */
static const uint8_t point[65] = {
    0x04, 0x67, 0x80, 0xc5, 0xfc, 0x70, 0x27, 0x5e, 0x2c, 0x70, 0x61, 0xa0, 0xe7,
    0x87, 0x7b, 0xb1, 0x74, 0xde, 0xad, 0xeb, 0x98, 0x87, 0x02, 0x7f, 0x3f, 0xa8,
    0x36, 0x54, 0x15, 0x8b, 0xa7, 0xf5, 0x0c, 0x3c, 0xba, 0x8c, 0x34, 0xbc, 0x35,
    0xd2, 0x0e, 0x81, 0xf7, 0x30, 0xac, 0x1c, 0x7b, 0xd6, 0xd6, 0x61, 0xa9, 0x42,
    0xf9, 0x0c, 0x6a, 0x9c, 0xa5, 0x5c, 0x51, 0x2f, 0x9e, 0x4a, 0x00, 0x12, 0x66};

static const struct stamp_barcode_field fields[] = {{"site", "Lyon {1}"},
                                                    {"batch", "007"}};

static struct stamp_secret *pop;
static struct stamp_barcode_vars vars;

static int set_vars(void **state)
{
    (void)state;
    vars = (struct stamp_barcode_vars){
        "00042", "ACME \"Tools\"", "Sensor; large", "M1", NULL, NULL, point, fields, 2};
    if (stamp_secret_new(&pop, "K7\"P\\Q2", 7, NULL) != STAMP_OK) {
        return -1;
    }
    vars.pop = pop;
    return 0;
}

static int free_vars(void **state)
{
    (void)state;
    stamp_secret_free(&pop);
    return 0;
}

static struct stamp_barcode_template text_of(const char *text)
{
    return (struct stamp_barcode_template){
        .name = "x", .form = STAMP_FORM_TEXT, .text = text};
}

static void assert_payload(const struct stamp_barcode_template *t, const char *want,
                           bool secret)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    STAMP_SECRET_AUTO struct stamp_secret *out = NULL;
    bool is_secret = !secret;
    size_t len;

    assert_int_equal(stamp_barcode_payload(t, &vars, &out, &is_secret, &err), STAMP_OK);
    assert_string_equal((const char *)stamp_secret_use(out, &len), want);
    assert_int_equal(len, strlen(want));
    assert_int_equal(is_secret, secret);
    assert_int_equal(stamp_barcode_secret(t), secret);
}

static void text_templates_are_filled(void **state)
{
    static const struct {
        const char *text;
        const char *want;
        bool secret;
    } cases[] = {
        {"{serial}", "00042", false},
        {"a{{b}}c", "a{b}c", false},
        {"{company}/{product}/{model}", "ACME \"Tools\"/Sensor; large/M1", false},
        {"{field.site}-{field.batch}", "Lyon {1}-007", false},
        {"k={dpp_key}", "k=" KEY, false},
        {"h={key_hash}", "h=" HASH, false},
        {"p={pop}", "p=K7\"P\\Q2", true},
        {"x{{pop}}", "x{pop}", false},
        {"{{{{pop}}}}", "{{pop}}", false},
        {"{{{serial}}}", "{00042}", false},
        {"{{\"s\":\"{pop}\",\"c\":\"{company}\"}}",
         "{\"s\":\"K7\\\"P\\\\Q2\",\"c\":\"ACME \\\"Tools\\\"\"}", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stamp_barcode_template t = text_of(cases[i].text);

        assert_payload(&t, cases[i].want, cases[i].secret);
    }
}

static void forms_are_filled(void **state)
{
    struct stamp_barcode_template t = {.name = "x", .form = STAMP_FORM_SERIAL};

    (void)state;
    assert_payload(&t, "00042", false);
    assert_false(stamp_barcode_uses_key(&t));
    t.form = STAMP_FORM_DPP;
    assert_payload(&t, "DPP:K:" KEY ";;", false);
    assert_true(stamp_barcode_uses_key(&t));
    assert_false(stamp_barcode_uses_pop(&t));
    t.text = "SN={serial} {model}";
    assert_payload(&t, "DPP:I:SN=00042 M1;K:" KEY ";;", false);
    t.form = STAMP_FORM_CLAIM;
    t.text = NULL;
    assert_payload(&t, "STAMP:S:00042;H:" HASH ";P:K7\"P\\Q2;;", true);
    assert_true(stamp_barcode_uses_pop(&t));
}

static void esp_form_is_what_the_apps_read(void **state)
{
    struct stamp_barcode_template t = {
        .name = "x",
        .form = STAMP_FORM_ESP,
        .esp = {"PROV_{serial}", "ble", "wifiprov", NULL, NULL, 2}};

    (void)state;
    assert_payload(&t,
                   "{\"ver\":\"v1\",\"name\":\"PROV_00042\",\"username\":\"wifiprov\","
                   "\"pop\":\"K7\\\"P\\\\Q2\",\"transport\":\"ble\",\"security\":2}",
                   true);
    t.esp.security = 1;
    t.esp.network = "thread";
    assert_payload(&t,
                   "{\"ver\":\"v1\",\"name\":\"PROV_00042\",\"pop\":\"K7\\\"P\\\\Q2\","
                   "\"transport\":\"ble\",\"security\":1,\"network\":\"thread\"}",
                   true);
    t.esp.security = 0;
    t.esp.network = NULL;
    t.esp.name = "{company}";
    t.esp.transport = "softap";
    assert_payload(
        &t,
        "{\"ver\":\"v1\",\"name\":\"ACME \\\"Tools\\\"\",\"transport\":\"softap\","
        "\"security\":0}",
        false);
    t.esp.password = "open\x01sesame";
    assert_payload(
        &t,
        "{\"ver\":\"v1\",\"name\":\"ACME \\\"Tools\\\"\",\"transport\":\"softap\","
        "\"security\":0,\"password\":\"open\\u0001sesame\"}",
        true);
}

static void payloads_are_read_back(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_barcode_template t = {
        .name = "x",
        .form = STAMP_FORM_ESP,
        .esp = {"P\xC3\xA4\tV", "ble", "wifiprov", NULL, NULL, 2}};
    STAMP_SECRET_AUTO struct stamp_secret *out = NULL;
    struct stamp_scan s;
    json_t *root;
    bool secret;

    (void)state;
    assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err), STAMP_OK);
    root = json_loads((const char *)stamp_secret_use(out, NULL), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "name")), t.esp.name);
    assert_string_equal(json_string_value(json_object_get(root, "pop")), "K7\"P\\Q2");
    assert_int_equal(json_integer_value(json_object_get(root, "security")), 2);
    json_decref(root);
    stamp_secret_free(&out);
    t.form = STAMP_FORM_CLAIM;
    assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err), STAMP_OK);
    assert_int_equal(stamp_scan_parse((const char *)stamp_secret_use(out, NULL),
                                      strlen((const char *)stamp_secret_use(out, NULL)),
                                      &s, &err),
                     STAMP_OK);
    assert_true(stamp_secret_equal(s.pop, pop));
    assert_string_equal(s.serial, "00042");
    stamp_scan_fini(&s);
}

static void wrong_templates_are_refused(void **state)
{
    static const struct {
        const char *text;
        enum stamp_err code;
        const char *want;
    } cases[] = {
        {"", STAMP_E_CONFIG, "the barcode is empty"},
        {"{serial", STAMP_E_CONFIG, "a '{' is not closed"},
        {"{ser{ial}", STAMP_E_CONFIG, "a '{' is not closed"},
        {"serial}", STAMP_E_CONFIG, "a '}' closes nothing"},
        {"{}", STAMP_E_CONFIG, "'{}' is not a variable here"},
        {"{Serial}", STAMP_E_CONFIG, "'{Serial}' is not a variable here"},
        {"{hardware_revision}", STAMP_E_MISSING,
         "{hardware_revision} is asked for, and there is none"},
        {"{field.nothing}", STAMP_E_MISSING,
         "{field.nothing} is asked for, and there is no field 'nothing'"},
        {"DPP:I:{product};K:{dpp_key};;", STAMP_E_RANGE,
         "{product} has a character that a barcode of this form cannot carry: a ';', or "
         "one "
         "outside ASCII"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_barcode_template t = text_of(cases[i].text);
        struct stamp_secret *out = NULL;
        bool secret;

        assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err),
                         cases[i].code);
        assert_string_equal(err.what, cases[i].want);
        assert_null(out);
    }
}

static void forms_refuse_what_they_cannot_carry(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_barcode_template t = {.name = "x", .form = STAMP_FORM_CLAIM};
    STAMP_SECRET_AUTO struct stamp_secret *semicolon = NULL;
    struct stamp_secret *out = NULL;
    bool secret;

    (void)state;
    assert_int_equal(stamp_secret_new(&semicolon, "AB;CD", 5, &err), STAMP_OK);
    vars.pop = semicolon;
    assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err),
                     STAMP_E_RANGE);
    assert_null(out);
    assert_null(strstr(err.what, "AB;CD"));
    vars.pop = NULL;
    stamp_error_clear(&err);
    assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err),
                     STAMP_E_MISSING);
    assert_string_equal(err.what, "{pop} is asked for, and there is none");
    vars.point = NULL;
    t.form = STAMP_FORM_DPP;
    stamp_error_clear(&err);
    assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err),
                     STAMP_E_MISSING);
    assert_string_equal(err.what, "{dpp_key} is asked for, and there is none");
    vars.point = point;
    t.text = "a;b";
    stamp_error_clear(&err);
    assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err),
                     STAMP_E_RANGE);
}

static void payload_is_at_most_512_bytes(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    char text[600];
    struct stamp_barcode_template t = text_of(text);
    STAMP_SECRET_AUTO struct stamp_secret *out = NULL;
    bool secret;

    (void)state;
    memset(text, 'x', 512);
    text[512] = '\0';
    assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err), STAMP_OK);
    stamp_secret_free(&out);
    memcpy(text + 508, "{serial}", 9);
    assert_int_equal(stamp_barcode_payload(&t, &vars, &out, &secret, &err),
                     STAMP_E_SPACE);
    assert_string_equal(err.what, "the text is longer than 512 bytes");
}

static void plain_template_refuses_the_pop(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    char out[11];

    (void)state;
    assert_int_equal(
        stamp_template_fill("{model}-{serial}", &vars, out, sizeof out, &err), STAMP_OK);
    assert_string_equal(out, "M1-00042");
    assert_int_equal(
        stamp_template_fill("{serial}{serial}1", &vars, out, sizeof out, &err),
        STAMP_E_SPACE);
    assert_string_equal(out, "");
    stamp_error_clear(&err);
    assert_int_equal(stamp_template_fill("{pop}", &vars, out, sizeof out, &err),
                     STAMP_E_CONFIG);
    assert_string_equal(err.what, "'{pop}' is not a variable here");
    assert_string_equal(out, "");
}

#define BARCODE_TEST(f) cmocka_unit_test_setup_teardown(f, set_vars, free_vars)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BARCODE_TEST(text_templates_are_filled),
        BARCODE_TEST(forms_are_filled),
        BARCODE_TEST(esp_form_is_what_the_apps_read),
        BARCODE_TEST(payloads_are_read_back),
        BARCODE_TEST(wrong_templates_are_refused),
        BARCODE_TEST(forms_refuse_what_they_cannot_carry),
        BARCODE_TEST(payload_is_at_most_512_bytes),
        BARCODE_TEST(plain_template_refuses_the_pop),
    };

    return cmocka_run_group_tests_name("barcode", tests, NULL, NULL);
}
