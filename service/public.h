/* A front's public side: lists and OCSP; service/public.c. */
#ifndef SERVICE_PUBLIC_H
#define SERVICE_PUBLIC_H

#include "service/front.h"

/** Before the sandbox. */
STAMP_MUST_USE enum stamp_err public_init(struct front *f, struct stamp_error *err);

/** Answer, where the path is one of these; else false. */
bool public_request(struct front *f, struct evhttp_request *req, const char *path);

/** All requests of the plain HTTP socket. */
void public_http(struct evhttp_request *req, void *front);

/** Those of the socket for who runs the service: /metrics (Prometheus), /healthz,
 * /readyz.
 */
void public_admin(struct evhttp_request *req, void *front);

/** What the status says. */
void public_answer(struct front *f, struct evhttp_request *req,
                   const struct service_ocsp *asked,
                   const struct service_ocsp_answer *answer);
void public_later(struct evhttp_request *req);

/** A new list. @param file  kept */
void public_take_list(struct front *f, const struct service_crl *list, int file);

#endif
