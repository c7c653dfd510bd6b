/* The API's questions about devices and the log: read here, answered by the reader. */
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/api.h"
#include "service/reply.h"

#define DEVICES "/api/v1/devices"
#define LOG "/api/v1/log/"
#define BATCHES "/api/v1/batches" /* GET: POST is service/api.c's */
#define ORDERS "/api/v1/orders"   /* and service/api_factory.c's */

enum { LIMIT = 100, BAD = 400 };

/* ---- what is asked ---- */

static bool take_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9' || strlen(text) > 19) {
        return false;
    }
    *out = strtoull(text, &end, 10);
    return *end == '\0' && *out <= max;
}

static bool take_text(const char *text, size_t max, struct stamp_slice *out)
{
    *out = (struct stamp_slice){(const uint8_t *)text, strlen(text)};
    return out->len > 0 && out->len <= max && stamp_text_ok(out->p, out->len, false);
}

static bool take_state(const char *text, uint8_t *out)
{
    enum stamp_registry_state state;

    if (!stamp_registry_state_parse(text, &state)) {
        return false;
    }
    *out = (uint8_t)state;
    return true;
}

/* One of the parameters behind the path. NULL: it is taken. */
static const char *take_parameter(const char *name, const char *value,
                                  struct service_query *q)
{
    bool page = q->verb == SERVICE_QUERY_DEVICES;
    bool list = q->verb == SERVICE_QUERY_BATCHES || q->verb == SERVICE_QUERY_ORDERS;
    bool log = q->verb == SERVICE_QUERY_ENTRIES || q->verb == SERVICE_QUERY_PROOF ||
               q->verb == SERVICE_QUERY_GROWTH;

    if (page && strcmp(name, "state") == 0) {
        return take_state(value, &q->state) ? NULL : "'state' is none of a device";
    }
    if (page && strcmp(name, "product") == 0) {
        return take_text(value, STAMP_MAX_TEXT, &q->product) ? NULL : "'product' is none";
    }
    if (page && strcmp(name, "batch") == 0) {
        return take_number(value, INT32_MAX, &q->batch) ? NULL
                                                        : "'batch' is no number of one";
    }
    if (page && strcmp(name, "since") == 0) {
        return take_number(value, UINT32_MAX, &q->since)
                   ? NULL
                   : "'since' is no number of seconds since 1970";
    }
    if (page && strcmp(name, "after") == 0) {
        return take_text(value, STAMP_SERIAL_SIZE - 1, &q->text) ? NULL
                                                                 : "'after' is no serial";
    }
    if (list && strcmp(name, "after") == 0) {
        return take_number(value, INT32_MAX, &q->from) ? NULL
                                                       : "'after' is no number of one";
    }
    if ((page || list || q->verb == SERVICE_QUERY_ENTRIES) &&
        strcmp(name, "limit") == 0) {
        return take_number(value, SERVICE_PAGE_MAX, &q->limit) && q->limit > 0
                   ? NULL
                   : "'limit' is no number from 1 to 500";
    }
    if (log && strcmp(name, q->verb == SERVICE_QUERY_PROOF ? "leaf" : "from") == 0) {
        return take_number(value, INT64_MAX, &q->from) ? NULL
                                                       : "that is no number of leaves";
    }
    if (log && q->verb != SERVICE_QUERY_ENTRIES &&
        strcmp(name, q->verb == SERVICE_QUERY_PROOF ? "size" : "to") == 0) {
        return take_number(value, INT64_MAX, &q->to) ? NULL
                                                     : "that is no number of leaves";
    }
    return "there is a parameter that means nothing here";
}

static const char *take_parameters(const struct evkeyvalq *all, struct service_query *q)
{
    const struct evkeyval *one;
    const char *wrong = NULL;

    for (one = all->tqh_first; one != NULL && wrong == NULL; one = one->next.tqe_next) {
        wrong = take_parameter(one->key, one->value, q);
    }
    return wrong;
}

/* What stands behind a name is looked at before that is decoded: it may have a '/'. */
bool api_path(const char *path, const char *before, const char *end, size_t max,
              char **name)
{
    struct stamp_slice text;
    size_t first = strlen(before);
    size_t after = strlen(end);
    size_t len = strlen(path);
    char *escaped;

    *name = NULL;
    if (strncmp(path, before, first) != 0 || len <= first + after ||
        strcmp(path + len - after, end) != 0) {
        return false;
    }
    escaped = strndup(path + first, len - first - after);
    if (escaped != NULL && strchr(escaped, '/') == NULL) {
        *name = evhttp_uridecode(escaped, 0, &len);
    }
    free(escaped);
    if (*name != NULL && (len != strlen(*name) || !take_text(*name, max, &text))) {
        free(*name);
        *name = NULL;
    }
    return *name != NULL;
}

