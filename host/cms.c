#include "host/cms.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "host/cms_own.h"
#include "host/key.h"
#include "host/pki.h"

static void free_cms(CMS_ContentInfo **p)
{
    CMS_ContentInfo_free(*p);
    *p = NULL;
}

#define CMS_AUTO __attribute__((cleanup(free_cms))) CMS_ContentInfo

enum stamp_err stamp_cms_check_recipient(const X509 *cert, struct stamp_error *err)
{
    char name[120];
    uint8_t point[STAMP_POINT_SIZE];
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    /* Absent, it is all ones: everything is allowed. X509_get_key_usage() caches in the
     * certificate, hence its argument is not const. */
    STAMP_X509_AUTO *copy = X509_dup(cert);
    uint32_t usage = copy == NULL ? 0 : X509_get_key_usage(copy);

    stamp_pki_name(cert, name, sizeof name);
    if (key == NULL || stamp_key_point(key, point, NULL) != STAMP_OK) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the key of the recipient '%s' is not on P-256", name);
    }
    if ((usage & KU_KEY_AGREEMENT) == 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the certificate of the recipient '%s' is not for key "
                               "agreement",
                               name);
    }
    if (X509_cmp_time(X509_get0_notAfter(cert), NULL) <= 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the certificate of the recipient '%s' has expired", name);
    }
    return STAMP_OK;
}

/* OpenSSL's own choice is a KDF over SHA-1. SPEC 11-17. */
bool stampi_cms_add_recipient(CMS_ContentInfo *cms, X509 *cert)
{
    CMS_RecipientInfo *ri = CMS_add1_recipient_cert(cms, cert, CMS_KEY_PARAM);
    EVP_PKEY_CTX *ctx = ri == NULL ? NULL : CMS_RecipientInfo_get0_pkey_ctx(ri);

    return ctx != NULL && EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, EVP_sha256()) == 1;
}

static enum stamp_err encode(CMS_ContentInfo *cms, uint8_t **der, size_t *len,
                             struct stamp_error *err)
{
    int n;

    *der = NULL;
    n = i2d_CMS_ContentInfo(cms, der);
    *len = n > 0 ? (size_t)n : 0;
    return n > 0 ? STAMP_OK : stamp_openssl_failed(err, "cannot encode CMS");
}

enum stamp_err stamp_cms_wrap(const void *secret, size_t len, X509 *const *certs,
                              size_t n, uint8_t **der, size_t *der_len,
                              struct stamp_error *err)
{
    static const unsigned flags = CMS_BINARY | CMS_PARTIAL;
    STAMP_BIO_AUTO *in = NULL;
    CMS_AUTO *cms = NULL;
    bool ok;

    *der = NULL;
    *der_len = 0;
    if (n < 1 || n > STAMP_CMS_RECIPIENTS_MAX || len < 1 || len > STAMP_CMS_SECRET_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "1 to %u recipients, not %zu",
                               STAMP_CMS_RECIPIENTS_MAX, n);
    }
    for (size_t i = 0; i < n; i++) {
        enum stamp_err rc = stamp_cms_check_recipient(certs[i], err);

        if (rc != STAMP_OK) {
            return rc;
        }
    }
    /* Reads from the caller's memory: no copy of the secret is made. */
    in = BIO_new_mem_buf(secret, (int)len);
    cms = CMS_encrypt(NULL, NULL, EVP_aes_256_cbc(), flags);
    ok = in != NULL && cms != NULL;
    for (size_t i = 0; i < n && ok; i++) {
        ok = stampi_cms_add_recipient(cms, certs[i]);
    }
    if (!ok || CMS_final(cms, in, NULL, flags) != 1) {
        return stamp_openssl_failed(err, "cannot wrap a key to its recipients");
    }
    return encode(cms, der, der_len, err);
}

/* From DER: all of it, and as we would encode it. */
static CMS_ContentInfo *decode(struct stamp_slice der)
{
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.len);
    uint8_t *again = NULL;
    size_t len = 0;
    bool same = false;

    if (cms != NULL && p == der.p + der.len && encode(cms, &again, &len, NULL) == 0) {
        same = len == der.len && memcmp(again, der.p, len) == 0;
    }
    OPENSSL_free(again);
    if (!same) {
        free_cms(&cms);
    }
    return cms;
}

/* Nothing but ECDH: a password or an RSA key would be another way in. */
static bool all_agree(CMS_ContentInfo *cms)
{
    STACK_OF(CMS_RecipientInfo) *infos = CMS_get0_RecipientInfos(cms);
    int n = sk_CMS_RecipientInfo_num(infos);

    for (int i = 0; i < n; i++) {
        if (CMS_RecipientInfo_type(sk_CMS_RecipientInfo_value(infos, i)) !=
            CMS_RECIPINFO_AGREE) {
            return false;
        }
    }
    return n >= 1 && n <= (int)STAMP_CMS_RECIPIENTS_MAX;
}

