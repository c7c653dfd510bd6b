#include "host/agree.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>

#include "host/key.h"

enum { SHARED_MAX = 66 };

/* One message a key: the nonce need not change. */
static const uint8_t nonce[12] = {0};

static enum stamp_err ecdh(EVP_PKEY *own, const uint8_t point[STAMP_POINT_SIZE],
                           uint8_t *shared, size_t *len, struct stamp_error *err)
{
    STAMP_PKEY_AUTO *peer = NULL;
    STAMP_PKEY_CTX_AUTO *ctx = NULL;
    enum stamp_err rc = stamp_key_from_point(point, &peer, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    ctx = EVP_PKEY_CTX_new(own, NULL);
    return ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
                   EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                   EVP_PKEY_derive(ctx, shared, len) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot agree on a key with the device");
}

static bool hkdf(const uint8_t *shared, size_t shared_len, const uint8_t salt[32],
                 const char *label, uint8_t *out, size_t len)
{
    STAMP_PKEY_CTX_AUTO *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);

    return ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
           EVP_PKEY_CTX_set_hkdf_md(ctx, stamp_sha256()) == 1 &&
           EVP_PKEY_CTX_set1_hkdf_salt(ctx, salt, 32) == 1 &&
           EVP_PKEY_CTX_set1_hkdf_key(ctx, shared, (int)shared_len) == 1 &&
           EVP_PKEY_CTX_add1_hkdf_info(ctx, (const uint8_t *)label, (int)strlen(label)) ==
               1 &&
           EVP_PKEY_derive(ctx, out, &len) == 1;
}

enum stamp_err stamp_agree_derive(EVP_PKEY *own, const uint8_t peer[STAMP_POINT_SIZE],
                                  struct stamp_slice exchange, const char *label,
                                  uint8_t *out, size_t len, struct stamp_error *err)
{
    uint8_t salt[32];
    uint8_t shared[SHARED_MAX];
    size_t shared_len = sizeof shared;
    enum stamp_err rc = ecdh(own, peer, shared, &shared_len, err);

    if (rc == STAMP_OK &&
        EVP_Digest(exchange.p, exchange.len, salt, NULL, stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash the exchange");
    }
    if (rc == STAMP_OK && !hkdf(shared, shared_len, salt, label, out, len)) {
        rc = stamp_openssl_failed(err, "cannot derive the exchange's keys");
    }
    OPENSSL_cleanse(shared, sizeof shared);
    return rc;
}

enum stamp_err stamp_agree(EVP_PKEY *own, const uint8_t first[STAMP_POINT_SIZE],
                           const uint8_t second[STAMP_POINT_SIZE], const char *label,
                           uint8_t key[STAMP_AGREE_KEY], struct stamp_error *err)
{
    uint8_t points[2 * STAMP_POINT_SIZE];
    uint8_t mine[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_key_point(own, mine, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    memcpy(points, first, STAMP_POINT_SIZE);
    memcpy(points + STAMP_POINT_SIZE, second, STAMP_POINT_SIZE);
    rc = stamp_agree_derive(own, memcmp(mine, first, sizeof mine) == 0 ? second : first,
                            (struct stamp_slice){points, sizeof points}, label, key,
                            STAMP_AGREE_KEY, NULL);
    return rc == STAMP_OK
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_AUTH, 0, "cannot agree on a key");
}

enum stamp_err stamp_agree_seal(const uint8_t key[STAMP_AGREE_KEY], struct stamp_slice in,
                                uint8_t *out, struct stamp_error *err)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;
    bool ok = ctx != NULL &&
              EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_EncryptUpdate(ctx, out, &n, in.p, (int)in.len) == 1 &&
              EVP_EncryptFinal_ex(ctx, out + n, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, (int)STAMP_AGREE_TAG,
                                  out + in.len) == 1;

    EVP_CIPHER_CTX_free(ctx);
    return ok ? STAMP_OK : stamp_openssl_failed(err, "cannot encrypt");
}

bool stamp_agree_open(const uint8_t key[STAMP_AGREE_KEY], struct stamp_slice in,
                      uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[STAMP_AGREE_TAG];
    int n;
    bool ok = ctx != NULL && in.len >= sizeof tag;

    if (ok) {
        memcpy(tag, in.p + in.len - sizeof tag, sizeof tag);
        ok = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
             EVP_DecryptUpdate(ctx, out, &n, in.p, (int)(in.len - sizeof tag)) == 1 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, sizeof tag, tag) == 1 &&
             EVP_DecryptFinal_ex(ctx, out + n, &n) == 1;
    }
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}
