#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/crc32.h"

static void known_answers(void **state)
{
    (void)state;
    assert_int_equal(stamp_crc32(0, "", 0), 0);
    assert_int_equal(stamp_crc32(0, "123456789", 9), 0xCBF43926);
    assert_int_equal(stamp_crc32(0, "\0\0\0\0", 4), 0x2144DF1C);
    assert_int_equal(stamp_crc32(0, "\xFF\xFF\xFF\xFF", 4), 0xFFFFFFFF);
}

static void continues_where_it_stopped(void **state)
{
    const char *text = "123456789";

    (void)state;
    for (size_t i = 0; i <= 9; i++) {
        assert_int_equal(stamp_crc32(stamp_crc32(0, text, i), text + i, 9 - i),
                         0xCBF43926);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(continues_where_it_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
