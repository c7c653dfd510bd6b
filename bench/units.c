/*
 * Units alone: strikes those on the ports at once, with the requests that a station
 * makes, an authority in memory, and neither journal nor token. What it takes is the
 * units' own time on this machine.
 *
 * usage: units PROFILE PORT...
 * prints: seconds from the first request to the last answer, CPU seconds of this program
 * meanwhile
 */
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "host/bundle.h"
#include "host/file.h"
#include "host/key.h"
#include "host/leaf.h"
#include "host/offer.h"
#include "host/pki.h"
#include "host/prove.h"
#include "host/request.h"
#include "host/unit.h"

enum { UNITS_MAX = 64, PROFILE_MAX = 32768, FROM = 1735689600 };

/* Headquarters and authority in one. */
static struct stamp_profile *profile;
static EVP_PKEY *owner;
static EVP_PKEY *ca_key;
static EVP_PKEY *recipient;
static X509 *root;
static X509 *ca;
static uint8_t owner_hash[32];
static uint8_t bundle[STAMP_MAX_BUNDLE];
static size_t bundle_len;
static struct stamp_leaf_maker *leaf;
static pthread_mutex_t leaf_lock = PTHREAD_MUTEX_INITIALIZER;

struct unit {
    pthread_t thread;
    const char *port;
    unsigned index;
};

static void must(enum stamp_err rc, const char *who, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        (void)fprintf(stderr, "units: %s: %s\n", who, err->what);
        exit(1);
    }
}

static struct stamp_slice slice(const void *p, size_t len)
{
    return (struct stamp_slice){p, len};
}

static X509 *authority(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, int path_len)
{
    struct stamp_authority what = {.organization = "Bench",
                                   .role = issuer == NULL ? "device root" : "station CA",
                                   .purpose = STAMP_DEVELOPMENT,
                                   .not_before = FROM,
                                   .path_len = path_len};
    struct stamp_error err = STAMP_ERROR_INIT;
    X509 *cert = NULL;

    must(stamp_pki_authority(&what, key, issuer, issuer_key, &cert, &err), "authority",
         &err);
    return cert;
}

static void set_up(const char *path)
{
    struct stamp_bundle b = {.version = 1, .purpose = STAMP_DEVELOPMENT, .n_anchors = 1};
    struct stamp_leaf_profile all = {.organization = "Bench",
                                     .purpose = STAMP_DEVELOPMENT};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t to[STAMP_POINT_SIZE];
    uint8_t *text = NULL;
    uint8_t *der = NULL;
    size_t len = 0;

    must(stamp_file_read(path, PROFILE_MAX, &text, &len, &err), path, &err);
    must(stamp_profile_parse(text, len, path, &profile, &err), path, &err);
    free(text);
    must(stamp_key_generate(&owner, &err), "owner", &err);
    must(stamp_key_generate(&ca_key, &err), "authority", &err);
    must(stamp_key_generate(&recipient, &err), "recipient", &err);
    must(stamp_key_point(owner, point, &err), "owner", &err);
    must(stamp_key_hash(point, owner_hash, &err), "owner", &err);
    must(stamp_key_point(recipient, to, &err), "recipient", &err);
    root = authority(owner, NULL, owner, -1);
    ca = authority(ca_key, root, owner, 0);
    must(stamp_pki_encode(root, &der, &len, &err), "root", &err);
    b.anchors[0] = slice(der, len);
    b.recipient = slice(to, sizeof to);
    must(stamp_bundle_sign(&b, owner, bundle, &bundle_len, &err), "bundle", &err);
    OPENSSL_free(der);
    must(stamp_leaf_new(&all, ca, ca_key, &leaf, &err), "leaf", &err);
}

