#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/profile.h"
#include "host/profile_pos.h"

#define HEAD "company: ACME\nproduct: Sensor\nserial: {pattern: \"S{counter:6}\"}\n"

static struct stamp_profile *load(const char *text)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_profile *p = NULL;

    if (stamp_profile_parse(text, strlen(text), "p.yaml", &p, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    return p;
}

static void smallest_profile_has_the_defaults(void **state)
{
    struct stamp_profile *p = load(HEAD);

    (void)state;
    assert_string_equal(p->company, "ACME");
    assert_string_equal(p->product, "Sensor");
    assert_null(p->model);
    assert_null(p->hardware_revision);
    assert_string_equal(p->serial_text, "S{counter:6}");
    assert_int_equal(p->serial.len, 7);
    assert_int_equal(p->certificate.validity_days, 0);
    assert_int_equal(p->certificate.pen, 0);
    assert_string_equal(p->certificate.organization, "ACME");
    assert_string_equal(p->certificate.common_name, "{serial}");
    assert_null(p->certificate.organizational_unit);
    assert_null(p->certificate.country);
    assert_null(p->certificate.hardware_type_oid);
    assert_string_equal(p->pop.alphabet, STAMP_ALPHABET_DEFAULT);
    assert_int_equal(p->pop.length, 12);
    assert_int_equal(p->provisioning, STAMP_PROFILE_KEY_DEVICE);
    assert_null(p->peer_key_file);
    assert_int_equal(p->partition.offset, 0);
    assert_int_equal(p->partition.birth_size, 8192);
    assert_int_equal(p->partition.bank_size, 4096);
    assert_int_equal(p->partition.erase_size, 4096);
    assert_int_equal(p->partition.program_size, 4);
    assert_int_equal(p->partition.erased_value, 0xFF);
    assert_int_equal(p->n_barcodes, 3);
    assert_string_equal(p->barcodes[0].name, "serial");
    assert_int_equal(p->barcodes[0].symbology, STAMP_DATA_MATRIX);
    assert_int_equal(p->barcodes[1].form, STAMP_FORM_DPP);
    assert_int_equal(p->barcodes[2].form, STAMP_FORM_CLAIM);
    assert_true(stamp_barcode_secret(&p->barcodes[2]));
    assert_int_equal(p->n_fields, 0);
    stamp_profile_free(&p);
    assert_null(p);
    stamp_profile_free(&p);
}

static const char full_profile[] =
    "company: \"M\xC3\xBCller\"\n"
    "product: 0815\n"
    "model: M1\n"
    "hardware_revision: 1.0\n"
    "serial:\n"
    "  pattern: '{yy}{random:10}{luhn}'\n"
    "  alphabet: abcdefgh0123456789\n"
    "certificate:\n"
    "  validity_days: 3650\n"
    "  pen: 33445\n"
    "  hardware_type_oid: 1.3.6.1.4.1.99999.1\n"
    "  subject:\n"
    "    organization: Muller GmbH\n"
    "    organizational_unit: Sensors\n"
    "    common_name: \"{product}-{serial}\"\n"
    "    country: DE\n"
    "proof_of_possession: {alphabet: \"0123456789\", length: 10}\n"
    "provisioning_key: {kind: peer, public_key_file: peer.pem}\n"
    "partition:\n"
    "  offset: 0x80000\n"
    "  birth_size: 512 KiB\n"
    "  bank_size: 1MiB\n"
    "  erase_size: 256KiB\n"
    "  program_size: 32\n"
    "  erased_value: 0x00\n"
    "barcodes:\n"
    "  - {name: a, symbology: code128, payload: \"{serial}\"}\n"
    "  - name: b\n"
    "    symbology: qr\n"
    "    payload: esp\n"
    "    esp: {name: \"P_{serial}\", transport: softap, security: 1, password: "
    "\"{pop}\", "
    "network: wifi}\n"
    "  - {name: c, symbology: datamatrix, payload: dpp, info: \"SN={serial}\"}\n"
    "fields:\n"
    "  site: Lyon\n"
    "  batch: 007\n"
    "  line: -12\n"
    "  big: 4294967295\n"
    "  small: -4294967296\n"
    "  good: true\n"
    "  bad: false\n"
    "  quoted: \"42\"\n"
    "  version: 1.2.3\n"
    "  empty: ''\n";

static void assert_full_values(const struct stamp_profile *p)
{
    assert_string_equal(p->company, "M\xC3\xBCller");
    assert_string_equal(p->product, "0815");
    assert_string_equal(p->hardware_revision, "1.0");
    assert_string_equal(p->serial.alphabet, "abcdefgh0123456789");
    assert_int_equal(p->certificate.validity_days, 3650);
    assert_int_equal(p->certificate.pen, 33445);
    assert_string_equal(p->certificate.hardware_type_oid, "1.3.6.1.4.1.99999.1");
    assert_string_equal(p->certificate.organization, "Muller GmbH");
    assert_string_equal(p->certificate.country, "DE");
    assert_int_equal(p->pop.length, 10);
    assert_int_equal(p->provisioning, STAMP_PROFILE_KEY_PEER);
    assert_string_equal(p->peer_key_file, "peer.pem");
    assert_int_equal(p->partition.offset, 0x80000);
    assert_int_equal(p->partition.birth_size, 512 * 1024);
    assert_int_equal(p->partition.bank_size, 1024 * 1024);
    assert_int_equal(p->partition.program_size, 32);
    assert_int_equal(p->partition.erased_value, 0);
    assert_int_equal(p->n_barcodes, 3);
    assert_int_equal(p->barcodes[0].form, STAMP_FORM_TEXT);
    assert_int_equal(p->barcodes[1].esp.security, 1);
    assert_string_equal(p->barcodes[1].esp.password, "{pop}");
    assert_string_equal(p->barcodes[2].text, "SN={serial}");
}

static void assert_full_fields(const struct stamp_profile *p)
{
    static const struct {
        const char *name;
        enum stamp_field_type type;
        const char *text;
        int64_t number;
    } want[] = {
        {"site", STAMP_FIELD_TEXT, "Lyon", 0},
        {"batch", STAMP_FIELD_TEXT, "007", 0},
        {"line", STAMP_FIELD_INT, "-12", -12},
        {"big", STAMP_FIELD_INT, "4294967295", 4294967295},
        {"small", STAMP_FIELD_INT, "-4294967296", -4294967296},
        {"good", STAMP_FIELD_BOOL, "true", 1},
        {"bad", STAMP_FIELD_BOOL, "false", 0},
        {"quoted", STAMP_FIELD_TEXT, "42", 0},
        {"version", STAMP_FIELD_TEXT, "1.2.3", 0},
        {"empty", STAMP_FIELD_TEXT, "", 0},
    };

    assert_int_equal(p->n_fields, sizeof want / sizeof *want);
    for (size_t i = 0; i < p->n_fields; i++) {
        assert_string_equal(p->fields[i].name, want[i].name);
        assert_int_equal(p->fields[i].type, want[i].type);
        assert_string_equal(p->fields[i].text, want[i].text);
        assert_true(p->fields[i].number == want[i].number);
        assert_string_equal(p->field_texts[i].text, want[i].text);
    }
}

static void full_profile_is_read(void **state)
{
    struct stamp_profile *p = load(full_profile);

    (void)state;
    assert_full_values(p);
    assert_full_fields(p);
    stamp_profile_free(&p);
}

static void numbers_are_decimal_or_hexadecimal(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},
                {"42", 42},
                {"0x0", 0},
                {"0xff", 255},
                {"0xFfA0", 65440},
                {"18446744073709551615", UINT64_MAX},
                {"0xFFFFFFFFFFFFFFFF", UINT64_MAX}};
    static const char *const bad[] = {"",
                                      "00",
                                      "01",
                                      "0x",
                                      "0xg",
                                      "0xG",
                                      "1a",
                                      "1A",
                                      "+1",
                                      "-1",
                                      "1 ",
                                      "0X1",
                                      "x1",
                                      "18446744073709551616",
                                      "0x10000000000000000"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t value = 1;

        assert_true(stampi_number(good[i].text, &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t value;

        assert_false(stampi_number(bad[i], &value));
    }
}

static void peer_key_lies_beside_the_profile(void **state)
{
    static const char text[] =
        HEAD "provisioning_key: {kind: peer, public_key_file: keys/peer.pem}\n";
    struct stamp_profile *p = NULL;

    (void)state;
    assert_int_equal(stamp_profile_parse(text, sizeof text - 1, "/a/b/p.yaml", &p, NULL),
                     STAMP_OK);
    assert_string_equal(p->peer_key_file, "/a/b/keys/peer.pem");
    stamp_profile_free(&p);
}

struct mistake {
    const char *text;
    const char *want; /* behind "p.yaml:" */
};

static void assert_mistakes(const struct mistake *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_profile *p = NULL;
        char want[300];

        (void)snprintf(want, sizeof want, "p.yaml:%s", m[i].want);
        assert_int_equal(
            stamp_profile_parse(m[i].text, strlen(m[i].text), "p.yaml", &p, &err),
            STAMP_E_CONFIG);
        assert_string_equal(err.what, want);
        assert_null(p);
    }
}

