/* The parts of a certificate, as DER. */
#include <openssl/x509v3.h>
#include <string.h>

#include "host/key.h"
#include "host/leaf_own.h"
#include "host/pki.h"

static const uint8_t version3[] = {0xA0, 0x03, 0x02, 0x01, 0x02};
static const uint8_t ecdsa_sha256[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                       0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
static const uint8_t key_usage[] = {0x30, 0x0E, 0x06, 0x03, 0x55, 0x1D, 0x0F, 0x01,
                                    0x01, 0xFF, 0x04, 0x04, 0x03, 0x02, 0x07, 0x80};

bool stampi_part_keep(struct stampi_part *part, const struct stamp_der *d)
{
    part->len = stamp_der_len(d);
    if (d->full || part->len > sizeof part->bytes) {
        return false;
    }
    memcpy(part->bytes, stamp_der_bytes(d), part->len);
    return true;
}

bool stampi_part_issuer(struct stampi_part *part, const X509 *issuer)
{
    X509_NAME *name = X509_get_subject_name(issuer);
    unsigned char *p = part->bytes;
    int len = i2d_X509_NAME(name, NULL);

    if (len <= 0 || (size_t)len > sizeof part->bytes) {
        return false;
    }
    part->len = (size_t)i2d_X509_NAME(name, &p);
    return true;
}

bool stampi_part_authority_key(struct stampi_part *part, const X509 *issuer)
{
    static const uint8_t oid[] = {0x06, 0x03, 0x55, 0x1D, 0x23};
    ASN1_OCTET_STRING *ski =
        X509_get_ext_d2i(issuer, NID_subject_key_identifier, NULL, NULL);
    uint8_t buf[STAMPI_PART_MAX];
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
    return stampi_part_keep(part, &d);
}

void stampi_put_part(struct stamp_der *d, const struct stampi_part *part)
{
    stamp_der_raw(d, part->bytes, part->len);
}

void stampi_put_ecdsa(struct stamp_der *d)
{
    stamp_der_raw(d, ecdsa_sha256, sizeof ecdsa_sha256);
}

void stampi_put_key_usage(struct stamp_der *d)
{
    stamp_der_raw(d, key_usage, sizeof key_usage);
}

void stampi_put_key(struct stamp_der *d, const uint8_t point[STAMP_POINT_SIZE])
{
    uint8_t spki[STAMP_SPKI_SIZE];

    stamp_key_spki(point, spki);
    stamp_der_raw(d, spki, sizeof spki);
}

/* RFC 5280 4.1.2.5: UTCTime up to 2049, GeneralizedTime from then on. */
void stampi_put_time(struct stamp_der *d, time_t when)
{
    struct tm tm;
    char text[24];

    if (gmtime_r(&when, &tm) == NULL) {
        d->full = true;
        return;
    }
    (void)strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm);
    if (tm.tm_year >= 50 && tm.tm_year < 150) {
        stamp_der_put(d, STAMP_DER_UTC_TIME, text + 2, strlen(text + 2));
    } else {
        stamp_der_put(d, STAMP_DER_GENERALIZED_TIME, text, strlen(text));
    }
}

void stampi_put_validity(struct stamp_der *d, time_t not_before, time_t not_after)
{
    size_t mark = stamp_der_len(d);

    if (not_after == 0) {
        stamp_der_put(d, STAMP_DER_GENERALIZED_TIME, STAMP_FOREVER,
                      sizeof STAMP_FOREVER - 1);
    } else {
        stampi_put_time(d, not_after);
    }
    stampi_put_time(d, not_before);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, mark);
}

void stampi_put_head(struct stamp_der *d,
                     const uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE])
{
    stampi_put_ecdsa(d);
    stamp_der_put(d, STAMP_DER_INTEGER, serial_number, STAMP_CERTIFICATE_SERIAL_SIZE);
    stamp_der_raw(d, version3, sizeof version3);
    stamp_der_wrap(d, STAMP_DER_SEQUENCE, 0);
}

enum stamp_err stampi_leaf_too_long(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_SPACE, 0,
                           "the certificate is longer than %u bytes",
                           STAMP_MAX_CERTIFICATE);
}

/* @param sig  room for the byte that says "no unused bits", then the signature */
static enum stamp_err put_certificate(const uint8_t *tbs, size_t tbs_len,
                                      const uint8_t *sig, size_t sig_len, uint8_t *out,
                                      size_t *len, struct stamp_error *err)
{
    struct stamp_der d;

    stamp_der_init(&d, out, STAMP_MAX_CERTIFICATE);
    stamp_der_put(&d, STAMP_DER_BIT_STRING, sig, 1 + sig_len);
    stampi_put_ecdsa(&d);
    stamp_der_raw(&d, tbs, tbs_len);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    if (d.full) {
        return stampi_leaf_too_long(err);
    }
    *len = stamp_der_len(&d);
    memmove(out, stamp_der_bytes(&d), *len);
    return STAMP_OK;
}

enum stamp_err stampi_leaf_sign(EVP_PKEY_CTX *signer, const struct stamp_der *tbs,
                                uint8_t *out, size_t *len, struct stamp_error *err)
{
    uint8_t sig[1 + 72] = {0}; /* no unused bits, then the signature */
    uint8_t hash[32];
    size_t sig_len = sizeof sig - 1;

    if (tbs->full) {
        return stampi_leaf_too_long(err);
    }
    if (EVP_Digest(stamp_der_bytes(tbs), stamp_der_len(tbs), hash, NULL, stamp_sha256(),
                   NULL) != 1 ||
        EVP_PKEY_sign(signer, sig + 1, &sig_len, hash, sizeof hash) != 1) {
        return stamp_openssl_failed(err, "cannot sign a certificate");
    }
    return put_certificate(stamp_der_bytes(tbs), stamp_der_len(tbs), sig, sig_len, out,
                           len, err);
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
