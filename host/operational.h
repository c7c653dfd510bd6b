/*
 * Operational certificates (LDevID, IEEE 802.1AR): a new key under the names that a
 * device was born with. Subject, subjectAltName and the extension of SPEC 7-4 are taken
 * from the birth certificate byte for byte; so nobody who asks for one has a say in them
 * (RFC 7030 4.2.2, SPEC 7-11).
 */
#ifndef HOST_OPERATIONAL_H
#define HOST_OPERATIONAL_H

#include <stdint.h>
#include <time.h>

#include "host/leaf.h"

struct stamp_operational_maker;

/**
 * @param issuer, key  the authority; the key is kept until the maker is freed
 * @retval STAMP_E_FORMAT  it states no purpose
 */
STAMP_MUST_USE enum stamp_err stamp_operational_new(const X509 *issuer, EVP_PKEY *key,
                                                    struct stamp_operational_maker **out,
                                                    struct stamp_error *err);
void stamp_operational_free(struct stamp_operational_maker **p);

struct stamp_operational {
    uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE]; /* first byte 0x01..0x7F */
    const uint8_t *point;                                 /* STAMP_POINT_SIZE */
    struct stamp_slice birth;                             /* DER */
    time_t not_before, not_after;
};

/**
 * Make one. Never past the issuer's own end.
 *
 * @param out  at least STAMP_MAX_CERTIFICATE bytes
 * @retval STAMP_E_FORMAT   `birth` is no certificate
 * @retval STAMP_E_PURPOSE  it is of the other purpose
 * @retval STAMP_E_RANGE    a time, or the number, that cannot be
 * @retval STAMP_E_SPACE    it would be longer than STAMP_MAX_CERTIFICATE
 * One caller at a time for one maker.
 */
STAMP_MUST_USE enum stamp_err stamp_operational_make(struct stamp_operational_maker *m,
                                                     const struct stamp_operational *what,
                                                     uint8_t *out, size_t *len,
                                                     struct stamp_error *err);

#endif
