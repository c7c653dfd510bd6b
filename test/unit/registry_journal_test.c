/* Headquarters' copies of journals: taken in in any order, as often as wanted; gaps and
 * forks are seen, and nothing is replaced. SPEC 15-2, 15-10. */
#include "host/registry_journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "host/hex.h"
#include "test/unit/books/books.h"

static struct stamp_error err;
static struct stamp_journal_part part;
static uint8_t encoded[8][512];
static size_t encoded_len[8];

static void must(enum stamp_err rc)
{
    if (rc != STAMP_OK) {
        fail_msg("%d: %s", rc, err.what);
    }
}

static int begin(void **state)
{
    uint8_t hash[STAMP_JOURNAL_HASH] = {0};

    stamp_error_clear(&err);
    for (uint32_t i = 0; i < 8; i++) {
        struct stamp_journal_entry e = {
            .seq = i + 1, .at = 100 + i, .kind = STAMP_JOURNAL_PAUSE};

        memcpy(e.previous, hash, sizeof hash);
        e.why = (struct stamp_slice){(const uint8_t *)"token", 5};
        must(stamp_journal_entry_encode(&e, encoded[i], &encoded_len[i], &err));
        must(stamp_journal_entry_hash((struct stamp_slice){encoded[i], encoded_len[i]},
                                      hash, &err));
    }
    memset(&part, 0, sizeof part);
    memset(part.station, 9, sizeof part.station);
    return books_open(state);
}

/* Entries `from`..`to`, where the station said that it has `head`. */
static struct stamp_journal_stored put(uint32_t from, uint32_t to, uint32_t head)
{
    struct stamp_journal_stored counts = {0};

    part.n = 0;
    part.head = head;
    for (uint32_t seq = from; seq <= to; seq++) {
        part.entry[part.n++] =
            (struct stamp_slice){encoded[seq - 1], encoded_len[seq - 1]};
    }
    must(stamp_registry_journal_put(books, &part, &counts, &err));
    return counts;
}

static struct stamp_journal_have have(void)
{
    struct stamp_journal_have all[4];
    size_t n = 4;

    must(stamp_registry_journal_list(books, all, &n, &err));
    assert_int_equal(n, 1);
    return all[0];
}

static void parts_come_in_any_order_and_again(void **state)
{
    (void)state;
    assert_int_equal(put(5, 8, 8).added, 4);
    assert_int_equal(have().missing, 1);
    assert_int_equal(put(1, 2, 2).added, 2);
    assert_int_equal(have().missing, 3); /* the later one's head counts */
    assert_int_equal(have().head, 8);
    assert_int_equal(put(1, 6, 6).added, 2);
    assert_int_equal(have().missing, 0);
    assert_int_equal(put(1, 8, 8).known, 8);
    assert_int_equal(have().entries, 8);
    assert_int_equal(have().forks, 0);
}

static void what_was_cut_off_is_missed(void **state)
{
    (void)state;
    (void)put(1, 5, 8);
    assert_int_equal(have().missing, 6);
    (void)put(1, 3, 3); /* an older export takes nothing back */
    assert_int_equal(have().missing, 6);
    assert_int_equal(have().last, 5);
}

static enum stamp_err count(void *ctx, struct stamp_slice body,
                            const struct stamp_journal_entry *e, struct stamp_error *why)
{
    uint32_t *seen = ctx;

    (void)body;
    (void)why;
    assert_true(e->seq >= seen[1]); /* in order */
    seen[1] = e->seq;
    seen[0]++;
    return STAMP_OK;
}

static void forks_are_kept_beside_each_other(void **state)
{
    struct stamp_journal_entry e;
    struct stamp_journal_stored counts;
    uint32_t seen[2] = {0, 0};

    (void)state;
    (void)put(1, 8, 8);
    must(stamp_journal_entry_decode((struct stamp_slice){encoded[3], encoded_len[3]}, &e,
                                    &err));
    e.at++;
    must(stamp_journal_entry_encode(&e, encoded[7], &encoded_len[7], &err));
    part.n = 1;
    part.entry[0] = (struct stamp_slice){encoded[7], encoded_len[7]};
    for (int turn = 0; turn < 2; turn++) {
        counts = (struct stamp_journal_stored){0};
        must(stamp_registry_journal_put(books, &part, &counts, &err));
        assert_int_equal(counts.forks, turn == 0 ? 1 : 0);
        assert_int_equal(counts.known, turn);
    }
    assert_int_equal(have().forks, 1);
    assert_int_equal(have().missing, 0);
    must(stamp_registry_journal_each(books, part.station, 1, count, seen, &err));
    assert_int_equal(seen[0], 9);
}

static void a_part_is_taken_in_whole_or_not(void **state)
{
    struct stamp_journal_stored counts = {0};
    struct stamp_journal_have all[4];
    size_t n = 4;

    (void)state;
    part.head = 2;
    part.n = 2;
    part.entry[0] = (struct stamp_slice){encoded[0], encoded_len[0]};
    part.entry[1] = (struct stamp_slice){encoded[1], encoded_len[1] - 1};
    assert_int_equal(stamp_registry_journal_put(books, &part, &counts, &err),
                     STAMP_E_FORMAT);
    stamp_error_clear(&err);
    assert_int_equal(counts.added, 0);
    must(stamp_registry_journal_list(books, all, &n, &err));
    assert_int_equal(n, 0);
}

static enum stamp_err see(void *ctx, const struct stamp_journal_device *d,
                          struct stamp_error *why)
{
    uint32_t *seen = ctx;

