#include "host/batchkey.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/key.h"

#define SERIAL_LEN 16
#define PEN_PREFIX "1.3.6.1.4.1."

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

static bool add_text(X509_NAME *name, const char *field, const char *text)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      (const unsigned char *)text, -1, -1, 0) == 1;
}

static bool set_subject(X509 *cert, const struct stamp_batchkey *what, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(cert);
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t hash[32];
    char cn[64];

    if (stamp_key_point(key, point, NULL) != STAMP_OK ||
        stamp_key_hash(point, hash, NULL) != STAMP_OK) {
        return false;
    }
    (void)snprintf(cn, sizeof cn, "batch %02x%02x%02x%02x (%s)", hash[0], hash[1],
                   hash[2], hash[3],
                   what->purpose == STAMP_PRODUCTION ? "production" : "development");
    return add_text(name, "O", what->organization) && add_text(name, "CN", cn);
}

static bool add_conf(X509 *cert, X509 *issuer, int nid, const char *value)
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

static bool add_usage(X509 *cert, X509 *issuer, uint32_t pen)
{
    char oid[STAMP_OID_SIZE];
    char value[STAMP_OID_SIZE + sizeof "critical,"];

    stamp_pki_oid(pen, STAMP_ARC_BATCH_SIGNER, oid);
    (void)snprintf(value, sizeof value, "critical,%s", oid);
    return add_conf(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_conf(cert, issuer, NID_ext_key_usage, value);
}

/* The purpose, as an authority's certificate states it. SPEC 7-4. */
static bool add_purpose(X509 *cert, uint32_t pen, uint8_t purpose)
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

static bool fill(X509 *cert, const struct stamp_batchkey *what, EVP_PKEY *key,
                 X509 *issuer)
{
    time_t not_before = what->not_before;

    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           set_subject(cert, what, key) &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
           X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &not_before) != NULL &&
           ASN1_TIME_set_string(X509_getm_notAfter(cert), STAMP_FOREVER) == 1 &&
           X509_set_pubkey(cert, key) == 1 &&
           add_conf(cert, issuer, NID_subject_key_identifier, "hash") &&
           add_conf(cert, issuer, NID_authority_key_identifier, "keyid:always") &&
           add_conf(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_usage(cert, issuer, what->pen) &&
           add_purpose(cert, what->pen, what->purpose);
}

enum stamp_err stamp_batchkey_certificate(const struct stamp_batchkey *what,
                                          EVP_PKEY *key, X509 *issuer,
                                          EVP_PKEY *issuer_key, X509 **out,
                                          struct stamp_error *err)
{
    *out = X509_new();
    if (*out == NULL || !fill(*out, what, key, issuer) ||
        X509_sign(*out, issuer_key, EVP_sha256()) == 0) {
        stamp_free_x509(out);
        return stamp_openssl_failed(err, "cannot make a batch key's certificate");
    }
    return STAMP_OK;
}

/* In either form, with any PEN: the OID that its own PEN gives. SPEC 7-5. */
static bool is_usage(const ASN1_OBJECT *obj)
{
    char text[STAMP_OID_SIZE];
    char want[STAMP_OID_SIZE];
    unsigned long pen = 0;
    int len = OBJ_obj2txt(text, (int)sizeof text, obj, 1);

    if (len <= 0 || len >= (int)sizeof text) {
        return false;
    }
    if (strncmp(text, PEN_PREFIX, sizeof PEN_PREFIX - 1) == 0) {
        errno = 0;
        pen = strtoul(text + sizeof PEN_PREFIX - 1, NULL, 10);
        if (errno != 0 || pen == 0 || pen > UINT32_MAX) {
            return false;
        }
    }
    stamp_pki_oid((uint32_t)pen, STAMP_ARC_BATCH_SIGNER, want);
    return strcmp(text, want) == 0;
}

static bool has_usage(X509 *cert)
{
    int critical = 0;
    EXTENDED_KEY_USAGE *usage =
        X509_get_ext_d2i(cert, NID_ext_key_usage, &critical, NULL);
    bool ok = usage != NULL && critical == 1 && sk_ASN1_OBJECT_num(usage) == 1 &&
              is_usage(sk_ASN1_OBJECT_value(usage, 0));

    EXTENDED_KEY_USAGE_free(usage);
    return ok;
}

enum stamp_err stamp_batchkey_check(X509 *cert, struct stamp_binding *binding,
                                    struct stamp_error *err)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_binding_read(cert, binding, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (!has_usage(cert) || X509_check_ca(cert) != 0 || key == NULL ||
        stamp_key_point(key, point, NULL) != STAMP_OK || binding->has_digest) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the certificate is not a batch key's");
    }
    return STAMP_OK;
}
