/*
 * What every user of OpenSSL here shares: its error as ours, and cleanup functions for
 * __attribute__((cleanup)).
 */
#ifndef HOST_OPENSSL_H
#define HOST_OPENSSL_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "host/error.h"

/** SHA-256, fetched once: EVP_sha256() is looked up anew at each use, which takes as long
 * as hashing 100 bytes. */
const EVP_MD *stamp_sha256(void);

/** STAMP_E_CRYPTO with OpenSSL's reason behind `what`; empties OpenSSL's error queue. */
enum stamp_err stamp_openssl_failed(struct stamp_error *err, const char *what);

/** The text in a memory BIO as a string of its own; free() it. */
STAMP_MUST_USE enum stamp_err stamp_bio_text(BIO *bio, char **out,
                                             struct stamp_error *err);

void stamp_free_pkey(EVP_PKEY **p);
void stamp_free_pkey_ctx(EVP_PKEY_CTX **p);
void stamp_free_md_ctx(EVP_MD_CTX **p);
void stamp_free_x509(X509 **p);
void stamp_free_bio(BIO **p);
void stamp_free_ecdsa_sig(ECDSA_SIG **p);

#define STAMP_PKEY_AUTO __attribute__((cleanup(stamp_free_pkey))) EVP_PKEY
#define STAMP_PKEY_CTX_AUTO __attribute__((cleanup(stamp_free_pkey_ctx))) EVP_PKEY_CTX
#define STAMP_MD_CTX_AUTO __attribute__((cleanup(stamp_free_md_ctx))) EVP_MD_CTX
#define STAMP_X509_AUTO __attribute__((cleanup(stamp_free_x509))) X509
#define STAMP_BIO_AUTO __attribute__((cleanup(stamp_free_bio))) BIO
#define STAMP_ECDSA_SIG_AUTO __attribute__((cleanup(stamp_free_ecdsa_sig))) ECDSA_SIG

#endif
