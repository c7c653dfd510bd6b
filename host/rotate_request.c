/*
 * What goes both ways in a renewal, judged: the device's request (SPEC 16-5 to 16-7), and
 * the certificate that came for it (SPEC 16-9), so that a refusal has a reason that a
 * person can read before the device refuses it without one.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "host/bundle.h"
#include "host/evidence.h"
#include "host/key.h"
#include "host/pkcs10.h"
#include "host/rotate.h"

enum { CHALLENGE_SIZE = 32, HASH_SIZE = 32 };

static enum stamp_err wrong(const char *what, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_AUTH, 0,
                           "the device's request for a certificate is refused: %s", what);
}

/* ---- the request ---- */

/* The birth key vouches for the new one. */
static enum stamp_err check_evidence(const struct stamp_renewal *r,
                                     const uint8_t *challenge,
                                     const struct stamp_rotate_evidence *e,
                                     struct stamp_error *err)
{
    uint8_t hash[HASH_SIZE];

    if (X509_digest(r->leaf, EVP_sha256(), hash, NULL) != 1) {
        return stamp_openssl_failed(err, "cannot hash a certificate");
    }
    if (memcmp(e->challenge.p, challenge, CHALLENGE_SIZE) != 0) {
        return wrong(
            "it does not answer this challenge: one that was recorded before, or "
            "another device's",
            err);
    }
    if (memcmp(e->in_use.p, hash, sizeof hash) != 0) {
        return wrong("it names another certificate in use than the device showed", err);
    }
    if (e->chip.len != r->state.chip_len ||
        memcmp(e->chip.p, r->state.chip, e->chip.len) != 0) {
        return wrong("it is of another chip than the device said it is", err);
    }
    return stamp_evidence_check(e, r->point, r->birth.point, err);
}

/* Subject and subjectAltName are those of the leaf in use. RFC 7030 4.2.2. */
static bool same_names(const struct stamp_pkcs10 *req, const X509 *leaf)
{
    const ASN1_OBJECT *san = OBJ_nid2obj(NID_subject_alt_name);
    const ASN1_OCTET_STRING *mine = stamp_extension(req->extensions, san);
    const ASN1_OCTET_STRING *theirs = stamp_extension(X509_get0_extensions(leaf), san);

    return X509_NAME_cmp(req->subject, X509_get_subject_name(leaf)) == 0 &&
           (mine == NULL) == (theirs == NULL) &&
           (mine == NULL || ASN1_OCTET_STRING_cmp(mine, theirs) == 0);
}

static enum stamp_err check_extensions(const struct stamp_pkcs10 *req,
                                       const struct stamp_renewal *r,
                                       const uint8_t *challenge, struct stamp_error *err)
{
    struct stamp_rotate_evidence e;
    enum stamp_err rc = stamp_evidence_read(stamp_evidence_of(req->extensions), &e, err);

    if (rc != STAMP_OK) {
        /* said already */
    } else if (!same_names(req, r->leaf)) {
        rc = wrong("it is for another subject than the certificate in use", err);
    } else {
        rc = check_evidence(r, challenge, &e, err);
    }
    return rc;
}

enum stamp_err stamp_renewal_check(struct stamp_renewal *r, const uint8_t challenge[32],
                                   struct stamp_error *err)
{
    STAMP_PKCS10_AUTO req;
    enum stamp_err rc =
        stamp_pkcs10_open((struct stamp_slice){r->request.p, r->request.len}, &req, err);

    memcpy(r->point, req.point, sizeof r->point);
    if (rc == STAMP_OK && memcmp(r->point, r->birth.point, sizeof r->point) == 0) {
        rc = wrong("it is for the birth key, which stays what it is", err);
    }
    if (rc == STAMP_OK) {
        rc = check_extensions(&req, r, challenge, err);
    }
    return rc;
}

/* ---- the certificate ---- */

static enum stamp_err refuse(struct stamp_error *err, const char *why)
{
    return stamp_error_set(err, STAMP_E_AUTH, 0, "the new certificate is refused: %s",
                           why);
}

static enum stamp_err judge_leaf(const struct stamp_renewal *r, X509 *leaf,
                                 struct stamp_error *err)
{
    uint8_t point[STAMP_POINT_SIZE];
    char serial[STAMP_MAX_TEXT + 1u];

