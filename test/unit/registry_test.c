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

#include "test/unit/books/books.h"

#define NOW BOOKS_NOW

static struct stamp_serial_pattern pattern;

static int open_books(void **state)
{
    pattern = books_pattern("SN-{counter:4}");
    return books_open(state);
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

static void books_know_their_purpose_and_are_made_once(void **state)
{
    (void)state;
    assert_int_equal(stamp_registry_purpose(books), STAMP_DEVELOPMENT);
    assert_int_equal(stamp_registry_create(books_where, STAMP_PRODUCTION, NULL),
                     STAMP_E_EXISTS);
    books_reopen();
    assert_int_equal(stamp_registry_purpose(books), STAMP_DEVELOPMENT);
}

static void file_is_private(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(stat(books_where, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void serials_go_on_where_they_ended(void **state)
{
    struct stamp_registry_row rows[3];

    (void)state;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, rows, 3, NULL), STAMP_OK);
    assert_string_equal(rows[0].serial, "SN-0001");
    assert_string_equal(rows[2].serial, "SN-0003");
    books_reopen();
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

    (void)state;
    stamp_registry_close(&books);
    books_sql(books_in_postgres ? "UPDATE schema_version SET version = 99"
                                : "PRAGMA user_version = 99");
    assert_int_equal(stamp_registry_open(books_where, &books, &err), STAMP_E_VERSION);
    assert_null(books);
    books_sql("INSERT INTO counter VALUES ('x', 1)");
}

static void file_that_is_no_registry_is_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    FILE *f;

    (void)state;
    stamp_registry_close(&books);
    assert_int_equal(unlink(books_where), 0);
    assert_int_equal(stamp_registry_open(books_where, &books, &err), STAMP_E_IO);
    f = fopen(books_where, "w");
    assert_non_null(f);
    for (int i = 0; i < 500; i++) {
        (void)fprintf(f, "no database\n");
    }
    assert_int_equal(fclose(f), 0);
    stamp_error_clear(&err);
    assert_int_equal(stamp_registry_open(books_where, &books, &err), STAMP_E_DATABASE);
    assert_null(books);
}

/* Reserve and book one at a time, telling each serial after it is durable, until killed.
 */
static void reserve_for_ever(int fd)
{
    struct stamp_registry *mine = NULL;
    struct stamp_registry_row row;
    char file[] = "x";

    if (stamp_registry_open(books_where, &mine, NULL) != STAMP_OK) {
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

/* ---- what becomes of a device ---- */

static void issue(const char *serial, uint64_t key)
{
    struct stamp_registry_row row;

    assert_int_equal(
        stamp_registry_reserve_serial(books, "Sensor", serial, NOW, &row, NULL),
        STAMP_OK);
    books_key(row.fingerprint, key);
    assert_int_equal(stamp_registry_issue(books, &row, 1, NOW, NULL), STAMP_OK);
}

static enum stamp_err change(const char *serial, enum stamp_registry_state to,
                             const char *chip, time_t at, struct stamp_error *err)
{
    struct stamp_registry_change c = {
        .serial = serial, .to = to, .at = at, .chip = chip, .why = "a reason"};

    return stamp_registry_change(books, &c, 1, NULL, err);
}

static enum stamp_registry_state state_of(const char *serial)
{
    struct stamp_registry_row row;
    enum stamp_registry_state state;

    assert_int_equal(stamp_registry_find(books, serial, &row, NULL), STAMP_OK);
    state = row.state;
    stamp_registry_row_fini(&row);
    return state;
}

/* A way to each state from issued; ends with the state. */
static const enum stamp_registry_state ways[STAMP_REGISTRY_STATES][4] = {
    [STAMP_REGISTRY_STRUCK] = {STAMP_REGISTRY_STRUCK},
    [STAMP_REGISTRY_LABELLED] = {STAMP_REGISTRY_STRUCK, STAMP_REGISTRY_LABELLED},
    [STAMP_REGISTRY_SHIPPED] = {STAMP_REGISTRY_STRUCK, STAMP_REGISTRY_SHIPPED},
    [STAMP_REGISTRY_ACTIVE] = {STAMP_REGISTRY_STRUCK, STAMP_REGISTRY_ACTIVE},
    [STAMP_REGISTRY_RETURNED] = {STAMP_REGISTRY_STRUCK, STAMP_REGISTRY_RETURNED},
    [STAMP_REGISTRY_RE_STRUCK] = {STAMP_REGISTRY_STRUCK, STAMP_REGISTRY_RETURNED,
                                  STAMP_REGISTRY_RE_STRUCK},
    [STAMP_REGISTRY_SCRAPPED] = {STAMP_REGISTRY_SCRAPPED},
    [STAMP_REGISTRY_REVOKED] = {STAMP_REGISTRY_REVOKED},
};

static void bring_to(const char *serial, unsigned state, uint64_t key)
{
    struct stamp_registry_row row;

    if (state == STAMP_REGISTRY_RESERVED) {
        assert_int_equal(
            stamp_registry_reserve_serial(books, "Sensor", serial, NOW, &row, NULL),
            STAMP_OK);
        return;
    }
    issue(serial, key);
    for (size_t i = 0; ways[state][i] != 0; i++) {
        assert_int_equal(change(serial, ways[state][i], NULL, NOW, NULL), STAMP_OK);
    }
}

static void only_legal_steps_are_booked_and_the_others_named(void **state)
{
    unsigned n = 0;

    (void)state;
    for (unsigned from = 0; from < STAMP_REGISTRY_STATES; from++) {
        for (unsigned i = 0; i < STAMP_REGISTRY_STATES; i++) {
            enum stamp_registry_state to = (enum stamp_registry_state)i;
            struct stamp_error err = STAMP_ERROR_INIT;
            char serial[16];
            bool may = stamp_registry_may((enum stamp_registry_state)from, to) &&
                       to != STAMP_REGISTRY_ISSUED;

            (void)snprintf(serial, sizeof serial, "X%03u", n++);
            bring_to(serial, from, n);
            assert_int_equal(state_of(serial), from);
            assert_int_equal(change(serial, to, NULL, NOW + 1, &err),
                             may ? STAMP_OK : STAMP_E_STATE);
            assert_int_equal(state_of(serial), may ? i : from);
            if (!may) {
                assert_non_null(strstr(err.what, serial));
                assert_non_null(strstr(err.hint, "what may follow is: "));
            }
        }
    }
    assert_int_equal(books_number("SELECT count(*) FROM event WHERE n > 5"), 0);
}

static void refused_step_names_the_legal_ones(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    bring_to("A", STAMP_REGISTRY_SHIPPED, 1);
    assert_int_equal(change("A", STAMP_REGISTRY_LABELLED, NULL, NOW, &err),
                     STAMP_E_STATE);
    assert_string_equal(err.what, "'A' is shipped and cannot become labelled");
    assert_string_equal(err.hint,
                        "what may follow is: active, returned, scrapped, revoked");
    stamp_error_clear(&err);
    bring_to("B", STAMP_REGISTRY_REVOKED, 2);
    assert_int_equal(change("B", STAMP_REGISTRY_ACTIVE, NULL, NOW, &err), STAMP_E_STATE);
    assert_string_equal(err.hint, "what may follow is: nothing");
}

static void unused_stamp_that_came_back_is_not_struck_again(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    issue("A", 1);
    assert_int_equal(change("A", STAMP_REGISTRY_RETURNED, NULL, NOW, NULL), STAMP_OK);
    assert_int_equal(change("A", STAMP_REGISTRY_RE_STRUCK, NULL, NOW + 1, &err),
                     STAMP_E_STATE);
    assert_string_equal(err.hint, "what may follow is: scrapped, revoked");
    assert_int_equal(change("A", STAMP_REGISTRY_REVOKED, NULL, NOW + 1, NULL), STAMP_OK);
}

static void all_changes_or_none(void **state)
{
    struct stamp_registry_change c[3] = {
        {.serial = "A", .to = STAMP_REGISTRY_STRUCK, .at = NOW, .chip = "C1"},
        {.serial = "B", .to = STAMP_REGISTRY_LABELLED, .at = NOW},
        {.serial = "C", .to = STAMP_REGISTRY_STRUCK, .at = NOW},
    };
    size_t bad = 9;

    (void)state;
    issue("A", 1);
    issue("B", 2);
    assert_int_equal(stamp_registry_change(books, c, 3, &bad, NULL), STAMP_E_STATE);
    assert_int_equal(bad, 1);
    assert_int_equal(state_of("A"), STAMP_REGISTRY_ISSUED);
    c[1].to = STAMP_REGISTRY_STRUCK;
    assert_int_equal(stamp_registry_change(books, c, 3, &bad, NULL), STAMP_E_MISSING);
    assert_int_equal(bad, 2);
    assert_int_equal(count(STAMP_REGISTRY_ISSUED), 2);
    assert_int_equal(books_number("SELECT count(*) FROM claim_chip"), 0);
    assert_int_equal(stamp_registry_change(books, c, 2, NULL, NULL), STAMP_OK);
    assert_int_equal(count(STAMP_REGISTRY_STRUCK), 2);
}

static void chip_is_one_device_s(void **state)
{
    struct stamp_registry_row row;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    issue("A", 1);
    issue("B", 2);
    assert_int_equal(change("A", STAMP_REGISTRY_STRUCK, "chip-1", NOW, NULL), STAMP_OK);
    assert_int_equal(change("B", STAMP_REGISTRY_STRUCK, "chip-1", NOW, &err),
                     STAMP_E_DUPLICATE);
    assert_string_equal(err.what,
                        "chip 'chip-1' is another device's already, not that of 'B'");
    assert_int_equal(state_of("B"), STAMP_REGISTRY_ISSUED);
    stamp_error_clear(&err);
    assert_int_equal(change("A", STAMP_REGISTRY_LABELLED, "chip-2", NOW, &err),
                     STAMP_E_DUPLICATE);
    assert_string_equal(err.what, "'A' is on chip 'chip-1' already, not on 'chip-2'");
    assert_int_equal(change("A", STAMP_REGISTRY_LABELLED, "chip-1", NOW, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_find_chip(books, "chip-1", &row, NULL), STAMP_OK);
    assert_string_equal(row.serial, "A");
    assert_string_equal(row.chip, "chip-1");
    stamp_registry_row_fini(&row);
    assert_int_equal(stamp_registry_find_chip(books, "chip-2", &row, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(change("B", STAMP_REGISTRY_STRUCK, "", NOW, NULL), STAMP_E_RANGE);
}

static void change_that_is_told_twice_is_booked_once(void **state)
{
    (void)state;
    issue("A", 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(change("A", STAMP_REGISTRY_STRUCK, "chip", NOW + 5, NULL),
                         STAMP_OK);
    }
    assert_int_equal(count(STAMP_REGISTRY_STRUCK), 1);
    assert_int_equal(books_number("SELECT count(*) FROM event WHERE state = 2"), 1);
    assert_int_equal(change("A", STAMP_REGISTRY_STRUCK, "chip", NOW + 6, NULL),
                     STAMP_E_STATE);
}

struct told {
    struct stamp_registry_entry entry[8];
    size_t n, max;
};

static bool keep_entry(void *ctx, const struct stamp_registry_entry *entry)
{
    struct told *t = ctx;

    assert_in_range(t->n, 0, 7);
    t->entry[t->n++] = *entry;
    return t->n < t->max;
}

static void history_says_who_when_where_and_why(void **state)
{
    struct stamp_registry_change c = {.serial = "A",
                                      .to = STAMP_REGISTRY_STRUCK,
                                      .at = NOW + 60,
                                      .who = "Zo\xC3\xAB",
                                      .where = "line 3",
                                      .why = "order 17"};
    struct told told = {.max = 8};

    (void)state;
    stamp_registry_author(books, "maker", "desk");
    issue("A", 1);
    assert_int_equal(stamp_registry_change(books, &c, 1, NULL, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_history(books, "A", keep_entry, &told, NULL),
                     STAMP_OK);
    assert_int_equal(told.n, 3);
    assert_int_equal(told.entry[0].state, STAMP_REGISTRY_RESERVED);
    assert_int_equal(told.entry[1].state, STAMP_REGISTRY_ISSUED);
    assert_string_equal(told.entry[1].who, "maker");
    assert_string_equal(told.entry[1].where, "desk");
    assert_int_equal(told.entry[1].at, NOW);
    assert_int_equal(told.entry[2].state, STAMP_REGISTRY_STRUCK);
    assert_int_equal(told.entry[2].at, NOW + 60);
    assert_string_equal(told.entry[2].who, "Zo\xC3\xAB");
    assert_string_equal(told.entry[2].where, "line 3");
    assert_string_equal(told.entry[2].why, "order 17");
    told.n = 0;
    told.max = 1;
    assert_int_equal(stamp_registry_history(books, "A", keep_entry, &told, NULL),
                     STAMP_OK);
    assert_int_equal(told.n, 1);
    assert_int_equal(stamp_registry_history(books, "B", keep_entry, &told, NULL),
                     STAMP_E_MISSING);
}

static void text_that_is_too_long_or_not_text_is_refused(void **state)
{
    struct stamp_registry_change c = {
        .serial = "A", .to = STAMP_REGISTRY_STRUCK, .at = NOW};
    char text[STAMP_REGISTRY_TEXT_SIZE + 1];

    (void)state;
    issue("A", 1);
    memset(text, 'x', sizeof text);
    text[STAMP_REGISTRY_TEXT_MAX + 1u] = '\0';
    c.why = text;
    assert_int_equal(stamp_registry_change(books, &c, 1, NULL, NULL), STAMP_E_RANGE);
    c.why = "a\x1b[31m";
    assert_int_equal(stamp_registry_change(books, &c, 1, NULL, NULL), STAMP_E_RANGE);
    text[STAMP_REGISTRY_TEXT_MAX] = '\0';
    c.why = text;
    assert_int_equal(stamp_registry_change(books, &c, 1, NULL, NULL), STAMP_OK);
}

static void device_is_found_by_key_with_all_it_has(void **state)
{
    struct stamp_registry_row row;
    struct stamp_registry_row found;
    uint8_t certificate[631];
    uint8_t key[32];

    (void)state;
    memset(certificate, 0xA5, sizeof certificate);
    certificate[3] = 0;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, &row, 1, NULL), STAMP_OK);
    books_key(row.fingerprint, 5);
    memcpy(key, row.fingerprint, sizeof key);
    row.certificate = certificate;
    row.certificate_len = sizeof certificate;
    assert_int_equal(stamp_registry_issue(books, &row, 1, NOW + 9, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_find_key(books, key, &found, NULL), STAMP_OK);
    assert_string_equal(found.serial, "SN-0001");
    assert_string_equal(found.product, "Sensor");
    assert_string_equal(found.chip, "");
    assert_int_equal(found.at, NOW + 9);
    assert_null(found.file);
    assert_int_equal(found.certificate_len, sizeof certificate);
    assert_memory_equal(found.certificate, certificate, sizeof certificate);
    assert_memory_equal(found.certificate_serial, row.certificate_serial, 16);
    stamp_registry_row_fini(&found);
    key[0] ^= 1;
    assert_int_equal(stamp_registry_find_key(books, key, &found, NULL), STAMP_E_MISSING);
    assert_null(found.certificate);
}

static void names_of_states_are_read_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STAMP_REGISTRY_STATES; i++) {
        enum stamp_registry_state back;

        assert_true(stamp_registry_state_parse(
            stamp_registry_state_name((enum stamp_registry_state)i), &back));
        assert_int_equal(back, i);
    }
    assert_false(stamp_registry_state_parse("lost", &(enum stamp_registry_state){0}));
}

/* ---- SQLite alone ---- */

/* Books as devstamp 0.1 left them, with two blocks and every state. */
static const char version_1[] =
    "CREATE TABLE workspace (one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  purpose INTEGER NOT NULL CHECK (purpose IN (0, 1)), made_at INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE counter (name TEXT PRIMARY KEY, next INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE block (prefix BLOB PRIMARY KEY CHECK (length(prefix) = 12),"
    "  size INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE stamp (serial TEXT PRIMARY KEY,"
    "  state INTEGER NOT NULL CHECK (state IN (0, 1, 2)), reserved_at INTEGER NOT NULL,"
    "  certificate_serial BLOB NOT NULL UNIQUE, file TEXT) STRICT, WITHOUT ROWID;"
    "CREATE TABLE device_key ("
    "  fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),"
    "  serial TEXT NOT NULL UNIQUE REFERENCES stamp (serial)) STRICT, WITHOUT ROWID;"
    "INSERT INTO workspace VALUES (1, 1, 1774000000);"
    "INSERT INTO counter VALUES ('serial', 4);"
    "INSERT INTO block VALUES (X'7000000000000000000000AA', 3),"
    "  (X'410000000000000000000000', 1);"
    "INSERT INTO stamp VALUES"
    "  ('SN-0001', 1, 1774000001, X'7000000000000000000000AA00000000', 'stamps/1.bin'),"
    "  ('SN-0002', 2, 1774000001, X'7000000000000000000000AA00000001', NULL),"
    "  ('SN-0003', 0, 1774000001, X'7000000000000000000000AA00000002', NULL),"
    "  ('HAND', 1, 1774000002, X'41000000000000000000000000000000', 'stamps/h.bin');"
    "INSERT INTO device_key VALUES (zeroblob(32), 'SN-0001'),"
    "  (CAST('0123456789ABCDEF0123456789ABCDEF' AS BLOB), 'HAND');"
    "PRAGMA user_version = 1;";

static void check_migrated(const char *serial, enum stamp_registry_state state,
                           uint8_t first, uint8_t last)
{
    struct stamp_registry_row row;

    assert_int_equal(stamp_registry_find(books, serial, &row, NULL), STAMP_OK);
    assert_int_equal(row.state, state);
    assert_int_equal(row.certificate_serial[0], first);
    assert_int_equal(row.certificate_serial[15], last);
    assert_int_equal(row.file != NULL, state == STAMP_REGISTRY_ISSUED);
    stamp_registry_row_fini(&row);
}

static void books_of_version_1_are_brought_up(void **state)
{
    struct told told = {.max = 8};
    struct stamp_registry_row row;

    (void)state;
    stamp_registry_close(&books);
    assert_int_equal(unlink(books_where), 0);
    books_sql(version_1);
    books_reopen();
    assert_int_equal(stamp_registry_purpose(books), STAMP_PRODUCTION);
    check_migrated("SN-0001", STAMP_REGISTRY_ISSUED, 0x70, 0);
    check_migrated("SN-0002", STAMP_REGISTRY_SCRAPPED, 0x70, 1);
    check_migrated("SN-0003", STAMP_REGISTRY_RESERVED, 0x70, 2);
    check_migrated("HAND", STAMP_REGISTRY_ISSUED, 0x41, 0);
    assert_int_equal(count(STAMP_REGISTRY_ISSUED), 2);
    assert_int_equal(count(STAMP_REGISTRY_RESERVED), 1);
    assert_int_equal(stamp_registry_history(books, "SN-0001", keep_entry, &told, NULL),
                     STAMP_OK);
    assert_int_equal(told.n, 2);
    assert_int_equal(told.entry[0].at, 1774000001);
    /* and they go on: the old ones get the product of the first new one */
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, &row, 1, NULL), STAMP_OK);
    assert_string_equal(row.serial, "SN-0004");
    assert_int_equal(stamp_registry_find(books, "HAND", &row, NULL), STAMP_OK);
    assert_string_equal(row.product, "Sensor");
    assert_memory_equal(row.fingerprint, "0123456789ABCDEF0123456789ABCDEF", 32);
    stamp_registry_row_fini(&row);
    assert_int_equal(change("HAND", STAMP_REGISTRY_STRUCK, "c", NOW, NULL), STAMP_OK);
}

/* ---- PostgreSQL alone ---- */

static void database_without_books_is_said_to_be_so(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    stamp_registry_close(&books);
    books_sql("DROP SCHEMA devstamp CASCADE");
    assert_int_equal(stamp_registry_open(books_where, &books, &err), STAMP_E_DATABASE);
    assert_string_equal(err.what, "there is no registry in this database");
}

static void password_in_a_url_is_refused(void **state)
{
    static const char *const urls[] = {
        "postgres://me:secret@localhost/x",
        "postgresql:///x?password=secret",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct stamp_registry *r = NULL;
        struct stamp_error err = STAMP_ERROR_INIT;

        assert_int_equal(stamp_registry_open(urls[i], &r, &err), STAMP_E_CONFIG);
        assert_null(strstr(err.what, "secret"));
        assert_non_null(strstr(err.hint, "~/.pgpass"));
    }
}

static void server_that_is_not_there_is_said_to_be_so(void **state)
{
    struct stamp_registry *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_registry_open("postgres:///x?host=%2Fnonexistent", &r, &err),
                     STAMP_E_DATABASE);
    assert_null(r);
    assert_non_null(strstr(err.what, "cannot open the registry: "));
    assert_non_null(strstr(err.hint, "PostgreSQL"));
}

static void lost_connection_books_nothing_and_is_said(void **state)
{
    struct stamp_registry_row row;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    issue("A", 1);
    books_sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
              "WHERE application_name = 'devstamp' AND pid <> pg_backend_pid()");
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, &row, 1, &err),
        STAMP_E_DATABASE);
    assert_non_null(strstr(err.hint, "PostgreSQL"));
    books_reopen();
    assert_int_equal(count(STAMP_REGISTRY_RESERVED), 0);
    assert_int_equal(state_of("A"), STAMP_REGISTRY_ISSUED);
}