#define ASSERT_MISTAKES(m) assert_mistakes(m, sizeof(m) / sizeof *(m))

static void what_is_not_yaml_is_refused_with_its_place(void **state)
{
    static const struct mistake m[] = {
        {"", "1:1: the profile is empty"},
        {"# nothing\n", "1:1: the profile is empty"},
        {"company: [a\n", "2:1: not YAML: did not find expected ',' or ']'"},
        {"company: A\n  product: B\n",
         "2:10: not YAML: mapping values are not allowed in this context"},
        {"company: A\nproduct: \"B\n", "3:1: not YAML: found unexpected end of stream"},
        {"company: A\nproduct: B\xFF\n", "2:11: not YAML: invalid leading UTF-8 octet"},
        {"company: A\nproduct: \xC3\xA4\x01\n",
         "2:11: not YAML: control characters are not allowed"},
        {"company: A\n\tproduct: B\n",
         "2:1: not YAML: found a tab character that violates indentation"},
        {"company: &x A\nproduct: *x\n", "2:10: aliases are not used in a profile"},
        {"a: &x [*x]\n", "1:8: aliases are not used in a profile"},
        {"company: !!int A\n", "1:10: tags are not used in a profile"},
        {HEAD "---\ncompany: B\n", "4:1: a second document begins in the file"},
        {"[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]", "1:17: nested too deep"},
    };

    (void)state;
    ASSERT_MISTAKES(m);
}

