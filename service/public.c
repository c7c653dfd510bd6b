/*
 * What everybody may ask, over HTTP or HTTPS: the revocation list (RFC 5280), and what of
 * one certificate (OCSP, RFC 6960, in the way of RFC 5019: by GET or POST, one
 * certificate a request, answers that were signed before and can be kept by caches).
 */
#include "service/public.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/pki.h"
#include "service/counters.h"
#include "service/reply.h"

enum { OK = 200, REQUEST_MAX = 1024, METRICS_MAX = 16384 };

#define OCSP "/ocsp"

/* ---- answers ---- */

static void put_date(struct evhttp_request *req, const char *name, time_t t)
{
    char text[40];
    struct tm tm;

    (void)gmtime_r(&t, &tm);
    (void)strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    reply_header(req, name, text);
}

/* RFC 5019 6.2 */
static void put_cache(struct evhttp_request *req, time_t from, time_t to)
{
    char text[80];
    time_t left = to - time(NULL);

    (void)snprintf(text, sizeof text,
                   "max-age=%lld, public, no-transform, must-revalidate",
                   left > 0 ? (long long)left : 0);
    reply_header(req, "Cache-Control", text);
    put_date(req, "Last-Modified", from);
    put_date(req, "Expires", to);
}

static void give(struct evhttp_request *req, const uint8_t *der, size_t len)
{
    reply_bytes(req, OK, "application/ocsp-response", der, len);
}

/* An answer without a signature: RFC 6960 4.2.1. */
static void fail(struct evhttp_request *req, int status)
{
    const uint8_t der[] = {0x30, 0x03, 0x0A, 0x01, (uint8_t)status};

    reply_header(req, "Cache-Control", "no-cache");
    give(req, der, sizeof der);
}

void public_later(struct evhttp_request *req)
{
    fail(req, OCSP_RESPONSE_STATUS_TRYLATER);
}

static void give_kept(struct evhttp_request *req, const struct ocsp_kept *k)
{
    put_cache(req, k->this_update, k->next_update);
    give(req, k->response, k->len);
}

void public_answer(struct front *f, struct evhttp_request *req,
                   const struct service_ocsp *asked,
                   const struct service_ocsp_answer *answer)
{
    if (answer->response.len == 0) {
        public_later(req);
        return;
    }
    ocsp_cache_keep(&f->ocsp, asked, answer, time(NULL));
    put_cache(req, (time_t)answer->this_update, (time_t)answer->next_update);
    give(req, answer->response.p, answer->response.len);
}

/* ---- the list ---- */

void public_take_list(struct front *f, const struct service_crl *list, int file)
{
    struct evbuffer_file_segment *segment =
        file < 0 ? NULL
                 : evbuffer_file_segment_new(file, 0, (ev_off_t)list->len,
                                             EVBUF_FS_CLOSE_ON_FREE);

    if (segment == NULL) {
        return;
    }
    if (f->list != NULL) {
        evbuffer_file_segment_free(f->list);
    }
    f->list = segment;
    f->list_told = *list;
}

static void give_list(struct front *f, struct evhttp_request *req)
{
    struct evbuffer *body = evbuffer_new();

    if (body == NULL || f->list == NULL ||
        evbuffer_add_file_segment(body, f->list, 0, -1) != 0) {
        reply_header(req, "Retry-After", "1");
        reply_sentence(req, HTTP_SERVUNAVAIL, "there is no list yet: ask again");
    } else {
        reply_header(req, "Content-Type", "application/pkix-crl");
        put_cache(req, (time_t)f->list_told.this_update,
                  (time_t)f->list_told.next_update);
        reply_send(req, OK, body);
    }
    if (body != NULL) {
        evbuffer_free(body);
    }
}

/* ---- OCSP ---- */

enum stamp_err public_init(struct front *f, struct stamp_error *err)
{
    X509 *ca = f->ws->sub_ca;
    const ASN1_BIT_STRING *key = X509_get0_pubkey_bitstr(ca);
    const EVP_MD *const md[] = {EVP_sha1(), EVP_sha256()};

    for (int i = 0; i < 2; i++) {
        unsigned int len = 0;

        if (X509_NAME_digest(X509_get_subject_name(ca), md[i], f->issuer[i].name, &len) !=
                1 ||
            EVP_Digest(ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key),
                       f->issuer[i].key, &len, md[i], NULL) != 1) {
            return stamp_openssl_failed(err, "cannot hash the authority's name");
        }
        f->issuer[i].len = len;
    }
    return STAMP_OK;
}

static bool is(const ASN1_OCTET_STRING *s, const uint8_t *p, size_t len)
{
    return (size_t)ASN1_STRING_length(s) == len &&
           memcmp(ASN1_STRING_get0_data(s), p, len) == 0;
}

/* Which certificate of our authority is asked for; else the status of OCSPResponse that
 * says why not. @param number  SERVICE_NUMBER_MAX bytes, that `asked` points into */
static int read_id(const struct front_issuer issuer[2], OCSP_CERTID *id,
                   struct service_ocsp *asked, uint8_t *number)
{
    ASN1_OCTET_STRING *name;
    ASN1_OCTET_STRING *key;
    ASN1_OBJECT *md;
    ASN1_INTEGER *serial;
    int nid;
    int len;

