/*
 * The physical limit of making stamps: nothing but the crypto that each one needs, in
 * plain OpenSSL loops on all cores: two P-256 generations with a reused context and the
 * key's bytes exported, and one P-256 signature. Prints stamps per second.
 */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct worker {
    pthread_t thread;
    double seconds;
    unsigned long done;
    bool ok;
};

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool make_key(EVP_PKEY_CTX *ctx, EVP_PKEY **key)
{
    unsigned char point[65];
    size_t len = 0;
    BIGNUM *d = NULL;
    bool ok;

    *key = NULL;
    ok = EVP_PKEY_generate(ctx, key) == 1 &&
         EVP_PKEY_get_octet_string_param(*key, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         sizeof point, &len) == 1 &&
         EVP_PKEY_get_bn_param(*key, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1;
    BN_clear_free(d);
    return ok;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY_CTX *sign = NULL;
    EVP_PKEY *ca = NULL;
    unsigned char digest[32] = {1};
    double end = now() + w->seconds;

    w->ok = gen != NULL && EVP_PKEY_keygen_init(gen) == 1 &&
            EVP_PKEY_CTX_set_group_name(gen, "P-256") == 1 && make_key(gen, &ca) &&
            (sign = EVP_PKEY_CTX_new(ca, NULL)) != NULL && EVP_PKEY_sign_init(sign) == 1;
    while (w->ok && now() < end) {
        for (int i = 0; i < 64 && w->ok; i++, w->done++) {
            EVP_PKEY *a = NULL;
            EVP_PKEY *b = NULL;
            unsigned char sig[80];
            size_t len = sizeof sig;

            w->ok = make_key(gen, &a) && make_key(gen, &b) &&
                    EVP_PKEY_sign(sign, sig, &len, digest, sizeof digest) == 1;
            EVP_PKEY_free(a);
            EVP_PKEY_free(b);
        }
    }
    EVP_PKEY_CTX_free(sign);
    EVP_PKEY_CTX_free(gen);
    EVP_PKEY_free(ca);
    return NULL;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2.0;
    long cores = argc > 2 ? strtol(argv[2], NULL, 10) : sysconf(_SC_NPROCESSORS_ONLN);
    struct worker *w;
    unsigned long done = 0;
    bool ok = true;
    double start;

    if (cores < 1 || cores > 1024 || seconds <= 0) {
        (void)fprintf(stderr, "usage: limit [SECONDS [CORES]]\n");
        return 2;
    }
    w = calloc((size_t)cores, sizeof *w);
    if (w == NULL) {
        return 1;
    }
    start = now();
    for (long i = 0; i < cores; i++) {
        w[i].seconds = seconds;
        if (pthread_create(&w[i].thread, NULL, run, &w[i]) != 0) {
            (void)fprintf(stderr, "limit: cannot start a thread\n");
            return 1;
        }
    }
    for (long i = 0; i < cores; i++) {
        (void)pthread_join(w[i].thread, NULL);
        done += w[i].done;
        ok = ok && w[i].ok;
    }
    (void)printf("%.0f\n", (double)done / (now() - start));
    free(w);
    return ok ? 0 : 1;
}
