/*
 * PKCS#10 requests (RFC 2986) for a P-256 key, as devices make them. OpenSSL's X509_REQ
 * finds out with its general decoders what kind of key there is, which takes longer than
 * the check of the signature; here the key is compared with the one form that RFC 5480
 * gives it.
 */
#ifndef HOST_PKCS10_H
#define HOST_PKCS10_H

#include <stdbool.h>

#include "core/stamp.h"
#include "host/openssl.h"

struct stamp_pkcs10 {
    uint8_t point[STAMP_POINT_SIZE]; /* of the key that a certificate is asked for */
    X509_NAME *subject;
    STACK_OF(X509_EXTENSION) * extensions; /* what is asked for; NULL = nothing */
    ASN1_STRING *challenge;                /* challengePassword; NULL = none */
    /* RFC 7030 4.4.1: with which key what is answered can be opened. NULL = not said */
    ASN1_OCTET_STRING *decrypt_key; /* a certificate's: its identifier */
    bool decrypt_shared;            /* one that both sides have */
};

/**
 * Read a request and check its signature, with the key that it is for.
 *
 * @param out  free with stamp_pkcs10_free(); empty where this fails
 * @retval STAMP_E_FORMAT  no PKCS#10, or more than one list of extensions or challenge
 *                         password
 * @retval STAMP_E_UNSUPPORTED  its key is no P-256 key
 * @retval STAMP_E_AUTH    its signature is wrong
 */
STAMP_MUST_USE enum stamp_err stamp_pkcs10_open(struct stamp_slice der,
                                                struct stamp_pkcs10 *out,
                                                struct stamp_error *err);

/** As stamp_pkcs10_open(), for who gets a key made: key and signature of the request are
 * whatever (RFC 7030 4.4.1), and `point` is not set. */
STAMP_MUST_USE enum stamp_err stamp_pkcs10_open_keyless(struct stamp_slice der,
                                                        struct stamp_pkcs10 *out,
                                                        struct stamp_error *err);

/** The value of the extension `oid` in a list, a request's or a certificate's; NULL:
 * there is none, or there are two. */
const ASN1_OCTET_STRING *stamp_extension(const STACK_OF(X509_EXTENSION) * list,
                                         const ASN1_OBJECT *oid);

void stamp_pkcs10_free(struct stamp_pkcs10 *r);
#define STAMP_PKCS10_AUTO __attribute__((cleanup(stamp_pkcs10_free))) struct stamp_pkcs10

#endif
