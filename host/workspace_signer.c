#include "host/workspace_signer.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/file.h"
#include "host/key.h"
#include "host/keyfile.h"
#include "host/signerkey.h"

struct files {
    enum stamp_arc arc;
    const char *key, *pem;
};

static const struct files batch = {STAMP_ARC_BATCH_SIGNER, "keys/batch.key", "batch.pem"};
static const struct files log_ = {STAMP_ARC_LOG_SIGNER, "keys/log.key", "log.pem"};

static const struct files *files_of(enum stamp_arc arc)
{
    return arc == STAMP_ARC_LOG_SIGNER ? &log_ : &batch;
}

/* @param key  NULL = not looked at */
static enum stamp_err check(const struct stamp_workspace *ws, const struct files *files,
                            EVP_PKEY *key, X509 *cert, struct stamp_error *err)
{
    struct stamp_binding binding;
    enum stamp_err rc = stamp_signerkey_check(cert, files->arc, &binding, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (binding.purpose != ws->purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0, "'%s' is for the other purpose",
                               files->pem);
    }
    if (key != NULL && EVP_PKEY_eq(X509_get0_pubkey(cert), key) != 1) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "'%s' is not the key of '%s'",
                               files->key, files->pem);
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
    struct stamp_error why = STAMP_ERROR_INIT;
    char *pem = NULL;
    enum stamp_err rc = stamp_pki_text(cert, &pem, err);

    if (rc == STAMP_OK) {
        rc = stamp_file_write(path, pem, strlen(pem), STAMP_FILE_PUBLIC, false, &why);
        if (rc == STAMP_E_EXISTS) {
            rc = STAMP_OK;
        } else if (rc != STAMP_OK) {
            (void)stamp_error_set(err, rc, why.native, "%s", why.what);
        }
    }
    free(pem);
    return rc;
}

static enum stamp_err make_certificate(const struct stamp_workspace *ws,
                                       const struct stamp_secret *passphrase,
                                       enum stamp_arc arc, EVP_PKEY *key,
                                       const char *path, struct stamp_error *err)
{
    const struct stamp_profile *p = ws->profile;
    struct stamp_signerkey what = {.arc = arc,
                                   .organization = p->company,
                                   .purpose = ws->purpose,
                                   .pen = p->certificate.pen,
                                   .not_before = time(NULL)};
    STAMP_PKEY_AUTO *root = NULL;
    STAMP_X509_AUTO *cert = NULL;
    enum stamp_err rc =
        stamp_workspace_key(ws, STAMP_WORKSPACE_ROOT, passphrase, &root, err);

    if (rc == STAMP_OK) {
        rc = stamp_signerkey_certificate(&what, key, ws->root, root, &cert, err);
    }
    return rc == STAMP_OK ? write_pem(path, cert, err) : rc;
}

enum stamp_err stamp_workspace_signer_key(const struct stamp_workspace *ws,
                                          enum stamp_arc arc,
                                          const struct stamp_secret *passphrase,
                                          EVP_PKEY **key, X509 **cert,
                                          struct stamp_error *err)
{
    const struct files *files = files_of(arc);
    char key_path[PATH_MAX];
    char pem_path[PATH_MAX];
    enum stamp_err rc = stamp_workspace_path(ws, files->key, key_path, err);

    *key = NULL;
    *cert = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_workspace_path(ws, files->pem, pem_path, err);
    }
    if (rc == STAMP_OK) {
        rc = get_key(key_path, passphrase, key, err);
    }
    if (rc == STAMP_OK && access(pem_path, F_OK) != 0) {
        rc = make_certificate(ws, passphrase, arc, *key, pem_path, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_pki_load(pem_path, cert, err);
    }
    if (rc == STAMP_OK) {
        rc = check(ws, files, *key, *cert, err);
    }
    if (rc != STAMP_OK) {
        stamp_free_pkey(key);
        stamp_free_x509(cert);
    }
    return rc;
}

enum stamp_err stamp_workspace_signer_certificate(const struct stamp_workspace *ws,
                                                  enum stamp_arc arc, X509 **cert,
                                                  struct stamp_error *err)
{
    const struct files *files = files_of(arc);
    char path[PATH_MAX];
    enum stamp_err rc = stamp_workspace_path(ws, files->pem, path, err);

    *cert = NULL;
    if (rc == STAMP_OK && access(path, F_OK) != 0) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "there is no '%s' yet", path);
    }
    if (rc == STAMP_OK) {
        rc = stamp_pki_load(path, cert, err);
    }
    if (rc == STAMP_OK) {
        rc = check(ws, files, NULL, *cert, err);
    }
    if (rc != STAMP_OK) {
        stamp_free_x509(cert);
    }
    return rc;
}
