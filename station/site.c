#include "station/site.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/file.h"
#include "host/key.h"
#include "host/openssl.h"
#include "host/pki.h"

#define CONFIG "station.json"

enum { CONFIG_MAX = 4096 };

static const char *const names[STAMP_STATION_KEYS] = {"ca", "box", "journal"};

/* Slots of a PIV, and the ids that both ykcs11 and OpenSC give them: 9c for signatures
 * with the PIN each time, 9d for key agreement, 9a. SP 800-73-4 part 1, 3.1. */
static const char *const piv_slots[STAMP_STATION_KEYS] = {"9c", "9d", "9a"};
static const char *const piv_ids[STAMP_STATION_KEYS] = {"id:02", "id:03", "id:01"};

enum stamp_err stamp_site_path(const struct stamp_site *s, const char *name,
                               char out[PATH_MAX], struct stamp_error *err)
{
    return snprintf(out, PATH_MAX, "%s/%s", s->dir, name) < PATH_MAX
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
}

enum stamp_token_use stamp_site_use(const struct stamp_site *s,
                                    enum stamp_station_key which)
{
    return which != STAMP_STATION_BOX ? STAMP_TOKEN_SIGN
           : s->piv                   ? STAMP_TOKEN_AGREE_UNSAID
                                      : STAMP_TOKEN_AGREE;
}

/* RFC 7512: what is not unreserved is written as %XX. */
enum stamp_err stamp_site_uri(const struct stamp_site *s, enum stamp_station_key which,
                              char out[640], struct stamp_error *err)
{
    const char *query = strchr(s->token, '?');
    int path = query == NULL ? (int)strlen(s->token) : (int)(query - s->token);
    char object[sizeof "object=" + 3 * sizeof s->label[0]];
    char *to = object;

    if (s->piv) {
        to += snprintf(to, sizeof object, "id=%%%s", s->label[which] + strlen("id:"));
    } else {
        to += snprintf(to, sizeof object, "object=");
    }
    for (const char *p = s->label[which]; !s->piv && *p != '\0'; p++) {
        to += snprintf(to, 4, "%%%02X", (unsigned char)*p);
    }
    *to = '\0';
    return snprintf(out, 640, "%.*s;%s;type=private%s", path, s->token, object,
                    query == NULL ? "" : query) < 640
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_RANGE, 0, "the token's URI is too long");
}

/* ---- station.json ---- */

static enum stamp_err write_config(const struct stamp_site *s, const char *path,
                                   struct stamp_error *err)
{
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:b}", "version", 1, "token", s->token, "ca",
                  s->label[0], "box", s->label[1], "journal", s->label[2], "piv", s->piv);
    char *text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2));
    enum stamp_err rc =
        text == NULL
            ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
            : stamp_file_write(path, text, strlen(text), STAMP_FILE_PUBLIC, false, err);

    free(text);
    json_decref(json);
    return rc;
}

static bool copy(json_t *json, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text != NULL && (size_t)snprintf(out, size, "%s", text) < size;
}

static enum stamp_err read_config(struct stamp_site *s, const char *path,
                                  struct stamp_error *err)
{
    uint8_t *text = NULL;
    size_t len;
    json_t *json = NULL;
    enum stamp_err rc = stamp_file_read(path, CONFIG_MAX, &text, &len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    json = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
    if (json_integer_value(json_object_get(json, "version")) != 1 ||
        !copy(json, "token", s->token, sizeof s->token)) {
        rc = STAMP_E_FORMAT;
    }
    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        rc = copy(json, names[i], s->label[i], sizeof s->label[i]) ? rc : STAMP_E_FORMAT;
    }
    s->piv = json_is_true(json_object_get(json, "piv"));
    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK && s->piv; i++) {
        rc = strcmp(s->label[i], piv_ids[i]) == 0 ? rc : STAMP_E_FORMAT;
    }
    json_decref(json);
    free(text);
    return rc == STAMP_OK
               ? rc
               : stamp_error_set(err, rc, 0, "'%s' is not what devstamp wrote", path);
}

/* ---- requests ---- */

