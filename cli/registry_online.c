#include "cli/registry_online.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print_json.h"
#include "host/base64.h"

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

/* ---- proofs of possession ---- */

enum { ENVELOPE_MAX = 8192 };

static size_t take_bytes(const json_t *j, const char *key, uint8_t *out, size_t max)
{
    const char *text = cli_json_text(j, key);

    return stamp_base64_read(text, strlen(text), out, max);
}

static enum stamp_err take_pop(const struct cli_online *o, const json_t *j,
                               struct stamp_registry_escrow *out, struct stamp_error *err)
{
    uint8_t sealed[STAMP_BASE64_ROOM(STAMP_REGISTRY_POP_MAX)];

    out->sealed_len = take_bytes(j, "sealed", sealed, STAMP_REGISTRY_POP_MAX);
    memcpy(out->sealed, sealed, out->sealed_len);
    if (out->sealed_len > 0 && json_is_null(json_object_get(j, "envelope"))) {
        return STAMP_OK;
    }
    out->envelope = malloc(STAMP_BASE64_ROOM(ENVELOPE_MAX));
    if (out->envelope == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    out->envelope_len = take_bytes(j, "envelope", out->envelope, ENVELOPE_MAX);
    return out->sealed_len > 0 && out->envelope_len > 0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "'%s' answers with no proof of possession", o->url);
}

enum stamp_err registry_online_pop(struct cli_online *o, const char *serial,
                                   struct stamp_registry_escrow *out,
                                   struct stamp_error *err)
{
    json_t *j = NULL;
    enum stamp_err rc = cli_online_get(o, STAMP_SERVICE_DEVICES, serial, "/pop", &j, err);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_OK) {
        rc = take_pop(o, j, out, err);
    }
    if (rc != STAMP_OK) {
        stamp_registry_escrow_fini(out);
    }
    json_decref(j);
    return rc;
}
