/*
 * The service that signs for a line that is on line, instead of the token (SPEC 17). The
 * station vouches for each request with its journal key, and believes nothing of the
 * answer but a signature over exactly what it intended.
 */
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "host/est_client.h"
#include "host/pki.h"
#include "host/unit_request.h"
#include "station/line_own.h"

enum { ANSWER_S = 10 };

/* ---- who signs there ---- */

static struct stamp_slice root_pem(const struct stamp_line *line)
{
    return (struct stamp_slice){(const uint8_t *)line->root_pem, strlen(line->root_pem)};
}

/* An authority directly below the root that the station knows. */
static bool may_issue(const struct stamp_line *line, X509 *cert)
{
    struct stamp_binding b;

    return X509_check_ca(cert) == 1 && X509_cmp(cert, line->site->cert.root) != 0 &&
           X509_verify(cert, X509_get0_pubkey(line->site->cert.root)) == 1 &&
           stamp_binding_read(cert, &b, NULL) == STAMP_OK && b.present &&
           b.purpose == line->site->cert.purpose;
}

static enum stamp_err take_issuer(struct stamp_line *line, struct stamp_error *err)
{
    const struct stamp_est_server server = {
        .url = line->setup.server, .ca_pem = root_pem(line), .patience_s = 5};
    STACK_OF(X509) *list = NULL;
    enum stamp_err rc = stamp_est_cacerts(&server, &list, err);

    for (int i = 0; i < sk_X509_num(list) && line->issuer == NULL; i++) {
        X509 *cert = sk_X509_value(list, i);

        if (may_issue(line, cert) && X509_up_ref(cert) == 1) {
            line->issuer = cert;
        }
    }
    sk_X509_pop_free(list, X509_free);
    return rc == STAMP_OK && line->issuer == NULL
               ? stamp_error_set(err, STAMP_E_AUTH, 0,
                                 "'%s' has no authority of this station's owner and "
                                 "purpose",
                                 line->setup.server)
               : rc;
}

enum stamp_err stampi_line_service_open(struct stamp_line *line, struct stamp_error *err)
{
    struct stamp_https_setup setup = {.url = line->setup.server, .answer_s = ANSWER_S};
    enum stamp_err rc = stamp_pki_text(line->site->cert.root, &line->root_pem, err);

    if (rc == STAMP_OK) {
        setup.ca_pem = root_pem(line);
        rc = stamp_https_new(&setup, &line->service, err);
    }
    return rc == STAMP_OK ? take_issuer(line, err) : rc;
}

void stampi_line_service_close(struct stamp_line *line)
{
    stamp_https_free(&line->service);
    free(line->root_pem);
}

/* ---- one certificate ---- */

struct asked {
    struct stamp_slice body;
    uint8_t *out;
    size_t *len;
};

static bool is_away(enum stamp_err rc)
{
    return rc == STAMP_E_IO || rc == STAMP_E_BUSY;
}

static enum stamp_err ask(struct stamp_line *line, void *arg, struct stamp_error *err)
{
    const struct asked *a = arg;
    struct stamp_slice answer;
    enum stamp_err rc = stamp_https_ask(line->service, STAMP_UNIT_REQUEST_PATH,
                                        STAMP_UNIT_REQUEST_TYPE, a->body, &answer, err);

    if (rc == STAMP_OK && (answer.len == 0 || answer.len > STAMP_MAX_CERTIFICATE)) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' answers with no certificate",
                             line->setup.server);
    }
    if (rc == STAMP_OK) {
        memcpy(a->out, answer.p, answer.len);
        *a->len = answer.len;
    }
    return rc;
}

/* Exactly what was intended, and signed by who was to. */
static enum stamp_err check(const struct stamp_line *line, struct stamp_slice tbs,
                            const uint8_t *der, size_t len, struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    unsigned char *is = NULL;
    int n;
    bool same;
    enum stamp_err rc = stamp_pki_decode((struct stamp_slice){der, len}, &cert, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    n = i2d_re_X509_tbs(cert, &is);
    same = n > 0 && (size_t)n == tbs.len && memcmp(is, tbs.p, tbs.len) == 0;
    OPENSSL_free(is);
    if (!same) {
        stamp_error_hint(err, "ask headquarters: its profile may have changed since the "
                              "order was made");
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the service signed something else than was asked");
    }
    return X509_verify(cert, X509_get0_pubkey(line->issuer)) == 1
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_AUTH, 0,
                                 "the service's signature is wrong");
}

/* As the certificate is to say. */
static enum stamp_err not_before_of(struct stamp_slice tbs, uint64_t *out,
                                    struct stamp_error *err)
{
    uint8_t der[STAMP_MAX_CERTIFICATE];
    static const uint8_t nobody[64] = {[31] = 1, [63] = 1};
    STAMP_X509_AUTO *cert = NULL;
    size_t len;
    time_t from;
    enum stamp_err rc = stamp_leaf_signed(tbs, nobody, der, &len, err);

    if (rc == STAMP_OK) {
        rc = stamp_pki_decode((struct stamp_slice){der, len}, &cert, err);
    }
    if (rc == STAMP_OK && !stamp_pki_time(X509_get0_notBefore(cert), &from)) {
        rc = stamp_openssl_failed(err, "cannot read what was intended");
    }
    if (rc == STAMP_OK) {
        *out = (uint64_t)from;
    }
    return rc;
}

static enum stamp_err vouch(struct stamp_line *line, const struct stamp_unit_request *u,
                            uint8_t sig[STAMP_SIG_SIZE], struct stamp_error *err)
{
    uint8_t digest[32];
    enum stamp_err rc = stamp_unit_request_digest(u, digest, err);

    return rc == STAMP_OK ? stampi_line_token_vouch(line, digest, sig, err) : rc;
}

enum stamp_err stampi_line_service_sign(struct stamp_line *line, uint32_t index,
                                        const struct stamp_request *r,
                                        struct stamp_slice tbs, uint8_t *out, size_t *len,
                                        struct stamp_error *err)
{
    static const char name[] = "the service";
    const struct stampi_line_need need = {ask, is_away, NULL, name};
    struct stamp_unit_request u = {.index = index};
    uint8_t body[STAMP_UNIT_REQUEST_MAX];
    uint8_t sig[STAMP_SIG_SIZE];
    struct asked a = {.body = {body, 0}, .out = out, .len = len};
    enum stamp_err rc = not_before_of(tbs, &u.not_before, err);

    memcpy(u.station, line->site->cert.id, sizeof u.station);
    memcpy(u.order, line->order.id, sizeof u.order);
    memcpy(u.point, r->point, sizeof u.point);
    memcpy(u.digest, r->digest, sizeof u.digest);
    u.has_provisioning = r->evidence.has_point;
    if (u.has_provisioning) {
        memcpy(u.provisioning, r->evidence.point, sizeof u.provisioning);
    }
    if (rc == STAMP_OK) {
        rc = vouch(line, &u, sig, err);
    }
    if (rc == STAMP_OK) {
        stamp_unit_request_encode(&u, sig, body, &a.body.len);
        rc = stampi_line_persist(line, &need, &a, err);
    }
    if (rc == STAMP_OK) {
        rc = check(line, tbs, out, *len, err);
    }
    if (rc != STAMP_OK) {
        *len = 0;
    }
    return rc;
}
