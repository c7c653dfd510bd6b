#include "host/barcode.h"

#include <openssl/crypto.h>
#include <string.h>

#include "host/template_own.h"

const char *stamp_symbology_name(enum stamp_symbology symbology)
{
    switch (symbology) {
    case STAMP_QR:
        return "qr";
    case STAMP_DATA_MATRIX:
        return "datamatrix";
    case STAMP_CODE128:
        return "code128";
    default:
        return "";
    }
}

/* A template in the escape of a form that it is a part of. */
static enum stamp_err put_part(struct stampi_writer *w, const char *text,
                               enum stampi_escape escape)
{
    enum stampi_escape before = w->escape;
    enum stamp_err rc;

    w->escape = escape;
    rc = stampi_put_template(w, text);
    w->escape = before;
    return rc;
}

/* In a template the user's own literal text has to suit its form too. */
static enum stamp_err put_dpp(struct stampi_writer *w, const char *info)
{
    struct stampi_writer inner;
    enum stamp_err rc = stampi_put_text(w, "DPP:");

    if (rc == STAMP_OK && info != NULL) {
        inner = *w;
        inner.len = 0;
        rc = stampi_put_template(&inner, info);
        inner.text[inner.len] = '\0';
        rc = rc == STAMP_OK ? stampi_put_text(w, "I:") : rc;
        rc = rc == STAMP_OK ? stampi_put_field(w, "info", inner.text) : rc;
        rc = rc == STAMP_OK ? stampi_put_text(w, ";") : rc;
        OPENSSL_cleanse(&inner, sizeof inner);
    }
    return rc == STAMP_OK ? put_part(w, "K:{dpp_key};;", STAMPI_ESCAPE_FIELD) : rc;
}

/* "," and one member; the value is a template or plain text, escaped as JSON either way.
 */
static enum stamp_err put_member(struct stampi_writer *w, const char *name,
                                 const char *value)
{
    struct stampi_writer inner;
    enum stamp_err rc;

    if (value == NULL) {
        return STAMP_OK;
    }
    inner = *w;
    inner.len = 0;
    rc = stampi_put_template(&inner, value);
    inner.text[inner.len] = '\0';
    rc = rc == STAMP_OK ? stampi_put_text(w, ",\"") : rc;
    rc = rc == STAMP_OK ? stampi_put_text(w, name) : rc;
    rc = rc == STAMP_OK ? stampi_put_text(w, "\":\"") : rc;
    rc = rc == STAMP_OK ? stampi_put_json(w, inner.text) : rc;
    rc = rc == STAMP_OK ? stampi_put_text(w, "\"") : rc;
    OPENSSL_cleanse(&inner, sizeof inner);
    return rc;
}

/* The order of the members is the one that Espressif's own tools print. */
static enum stamp_err put_esp(struct stampi_writer *w,
                              const struct stamp_barcode_esp *esp)
{
    char security[16] = ",\"security\":0";
    enum stamp_err rc = stampi_put_text(w, "{\"ver\":\"v1\"");

    security[strlen(security) - 1] = (char)('0' + esp->security % 10);
    rc = rc == STAMP_OK ? put_member(w, "name", esp->name) : rc;
    if (rc == STAMP_OK && esp->security == 2) {
        rc = put_member(w, "username", esp->username);
    }
    if (rc == STAMP_OK && esp->security > 0) {
        rc = put_member(w, "pop", "{pop}");
    }
    rc = rc == STAMP_OK ? put_member(w, "transport", esp->transport) : rc;
    rc = rc == STAMP_OK ? stampi_put_text(w, security) : rc;
    rc = rc == STAMP_OK ? put_member(w, "password", esp->password) : rc;
    rc = rc == STAMP_OK ? put_member(w, "network", esp->network) : rc;
    return rc == STAMP_OK ? stampi_put_text(w, "}") : rc;
}

/* A template that spells one of the forms out gets the care of that form. */
static enum stampi_escape escape_of(const char *text)
{
    if (strncmp(text, "DPP:", 4) == 0 || strncmp(text, "STAMP:", 6) == 0) {
        return STAMPI_ESCAPE_FIELD;
    }
    return strncmp(text, "{{", 2) == 0 ? STAMPI_ESCAPE_JSON : STAMPI_ESCAPE_NONE;
}

static enum stamp_err put_form(struct stampi_writer *w,
                               const struct stamp_barcode_template *t)
{
    switch (t->form) {
    case STAMP_FORM_SERIAL:
        return stampi_put_template(w, "{serial}");
    case STAMP_FORM_DPP:
        return put_dpp(w, t->text);
    case STAMP_FORM_CLAIM:
        return put_part(w, "STAMP:S:{serial};H:{key_hash};P:{pop};;",
                        STAMPI_ESCAPE_FIELD);
    case STAMP_FORM_ESP:
        return put_esp(w, &t->esp);
    case STAMP_FORM_TEXT:
    default:
        return put_part(w, t->text, escape_of(t->text));
    }
}

static bool uses(const struct stamp_barcode_template *t, const char *variable)
{
    if (t->form == STAMP_FORM_ESP) {
        return stampi_template_names(t->esp.name, variable) ||
               stampi_template_names(t->esp.username, variable) ||
               stampi_template_names(t->esp.password, variable);
    }
    return stampi_template_names(t->text, variable);
}

bool stamp_barcode_uses_pop(const struct stamp_barcode_template *t)
{
    return t->form == STAMP_FORM_CLAIM ||
           (t->form == STAMP_FORM_ESP && t->esp.security > 0) || uses(t, "pop");
}

bool stamp_barcode_uses_key(const struct stamp_barcode_template *t)
{
    return t->form == STAMP_FORM_CLAIM || t->form == STAMP_FORM_DPP ||
           uses(t, "dpp_key") || uses(t, "key_hash");
}

bool stamp_barcode_secret(const struct stamp_barcode_template *t)
{
    return stamp_barcode_uses_pop(t) ||
           (t->form == STAMP_FORM_ESP && t->esp.password != NULL);
}

enum stamp_err stamp_barcode_payload(const struct stamp_barcode_template *t,
                                     const struct stamp_barcode_vars *vars,
                                     struct stamp_secret **out, bool *secret,
                                     struct stamp_error *err)
{
    struct stampi_writer w = {
        .max = STAMP_MAX_PAYLOAD, .vars = vars, .pop_allowed = true, .err = err};
    enum stamp_err rc = put_form(&w, t);

    *out = NULL;
    *secret = stamp_barcode_secret(t);
    if (rc == STAMP_OK && w.len == 0) {
        rc = stamp_error_set(err, STAMP_E_CONFIG, 0, "the barcode is empty");
    }
    if (rc == STAMP_OK) {
        rc = stamp_secret_new(out, w.text, w.len, err);
    }
    OPENSSL_cleanse(&w, sizeof w);
    return rc;
}
