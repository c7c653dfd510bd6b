/*
 * The template engine, as host/barcode.c uses it. Results may hold secrets: who owns a
 * writer wipes it.
 */
#ifndef HOST_TEMPLATE_OWN_H
#define HOST_TEMPLATE_OWN_H

#include <stdbool.h>
#include <stddef.h>

#include "host/barcode.h"

/* How a value must be written to keep the form that it stands in whole. */
enum stampi_escape { STAMPI_ESCAPE_NONE, STAMPI_ESCAPE_FIELD, STAMPI_ESCAPE_JSON };

struct stampi_writer {
    char text[STAMP_MAX_PAYLOAD + 1u];
    size_t len;
    size_t max; /* 1..STAMP_MAX_PAYLOAD */
    const struct stamp_barcode_vars *vars;
    bool pop_allowed;
    enum stampi_escape escape;
    struct stamp_error *err;
};

/** Add text as it is. STAMP_E_SPACE where it does not fit. */
STAMP_MUST_USE enum stamp_err stampi_put_text(struct stampi_writer *w, const char *text);

/** Add text as the inside of a JSON string. */
STAMP_MUST_USE enum stamp_err stampi_put_json(struct stampi_writer *w, const char *text);

/** Add a value of a form with fields; STAMP_E_RANGE where it cannot carry it. */
STAMP_MUST_USE enum stamp_err stampi_put_field(struct stampi_writer *w, const char *name,
                                               const char *text);

/** Add a template, its variables escaped as the writer says. */
STAMP_MUST_USE enum stamp_err stampi_put_template(struct stampi_writer *w,
                                                  const char *text);

/** Does the template name the variable? NULL names none. */
bool stampi_template_names(const char *text, const char *variable);

#endif