static const struct mistake wrong_keys[] = {
    {"- a\n", "1:1: 'the profile' must be a map, not a list"},
    {"hello\n", "1:1: 'the profile' must be a map, not a single value"},
    {"~\n", "1:1: 'the profile' has no value"},
    {HEAD "colour: red\n", "4:1: unknown key 'colour'"},
    {HEAD "Company: A\n", "4:1: unknown key 'Company'"},
    {HEAD "\"a\\eb\\0c\": A\n", "4:1: unknown key 'a?b'"},
    {HEAD "<<: {company: B}\n", "4:1: unknown key '<<'"},
    {HEAD "0123456789012345678901234567890123456789x: A\n",
     "4:1: unknown key '0123456789012345678901234567890123456789...'"},
    {HEAD "company: B\n", "4:1: 'company' is here twice, first in line 1"},
    {HEAD "? [a]\n: b\n", "4:3: a key must be a word"},
    {"product: B\nserial: {pattern: \"S{counter:6}\"}\n", "1:1: 'company' is missing"},
    {"company: A\nproduct: B\n", "1:1: 'serial' is missing"},
    {"company: A\nproduct: B\nserial: {}\n", "3:9: 'pattern' is missing"},
    {"company: A\nproduct: B\nserial: S\n",
     "3:9: 'serial' must be a map, not a single value"},
    {"company: [A]\n", "1:10: 'company' must be text, not a list"},
    {"company:\nproduct: B\n", "1:9: 'company' has no value"},
    {"company: null\n", "1:10: 'company' has no value"},
    {"company: ''\n", "1:10: 'company' is empty"},
    {"company: \"A\\nB\"\n", "1:10: 'company' has a control character"},
    {"company: \"A\\0B\"\n", "1:10: 'company' has a control character"},
    {"company: 12345678901234567890123456789012345678901234567890123456789012345\n",
     "1:10: 'company' is longer than 64 bytes"},
    {HEAD "hardware_revision: 123456789012345678901234567890123\n",
     "4:20: 'hardware_revision' is longer than 32 bytes"},
    {HEAD "certificate:\n", "4:13: 'certificate' has no value"},
    {HEAD "certificate: {pen: x}\n", "4:20: 'pen' must be a number, not 'x'"},
    {HEAD "certificate: {pen: '1'}\n", "4:20: 'pen' must be a number, not '1'"},
    {HEAD "certificate: {pen: 010}\n", "4:20: 'pen' must be a number, not '010'"},
    {HEAD "certificate: {pen: -1}\n", "4:20: 'pen' must be a number, not '-1'"},
    {HEAD "certificate: {pen: 1.5}\n", "4:20: 'pen' must be a number, not '1.5'"},
    {HEAD "certificate: {pen: 4294967296}\n", "4:20: 'pen' must be at most 4294967295"},
    {HEAD "certificate: {pen: 99999999999999999999999}\n",
     "4:20: 'pen' must be a number, not '99999999999999999999999'"},
    {HEAD "certificate:\n  subject:\n    county: FR\n", "6:5: unknown key 'county'"},
    {HEAD "provisioning_key: {kind: yes}\n",
     "4:26: 'kind' must be one of device, peer, none; 'yes' is not"},
    {HEAD "provisioning_key: {kind: 1}\n",
     "4:26: 'kind' must be one of device, peer, none; '1' is not"},
    {HEAD "barcodes: {}\n", "4:11: 'barcodes' must be a list, not a map"},
    {HEAD "barcodes:\n  - a\n", "5:5: 'barcodes' must be a map, not a single value"},
    {HEAD "barcodes:\n  - {name: a, symbology: aztec, payload: serial}\n",
     "5:26: 'symbology' must be one of qr, datamatrix, code128; 'aztec' is not"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr}\n", "5:5: 'payload' is missing"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: serial, extra: 1}\n",
     "5:47: unknown key 'extra'"},
    {HEAD "fields: [a]\n", "4:9: 'fields' must be a map, not a list"},
};

