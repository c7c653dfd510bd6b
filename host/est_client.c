#include "host/est_client.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/https.h"
#include "host/pki.h"

#define WELL_KNOWN "/.well-known/est"

static enum stamp_err ask(struct stamp_https *h, const struct stamp_est_server *s,
                          const char *operation, struct stamp_slice body,
                          struct stamp_slice *answer, struct stamp_error *err)
{
    char path[64];

    (void)snprintf(path, sizeof path, "%s/%s",
                   strstr(s->url, WELL_KNOWN) != NULL ? "" : WELL_KNOWN, operation);
    return stamp_https_ask(h, path, "application/pkcs10", body, answer, err);
}

static enum stamp_err connect_to(const struct stamp_est_server *s,
                                 struct stamp_https **out, struct stamp_error *err)
{
    const struct stamp_https_setup setup = {.url = s->url,
                                            .ca = s->ca,
                                            .ca_pem = s->ca_pem,
                                            .client = s->client,
                                            .patience_s = s->patience_s};

    return stamp_https_new(&setup, out, err);
}

/* Base64 of certs-only PKCS#7, however it is wrapped. */
static enum stamp_err take_certificates(const struct stamp_est_server *s,
                                        struct stamp_slice a, STACK_OF(X509) * *out,
                                        struct stamp_error *err)
{
    EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
    uint8_t *der = malloc(a.len + 4);
    const unsigned char *p = der;
    PKCS7 *p7 = NULL;
    int n = 0;
    int more = 0;

    *out = NULL;
    if (ctx != NULL && der != NULL) {
        EVP_DecodeInit(ctx);
        if (EVP_DecodeUpdate(ctx, der, &n, a.p, (int)a.len) >= 0 &&
            EVP_DecodeFinal(ctx, der + n, &more) == 1) {
            p7 = d2i_PKCS7(NULL, &p, n + more);
        }
    }
    if (p7 != NULL && PKCS7_type_is_signed(p7) && p7->d.sign != NULL &&
        sk_X509_num(p7->d.sign->cert) > 0) {
        *out = p7->d.sign->cert;
        p7->d.sign->cert = NULL;
    }
    PKCS7_free(p7);
    EVP_ENCODE_CTX_free(ctx);
    free(der);
    ERR_clear_error();
    return *out != NULL
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "'%s' answers with no certificates in PKCS#7", s->url);
}

enum stamp_err stamp_est_cacerts(const struct stamp_est_server *server,
                                 STACK_OF(X509) * *out, struct stamp_error *err)
{
    STAMP_HTTPS_AUTO *h = NULL;
    struct stamp_slice answer;
    enum stamp_err rc = connect_to(server, &h, err);

    *out = NULL;
    if (rc == STAMP_OK) {
        rc = ask(h, server, "cacerts", (struct stamp_slice){NULL, 0}, &answer, err);
    }
    return rc == STAMP_OK ? take_certificates(server, answer, out, err) : rc;
}

static enum stamp_err take_one(const struct stamp_est_server *s, struct stamp_slice a,
                               uint8_t **out, size_t *len, struct stamp_error *err)
{
    STACK_OF(X509) *list = NULL;
    enum stamp_err rc = take_certificates(s, a, &list, err);

    if (rc == STAMP_OK && sk_X509_num(list) != 1) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                             "'%s' answers with %d certificates instead of one", s->url,
                             sk_X509_num(list));
    }
    if (rc == STAMP_OK) {
        rc = stamp_pki_encode(sk_X509_value(list, 0), out, len, err);
    }
    sk_X509_pop_free(list, X509_free);
    return rc;
}

enum stamp_err stamp_est_enrol(const struct stamp_est_server *server, bool again,
                               struct stamp_slice request, uint8_t **out, size_t *out_len,
                               struct stamp_error *err)
{
    STAMP_HTTPS_AUTO *h = NULL;
    char *body = malloc(4 * ((request.len + 2) / 3) + 2);
    struct stamp_slice answer;
    int n;
    enum stamp_err rc;

    *out = NULL;
    *out_len = 0;
    if (body == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    n = EVP_EncodeBlock((unsigned char *)body, request.p, (int)request.len);
    rc = connect_to(server, &h, err);
    if (rc == STAMP_OK) {
        rc = ask(h, server, again ? "simplereenroll" : "simpleenroll",
                 (struct stamp_slice){(const uint8_t *)body, (size_t)n}, &answer, err);
    }
    if (rc == STAMP_OK) {
        rc = take_one(server, answer, out, out_len, err);
    }
    free(body);
    return rc;
}
