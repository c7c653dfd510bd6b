/*
 * Device certificates (IEEE 802.1AR) in bulk. What all certificates of one run share is
 * taken once from the authority's certificate; each one is then put together as DER and
 * signed, without the X509 objects that make up most of the time otherwise.
 *
 * Contents: v3; serial number; issuer; notBefore; subject with C, O, OU, CN where given
 * and serialNumber; P-256 key; authorityKeyIdentifier; keyUsage digitalSignature
 * (critical); subjectAltName with HardwareModuleName; the extension of SPEC 7-4. No
 * subjectKeyIdentifier.
 */
#ifndef HOST_LEAF_H
#define HOST_LEAF_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/stamp.h"
#include "host/openssl.h"

#define STAMP_CERTIFICATE_SERIAL_SIZE 16u

/** What all leaves of a run share. Texts are borrowed during stamp_leaf_new(). */
struct stamp_leaf_profile {
    const char *country; /* two capitals; NULL = none */
    const char *organization;
    const char *organizational_unit; /* NULL = none */
    const char *hardware_type_oid;   /* dotted; NULL = SPEC 7-13's */
    uint32_t pen;
    uint8_t purpose;
    uint32_t validity_days; /* 0 = 99991231235959Z */
};

/** What one leaf has of its own. */
struct stamp_leaf_subject {
    uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE]; /* first byte 0x01..0x7F */
    const char *serial;                                   /* the device's */
    const char *common_name;
    const uint8_t *point;  /* STAMP_POINT_SIZE */
    const uint8_t *digest; /* 32 bytes; NULL = unbound: no extension at all */
    time_t not_before;
};

struct stamp_leaf_maker;

/**
 * @param issuer, key  the authority; the key is kept until the maker is freed. Without
 *                     key the maker is for stamp_leaf_tbs() alone
 * @retval STAMP_E_PURPOSE  the authority is for the other purpose
 */
STAMP_MUST_USE enum stamp_err stamp_leaf_new(const struct stamp_leaf_profile *profile,
                                             const X509 *issuer, EVP_PKEY *key,
                                             struct stamp_leaf_maker **out,
                                             struct stamp_error *err);

void stamp_leaf_free(struct stamp_leaf_maker **p);

/**
 * Make one certificate.
 *
 * @param out  at least STAMP_MAX_CERTIFICATE bytes
 * @retval STAMP_E_SPACE  it would be longer than that
 * One caller at a time for one maker.
 */
STAMP_MUST_USE enum stamp_err stamp_leaf_make(struct stamp_leaf_maker *m,
                                              const struct stamp_leaf_subject *s,
                                              uint8_t *out, size_t *len,
                                              struct stamp_error *err);

/** As stamp_leaf_make(), but only what is to be signed: for keys that are not OpenSSL's.
 */
STAMP_MUST_USE enum stamp_err stamp_leaf_tbs(const struct stamp_leaf_maker *m,
                                             const struct stamp_leaf_subject *s,
                                             uint8_t *out, size_t *len,
                                             struct stamp_error *err);

/** The certificate of that and its signature, r then s. @param out  as
 * stamp_leaf_make() */
STAMP_MUST_USE enum stamp_err stamp_leaf_signed(struct stamp_slice tbs,
                                                const uint8_t signature[64], uint8_t *out,
                                                size_t *len, struct stamp_error *err);

#endif
