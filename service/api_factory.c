/* What programs ask of work orders and journals: read here, done by the factory. */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/base64.h"
#include "host/hex.h"
#include "host/order.h"
#include "host/registry_batch.h"
#include "service/api.h"
#include "service/reply.h"

#define ORDERS "/api/v1/orders"
#define BUNDLES "application/octet-stream"

enum { BAD = 400, TYPE = 415 };

/* ---- bodies ---- */

static bool take_text(const json_t *value, size_t max, struct stamp_slice *out)
{
    *out = (struct stamp_slice){(const uint8_t *)json_string_value(value),
                                json_string_length(value)};
    return out->p != NULL && out->len > 0 && out->len <= max &&
           stamp_text_ok(out->p, out->len, false);
}

static bool take_number(const json_t *value, uint64_t max, uint64_t *out)
{
    json_int_t n = json_integer_value(value);

    *out = (uint64_t)n;
    return json_is_integer(value) && n > 0 && (uint64_t)n <= max;
}

/* One of two or three words. -1: none of them; where there is no value, the first. */
static int take_word(const json_t *value, const char *const *words, int n)
{
    const char *text = json_string_value(value);

    if (value == NULL) {
        return 0;
    }
    for (int i = 0; text != NULL && i < n; i++) {
        if (strcmp(text, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static const char *read_how(const json_t *body, struct service_factory *a)
{
    static const char *const locks[] = {"strike", "later"};
    static const char *const pops[] = {"sealed", "shown", "none"};
    static const uint8_t pop_of[] = {STAMP_ORDER_POP_SEALED, STAMP_ORDER_POP_SHOWN,
                                     STAMP_ORDER_POP_NONE};
    int lock = take_word(json_object_get(body, "lock"), locks, 2);
    int pop = take_word(json_object_get(body, "pop"), pops, 3);

    if (lock < 0) {
        return "'lock' is strike or later";
    }
    if (pop < 0) {
        return "'pop' is sealed, shown or none";
    }
    a->lock_later = (uint8_t)lock;
    a->pop = pop_of[pop];
    return NULL;
}

/* What is wrong with it; NULL: nothing. */
static const char *read_order(const json_t *body, struct service_factory *a,
                              uint8_t station[32])
{
    static const char *const names[] = {"product",   "pattern", "count", "station",
                                        "not_after", "first",   "lock",  "pop",
                                        "note",      NULL};
    const json_t *first = json_object_get(body, "first");
    const json_t *note = json_object_get(body, "note");
    const json_t *pattern = json_object_get(body, "pattern");

    if (!api_has_only(body, names)) {
        return "a member has a name that means nothing here";
    }
    if (!take_text(json_object_get(body, "product"), STAMP_MAX_TEXT, &a->product)) {
        return "'product' is no text, or too long";
    }
    if (pattern != NULL && !take_text(pattern, STAMP_SERIAL_TEXT_SIZE - 1, &a->pattern)) {
        return "'pattern' is no text, or too long";
    }
    if (!take_number(json_object_get(body, "count"), STAMP_REGISTRY_BATCH_MAX,
                     &a->count)) {
        return "'count' is no number of units";
    }
    if (!api_take_digest(json_object_get(body, "station"), station)) {
        return "'station' is no SHA-256 of a certificate, in 64 digits";
    }
    a->station = (struct stamp_slice){station, 32};
    if (!take_number(json_object_get(body, "not_after"), UINT32_MAX, &a->not_after)) {
        return "'not_after' is no number of seconds since 1970";
    }
    if (first != NULL && !take_number(first, UINT32_MAX, &a->first)) {
        return "'first' is no counter of a serial";
    }
    if (note != NULL && !take_text(note, STAMP_REGISTRY_TEXT_MAX, &a->note)) {
        return "'note' is no text, or too long";
    }
    return read_how(body, a);
}

static const char *read_file(const json_t *body, struct service_factory *a,
                             uint8_t digest[32])
{
    static const char *const names[] = {"sha256", NULL};

    if (!api_has_only(body, names)) {
        return "a member has a name that means nothing here";
    }
    a->digest = (struct stamp_slice){digest, 32};
    return api_take_digest(json_object_get(body, "sha256"), digest)
               ? NULL
               : "'sha256' is none, in 64 digits";
}

static const char *read_nothing(const json_t *body)
{
    static const char *const names[] = {NULL};

    return api_has_only(body, names) ? NULL
                                     : "a member has a name that means nothing here";
}

static bool take_certificate(const json_t *value, uint8_t *out, struct stamp_slice *slice)
{
    *slice = (struct stamp_slice){out, stamp_base64_read(json_string_value(value),
                                                         json_string_length(value), out,
                                                         STAMP_MAX_CERTIFICATE)};
    return slice->len > 0;
}

static bool take_hex(const json_t *value, size_t max, uint8_t *out,
                     struct stamp_slice *slice)
{
    size_t len = json_string_length(value);

    *slice = (struct stamp_slice){out, len / 2};
    return json_is_string(value) && len % 2 == 0 && len / 2 <= max &&
           stamp_unhex(json_string_value(value), len / 2, out);
}

static bool take_bits(const json_t *value, uint8_t *out)
{
    json_int_t n = json_integer_value(value);

    *out = (uint8_t)n;
    return json_is_integer(value) && n >= 0 && n <= UINT8_MAX;
}

static const char *read_returned(const json_t *body, struct service_factory *a,
                                 struct api_bytes *bytes)
{
    static const char *const names[] = {"certificate", "chip", "lock", "can",
                                        "strikes",     "port", NULL};
    const json_t *strikes = json_object_get(body, "strikes");

    if (!api_has_only(body, names)) {
        return "a member has a name that means nothing here";
    }
    if (!take_certificate(json_object_get(body, "certificate"), bytes->certificate,
                          &a->certificate)) {
        return "'certificate' is none in base64";
    }
    if (!take_hex(json_object_get(body, "chip"), sizeof bytes->chip, bytes->chip,
                  &a->chip)) {
        return "'chip' is no number of a chip, in hexadecimal digits";
    }
    if (!take_bits(json_object_get(body, "lock"), &a->lock) ||
        !take_bits(json_object_get(body, "can"), &a->can)) {
        return "'lock' and 'can' are sums of 1, 2 and 4";
    }
    if (!json_is_boolean(strikes)) {
        return "'strikes' is true or false";
    }
    a->strikes = json_is_true(strikes);
    return take_text(json_object_get(body, "port"), STAMP_REGISTRY_TEXT_MAX, &a->port)
               ? NULL
               : "'port' is no text, or too long";
}

const char *api_read_factory(const json_t *body, struct service_factory *a,
                             struct api_bytes *bytes)
{
    return a->verb == SERVICE_FACTORY_ORDER      ? read_order(body, a, bytes->digest)
           : a->verb == SERVICE_FACTORY_FILE     ? read_file(body, a, bytes->digest)
           : a->verb == SERVICE_FACTORY_RETURNED ? read_returned(body, a, bytes)
                                                 : read_nothing(body);
}

/* ---- asking ---- */

static void ask(struct front *f, struct evhttp_request *req, struct service_factory *a,
                int file)
{
    a->from = front_from(req);
    if (!front_ask_factory(f, req, a, file)) {
        api_later(req);
    }
}

static void ask_json(struct front *f, struct evhttp_request *req,
                     const struct service_factory *asked)
{
    struct service_factory a = *asked; /* it points into what is here */
    bool named = a.verb == SERVICE_FACTORY_ORDER || a.verb == SERVICE_FACTORY_RECONCILE;
    struct api_bytes bytes;
    const char *wrong;
    json_t *body = api_take_body(req);

    if (body == NULL) {
        return;
    }
    wrong = api_read_factory(body, &a, &bytes);
    if (wrong != NULL) {
        api_problem(req, BAD, "Bad Request", wrong);
    } else if (named && !api_take_name(req, &a.name)) {
        api_no_name(req);
    } else {
        ask(f, req, &a, -1);
    }
    json_decref(body);
}

/* Behind the '?' is nothing, or that what contradicts the books is set aside. */
static bool read_query(struct evhttp_request *req, struct service_factory *a)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *text = uri == NULL ? NULL : evhttp_uri_get_query(uri);

    a->quarantine = text != NULL && strcmp(text, "quarantine=true") == 0;
    return text == NULL || a->quarantine != 0;
}

/* Memory that has a descriptor, for the factory. -1: there is none. */
static int to_file(struct evbuffer *in)
{
    int fd = memfd_create("bundle", MFD_CLOEXEC);

    while (fd >= 0 && evbuffer_get_length(in) > 0) {
        if (evbuffer_write(in, fd) <= 0 && errno != EINTR) {
            (void)close(fd);
            fd = -1;
        }
    }
    return fd;
}

static void ask_file(struct front *f, struct evhttp_request *req,
                     struct service_factory *a)
{
    bool results = a->verb == SERVICE_FACTORY_RESULTS;
    const char *type =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Content-Type");
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);
    int file;

    if (type == NULL || strcmp(type, BUNDLES) != 0) {
        api_problem(req, TYPE, "Unsupported Media Type",
                    "send what a station wrote as " BUNDLES);
        return;
    }
    if (len == 0 || len > (results ? SERVICE_RESULTS_MAX : SERVICE_BUNDLE_MAX)) {
        api_problem(req, BAD, "Bad Request",
                    results ? "send 1 byte to 64 MiB"
                            : "send 1 byte to 2 MiB: whole parts of it");
        return;
    }
    if (results && !read_query(req, a)) {
        api_problem(req, BAD, "Bad Request", "the one parameter is quarantine=true");
        return;
    }
    if (results && !api_take_name(req, &a->name)) {
        api_no_name(req);
        return;
    }
    file = to_file(in);
    if (file < 0) {
        api_later(req);
    } else {
        ask(f, req, a, file);
    }
}

void api_factory_trust(struct evhttp_request *req)
{
    evhttp_connection_set_max_body_size(evhttp_request_get_connection(req),
                                        (ev_ssize_t)SERVICE_RESULTS_MAX);
}

/* ---- paths ---- */

static bool take_path(const char *path, bool get, struct service_factory *a, char **id)
{
    static const struct {
        const char *path;
        uint8_t verb;
    } fixed[] = {{"/api/v1/journals", SERVICE_FACTORY_JOURNALS},
                 {"/api/v1/bundles", SERVICE_FACTORY_BUNDLE},
                 {"/api/v1/results", SERVICE_FACTORY_RESULTS},
                 {"/api/v1/reconcile", SERVICE_FACTORY_RECONCILE},
                 {"/api/v1/returned", SERVICE_FACTORY_RETURNED}};

    *id = NULL;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (strcmp(path, fixed[i].path) == 0) {
            a->verb = fixed[i].verb;
            return true;
        }
    }
    if (strcmp(path, ORDERS) == 0) {
        a->verb = SERVICE_FACTORY_ORDER;
        return !get; /* GET is the reader's */
    }
    if (api_path(path, ORDERS "/", "/file", SERVICE_ID_MAX, id)) {
        a->verb = SERVICE_FACTORY_FILE;
    } else if (api_path(path, ORDERS "/", "/close", SERVICE_ID_MAX, id)) {
        a->verb = SERVICE_FACTORY_CLOSE;
    }
    if (*id != NULL) {
        a->id = (struct stamp_slice){(const uint8_t *)*id, strlen(*id)};
    }
    return *id != NULL;
}

static const char *allowed(uint8_t verb)
{
    return verb == SERVICE_FACTORY_JOURNALS ? "GET"
           : verb == SERVICE_FACTORY_ORDER  ? "GET, POST"
                                            : "POST";
}

bool api_factory(struct front *f, struct evhttp_request *req, const char *path)
{
    struct service_factory a = {.verb = SERVICE_FACTORY_VERBS};
    enum evhttp_cmd_type method = evhttp_request_get_command(req);
    char *id = NULL;

    if (!take_path(path, method == EVHTTP_REQ_GET, &a, &id)) {
        return false;
    }
    if (method !=
        (a.verb == SERVICE_FACTORY_JOURNALS ? EVHTTP_REQ_GET : EVHTTP_REQ_POST)) {
        reply_header(req, "Allow", allowed(a.verb));
        api_problem(req, HTTP_BADMETHOD, "Method Not Allowed", "not with this method");
    } else if (api_take_key(f, req, a.key) == API_NOTHING) {
        api_no_key(req);
    } else if (a.verb == SERVICE_FACTORY_JOURNALS) {
        ask(f, req, &a, -1);
    } else if (a.verb == SERVICE_FACTORY_BUNDLE || a.verb == SERVICE_FACTORY_RESULTS) {
        ask_file(f, req, &a);
    } else {
        ask_json(f, req, &a);
    }
    free(id);
    return true;
}
