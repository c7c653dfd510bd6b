#include "service/reply.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <string.h>

enum { SENTENCE_MAX = 200, RECORD_MAX = 16384 };

void reply_header(struct evhttp_request *req, const char *name, const char *value)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(req), name, value);
}

void reply_send(struct evhttp_request *req, int code, struct evbuffer *body)
{
    struct evhttp_connection *con = evhttp_request_get_connection(req);
    struct evbuffer *out;

    evhttp_send_reply(req, code, NULL, body);
    if (con == NULL) {
        return;
    }
    out = bufferevent_get_output(evhttp_connection_get_bufferevent(con));
    if (evbuffer_get_length(out) <= RECORD_MAX) {
        (void)evbuffer_pullup(out, -1);
    }
}

void reply_bytes(struct evhttp_request *req, int code, const char *type,
                 const void *bytes, size_t len)
{
    struct evbuffer *body = evbuffer_new();

    reply_header(req, "Content-Type", type);
    if (body != NULL) {
        (void)evbuffer_add(body, bytes, len);
    }
    reply_send(req, code, body);
    if (body != NULL) {
        evbuffer_free(body);
    }
}

void reply_sentence(struct evhttp_request *req, int code, const char *sentence)
{
    char line[SENTENCE_MAX];

    (void)snprintf(line, sizeof line, "%s\n", sentence);
    reply_bytes(req, code, "text/plain; charset=utf-8", line, strlen(line));
}
