/* Text with variables: the engine behind barcode payloads and certificate names. */
#include <openssl/crypto.h>
#include <string.h>

#include "host/barcode.h"
#include "host/dpp.h"
#include "host/template_own.h"

static enum stamp_err put(struct stampi_writer *w, const char *bytes, size_t len)
{
    if (w->max - w->len < len) {
        return stamp_error_set(w->err, STAMP_E_SPACE, 0,
                               "the text is longer than %zu bytes", w->max);
    }
    memcpy(w->text + w->len, bytes, len);
    w->len += len;
    return STAMP_OK;
}

enum stamp_err stampi_put_text(struct stampi_writer *w, const char *text)
{
    return put(w, text, strlen(text));
}

/* RFC 8259, section 7: quotation mark, reverse solidus and control characters. */
enum stamp_err stampi_put_json(struct stampi_writer *w, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    enum stamp_err rc = STAMP_OK;

    for (; rc == STAMP_OK && *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        char out[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

        if (c < 0x20 || c == 0x7F) {
            rc = put(w, out, sizeof out);
        } else {
            rc = c == '"' || c == '\\' ? put(w, "\\", 1) : STAMP_OK;
            rc = rc == STAMP_OK ? put(w, text, 1) : rc;
        }
    }
    return rc;
}

/* A value of DPP: or STAMP: ends at the first ';' and is printable ASCII. */
enum stamp_err stampi_put_field(struct stampi_writer *w, const char *name,
                                const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == ';' || *c < 0x20 || *c > 0x7E) {
            return stamp_error_set(
                w->err, STAMP_E_RANGE, 0,
                "{%s} has a character that a barcode of this form cannot "
                "carry: a ';', or one outside ASCII",
                name);
        }
    }
    return stampi_put_text(w, text);
}

static enum stamp_err put_value(struct stampi_writer *w, const char *name,
                                const char *text)
{
    if (text == NULL) {
        return stamp_error_set(w->err, STAMP_E_MISSING, 0,
                               "{%s} is asked for, and there is none", name);
    }
    switch (w->escape) {
    case STAMPI_ESCAPE_FIELD:
        return stampi_put_field(w, name, text);
    case STAMPI_ESCAPE_JSON:
        return stampi_put_json(w, text);
    case STAMPI_ESCAPE_NONE:
    default:
        return stampi_put_text(w, text);
    }
}

static enum stamp_err put_hash(struct stampi_writer *w, const char *name)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[STAMP_DPP_HASH_LEN];
    char hex[2 * STAMP_DPP_HASH_LEN + 1];

    if (w->vars->point == NULL) {
        return put_value(w, name, NULL);
    }
    if (stamp_dpp_hash(w->vars->point, hash, w->err) != STAMP_OK) {
        return STAMP_E_CRYPTO;
    }
    for (size_t i = 0; i < sizeof hash; i++) {
        hex[2 * i] = digits[hash[i] >> 4];
        hex[2 * i + 1] = digits[hash[i] & 15];
    }
    hex[2 * sizeof hash] = '\0';
    return put_value(w, name, hex);
}

static enum stamp_err put_key(struct stampi_writer *w, const char *name)
{
    char key[STAMP_DPP_KEY_LEN + 1u];

    if (w->vars->point == NULL) {
        return put_value(w, name, NULL);
    }
    stamp_dpp_key(w->vars->point, key);
    return put_value(w, name, key);
}

static enum stamp_err put_user_field(struct stampi_writer *w, const char *name)
{
    const char *wanted = name + strlen("field.");

    for (size_t i = 0; i < w->vars->n_fields; i++) {
        if (strcmp(w->vars->fields[i].name, wanted) == 0) {
            return put_value(w, name, w->vars->fields[i].text);
        }
    }
    return stamp_error_set(w->err, STAMP_E_MISSING, 0,
                           "{%s} is asked for, and there is no field '%s'", name, wanted);
}

static enum stamp_err put_variable(struct stampi_writer *w, const char *name)
{
    const struct stamp_barcode_vars *v = w->vars;

    if (strcmp(name, "serial") == 0) {
        return put_value(w, name, v->serial);
    }
    if (strcmp(name, "company") == 0) {
        return put_value(w, name, v->company);
    }
    if (strcmp(name, "product") == 0) {
        return put_value(w, name, v->product);
    }
    if (strcmp(name, "model") == 0) {
        return put_value(w, name, v->model);
    }
    if (strcmp(name, "hardware_revision") == 0) {
        return put_value(w, name, v->hardware_revision);
    }
    if (strcmp(name, "pop") == 0 && w->pop_allowed) {
        return put_value(w, name,
                         v->pop == NULL ? NULL
                                        : (const char *)stamp_secret_use(v->pop, NULL));
    }
    if (strcmp(name, "dpp_key") == 0) {
        return put_key(w, name);
    }
    if (strcmp(name, "key_hash") == 0) {
        return put_hash(w, name);
    }
    if (strncmp(name, "field.", 6) == 0) {
        return put_user_field(w, name);
    }
    return stamp_error_set(w->err, STAMP_E_CONFIG, 0, "'{%s}' is not a variable here",
                           name);
}

/* The name of the variable that begins at `text` ("{name}"); its length with braces, 0 =
 * not closed, or longer than any name. */
static size_t variable_name(const char *text, char name[64])
{
    size_t len = strcspn(text + 1, "{}");

    if (text[len + 1] != '}' || len >= 64) {
        return 0;
    }
    memcpy(name, text + 1, len);
    name[len] = '\0';
    return len + 2;
}

enum stamp_err stampi_put_template(struct stampi_writer *w, const char *text)
{
    enum stamp_err rc = STAMP_OK;

    while (rc == STAMP_OK && *text != '\0') {
        char name[64];
        size_t len = strcspn(text, "{}");

        if (len > 0) {
            rc = put(w, text, len);
        } else if (text[1] == text[0]) {
            rc = put(w, text, 1);
            len = 2;
        } else if (*text == '}') {
            rc = stamp_error_set(w->err, STAMP_E_CONFIG, 0, "a '}' closes nothing");
        } else {
            len = variable_name(text, name);
            rc = len == 0
                     ? stamp_error_set(w->err, STAMP_E_CONFIG, 0, "a '{' is not closed")
                     : put_variable(w, name);
        }
        text += len;
    }
    return rc;
}

/* Does the template name the variable? Braces that are literal do not count. */
bool stampi_template_names(const char *text, const char *variable)
{
    while (text != NULL && *text != '\0') {
        char name[64];
        size_t len = strcspn(text, "{}");

        text += len;
        if (*text == '\0') {
            break;
        }
        if (text[1] == text[0]) {
            text += 2;
            continue;
        }
        len = *text == '{' ? variable_name(text, name) : 0;
        if (len > 0 && strcmp(name, variable) == 0) {
            return true;
        }
        text += len > 0 ? len : 1;
    }
    return false;
}

enum stamp_err stamp_template_fill(const char *text,
                                   const struct stamp_barcode_vars *vars, char *out,
                                   size_t size, struct stamp_error *err)
{
    struct stampi_writer w = {.vars = vars, .err = err};
    enum stamp_err rc;

    if (size == 0) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "no room for the text");
    }
    out[0] = '\0';
    w.max = size - 1 < STAMP_MAX_PAYLOAD ? size - 1 : STAMP_MAX_PAYLOAD;
    rc = stampi_put_template(&w, text);
    if (rc == STAMP_OK) {
        memcpy(out, w.text, w.len);
        out[w.len] = '\0';
    }
    return rc;
}
