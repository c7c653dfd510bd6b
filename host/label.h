/*
 * A label: product, company and serial to read, and the barcodes of the stamp with their
 * names.
 *
 * The label is 62 mm wide, as long as it needs to be, drawn in black on white; PNG has
 * 300 dots per inch, with every module of a code a whole number of dots. A file that
 * holds a secret code has mode 0600, any other 0644.
 */
#ifndef HOST_LABEL_H
#define HOST_LABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/error.h"

struct stamp_label_code {
    const char *name; /* caption */
    enum stamp_symbology symbology;
    const char *payload; /* UTF-8, NUL-terminated */
    bool secret;
};

/** All texts are borrowed; NULL = left out. */
struct stamp_label {
    const char *serial; /* must be there */
    const char *company;
    const char *product;
    const char *model;
    const char *hardware_revision;
    const struct stamp_label_code *codes;
    size_t n_codes; /* 0..2 * STAMP_MAX_BARCODES */
};

/**
 * Draw to `path`, whose name ends in .svg or .png. A file of that name is replaced.
 *
 * @retval STAMP_E_RANGE  the name ends otherwise
 * @retval STAMP_E_SPACE  a payload is too large for its symbology, or its code for the
 * label
 * @retval STAMP_E_FORMAT a payload has a character that its symbology cannot carry
 * @retval STAMP_E_IO     the file cannot be written
 * On failure nothing is written and an old file stays as it was.
 */
STAMP_MUST_USE enum stamp_err stamp_label_draw(const struct stamp_label *label,
                                               const char *path, struct stamp_error *err);

/** True where a code is secret, so that the file will be. */
bool stamp_label_secret(const struct stamp_label *label);

#endif