static bool decrypt(CMS_ContentInfo *cms, EVP_PKEY *key, void *secret, size_t len)
{
    STAMP_BIO_AUTO *out = BIO_new(BIO_s_secmem());
    char *p = NULL;

    /* Without a certificate every recipient is tried: the caller has but a key. */
    if (out == NULL || CMS_decrypt(cms, key, NULL, NULL, out, CMS_BINARY) != 1 ||
        BIO_get_mem_data(out, &p) != (long)len) {
        return false;
    }
    memcpy(secret, p, len);
    return true;
}

enum stamp_err stamp_cms_unwrap(struct stamp_slice der, EVP_PKEY *key, void *secret,
                                size_t len, struct stamp_error *err)
{
    CMS_AUTO *cms = der.len <= STAMP_CMS_ENVELOPE_MAX ? decode(der) : NULL;
    bool ok = cms != NULL && OBJ_obj2nid(CMS_get0_type(cms)) == NID_pkcs7_enveloped &&
              all_agree(cms) && decrypt(cms, key, secret, len);

    ERR_clear_error();
    if (!ok) {
        OPENSSL_cleanse(secret, len);
        return stamp_error_set(err, STAMP_E_AUTH, 0, "this key does not open it");
    }
    return STAMP_OK;
}

enum stamp_err stamp_cms_sign(struct stamp_slice content, EVP_PKEY *key, X509 *cert,
                              uint8_t **der, size_t *der_len, struct stamp_error *err)
{
    static const unsigned flags = CMS_BINARY | CMS_NOSMIMECAP | CMS_PARTIAL;
    STAMP_BIO_AUTO *in = BIO_new_mem_buf(content.p, (int)content.len);
    CMS_AUTO *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);

    *der = NULL;
    *der_len = 0;
    if (in == NULL || cms == NULL ||
        CMS_add1_signer(cms, cert, key, EVP_sha256(), flags) == NULL ||
        CMS_final(cms, in, NULL, flags) != 1) {
        return stamp_openssl_failed(err, "cannot sign");
    }
    return encode(cms, der, der_len, err);
}

static X509_STORE *make_store(X509 *const *anchors, size_t n)
{
    X509_STORE *store = X509_STORE_new();
    /* Not for e-mail, which is what CMS_verify() looks for by itself. */
    bool ok = store != NULL && X509_STORE_set_purpose(store, X509_PURPOSE_ANY) == 1 &&
              X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT |
                                              X509_V_FLAG_PARTIAL_CHAIN) == 1;

    for (size_t i = 0; i < n && ok; i++) {
        ok = X509_STORE_add_cert(store, anchors[i]) == 1;
    }
    if (!ok) {
        X509_STORE_free(store);
        return NULL;
    }
    return store;
}

/* The signer's certificate, with a reference of its own. Known once the signature is
 * checked. */
static X509 *take_signer(CMS_ContentInfo *cms)
{
    STACK_OF(X509) *signers = CMS_get0_signers(cms);
    X509 *cert = sk_X509_num(signers) == 1 ? sk_X509_value(signers, 0) : NULL;

    sk_X509_free(signers);
    return cert != NULL && X509_up_ref(cert) == 1 ? cert : NULL;
}

static enum stamp_err take_content(BIO *out, uint8_t **content, size_t *len,
                                   struct stamp_error *err)
{
    char *p = NULL;
    long n = BIO_get_mem_data(out, &p);

    *content = n > 0 ? OPENSSL_memdup(p, (size_t)n) : NULL;
    if (*content == NULL) {
        return stamp_error_set(err, n > 0 ? STAMP_E_NOMEM : STAMP_E_FORMAT, 0,
                               "nothing was signed");
    }
    *len = (size_t)n;
    return STAMP_OK;
}

enum stamp_err stamp_cms_verify(struct stamp_slice der, X509 *const *anchors, size_t n,
                                uint8_t **content, size_t *content_len, X509 **signer,
                                struct stamp_error *err)
{
    CMS_AUTO *cms = decode(der);
    STAMP_BIO_AUTO *out = BIO_new(BIO_s_mem());
    X509_STORE *store = make_store(anchors, n);
    enum stamp_err rc;

    *content = NULL;
    *content_len = 0;
    *signer = NULL;
    if (out == NULL || store == NULL) {
        X509_STORE_free(store);
        return stamp_openssl_failed(err, "cannot check a signature");
    }
    if (cms == NULL || OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed ||
        OBJ_obj2nid(CMS_get0_eContentType(cms)) != NID_pkcs7_data ||
        sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(cms)) != 1) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "it is not CMS SignedData in DER");
    } else if (CMS_verify(cms, NULL, store, NULL, out, CMS_BINARY) != 1 ||
               (*signer = take_signer(cms)) == NULL) {
        unsigned long code = ERR_peek_last_error();

        rc = stamp_error_set(err, STAMP_E_AUTH, (long)code,
                             "the signature is wrong, or "
                             "its certificate not to be trusted");
    } else {
        rc = take_content(out, content, content_len, err);
    }
    if (rc != STAMP_OK) {
        stamp_free_x509(signer);
    }
    ERR_clear_error();
    X509_STORE_free(store);
    return rc;
}
