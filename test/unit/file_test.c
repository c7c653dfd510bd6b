#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/file.h"

static char dir[64];
static char name[128];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stamp-file-XXXXXX");
    (void)snprintf(name, sizeof name, "%s/a.bin", mkdtemp(dir));
    return 0;
}

static int count_files(void)
{
    int n = 0;
    DIR *d = opendir(dir);

    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        n += e->d_name[0] != '.' || strstr(e->d_name, ".tmp") != NULL;
    }
    closedir(d);
    return n;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(name);
    return rmdir(dir);
}

static void assert_content(const char *want)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *buf;
    size_t len;

    assert_int_equal(stamp_file_read(name, 100, &buf, &len, &err), STAMP_OK);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(buf, want, len + 1);
    free(buf);
}

static void mode_is_exact_under_any_umask(void **state)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stat st;

    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        mode_t old = umask(masks[i]);

        assert_int_equal(stamp_file_write(name, "x", 1, 0644, true, &err), STAMP_OK);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0644);
        assert_int_equal(stamp_file_write(name, "x", 1, 0600, true, &err), STAMP_OK);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        umask(old);
    }
    assert_int_equal(count_files(), 1);
}

static void existing_file_is_refused_and_kept(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    char want[200];

    (void)state;
    assert_int_equal(stamp_file_write(name, "old", 3, 0600, false, &err), STAMP_OK);
    assert_int_equal(stamp_file_write(name, "new", 3, 0600, false, &err), STAMP_E_EXISTS);
    (void)snprintf(want, sizeof want, "'%s' exists already", name);
    assert_string_equal(err.what, want);
    assert_string_equal(err.state, "nothing was written");
    assert_content("old");
    assert_int_equal(count_files(), 1);
}

static void replaced_file_has_the_new_content(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_file_write(name, "old content", 11, 0600, true, &err),
                     STAMP_OK);
    assert_int_equal(stamp_file_write(name, "new", 3, 0600, true, &err), STAMP_OK);
    assert_content("new");
    assert_int_equal(stamp_file_write(name, "", 0, 0600, true, &err), STAMP_OK);
    assert_content("");
}

/* A limit on the file size fails write() part of the way, as a full disk does. */
static void full_disk_leaves_the_old_file_alone(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    int status;
    pid_t child;

    (void)state;
    assert_int_equal(stamp_file_write(name, "old", 3, 0600, false, &err), STAMP_OK);
    child = fork();
    if (child == 0) {
        static const struct rlimit small = {1000, 1000};
        static char big[5000];
        enum stamp_err rc;

        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &small);
        rc = stamp_file_write(name, big, sizeof big, 0600, true, &err);
        _exit(rc == STAMP_E_IO && err.native == EFBIG &&
                      strstr(err.what, "cannot write '/tmp/stamp-file-") == err.what
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_content("old");
    assert_int_equal(count_files(), 1);
}

static void missing_directory_is_named(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *buf;
    size_t len;

    (void)state;
    assert_int_equal(stamp_file_write("/nowhere/x", "a", 1, 0600, true, &err),
                     STAMP_E_IO);
    assert_string_equal(err.what, "cannot write '/nowhere/x': No such file or directory");
    stamp_error_clear(&err);
    assert_int_equal(stamp_file_read("/nowhere/x", 1, &buf, &len, &err), STAMP_E_IO);
    assert_string_equal(err.what, "cannot read '/nowhere/x': No such file or directory");
    assert_null(buf);
}

static void directory_and_device_are_no_targets(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_file_write("/tmp/", "a", 1, 0600, true, &err), STAMP_E_IO);
    assert_int_equal(err.native, EISDIR);
    stamp_error_clear(&err);
    assert_int_equal(stamp_file_write("/tmp", "a", 1, 0600, true, &err), STAMP_E_IO);
    assert_int_equal(err.native, EISDIR);
    stamp_error_clear(&err);
    assert_int_equal(stamp_file_write("/dev/null", "a", 1, 0600, true, &err), STAMP_E_IO);
    assert_string_equal(err.what, "cannot write '/dev/null': it is not a regular file");
}

static void longer_file_than_allowed_is_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *buf;
    size_t len;

    (void)state;
    assert_int_equal(stamp_file_write(name, "12345", 5, 0600, true, &err), STAMP_OK);
    assert_int_equal(stamp_file_read(name, 5, &buf, &len, &err), STAMP_OK);
    free(buf);
    assert_int_equal(stamp_file_read(name, 4, &buf, &len, &err), STAMP_E_SPACE);
    stamp_error_clear(&err);
    assert_int_equal(stamp_file_read("/dev/zero", 4, &buf, &len, &err), STAMP_E_SPACE);
    assert_string_equal(err.what, "'/dev/zero' is longer than 4 bytes");
    assert_null(buf);
}

static void secret_others_can_read_is_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    STAMP_SECRET_AUTO struct stamp_secret *s = NULL;
    size_t len;

    (void)state;
    assert_int_equal(stamp_file_write(name, "key", 3, 0600, true, &err), STAMP_OK);
    assert_int_equal(stamp_file_read_secret(name, 100, &s, &err), STAMP_OK);
    assert_memory_equal(stamp_secret_use(s, &len), "key", 4);
    assert_int_equal(len, 3);
    stamp_secret_free(&s);
    assert_int_equal(chmod(name, 0640), 0);
    assert_int_equal(stamp_file_read_secret(name, 100, &s, &err), STAMP_E_IO);
    assert_null(s);
    assert_non_null(strstr(err.hint, "chmod 600"));
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(mode_is_exact_under_any_umask),
        FILE_TEST(existing_file_is_refused_and_kept),
        FILE_TEST(replaced_file_has_the_new_content),
        FILE_TEST(full_disk_leaves_the_old_file_alone),
        FILE_TEST(missing_directory_is_named),
        FILE_TEST(directory_and_device_are_no_targets),
        FILE_TEST(longer_file_than_allowed_is_refused),
        FILE_TEST(secret_others_can_read_is_refused),
    };

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
