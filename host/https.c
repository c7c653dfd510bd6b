#include "host/https.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    URL_MAX = 1024,
    CONNECT_S = 20,
    ANSWER_S = 60,
    SENTENCE_MAX = 120,
    BEARER_MAX = 256,
    OK = 200,
    ACCEPTED = 202,
    TOO_MANY = 429,
    UNAVAILABLE = 503
};

struct stamp_https {
    struct stamp_https_setup setup;
    CURL *curl;
    long status;
    curl_off_t retry_after_s;
    char text[STAMP_HTTPS_ANSWER_MAX + 1];
    size_t len;
    bool too_long;
    int fd; /* what comes goes there where the status is OK; -1 = to `text` */
    uint64_t written;
    bool disk_failed;
};

static bool to_file(struct stamp_https *h, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(h->fd, data, len);

        if (n < 0 && errno != EINTR) {
            h->disk_failed = true;
            return false;
        }
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            h->written += (uint64_t)n;
        }
    }
    return true;
}

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
    struct stamp_https *h = ctx;
    size_t len = size * n;
    long status = 0;

    if (h->fd >= 0 &&
        curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
        status == OK) {
        return to_file(h, data, len) ? len : 0;
    }
    if (len > STAMP_HTTPS_ANSWER_MAX - h->len) {
        h->too_long = true;
        return 0;
    }
    memcpy(h->text + h->len, data, len);
    h->len += len;
    h->text[h->len] = '\0';
    return len;
}

static enum stamp_err no_memory(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
}

static bool believe(const struct stamp_https *h)
{
    const struct stamp_https_setup *s = &h->setup;
    struct curl_blob pem = {.len = s->ca_pem.len, .flags = CURL_BLOB_COPY};

    if (s->ca_pem.p == NULL) {
        return curl_easy_setopt(h->curl, CURLOPT_CAINFO, s->ca) == CURLE_OK;
    }
    pem.data = (void *)(uintptr_t)s->ca_pem.p; /* it is copied */
    return curl_easy_setopt(h->curl, CURLOPT_CAINFO, NULL) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_CAINFO_BLOB, &pem) == CURLE_OK;
}

static bool set_up(struct stamp_https *h)
{
    const struct stamp_https_setup *s = &h->setup;
    long answer_s = s->answer_s == 0 ? ANSWER_S : (long)s->answer_s;

    return curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_CAPATH, NULL) == CURLE_OK && believe(h) &&
           (s->client == NULL ||
            (curl_easy_setopt(h->curl, CURLOPT_SSLCERT, s->client) == CURLE_OK &&
             curl_easy_setopt(h->curl, CURLOPT_SSLKEY, s->client) == CURLE_OK)) &&
           curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S) ==
               CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, answer_s) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, h) == CURLE_OK;
}

enum stamp_err stamp_https_new(const struct stamp_https_setup *setup,
                               struct stamp_https **out, struct stamp_error *err)
{
    struct stamp_https *h;

    *out = NULL;
    if (strncmp(setup->url, "https://", 8) != 0 || setup->url[8] == '\0') {
        stamp_error_hint(err, "name it as https://HOST:PORT");
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "'%s' is no https URL",
                               setup->url);
    }
    h = calloc(1, sizeof *h);
    if (h == NULL) {
        return no_memory(err);
    }
    h->setup = *setup;
    h->fd = -1;
    h->curl = curl_easy_init();
    if (h->curl == NULL || !set_up(h)) {
        stamp_https_free(&h);
        return no_memory(err);
    }
    *out = h;
    return STAMP_OK;
}

void stamp_https_free(struct stamp_https **p)
{
    if (*p != NULL) {
        curl_easy_cleanup((*p)->curl);
        free(*p);
        *p = NULL;
    }
}

static enum stamp_err put_url(struct stamp_https *h, const char *path,
                              struct stamp_error *err)
{
    char url[URL_MAX];
    size_t len = strlen(h->setup.url);

    while (len > 0 && h->setup.url[len - 1] == '/') {
        len--;
    }
    if (snprintf(url, sizeof url, "%.*s%s", (int)len, h->setup.url, path) >=
        (int)sizeof url) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "'%s' is too long a URL",
                               h->setup.url);
    }
    return curl_easy_setopt(h->curl, CURLOPT_URL, url) == CURLE_OK ? STAMP_OK
                                                                   : no_memory(err);
}

static bool add_line(struct curl_slist **lines, const char *line)
{
    struct curl_slist *more = curl_slist_append(*lines, line);

    *lines = more != NULL ? more : *lines;
    return more != NULL;
}

/* "Authorization: Bearer ...", which is wiped when the lines are freed. */
static bool add_bearer(const struct stamp_https *h, struct curl_slist **lines)
{
    static const char name[] = "Authorization: Bearer ";
    char line[sizeof name + BEARER_MAX];
    const uint8_t *p;
    size_t len;
    bool ok;

    if (h->setup.bearer == NULL) {
        return true;
    }
    p = stamp_secret_use(h->setup.bearer, &len);
    if (len > BEARER_MAX) {
        return false;
    }
    memcpy(line, name, sizeof name - 1);
    memcpy(line + sizeof name - 1, p, len);
    line[sizeof name - 1 + len] = '\0';
    ok = add_line(lines, line);
    OPENSSL_cleanse(line, sizeof line);
    return ok;
}

static void free_lines(struct stamp_https *h, struct curl_slist *lines)
{
    (void)curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    if (h->setup.bearer != NULL && lines != NULL) {
        OPENSSL_cleanse(lines->data, strlen(lines->data));
    }
    curl_slist_free_all(lines);
}

static bool put_lines(struct stamp_https *h, const char *header, const char *type,
                      struct curl_slist **lines)
{
    char line[128];

