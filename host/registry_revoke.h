/*
 * What is revoked: certificates, with the reason and since when. A device that is revoked
 * takes all of its certificates along; an operational key can be revoked alone, and the
 * device comes back with its birth key.
 */
#ifndef HOST_REGISTRY_REVOKE_H
#define HOST_REGISTRY_REVOKE_H

#include "host/openssl.h"
#include "host/registry.h"

#define STAMP_CA_SIZE 32u

/** CRLReason, RFC 5280 5.3.1; those that a device can have. */
enum stamp_reason {
    STAMP_REASON_UNSPECIFIED = 0,
    STAMP_REASON_KEY_COMPROMISE = 1,
    STAMP_REASON_CA_COMPROMISE = 2,
    STAMP_REASON_AFFILIATION_CHANGED = 3,
    STAMP_REASON_SUPERSEDED = 4,
    STAMP_REASON_CESSATION = 5,
    STAMP_REASON_PRIVILEGE_WITHDRAWN = 9,
    STAMP_REASON_AA_COMPROMISE = 10
};

/** "keyCompromise", as RFC 5280 writes it; "?" for none. */
const char *stamp_reason_name(enum stamp_reason reason);
bool stamp_reason_parse(const char *name, enum stamp_reason *out);

/** An authority, as the books name it: its key identifier. */
struct stamp_ca {
    uint8_t id[STAMP_CA_SIZE];
    size_t len;
};

/** By its certificate. STAMP_E_FORMAT where that has no key identifier. */
STAMP_MUST_USE enum stamp_err stamp_ca_of(const X509 *cert, struct stamp_ca *out,
                                          struct stamp_error *err);

/**
 * Revoke a device for ever: its state, and all of its certificates that have not ended.
 *
 * @retval STAMP_E_MISSING  no such serial
 * @retval STAMP_E_STATE    it is revoked already, or only reserved
 */
STAMP_MUST_USE enum stamp_err stamp_registry_revoke(struct stamp_registry *r,
                                                    const char *serial,
                                                    enum stamp_reason reason, time_t at,
                                                    const char *why,
                                                    struct stamp_error *err);

/** Revoke its operational certificates alone; their keys are retired. @param n  how many
 * there were */
STAMP_MUST_USE enum stamp_err stamp_registry_revoke_operational(struct stamp_registry *r,
                                                                const char *serial,
                                                                enum stamp_reason reason,
                                                                time_t at, size_t *n,
                                                                struct stamp_error *err);

struct stamp_revocation {
    uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE];
    enum stamp_reason reason;
    time_t at;
};

/** One page of an authority's, in the order of serial numbers. Those that ended before
 * `now` are left out. @param after  the last one of the page before; NULL = the first */
STAMP_MUST_USE enum stamp_err
stamp_registry_revocations(struct stamp_registry *r, const struct stamp_ca *ca,
                           time_t now, const struct stamp_revocation *after,
                           struct stamp_revocation *rows, size_t max, size_t *n,
                           struct stamp_error *err);

enum stamp_certificate_status {
    STAMP_CERTIFICATE_GOOD = 0,
    STAMP_CERTIFICATE_REVOKED = 1, /* `out` is set */
    STAMP_CERTIFICATE_UNKNOWN = 2  /* the books know of none with this number */
};

/** What of a certificate? */
STAMP_MUST_USE enum stamp_err stamp_registry_certificate_status(
    struct stamp_registry *r, const struct stamp_ca *ca,
    const uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE],
    enum stamp_certificate_status *status, struct stamp_revocation *out,
    struct stamp_error *err);

/** Grows with each revocation: a list that was made before is old. */
STAMP_MUST_USE enum stamp_err stamp_registry_revocation_mark(struct stamp_registry *r,
                                                             int64_t *mark,
                                                             struct stamp_error *err);

/** The number of the next list. RFC 5280 5.2.3. */
STAMP_MUST_USE enum stamp_err stamp_registry_crl_number(struct stamp_registry *r,
                                                        int64_t *number,
                                                        struct stamp_error *err);

#endif
