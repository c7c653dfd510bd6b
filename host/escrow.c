#include "host/escrow.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "host/cms.h"
#include "host/file.h"

#define KEY_SIZE 32u
#define NONCE_SIZE 12u
#define TAG_SIZE 16u
#define PEM_MAX ((size_t)16384)

struct stamp_escrow {
    uint8_t key[KEY_SIZE];
    uint8_t *envelope;
    size_t envelope_len;
};

static void free_cipher_ctx(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
    *p = NULL;
}
#define CIPHER_CTX_AUTO __attribute__((cleanup(free_cipher_ctx))) EVP_CIPHER_CTX

static enum stamp_err load_certificate(const char *path, X509 **out,
                                       struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = NULL;
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_file_read(path, PEM_MAX, &text, &len, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    bio = BIO_new_mem_buf(text, (int)len);
    *out = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    free(text);
    if (*out == NULL) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' holds no certificate", path);
    }
    return STAMP_OK;
}

enum stamp_err stamp_escrow_new(const char *path, struct stamp_escrow **out,
                                struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    X509 *certs[1];
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_escrow *e;
    enum stamp_err rc = load_certificate(path, &cert, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_cms_check_recipient(cert, &why);
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "proofs cannot be sealed to '%s': %s",
                               path, why.what);
    }
    e = calloc(1, sizeof *e);
    if (e == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    certs[0] = cert;
    if (RAND_priv_bytes(e->key, (int)sizeof e->key) != 1) {
        rc = stamp_openssl_failed(err, "the random generator failed");
    } else {
        rc = stamp_cms_wrap(e->key, sizeof e->key, certs, 1, &e->envelope,
                            &e->envelope_len, err);
    }
    if (rc != STAMP_OK) {
        stamp_escrow_free(&e);
    }
    *out = e;
    return rc;
}

void stamp_escrow_free(struct stamp_escrow **p)
{
    if (*p != NULL) {
        OPENSSL_cleanse((*p)->key, sizeof(*p)->key);
        OPENSSL_free((*p)->envelope);
        free(*p);
    }
    *p = NULL;
}

struct stamp_slice stamp_escrow_envelope(const struct stamp_escrow *e)
{
    struct stamp_slice s = {e->envelope, e->envelope_len};

    return s;
}

/* The proof's length shows; its serial is authenticated. */
enum stamp_err stamp_escrow_seal(const struct stamp_escrow *e, const char *serial,
                                 struct stamp_slice pop, uint8_t *out, size_t *len,
                                 struct stamp_error *err)
{
    CIPHER_CTX_AUTO *ctx = EVP_CIPHER_CTX_new();
    uint8_t *p = out + NONCE_SIZE;
    int n = 0;

    *len = 0;
    if (pop.len == 0 || pop.len > STAMP_MAX_TEXT) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "no proof to put in escrow");
    }
    if (ctx == NULL || RAND_bytes(out, (int)NONCE_SIZE) != 1 ||
        EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, e->key, out) != 1 ||
        EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)serial, (int)strlen(serial)) !=
            1 ||
        EVP_EncryptUpdate(ctx, p, &n, pop.p, (int)pop.len) != 1 ||
        EVP_EncryptFinal_ex(ctx, p + pop.len, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, (int)TAG_SIZE, p + pop.len) != 1) {
        OPENSSL_cleanse(out, STAMP_ESCROW_MAX);
        return stamp_openssl_failed(err, "cannot seal a proof");
    }
    *len = NONCE_SIZE + pop.len + TAG_SIZE;
    return STAMP_OK;
}

static bool decrypt(const uint8_t key[KEY_SIZE], struct stamp_slice sealed,
                    const char *serial, uint8_t *text, size_t text_len)
{
    CIPHER_CTX_AUTO *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[TAG_SIZE];
    int n = 0;

    memcpy(tag, sealed.p + NONCE_SIZE + text_len, sizeof tag);
    return ctx != NULL &&
           EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, sealed.p) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, (int)TAG_SIZE, tag) == 1 &&
           EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)serial,
                             (int)strlen(serial)) == 1 &&
           EVP_DecryptUpdate(ctx, text, &n, sealed.p + NONCE_SIZE, (int)text_len) == 1 &&
           EVP_DecryptFinal_ex(ctx, text + text_len, &n) == 1;
}

enum stamp_err stamp_escrow_open(struct stamp_slice envelope, struct stamp_slice sealed,
                                 const char *serial, EVP_PKEY *key,
                                 struct stamp_secret **pop, struct stamp_error *err)
{
    uint8_t content[KEY_SIZE];
    uint8_t text[STAMP_MAX_TEXT + TAG_SIZE];
    size_t len;
    enum stamp_err rc;

    *pop = NULL;
    if (sealed.len <= NONCE_SIZE + TAG_SIZE || sealed.len > STAMP_ESCROW_MAX) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "the proof of '%s' does not open",
                               serial);
    }
    len = sealed.len - NONCE_SIZE - TAG_SIZE;
    rc = stamp_cms_unwrap(envelope, key, content, sizeof content, err);
    if (rc == STAMP_OK && !decrypt(content, sealed, serial, text, len)) {
        ERR_clear_error();
        rc = stamp_error_set(err, STAMP_E_AUTH, 0, "the proof of '%s' does not open",
                             serial);
    }
    if (rc == STAMP_OK) {
        rc = stamp_secret_new(pop, text, len, err);
    }
    OPENSSL_cleanse(content, sizeof content);
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}
