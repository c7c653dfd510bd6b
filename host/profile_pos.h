/*
 * A YAML document with the place of everything in it, and the check of a document against
 * a libcyaml schema that says what is wrong where. libcyaml's own errors name no column
 * of an unknown key, and it takes some wrong types for right.
 *
 * What YAML can do and a profile does not need is refused: aliases, tags, a second
 * document.
 */
#ifndef HOST_PROFILE_POS_H
#define HOST_PROFILE_POS_H

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "host/error.h"

struct stampi_doc {
    yaml_document_t yaml;
    bool loaded;
    const char *name; /* of the file; borrowed */
};

/** Load one document. On failure nothing is to be freed. */
STAMP_MUST_USE enum stamp_err stampi_doc_load(struct stampi_doc *doc, const void *text,
                                              size_t len, const char *name,
                                              struct stamp_error *err);

/** Free the document; may be called at any time after stampi_doc_load(). */
void stampi_doc_free(struct stampi_doc *doc);

/**
 * Check the document against the schema: unknown, missing and double keys, types, lengths
 * of texts, ranges of numbers, words of enums, numbers of entries.
 */
STAMP_MUST_USE enum stamp_err stampi_doc_check(struct stampi_doc *doc,
                                               const cyaml_schema_value_t *schema,
                                               struct stamp_error *err);

/** The node at `path`, "serial.pattern" or "barcodes[1].payload"; NULL = not there. */
yaml_node_t *stampi_doc_find(struct stampi_doc *doc, const char *path);

/** Set STAMP_E_CONFIG "NAME:LINE:COLUMN: message" for a mark of the parser. */
enum stamp_err stampi_doc_fail(const struct stampi_doc *doc, const yaml_mark_t *mark,
                               struct stamp_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** The same for a path; where that is not there, for the nearest thing around it that is.
 */
enum stamp_err stampi_doc_fail_at(struct stampi_doc *doc, const char *path,
                                  struct stamp_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** The text of a scalar node. Not NULL. */
const char *stampi_node_text(const yaml_node_t *node);

/** Text from the file as a message may show it: printable, at most 40 bytes. */
const char *stampi_shown(const char *text, char out[48]);

/** A number as the profile writes it: decimal without leading zeros, or 0x and hex
 * digits. */
bool stampi_number(const char *text, uint64_t *out);

#endif