static void wrong_keys_and_types_are_refused_with_their_place(void **state)
{

    (void)state;
    ASSERT_MISTAKES(wrong_keys);
}

static const struct mistake impossible_values[] = {
    {"company: A\nproduct: B\nserial:\n  pattern: SN\n",
     "4:12: serials of this pattern would not be unique: it has no {counter:N}, and "
     "0 "
     "random bits of at least 40"},
    {"company: A\nproduct: B\nserial:\n  pattern: \"S{counter:3}{colour}\"\n",
     "4:12: '{colour}' is not an element of a serial pattern"},
    {"company: A\nproduct: B\nserial:\n  pattern: \"{counter:3}\"\n  alphabet: AA\n",
     "5:13: the serial's alphabet has 'A' twice"},
    {HEAD "certificate: {validity_days: 36501}\n",
     "4:30: 'validity_days' must be at most 36500; 0 is for ever"},
    {HEAD "certificate: {pen: 2147483648}\n", "4:20: 'pen' must be at most 2147483647"},
    {HEAD "certificate: {hardware_type_oid: 1.40.1}\n",
     "4:34: 'hardware_type_oid' must be an object identifier, as "
     "1.3.6.1.4.1.99999.1"},
    {HEAD "certificate: {hardware_type_oid: 3.1.1}\n",
     "4:34: 'hardware_type_oid' must be an object identifier, as "
     "1.3.6.1.4.1.99999.1"},
    {HEAD "certificate: {hardware_type_oid: 1.3.2147483648}\n",
     "4:34: 'hardware_type_oid' must be an object identifier, as "
     "1.3.6.1.4.1.99999.1"},
    {HEAD "certificate: {hardware_type_oid: 1.3.}\n",
     "4:34: 'hardware_type_oid' must be an object identifier, as "
     "1.3.6.1.4.1.99999.1"},
    {HEAD "certificate: {subject: {country: fr}}\n",
     "4:34: 'country' must be two capital letters"},
    {HEAD "certificate: {subject: {country: FRA}}\n",
     "4:34: 'country' is longer than 2 bytes"},
    {HEAD "certificate: {subject: {common_name: \"{pop}\"}}\n",
     "4:38: common_name: '{pop}' is not a variable here"},
    {HEAD "certificate: {subject: {common_name: \"{model}\"}}\n",
     "4:38: common_name: {model} is asked for, and there is none"},
    {HEAD "certificate: {subject: {common_name: "
          "\"{serial}{serial}{serial}{serial}{serial}{serial}{serial}{serial}{serial}"
          "xx\"}}\n",
     "4:38: common_name: it becomes longer than 64 bytes"},
    {HEAD "proof_of_possession: {length: 3}\n", "4:31: 'length' must be 4 to 64"},
    {HEAD "proof_of_possession: {length: 65}\n", "4:31: 'length' must be 4 to 64"},
    {HEAD "proof_of_possession: {length: 6}\n",
     "4:22: 6 of 32 characters can be guessed: 30 bits, and at least 32 are wanted"},
    {HEAD "proof_of_possession: {alphabet: \"0123456789\", length: 9}\n",
     "4:22: 9 of 10 characters can be guessed: 29 bits, and at least 32 are wanted"},
    {HEAD "proof_of_possession: {alphabet: ABA}\n", "4:33: 'alphabet' has 'A' twice"},
    {HEAD "proof_of_possession: {alphabet: A B}\n",
     "4:33: 'alphabet' may hold printable ASCII without the space only"},
    {HEAD "proof_of_possession: {alphabet: \"A\xC3\xA4\"}\n",
     "4:33: 'alphabet' may hold printable ASCII without the space only"},
    {HEAD "proof_of_possession: {alphabet: \"ABCDEFGHIJKLM;\"}\n",
     "4:33: {pop} has a character that a barcode of this form cannot carry: a ';', "
     "or "
     "one "
     "outside ASCII"},
    {HEAD "provisioning_key: {kind: peer}\n",
     "4:19: 'public_key_file' is missing: kind peer needs it"},
    {HEAD "provisioning_key: {kind: device, public_key_file: a.pem}\n",
     "4:51: 'public_key_file' is for kind peer only"},
    {HEAD "partition: {program_size: 3}\n",
     "4:27: 'program_size' must be 1, 2, 4, 8, 16, 32 or 64"},
    {HEAD "partition: {program_size: 128}\n",
     "4:27: 'program_size' must be 1, 2, 4, 8, 16, 32 or 64"},
    {HEAD "partition: {erased_value: 1}\n", "4:27: 'erased_value' must be 0x00 or 0xFF"},
    {HEAD "partition: {erase_size: 3000}\n",
     "4:25: 'erase_size' must be a power of two, 512 or more"},
    {HEAD "partition: {erase_size: 256}\n",
     "4:25: 'erase_size' must be a power of two, 512 or more"},
    {HEAD "partition: {erase_size: 0}\n",
     "4:25: 'erase_size' must be a power of two, 512 or more"},
    {HEAD "partition: {erase_size: 4KB}\n",
     "4:25: 'erase_size' must be a size, as 4096, 0x1000, 4KiB or 1MiB; '4KB' is "
     "not"},
    {HEAD "partition: {erase_size: 4 MiBs}\n",
     "4:25: 'erase_size' must be a size, as 4096, 0x1000, 4KiB or 1MiB; '4 MiBs' is "
     "not"},
    {HEAD "partition: {erase_size: KiB}\n",
     "4:25: 'erase_size' must be a size, as 4096, 0x1000, 4KiB or 1MiB; 'KiB' is "
     "not"},
    {HEAD "partition: {erase_size: 4096MiB}\n",
     "4:25: 'erase_size' must be a size, as 4096, 0x1000, 4KiB or 1MiB; '4096MiB' is "
     "not"},
    {HEAD "partition: {birth_size: 5KiB}\n",
     "4:25: 'birth_size' must be whole sectors of 4096 bytes"},
    {HEAD "partition: {bank_size: 0}\n",
     "4:24: 'bank_size' must be whole sectors of 4096 bytes"},
    {HEAD "partition: {offset: 1}\n",
     "4:21: 'offset' must be at the start of a sector of 4096 bytes"},
    {HEAD "partition: {offset: 4095MiB, bank_size: 1MiB}\n",
     "4:12: the partition ends beyond 4 GiB"},
};

