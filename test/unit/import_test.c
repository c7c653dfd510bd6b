/*
 * Results go on the books of headquarters: each kind of conflict, and what is booked
 * where there is none. SPEC 12-9, 12-10.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/import.h"
#include "test/fixture/results.h"
#include "test/unit/books/books.h"

#define COUNT 6u
#define SHARE 3u
#define MANY 2600u /* more than go to the books together, twice */
#define T ((time_t)1774001000)

static struct batch_fixture f;
static struct stamp_workspace ws;
static struct stamp_registry_batch batch;
static struct results_maker here;  /* books of the volume */
static struct results_maker there; /* others, of a copy of the file */
static struct stamp_books_line lines[MANY];
static struct results_text text;
static struct stamp_imported done;
static struct stamp_error err;
static char path[80];
static char told[2048]; /* conflicts, a line each */
static unsigned n_told;

static void must(enum stamp_err rc)
{
    if (rc != STAMP_OK) {
        fail_msg("%d: %s", rc, err.what);
    }
}

/* ---- a batch on the books ---- */

static void serial_of(uint32_t index, char out[STAMP_SERIAL_SIZE])
{
    (void)snprintf(out, STAMP_SERIAL_SIZE, "SN-%06u", (unsigned)index + 1);
}

static void make_batch(uint32_t count, uint32_t share)
{
    struct stamp_serial_pattern pattern = books_pattern("SN-{counter:6}");
    struct stamp_registry_batch_setup setup = {.product = "Thermostat",
                                               .pattern = &pattern,
                                               .count = count,
                                               .share_size = share,
                                               .now = BOOKS_NOW};

    must(stamp_registry_batch_create(books, &setup, &batch, NULL, &err));
}

/* Claim a share for a volume, and issue it. */
static uint32_t issue_share(uint32_t volume)
{
    static const uint8_t certificate[64] = {0x30};
    struct stamp_registry_share share;
    STAMP_REGISTRY_RUN_AUTO *run = NULL;
    char serial[STAMP_SERIAL_SIZE];
    uint8_t key[32];

    must(stamp_registry_share_claim(books, batch.id, volume, &share, &err));
    must(stamp_registry_run_new(books, books_dir, &run, &err));
    for (uint32_t i = share.first; i < share.first + share.n; i++) {
        struct stamp_registry_device d = {.serial = serial,
                                          .fingerprint = key,
                                          .certificate = certificate,
                                          .certificate_len = sizeof certificate};

        serial_of((uint32_t)batch.first_counter - 1 + i, serial);
        books_key(key, batch.first_counter + i);
        must(stamp_registry_run_add(run, &d, &err));
    }
    must(stamp_registry_run_commit(books, run, &share, NULL, 0, BOOKS_NOW, &err));
    return share.first;
}

/* A batch file of these serials; nobody opens its stamps. */
static void write_file(uint32_t volume, uint32_t first, uint32_t count)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];
    struct stamp_batch_setup setup = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, count);
    struct stamp_batch_record record;
    char serial[STAMP_SERIAL_SIZE];

    memcpy(setup.id, batch.uid, sizeof setup.id);
    setup.volume = volume;
    batch_fixture_clean(&f);
    must(stamp_batch_writer_open(f.path, &setup, NULL, NULL, &w, &err));
    must(stamp_batch_sealer_new(w, &sealer, &err));
    for (uint32_t i = 0; i < count; i++) {
        serial_of(first + i, serial);
        must(stamp_batch_seal(sealer, i, serial, batch_fixture_body(&f, first + i), bytes,
                              sizeof bytes, &record, &err));
        must(stamp_batch_append(w, bytes, &record, &err));
    }
    must(stamp_batch_finish(w, &closing, &err));
}

/* ---- results ---- */

/* All returned. */
static void say_returned(uint32_t first, uint32_t n)
{
    memset(lines, 0, sizeof lines);
    for (uint32_t i = 0; i < n; i++) {
        lines[i].index = i;
        serial_of(first + i, lines[i].serial);
    }
    text = (struct results_text){.version = 1,
                                 .number = 1,
                                 .made_at = (uint32_t)T + 50,
                                 .events = 10,
                                 .lines = lines,
                                 .n = n};
}

