/*
 * What certificates made from DER templates have in common: host/leaf.c for births,
 * host/operational.c for what replaces them in use.
 */
#ifndef HOST_LEAF_OWN_H
#define HOST_LEAF_OWN_H

#include "host/der.h"
#include "host/leaf.h"

#define STAMPI_PART_MAX 512u

/* DER that is the same in every certificate of a run. */
struct stampi_part {
    uint8_t bytes[STAMPI_PART_MAX];
    size_t len;
};

/** What was written to `d`; false where it does not fit. */
bool stampi_part_keep(struct stampi_part *part, const struct stamp_der *d);

/** The subject of an authority, for its certificates' issuer. */
bool stampi_part_issuer(struct stampi_part *part, const X509 *issuer);

/** The extension that names its key. */
bool stampi_part_authority_key(struct stampi_part *part, const X509 *issuer);

/* In the order in which they are put, the end of a certificate first. */
void stampi_put_part(struct stamp_der *d, const struct stampi_part *part);
/** keyUsage, critical: digitalSignature. */
void stampi_put_key_usage(struct stamp_der *d);
/** SubjectPublicKeyInfo of P-256. */
void stampi_put_key(struct stamp_der *d, const uint8_t point[STAMP_POINT_SIZE]);
/** UTCTime until 2049, from then on GeneralizedTime. RFC 5280 4.1.2.5, 5.1.2.4 */
void stampi_put_time(struct stamp_der *d, time_t when);
/** AlgorithmIdentifier of ecdsa-with-SHA256. */
void stampi_put_ecdsa(struct stamp_der *d);
/** @param not_after  0 = 99991231235959Z */
void stampi_put_validity(struct stamp_der *d, time_t not_before, time_t not_after);
/** ecdsa-with-SHA256, serial number, version 3; and the SEQUENCE around all that is in
 * `d`: a TBSCertificate. Its issuer comes before this. */
void stampi_put_head(struct stamp_der *d,
                     const uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE]);

enum stamp_err stampi_leaf_too_long(struct stamp_error *err);

/** Sign what is in `d` and put the certificate together. @param out  as
 * stamp_leaf_make() */
STAMP_MUST_USE enum stamp_err stampi_leaf_sign(EVP_PKEY_CTX *signer,
                                               const struct stamp_der *tbs, uint8_t *out,
                                               size_t *len, struct stamp_error *err);

#endif
