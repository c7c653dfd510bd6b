/*
 * What it takes to issue durably, on one core and without TLS and processes: a request's
 * signature is checked, the intent goes on the books, the certificate is signed, and goes
 * on the books, in groups as the service makes them; SQLite with synchronous=FULL. Beside
 * it, in the same run, signatures that OpenSSL checks in a second.
 *
 * usage: issue WORKSPACE DEVICES SECONDS GROUP
 *
 * DEVICES: as bench/est_load.c takes them. Prints JSON: requests, rate, verify, ratio.
 */
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/key.h"
#include "host/operational.h"
#include "host/pkcs10.h"
#include "host/pki.h"
#include "host/workspace.h"
#include "service/books.h"

enum { GROUP_MAX = 256, REQUESTS_MAX = 16384, REQUEST_MAX = 512, HOUR = 3600 };

struct device {
    struct stamp_slice der;
    uint8_t fingerprint[32];
    char serial[STAMP_SERIAL_SIZE];
    X509 *cert;
};

struct request {
    const struct device *device;
    uint8_t der[REQUEST_MAX];
    size_t len;
};

static struct device *devices;
static unsigned n_devices;
static struct request *requests;

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        stamp_error_print(err, "issue");
        exit(1);
    }
}

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void take_device(const uint8_t *der, size_t len, struct stamp_error *err)
{
    struct device *d;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t *copy = malloc(len);

    devices = realloc(devices, (n_devices + 1) * sizeof *devices);
    if (devices == NULL || copy == NULL) {
        exit(1);
    }
    d = &devices[n_devices++];
    memset(d, 0, sizeof *d);
    memcpy(copy, der, len);
    d->der = (struct stamp_slice){copy, len};
    must(stamp_pki_decode(d->der, &d->cert, err), err);
    must(stamp_key_point(X509_get0_pubkey(d->cert), point, err), err);
    must(stamp_key_hash(point, d->fingerprint, err), err);
    must(stamp_pki_serial(d->cert, d->serial, sizeof d->serial, err), err);
}

static void read_devices(const char *path, struct stamp_error *err)
{
    FILE *f = fopen(path, "rb");
    uint8_t head[34];
    uint8_t der[65536];

    while (f != NULL && fread(head, 1, sizeof head, f) == sizeof head) {
        size_t len = (size_t)head[32] << 8 | head[33];

        if (fread(der, 1, len, f) != len) {
            break;
        }
        take_device(der, len, err);
    }
    if (f == NULL || n_devices == 0) {
        (void)fprintf(stderr, "issue: no devices in '%s'\n", path);
        exit(1);
    }
    (void)fclose(f);
}

static void prepare(void)
{
    requests = calloc(REQUESTS_MAX, sizeof *requests);
    for (unsigned i = 0; requests != NULL && i < REQUESTS_MAX; i++) {
        struct request *r = &requests[i];
        X509_REQ *req = X509_REQ_new();
        EVP_PKEY *key = EVP_EC_gen("P-256");
        unsigned char *p = r->der;

        r->device = &devices[i % n_devices];
        if (req == NULL || key == NULL ||
            X509_REQ_set_subject_name(req, X509_get_subject_name(r->device->cert)) != 1 ||
            X509_REQ_set_pubkey(req, key) != 1 ||
            X509_REQ_sign(req, key, EVP_sha256()) == 0 ||
            i2d_X509_REQ(req, NULL) > REQUEST_MAX) {
            exit(1);
        }
        r->len = (size_t)i2d_X509_REQ(req, &p);
        X509_REQ_free(req);
        EVP_PKEY_free(key);
    }
}

static struct stamp_workspace *ws;
static struct stamp_operational_maker *maker;
static const struct stamp_service_setup setup = {.days = 90, .per_hour = 1000000};
static struct books_numbers numbers;