/* PKCS#10 whose signature the token makes. */
static enum stamp_err make_request(struct stamp_session *session, const char *label,
                                   const char *cn, const uint8_t point[STAMP_POINT_SIZE],
                                   BIO *out, struct stamp_error *err)
{
    X509_REQ *req = X509_REQ_new();
    X509_ALGOR *alg = X509_ALGOR_new();
    STAMP_ECDSA_SIG_AUTO *sig = ECDSA_SIG_new();
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    STAMP_PKEY_AUTO *key = NULL;
    unsigned char *tbs = NULL;
    unsigned char *der = NULL;
    uint8_t digest[32];
    uint8_t raw[64];
    int len = 0;
    bool ok;
    enum stamp_err rc = stamp_key_from_point(point, &key, err);

    ok = rc == STAMP_OK && req != NULL && alg != NULL && sig != NULL && bits != NULL &&
         X509_REQ_set_version(req, 0) == 1 && X509_REQ_set_pubkey(req, key) == 1 &&
         X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(req), NID_commonName,
                                    MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                    0) == 1 &&
         X509_ALGOR_set0(alg, OBJ_nid2obj(NID_ecdsa_with_SHA256), V_ASN1_UNDEF, NULL) ==
             1 &&
         X509_REQ_set1_signature_algo(req, alg) == 1 &&
         (len = i2d_re_X509_REQ_tbs(req, &tbs)) > 0 &&
         EVP_Digest(tbs, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1;
    if (ok) {
        rc = stamp_session_sign(session, label, digest, raw, err);
    }
    if (ok && rc == STAMP_OK) {
        ok = ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL),
                            BN_bin2bn(raw + 32, 32, NULL)) == 1 &&
             (len = i2d_ECDSA_SIG(sig, &der)) > 0 &&
             ASN1_BIT_STRING_set(bits, der, len) == 1;
        bits->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 7);
        bits->flags |= ASN1_STRING_FLAG_BITS_LEFT;
        if (ok) {
            X509_REQ_set0_signature(req, bits);
            bits = NULL;
            ok = PEM_write_bio_X509_REQ(out, req) == 1;
        }
    }
    OPENSSL_free(tbs);
    OPENSSL_free(der);
    ASN1_BIT_STRING_free(bits);
    X509_ALGOR_free(alg);
    X509_REQ_free(req);
    return ok || rc != STAMP_OK ? rc : stamp_openssl_failed(err, "cannot make a request");
}

static enum stamp_err write_requests(const struct stamp_site *s,
                                     struct stamp_session *session,
                                     uint8_t point[STAMP_STATION_KEYS][STAMP_POINT_SIZE],
                                     struct stamp_error *err)
{
    STAMP_BIO_AUTO *out = BIO_new(BIO_s_mem());
    char path[PATH_MAX];
    char *pem = NULL;
    enum stamp_err rc = stamp_site_path(s, STAMP_SITE_CSR, path, err);

    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        /* A key of slot 9d signs nothing, by way of OpenSC: the CA's speaks for it. */
        const char *by =
            s->label[s->piv && i == STAMP_STATION_BOX ? STAMP_STATION_CA : i];
        char cn[80];

        (void)snprintf(cn, sizeof cn, "devstamp%s station %s",
                       s->piv ? STAMP_STATION_UNCOUNTED : "", names[i]);
        rc = make_request(session, by, cn, point[i], out, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_bio_text(out, &pem, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_write(path, pem, strlen(pem), STAMP_FILE_PUBLIC, true, err);
    }
    free(pem);
    return rc;
}

/* The keys of a PIV are made with its own tool, which knows its management key. */
static enum stamp_err find_or_make(struct stamp_session *session,
                                   const struct stamp_site *s, int i, uint32_t limit,
                                   bool *made, uint8_t point[STAMP_POINT_SIZE],
                                   struct stamp_error *err)
{
    enum stamp_err rc = stamp_session_key(
        session, s->label[i], stamp_site_use(s, (enum stamp_station_key)i),
        i == STAMP_STATION_CA ? limit : 0, s->piv ? NULL : made, point, err);

