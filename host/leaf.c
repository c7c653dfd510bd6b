#include "host/leaf.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/der.h"
#include "host/pki.h"

#define PART_MAX 512u

/* DER that is the same in every certificate of the run. */
struct part {
    uint8_t bytes[PART_MAX];
    size_t len;
};

struct stamp_leaf_maker {
    EVP_PKEY *key;
    EVP_PKEY_CTX *signer;
    uint8_t purpose;
    uint32_t validity_days;
    struct part issuer;
    struct part subject;       /* the RDNs before the common name */
    struct part authority_key; /* the whole extension */
    struct part hardware_type; /* the OID */
    struct part binding;       /* the OID */
};

static const uint8_t version3[] = {0xA0, 0x03, 0x02, 0x01, 0x02};
static const uint8_t ecdsa_sha256[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                       0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
/* SubjectPublicKeyInfo of P-256 up to the point */
static const uint8_t p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
                                    0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
                                    0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
/* keyUsage, critical, digitalSignature */
static const uint8_t key_usage[] = {0x30, 0x0E, 0x06, 0x03, 0x55, 0x1D, 0x0F, 0x01,
                                    0x01, 0xFF, 0x04, 0x04, 0x03, 0x02, 0x07, 0x80};
static const uint8_t oid_alt_name[] = {0x06, 0x03, 0x55, 0x1D, 0x11};
static const uint8_t oid_hardware_module_name[] = {0x06, 0x08, 0x2B, 0x06, 0x01,
                                                   0x05, 0x05, 0x07, 0x08, 0x04};
/* attribute types 2.5.4.N */
enum { AT_COMMON_NAME = 3, AT_SERIAL = 5, AT_COUNTRY = 6, AT_ORG = 10, AT_UNIT = 11 };

static void put_rdn(struct stamp_der *d, uint8_t attribute, uint8_t tag, const char *text)
{
    uint8_t oid[] = {0x06, 0x03, 0x55, 0x04, attribute};
    size_t mark = stamp_der_len(d);

    stamp_der_put(d, tag, text, strlen(text));
    stamp_der_raw(d, oid, sizeof oid);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
    stamp_der_wrap(d, STAMP_DER_SET, mark);
}

static bool keep(struct part *part, const struct stamp_der *d)
{
    part->len = stamp_der_len(d);
    if (d->full || part->len > sizeof part->bytes) {
        return false;
    }
    memcpy(part->bytes, stamp_der_bytes(d), part->len);
    return true;
}

static bool keep_subject(struct stamp_leaf_maker *m, const struct stamp_leaf_profile *p)
{
    uint8_t buf[PART_MAX];
    struct stamp_der d;

    stamp_der_init(&d, buf, sizeof buf);
    if (p->organizational_unit != NULL) {
        put_rdn(&d, AT_UNIT, STAMP_DER_UTF8, p->organizational_unit);
    }
    put_rdn(&d, AT_ORG, STAMP_DER_UTF8, p->organization);
    if (p->country != NULL) {
        put_rdn(&d, AT_COUNTRY, STAMP_DER_PRINTABLE, p->country);
    }
    return keep(&m->subject, &d);
}

static bool keep_issuer(struct stamp_leaf_maker *m, const X509 *issuer)
{
    X509_NAME *name = X509_get_subject_name(issuer);
    unsigned char *p = m->issuer.bytes;
    int len = i2d_X509_NAME(name, NULL);

    if (len <= 0 || (size_t)len > sizeof m->issuer.bytes) {
        return false;
    }
    m->issuer.len = (size_t)i2d_X509_NAME(name, &p);
    return true;
}

static bool keep_authority_key(struct stamp_leaf_maker *m, const X509 *issuer)
{
    static const uint8_t oid[] = {0x06, 0x03, 0x55, 0x1D, 0x23};
    ASN1_OCTET_STRING *ski =
        X509_get_ext_d2i(issuer, NID_subject_key_identifier, NULL, NULL);
    uint8_t buf[PART_MAX];
    struct stamp_der d;

    if (ski == NULL) {
        return false;
    }
    stamp_der_init(&d, buf, sizeof buf);
    stamp_der_put(&d, 0x80, ASN1_STRING_get0_data(ski), (size_t)ASN1_STRING_length(ski));
    ASN1_OCTET_STRING_free(ski);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    stamp_der_wrap(&d, STAMP_DER_OCTETS, 0);
    stamp_der_raw(&d, oid, sizeof oid);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    return keep(&m->authority_key, &d);
}

static bool keep_oid(struct part *part, const char *dotted)
{
    ASN1_OBJECT *obj = OBJ_txt2obj(dotted, 1);
    unsigned char *p = part->bytes;
    int len = obj == NULL ? 0 : i2d_ASN1_OBJECT(obj, NULL);

    if (len > 0 && (size_t)len <= sizeof part->bytes) {
        part->len = (size_t)i2d_ASN1_OBJECT(obj, &p);
    }
    ASN1_OBJECT_free(obj);
    return part->len > 0;
}

static bool keep_oids(struct stamp_leaf_maker *m, const struct stamp_leaf_profile *p)
{
    char oid[STAMP_OID_SIZE];

    stamp_pki_oid(p->pen, STAMP_ARC_BINDING, oid);
    if (!keep_oid(&m->binding, oid)) {
        return false;
    }
    stamp_pki_oid(p->pen, STAMP_ARC_HARDWARE_TYPE, oid);
    return keep_oid(&m->hardware_type,
                    p->hardware_type_oid == NULL ? oid : p->hardware_type_oid);
}

static enum stamp_err check_purpose(const X509 *issuer, uint8_t purpose,
                                    struct stamp_error *err)
{
    struct stamp_binding b;
    enum stamp_err rc = stamp_binding_read(issuer, &b, err);

    if (rc == STAMP_OK && b.present && b.purpose != purpose) {
        rc = stamp_error_set(
            err, STAMP_E_PURPOSE, 0, "the certificate authority is for %s",
            b.purpose == STAMP_PRODUCTION ? "production" : "development");
    }
    return rc;
}

enum stamp_err stamp_leaf_new(const struct stamp_leaf_profile *profile,
                              const X509 *issuer, EVP_PKEY *key,
                              struct stamp_leaf_maker **out, struct stamp_error *err)
{
    struct stamp_leaf_maker *m;
    enum stamp_err rc = check_purpose(issuer, profile->purpose, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    m = calloc(1, sizeof *m);
    if (m == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    m->purpose = profile->purpose;
    m->validity_days = profile->validity_days;
    if (key != NULL && EVP_PKEY_up_ref(key) == 1) {
        m->key = key;
        m->signer = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    }
    if ((key != NULL && (m->signer == NULL || EVP_PKEY_sign_init(m->signer) != 1)) ||
        !keep_issuer(m, issuer) || !keep_authority_key(m, issuer) ||
        !keep_subject(m, profile) || !keep_oids(m, profile)) {
        stamp_leaf_free(&m);
        return stamp_openssl_failed(err, "cannot prepare device certificates");
    }
    *out = m;
    return STAMP_OK;
}

void stamp_leaf_free(struct stamp_leaf_maker **p)
{
    if (*p == NULL) {
        return;
    }
    EVP_PKEY_CTX_free((*p)->signer);
    EVP_PKEY_free((*p)->key);
    free(*p);
    *p = NULL;
}

static void put_part(struct stamp_der *d, const struct part *part)
{
    stamp_der_raw(d, part->bytes, part->len);
}

static void put_binding(struct stamp_der *d, const struct stamp_leaf_maker *m,
                        const uint8_t *digest)
{
    size_t mark = stamp_der_len(d);
    uint8_t value[STAMP_BINDING_MAX];

    stamp_der_put(d, STAMP_DER_OCTETS, value,
                  stamp_binding_encode(m->purpose, digest, value));
    put_part(d, &m->binding);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
}

/* SAN { otherName { id-on-hardwareModuleName, [0] { hwType, hwSerialNum } } }: RFC 4108
 */
static void put_hardware_module_name(struct stamp_der *d,
                                     const struct stamp_leaf_maker *m, const char *serial)
{
    size_t mark = stamp_der_len(d);

    stamp_der_put(d, STAMP_DER_OCTETS, serial, strlen(serial));
    put_part(d, &m->hardware_type);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
    stamp_der_wrap(d, STAMP_DER_CONTEXT(0), mark);
    stamp_der_raw(d, oid_hardware_module_name, sizeof oid_hardware_module_name);
    stamp_der_wrap(d, STAMP_DER_CONTEXT(0), mark);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
    stamp_der_wrap(d, STAMP_DER_OCTETS, mark);
    stamp_der_raw(d, oid_alt_name, sizeof oid_alt_name);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
}

static void put_extensions(struct stamp_der *d, const struct stamp_leaf_maker *m,
                           const struct stamp_leaf_subject *s)
{
    size_t mark = stamp_der_len(d);

    if (s->digest != NULL) {
        put_binding(d, m, s->digest);
    }
    put_hardware_module_name(d, m, s->serial);
    stamp_der_raw(d, key_usage, sizeof key_usage);
    put_part(d, &m->authority_key);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
    stamp_der_wrap(d, STAMP_DER_CONTEXT(3), mark);
}

static void put_subject(struct stamp_der *d, const struct stamp_leaf_maker *m,
                        const struct stamp_leaf_subject *s)
{
    size_t mark = stamp_der_len(d);

    put_rdn(d, AT_SERIAL, STAMP_DER_PRINTABLE, s->serial);
    if (s->common_name != NULL && s->common_name[0] != '\0') {
        put_rdn(d, AT_COMMON_NAME, STAMP_DER_UTF8, s->common_name);
    }
    put_part(d, &m->subject);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
}

/* RFC 5280 4.1.2.5: UTCTime up to 2049, GeneralizedTime from then on. */
static void put_time(struct stamp_der *d, time_t when)
{
    struct tm tm;
    char text[24];

    if (gmtime_r(&when, &tm) == NULL) {
        d->full = true;
        return;
    }
    if (tm.tm_year >= 50 && tm.tm_year < 150) {
        (void)strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm);
        stamp_der_put(d, STAMP_DER_UTC_TIME, text + 2, strlen(text + 2));
    } else {
        (void)strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm);
        stamp_der_put(d, STAMP_DER_GENERALIZED_TIME, text, strlen(text));
    }
}

static void put_validity(struct stamp_der *d, const struct stamp_leaf_maker *m,
                         time_t not_before)
{
    size_t mark = stamp_der_len(d);

    if (m->validity_days == 0) {
        stamp_der_put(d, STAMP_DER_GENERALIZED_TIME, STAMP_FOREVER,
                      sizeof STAMP_FOREVER - 1);
    } else {
        put_time(d, not_before + (time_t)m->validity_days * 86400);
    }
    put_time(d, not_before);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
}

static enum stamp_err too_long(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_SPACE, 0,
                           "the certificate is longer than %u bytes",
                           STAMP_MAX_CERTIFICATE);
}

