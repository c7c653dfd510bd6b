/* Batches on the books: by one process or many, whole or broken off. */
#include "host/registry_batch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define CERTIFICATE_LEN 600u

static struct stamp_serial_pattern pattern;

static int open_books(void **state)
{
    pattern = books_pattern("SN-{counter:6}");
    return books_open(state);
}

/* ---- making devices ---- */

static enum stamp_err create(struct stamp_registry *r, const char *name, uint32_t count,
                             uint32_t share_size, struct stamp_registry_batch *batch,
                             struct stamp_error *err)
{
    struct stamp_registry_batch_setup setup = {.name = name,
                                               .product = "Sensor",
                                               .note = "for line 3",
                                               .pattern = &pattern,
                                               .count = count,
                                               .share_size = share_size,
                                               .now = NOW};

    return stamp_registry_batch_create(r, &setup, batch, NULL, err);
}

static struct stamp_registry_batch new_batch(uint32_t count, uint32_t share_size)
{
    struct stamp_registry_batch batch;
    struct stamp_error err = STAMP_ERROR_INIT;

    if (create(books, NULL, count, share_size, &batch, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    return batch;
}

/* Any device's bytes follow from its counter; false where the run refuses it. */
static bool add_device(struct stamp_registry_run *run, uint64_t counter)
{
    char serial[STAMP_SERIAL_SIZE];
    uint8_t key[32];
    uint8_t certificate[CERTIFICATE_LEN];
    struct stamp_registry_device d = {.serial = serial,
                                      .fingerprint = key,
                                      .certificate = certificate,
                                      .certificate_len = sizeof certificate};

    if (stamp_serial_format(&pattern, counter, NOW, serial, sizeof serial, NULL) !=
        STAMP_OK) {
        return false;
    }
    books_key(key, counter);
    for (size_t i = 0; i < sizeof certificate; i++) {
        certificate[i] = (uint8_t)(key[i % 32] + i / 32);
    }
    return stamp_registry_run_add(run, &d, NULL) == STAMP_OK;
}

/* Book the next n of a share. */
static enum stamp_err book(struct stamp_registry *r,
                           const struct stamp_registry_batch *batch,
                           struct stamp_registry_share *share, uint32_t n,
                           struct stamp_error *err)
{
    STAMP_REGISTRY_RUN_AUTO *run = NULL;
    char mark[32];
    enum stamp_err rc = stamp_registry_run_new(r, books_dir, &run, err);

    for (uint32_t i = 0; i < n && rc == STAMP_OK; i++) {
        if (!add_device(run, batch->first_counter + share->first + share->done + i)) {
            return STAMP_E_RANGE;
        }
    }
    (void)snprintf(mark, sizeof mark, "done %u", share->done + n);
    return rc == STAMP_OK ? stamp_registry_run_commit(r, run, share, mark, strlen(mark),
                                                      NOW + 10, err)
                          : rc;
}

static struct stamp_registry_share claim(uint32_t batch, uint32_t volume)
{
    struct stamp_registry_share share;

    assert_int_equal(stamp_registry_share_claim(books, batch, volume, &share, NULL),
                     STAMP_OK);
    return share;
}

static struct stamp_registry_batch whole_batch(uint32_t count)
{
    struct stamp_registry_batch batch = new_batch(count, 0);
    struct stamp_registry_share share = claim(batch.id, 0);

    assert_int_equal(book(books, &batch, &share, count, NULL), STAMP_OK);
    assert_int_equal(
        stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, NULL),
        STAMP_OK);
    return batch;
}

static struct stamp_registry_balance balance_of(uint32_t batch)
{
    struct stamp_registry_balance b;

    assert_int_equal(stamp_registry_balance(books, batch, &b, NULL), STAMP_OK);
    assert_int_equal(b.issued,
                     b.struck + b.scrapped + b.returned + b.revoked + b.outstanding);
    return b;
}

static const char *serial_of(uint64_t counter)
{
    static char serial[STAMP_SERIAL_SIZE];

    assert_int_equal(
        stamp_serial_format(&pattern, counter, NOW, serial, sizeof serial, NULL),
        STAMP_OK);
    return serial;
}

static enum stamp_err change(uint64_t counter, enum stamp_registry_state to, time_t at)
{
    struct stamp_registry_change c = {.serial = serial_of(counter), .to = to, .at = at};

