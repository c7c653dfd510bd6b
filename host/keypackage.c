#include "host/keypackage.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "host/cms_own.h"
#include "host/der.h"
#include "host/image.h"
#include "host/key.h"

#define KEY_PACKAGE "2.16.840.1.101.2.1.2.78.5" /* id-ct-KP-aKeyPackage, RFC 5958 2 */

enum { PACKAGE_MAX = 512 };

enum stamp_err stamp_keypackage_plain(EVP_PKEY *key, uint8_t **der, size_t *len,
                                      struct stamp_error *err)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int n;

    *der = NULL;
    *len = 0;
    n = info == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info, der);
    PKCS8_PRIV_KEY_INFO_free(info);
    if (n <= 0) {
        return stamp_openssl_failed(err, "cannot encode a key");
    }
    *len = (size_t)n;
    return STAMP_OK;
}

/* SEQUENCE OF OneAsymmetricKey, of one. */
static enum stamp_err make_package(EVP_PKEY *key, uint8_t out[PACKAGE_MAX], size_t *len,
                                   struct stamp_error *err)
{
    uint8_t room[PACKAGE_MAX];
    struct stamp_der d;
    uint8_t *one = NULL;
    size_t one_len;
    enum stamp_err rc = stamp_keypackage_plain(key, &one, &one_len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_der_init(&d, room, sizeof room);
    stamp_der_raw(&d, one, one_len);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    *len = stamp_der_len(&d);
    if (*len == 0 || *len > PACKAGE_MAX) {
        rc = stamp_error_set(err, STAMP_E_SPACE, 0, "too long a key");
    } else {
        memcpy(out, stamp_der_bytes(&d), *len);
    }
    OPENSSL_cleanse(room, sizeof room);
    OPENSSL_clear_free(one, one_len);
    return rc;
}

static bool is_of(CMS_ContentInfo *cms, const char *dotted)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(dotted, 1);
    bool ok = oid != NULL && CMS_set1_eContentType(cms, oid) == 1;

    ASN1_OBJECT_free(oid);
    return ok;
}

/* SignedData, without the ContentInfo around it: RFC 5652 6.1 encrypts the content of a
 * type. The ContentInfo is a SEQUENCE of the type and [0] of that. */
static bool take_content(CMS_ContentInfo *cms, struct stamp_buffer *der,
                         struct stamp_slice *content)
{
    int n = i2d_CMS_ContentInfo(cms, &der->p);
    struct stamp_slice all = {der->p, n > 0 ? (size_t)n : 0};
    struct stamp_slice in;

    der->len = all.len;
    return stamp_der_next(&all, STAMP_DER_SEQUENCE, &in) &&
           stamp_der_next(&in, STAMP_DER_OID, content) &&
           stamp_der_next(&in, STAMP_DER_CONTEXT(0), content);
}

static CMS_ContentInfo *sign(const uint8_t *package, size_t len, EVP_PKEY *maker,
                             X509 *cert)
{
    static const unsigned flags = CMS_BINARY | CMS_NOSMIMECAP | CMS_PARTIAL;
    STAMP_BIO_AUTO *in = BIO_new_mem_buf(package, (int)len);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);

    if (in == NULL || cms == NULL || !is_of(cms, KEY_PACKAGE) ||
        CMS_add1_signer(cms, cert, maker, EVP_sha256(), flags) == NULL ||
        CMS_final(cms, in, NULL, flags) != 1) {
        CMS_ContentInfo_free(cms);
        return NULL;
    }
    return cms;
}

static enum stamp_err seal(const uint8_t *content, size_t content_len, X509 *recipient,
                           uint8_t **der, size_t *len, struct stamp_error *err)
{
    static const unsigned flags = CMS_BINARY | CMS_PARTIAL;
    STAMP_BIO_AUTO *in = BIO_new_mem_buf(content, (int)content_len);
    CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, EVP_aes_256_cbc(), flags);
    bool ok = in != NULL && cms != NULL && stampi_cms_add_recipient(cms, recipient) &&
              CMS_set1_eContentType(cms, OBJ_nid2obj(NID_pkcs7_signed)) == 1 &&
              CMS_final(cms, in, NULL, flags) == 1;
    int n = ok ? i2d_CMS_ContentInfo(cms, der) : -1;

    CMS_ContentInfo_free(cms);
    if (n <= 0) {
        return stamp_openssl_failed(err, "cannot seal a key to its recipient");
    }
    *len = (size_t)n;
    if (*len <= STAMP_KEYPACKAGE_MAX) {
        return STAMP_OK;
    }
    OPENSSL_free(*der);
    *der = NULL;
    return stamp_error_set(err, STAMP_E_SPACE, 0, "too long a key package");
}

enum stamp_err stamp_keypackage_seal(EVP_PKEY *key, EVP_PKEY *maker, X509 *cert,
                                     X509 *recipient, uint8_t **der, size_t *len,
                                     struct stamp_error *err)
{
    uint8_t package[PACKAGE_MAX];
    uint8_t point[STAMP_POINT_SIZE];
    CMS_ContentInfo *cms = NULL;
    struct stamp_buffer all = {NULL, 0};
    struct stamp_slice content = {NULL, 0};
    size_t n = 0;
    enum stamp_err rc;

    *der = NULL;
    *len = 0;
    if (stamp_key_point(X509_get0_pubkey(recipient), point, NULL) != STAMP_OK) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the recipient's key is no P-256 "
                               "key");
    }
    rc = make_package(key, package, &n, err);
    if (rc == STAMP_OK) {
        cms = sign(package, n, maker, cert);
        rc = cms != NULL && take_content(cms, &all, &content)
                 ? STAMP_OK
                 : stamp_openssl_failed(err, "cannot sign a key package");
    }
    if (rc == STAMP_OK) {
        rc = seal(content.p, content.len, recipient, der, len, err);
    }
    OPENSSL_cleanse(package, sizeof package);
    OPENSSL_clear_free(all.p, all.len);
    CMS_ContentInfo_free(cms);
    return rc;
}

/* A ContentInfo begins with an OBJECT IDENTIFIER, a PrivateKeyInfo with an INTEGER. */
bool stamp_keypackage_is_sealed(struct stamp_slice der)
{
    const unsigned char *p = der.p;
    long size;
    int tag;
    int class;

    return (ASN1_get_object(&p, &size, &tag, &class, (long)der.len) & 0x80) == 0 &&
           size > 0 && *p == V_ASN1_OBJECT;
}
