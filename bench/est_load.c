/*
 * A load of EST and OCSP clients, on OpenSSL alone: threads that ask one after the other,
 * each with its own latencies. What is asked is made before the clock runs.
 *
 * usage: est_load MODE HOST PORT CA.pem DEVICES THREADS SECONDS [OCSP-PATH|PATHS API-KEY]
 *
 * MODE: handshake   mutual TLS 1.3, closed at once
 *       renew       the same, and a simplereenroll with a new key
 *       cfssl       a connection each, as renew, and cfssl's sign instead
 *       keepalive   simplereenroll with new keys on one connection a thread
 *       ocsp        GET OCSP-PATH over HTTP on one connection a thread
 *       api         GET the paths of the file PATHS, a line each, with API-KEY, on one
 *                   connection a thread
 *       idle        THREADS connections, kept open for SECONDS (prints "open" first)
 * DEVICES: one behind the other: key (32 bytes), length of the certificate (2 bytes, big
 *       endian), certificate; bench/service.py makes it
 *
 * $EST_LOAD_BARRIER: with it, others begin at the same time: FILE.PID says that this one
 * is ready, and it begins when FILE is there.
 *
 * Prints JSON: requests, seconds, rate, p50_us, p99_us, failed, and own_us: processor
 * time that the clients themselves took for each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host/key.h"

enum { THREADS_MAX = 16384, REQUESTS_MAX = 200000, TEXT_MAX = 4096 };

struct device {
    EVP_PKEY *key;
    X509 *cert;
    SSL_CTX *ctx;
};

struct worker {
    pthread_t thread;
    unsigned index;
    char **texts; /* requests, whole */
    unsigned n_texts;
    uint32_t *us; /* latencies */
    unsigned done, failed;
};

static struct {
    const char *mode, *host, *port, *ca, *path, *key;
    struct device *devices;
    unsigned n_devices, n_workers, seconds;
    struct addrinfo *where;
    atomic_bool go, stop;
} load;

