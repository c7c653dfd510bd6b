/*
 * What a station that is on line asks of the service: a birth certificate for one unit of
 * its work order. It is signed by the station's journal key, so that whoever carries it
 * cannot ask for another. SPEC 17.
 */
#ifndef HOST_UNIT_REQUEST_H
#define HOST_UNIT_REQUEST_H

#include "core/stamp.h"
#include "host/order.h"
#include "host/sig.h"

#define STAMP_UNIT_REQUEST_PATH "/api/v1/station/sign"
#define STAMP_UNIT_REQUEST_TYPE "application/cbor"
#define STAMP_UNIT_REQUEST_MAX 512u /* bytes, in whole */
#define STAMP_UNIT_PAYLOAD_MAX 400u

struct stamp_unit_request {
    uint8_t station[32]; /* SHA-256 of the station CA's certificate */
    uint8_t order[STAMP_ORDER_ID_SIZE];
    uint32_t index;
    uint8_t point[STAMP_POINT_SIZE]; /* of the device key */
    uint8_t digest[32];              /* of the claims */
    uint64_t not_before;             /* as the certificate is to say */
    bool has_provisioning;
    uint8_t provisioning[STAMP_POINT_SIZE]; /* of the provisioning key */
};

/** What is signed, with the label STAMP_LABEL_UNIT. @param out  STAMP_UNIT_PAYLOAD_MAX
 * bytes */
void stamp_unit_request_payload(const struct stamp_unit_request *u, uint8_t *out,
                                size_t *len);

/** Digest of that, for a key that signs digests: the station's, in its token. */
STAMP_MUST_USE enum stamp_err
stamp_unit_request_digest(const struct stamp_unit_request *u, uint8_t digest[32],
                          struct stamp_error *err);

/** With its signature, as it is sent. @param out  STAMP_UNIT_REQUEST_MAX bytes */
void stamp_unit_request_encode(const struct stamp_unit_request *u,
                               const uint8_t sig[STAMP_SIG_SIZE], uint8_t *out,
                               size_t *len);

/** Read one; its signature is not checked. Only the one encoding that there is, is taken.
 *
 * @retval STAMP_E_FORMAT   no such request
 * @retval STAMP_E_VERSION  made by a newer program
 */
STAMP_MUST_USE enum stamp_err stamp_unit_request_decode(struct stamp_slice in,
                                                        struct stamp_unit_request *u,
                                                        uint8_t sig[STAMP_SIG_SIZE],
                                                        struct stamp_error *err);

/** Did the key sign it? STAMP_E_AUTH where it did not. */
STAMP_MUST_USE enum stamp_err stamp_unit_request_check(const struct stamp_unit_request *u,
                                                       EVP_PKEY *key,
                                                       const uint8_t sig[STAMP_SIG_SIZE],
                                                       struct stamp_error *err);

#endif