bool api_device_path(const char *path, const char *end, char **serial)
{
    return api_path(path, DEVICES "/", end, STAMP_SERIAL_SIZE - 1, serial);
}

static bool take_list(const char *path, struct service_query *q)
{
    static const struct {
        const char *path;
        uint8_t verb;
    } lists[] = {{BATCHES, SERVICE_QUERY_BATCHES},
                 {ORDERS, SERVICE_QUERY_ORDERS},
                 {"/api/v1/stations", SERVICE_QUERY_STATIONS},
                 {"/api/v1/products", SERVICE_QUERY_PRODUCTS}};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (strcmp(path, lists[i].path) == 0) {
            q->verb = lists[i].verb;
            return true;
        }
    }
    return false;
}

static bool take_log(const char *what, struct service_query *q)
{
    static const struct {
        const char *name;
        uint8_t verb;
    } names[] = {{"head", SERVICE_QUERY_HEAD},
                 {"entries", SERVICE_QUERY_ENTRIES},
                 {"proof", SERVICE_QUERY_PROOF},
                 {"growth", SERVICE_QUERY_GROWTH}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(what, names[i].name) == 0) {
            q->verb = names[i].verb;
            return true;
        }
    }
    return false;
}

/* Is it one of these paths? @param serial  to be freed */
static bool take_path(const char *path, struct service_query *q, char **serial)
{
    *serial = NULL;
    if (strcmp(path, DEVICES) == 0) {
        q->verb = SERVICE_QUERY_DEVICES;
        return true;
    }
    if (api_device_path(path, "/receipt", serial)) {
        q->verb = SERVICE_QUERY_RECEIPT;
    } else if (api_device_path(path, "/pop", serial)) {
        q->verb = SERVICE_QUERY_POP;
    } else if (api_device_path(path, "", serial)) {
        q->verb = SERVICE_QUERY_DEVICE;
    } else if (api_path(path, BATCHES "/", "/balance", SERVICE_ID_MAX, serial)) {
        q->verb = SERVICE_QUERY_BATCH;
    } else if (api_path(path, ORDERS "/", "", SERVICE_ID_MAX, serial)) {
        q->verb = SERVICE_QUERY_ORDER;
    }
    if (*serial != NULL) {
        return take_text(*serial, SERVICE_ID_MAX, &q->text);
    }
    return take_list(path, q) || (strncmp(path, LOG, sizeof LOG - 1) == 0 &&
                                  take_log(path + sizeof LOG - 1, q));
}

/* ---- asking ---- */

bool api_query(struct front *f, struct evhttp_request *req, const char *path)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *text = uri == NULL ? NULL : evhttp_uri_get_query(uri);
    struct service_query q = {.state = SERVICE_ANY_STATE, .limit = LIMIT};
    struct evkeyvalq parameters = {NULL, NULL};
    const char *wrong = NULL;
    char *serial = NULL;
    bool get = evhttp_request_get_command(req) == EVHTTP_REQ_GET;
    bool is = (get || strcmp(path, BATCHES) != 0) && take_path(path, &q, &serial);
    enum api_shown shown = is ? api_take_key(f, req, q.key) : API_NOTHING;

    if (is && !get) {
        reply_header(req, "Allow", "GET");
        api_problem(req, HTTP_BADMETHOD, "Method Not Allowed", "not with this method");
    } else if (is && shown == API_NOTHING) {
        api_no_key(req);
    } else if (is) {
        q.by_certificate = shown == API_CERTIFICATE;
        if (text != NULL && evhttp_parse_query_str(text, &parameters) != 0) {
            wrong = "the parameters behind '?' are malformed";
        } else if (text != NULL) {
            wrong = take_parameters(&parameters, &q);
        }
        q.address = front_from(req);
        if (wrong != NULL) {
            api_problem(req, BAD, "Bad Request", wrong);
        } else if (!front_ask_query(f, req, &q)) {
            api_later(req);
        }
        evhttp_clear_headers(&parameters);
    }
    free(serial);
    return is;
}

void api_query_answer(struct evhttp_request *req, const struct service_query_answer *a,
                      struct evbuffer *body)
{
    static const char *const types[] = {[SERVICE_JSON] = "application/json",
                                        [SERVICE_PROBLEM] = "application/problem+json",
                                        [SERVICE_CBOR] = "application/cbor"};

    if (a->code < 200 || a->code > 599 || a->kind > SERVICE_CBOR) {
        api_later(req);
        return;
    }
    if (a->code == 401) {
        reply_header(req, "WWW-Authenticate", "Bearer realm=\"devstamp\"");
    }
    reply_header(req, "Content-Type", types[a->kind]);
    reply_header(req, "Cache-Control", "no-store");
    reply_send(req, (int)a->code, body);
}
