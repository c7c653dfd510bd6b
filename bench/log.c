/*
 * The transparency log: what it adds to what is written, proofs, and going through it.
 *
 * usage: log append FILE.db N      N leaves in transactions of 64 beside the same without
 *                                  leaves, in CPU time, then the tree grown by them, in
 * time: us a leaf log proof FILE.db LEAVES  a tree of LEAVES, of whose lowest tiles only
 * those are there that are asked for: us a proof, each checked log verify FILE.db N N
 * leaves grown and gone through: seconds, and beside it what their hashes alone take
 *
 * FILE.db must not be there. Prints JSON.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/key.h"
#include "host/registry_log_own.h"
#include "host/registry_own.h"

enum { GROUP = 64, PROOFS = 2000 };

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        stamp_error_print(err, "log");
        exit(1);
    }
}

static double now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Of this process: the disk's waiting is the transaction's, with leaves or without. */
static double cpu_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct stamp_registry *open_new(const char *path, struct stamp_error *err)
{
    struct stamp_registry *r = NULL;

    must(stamp_registry_create(path, STAMP_DEVELOPMENT, err), err);
    must(stamp_registry_open(path, &r, err), err);
    return r;
}

/* One that was certified, as the service writes them. */
static void add_leaf(struct stamp_registry *r, uint64_t i, struct stamp_error *err)
{
    uint8_t certificate[600] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16)};

    must(stampi_leaf_operational(
             r, (int64_t)(i % 100000 + ((uint64_t)1 << 32)), 1, STAMP_LDEVID_PENDING,
             1774000000, (struct stamp_slice){certificate, sizeof certificate}, err),
         err);
}

/* Groups that write an event for each, with leaves or without. */
static double write_groups(struct stamp_registry *r, uint64_t n, bool leaves,
                           struct stamp_error *err)
{
    double began = cpu_us();

    for (uint64_t i = 0; i < n;) {
        must(stampi_begin(r, err), err);
        for (unsigned k = 0; k < GROUP; k++, i++) {
            must(STAMPI_RUN(r, STAMPI_EVENT_ADD, NULL, NULL, NULL, err,
                            stampi_int((int64_t)i), stampi_int(1), stampi_int(1774000000),
                            stampi_text("bench"), stampi_text("bench"), stampi_text("")),
                 err);
            if (leaves) {
                add_leaf(r, i, err);
            }
        }
        must(stampi_finish(r, STAMP_OK, err), err);
    }
    return cpu_us() - began;
}

static uint64_t grow(struct stamp_registry *r, const struct stamp_log_signer *signer,
                     struct stamp_error *err)
{
    uint64_t heads = 0;
    uint32_t added;

    do {
        must(stamp_registry_log_grow(r, signer, 1774000000, &added, err), err);
        heads += added > 0;
    } while (added > 0);
    return heads;
}

static void append(const char *path, uint64_t n, struct stamp_error *err)
{
    struct stamp_log_signer signer = {.purpose = STAMP_DEVELOPMENT};
    struct stamp_registry *r = open_new(path, err);
    double without = 0;
    double with = 0;
    double began;
    uint64_t heads;

    must(stamp_key_generate(&signer.key, err), err);
    for (unsigned round = 0; round < 4; round++) { /* in turns: disks are noisy */
        without += write_groups(r, n / 4, false, err);
        with += write_groups(r, n / 4, true, err);
    }
    began = now_us();
    heads = grow(r, &signer, err);
    (void)printf("{\"leaves\": %llu, \"queue_us\": %.3f, \"grow_us\": %.3f, \"heads\": "
                 "%llu}\n",
                 (unsigned long long)n, (with - without) / (double)n,
                 (now_us() - began) / (double)n, (unsigned long long)heads);
    EVP_PKEY_free(signer.key);
    stamp_registry_close(&r);
}

/* ---- proofs ---- */

