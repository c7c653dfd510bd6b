#include "service/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "host/key.h"
#include "host/pki.h"

enum { CHAIN_MAX = 16384, BINDING_LEN = 32 };

struct service_tls {
    const struct stamp_workspace *ws;
    STACK_OF(X509) * rollover;
    SSL_CTX *ctx;
    EVP_PKEY *next; /* waits for its certificate */
    X509_STORE *store;
};

/* Everybody's certificate will do for the handshake; service_peer_read() judges it. */
static int take_any(X509_STORE_CTX *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return 1;
}

static bool set_up(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                       SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, CHAIN_MAX);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, take_any, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:"
                                        "ECDHE-ECDSA-AES256-GCM-SHA384:"
                                        "ECDHE-ECDSA-CHACHA20-POLY1305") == 1;
}

enum stamp_err service_tls_new(const struct stamp_workspace *ws,
                               STACK_OF(X509) * rollover, struct service_tls **out,
                               struct stamp_error *err)
{
    struct service_tls *t = calloc(1, sizeof *t);

    *out = t;
    if (t == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    t->ws = ws;
    t->rollover = rollover;
    t->ctx = SSL_CTX_new(TLS_server_method());
    t->store = X509_STORE_new();
    if (t->ctx == NULL || t->store == NULL || !set_up(t->ctx) ||
        X509_STORE_add_cert(t->store, ws->root) != 1 ||
        X509_STORE_add_cert(t->store, ws->sub_ca) != 1) {
        service_tls_free(out);
        return stamp_openssl_failed(err, "cannot set up TLS");
    }
    return STAMP_OK;
}

void service_tls_free(struct service_tls **p)
{
    if (*p == NULL) {
        return;
    }
    SSL_CTX_free((*p)->ctx);
    EVP_PKEY_free((*p)->next);
    X509_STORE_free((*p)->store);
    free(*p);
    *p = NULL;
}

enum stamp_err service_tls_next_key(struct service_tls *t,
                                    uint8_t point[STAMP_POINT_SIZE],
                                    struct stamp_error *err)
{
    enum stamp_err rc;

    stamp_free_pkey(&t->next);
    rc = stamp_key_generate(&t->next, err);
    return rc == STAMP_OK ? stamp_key_point(t->next, point, err) : rc;
}

/* A root leads nowhere, and where there are two of one name OpenSSL takes the first: so
 * of links from one to another only those are kept. Borrowed. */
static bool add_links(STACK_OF(X509) * to, STACK_OF(X509) * from)
{
    bool ok = true;

    for (int i = 0; ok && i < sk_X509_num(from); i++) {
        X509 *cert = sk_X509_value(from, i);

        ok = X509_self_signed(cert, 1) == 1 || sk_X509_push(to, cert) != 0;
    }
    return ok;
}

enum stamp_err service_tls_use(struct service_tls *t, struct stamp_slice certificate,
                               struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    enum stamp_err rc = stamp_pki_decode(certificate, &cert, err);

    if (rc == STAMP_OK && t->next == NULL) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "no key waits for a certificate");
    }
    if (rc == STAMP_OK &&
        (chain == NULL || sk_X509_push(chain, t->ws->sub_ca) == 0 ||
         !add_links(chain, t->rollover) ||
         SSL_CTX_use_cert_and_key(t->ctx, cert, t->next, chain, 1) != 1)) {
        rc = stamp_openssl_failed(err, "cannot use the server's certificate");
    }
    sk_X509_free(chain);
    stamp_free_pkey(&t->next);
    return rc;
}

SSL *service_tls_accept(struct service_tls *t)
{
    return SSL_new(t->ctx);
}

/* ---- the peer ---- */

static bool is_registrar(X509 *cert)
{
    EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
    bool yes = false;

    for (int i = 0; i < sk_ASN1_OBJECT_num(usage); i++) {
        yes = yes || OBJ_obj2nid(sk_ASN1_OBJECT_value(usage, i)) == NID_cmcRA;
    }
    EXTENDED_KEY_USAGE_free(usage);
    return yes;
}

/* Some certificate of the chain says the other purpose. */
static bool other_purpose(const struct service_tls *t, const STACK_OF(X509) * chain)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        struct stamp_binding b;

        if (stamp_binding_read(sk_X509_value(chain, i), &b, NULL) != STAMP_OK ||
            (b.present && b.purpose != t->ws->purpose)) {
            return true;
        }
    }
    return false;
}

