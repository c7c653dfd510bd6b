#include "cli/print_json.h"

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

enum stamp_err cli_json_put(json_t *j, struct stamp_error *err)
{
    int rc = j == NULL ? -1 : json_dumpf(j, stdout, JSON_COMPACT);

    json_decref(j);
    if (rc != 0) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    (void)printf("\n");
    return STAMP_OK;
}
