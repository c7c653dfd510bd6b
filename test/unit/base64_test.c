/* Base64: what RFC 4648 10 has, and what is none. */
#include "host/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static size_t get(const char *text, uint8_t out[STAMP_BASE64_ROOM(6)])
{
    memset(out, 0xAA, STAMP_BASE64_ROOM(6));
    return stamp_base64_read(text, strlen(text), out, 6);
}

static void vectors_of_rfc_4648(void **state)
{
    static const char *const text[] = {"Zg==",     "Zm8=",     "Zm9v",
                                       "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    uint8_t out[STAMP_BASE64_ROOM(6)];

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(get(text[i], out), i + 1);
        assert_memory_equal(out, "foobar", i + 1);
    }
}

static void what_is_none_is_nothing(void **state)
{
    static const char *const text[] = {
        "",     "Z",    "Zg",        "Zg=",          "Zm9v\n", "Zm9v\n\n\n\n", "Zm 9",
        "Z===", "====", "Zm9vYmFy=", "Zm9vYmFyYg==", "Zm-_",   "Zg==Zg=="};
    uint8_t out[STAMP_BASE64_ROOM(6)];

    (void)state;
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        assert_int_equal(get(text[i], out), 0);
    }
    assert_int_equal(stamp_base64_read(NULL, 0, out, 6), 0);
    assert_int_equal(stamp_base64_read("Zm9v", 4, out, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_rfc_4648),
        cmocka_unit_test(what_is_none_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
