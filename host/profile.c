#include "host/profile.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "host/file.h"
#include "host/profile_yaml.h"

/* Values printed in manuals and examples: devices that ship with one are open to
 * everybody. */
static const char *const examples[] = {
    "20202021",    "abcd1234", "MT:Y.K9042C00KA0648G00", "MT:-24J0AFN00KA0648G00",
    "34970112332",
};

static enum stamp_err load_yaml(struct stamp_profile *p, const void *text, size_t len,
                                struct stamp_error *err)
{
    cyaml_data_t *data = NULL;
    cyaml_err_t code;
    enum stamp_err rc = stampi_doc_check(&p->own->doc, stampi_profile_schema(), err);

    if (rc != STAMP_OK) {
        return rc;
    }
    code = cyaml_load_data(text, len, stampi_profile_cyaml(), stampi_profile_schema(),
                           &data, NULL);
    if (code == CYAML_ERR_OOM) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (code != CYAML_OK || data == NULL) {
        return stampi_doc_fail_at(&p->own->doc, "", err, "not a profile: %s",
                                  cyaml_strerror(code));
    }
    p->own->yaml = data;
    return STAMP_OK;
}

/* A file that the profile names lies beside the profile. @param path  kept by the profile
 * where it is not the name itself */
static enum stamp_err resolve(const char **file, const char *name, char **path,
                              struct stamp_error *err)
{
    const char *slash = strrchr(name, '/');
    size_t dir = slash == NULL ? 0 : (size_t)(slash - name) + 1;

    if (*file == NULL || (*file)[0] == '/' || dir == 0) {
        return STAMP_OK;
    }
    *path = malloc(dir + strlen(*file) + 1);
    if (*path == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(*path, name, dir);
    memcpy(*path + dir, *file, strlen(*file) + 1);
    *file = *path;
    return STAMP_OK;
}

enum stamp_err stamp_profile_parse(const void *text, size_t len, const char *name,
                                   struct stamp_profile **out, struct stamp_error *err)
{
    struct stamp_profile *p = calloc(1, sizeof *p);
    enum stamp_err rc;

    *out = NULL;
    if (p != NULL) {
        p->own = calloc(1, sizeof *p->own);
    }
    if (p == NULL || p->own == NULL) {
        stamp_profile_free(&p);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = stampi_doc_load(&p->own->doc, text, len, name, err);
    if (rc == STAMP_OK) {
        rc = load_yaml(p, text, len, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_profile_fill(p, err);
    }
    if (rc == STAMP_OK) {
        rc = resolve(&p->peer_key_file, name, &p->own->peer_path, err);
    }
    if (rc == STAMP_OK) {
        rc = resolve(&p->pop.escrow_file, name, &p->own->escrow_path, err);
    }
    if (rc != STAMP_OK) {
        stamp_profile_free(&p);
        return rc;
    }
    p->own->doc.name = "";
    *out = p;
    return STAMP_OK;
}

enum stamp_err stamp_profile_load(const char *path, struct stamp_profile **out,
                                  struct stamp_error *err)
{
    uint8_t *text;
    size_t len;
    enum stamp_err rc;

    *out = NULL;
    rc = stamp_file_read(path, STAMP_PROFILE_MAX, &text, &len, err);
    if (rc == STAMP_OK) {
        rc = stamp_profile_parse(text, len, path, out, err);
        free(text);
    }
    return rc;
}

void stamp_profile_free(struct stamp_profile **p)
{
    if (p == NULL || *p == NULL) {
        return;
    }
    if ((*p)->own != NULL) {
        if ((*p)->own->yaml != NULL) {
            (void)cyaml_free(stampi_profile_cyaml(), stampi_profile_schema(),
                             (*p)->own->yaml, 0);
        }
        stampi_doc_free(&(*p)->own->doc);
        free((*p)->own->peer_path);
        free((*p)->own->escrow_path);
        free((*p)->own);
    }
    free(*p);
    *p = NULL;
}

void stamp_profile_vars(const struct stamp_profile *p, struct stamp_barcode_vars *vars)
{
    memset(vars, 0, sizeof *vars);
    vars->company = p->company;
    vars->product = p->product;
    vars->model = p->model;
    vars->hardware_revision = p->hardware_revision;
    vars->fields = p->field_texts;
    vars->n_fields = p->n_fields;
}

static const char *example_in(const char *text)
{
    for (size_t i = 0; text != NULL && i < sizeof examples / sizeof *examples; i++) {
        if (strstr(text, examples[i]) != NULL) {
            return examples[i];
        }
    }
    return NULL;
}

static enum stamp_err check_barcode(const struct stamp_barcode_template *t,
                                    struct stamp_error *err)
{
    const char *const texts[] = {t->text, t->esp.name, t->esp.username, t->esp.password};
    struct stamp_barcode_template password = {.form = STAMP_FORM_TEXT,
                                              .text = t->esp.password};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (example_in(texts[i]) != NULL) {
            return stamp_error_set(
                err, STAMP_E_PURPOSE, 0,
                "the barcode '%s' holds '%s', an example from a manual: "
                "not for production",
                t->name, example_in(texts[i]));
        }
    }
    if (t->form == STAMP_FORM_ESP && t->esp.password != NULL &&
        !stamp_barcode_uses_pop(&password)) {
        return stamp_error_set(
            err, STAMP_E_PURPOSE, 0,
            "the barcode '%s' gives every device the same password: not "
            "for production",
            t->name);
    }
    return STAMP_OK;
}

enum stamp_err stamp_profile_check_purpose(const struct stamp_profile *p, bool production,
                                           struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (!production) {
        return STAMP_OK;
    }
    for (size_t i = 0; rc == STAMP_OK && i < p->n_barcodes; i++) {
        rc = check_barcode(&p->barcodes[i], err);
    }
    for (size_t i = 0; rc == STAMP_OK && i < p->n_fields; i++) {
        if (example_in(p->fields[i].text) != NULL) {
            rc = stamp_error_set(
                err, STAMP_E_PURPOSE, 0,
                "the field '%s' holds '%s', an example from a manual: not for "
                "production",
                p->fields[i].name, example_in(p->fields[i].text));
        }
    }
    if (rc != STAMP_OK) {
        stamp_error_hint(err, "use a value of the device's own, such as {pop}");
    }
    return rc;
}

enum stamp_err stamp_profile_draw_pop(const struct stamp_profile *p,
                                      struct stamp_secret **out, struct stamp_error *err)
{
    char text[STAMP_MAX_TEXT + 1];
    enum stamp_err rc;

    *out = NULL;
    do {
        rc = stamp_alphabet_draw(p->pop.alphabet, p->pop.length, text, err);
    } while (rc == STAMP_OK && example_in(text) != NULL);
    if (rc == STAMP_OK) {
        rc = stamp_secret_new(out, text, p->pop.length, err);
    }
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}
