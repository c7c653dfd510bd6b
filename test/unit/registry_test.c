/* The books: nothing is given out twice, by whomever and however it ends. */
#include "host/registry.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "test/unit/desk/desk.h"

#define NOW ((time_t)1774000000)

static char dir[32];
static char path[64];
static struct stamp_registry *books;
static struct stamp_serial_pattern pattern;

static int open_books(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stamp-books-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/registry.db", dir);
    assert_int_equal(stamp_registry_create(path, STAMP_DEVELOPMENT, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_open(path, &books, NULL), STAMP_OK);
    assert_int_equal(stamp_serial_parse(&pattern, "SN-{counter:4}", NULL, NULL),
                     STAMP_OK);
    return 0;
}

static int close_books(void **state)
{
    (void)state;
    stamp_registry_close(&books);
    desk_remove(dir);
    return 0;
}

static void key_of(struct stamp_registry_row *row, uint8_t n)
{
    memset(row->fingerprint, n, sizeof row->fingerprint);
}

static uint64_t count(enum stamp_registry_state state)
{
    uint64_t n = 0;

    assert_int_equal(stamp_registry_count(books, state, &n, NULL), STAMP_OK);
    return n;
}

static void file_is_private_and_knows_its_purpose(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stamp_registry_purpose(books), STAMP_DEVELOPMENT);
    assert_int_equal(stamp_registry_create(path, STAMP_DEVELOPMENT, NULL),
                     STAMP_E_EXISTS);
}

static void serials_go_on_where_they_ended(void **state)
{
    struct stamp_registry_row rows[3];

    (void)state;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 3, NULL), STAMP_OK);
    assert_string_equal(rows[0].serial, "SN-0001");
    assert_string_equal(rows[2].serial, "SN-0003");
    stamp_registry_close(&books);
    assert_int_equal(stamp_registry_open(path, &books, NULL), STAMP_OK);
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 1, NULL), STAMP_OK);
    assert_string_equal(rows[0].serial, "SN-0004");
}

static void certificate_serials_are_positive_and_ascend(void **state)
{
    struct stamp_registry_row rows[300];

    (void)state;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 300, NULL),
        STAMP_OK);
    for (size_t i = 0; i < 300; i++) {
        assert_in_range(rows[i].certificate_serial[0], 0x40, 0x7F);
        assert_true(i == 0 ||
                    memcmp(rows[i - 1].certificate_serial, rows[i].certificate_serial,
                           sizeof rows[i].certificate_serial) < 0);
    }
}

static void serial_given_by_hand_is_passed_over(void **state)
{
    struct stamp_registry_row row;
    struct stamp_registry_row rows[2];

    (void)state;
    assert_int_equal(
        stamp_registry_reserve_serial(books, "Sensor", "SN-0002", NOW, &row, NULL),
        STAMP_OK);
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 2, NULL), STAMP_OK);
    assert_string_equal(rows[0].serial, "SN-0001");
    assert_string_equal(rows[1].serial, "SN-0003");
}

static void serial_given_twice_is_refused(void **state)
{
    struct stamp_registry_row row;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, &row, 1, NULL), STAMP_OK);
    assert_int_equal(
        stamp_registry_reserve_serial(books, "Sensor", "SN-0001", NOW, &row, &err),
        STAMP_E_DUPLICATE);
    assert_string_equal(err.what, "serial 'SN-0001' is on the books already");
    assert_int_equal(stamp_registry_give_up(books, &row, 1, NOW, NULL), STAMP_OK);
    /* void is not free */
    assert_int_equal(
        stamp_registry_reserve_serial(books, "Sensor", "SN-0001", NOW, &row, NULL),
        STAMP_E_DUPLICATE);
}

static void what_is_no_serial_is_refused(void **state)
{
    struct stamp_registry_row row;

    (void)state;
    assert_int_not_equal(
        stamp_registry_reserve_serial(books, "Sensor", "", NOW, &row, NULL), STAMP_OK);
    assert_int_not_equal(
        stamp_registry_reserve_serial(books, "Sensor", "a b", NOW, &row, NULL), STAMP_OK);
    assert_int_equal(count(STAMP_REGISTRY_RESERVED), 0);
}

static void pattern_that_is_used_up_reserves_nothing(void **state)
{
    static struct stamp_registry_row rows[9999];

    (void)state;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 9990, NULL),
        STAMP_OK);
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 10, NULL),
        STAMP_E_RANGE);
    assert_int_equal(count(STAMP_REGISTRY_RESERVED), 9990);
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 9, NULL), STAMP_OK);
    assert_string_equal(rows[8].serial, "SN-9999");
}

static void made_stamp_is_found(void **state)
{
    struct stamp_registry_row row;
    struct stamp_registry_row found;
    char file[] = "stamps/SN-0001.bin";

    (void)state;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, &row, 1, NULL), STAMP_OK);
    key_of(&row, 7);
    row.file = file;
    assert_int_equal(stamp_registry_issue(books, &row, 1, NOW, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_find(books, "SN-0001", &found, NULL), STAMP_OK);
    assert_int_equal(found.state, STAMP_REGISTRY_ISSUED);
    assert_string_equal(found.file, file);
    assert_memory_equal(found.fingerprint, row.fingerprint, 32);
    assert_memory_equal(found.certificate_serial, row.certificate_serial,
                        sizeof row.certificate_serial);
    assert_int_equal(found.at, NOW);
    stamp_registry_row_fini(&found);
    assert_int_equal(stamp_registry_find(books, "SN-0002", &found, NULL),
                     STAMP_E_MISSING);
}

