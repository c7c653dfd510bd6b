/*
 * Units of a work order that get their certificate from the service: booked before it is
 * signed, and again with it, so that nothing of the order is signed twice for two keys,
 * and nothing beyond its count. Inside of a group (host/registry_enrol.h).
 */
#ifndef HOST_REGISTRY_UNIT_H
#define HOST_REGISTRY_UNIT_H

#include "host/registry_enrol.h"
#include "host/registry_order.h"
#include "host/unit_request.h"

/** What is to be signed, or was. */
struct stamp_unit_booked {
    int64_t device;
    char serial[STAMP_SERIAL_SIZE];
    uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE];
    uint8_t *certificate; /* DER; NULL: it is still to be signed */
    size_t certificate_len;
};

void stamp_unit_booked_fini(struct stamp_unit_booked *b);

/**
 * Book that a unit is to be certified, or find that it was: the same key of the same unit
 * gets the same certificate.
 *
 * @param sig      the request's, by the station's journal key
 * @param refusal  NONE, STATION, ORDER, UNIT; KEY_TAKEN: the key is another device's, or
 *                 the unit has another key
 * @param out      ended with stamp_unit_booked_fini()
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_unit_begin(struct stamp_registry *r, const struct stamp_unit_request *u,
                          const uint8_t sig[STAMP_SIG_SIZE], time_t now,
                          enum stamp_refusal *refusal, struct stamp_unit_booked *out,
                          struct stamp_error *err);

/** Book its certificate. A second one is passed over. @param kept  false where it has one
 * already */
STAMP_MUST_USE enum stamp_err stamp_registry_unit_certify(struct stamp_registry *r,
                                                          int64_t device, time_t now,
                                                          struct stamp_slice certificate,
                                                          bool *kept,
                                                          struct stamp_error *err);

/** Its certificate on the books; NULL where it has none. */
STAMP_MUST_USE enum stamp_err stamp_registry_unit_find(struct stamp_registry *r,
                                                       int64_t device,
                                                       struct stamp_unit_booked *out,
                                                       struct stamp_error *err);

#endif
