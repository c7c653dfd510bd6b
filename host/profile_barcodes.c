/* The profile's barcodes and user fields, checked so that no stamp can fail on them
 * later. */
#include <stdio.h>
#include <string.h>

#include "host/profile_yaml.h"

#define FIELD_NAME_MAX 32u
#define INT_LEAST (-INT64_C(0x100000000))
#define INT_MOST INT64_C(0xFFFFFFFF)

/* What code128 is sure to fit on a label: any characters, and digits, which go two in
 * one. */
#define CODE128_MAX 25u
#define CODE128_DIGITS_MAX 44u

static const struct stamp_barcode_template default_barcodes[] = {
    {.name = "serial", .symbology = STAMP_DATA_MATRIX, .form = STAMP_FORM_SERIAL},
    {.name = "dpp", .symbology = STAMP_QR, .form = STAMP_FORM_DPP},
    {.name = "claim", .symbology = STAMP_QR, .form = STAMP_FORM_CLAIM},
};

static enum stamp_err fail_in(struct stamp_profile *p, size_t i, const char *key,
                              struct stamp_error *err, const char *text)
{
    char path[64];

    (void)snprintf(path, sizeof path, "barcodes[%zu].%s", i, key);
    if (stampi_doc_find(&p->own->doc, "barcodes") == NULL) {
        /* The default ones: only the alphabet can be at odds with them. */
        (void)snprintf(path, sizeof path, "proof_of_possession.alphabet");
    }
    return stampi_doc_fail_at(&p->own->doc, path, err, "%s", text);
}

static bool one_of(const char *text, const char *a, const char *b)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

static enum stamp_err fill_esp(struct stamp_profile *p, size_t i,
                               const struct yaml_esp *y, struct stamp_barcode_esp *out,
                               struct stamp_error *err)
{
    static const struct yaml_esp nothing;

    y = y == NULL ? &nothing : y;
    out->name = y->name != NULL ? y->name : "PROV_{serial}";
    out->transport = y->transport != NULL ? y->transport : "ble";
    out->password = y->password;
    out->network = y->network;
    if (y->security != NULL && *y->security > 2) {
        return fail_in(p, i, "esp.security", err, "'security' must be 0, 1 or 2");
    }
    out->security = (uint8_t)(y->security != NULL ? *y->security : 2);
    if (out->security == 2) {
        out->username = y->username != NULL ? y->username : "wifiprov";
    } else if (y->username != NULL) {
        return fail_in(p, i, "esp.username", err, "'username' is for security 2 only");
    }
    if (!one_of(out->transport, "ble", "softap")) {
        return fail_in(p, i, "esp.transport", err, "'transport' must be ble or softap");
    }
    if (out->password != NULL && strcmp(out->transport, "softap") != 0) {
        return fail_in(p, i, "esp.password", err,
                       "'password' is for transport softap only");
    }
    if (out->network != NULL && !one_of(out->network, "wifi", "thread")) {
        return fail_in(p, i, "esp.network", err, "'network' must be wifi or thread");
    }
    return STAMP_OK;
}

static enum stamp_barcode_form form_of(const char *payload)
{
    if (strcmp(payload, "serial") == 0) {
        return STAMP_FORM_SERIAL;
    }
    if (strcmp(payload, "dpp") == 0) {
        return STAMP_FORM_DPP;
    }
    if (strcmp(payload, "claim") == 0) {
        return STAMP_FORM_CLAIM;
    }
    return strcmp(payload, "esp") == 0 ? STAMP_FORM_ESP : STAMP_FORM_TEXT;
}

static enum stamp_err fill_barcode(struct stamp_profile *p, size_t i,
                                   struct stamp_error *err)
{
    const struct yaml_barcode *y = &p->own->yaml->barcodes[i];
    struct stamp_barcode_template *t = &p->barcodes[i];

    t->name = y->name;
    t->symbology = y->symbology;
    t->form = form_of(y->payload);
    t->text = t->form == STAMP_FORM_TEXT ? y->payload : y->info;
    for (size_t k = 0; k < i; k++) {
        if (strcmp(p->barcodes[k].name, t->name) == 0) {
            return fail_in(p, i, "name", err, "another barcode has this name");
        }
    }
    if (y->info != NULL && t->form != STAMP_FORM_DPP) {
        return fail_in(p, i, "info", err, "'info' is for payload dpp only");
    }
    if (y->esp != NULL && t->form != STAMP_FORM_ESP) {
        return fail_in(p, i, "esp", err, "'esp' is for payload esp only");
    }
    return t->form == STAMP_FORM_ESP ? fill_esp(p, i, y->esp, &t->esp, err) : STAMP_OK;
}

static enum stamp_err check_code128(struct stamp_profile *p, size_t i,
                                    const struct stamp_secret *payload,
                                    struct stamp_error *err)
{
    size_t len;
    const uint8_t *bytes = stamp_secret_use(payload, &len);
    bool digits;

