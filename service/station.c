#include "service/station.h"

#include <event2/buffer.h>
#include <string.h>

#include "host/unit_request.h"
#include "service/reply.h"

enum { OK = 200, TYPE = 415 };

void station_answer(struct evhttp_request *req, const struct service_answer *answer)
{
    if (est_has_certificate(req, answer)) {
        reply_bytes(req, OK, "application/pkix-cert", answer->certificate.p,
                    answer->certificate.len);
    }
}

static bool is_cbor(struct evhttp_request *req)
{
    const char *value =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Content-Type");

    return value != NULL && strcmp(value, STAMP_UNIT_REQUEST_TYPE) == 0;
}

static bool read_request(struct evhttp_request *req, struct stamp_unit_request *u,
                         uint8_t sig[STAMP_SIG_SIZE])
{
    struct evbuffer *body = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(body);

    return len > 0 && len <= STAMP_UNIT_REQUEST_MAX &&
           stamp_unit_request_decode((struct stamp_slice){evbuffer_pullup(body, -1), len},
                                     u, sig, NULL) == STAMP_OK;
}

static void sign(struct front *f, struct evhttp_request *req)
{
    struct stamp_unit_request u;
    struct service_unit asked = {.index = 0};

    if (!is_cbor(req)) {
        reply_sentence(req, TYPE, "send a station's request as " STAMP_UNIT_REQUEST_TYPE);
        return;
    }
    if (!read_request(req, &u, asked.sig)) {
        reply_sentence(req, HTTP_BADREQUEST, "this is no request of a station");
        return;
    }
    memcpy(asked.station, u.station, sizeof asked.station);
    memcpy(asked.order, u.order, sizeof asked.order);
    asked.index = u.index;
    memcpy(asked.point, u.point, sizeof asked.point);
    memcpy(asked.digest, u.digest, sizeof asked.digest);
    asked.not_before = u.not_before;
    if (u.has_provisioning) {
        asked.provisioning = (struct stamp_slice){u.provisioning, sizeof u.provisioning};
    }
    asked.from = front_from(req);
    if (!front_ask_unit(f, req, &asked)) {
        est_later(req, false);
    }
}

bool station_request(struct front *f, struct evhttp_request *req, const char *path)
{
    if (strcmp(path, STAMP_UNIT_REQUEST_PATH) != 0) {
        return false;
    }
    if (evhttp_request_get_command(req) != EVHTTP_REQ_POST) {
        reply_header(req, "Allow", "POST");
        reply_sentence(req, HTTP_BADMETHOD, "not with this method");
    } else {
        sign(f, req);
    }
    return true;
}
