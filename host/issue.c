#include "host/issue.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "host/birth.h"
#include "host/claims.h"
#include "host/file.h"
#include "host/key.h"
#include "host/keygen.h"
#include "host/leaf.h"
#include "host/pki.h"

#define PEM_MAX ((size_t)16384)

struct stamp_issuer {
    const struct stamp_workspace *ws;
    EVP_PKEY *key; /* the sub-CA's; NULL = it is elsewhere, and */
    stamp_issue_sign sign;
    void *sign_ctx;
    uint8_t *chain; /* DER of the sub-CA */
    size_t chain_len;
    uint8_t peer[STAMP_POINT_SIZE]; /* where the profile names one */
};

/* What one stamp is made of; all of it is wiped but the work buffer, of which no more is
 * used than the stamp is long. */
struct parts {
    struct stamp stamp;
    uint8_t device_scalar[STAMP_SCALAR_SIZE];
    uint8_t device_point[STAMP_POINT_SIZE];
    uint8_t provisioning_scalar[STAMP_SCALAR_SIZE];
    uint8_t provisioning_point[STAMP_POINT_SIZE];
    uint8_t salt[3][STAMP_SALT_SIZE];
    struct stamp_secret *pop;
    struct stamp_secret *payload[STAMP_MAX_BARCODES];
};

struct stamp_issue_worker {
    const struct stamp_issuer *issuer;
    struct stamp_leaf_maker *leaf;
    struct stamp_keygen *keygen;
    struct parts parts;
};

static enum stamp_err load_peer(struct stamp_issuer *issuer, const char *path,
                                struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_file_read(path, PEM_MAX, &text, &len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    bio = BIO_new_mem_buf(text, (int)len);
    key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    free(text);
    if (key == NULL) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' holds no public key", path);
    }
    return stamp_key_point(key, issuer->peer, err);
}

