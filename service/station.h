/*
 * What stations that are on line ask over HTTPS: birth certificates for the units of
 * their work orders (host/unit_request.h, SPEC 17).
 */
#ifndef SERVICE_STATION_H
#define SERVICE_STATION_H

#include "service/front.h"

/** False where the path is none of this. */
bool station_request(struct front *f, struct evhttp_request *req, const char *path);

/** What the books say. */
void station_answer(struct evhttp_request *req, const struct service_answer *answer);

#endif
