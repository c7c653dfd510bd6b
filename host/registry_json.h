/*
 * Devices, batches and work orders of the books as text and JSON, for other programs: the
 * command and the service say the same. Keys of a device: serial, state, since, product,
 * batch, fingerprint, certificate_serial, chip, file, certificate (base64); of a whole
 * one also history
 * [{state, at, who, where, why}] and operational [{n, state, at, not_after, who,
 * certificate_serial, certificate}]. What is not there is null.
 */
#ifndef HOST_REGISTRY_JSON_H
#define HOST_REGISTRY_JSON_H

#include <jansson.h>

#include "host/registry_books.h"
#include "host/registry_order.h"

/** What is told of a device in every form; "" where there is nothing. */
struct stamp_registry_text {
    char at[21];
    char batch[12];
    char fingerprint[65];
    char certificate_serial[33];
    char *certificate; /* base64 */
};

/** @param t  end with stamp_registry_text_fini() */
STAMP_MUST_USE enum stamp_err stamp_registry_text_of(const struct stamp_registry_row *row,
                                                     struct stamp_registry_text *t,
                                                     struct stamp_error *err);
void stamp_registry_text_fini(struct stamp_registry_text *t);

/** "intent", "pending", "confirmed", "retired"; "?" where there is no such state. */
const char *stamp_ldevid_state_name(uint32_t state);

/** NULL where there is no memory. */
json_t *stamp_registry_json(const struct stamp_registry_row *row,
                            const struct stamp_registry_text *t);

/** With its history and operational keys. @param keys  so many of the newest
 * @param out  free with json_decref() */
STAMP_MUST_USE enum stamp_err
stamp_registry_json_whole(struct stamp_registry *r, const struct stamp_registry_row *row,
                          size_t keys, json_t **out, struct stamp_error *err);

/** Keys: batch, uid, name, product, state, count, at, who, where, note. NULL where there
 * is no memory. */
json_t *stamp_batch_json(const struct stamp_registry_batch *batch);

/** With volumes [{volume, owner, claimed, made}], balance {reserved, issued, struck, ...,
 * holds} and results [{books, number, volume, imported_at}].
 * @param out  free with json_decref() */
STAMP_MUST_USE enum stamp_err
stamp_batch_json_whole(struct stamp_registry *r, const struct stamp_registry_batch *batch,
                       json_t **out, struct stamp_error *err);

/** Keys: order (its number), id, name, product, station, station_id, state, count,
 * first_counter, prefix (of its certificates' serial numbers), first, last, at,
 * not_after, lock, pop, note, and units that are struck, scrapped, revoked, outstanding,
 * reserved, refused. @param out  free with json_decref() */
STAMP_MUST_USE enum stamp_err stamp_order_json(struct stamp_registry *r,
                                               const struct stamp_registry_order *order,
                                               json_t **out, struct stamp_error *err);

/** With quarantine [{index, serial, why, at}]. */
STAMP_MUST_USE enum stamp_err
stamp_order_json_whole(struct stamp_registry *r, const struct stamp_registry_order *order,
                       json_t **out, struct stamp_error *err);

#endif
