/*
 * Does the device on the line hold the identity that it shows? Its claims, certificates
 * and trust bundle are read and verified as those of an image are, then it must sign a
 * fresh nonce with the key that its certificate names. SPEC 10-6, 10-7.
 */
#ifndef HOST_PROVE_H
#define HOST_PROVE_H

#include "host/smp_client.h"
#include "host/verify.h"

struct stamp_proof {
    struct stamp_identity identity; /* verified */
    struct stamp_info info;         /* as the device says, not verified */
    uint32_t bundle_version;        /* of the trust bundle that it holds; verified */
    uint8_t certificate_hash[32];   /* SHA-256 of the leaf */
};

/**
 * @param which  STAMP_BIRTH: the birth identity; STAMP_NEWEST: the operational one, or
 *               where there is none the birth identity
 * @param out    zeroed on failure
 * @retval STAMP_OK                          proven
 * @retval STAMP_E_AUTH, STAMP_E_PURPOSE     not authentic; `err` says why
 * @retval STAMP_E_BLANK, STAMP_E_CORRUPT    there is no stamp, or a damaged one
 * @retval others                            no answer, or one that is not to SPEC
 */
STAMP_MUST_USE enum stamp_err stamp_prove_device(struct stamp_smp_client *c,
                                                 const struct stamp_trust *trust,
                                                 enum stamp_which which,
                                                 struct stamp_proof *out,
                                                 struct stamp_error *err);

/**
 * The last step alone, for whoever knows the device's key already: it signs a fresh nonce
 * with it. STAMP_E_AUTH: it does not hold that key.
 */
STAMP_MUST_USE enum stamp_err stamp_prove_key(struct stamp_smp_client *c,
                                              enum stamp_which which,
                                              const uint8_t point[STAMP_POINT_SIZE],
                                              struct stamp_error *err);

/** What info says of a device that cannot be asked for more: STAMP_OK where there is a
 * stamp, else STAMP_E_BLANK or STAMP_E_CORRUPT with an error for a person. */
STAMP_MUST_USE enum stamp_err stamp_prove_state(const struct stamp_info *info,
                                                const char *port,
                                                struct stamp_error *err);

#endif
