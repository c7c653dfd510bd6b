/* EST (RFC 7030, 8951): what a URL means, and what its answers look like. */
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/der.h"
#include "host/key.h"
#include "host/pkcs10.h"
#include "host/pki.h"
#include "host/registry_token.h"
#include "service/api.h"
#include "service/counters.h"
#include "service/front.h"
#include "service/log.h"
#include "service/public.h"
#include "service/reply.h"
#include "service/station.h"

#define ROOT "/.well-known/est/"
#define CERTS_ONLY "application/pkcs7-mime; smime-type=certs-only"

enum {
    OK = 200,
    ACCEPTED = 202,
    UNAUTHORIZED = 401,
    FORBIDDEN = 403,
    TYPE = 415,
    TOO_MANY = 429
};

enum operation { CACERTS, ENROLL, REENROLL, KEYGEN, CSRATTRS, OPERATIONS };

static const struct {
    const char *name;
    enum evhttp_cmd_type method;
} operations[OPERATIONS] = {
    [CACERTS] = {"cacerts", EVHTTP_REQ_GET},
    [ENROLL] = {"simpleenroll", EVHTTP_REQ_POST},
    [REENROLL] = {"simplereenroll", EVHTTP_REQ_POST},
    [KEYGEN] = {"serverkeygen", EVHTTP_REQ_POST},
    [CSRATTRS] = {"csrattrs", EVHTTP_REQ_GET},
};

/* ---- answers ---- */

static void give(struct evhttp_request *req, const char *type, const uint8_t *der,
                 size_t len, enum est_style style)
{
    size_t size = est_body_size(len, style);
    struct evbuffer *body = evbuffer_new();
    struct evbuffer_iovec room;

    if (body == NULL || evbuffer_reserve_space(body, (ev_ssize_t)size, &room, 1) != 1) {
        if (body != NULL) {
            evbuffer_free(body);
        }
        est_later(req, false);
        return;
    }
    est_body_write(der, len, style, room.iov_base);
    room.iov_len = size;
    (void)evbuffer_commit_space(body, &room, 1);
    reply_header(req, "Content-Type", type);
    reply_header(req, "Content-Transfer-Encoding", "base64");
    reply_send(req, OK, body);
    evbuffer_free(body);
}

void est_later(struct evhttp_request *req, bool taken)
{
    reply_header(req, "Retry-After", taken ? "2" : "1");
    reply_sentence(req, taken ? ACCEPTED : HTTP_SERVUNAVAIL,
                   taken ? "it takes longer: ask again" : "not now: ask again");
}

static int status_of(enum stamp_refusal refusal)
{
    switch (refusal) {
    case STAMP_REFUSAL_CREDENTIAL:
    case STAMP_REFUSAL_TOKEN:
        return UNAUTHORIZED;
    case STAMP_REFUSAL_KEY_KIND:
    case STAMP_REFUSAL_SUBJECT:
    case STAMP_REFUSAL_REQUEST:
    case STAMP_REFUSAL_LINKING:
    case STAMP_REFUSAL_PROTECTION:
        return HTTP_BADREQUEST;
    case STAMP_REFUSAL_RATE:
        return TOO_MANY;
    case STAMP_REFUSAL_NONE:
    case STAMP_REFUSAL_UNKNOWN_KEY:
    case STAMP_REFUSAL_FORGED:
    case STAMP_REFUSAL_UNTRUSTED:
    case STAMP_REFUSAL_PURPOSE:
    case STAMP_REFUSAL_EXPIRED:
    case STAMP_REFUSAL_REVOKED:
    case STAMP_REFUSAL_STATE:
    case STAMP_REFUSAL_RETIRED:
    case STAMP_REFUSAL_PRODUCT:
    case STAMP_REFUSAL_KEY_TAKEN:
    case STAMP_REFUSAL_ROLE:
    case STAMP_REFUSAL_UNKNOWN_SERIAL:
    case STAMP_REFUSAL_POLICY:
    case STAMP_REFUSAL_STATION:
    case STAMP_REFUSAL_ORDER:
    case STAMP_REFUSAL_UNIT:
    default:
        return FORBIDDEN;
    }
}

