#include "cli/print_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *cli_json_text(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text == NULL ? "" : text;
}

long long cli_json_number(const json_t *j, const char *key)
{
    return (long long)json_integer_value(json_object_get(j, key));
}

void cli_json_print(const json_t *j, const char *key)
{
    const char *text = cli_json_text(j, key);

    cli_print_text(text, strlen(text));
}

enum stamp_err cli_json_write(json_t *j, const char *end, struct stamp_error *err)
{
    int rc = j == NULL ? -1 : json_dumpf(j, stdout, JSON_COMPACT);

    json_decref(j);
    (void)fputs(end, stdout);
    return rc != 0 && ferror(stdout) == 0
               ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
               : STAMP_OK; /* a full disk is found by cli_flush() */
}

enum stamp_err cli_json_put(json_t *j, struct stamp_error *err)
{
    return cli_json_write(j, "\n", err);
}
