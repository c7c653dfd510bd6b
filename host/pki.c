#include "host/pki.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cbor.h"
#include "host/file.h"
#include "host/key.h"
#include "host/pki_own.h"

bool stamp_pki_time(const ASN1_TIME *t, time_t *out)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return false;
    }
    *out = timegm(&tm);
    return *out != (time_t)-1;
}

#define PEM_MAX ((size_t)65536)
#define SERIAL_LEN 16

static bool add_text(X509_NAME *name, const char *field, const char *text)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      (const unsigned char *)text, -1, -1, 0) == 1;
}

/* The common name ends in the first bytes of the key's hash: two roots of one company
 * are told apart by eye, and by software that goes by names. */
static bool set_subject(X509 *cert, const struct stampi_certificate *what, EVP_PKEY *key)
{
    char cn[64];
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t hash[32];
    X509_NAME *name = X509_get_subject_name(cert);

    if (stamp_key_point(key, point, NULL) != STAMP_OK ||
        stamp_key_hash(point, hash, NULL) != STAMP_OK) {
        return false;
    }
    (void)snprintf(cn, sizeof cn, "%s %02x%02x%02x%02x (%s)", what->role, hash[0],
                   hash[1], hash[2], hash[3],
                   what->purpose == STAMP_PRODUCTION ? "production" : "development");
    return add_text(name, "O", what->organization) && add_text(name, "CN", cn);
}

static bool set_serial(X509 *cert)
{
    uint8_t bytes[SERIAL_LEN];
    BIGNUM *bn;
    bool ok;

    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        return false;
    }
    bytes[0] = (uint8_t)((bytes[0] & 0x3Fu) | 0x40u); /* positive, and of one length */
    bn = BN_bin2bn(bytes, sizeof bytes, NULL);
    ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
    BN_free(bn);
    return ok;
}

static bool set_dates(X509 *cert, time_t not_before)
{
    return X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &not_before) != NULL &&
           ASN1_TIME_set_string(X509_getm_notAfter(cert), STAMP_FOREVER) == 1;
}

bool stampi_certificate_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    bool ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

bool stampi_certificate_add_purpose(X509 *cert, uint32_t pen, uint8_t purpose)
{
    char oid[STAMP_OID_SIZE];
    uint8_t value[STAMP_BINDING_MAX];
    size_t len = stamp_binding_encode(purpose, NULL, value);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *obj;
    X509_EXTENSION *ext = NULL;
    bool ok;

    stamp_pki_oid(pen, STAMP_ARC_BINDING, oid);
    obj = OBJ_txt2obj(oid, 1);
    if (octets != NULL && obj != NULL &&
        ASN1_OCTET_STRING_set(octets, value, (int)len) == 1) {
        ext = X509_EXTENSION_create_by_OBJ(NULL, obj, 0, octets);
    }
    ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    ASN1_OBJECT_free(obj);
    ASN1_OCTET_STRING_free(octets);
    return ok;
}

bool stampi_certificate_begin(X509 *cert, const struct stampi_certificate *what,
                              EVP_PKEY *key, X509 *issuer)
{
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           set_subject(cert, what, key) &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
           set_dates(cert, what->not_before) && X509_set_pubkey(cert, key) == 1 &&
           stampi_certificate_add(cert, issuer, NID_subject_key_identifier, "hash") &&
           stampi_certificate_add(cert, issuer, NID_authority_key_identifier,
                                  "keyid:always");
}

static bool fill_authority(X509 *cert, const struct stamp_authority *what, EVP_PKEY *key,
                           X509 *issuer)
{
    const struct stampi_certificate own = {what->organization, what->role, what->purpose,
                                           what->not_before};
    char basic[48];
    X509 *above = issuer == NULL ? cert : issuer;

    (void)snprintf(basic, sizeof basic, "critical,CA:TRUE");
    if (what->path_len >= 0) {
        (void)snprintf(basic, sizeof basic, "critical,CA:TRUE,pathlen:%d",
                       what->path_len);
    }
    return stampi_certificate_begin(cert, &own, key, above) &&
           stampi_certificate_add(cert, above, NID_basic_constraints, basic) &&
           stampi_certificate_add(cert, above, NID_key_usage,
                                  "critical,keyCertSign,cRLSign") &&
           stampi_certificate_add_purpose(cert, what->pen, what->purpose);
}

