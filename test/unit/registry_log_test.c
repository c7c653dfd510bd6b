/* The transparency log of the books: it grows, proves, and shows what was done to it. */
#include "host/registry_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/key.h"
#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define MANY 66000u /* leaves: more than two levels of tiles hold */

static struct stamp_log_signer signer;
static char told[8][256];
static size_t n_told;

static int set_up(void **state)
{
    (void)state;
    signer.purpose = STAMP_DEVELOPMENT;
    return stamp_key_generate(&signer.key, NULL) == STAMP_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(signer.key);
    return 0;
}

static void tell(void *ctx, const char *what)
{
    (void)ctx;
    if (n_told < sizeof told / sizeof *told) {
        (void)snprintf(told[n_told++], sizeof told[0], "%s", what);
    }
}

static uint64_t wrong_with(const struct stamp_log_head *heads, size_t n)
{
    struct stamp_log_checked out;

    n_told = 0;
    assert_int_equal(
        stamp_registry_log_check(books, signer.key, heads, n, tell, NULL, &out, NULL),
        STAMP_OK);
    return out.wrong;
}

static void is_told(const char *what)
{
    for (size_t i = 0; i < n_told; i++) {
        if (strstr(told[i], what) != NULL) {
            return;
        }
    }
    fail_msg("not told: %s; but: %s", what, n_told > 0 ? told[0] : "nothing");
}

/* Leaves that all are the same: an anchor of the tenth second. */
static void queue(unsigned n)
{
    char sql[512];

    (void)snprintf(
        sql, sizeof sql,
        books_in_postgres
            ? "INSERT INTO log_queue (leaf) SELECT '\\xA20108020A'::bytea"
              " FROM generate_series(1, %u)"
            : "INSERT INTO log_queue (leaf) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL"
              " SELECT x + 1 FROM c WHERE x < %u) SELECT X'A20108020A' FROM c",
        n);
    books_sql(sql);
}

static uint64_t size_of(void)
{
    uint64_t size;

    assert_int_equal(stamp_registry_log_size(books, &size, NULL), STAMP_OK);
    return size;
}

static struct stamp_log_head grow(time_t now)
{
    struct stamp_log_head head;
    uint32_t added;

