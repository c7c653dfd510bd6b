/* The POSIX port: files, their modes and their lock; and a whole life on one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/port/posix/posix.h"
#include "test/unit/port_conformance.h"
#include "test/unit/rig/rig.h"

static char dir[64];
static char flash_file[96];
static char key_file[96];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/stamp-posix-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(flash_file, sizeof(flash_file), "%s/flash.bin", dir);
    (void)snprintf(key_file, sizeof(key_file), "%s/root.key", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(flash_file);
    (void)unlink(key_file);
    return rmdir(dir);
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void conforms(void **state)
{
    static const struct stamp_posix_config geometries[] = {
        {.birth_size = 0},
        {.birth_size = 4096, .bank_size = 4096, .program_size = 1},
        {.birth_size = 4096, .bank_size = 8192, .erase_size = 512, .program_size = 64},
        {.birth_size = 512,
         .bank_size = 512,
         .erase_size = 512,
         .program_size = 16,
         .erased_zero = true},
        {.birth_size = 4096, .bank_size = 4096, .flash_off = 12345},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(geometries) / sizeof(geometries[0]); i++) {
        struct stamp_posix_config config = geometries[i / 2];
        struct stamp_posix p;

        config.flash_file = flash_file;
        config.root_key_file = i % 2 == 1 ? key_file : NULL;
        assert_int_equal(stamp_posix_open(&p, &config), STAMP_OK);
        assert_null(port_conformance(&p.port, true));
        stamp_posix_close(&p);
        assert_int_equal(mode_of(flash_file), 0600);
        assert_int_equal(unlink(flash_file), 0);
    }
}

static void impossible_geometry_is_refused(void **state)
{
    static const struct stamp_posix_config bad[] = {
        {.program_size = 3},         {.program_size = 128},
        {.birth_size = 4097},        {.bank_size = 6000},
        {.erase_size = 100},         {.erase_size = 256, .birth_size = 256},
        {.birth_size = 0x80000000u}, {.flash_off = 0xFFFFFFFFu},
        {.bank_size = 0x10001000u},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct stamp_posix_config config = bad[i];
        struct stamp_posix p;

        config.flash_file = flash_file;
        assert_int_equal(stamp_posix_open(&p, &config), STAMP_E_RANGE);
        assert_int_not_equal(access(flash_file, F_OK), 0);
    }
}

static void a_device_lives_on_it(void **state)
{
    const struct stamp_posix_config config = {.flash_file = flash_file,
                                              .root_key_file = key_file};
    struct fixture_stamp birth;
    struct stamp_device dev;
    struct stamp_posix p;
    uint8_t digest[32];

    (void)state;
    fixture_birth(&rig_owner, NULL, &birth);
    assert_int_equal(stamp_posix_open(&p, &config), STAMP_OK);
    assert_int_equal(mode_of(key_file), 0600);
    assert_int_equal(stamp_device_open(&dev, &p.port), STAMP_E_BLANK);
    assert_int_equal(stamp_birth_write(&dev, birth.bytes, birth.len), STAMP_OK);
    assert_int_equal(stamp_lock(&dev), STAMP_OK);
    stamp_posix_close(&p);

    assert_int_equal(stamp_posix_open(&p, &config), STAMP_OK);
    assert_int_equal(stamp_device_open(&dev, &p.port), STAMP_OK);
    assert_true(dev.locked);
    assert_int_equal(stamp_claims_digest(&dev, digest), STAMP_OK);
    assert_memory_equal(digest, birth.digest, 32);
    assert_int_not_equal(p.port.flash.erase(&p, 0), 0); /* the lock holds */
    assert_int_equal(p.port.flash.erase(&p, 8192), 0);
    stamp_posix_close(&p);
}

static void a_second_one_has_to_wait(void **state)
{
    const struct stamp_posix_config config = {.flash_file = flash_file};
    struct stamp_posix p;
    struct stamp_posix second;

    (void)state;
    assert_int_equal(stamp_posix_open(&p, &config), STAMP_OK);
    assert_int_equal(stamp_posix_open(&second, &config), STAMP_E_BUSY);
    stamp_posix_close(&p);
    assert_int_equal(stamp_posix_open(&second, &config), STAMP_OK);
    stamp_posix_close(&second);
}

static void files_that_do_not_fit_are_refused(void **state)
{
    const struct stamp_posix_config config = {.flash_file = flash_file,
                                              .root_key_file = key_file};
    const struct stamp_posix_config nowhere = {.flash_file = "/nonexistent/flash.bin"};
    const struct stamp_posix_config no_key = {.flash_file = flash_file,
                                              .root_key_file = "/nonexistent/key"};
    struct stamp_posix p;

    (void)state;
    assert_int_equal(stamp_posix_open(&p, &config), STAMP_OK);
    stamp_posix_close(&p);
    assert_int_equal(truncate(flash_file, 3 * 8192 - 1), 0);
    assert_int_equal(stamp_posix_open(&p, &config), STAMP_E_RANGE);
    assert_int_equal(truncate(flash_file, 0), 0);
    assert_int_equal(chmod(key_file, 0640), 0);
    assert_int_equal(stamp_posix_open(&p, &config),
                     STAMP_E_RANGE); /* others may read it */
    assert_int_equal(chmod(key_file, 0600), 0);
    assert_int_equal(truncate(key_file, 33), 0);
    assert_int_equal(stamp_posix_open(&p, &config), STAMP_E_RANGE);
    assert_int_equal(truncate(key_file, 31), 0);
    assert_int_equal(stamp_posix_open(&p, &config), STAMP_E_FLASH);
    assert_int_equal(stamp_posix_open(&p, &nowhere), STAMP_E_FLASH);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(stamp_posix_open(&p, &no_key), STAMP_E_FLASH);
    assert_int_equal(errno, ENOENT);
}

static void a_full_disk_leaves_no_half(void **state)
{
    const struct stamp_posix_config config = {.flash_file = "/dev/full"};
    struct stamp_posix p;

    (void)state;
    assert_int_equal(stamp_posix_open(&p, &config), STAMP_E_FLASH);
}

static void units_are_programmed_once_and_inside(void **state)
{
    const struct stamp_posix_config config = {.flash_file = flash_file};
    const struct stamp_flash *f;
    struct stamp_posix p;
    uint8_t data[16] = {1, 2, 3};

    (void)state;
    assert_int_equal(stamp_posix_open(&p, &config), STAMP_OK);
    f = &p.port.flash;
    assert_int_equal(f->program(&p, 8, data, 8), 0);
    assert_int_not_equal(f->program(&p, 8, data, 8), 0);
    assert_int_not_equal(f->program(&p, 0, data, 16), 0);
    assert_int_not_equal(f->program(&p, 20, data, 8), 0); /* misaligned */
    assert_int_not_equal(f->program(&p, 24, data, 7), 0);
    assert_int_not_equal(f->program(&p, 3 * 8192 - 8, data, 16), 0);
    assert_int_not_equal(f->read(f->ctx, 3 * 8192, data, 1), 0);
    assert_int_not_equal(f->erase(&p, 4095), 0);
    assert_int_not_equal(f->erase(&p, 3 * 8192), 0);
    assert_int_equal(f->read(f->ctx, 3 * 8192, data, 0), 0);
    stamp_posix_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(conforms, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(impossible_geometry_is_refused, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_device_lives_on_it, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_second_one_has_to_wait, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(files_that_do_not_fit_are_refused, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_no_half, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(units_are_programmed_once_and_inside, make_dir,
                                        remove_dir),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