struct store {
    struct stamp_registry *r;
    uint64_t size;
    EVP_MD_CTX *md;
};

static void put_tile(struct store *s, unsigned level, const struct stampi_tile *t,
                     struct stamp_error *err)
{
    must(STAMPI_RUN(s->r, STAMPI_LOG_TILE_SET, NULL, NULL, NULL, err, stampi_int(level),
                    stampi_int((int64_t)t->n),
                    stampi_blob(t->hash, (size_t)t->count * STAMP_MERKLE_SIZE)),
         err);
}

static void hash_of(struct store *s, uint64_t index, uint8_t out[STAMP_MERKLE_SIZE])
{
    if (!stamp_merkle_leaf(s->md, &index, sizeof index, out)) {
        exit(1);
    }
}

/* The lowest tile `n`; its root. */
static void lowest(struct store *s, uint64_t n, bool keep,
                   uint8_t root[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    static struct stampi_tile t;

    t.n = n;
    for (t.count = 0; t.count < STAMPI_TILE_MAX; t.count++) {
        uint64_t index = n * STAMPI_TILE_MAX + t.count;

        if (index >= s->size) {
            break;
        }
        hash_of(s, index, t.hash[t.count]);
    }
    if (keep) {
        put_tile(s, 0, &t, err);
    }
    if (t.count == STAMPI_TILE_MAX && !stampi_fold(s->md, t.hash, STAMPI_TILE_MAX)) {
        exit(1);
    }
    memcpy(root, t.hash[0], STAMP_MERKLE_SIZE);
}

static uint64_t asked(uint64_t size, unsigned i)
{
    return (uint64_t)i * 2654435761u % size;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* All tiles but the lowest ones that nobody asks for, as growing leaves them. */
static void build(struct store *s, struct stamp_error *err)
{
    struct stampi_tile *t = calloc(STAMPI_TILE_LEVELS, sizeof *t);
    uint64_t *want = calloc(PROOFS + 1, sizeof *want);
    uint64_t tiles = (s->size + STAMPI_TILE_MAX - 1) / STAMPI_TILE_MAX;
    unsigned next = 0;

    if (t == NULL || want == NULL) {
        exit(1);
    }
    for (unsigned i = 0; i < PROOFS; i++) {
        want[i] = asked(s->size, i) / STAMPI_TILE_MAX;
    }
    want[PROOFS] = tiles - 1;
    qsort(want, PROOFS + 1, sizeof *want, by_number);
    must(stampi_begin(s->r, err), err);
    for (uint64_t n = 0; n < tiles; n++) {
        uint8_t root[STAMP_MERKLE_SIZE];

        while (next < PROOFS && want[next] < n) {
            next++;
        }
        lowest(s, n, want[next] == n, root, err);
        if ((n + 1) * STAMPI_TILE_MAX > s->size) {
            break; /* it is not whole */
        }
        for (unsigned level = 1; level < STAMPI_TILE_LEVELS; level++) {
            memcpy(t[level].hash[t[level].count++], root, sizeof root);
            if (t[level].count < STAMPI_TILE_MAX) {
                break;
            }
            put_tile(s, level, &t[level], err);
            if (!stampi_fold(s->md, t[level].hash, STAMPI_TILE_MAX)) {
                exit(1);
            }
            memcpy(root, t[level].hash[0], sizeof root);
            t[level].n++;
            t[level].count = 0;
        }
    }
    for (unsigned level = 1; level < STAMPI_TILE_LEVELS; level++) {
        if (t[level].count > 0) {
            put_tile(s, level, &t[level], err);
        }
    }
    must(stampi_finish(s->r, STAMP_OK, err), err);
    free(t);
    free(want);
}

static void proof(const char *path, uint64_t size, struct stamp_error *err)
{
    static double us[PROOFS];
    struct store s = {open_new(path, err), size, stamp_merkle_md()};
    struct stamp_log_tree *tree = NULL;
    uint8_t root[STAMP_MERKLE_SIZE];
    double all = 0;
    double worst = 0;

    build(&s, err);
    must(stamp_log_tree_open(s.r, &tree, err), err);
    must(stamp_merkle_root_of(stamp_log_tree_nodes(tree), size, root, err), err);
    stamp_log_tree_free(&tree);
    for (unsigned i = 0; i < PROOFS; i++) {
        struct stamp_merkle_path found;
        uint8_t leaf[STAMP_MERKLE_SIZE];
        uint64_t index = asked(size, i);
        double began = now_us();

        /* with nothing kept from the one before */
        must(stamp_log_tree_open(s.r, &tree, err), err);
        must(stamp_merkle_prove(stamp_log_tree_nodes(tree), index, size, &found, err),
             err);
        us[i] = now_us() - began;
        all += us[i];
        worst = us[i] > worst ? us[i] : worst;
        hash_of(&s, index, leaf);
        if (!stamp_merkle_is_in(s.md, index, size, leaf, &found, root)) {
            (void)fprintf(stderr, "log: a proof is wrong\n");
            exit(1);
        }
        stamp_log_tree_free(&tree);
    }
    (void)printf("{\"leaves\": %llu, \"proof_us\": %.1f, \"worst_us\": %.1f}\n",
                 (unsigned long long)size, all / PROOFS, worst);
    EVP_MD_CTX_free(s.md);
    stamp_registry_close(&s.r);
}

/* ---- verify ---- */

static void tell(void *ctx, const char *what)
{
    (void)ctx;
    (void)fprintf(stderr, "log: %s\n", what);
}

static void verify(const char *path, uint64_t n, struct stamp_error *err)
{
    struct stamp_log_signer signer = {.purpose = STAMP_DEVELOPMENT};
    struct stamp_registry *r = open_new(path, err);
    struct stamp_log_checked out;
    EVP_MD_CTX *md = stamp_merkle_md();
    uint8_t hash[STAMP_MERKLE_SIZE] = {0};
    uint8_t bytes[60] = {0}; /* as long as a leaf is */
    double began;
    double took;

    must(stamp_key_generate(&signer.key, err), err);
    for (uint64_t i = 0; i < n;) {
        must(stampi_begin(r, err), err);
        for (unsigned k = 0; k < 4096 && i < n; k++, i++) {
            add_leaf(r, i, err);
        }
        must(stampi_finish(r, STAMP_OK, err), err);
    }
    (void)grow(r, &signer, err);
    began = now_us();
    must(stamp_registry_log_check(r, signer.key, NULL, 0, tell, NULL, &out, err), err);
    took = now_us() - began;
    if (out.wrong > 0 || out.leaves != n) {
        exit(1);
    }
    began = now_us();
    for (uint64_t i = 0; i < n; i++) { /* a leaf, and a node: what cannot be spared */
        if (!stamp_merkle_leaf(md, bytes, sizeof bytes, hash) ||
            !stamp_merkle_join(md, hash, hash, hash)) {
            exit(1);
        }
    }
    (void)printf("{\"leaves\": %llu, \"heads\": %llu, \"verify_s\": %.3f, \"hashes_s\": "
                 "%.3f}\n",
                 (unsigned long long)n, (unsigned long long)out.heads, took / 1e6,
                 (now_us() - began) / 1e6);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(signer.key);
    stamp_registry_close(&r);
}

int main(int argc, char **argv)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint64_t n = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;

    if (n == 0) {
        (void)fprintf(stderr, "log: append|proof|verify FILE.db N are wanted\n");
        return 2;
    }
    if (strcmp(argv[1], "append") == 0) {
        append(argv[2], n, &err);
    } else if (strcmp(argv[1], "proof") == 0) {
        proof(argv[2], n, &err);
    } else {
        verify(argv[2], n, &err);
    }
    return 0;
}
