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

/**
 * Which certificate of our authority does an OCSP request ask for?
 *
 * @param issuer  our authority: by enum service_ocsp_hash
 * @param number  SERVICE_NUMBER_MAX bytes, that `asked` points into
 * @return OCSP_RESPONSE_STATUS_SUCCESSFUL, else the status that says why not
 */
int public_read_ocsp(const struct front_issuer issuer[2], const uint8_t *der, size_t len,
                     struct service_ocsp *asked, uint8_t *number);

/** The request in the path of a GET: base64 in percent-encoding, RFC 6960 A.1.
 * @param der  EST_BODY_MAX bytes. @return false: it is none */
bool public_read_ocsp_path(const char *path, uint8_t *der, size_t *len);

/** What the status says. */
void public_answer(struct front *f, struct evhttp_request *req,
                   const struct service_ocsp *asked,
                   const struct service_ocsp_answer *answer);
void public_later(struct evhttp_request *req);

/** A new list. @param file  kept */
void public_take_list(struct front *f, const struct service_crl *list, int file);

#endif
