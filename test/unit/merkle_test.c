#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/sha.h>
#include <string.h>

#include "host/merkle_proof.h"

#define SIZE STAMP_MERKLE_SIZE

/* The tree of the tests of RFC 6962's reference implementation. */
static const struct {
    const char *bytes;
    size_t len;
} leaves[] = {{"", 0},
              {"\x00", 1},
              {"\x10", 1},
              {"\x20\x21", 2},
              {"\x30\x31", 2},
              {"\x40\x41\x42\x43", 4},
              {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
              {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16}};

static const char *const roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

static void leaf_hash(const void *p, size_t len, uint8_t out[SIZE])
{
    uint8_t bytes[64] = {0};

    memcpy(bytes + 1, p, len);
    SHA256(bytes, len + 1, out);
}

static void hex(const uint8_t *p, char out[2 * SIZE + 1])
{
    for (size_t i = 0; i < SIZE; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", p[i]);
    }
}

/* SPEC 11-22. */
static void roots_are_those_of_rfc_6962(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_merkle m;

    (void)state;
    assert_int_equal(stamp_merkle_init(&m, &err), STAMP_OK);
    for (size_t n = 0; n < sizeof roots / sizeof *roots; n++) {
        uint8_t root[SIZE];
        uint8_t leaf[SIZE];
        char text[2 * SIZE + 1];

        assert_int_equal(stamp_merkle_root(&m, root, &err), STAMP_OK);
        hex(root, text);
        assert_string_equal(text, roots[n]);
        if (n < sizeof leaves / sizeof *leaves) {
            leaf_hash(leaves[n].bytes, leaves[n].len, leaf);
            assert_int_equal(stamp_merkle_add(&m, leaf, &err), STAMP_OK);
        }
    }
    stamp_merkle_fini(&m);
}

/* The definition of RFC 6962 2.1, word for word. */
static void by_definition(uint8_t (*leaf)[SIZE], size_t n, uint8_t out[SIZE])
{
    uint8_t node[1 + 2 * SIZE] = {1};
    size_t k = 1;

    if (n == 1) {
        memcpy(out, leaf[0], SIZE);
        return;
    }
    while (k * 2 < n) {
        k *= 2;
    }
    by_definition(leaf, k, node + 1);
    by_definition(leaf + k, n - k, node + 1 + SIZE);
    SHA256(node, sizeof node, out);
}

static void any_number_of_leaves_gives_the_root_of_the_definition(void **state)
{
    static uint8_t leaf[700][SIZE];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_merkle m;

    (void)state;
    assert_int_equal(stamp_merkle_init(&m, &err), STAMP_OK);
    for (size_t n = 0; n < 700; n++) {
        uint8_t want[SIZE];
        uint8_t root[SIZE];

        leaf_hash(&n, sizeof n, leaf[n]);
        assert_int_equal(stamp_merkle_add(&m, leaf[n], &err), STAMP_OK);
        assert_int_equal(stamp_merkle_root(&m, root, &err), STAMP_OK);
        by_definition(leaf, n + 1, want);
        assert_memory_equal(root, want, SIZE);
    }
    stamp_merkle_fini(&m);
}

static void the_last_leaf_is_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_merkle m;
    uint8_t leaf[SIZE] = {0};

    (void)state;
    assert_int_equal(stamp_merkle_init(&m, &err), STAMP_OK);
    m.count = INT64_MAX;
    assert_int_equal(stamp_merkle_add(&m, leaf, &err), STAMP_E_RANGE);
    assert_int_equal(m.count, INT64_MAX);
    stamp_merkle_fini(&m);
}

/* ---- proofs ---- */

#define LEAVES 130u

struct grove {
    uint8_t leaf[LEAVES][SIZE];
    uint8_t root[LEAVES + 1][SIZE];
};

static enum stamp_err node_of(void *ctx, unsigned height, uint64_t index,
                              uint8_t out[SIZE], struct stamp_error *err)
{
    struct grove *g = ctx;

    (void)err;
    assert_true((index + 1) << height <= LEAVES);
    by_definition(g->leaf + (index << height), (size_t)1 << height, out);
    return STAMP_OK;
}

