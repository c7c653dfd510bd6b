/*
 * A certificate read for its names alone: subject and extensions, as they stand.
 * OpenSSL's X509 makes a key of its key at once, with general decoders, which takes
 * longer than to sign another certificate.
 */
#ifndef HOST_CERTIFICATE_H
#define HOST_CERTIFICATE_H

#include <stdbool.h>

#include "core/stamp.h"
#include "host/openssl.h"

struct stamp_certificate {
    struct stamp_slice subject;            /* its Name, as it stands in what was read */
    STACK_OF(X509_EXTENSION) * extensions; /* NULL = none */
};

/**
 * What it is made of has to be DER, and of the form that RFC 5280 4.1 gives; what issuer,
 * dates, key and signature say is not looked at.
 *
 * @param out  points into `der`; free with stamp_certificate_free()
 * @retval STAMP_E_FORMAT  not such a certificate
 */
STAMP_MUST_USE enum stamp_err stamp_certificate_open(struct stamp_slice der,
                                                     struct stamp_certificate *out,
                                                     struct stamp_error *err);
/** Is it the certificate that was asked for: of this number, and for this key? Its
 * signature is not looked at. @param serial  STAMP_CERTIFICATE_SERIAL_SIZE bytes
 * @param point  STAMP_POINT_SIZE bytes */
bool stamp_certificate_is(struct stamp_slice der, const uint8_t *serial,
                          const uint8_t *point);

void stamp_certificate_free(struct stamp_certificate *c);
#define STAMP_CERTIFICATE_AUTO                                                           \
    __attribute__((cleanup(stamp_certificate_free))) struct stamp_certificate

#endif
