#include "host/issued.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "host/key.h"
#include "host/pki.h"
#include "host/pki_own.h"

enum { SAN_SIZE = 2048, NAME_MAX_LEN = 253, CN_MAX = 64 };

static bool is_address(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

bool stamp_issued_is_host(const char *name)
{
    size_t len = strlen(name);
    const char *rest = strncmp(name, "*.", 2) == 0 ? name + 2 : name;

    if (is_address(name)) {
        return true;
    }
    return len > 0 && len <= NAME_MAX_LEN && rest[0] != '\0' && rest[0] != '.' &&
           strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789-.") == strlen(rest) &&
           strstr(rest, "..") == NULL;
}

static bool put_san(X509 *cert, X509 *issuer, const struct stamp_issued_asked *asked)
{
    char san[SAN_SIZE] = "";
    size_t at = 0;

    for (size_t i = 0; i < asked->n_names; i++) {
        int n = snprintf(san + at, sizeof san - at, "%s%s:%s", i == 0 ? "" : ",",
                         is_address(asked->name[i]) ? "IP" : "DNS", asked->name[i]);

        if (n < 0 || (size_t)n >= sizeof san - at) {
            return false;
        }
        at += (size_t)n;
    }
    return stampi_certificate_add(cert, issuer, NID_subject_alt_name, san);
}

static bool put_subject(X509 *cert, const struct stamp_issued_asked *asked)
{
    X509_NAME *name = X509_get_subject_name(cert);
    char cn[CN_MAX + 1];

    (void)snprintf(cn, sizeof cn, "%s", asked->name[0]);
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                      (const unsigned char *)asked->organization, -1, -1,
                                      0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                      (const unsigned char *)cn, -1, -1, 0) == 1;
}

static bool put_serial(X509 *cert, const struct stamp_issued_asked *asked)
{
    BIGNUM *bn = BN_bin2bn(asked->serial_number, sizeof asked->serial_number, NULL);
    bool ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;

    BN_free(bn);
    return ok;
}

static bool put_dates(X509 *cert, const struct stamp_issued_asked *asked)
{
    time_t from = asked->not_before;
    time_t to = asked->not_after;

    return X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &from) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), 0, 0, &to) != NULL;
}

static const char *usage_of(enum stamp_issued_kind kind)
{
    switch (kind) {
    case STAMP_ISSUED_SERVER:
        return "serverAuth";
    case STAMP_ISSUED_OCSP:
        return "OCSPSigning";
    case STAMP_ISSUED_MAKER: /* what it signs is CMS: RFC 8551 4.4.4 */
        return "emailProtection";
    case STAMP_ISSUED_REGISTRAR:
    default:
        return "clientAuth,cmcRA";
    }
}

static bool fill(X509 *cert, const struct stamp_issued_asked *asked, EVP_PKEY *own,
                 X509 *issuer)
{
    return X509_set_version(cert, X509_VERSION_3) == 1 && put_serial(cert, asked) &&
           put_subject(cert, asked) && put_dates(cert, asked) &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
           X509_set_pubkey(cert, own) == 1 &&
           stampi_certificate_add(cert, issuer, NID_subject_key_identifier, "hash") &&
           stampi_certificate_add(cert, issuer, NID_authority_key_identifier,
                                  "keyid:always") &&
           stampi_certificate_add(cert, issuer, NID_basic_constraints,
                                  "critical,CA:FALSE") &&
           stampi_certificate_add(cert, issuer, NID_key_usage,
                                  "critical,digitalSignature") &&
           stampi_certificate_add(cert, issuer, NID_ext_key_usage,
                                  usage_of(asked->kind)) &&
           (asked->kind != STAMP_ISSUED_OCSP ||
            stampi_certificate_add(cert, issuer, NID_id_pkix_OCSP_noCheck, "ignored")) &&
           (asked->kind != STAMP_ISSUED_SERVER || put_san(cert, issuer, asked)) &&
           stampi_certificate_add_purpose(cert, asked->pen, asked->purpose);
}

static enum stamp_err check(const struct stamp_issued_asked *asked,
                            struct stamp_error *err)
{
    if (asked->n_names == 0 || asked->n_names > STAMP_ISSUED_NAMES_MAX ||
        asked->serial_number[0] == 0 || asked->serial_number[0] > 0x7F ||
        asked->not_after <= asked->not_before) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "a certificate with such names, dates or serial number "
                               "cannot be");
    }
    for (size_t i = 0; i < asked->n_names && asked->kind == STAMP_ISSUED_SERVER; i++) {
        if (!stamp_issued_is_host(asked->name[i])) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "'%s' is no host name and no address", asked->name[i]);
        }
    }
    return STAMP_OK;
}

enum stamp_err stamp_issued_make(const struct stamp_issued_asked *asked, X509 *issuer,
                                 EVP_PKEY *key, uint8_t **der, size_t *len,
                                 struct stamp_error *err)
{
    STAMP_PKEY_AUTO *own = NULL;
    STAMP_X509_AUTO *cert = X509_new();
    enum stamp_err rc = check(asked, err);

    *der = NULL;
    *len = 0;
    if (rc == STAMP_OK) {
        rc = stamp_key_from_point(asked->point, &own, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (cert == NULL || !fill(cert, asked, own, issuer) ||
        X509_sign(cert, key, EVP_sha256()) == 0) {
        return stamp_openssl_failed(err, "cannot make a certificate");
    }
    return stamp_pki_encode(cert, der, len, err);
}
