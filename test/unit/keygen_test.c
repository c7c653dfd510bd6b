/* Key pairs in bulk: each one is a pair, and none comes twice. */
#include "host/keygen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/key.h"

#define PAIRS 2000

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        print_error("%s\n", err->what);
    }
    assert_int_equal(rc, STAMP_OK);
}

/* SPEC 5-12 */
static void point_belongs_to_scalar(void **state)
{
    STAMP_KEYGEN_AUTO *g = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    must(stamp_keygen_new(&g, &err), &err);
    for (int i = 0; i < 50; i++) {
        STAMP_PKEY_AUTO *key = NULL;
        uint8_t scalar[STAMP_SCALAR_SIZE];
        uint8_t point[STAMP_POINT_SIZE];
        uint8_t computed[STAMP_POINT_SIZE];

        must(stamp_keygen_pair(g, scalar, point, &err), &err);
        must(stamp_key_from_scalar(scalar, &key, &err), &err);
        must(stamp_key_point(key, computed, &err), &err);
        assert_memory_equal(point, computed, sizeof point);
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, STAMP_SCALAR_SIZE);
}

static void no_pair_comes_twice(void **state)
{
    static uint8_t scalars[PAIRS][STAMP_SCALAR_SIZE];
    struct stamp_keygen *g[2] = {NULL, NULL};
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    must(stamp_keygen_new(&g[0], &err), &err);
    must(stamp_keygen_new(&g[1], &err), &err);
    for (int i = 0; i < PAIRS; i++) {
        uint8_t point[STAMP_POINT_SIZE];

        must(stamp_keygen_pair(g[i % 2], scalars[i], point, &err), &err);
    }
    qsort(scalars, PAIRS, STAMP_SCALAR_SIZE, compare);
    for (int i = 1; i < PAIRS; i++) {
        assert_memory_not_equal(scalars[i - 1], scalars[i], STAMP_SCALAR_SIZE);
    }
    stamp_keygen_free(&g[0]);
    stamp_keygen_free(&g[1]);
    assert_null(g[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(point_belongs_to_scalar),
        cmocka_unit_test(no_pair_comes_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