    (void)snprintf(line, sizeof line, "Content-Type: %s", type == NULL ? "" : type);
    return add_bearer(h, lines) && (header == NULL || add_line(lines, header)) &&
           (type == NULL || (add_line(lines, line) && add_line(lines, "Expect:"))) &&
           curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, *lines) == CURLE_OK;
}

static bool put_body(struct stamp_https *h, struct stamp_slice body)
{
    if (body.p == NULL) {
        return curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    }
    return curl_easy_setopt(h->curl, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len) ==
               CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, body.p) == CURLE_OK;
}

static enum stamp_err put_request(struct stamp_https *h, const char *path,
                                  const char *header, const char *type,
                                  struct stamp_slice body, struct curl_slist **lines,
                                  struct stamp_error *err)
{
    enum stamp_err rc = put_url(h, path, err);

    return rc != STAMP_OK || (put_lines(h, header, body.p == NULL ? NULL : type, lines) &&
                              put_body(h, body))
               ? rc
               : no_memory(err);
}

static enum stamp_err perform(struct stamp_https *h, struct stamp_error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    CURLcode rc;

    h->len = 0;
    h->text[0] = '\0';
    h->too_long = false;
    (void)curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, why);
    rc = curl_easy_perform(h->curl);
    (void)curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, NULL);
    if (h->disk_failed) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot write what comes: %s",
                               strerror(errno));
    }
    if (rc != CURLE_OK && !h->too_long) {
        return stamp_error_set(err, STAMP_E_IO, (long)rc, "cannot ask '%s': %.120s",
                               h->setup.url,
                               why[0] != '\0' ? why : curl_easy_strerror(rc));
    }
    (void)curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->status);
    (void)curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &h->retry_after_s);
    return h->too_long ? stamp_error_set(err, STAMP_E_FORMAT, 0,
                                         "'%s' answers with more than %zu bytes",
                                         h->setup.url, STAMP_HTTPS_ANSWER_MAX)
                       : STAMP_OK;
}

/* The server's own sentence, as far as it is one line of text. */
static enum stamp_err refused(const struct stamp_https *h, struct stamp_error *err)
{
    bool later =
        h->status == TOO_MANY || h->status == UNAVAILABLE || h->status == ACCEPTED;
    char sentence[SENTENCE_MAX + 1];
    size_t n = 0;

    for (; n < h->len && n < SENTENCE_MAX && h->text[n] >= ' ' && h->text[n] != 127;
         n++) {
        sentence[n] = h->text[n];
    }
    sentence[n] = '\0';
    return stamp_error_set(err, later ? STAMP_E_BUSY : STAMP_E_AUTH, h->status,
                           "'%s' refuses (%ld)%s%s", h->setup.url, h->status,
                           n == 0 ? "" : ": ", sentence);
}

static enum stamp_err ask_patiently(struct stamp_https *h, struct stamp_error *err)
{
    time_t end = time(NULL) + (time_t)h->setup.patience_s;

    for (;;) {
        time_t pause;
        enum stamp_err rc = perform(h, err);

        if (rc != STAMP_OK || h->status == OK) {
            return rc;
        }
        pause = h->retry_after_s < 1 ? 1 : (time_t)h->retry_after_s;
        if ((h->status != ACCEPTED && h->status != UNAVAILABLE) ||
            time(NULL) + pause > end) {
            return refused(h, err);
        }
        (void)sleep((unsigned)pause);
    }
}

enum stamp_err stamp_https_ask(struct stamp_https *h, const char *path, const char *type,
                               struct stamp_slice body, struct stamp_slice *answer,
                               struct stamp_error *err)
{
    struct curl_slist *lines = NULL;
    enum stamp_err rc = put_request(h, path, NULL, type, body, &lines, err);

    *answer = (struct stamp_slice){NULL, 0};
    if (rc == STAMP_OK) {
        rc = ask_patiently(h, err);
    }
    free_lines(h, lines);
    if (rc == STAMP_OK) {
        *answer = (struct stamp_slice){(const uint8_t *)h->text, h->len};
    }
    return rc;
}

enum stamp_err stamp_https_try(struct stamp_https *h, const char *path,
                               const char *header, const char *type,
                               struct stamp_slice body, long *status,
                               struct stamp_slice *answer, struct stamp_error *err)
{
    struct curl_slist *lines = NULL;
    enum stamp_err rc = put_request(h, path, header, type, body, &lines, err);

    *status = 0;
    *answer = (struct stamp_slice){NULL, 0};
    if (rc == STAMP_OK) {
        rc = perform(h, err);
    }
    free_lines(h, lines);
    if (rc == STAMP_OK) {
        *status = h->status;
        *answer = (struct stamp_slice){(const uint8_t *)h->text, h->len};
    }
    return rc;
}

enum stamp_err stamp_https_fetch(struct stamp_https *h, const char *path, int fd,
                                 uint64_t *len, struct stamp_error *err)
{
    const struct stamp_slice none = {NULL, 0};
    struct curl_slist *lines = NULL;
    enum stamp_err rc = put_request(h, path, NULL, NULL, none, &lines, err);

    *len = 0;
    h->fd = fd;
    h->written = 0;
    h->disk_failed = false;
    if (rc == STAMP_OK &&
        (curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, 0L) != CURLE_OK ||
         curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L) != CURLE_OK ||
         curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, (long)ANSWER_S) != CURLE_OK)) {
        rc = no_memory(err);
    }
    if (rc == STAMP_OK) {
        rc = perform(h, err);
    }
    h->fd = -1;
    (void)set_up(h);
    free_lines(h, lines);
    if (rc == STAMP_OK && h->status != OK) {
        rc = refused(h, err);
    }
    *len = h->written;
    return rc;
}
