/*
 * The voucher key of a batch file: whoever can open the file has it, and signs with it
 * for the books that it keeps. So what comes home needs no station key. SPEC 12-2.
 */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

#include "host/batchfile_own.h"
#include "host/cms.h"
#include "host/key.h"

enum stamp_err stampi_voucher_make(X509 *const *recipients, size_t n,
                                   uint8_t point[STAMP_POINT_SIZE], uint8_t **secret,
                                   size_t *len, struct stamp_error *err)
{
    STAMP_PKEY_AUTO *key = NULL;
    uint8_t scalar[STAMP_SCALAR_SIZE];
    enum stamp_err rc = stamp_key_generate(&key, err);

    *secret = NULL;
    *len = 0;
    if (rc == STAMP_OK) {
        rc = stamp_key_point(key, point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_scalar(key, scalar, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_cms_wrap(scalar, sizeof scalar, recipients, n, secret, len, err);
    }
    OPENSSL_cleanse(scalar, sizeof scalar);
    return rc;
}

enum stamp_err stamp_batch_voucher(const struct stamp_batch *b, EVP_PKEY **out,
                                   struct stamp_error *err)
{
    uint8_t scalar[STAMP_SCALAR_SIZE];
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc;

    *out = NULL;
    if (b->key == NULL) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "no key was given for '%s'",
                               b->path);
    }
    rc = stamp_cms_unwrap(b->manifest.voucher_secret, b->key, scalar, sizeof scalar, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (stamp_key_from_scalar(scalar, out, NULL) != STAMP_OK ||
        stamp_key_point(*out, point, NULL) != STAMP_OK ||
        memcmp(point, b->manifest.voucher, sizeof point) != 0) {
        ERR_clear_error();
        stamp_free_pkey(out);
        rc = stamp_error_set(err, STAMP_E_CORRUPT, 0,
                             "the voucher key of '%s' is not that of its manifest",
                             b->path);
    }
    OPENSSL_cleanse(scalar, sizeof scalar);
    return rc;
}
