/*
 * A device that came back, beside the books: it proves who it is, then key, certificate,
 * chip and lock are compared with what headquarters knows. What it showed is kept with
 * the journals, where `stamp reconcile --rebuild` finds it.
 */
#ifndef HOST_RETURNED_H
#define HOST_RETURNED_H

#include "host/reconcile.h"
#include "host/registry_order.h"
#include "host/smp_client.h"
#include "host/trust.h"

/**
 * Ask the device on the line. That it does not agree, or is no device of ours, is told
 * and counted in `r`; no failure.
 *
 * @retval STAMP_E_TIMEOUT  nothing answers
 */
STAMP_MUST_USE enum stamp_err
stamp_returned(const struct stamp_workspace *ws, struct stamp_smp_client *client,
               const struct stamp_trust *trust, stamp_reconcile_tell tell, void *ctx,
               struct stamp_reconciled *r, struct stamp_error *err);

/** The order that a certificate was signed under, by its number, and the unit's index.
 * STAMP_E_MISSING: its number is of no order on the books. */
STAMP_MUST_USE enum stamp_err stamp_returned_order(struct stamp_registry *books,
                                                   struct stamp_slice certificate,
                                                   struct stamp_registry_order *order,
                                                   uint32_t *index,
                                                   struct stamp_error *err);

#endif
