#include "host/workspace_batch.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/batchkey.h"
#include "host/file.h"
#include "host/key.h"
#include "host/keyfile.h"

#define KEY_FILE "keys/batch.key"
#define PEM_FILE "batch.pem"

static enum stamp_err check(const struct stamp_workspace *ws, EVP_PKEY *key, X509 *cert,
                            struct stamp_error *err)
{
    struct stamp_binding binding;
    enum stamp_err rc = stamp_batchkey_check(cert, &binding, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (binding.purpose != ws->purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "'" PEM_FILE "' is for the other purpose");
    }
    if (EVP_PKEY_eq(X509_get0_pubkey(cert), key) != 1) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "'" KEY_FILE "' is not the key of '" PEM_FILE "'");
    }
    return STAMP_OK;
}

/* Another process may make it at the same time: whose file is there first, counts. */
static enum stamp_err get_key(const char *path, const struct stamp_secret *passphrase,
                              EVP_PKEY **key, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (access(path, F_OK) != 0) {
        STAMP_PKEY_AUTO *made = NULL;

        rc = stamp_key_generate(&made, err);
        if (rc != STAMP_OK) {
            return rc;
        }
        rc = stamp_keyfile_write(path, made, passphrase, &why);
        if (rc != STAMP_OK && rc != STAMP_E_EXISTS) {
            return stamp_error_set(err, rc, why.native, "%s", why.what);
        }
    }
    return stamp_keyfile_read(path, passphrase, key, err);
}

static enum stamp_err write_pem(const char *path, X509 *cert, struct stamp_error *err)
{
    struct stamp_slice der = {NULL, 0};
    struct stamp_error why = STAMP_ERROR_INIT;
    uint8_t *bytes = NULL;
    char *pem = NULL;
    enum stamp_err rc = stamp_pki_encode(cert, &bytes, &der.len, err);

    der.p = bytes;
    if (rc == STAMP_OK) {
        rc = stamp_pki_pem(der, &pem, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_write(path, pem, strlen(pem), STAMP_FILE_PUBLIC, false, &why);
        if (rc == STAMP_E_EXISTS) {
            rc = STAMP_OK;
        } else if (rc != STAMP_OK) {
            (void)stamp_error_set(err, rc, why.native, "%s", why.what);
        }
    }
    free(pem);
    OPENSSL_free(bytes);
    return rc;
}

static enum stamp_err make_certificate(const struct stamp_workspace *ws,
                                       const struct stamp_secret *passphrase,
                                       EVP_PKEY *key, const char *path,
                                       struct stamp_error *err)
{
    const struct stamp_profile *p = ws->profile;
    struct stamp_batchkey what = {.organization = p->company,
                                  .purpose = ws->purpose,
                                  .pen = p->certificate.pen,
                                  .not_before = time(NULL)};
    STAMP_PKEY_AUTO *root = NULL;
    STAMP_X509_AUTO *cert = NULL;
    enum stamp_err rc =
        stamp_workspace_key(ws, STAMP_WORKSPACE_ROOT, passphrase, &root, err);

    if (rc == STAMP_OK) {
        rc = stamp_batchkey_certificate(&what, key, ws->root, root, &cert, err);
    }
    return rc == STAMP_OK ? write_pem(path, cert, err) : rc;
}

enum stamp_err stamp_workspace_batch_key(const struct stamp_workspace *ws,
                                         const struct stamp_secret *passphrase,
                                         EVP_PKEY **key, X509 **cert,
                                         struct stamp_error *err)
{
    char key_path[PATH_MAX];
    char pem_path[PATH_MAX];
    enum stamp_err rc = stamp_workspace_path(ws, KEY_FILE, key_path, err);

    *key = NULL;
    *cert = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_workspace_path(ws, PEM_FILE, pem_path, err);
    }
    if (rc == STAMP_OK) {
        rc = get_key(key_path, passphrase, key, err);
    }
    if (rc == STAMP_OK && access(pem_path, F_OK) != 0) {
        rc = make_certificate(ws, passphrase, *key, pem_path, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_pki_load(pem_path, cert, err);
    }
    if (rc == STAMP_OK) {
        rc = check(ws, *key, *cert, err);
    }
    if (rc != STAMP_OK) {
        stamp_free_pkey(key);
        stamp_free_x509(cert);
    }
    return rc;
}
