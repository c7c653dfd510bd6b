#include "service/rollover.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/file.h"
#include "host/pki.h"

enum { PEM_MAX = 65536 };

static enum stamp_err check(const struct stamp_workspace *ws, X509 *cert, int n,
                            struct stamp_error *err)
{
    struct stamp_binding b;

    if (X509_check_ca(cert) != 1) {
        return stamp_error_set(
            err, STAMP_E_FORMAT, 0,
            "certificate %d of '" SERVICE_ROLLOVER_FILE "' is no authority's", n);
    }
    if (stamp_binding_read(cert, &b, NULL) != STAMP_OK ||
        (b.present && b.purpose != ws->purpose)) {
        return stamp_error_set(
            err, STAMP_E_PURPOSE, 0,
            "certificate %d of '" SERVICE_ROLLOVER_FILE "' is for the other purpose", n);
    }
    return STAMP_OK;
}

static enum stamp_err read_all(const struct stamp_workspace *ws, BIO *bio,
                               STACK_OF(X509) * list, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;
    X509 *cert;

    while (rc == STAMP_OK && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_num(list) == SERVICE_ROLLOVER_MAX || sk_X509_push(list, cert) == 0) {
            X509_free(cert);
            return stamp_error_set(err, STAMP_E_FORMAT, 0,
                                   "'" SERVICE_ROLLOVER_FILE
                                   "' has more than %d certificates",
                                   SERVICE_ROLLOVER_MAX);
        }
        rc = check(ws, cert, sk_X509_num(list), err);
    }
    if (rc == STAMP_OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                             "certificate %d of '" SERVICE_ROLLOVER_FILE
                             "' cannot be read",
                             sk_X509_num(list) + 1);
    }
    ERR_clear_error();
    if (rc == STAMP_OK && sk_X509_num(list) == 0) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                             "'" SERVICE_ROLLOVER_FILE "' has no certificate");
    }
    return rc;
}

enum stamp_err service_rollover_load(const struct stamp_workspace *ws,
                                     STACK_OF(X509) * *out, struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = NULL;
    char path[PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_workspace_path(ws, SERVICE_ROLLOVER_FILE, path, err);

    *out = sk_X509_new_null();
    if (rc == STAMP_OK && *out == NULL) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    if (rc != STAMP_OK || access(path, F_OK) != 0) {
        return rc;
    }
    rc = stamp_file_read(path, PEM_MAX, &text, &len, err);
    if (rc == STAMP_OK) {
        bio = BIO_new_mem_buf(text, (int)len);
        rc = bio == NULL ? stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory")
                         : read_all(ws, bio, *out, err);
    }
    free(text);
    return rc;
}
