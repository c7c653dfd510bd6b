/* Headquarters signs what a station asks for. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/key.h"
#include "host/pki.h"
#include "host/pki_own.h"
#include "host/registry_station.h"
#include "host/station_cert.h"
#include "host/station_cert_own.h"
#include "host/workspace_home.h"

static const char *const roles[STAMP_STATION_KEYS] = {"Station CA", "Station box",
                                                      "Station journal"};

/* What is asked for. */
struct asked {
    EVP_PKEY *key[STAMP_STATION_KEYS];
    bool uncounted;
};

/* Each says what its key is for: a file that was put together in another order, or by
 * another program, is not guessed at. */
static bool is_for(X509_REQ *req, int i, bool *uncounted)
{
    static const char *const ends[STAMP_STATION_KEYS] = {" ca", " box", " journal"};
    char cn[128];
    int len = X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(req), NID_commonName,
                                        cn, sizeof cn);
    size_t end = strlen(ends[i]);

    *uncounted = len > 0 && strstr(cn, STAMP_STATION_UNCOUNTED) != NULL;
    return len > 0 && strlen(cn) == (size_t)len && (size_t)len >= end &&
           strcmp(cn + (size_t)len - end, ends[i]) == 0;
}

/* A key in slot 9d of a PIV cannot sign: the CA's then signs for it, in the same file. It
 * claims no more than that this is the box, whose key opens orders and nothing else. */
static bool is_signed(X509_REQ *req, int i, const struct asked *asked)
{
    return X509_REQ_verify(req, asked->key[i]) == 1 ||
           (i == STAMP_STATION_BOX &&
            X509_REQ_verify(req, asked->key[STAMP_STATION_CA]) == 1);
}

static enum stamp_err read_request(BIO *bio, int i, struct asked *asked,
                                   struct stamp_error *err)
{
    EVP_PKEY **key = &asked->key[i];
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    uint8_t point[STAMP_POINT_SIZE];
    bool uncounted;
    enum stamp_err rc = STAMP_OK;

    if (req == NULL) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                             "there are not three requests for certificates in it");
    } else if ((*key = X509_REQ_get_pubkey(req)) == NULL ||
               stamp_key_point(*key, point, NULL) != STAMP_OK) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "request %d is not for a P-256 key",
                             i + 1);
    } else if (!is_for(req, i, &uncounted)) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                             "request %d is not what `stamp station init` made: its "
                             "subject is not that of a station's %s key",
                             i + 1,
                             i == 0   ? "ca"
                             : i == 1 ? "box"
                                      : "journal");
    } else if (!is_signed(req, i, asked)) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "request %d is not signed by its own key", i + 1);
    } else if (i == STAMP_STATION_CA) {
        asked->uncounted = uncounted;
    }
    ERR_clear_error();
    X509_REQ_free(req);
    return rc;
}

static bool fill(X509 *cert, int i, const struct stamp_workspace *ws,
                 const struct asked *asked)
{
    static const char *const usage[STAMP_STATION_KEYS] = {
        "critical,keyCertSign", "critical,keyAgreement", "critical,digitalSignature"};
    char role[40];
    const struct stampi_certificate what = {ws->profile->company, role, ws->purpose,
                                            time(NULL)};

    (void)snprintf(role, sizeof role, "%s%s", roles[i],
                   asked->uncounted && i == STAMP_STATION_CA ? STAMP_STATION_UNCOUNTED
                                                             : "");
    return stampi_certificate_begin(cert, &what, asked->key[i], ws->root) &&
           (i != STAMP_STATION_CA ||
            stampi_certificate_add(cert, ws->root, NID_basic_constraints,
                                   "critical,CA:TRUE,pathlen:0")) &&
           stampi_certificate_add(cert, ws->root, NID_key_usage, usage[i]) &&
           stampi_certificate_add_purpose(cert, ws->profile->certificate.pen,
                                          ws->purpose);
}

/* No key has two uses, nor one of headquarters'. */
static enum stamp_err check_keys(const struct stamp_workspace *ws,
                                 const struct asked *asked, struct stamp_error *err)
{
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        for (int k = 0; k < i; k++) {
            if (EVP_PKEY_eq(asked->key[i], asked->key[k]) == 1) {
                return stamp_error_set(err, STAMP_E_AUTH, 0,
                                       "requests %d and %d are for one key: no key has "
                                       "two uses",
                                       k + 1, i + 1);
            }
        }
        if (EVP_PKEY_eq(asked->key[i], X509_get0_pubkey(ws->root)) == 1 ||
            EVP_PKEY_eq(asked->key[i], X509_get0_pubkey(ws->sub_ca)) == 1) {
            return stamp_error_set(err, STAMP_E_AUTH, 0,
                                   "request %d is for a key of this workspace", i + 1);
        }
    }
    return STAMP_OK;
}

/* A station's certificates, and what they are on the books as. */
struct enrolment {
    X509 *cert[STAMP_STATION_KEYS];
    uint8_t *der[STAMP_STATION_KEYS];
    size_t len[STAMP_STATION_KEYS];
    struct stamp_registry_station row; /* points into them */
};

static void enrolment_fini(struct enrolment *e)
{
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        X509_free(e->cert[i]);
        OPENSSL_free(e->der[i]);
    }
    stamp_registry_station_fini(&e->row);
}

static enum stamp_err sign_all(const struct stamp_workspace *ws, EVP_PKEY *root,
                               const struct asked *asked, struct enrolment *e,
                               struct stamp_error *err)
{
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        enum stamp_err rc;

