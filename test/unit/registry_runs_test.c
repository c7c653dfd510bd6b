/* Devices that were issued together are proven one by one: with what is kept of their
 * tree, without it, and not where rows were changed. */
#include "host/registry_run_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/registry_walk.h"
#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define CERTIFICATE_LEN 100u
#define DEVICES_MAX 3000u

static struct stamp_serial_pattern pattern;
static uint8_t leaf[DEVICES_MAX][STAMP_MERKLE_SIZE];
static EVP_MD_CTX *md;

/* ---- runs ---- */

static void add(struct stamp_registry_run *run, uint64_t counter,
                uint8_t out[STAMP_MERKLE_SIZE])
{
    char serial[STAMP_SERIAL_SIZE];
    uint8_t key[32];
    uint8_t certificate[CERTIFICATE_LEN];
    struct stamp_registry_device d = {.serial = serial,
                                      .fingerprint = key,
                                      .certificate = certificate,
                                      .certificate_len = sizeof certificate};

    assert_int_equal(
        stamp_serial_format(&pattern, counter, NOW, serial, sizeof serial, NULL),
        STAMP_OK);
    books_key(key, counter);
    memset(certificate, (int)(counter & 0xFF), sizeof certificate);
    assert_int_equal(stamp_registry_run_add(run, &d, NULL), STAMP_OK);
    assert_true(stampi_run_leaf(md, stamp_log_text(serial), key,
                                (struct stamp_slice){certificate, sizeof certificate},
                                out));
}

/* A batch that is one run; its leaves are in `leaf`. */
static struct stampi_span book(uint32_t n)
{
    struct stamp_registry_batch_setup setup = {
        .product = "Sensor", .pattern = &pattern, .count = n, .now = NOW};
    STAMP_REGISTRY_RUN_AUTO *run = NULL;
    struct stamp_registry_batch batch;
    struct stamp_registry_share share;

    assert_int_equal(stamp_registry_batch_create(books, &setup, &batch, NULL, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_registry_share_claim(books, batch.id, 0, &share, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_registry_run_new(books, books_dir, &run, NULL), STAMP_OK);
    for (uint32_t i = 0; i < n; i++) {
        add(run, batch.first_counter + i, leaf[i]);
    }
    assert_int_equal(stamp_registry_run_commit(books, run, &share, "x", 1, NOW, NULL),
                     STAMP_OK);
    return (struct stampi_span){.first = (int64_t)batch.id << 32, .n = n};
}

/* RFC 9162 2.1.1, as it is written there. */
static void root_of(const uint8_t (*leaves)[STAMP_MERKLE_SIZE], uint32_t n,
                    uint8_t out[STAMP_MERKLE_SIZE])
{
    uint8_t left[STAMP_MERKLE_SIZE];
    uint8_t right[STAMP_MERKLE_SIZE];
    uint32_t k = 1;

    if (n == 1) {
        memcpy(out, leaves[0], STAMP_MERKLE_SIZE);
        return;
    }
    while (2 * k < n) {
        k *= 2;
    }
    root_of(leaves, k, left);
    root_of(leaves + k, n - k, right);
    assert_true(stamp_merkle_join(md, left, right, out));
}

static enum stamp_err prove(const struct stampi_span *run, uint32_t place,
                            const uint8_t root[STAMP_MERKLE_SIZE])
{
    struct stamp_merkle_path path;
    enum stamp_err rc = stampi_run_tree_prove(books, run, place, root, &path, NULL);

    if (rc == STAMP_OK) {
        assert_true(
            stamp_merkle_is_in(md, place, (uint64_t)run->n, leaf[place], &path, root));
    }
    return rc;
}

static void all_are_proven(const struct stampi_span *run,
                           const uint8_t root[STAMP_MERKLE_SIZE])
{
    uint32_t n = (uint32_t)run->n;
    const uint32_t places[] = {0, 1, 254, 255, 256, 257, 511, 512, n / 2, n - 2, n - 1};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (places[i] < n) {
            assert_int_equal(prove(run, places[i], root), STAMP_OK);
        }
    }
}

static long long kept(void)
{
    return books_number("SELECT count(*) FROM run_node");
}

/* ---- the cases ---- */

static void every_device_is_proven_whatever_the_size(void **state)
{
    static const uint32_t sizes[] = {1,   2,   3,   255, 256,  257,
                                     511, 512, 513, 768, 1025, 2999};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct stampi_span run = book(sizes[i]);
        uint8_t root[STAMP_MERKLE_SIZE];
        uint8_t booked[STAMP_MERKLE_SIZE];
        uint32_t found;

        root_of((const uint8_t(*)[STAMP_MERKLE_SIZE])leaf, sizes[i], root);
        assert_int_equal(
            stampi_run_root(books, run.first, sizes[i], &found, booked, NULL), STAMP_OK);
        assert_int_equal(found, sizes[i]);
        assert_memory_equal(root, booked, sizeof root);
        all_are_proven(&run, root);
    }
    assert_int_equal(kept(), 5); /* of 512 and more */
}

