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

/** What a device showed, once it had proven itself. */
struct stamp_shown {
    struct stamp_journal_device device;
    uint8_t can;  /* parts of a lock that it has: STAMP_UNIT_LOCK_... */
    bool strikes; /* it can be asked for chip and lock */
};

/**
 * Ask the device on the line.
 *
 * @retval STAMP_E_TIMEOUT  nothing answers
 * @retval STAMP_E_AUTH, STAMP_E_PURPOSE, STAMP_E_ROLLBACK, STAMP_E_BLANK, STAMP_E_CORRUPT
 *         it is no device of ours: stamp_returned_strange()
 */
STAMP_MUST_USE enum stamp_err stamp_returned_ask(struct stamp_smp_client *client,
                                                 const struct stamp_trust *trust,
                                                 struct stamp_shown *out,
                                                 struct stamp_error *err);

/** Of an error of stamp_returned_ask(): is it what the device is? Then it is told, and
 * counted in `r`. */
bool stamp_returned_strange(const struct stamp_error *why, stamp_reconcile_tell tell,
                            void *ctx, struct stamp_reconciled *r);

/**
 * Keep what it showed, and compare it with the books. That it does not agree is told and
 * counted in `r`; no failure.
 *
 * @param port  where it was, for who reads what is told
 * @retval STAMP_E_FORMAT  its certificate is none
 */
STAMP_MUST_USE enum stamp_err stamp_returned(const struct stamp_workspace *ws,
                                             const struct stamp_shown *shown,
                                             const char *port, stamp_reconcile_tell tell,
                                             void *ctx, struct stamp_reconciled *r,
                                             struct stamp_error *err);

/** The order that a certificate was signed under, by its number, and the unit's index.
 * STAMP_E_MISSING: its number is of no order on the books. */
STAMP_MUST_USE enum stamp_err stamp_returned_order(struct stamp_registry *books,
                                                   struct stamp_slice certificate,
                                                   struct stamp_registry_order *order,
                                                   uint32_t *index,
                                                   struct stamp_error *err);

#endif
