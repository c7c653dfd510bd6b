/* What the files of the reader share. */
#ifndef SERVICE_READER_OWN_H
#define SERVICE_READER_OWN_H

#include <jansson.h>

#include "host/registry.h"
#include "service/answer.h"
#include "service/process.h"

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
    struct service_asker to;
    struct stamp_error err;
};

/** What the registry said, r->err: away is for later, the rest is the question's. */
void reader_refuse_error(struct reader_reply *r, enum stamp_err rc);

/* ---- answers: reader_devices.c, reader_log.c, reader_lists.c ---- */

/** Is it SHA-256 of a certificate of this device, that is good? */
STAMP_MUST_USE enum stamp_err reader_is_of(struct reader_reply *r, const char *serial,
                                           const uint8_t digest[32], bool *is);

void reader_device(struct reader_reply *r, const char *serial);
void reader_devices(struct reader_reply *r, const struct service_query *q);
void reader_receipt(struct reader_reply *r, const char *serial);
/** As stamp_registry_sealed_find(). */
void reader_pop(struct reader_reply *r, const char *serial);
void reader_log_head(struct reader_reply *r);
void reader_log_entries(struct reader_reply *r, const struct service_query *q);
/** The path of a leaf, or from one tree to another. */
void reader_log_proof(struct reader_reply *r, const struct service_query *q);
/** By what people call it. */
void reader_batch(struct reader_reply *r, const char *name);
void reader_order(struct reader_reply *r, const char *name);
void reader_batches(struct reader_reply *r, const struct service_query *q);
void reader_orders(struct reader_reply *r, const struct service_query *q);
void reader_stations(struct reader_reply *r);
void reader_products(struct reader_reply *r);

#endif