static void without_what_is_kept_it_takes_longer(void **state)
{
    struct stampi_span run = book(2999);
    uint8_t root[STAMP_MERKLE_SIZE];

    (void)state;
    root_of((const uint8_t(*)[STAMP_MERKLE_SIZE])leaf, 2999, root);
    assert_int_equal(kept(), 1);
    books_sql("DELETE FROM run_node");
    all_are_proven(&run, root);
}

static void what_is_kept_and_wrong_is_not_used(void **state)
{
    struct stampi_span run = book(1025);
    uint8_t root[STAMP_MERKLE_SIZE];

    (void)state;
    root_of((const uint8_t(*)[STAMP_MERKLE_SIZE])leaf, 1025, root);
    books_sql(books_in_postgres
                  ? "UPDATE run_node SET hashes = set_byte(hashes, 40, 255 -"
                    " get_byte(hashes, 40))"
                  : "UPDATE run_node SET hashes = zeroblob(length(hashes))");
    all_are_proven(&run, root);
    books_sql("UPDATE run_node SET hashes = substr(hashes, 1, 32)");
    all_are_proven(&run, root);
}

static void a_row_that_was_changed_is_not_proven(void **state)
{
    struct stampi_span run = book(1025);
    uint8_t root[STAMP_MERKLE_SIZE];

    (void)state;
    root_of((const uint8_t(*)[STAMP_MERKLE_SIZE])leaf, 1025, root);
    books_sql("UPDATE device SET certificate = (SELECT certificate FROM device WHERE id ="
              " (SELECT min(id) + 5 FROM device)) WHERE id = (SELECT min(id) + 300"
              " FROM device)");
    assert_int_equal(prove(&run, 300, root), STAMP_E_DATABASE);
    assert_int_equal(prove(&run, 301, root), STAMP_E_DATABASE); /* of the same 256 */
    assert_int_equal(prove(&run, 0, root), STAMP_OK);
    books_sql("DELETE FROM device WHERE id = (SELECT min(id) + 700 FROM device)");
    assert_int_equal(prove(&run, 701, root), STAMP_E_DATABASE);
}

static int set_up(void **state)
{
    pattern = books_pattern("SN-{counter:6}");
    return books_open(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_device_is_proven_whatever_the_size, set_up,
                                        books_close),
        cmocka_unit_test_setup_teardown(without_what_is_kept_it_takes_longer, set_up,
                                        books_close),
        cmocka_unit_test_setup_teardown(what_is_kept_and_wrong_is_not_used, set_up,
                                        books_close),
        cmocka_unit_test_setup_teardown(a_row_that_was_changed_is_not_proven, set_up,
                                        books_close),
    };
    int rc;

    books_init(argc, argv);
    md = stamp_merkle_md();
    rc = md == NULL ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    EVP_MD_CTX_free(md);
    return rc;
}