enum stamp_err stamp_pki_authority(const struct stamp_authority *what, EVP_PKEY *key,
                                   X509 *issuer, EVP_PKEY *issuer_key, X509 **out,
                                   struct stamp_error *err)
{
    *out = X509_new();
    if (*out == NULL || !fill_authority(*out, what, key, issuer) ||
        X509_sign(*out, issuer_key, EVP_sha256()) == 0) {
        stamp_free_x509(out);
        return stamp_openssl_failed(err, "cannot make a certificate authority");
    }
    return STAMP_OK;
}

enum stamp_err stamp_pki_encode(X509 *cert, uint8_t **der, size_t *len,
                                struct stamp_error *err)
{
    int n;

    *der = NULL;
    *len = 0;
    n = i2d_X509(cert, der);
    if (n <= 0) {
        return stamp_openssl_failed(err, "cannot encode a certificate");
    }
    *len = (size_t)n;
    return STAMP_OK;
}

enum stamp_err stamp_pki_decode(struct stamp_slice der, X509 **out,
                                struct stamp_error *err)
{
    const unsigned char *p = der.p;
    uint8_t *again = NULL;
    size_t len = 0;
    bool same = false;

    *out = d2i_X509(NULL, &p, (long)der.len);
    if (*out != NULL && stamp_pki_encode(*out, &again, &len, NULL) == STAMP_OK) {
        same = len == der.len && memcmp(again, der.p, len) == 0;
    }
    OPENSSL_free(again);
    if (!same) {
        stamp_free_x509(out);
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "a certificate is not X.509 in DER");
    }
    return STAMP_OK;
}

struct stamp_slice stamp_pki_leaf(struct stamp_slice certificates)
{
    struct stamp_cbor c;

    stamp_cbor_init(&c, certificates.p, certificates.len);
    (void)stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    return stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);
}

enum stamp_err stamp_pki_pem(struct stamp_slice der, char **out, struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = BIO_new(BIO_s_mem());

    *out = NULL;
    if (bio == NULL ||
        PEM_write_bio(bio, PEM_STRING_X509, "", der.p, (long)der.len) <= 0) {
        return stamp_openssl_failed(err, "cannot write a certificate");
    }
    return stamp_bio_text(bio, out, err);
}

enum stamp_err stamp_pki_text(X509 *cert, char **out, struct stamp_error *err)
{
    struct stamp_slice der = {NULL, 0};
    uint8_t *bytes = NULL;
    enum stamp_err rc = stamp_pki_encode(cert, &bytes, &der.len, err);

    *out = NULL;
    der.p = bytes;
    if (rc == STAMP_OK) {
        rc = stamp_pki_pem(der, out, err);
    }
    OPENSSL_free(bytes);
    return rc;
}

enum stamp_err stamp_pki_load(const char *path, X509 **out, struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = NULL;
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_file_read(path, PEM_MAX, &text, &len, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    bio = BIO_new_mem_buf(text, (int)len);
    if (bio != NULL) {
        *out = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    }
    free(text);
    if (*out == NULL) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' holds no certificate", path);
    }
    return STAMP_OK;
}

enum stamp_err stamp_pki_serial(const X509 *cert, char *out, size_t size,
                                struct stamp_error *err)
{
    const X509_NAME *name = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(name, NID_serialNumber, -1);
    const ASN1_STRING *value;
    size_t len;

    out[0] = '\0';
    if (at < 0 || X509_NAME_get_index_by_NID(name, NID_serialNumber, at) >= 0) {
        return stamp_error_set(err, STAMP_E_MISSING, 0,
                               "the certificate's subject has no serialNumber");
    }
    value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    len = (size_t)ASN1_STRING_length(value);
    if (len >= size || memchr(ASN1_STRING_get0_data(value), 0, len) != NULL) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "the certificate's serialNumber is not one");
    }
    memcpy(out, ASN1_STRING_get0_data(value), len);
    out[len] = '\0';
    return STAMP_OK;
}

void stamp_pki_name(const X509 *cert, char *out, size_t size)
{
    STAMP_BIO_AUTO *bio = BIO_new(BIO_s_mem());
    int len;

    out[0] = '\0';
    if (bio == NULL || X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
                                          XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) < 0) {
        return;
    }
    len = BIO_read(bio, out, (int)size - 1);
    out[len > 0 ? len : 0] = '\0';
}
