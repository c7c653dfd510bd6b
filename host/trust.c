#include "host/trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "host/file.h"
#include "host/key.h"

#define PEM_MAX ((size_t)1 << 20)

struct stamp_trust {
    X509_STORE *store;
    bool has_purpose;
    uint8_t purpose;
    bool has_owner;
    uint8_t owner[32];
};

enum stamp_err stamp_trust_new(struct stamp_trust **out, struct stamp_error *err)
{
    *out = calloc(1, sizeof **out);
    if (*out != NULL) {
        (*out)->store = X509_STORE_new();
    }
    if (*out == NULL || (*out)->store == NULL) {
        stamp_trust_free(out);
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    return STAMP_OK;
}

void stamp_trust_free(struct stamp_trust **p)
{
    if (*p != NULL) {
        X509_STORE_free((*p)->store);
        free(*p);
    }
    *p = NULL;
}

static const char *purpose_name(uint8_t purpose)
{
    return purpose == STAMP_PRODUCTION ? "production" : "development";
}

enum stamp_err stamp_trust_add(struct stamp_trust *t, X509 *anchor,
                               struct stamp_error *err)
{
    struct stamp_binding b;
    enum stamp_err rc = stamp_binding_read(anchor, &b, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (b.present && t->has_purpose && b.purpose != t->purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "trust anchors for development and for production "
                               "do not mix");
    }
    if (X509_STORE_add_cert(t->store, anchor) != 1) {
        return stamp_openssl_failed(err, "cannot take a trust anchor");
    }
    if (b.present) {
        t->has_purpose = true;
        t->purpose = b.purpose;
    }
    return STAMP_OK;
}

enum stamp_err stamp_trust_load(struct stamp_trust *t, const char *path,
                                struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = NULL;
    uint8_t *text = NULL;
    size_t len = 0;
    unsigned count = 0;
    enum stamp_err rc = stamp_file_read(path, PEM_MAX, &text, &len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    bio = BIO_new_mem_buf(text, (int)len);
    while (rc == STAMP_OK && bio != NULL) {
        STAMP_X509_AUTO *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

        if (cert == NULL) {
            break;
        }
        count++;
        rc = stamp_trust_add(t, cert, err);
    }
    free(text);
    ERR_clear_error();
    if (rc == STAMP_OK && count == 0) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' holds no certificate", path);
    }
    return rc;
}

void stamp_trust_set_owner(struct stamp_trust *t, const uint8_t hash[32])
{
    t->has_owner = true;
    memcpy(t->owner, hash, sizeof t->owner);
}

const uint8_t *stamp_trust_owner(const struct stamp_trust *t)
{
    return t->has_owner ? t->owner : NULL;
}

static enum stamp_err decode_all(const struct stamp_slice *certs, size_t n,
                                 STACK_OF(X509) * out, struct stamp_error *err)
{
    for (size_t i = 0; i < n; i++) {
        X509 *cert = NULL;
        enum stamp_err rc = stamp_pki_decode(certs[i], &cert, err);

        if (rc != STAMP_OK) {
            return rc;
        }
        if (sk_X509_push(out, cert) == 0) {
            X509_free(cert);
            return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
        }
    }
    return STAMP_OK;
}

/* All that was sent is used, in the order it was sent; at most an anchor is behind it.
 * What is not used would be under no signature. SPEC 5-9. */
static bool all_used(STACK_OF(X509) * built, STACK_OF(X509) * sent)
{
    int n = sk_X509_num(sent);

    if (sk_X509_num(built) != n && sk_X509_num(built) != n + 1) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (X509_cmp(sk_X509_value(built, i), sk_X509_value(sent, i)) != 0) {
            return false;
        }
    }
    return true;
}

static enum stamp_err gather_purpose(const struct stamp_trust *t, STACK_OF(X509) * built,
                                     struct stamp_chain *out, struct stamp_error *err)
{
    out->has_purpose = t->has_purpose;
    out->purpose = t->purpose;
    for (int i = 0; i < sk_X509_num(built); i++) {
        struct stamp_binding b;
        enum stamp_err rc = stamp_binding_read(sk_X509_value(built, i), &b, err);

        if (rc != STAMP_OK) {
            return rc;
        }
        if (b.present && out->has_purpose && b.purpose != out->purpose) {
            return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                                   "a certificate for %s is used for %s",
                                   purpose_name(b.purpose), purpose_name(out->purpose));
        }
        if (b.present) {
            out->has_purpose = true;
            out->purpose = b.purpose;
        }
        if (i == 0) {
            out->binding = b;
        } else if (b.has_digest) {
            return stamp_error_set(err, STAMP_E_AUTH, 0,
                                   "an authority's certificate binds a stamp");
        }
    }
    return STAMP_OK;
}

static enum stamp_err read_leaf(X509 *leaf, struct stamp_chain *out,
                                struct stamp_error *err)
{
    EVP_PKEY *key = X509_get0_pubkey(leaf);

    if (key == NULL || stamp_key_point(key, out->point, NULL) != STAMP_OK) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the certificate's key is not a P-256 key");
    }
    if (stamp_pki_serial(leaf, out->serial, sizeof out->serial, err) != STAMP_OK) {
        return STAMP_E_AUTH;
    }
    if (out->binding.present && !out->binding.has_digest) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the certificate is an authority's, not a device's");
    }
    return STAMP_OK;
}

/* @param is_device  the first of them is to be a device's */
static enum stamp_err check_chain(const struct stamp_trust *t, STACK_OF(X509) * sent,
                                  bool is_device, struct stamp_chain *out,
                                  struct stamp_error *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *leaf = sk_X509_value(sent, 0);
    enum stamp_err rc;

    if (ctx == NULL || X509_STORE_CTX_init(ctx, t->store, leaf, sent) != 1) {
        X509_STORE_CTX_free(ctx);
        return stamp_openssl_failed(err, "cannot check a certificate");
    }
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN);
    if (X509_verify_cert(ctx) != 1) {
        rc = stamp_error_set(
            err, STAMP_E_AUTH, X509_STORE_CTX_get_error(ctx), "the certificate: %s",
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    } else if (!all_used(X509_STORE_CTX_get0_chain(ctx), sent)) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "a certificate of the chain is out of place");
    } else {
        rc = gather_purpose(t, X509_STORE_CTX_get0_chain(ctx), out, err);
        if (rc == STAMP_OK && is_device) {
            rc = read_leaf(leaf, out, err);
        }
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

static enum stamp_err check(const struct stamp_trust *t, const struct stamp_slice *certs,
                            size_t n, bool is_device, struct stamp_chain *out,
                            struct stamp_error *err)
{
    STACK_OF(X509) *sent = sk_X509_new_null();
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    if (sent == NULL || n == 0) {
        sk_X509_free(sent);
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "there is no certificate");
    }
    rc = decode_all(certs, n, sent, err);
    if (rc == STAMP_OK) {
        rc = check_chain(t, sent, is_device, out, err);
    }
    sk_X509_pop_free(sent, X509_free);
    if (rc != STAMP_OK) {
        memset(out, 0, sizeof *out);
    }
    return rc;
}

enum stamp_err stamp_trust_chain(const struct stamp_trust *t,
                                 const struct stamp_slice *certs, size_t n,
                                 struct stamp_chain *out, struct stamp_error *err)
{
    return check(t, certs, n, true, out, err);
}

enum stamp_err stamp_trust_signer(const struct stamp_trust *t, struct stamp_slice cert,
                                  struct stamp_error *err)
{
    struct stamp_chain chain;

    return check(t, &cert, 1, false, &chain, err);
}