static void refuse(struct evhttp_request *req, enum stamp_refusal refusal)
{
    if (status_of(refusal) == UNAUTHORIZED) {
        reply_header(req, "WWW-Authenticate", "Basic realm=\"enrolment token\"");
    }
    if (refusal == STAMP_REFUSAL_RATE) {
        reply_header(req, "Retry-After", "3600");
    }
    reply_sentence(req, status_of(refusal), stamp_refusal_text(refusal));
}

/* Refused before the books are asked. Whoever shows nothing is counted and not logged:
 * anybody can do that without end. */
static void refuse_here(struct evhttp_request *req, const struct front_connection *c,
                        enum stamp_refusal refusal)
{
    char *from = NULL;
    ev_uint16_t port;

    SERVICE_COUNT(refused[refusal]);
    if (c->peer.present) {
        evhttp_connection_get_peer(evhttp_request_get_connection(req), &from, &port);
        service_log("refused", "claims", c->peer.serial, "from", from, "refusal",
                    stamp_refusal_name(refusal), NULL);
    }
    refuse(req, refusal);
}

/* One part of a multipart answer: RFC 2046 5.1. */
static bool add_part(struct evbuffer *body, const char *boundary, const char *type,
                     const uint8_t *der, size_t len, enum est_style style)
{
    size_t size = est_body_size(len, style);
    struct evbuffer_iovec room;

    if (evbuffer_add_printf(body,
                            "--%s\r\nContent-Type: %s\r\n"
                            "Content-Transfer-Encoding: base64\r\n\r\n",
                            boundary, type) < 0 ||
        evbuffer_reserve_space(body, (ev_ssize_t)size, &room, 1) != 1) {
        return false;
    }
    est_body_write(der, len, style, room.iov_base);
    room.iov_len = size;
    return evbuffer_commit_space(body, &room, 1) == 0 &&
           evbuffer_add_printf(body, "\r\n") >= 0;
}

/* A private key and its certificate: RFC 7030 4.4.2. */
static void give_key(struct evhttp_request *req, struct stamp_slice key,
                     struct stamp_slice certs, enum est_style style)
{
    static const char boundary[] = "devstamp-key"; /* '-' is in no base64 */
    struct evbuffer *body = evbuffer_new();
    const char *type = stamp_keypackage_is_sealed(key)
                           ? "application/pkcs7-mime; smime-type=server-generated-key"
                           : "application/pkcs8";

    if (body == NULL || !add_part(body, boundary, type, key.p, key.len, style) ||
        !add_part(body, boundary, CERTS_ONLY, certs.p, certs.len, style) ||
        evbuffer_add_printf(body, "--%s--\r\n", boundary) < 0) {
        est_later(req, false);
    } else {
        reply_header(req, "Content-Type", "multipart/mixed; boundary=devstamp-key");
        reply_header(req, "Cache-Control", "no-store");
        reply_send(req, OK, body);
    }
    if (body != NULL) {
        evbuffer_free(body);
    }
}

bool est_has_certificate(struct evhttp_request *req, const struct service_answer *answer)
{
    switch ((enum service_outcome)answer->outcome) {
    case SERVICE_CERTIFICATE:
        return true;
    case SERVICE_REFUSED:
        refuse(req, (enum stamp_refusal)answer->refusal);
        return false;
    case SERVICE_LATER:
    case SERVICE_JUDGE: /* of a front that has judged */
    default:
        est_later(req, false);
        return false;
    }
}

void est_answer(struct evhttp_request *req, const struct service_answer *answer,
                enum est_style style, struct stamp_slice key)
{
    uint8_t der[STAMP_MAX_CERTIFICATE + 128];
    size_t len;