static void impossible_values_are_refused_with_their_place(void **state)
{

    (void)state;
    ASSERT_MISTAKES(impossible_values);
}

static const struct mistake wrong_barcodes[] = {
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: \"{colour}\"}\n",
     "5:39: '{colour}' is not a variable here"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: \"{model}\"}\n",
     "5:39: {model} is asked for, and there is none"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: \"{field.x}\"}\n",
     "5:39: {field.x} is asked for, and there is no field 'x'"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: \"{serial\"}\n",
     "5:39: a '{' is not closed"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: serial}\n"
          "  - {name: a, symbology: qr, payload: dpp}\n",
     "6:12: another barcode has this name"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: serial, info: x}\n",
     "5:53: 'info' is for payload dpp only"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: dpp, info: \"a;b\"}\n",
     "5:39: {info} has a character that a barcode of this form cannot carry: a ';', "
     "or one "
     "outside ASCII"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: dpp, esp: {}}\n",
     "5:49: 'esp' is for payload esp only"},
    {HEAD
     "barcodes:\n  - {name: a, symbology: qr, payload: esp, esp: {transport: nfc}}\n",
     "5:61: 'transport' must be ble or softap"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: esp, esp: {security: 3}}\n",
     "5:60: 'security' must be 0, 1 or 2"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: esp, esp: {password: x}}\n",
     "5:60: 'password' is for transport softap only"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: esp, esp: {security: 1, "
          "username: x}}\n",
     "5:73: 'username' is for security 2 only"},
    {HEAD "barcodes:\n  - {name: a, symbology: qr, payload: esp, esp: {network: lan}}\n",
     "5:59: 'network' must be wifi or thread"},
    {HEAD "barcodes:\n  - {name: a, symbology: code128, payload: \"\xC3\xA4\"}\n",
     "5:44: code128 carries printable ASCII only"},
    {HEAD "barcodes:\n  - {name: a, symbology: code128, payload: dpp}\n",
     "5:44: this payload is too long for code128 on a label: use qr or datamatrix"},
    {HEAD "provisioning_key: {kind: none}\nbarcodes:\n"
          "  - {name: a, symbology: qr, payload: \"{key_hash}\"}\n",
     "6:39: this payload needs the provisioning key, and its kind is none"},
    {HEAD "barcodes:\n"
          "  - {name: a, symbology: qr, payload: serial}\n"
          "  - {name: b, symbology: qr, payload: serial}\n"
          "  - {name: c, symbology: qr, payload: serial}\n"
          "  - {name: d, symbology: qr, payload: serial}\n"
          "  - {name: e, symbology: qr, payload: serial}\n"
          "  - {name: f, symbology: qr, payload: serial}\n"
          "  - {name: g, symbology: qr, payload: serial}\n"
          "  - {name: h, symbology: qr, payload: serial}\n"
          "  - {name: i, symbology: qr, payload: serial}\n",
     "5:3: 'barcodes' has more than 8 entries"},
    {HEAD "fields:\n  a b: 1\n",
     "5:3: a field's name is 1 to 32 letters, digits, '_', '-' or '.'; 'a b' is not"},
    {HEAD "fields:\n  '': 1\n",
     "5:3: a field's name is 1 to 32 letters, digits, '_', '-' or '.'; '' is not"},
    {HEAD "fields:\n  a:\n", "5:5: 'a' has no value"},
    {HEAD "fields:\n  a: ~\n", "5:6: 'a' is not plain text, a whole number, true or "
                               "false: put '~' in quotes if text "
                               "is meant"},
    {HEAD "fields:\n  a: 1.5\n", "5:6: 'a' is not plain text, a whole number, true "
                                 "or false: put '1.5' in quotes if "
                                 "text is meant"},
    {HEAD "fields:\n  a: 0x10\n", "5:6: 'a' is not plain text, a whole number, true "
                                  "or false: put '0x10' in quotes if "
                                  "text is meant"},
    {HEAD "fields:\n  a: 2026-01-02\n",
     "5:6: 'a' is not plain text, a whole number, true or false: put '2026-01-02' in "
     "quotes if text is meant"},
    {HEAD "fields:\n  a: no\n", "5:6: 'a' is not plain text, a whole number, true or "
                                "false: put 'no' in quotes if "
                                "text is meant"},
    {HEAD "fields:\n  a: 4294967296\n",
     "5:6: 'a' must be at most 4294967295, or text in quotes"},
    {HEAD "fields:\n  a: [1]\n", "5:6: 'a' must be text, a whole number, true or false"},
    {HEAD "fields:\n  a: 1\n  a: 2\n", "6:3: 'a' is here twice, first in line 5"},
    {HEAD "fields:\n  a: \"x\\ty\"\n", "5:6: 'a' has a control character"},
    {HEAD "fields: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: "
          "1, m: 1, n: 1, o: 1, p: 1, q: 1}\n",
     "4:106: there are more than 16 fields"},
};

