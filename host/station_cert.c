/* Reading what headquarters gave a station. */
#include "host/station_cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "host/bundle.h"
#include "host/cms.h"
#include "host/file.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/station_cert_own.h"

enum { FILE_MAX = 65536 };

static enum stamp_err malformed(const char *path, struct stamp_error *err)
{
    ERR_clear_error();
    stamp_error_hint(err, "it is what `stamp station enrol` wrote at headquarters");
    return stamp_error_set(err, STAMP_E_FORMAT, 0,
                           "'%s' is no file of a station's certificates", path);
}

static bool read_all(BIO *bio, struct stamp_station_cert *c)
{
    X509 **to[] = {&c->cert[STAMP_STATION_CA], &c->cert[STAMP_STATION_BOX],
                   &c->cert[STAMP_STATION_JOURNAL], &c->root, &c->home};
    char *name = NULL;
    char *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    bool ok = true;

    for (size_t i = 0; i < sizeof to / sizeof to[0] && ok; i++) {
        *to[i] = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        ok = *to[i] != NULL;
    }
    ok = ok && PEM_read_bio(bio, &name, &header, &data, &len) == 1 &&
         strcmp(name, STAMPI_BUNDLE_PEM) == 0 && len > 0 &&
         (size_t)len <= sizeof c->bundle;
    if (ok) {
        memcpy(c->bundle, data, (size_t)len);
        c->bundle_len = (size_t)len;
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    return ok;
}

/* The station CA may certify devices and no further authority; the others nothing. */
static bool fits(X509 *cert, enum stamp_station_key which)
{
    uint32_t usage = X509_get_key_usage(cert);

    switch (which) {
    case STAMP_STATION_CA:
        return X509_check_ca(cert) == 1 && X509_get_pathlen(cert) == 0;
    case STAMP_STATION_BOX:
        return X509_check_ca(cert) == 0 && usage == X509v3_KU_KEY_AGREEMENT;
    case STAMP_STATION_JOURNAL:
    case STAMP_STATION_KEYS:
    default:
        return X509_check_ca(cert) == 0 && usage == X509v3_KU_DIGITAL_SIGNATURE;
    }
}

static bool is_uncounted(const X509 *ca)
{
    char cn[128];
    int len = X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_commonName, cn,
                                        sizeof cn);

    return len > 0 && strstr(cn, STAMP_STATION_UNCOUNTED) != NULL;
}

static enum stamp_err check(struct stamp_station_cert *c, const char *path,
                            struct stamp_error *err)
{
    struct stamp_binding binding;
    struct stamp_bundle bundle;
    enum stamp_err rc;

    rc = stamp_bundle_decode(&bundle, c->bundle, c->bundle_len);
    if (rc != STAMP_OK) {
        return malformed(path, err);
    }
    rc = stamp_key_hash(bundle.owner.p, c->owner_hash, err);
    c->purpose = bundle.purpose;
    c->uncounted = is_uncounted(c->cert[STAMP_STATION_CA]);
    if (rc == STAMP_OK) {
        rc = stamp_bundle_check((struct stamp_slice){c->bundle, c->bundle_len},
                                c->owner_hash, c->purpose, NULL, err);
    }
    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        X509 *cert = c->cert[i];

        if (!fits(cert, (enum stamp_station_key)i) ||
            X509_verify(cert, X509_get0_pubkey(c->root)) != 1) {
            rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                                 "'%s': certificate %d is not what the root gave a "
                                 "station",
                                 path, i + 1);
        }
        if (rc == STAMP_OK) {
            rc = stamp_binding_read(cert, &binding, err);
        }
        if (rc == STAMP_OK && (!binding.present || binding.purpose != c->purpose)) {
            rc = stamp_error_set(err, STAMP_E_PURPOSE, 0,
                                 "'%s': certificate %d is for another purpose", path,
                                 i + 1);
        }
    }
    if (rc == STAMP_OK) {
        rc = stamp_cms_check_recipient(c->home, err);
    }
    return rc;
}

enum stamp_err stamp_station_cert_der(const struct stamp_station_cert *c,
                                      enum stamp_station_key which, uint8_t **der,
                                      size_t *len, struct stamp_error *err)
{
    return stamp_pki_encode(c->cert[which], der, len, err);
}

enum stamp_err stamp_station_cert_load(const char *path, struct stamp_station_cert *out,
                                       struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = NULL;
    uint8_t *text = NULL;
    uint8_t *der = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_file_read(path, FILE_MAX, &text, &len, err);

    memset(out, 0, sizeof *out);
    if (rc != STAMP_OK) {
        return rc;
    }
    bio = BIO_new_mem_buf(text, (int)len);
    rc = bio != NULL && read_all(bio, out) ? check(out, path, err) : malformed(path, err);
    if (rc == STAMP_OK) {
        rc = stamp_station_cert_der(out, STAMP_STATION_CA, &der, &len, err);
    }
    if (rc == STAMP_OK &&
        EVP_Digest(der, len, out->id, NULL, stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash a certificate");
    }
    OPENSSL_free(der);
    free(text);
    if (rc != STAMP_OK) {
        stamp_station_cert_fini(out);
    }
    return rc;
}

void stamp_station_cert_fini(struct stamp_station_cert *c)
{
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        X509_free(c->cert[i]);
    }
    X509_free(c->root);
    X509_free(c->home);
    memset(c, 0, sizeof *c);
}