/* What leads from an old root to ours, and what the peer sent; neither is trusted. */
static STACK_OF(X509) * untrusted(const struct service_tls *t, STACK_OF(X509) * sent)
{
    STACK_OF(X509) *all = sk_X509_new_null();

    if (all != NULL && (!add_links(all, t->rollover) || !add_links(all, sent))) {
        sk_X509_free(all);
        return NULL;
    }
    return all;
}

static enum stamp_refusal judge_chain(const struct service_tls *t, X509 *leaf,
                                      STACK_OF(X509) * sent)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *others = untrusted(t, sent);
    enum stamp_refusal refusal = STAMP_REFUSAL_UNTRUSTED;
    int e;

    if (ctx == NULL || others == NULL ||
        X509_STORE_CTX_init(ctx, t->store, leaf, others) != 1) {
        X509_STORE_CTX_free(ctx);
        sk_X509_free(others);
        return refusal;
    }
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN);
    if (X509_verify_cert(ctx) == 1) {
        refusal = other_purpose(t, X509_STORE_CTX_get0_chain(ctx)) ? STAMP_REFUSAL_PURPOSE
                                                                   : STAMP_REFUSAL_NONE;
    } else {
        e = X509_STORE_CTX_get_error(ctx);
        if (e == X509_V_ERR_CERT_HAS_EXPIRED || e == X509_V_ERR_CERT_NOT_YET_VALID) {
            refusal = STAMP_REFUSAL_EXPIRED;
        }
    }
    X509_STORE_CTX_free(ctx);
    sk_X509_free(others);
    ERR_clear_error();
    return refusal;
}

/* What it says by itself. Of the other purpose, and so of another root: that is the
 * reason worth telling. */
static enum stamp_refusal look(const struct service_tls *t, const X509 *leaf)
{
    struct stamp_binding b;

    if (stamp_binding_read(leaf, &b, NULL) == STAMP_OK && b.present &&
        b.purpose != t->ws->purpose) {
        return STAMP_REFUSAL_PURPOSE;
    }
    return X509_cmp_current_time(X509_get0_notBefore(leaf)) < 0 &&
                   X509_cmp_current_time(X509_get0_notAfter(leaf)) > 0
               ? STAMP_REFUSAL_NONE
               : STAMP_REFUSAL_EXPIRED;
}

void service_peer_judge(const struct service_tls *t, SSL *ssl, struct service_peer *p)
{
    if (p->present && !p->judged && p->chain != STAMP_REFUSAL_PURPOSE) {
        p->chain = judge_chain(t, p->cert, SSL_get_peer_cert_chain(ssl));
    }
    p->judged = true;
}

void service_peer_read(const struct service_tls *t, SSL *ssl, struct service_peer *p)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    uint8_t point[STAMP_POINT_SIZE];

    *p = (struct service_peer){.chain = STAMP_REFUSAL_UNTRUSTED};
    if (leaf == NULL || stamp_pki_encode(leaf, &p->der, &p->len, NULL) != STAMP_OK) {
        ERR_clear_error();
        return;
    }
    p->present = true;
    (void)X509_up_ref(leaf);
    p->cert = leaf;
    (void)!stamp_pki_serial(leaf, p->serial, sizeof p->serial, NULL);
    p->registrar = is_registrar(leaf);
    /* a key of another kind is on no books: its fingerprint stays 0 */
    if (stamp_key_point(X509_get0_pubkey(leaf), point, NULL) == STAMP_OK) {
        (void)!stamp_key_hash(point, p->fingerprint, NULL);
    }
    p->chain = look(t, leaf);
    if (p->registrar) { /* whom the books believe by his chain */
        service_peer_judge(t, ssl, p);
    }
    ERR_clear_error();
}

void service_peer_fini(struct service_peer *p)
{
    OPENSSL_free(p->der);
    X509_free(p->cert);
    *p = (struct service_peer){.present = false};
}

bool service_tls_binding(SSL *ssl, char out[SERVICE_BINDING_SIZE])
{
    static const char label[] = "EXPORTER-Channel-Binding";
    unsigned char bytes[EVP_MAX_MD_SIZE];
    size_t len = BINDING_LEN;

    if (SSL_version(ssl) == TLS1_3_VERSION) {
        if (SSL_export_keying_material(ssl, bytes, len, label, sizeof label - 1,
                                       (const unsigned char *)"", 0, 1) != 1) {
            ERR_clear_error();
            return false;
        }
    } else { /* never resumed: the client's Finished is the first */
        len = SSL_get_peer_finished(ssl, bytes, sizeof bytes);
        if (len == 0 || len > BINDING_LEN) {
            return false;
        }
    }
    (void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return true;
}
