#include "host/openssl.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    ERR_clear_error();
}

const EVP_MD *stamp_sha256(void)
{
    (void)pthread_once(&sha256_once, fetch_sha256);
    return sha256 != NULL ? sha256 : EVP_sha256();
}

enum stamp_err stamp_openssl_failed(struct stamp_error *err, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

    ERR_clear_error();
    if (reason == NULL) {
        return stamp_error_set(err, STAMP_E_CRYPTO, (long)code, "%s", what);
    }
    return stamp_error_set(err, STAMP_E_CRYPTO, (long)code, "%s: %s", what, reason);
}

enum stamp_err stamp_bio_text(BIO *bio, char **out, struct stamp_error *err)
{
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);

    *out = calloc(1, (size_t)len + 1); /* there is no NUL behind the text of a BIO */
    if (*out == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    memcpy(*out, text, (size_t)len);
    return STAMP_OK;
}

void stamp_free_pkey(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
    *p = NULL;
}

void stamp_free_pkey_ctx(EVP_PKEY_CTX **p)
{
    EVP_PKEY_CTX_free(*p);
    *p = NULL;
}

void stamp_free_md_ctx(EVP_MD_CTX **p)
{
    EVP_MD_CTX_free(*p);
    *p = NULL;
}

void stamp_free_x509(X509 **p)
{
    X509_free(*p);
    *p = NULL;
}

void stamp_free_bio(BIO **p)
{
    BIO_free_all(*p);
    *p = NULL;
}

void stamp_free_ecdsa_sig(ECDSA_SIG **p)
{
    ECDSA_SIG_free(*p);
    *p = NULL;
}
