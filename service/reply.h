/* Answers of a front, over HTTP and HTTPS alike. Each ends the request. */
#ifndef SERVICE_REPLY_H
#define SERVICE_REPLY_H

#include <event2/http.h>
#include <stddef.h>

/** A header of the answer, before that is sent. */
void reply_header(struct evhttp_request *req, const char *name, const char *value);

/** A short answer goes as one TLS record, headers and all. `body` stays the caller's,
 * NULL = none. */
void reply_send(struct evhttp_request *req, int code, struct evbuffer *body);

void reply_bytes(struct evhttp_request *req, int code, const char *type,
                 const void *bytes, size_t len);

/** An error, and a sentence for who reads it. */
void reply_sentence(struct evhttp_request *req, int code, const char *sentence);

#endif
