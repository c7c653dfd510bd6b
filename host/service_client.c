#include "host/service_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/base64.h"
#include "host/hex.h"

#define DEVICES "/api/v1/devices"

enum {
    OK = 200,
    CREATED = 201,
    UNAUTHORIZED = 401,
    FORBIDDEN = 403,
    NOT_FOUND = 404,
    UNAVAILABLE = 503,
    PAUSE_MS = 500
};

enum stamp_err stamp_service_refused(const char *url, long status,
                                     struct stamp_slice answer, struct stamp_error *err)
{
    json_t *j = json_loadb((const char *)answer.p, answer.len, 0, NULL);
    const char *detail = json_string_value(json_object_get(j, "detail"));
    bool key = status == UNAUTHORIZED || status == FORBIDDEN;
    enum stamp_err rc = status == UNAVAILABLE ? STAMP_E_BUSY
                        : status == NOT_FOUND ? STAMP_E_MISSING
                        : key                 ? STAMP_E_AUTH
                                              : STAMP_E_STATE;
    char line[121];
    size_t n = 0;

    for (; detail != NULL && detail[n] != '\0' && n < sizeof line - 1; n++) {
        line[n] = (char)(detail[n] >= ' ' && detail[n] != 127 ? detail[n] : '?');
    }
    line[n] = '\0';
    json_decref(j);
    return stamp_error_set(err, rc, status, "'%s' refuses (%ld)%s%s", url, status,
                           n == 0 ? "" : ": ", line);
}

static enum stamp_err no_memory(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
}

enum stamp_err stamp_service_request(struct stamp_https *h, const char *url,
                                     const struct stamp_service_request *request,
                                     unsigned patience_s, json_t **out,
                                     struct stamp_error *err)
{
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    struct stamp_slice answer = {NULL, 0};
    time_t begun = time(NULL);
    long status = 0;
    enum stamp_err rc;

    *out = NULL;
    do {
        if (status != 0) {
            (void)nanosleep(&pause, NULL);
        }
        rc = stamp_https_try(h, request->path, request->header, request->type,
                             request->body, &status, &answer, err);
    } while (rc == STAMP_OK && status == UNAVAILABLE &&
             time(NULL) - begun < (time_t)patience_s);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (status != OK && status != CREATED) {
        return stamp_service_refused(url, status, answer, err);
    }
    *out = json_loadb((const char *)answer.p, answer.len, 0, NULL);
    return *out != NULL
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "'%s' answers with something else than JSON", url);
}

enum stamp_err stamp_service_ask(struct stamp_https *h, const char *url, const char *path,
                                 const char *body, unsigned patience_s, json_t **out,
                                 struct stamp_error *err)
{
    const struct stamp_service_request request = {
        .path = path,
        .type = "application/json",
        .body = {(const uint8_t *)body, body == NULL ? 0 : strlen(body)}};

    return stamp_service_request(h, url, &request, patience_s, out, err);
}

/* ---- devices ---- */

/* Unreserved characters as they are. RFC 3986 2.3 */
static char *escape(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~";
    size_t room = 3 * strlen(text) + 1;
    char *out = malloc(room);
    size_t n = 0;

    for (; out != NULL && *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL) {
            out[n++] = *text;
        } else {
            (void)snprintf(out + n, room - n, "%%%02X", (unsigned)(unsigned char)*text);
            n += 3;
        }
    }
    if (out != NULL) {
        out[n] = '\0';
    }
    return out;
}

enum stamp_err stamp_service_path(const char *before, const char *name, const char *after,
                                  char **out, struct stamp_error *err)
{
    char *escaped = escape(name == NULL ? "" : name);
    int n = escaped == NULL ? -1 : asprintf(out, "%s%s%s", before, escaped, after);

    free(escaped);
    if (n < 0) {
        *out = NULL;
        return no_memory(err);
    }
    return STAMP_OK;
}

static bool copy(const json_t *j, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(j, key));

    out[0] = '\0';
    if (text == NULL) {
        return json_is_null(json_object_get(j, key));
    }
    if (strlen(text) >= size) {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool take_hex(const json_t *j, const char *key, uint8_t *out, size_t len)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text == NULL ? json_is_null(json_object_get(j, key))
                        : strlen(text) == 2 * len && stamp_unhex(text, len, out);
}

static bool take_time(const json_t *j, const char *key, time_t *out)
{
    const char *text = json_string_value(json_object_get(j, key));
    struct tm tm = {0};
    const char *end = text == NULL ? NULL : strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

    if (end == NULL || *end != '\0') {
        return false;
    }
    *out = timegm(&tm);
    return true;
}