    if (stamp_key_point(X509_get0_pubkey(leaf), point, NULL) != STAMP_OK) {
        ERR_clear_error();
        return refuse(err, "its key is no P-256 key");
    }
    if (memcmp(point, r->birth.point, sizeof point) == 0) {
        return refuse(err, "it is for the birth key, not for the new one");
    }
    if (memcmp(point, r->point, sizeof point) != 0) {
        return refuse(err, "it is for another key than the device asked for");
    }
    if (stamp_pki_serial(leaf, serial, sizeof serial, NULL) != STAMP_OK ||
        strcmp(serial, r->birth.serial) != 0) {
        return refuse(err, "it is not for this device's serial number");
    }
    if (X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_subject_name(r->leaf)) != 0) {
        return refuse(err, "its subject is not that of the certificate in use");
    }
    if (X509_cmp_time(X509_get0_notAfter(leaf), NULL) <= 0) {
        return refuse(err, "it has expired");
    }
    if (X509_cmp_time(X509_get0_notBefore(leaf), NULL) > 0) {
        return refuse(err, "it is not valid yet: is the clock right?");
    }
    return STAMP_OK;
}

static bool issued(X509 *issuer, X509 *cert)
{
    bool yes = X509_check_issued(issuer, cert) == X509_V_OK &&
               X509_verify(cert, X509_get0_pubkey(issuer)) == 1;

    ERR_clear_error();
    return yes;
}

static X509 *issuer_among(const STACK_OF(X509) * list, X509 *cert)
{
    for (int i = 0; i < sk_X509_num(list); i++) {
        X509 *one = sk_X509_value(list, i);

        if (X509_cmp(one, cert) != 0 && issued(one, cert)) {
            return one;
        }
    }
    return NULL;
}

/* Take certificates of an array, to the end of `list`. */
static enum stamp_err take_all(const struct stamp_slice *der, size_t n,
                               STACK_OF(X509) * list, struct stamp_error *err)
{
    for (size_t i = 0; i < n; i++) {
        X509 *cert = NULL;
        enum stamp_err rc = stamp_pki_decode(der[i], &cert, err);

        if (rc == STAMP_OK && sk_X509_push(list, cert) == 0) {
            X509_free(cert);
            rc = stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
        }
        if (rc != STAMP_OK) {
            return rc;
        }
    }
    return STAMP_OK;
}

static enum stamp_err take_chain(const struct stamp_buffer *chain, STACK_OF(X509) * list,
                                 struct stamp_error *err)
{
    struct stamp_slice der[STAMP_MAX_CERTIFICATES];
    struct stamp_cbor c;
    uint32_t n;

    stamp_cbor_init(&c, chain->p, chain->len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    n = n < STAMP_MAX_CERTIFICATES ? n : STAMP_MAX_CERTIFICATES;
    for (uint32_t i = 0; i < n; i++) {
        der[i] = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);
    }
    return c.err == STAMP_OK ? take_all(der, n, list, err)
                             : stamp_error_set(err, STAMP_E_FORMAT, 0,
                                               "the certificates are malformed");
}

/* What a chain is put together from. */
struct pool {
    STACK_OF(X509) * anchors;
    STACK_OF(X509) * held; /* what the device has now */
    const STACK_OF(X509) * others;
};

static enum stamp_err put_chain(const struct pool *pool, X509 *leaf,
                                struct stamp_cbor_out *o, struct stamp_error *err)
{
    X509 *cert = leaf;
    uint32_t n = 0;
    size_t head = o->len;

    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 1);
    for (; cert != NULL; n++) {
        uint8_t *der = NULL;
        size_t len;
        X509 *next = issuer_among(pool->others, cert);
        enum stamp_err rc = stamp_pki_encode(cert, &der, &len, err);

        if (rc != STAMP_OK) {
            return rc;
        }
        stamp_cbor_put_string(o, STAMP_CBOR_BYTES, der, len);
        OPENSSL_free(der);
        if (len > STAMP_MAX_CERTIFICATE) {
            return stamp_error_set(err, STAMP_E_SPACE, 0,
                                   "the new certificate is refused: one of %zu bytes; a "
                                   "stamp holds such of up to %u",
                                   len, STAMP_MAX_CERTIFICATE);
        }
        if (issuer_among(pool->anchors, cert) != NULL) {
            break;
        }
        cert = next != NULL ? next : issuer_among(pool->held, cert);
        if (cert == NULL || n + 1 == STAMP_MAX_CERTIFICATES) {
            return refuse(err, "no authority that the device's trust bundle names issued "
                               "it");
        }
    }
    if (!stamp_cbor_out_ok(o)) {
        return stamp_error_set(err, STAMP_E_SPACE, 0,
                               "the new certificate is refused: its chain is too long");
    }
    o->p[head] = (uint8_t)(STAMP_CBOR_ARRAY << 5 | (n + 1));
    return STAMP_OK;
}

