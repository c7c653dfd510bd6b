#include "host/letter.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

#include "core/cbor.h"
#include "host/cms.h"
#include "host/sig.h"

#define KEY_SIZE 32u
#define TAG_SIZE 16u
#define VERSION 1u
/* Array, protected header, empty map, payload, signature: SPEC 14-3. */
#define SIGNED_MAX (STAMP_LETTER_MAX + STAMP_SIG_SIZE + 32u)

static const uint8_t protected_header[] = {0xa1, 0x01, 0x26};
static const uint8_t zero_nonce[12];

static void free_cipher_ctx(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
    *p = NULL;
}
#define CIPHER_CTX_AUTO __attribute__((cleanup(free_cipher_ctx))) EVP_CIPHER_CTX

static void wrap_signed(struct stamp_cbor_out *o, struct stamp_slice payload,
                        const uint8_t sig[STAMP_SIG_SIZE])
{
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 4);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, protected_header, sizeof protected_header);
    stamp_cbor_put_head(o, STAMP_CBOR_MAP, 0);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, payload.p, payload.len);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, sig, STAMP_SIG_SIZE);
}

static bool encrypt(const uint8_t key[KEY_SIZE], const char *label, struct stamp_slice in,
                    uint8_t *out)
{
    CIPHER_CTX_AUTO *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    return ctx != NULL &&
           EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, zero_nonce) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)label, (int)strlen(label)) ==
               1 &&
           EVP_EncryptUpdate(ctx, out, &n, in.p, (int)in.len) == 1 &&
           EVP_EncryptFinal_ex(ctx, out + in.len, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, (int)TAG_SIZE, out + in.len) ==
               1;
}

static bool decrypt(const uint8_t key[KEY_SIZE], const char *label, struct stamp_slice in,
                    uint8_t *out, size_t len)
{
    CIPHER_CTX_AUTO *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[TAG_SIZE];
    int n = 0;

    memcpy(tag, in.p + len, sizeof tag);
    return ctx != NULL &&
           EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, zero_nonce) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, (int)TAG_SIZE, tag) == 1 &&
           EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)label, (int)strlen(label)) ==
               1 &&
           EVP_DecryptUpdate(ctx, out, &n, in.p, (int)len) == 1 &&
           EVP_DecryptFinal_ex(ctx, out + len, &n) == 1;
}

static enum stamp_err seal(const char *label, struct stamp_slice text, X509 *to,
                           struct stamp_buffer *out, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO sealed = {NULL, 0};
    X509 *to_all[1] = {to};
    uint8_t key[KEY_SIZE];
    uint8_t *envelope = NULL;
    size_t envelope_len = 0;
    struct stamp_cbor_out w;
    enum stamp_err rc = stamp_buffer_new(&sealed, text.len + TAG_SIZE, 0, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (RAND_priv_bytes(key, (int)sizeof key) != 1 ||
        !encrypt(key, label, text, sealed.p)) {
        rc = stamp_openssl_failed(err, "cannot seal");
    } else {
        rc = stamp_cms_wrap(key, sizeof key, to_all, 1, &envelope, &envelope_len, err);
    }
    OPENSSL_cleanse(key, sizeof key);
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(out, envelope_len + sealed.len + 16u, 0, err);
    }
    if (rc == STAMP_OK) {
        stamp_cbor_out_init(&w, out->p, out->len);
        stamp_cbor_put_head(&w, STAMP_CBOR_ARRAY, 3);
        stamp_cbor_put_head(&w, STAMP_CBOR_UINT, VERSION);
        stamp_cbor_put_string(&w, STAMP_CBOR_BYTES, envelope, envelope_len);
        stamp_cbor_put_string(&w, STAMP_CBOR_BYTES, sealed.p, sealed.len);
        out->len = w.len;
    }
    OPENSSL_free(envelope);
    return rc;
}

enum stamp_err stamp_letter_seal(const char *label, struct stamp_slice payload,
                                 const uint8_t sig[64], X509 *to,
                                 struct stamp_buffer *out, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO text = {NULL, 0};
    struct stamp_cbor_out w;
    enum stamp_err rc;

    *out = (struct stamp_buffer){NULL, 0};
    if (payload.len > STAMP_LETTER_MAX) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "a letter is too long");
    }
    rc = stamp_buffer_new(&text, payload.len + STAMP_SIG_SIZE + 32u, 0, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_cbor_out_init(&w, text.p, text.len);
    wrap_signed(&w, payload, sig);
    return seal(label, (struct stamp_slice){text.p, w.len}, to, out, err);
}

/* SPEC 14-1 */
static enum stamp_err split(const char *what, struct stamp_slice file,
                            struct stamp_slice *envelope, struct stamp_slice *sealed,
                            struct stamp_error *err)
{
    struct stamp_cbor c;
    uint32_t version;

    stamp_cbor_init(&c, file.p, file.len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 3);
    version = stamp_cbor_uint(&c, UINT32_MAX);
    if (c.err == STAMP_OK && version != VERSION) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "the %s was made by a newer program", what);
    }
    *envelope = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_CMS_ENVELOPE_MAX);
    *sealed = stamp_cbor_string(&c, STAMP_CBOR_BYTES, TAG_SIZE + 1u, SIGNED_MAX);
    if (c.err != STAMP_OK || c.left > 0) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "this is no %s", what);
    }
    return STAMP_OK;
}

/* SPEC 14-3 */
static enum stamp_err take_signed(const char *what, struct stamp_slice in,
                                  struct stamp_slice *payload, const uint8_t **sig,
                                  struct stamp_error *err)
{
    struct stamp_slice header;
    struct stamp_cbor c;

    stamp_cbor_init(&c, in.p, in.len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 4);
    header = stamp_cbor_string(&c, STAMP_CBOR_BYTES, sizeof protected_header,
                               sizeof protected_header);
    stamp_cbor_want(&c, STAMP_CBOR_MAP, 0);
    *payload = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_LETTER_MAX);
    *sig = stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SIG_SIZE, STAMP_SIG_SIZE).p;
    if (c.err != STAMP_OK || c.left > 0 ||
        memcmp(header.p, protected_header, sizeof protected_header) != 0) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the %s is malformed", what);
    }
    return STAMP_OK;
}

enum stamp_err stamp_letter_open(const char *label, const char *what,
                                 struct stamp_slice in, EVP_PKEY *key,
                                 struct stamp_buffer *plain, struct stamp_slice *payload,
                                 const uint8_t **sig, struct stamp_error *err)
{
    struct stamp_slice envelope = {NULL, 0};
    struct stamp_slice sealed = {NULL, 0};
    uint8_t content[KEY_SIZE];
    enum stamp_err rc = split(what, in, &envelope, &sealed, err);

    *plain = (struct stamp_buffer){NULL, 0};
    *payload = (struct stamp_slice){NULL, 0};
    *sig = NULL;
    if (rc != STAMP_OK || sealed.p == NULL) {
        return rc;
    }
    rc = stamp_cms_unwrap(envelope, key, content, sizeof content, err);
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(plain, sealed.len - TAG_SIZE, 0, err);
    }
    if (rc == STAMP_OK && !decrypt(content, label, sealed, plain->p, plain->len)) {
        ERR_clear_error();
        rc = stamp_error_set(err, STAMP_E_AUTH, 0, "the %s does not open", what);
    }
    OPENSSL_cleanse(content, sizeof content);
    if (rc == STAMP_OK) {
        rc = take_signed(what, (struct stamp_slice){plain->p, plain->len}, payload, sig,
                         err);
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(plain);
        *payload = (struct stamp_slice){NULL, 0};
    }
    return rc;
}
