#include "host/operational.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "host/certificate.h"
#include "host/leaf_own.h"
#include "host/pki.h"

struct stamp_operational_maker {
    EVP_PKEY *key;
    EVP_PKEY_CTX *signer;
    uint8_t purpose;
    time_t not_after; /* the issuer's */
    struct stampi_part issuer;
    struct stampi_part authority_key;
};

enum stamp_err stamp_operational_new(const X509 *issuer, EVP_PKEY *key,
                                     struct stamp_operational_maker **out,
                                     struct stamp_error *err)
{
    struct stamp_binding b;
    struct stamp_operational_maker *m;
    enum stamp_err rc = stamp_binding_read(issuer, &b, err);

    *out = NULL;
    if (rc == STAMP_OK && !b.present) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                             "the certificate authority states no purpose");
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    m = calloc(1, sizeof *m);
    if (m == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    m->purpose = b.purpose;
    if (EVP_PKEY_up_ref(key) == 1) {
        m->key = key;
        m->signer = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    }
    if (m->signer == NULL || EVP_PKEY_sign_init(m->signer) != 1 ||
        !stamp_pki_time(X509_get0_notAfter(issuer), &m->not_after) ||
        !stampi_part_issuer(&m->issuer, issuer) ||
        !stampi_part_authority_key(&m->authority_key, issuer)) {
        stamp_operational_free(&m);
        return stamp_openssl_failed(err, "cannot prepare operational certificates");
    }
    *out = m;
    return STAMP_OK;
}

void stamp_operational_free(struct stamp_operational_maker **p)
{
    if (*p == NULL) {
        return;
    }
    EVP_PKEY_CTX_free((*p)->signer);
    EVP_PKEY_free((*p)->key);
    free(*p);
    *p = NULL;
}

/* An extension of the birth certificate as it is; nothing where there is none. */
static void put_extension(struct stamp_der *d, const struct stamp_certificate *birth,
                          int at)
{
    unsigned char *der = NULL;
    int len =
        at < 0 ? 0
               : i2d_X509_EXTENSION(sk_X509_EXTENSION_value(birth->extensions, at), &der);

    if (at >= 0 && len <= 0) {
        d->full = true;
    } else if (len > 0) {
        stamp_der_raw(d, der, (size_t)len);
    }
    OPENSSL_free(der);
}

static void put_tbs(struct stamp_der *d, const struct stamp_operational_maker *m,
                    const struct stamp_operational *what,
                    const struct stamp_certificate *birth, const struct stamp_binding *b)
{
    put_extension(d, birth, b->present ? b->at : -1);
    put_extension(d, birth,
                  X509v3_get_ext_by_NID(birth->extensions, NID_subject_alt_name, -1));
    stampi_put_key_usage(d);
    stampi_put_part(d, &m->authority_key);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, 0);
    stamp_der_wrap(d, STAMP_DER_CONTEXT(3), 0);
    stampi_put_key(d, what->point);
    stamp_der_raw(d, birth->subject.p, birth->subject.len);
    stampi_put_validity(d, what->not_before, what->not_after);
    stampi_put_part(d, &m->issuer);
    stampi_put_head(d, what->serial_number);
}

static enum stamp_err check(const struct stamp_operational_maker *m,
                            const struct stamp_operational *what,
                            const struct stamp_certificate *birth,
                            struct stamp_binding *b, struct stamp_error *err)
{
    enum stamp_err rc = stamp_binding_of(birth->extensions, b, err);

    if (rc == STAMP_OK && b->present && b->purpose != m->purpose) {
        rc = stamp_error_set(err, STAMP_E_PURPOSE, 0,
                             "the device is of the other purpose");
    }
    if (rc == STAMP_OK &&
        (what->serial_number[0] == 0 || what->serial_number[0] > 0x7F)) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0,
                             "a certificate's serial number is not positive");
    }
    if (rc == STAMP_OK && (what->not_after <= what->not_before || what->not_before < 0)) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0,
                             "a certificate would end before it begins");
    }
    if (rc == STAMP_OK && what->not_after > m->not_after) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0,
                             "a certificate would outlive its issuer's");
    }
    return rc;
}

enum stamp_err stamp_operational_make(struct stamp_operational_maker *m,
                                      const struct stamp_operational *what, uint8_t *out,
                                      size_t *len, struct stamp_error *err)
{
    STAMP_CERTIFICATE_AUTO birth;
    uint8_t tbs[STAMP_MAX_CERTIFICATE];
    struct stamp_binding b;
    struct stamp_der d;
    enum stamp_err rc = stamp_certificate_open(what->birth, &birth, err);

    *len = 0;
    if (rc == STAMP_OK) {
        rc = check(m, what, &birth, &b, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_der_init(&d, tbs, sizeof tbs);
    put_tbs(&d, m, what, &birth, &b);
    return stampi_leaf_sign(m->signer, &d, out, len, err);
}