    for (size_t k = 0; k < len; k++) {
        if (bytes[k] < 0x20 || bytes[k] > 0x7E) {
            return fail_in(p, i, "payload", err, "code128 carries printable ASCII only");
        }
    }
    digits = strspn((const char *)bytes, "0123456789") == len;
    return len <= (digits ? CODE128_DIGITS_MAX : CODE128_MAX)
               ? STAMP_OK
               : fail_in(p, i, "payload", err,
                         "this payload is too long for code128 on a label: use qr or "
                         "datamatrix");
}

/* Fill the template in with a proof of possession of one character over and over: every
 * character of the alphabet must pass, the one that takes most room too. */
static enum stamp_err try_barcode(struct stamp_profile *p, size_t i,
                                  struct stamp_barcode_vars *vars, char c,
                                  struct stamp_error *err)
{
    struct stamp_error inner = STAMP_ERROR_INIT;
    STAMP_SECRET_AUTO struct stamp_secret *pop = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *payload = NULL;
    char text[STAMP_MAX_TEXT];
    bool secret;

    memset(text, c, sizeof text);
    if (stamp_secret_new(&pop, text, p->pop.length, err) != STAMP_OK) {
        return STAMP_E_NOMEM;
    }
    vars->pop = pop;
    if (stamp_barcode_payload(&p->barcodes[i], vars, &payload, &secret, &inner) !=
        STAMP_OK) {
        return fail_in(p, i, "payload", err, inner.what);
    }
    return p->barcodes[i].symbology == STAMP_CODE128 ? check_code128(p, i, payload, err)
                                                     : STAMP_OK;
}

static enum stamp_err check_barcode(struct stamp_profile *p, size_t i,
                                    struct stamp_barcode_vars *vars,
                                    struct stamp_error *err)
{
    const char *c = p->pop.alphabet;
    bool once = !stamp_barcode_uses_pop(&p->barcodes[i]);
    enum stamp_err rc;

    if (p->provisioning == STAMP_PROFILE_KEY_NONE &&
        stamp_barcode_uses_key(&p->barcodes[i])) {
        return fail_in(p, i, "payload", err,
                       "this payload needs the provisioning key, and its kind is none");
    }
    do {
        rc = try_barcode(p, i, vars, *c++, err);
    } while (rc == STAMP_OK && *c != '\0' && !once);
    return rc;
}

enum stamp_err stampi_profile_barcodes(struct stamp_profile *p, struct stamp_error *err)
{
    static const uint8_t point[STAMP_POINT_SIZE] = {4};
    bool given = stampi_doc_find(&p->own->doc, "barcodes") != NULL;
    char serial[STAMP_SERIAL_SIZE];
    struct stamp_barcode_vars vars;
    enum stamp_err rc = STAMP_OK;

    stamp_profile_vars(p, &vars);
    vars.point = point;
    vars.serial = serial;
    rc = stamp_serial_format(&p->serial, 0, 0, serial, sizeof serial, err);
    if (!given) {
        p->n_barcodes = p->provisioning == STAMP_PROFILE_KEY_NONE ? 1 : 3;
        memcpy(p->barcodes, default_barcodes, p->n_barcodes * sizeof *p->barcodes);
    } else {
        p->n_barcodes = p->own->yaml->barcodes_count;
    }
    for (size_t i = 0; rc == STAMP_OK && given && i < p->n_barcodes; i++) {
        rc = fill_barcode(p, i, err);
    }
    for (size_t i = 0; rc == STAMP_OK && i < p->n_barcodes; i++) {
        rc = check_barcode(p, i, &vars, err);
    }
    return rc;
}

static bool field_name_ok(const yaml_node_t *key)
{
    size_t len = key->data.scalar.length;

    if (len < 1 || len > FIELD_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = key->data.scalar.value[i];

        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
              (c >= 'a' && c <= 'z') || c == '_' || c == '-' || c == '.')) {
            return false;
        }
    }
    return true;
}

/* -?digits without leading zeros and in range. "007" is text: its zeros are meant. */
static bool parse_int(const char *text, int64_t *out)
{
    bool minus = *text == '-';
    uint64_t value;

    if (strspn(text + minus, "0123456789") != strlen(text + minus) ||
        !stampi_number(text + minus, &value) || value > (uint64_t)INT_MOST + 1) {
        return false;
    }
    *out = minus ? -(int64_t)value : (int64_t)value;
    return *out >= INT_LEAST && *out <= INT_MOST && !(minus && value == 0);
}

/* Plain words that one YAML reader or another takes for something else than text:
 * fractions, hexadecimal numbers, dates, times, null, yes. The writer must say which is
 * meant. */