static void put_tbs(struct stamp_der *d, const struct stamp_leaf_maker *m,
                    const struct stamp_leaf_subject *s)
{
    put_extensions(d, m, s);
    stamp_der_raw(d, s->point, STAMP_POINT_SIZE);
    stamp_der_raw(d, p256_head, sizeof p256_head);
    put_subject(d, m, s);
    put_validity(d, m, s->not_before);
    put_part(d, &m->issuer);
    stamp_der_raw(d, ecdsa_sha256, sizeof ecdsa_sha256);
    stamp_der_put(d, STAMP_DER_INTEGER, s->serial_number, sizeof s->serial_number);
    stamp_der_raw(d, version3, sizeof version3);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, 0);
}

/* What is signed, at the end of `d`'s buffer. */
static enum stamp_err make_tbs(struct stamp_der *d, const struct stamp_leaf_maker *m,
                               const struct stamp_leaf_subject *s,
                               struct stamp_error *err)
{
    if (s->serial_number[0] == 0 || s->serial_number[0] > 0x7F) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "a certificate's serial number is not positive");
    }
    put_tbs(d, m, s);
    return d->full ? too_long(err) : STAMP_OK;
}

/* @param sig  room for the byte that says "no unused bits", then the signature */
static enum stamp_err put_certificate(const uint8_t *tbs, size_t tbs_len,
                                      const uint8_t *sig, size_t sig_len, uint8_t *out,
                                      size_t *len, struct stamp_error *err)
{
    struct stamp_der d;

    stamp_der_init(&d, out, STAMP_MAX_CERTIFICATE);
    stamp_der_put(&d, STAMP_DER_BIT_STRING, sig, 1 + sig_len);
    stamp_der_raw(&d, ecdsa_sha256, sizeof ecdsa_sha256);
    stamp_der_raw(&d, tbs, tbs_len);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    if (d.full) {
        return too_long(err);
    }
    *len = stamp_der_len(&d);
    memmove(out, stamp_der_bytes(&d), *len);
    return STAMP_OK;
}

