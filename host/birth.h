/*
 * Birth certificates of devices that made their own keys, as a profile has them: a
 * station puts together what is to be signed, and its token signs it; or the service
 * puts the same together, and signs.
 */
#ifndef HOST_BIRTH_H
#define HOST_BIRTH_H

#include "host/leaf.h"
#include "host/profile.h"

/** What all device certificates of a profile have in common; borrows its texts. */
void stamp_leaf_profile_of(const struct stamp_profile *p, uint8_t purpose,
                           struct stamp_leaf_profile *leaf);

struct stamp_birth {
    uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE];
    const char *serial;
    const uint8_t *point;        /* STAMP_POINT_SIZE */
    const uint8_t *digest;       /* 32 bytes, of the claims */
    const uint8_t *provisioning; /* STAMP_POINT_SIZE; NULL = none */
    time_t not_before;
};

struct stamp_birth_maker;

/**
 * @param profile      borrowed until the maker is freed
 * @param issuer, key  as stamp_leaf_new() takes them
 */
STAMP_MUST_USE enum stamp_err
stamp_birth_new(const struct stamp_profile *profile, uint8_t purpose, const X509 *issuer,
                EVP_PKEY *key, struct stamp_birth_maker **out, struct stamp_error *err);
void stamp_birth_free(struct stamp_birth_maker **p);

/** Make one, or what is to be signed of it: as stamp_leaf_make() and stamp_leaf_tbs(). */
STAMP_MUST_USE enum stamp_err stamp_birth_make(struct stamp_birth_maker *m,
                                               const struct stamp_birth *b, uint8_t *out,
                                               size_t *len, struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stamp_birth_tbs(const struct stamp_birth_maker *m,
                                              const struct stamp_birth *b, uint8_t *out,
                                              size_t *len, struct stamp_error *err);

#endif
