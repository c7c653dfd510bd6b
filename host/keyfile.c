#include "host/keyfile.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <string.h>

#include "host/file.h"
#include "host/key.h"

#define KEYFILE_MAX ((size_t)16384)

/* 16 MiB a guess; OpenSSL and others refuse 32 MiB unless told otherwise */
#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 1

static bool write_sealed(BIO *bio, EVP_PKEY *key, const struct stamp_secret *passphrase)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    X509_ALGOR *pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, SCRYPT_N,
                                            SCRYPT_R, SCRYPT_P);
    X509_SIG *sealed = NULL;
    bool ok = false;
    size_t len;
    const uint8_t *bytes = stamp_secret_use(passphrase, &len);

    if (info != NULL && pbe != NULL) {
        sealed = PKCS8_set0_pbe((const char *)bytes, (int)len, info, pbe);
    }
    if (sealed != NULL) {
        pbe = NULL; /* owned by `sealed` now */
        ok = PEM_write_bio_PKCS8(bio, sealed) == 1;
    }
    X509_SIG_free(sealed);
    X509_ALGOR_free(pbe);
    PKCS8_PRIV_KEY_INFO_free(info);
    return ok;
}

enum stamp_err stamp_keyfile_write(const char *path, EVP_PKEY *key,
                                   const struct stamp_secret *passphrase,
                                   struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    long len;
    bool ok = bio != NULL;

    if (ok && passphrase == NULL) {
        ok = PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    } else if (ok) {
        ok = write_sealed(bio, key, passphrase);
    }
    if (!ok) {
        return stamp_openssl_failed(err, "cannot encode a private key");
    }
    len = BIO_get_mem_data(bio, &text);
    return stamp_file_write(path, text, (size_t)len, STAMP_FILE_SECRET, false, err);
}

struct asked {
    const struct stamp_secret *passphrase;
    bool needed;
};

static int give_passphrase(char *buf, int size, int rwflag, void *arg)
{
    struct asked *a = arg;
    size_t len;
    const uint8_t *bytes;

    (void)rwflag;
    a->needed = true;
    if (a->passphrase == NULL) {
        return -1;
    }
    bytes = stamp_secret_use(a->passphrase, &len);
    if (len > (size_t)size) {
        return -1;
    }
    memcpy(buf, bytes, len);
    return (int)len;
}

static enum stamp_err explain(const char *path, const struct asked *a,
                              struct stamp_error *err)
{
    ERR_clear_error();
    if (!a->needed) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' holds no private key", path);
    }
    if (a->passphrase == NULL) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "'%s' is sealed with a passphrase",
                               path);
    }
    return stamp_error_set(err, STAMP_E_AUTH, 0,
                           "cannot open '%s': the passphrase is wrong", path);
}

enum stamp_err stamp_keyfile_read(const char *path, const struct stamp_secret *passphrase,
                                  EVP_PKEY **out, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *text = NULL;
    STAMP_BIO_AUTO *bio = NULL;
    struct asked asked = {passphrase, false};
    uint8_t point[STAMP_POINT_SIZE];
    size_t len;
    const uint8_t *bytes;
    enum stamp_err rc = stamp_file_read_secret(path, KEYFILE_MAX, &text, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    bytes = stamp_secret_use(text, &len);
    bio = BIO_new_mem_buf(bytes, (int)len);
    if (bio == NULL) {
        return stamp_openssl_failed(err, "cannot read a private key");
    }
    *out = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &asked);
    if (*out == NULL) {
        return explain(path, &asked, err);
    }
    rc = stamp_key_point(*out, point, err);
    if (rc != STAMP_OK) {
        stamp_free_pkey(out);
    }
    return rc;
}
