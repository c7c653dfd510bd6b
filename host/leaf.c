#include "host/leaf.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/leaf_own.h"
#include "host/pki.h"

struct stamp_leaf_maker {
    EVP_PKEY *key;
    EVP_PKEY_CTX *signer;
    uint8_t purpose;
    uint32_t validity_days;
    struct stampi_part issuer;
    struct stampi_part subject;       /* the RDNs before the common name */
    struct stampi_part authority_key; /* the whole extension */
    struct stampi_part hardware_type; /* the OID */
    struct stampi_part binding;       /* the OID */
};

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

static bool keep_subject(struct stamp_leaf_maker *m, const struct stamp_leaf_profile *p)
{
    uint8_t buf[STAMPI_PART_MAX];
    struct stamp_der d;

    stamp_der_init(&d, buf, sizeof buf);
    if (p->organizational_unit != NULL) {
        put_rdn(&d, AT_UNIT, STAMP_DER_UTF8, p->organizational_unit);
    }
    put_rdn(&d, AT_ORG, STAMP_DER_UTF8, p->organization);
    if (p->country != NULL) {
        put_rdn(&d, AT_COUNTRY, STAMP_DER_PRINTABLE, p->country);
    }
    return stampi_part_keep(&m->subject, &d);
}

static bool keep_oid(struct stampi_part *part, const char *dotted)
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
        !stampi_part_issuer(&m->issuer, issuer) ||
        !stampi_part_authority_key(&m->authority_key, issuer) ||
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

static void put_binding(struct stamp_der *d, const struct stamp_leaf_maker *m,
                        const uint8_t *digest)
{
    size_t mark = stamp_der_len(d);
    uint8_t value[STAMP_BINDING_MAX];

    stamp_der_put(d, STAMP_DER_OCTETS, value,
                  stamp_binding_encode(m->purpose, digest, value));
    stampi_put_part(d, &m->binding);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
}

/* SAN { otherName { id-on-hardwareModuleName, [0] { hwType, hwSerialNum } } }: RFC 4108
 */
static void put_hardware_module_name(struct stamp_der *d,
                                     const struct stamp_leaf_maker *m, const char *serial)
{
    size_t mark = stamp_der_len(d);

    stamp_der_put(d, STAMP_DER_OCTETS, serial, strlen(serial));
    stampi_put_part(d, &m->hardware_type);
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
    stampi_put_key_usage(d);
    stampi_put_part(d, &m->authority_key);
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
    stampi_put_part(d, &m->subject);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
}

static void put_tbs(struct stamp_der *d, const struct stamp_leaf_maker *m,
                    const struct stamp_leaf_subject *s)
{
    put_extensions(d, m, s);
    stampi_put_key(d, s->point);
    put_subject(d, m, s);
    stampi_put_validity(
        d, s->not_before,
        m->validity_days == 0 ? 0 : s->not_before + (time_t)m->validity_days * 86400);
    stampi_put_part(d, &m->issuer);
    stampi_put_head(d, s->serial_number);
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
    return d->full ? stampi_leaf_too_long(err) : STAMP_OK;
}

enum stamp_err stamp_leaf_make(struct stamp_leaf_maker *m,
                               const struct stamp_leaf_subject *s, uint8_t *out,
                               size_t *len, struct stamp_error *err)
{
    uint8_t tbs[STAMP_MAX_CERTIFICATE];
    struct stamp_der d;
    enum stamp_err rc;

    *len = 0;
    stamp_der_init(&d, tbs, sizeof tbs);
    rc = make_tbs(&d, m, s, err);
    return rc == STAMP_OK ? stampi_leaf_sign(m->signer, &d, out, len, err) : rc;
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
