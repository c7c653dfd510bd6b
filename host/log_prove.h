/* What the log has of a device, proven: for a receipt (host/log_receipt.h). */
#ifndef HOST_LOG_PROVE_H
#define HOST_LOG_PROVE_H

#include "host/log_receipt.h"
#include "host/registry_log.h"

/**
 * Put all leaves of a device that are under a head on a receipt.
 *
 * @param later  how many leaves are not under it yet
 * @retval STAMP_E_MISSING  there is no such device, or no leaf of it under the head
 */
STAMP_MUST_USE enum stamp_err stamp_log_prove(struct stamp_registry *r,
                                              const char *serial,
                                              const struct stamp_log_head *head,
                                              struct stamp_log_receipt *receipt,
                                              uint64_t *later, struct stamp_error *err);

#endif
