/* What stations exported, sent to a service. */
#ifndef CLI_BUNDLE_ONLINE_H
#define CLI_BUNDLE_ONLINE_H

#include "cli/online.h"
#include "host/reconcile.h"
#include "host/returned.h"

/** What the service has of one station's journal. @param id  SHA-256 of the station CA's
 * certificate @param have  zeros where it has nothing */
STAMP_MUST_USE enum stamp_err bundle_online_have(struct cli_online *o,
                                                 const uint8_t id[32],
                                                 struct stamp_journal_have *have,
                                                 struct stamp_error *err);

/** POST a body that may be long. @param answer  free with json_decref() */
STAMP_MUST_USE enum stamp_err
bundle_online_post(struct cli_online *o, const struct stamp_service_request *request,
                   json_t **answer, struct stamp_error *err);

/** Send a file, in pieces of whole parts. As stamp_reconcile_take(). */
STAMP_MUST_USE enum stamp_err bundle_online_send(struct cli_online *o, const char *path,
                                                 stamp_reconcile_tell tell, void *ctx,
                                                 struct stamp_reconciled *r,
                                                 struct stamp_error *err);

/** The same of bytes. @param name  what they are called, for people */
STAMP_MUST_USE enum stamp_err bundle_online_bytes(struct cli_online *o, const char *name,
                                                  struct stamp_slice bytes,
                                                  stamp_reconcile_tell tell, void *ctx,
                                                  struct stamp_reconciled *r,
                                                  struct stamp_error *err);

/** Tell what an answer of the service tells, and add its counts. */
STAMP_MUST_USE enum stamp_err bundle_online_told(const struct cli_online *o,
                                                 const json_t *answer,
                                                 stamp_reconcile_tell tell, void *ctx,
                                                 struct stamp_reconciled *r,
                                                 struct stamp_error *err);

/** What a device showed, beside the service's books. As stamp_returned(). */
STAMP_MUST_USE enum stamp_err
bundle_online_returned(struct cli_online *o, const struct stamp_shown *shown,
                       const char *port, stamp_reconcile_tell tell, void *ctx,
                       struct stamp_reconciled *r, struct stamp_error *err);

#endif