    return stamp_registry_change(books, &c, 1, NULL, NULL);
}

/* ---- the block ---- */

static void block_is_reserved_before_anything_is_made(void **state)
{
    struct stamp_registry_batch batch = new_batch(100, 0);
    struct stamp_registry_row row;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint64_t reserved;

    (void)state;
    assert_int_equal(batch.first_counter, 1);
    assert_int_equal(batch.count, 100);
    assert_string_equal(batch.note, "for line 3");
    books_reopen();
    assert_int_equal(balance_of(batch.id).reserved, 100);
    assert_int_equal(balance_of(batch.id).issued, 0);
    assert_int_equal(
        stamp_registry_count(books, STAMP_REGISTRY_RESERVED, &reserved, NULL), STAMP_OK);
    assert_int_equal(reserved, 100);
    /* whoever asks for one of them hears where it is */
    assert_int_equal(stamp_registry_find(books, "SN-000100", &row, &err),
                     STAMP_E_MISSING);
    assert_non_null(strstr(err.hint, "batch '1' has reserved it"));
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, &row, 1, NULL), STAMP_OK);
    assert_string_equal(row.serial, "SN-000101");
}

static void serial_by_hand_stays_out_of_an_open_block(void **state)
{
    struct stamp_registry_row row;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    (void)new_batch(100, 0);
    assert_int_equal(
        stamp_registry_reserve_serial(books, "Sensor", "SN-000050", NOW, &row, &err),
        STAMP_E_DUPLICATE);
    assert_string_equal(err.what, "serial 'SN-000050' lies in the block of batch '1'");
    /* another length is another serial */
    assert_int_equal(
        stamp_registry_reserve_serial(books, "Sensor", "SN-00005", NOW, &row, NULL),
        STAMP_OK);
}

static void block_stays_clear_of_serials_by_hand(void **state)
{
    struct stamp_registry_batch batch;
    struct stamp_registry_row row;

    (void)state;
    assert_int_equal(
        stamp_registry_reserve_serial(books, "Sensor", "SN-000050", NOW, &row, NULL),
        STAMP_OK);
    batch = new_batch(100, 0);
    assert_int_equal(batch.first_counter, 101);
    assert_int_equal(new_batch(100, 0).first_counter, 201);
}

static void pattern_that_is_used_up_makes_no_batch(void **state)
{
    struct stamp_registry_batch batch;

    (void)state;
    (void)new_batch(900000, 0);
    assert_int_equal(create(books, NULL, 100000, 0, &batch, NULL), STAMP_E_RANGE);
    assert_int_equal(batch.id, 0);
    assert_int_equal(create(books, NULL, 99999, 0, &batch, NULL), STAMP_OK);
}

static void name_stands_for_one_batch(void **state)
{
    struct stamp_registry_batch a;
    struct stamp_registry_batch b;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(create(books, "B-7", 10, 0, &a, NULL), STAMP_OK);
    assert_int_equal(create(books, "B-7", 10, 0, &b, NULL), STAMP_OK);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(create(books, "B-7", 11, 0, &b, &err), STAMP_E_EXISTS);
    assert_string_equal(err.what, "batch 'B-7' is there already: 10 of 'Sensor'");
    assert_int_equal(create(books, "7", 10, 0, &b, NULL), STAMP_E_RANGE);
    assert_int_equal(create(books, "", 10, 0, &b, NULL), STAMP_E_RANGE);
    assert_int_equal(stamp_registry_batch_find(books, "B-7", &b, NULL), STAMP_OK);
    assert_int_equal(b.id, a.id);
    assert_int_equal(stamp_registry_batch_find_uid(books, a.uid, &b, NULL), STAMP_OK);
    assert_int_equal(b.id, a.id);
    assert_int_equal(stamp_registry_batch_find(books, "B-8", &b, NULL), STAMP_E_MISSING);
    assert_int_equal(new_batch(5, 0).id, 2);
    assert_int_equal(stamp_registry_batch_find(books, "2", &b, NULL), STAMP_OK);
    assert_int_equal(b.count, 5);
}