    if (!est_has_certificate(req, answer)) {
        return;
    }
    len = est_certs_only(&answer->certificate, 1, der, sizeof der);
    if (key.len > 0) {
        give_key(req, key, (struct stamp_slice){der, len}, style);
    } else {
        give(req, CERTS_ONLY, der, len, style);
    }
}

/* ---- who asks ---- */

/* "Basic " base64 of "SERIAL:TOKEN", or "Bearer TOKEN". False where there is no token. */
static bool take_token(struct evhttp_request *req, struct service_enrol *e, char *serial,
                       size_t size)
{
    const char *value =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");
    uint8_t plain[256];
    size_t len = 0;
    enum est_style style;
    const uint8_t *token;
    bool ok;

    if (value == NULL) {
        return false;
    }
    if (evutil_ascii_strncasecmp(value, "Bearer ", 7) == 0) {
        value += 7 + strspn(value + 7, " ");
        return stamp_token_digest(value, strcspn(value, " "), e->token, NULL) == STAMP_OK;
    }
    if (evutil_ascii_strncasecmp(value, "Basic ", 6) != 0 || strlen(value + 6) > 200 ||
        !est_body_read(value + 6, strlen(value + 6), plain, &len, &style)) {
        return false;
    }
    token = memchr(plain, ':', len);
    ok = token != NULL && (size_t)(token - plain) < size;
    if (ok) {
        memcpy(serial, plain, (size_t)(token - plain));
        e->token_serial =
            (struct stamp_slice){(const uint8_t *)serial, (size_t)(token - plain)};
        token++;
        ok = stamp_token_digest((const char *)token, len - (size_t)(token - plain),
                                e->token, NULL) == STAMP_OK;
    }
    OPENSSL_cleanse(plain, sizeof plain);
    return ok;
}

static void put_peer(const struct service_peer *p, struct service_enrol *e)
{
    e->credential = p->registrar ? SERVICE_BY_REGISTRAR : SERVICE_BY_CERTIFICATE;
    e->judged = p->judged;
    e->chain = (uint8_t)p->chain;
    memcpy(e->fingerprint, p->fingerprint, sizeof e->fingerprint);
    e->peer_serial = (struct stamp_slice){(const uint8_t *)p->serial, strlen(p->serial)};
    if (p->len <= STAMP_MAX_CERTIFICATE) { /* none on the books is longer */
        e->peer = (struct stamp_slice){p->der, p->len};
    }
}

/* ---- what is asked for ---- */

/* The names of the certificate that is renewed (RFC 7030 4.2.2). A request without a
 * subjectAltName asks for none of its own, and gets the same one. */
static bool same_names(const struct stamp_pkcs10 *r, const X509 *cert)
{
    const ASN1_OBJECT *san = OBJ_nid2obj(NID_subject_alt_name);
    const ASN1_OCTET_STRING *asked = stamp_extension(r->extensions, san);
    const ASN1_OCTET_STRING *has = stamp_extension(X509_get0_extensions(cert), san);

    return X509_NAME_cmp(r->subject, X509_get_subject_name(cert)) == 0 &&
           (asked == NULL || (has != NULL && ASN1_OCTET_STRING_cmp(asked, has) == 0));
}

/* The subject's serialNumber. False where it has two, or one that no device has. */
static bool take_serial(const struct stamp_pkcs10 *r, char out[STAMP_SERIAL_SIZE])
{
    int at = X509_NAME_get_index_by_NID(r->subject, NID_serialNumber, -1);
    const ASN1_STRING *value;
    unsigned char *utf8 = NULL;
    int len;
    bool ok;

    out[0] = '\0';
    if (at < 0) {
        return true;
    }
    value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(r->subject, at));
    len = ASN1_STRING_to_UTF8(&utf8, value);
    ok = len > 0 && len < (int)STAMP_SERIAL_SIZE &&
         memchr(utf8, 0, (size_t)len) == NULL &&
         X509_NAME_get_index_by_NID(r->subject, NID_serialNumber, at) < 0;
    if (ok) {
        memcpy(out, utf8, (size_t)len);
        out[len] = '\0';
    }
    OPENSSL_free(utf8);
    return ok;
}

