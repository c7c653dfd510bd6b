#include "host/est_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/pki.h"

enum {
    ANSWER_MAX = 65536,
    URL_MAX = 1024,
    CONNECT_S = 20,
    ANSWER_S = 60,
    SENTENCE_MAX = 120,
    OK = 200,
    ACCEPTED = 202,
    TOO_MANY = 429,
    UNAVAILABLE = 503
};

struct answer {
    long status;
    curl_off_t retry_after_s;
    char text[ANSWER_MAX + 1];
    size_t len;
    bool too_long;
};

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
    struct answer *a = ctx;
    size_t len = size * n;

    if (len > ANSWER_MAX - a->len) {
        a->too_long = true;
        return 0;
    }
    memcpy(a->text + a->len, data, len);
    a->len += len;
    a->text[a->len] = '\0';
    return len;
}

static enum stamp_err set_up(CURL *curl, const struct stamp_est_server *s,
                             const char *operation, struct answer *a,
                             struct stamp_error *err)
{
    char url[URL_MAX];
    size_t len = strlen(s->url);
    const char *well_known =
        strstr(s->url, "/.well-known/est") != NULL ? "" : "/.well-known/est";

    while (len > 0 && s->url[len - 1] == '/') {
        len--;
    }
    if (strncmp(s->url, "https://", 8) != 0 ||
        snprintf(url, sizeof url, "%.*s%s/%s", (int)len, s->url, well_known, operation) >=
            (int)sizeof url) {
        stamp_error_hint(err, "name it as https://HOST:PORT");
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "'%s' is no https URL", s->url);
    }
    if (curl_easy_setopt(curl, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_CAINFO, s->ca) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) != CURLE_OK ||
        (s->client != NULL &&
         (curl_easy_setopt(curl, CURLOPT_SSLCERT, s->client) != CURLE_OK ||
          curl_easy_setopt(curl, CURLOPT_SSLKEY, s->client) != CURLE_OK)) ||
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)ANSWER_S) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, a) != CURLE_OK) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    return STAMP_OK;
}

static enum stamp_err put_body(CURL *curl, const char *body, struct curl_slist **headers,
                               struct stamp_error *err)
{
    static const char *const lines[] = {"Content-Type: application/pkcs10",
                                        "Content-Transfer-Encoding: base64", "Expect:"};

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct curl_slist *more = curl_slist_append(*headers, lines[i]);

        if (more == NULL) {
            return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        *headers = more;
    }
    return curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers) == CURLE_OK &&
                   curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body) == CURLE_OK
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
}

static enum stamp_err perform(CURL *curl, const struct stamp_est_server *s,
                              struct answer *a, struct stamp_error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    CURLcode rc;

    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    rc = curl_easy_perform(curl);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    if (rc != CURLE_OK && !a->too_long) {
        return stamp_error_set(err, STAMP_E_IO, (long)rc, "cannot ask '%s': %.120s",
                               s->url, why[0] != '\0' ? why : curl_easy_strerror(rc));
    }
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a->status);
    (void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &a->retry_after_s);
    return a->too_long ? stamp_error_set(err, STAMP_E_FORMAT, 0,
                                         "'%s' answers with more than %d bytes", s->url,
                                         ANSWER_MAX)
                       : STAMP_OK;
}

/* One request; `body` NULL: GET. */
static enum stamp_err ask(const struct stamp_est_server *s, const char *operation,
                          const char *body, struct answer *a, struct stamp_error *err)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    enum stamp_err rc;

    memset(a, 0, sizeof *a);
    if (curl == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = set_up(curl, s, operation, a, err);
    if (rc == STAMP_OK && body != NULL) {
        rc = put_body(curl, body, &headers, err);
    }
    if (rc == STAMP_OK) {
        rc = perform(curl, s, a, err);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return rc;
}

/* The server's own sentence, as far as it is one line of text. */
static enum stamp_err refused(const struct stamp_est_server *s, const struct answer *a,
                              struct stamp_error *err)
{
    char sentence[SENTENCE_MAX + 1];
    size_t n = 0;

    for (; n < a->len && n < SENTENCE_MAX && a->text[n] >= ' ' && a->text[n] != 127;
         n++) {
        sentence[n] = a->text[n];
    }
    sentence[n] = '\0';
    return stamp_error_set(err,
                           a->status == TOO_MANY || a->status == UNAVAILABLE ||
                                   a->status == ACCEPTED
                               ? STAMP_E_BUSY
                               : STAMP_E_AUTH,
                           a->status, "'%s' refuses (%ld)%s%s", s->url, a->status,
                           n == 0 ? "" : ": ", sentence);
}

/* Asks again while the server says "later", as long as there is patience. */
static enum stamp_err ask_patiently(const struct stamp_est_server *s,
                                    const char *operation, const char *body,
                                    struct answer *a, struct stamp_error *err)
{
    time_t end = time(NULL) + (time_t)s->patience_s;

    for (;;) {
        time_t pause;
        enum stamp_err rc = ask(s, operation, body, a, err);

        if (rc != STAMP_OK || a->status == OK) {
            return rc;
        }
        pause = a->retry_after_s < 1 ? 1 : (time_t)a->retry_after_s;
        if ((a->status != ACCEPTED && a->status != UNAVAILABLE) ||
            time(NULL) + pause > end) {
            return refused(s, a, err);
        }
        (void)sleep((unsigned)pause);
    }
}

/* Base64 of certs-only PKCS#7, however it is wrapped. */
static enum stamp_err take_certificates(const struct stamp_est_server *s,
                                        const struct answer *a, STACK_OF(X509) * *out,
                                        struct stamp_error *err)
{
    EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
    uint8_t *der = malloc(a->len + 4);
    const unsigned char *p = der;
    PKCS7 *p7 = NULL;
    int n = 0;
    int more = 0;

    *out = NULL;
    if (ctx != NULL && der != NULL) {
        EVP_DecodeInit(ctx);
        if (EVP_DecodeUpdate(ctx, der, &n, (const unsigned char *)a->text, (int)a->len) >=
                0 &&
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
    struct answer *a = malloc(sizeof *a);
    enum stamp_err rc;

    *out = NULL;
    if (a == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = ask_patiently(server, "cacerts", NULL, a, err);
    if (rc == STAMP_OK) {
        rc = take_certificates(server, a, out, err);
    }
    free(a);
    return rc;
}

static enum stamp_err take_one(const struct stamp_est_server *s, const struct answer *a,
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
    struct answer *a = malloc(sizeof *a);
    char *body = malloc(4 * ((request.len + 2) / 3) + 2);
    enum stamp_err rc;

    *out = NULL;
    *out_len = 0;
    if (a == NULL || body == NULL) {
        free(a);
        free(body);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    (void)EVP_EncodeBlock((unsigned char *)body, request.p, (int)request.len);
    rc = ask_patiently(server, again ? "simplereenroll" : "simpleenroll", body, a, err);
    if (rc == STAMP_OK) {
        rc = take_one(server, a, out, out_len, err);
    }
    free(body);
    free(a);
    return rc;
}