static void wrong_barcodes_and_fields_are_refused_with_their_place(void **state)
{

    (void)state;
    ASSERT_MISTAKES(wrong_barcodes);
}

static void unknown_key_names_the_known_ones(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_profile *p = NULL;
    static const char text[] = HEAD "proof_of_possession: {len: 4}\n";

    (void)state;
    assert_int_equal(stamp_profile_parse(text, sizeof text - 1, "p.yaml", &p, &err),
                     STAMP_E_CONFIG);
    assert_string_equal(err.what, "p.yaml:4:23: unknown key 'len'");
    assert_string_equal(err.hint, "one of the keys known here: alphabet, length, escrow");
}

static void production_refuses_values_from_manuals(void **state)
{
    static const char *const refused[] = {
        HEAD "barcodes:\n  - {name: a, symbology: qr, payload: \"pop=abcd1234\"}\n",
        HEAD
        "barcodes:\n  - {name: a, symbology: qr, payload: \"MT:Y.K9042C00KA0648G00\"}\n",
        HEAD
        "barcodes:\n  - {name: a, symbology: qr, payload: dpp, info: \"20202021\"}\n",
        HEAD "fields: {passcode: 20202021}\n",
        HEAD "fields: {passcode: \"abcd1234\"}\n",
        HEAD
        "barcodes:\n  - {name: a, symbology: qr, payload: esp, esp: {transport: softap, "
        "password: same}}\n",
    };
    static const char good[] = HEAD
        "barcodes:\n  - {name: a, symbology: qr, payload: esp, esp: {transport: softap, "
        "password: \"{pop}\"}}\n";
    struct stamp_profile *p;

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;

        p = load(refused[i]);
        assert_int_equal(stamp_profile_check_purpose(p, false, &err), STAMP_OK);
        assert_int_equal(stamp_profile_check_purpose(p, true, &err), STAMP_E_PURPOSE);
        assert_non_null(strstr(err.what, "not for production"));
        stamp_profile_free(&p);
    }
    p = load(good);
    assert_int_equal(stamp_profile_check_purpose(p, true, NULL), STAMP_OK);
    stamp_profile_free(&p);
}

