/*
 * Is it authentic? For images, and for the claims that a live device sends. SPEC 6-2,
 * 7-7, 8.
 *
 * Results everywhere here:
 * @retval STAMP_OK                                authentic
 * @retval STAMP_E_AUTH, STAMP_E_PURPOSE, STAMP_E_ROLLBACK  not; `err` says why
 * @retval other                                   unreadable
 */
#ifndef HOST_VERIFY_H
#define HOST_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/image.h"
#include "host/trust.h"

/** Who it is. */
struct stamp_identity {
    char serial[STAMP_MAX_TEXT + 1u];
    char company[STAMP_MAX_TEXT + 1u];
    char product[STAMP_MAX_TEXT + 1u];
    uint8_t purpose;
    uint8_t owner_key_hash[32];
    uint8_t point[STAMP_POINT_SIZE]; /* the key that the certificate names */
    bool bound;                      /* SPEC 7-6: whoever verifies says so */
};

/** True where a result means "not authentic" rather than "unreadable". */
bool stamp_verify_refused(enum stamp_err rc);

/**
 * Check claims (the encoding of SPEC 7-1) against certificates (the encoding of key 49),
 * as a live device sends both. That the device holds the key is for the caller to prove.
 *
 * @param out  filled on success, zeroed otherwise
 */
STAMP_MUST_USE enum stamp_err stamp_verify_claims(struct stamp_slice claims,
                                                  struct stamp_slice certificates,
                                                  const struct stamp_trust *trust,
                                                  struct stamp_identity *out,
                                                  struct stamp_error *err);

/** Check the whole of an image: chain, binding, keys, bundle, banks. */
STAMP_MUST_USE enum stamp_err stamp_verify_image(const struct stamp_image *img,
                                                 const struct stamp_trust *trust,
                                                 struct stamp_identity *out,
                                                 struct stamp_error *err);

#endif
