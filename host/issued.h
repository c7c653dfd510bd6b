/*
 * Certificates of the workspace's authority that are no device's (host/registry_issued.h
 * books them): of the service, for TLS, and of registrars, who speak for devices.
 *
 * Contents: v3; serial number; issuer; dates; subject with O and CN; P-256 key; key
 * identifiers; basicConstraints CA:FALSE and keyUsage digitalSignature (critical);
 * extendedKeyUsage serverAuth, or clientAuth and cmcRA (RFC 6402 2.10), or OCSPSigning
 * with ocsp-nocheck (RFC 6960 4.2.2.2.1), or emailProtection, of who signs CMS;
 * subjectAltName of a server; the extension of SPEC 7-4 without a digest.
 */
#ifndef HOST_ISSUED_H
#define HOST_ISSUED_H

#include <time.h>

#include "host/leaf.h"
#include "host/openssl.h"
#include "host/registry_issued.h"

#define STAMP_ISSUED_NAMES_MAX 8u

struct stamp_issued_asked {
    enum stamp_issued_kind kind;
    uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE]; /* first byte 0x01..0x7F */
    const uint8_t *point;                                 /* STAMP_POINT_SIZE */
    const char *organization;
    const char *const *name; /* of a server: host names and addresses; of a registrar:
                                one, for people */
    size_t n_names;          /* 1..STAMP_ISSUED_NAMES_MAX */
    uint8_t purpose;
    uint32_t pen;
    time_t not_before, not_after;
};

/** May it stand in a certificate: a host name (letters, digits, '-', '.', a '*' in
 * front), or an IP address? */
bool stamp_issued_is_host(const char *name);

/**
 * Make and sign one.
 *
 * @param der  the caller frees it with OPENSSL_free()
 * @retval STAMP_E_CONFIG  a server's name that is no host name and no address
 * @retval STAMP_E_RANGE   dates or a serial number that cannot be
 */
STAMP_MUST_USE enum stamp_err stamp_issued_make(const struct stamp_issued_asked *asked,
                                                X509 *issuer, EVP_PKEY *key,
                                                uint8_t **der, size_t *len,
                                                struct stamp_error *err);

#endif