static void drawn_pops_follow_the_profile(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_profile *p =
        load(HEAD "proof_of_possession: {alphabet: \"0123456789\", length: 10}\n");
    char last[11] = "";

    (void)state;
    for (int i = 0; i < 100; i++) {
        STAMP_SECRET_AUTO struct stamp_secret *pop = NULL;
        const char *text;
        size_t len;

        assert_int_equal(stamp_profile_draw_pop(p, &pop, &err), STAMP_OK);
        text = (const char *)stamp_secret_use(pop, &len);
        assert_int_equal(len, 10);
        assert_int_equal(strspn(text, "0123456789"), 10);
        assert_string_not_equal(text, last);
        (void)snprintf(last, sizeof last, "%s", text);
    }
    stamp_profile_free(&p);
}

static void default_profile_loads_back(void **state)
{
    static const struct {
        const char *company;
        const char *product;
    } names[] = {
        {"Example Company", "Example Product"},
        {"A \"B\" \\C\\", ": # - {x} 'y' @ &z *"},
        {"M\xC3\xBCller & S\xC3\xB6hne", "007"},
        {"null", "true"},
    };
    char dir[] = "/tmp/stamp-profile-XXXXXX";
    char path[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/" STAMP_PROFILE_FILE, dir);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_profile *p = NULL;

        assert_int_equal(
            stamp_profile_write_default(path, names[i].company, names[i].product, &err),
            STAMP_OK);
        assert_int_equal(stamp_profile_load(path, &p, &err), STAMP_OK);
        assert_string_equal(p->company, names[i].company);
        assert_string_equal(p->product, names[i].product);
        assert_int_equal(p->n_barcodes, 3);
        assert_int_equal(stamp_profile_check_purpose(p, true, &err), STAMP_OK);
        stamp_profile_free(&p);
        assert_int_equal(stamp_profile_write_default(path, "A", "B", &err),
                         STAMP_E_EXISTS);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

/* Each commented line of the default profile must be right when somebody takes the '#'
 * away. */
static void default_profile_says_what_is_true(void **state)
{
    char dir[] = "/tmp/stamp-profile-XXXXXX";
    char path[64];
    char text[8192];
    char open[8192];
    size_t at = 0;
    char *rest;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/x.yaml", dir);
    assert_int_equal(stamp_profile_write_default(path, "A", "B", NULL), STAMP_OK);
    f = fopen(path, "r");
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        size_t indent = strspn(line, " ");
        bool comment = line[indent] == '#' && line[indent + 1] == ' ';
        const char *key = comment ? line + indent + 2 : "";
        size_t len = strspn(key += strspn(key, " "), "abcdefghijklmnopqrstuvwxyz_");
        bool open_it = len > 0 && key[len] == ':' &&
                       strchr("\n ", key[len + 1]) != NULL &&
                       strstr(line, "of kind") == NULL;

        at += (size_t)snprintf(open + at, sizeof open - at, "%.*s%s\n", (int)indent, line,
                               line + indent + (open_it ? 2 : 0));
    }
    {
        struct stamp_profile *p = load(open);

        assert_string_equal(p->model, "M1");
        assert_string_equal(p->hardware_revision, "A2");
        assert_string_equal(p->certificate.country, "FR");
        assert_string_equal(p->certificate.hardware_type_oid, "1.3.6.1.4.1.99999.1");
        assert_int_equal(p->n_fields, 2);
        assert_string_equal(p->fields[1].text, "007");
        stamp_profile_free(&p);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void names_no_profile_can_hold_are_refused(void **state)
{
    static const char *const bad[] = {
        "", "a\nb", "\xFF",
        "12345678901234567890123456789012345678901234567890123456789012345"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;

        assert_int_equal(stamp_profile_write_default("/nowhere/x", bad[i], "B", &err),
                         STAMP_E_RANGE);
        stamp_error_clear(&err);
        assert_int_equal(stamp_profile_write_default("/nowhere/x", "A", bad[i], &err),
                         STAMP_E_RANGE);
    }
}

static void missing_and_huge_files_are_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_profile *p = NULL;

    (void)state;
    assert_int_equal(stamp_profile_load("/nowhere/p.yaml", &p, &err), STAMP_E_IO);
    assert_string_equal(err.what,
                        "cannot read '/nowhere/p.yaml': No such file or directory");
    stamp_error_clear(&err);
    assert_int_equal(stamp_profile_load("/dev/zero", &p, &err), STAMP_E_SPACE);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_profile_has_the_defaults),
        cmocka_unit_test(full_profile_is_read),
        cmocka_unit_test(numbers_are_decimal_or_hexadecimal),
        cmocka_unit_test(peer_key_lies_beside_the_profile),
        cmocka_unit_test(what_is_not_yaml_is_refused_with_its_place),
        cmocka_unit_test(wrong_keys_and_types_are_refused_with_their_place),
        cmocka_unit_test(impossible_values_are_refused_with_their_place),
        cmocka_unit_test(wrong_barcodes_and_fields_are_refused_with_their_place),
        cmocka_unit_test(unknown_key_names_the_known_ones),
        cmocka_unit_test(production_refuses_values_from_manuals),
        cmocka_unit_test(drawn_pops_follow_the_profile),
        cmocka_unit_test(default_profile_loads_back),
        cmocka_unit_test(default_profile_says_what_is_true),
        cmocka_unit_test(names_no_profile_can_hold_are_refused),
        cmocka_unit_test(missing_and_huge_files_are_refused),
    };

    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