/* RFC 7030 3.5: if present it must be checked. */
static bool linked(const struct stamp_pkcs10 *r, SSL *ssl, bool wanted)
{
    char expected[SERVICE_BINDING_SIZE];

    if (r->challenge == NULL) {
        return !wanted;
    }
    return service_tls_binding(ssl, expected) &&
           (size_t)ASN1_STRING_length(r->challenge) == strlen(expected) &&
           CRYPTO_memcmp(ASN1_STRING_get0_data(r->challenge), expected,
                         strlen(expected)) == 0;
}

static enum stamp_refusal check_request(const struct front *f, enum operation o,
                                        const struct front_connection *c,
                                        struct service_enrol *e, struct est_texts *t)
{
    const struct stamp_pkcs10 *r = &t->request;
    bool own = c->peer.present && !c->peer.registrar;

    if (!linked(r, c->ssl, f->setup->linking)) {
        return STAMP_REFUSAL_LINKING;
    }
    if (!take_serial(r, t->serial) ||
        (o == REENROLL && own && !same_names(r, c->peer.cert))) {
        return STAMP_REFUSAL_SUBJECT;
    }
    memcpy(e->point, r->point, sizeof e->point);
    e->serial = (struct stamp_slice){(const uint8_t *)t->serial, strlen(t->serial)};
    e->evidence = stamp_evidence_of(r->extensions);
    return e->evidence.len <= STAMP_EVIDENCE_MAX ? STAMP_REFUSAL_NONE
                                                 : STAMP_REFUSAL_REQUEST;
}

static enum stamp_err read_request(struct evhttp_request *req, enum operation o,
                                   struct stamp_pkcs10 *r, enum est_style *style)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(body);
    uint8_t der[EST_BODY_MAX];
    size_t der_len;

    if (len > EST_BODY_MAX ||
        !est_body_read(evbuffer_pullup(body, -1), len, der, &der_len, style)) {
        return STAMP_E_FORMAT;
    }
    return o == KEYGEN
               ? stamp_pkcs10_open_keyless((struct stamp_slice){der, der_len}, r, NULL)
               : stamp_pkcs10_open((struct stamp_slice){der, der_len}, r, NULL);
}

static bool is_pkcs10(struct evhttp_request *req)
{
    static const char type[] = "application/pkcs10";
    const char *value =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Content-Type");

    return value != NULL && evutil_ascii_strncasecmp(value, type, sizeof type - 1) == 0 &&
           strchr("; ", value[sizeof type - 1]) != NULL;
}

/* What is asked for, for the books; `e` points into `t`. False: it was answered. */
static bool take_request(struct front *f, struct evhttp_request *req, enum operation o,
                         struct front_connection *c, struct service_enrol *e,
                         struct est_texts *t, enum est_style *style)
{
    enum stamp_refusal refusal;
    enum stamp_err rc;

    if (o != REENROLL && take_token(req, e, t->token_serial, sizeof t->token_serial)) {
        e->credential = SERVICE_BY_TOKEN;
    } else if (c->peer.present) {
        put_peer(&c->peer, e);
    } else {
        refuse_here(req, c, STAMP_REFUSAL_CREDENTIAL);
        return false;
    }
    rc = read_request(req, o, &t->request, style);
    if (rc != STAMP_OK) {
        refuse_here(req, c,
                    rc == STAMP_E_UNSUPPORTED ? STAMP_REFUSAL_KEY_KIND
                                              : STAMP_REFUSAL_REQUEST);
        return false;
    }
    refusal = check_request(f, o, c, e, t);
    if (refusal != STAMP_REFUSAL_NONE) {
        refuse_here(req, c, refusal);
        return false;
    }
    e->label = (struct stamp_slice){(const uint8_t *)t->label, strlen(t->label)};
    e->from = front_from(req);
    return true;
}

