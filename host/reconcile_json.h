/*
 * What reconciling tells, as JSON: for programs, and for a service that does it for
 * somebody else. Keys: of an order order (its name), station, expected, made, unproven,
 * signed_only, begun, moved, scrapped, not_begun, too_many, refused; of all that is told
 * what, station, text, and order where it is one.
 */
#ifndef HOST_RECONCILE_JSON_H
#define HOST_RECONCILE_JSON_H

#include <jansson.h>

#include "host/reconcile.h"

/** What an export without a file is called in what is told. */
#define STAMP_RECONCILE_SENT "the export"

/** NULL where there is no memory. */
json_t *stamp_reconcile_order_json(const struct stamp_reconcile_told *told);
json_t *stamp_reconcile_told_json(const struct stamp_reconcile_told *told);

/** The other way. @param told, order  borrow from `j`; false: it is none */
bool stamp_reconcile_told_read(const json_t *j, struct stamp_reconcile_told *told,
                               struct stamp_reconcile_order *order);

/** Counts: parts, damaged, new_entries, known_entries, forks, booked, problems. */
json_t *stamp_reconciled_json(const struct stamp_reconciled *r);

/** Add the counts of `j`. */
void stamp_reconciled_add(struct stamp_reconciled *r, const json_t *j);

#endif
