/* What programs change over the API: read here, done by the books. */
#include <stdlib.h>
#include <string.h>

#include "host/registry_revoke.h"
#include "service/api.h"
#include "service/reply.h"

enum {
    OK = 200,
    BAD = 400,
    UNAUTHORIZED = 401,
    FORBIDDEN = 403,
    CONFLICT = 409,
    WRONG = 422
};

/* An optional text. */
static bool take_text(const json_t *body, const char *name, size_t max,
                      struct stamp_slice *out)
{
    const json_t *value = json_object_get(body, name);

    if (value == NULL) {
        return true;
    }
    *out = (struct stamp_slice){(const uint8_t *)json_string_value(value),
                                json_string_length(value)};
    return out->p != NULL && out->len <= max && stamp_text_ok(out->p, out->len, false);
}

/* What is wrong with it; NULL: nothing. */
static const char *read_state(const json_t *body, struct service_change *c)
{
    static const char *const names[] = {"state", "why", "chip", NULL};
    const char *state = json_string_value(json_object_get(body, "state"));
    enum stamp_registry_state to;

    if (!api_has_only(body, names)) {
        return "a member has a name that means nothing here";
    }
    if (state == NULL || !stamp_registry_state_parse(state, &to)) {
        return "'state' is none of a device";
    }
    if (to == STAMP_REGISTRY_REVOKED) {
        return "to revoke it, say why: POST to revoke";
    }
    c->state = (uint8_t)to;
    if (!take_text(body, "chip", STAMP_REGISTRY_CHIP_SIZE - 1u, &c->chip)) {
        return "'chip' is no text, or too long";
    }
    return take_text(body, "why", STAMP_REGISTRY_TEXT_MAX, &c->why)
               ? NULL
               : "'why' is no text, or too long";
}

static const char *read_revoke(const json_t *body, struct service_change *c)
{
    static const char *const names[] = {"reason", "why", "operational", NULL};
    const char *text = json_string_value(json_object_get(body, "reason"));
    const json_t *operational = json_object_get(body, "operational");
    enum stamp_reason reason;

    if (!api_has_only(body, names)) {
        return "a member has a name that means nothing here";
    }
    if (text == NULL || !stamp_reason_parse(text, &reason)) {
        return "'reason' is none of RFC 5280";
    }
    c->reason = (uint8_t)reason;
    if (operational != NULL && !json_is_boolean(operational)) {
        return "'operational' is neither true nor false";
    }
    if (json_is_true(operational)) {
        c->verb = SERVICE_CHANGE_OPERATIONAL;
    }
    return take_text(body, "why", STAMP_REGISTRY_TEXT_MAX, &c->why)
               ? NULL
               : "'why' is no text, or too long";
}

const char *api_read_change(const json_t *body, struct service_change *c)
{
    return c->verb == SERVICE_CHANGE_STATE ? read_state(body, c) : read_revoke(body, c);
}

static void ask(struct front *f, struct evhttp_request *req, struct service_change *c)
{
    json_t *body = api_take_body(req);
    const char *wrong;

    if (body == NULL) {
        return;
    }
    wrong = api_read_change(body, c);
    c->from = front_from(req);
    if (wrong != NULL) {
        api_problem(req, BAD, "Bad Request", wrong);
    } else if (!front_ask_change(f, req, c)) {
        api_later(req);
    }
    json_decref(body);
}

bool api_change(struct front *f, struct evhttp_request *req, const char *path)
{
    struct service_change c = {.verb = SERVICE_CHANGE_STATE};
    char *serial = NULL;

    if (!api_device_path(path, "/state", &serial)) {
        c.verb = SERVICE_CHANGE_REVOKE;
        if (!api_device_path(path, "/revoke", &serial)) {
            return false;
        }
    }
    c.serial = (struct stamp_slice){(const uint8_t *)serial, strlen(serial)};
    if (evhttp_request_get_command(req) != EVHTTP_REQ_POST) {
        reply_header(req, "Allow", "POST");
        api_problem(req, HTTP_BADMETHOD, "Method Not Allowed", "not with this method");
    } else if (api_take_key(f, req, c.key) == API_NOTHING) {
        api_no_key(req);
    } else {
        ask(f, req, &c);
    }
    free(serial);
    return true;
}

void api_change_answer(struct evhttp_request *req, uint8_t verb,
                       const struct service_change_answer *a)
{
    static const struct {
        int code;
        const char *title, *detail;
    } how[] = {
        [SERVICE_CHANGE_KEY] = {UNAUTHORIZED, "Unauthorized",
                                "there is no such API key or certificate, or it has "
                                "ended"},
        [SERVICE_CHANGE_ROLE] = {FORBIDDEN, "Forbidden",
                                 "the role of this API key may not do that"},
        [SERVICE_CHANGE_NONE] = {HTTP_NOTFOUND, "Not Found", "there is no such device"},
        [SERVICE_CHANGE_CONFLICT] = {CONFLICT, "Conflict",
                                     "it is in a state that does not let it"},
        [SERVICE_CHANGE_WRONG] = {WRONG, "Unprocessable Content", "it cannot be so"},
    };
    char why[201];

    service_text(a->why, why, sizeof why);
    if (a->outcome == SERVICE_CHANGE_DONE) {
        api_give(
            req, OK,
            json_pack("{s:I}",
                      verb == SERVICE_CHANGE_OPERATIONAL ? "certificates" : "changed",
                      (json_int_t)a->n));
    } else if (a->outcome < sizeof how / sizeof *how && how[a->outcome].code != 0) {
        api_problem(req, how[a->outcome].code, how[a->outcome].title,
                    why[0] == '\0' ? how[a->outcome].detail : why);
    } else {
        api_later(req);
    }
}
