/* Headquarters' copies of journals: taken in in any order, as often as wanted; gaps and
 * forks are seen, and nothing is replaced. SPEC 15-2, 15-10. */
#include "host/journal_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];
static struct stamp_journal_store *store;
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

    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/stamp-store-%ld.db", (long)getpid());
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
    return stamp_journal_store_open(path, &store, &err) == STAMP_OK ? 0 : -1;
}

static int end(void **state)
{
    char name[80];

    (void)state;
    stamp_journal_store_close(&store);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path,
                       i == 0   ? ""
                       : i == 1 ? "-wal"
                                : "-shm");
        (void)unlink(name);
    }
    return 0;
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
    must(stamp_journal_store_put(store, &part, &counts, &err));
    return counts;
}

static struct stamp_journal_have have(void)
{
    struct stamp_journal_have all[4];
    size_t n = 4;

    must(stamp_journal_store_list(store, all, &n, &err));
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
        must(stamp_journal_store_put(store, &part, &counts, &err));
        assert_int_equal(counts.forks, turn == 0 ? 1 : 0);
        assert_int_equal(counts.known, turn);
    }
    assert_int_equal(have().forks, 1);
    assert_int_equal(have().missing, 0);
    must(stamp_journal_store_each(store, part.station, 1, count, seen, &err));
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
    assert_int_equal(stamp_journal_store_put(store, &part, &counts, &err),
                     STAMP_E_FORMAT);
    stamp_error_clear(&err);
    assert_int_equal(counts.added, 0);
    must(stamp_journal_store_list(store, all, &n, &err));
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
    must(stamp_journal_store_device(store, &d, &err));
    d.lock = 7;
    d.chip_len = sizeof d.chip;
    must(stamp_journal_store_device(store, &d, &err));
    must(stamp_journal_store_devices(store, see, seen, &err));
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 7);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parts_come_in_any_order_and_again), TEST(what_was_cut_off_is_missed),
        TEST(forks_are_kept_beside_each_other),  TEST(a_part_is_taken_in_whole_or_not),
        TEST(the_newest_of_a_device_counts),     TEST(malformed_entries_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