static void owner_finds_the_batch_that_it_makes(void **state)
{
    struct stamp_registry_batch_setup setup = {.name = "B-7",
                                               .product = "Sensor",
                                               .pattern = &pattern,
                                               .count = 10,
                                               .now = NOW,
                                               .owner = "host-a:/x"};
    struct stamp_registry_batch a;
    struct stamp_registry_batch b;
    struct stamp_registry_share share;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint32_t volume = 7;

    (void)state;
    assert_int_equal(stamp_registry_batch_find_owner(books, "host-a:/x", &a, &err),
                     STAMP_E_MISSING);
    assert_string_equal(err.what, "no batch that 'host-a:/x' makes is open");
    for (unsigned round = 0; round < 2; round++) { /* its volume is there only once */
        assert_int_equal(stamp_registry_batch_create(books, &setup, &a, NULL, NULL),
                         STAMP_OK);
    }
    assert_int_equal(books_number("SELECT count(*) FROM batch_volume"), 1);
    setup.owner = "host-b:/x"; /* another machine joins */
    assert_int_equal(stamp_registry_batch_create(books, &setup, &b, NULL, NULL),
                     STAMP_OK);
    assert_int_equal(b.id, a.id);
    assert_int_equal(stamp_registry_volume(books, a.id, "host-b:/x", &volume, NULL),
                     STAMP_OK);
    assert_int_equal(volume, 1);
    setup.owner = "";
    assert_int_equal(stamp_registry_batch_create(books, &setup, &b, NULL, NULL),
                     STAMP_E_RANGE);
    books_reopen();
    assert_int_equal(stamp_registry_batch_find_owner(books, "host-a:/x", &b, NULL),
                     STAMP_OK);
    assert_memory_equal(&a, &b, sizeof a);
    share = claim(a.id, 0);
    assert_int_equal(book(books, &a, &share, 10, NULL), STAMP_OK);
    assert_int_equal(
        stamp_registry_batch_step(books, a.id, STAMP_REGISTRY_BATCH_MADE, NULL),
        STAMP_OK);
    assert_int_equal(stamp_registry_batch_find_owner(books, "host-a:/x", &b, NULL),
                     STAMP_OK);
    setup.name = NULL; /* a newer one of the same owner */
    setup.owner = "host-a:/x";
    assert_int_equal(stamp_registry_batch_create(books, &setup, &a, NULL, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_registry_batch_find_owner(books, "host-a:/x", &b, NULL),
                     STAMP_OK);
    assert_int_equal(b.id, a.id);
    assert_int_equal(stamp_registry_batch_find_owner(books, "host-b:/x", &b, NULL),
                     STAMP_OK);
    assert_string_equal(b.name, "B-7");
    assert_int_equal(
        stamp_registry_batch_step(books, b.id, STAMP_REGISTRY_BATCH_CLOSED, NULL),
        STAMP_OK);
    assert_int_equal(stamp_registry_batch_find_owner(books, "host-b:/x", &b, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(b.id, 0);
}

static void batches_are_listed_by_page(void **state)
{
    struct stamp_registry_batch page[4];
    struct stamp_registry_row row;
    uint32_t after = 0;
    size_t n = 4;
    unsigned total = 0;

    (void)state;
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW, &row, 1, NULL), STAMP_OK);
    for (uint32_t i = 0; i < 10; i++) {
        (void)new_batch(1 + i, 0);
    }
    while (n == 4) {
        assert_int_equal(stamp_registry_batch_list(books, after, page, 4, &n, NULL),
                         STAMP_OK);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(page[i].count, ++total);
            after = page[i].id;
        }
    }
    assert_int_equal(total, 10); /* and none for what was made one by one */
}

/* ---- runs ---- */

static bool keep_entry(void *ctx, const struct stamp_registry_entry *entry)
{
    struct stamp_registry_entry **next = ctx;

    *(*next)++ = *entry;
    return true;
}