    (void)OCSP_id_get0_info(&name, &md, &key, &serial, id);
    nid = OBJ_obj2nid(md);
    asked->hash = nid == NID_sha1 ? SERVICE_OCSP_SHA1 : SERVICE_OCSP_SHA256;
    len = ASN1_STRING_length(serial);
    if ((nid != NID_sha1 && nid != NID_sha256) ||
        !is(name, issuer[asked->hash].name, issuer[asked->hash].len) ||
        !is(key, issuer[asked->hash].key, issuer[asked->hash].len)) {
        return OCSP_RESPONSE_STATUS_UNAUTHORIZED; /* RFC 5019 2.2.3 */
    }
    if (len <= 0 || len > (int)SERVICE_NUMBER_MAX ||
        ASN1_STRING_type(serial) != V_ASN1_INTEGER) {
        return OCSP_RESPONSE_STATUS_MALFORMEDREQUEST;
    }
    memcpy(number, ASN1_STRING_get0_data(serial), (size_t)len);
    asked->serial_number = (struct stamp_slice){number, (size_t)len};
    return OCSP_RESPONSE_STATUS_SUCCESSFUL;
}

int public_read_ocsp(const struct front_issuer issuer[2], const uint8_t *der, size_t len,
                     struct service_ocsp *asked, uint8_t *number)
{
    const unsigned char *p = der;
    OCSP_REQUEST *req = d2i_OCSP_REQUEST(NULL, &p, (long)len);
    int status = OCSP_RESPONSE_STATUS_MALFORMEDREQUEST;

    if (req != NULL && p == der + len && OCSP_request_onereq_count(req) == 1) {
        status = read_id(issuer, OCSP_onereq_get0_id(OCSP_request_onereq_get0(req, 0)),
                         asked, number);
    }
    OCSP_REQUEST_free(req);
    ERR_clear_error();
    return status;
}

bool public_read_ocsp_path(const char *path, uint8_t *der, size_t *len)
{
    size_t n = 0;
    enum est_style style;
    char *decoded = evhttp_uridecode(path, 0, &n);
    bool ok = decoded != NULL && n <= REQUEST_MAX &&
              est_body_read(decoded, n, der, len, &style);

    free(decoded);
    return ok;
}

static bool take_body(struct evhttp_request *req, uint8_t *der, size_t *len)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(req);

    *len = evbuffer_get_length(body);
    return *len > 0 && *len <= REQUEST_MAX &&
           evbuffer_copyout(body, der, *len) == (ev_ssize_t)*len;
}

static void ocsp(struct front *f, struct evhttp_request *req, const char *path)
{
    uint8_t der[EST_BODY_MAX];
    uint8_t number[SERVICE_NUMBER_MAX];
    struct service_ocsp asked;
    const struct ocsp_kept *kept;
    size_t len = 0;
    int status = OCSP_RESPONSE_STATUS_MALFORMEDREQUEST;
    bool have = evhttp_request_get_command(req) == EVHTTP_REQ_POST
                    ? take_body(req, der, &len)
                    : *path == '/' && public_read_ocsp_path(path + 1, der, &len);

    if (have) {
        status = public_read_ocsp(f->issuer, der, len, &asked, number);
    }
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        fail(req, status);
        return;
    }
    kept = ocsp_cache_find(&f->ocsp, &asked, time(NULL));
    if (kept != NULL) {
        SERVICE_COUNT(ocsp_kept);
        give_kept(req, kept);
    } else if (!front_ask_status(f, req, &asked)) {
        public_later(req);
    }
}

bool public_request(struct front *f, struct evhttp_request *req, const char *path)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(req);
    bool get = method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD;

    if (strcmp(path, "/crl") == 0 && get) {
        give_list(f, req);
        return true;
    }
    if (strncmp(path, OCSP, sizeof OCSP - 1) == 0 &&
        (path[sizeof OCSP - 1] == '/' || path[sizeof OCSP - 1] == '\0') &&
        (get || method == EVHTTP_REQ_POST)) {
        ocsp(f, req, path + sizeof OCSP - 1);
        return true;
    }
    return false;
}

void public_http(struct evhttp_request *req, void *front)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);

    if (path == NULL || !public_request(front, req, path)) {
        reply_sentence(req, HTTP_NOTFOUND, "there is nothing here: try /crl or /ocsp");
    }
}

/* ---- for who runs it ---- */

void public_admin(struct evhttp_request *req, void *front)
{
    static char text[METRICS_MAX];
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
    bool ready = atomic_load(&service_count->down) == 0;

    (void)front;
    reply_header(req, "Cache-Control", "no-store");
    if (path != NULL && strcmp(path, "/metrics") == 0) {
        reply_bytes(req, OK, "text/plain; version=0.0.4; charset=utf-8", text,
                    service_counters_print(text, sizeof text));
    } else if (path != NULL && strcmp(path, "/healthz") == 0) {
        reply_bytes(req, OK, "text/plain", "alive\n", 6);
    } else if (path != NULL && strcmp(path, "/readyz") == 0) {
        reply_bytes(req, ready ? OK : HTTP_SERVUNAVAIL, "text/plain",
                    ready ? "ready\n" : "a process starts again\n", ready ? 6 : 23);
    } else {
        reply_sentence(req, HTTP_NOTFOUND, "try /metrics, /healthz or /readyz");
    }
}
