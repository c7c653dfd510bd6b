/* What list, show and balance print of a batch on the books. */
#ifndef CLI_BATCH_BOOKS_H
#define CLI_BATCH_BOOKS_H

#include <jansson.h>

#include "cli/cli.h"
#include "host/registry_books.h"

/** A batch by name or number, as lines of text, or as JSON. */
STAMP_MUST_USE enum stamp_err batch_books_show(struct stamp_registry *r, const char *id,
                                               bool json, struct stamp_error *err);

/** Print JSON and a line feed; takes `j`. */
STAMP_MUST_USE enum stamp_err batch_books_put(json_t *j, struct stamp_error *err);

/** 16 bytes as text. */
void batch_books_hex(const uint8_t id[16], char out[33]);

#endif
