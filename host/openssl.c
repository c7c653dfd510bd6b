#include "host/openssl.h"

#include <openssl/err.h>

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
