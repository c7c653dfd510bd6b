/*
 * Offers: what a station asks a unit to become (SPEC 13-5), made from a profile; and what
 * the claims of that unit then are, once it has told the public halves and commitments of
 * what it made itself.
 */
#ifndef HOST_OFFER_H
#define HOST_OFFER_H

#include "core/stamp.h"
#include "host/image.h"
#include "host/profile.h"

#define STAMP_OFFER_MAX 6144u

struct stamp_offer_subject {
    const char *serial;
    time_t at; /* made-at */
    uint8_t purpose;
    const uint8_t *owner_hash; /* 32 bytes */
    struct stamp_slice bundle;
    bool show; /* the proof is told to the station */
};

/**
 * @param profile  one with a peer's provisioning key is refused: a device that makes its
 *                 own keys makes that one too
 * @param out      the offer; free with stamp_buffer_free()
 * @retval STAMP_E_UNSUPPORTED  a device cannot put together what the profile asks for;
 *                              `err` names it
 */
STAMP_MUST_USE enum stamp_err stamp_offer_make(const struct stamp_profile *profile,
                                               const struct stamp_offer_subject *subject,
                                               struct stamp_buffer *out,
                                               struct stamp_error *err);

/** SHA-256 that stands for it, SPEC 13-8. */
STAMP_MUST_USE enum stamp_err
stamp_offer_digest(struct stamp_slice offer, uint8_t digest[32], struct stamp_error *err);

/** What a unit says of itself in its request, SPEC 13-12. */
struct stamp_evidence {
    uint8_t challenge[32];
    uint8_t chip[32];
    size_t chip_len;
    uint8_t offer[32];
    bool has_point;
    uint8_t point[STAMP_POINT_SIZE]; /* of the provisioning key it made */
    bool has_commitment[3];          /* of items 32, 33, 34 */
    uint8_t commitment[3][32];
};

/**
 * The claims (SPEC 7-1) of the stamp that a unit makes of an offer.
 *
 * @param out  STAMP_CLAIMS_MAX bytes
 * @retval STAMP_E_FORMAT  no offer
 * @retval STAMP_E_AUTH    the unit made something else than it was asked to make
 */
STAMP_MUST_USE enum stamp_err stamp_offer_claims(struct stamp_slice offer,
                                                 const struct stamp_evidence *evidence,
                                                 uint8_t *out, size_t *len,
                                                 struct stamp_error *err);

/** The payloads of the secret barcodes of an offer, for a label: as the unit makes them.
 *
 * @param pop  text
 * @param n    index of the barcode in the offer
 * @retval STAMP_E_MISSING  there is no barcode `n`
 */
STAMP_MUST_USE enum stamp_err
stamp_offer_barcode(struct stamp_slice offer, const struct stamp_evidence *evidence,
                    struct stamp_slice pop, size_t n, struct stamp_barcode *barcode,
                    char payload[STAMP_MAX_PAYLOAD + 1], struct stamp_error *err);

#endif