#define BOOK(test) cmocka_unit_test_setup_teardown(test, open_books, books_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest both[] = {
        BOOK(books_know_their_purpose_and_are_made_once),
        BOOK(serials_go_on_where_they_ended),
        BOOK(certificate_serials_are_positive_and_ascend),
        BOOK(serial_given_by_hand_is_passed_over),
        BOOK(serial_given_twice_is_refused),
        BOOK(what_is_no_serial_is_refused),
        BOOK(pattern_that_is_used_up_reserves_nothing),
        BOOK(made_stamp_is_found),
        BOOK(key_that_is_booked_already_books_nothing),
        BOOK(newer_books_are_left_alone),
        BOOK(kill_loses_nothing_that_was_told),
        BOOK(only_legal_steps_are_booked_and_the_others_named),
        BOOK(refused_step_names_the_legal_ones),
        BOOK(unused_stamp_that_came_back_is_not_struck_again),
        BOOK(all_changes_or_none),
        BOOK(chip_is_one_device_s),
        BOOK(change_that_is_told_twice_is_booked_once),
        BOOK(history_says_who_when_where_and_why),
        BOOK(text_that_is_too_long_or_not_text_is_refused),
        BOOK(device_is_found_by_key_with_all_it_has),
        cmocka_unit_test(names_of_states_are_read_back),
    };
    const struct CMUnitTest sqlite[] = {
        BOOK(file_is_private),
        BOOK(file_that_is_no_registry_is_refused),
        BOOK(books_of_version_1_are_brought_up),
    };
    const struct CMUnitTest postgres[] = {
        BOOK(database_without_books_is_said_to_be_so),
        BOOK(password_in_a_url_is_refused),
        BOOK(server_that_is_not_there_is_said_to_be_so),
        BOOK(lost_connection_books_nothing_and_is_said),
    };
    int failed;

    books_init(argc, argv);
    failed = cmocka_run_group_tests_name("registry", both, NULL, NULL);
    return failed + (books_in_postgres
                         ? cmocka_run_group_tests_name("postgres", postgres, NULL, NULL)
                         : cmocka_run_group_tests_name("sqlite", sqlite, NULL, NULL));
}
