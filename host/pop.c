#include "host/pop.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>

#include "core/keys.h"
#include "host/key.h"

enum { KEY_SIZE = 32, TAG_SIZE = 16, SHARED_MAX = 66 };

static enum stamp_err not_ours(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_AUTH, 0,
                           "the proof of possession is damaged, or sealed to another "
                           "recipient");
}

static enum stamp_err agree(EVP_PKEY *key, const uint8_t point[STAMP_POINT_SIZE],
                            uint8_t *shared, size_t *len, struct stamp_error *err)
{
    EVP_PKEY *peer = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = stamp_key_from_point(point, &peer, err) == STAMP_OK && ctx != NULL &&
              EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
              EVP_PKEY_derive(ctx, shared, len) == 1;

    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    return ok ? STAMP_OK : not_ours(err);
}

static bool derive(const uint8_t *shared, size_t shared_len, const uint8_t salt[32],
                   uint8_t key[KEY_SIZE])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    size_t len = KEY_SIZE;
    bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_salt(ctx, salt, 32) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_key(ctx, shared, (int)shared_len) == 1 &&
              EVP_PKEY_CTX_add1_hkdf_info(ctx, (const uint8_t *)STAMP_LABEL_POP,
                                          sizeof STAMP_LABEL_POP - 1) == 1 &&
              EVP_PKEY_derive(ctx, key, &len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool open_gcm(const uint8_t key[KEY_SIZE], struct stamp_slice in, uint8_t *out)
{
    static const uint8_t nonce[12] = {0};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[TAG_SIZE];
    int n;
    bool ok;

    memcpy(tag, in.p + in.len - TAG_SIZE, TAG_SIZE);
    ok = ctx != NULL &&
         EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
         EVP_DecryptUpdate(ctx, out, &n, in.p, (int)(in.len - TAG_SIZE)) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
         EVP_DecryptFinal_ex(ctx, out + n, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

enum stamp_err stamp_pop_open(struct stamp_slice sealed, EVP_PKEY *key,
                              struct stamp_secret **pop, struct stamp_error *err)
{
    uint8_t points[2 * STAMP_POINT_SIZE];
    uint8_t salt[32];
    uint8_t shared[SHARED_MAX];
    uint8_t secret[KEY_SIZE];
    uint8_t text[STAMP_MAX_TEXT];
    size_t shared_len = sizeof shared;
    struct stamp_slice in;
    enum stamp_err rc;

    *pop = NULL;
    if (sealed.len <= STAMP_POINT_SIZE + TAG_SIZE || sealed.len > STAMP_POP_SEALED_MAX) {
        return not_ours(err);
    }
    in = (struct stamp_slice){sealed.p + STAMP_POINT_SIZE, sealed.len - STAMP_POINT_SIZE};
    memcpy(points, sealed.p, STAMP_POINT_SIZE);
    rc = stamp_key_point(key, points + STAMP_POINT_SIZE, err);
    if (rc == STAMP_OK &&
        EVP_Digest(points, sizeof points, salt, NULL, stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash");
    }
    if (rc == STAMP_OK) {
        rc = agree(key, sealed.p, shared, &shared_len, err);
    }
    if (rc == STAMP_OK &&
        (!derive(shared, shared_len, salt, secret) || !open_gcm(secret, in, text))) {
        rc = not_ours(err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_secret_new(pop, text, in.len - TAG_SIZE, err);
    }
    OPENSSL_cleanse(shared, sizeof shared);
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}
