#include "cli/registry_online.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text == NULL ? "" : text;
}

static void line(const char *name, const char *value)
{
    if (value[0] != '\0') {
        (void)printf("%-20s ", name);
        cli_print_text(value, strlen(value));
        (void)printf("\n");
    }
}

static void put(const char *before, const char *value)
{
    if (value[0] != '\0') {
        (void)printf("%s", before);
        cli_print_text(value, strlen(value));
    }
}

/* In a column of its own. */
static void put_state(const char *state)
{
    (void)printf(" ");
    cli_print_text(state, strlen(state));
    for (size_t n = strlen(state); n < 9; n++) {
        (void)putchar(' ');
    }
}

static void print(const json_t *j)
{
    const json_t *one;
    size_t i;

    line("serial", text_of(j, "serial"));
    line("product", text_of(j, "product"));
    line("state", text_of(j, "state"));
    line("  since", text_of(j, "since"));
    (void)printf("%-20s %lld\n", "batch",
                 (long long)json_integer_value(json_object_get(j, "batch")));
    line("chip", text_of(j, "chip"));
    line("key fingerprint", text_of(j, "fingerprint"));
    line("certificate serial", text_of(j, "certificate_serial"));
    line("file", text_of(j, "file"));
    json_array_foreach(json_object_get(j, "history"), i, one)
    {
        (void)printf("history              ");
        put("", text_of(one, "at"));
        put_state(text_of(one, "state"));
        put(" by ", text_of(one, "who"));
        put(" at ", text_of(one, "where"));
        put(": ", text_of(one, "why"));
        (void)printf("\n");
    }
    json_array_foreach(json_object_get(j, "operational"), i, one)
    {
        (void)printf("operational key %-4lld ",
                     (long long)json_integer_value(json_object_get(one, "n")));
        put("", text_of(one, "at"));
        put(" ", text_of(one, "state"));
        put(" until ", text_of(one, "not_after"));
        put(" by ", text_of(one, "who"));
        put(": certificate ", text_of(one, "certificate_serial"));
        (void)printf("\n");
    }
}

enum stamp_err registry_online_show(struct cli_online *o, const char *serial, bool json,
                                    struct stamp_error *err)
{
    char *path = NULL;
    json_t *j = NULL;
    enum stamp_err rc = stamp_service_device_path(serial, "", &path, err);

    if (rc == STAMP_OK) {
        rc = stamp_service_ask(o->https, o->url, path, NULL, CLI_ONLINE_PATIENCE_S, &j,
                               err);
    }
    if (rc == STAMP_OK && json) {
        (void)json_dumpf(j, stdout, JSON_COMPACT);
        (void)printf("\n");
    } else if (rc == STAMP_OK) {
        print(j);
    }
    json_decref(j);
    free(path);
    return rc;
}

enum stamp_err registry_online_set(struct cli_online *o, const char *serial,
                                   enum stamp_registry_state to, const char *why,
                                   struct stamp_error *err)
{
    json_t *answer = NULL;
    enum stamp_err rc =
        cli_online_post(o, serial, "/state",
                        json_pack("{s:s, s:s}", "state", stamp_registry_state_name(to),
                                  "why", why == NULL ? "" : why),
                        &answer, err);

    json_decref(answer);
    return rc;
}
