/*
 * A stamp as JSON, for other programs. Keys: serial, company, product, model,
 * hardware_revision, purpose, made_at, device_key {algorithm, public_key}, certificates,
 * trust_anchors, proof_of_possession, provisioning_key {kind, algorithm, public_key,
 * private_key}, barcodes [{symbology, payload}], fields, bound. What is not there, and
 * without `secrets` what is secret, is null.
 */
#ifndef HOST_JSON_H
#define HOST_JSON_H

#include <jansson.h>

#include "host/image.h"

/** What counts now: items of the current operational bank before those of birth. */
void stamp_json_current(const struct stamp_image *img, struct stamp *out);

/** Is the leaf bound to the stamp, by its own words? Not a verification. */
bool stamp_json_bound(const struct stamp_image *img);

/** RFC 3339, UTC. */
void stamp_json_time(uint32_t seconds, char out[21]);

/** @param out  free with json_decref() */
STAMP_MUST_USE enum stamp_err stamp_json(const struct stamp_image *img, bool secrets,
                                         json_t **out, struct stamp_error *err);

#endif
