/* Keys of the service's API on the books. */
#include "host/registry_apikey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define DAY 86400
#define MANY 150 /* more than a page of the listing */

static uint8_t digest[STAMP_TOKEN_DIGEST_SIZE];

static enum stamp_err add(const char *name, enum stamp_role role, time_t not_after)
{
    char text[STAMP_TOKEN_TEXT_SIZE];

    assert_int_equal(stamp_token_draw(text, digest, NULL), STAMP_OK);
    return stamp_registry_apikey_add(books, name, role, digest, NOW, not_after, NULL);
}

static void roles_have_names(void **state)
{
    (void)state;
    for (int role = STAMP_ROLE_ADMIN; role <= STAMP_ROLE_DEVICE; role++) {
        assert_int_equal(stamp_role_of(stamp_role_name(role)), role);
    }
    assert_int_equal(stamp_role_of("root"), 0);
    assert_string_equal(stamp_role_name(0), "?");
    assert_string_equal(stamp_role_name(STAMP_ROLE_DEVICE + 1), "?");
}

static void a_key_is_found_until_it_ends_or_is_removed(void **state)
{
    struct stamp_apikey key;
    uint8_t other[STAMP_TOKEN_DIGEST_SIZE] = {1};

    (void)state;
    assert_int_equal(add("line-3", STAMP_ROLE_FACTORY, NOW + DAY), STAMP_OK);
    assert_int_equal(stamp_registry_apikey_find(books, digest, NOW, &key, NULL),
                     STAMP_OK);
    assert_string_equal(key.name, "line-3");
    assert_int_equal(key.role, STAMP_ROLE_FACTORY);
    assert_true(key.at == NOW && key.not_after == NOW + DAY);
    assert_int_equal(stamp_registry_apikey_find(books, other, NOW, &key, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(stamp_registry_apikey_find(books, digest, NOW + DAY, &key, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_registry_apikey_find(books, digest, NOW + DAY + 1, &key, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(key.role, 0);
    assert_int_equal(stamp_registry_apikey_remove(books, "line-3", NULL), STAMP_OK);
    assert_int_equal(stamp_registry_apikey_find(books, digest, NOW, &key, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(stamp_registry_apikey_remove(books, "line-3", NULL),
                     STAMP_E_MISSING);
}

static void a_name_is_one_keys(void **state)
{
    uint8_t first[STAMP_TOKEN_DIGEST_SIZE];
    struct stamp_apikey key;
    char longest[STAMP_REGISTRY_NAME_SIZE + 1];

    (void)state;
    assert_int_equal(add("a", STAMP_ROLE_ADMIN, NOW + DAY), STAMP_OK);
    memcpy(first, digest, sizeof first);
    assert_int_equal(add("a", STAMP_ROLE_AUDITOR, NOW + DAY), STAMP_E_EXISTS);
    assert_int_equal(stamp_registry_apikey_find(books, first, NOW, &key, NULL), STAMP_OK);
    assert_int_equal(key.role, STAMP_ROLE_ADMIN);
    assert_int_equal(add("", STAMP_ROLE_ADMIN, NOW + DAY), STAMP_E_RANGE);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(add(longest, STAMP_ROLE_ADMIN, NOW + DAY), STAMP_E_RANGE);
}

struct seen {
    int n;
    char last[STAMP_REGISTRY_NAME_SIZE];
};

static bool see(void *ctx, const struct stamp_apikey *key)
{
    struct seen *s = ctx;

    assert_true(strcmp(s->last, key->name) < 0);
    memcpy(s->last, key->name, sizeof s->last);
    s->n++;
    return true;
}

static bool one(void *ctx, const struct stamp_apikey *key)
{
    (void)key;
    ++*(int *)ctx;
    return false;
}

static void all_are_listed_by_name(void **state)
{
    struct seen s = {.n = 0};
    char name[16];
    int n = 0;

    (void)state;
    for (int i = MANY; i > 0; i--) {
        (void)snprintf(name, sizeof name, "key-%03d", i);
        assert_int_equal(add(name, STAMP_ROLE_SUPPORT, NOW), STAMP_OK);
    }
    assert_int_equal(stamp_registry_apikey_list(books, see, &s, NULL), STAMP_OK);
    assert_int_equal(s.n, MANY);
    assert_int_equal(stamp_registry_apikey_list(books, one, &n, NULL), STAMP_OK);
    assert_int_equal(n, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, books_open, books_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_have_names),
        TEST(a_key_is_found_until_it_ends_or_is_removed),
        TEST(a_name_is_one_keys),
        TEST(all_are_listed_by_name),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