/* Does the identifier mean the key of this certificate? Its subjectKeyIdentifier, where
 * there is one, or a hash of the key: RFC 5280 4.2.1.2 (1), RFC 7093 2 (1). */
static bool names_key(const ASN1_OCTET_STRING *id, X509 *cert)
{
    const ASN1_OCTET_STRING *own = X509_get0_subject_key_id(cert);
    const ASN1_BIT_STRING *key = X509_get0_pubkey_bitstr(cert);
    size_t len = (size_t)ASN1_STRING_length(id);
    uint8_t hash[32];

    if (own != NULL && ASN1_OCTET_STRING_cmp(own, id) == 0) {
        return true;
    }
    if (len != 20 || key == NULL) {
        return false;
    }
    return (EVP_Digest(key->data, (size_t)key->length, hash, NULL, EVP_sha1(), NULL) ==
                1 &&
            memcmp(hash, ASN1_STRING_get0_data(id), len) == 0) ||
           (EVP_Digest(key->data, (size_t)key->length, hash, NULL, stamp_sha256(),
                       NULL) == 1 &&
            memcmp(hash, ASN1_STRING_get0_data(id), len) == 0);
}

/* To whom the key is sealed; false: it may not go out. A key that both sides have, which
 * DecryptKeyIdentifier would name, is on no books. */
static bool take_recipient(const struct front *f, const struct front_connection *c,
                           const struct est_texts *t, struct service_make *make)
{
    const struct stamp_pkcs10 *r = &t->request;

    if (r->decrypt_key != NULL) {
        make->recipient = (struct stamp_slice){c->peer.der, c->peer.len};
        return c->peer.present && c->peer.len <= STAMP_MAX_CERTIFICATE &&
               names_key(r->decrypt_key, c->peer.cert);
    }
    return !r->decrypt_shared && f->setup->plain_keys != NULL &&
           strcmp(f->setup->plain_keys, t->label) == 0;
}

static void enroll(struct front *f, struct evhttp_request *req, enum operation o,
                   struct est_texts *t)
{
    struct front_connection *c = front_connection_of(f, req);
    struct service_enrol e = {0};
    struct service_make make = {{NULL, 0}};
    enum est_style style = EST_ONE_LINE;
    bool asked;

    if (!is_pkcs10(req)) {
        reply_sentence(req, TYPE, "send PKCS#10 in base64 as application/pkcs10");
        return;
    }
    if (!take_request(f, req, o, c, &e, t, &style)) {
        return;
    }
    if (o == KEYGEN && !take_recipient(f, c, t, &make)) {
        refuse_here(req, c, STAMP_REFUSAL_PROTECTION);
        return;
    }
    asked =
        o == KEYGEN ? front_ask_key(f, req, &make, style) : front_ask(f, req, &e, style);
    if (!asked) {
        est_later(req, false);
    }
}

/* What a request should say: P-256, ECDSA with SHA-256, and the proof of possession where
 * it is wanted. CsrAttrs, RFC 7030 4.5.2. */