static void plant(struct grove *g, struct stamp_merkle_tree *t)
{
    for (size_t n = 0; n < LEAVES; n++) {
        leaf_hash(&n, sizeof n, g->leaf[n]);
    }
    for (size_t n = 1; n <= LEAVES; n++) {
        by_definition(g->leaf, n, g->root[n]);
    }
    *t = (struct stamp_merkle_tree){stamp_merkle_md(), node_of, g};
    assert_non_null(t->md);
}

/* RFC 9162 2.1.3: of each leaf in each tree, and of nothing else. */
static void each_leaf_is_proven_and_no_other(void **state)
{
    static struct grove g;
    struct stamp_merkle_tree t;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    plant(&g, &t);
    for (uint64_t size = 1; size <= LEAVES; size++) {
        uint8_t root[SIZE];

        assert_int_equal(stamp_merkle_root_of(&t, size, root, &err), STAMP_OK);
        assert_memory_equal(root, g.root[size], SIZE);
        for (uint64_t i = 0; i < size; i++) {
            struct stamp_merkle_path p;
            const uint8_t *leaf = g.leaf[i];

            assert_int_equal(stamp_merkle_prove(&t, i, size, &p, &err), STAMP_OK);
            assert_true(stamp_merkle_is_in(t.md, i, size, leaf, &p, root));
            assert_false(stamp_merkle_is_in(t.md, size, size, leaf, &p, root));
            assert_false(
                stamp_merkle_is_in(t.md, i, size, g.leaf[(i + 1) % LEAVES], &p, root));
            assert_false(
                stamp_merkle_is_in(t.md, i, size, leaf, &p, g.root[size % LEAVES + 1]));
            if (size > 1) {
                assert_false(
                    stamp_merkle_is_in(t.md, (i + 1) % size, size, leaf, &p, root));
                p.node[p.n / 2][7] ^= 0x10;
                assert_false(stamp_merkle_is_in(t.md, i, size, leaf, &p, root));
                p.node[p.n / 2][7] ^= 0x10;
                p.n--;
                assert_false(stamp_merkle_is_in(t.md, i, size, leaf, &p, root));
            }
        }
        {
            struct stamp_merkle_path p;

            assert_int_equal(stamp_merkle_prove(&t, size, size, &p, &err), STAMP_E_RANGE);
            stamp_error_clear(&err);
        }
    }
    EVP_MD_CTX_free(t.md);
}

/* RFC 9162 2.1.4: each tree goes on from each before it, and from no other. */
static void growth_is_proven_and_nothing_else(void **state)
{
    static struct grove g;
    struct stamp_merkle_tree t;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_merkle_path p;

    (void)state;
    plant(&g, &t);
    for (uint64_t to = 1; to <= LEAVES; to++) {
        for (uint64_t from = 1; from <= to; from++) {
            uint8_t other[SIZE];

            assert_int_equal(stamp_merkle_prove_growth(&t, from, to, &p, &err), STAMP_OK);
            assert_true(stamp_merkle_grew(t.md, from, to, g.root[from], g.root[to], &p));
            memcpy(other, g.root[from], SIZE);
            other[31] ^= 1;
            assert_false(stamp_merkle_grew(t.md, from, to, other, g.root[to], &p));
            memcpy(other, g.root[to], SIZE);
            other[0] ^= 0x80;
            assert_false(stamp_merkle_grew(t.md, from, to, g.root[from], other, &p));
            if (p.n > 0) {
                p.node[p.n - 1][0] ^= 1;
                assert_false(
                    stamp_merkle_grew(t.md, from, to, g.root[from], g.root[to], &p));
                p.n--;
                assert_false(
                    stamp_merkle_grew(t.md, from, to, g.root[from], g.root[to], &p));
            }
        }
    }
    assert_int_equal(stamp_merkle_prove_growth(&t, 0, 9, &p, &err), STAMP_OK);
    assert_true(stamp_merkle_grew(t.md, 0, 9, g.root[1], g.root[9], &p));
    assert_int_equal(stamp_merkle_prove_growth(&t, 9, 8, &p, &err), STAMP_E_RANGE);
    p.n = 0;
    assert_false(stamp_merkle_grew(t.md, 9, 8, g.root[9], g.root[8], &p));
    EVP_MD_CTX_free(t.md);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_those_of_rfc_6962),
        cmocka_unit_test(any_number_of_leaves_gives_the_root_of_the_definition),
        cmocka_unit_test(the_last_leaf_is_refused),
        cmocka_unit_test(each_leaf_is_proven_and_no_other),
        cmocka_unit_test(growth_is_proven_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
