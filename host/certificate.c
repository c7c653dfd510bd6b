#include "host/certificate.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <string.h>

#include "host/der.h"
#include "host/key.h"
#include "host/leaf.h"

/* TBSCertificate, what nobody asks for as it stands. RFC 5280 4.1. */
typedef struct {
    ASN1_INTEGER *version;
    ASN1_INTEGER *serial;
    X509_ALGOR *algorithm;
    ASN1_TYPE *issuer;
    ASN1_TYPE *validity;
    ASN1_TYPE *subject;
    ASN1_TYPE *key;
    ASN1_BIT_STRING *issuer_id;
    ASN1_BIT_STRING *subject_id;
    STACK_OF(X509_EXTENSION) * extensions;
} TBS;

typedef struct stampi_certificate_own {
    TBS *tbs;
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *signature;
} CERTIFICATE;

DECLARE_ASN1_ITEM(TBS)
DECLARE_ASN1_ITEM(CERTIFICATE)

/* clang-format off */
ASN1_SEQUENCE(TBS) = {
    ASN1_EXP_OPT(TBS, version, ASN1_INTEGER, 0),
    ASN1_SIMPLE(TBS, serial, ASN1_INTEGER),
    ASN1_SIMPLE(TBS, algorithm, X509_ALGOR),
    ASN1_SIMPLE(TBS, issuer, ASN1_ANY),
    ASN1_SIMPLE(TBS, validity, ASN1_ANY),
    ASN1_SIMPLE(TBS, subject, ASN1_ANY),
    ASN1_SIMPLE(TBS, key, ASN1_ANY),
    ASN1_IMP_OPT(TBS, issuer_id, ASN1_BIT_STRING, 1),
    ASN1_IMP_OPT(TBS, subject_id, ASN1_BIT_STRING, 2),
    ASN1_EXP_SEQUENCE_OF_OPT(TBS, extensions, X509_EXTENSION, 3)
} ASN1_SEQUENCE_END(TBS)

ASN1_SEQUENCE(CERTIFICATE) = {
    ASN1_SIMPLE(CERTIFICATE, tbs, TBS),
    ASN1_SIMPLE(CERTIFICATE, algorithm, X509_ALGOR),
    ASN1_SIMPLE(CERTIFICATE, signature, ASN1_BIT_STRING)
} ASN1_SEQUENCE_END(CERTIFICATE)
    /* clang-format on */

    /* In DER, and not in BER: it comes out as it went in. */
    static bool is_der(CERTIFICATE * c, struct stamp_slice der)
{
    unsigned char *again = NULL;
    int len = ASN1_item_i2d((ASN1_VALUE *)c, &again, ASN1_ITEM_rptr(CERTIFICATE));
    bool same = len > 0 && (size_t)len == der.len && memcmp(again, der.p, der.len) == 0;

    OPENSSL_free(again);
    return same;
}

static CERTIFICATE *decode(struct stamp_slice der)
{
    const unsigned char *p = der.p;
    CERTIFICATE *c = NULL;

    if (der.len > 0 && der.len <= STAMP_MAX_CERTIFICATE) {
        c = (CERTIFICATE *)ASN1_item_d2i(NULL, &p, (long)der.len,
                                         ASN1_ITEM_rptr(CERTIFICATE));
    }
    if (c != NULL && p != der.p + der.len) {
        ASN1_item_free((ASN1_VALUE *)c, ASN1_ITEM_rptr(CERTIFICATE));
        c = NULL;
    }
    return c;
}

enum stamp_err stamp_certificate_open(struct stamp_slice der,
                                      struct stamp_certificate *out,
                                      struct stamp_error *err)
{
    CERTIFICATE *c = decode(der);

    memset(out, 0, sizeof *out);
    out->own = c;
    if (c == NULL || c->tbs->subject->type != V_ASN1_SEQUENCE || !is_der(c, der)) {
        stamp_certificate_free(out);
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "a certificate is not X.509 in DER");
    }
    out->subject.p = ASN1_STRING_get0_data(c->tbs->subject->value.sequence);
    out->subject.len = (size_t)ASN1_STRING_length(c->tbs->subject->value.sequence);
    out->extensions = c->tbs->extensions;
    return STAMP_OK;
}

void stamp_certificate_free(struct stamp_certificate *c)
{
    ASN1_item_free((ASN1_VALUE *)c->own, ASN1_ITEM_rptr(CERTIFICATE));
    memset(c, 0, sizeof *c);
}

/* What the element at the beginning of `in` holds; `in` goes behind it. False where there
 * is none of this tag, or not all of it. */
static bool element(struct stamp_slice *in, uint8_t tag, struct stamp_slice *out)
{
    const unsigned char *p = in->p;
    long len;
    int its_tag;
    int its_class;

    /* 0x80: no element; 1: of no length, which is no DER */
    if (in->len == 0 || *p != tag ||
        (ASN1_get_object(&p, &len, &its_tag, &its_class, (long)in->len) & 0x81) != 0) {
        return false;
    }
    *out = (struct stamp_slice){p, (size_t)len};
    in->len -= (size_t)(p - in->p) + (size_t)len;
    in->p = p + len;
    return true;
}

/* Ours begin with 0x01..0x7F, so DER neither adds a byte nor drops one. */
static bool is_number(struct stamp_slice a, const uint8_t *serial)
{
    return a.len == STAMP_CERTIFICATE_SERIAL_SIZE && memcmp(a.p, serial, a.len) == 0;
}

static bool is_key(struct stamp_slice spki, const uint8_t *point)
{
    uint8_t its[STAMP_POINT_SIZE];

    return stamp_key_spki_point(spki, its) && memcmp(its, point, sizeof its) == 0;
}

bool stamp_certificate_is(struct stamp_slice der, const uint8_t *serial,
                          const uint8_t *point)
{
    struct stamp_slice all = der;
    struct stamp_slice in = {NULL, 0};
    struct stamp_slice out = {NULL, 0};
    bool is = element(&all, STAMP_DER_SEQUENCE, &out) && all.len == 0;
    const uint8_t *key;

    all = out;
    is = is && element(&all, STAMP_DER_SEQUENCE, &in) && /* TBSCertificate */
         element(&all, STAMP_DER_SEQUENCE, &out) &&
         element(&all, STAMP_DER_BIT_STRING, &out) && all.len == 0 &&
         element(&in, STAMP_DER_CONTEXT(0), &out) && /* its version */
         element(&in, STAMP_DER_INTEGER, &out) && is_number(out, serial);
    for (unsigned i = 0; i < 4; i++) { /* algorithm, issuer, validity, subject */
        is = is && element(&in, STAMP_DER_SEQUENCE, &out);
    }
    key = in.p;
    is = is && element(&in, STAMP_DER_SEQUENCE, &out) &&
         is_key((struct stamp_slice){key, (size_t)(in.p - key)}, point);
    ERR_clear_error();
    return is;
}
