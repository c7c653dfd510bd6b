/* Any bytes as the body of an EST request: refused, or base64 of DER; and that, or the
 * bytes themselves, as PKCS#10; and as a certificate that is read for its names. Its
 * signature is taken for good, so that what lies behind it is reached. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/certificate.h"
#include "host/pkcs10.h"
#include "host/unit_request.h"
#include "service/est_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int __wrap_ASN1_item_verify(const ASN1_ITEM *it, const X509_ALGOR *alg,
                            const ASN1_BIT_STRING *signature, const void *data,
                            EVP_PKEY *pkey);

int __wrap_ASN1_item_verify(const ASN1_ITEM *it, const X509_ALGOR *alg,
                            const ASN1_BIT_STRING *signature, const void *data,
                            EVP_PKEY *pkey)
{
    return it != NULL && alg != NULL && signature != NULL && data != NULL && pkey != NULL;
}

static void open_request(const uint8_t *der, size_t len)
{
    STAMP_PKCS10_AUTO r;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_pkcs10_open((struct stamp_slice){der, len}, &r, &err);

    if ((rc == STAMP_OK) != (r.subject != NULL) ||
        (rc != STAMP_OK) != (err.what[0] != 0)) {
        abort();
    }
}

/* Where a key is to be made, and what a station asks. */
static void open_others(const uint8_t *p, size_t len)
{
    STAMP_PKCS10_AUTO r;
    struct stamp_unit_request u;
    uint8_t sig[STAMP_SIG_SIZE];
    uint8_t again[STAMP_UNIT_REQUEST_MAX];
    size_t n;
    enum stamp_err rc = stamp_pkcs10_open_keyless((struct stamp_slice){p, len}, &r, NULL);

    if ((rc == STAMP_OK) != (r.subject != NULL)) {
        abort();
    }
    if (stamp_unit_request_decode((struct stamp_slice){p, len}, &u, sig, NULL) ==
        STAMP_OK) {
        stamp_unit_request_encode(&u, sig, again, &n);
        if (n != len || memcmp(again, p, n) != 0) {
            abort(); /* there is one encoding */
        }
    }
}

static void open_certificate(const uint8_t *der, size_t len)
{
    STAMP_CERTIFICATE_AUTO c;
    enum stamp_err rc = stamp_certificate_open((struct stamp_slice){der, len}, &c, NULL);

    if ((rc == STAMP_OK) != (c.subject.p != NULL) ||
        (rc != STAMP_OK && c.extensions != NULL)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t der[EST_BODY_MAX];
    size_t der_len = 1;
    enum est_style style;

    if (est_body_read(data, len, der, &der_len, &style)) {
        if (der_len == 0 || der_len > len) {
            abort();
        }
        open_request(der, der_len);
        open_others(der, der_len);
    } else if (der_len != 0) {
        abort();
    }
    open_request(data, len);
    open_others(data, len);
    open_certificate(data, len);
    return 0;
}
