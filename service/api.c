#include "service/api.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/hex.h"
#include "host/registry_apikey.h"
#include "service/counters.h"
#include "service/reply.h"

#define ROOT "/api/v1/"
#define BATCHES ROOT "batches"

enum {
    OK = 200,
    CREATED = 201,
    ACCEPTED = 202,
    UNAUTHORIZED = 401,
    FORBIDDEN = 403,
    CONFLICT = 409,
    TYPE = 415,
    UNPROCESSABLE = 422,
    BODY_MAX = 8192
};

/* ---- answers ---- */

static void give_json(struct evhttp_request *req, int code, const char *type,
                      json_t *what)
{
    char *text = what == NULL ? NULL : json_dumps(what, JSON_COMPACT);

    json_decref(what);
    if (text == NULL) {
        reply_sentence(req, HTTP_SERVUNAVAIL, "out of memory");
        return;
    }
    reply_header(req, "Cache-Control", "no-store");
    reply_bytes(req, code, type, text, strlen(text));
    free(text);
}

/* RFC 9457 */
void api_problem(struct evhttp_request *req, int code, const char *title,
                 const char *detail)
{
    if (code == UNAUTHORIZED) {
        reply_header(req, "WWW-Authenticate", "Bearer realm=\"devstamp\"");
    }
    give_json(req, code, "application/problem+json",
              json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", title,
                        "status", code, "detail", detail));
}

void api_later(struct evhttp_request *req)
{
    reply_header(req, "Retry-After", "1");
    api_problem(req, HTTP_SERVUNAVAIL, "Service Unavailable", "not now: ask again");
}

static void give_batch(struct evhttp_request *req, int code,
                       const struct service_batch_answer *a)
{
    bool made = a->outcome == SERVICE_BATCH_MADE;
    char path[64];
    json_t *j = json_pack("{s:s#, s:I, s:I, s:s}", "product",
                          a->product.p == NULL ? "" : (const char *)a->product.p,
                          (int)a->product.len, "count", (json_int_t)a->count, "made",
                          (json_int_t)a->made, "state", made ? "made" : "open");

    if (j != NULL && a->batch != 0) {
        (void)snprintf(path, sizeof path, BATCHES "/%llu", (unsigned long long)a->batch);
        reply_header(req, "Location", path);
        (void)json_object_set_new(j, "batch", json_integer((json_int_t)a->batch));
    }
    if (j != NULL && made && a->size != 0) {
        (void)snprintf(path, sizeof path, BATCHES "/%llu/file",
                       (unsigned long long)a->batch);
        (void)json_object_set_new(j, "file", json_string(path));
        (void)json_object_set_new(j, "size", json_integer((json_int_t)a->size));
    }
    if (code == ACCEPTED) {
        reply_header(req, "Retry-After", "1");
    }
    give_json(req, code, "application/json", j);
}

/* The file goes out as the connection takes it. */
static void give_file(struct evhttp_request *req, const struct service_batch_answer *a,
                      int file)
{
    struct evbuffer *body = evbuffer_new();
    struct evbuffer_file_segment *segment =
        evbuffer_file_segment_new(file, 0, (ev_off_t)a->size, EVBUF_FS_CLOSE_ON_FREE);

    if (segment == NULL) {
        (void)close(file);
    }
    if (body == NULL || segment == NULL ||
        evbuffer_add_file_segment(body, segment, 0, -1) != 0) {
        api_later(req);
    } else {
        reply_header(req, "Content-Type", "application/octet-stream");
        reply_header(req, "Cache-Control", "no-store");
        reply_send(req, OK, body);
    }
    if (segment != NULL) {
        evbuffer_file_segment_free(segment);
    }
    if (body != NULL) {
        evbuffer_free(body);
    }
}

static void refuse(struct evhttp_request *req, const struct service_batch_answer *a)
{
    static const struct {
        int code;
        const char *title, *detail;
    } how[SERVICE_BATCH_OUTCOMES] = {
        [SERVICE_BATCH_LATER] = {HTTP_SERVUNAVAIL, "Service Unavailable",
                                 "not now: ask again"},
        [SERVICE_BATCH_KEY] = {UNAUTHORIZED, "Unauthorized",
                               "there is no such API key or certificate, or it has "
                               "ended"},
        [SERVICE_BATCH_ROLE] = {FORBIDDEN, "Forbidden",
                                "the role of this API key may not do that"},
        [SERVICE_BATCH_NONE] = {HTTP_NOTFOUND, "Not Found", "there is no such batch"},
        [SERVICE_BATCH_OTHER] = {CONFLICT, "Conflict", "another request has this name"},
        [SERVICE_BATCH_WRONG] = {UNPROCESSABLE, "Unprocessable Content",
                                 "it cannot be made"},
        [SERVICE_BATCH_FAILED] = {HTTP_INTERNAL, "Internal Server Error",
                                  "it broke off: ask again"},
    };
    unsigned o = a->outcome < SERVICE_BATCH_OUTCOMES && how[a->outcome].code != 0
                     ? a->outcome
                     : SERVICE_BATCH_LATER;
    char why[201];

    service_text(a->why, why, sizeof why);
    if (o == SERVICE_BATCH_LATER) {
        reply_header(req, "Retry-After", "1");
        reply_header(req, "Connection", "close"); /* perhaps to another node */
    }
    api_problem(req, how[o].code, how[o].title, why[0] == '\0' ? how[o].detail : why);
}