/* Strictly, with dates, as a verifier does it later. */
static enum stamp_err judge_chain(const struct stamp_renewal *r, const struct pool *pool,
                                  struct stamp_slice chain, struct stamp_error *err)
{
    STAMP_TRUST_AUTO *trust = NULL;
    struct stamp_slice der[STAMP_MAX_CERTIFICATES];
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_chain out;
    struct stamp_cbor c;
    uint32_t n;
    enum stamp_err rc = stamp_trust_new(&trust, err);

    for (int i = 0; rc == STAMP_OK && i < sk_X509_num(pool->anchors); i++) {
        rc = stamp_trust_add(trust, sk_X509_value(pool->anchors, i), err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_cbor_init(&c, chain.p, chain.len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    for (uint32_t i = 0; i < n; i++) {
        der[i] = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);
    }
    rc = stamp_trust_chain(trust, der, n, &out, &why);
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "the new certificate is refused: %s",
                               why.what);
    }
    if (out.has_purpose && out.purpose != r->birth.purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "the new certificate is refused: it is for the other "
                               "purpose, development or production");
    }
    return STAMP_OK;
}

/* The bundle whose anchors count: a newer one of the owner's, or what the device holds.
 */
static enum stamp_err judge_bundle(const struct stamp_renewal *r,
                                   struct stamp_slice newer, struct stamp_bundle *out,
                                   struct stamp_error *err)
{
    struct stamp_slice held = {r->bundle.p, r->bundle.len};
    enum stamp_err rc =
        stamp_bundle_check(held, r->birth.owner_key_hash, r->birth.purpose, out, err);
    uint32_t version = out->version;

    if (rc != STAMP_OK || newer.p == NULL) {
        return rc;
    }
    rc = stamp_bundle_check(newer, r->birth.owner_key_hash, r->birth.purpose, out, err);
    if (rc == STAMP_OK && out->version < version) {
        rc = stamp_error_set(
            err, STAMP_E_ROLLBACK, 0,
            "the trust bundle has version %u, the device holds %u already", out->version,
            version);
    }
    return rc;
}

static enum stamp_err judge_all(const struct stamp_renewal *r, X509 *leaf,
                                struct pool *pool, struct stamp_slice bundle,
                                struct stamp_buffer *chain, struct stamp_error *err)
{
    struct stamp_bundle b = {0};
    struct stamp_cbor_out o;
    enum stamp_err rc = judge_leaf(r, leaf, err);

    if (rc == STAMP_OK) {
        rc = judge_bundle(r, bundle, &b, err);
    }
    if (rc == STAMP_OK) {
        rc = take_all(b.anchors, b.n_anchors, pool->anchors, err);
    }
    if (rc == STAMP_OK) {
        rc = take_chain(&r->chain, pool->held, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(chain, STAMP_MAX_LEN, 0, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_cbor_out_init(&o, chain->p, chain->len);
    rc = put_chain(pool, leaf, &o, err);
    chain->len = o.len < chain->len ? o.len : chain->len;
    if (rc == STAMP_OK && o.len + bundle.len > r->state.room) {
        rc =
            stamp_error_set(err, STAMP_E_SPACE, 0,
                            "the new certificates take %zu bytes, the device takes in %u",
                            o.len + bundle.len, r->state.room);
    }
    if (rc == STAMP_OK) {
        rc = judge_chain(r, pool, (struct stamp_slice){chain->p, chain->len}, err);
    }
    return rc;
}

enum stamp_err stamp_renewal_judge(const struct stamp_renewal *r, struct stamp_slice leaf,
                                   const STACK_OF(X509) * others,
                                   struct stamp_slice bundle, struct stamp_buffer *chain,
                                   struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    struct pool pool = {sk_X509_new_null(), sk_X509_new_null(), others};
    enum stamp_err rc = STAMP_OK;

    *chain = (struct stamp_buffer){0};
    if (pool.anchors == NULL || pool.held == NULL) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    if (rc == STAMP_OK) {
        rc = stamp_pki_decode(leaf, &cert, err);
    }
    if (rc == STAMP_OK) {
        rc = judge_all(r, cert, &pool, bundle, chain, err);
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(chain);
    }
    sk_X509_pop_free(pool.anchors, X509_free);
    sk_X509_pop_free(pool.held, X509_free);
    return rc;
}
