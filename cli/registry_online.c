#include "cli/registry_online.h"

#include <stdio.h>
#include <string.h>

#include "cli/print_json.h"

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

    line("serial", cli_json_text(j, "serial"));
    line("product", cli_json_text(j, "product"));
    line("state", cli_json_text(j, "state"));
    line("  since", cli_json_text(j, "since"));
    (void)printf("%-20s %lld\n", "batch", cli_json_number(j, "batch"));
    line("chip", cli_json_text(j, "chip"));
    line("key fingerprint", cli_json_text(j, "fingerprint"));
    line("certificate serial", cli_json_text(j, "certificate_serial"));
    line("file", cli_json_text(j, "file"));
    json_array_foreach(json_object_get(j, "history"), i, one)
    {
        (void)printf("history              ");
        put("", cli_json_text(one, "at"));
        put_state(cli_json_text(one, "state"));
        put(" by ", cli_json_text(one, "who"));
        put(" at ", cli_json_text(one, "where"));
        put(": ", cli_json_text(one, "why"));
        (void)printf("\n");
    }
    json_array_foreach(json_object_get(j, "operational"), i, one)
    {
        (void)printf("operational key %-4lld ", cli_json_number(one, "n"));
        put("", cli_json_text(one, "at"));
        put(" ", cli_json_text(one, "state"));
        put(" until ", cli_json_text(one, "not_after"));
        put(" by ", cli_json_text(one, "who"));
        put(": certificate ", cli_json_text(one, "certificate_serial"));
        (void)printf("\n");
    }
}

enum stamp_err registry_online_show(struct cli_online *o, const char *serial, bool json,
                                    struct stamp_error *err)
{
    json_t *j = NULL;
    enum stamp_err rc = cli_online_get(o, STAMP_SERVICE_DEVICES, serial, "", &j, err);

    if (rc == STAMP_OK && json) {
        (void)json_dumpf(j, stdout, JSON_COMPACT);
        (void)printf("\n");
    } else if (rc == STAMP_OK) {
        print(j);
    }
    json_decref(j);
    return rc;
}

enum stamp_err registry_online_set(struct cli_online *o, const char *serial,
                                   enum stamp_registry_state to, const char *why,
                                   struct stamp_error *err)
{
    json_t *answer = NULL;
    enum stamp_err rc =
        cli_online_post(o, STAMP_SERVICE_DEVICES, serial, "/state",
                        json_pack("{s:s, s:s}", "state", stamp_registry_state_name(to),
                                  "why", why == NULL ? "" : why),
                        &answer, err);

    json_decref(answer);
    return rc;
}