static void die(const char *what)
{
    (void)fprintf(stderr, "est_load: %s\n", what);
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- what is asked ---- */

static void make_context(struct device *d)
{
    d->ctx = SSL_CTX_new(TLS_client_method());
    if (d->ctx == NULL || SSL_CTX_set_min_proto_version(d->ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_load_verify_locations(d->ctx, load.ca, NULL) != 1 ||
        SSL_CTX_use_certificate(d->ctx, d->cert) != 1 ||
        SSL_CTX_use_PrivateKey(d->ctx, d->key) != 1) {
        die("cannot set up TLS");
    }
    SSL_CTX_set_verify(d->ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_cache_mode(d->ctx, SSL_SESS_CACHE_OFF);
}

static void read_devices(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t scalar[32];
    uint8_t len[2];
    uint8_t der[65536];

    if (f == NULL) {
        die("cannot read the devices");
    }
    while (fread(scalar, 1, 32, f) == 32 && fread(len, 1, 2, f) == 2) {
        size_t n = (size_t)len[0] << 8 | len[1];
        const uint8_t *p = der;
        struct device *more =
            realloc(load.devices, (load.n_devices + 1) * sizeof *load.devices);

        if (more == NULL || fread(der, 1, n, f) != n) {
            die("the devices are cut off");
        }
        load.devices = more;
        more += load.n_devices++;
        if (stamp_key_from_scalar(scalar, &more->key, NULL) != STAMP_OK) {
            die("no key");
        }
        more->cert = d2i_X509(NULL, &p, (long)n);
        if (more->cert == NULL) {
            die("no certificate");
        }
        make_context(more);
    }
    (void)fclose(f);
}

/* The device of a worker's n-th request. */
static const struct device *device_of(const struct worker *w, unsigned n)
{
    return &load.devices[(w->index + (uint64_t)n * load.n_workers) % load.n_devices];
}

static char *request_text(const struct device *d)
{
    X509_REQ *req = X509_REQ_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    unsigned char *der = NULL;
    unsigned char base64[TEXT_MAX / 2];
    char *text = malloc(TEXT_MAX);
    int len;

    if (req == NULL || key == NULL || text == NULL ||
        X509_REQ_set_subject_name(req, X509_get_subject_name(d->cert)) != 1 ||
        X509_REQ_set_pubkey(req, key) != 1 ||
        X509_REQ_sign(req, key, EVP_sha256()) == 0) {
        die("cannot make a request");
    }
    len = i2d_X509_REQ(req, &der);
    len = EVP_EncodeBlock(base64, der, len);
    (void)snprintf(text, TEXT_MAX,
                   "POST /.well-known/est/simplereenroll HTTP/1.1\r\nHost: localhost\r\n"
                   "Content-Type: application/pkcs10\r\nContent-Length: %d\r\n\r\n%s\n",
                   len + 1, (const char *)base64);
    OPENSSL_free(der);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return text;
}

/* The same in PEM, and that in JSON. */
static char *cfssl_text(const struct device *d)
{
    char *text = request_text(d);
    char *from = strstr(text, "\r\n\r\n") + 4;
    char body[TEXT_MAX];
    size_t n = 0;

    n += (size_t)snprintf(body, sizeof body,
                          "{\"certificate_request\":\"-----BEGIN CERTIFICATE "
                          "REQUEST-----\\n");
    for (; strlen(from) > 1 && n + 128 < sizeof body;) {
        size_t part = strlen(from) - 1 < 64 ? strlen(from) - 1 : 64;

        n += (size_t)snprintf(body + n, sizeof body - n, "%.*s\\n", (int)part, from);
        from += part;
    }
    n += (size_t)snprintf(body + n, sizeof body - n,
                          "-----END CERTIFICATE REQUEST-----\\n\"}");
    (void)snprintf(text, TEXT_MAX,
                   "POST /api/v1/cfssl/sign HTTP/1.1\r\nHost: localhost\r\n"
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%.3000s",
                   n, body);
    return text;
}

/* The file's paths, over and over. */
static char *api_text(void)
{
    static FILE *paths;
    char line[1024];
    char *text = malloc(TEXT_MAX);

    if (paths == NULL) {
        paths = fopen(load.path, "r");
    }
    if (paths == NULL || text == NULL) {
        die("no paths");
    }
    if (fgets(line, sizeof line, paths) == NULL) {
        rewind(paths);
        if (fgets(line, sizeof line, paths) == NULL) {
            die("no paths");
        }
    }
    line[strcspn(line, "\n")] = '\0';
    (void)snprintf(
        text, TEXT_MAX,
        "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", line,
        load.key);
    return text;
}

static void prepare(struct worker *w, unsigned count)
{
    w->us = calloc(REQUESTS_MAX, sizeof *w->us);
    w->texts = calloc(count, sizeof *w->texts);
    if (w->us == NULL || w->texts == NULL) {
        die("out of memory");
    }
    for (; w->n_texts < count; w->n_texts++) {
        const struct device *d =
            device_of(w, strcmp(load.mode, "keepalive") == 0 ? 0 : w->n_texts);

        w->texts[w->n_texts] = strcmp(load.mode, "cfssl") == 0 ? cfssl_text(d)
                               : strcmp(load.mode, "api") == 0 ? api_text()
                                                               : request_text(d);
    }
}

/* ---- asking ---- */

static int open_socket(void)
{
    int one = 1;
    int fd = socket(load.where->ai_family, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, load.where->ai_addr, load.where->ai_addrlen) != 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static SSL *handshake(const struct device *d, int fd)
{
    SSL *ssl = SSL_new(d->ctx);

    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

typedef int (*read_fn)(void *from, void *to, int len);

static int read_tls(void *from, void *to, int len)
{
    return SSL_read(from, to, len);
}

static int read_plain(void *from, void *to, int len)
{
    return (int)recv(*(int *)from, to, (size_t)len, 0);
}

/* One answer, to its end; true where it is 200. */
static bool answer(void *from, read_fn get)
{
    char text[16384];
    char more[16384];
    size_t n = 0;
    size_t want = sizeof text - 1;

    while (n < want) {
        bool fits = n < sizeof text - 1;
        int got = get(from, fits ? text + n : more,
                      (int)(fits ? sizeof text - 1 - n : sizeof more));
        char *end;
        char *length;

        if (got <= 0) {
            return false;
        }
        n += (size_t)got;
        if (!fits) {
            continue;
        }
        text[n] = '\0';
        end = strstr(text, "\r\n\r\n");
        length = end == NULL ? NULL : strstr(text, "Content-Length: ");
        if (length != NULL && length < end) {
            want = (size_t)(end + 4 - text) + strtoul(length + 16, NULL, 10);
        }
    }
    return strncmp(text + 9, "200", 3) == 0;
}

static bool ask_tls(SSL *ssl, const char *text)
{
    int len = (int)strlen(text);

    return SSL_write(ssl, text, len) == len && answer(ssl, read_tls);
}

/* A connection of its own for each: with a request, or without. */
static bool once(const struct device *d, const char *text)
{
    char rest[64];
    int fd = open_socket();
    SSL *ssl = fd < 0 ? NULL : handshake(d, fd);
    bool ok = ssl != NULL && (text == NULL || ask_tls(ssl, text));

    if (ok) {
        (void)SSL_shutdown(ssl);
        while (SSL_read(ssl, rest, sizeof rest) > 0) { /* until the server closes */
        }
    }
    SSL_free(ssl);
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

static void count(struct worker *w, int64_t began, bool ok)
{
    w->failed += !ok;
    w->us[w->done++] = (uint32_t)(now_us() - began);
}

static bool more(const struct worker *w)
{
    return !atomic_load(&load.stop) && w->done < REQUESTS_MAX &&
           (w->n_texts == 0 || w->done < w->n_texts);
}

static void ask_anew(struct worker *w, bool with_request)
{
    while (more(w)) {
        int64_t began = now_us();

        count(w, began,
              once(device_of(w, w->done), with_request ? w->texts[w->done] : NULL));
    }
}

static void ask_on(struct worker *w)
{
    int fd = open_socket();
    SSL *ssl = fd < 0 ? NULL : handshake(device_of(w, 0), fd);

    while (ssl != NULL && more(w)) {
        int64_t began = now_us();
        bool ok = ask_tls(ssl, w->texts[w->done]);

        count(w, began, ok);
        if (!ok) {
            break;
        }
    }
    w->failed += ssl == NULL;
    SSL_free(ssl);
    (void)close(fd);
}

static void ask_ocsp(struct worker *w)
{
    int fd = open_socket();
    char text[TEXT_MAX];
    size_t len = (size_t)snprintf(
        text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", load.path);

    while (fd >= 0 && more(w)) {
        int64_t began = now_us();
        bool ok =
            send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len && answer(&fd, read_plain);

        count(w, began, ok);
        if (!ok) {
            break;
        }
    }
    w->failed += fd < 0;
    (void)close(fd);
}

static void *work(void *arg)
{
    struct worker *w = arg;

    while (!atomic_load(&load.go)) {
        (void)usleep(1000);
    }
    if (strcmp(load.mode, "handshake") == 0) {
        ask_anew(w, false);
    } else if (strcmp(load.mode, "renew") == 0 || strcmp(load.mode, "cfssl") == 0) {
        ask_anew(w, true);
    } else if (strcmp(load.mode, "keepalive") == 0 || strcmp(load.mode, "api") == 0) {
        ask_on(w);
    } else {
        ask_ocsp(w);
    }
    return NULL;
}

/* ---- many that say nothing ---- */

static int idle(void)
{
    struct rlimit files = {THREADS_MAX + 64, THREADS_MAX + 64};
    unsigned open = 0;

    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (; open < load.n_workers; open++) {
        int fd = open_socket();

        if (fd < 0 || handshake(&load.devices[open % load.n_devices], fd) == NULL) {
            break;
        }
    }
    (void)printf("open %u\n", open);
    (void)fflush(stdout);
    (void)sleep(load.seconds);
    return open == load.n_workers ? 0 : 1;
}

/* ---- the whole ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double processor_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void print(struct worker *w, double seconds, double own_us)
{
    uint32_t *all = NULL;
    size_t n = 0;
    unsigned failed = 0;

    for (unsigned i = 0; i < load.n_workers; i++) {
        uint32_t *longer = realloc(all, (n + w[i].done + 1) * sizeof *all);

        if (longer == NULL) {
            die("out of memory");
        }
        all = longer;
        memcpy(all + n, w[i].us, w[i].done * sizeof *all);
        n += w[i].done;
        failed += w[i].failed;
    }
    if (n == 0) {
        die("nothing was asked");
    }
    qsort(all, n, sizeof *all, by_number);
    (void)printf("{\"requests\": %zu, \"seconds\": %.3f, \"rate\": %.1f, \"p50_us\": %u, "
                 "\"p99_us\": %u, \"failed\": %u, \"own_us\": %.1f}\n",
                 n, seconds, (double)n / seconds, all[n / 2], all[n * 99 / 100], failed,
                 own_us / (double)n);
    free(all);
}

/* With others, at once: says in a file that it is ready, and waits for the one that says
 * begin. */
static void wait_for_others(void)
{
    const char *barrier = getenv("EST_LOAD_BARRIER");
    char own[4096];
    FILE *f;

    if (barrier == NULL) {
        return;
    }
    (void)snprintf(own, sizeof own, "%s.%ld", barrier, (long)getpid());
    f = fopen(own, "w");
    if (f == NULL || fclose(f) != 0) {
        die("cannot say that it is ready");
    }
    while (access(barrier, F_OK) != 0) {
        (void)usleep(1000);
    }
}

int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET};
    struct worker *w;
    int64_t began;
    double own;
    unsigned per_worker;

    if (argc < 8) {
        die("MODE HOST PORT CA.pem DEVICES THREADS SECONDS [OCSP-PATH] are wanted");
    }
    load.mode = argv[1];
    load.host = argv[2];
    load.port = argv[3];
    load.ca = argv[4];
    load.n_workers = (unsigned)strtoul(argv[6], NULL, 10);
    load.seconds = (unsigned)strtoul(argv[7], NULL, 10);
    load.path = argc > 8 ? argv[8] : "/";
    load.key = argc > 9 ? argv[9] : "";
    if (getaddrinfo(load.host, load.port, &hints, &load.where) != 0 ||
        load.n_workers == 0 || load.n_workers > THREADS_MAX) {
        die("no such host, or no such number of threads");
    }
    if (strcmp(load.mode, "ocsp") != 0) {
        read_devices(argv[5]);
    }
    if (strcmp(load.mode, "idle") == 0) {
        return idle();
    }
    w = calloc(load.n_workers, sizeof *w);
    if (w == NULL) {
        die("out of memory");
    }
    per_worker =
        strcmp(load.mode, "renew") == 0 || strcmp(load.mode, "cfssl") == 0
            ? 3000 * load.seconds / load.n_workers + 10
        : strcmp(load.mode, "keepalive") == 0 ? 6000 * load.seconds / load.n_workers + 10
        : strcmp(load.mode, "api") == 0       ? 20000 * load.seconds / load.n_workers + 10
                                              : 0;
    for (unsigned i = 0; i < load.n_workers; i++) {
        w[i].index = i;
        prepare(&w[i], per_worker);
        if (pthread_create(&w[i].thread, NULL, work, &w[i]) != 0) {
            die("no thread");
        }
    }
    wait_for_others();
    own = processor_us();
    began = now_us();
    atomic_store(&load.go, true);
    for (unsigned i = 0; i < load.seconds * 10; i++) {
        bool all = per_worker > 0;

        (void)usleep(100000);
        for (unsigned k = 0; k < load.n_workers; k++) {
            all = all && w[k].done >= w[k].n_texts;
        }
        if (all) {
            break;
        }
    }
    atomic_store(&load.stop, true);
    for (unsigned i = 0; i < load.n_workers; i++) {
        (void)pthread_join(w[i].thread, NULL);
    }
    print(w, (double)(now_us() - began) / 1e6, processor_us() - own);
    return 0;
}
