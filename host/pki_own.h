/* What every certificate that is made with X509 objects shares: authorities and signers.
 * The many of devices are made in leaf.c. */
#ifndef HOST_PKI_OWN_H
#define HOST_PKI_OWN_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct stampi_certificate {
    const char *organization;
    const char *role; /* begins the common name */
    uint8_t purpose;
    time_t not_before; /* there is no end: STAMP_FOREVER */
};

/** Version, serial number, names, dates, key, and the two key identifiers. */
bool stampi_certificate_begin(X509 *cert, const struct stampi_certificate *what,
                              EVP_PKEY *key, X509 *issuer);

/** Add an extension, in the words of OpenSSL's configuration. */
bool stampi_certificate_add(X509 *cert, X509 *issuer, int nid, const char *value);

/** Add the extension that states the purpose, without a digest. SPEC 7-4. */
bool stampi_certificate_add_purpose(X509 *cert, uint32_t pen, uint8_t purpose);

#endif