    (void)why;
    seen[0]++;
    seen[1] = d->lock;
    assert_int_equal(d->certificate_len, 3);
    assert_memory_equal(d->certificate, "abc", 3);
    return STAMP_OK;
}

static void the_newest_of_a_device_counts(void **state)
{
    struct stamp_journal_device d = {.certificate_len = 3, .at = 5};
    uint32_t seen[2] = {0, 0};

    (void)state;
    memcpy(d.certificate, "abc", 3);
    must(stamp_registry_journal_device(books, &d, &err));
    d.lock = 7;
    d.chip_len = sizeof d.chip;
    must(stamp_registry_journal_device(books, &d, &err));
    must(stamp_registry_journal_devices(books, see, seen, &err));
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 7);
}

static void pages_follow_each_other(void **state)
{
    enum { MANY = 300, HASH = STAMP_JOURNAL_HASH };
    uint8_t hash[HASH] = {0};
    uint8_t bytes[512];
    uint32_t seen[2] = {0, 0};

    (void)state;
    for (uint32_t i = 1; i <= MANY; i++) {
        struct stamp_journal_entry e = {.seq = i, .at = i, .kind = STAMP_JOURNAL_PAUSE};
        struct stamp_journal_stored counts = {0};
        size_t len;

        memcpy(e.previous, hash, HASH);
        e.why = (struct stamp_slice){(const uint8_t *)"token", 5};
        must(stamp_journal_entry_encode(&e, bytes, &len, &err));
        must(stamp_journal_entry_hash((struct stamp_slice){bytes, len}, hash, &err));
        part.n = 1;
        part.head = i;
        part.entry[0] = (struct stamp_slice){bytes, len};
        must(stamp_registry_journal_put(books, &part, &counts, &err));
    }
    must(stamp_registry_journal_each(books, part.station, 1, count, seen, &err));
    assert_int_equal(seen[0], MANY);
    seen[0] = seen[1] = 0;
    must(stamp_registry_journal_each(books, part.station, 200, count, seen, &err));
    assert_int_equal(seen[0], MANY - 199);
    assert_int_equal(have().missing, 0);
}

static void sql(sqlite3 *db, const char *text)
{
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
}

/* Books of before: journals.db of the workspace, as version 9 of the books wrote it. */
static void a_file_of_before_is_taken_over(void **state)
{
    char path[64];
    char taken[80];
    char text[4096];
    char body[1025];
    char hash_text[65];
    sqlite3 *db = NULL;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/journals.db", books_dir);
    (void)snprintf(taken, sizeof taken, "%s.taken", path);
    (void)unlink(taken);
    must(stamp_registry_journal_take_over(books, path, &err)); /* there is none */
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sql(db, "PRAGMA journal_mode = WAL;"
            "CREATE TABLE entry (station BLOB NOT NULL, seq INTEGER NOT NULL, hash BLOB"
            " NOT NULL, body BLOB NOT NULL, PRIMARY KEY (station, seq, hash)) STRICT,"
            " WITHOUT ROWID;"
            "CREATE TABLE head (station BLOB PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB"
            " NOT NULL) STRICT, WITHOUT ROWID;"
            "CREATE TABLE device (certificate BLOB PRIMARY KEY, chip BLOB NOT NULL, lock"
            " INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
            "INSERT INTO device VALUES (x'616263', x'', 7, 5);"
            "INSERT INTO head VALUES (x'0909090909090909090909090909090909090909090909090"
            "909090909090909', 9, zeroblob(32));");
    for (size_t i = 0; i < 8; i++) {
        uint8_t hash[STAMP_JOURNAL_HASH];

        must(stamp_journal_entry_hash((struct stamp_slice){encoded[i], encoded_len[i]},
                                      hash, &err));
        stamp_hex(hash, sizeof hash, hash_text);
        stamp_hex(encoded[i], encoded_len[i], body);
        (void)snprintf(text, sizeof text,
                       "INSERT INTO entry SELECT station, %zu, x'%s', x'%s' FROM head",
                       i + 1, hash_text, body);
        sql(db, text);
    }
    (void)sqlite3_close(db);
    (void)put(1, 3, 3); /* and some are on the books already */
    must(stamp_registry_journal_take_over(books, path, &err));
    assert_int_equal(have().entries, 8);
    assert_int_equal(have().head, 9);
    assert_int_equal(have().missing, 9);
    assert_int_equal(have().forks, 0);
    assert_int_equal(books_number("SELECT count(*) FROM journal_device"), 1);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(taken, F_OK), 0);
    (void)unlink(taken);
}

/* What no entry is. */
static void malformed_entries_are_refused(void **state)
{
    struct stamp_journal_entry e;

    (void)state;
    for (size_t cut = 0; cut < encoded_len[0]; cut++) {
        assert_int_equal(
            stamp_journal_entry_decode((struct stamp_slice){encoded[0], cut}, &e, &err),
            STAMP_E_FORMAT);
        stamp_error_clear(&err);
    }
    encoded[0][encoded_len[0]] = 0; /* one byte more */
    assert_int_equal(stamp_journal_entry_decode(
                         (struct stamp_slice){encoded[0], encoded_len[0] + 1}, &e, &err),
                     STAMP_E_FORMAT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, books_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(parts_come_in_any_order_and_again), TEST(what_was_cut_off_is_missed),
        TEST(forks_are_kept_beside_each_other),  TEST(a_part_is_taken_in_whole_or_not),
        TEST(the_newest_of_a_device_counts),     TEST(malformed_entries_are_refused),
        TEST(pages_follow_each_other),           TEST(a_file_of_before_is_taken_over),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
