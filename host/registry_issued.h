/*
 * Certificates of the workspace's authority that are no device's: the service's own, and
 * those of registrars, who enrol devices in their name. On the books before they are
 * signed, as all are.
 */
#ifndef HOST_REGISTRY_ISSUED_H
#define HOST_REGISTRY_ISSUED_H

#include "host/registry.h"

/** The numbers are in the database: append-only. */
enum stamp_issued_kind {
    STAMP_ISSUED_SERVER = 1,
    STAMP_ISSUED_REGISTRAR = 2,
    STAMP_ISSUED_OCSP = 3, /* who answers for the authority: RFC 6960 4.2.2.2 */
    STAMP_ISSUED_MAKER = 4 /* who makes keys for devices: RFC 7030 4.4.2 */
};

struct stamp_issued {
    uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE];
    enum stamp_issued_kind kind;
    char name[STAMP_REGISTRY_TEXT_SIZE];
    uint8_t fingerprint[32]; /* of its key */
    time_t at, not_after;
    char who[STAMP_REGISTRY_TEXT_SIZE];
    uint8_t *certificate; /* DER */
    size_t certificate_len;
};

void stamp_issued_fini(struct stamp_issued *i);

/** Book what will be signed; in a transaction of its own. `who` is the registry's. */
STAMP_MUST_USE enum stamp_err stamp_registry_issued_add(struct stamp_registry *r,
                                                        const struct stamp_issued *what,
                                                        struct stamp_error *err);

/** Book its certificate. STAMP_E_STATE where it has one, or was not booked. */
STAMP_MUST_USE enum stamp_err
stamp_registry_issued_certify(struct stamp_registry *r,
                              const uint8_t serial[STAMP_CERTIFICATE_SERIAL_SIZE],
                              struct stamp_slice certificate, struct stamp_error *err);

/** The newest with this key. STAMP_E_MISSING where there is none. End with
 * stamp_issued_fini() */
STAMP_MUST_USE enum stamp_err
stamp_registry_issued_find_key(struct stamp_registry *r, const uint8_t fingerprint[32],
                               struct stamp_issued *out, struct stamp_error *err);

#endif