static void say(uint32_t i, enum stamp_books_result result, const char *chip)
{
    struct stamp_books_line *e = &lines[i];
    char serial[STAMP_SERIAL_SIZE];

    memcpy(serial, e->serial, sizeof serial);
    *e = (struct stamp_books_line){.index = e->index, .result = result};
    memcpy(e->serial, serial, sizeof serial);
    if (result != STAMP_BOOKS_UNUSED) {
        e->handed_at = T;
    }
    if (result == STAMP_BOOKS_STRUCK || result == STAMP_BOOKS_SCRAPPED) {
        e->reported_at = T + (time_t)i;
        (void)snprintf(e->chip, sizeof e->chip, "%s", chip);
        (void)snprintf(e->who, sizeof e->who, "ann");
        (void)snprintf(e->where, sizeof e->where, "line 1");
    }
    if (result == STAMP_BOOKS_SCRAPPED) {
        (void)snprintf(e->reason, sizeof e->reason, "bent");
    }
}

/* 0 struck on c0, 1 struck on an unknown chip, 2 scrapped, 3 in doubt, the rest returned.
 */
static void say_usual(void)
{
    say_returned(0, COUNT);
    say(0, STAMP_BOOKS_STRUCK, "c0");
    say(1, STAMP_BOOKS_STRUCK, "");
    say(2, STAMP_BOOKS_SCRAPPED, "c2");
    say(3, STAMP_BOOKS_IN_DOUBT, "");
}

static void hear(void *ctx, const char *serial, const char *what)
{
    size_t len = strlen(told);

    (void)ctx;
    n_told++;
    (void)snprintf(told + len, sizeof told - len, "%s: %s\n",
                   serial == NULL ? "-" : serial, what);
}

static enum stamp_err import_file(const char *name, bool quarantine)
{
    struct stamp_import_job job = {
        .path = name, .quarantine = quarantine, .conflict = hear};

    told[0] = '\0';
    n_told = 0;
    stamp_error_clear(&err);
    return stamp_import(&ws, &job, &done, &err);
}

/* Made anew: signatures differ each time, and with them the digest. */
static enum stamp_err import_from(const struct results_maker *m, bool quarantine,
                                  uint8_t digest[32])
{
    results_put(m, &text, path, digest);
    return import_file(path, quarantine);
}

static void hears(const char *what)
{
    if (strstr(told, what) == NULL) {
        fail_msg("'%s' is not in:\n%s", what, told);
    }
}

static void is(uint32_t index, enum stamp_registry_state state)
{
    struct stamp_registry_row row;
    char serial[STAMP_SERIAL_SIZE];

    serial_of(index, serial);
    must(stamp_registry_find(books, serial, &row, &err));
    if (row.state != state) {
        fail_msg("'%s' is %s, not %s", serial, stamp_registry_state_name(row.state),
                 stamp_registry_state_name(state));
    }
    stamp_registry_row_fini(&row);
}

static void balance_is(unsigned struck, unsigned scrapped, unsigned returned,
                       unsigned revoked, unsigned outstanding)
{
    struct stamp_registry_balance b;

    must(stamp_registry_balance(books, batch.id, &b, &err));
    assert_int_equal(b.struck, struck);
    assert_int_equal(b.scrapped, scrapped);
    assert_int_equal(b.returned, returned);
    assert_int_equal(b.revoked, revoked);
    assert_int_equal(b.outstanding, outstanding);
}

/* It contradicts, and changes nothing. */
static void conflicts(const struct results_maker *m, unsigned n)
{
    long long events = books_number("SELECT count(*) FROM event");
    long long rows = books_number("SELECT count(*) FROM books_results");

    assert_int_equal(import_from(m, false, NULL), STAMP_E_DUPLICATE);
    if (n_told != n || done.conflicts != n) {
        fail_msg("%u conflicts, not %u:\n%s", n_told, n, told);
    }
    assert_int_equal(done.booked, 0);
    assert_int_equal(books_number("SELECT count(*) FROM event"), events);
    assert_int_equal(books_number("SELECT count(*) FROM books_results"), rows);
}