void api_answer(struct evhttp_request *req, uint8_t verb,
                const struct service_batch_answer *a, int file)
{
    bool open = a->outcome == SERVICE_BATCH_OPEN;

    if (a->outcome != SERVICE_BATCH_MADE && !open) {
        refuse(req, a);
    } else if (verb == SERVICE_BATCH_MAKE) {
        give_batch(req, open ? ACCEPTED : CREATED, a);
    } else if (verb == SERVICE_BATCH_LOOK) {
        give_batch(req, OK, a);
    } else if (file >= 0 && a->size > 0) {
        give_file(req, a, file);
        return;
    } else {
        api_later(req);
    }
    if (file >= 0) {
        (void)close(file);
    }
}

/* ---- requests ---- */

void api_no_key(struct evhttp_request *req)
{
    api_problem(req, UNAUTHORIZED, "Unauthorized",
                "show an API key as bearer token, or a certificate");
}

/* A header that is none of ours opens nothing, whatever the connection has. */
enum api_shown api_take_key(struct front *f, struct evhttp_request *req,
                            uint8_t key[STAMP_TOKEN_DIGEST_SIZE])
{
    static const char scheme[] = "Bearer ";
    const char *value =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");
    const struct service_peer *peer;
    size_t len;

    if (value == NULL) {
        peer = &front_connection_of(f, req)->peer;
        return peer->present && stamp_token_digest((const char *)peer->der, peer->len,
                                                   key, NULL) == STAMP_OK
                   ? API_CERTIFICATE
                   : API_NOTHING;
    }
    if (evutil_ascii_strncasecmp(value, scheme, sizeof scheme - 1) != 0) {
        return API_NOTHING;
    }
    value += sizeof scheme - 1;
    len = strlen(value);
    return len > 0 && len < STAMP_TOKEN_TEXT_SIZE &&
                   stamp_token_digest(value, len, key, NULL) == STAMP_OK
               ? API_BEARER
               : API_NOTHING;
}

bool api_has_only(const json_t *body, const char *const *names)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        const char *const *known = names;

        while (*known != NULL && strcmp(*known, name) != 0) {
            known++;
        }
        if (*known == NULL) {
            return false;
        }
    }
    return true;
}

bool api_take_digest(const json_t *value, uint8_t out[32])
{
    return json_string_length(value) == 64 &&
           stamp_unhex(json_string_value(value), 32, out);
}

static bool take_text(const json_t *text, size_t max, struct stamp_slice *out)
{
    *out = (struct stamp_slice){(const uint8_t *)json_string_value(text),
                                json_string_length(text)};
    return out->p != NULL && out->len <= max && memchr(out->p, '\0', out->len) == NULL;
}

/* What is wrong with it; NULL: nothing. */
static const char *read_body(const json_t *body, struct service_batch *asked,
                             uint8_t stations[SERVICE_STATIONS_MAX])
{
    static const char *const names[] = {"stations", "count", "note", "product", NULL};
    const json_t *list = json_object_get(body, "stations");
    const json_t *count = json_object_get(body, "count");
    const json_t *note = json_object_get(body, "note");

    if (!api_has_only(body, names)) {
        return "a member has a name that means nothing here";
    }
    if (!take_text(json_object_get(body, "product"), STAMP_MAX_TEXT, &asked->product)) {
        return "'product' is no text, or too long";
    }
    if (!json_is_integer(count) || json_integer_value(count) < 1) {
        return "'count' is no number of stamps";
    }
    asked->batch = (uint64_t)json_integer_value(count);
    if (note != NULL && !take_text(note, STAMP_BATCH_NOTE_MAX, &asked->note)) {
        return "'note' is no text, or too long";
    }
    if (!json_is_array(list) || json_array_size(list) < 1 ||
        json_array_size(list) > STAMP_BATCH_RECIPIENTS_MAX) {
        return "'stations' is no list of 1 to 8";
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!api_take_digest(json_array_get(list, i), stations + 32 * i)) {
            return "a station is no SHA-256 of a certificate, in 64 digits";
        }
    }
    asked->stations = (struct stamp_slice){stations, 32 * json_array_size(list)};
    return NULL;
}

