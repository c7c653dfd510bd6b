#include "host/certificate.h"

#include <openssl/err.h>
#include <string.h>

#include "host/der.h"
#include "host/key.h"
#include "host/leaf.h"

/* issuerUniqueID and subjectUniqueID are primitive. RFC 5280 4.1. */
#define ISSUER_ID 0x81u
#define SUBJECT_ID 0x82u

/* Of a TBSCertificate, as it stands. */
struct parts {
    struct stamp_slice number;     /* its octets */
    struct stamp_slice subject;    /* the Name, whole */
    struct stamp_slice key;        /* SubjectPublicKeyInfo, whole */
    struct stamp_slice extensions; /* the SEQUENCE, whole; of no length: none */
};

/* As stamp_der_next(), with its head. */
static bool whole(struct stamp_slice *in, uint8_t tag, struct stamp_slice *out)
{
    const uint8_t *from = in->p;
    struct stamp_slice content;

    if (!stamp_der_next(in, tag, &content)) {
        return false;
    }
    *out = (struct stamp_slice){from, (size_t)(in->p - from)};
    return true;
}

static bool optional(struct stamp_slice *in, uint8_t tag, struct stamp_slice *out)
{
    return in->len == 0 || *in->p != tag || stamp_der_next(in, tag, out);
}

/* RFC 5280 4.1 */
static bool take_apart(struct stamp_slice der, struct parts *parts)
{
    struct stamp_slice all;
    struct stamp_slice tbs;
    struct stamp_slice skipped;
    struct stamp_slice list = {NULL, 0};

    memset(parts, 0, sizeof *parts);
    return der.len <= STAMP_MAX_CERTIFICATE &&
           stamp_der_next(&der, STAMP_DER_SEQUENCE, &all) && der.len == 0 &&
           stamp_der_next(&all, STAMP_DER_SEQUENCE, &tbs) &&
           stamp_der_next(&all, STAMP_DER_SEQUENCE, &skipped) && /* signatureAlgorithm */
           stamp_der_next(&all, STAMP_DER_BIT_STRING, &skipped) && all.len == 0 &&
           optional(&tbs, STAMP_DER_CONTEXT(0), &skipped) && /* version */
           stamp_der_next(&tbs, STAMP_DER_INTEGER, &parts->number) &&
           stamp_der_next(&tbs, STAMP_DER_SEQUENCE, &skipped) && /* signature */
           stamp_der_next(&tbs, STAMP_DER_SEQUENCE, &skipped) && /* issuer */
           stamp_der_next(&tbs, STAMP_DER_SEQUENCE, &skipped) && /* validity */
           whole(&tbs, STAMP_DER_SEQUENCE, &parts->subject) &&
           whole(&tbs, STAMP_DER_SEQUENCE, &parts->key) &&
           optional(&tbs, ISSUER_ID, &skipped) && optional(&tbs, SUBJECT_ID, &skipped) &&
           optional(&tbs, STAMP_DER_CONTEXT(3), &list) && tbs.len == 0 &&
           (list.p == NULL ||
            (whole(&list, STAMP_DER_SEQUENCE, &parts->extensions) && list.len == 0));
}

enum stamp_err stamp_certificate_open(struct stamp_slice der,
                                      struct stamp_certificate *out,
                                      struct stamp_error *err)
{
    struct parts parts;
    bool ok = take_apart(der, &parts);
    const unsigned char *p = parts.extensions.p;

    memset(out, 0, sizeof *out);
    if (ok && p != NULL) {
        out->extensions = d2i_X509_EXTENSIONS(NULL, &p, (long)parts.extensions.len);
        ok = out->extensions != NULL && p == parts.extensions.p + parts.extensions.len;
    }
    if (!ok) {
        stamp_certificate_free(out);
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "a certificate is not X.509 in DER");
    }
    out->subject = parts.subject;
    return STAMP_OK;
}

void stamp_certificate_free(struct stamp_certificate *c)
{
    sk_X509_EXTENSION_pop_free(c->extensions, X509_EXTENSION_free);
    memset(c, 0, sizeof *c);
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
    struct parts parts;
    bool is = take_apart(der, &parts) && is_number(parts.number, serial) &&
              is_key(parts.key, point);

    ERR_clear_error();
    return is;
}
