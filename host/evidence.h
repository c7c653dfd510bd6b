/*
 * What a device's request for its next certificate says of the device: its birth key
 * vouches for the new key. SPEC 16-6.
 */
#ifndef HOST_EVIDENCE_H
#define HOST_EVIDENCE_H

#include "core/stamp.h"
#include "host/openssl.h"

#define STAMP_EVIDENCE_MAX 256u

struct stamp_rotate_evidence {
    struct stamp_slice challenge; /* 32 bytes, the registrar's */
    struct stamp_slice chip;      /* 0..32 bytes */
    struct stamp_slice in_use;    /* 32 bytes: SHA-256 of the leaf in use */
    struct stamp_slice voucher;
};

/** Where a request's extensions have it; empty where they have none, or two. It lives as
 * long as they do. */
struct stamp_slice stamp_evidence_of(const STACK_OF(X509_EXTENSION) * extensions);

/** @param out  points into `value`. STAMP_E_FORMAT where it is malformed */
STAMP_MUST_USE enum stamp_err stamp_evidence_read(struct stamp_slice value,
                                                  struct stamp_rotate_evidence *out,
                                                  struct stamp_error *err);

/**
 * Does the birth key vouch for this new key?
 *
 * @param point, birth  STAMP_POINT_SIZE bytes each
 * @retval STAMP_E_AUTH  no
 */
STAMP_MUST_USE enum stamp_err stamp_evidence_check(const struct stamp_rotate_evidence *e,
                                                   const uint8_t *point,
                                                   const uint8_t *birth,
                                                   struct stamp_error *err);

#endif