static void csrattrs(const struct front *f, struct evhttp_request *req,
                     enum est_style style)
{
    static const uint8_t key[] = {0x30, 0x15, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE,
                                  0x3D, 0x02, 0x01, 0x31, 0x0A, 0x06, 0x08, 0x2A,
                                  0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
    static const uint8_t ecdsa[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
    static const uint8_t challenge[] = {0x2A, 0x86, 0x48, 0x86, 0xF7,
                                        0x0D, 0x01, 0x09, 0x07};
    uint8_t buf[64];
    struct stamp_der d;

    stamp_der_init(&d, buf, sizeof buf);
    if (f->setup->linking) {
        stamp_der_put(&d, STAMP_DER_OID, challenge, sizeof challenge);
    }
    stamp_der_put(&d, STAMP_DER_OID, ecdsa, sizeof ecdsa);
    stamp_der_raw(&d, key, sizeof key);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    give(req, "application/csrattrs", stamp_der_bytes(&d), stamp_der_len(&d), style);
}

/* ---- where to ---- */

/* "/.well-known/est/[LABEL/]OPERATION"; `label` is a product's name. */
static enum operation parse(const char *path, char label[STAMP_MAX_TEXT + 1u])
{
    const char *name;
    const char *slash;
    char *decoded;
    size_t len = 0;

    label[0] = '\0';
    if (path == NULL || strncmp(path, ROOT, sizeof ROOT - 1) != 0) {
        return OPERATIONS;
    }
    name = path + sizeof ROOT - 1;
    slash = strchr(name, '/');
    if (slash != NULL) {
        char part[3 * STAMP_MAX_TEXT + 1];

        if ((size_t)(slash - name) >= sizeof part || slash == name) {
            return OPERATIONS;
        }
        memcpy(part, name, (size_t)(slash - name));
        part[slash - name] = '\0';
        decoded = evhttp_uridecode(part, 0, &len);
        if (decoded == NULL || len > STAMP_MAX_TEXT || strlen(decoded) != len) {
            free(decoded);
            return OPERATIONS;
        }
        memcpy(label, decoded, len + 1);
        free(decoded);
        name = slash + 1;
    }
    for (unsigned i = 0; i < OPERATIONS; i++) {
        if (strcmp(name, operations[i].name) == 0) {
            return (enum operation)i;
        }
    }
    return OPERATIONS;
}

static bool method_fits(struct evhttp_request *req, enum operation o)
{
    if (evhttp_request_get_command(req) == operations[o].method) {
        return true;
    }
    reply_header(req, "Allow", operations[o].method == EVHTTP_REQ_GET ? "GET" : "POST");
    reply_sentence(req, HTTP_BADMETHOD, "not with this method");
    return false;
}

bool est_made(struct front *f, struct evhttp_request *req, const uint8_t *point,
              struct service_enrol *asked, struct est_texts *texts)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    struct front_connection *c = front_connection_of(f, req);
    enum est_style style;

    memset(asked, 0, sizeof *asked);
    (void)parse(evhttp_uri_get_path(uri), texts->label);
    if (!take_request(f, req, KEYGEN, c, asked, texts, &style)) {
        return false;
    }
    memcpy(asked->point, point, sizeof asked->point);
    return true;
}

/* Who GETs shows no style of his own; so it goes by label. */
static enum est_style style_of(const struct front *f, const char *label)
{
    for (uint32_t i = 0; i < f->setup->n_wrap; i++) {
        if (strcmp(f->setup->wrap[i], label) == 0) {
            return EST_WRAPPED;
        }
    }
    return EST_ONE_LINE;
}

void est_request(struct evhttp_request *req, void *front)
{
    struct front *f = front;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
    struct est_texts t = {.serial = ""};
    enum operation o = parse(path, t.label);

    if (path != NULL && (public_request(f, req, path) || station_request(f, req, path) ||
                         api_request(f, req, path))) {
        return;
    }
    if (o == OPERATIONS) {
        reply_sentence(req, HTTP_NOTFOUND, "there is nothing here: try " ROOT "cacerts");
        return;
    }
    if (!method_fits(req, o)) {
        return;
    }
    switch (o) {
    case CACERTS:
        give(req, "application/pkcs7-mime", f->cacerts, f->cacerts_len,
             style_of(f, t.label));
        break;
    case CSRATTRS:
        csrattrs(f, req, style_of(f, t.label));
        break;
    case ENROLL:
    case REENROLL:
    case KEYGEN:
    case OPERATIONS:
    default:
        enroll(f, req, o, &t);
        stamp_pkcs10_free(&t.request);
        break;
    }
}