static void key_that_is_booked_already_books_nothing(void **state)
{
    struct stamp_registry_row rows[3];
    struct stamp_error err = STAMP_ERROR_INIT;
    char file[] = "x";

    (void)state;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 3, NULL), STAMP_OK);
    for (uint8_t i = 0; i < 3; i++) {
        key_of(&rows[i], i == 2 ? 0 : i); /* the third has the key of the first */
        rows[i].file = file;
    }
    assert_int_equal(stamp_registry_issue(books, rows, 3, NOW, &err), STAMP_E_DUPLICATE);
    assert_int_equal(count(STAMP_REGISTRY_ISSUED), 0);
    assert_int_equal(stamp_registry_issue(books, rows, 2, NOW, NULL), STAMP_OK);
    assert_int_equal(count(STAMP_REGISTRY_ISSUED), 2);
    /* made once only */
    key_of(&rows[0], 9);
    assert_int_equal(stamp_registry_issue(books, rows, 1, NOW, NULL), STAMP_E_STATE);
    assert_int_equal(stamp_registry_give_up(books, rows, 1, NOW, NULL), STAMP_E_STATE);
}

static void newer_books_are_left_alone(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    sqlite3 *db = NULL;

    (void)state;
    stamp_registry_close(&books);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(stamp_registry_open(path, &books, &err), STAMP_E_VERSION);
    assert_null(books);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "INSERT INTO counter VALUES ('x', 1)", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void file_that_is_no_registry_is_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    FILE *f;

    (void)state;
    stamp_registry_close(&books);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(stamp_registry_open(path, &books, &err), STAMP_E_IO);
    f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 500; i++) {
        (void)fprintf(f, "no database\n");
    }
    assert_int_equal(fclose(f), 0);
    stamp_error_clear(&err);
    assert_int_equal(stamp_registry_open(path, &books, &err), STAMP_E_DATABASE);
    assert_null(books);
}

/* Reserve and book one at a time, telling each serial after it is durable, until killed.
 */
static void reserve_for_ever(int fd)
{
    struct stamp_registry *mine = NULL;
    struct stamp_registry_row row;
    char file[] = "x";

    if (stamp_registry_open(path, &mine, NULL) != STAMP_OK) {
        _exit(1);
    }
    for (;;) {
        if (stamp_registry_reserve(mine, "Sensor", &pattern, NOW, &row, 1, NULL) !=
            STAMP_OK) {
            _exit(1);
        }
        memcpy(row.fingerprint, row.certificate_serial, sizeof row.certificate_serial);
        row.file = file;
        if (stamp_registry_issue(mine, &row, 1, NOW, NULL) != STAMP_OK ||
            write(fd, row.serial, 7) != 7) {
            _exit(1);
        }
    }
}

static void kill_loses_nothing_that_was_told(void **state)
{
    static bool told[10000];
    size_t n_told = 0;
    char serial[16] = "";

    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        int fd[2];
        pid_t pid;

        assert_int_equal(pipe(fd), 0);
        pid = fork();
        if (pid == 0) {
            reserve_for_ever(fd[1]);
        }
        (void)close(fd[1]);
        (void)usleep(5000 + 7000 * round);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        while (read(fd[0], serial, 7) == 7) {
            long n = strtol(serial + 3, NULL, 10);

            assert_in_range(n, 1, 9999);
            assert_false(told[n]); /* never twice */
            told[n] = true;
            n_told++;
        }
        (void)close(fd[0]);
    }
    assert_true(n_told > 0);
    for (int n = 1; n < 10000; n++) {
        if (told[n]) {
            struct stamp_registry_row row;

            (void)snprintf(serial, sizeof serial, "SN-%04d", n);
            assert_int_equal(stamp_registry_find(books, serial, &row, NULL), STAMP_OK);
            assert_int_equal(row.state, STAMP_REGISTRY_ISSUED);
            stamp_registry_row_fini(&row);
        }
    }
}

#define WITH_BOOKS(test) cmocka_unit_test_setup_teardown(test, open_books, close_books)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BOOKS(file_is_private_and_knows_its_purpose),
        WITH_BOOKS(serials_go_on_where_they_ended),
        WITH_BOOKS(certificate_serials_are_positive_and_ascend),
        WITH_BOOKS(serial_given_by_hand_is_passed_over),
        WITH_BOOKS(serial_given_twice_is_refused),
        WITH_BOOKS(what_is_no_serial_is_refused),
        WITH_BOOKS(pattern_that_is_used_up_reserves_nothing),
        WITH_BOOKS(made_stamp_is_found),
        WITH_BOOKS(key_that_is_booked_already_books_nothing),
        WITH_BOOKS(newer_books_are_left_alone),
        WITH_BOOKS(file_that_is_no_registry_is_refused),
        WITH_BOOKS(kill_loses_nothing_that_was_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
