/* What the files of the reader share. */
#ifndef SERVICE_READER_OWN_H
#define SERVICE_READER_OWN_H

#include <jansson.h>

#include "host/registry.h"
#include "service/process.h"

#define READER_OK 200u
#define READER_UNAUTHORIZED 401u
#define READER_FORBIDDEN 403u
#define READER_NOT_FOUND 404u
#define READER_UNPROCESSABLE 422u

struct reader {
    const struct stamp_service_setup *setup;
    char where[PATH_MAX];
    struct stamp_registry *registry; /* NULL: out of reach */
    time_t tried_at;                 /* to open it again */
    struct service_channel control;
    struct service_channel front[SERVICE_FRONTS_MAX];
    X509 *log_certificate; /* NULL: the log has no key yet */
    bool stopping;
};

/* An answer that is being made. */
struct reader_reply {
    struct reader *r;
    unsigned front;
    uint64_t id;
    struct stamp_error err;
};

void reader_send(struct reader_reply *r, unsigned code, enum service_body kind,
                 const uint8_t *bytes, size_t len);

/** @param what  taken; NULL where there was no memory */
void reader_send_json(struct reader_reply *r, json_t *what);

/** RFC 9457 */
void reader_refuse(struct reader_reply *r, unsigned code, const char *title,
                   const char *detail);

/** What the registry said, r->err: away is for later, the rest is the question's. */
void reader_refuse_error(struct reader_reply *r, enum stamp_err rc);

json_t *reader_base64(const uint8_t *p, size_t len);

/* ---- answers: reader_devices.c, reader_log.c, reader_lists.c ---- */

void reader_device(struct reader_reply *r, const char *serial);
void reader_devices(struct reader_reply *r, const struct service_query *q);
void reader_receipt(struct reader_reply *r, const char *serial);
void reader_log_head(struct reader_reply *r);
void reader_log_entries(struct reader_reply *r, const struct service_query *q);
/** The path of a leaf, or from one tree to another. */
void reader_log_proof(struct reader_reply *r, const struct service_query *q);
void reader_batches(struct reader_reply *r, const struct service_query *q);
void reader_orders(struct reader_reply *r, const struct service_query *q);
void reader_stations(struct reader_reply *r);
void reader_products(struct reader_reply *r);

#endif