    do {
        assert_int_equal(stamp_registry_log_grow(books, NULL, now, &added, NULL),
                         STAMP_OK);
    } while (added > 0);
    assert_int_equal(stamp_registry_log_grow(books, &signer, now, &added, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_registry_log_head(books, &head, NULL), STAMP_OK);
    assert_int_equal(head.size, size_of());
    assert_int_equal(stamp_log_head_check(&head, signer.key, NULL), STAMP_OK);
    return head;
}

struct kept {
    uint8_t bytes[STAMP_LOG_ENTRY_MAX];
    size_t len;
};

static bool keep(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct kept *k = ctx;

    (void)index;
    memcpy(k->bytes, leaf.p, leaf.len);
    k->len = leaf.len;
    return true;
}

static void is_proven(const struct stamp_log_tree *tree, uint64_t index,
                      const struct stamp_log_head *head)
{
    const struct stamp_merkle_tree *nodes = stamp_log_tree_nodes(tree);
    struct stamp_merkle_path path;
    struct kept leaf = {.len = 0};
    uint8_t hash[STAMP_MERKLE_SIZE];

    assert_int_equal(stamp_registry_log_leaves(books, index, 1, keep, &leaf, NULL),
                     STAMP_OK);
    assert_true(stamp_merkle_leaf(nodes->md, leaf.bytes, leaf.len, hash));
    assert_int_equal(stamp_merkle_prove(nodes, index, head->size, &path, NULL), STAMP_OK);
    assert_true(
        stamp_merkle_is_in(nodes->md, index, head->size, hash, &path, head->root));
}

/* ---- ---- */

static void it_grows_over_tiles_and_proves_each_step(void **state)
{
    static const unsigned steps[] = {1, 254, 1, 1, 255, 4096, 5000, MANY - 9608u, 77};
    enum { STEPS = sizeof steps / sizeof *steps };
    struct stamp_log_head head[STEPS];
    struct stamp_log_tree *tree = NULL;
    const struct stamp_merkle_tree *nodes;
    struct stamp_merkle_path path;

    (void)state;
    for (size_t i = 0; i < STEPS; i++) {
        queue(steps[i]);
        head[i] = grow(NOW + (time_t)i);
    }
    assert_int_equal(head[STEPS - 1].size, MANY + 77);
    assert_int_equal(stamp_log_tree_open(books, &tree, NULL), STAMP_OK);
    nodes = stamp_log_tree_nodes(tree);
    for (size_t i = 0; i < STEPS; i++) {
        is_proven(tree, 0, &head[i]);
        is_proven(tree, head[i].size - 1, &head[i]);
        is_proven(tree, head[i].size / 2, &head[STEPS - 1]);
        for (size_t k = i; k < STEPS; k++) {
            assert_int_equal(
                stamp_merkle_prove_growth(nodes, head[i].size, head[k].size, &path, NULL),
                STAMP_OK);
            assert_true(stamp_merkle_grew(nodes->md, head[i].size, head[k].size,
                                          head[i].root, head[k].root, &path));
        }
    }
    stamp_log_tree_free(&tree);
    assert_int_equal(wrong_with(head, STEPS), 0);
    /* nothing new, no new head */
    assert_memory_equal(grow(NOW + 99).bytes, head[STEPS - 1].bytes, head[STEPS - 1].len);
}

static void what_happens_is_a_leaf_of_its_transaction(void **state)
{
    struct stamp_serial_pattern pattern = books_pattern("SN-{counter:4}");
    struct stamp_registry_row row[3];
    struct stamp_registry_change change = {
        .to = STAMP_REGISTRY_STRUCK, .at = NOW + 2, .chip = "c0", .why = "line 3"};
    struct stamp_log_entry e;
    struct kept leaf = {.len = 0};
    uint64_t waiting = 0;

    (void)state;
    assert_int_equal(stamp_registry_reserve(books, "Sensor", &pattern, NOW, row, 3, NULL),
                     STAMP_OK);
    for (unsigned i = 0; i < 3; i++) {
        books_key(row[i].fingerprint, i);
        row[i].certificate = (uint8_t *)(uintptr_t) "certificate";
        row[i].certificate_len = 11;
    }
    assert_int_equal(stamp_registry_issue(books, row, 3, NOW + 1, NULL), STAMP_OK);
    change.serial = row[1].serial;
    assert_int_equal(stamp_registry_change(books, &change, 1, NULL, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_log_waiting(books, &waiting, NULL), STAMP_OK);
    assert_int_equal(waiting, 7);
    /* one that is refused leaves none: the chip is another's */
    change.serial = row[2].serial;
    assert_int_equal(stamp_registry_change(books, &change, 1, NULL, NULL),
                     STAMP_E_DUPLICATE);
    assert_int_equal(stamp_registry_log_waiting(books, &waiting, NULL), STAMP_OK);
    assert_int_equal(waiting, 7);
    assert_int_equal(grow(NOW + 3).size, 7);
    assert_int_equal(stamp_registry_log_of(books, row[1].id, 2, 9, keep, &leaf, NULL),
                     STAMP_OK);
    assert_int_equal(
        stamp_log_entry_decode((struct stamp_slice){leaf.bytes, leaf.len}, &e, NULL),
        STAMP_OK);
    assert_int_equal(e.kind, STAMP_LOG_DEVICE);
    assert_int_equal(e.state, STAMP_REGISTRY_STRUCK);
    assert_int_equal(e.at, NOW + 2);
    assert_int_equal(e.chip.len, 2);
    assert_memory_equal(e.why.p, "line 3", e.why.len);
    assert_memory_equal(e.serial.p, row[1].serial, e.serial.len);
    /* that it was issued names key and certificate */
    assert_int_equal(stamp_registry_log_leaves(books, 3, 1, keep, &leaf, NULL), STAMP_OK);
    assert_int_equal(
        stamp_log_entry_decode((struct stamp_slice){leaf.bytes, leaf.len}, &e, NULL),
        STAMP_OK);
    assert_int_equal(e.state, STAMP_REGISTRY_ISSUED);
    assert_memory_equal(e.key, row[0].fingerprint, 32);
    assert_non_null(e.digest);
}

/* What a database's administrator could do; each on a log of 600 leaves, of which the
 * auditor has kept the head of 300. */
static void what_is_done_to_it_is_found(void **state)
{
    static const struct {
        const char *sql, *told;
    } attacks[] = {
        {"UPDATE log_leaf SET leaf = (SELECT leaf FROM log_leaf WHERE n = 301)"
         " WHERE n = 7",
         "the kept head of 300 leaves is of another log"},
        {"UPDATE log_leaf SET leaf = (SELECT leaf FROM log_leaf WHERE n = 301)"
         " WHERE n = 599",
         "the stored head of 600 leaves is of another log"},
        {"DELETE FROM log_leaf WHERE n = 20", "leaf 20 is missing"},
        {"DELETE FROM log_leaf WHERE n = 599", "leaf 599 is missing"},
        {"INSERT INTO log_leaf SELECT 600, NULL, leaf FROM log_leaf WHERE n = 0",
         "there are leaves behind the last one"},
        {"UPDATE log_tile SET hashes = (SELECT hashes FROM log_tile WHERE level = 0 AND"
         " n = 2) WHERE level = 0 AND n = 1",
         "tile 1 of level 0 is not that of the leaves"},
        {"DELETE FROM log_tile WHERE level = 1", "tile 0 of level 1"},
        {"UPDATE log_head SET head = (SELECT head FROM log_head WHERE size = 300)"
         " WHERE size = 600",
         "the stored head of 600 leaves"},
        /* restored from yesterday, and even tidied up */
        {"DELETE FROM log_leaf WHERE n >= 256; DELETE FROM log_tile WHERE n > 0;"
         " DELETE FROM log_tile WHERE level > 1;"
         " DELETE FROM log_head; UPDATE counter SET next = 257 WHERE name = 'log'",
         "the kept head is of 300 leaves, and the log has 256"},
    };
    const char *leaf = books_in_postgres ? "UPDATE log_leaf SET leaf = '\\xA20108020B'"
                                           "::bytea WHERE n = 301"
                                         : "UPDATE log_leaf SET leaf = X'A20108020B'"
                                           " WHERE n = 301";

    (void)state;
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        struct stamp_log_head kept;

        if (i > 0) {
            assert_int_equal(books_close(NULL), 0);
            assert_int_equal(books_open(NULL), 0);
        }
        queue(300);
        kept = grow(NOW);
        queue(300);
        (void)grow(NOW + 1);
        assert_int_equal(wrong_with(&kept, 1), 0);
        if (i < 2) { /* something else to put there: found, too */
            books_sql(leaf);
            assert_true(wrong_with(NULL, 0) > 0);
        }
        books_sql(attacks[i].sql);
        assert_true(wrong_with(&kept, 1) > 0);
        is_told(attacks[i].told);
    }
}

static void a_head_of_another_key_is_none_of_this_log(void **state)
{
    struct stamp_log_signer other = {.purpose = STAMP_DEVELOPMENT};
    struct stamp_log_head head;

    (void)state;
    queue(3);
    head = grow(NOW);
    assert_int_equal(stamp_key_generate(&other.key, NULL), STAMP_OK);
    assert_int_equal(stamp_log_head_sign(&other, &head, NULL), STAMP_OK);
    assert_int_equal(stamp_log_head_check(&head, signer.key, NULL), STAMP_E_AUTH);
    assert_int_equal(wrong_with(&head, 1), 1);
    is_told("of another log");
    EVP_PKEY_free(other.key);
}

static void a_damaged_edge_stops_growing(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint32_t added;

    (void)state;
    queue(10);
    (void)grow(NOW);
    books_sql("DELETE FROM log_tile WHERE level = 0");
    queue(1);
    assert_int_equal(stamp_registry_log_grow(books, &signer, NOW, &added, &err),
                     STAMP_E_DATABASE);
    assert_string_equal(err.what, "the tree of the log is damaged");
    assert_int_equal(size_of(), 10);
}

int main(int argc, char **argv)
{
#define LOG(name) cmocka_unit_test_setup_teardown(name, books_open, books_close)
    const struct CMUnitTest tests[] = {
        LOG(it_grows_over_tiles_and_proves_each_step),
        LOG(what_happens_is_a_leaf_of_its_transaction),
        LOG(what_is_done_to_it_is_found),
        LOG(a_head_of_another_key_is_none_of_this_log),
        LOG(a_damaged_edge_stops_growing),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
