/*
 * The service's API (docs/openapi.json), for commands that do over the network what they
 * do with books at hand.
 */
#ifndef HOST_SERVICE_CLIENT_H
#define HOST_SERVICE_CLIENT_H

#include <jansson.h>

#include "host/https.h"
#include "host/registry_order.h"

#define STAMP_SERVICE_PAGE 100u /* devices that are asked for at once */

/** What was refused, as RFC 9457 has it in `answer`. 401, 403: STAMP_E_AUTH; 404:
 * STAMP_E_MISSING; 503: STAMP_E_BUSY; others: STAMP_E_STATE. */
STAMP_MUST_USE enum stamp_err stamp_service_refused(const char *url, long status,
                                                    struct stamp_slice answer,
                                                    struct stamp_error *err);

struct stamp_service_request {
    const char *path;
    const char *header;      /* one more, "NAME: VALUE"; NULL = none */
    const char *type;        /* of the body */
    struct stamp_slice body; /* p NULL = GET */
};

/**
 * Ask again while the service is away, for `patience_s`.
 *
 * @param out  free with json_decref()
 * @retval STAMP_E_FORMAT  the answer is none
 */
STAMP_MUST_USE enum stamp_err
stamp_service_request(struct stamp_https *h, const char *url,
                      const struct stamp_service_request *request, unsigned patience_s,
                      json_t **out, struct stamp_error *err);

/**
 * GET, or POST a JSON text; asks again while the service is away, for `patience_s`.
 *
 * @param body  JSON; NULL = GET
 * @param out   free with json_decref()
 * @retval STAMP_E_FORMAT  the answer is none
 */
STAMP_MUST_USE enum stamp_err stamp_service_ask(struct stamp_https *h, const char *url,
                                                const char *path, const char *body,
                                                unsigned patience_s, json_t **out,
                                                struct stamp_error *err);

/** A page of devices, as stamp_registry_list(). @param after  serial of the last one of
 * the page before; NULL = the first page. @param max  at most STAMP_SERVICE_PAGE */
STAMP_MUST_USE enum stamp_err
stamp_service_devices(struct stamp_https *h, const char *url,
                      const struct stamp_registry_filter *filter, const char *after,
                      struct stamp_registry_row *rows, size_t max, size_t *n,
                      struct stamp_error *err);

#define STAMP_SERVICE_DEVICES "/api/v1/devices/"

/** A work order as the service tells it: what signing it needs. STAMP_E_FORMAT: it is
 * none. */
STAMP_MUST_USE enum stamp_err stamp_service_order(const json_t *j, const char *url,
                                                  struct stamp_registry_order *out,
                                                  struct stamp_error *err);

/** A path with a name in it. @param name  escaped where it must be; NULL = none
 * @param after  what stands behind it: "" or "/revoke" @param out  to be freed */
STAMP_MUST_USE enum stamp_err stamp_service_path(const char *before, const char *name,
                                                 const char *after, char **out,
                                                 struct stamp_error *err);

#endif
