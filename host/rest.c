#include "host/rest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "host/file.h"
#include "host/hex.h"
#include "host/openssl.h"

#define KEY_SIZE 32
#define NONCE_SIZE 12
#define TAG_SIZE 16u
#define INFO_HEADER 12u /* bytes of the header that enter the key: SPEC 9-2 */

enum stamp_err stamp_rest_load(const char *path, struct stamp_secret **out,
                               struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *raw = NULL;
    uint8_t key[STAMP_ROOT_KEY_SIZE];
    const uint8_t *bytes;
    size_t len;
    bool ok = true;
    enum stamp_err rc =
        stamp_file_read_secret(path, 2 * STAMP_ROOT_KEY_SIZE + 2, &raw, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    bytes = stamp_secret_use(raw, &len);
    if (len == STAMP_ROOT_KEY_SIZE) {
        memcpy(key, bytes, sizeof key);
    } else {
        while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r')) {
            len--;
        }
        ok = len == 2 * sizeof key && stamp_unhex((const char *)bytes, sizeof key, key);
    }
    rc = ok ? stamp_secret_new(out, key, sizeof key, err)
            : stamp_error_set(err, STAMP_E_FORMAT, 0,
                              "'%s' is no root key: 32 bytes or 64 hexadecimal digits",
                              path);
    OPENSSL_cleanse(key, sizeof key);
    return rc;
}

static bool derive(const struct stamp_secret *root_key, const uint8_t *header,
                   uint8_t out[KEY_SIZE])
{
    uint8_t info[sizeof STAMP_LABEL_REST - 1 + INFO_HEADER];
    uint8_t salt[16];
    char md[] = "SHA256";
    size_t len;
    const uint8_t *root = stamp_secret_use(root_key, &len);
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[5];
    uint8_t key[STAMP_ROOT_KEY_SIZE];
    bool ok = false;

    EVP_KDF_free(kdf);
    memcpy(info, STAMP_LABEL_REST, sizeof STAMP_LABEL_REST - 1);
    memcpy(info + sizeof STAMP_LABEL_REST - 1, header, INFO_HEADER);
    memcpy(salt, header + 16, sizeof salt);
    if (ctx != NULL && len == sizeof key) {
        memcpy(key, root, sizeof key);
        params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, md, 0);
        params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, len);
        params[2] =
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof salt);
        params[3] =
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info);
        params[4] = OSSL_PARAM_construct_end();
        ok = EVP_KDF_derive(ctx, out, KEY_SIZE, params) == 1;
        OPENSSL_cleanse(key, sizeof key);
    }
    EVP_KDF_CTX_free(ctx);
    return ok;
}

/* Big-endian map key at the end. SPEC 9-3. */
static void make_nonce(uint32_t key, uint8_t nonce[NONCE_SIZE])
{
    memset(nonce, 0, NONCE_SIZE);
    for (unsigned i = 0; i < 4; i++) {
        nonce[NONCE_SIZE - 1 - i] = (uint8_t)(key >> (8u * i));
    }
}

struct cipher {
    EVP_CIPHER_CTX *ctx;
    uint8_t key[KEY_SIZE];
};

static bool cipher_init(struct cipher *c, const struct stamp_secret *root_key,
                        const uint8_t *header)
{
    c->ctx = EVP_CIPHER_CTX_new();
    return c->ctx != NULL && derive(root_key, header, c->key);
}

static void cipher_fini(struct cipher *c)
{
    EVP_CIPHER_CTX_free(c->ctx);
    OPENSSL_cleanse(c->key, sizeof c->key);
}

static bool seal_item(struct cipher *c, uint32_t key, struct stamp_slice in, uint8_t *out)
{
    uint8_t nonce[NONCE_SIZE];
    int n = 0;
    int m = 0;

    make_nonce(key, nonce);
    return EVP_EncryptInit_ex(c->ctx, EVP_aes_256_gcm(), NULL, c->key, nonce) == 1 &&
           EVP_EncryptUpdate(c->ctx, out, &n, in.p, (int)in.len) == 1 &&
           EVP_EncryptFinal_ex(c->ctx, out + n, &m) == 1 &&
           EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, (int)TAG_SIZE,
                               out + in.len) == 1;
}