static void run_is_on_the_books_with_one_history(void **state)
{
    struct stamp_registry_batch batch;
    struct stamp_registry_row row;
    struct stamp_registry_entry history[4];
    struct stamp_registry_entry *end = history;
    uint8_t key[32];
    uint8_t serial[16];

    (void)state;
    stamp_registry_author(books, "maker", "hall 2");
    batch = whole_batch(1000);
    assert_int_equal(stamp_registry_find(books, "SN-000778", &row, NULL), STAMP_OK);
    assert_int_equal(row.state, STAMP_REGISTRY_ISSUED);
    assert_int_equal(row.at, NOW + 10);
    assert_false(row.own);
    assert_string_equal(row.product, "Sensor");
    assert_int_equal(stamp_registry_batch_of(&row), batch.id);
    books_key(key, 778);
    assert_memory_equal(row.fingerprint, key, 32);
    stamp_registry_batch_serial(&batch, 777, serial);
    assert_memory_equal(row.certificate_serial, serial, 16);
    assert_int_equal(serial[15], 777 & 0xFF);
    assert_int_equal(row.certificate_len, CERTIFICATE_LEN);
    assert_int_equal(row.certificate[599], (uint8_t)(key[599 % 32] + 599 / 32));
    stamp_registry_row_fini(&row);
    assert_int_equal(stamp_registry_find_key(books, key, &row, NULL), STAMP_OK);
    assert_string_equal(row.serial, "SN-000778");
    stamp_registry_row_fini(&row);
    assert_int_equal(books_number("SELECT count(*) FROM event"), 0);
    assert_int_equal(change(778, STAMP_REGISTRY_STRUCK, NOW + 20), STAMP_OK);
    assert_int_equal(stamp_registry_history(books, "SN-000778", keep_entry, &end, NULL),
                     STAMP_OK);
    assert_int_equal(end - history, 3);
    assert_int_equal(history[0].state, STAMP_REGISTRY_RESERVED);
    assert_string_equal(history[0].why, "for line 3");
    assert_int_equal(history[1].state, STAMP_REGISTRY_ISSUED);
    assert_int_equal(history[1].at, NOW + 10);
    assert_string_equal(history[1].where, "hall 2");
    assert_int_equal(history[2].state, STAMP_REGISTRY_STRUCK);
}

static void run_goes_on_where_the_last_one_ended(void **state)
{
    struct stamp_registry_batch batch = new_batch(250, 0);
    struct stamp_registry_share share = claim(batch.id, 0);

    (void)state;
    assert_int_equal(book(books, &batch, &share, 100, NULL), STAMP_OK);
    assert_int_equal(share.done, 100);
    assert_int_equal(book(books, &batch, &share, 1, NULL), STAMP_OK);
    books_reopen();
    share = claim(batch.id, 0);
    assert_int_equal(share.done, 101);
    assert_int_equal(share.n, 250);
    assert_int_equal(share.mark_len, 8);
    assert_memory_equal(share.mark, "done 101", 8);
    assert_int_equal(book(books, &batch, &share, 150, NULL), STAMP_E_RANGE);
    assert_int_equal(
        stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, NULL),
        STAMP_E_STATE);
    assert_int_equal(book(books, &batch, &share, 149, NULL), STAMP_OK);
    assert_int_equal(balance_of(batch.id).issued, 250);
    assert_int_equal(balance_of(batch.id).reserved, 0);
    assert_int_equal(stamp_registry_share_claim(books, batch.id, 0, &share, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(books_number("SELECT count(*) FROM device"), 250);
    assert_int_equal(books_number("SELECT count(*) FROM claim_serial"), 250);
    assert_int_equal(books_number("SELECT count(*) FROM claim_key"), 250);
}

static void states_of_a_batch_follow_each_other(void **state)
{
    struct stamp_registry_batch batch = new_batch(3, 0);
    struct stamp_registry_share share = claim(batch.id, 0);
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(
        stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_CLOSED, &err),
        STAMP_E_STATE);
    assert_string_equal(err.what, "batch '1' is open and cannot become closed");
    assert_int_equal(book(books, &batch, &share, 3, NULL), STAMP_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, NULL),
            STAMP_OK);
    }
    assert_int_equal(
        stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_CLOSED, NULL),
        STAMP_OK);
    assert_int_equal(stamp_registry_batch_get(books, batch.id, &batch, NULL), STAMP_OK);
    assert_int_equal(batch.state, STAMP_REGISTRY_BATCH_CLOSED);
    assert_int_equal(
        stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, NULL),
        STAMP_E_STATE);
}

