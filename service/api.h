/*
 * The API for programs (/api/v1, described in docs/openapi.json): JSON over HTTPS, with
 * an API key as bearer token or a certificate (stamp apikey). What is refused is told as
 * RFC 9457 has it.
 *
 *     batches                      asked for here, made by the process for them
 *     orders, journals, bundles,   api_factory.c, done by the factory. Bodies beyond
 *     results, reconcile           EST_BODY_MAX are taken behind a GET of the journals on
 *                                  the same connection alone: whose key was admitted
 *     devices/S/state, revoke      api_change.c, done by the books
 *     devices, log, lists          api_query.c, told by the reader
 */
#ifndef SERVICE_API_H
#define SERVICE_API_H

#include <jansson.h>

#include "host/base64.h"
#include "host/journal_entry.h"
#include "service/front.h"

/** False where the path is none of this. */
bool api_request(struct front *f, struct evhttp_request *req, const char *path);

/** What the batches say. @param verb  enum service_batch_verb
 * @param file  of a FETCH, which is taken; -1 = none */
void api_answer(struct evhttp_request *req, uint8_t verb,
                const struct service_batch_answer *answer, int file);

/**
 * The body of a POST to /batches.
 *
 * @param asked     its slices point into `keep` and `stations`
 * @param stations  SERVICE_STATIONS_MAX bytes
 * @param keep      json_decref() it
 * @return NULL, or the sentence that says what is wrong
 */
const char *api_read_order(const void *text, size_t len, struct service_batch *asked,
                           uint8_t *stations, json_t **keep);

/** What is text in a body, and bytes for who is asked. */
struct api_bytes {
    uint8_t digest[32];
    uint8_t certificate[STAMP_BASE64_ROOM(STAMP_MAX_CERTIFICATE)];
    uint8_t chip[STAMP_JOURNAL_CHIP_MAX];
};

/** The body of a POST to a device, an order or the journals, by its verb: NULL, or the
 * sentence that says what is wrong. Slices point into `body` and `bytes`. */
const char *api_read_change(const json_t *body, struct service_change *c);
const char *api_read_factory(const json_t *body, struct service_factory *a,
                             struct api_bytes *bytes);

/** Not now. */
void api_later(struct evhttp_request *req);

/** A refusal. RFC 9457 */
void api_problem(struct evhttp_request *req, int code, const char *title,
                 const char *detail);

/** How who asks shows who he is. */
enum api_shown {
    API_NOTHING = 0,
    API_BEARER = 1,     /* an API key as bearer token */
    API_CERTIFICATE = 2 /* the connection's, whose key he proved to have */
};

/** @param key  SHA-256 of the API key, or of the certificate: by both the books know
 * whose it is */
enum api_shown api_take_key(struct front *f, struct evhttp_request *req,
                            uint8_t key[STAMP_TOKEN_DIGEST_SIZE]);
void api_no_key(struct evhttp_request *req);

/** The header Idempotency-Key. False: it is not there, or too long. */
bool api_take_name(struct evhttp_request *req, struct stamp_slice *name);
void api_no_name(struct evhttp_request *req);

/** A JSON object of the body of a POST. NULL: it is none, and that was answered. */
json_t *api_take_body(struct evhttp_request *req);

/** A SHA-256 in 64 digits. */
bool api_take_digest(const json_t *value, uint8_t out[32]);

/** Are its members all among these? @param names  NULL behind the last */
bool api_has_only(const json_t *body, const char *const *names);

/** An answer in JSON. @param what  taken */
void api_give(struct evhttp_request *req, int code, json_t *what);

/* ---- api_change.c ---- */

/** False where the path is none of what changes a device. */
bool api_change(struct front *f, struct evhttp_request *req, const char *path);

/** What the books say. @param verb  enum service_change_verb */
void api_change_answer(struct evhttp_request *req, uint8_t verb,
                       const struct service_change_answer *answer);

/* ---- api_factory.c ---- */

/** False where the path is none of work orders and journals that change something. */
bool api_factory(struct front *f, struct evhttp_request *req, const char *path);

/** Whoever asks may send bundles over this connection from now on. */
void api_factory_trust(struct evhttp_request *req);

/* ---- api_query.c ---- */

/** The name in a path, between `before` and `end`, decoded: text of at most `max` bytes.
 * @param name  to be freed; NULL where the path is none of that */
bool api_path(const char *path, const char *before, const char *end, size_t max,
              char **name);

/** The serial in "/api/v1/devices/SERIAL" and `end` behind it. */
bool api_device_path(const char *path, const char *end, char **serial);

/** False where the path is none of what the reader answers. */
bool api_query(struct front *f, struct evhttp_request *req, const char *path);

/** What the reader says. @param answer  its last part @param body  all parts */
void api_query_answer(struct evhttp_request *req,
                      const struct service_query_answer *answer, struct evbuffer *body);

#endif
