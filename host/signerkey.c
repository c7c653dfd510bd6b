#include "host/signerkey.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/key.h"
#include "host/pki_own.h"

#define PEN_PREFIX "1.3.6.1.4.1."

static const char *role_of(enum stamp_arc arc)
{
    return arc == STAMP_ARC_LOG_SIGNER ? "log" : "batch";
}

static bool add_usage(X509 *cert, X509 *issuer, const struct stamp_signerkey *what)
{
    char oid[STAMP_OID_SIZE];
    char value[STAMP_OID_SIZE + sizeof "critical,"];

    stamp_pki_oid(what->pen, what->arc, oid);
    (void)snprintf(value, sizeof value, "critical,%s", oid);
    return stampi_certificate_add(cert, issuer, NID_key_usage,
                                  "critical,digitalSignature") &&
           stampi_certificate_add(cert, issuer, NID_ext_key_usage, value);
}

static bool fill(X509 *cert, const struct stamp_signerkey *what, EVP_PKEY *key,
                 X509 *issuer)
{
    const struct stampi_certificate own = {what->organization, role_of(what->arc),
                                           what->purpose, what->not_before};

    return stampi_certificate_begin(cert, &own, key, issuer) &&
           stampi_certificate_add(cert, issuer, NID_basic_constraints,
                                  "critical,CA:FALSE") &&
           add_usage(cert, issuer, what) &&
           stampi_certificate_add_purpose(cert, what->pen, what->purpose);
}

enum stamp_err stamp_signerkey_certificate(const struct stamp_signerkey *what,
                                           EVP_PKEY *key, X509 *issuer,
                                           EVP_PKEY *issuer_key, X509 **out,
                                           struct stamp_error *err)
{
    *out = X509_new();
    if (*out == NULL || !fill(*out, what, key, issuer) ||
        X509_sign(*out, issuer_key, EVP_sha256()) == 0) {
        stamp_free_x509(out);
        return stamp_openssl_failed(err, "cannot make a signing key's certificate");
    }
    return STAMP_OK;
}

/* In either form, with any PEN: the OID that its own PEN gives. SPEC 7-5. */
static bool is_usage(const ASN1_OBJECT *obj, enum stamp_arc arc)
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
    stamp_pki_oid((uint32_t)pen, arc, want);
    return strcmp(text, want) == 0;
}

static bool has_usage(X509 *cert, enum stamp_arc arc)
{
    int critical = 0;
    EXTENDED_KEY_USAGE *usage =
        X509_get_ext_d2i(cert, NID_ext_key_usage, &critical, NULL);
    bool ok = usage != NULL && critical == 1 && sk_ASN1_OBJECT_num(usage) == 1 &&
              is_usage(sk_ASN1_OBJECT_value(usage, 0), arc);

    EXTENDED_KEY_USAGE_free(usage);
    return ok;
}

enum stamp_err stamp_signerkey_check(X509 *cert, enum stamp_arc arc,
                                     struct stamp_binding *binding,
                                     struct stamp_error *err)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_binding_read(cert, binding, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (!has_usage(cert, arc) || X509_check_ca(cert) != 0 || key == NULL ||
        stamp_key_point(key, point, NULL) != STAMP_OK || binding->has_digest) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_AUTH, 0, "the certificate is not a %s key's",
                               role_of(arc));
    }
    return STAMP_OK;
}