const char *api_read_order(const void *text, size_t len, struct service_batch *asked,
                           uint8_t *stations, json_t **keep)
{
    *keep = len > BODY_MAX ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    return json_is_object(*keep) ? read_body(*keep, asked, stations)
                                 : "the body is no JSON object";
}

bool api_take_name(struct evhttp_request *req, struct stamp_slice *name)
{
    const char *text =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Idempotency-Key");
    size_t len = text == NULL ? 0 : strlen(text);

    *name = (struct stamp_slice){(const uint8_t *)text, len};
    return len > 0 && len <= SERVICE_NAME_MAX;
}

void api_no_name(struct evhttp_request *req)
{
    api_problem(req, HTTP_BADREQUEST, "Bad Request",
                "the header Idempotency-Key is wanted: 1 to 64 characters of your own, "
                "the same while you ask for the same thing");
}

static bool is_json(struct evhttp_request *req)
{
    static const char type[] = "application/json";
    const char *value =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Content-Type");

    return value != NULL && evutil_ascii_strncasecmp(value, type, sizeof type - 1) == 0 &&
           strchr("; ", value[sizeof type - 1]) != NULL;
}

json_t *api_take_body(struct evhttp_request *req)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);
    json_t *body;

    if (!is_json(req)) {
        api_problem(req, TYPE, "Unsupported Media Type", "send JSON as application/json");
        return NULL;
    }
    body = len > BODY_MAX ? NULL
                          : json_loadb((const char *)evbuffer_pullup(in, -1), len,
                                       JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(body)) {
        json_decref(body);
        body = NULL;
        api_problem(req, HTTP_BADREQUEST, "Bad Request", "the body is no JSON object");
    }
    return body;
}

void api_give(struct evhttp_request *req, int code, json_t *what)
{
    give_json(req, code, "application/json", what);
}

static void ask(struct front *f, struct evhttp_request *req, struct service_batch *asked)
{
    asked->from = front_from(req);
    if (!front_ask_batch(f, req, asked)) {
        api_later(req);
    }
}

static void make(struct front *f, struct evhttp_request *req,
                 const struct service_batch *question)
{
    struct service_batch asked = *question; /* it points into what is here */
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);
    uint8_t stations[SERVICE_STATIONS_MAX];
    const char *wrong;
    json_t *body;

    if (!is_json(req)) {
        api_problem(req, TYPE, "Unsupported Media Type", "send JSON as application/json");
        return;
    }
    if (!api_take_name(req, &asked.name)) {
        api_no_name(req);
        return;
    }
    wrong = api_read_order(evbuffer_pullup(in, -1), len, &asked, stations, &body);
    if (wrong != NULL) {
        api_problem(req, HTTP_BADREQUEST, "Bad Request", wrong);
    } else {
        ask(f, req, &asked);
    }
    json_decref(body);
}

/* "/N" or "/N/file" */
static bool take_path(const char *path, struct service_batch *asked)
{
    char *end;

    if (path[0] != '/' || path[1] < '1' || path[1] > '9') {
        return false;
    }
    asked->batch = strtoull(path + 1, &end, 10);
    asked->verb = *end == '\0' ? SERVICE_BATCH_LOOK : SERVICE_BATCH_FETCH;
    return *end == '\0' || strcmp(end, "/file") == 0;
}

bool api_request(struct front *f, struct evhttp_request *req, const char *path)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(req);
    struct service_batch asked = {.verb = SERVICE_BATCH_MAKE};
    const char *rest = path + sizeof BATCHES - 1;
    bool all;

    if (strncmp(path, ROOT, sizeof ROOT - 1) != 0) {
        return false;
    }
    if (api_change(f, req, path) || api_factory(f, req, path) ||
        api_query(f, req, path)) {
        return true;
    }
    all = strcmp(path, BATCHES) == 0;
    if (!all &&
        (strncmp(path, BATCHES "/", sizeof BATCHES) != 0 || !take_path(rest, &asked))) {
        api_problem(req, HTTP_NOTFOUND, "Not Found", "there is nothing here");
    } else if (method != (all ? EVHTTP_REQ_POST : EVHTTP_REQ_GET)) {
        reply_header(req, "Allow", all ? "GET, POST" : "GET");
        api_problem(req, HTTP_BADMETHOD, "Method Not Allowed", "not with this method");
    } else if (api_take_key(f, req, asked.key) == API_NOTHING) {
        api_no_key(req);
    } else if (all) {
        make(f, req, &asked);
    } else {
        ask(f, req, &asked);
    }
    return true;
}