static int begin(void **state)
{
    int rc = books_open(state);

    make_batch(COUNT, 0);
    assert_int_equal(issue_share(0), 0);
    must(stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, &err));
    write_file(0, 0, COUNT);
    results_maker_init(&here, &f, 0xAA);
    results_maker_init(&there, &f, 0xBB);
    say_usual();
    ws.registry = books;
    ws.root = f.pki.root;
    return rc;
}

static int end(void **state)
{
    results_maker_fini(&here);
    results_maker_fini(&there);
    return books_close(state);
}

/* ---- what is right ---- */

struct history {
    char text[1024];
};

static bool note(void *ctx, const struct stamp_registry_entry *e)
{
    struct history *h = ctx;
    size_t len = strlen(h->text);

    (void)snprintf(h->text + len, sizeof h->text - len, "%s %lld %s/%s %s\n",
                   stamp_registry_state_name(e->state), (long long)(e->at - T), e->who,
                   e->where, e->why);
    return true;
}

static void history_ends(uint32_t index, const char *want)
{
    struct history h = {""};
    char serial[STAMP_SERIAL_SIZE];
    const char *at;

    serial_of(index, serial);
    must(stamp_registry_history(books, serial, note, &h, &err));
    at = strstr(h.text, "issued ");
    assert_non_null(at);
    at = strchr(at, '\n') + 1;
    assert_string_equal(at, want);
}

static void what_a_station_reports_is_booked_as_it_was(void **state)
{
    struct stamp_registry_row row;

    (void)state;
    stamp_registry_author(books, "boss", "hq");
    must(import_from(&here, false, NULL));
    assert_int_equal(done.booked, 5);
    assert_true(done.closed);
    balance_is(2, 1, 2, 0, 1);
    history_ends(0, "struck 0 ann/line 1 \n");
    history_ends(2, "scrapped 2 ann/line 1 bent\n");
    history_ends(3, "");
    history_ends(4, "returned 50 boss/hq never handed out\n"
                    "revoked 50 boss/hq returned stamps are never used again\n");
    must(stamp_registry_find_chip(books, "c0", &row, &err));
    assert_string_equal(row.serial, "SN-000001");
    stamp_registry_row_fini(&row);
}

static void same_results_again_change_nothing(void **state)
{
    long long events;

    (void)state;
    must(import_from(&here, false, NULL));
    events = books_number("SELECT count(*) FROM event");
    must(import_file(path, false));
    assert_true(done.before && done.closed);
    assert_int_equal(books_number("SELECT count(*) FROM event"), events);
    assert_int_equal(books_number("SELECT count(*) FROM books_results"), 1);
}

static void later_results_tell_what_was_in_doubt(void **state)
{
    (void)state;
    must(import_from(&here, false, text.previous));
    text.number = 2;
    text.events = 12;
    say(3, STAMP_BOOKS_STRUCK, "c3");
    say(0, STAMP_BOOKS_SCRAPPED, "c0"); /* struck, then scrapped */
    must(import_from(&here, false, NULL));
    assert_int_equal(done.booked, 2);
    balance_is(3, 1, 2, 0, 0);
    is(0, STAMP_REGISTRY_SCRAPPED);
    is(3, STAMP_REGISTRY_STRUCK);
}

static void earlier_results_are_only_noted(void **state)
{
    char earlier[96];
    uint8_t first[32];

    (void)state;
    (void)snprintf(earlier, sizeof earlier, "%s-1", path);
    results_put(&here, &text, earlier, first);
    text.number = 2;
    text.events = 11;
    memcpy(text.previous, first, sizeof first);
    say(3, STAMP_BOOKS_STRUCK, "c3");
    must(import_from(&here, false, NULL));
    balance_is(3, 1, 2, 0, 0);
    must(import_file(earlier, false));
    assert_true(done.superseded);
    assert_int_equal(done.booked, 0);
    balance_is(3, 1, 2, 0, 0);
    (void)unlink(earlier);
}