    if (rc == STAMP_E_MISSING && s->piv) {
        stamp_error_hint(err,
                         "make it in slot %s: ykman piv keys generate --algorithm "
                         "ECCP256 %s key.pem, then ykman piv certificates generate "
                         "--subject CN=devstamp %s key.pem",
                         piv_slots[i], piv_slots[i], piv_slots[i]);
    }
    return rc;
}

enum stamp_err stamp_site_init(const struct stamp_site_setup *setup,
                               bool made[STAMP_STATION_KEYS], struct stamp_error *err)
{
    STAMP_SESSION_AUTO *session = NULL;
    uint8_t point[STAMP_STATION_KEYS][STAMP_POINT_SIZE];
    struct stamp_site s = {0};
    struct stamp_site before = {0};
    char path[PATH_MAX];
    enum stamp_err rc;
    bool there;
    bool fresh;

    if ((size_t)snprintf(s.dir, sizeof s.dir, "%s", setup->dir) >= sizeof s.dir ||
        (size_t)snprintf(s.token, sizeof s.token, "%s", setup->token) >= sizeof s.token) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "a name is too long");
    }
    s.piv = setup->piv;
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        made[i] = false;
        (void)snprintf(s.label[i], sizeof s.label[i], "devstamp %s%s%.20s", names[i],
                       setup->suffix == NULL ? "" : " ",
                       setup->suffix == NULL ? "" : setup->suffix);
        if (s.piv) {
            (void)snprintf(s.label[i], sizeof s.label[i], "%s", piv_ids[i]);
        }
    }
    fresh = mkdir(s.dir, 0700) == 0;
    if (!fresh && errno != EEXIST) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot make '%s': %s", s.dir,
                               strerror(errno));
    }
    rc = stamp_site_path(&s, CONFIG, path, err);
    there = rc == STAMP_OK && access(path, F_OK) == 0;
    if (there) {
        rc = read_config(&before, path, err);
        if (rc == STAMP_OK && (strcmp(before.token, s.token) != 0 ||
                               strcmp(before.label[0], s.label[0]) != 0)) {
            rc = stamp_error_set(err, STAMP_E_EXISTS, 0,
                                 "'%s' is a station with another token or other keys",
                                 s.dir);
        }
    }
    if (rc == STAMP_OK) {
        rc = stamp_session_open(s.token, &setup->pin, &session, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_session_check_station(session, !s.piv, err);
    }
    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        rc = find_or_make(session, &s, i, setup->limit, &made[i], point[i], err);
    }
    if (rc == STAMP_OK && !there) {
        rc = write_config(&s, path, err);
    }
    if (rc != STAMP_OK && fresh) {
        (void)rmdir(s.dir); /* a failure leaves no empty one behind */
    }
    return rc == STAMP_OK ? write_requests(&s, session, point, err) : rc;
}

/* ---- open ---- */

enum stamp_err stamp_site_open(const char *dir, struct stamp_site *s,
                               struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc;

    memset(s, 0, sizeof *s);
    if ((size_t)snprintf(s->dir, sizeof s->dir, "%s", dir) >= sizeof s->dir) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
    }
    rc = stamp_site_path(s, CONFIG, path, err);
    if (rc == STAMP_OK && access(path, F_OK) != 0) {
        stamp_error_hint(err, "make one: stamp station init DIR --token pkcs11:...");
        rc = stamp_error_set(err, STAMP_E_MISSING, errno, "'%s' is no station", dir);
    }
    if (rc == STAMP_OK) {
        rc = read_config(s, path, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_site_path(s, STAMP_SITE_PEM, path, err);
    }
    s->enrolled = rc == STAMP_OK && access(path, F_OK) == 0;
    return s->enrolled ? stamp_station_cert_load(path, &s->cert, err) : rc;
}

void stamp_site_close(struct stamp_site *s)
{
    stamp_station_cert_fini(&s->cert);
    memset(s, 0, sizeof *s);
}

/* Are the certificates for the keys of the requests that were made here? */
static enum stamp_err check_keys(const struct stamp_site *s,
                                 const struct stamp_station_cert *cert,
                                 struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = NULL;
    char path[PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_site_path(s, STAMP_SITE_CSR, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_file_read(path, 65536, &text, &len, err);
    }
    bio = rc == STAMP_OK ? BIO_new_mem_buf(text, (int)len) : NULL;
    for (int i = 0; i < STAMP_STATION_KEYS && rc == STAMP_OK; i++) {
        X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);

        if (req == NULL || EVP_PKEY_eq(X509_REQ_get0_pubkey(req),
                                       X509_get0_pubkey(cert->cert[i])) != 1) {
            rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                                 "the certificates are of another station than '%s'",
                                 s->dir);
        }
        X509_REQ_free(req);
    }
    ERR_clear_error();
    free(text);
    return rc;
}

enum stamp_err stamp_site_enrol(struct stamp_site *s, const char *pem,
                                struct stamp_error *err)
{
    struct stamp_station_cert cert;
    char path[PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_station_cert_load(pem, &cert, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = check_keys(s, &cert, err);
    if (rc == STAMP_OK && s->enrolled &&
        memcmp(s->cert.owner_hash, cert.owner_hash, sizeof cert.owner_hash) != 0) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "the certificates are of another owner than those of '%s'",
                             s->dir);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_read(pem, 65536, &text, &len, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_site_path(s, STAMP_SITE_PEM, path, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_write(path, text, len, STAMP_FILE_PUBLIC, true, err);
    }
    free(text);
    if (rc != STAMP_OK) {
        stamp_station_cert_fini(&cert);
        return rc;
    }
    stamp_station_cert_fini(&s->cert);
    s->cert = cert;
    s->enrolled = true;
    return STAMP_OK;
}
