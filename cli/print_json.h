/* What the books say, as JSON at hand or over the network, printed. */
#ifndef CLI_PRINT_JSON_H
#define CLI_PRINT_JSON_H

#include <jansson.h>

#include "cli/cli.h"

/** "" where there is no such text. */
const char *cli_json_text(const json_t *j, const char *key);

/** 0 where there is no such number. */
long long cli_json_number(const json_t *j, const char *key);

/** Print a text that somebody else wrote. */
void cli_json_print(const json_t *j, const char *key);

/** Print JSON and what stands behind it. @param j  taken; NULL: no memory */
STAMP_MUST_USE enum stamp_err cli_json_write(json_t *j, const char *end,
                                             struct stamp_error *err);

/** Print JSON and a line feed; takes `j`. */
STAMP_MUST_USE enum stamp_err cli_json_put(json_t *j, struct stamp_error *err);

#endif
