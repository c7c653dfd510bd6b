#include "host/workspace_home.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/file.h"
#include "host/hex.h"
#include "host/key.h"
#include "host/keyfile.h"
#include "host/pki.h"
#include "host/pki_own.h"

#define KEY_FILE "keys/home.key"
#define PEM_FILE "home.pem"

static enum stamp_err make_key(const char *path, const struct stamp_secret *passphrase,
                               struct stamp_error *err)
{
    STAMP_PKEY_AUTO *made = NULL;
    enum stamp_err rc = stamp_key_generate(&made, err);

    return rc == STAMP_OK ? stamp_keyfile_write(path, made, passphrase, err) : rc;
}

static enum stamp_err make_certificate(const struct stamp_workspace *ws, EVP_PKEY *root,
                                       EVP_PKEY *key, const char *path,
                                       struct stamp_error *err)
{
    const struct stampi_certificate what = {ws->profile->company, "Reception",
                                            ws->purpose, time(NULL)};
    STAMP_X509_AUTO *cert = X509_new();
    char *pem = NULL;
    enum stamp_err rc;

    if (cert == NULL || !stampi_certificate_begin(cert, &what, key, ws->root) ||
        !stampi_certificate_add(cert, ws->root, NID_key_usage, "critical,keyAgreement") ||
        !stampi_certificate_add_purpose(cert, ws->profile->certificate.pen,
                                        ws->purpose) ||
        X509_sign(cert, root, EVP_sha256()) == 0) {
        return stamp_openssl_failed(err, "cannot make a certificate");
    }
    rc = stamp_pki_text(cert, &pem, err);
    if (rc == STAMP_OK) {
        rc = stamp_file_write(path, pem, strlen(pem), STAMP_FILE_PUBLIC, false, err);
    }
    free(pem);
    return rc;
}

enum stamp_err stamp_workspace_home(const struct stamp_workspace *ws, EVP_PKEY *root,
                                    const struct stamp_secret *passphrase, EVP_PKEY **key,
                                    X509 **cert, struct stamp_error *err)
{
    char key_path[PATH_MAX];
    char pem_path[PATH_MAX];
    enum stamp_err rc = stamp_workspace_path(ws, KEY_FILE, key_path, err);

    *key = NULL;
    *cert = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_workspace_path(ws, PEM_FILE, pem_path, err);
    }
    if (rc == STAMP_OK && root != NULL && access(key_path, F_OK) != 0) {
        rc = make_key(key_path, passphrase, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_keyfile_read(key_path, passphrase, key, err);
    }
    if (rc == STAMP_OK && root != NULL && access(pem_path, F_OK) != 0) {
        rc = make_certificate(ws, root, *key, pem_path, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_pki_load(pem_path, cert, err);
    }
    if (rc == STAMP_OK && EVP_PKEY_eq(X509_get0_pubkey(*cert), *key) != 1) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "'" KEY_FILE "' is not the key of '" PEM_FILE "'");
    }
    if (rc != STAMP_OK) {
        stamp_free_pkey(key);
        stamp_free_x509(cert);
    }
    return rc;
}

enum stamp_err stamp_workspace_station(const struct stamp_workspace *ws,
                                       const uint8_t id[32], char out[PATH_MAX],
                                       struct stamp_error *err)
{
    char name[sizeof "stations/" + 64 + sizeof ".pem"] = "stations/";

    stamp_hex(id, 32, name + strlen(name));
    memcpy(name + strlen(name), ".pem", sizeof ".pem");
    return stamp_workspace_path(ws, name, out, err);
}
