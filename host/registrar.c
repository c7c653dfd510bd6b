#include "host/registrar.h"

#include <openssl/pem.h>
#include <string.h>
#include <time.h>

#include "host/issued.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/registry_enrol.h"

enum { NAME_MAX_LEN = 64, DAY = 86400 };

static enum stamp_err check_name(const char *name, struct stamp_error *err)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] < ' ' || name[i] == 127) {
            len = 0;
        }
    }
    return len > 0 && len <= NAME_MAX_LEN
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_RANGE, 0,
                                 "a registrar's name has 1 to %d characters",
                                 NAME_MAX_LEN);
}

static enum stamp_err to_pem(struct stamp_slice leaf, X509 *ca, EVP_PKEY *key,
                             struct stamp_secret **pem, struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    STAMP_BIO_AUTO *bio = BIO_new(BIO_s_secmem());
    char *bytes = NULL;
    long len;
    enum stamp_err rc = stamp_pki_decode(leaf, &cert, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (bio == NULL || PEM_write_bio_X509(bio, cert) != 1 ||
        PEM_write_bio_X509(bio, ca) != 1 ||
        PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        return stamp_openssl_failed(err, "cannot write a registrar's certificate");
    }
    len = BIO_get_mem_data(bio, &bytes);
    return stamp_secret_new(pem, bytes, len > 0 ? (size_t)len : 0, err);
}

static enum stamp_err issue(const struct stamp_workspace *ws, const char *name,
                            uint32_t days, EVP_PKEY *ca, EVP_PKEY *key, uint8_t **der,
                            size_t *len, struct stamp_error *err)
{
    uint8_t prefix[STAMP_CERTIFICATE_PREFIX_SIZE];
    uint8_t point[STAMP_POINT_SIZE];
    time_t now = time(NULL);
    struct stamp_issued booked = {
        .kind = STAMP_ISSUED_REGISTRAR, .at = now, .not_after = now + (time_t)days * DAY};
    struct stamp_issued_asked asked = {.kind = STAMP_ISSUED_REGISTRAR,
                                       .point = point,
                                       .organization = ws->profile->company,
                                       .name = &name,
                                       .n_names = 1,
                                       .purpose = ws->purpose,
                                       .pen = ws->profile->certificate.pen,
                                       .not_before = booked.at,
                                       .not_after = booked.not_after};
    enum stamp_err rc = stamp_registry_certificate_block(ws->registry, prefix, err);

    memcpy(booked.name, name, strlen(name) + 1);
    stamp_registry_certificate_serial(prefix, 1, booked.certificate_serial);
    memcpy(asked.serial_number, booked.certificate_serial, sizeof asked.serial_number);
    if (rc == STAMP_OK) {
        rc = stamp_key_point(key, point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(point, booked.fingerprint, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_issued_add(ws->registry, &booked, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_issued_make(&asked, ws->sub_ca, ca, der, len, err);
    }
    return rc == STAMP_OK
               ? stamp_registry_issued_certify(ws->registry, booked.certificate_serial,
                                               (struct stamp_slice){*der, *len}, err)
               : rc;
}

enum stamp_err stamp_registrar_add(const struct stamp_workspace *ws, const char *name,
                                   uint32_t days, const struct stamp_secret *passphrase,
                                   struct stamp_secret **pem, struct stamp_error *err)
{
    STAMP_PKEY_AUTO *ca = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    uint8_t *der = NULL;
    size_t len = 0;
    enum stamp_err rc = check_name(name, err);

    *pem = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_workspace_key(ws, STAMP_WORKSPACE_SUB_CA, passphrase, &ca, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_generate(&key, err);
    }
    if (rc == STAMP_OK) {
        rc = issue(ws, name, days, ca, key, &der, &len, err);
    }
    if (rc == STAMP_OK) {
        rc = to_pem((struct stamp_slice){der, len}, ws->sub_ca, key, pem, err);
    }
    OPENSSL_free(der);
    return rc;
}