static void certify(struct stamp_smp_client *c, const struct unit *u, const char *serial,
                    const struct stamp_request *r)
{
    struct stamp_leaf_subject subject = {.serial_number = {0x11, (uint8_t)u->index},
                                         .serial = serial,
                                         .common_name = serial,
                                         .point = r->point,
                                         .digest = r->digest,
                                         .not_before = FROM};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t der[STAMP_MAX_CERTIFICATE];
    uint8_t chain[2 * STAMP_MAX_CERTIFICATE + 16];
    struct stamp_cbor_out o;
    uint8_t *issuer = NULL;
    size_t len;
    size_t issuer_len;

    (void)pthread_mutex_lock(&leaf_lock);
    must(stamp_leaf_make(leaf, &subject, der, &len, &err), u->port, &err);
    must(stamp_pki_encode(ca, &issuer, &issuer_len, &err), u->port, &err);
    (void)pthread_mutex_unlock(&leaf_lock);
    stamp_cbor_out_init(&o, chain, sizeof chain);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, der, len);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, issuer, issuer_len);
    OPENSSL_free(issuer);
    must(stamp_unit_put(c, STAMP_PUT_CERTIFICATES, slice(chain, o.len), &err), u->port,
         &err);
}

static void strike(struct stamp_smp_client *c, const struct unit *u)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    char serial[16];
    struct stamp_offer_subject subject = {.serial = serial,
                                          .at = FROM,
                                          .purpose = STAMP_DEVELOPMENT,
                                          .owner_hash = owner_hash,
                                          .bundle = slice(bundle, bundle_len)};
    struct stamp_buffer offer = {0};
    struct stamp_buffer csr = {0};
    struct stamp_buffer pop = {0};
    struct stamp_request r;
    struct stamp_unit is;
    struct stamp_info info;
    uint8_t challenge[32];
    uint8_t digest[32];
    uint32_t can;
    uint32_t lock;
    bool shown;

    (void)snprintf(serial, sizeof serial, "BE-%06u", u->index);
    (void)RAND_bytes(challenge, sizeof challenge);
    must(stamp_offer_make(profile, &subject, &offer, &err), u->port, &err);
    must(stamp_unit_ask(c, &is, &err), u->port, &err);
    must(stamp_unit_put(c, STAMP_PUT_OFFER, slice(offer.p, offer.len), &err), u->port,
         &err);
    must(stamp_unit_make(c, challenge, &csr, &err), u->port, &err);
    must(stamp_request_read(slice(csr.p, csr.len), &r, &err), u->port, &err);
    certify(c, u, serial, &r);
    must(stamp_unit_strike(c, digest, &err), u->port, &err);
    must(stamp_unit_pop(c, &shown, &pop, &err), u->port, &err);
    must(stamp_unit_finish(c, true, &can, &lock, &err), u->port, &err);
    must(stamp_unit_restart(c, &err), u->port, &err);
    must(stamp_unit_ask(c, &is, &err), u->port, &err);
    must(stamp_smp_info(c, &info, &err), u->port, &err);
    must(stamp_prove_key(c, STAMP_BIRTH, r.point, &err), u->port, &err);
    stamp_buffer_free(&offer);
    stamp_buffer_free(&csr);
    stamp_buffer_free(&pop);
}

static void *run(void *arg)
{
    struct unit *u = arg;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_tty *tty = NULL;
    struct stamp_smp_client client;
    struct stamp_smp_line wire;

    must(stamp_tty_open(&tty, u->port, &err), u->port, &err);
    wire = stamp_smp_tty_line(tty);
    stamp_smp_client_init(&client, &wire);
    client.write_ms = 60000;
    strike(&client, u);
    stamp_tty_free(&tty);
    return NULL;
}

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage r;

    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    static struct unit units[UNITS_MAX];
    double from;
    double cpu;
    unsigned n = argc > 2 ? (unsigned)argc - 2 : 0;

    if (n == 0 || n > UNITS_MAX) {
        (void)fprintf(stderr, "usage: units PROFILE PORT...\n");
        return 2;
    }
    set_up(argv[1]);
    from = seconds();
    cpu = cpu_seconds();
    for (unsigned i = 0; i < n; i++) {
        units[i] = (struct unit){.port = argv[2 + i], .index = i};
        if (pthread_create(&units[i].thread, NULL, run, &units[i]) != 0) {
            return 1;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        (void)pthread_join(units[i].thread, NULL);
    }
    (void)printf("%.4f %.4f\n", seconds() - from, cpu_seconds() - cpu);
    return 0;
}