enum stamp_err stamp_leaf_make(struct stamp_leaf_maker *m,
                               const struct stamp_leaf_subject *s, uint8_t *out,
                               size_t *len, struct stamp_error *err)
{
    uint8_t tbs[STAMP_MAX_CERTIFICATE];
    uint8_t sig[1 + 72] = {0}; /* no unused bits, then the signature */
    uint8_t hash[32];
    size_t sig_len = sizeof sig - 1;
    struct stamp_der d;
    enum stamp_err rc;

    *len = 0;
    stamp_der_init(&d, tbs, sizeof tbs);
    rc = make_tbs(&d, m, s, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (EVP_Digest(stamp_der_bytes(&d), stamp_der_len(&d), hash, NULL, stamp_sha256(),
                   NULL) != 1 ||
        EVP_PKEY_sign(m->signer, sig + 1, &sig_len, hash, sizeof hash) != 1) {
        return stamp_openssl_failed(err, "cannot sign a certificate");
    }
    return put_certificate(stamp_der_bytes(&d), stamp_der_len(&d), sig, sig_len, out, len,
                           err);
}

enum stamp_err stamp_leaf_tbs(const struct stamp_leaf_maker *m,
                              const struct stamp_leaf_subject *s, uint8_t *out,
                              size_t *len, struct stamp_error *err)
{
    struct stamp_der d;
    enum stamp_err rc;

    *len = 0;
    stamp_der_init(&d, out, STAMP_MAX_CERTIFICATE);
    rc = make_tbs(&d, m, s, err);
    if (rc == STAMP_OK) {
        *len = stamp_der_len(&d);
        memmove(out, stamp_der_bytes(&d), *len);
    }
    return rc;
}

/* INTEGER, positive and shortest. */
static void put_integer(struct stamp_der *d, const uint8_t v[32])
{
    uint8_t number[33] = {0};
    size_t at = 1;

    memcpy(number + 1, v, 32);
    while (at < 32 && number[at] == 0) {
        at++;
    }
    at -= number[at] > 0x7F ? 1 : 0;
    stamp_der_put(d, STAMP_DER_INTEGER, number + at, sizeof number - at);
}

enum stamp_err stamp_leaf_signed(struct stamp_slice tbs, const uint8_t signature[64],
                                 uint8_t *out, size_t *len, struct stamp_error *err)
{
    uint8_t sig[1 + 72] = {0};
    uint8_t buf[72];
    struct stamp_der d;

    *len = 0;
    stamp_der_init(&d, buf, sizeof buf);
    put_integer(&d, signature + 32);
    put_integer(&d, signature);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    memcpy(sig + 1, stamp_der_bytes(&d), stamp_der_len(&d));
    return put_certificate(tbs.p, tbs.len, sig, stamp_der_len(&d), out, len, err);
}
