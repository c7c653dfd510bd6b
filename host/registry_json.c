#include "host/registry_json.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/hex.h"
#include "host/json.h"
#include "host/registry_enrol.h"

/* ---- text of values ---- */

static bool is_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

void stamp_registry_text_fini(struct stamp_registry_text *t)
{
    free(t->certificate);
    t->certificate = NULL;
}

enum stamp_err stamp_registry_text_of(const struct stamp_registry_row *row,
                                      struct stamp_registry_text *t,
                                      struct stamp_error *err)
{
    size_t len = row->certificate_len;

    memset(t, 0, sizeof *t);
    stamp_json_time((uint32_t)row->at, t->at);
    (void)snprintf(t->batch, sizeof t->batch, "%u",
                   (unsigned)stamp_registry_batch_of(row));
    if (!is_zero(row->fingerprint, sizeof row->fingerprint)) {
        stamp_hex(row->fingerprint, sizeof row->fingerprint, t->fingerprint);
    }
    stamp_hex(row->certificate_serial, sizeof row->certificate_serial,
              t->certificate_serial);
    t->certificate = malloc(4 * ((len + 2) / 3) + 1);
    if (t->certificate == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    t->certificate[0] = '\0';
    if (len > 0) {
        (void)EVP_EncodeBlock((unsigned char *)t->certificate, row->certificate,
                              (int)len);
    }
    return STAMP_OK;
}

static bool put(json_t *j, const char *key, const char *text)
{
    return json_object_set_new(j, key,
                               text == NULL || text[0] == '\0' ? json_null()
                                                               : json_string(text)) == 0;
}

json_t *stamp_registry_json(const struct stamp_registry_row *row,
                            const struct stamp_registry_text *t)
{
    json_t *j = json_object();

    if (j != NULL && put(j, "serial", row->serial) &&
        put(j, "state", stamp_registry_state_name(row->state)) &&
        put(j, "since", t->at) && put(j, "product", row->product) &&
        json_object_set_new(j, "batch", json_integer(stamp_registry_batch_of(row))) ==
            0 &&
        put(j, "fingerprint", t->fingerprint) &&
        put(j, "certificate_serial", t->certificate_serial) &&
        put(j, "chip", row->chip) && put(j, "file", row->file) &&
        put(j, "certificate", t->certificate)) {
        return j;
    }
    json_decref(j);
    return NULL;
}

/* ---- operational keys ---- */

const char *stamp_ldevid_state_name(uint32_t state)
{
    static const char *const states[] = {"intent", "pending", "confirmed", "retired"};

    return state < sizeof states / sizeof *states ? states[state] : "?";
}

static bool add_key(json_t *all, const struct stamp_ldevid *l)
{
    char serial[2 * STAMP_CERTIFICATE_SERIAL_SIZE + 1];
    unsigned char base64[4 * ((STAMP_MAX_CERTIFICATE + 2) / 3) + 1] = "";
    char at[21];
    char end[21];

    stamp_hex(l->certificate_serial, sizeof l->certificate_serial, serial);
    stamp_json_time((uint32_t)l->at, at);
    stamp_json_time((uint32_t)l->not_after, end);
    if (l->certificate_len > 0 && l->certificate_len <= STAMP_MAX_CERTIFICATE) {
        (void)EVP_EncodeBlock(base64, l->certificate, (int)l->certificate_len);
    }
    return json_array_append_new(
               all, json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s}", "n", (int)l->n,
                              "state", stamp_ldevid_state_name((uint32_t)l->state), "at",
                              at, "not_after", end, "who", l->who, "certificate_serial",
                              serial, "certificate", (const char *)base64)) == 0;
}

/* The oldest first. */
static enum stamp_err add_keys(struct stamp_registry *r, int64_t device, size_t max,
                               json_t *all, struct stamp_error *err)
{
    struct stamp_ldevid *rows = calloc(max, sizeof *rows);
    size_t n = 0;
    bool ok = rows != NULL;
    enum stamp_err rc = STAMP_OK;

    if (ok) {
        rc = stamp_registry_ldevid_list(r, device, rows, max, &n, err);
    }
    for (size_t i = n; i > 0; i--) {
        ok = ok && add_key(all, &rows[i - 1]);
        stamp_ldevid_fini(&rows[i - 1]);
    }
    free(rows);
    return ok ? rc : stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
}

/* ---- one with all that is of it ---- */

static bool gather(void *ctx, const struct stamp_registry_entry *e)
{
    json_t *all = ctx;
    json_t *j = json_object();
    char at[21];

    stamp_json_time((uint32_t)e->at, at);
    return j != NULL && put(j, "state", stamp_registry_state_name(e->state)) &&
           put(j, "at", at) && put(j, "who", e->who) && put(j, "where", e->where) &&
           put(j, "why", e->why) && json_array_append_new(all, j) == 0;
}

static enum stamp_err fill(struct stamp_registry *r, const struct stamp_registry_row *row,
                           size_t keys, json_t *history, json_t *operational,
                           struct stamp_error *err)
{
    enum stamp_err rc = stamp_registry_history(r, row->serial, gather, history, err);

    return rc == STAMP_OK ? add_keys(r, row->id, keys, operational, err) : rc;
}

enum stamp_err stamp_registry_json_whole(struct stamp_registry *r,
                                         const struct stamp_registry_row *row,
                                         size_t keys, json_t **out,
                                         struct stamp_error *err)
{
    struct stamp_registry_text t;
    json_t *history = json_array();
    json_t *operational = json_array();
    enum stamp_err rc = stamp_registry_text_of(row, &t, err);

    *out = rc == STAMP_OK ? stamp_registry_json(row, &t) : NULL;
    if (rc == STAMP_OK &&
        (*out == NULL || json_object_set_new(*out, "history", history) != 0 ||
         json_object_set_new(*out, "operational", operational) != 0)) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (rc == STAMP_OK) {
        rc = fill(r, row, keys, history, operational, err);
    }
    stamp_registry_text_fini(&t);
    if (rc != STAMP_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}