static bool take_certificate(const json_t *j, struct stamp_registry_row *row)
{
    const json_t *value = json_object_get(j, "certificate");
    const size_t most = (size_t)3 * STAMP_MAX_CERTIFICATE;

    if (json_is_null(value)) {
        return true;
    }
    row->certificate = malloc(STAMP_BASE64_ROOM(most));
    if (row->certificate == NULL) {
        return false;
    }
    row->certificate_len = stamp_base64_read(
        json_string_value(value), json_string_length(value), row->certificate, most);
    return row->certificate_len > 0;
}

static bool take_row(const json_t *j, struct stamp_registry_row *row)
{
    char state[16];
    char file[4096];

    memset(row, 0, sizeof *row);
    if (!copy(j, "serial", row->serial, sizeof row->serial) ||
        !copy(j, "product", row->product, sizeof row->product) ||
        !copy(j, "chip", row->chip, sizeof row->chip) ||
        !copy(j, "file", file, sizeof file) || !copy(j, "state", state, sizeof state) ||
        !stamp_registry_state_parse(state, &row->state) ||
        !take_time(j, "since", &row->at) ||
        !take_hex(j, "fingerprint", row->fingerprint, sizeof row->fingerprint) ||
        !take_hex(j, "certificate_serial", row->certificate_serial,
                  sizeof row->certificate_serial) ||
        !json_is_integer(json_object_get(j, "batch"))) {
        return false;
    }
    row->id = (int64_t)json_integer_value(json_object_get(j, "batch")) << 32;
    if (file[0] != '\0') {
        row->file = strdup(file);
    }
    return take_certificate(j, row);
}

static enum stamp_err make_query(const struct stamp_registry_filter *f, const char *after,
                                 size_t max, char **out, struct stamp_error *err)
{
    char *product = escape(f->product == NULL ? "" : f->product);
    char *serial = escape(after == NULL ? "" : after);
    int n = -1;

    if (product != NULL && serial != NULL) {
        n = asprintf(out, DEVICES "?limit=%zu&batch=%u&since=%lld%s%s%s%s%s%s", max,
                     (unsigned)f->batch, (long long)f->since,
                     f->by_state ? "&state=" : "",
                     f->by_state ? stamp_registry_state_name(f->state) : "",
                     product[0] == '\0' ? "" : "&product=", product,
                     serial[0] == '\0' ? "" : "&after=", serial);
    }
    free(product);
    free(serial);
    if (n < 0) {
        *out = NULL;
        return no_memory(err);
    }
    return STAMP_OK;
}

enum stamp_err stamp_service_devices(struct stamp_https *h, const char *url,
                                     const struct stamp_registry_filter *filter,
                                     const char *after, struct stamp_registry_row *rows,
                                     size_t max, size_t *n, struct stamp_error *err)
{
    json_t *j = NULL;
    const json_t *all;
    char *path = NULL;
    enum stamp_err rc = make_query(filter, after, max, &path, err);

    *n = 0;
    if (rc == STAMP_OK) {
        rc = stamp_service_ask(h, url, path, NULL, 0, &j, err);
    }
    all = json_object_get(j, "devices");
    if (rc == STAMP_OK && (!json_is_array(all) || json_array_size(all) > max)) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' answers with no devices", url);
    }
    for (size_t i = 0; rc == STAMP_OK && i < json_array_size(all); i++) {
        if (!take_row(json_array_get(all, i), &rows[(*n)++])) {
            rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "'%s' answers with what is no device", url);
        }
    }
    for (size_t i = 0; rc != STAMP_OK && i < *n; i++) {
        stamp_registry_row_fini(&rows[i]);
    }
    *n = rc == STAMP_OK ? *n : 0;
    json_decref(j);
    free(path);
    return rc;
}

/* ---- work orders ---- */

enum stamp_err stamp_service_order(const json_t *j, const char *url,
                                   struct stamp_registry_order *out,
                                   struct stamp_error *err)
{
    struct stamp_registry_batch *b = &out->batch;
    json_int_t id = json_integer_value(json_object_get(j, "order"));
    json_int_t count = json_integer_value(json_object_get(j, "count"));
    json_int_t first = json_integer_value(json_object_get(j, "first_counter"));

    memset(out, 0, sizeof *out);
    if (id < 1 || id > INT32_MAX || count < 1 || count > UINT32_MAX || first < 1 ||
        !take_hex(j, "id", out->id, sizeof out->id) ||
        !take_hex(j, "station_id", out->station, sizeof out->station) ||
        !take_hex(j, "prefix", b->prefix, sizeof b->prefix) ||
        !take_time(j, "at", &b->at) || !copy(j, "name", b->name, sizeof b->name) ||
        !copy(j, "product", b->product, sizeof b->product)) {
        memset(out, 0, sizeof *out);
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "'%s' answers with what is no work order", url);
    }
    b->id = (uint32_t)id;
    b->count = (uint32_t)count;
    b->first_counter = (uint64_t)first;
    memcpy(b->uid, out->id, sizeof b->uid);
    return STAMP_OK;
}