static void batch_is_closed_when_every_volume_is_home(void **state)
{
    (void)state;
    make_batch(COUNT, SHARE);
    assert_int_equal(issue_share(0), 0);
    results_maker_fini(&here);
    write_file(0, 6, SHARE);
    results_maker_init(&here, &f, 0xAA);
    say_returned(6, SHARE);
    must(import_from(&here, false, NULL)); /* the other half is not made yet */
    assert_false(done.closed);
    assert_int_equal(issue_share(1), SHARE);
    must(stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, &err));
    must(import_file(path, false));
    assert_true(done.before);
    assert_false(done.closed);
    results_maker_fini(&here);
    write_file(1, 6 + SHARE, SHARE);
    results_maker_init(&here, &f, 0xCC);
    say_returned(6 + SHARE, SHARE);
    must(import_from(&here, false, NULL));
    assert_true(done.closed);
    balance_is(0, 0, 6, 0, 0);
}

static void volumes_are_listed_with_what_they_made(void **state)
{
    struct stamp_registry_volume page[2];
    uint32_t volume = 9;
    size_t n = 2;

    (void)state;
    make_batch(COUNT, SHARE);
    must(stamp_registry_volume(books, batch.id, "a:/one", &volume, &err));
    must(stamp_registry_volume(books, batch.id, "b:/two", &volume, &err));
    must(stamp_registry_volume(books, batch.id, "c:/three", &volume, &err));
    (void)issue_share(1);
    must(stamp_registry_volume_list(books, batch.id, 0, page, 2, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(page[0].owner, "a:/one");
    assert_int_equal(page[0].claimed, 0);
    assert_int_equal(page[1].volume, 1);
    assert_int_equal(page[1].claimed, SHARE);
    assert_int_equal(page[1].done, SHARE);
    must(stamp_registry_volume_list(books, batch.id, 2, page, 2, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(page[0].owner, "c:/three");
}

/* ---- what is not of the batch ---- */

static void results_of_a_batch_nobody_knows_are_refused(void **state)
{
    (void)state;
    results_maker_fini(&here);
    batch.uid[0] ^= 1;
    write_file(0, 0, COUNT);
    results_maker_init(&here, &f, 0xAA);
    assert_int_equal(import_from(&here, false, NULL), STAMP_E_MISSING);
    assert_non_null(strstr(err.what, "is not on these books"));
}

static void volume_of_another_size_is_refused(void **state)
{
    (void)state;
    results_maker_fini(&here);
    write_file(0, 0, COUNT - 1);
    results_maker_init(&here, &f, 0xAA);
    say_returned(0, COUNT - 1);
    assert_int_equal(import_from(&here, false, NULL), STAMP_E_AUTH);
    assert_non_null(strstr(err.what, "is of 5 stamps, and volume 0 of batch"));
    results_maker_fini(&here);
    write_file(3, 0, COUNT);
    results_maker_init(&here, &f, 0xAA);
    say_returned(0, COUNT);
    assert_int_equal(import_from(&here, false, NULL), STAMP_E_AUTH);
    assert_int_equal(books_number("SELECT count(*) FROM event"), 0);
}

static void stamps_in_other_places_are_refused(void **state)
{
    (void)state;
    results_maker_fini(&here);
    write_file(0, 1, COUNT); /* signed all the same */
    results_maker_init(&here, &f, 0xAA);
    say_returned(1, COUNT);
    assert_int_equal(import_from(&here, false, NULL), STAMP_E_AUTH);
    assert_non_null(strstr(err.what, "entry 0 of"));
    assert_int_equal(books_number("SELECT count(*) FROM event"), 0);
}

/* ---- conflicts ---- */

/* SPEC 12-10: two results with one number. */
static void number_that_says_two_things_is_a_conflict(void **state)
{
    (void)state;
    must(import_from(&here, false, NULL));
    text.made_at++; /* another digest, and nothing else */
    conflicts(&here, 1);
    hears("-: results 1 are on the books, and say something else; "
          "books aaaaaaaa went back in time\n");
}

static void results_that_do_not_follow_are_a_conflict(void **state)
{
    uint8_t first[32];

    (void)state;
    must(import_from(&here, false, first));
    text.number = 2;
    text.events = 11;
    memset(text.previous, 7, sizeof text.previous);
    conflicts(&here, 1);
    hears("-: results 2 do not follow results 1; books aaaaaaaa went back in time\n");
    memcpy(text.previous, first, sizeof first);
    must(import_from(&here, false, NULL));
}

static void results_that_others_do_not_follow_are_a_conflict(void **state)
{
    (void)state;
    text.number = 2;
    text.events = 11;
    memset(text.previous, 7, sizeof text.previous);
    must(import_from(&here, false, NULL));
    say_usual();
    conflicts(&here, 1);
    hears("-: results 2 do not follow results 1; ");
}

static void fewer_events_are_a_conflict(void **state)
{
    (void)state;
    must(import_from(&here, false, NULL));
    text.number = 3;
    text.events = 9;
    memset(text.previous, 7, sizeof text.previous);
    conflicts(&here, 1);
    hears("-: results 3 tell of 9 events, results 1 of 10; ");
}

/* Of the same books, each change that cannot be. */
static void books_that_went_back_are_a_conflict_for_each_serial(void **state)
{
    static const struct {
        uint32_t index;
        enum stamp_books_result now;
        const char *chip;
        const char *what;
    } cases[] = {
        {0, STAMP_BOOKS_UNUSED, "", "returned, but was struck on chip c0 at 2026-03-"},
        {0, STAMP_BOOKS_IN_DOUBT, "", "in doubt, but was struck on chip c0 at "},
        {0, STAMP_BOOKS_STRUCK, "c9",
         "struck on chip c9 at 2026-03-20T10:03:20Z, but was "
         "struck on chip c0 at 2026-03-20T10:03:20Z before"},
        {0, STAMP_BOOKS_SCRAPPED, "c9", "scrapped with chip c9 at "},
        {1, STAMP_BOOKS_STRUCK, "c1", "but was struck on chip (unknown) at "},
        {2, STAMP_BOOKS_UNUSED, "", "returned, but was scrapped with chip c2 at "},
        {2, STAMP_BOOKS_IN_DOUBT, "", "in doubt, but was scrapped with chip c2 at "},
        {2, STAMP_BOOKS_STRUCK, "c2", "struck on chip c2 at "},
        {3, STAMP_BOOKS_UNUSED, "", "returned, but was in doubt before"},
        {4, STAMP_BOOKS_IN_DOUBT, "", "in doubt, but was returned unused before"},
        {4, STAMP_BOOKS_STRUCK, "c4", "struck on chip c4 at "},
        {4, STAMP_BOOKS_SCRAPPED, "", "scrapped with chip (unknown) at "},
    };
    uint8_t first[32];

    (void)state;
    must(import_from(&here, false, first));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char serial[STAMP_SERIAL_SIZE];

        say_usual();
        text.number = 2;
        text.events = 11;
        memcpy(text.previous, first, sizeof first);
        say(cases[i].index, cases[i].now, cases[i].chip);
        conflicts(&here, 1);
        serial_of(cases[i].index, serial);
        hears(serial);
        hears(cases[i].what);
        hears("; books aaaaaaaa went back in time\n");
    }
}

/* Two stations with a copy of the file each. */
static void stamp_of_two_books_is_a_conflict(void **state)
{
    (void)state;
    must(import_from(&here, false, NULL));
    say_returned(0, COUNT);
    say(0, STAMP_BOOKS_STRUCK, "d0");
    say(1, STAMP_BOOKS_STRUCK, "");
    say(3, STAMP_BOOKS_IN_DOUBT, "");
    say(4, STAMP_BOOKS_STRUCK, "d4");
    conflicts(&there, 5);
    hears(
        "SN-000001: struck on chip d0 at 2026-03-20T10:03:20Z, but was struck on chip "
        "c0 at 2026-03-20T10:03:20Z before; books bbbbbbbb, there are books aaaaaaaa\n");
    hears("SN-000002: struck on chip (unknown) at "); /* to the second the same */
    hears("SN-000003: returned, but was scrapped with chip c2 at ");
    hears("SN-000004: in doubt, but was in doubt in other books before; ");
    hears("SN-000005: struck on chip d4 at ");
    balance_is(2, 1, 2, 0, 1);
}

static void what_was_in_doubt_elsewhere_is_a_conflict(void **state)
{
    (void)state;
    say_returned(0, COUNT);
    say(0, STAMP_BOOKS_IN_DOUBT, "");
    say(1, STAMP_BOOKS_IN_DOUBT, "");
    must(import_from(&here, false, NULL));
    say_returned(0, COUNT);
    say(0, STAMP_BOOKS_STRUCK, "d0");
    conflicts(&there, 2);
    hears("SN-000001: struck on chip d0 at ");
    hears("but was in doubt in other books before");
    hears("SN-000002: returned, but was in doubt before");
}

static void copies_that_agree_are_no_conflict(void **state)
{
    (void)state;
    say_returned(0, COUNT);
    say(0, STAMP_BOOKS_STRUCK, "c0");
    must(import_from(&here, false, NULL));
    must(import_from(&there, false, NULL));
    assert_int_equal(done.booked, 0);
    balance_is(1, 0, 5, 0, 0);
}

static void chip_with_two_serials_is_a_conflict(void **state)
{
    (void)state;
    say(4, STAMP_BOOKS_STRUCK, "c0"); /* in the same results */
    conflicts(&here, 1);
    hears(
        "SN-000005: struck on chip c0 at 2026-03-20T10:03:24Z, which 'SN-000001' in the "
        "same results is on, too; books aaaaaaaa\n");
    say_usual();
    must(import_from(&here, false, text.previous));
    text.number = 2; /* on the books */
    text.events = 11;
    say(3, STAMP_BOOKS_STRUCK, "c0");
    conflicts(&here, 1);
    hears("SN-000004: struck on chip c0 at 2026-03-20T10:03:23Z, which has 'SN-000001' "
          "(struck since 2026-03-20T10:03:20Z) already; ");
}

static void results_of_many_are_judged_as_those_of_few(void **state)
{
    (void)state;
    make_batch(MANY, 0);
    assert_int_equal(issue_share(0), 0);
    must(stamp_registry_batch_step(books, batch.id, STAMP_REGISTRY_BATCH_MADE, &err));
    results_maker_fini(&here);
    write_file(0, COUNT, MANY);
    results_maker_init(&here, &f, 0xAA);
    say_returned(COUNT, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        char chip[16];

        (void)snprintf(chip, sizeof chip, "c%u", i);
        say(i, STAMP_BOOKS_STRUCK, chip);
    }
    say(1023, STAMP_BOOKS_STRUCK, "c1"); /* among those that go together, */
    say(1024, STAMP_BOOKS_STRUCK, "c0"); /* and not */
    say(2599, STAMP_BOOKS_STRUCK, "c2598");
    conflicts(&here, 3);
    hears("SN-001030: struck on chip c1 at ");
    hears("which 'SN-000008' in the same results is on, too; ");
    hears("SN-001031: struck on chip c0 at ");
    hears("which has 'SN-000007' (struck since ");
    hears("SN-002606: struck on chip c2598 at ");
    balance_is(0, 0, 0, 0, MANY);
    must(import_from(&here, true, NULL));
    assert_int_equal(done.quarantined, 6);
    balance_is(MANY - 3, 0, 0, 3, 0);
    assert_int_equal(books_number("SELECT count(*) FROM device WHERE state = 9"), 6);
}

/* ---- quarantine ---- */

static void quarantine_books_the_rest_and_revokes(void **state)
{
    uint8_t first[32];

    (void)state;
    must(import_from(&here, false, NULL));
    say_returned(0, COUNT);
    say(0, STAMP_BOOKS_STRUCK, "d0");
    say(3, STAMP_BOOKS_STRUCK, "d3");
    say(1, STAMP_BOOKS_STRUCK, "d1");
    say(2, STAMP_BOOKS_SCRAPPED, "c2");
    must(import_from(&there, true, first));
    assert_int_equal(done.conflicts, 3);
    assert_int_equal(done.quarantined, 3);
    is(0, STAMP_REGISTRY_REVOKED);
    is(1, STAMP_REGISTRY_REVOKED);
    is(2, STAMP_REGISTRY_SCRAPPED);
    is(3, STAMP_REGISTRY_REVOKED);
    balance_is(2, 1, 2, 1, 0);
    /* It is over: neither books are held up by it. */
    text.number = 2;
    text.events = 11;
    memcpy(text.previous, first, sizeof first);
    must(import_from(&there, false, NULL));
    assert_int_equal(done.passed_over, 3);
    assert_int_equal(done.booked, 0);
}

static void quarantine_revokes_both_serials_of_a_chip(void **state)
{
    (void)state;
    say(4, STAMP_BOOKS_STRUCK, "c0");
    must(import_from(&here, true, NULL));
    assert_int_equal(done.conflicts, 1);
    assert_int_equal(done.quarantined, 2);
    is(0, STAMP_REGISTRY_REVOKED);
    is(4, STAMP_REGISTRY_REVOKED);
    balance_is(2, 1, 1, 1, 1);
}

/* What the other history tells of first cannot be believed. */
static void quarantine_trusts_nothing_new_of_forked_books(void **state)
{
    (void)state;
    must(import_from(&here, false, NULL));
    text.made_at++;
    say(3, STAMP_BOOKS_STRUCK, "c3");
    conflicts(&here, 2);
    hears("SN-000004: struck on chip c3 at ");
    must(import_from(&here, true, NULL));
    assert_int_equal(done.quarantined, 1);
    is(3, STAMP_REGISTRY_REVOKED);
    assert_int_equal(books_number("SELECT count(*) FROM books_results"), 1);
    conflicts(&here, 1); /* the books are still two */
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

static int begin_all(void **state)
{
    (void)state;
    batch_fixture_init(&f, STAMP_PRODUCTION);
    (void)snprintf(path, sizeof path, "%s.results", f.path);
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    (void)unlink(path);
    batch_fixture_fini(&f);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_station_reports_is_booked_as_it_was),
        TEST(same_results_again_change_nothing),
        TEST(later_results_tell_what_was_in_doubt),
        TEST(earlier_results_are_only_noted),
        TEST(batch_is_closed_when_every_volume_is_home),
        TEST(volumes_are_listed_with_what_they_made),
        TEST(results_of_a_batch_nobody_knows_are_refused),
        TEST(volume_of_another_size_is_refused),
        TEST(stamps_in_other_places_are_refused),
        TEST(number_that_says_two_things_is_a_conflict),
        TEST(results_that_do_not_follow_are_a_conflict),
        TEST(results_that_others_do_not_follow_are_a_conflict),
        TEST(fewer_events_are_a_conflict),
        TEST(books_that_went_back_are_a_conflict_for_each_serial),
        TEST(stamp_of_two_books_is_a_conflict),
        TEST(what_was_in_doubt_elsewhere_is_a_conflict),
        TEST(copies_that_agree_are_no_conflict),
        TEST(chip_with_two_serials_is_a_conflict),
        TEST(results_of_many_are_judged_as_those_of_few),
        TEST(quarantine_books_the_rest_and_revokes),
        TEST(quarantine_revokes_both_serials_of_a_chip),
        TEST(quarantine_trusts_nothing_new_of_forked_books),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, begin_all, end_all);
}