static void group(struct request *r, unsigned n, struct stamp_error *err)
{
    static struct books_verdict verdict[GROUP_MAX];
    static struct service_enrol asked[GROUP_MAX];
    time_t now = time(NULL);

    must(stamp_registry_group_begin(ws->registry, err), err);
    for (unsigned i = 0; i < n; i++) {
        const struct device *d = r[i].device;
        STAMP_PKCS10_AUTO open;

        must(stamp_pkcs10_open((struct stamp_slice){r[i].der, r[i].len}, &open, err),
             err);
        asked[i] = (struct service_enrol){
            .peer = d->der,
            .peer_serial = {(const uint8_t *)d->serial, strlen(d->serial)}};
        memcpy(asked[i].fingerprint, d->fingerprint, 32);
        memcpy(asked[i].point, open.point, sizeof open.point);
        must(
            books_enrol(ws->registry, &setup, &asked[i], now, &numbers, &verdict[i], err),
            err);
        if (verdict[i].refusal != STAMP_REFUSAL_NONE) {
            (void)fprintf(stderr, "issue: refused: %s\n",
                          stamp_refusal_name(verdict[i].refusal));
            exit(1);
        }
    }
    must(stamp_registry_group_end(ws->registry, STAMP_OK, err), err);
    must(stamp_registry_group_begin(ws->registry, err), err);
    for (unsigned i = 0; i < n; i++) {
        const struct stamp_ldevid *l = &verdict[i].ldevid;
        struct stamp_operational o = {.point = asked[i].point,
                                      .birth = {verdict[i].birth, verdict[i].birth_len},
                                      .not_before = l->not_before,
                                      .not_after = l->not_after};
        uint8_t out[STAMP_MAX_CERTIFICATE];
        size_t len = 0;
        bool kept = false;

        memcpy(o.serial_number, l->certificate_serial, sizeof o.serial_number);
        must(stamp_operational_make(maker, &o, out, &len, err), err);
        must(stamp_registry_ldevid_certify(ws->registry, l->device, l->n,
                                           (struct stamp_slice){out, len}, &kept, err),
             err);
        books_verdict_fini(&verdict[i]);
    }
    must(stamp_registry_group_end(ws->registry, STAMP_OK, err), err);
}

/* Signatures checked in a second, by one key object as `openssl speed` does. */
static double verify_rate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    uint8_t hash[32] = {1};
    uint8_t sig[80];
    size_t len = sizeof sig;
    unsigned n = 0;
    double began;

    if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1 ||
        EVP_PKEY_sign(ctx, sig, &len, hash, sizeof hash) != 1 ||
        EVP_PKEY_verify_init(ctx) != 1) {
        exit(1);
    }
    began = now_s();
    while (now_s() - began < 1) {
        for (unsigned i = 0; i < 100; i++, n++) {
            if (EVP_PKEY_verify(ctx, sig, len, hash, sizeof hash) != 1) {
                exit(1);
            }
        }
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return n / (now_s() - began);
}

static unsigned number(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    return *end == '\0' && n <= REQUESTS_MAX ? (unsigned)n : 0;
}

int main(int argc, char **argv)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    EVP_PKEY *key = NULL;
    double began;
    double verify;
    double rate;
    unsigned seconds;
    unsigned size;
    unsigned n = 0;

    if (argc != 5 || (seconds = number(argv[3])) == 0 || (size = number(argv[4])) == 0 ||
        size > GROUP_MAX) {
        (void)fprintf(stderr, "usage: issue WORKSPACE DEVICES SECONDS GROUP\n");
        return 2;
    }
    must(stamp_workspace_open(argv[1], &ws, &err), &err);
    must(stamp_workspace_key(ws, STAMP_WORKSPACE_SUB_CA, NULL, &key, &err), &err);
    must(stamp_operational_new(ws->sub_ca, key, &maker, &err), &err);
    must(stamp_registry_certificate_block(ws->registry, numbers.prefix, &err), &err);
    numbers.next = 1;
    read_devices(argv[2], &err);
    prepare();
    verify = verify_rate();
    began = now_s();
    while (now_s() - began < seconds && n + size <= REQUESTS_MAX) {
        group(requests + n, size, &err);
        n += size;
    }
    rate = n / (now_s() - began);
    verify = (verify + verify_rate()) / 2;
    (void)printf("{\"requests\": %u, \"group\": %u, \"rate\": %.1f, \"verify\": %.1f, "
                 "\"ratio\": %.4f}\n",
                 n, size, rate, verify, rate / verify);
    stamp_operational_free(&maker);
    EVP_PKEY_free(key);
    stamp_workspace_close(&ws);
    return 0;
}