static void key_or_serial_that_is_there_books_nothing(void **state)
{
    struct stamp_registry_batch batch = whole_batch(50);
    struct stamp_registry_batch next = new_batch(50, 0);
    struct stamp_registry_share share = claim(next.id, 0);
    struct stamp_registry_share before = share;
    uint8_t key[32];
    uint8_t certificate[100] = {0};
    struct stamp_registry_device d = {.serial = "SN-000061",
                                      .fingerprint = key,
                                      .certificate = certificate,
                                      .certificate_len = sizeof certificate};
    STAMP_REGISTRY_RUN_AUTO *run = NULL;

    (void)state;
    assert_int_equal(stamp_registry_run_new(books, books_dir, &run, NULL), STAMP_OK);
    for (uint64_t i = 51; i <= 60; i++) {
        assert_true(add_device(run, i));
    }
    books_key(key, 7); /* of the first batch */
    assert_int_equal(stamp_registry_run_add(run, &d, NULL), STAMP_OK);
    for (unsigned i = 0; i < 2; i++) { /* and the run stays what it is */
        struct stamp_error err = STAMP_ERROR_INIT;

        assert_int_equal(
            stamp_registry_run_commit(books, run, &share, NULL, 0, NOW, &err),
            STAMP_E_DUPLICATE);
        assert_non_null(strstr(err.what, "on the books already"));
        assert_int_equal(stamp_registry_run_count(run), 11);
        assert_memory_equal(&share, &before, sizeof share);
    }
    assert_int_equal(balance_of(next.id).issued, 0);
    stamp_registry_run_free(&run);

    assert_int_equal(stamp_registry_run_new(books, books_dir, &run, NULL), STAMP_OK);
    assert_true(add_device(run, 51));
    books_key(key, 1061);
    d.serial = "SN-000003"; /* of the first batch */
    assert_int_equal(stamp_registry_run_add(run, &d, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_run_commit(books, run, &share, NULL, 0, NOW, NULL),
                     STAMP_E_DUPLICATE);
    stamp_registry_run_free(&run);
    assert_int_equal(book(books, &next, &share, 50, NULL), STAMP_OK);
    assert_int_equal(balance_of(batch.id).issued, 50);
}

static void what_is_no_device_is_not_added(void **state)
{
    uint8_t key[32] = {0};
    uint8_t certificate[STAMP_MAX_CERTIFICATE + 1] = {0};
    struct stamp_registry_device d = {.serial = "",
                                      .fingerprint = key,
                                      .certificate = certificate,
                                      .certificate_len = 100};
    STAMP_REGISTRY_RUN_AUTO *run = NULL;

    (void)state;
    assert_int_equal(stamp_registry_run_new(books, "/nonexistent", &run, NULL),
                     STAMP_E_IO);
    assert_null(run);
    assert_int_equal(stamp_registry_run_new(books, books_dir, &run, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_run_add(run, &d, NULL), STAMP_E_RANGE);
    d.serial = "A";
    d.certificate_len = sizeof certificate;
    assert_int_equal(stamp_registry_run_add(run, &d, NULL), STAMP_E_RANGE);
    d.certificate_len = 0;
    assert_int_equal(stamp_registry_run_add(run, &d, NULL), STAMP_E_RANGE);
    assert_int_equal(stamp_registry_run_count(run), 0);
    d.certificate_len = STAMP_MAX_CERTIFICATE;
    assert_int_equal(stamp_registry_run_add(run, &d, NULL), STAMP_OK);
}

static void balance_counts_how_stamps_were_used_up(void **state)
{
    struct stamp_registry_batch batch = whole_batch(20);
    struct stamp_registry_balance b;

    (void)state;
    assert_int_equal(change(1, STAMP_REGISTRY_STRUCK, NOW), STAMP_OK);
    assert_int_equal(change(2, STAMP_REGISTRY_STRUCK, NOW), STAMP_OK);
    assert_int_equal(change(2, STAMP_REGISTRY_SCRAPPED, NOW + 1), STAMP_OK);
    assert_int_equal(change(3, STAMP_REGISTRY_SCRAPPED, NOW), STAMP_OK);
    assert_int_equal(change(4, STAMP_REGISTRY_RETURNED, NOW), STAMP_OK);
    assert_int_equal(change(4, STAMP_REGISTRY_REVOKED, NOW + 1), STAMP_OK);
    assert_int_equal(change(5, STAMP_REGISTRY_REVOKED, NOW), STAMP_OK);
    b = balance_of(batch.id);
    assert_int_equal(b.issued, 20);
    assert_int_equal(b.struck, 2);
    assert_int_equal(b.scrapped, 1);
    assert_int_equal(b.returned, 1);
    assert_int_equal(b.revoked, 1);
    assert_int_equal(b.outstanding, 15);
    assert_int_equal(b.state[STAMP_REGISTRY_SCRAPPED], 2);
    assert_int_equal(b.state[STAMP_REGISTRY_REVOKED], 2);
}

/* ---- shares ---- */

static void volumes_get_different_shares_and_keep_their_number(void **state)
{
    struct stamp_registry_batch batch = new_batch(25, 10);
    struct stamp_registry_share a;
    struct stamp_registry_share b;
    struct stamp_registry_share list[4];
    uint32_t volume;
    size_t n;

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(
            stamp_registry_volume(books, batch.id, "host-a:/x", &volume, NULL), STAMP_OK);
        assert_int_equal(volume, 0);
        assert_int_equal(
            stamp_registry_volume(books, batch.id, "host-b:/x", &volume, NULL), STAMP_OK);
        assert_int_equal(volume, 1);
    }
    assert_int_equal(stamp_registry_volume(books, 77, "host-a:/x", &volume, NULL),
                     STAMP_E_MISSING);
    a = claim(batch.id, 0);
    b = claim(batch.id, 1);
    assert_int_equal(a.first, 0);
    assert_int_equal(b.first, 10);
    assert_int_equal(claim(batch.id, 0).first, 0); /* its own until it is done */
    assert_int_equal(book(books, &batch, &b, 10, NULL), STAMP_OK);
    b = claim(batch.id, 1);
    assert_int_equal(b.first, 20);
    assert_int_equal(b.n, 5);
    assert_int_equal(stamp_registry_share_list(books, batch.id, 1, list, 4, &n, NULL),
                     STAMP_OK);
    assert_int_equal(n, 2);
    assert_int_equal(list[0].first, 10);
    assert_int_equal(list[0].done, 10);
    assert_int_equal(list[1].done, 0);
    assert_int_equal(book(books, &batch, &b, 5, NULL), STAMP_OK);
    assert_int_equal(book(books, &batch, &a, 10, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_share_claim(books, batch.id, 1, &b, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(balance_of(batch.id).issued, 25);
}

static void lost_volume_is_taken_over_and_books_nothing_more(void **state)
{
    struct stamp_registry_batch batch = new_batch(30, 10);
    struct stamp_registry_share lost = claim(batch.id, 0);
    struct stamp_registry_share share;
    struct stamp_error err = STAMP_ERROR_INIT;
    unsigned shares = 0;

    (void)state;
    assert_int_equal(book(books, &batch, &lost, 4, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_share_release(books, batch.id, 0, NULL), STAMP_OK);
    assert_int_equal(book(books, &batch, &lost, 6, &err), STAMP_E_STATE);
    assert_non_null(strstr(err.what, "not volume 0's any more"));
    while (stamp_registry_share_claim(books, batch.id, 1, &share, NULL) == STAMP_OK) {
        assert_int_equal(book(books, &batch, &share, share.n - share.done, NULL),
                         STAMP_OK);
        shares++;
    }
    assert_int_equal(shares, 3);
    assert_int_equal(balance_of(batch.id).issued, 30);
    assert_int_equal(
        stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, NULL),
        STAMP_OK);
}

/* ---- many processes ---- */

/* What `batch create` does, without the stamps: 0 = the batch is made as far as this
 * process can see. */
static int make_part(const char *owner, uint32_t count, uint32_t share_size, uint32_t run)
{
    struct stamp_registry *r = NULL;
    struct stamp_registry_batch batch;
    struct stamp_registry_share share;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint32_t volume;
    enum stamp_err rc = stamp_registry_open(books_where, &r, &err);

    if (rc == STAMP_OK) {
        rc = create(r, "shared", count, share_size, &batch, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_volume(r, batch.id, owner, &volume, &err);
    }
    while (rc == STAMP_OK) {
        rc = stamp_registry_share_claim(r, batch.id, volume, &share, &err);
        while (rc == STAMP_OK && share.done < share.n) {
            uint32_t left = share.n - share.done;

            rc = book(r, &batch, &share, left < run ? left : run, &err);
        }
    }
    if (rc != STAMP_E_MISSING) {
        stamp_error_print(&err, owner);
        return 1;
    }
    stamp_registry_close(&r);
    return 0;
}

/* Each serial once, with its own key, from `count` devices on. */
static void check_whole(uint32_t count)
{
    struct stamp_registry_batch batch;

    assert_int_equal(stamp_registry_batch_find(books, "shared", &batch, NULL), STAMP_OK);
    assert_int_equal(balance_of(batch.id).issued, count);
    assert_int_equal(books_number("SELECT count(*) FROM device WHERE state = 1"), count);
    assert_int_equal(books_number("SELECT sum(n) FROM run"), count);
    assert_int_equal(
        books_number(
            "SELECT count(*) FROM device d JOIN claim_serial s ON s.device = d.id"
            " AND s.serial = d.serial JOIN claim_key k ON k.device = d.id"
            " AND k.fingerprint = d.fingerprint"),
        count);
    for (uint32_t i = 0; i < count; i += 1 + count / 50) {
        struct stamp_registry_row row;
        uint8_t key[32];

        assert_int_equal(
            stamp_registry_find(books, serial_of(batch.first_counter + i), &row, NULL),
            STAMP_OK);
        assert_int_equal(row.id & 0xFFFFFFFF, i);
        books_key(key, batch.first_counter + i);
        assert_memory_equal(row.fingerprint, key, 32);
        stamp_registry_row_fini(&row);
    }
    assert_int_equal(
        stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, NULL),
        STAMP_OK);
}

static void processes_share_a_batch(void **state)
{
    enum { PROCESSES = 4, COUNT = 3000 };
    pid_t pid[PROCESSES];

    (void)state;
    for (int i = 0; i < PROCESSES; i++) {
        pid[i] = fork();
        assert_int_not_equal(pid[i], -1);
        if (pid[i] == 0) {
            char owner[16];

            (void)snprintf(owner, sizeof owner, "process %d", i);
            _exit(make_part(owner, COUNT, 100, 40));
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;

        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    check_whole(COUNT);
    assert_int_equal(books_number("SELECT count(*) FROM batch"), 1);
    assert_in_range(books_number("SELECT count(DISTINCT volume) FROM batch_share"), 1,
                    PROCESSES);
    assert_int_equal(books_number("SELECT count(*) FROM batch_share WHERE done = n"),
                     COUNT / 100);
}

static void killed_batch_goes_on_and_is_whole(void **state)
{
    enum { COUNT = 4000, ROUNDS = 400 };
    unsigned kills = 0;
    int status = 1;

    (void)state;
    for (unsigned round = 0; round < ROUNDS && status != 0; round++) {
        pid_t pid = fork();

        assert_int_not_equal(pid, -1);
        if (pid == 0) {
            _exit(make_part("the one", COUNT, 700, 60));
        }
        (void)usleep(2000 + 1700 * (round % 40));
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        kills += WIFSIGNALED(status);
    }
    if (status != 0) { /* a slow machine: let it end */
        assert_int_equal(make_part("the one", COUNT, 700, 60), 0);
    }
    assert_true(kills > 0);
    check_whole(COUNT);
}

/* ---- lists ---- */

struct seen {
    struct stamp_registry_row rows[600];
    size_t n;
};

static void list_all(const struct stamp_registry_filter *f, size_t page,
                     struct seen *seen)
{
    size_t n = page;

    seen->n = 0;
    while (n == page) {
        const struct stamp_registry_row *after =
            seen->n == 0 ? NULL : &seen->rows[seen->n - 1];

        assert_true(seen->n + page <= 600);
        assert_int_equal(
            stamp_registry_list(books, f, after, seen->rows + seen->n, page, &n, NULL),
            STAMP_OK);
        seen->n += n;
    }
}

static void forget(struct seen *seen)
{
    for (size_t i = 0; i < seen->n; i++) {
        stamp_registry_row_fini(&seen->rows[i]);
    }
}

static bool fits(const struct stamp_registry_row *row,
                 const struct stamp_registry_filter *f)
{
    return (!f->by_state || row->state == f->state) &&
           (f->product == NULL || strcmp(f->product, row->product) == 0) &&
           (f->batch == 0 || stamp_registry_batch_of(row) == f->batch) &&
           (f->since == 0 || row->at >= f->since);
}

/* The pages hold just what fits, each once. */
static void check_filter(const struct seen *all, const struct stamp_registry_filter *f,
                         size_t page)
{
    static struct seen seen;
    size_t expected = 0;

    list_all(f, page, &seen);
    for (size_t i = 0; i < all->n; i++) {
        size_t times = 0;

        for (size_t k = 0; k < seen.n; k++) {
            times += seen.rows[k].id == all->rows[i].id;
        }
        assert_int_equal(times, fits(&all->rows[i], f));
        expected += fits(&all->rows[i], f);
    }
    assert_int_equal(seen.n, expected);
    for (size_t i = 1; i < seen.n && f->since == 0; i++) {
        assert_true(seen.rows[i - 1].id < seen.rows[i].id);
    }
    forget(&seen);
}

/* Batches of two products, stamps made one by one, and all kinds of changes. */
static void fill_books(void)
{
    static const enum stamp_registry_state to[] = {
        STAMP_REGISTRY_STRUCK, STAMP_REGISTRY_SCRAPPED, STAMP_REGISTRY_RETURNED,
        STAMP_REGISTRY_REVOKED};
    struct stamp_registry_row rows[40];

    for (unsigned i = 0; i < 4; i++) {
        struct stamp_registry_batch_setup setup = {.product =
                                                       i % 2 ? "Gateway" : "Sensor",
                                                   .pattern = &pattern,
                                                   .count = 100 + i,
                                                   .now = NOW + 100 * (time_t)i};
        struct stamp_registry_batch batch;
        struct stamp_registry_share share;

        assert_int_equal(stamp_registry_batch_create(books, &setup, &batch, NULL, NULL),
                         STAMP_OK);
        share = claim(batch.id, 0);
        while (share.done < share.n) {
            uint32_t left = share.n - share.done;

            assert_int_equal(book(books, &batch, &share, left < 33 ? left : 33, NULL),
                             STAMP_OK);
        }
        for (uint32_t k = 0; k < batch.count; k += 1 + i) {
            if (k % 7 != 0) {
                assert_int_equal(change(batch.first_counter + k, to[(k + i) % 4],
                                        NOW + (time_t)(k * 13 % 300)),
                                 STAMP_OK);
            }
        }
    }
    assert_int_equal(
        stamp_registry_reserve(books, "Sensor", &pattern, NOW + 5, rows, 40, NULL),
        STAMP_OK);
    for (unsigned i = 0; i < 30; i++) {
        books_key(rows[i].fingerprint, 1000000 + i);
        assert_int_equal(
            stamp_registry_issue(books, &rows[i], 1, NOW + (time_t)i * 9, NULL),
            STAMP_OK);
    }
}

static void check_times(const struct seen *all, struct stamp_registry_filter *f,
                        size_t page)
{
    static const time_t times[] = {0, NOW, NOW + 10, NOW + 11, NOW + 150, NOW + 900};

    for (unsigned t = 0; t < 6; t++) {
        f->since = times[t];
        check_filter(all, f, 1 + (page + (size_t)t * 11) % 40);
    }
}

static void pages_hold_what_fits_each_device_once(void **state)
{
    static const char *const products[] = {NULL, "Sensor", "Gateway", "Nothing"};
    static struct seen all;
    struct stamp_registry_filter f = {0};

    (void)state;
    fill_books();
    list_all(&f, 100, &all);
    assert_int_equal(all.n, 446);
    for (unsigned s = 0; s <= STAMP_REGISTRY_STATES; s++) {
        f.by_state = s < STAMP_REGISTRY_STATES;
        f.state = (enum stamp_registry_state)(f.by_state ? s : 0);
        for (unsigned p = 0; p < 4; p++) {
            f.product = products[p];
            for (f.batch = 0; f.batch < 7; f.batch++) {
                check_times(&all, &f, s + (size_t)p * 5);
            }
        }
    }
    forget(&all);
}

#define BOOK(test) cmocka_unit_test_setup_teardown(test, open_books, books_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        BOOK(block_is_reserved_before_anything_is_made),
        BOOK(serial_by_hand_stays_out_of_an_open_block),
        BOOK(block_stays_clear_of_serials_by_hand),
        BOOK(pattern_that_is_used_up_makes_no_batch),
        BOOK(name_stands_for_one_batch),
        BOOK(owner_finds_the_batch_that_it_makes),
        BOOK(batches_are_listed_by_page),
        BOOK(run_is_on_the_books_with_one_history),
        BOOK(run_goes_on_where_the_last_one_ended),
        BOOK(states_of_a_batch_follow_each_other),
        BOOK(key_or_serial_that_is_there_books_nothing),
        BOOK(what_is_no_device_is_not_added),
        BOOK(balance_counts_how_stamps_were_used_up),
        BOOK(volumes_get_different_shares_and_keep_their_number),
        BOOK(lost_volume_is_taken_over_and_books_nothing_more),
        BOOK(processes_share_a_batch),
        BOOK(killed_batch_goes_on_and_is_whole),
        BOOK(pages_hold_what_fits_each_device_once),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