        e->cert[i] = X509_new();
        if (e->cert[i] == NULL || !fill(e->cert[i], i, ws, asked) ||
            X509_sign(e->cert[i], root, EVP_sha256()) == 0) {
            return stamp_openssl_failed(err, "cannot sign a station's certificate");
        }
        rc = stamp_pki_encode(e->cert[i], &e->der[i], &e->len[i], err);
        if (rc != STAMP_OK) {
            return rc;
        }
    }
    return STAMP_OK;
}

/* It goes on the books before anybody gets it. */
static enum stamp_err enrol_new(const struct stamp_workspace *ws, EVP_PKEY *root,
                                const struct asked *asked, const char *name,
                                struct enrolment *e, struct stamp_error *err)
{
    uint8_t hash[32];
    enum stamp_err rc;
    int len;

    memcpy(hash, e->row.key, sizeof hash);
    rc = sign_all(ws, root, asked, e, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (EVP_Digest(e->der[STAMP_STATION_CA], e->len[STAMP_STATION_CA], e->row.id, NULL,
                   stamp_sha256(), NULL) != 1) {
        return stamp_openssl_failed(err, "cannot hash a certificate");
    }
    len = name == NULL
              ? snprintf(e->row.name, sizeof e->row.name, "station-%02x%02x%02x%02x",
                         hash[0], hash[1], hash[2], hash[3])
              : snprintf(e->row.name, sizeof e->row.name, "%s", name);
    if (len < 0 || (size_t)len >= sizeof e->row.name) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the station's name is too long");
    }
    e->row.ca = (struct stamp_slice){e->der[0], e->len[0]};
    e->row.box = (struct stamp_slice){e->der[1], e->len[1]};
    e->row.journal = (struct stamp_slice){e->der[2], e->len[2]};
    e->row.at = time(NULL);
    return stamp_registry_station_add(ws->registry, &e->row, err);
}

static enum stamp_err enrol_again(const struct asked *asked, struct enrolment *e,
                                  struct stamp_error *err)
{
    const struct stamp_slice *der[] = {&e->row.ca, &e->row.box, &e->row.journal};

    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        enum stamp_err rc = stamp_pki_decode(*der[i], &e->cert[i], err);

        if (rc != STAMP_OK) {
            return rc;
        }
        if (EVP_PKEY_eq(X509_get0_pubkey(e->cert[i]), asked->key[i]) != 1) {
            stamp_error_hint(err, "a station with new keys has a new CA key, too");
            return stamp_error_set(err, STAMP_E_EXISTS, 0,
                                   "'%s' is enrolled with another key than that of "
                                   "request %d",
                                   e->row.name, i + 1);
        }
    }
    return STAMP_OK;
}

/* The certificates of a station: those that it has, or new ones. */
static enum stamp_err enrol(const struct stamp_workspace *ws, EVP_PKEY *root,
                            const struct asked *asked, const char *name,
                            struct enrolment *e, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t hash[32];
    enum stamp_err rc = stamp_key_point(asked->key[STAMP_STATION_CA], point, err);

    if (rc == STAMP_OK) {
        rc = stamp_key_hash(point, hash, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_registry_station_find_key(ws->registry, hash, &e->row, &why);
    if (rc == STAMP_OK) {
        return enrol_again(asked, e, err);
    }
    if (rc != STAMP_E_MISSING) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    memcpy(e->row.key, hash, sizeof hash);
    return enrol_new(ws, root, asked, name, e, err);
}

static bool write_all(const struct stamp_workspace *ws, const struct enrolment *e,
                      X509 *home, BIO *out)
{
    bool ok = true;

    for (int i = 0; i < STAMP_STATION_KEYS && ok; i++) {
        ok = PEM_write_bio_X509(out, e->cert[i]) == 1;
    }
    return ok && PEM_write_bio_X509(out, ws->root) == 1 &&
           PEM_write_bio_X509(out, home) == 1 &&
           PEM_write_bio(out, STAMPI_BUNDLE_PEM, "", ws->bundle, (long)ws->bundle_len) >
               0;
}

enum stamp_err stamp_station_enrol(const struct stamp_workspace *ws, const char *requests,
                                   size_t len, const char *name,
                                   const struct stamp_secret *passphrase, char **pem,
                                   struct stamp_error *err)
{
    STAMP_BIO_AUTO *in = BIO_new_mem_buf(requests, (int)len);
    STAMP_BIO_AUTO *out = BIO_new(BIO_s_mem());
    struct asked asked = {{NULL}, false};
    STAMP_PKEY_AUTO *root = NULL;
    STAMP_PKEY_AUTO *home_key = NULL;
    STAMP_X509_AUTO *home = NULL;
    struct enrolment e = {.cert = {NULL}};
    enum stamp_err rc = in != NULL && out != NULL
                            ? STAMP_OK
                            : stamp_openssl_failed(err, "cannot read requests");

    *pem = NULL;
    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        rc = read_request(in, i, &asked, err);
    }
    if (rc == STAMP_OK) {
        rc = check_keys(ws, &asked, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_key(ws, STAMP_WORKSPACE_ROOT, passphrase, &root, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_home(ws, root, passphrase, &home_key, &home, err);
    }
    if (rc == STAMP_OK) {
        rc = enrol(ws, root, &asked, name, &e, err);
    }
    if (rc == STAMP_OK && !write_all(ws, &e, home, out)) {
        rc = stamp_openssl_failed(err, "cannot write certificates");
    }
    if (rc == STAMP_OK) {
        rc = stamp_bio_text(out, pem, err);
    }
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        EVP_PKEY_free(asked.key[i]);
    }
    enrolment_fini(&e);
    return rc;
}