static bool ambiguous(const char *text)
{
    static const char *const words[] = {"~",    "null", "Null", "NULL",  ".inf",  "-.inf",
                                        ".nan", "True", "TRUE", "False", "FALSE", "yes",
                                        "no",   "on",   "off",  "Yes",   "No",    "On",
                                        "Off",  "YES",  "NO"};
    const char *dot = strchr(text, '.');
    size_t signs = strspn(text, "+-");

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            return true;
        }
    }
    if (text[signs] == '0' && strchr("xXoO", text[signs + 1]) != NULL &&
        text[signs + 1] != '\0') {
        return true;
    }
    /* 1.2.3 is a version; 007 a number whose zeros are meant. */
    if ((dot != NULL && strchr(dot + 1, '.') != NULL) ||
        strspn(text, "0123456789") == strlen(text)) {
        return false;
    }
    return strspn(text, "+-.0123456789") > 0 &&
           strspn(text, "+-0123456789.eE_:") == strlen(text);
}

static enum stamp_err fill_plain(struct stamp_profile *p, const yaml_node_t *node,
                                 struct stamp_profile_field *f, struct stamp_error *err)
{
    char shown[48];

    if (strcmp(f->text, "true") == 0 || strcmp(f->text, "false") == 0) {
        f->type = STAMP_FIELD_BOOL;
        f->number = f->text[0] == 't';
        return STAMP_OK;
    }
    if (parse_int(f->text, &f->number)) {
        f->type = STAMP_FIELD_INT;
        return STAMP_OK;
    }
    if (*f->text == '\0') {
        return stampi_doc_fail(&p->own->doc, &node->start_mark, err, "'%s' has no value",
                               f->name);
    }
    if (f->text[0] != '0' && strspn(f->text, "0123456789") == strlen(f->text)) {
        return stampi_doc_fail(&p->own->doc, &node->start_mark, err,
                               "'%s' must be at most 4294967295, or text in quotes",
                               f->name);
    }
    if (ambiguous(f->text)) {
        return stampi_doc_fail(
            &p->own->doc, &node->start_mark, err,
            "'%s' is not plain text, a whole number, true or false: put "
            "'%s' in quotes if text is meant",
            f->name, stampi_shown(f->text, shown));
    }
    return STAMP_OK;
}

static enum stamp_err fill_field(struct stamp_profile *p, const yaml_node_t *key,
                                 const yaml_node_t *node, struct stamp_error *err)
{
    struct stamp_profile_field *f = &p->fields[p->n_fields];
    struct stampi_doc *doc = &p->own->doc;
    char shown[48];

    if (!field_name_ok(key)) {
        return stampi_doc_fail(
            doc, &key->start_mark, err,
            "a field's name is 1 to 32 letters, digits, '_', '-' or '.'; "
            "'%s' is not",
            stampi_shown(stampi_node_text(key), shown));
    }
    if (p->n_fields == STAMP_MAX_FIELDS) {
        return stampi_doc_fail(doc, &key->start_mark, err,
                               "there are more than %u fields", STAMP_MAX_FIELDS);
    }
    f->name = stampi_node_text(key);
    if (node->type != YAML_SCALAR_NODE) {
        return stampi_doc_fail(doc, &node->start_mark, err,
                               "'%s' must be text, a whole number, true or false",
                               f->name);
    }
    if (node->data.scalar.length > STAMP_MAX_TEXT) {
        return stampi_doc_fail(doc, &node->start_mark, err,
                               "'%s' is longer than %u bytes", f->name, STAMP_MAX_TEXT);
    }
    for (size_t i = 0; i < node->data.scalar.length; i++) {
        if (node->data.scalar.value[i] < 0x20 || node->data.scalar.value[i] == 0x7F) {
            return stampi_doc_fail(doc, &node->start_mark, err,
                                   "'%s' has a control character", f->name);
        }
    }
    f->text = stampi_node_text(node);
    f->type = STAMP_FIELD_TEXT;
    p->field_texts[p->n_fields++] = (struct stamp_barcode_field){f->name, f->text};
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
               ? fill_plain(p, node, f, err)
               : STAMP_OK;
}

enum stamp_err stampi_profile_fields(struct stamp_profile *p, struct stamp_error *err)
{
    struct stampi_doc *doc = &p->own->doc;
    const yaml_node_t *map = stampi_doc_find(doc, "fields");
    enum stamp_err rc = STAMP_OK;

    if (map == NULL) {
        return STAMP_OK;
    }
    for (yaml_node_pair_t *q = map->data.mapping.pairs.start;
         rc == STAMP_OK && q < map->data.mapping.pairs.top; q++) {
        rc = fill_field(p, yaml_document_get_node(&doc->yaml, q->key),
                        yaml_document_get_node(&doc->yaml, q->value), err);
    }
    return rc;
}
