/* The crypto of a claim, all of it OpenSSL's. SPEC 10-13..10-15. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <string.h>

#include "core/keys.h"
#include "core/smp.h"
#include "host/claim_own.h"
#include "host/key.h"

static void free_kdf_ctx(EVP_KDF_CTX **p)
{
    EVP_KDF_CTX_free(*p);
}

static void free_cipher_ctx(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
}

#define KDF_CTX_AUTO __attribute__((cleanup(free_kdf_ctx))) EVP_KDF_CTX
#define CIPHER_CTX_AUTO __attribute__((cleanup(free_cipher_ctx))) EVP_CIPHER_CTX

static enum stamp_err agree(EVP_PKEY *own, const uint8_t peer[STAMP_POINT_SIZE],
                            uint8_t secret[32], struct stamp_error *err)
{
    STAMP_PKEY_AUTO *other = NULL;
    STAMP_PKEY_CTX_AUTO *ctx = NULL;
    size_t len = 32;
    enum stamp_err code = stamp_key_from_point(peer, &other, err);

    if (code != STAMP_OK) {
        return code;
    }
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    if (ctx == NULL || EVP_PKEY_derive_init(ctx) <= 0 ||
        EVP_PKEY_derive_set_peer(ctx, other) <= 0 ||
        EVP_PKEY_derive(ctx, secret, &len) <= 0 || len != 32) {
        return stamp_openssl_failed(err, "cannot agree on a key with the device");
    }
    return STAMP_OK;
}

static enum stamp_err hkdf(const uint8_t secret[32], const uint8_t salt[32],
                           struct stamp_claim_keys *keys, struct stamp_error *err)
{
    static char digest[] = "SHA256";
    static char info[] = STAMP_LABEL_CLAIM;
    uint8_t okm[64];
    uint8_t ikm[32];
    uint8_t salt_copy[32];
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    KDF_CTX_AUTO *ctx = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[5];
    int ok;

    EVP_KDF_free(kdf); /* the context keeps its own reference */
    memcpy(ikm, secret, sizeof ikm);
    memcpy(salt_copy, salt, sizeof salt_copy);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, ikm, sizeof ikm);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt_copy,
                                                  sizeof salt_copy);
    params[3] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1);
    params[4] = OSSL_PARAM_construct_end();
    ok = ctx != NULL && EVP_KDF_derive(ctx, okm, sizeof okm, params) > 0;
    if (ok) {
        memcpy(keys->to_device, okm, 32);
        memcpy(keys->from_device, okm + 32, 32);
    }
    OPENSSL_cleanse(okm, sizeof okm);
    OPENSSL_cleanse(ikm, sizeof ikm);
    return ok ? STAMP_OK : stamp_openssl_failed(err, "cannot derive the exchange's keys");
}

enum stamp_err stampi_claim_keys(EVP_PKEY *own, const uint8_t peer[STAMP_POINT_SIZE],
                                 const uint8_t *shared, size_t shared_len,
                                 struct stamp_claim_keys *keys, struct stamp_error *err)
{
    uint8_t secret[32];
    uint8_t salt[32];
    enum stamp_err code = agree(own, peer, secret, err);

    if (code == STAMP_OK &&
        EVP_Digest(shared, shared_len, salt, NULL, EVP_sha256(), NULL) != 1) {
        code = stamp_openssl_failed(err, "cannot hash the exchange");
    }
    if (code == STAMP_OK) {
        code = hkdf(secret, salt, keys, err);
    }
    OPENSSL_cleanse(secret, sizeof secret);
    return code;
}

enum stamp_err stampi_claim_seal(const uint8_t key[32], const uint8_t *in, size_t len,
                                 uint8_t *out, struct stamp_error *err)
{
    static const uint8_t nonce[12];
    CIPHER_CTX_AUTO *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    if (ctx == NULL ||
        EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) != 1 ||
        EVP_EncryptUpdate(ctx, out, &n, in, (int)len) != 1 || (size_t)n != len ||
        EVP_EncryptFinal_ex(ctx, out + n, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, STAMP_GCM_TAG, out + len) != 1) {
        return stamp_openssl_failed(err, "cannot seal a message to the device");
    }
    return STAMP_OK;
}

enum stamp_err stampi_claim_open(const uint8_t key[32], const uint8_t *in, size_t len,
                                 uint8_t *out, struct stamp_error *err)
{
    static const uint8_t nonce[12];
    CIPHER_CTX_AUTO *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[STAMP_GCM_TAG];
    int n = 0;

    if (len < STAMP_GCM_TAG) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "the device's sealed answer is too short");
    }
    len -= STAMP_GCM_TAG;
    memcpy(tag, in + len, sizeof tag);
    if (ctx == NULL ||
        EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) != 1 ||
        EVP_DecryptUpdate(ctx, out, &n, in, (int)len) != 1 || (size_t)n != len ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, STAMP_GCM_TAG, tag) != 1) {
        return stamp_openssl_failed(err, "cannot open the device's answer");
    }
    if (EVP_DecryptFinal_ex(ctx, out + n, &n) != 1) {
        OPENSSL_cleanse(out, len);
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the answer to the proof is not the device's");
    }
    return STAMP_OK;
}