static enum stamp_err new_issuer(const struct stamp_workspace *ws,
                                 struct stamp_issuer **out, struct stamp_error *err)
{
    struct stamp_issuer *issuer;
    enum stamp_err rc =
        stamp_profile_check_purpose(ws->profile, ws->purpose == STAMP_PRODUCTION, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    issuer = calloc(1, sizeof *issuer);
    if (issuer == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    issuer->ws = ws;
    rc = stamp_pki_encode(ws->sub_ca, &issuer->chain, &issuer->chain_len, err);
    if (rc == STAMP_OK && ws->profile->provisioning == STAMP_PROFILE_KEY_PEER) {
        rc = load_peer(issuer, ws->profile->peer_key_file, err);
    }
    if (rc != STAMP_OK) {
        stamp_issuer_free(&issuer);
    }
    *out = issuer;
    return rc;
}

enum stamp_err stamp_issuer_new(const struct stamp_workspace *ws,
                                const struct stamp_secret *passphrase,
                                struct stamp_issuer **out, struct stamp_error *err)
{
    enum stamp_err rc = new_issuer(ws, out, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_key(ws, STAMP_WORKSPACE_SUB_CA, passphrase, &(*out)->key,
                                 err);
    }
    if (rc != STAMP_OK) {
        stamp_issuer_free(out);
    }
    return rc;
}

enum stamp_err stamp_issuer_new_elsewhere(const struct stamp_workspace *ws,
                                          stamp_issue_sign sign, void *ctx,
                                          struct stamp_issuer **out,
                                          struct stamp_error *err)
{
    enum stamp_err rc = new_issuer(ws, out, err);

    if (rc == STAMP_OK) {
        (*out)->sign = sign;
        (*out)->sign_ctx = ctx;
    }
    return rc;
}

void stamp_issuer_free(struct stamp_issuer **p)
{
    if (*p != NULL) {
        EVP_PKEY_free((*p)->key);
        OPENSSL_free((*p)->chain);
        free(*p);
    }
    *p = NULL;
}

static enum stamp_err new_leaf_maker(struct stamp_issue_worker *w,
                                     struct stamp_error *err)
{
    const struct stamp_workspace *ws = w->issuer->ws;
    struct stamp_leaf_profile leaf;

    stamp_leaf_profile_of(ws->profile, ws->purpose, &leaf);
    return stamp_leaf_new(&leaf, ws->sub_ca, w->issuer->key, &w->leaf, err);
}

enum stamp_err stamp_issue_worker_new(const struct stamp_issuer *issuer,
                                      struct stamp_issue_worker **out,
                                      struct stamp_error *err)
{
    struct stamp_issue_worker *w = calloc(1, sizeof *w);
    enum stamp_err rc;

    *out = NULL;
    if (w == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    w->issuer = issuer;
    rc = issuer->key == NULL ? STAMP_OK : new_leaf_maker(w, err);
    if (rc == STAMP_OK) {
        rc = stamp_keygen_new(&w->keygen, err);
    }
    if (rc != STAMP_OK) {
        stamp_issue_worker_free(&w);
        return rc;
    }
    *out = w;
    return STAMP_OK;
}

void stamp_issue_worker_free(struct stamp_issue_worker **p)
{
    if (*p != NULL) {
        stamp_leaf_free(&(*p)->leaf);
        stamp_keygen_free(&(*p)->keygen);
        OPENSSL_cleanse(*p, sizeof **p);
        free(*p);
    }
    *p = NULL;
}

static struct stamp_slice slice(const void *p, size_t len)
{
    struct stamp_slice s = {p, len};

    return s;
}

static struct stamp_slice text(const char *s)
{
    return s == NULL ? slice(NULL, 0) : slice(s, strlen(s));
}

static struct stamp_slice secret(const struct stamp_secret *s)
{
    size_t len;
    const uint8_t *p = stamp_secret_use(s, &len);

    return slice(p, len);
}

static void put_profile(const struct stamp_issuer *issuer,
                        const struct stamp_issue_subject *subject, struct stamp *s)
{
    const struct stamp_workspace *ws = issuer->ws;
    const struct stamp_profile *p = ws->profile;

    s->serial = text(subject->serial);
    s->company = text(p->company);
    s->product = text(p->product);
    s->model = text(p->model);
    s->hardware_revision = text(p->hardware_revision);
    s->has_made_at = true;
    s->made_at = (uint32_t)subject->at;
    s->has_purpose = true;
    s->purpose = ws->purpose;
    s->owner_key_hash = slice(ws->owner_key_hash, sizeof ws->owner_key_hash);
    s->trust_bundle = slice(ws->bundle, ws->bundle_len);
    for (size_t i = 0; i < p->n_fields; i++) {
        s->fields[i].name = text(p->fields[i].name);
        s->fields[i].type = (uint8_t)p->fields[i].type;
        s->fields[i].number = p->fields[i].number;
        if (p->fields[i].type == STAMP_FIELD_TEXT) {
            s->fields[i].text = text(p->fields[i].text);
        }
    }
    s->n_fields = (uint8_t)p->n_fields;
}

static enum stamp_err put_secrets(struct stamp_issue_worker *w, struct stamp_error *err)
{
    const struct stamp_profile *p = w->issuer->ws->profile;
    struct parts *x = &w->parts;
    struct stamp *s = &x->stamp;
    enum stamp_err rc = STAMP_OK;

    if (RAND_bytes(x->salt[0], (int)sizeof x->salt) != 1) {
        return stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    if (p->pop.length > 0) {
        rc = stamp_profile_draw_pop(p, &x->pop, err);
        if (rc == STAMP_OK) {
            s->pop_salt = slice(x->salt[0], STAMP_SALT_SIZE);
            s->pop = secret(x->pop);
        }
    }
    if (rc == STAMP_OK && p->provisioning == STAMP_PROFILE_KEY_DEVICE) {
        rc = stamp_keygen_pair(w->keygen, x->provisioning_scalar, x->provisioning_point,
                               err);
        s->provisioning_salt = slice(x->salt[1], STAMP_SALT_SIZE);
        s->provisioning_private = slice(x->provisioning_scalar, STAMP_SCALAR_SIZE);
    } else if (p->provisioning == STAMP_PROFILE_KEY_PEER) {
        memcpy(x->provisioning_point, w->issuer->peer, sizeof w->issuer->peer);
    }
    if (p->provisioning != STAMP_PROFILE_KEY_NONE) {
        s->has_provisioning_key = true;
        s->provisioning_kind = p->provisioning == STAMP_PROFILE_KEY_DEVICE
                                   ? STAMP_PROVISIONING_OWN
                                   : STAMP_PROVISIONING_PEER;
        s->provisioning_point = slice(x->provisioning_point, STAMP_POINT_SIZE);
    }
    return rc;
}

static void fill_vars(const struct stamp_issuer *issuer, const struct parts *x,
                      const char *serial, struct stamp_barcode_vars *vars)
{
    stamp_profile_vars(issuer->ws->profile, vars);
    vars->serial = serial;
    vars->pop = x->pop;
    vars->point = x->stamp.has_provisioning_key ? x->provisioning_point : NULL;
}

/* Public barcodes and secret ones go to their own items: SPEC 5-4. */
static enum stamp_err put_barcodes(const struct stamp_issuer *issuer, struct parts *x,
                                   const struct stamp_barcode_vars *vars,
                                   struct stamp_error *err)
{
    const struct stamp_profile *p = issuer->ws->profile;
    struct stamp *s = &x->stamp;

    for (size_t i = 0; i < p->n_barcodes; i++) {
        struct stamp_barcode *b;
        bool hidden = false;
        enum stamp_err rc =
            stamp_barcode_payload(&p->barcodes[i], vars, &x->payload[i], &hidden, err);

        if (rc != STAMP_OK) {
            return rc;
        }
        b = hidden ? &s->secret_barcodes[s->n_secret_barcodes++]
                   : &s->barcodes[s->n_barcodes++];
        b->symbology = (uint8_t)p->barcodes[i].symbology;
        b->name = text(p->barcodes[i].name);
        b->payload = secret(x->payload[i]);
    }
    if (s->n_secret_barcodes > 0) {
        s->secret_barcodes_salt = slice(x->salt[2], STAMP_SALT_SIZE);
    }
    return STAMP_OK;
}

static enum stamp_err encode(const struct stamp *stamp, struct stamp_issued *out,
                             struct stamp_error *err)
{
    enum stamp_err rc = stamp_encode(stamp, out->body, sizeof out->body, &out->body_len);

    if (rc == STAMP_E_SPACE) {
        out->body_len = sizeof out->body;
        return stamp_error_set(err, rc, 0, "the stamp is longer than %u bytes",
                               STAMP_MAX_LEN);
    }
    return rc == STAMP_OK
               ? rc
               : stamp_error_set(err, rc, 0, "the profile holds what a stamp cannot");
}

static enum stamp_err make_leaf(struct stamp_issue_worker *w,
                                const struct stamp_issue_subject *subject,
                                const struct stamp_barcode_vars *vars,
                                const uint8_t digest[32], struct stamp_issued *out,
                                struct stamp_error *err)
{
    struct stamp_leaf_subject leaf = {.serial = subject->serial,
                                      .not_before = subject->at};
    char name[STAMP_MAX_TEXT * 4 + 1];
    enum stamp_err rc = stamp_template_fill(
        w->issuer->ws->profile->certificate.common_name, vars, name, sizeof name, err);

    memcpy(leaf.serial_number, subject->certificate_serial, sizeof leaf.serial_number);
    leaf.common_name = name;
    leaf.point = w->parts.device_point;
    leaf.digest = digest;
    return rc == STAMP_OK ? stamp_leaf_make(w->leaf, &leaf, out->certificate,
                                            &out->certificate_len, err)
                          : rc;
}

static enum stamp_err get_leaf(struct stamp_issue_worker *w,
                               const struct stamp_issue_subject *subject,
                               const struct stamp_barcode_vars *vars,
                               const uint8_t digest[32], struct stamp_issued *out,
                               struct stamp_error *err)
{
    struct stamp_birth birth = {.serial = subject->serial,
                                .point = w->parts.device_point,
                                .digest = digest,
                                .provisioning = vars->point,
                                .not_before = subject->at};

    memcpy(birth.serial_number, subject->certificate_serial, sizeof birth.serial_number);
    return w->issuer->sign(w->issuer->sign_ctx, &birth, out->certificate,
                           &out->certificate_len, err);
}

/* The certificate binds the claims, which do not hold the certificate. */
static enum stamp_err put_certificates(struct stamp_issue_worker *w,
                                       const struct stamp_issue_subject *subject,
                                       const struct stamp_barcode_vars *vars,
                                       struct stamp_issued *out, struct stamp_error *err)
{
    struct stamp *s = &w->parts.stamp;
    uint8_t digest[32];
    enum stamp_err rc = encode(s, out, err);

    if (rc == STAMP_OK) {
        rc = stamp_claims_of(out->body, out->body_len, digest, err);
    }
    if (rc == STAMP_OK) {
        rc = w->leaf != NULL ? make_leaf(w, subject, vars, digest, out, err)
                             : get_leaf(w, subject, vars, digest, out, err);
    }
    if (rc == STAMP_OK) {
        s->certificates[0] = slice(out->certificate, out->certificate_len);
        s->certificates[1] = slice(w->issuer->chain, w->issuer->chain_len);
        s->n_certificates = 2;
    }
    return rc;
}

static enum stamp_err put_all(struct stamp_issue_worker *w,
                              const struct stamp_issue_subject *subject,
                              struct stamp_issued *out, struct stamp_error *err)
{
    struct parts *x = &w->parts;
    struct stamp_barcode_vars vars;
    enum stamp_err rc =
        stamp_keygen_pair(w->keygen, x->device_scalar, x->device_point, err);

    put_profile(w->issuer, subject, &x->stamp);
    x->stamp.has_device_key = true;
    x->stamp.key_where = STAMP_KEY_HERE;
    x->stamp.key_private = slice(x->device_scalar, STAMP_SCALAR_SIZE);
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(x->device_point, out->fingerprint, err);
    }
    if (rc == STAMP_OK) {
        rc = put_secrets(w, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    fill_vars(w->issuer, x, subject->serial, &vars);
    rc = put_barcodes(w->issuer, x, &vars, err);
    if (rc == STAMP_OK) {
        rc = put_certificates(w, subject, &vars, out, err);
    }
    return rc == STAMP_OK ? encode(&x->stamp, out, err) : rc;
}

/* Where the proof stands in the body: it is text of its own, and in no item before. */
static void find_pop(const struct stamp *stamp, struct stamp_issued *out)
{
    uint8_t *p = stamp->pop.len == 0 ? NULL
                                     : memmem(out->body, out->body_len, stamp->pop_salt.p,
                                              stamp->pop_salt.len);

    out->pop = slice(NULL, 0);
    if (p != NULL) {
        p = memmem(p, out->body_len - (size_t)(p - out->body), stamp->pop.p,
                   stamp->pop.len);
        out->pop = slice(p, stamp->pop.len);
    }
}

enum stamp_err stamp_issue_one(struct stamp_issue_worker *w,
                               const struct stamp_issue_subject *subject,
                               struct stamp_issued *out, struct stamp_error *err)
{
    struct parts *x = &w->parts;
    enum stamp_err rc;

    out->body_len = 0;
    out->certificate_len = 0;
    rc = put_all(w, subject, out, err);
    if (rc == STAMP_OK) {
        find_pop(&x->stamp, out);
    } else {
        stamp_issued_wipe(out);
    }
    stamp_secret_free(&x->pop);
    for (size_t i = 0; i < STAMP_MAX_BARCODES; i++) {
        stamp_secret_free(&x->payload[i]);
    }
    OPENSSL_cleanse(x, sizeof *x);
    return rc;
}

void stamp_issued_wipe(struct stamp_issued *issued)
{
    OPENSSL_cleanse(issued->body, issued->body_len);
    issued->body_len = 0;
    issued->pop = slice(NULL, 0);
}

/* The books have the certificate, too. */
static enum stamp_err keep_certificate(const struct stamp_issued *issued,
                                       struct stamp_registry_row *row,
                                       struct stamp_error *err)
{
    free(row->certificate);
    row->certificate = malloc(issued->certificate_len);
    if (row->certificate == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(row->certificate, issued->certificate, issued->certificate_len);
    row->certificate_len = issued->certificate_len;
    memcpy(row->fingerprint, issued->fingerprint, sizeof row->fingerprint);
    return STAMP_OK;
}

enum stamp_err stamp_issue(const struct stamp_issuer *issuer,
                           struct stamp_registry_row *row, struct stamp_buffer *body,
                           struct stamp_error *err)
{
    STAMP_ISSUE_WORKER_AUTO *w = NULL;
    struct stamp_issue_subject subject = {.serial = row->serial, .at = row->at};
    struct stamp_issued *issued = calloc(1, sizeof *issued);
    enum stamp_err rc;

    body->p = NULL;
    body->len = 0;
    if (issued == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(subject.certificate_serial, row->certificate_serial,
           sizeof subject.certificate_serial);
    rc = stamp_issue_worker_new(issuer, &w, err);
    if (rc != STAMP_OK || w == NULL) {
        free(issued);
        return rc;
    }
    rc = stamp_issue_one(w, &subject, issued, err);
    if (rc == STAMP_OK) {
        rc = keep_certificate(issued, row, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(body, issued->body_len, 0, err);
    }
    if (rc == STAMP_OK) {
        memcpy(body->p, issued->body, issued->body_len);
    }
    stamp_issued_wipe(issued);
    free(issued);
    return rc;
}

void stamp_issue_geometry(const struct stamp_profile *profile, struct stamp_geometry *g)
{
    g->birth_size = profile->partition.birth_size;
    g->bank_size = profile->partition.bank_size;
    g->erase_size = profile->partition.erase_size;
    g->program_size = profile->partition.program_size;
    g->erased = profile->partition.erased_value;
}
