#include "cli/registry_operational.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/json.h"
#include "host/registry_enrol.h"

#define PRINTED 16u /* the newest */
#define LISTED 4096u

static const char *const states[] = {"intent", "pending", "confirmed", "retired"};

const char *cli_operational_state(uint32_t state)
{
    return state < sizeof states / sizeof *states ? states[state] : "?";
}

/* Called with each of a device's, oldest first. */
typedef enum stamp_err (*one_fn)(const struct stamp_ldevid *l, void *ctx);

static enum stamp_err for_each(struct stamp_registry *r, int64_t device, size_t max,
                               one_fn one, void *ctx, struct stamp_error *err)
{
    struct stamp_ldevid *rows = calloc(max, sizeof *rows);
    size_t n = 0;
    enum stamp_err rc;

    if (rows == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = stamp_registry_ldevid_list(r, device, rows, max, &n, err);
    for (size_t i = n; i > 0; i--) {
        if (rc == STAMP_OK && one(&rows[i - 1], ctx) != STAMP_OK) {
            rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        stamp_ldevid_fini(&rows[i - 1]);
    }
    free(rows);
    return rc;
}

static void serial_text(const struct stamp_ldevid *l,
                        char out[2 * STAMP_CERTIFICATE_SERIAL_SIZE + 1])
{
    for (size_t i = 0; i < STAMP_CERTIFICATE_SERIAL_SIZE; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", l->certificate_serial[i]);
    }
}

static enum stamp_err print_one(const struct stamp_ldevid *l, void *ctx)
{
    char serial[2 * STAMP_CERTIFICATE_SERIAL_SIZE + 1];
    char at[21];
    char end[21];

    (void)ctx;
    serial_text(l, serial);
    stamp_json_time((uint32_t)l->at, at);
    stamp_json_time((uint32_t)l->not_after, end);
    (void)printf("operational key %-4u %s %s until %s by %s: certificate %s\n", l->n, at,
                 states[l->state], end, l->who, serial);
    return STAMP_OK;
}

enum stamp_err cli_print_operational(struct stamp_registry *r, int64_t device,
                                     struct stamp_error *err)
{
    return for_each(r, device, PRINTED, print_one, NULL, err);
}

static enum stamp_err add_one(const struct stamp_ldevid *l, void *ctx)
{
    char serial[2 * STAMP_CERTIFICATE_SERIAL_SIZE + 1];
    unsigned char base64[4 * ((STAMP_MAX_CERTIFICATE + 2) / 3) + 1] = "";
    char at[21];
    char end[21];
    json_t *j;

    serial_text(l, serial);
    stamp_json_time((uint32_t)l->at, at);
    stamp_json_time((uint32_t)l->not_after, end);
    if (l->certificate_len > 0 && l->certificate_len <= STAMP_MAX_CERTIFICATE) {
        (void)EVP_EncodeBlock(base64, l->certificate, (int)l->certificate_len);
    }
    j = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s}", "n", (int)l->n, "state",
                  states[l->state], "at", at, "not_after", end, "who", l->who,
                  "certificate_serial", serial, "certificate", (const char *)base64);
    return j != NULL && json_array_append_new(ctx, j) == 0 ? STAMP_OK : STAMP_E_NOMEM;
}

enum stamp_err cli_json_operational(struct stamp_registry *r, int64_t device,
                                    json_t **out, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_E_NOMEM;

    *out = json_array();
    if (*out != NULL) {
        rc = for_each(r, device, LISTED, add_one, *out, err);
    }
    if (rc != STAMP_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}