/* `in` ends with the tag; `out` takes TAG_SIZE less. */
static bool open_item(struct cipher *c, uint32_t key, struct stamp_slice in, uint8_t *out)
{
    uint8_t nonce[NONCE_SIZE];
    uint8_t tag[TAG_SIZE];
    size_t len = in.len - TAG_SIZE;
    int n = 0;
    int m = 0;

    make_nonce(key, nonce);
    memcpy(tag, in.p + len, sizeof tag);
    return EVP_DecryptInit_ex(c->ctx, EVP_aes_256_gcm(), NULL, c->key, nonce) == 1 &&
           EVP_DecryptUpdate(c->ctx, out, &n, in.p, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, (int)TAG_SIZE, tag) == 1 &&
           EVP_DecryptFinal_ex(c->ctx, out + n, &m) == 1;
}

enum stamp_err stamp_rest_seal(const struct stamp_secret *root_key,
                               const uint8_t header[STAMP_HEADER_SIZE],
                               struct stamp_slice body, uint8_t *out, size_t *len,
                               struct stamp_error *err)
{
    struct cipher cipher;
    struct stamp_cbor c;
    struct stamp_cbor_out o;
    bool ok = cipher_init(&cipher, root_key, header);
    uint32_t n;

    stamp_cbor_init(&c, body.p, body.len);
    stamp_cbor_out_init(&o, out, STAMP_REST_MAX);
    n = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, n);
    for (uint32_t i = 0; i < n && ok; i++) {
        uint32_t key = stamp_cbor_uint(&c, STAMP_KEY_LAST);
        struct stamp_slice value = stamp_cbor_skip(&c);
        size_t sealed = value.len + TAG_SIZE;

        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, key);
        stamp_cbor_put_head(&o, STAMP_CBOR_BYTES, (uint32_t)sealed);
        ok = c.err == STAMP_OK && o.len + sealed <= o.size &&
             seal_item(&cipher, key, value, out + o.len);
        o.len += sealed;
    }
    cipher_fini(&cipher);
    *len = ok ? o.len : 0;
    return ok ? STAMP_OK : stamp_openssl_failed(err, "cannot encrypt the stamp");
}

enum stamp_err stamp_rest_open(const struct stamp_secret *root_key,
                               const uint8_t header[STAMP_HEADER_SIZE],
                               struct stamp_slice body, uint8_t *out, size_t *len,
                               struct stamp_error *err)
{
    struct cipher cipher;
    struct stamp_cbor c;
    struct stamp_cbor_out o;
    bool ok = cipher_init(&cipher, root_key, header);
    uint32_t n;

    stamp_cbor_init(&c, body.p, body.len);
    stamp_cbor_out_init(&o, out, body.len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, n);
    for (uint32_t i = 0; i < n && ok && c.err == STAMP_OK; i++) {
        uint32_t key = stamp_cbor_uint(&c, STAMP_KEY_LAST);
        struct stamp_slice value =
            stamp_cbor_string(&c, STAMP_CBOR_BYTES, TAG_SIZE + 1, STAMP_REST_MAX);

        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, key);
        if (c.err == STAMP_OK) { /* shorter than the ciphertext: it fits */
            ok = open_item(&cipher, key, value, out + o.len);
            o.len += value.len - TAG_SIZE;
        }
    }
    cipher_fini(&cipher);
    *len = o.len;
    if (ok && c.err == STAMP_OK && c.left == 0) {
        return STAMP_OK;
    }
    OPENSSL_cleanse(out, body.len);
    *len = 0;
    ERR_clear_error();
    if (ok) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the encrypted body is malformed");
    }
    (void)stamp_error_set(err, STAMP_E_CRYPTO, 0,
                          "the stamp does not open with this root key");
    stamp_error_hint(err, "give the root key of this very device");
    return STAMP_E_CRYPTO;
}
