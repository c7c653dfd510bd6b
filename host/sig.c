#include "host/sig.h"

#include <openssl/err.h>

#include "host/key.h"

#define DER_MAX 72 /* SEQUENCE of two INTEGERs of at most 33 bytes */

/* DER to r || s. */
static bool to_raw(const uint8_t *der, size_t len, uint8_t raw[STAMP_SIG_SIZE])
{
    const unsigned char *p = der;
    STAMP_ECDSA_SIG_AUTO *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);

    return sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 &&
           BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32;
}

/* r || s to DER; 0 on failure. */
static size_t to_der(const uint8_t raw[STAMP_SIG_SIZE], uint8_t der[DER_MAX])
{
    STAMP_ECDSA_SIG_AUTO *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, 32, NULL);
    BIGNUM *s = BN_bin2bn(raw + 32, 32, NULL);
    unsigned char *p = der;
    int len;

    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return 0;
    }
    len = i2d_ECDSA_SIG(sig, &p);
    return len > 0 ? (size_t)len : 0;
}

enum stamp_err stamp_sig_digest(const char *label, const void *payload, size_t len,
                                uint8_t digest[32], struct stamp_error *err)
{
    STAMP_MD_CTX_AUTO *ctx = EVP_MD_CTX_new();
    uint8_t prefix[STAMP_SIG_PREFIX_MAX];
    size_t prefix_len = stamp_sig_prefix(label, len, prefix);

    return ctx != NULL && EVP_DigestInit_ex(ctx, stamp_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(ctx, prefix, prefix_len) == 1 &&
                   EVP_DigestUpdate(ctx, payload, len) == 1 &&
                   EVP_DigestFinal_ex(ctx, digest, NULL) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot hash");
}

enum stamp_err stamp_sig_make(EVP_PKEY *key, const char *label, const void *payload,
                              size_t len, uint8_t sig[STAMP_SIG_SIZE],
                              struct stamp_error *err)
{
    STAMP_MD_CTX_AUTO *ctx = EVP_MD_CTX_new();
    uint8_t prefix[STAMP_SIG_PREFIX_MAX];
    size_t prefix_len = stamp_sig_prefix(label, len, prefix);
    uint8_t der[DER_MAX];
    size_t der_len = sizeof der;

    if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSignUpdate(ctx, prefix, prefix_len) != 1 ||
        EVP_DigestSignUpdate(ctx, payload, len) != 1 ||
        EVP_DigestSignFinal(ctx, der, &der_len) != 1 || !to_raw(der, der_len, sig)) {
        return stamp_openssl_failed(err, "cannot sign");
    }
    return STAMP_OK;
}

enum stamp_err stamp_sig_check(EVP_PKEY *key, const char *label, const void *payload,
                               size_t len, const uint8_t sig[STAMP_SIG_SIZE],
                               struct stamp_error *err)
{
    STAMP_MD_CTX_AUTO *ctx = EVP_MD_CTX_new();
    uint8_t prefix[STAMP_SIG_PREFIX_MAX];
    size_t prefix_len = stamp_sig_prefix(label, len, prefix);
    uint8_t der[DER_MAX];
    size_t der_len = to_der(sig, der);

    if (ctx == NULL || der_len == 0 ||
        EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestVerifyUpdate(ctx, prefix, prefix_len) != 1 ||
        EVP_DigestVerifyUpdate(ctx, payload, len) != 1) {
        return stamp_openssl_failed(err, "cannot check a signature");
    }
    if (EVP_DigestVerifyFinal(ctx, der, der_len) != 1) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_AUTH, 0, "a signature is wrong");
    }
    return STAMP_OK;
}

enum stamp_err stamp_sig_check_point(const uint8_t point[STAMP_POINT_SIZE],
                                     const char *label, const void *payload, size_t len,
                                     const uint8_t sig[STAMP_SIG_SIZE],
                                     struct stamp_error *err)
{
    EVP_PKEY *key = NULL;
    enum stamp_err rc = stamp_key_lend_point(point, &key, err);

    return rc == STAMP_OK ? stamp_sig_check(key, label, payload, len, sig, err) : rc;
}
