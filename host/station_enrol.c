/* Headquarters signs what a station asks for. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "host/key.h"
#include "host/pki.h"
#include "host/pki_own.h"
#include "host/station_cert.h"
#include "host/station_cert_own.h"
#include "host/workspace_home.h"

static const char *const roles[STAMP_STATION_KEYS] = {"Station CA", "Station box",
                                                      "Station journal"};

static enum stamp_err read_request(BIO *bio, int i, EVP_PKEY **key,
                                   struct stamp_error *err)
{
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc = STAMP_OK;

    *key = NULL;
    if (req == NULL) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                             "there are not three requests for certificates in it");
    } else if ((*key = X509_REQ_get_pubkey(req)) == NULL ||
               stamp_key_point(*key, point, NULL) != STAMP_OK) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "request %d is not for a P-256 key",
                             i + 1);
    } else if (X509_REQ_verify(req, *key) != 1) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "request %d is not signed by its own key", i + 1);
    }
    ERR_clear_error();
    X509_REQ_free(req);
    return rc;
}

static bool fill(X509 *cert, int i, const struct stamp_workspace *ws, EVP_PKEY *key)
{
    static const char *const usage[STAMP_STATION_KEYS] = {
        "critical,keyCertSign", "critical,keyAgreement", "critical,digitalSignature"};
    const struct stampi_certificate what = {ws->profile->company, roles[i], ws->purpose,
                                            time(NULL)};

    return stampi_certificate_begin(cert, &what, key, ws->root) &&
           (i != STAMP_STATION_CA ||
            stampi_certificate_add(cert, ws->root, NID_basic_constraints,
                                   "critical,CA:TRUE,pathlen:0")) &&
           stampi_certificate_add(cert, ws->root, NID_key_usage, usage[i]) &&
           stampi_certificate_add_purpose(cert, ws->profile->certificate.pen,
                                          ws->purpose);
}

static enum stamp_err sign_all(const struct stamp_workspace *ws, EVP_PKEY *root,
                               EVP_PKEY *const key[STAMP_STATION_KEYS], BIO *out,
                               struct stamp_error *err)
{
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        STAMP_X509_AUTO *cert = X509_new();

        for (int k = 0; k < i; k++) {
            if (EVP_PKEY_eq(key[i], key[k]) == 1) {
                return stamp_error_set(err, STAMP_E_AUTH, 0,
                                       "requests %d and %d are for one key: no key has "
                                       "two uses",
                                       k + 1, i + 1);
            }
        }
        if (cert == NULL || !fill(cert, i, ws, key[i]) ||
            X509_sign(cert, root, EVP_sha256()) == 0 ||
            PEM_write_bio_X509(out, cert) != 1) {
            return stamp_openssl_failed(err, "cannot sign a station's certificate");
        }
    }
    return STAMP_OK;
}

enum stamp_err stamp_station_enrol(const struct stamp_workspace *ws, const char *requests,
                                   size_t len, const struct stamp_secret *passphrase,
                                   char **pem, struct stamp_error *err)
{
    STAMP_BIO_AUTO *in = BIO_new_mem_buf(requests, (int)len);
    STAMP_BIO_AUTO *out = BIO_new(BIO_s_mem());
    EVP_PKEY *key[STAMP_STATION_KEYS] = {NULL, NULL, NULL};
    STAMP_PKEY_AUTO *root = NULL;
    STAMP_PKEY_AUTO *home_key = NULL;
    STAMP_X509_AUTO *home = NULL;
    enum stamp_err rc = in != NULL && out != NULL
                            ? STAMP_OK
                            : stamp_openssl_failed(err, "cannot read requests");

    *pem = NULL;
    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        rc = read_request(in, i, &key[i], err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_key(ws, STAMP_WORKSPACE_ROOT, passphrase, &root, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_home(ws, root, passphrase, &home_key, &home, err);
    }
    if (rc == STAMP_OK) {
        rc = sign_all(ws, root, key, out, err);
    }
    if (rc == STAMP_OK &&
        (PEM_write_bio_X509(out, ws->root) != 1 || PEM_write_bio_X509(out, home) != 1 ||
         PEM_write_bio(out, STAMPI_BUNDLE_PEM, "", ws->bundle, (long)ws->bundle_len) <=
             0)) {
        rc = stamp_openssl_failed(err, "cannot write certificates");
    }
    if (rc == STAMP_OK) {
        rc = stamp_bio_text(out, pem, err);
    }
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        EVP_PKEY_free(key[i]);
    }
    return rc;
}
