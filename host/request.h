/*
 * A unit's request for a certificate: PKCS#10 with what SPEC 13-11 and 13-12 put into its
 * extensions.
 */
#ifndef HOST_REQUEST_H
#define HOST_REQUEST_H

#include "core/stamp.h"
#include "host/offer.h"

struct stamp_request {
    uint8_t point[STAMP_POINT_SIZE]; /* of the device key */
    char serial[65];                 /* the subject's serialNumber */
    uint8_t purpose;
    uint8_t digest[32]; /* of the claims, as the certificate is to bind them */
    struct stamp_evidence evidence;
};

/** OID of the extension with a request's evidence. SPEC 13-12. */
#define STAMP_REQUEST_EVIDENCE                                                           \
    "1.2.840.113556.1.8000.2554.37814.16545.17066.18216.35878.28763.12531.52370.3"

/**
 * Read a request and check its signature, with the key that it is for.
 *
 * @retval STAMP_E_FORMAT  not such a request
 * @retval STAMP_E_UNSUPPORTED  for another key than a P-256 key
 * @retval STAMP_E_AUTH    its signature is wrong
 */
STAMP_MUST_USE enum stamp_err stamp_request_read(struct stamp_slice der,
                                                 struct stamp_request *out,
                                                 struct stamp_error *err);

/** What a request must answer to. */
struct stamp_request_asked {
    const uint8_t *challenge; /* 32 bytes */
    struct stamp_slice chip;  /* as the unit gave it before; empty = not asked */
    struct stamp_slice offer;
    const char *serial;
    uint8_t purpose;
};

/**
 * Is it the answer to this challenge, of this chip, to this offer, and is the digest that
 * of the claims which follow from both?
 *
 * @param claims  those claims; STAMP_CLAIMS_MAX bytes
 * @retval STAMP_E_AUTH, STAMP_E_PURPOSE  it is not; `err` says what differs
 */
STAMP_MUST_USE enum stamp_err stamp_request_check(const struct stamp_request *r,
                                                  const struct stamp_request_asked *asked,
                                                  uint8_t *claims, size_t *claims_len,
                                                  struct stamp_error *err);

#endif
