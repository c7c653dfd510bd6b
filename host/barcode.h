/*
 * Barcode payloads: from the profile's templates to the text in the code.
 *
 * A template is text with variables in braces; "{{" and "}}" are literal braces:
 *
 *     {serial} {company} {product} {model} {hardware_revision} {field.NAME}
 *     {pop}        proof of possession; makes the payload secret
 *     {dpp_key}    provisioning public key, base64 of its compressed DER
 *     {key_hash}   SHA-256 of that DER, 64 lower-case hex digits
 *
 * or one of these words for the whole payload:
 *
 *     serial   {serial}
 *     dpp      DPP:K:{dpp_key};; and, with `info`, DPP:I:INFO;K:{dpp_key};;
 *     claim    STAMP:S:{serial};H:{key_hash};P:{pop};;
 *     esp      {"ver":"v1","name":...,"pop":...,"transport":...,"security":...}
 *
 * A character that a form cannot carry (a ';' in a field of dpp or claim) is refused,
 * never dropped or changed; JSON is escaped.
 */
#ifndef HOST_BARCODE_H
#define HOST_BARCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/error.h"
#include "host/secret.h"

enum stamp_barcode_form {
    STAMP_FORM_TEXT, /* the template */
    STAMP_FORM_SERIAL,
    STAMP_FORM_DPP,
    STAMP_FORM_CLAIM,
    STAMP_FORM_ESP,
};

/** What the ESP provisioning apps read. NULL = left out, and not all are for every case.
 */
struct stamp_barcode_esp {
    const char *name;      /* template of the device's own service name */
    const char *transport; /* "ble" or "softap" */
    const char *username;  /* security 2 */
    const char *password;  /* template; softap; makes the payload secret */
    const char *network;   /* "wifi" or "thread" */
    uint8_t security;      /* 0 (no pop), 1 or 2 */
};

/** One barcode of the profile. All texts are borrowed. */
struct stamp_barcode_template {
    const char *name;
    enum stamp_symbology symbology;
    enum stamp_barcode_form form;
    const char *text; /* FORM_TEXT: the template; FORM_DPP: template of `I:` or NULL */
    struct stamp_barcode_esp esp;
};

struct stamp_barcode_field {
    const char *name;
    const char *text; /* numbers in decimal, booleans as true and false */
};

/** What the variables stand for. NULL = there is none, and a template that asks for it
 * fails. */
struct stamp_barcode_vars {
    const char *serial;
    const char *company;
    const char *product;
    const char *model;
    const char *hardware_revision;
    const struct stamp_secret *pop;
    const uint8_t *point; /* STAMP_POINT_SIZE bytes: the provisioning public key */
    const struct stamp_barcode_field *fields;
    size_t n_fields;
};

/** "qr", "datamatrix" or "code128"; "" for another number. */
const char *stamp_symbology_name(enum stamp_symbology symbology);

/** Does the payload hold a secret? It is known from the template alone. */
bool stamp_barcode_secret(const struct stamp_barcode_template *t);

/** Does the template ask for the proof of possession, or for the provisioning key? */
bool stamp_barcode_uses_pop(const struct stamp_barcode_template *t);
bool stamp_barcode_uses_key(const struct stamp_barcode_template *t);

/**
 * Fill in one template.
 *
 * @param out     the payload, 1..STAMP_MAX_PAYLOAD bytes of UTF-8, NUL after them; wiped
 * when freed
 * @param secret  set as stamp_barcode_secret()
 * @retval STAMP_E_CONFIG  the template is wrong: unknown variable, brace not closed
 * @retval STAMP_E_MISSING it asks for what `vars` has not
 * @retval STAMP_E_RANGE   a value has a character that the form cannot carry
 * @retval STAMP_E_SPACE   longer than STAMP_MAX_PAYLOAD
 * No error text holds the proof of possession. On failure `*out` is NULL.
 */
STAMP_MUST_USE enum stamp_err
stamp_barcode_payload(const struct stamp_barcode_template *t,
                      const struct stamp_barcode_vars *vars, struct stamp_secret **out,
                      bool *secret, struct stamp_error *err);

/**
 * Fill in any text template (a certificate's common name, say) that must hold no secret:
 * {pop} is refused as an unknown variable.
 *
 * @param out  `size` bytes, NUL-terminated; empty on failure
 */
STAMP_MUST_USE enum stamp_err stamp_template_fill(const char *text,
                                                  const struct stamp_barcode_vars *vars,
                                                  char *out, size_t size,
                                                  struct stamp_error *err);

#endif
