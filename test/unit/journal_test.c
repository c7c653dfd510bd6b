/* A station's journal: what is in it is found again, what was changed is found out, and a
 * disk that fails changes nothing. SPEC 15-1..15-5. */
#include "station/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/ecdsa.h>
#include <signal.h>
#include <sqlite3.h>

#include "host/key.h"
#include "host/openssl.h"

enum { COUNT = 5 };

static char path[64];
static const uint8_t order[16] = {1, 2, 3};
static struct stamp_journal *journal;
static struct stamp_error err;

static int begin(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/stamp-journal-%ld.db", (long)getpid());
    stamp_error_clear(&err);
    return stamp_journal_open(path, true, order, COUNT, &journal, &err) == STAMP_OK ? 0
                                                                                    : -1;
}

static int end(void **state)
{
    char name[80];

    (void)state;
    stamp_journal_close(&journal);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path,
                       i == 0   ? ""
                       : i == 1 ? "-wal"
                                : "-shm");
        (void)unlink(name);
    }
    return 0;
}

static void must(enum stamp_err rc)
{
    if (rc != STAMP_OK) {
        fail_msg("%d: %s", rc, err.what);
    }
}

static void refuses(enum stamp_err rc, enum stamp_err want, const char *what)
{
    assert_int_equal(rc, want);
    if (strstr(err.what, what) == NULL) {
        fail_msg("'%s' is not in '%s'", what, err.what);
    }
    stamp_error_clear(&err);
}

static struct stamp_slice bytes(const char *text)
{
    return (struct stamp_slice){(const uint8_t *)text, strlen(text)};
}

static struct stamp_journal_entry of(enum stamp_journal_kind kind, uint32_t index,
                                     const char *chip, uint64_t at)
{
    struct stamp_journal_entry e = {
        .kind = kind, .has_unit = true, .index = index, .at = at};

    memcpy(e.order, order, sizeof order);
    if (chip != NULL) {
        e.chip = bytes(chip);
    }
    return e;
}

static void add(enum stamp_journal_kind kind, uint32_t index, const char *chip,
                uint64_t at)
{
    struct stamp_journal_entry e = of(kind, index, chip, at);

    must(stamp_journal_append(journal, &e, 1, &err));
}

static enum stamp_err again(void)
{
    stamp_journal_close(&journal);
    return stamp_journal_open(path, false, order, COUNT, &journal, &err);
}

/* Change the file behind its back. */
static void tamper(const char *sql)
{
    sqlite3 *db;

    stamp_journal_close(&journal);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void units_are_where_their_last_entry_says(void **state)
{
    struct stamp_journal_status s;
    const struct stamp_journal_unit *u;

    (void)state;
    add(STAMP_JOURNAL_BEGIN, 0, "chip-a", 1000);
    add(STAMP_JOURNAL_INTENT, 0, NULL, 1001);
    add(STAMP_JOURNAL_CERTIFICATE, 0, NULL, 1002);
    add(STAMP_JOURNAL_DONE, 0, NULL, 1003);
    add(STAMP_JOURNAL_BEGIN, 1, "chip-b", 1004);
    add(STAMP_JOURNAL_FAILED, 1, NULL, 1005);
    add(STAMP_JOURNAL_BEGIN, 2, "chip-c", 1006);
    add(STAMP_JOURNAL_REWORK, 2, NULL, 1007);
    add(STAMP_JOURNAL_BEGIN, 3, "chip-c", 9000);
    for (int turn = 0; turn < 2; turn++) { /* as it was, and read again */
        u = stamp_journal_unit_of(journal, bytes("chip-a"));
        assert_non_null(u);
        assert_int_equal(u->last, STAMP_JOURNAL_DONE);
        assert_int_equal(u->begin, 1);
        assert_int_equal(u->intent, 2);
        assert_int_equal(u->certificate, 3);
        u = stamp_journal_unit_of(journal, bytes("chip-b"));
        assert_true(u->failed);
        assert_int_equal(u->last, STAMP_JOURNAL_BEGIN);
        u = stamp_journal_unit_of(journal, bytes("chip-c")); /* not the one reworked */
        assert_int_equal(u->index, 3);
        assert_null(stamp_journal_unit_of(journal, bytes("chip-d")));
        assert_null(stamp_journal_unit(journal, COUNT));
        assert_int_equal(stamp_journal_begun(journal), 4);
        stamp_journal_status(journal, 1003 + 3600, &s);
        assert_int_equal(s.done, 1);
        assert_int_equal(s.failed, 1);
        assert_int_equal(s.scrapped, 1);
        assert_int_equal(s.doubt, 1);
        assert_int_equal(s.remaining, COUNT - 4);
        assert_int_equal(s.per_hour, 0); /* an hour ago, to the second */
        assert_int_equal(s.shift, 1);
        must(again());
    }
}

static void other_orders_are_not_followed(void **state)
{
    struct stamp_journal_entry e = of(STAMP_JOURNAL_BEGIN, 4, "chip-x", 1);
    uint8_t found[16];
    uint32_t count;

    (void)state;
    e.order[0] ^= 1;
    must(stamp_journal_append(journal, &e, 1, &err));
    assert_int_equal(stamp_journal_begun(journal), 0);
    assert_null(stamp_journal_unit_of(journal, bytes("chip-x")));
    refuses(stamp_journal_last_order(journal, found, &count, &err), STAMP_E_MISSING,
            "has no order yet");
}

static void what_was_changed_is_found(void **state)
{
    static const struct {
        const char *sql;
        const char *what;
    } cases[] = {
        {"UPDATE entry SET body = CAST(substr(body, 1, length(body) - 1) || x'7a' AS "
         "BLOB) WHERE seq = 2",
         "entry 3"},
        {"DELETE FROM entry WHERE seq = 2", "entry 2"},
        {"UPDATE entry SET body = x'00' WHERE seq = 1", "is malformed"},
        {"UPDATE entry SET body = (SELECT body FROM entry WHERE seq = 1) WHERE seq = 3",
         "is missing"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        add(STAMP_JOURNAL_BEGIN, 0, "chip-a", 1);
        add(STAMP_JOURNAL_BEGIN, 1, "chip-b", 2);
        add(STAMP_JOURNAL_BEGIN, 2, "chip-c", 3);
        tamper(cases[i].sql);
        refuses(again(), STAMP_E_CORRUPT, cases[i].what);
        assert_null(journal);
        (void)end(state);
        assert_int_equal(begin(state), 0);
    }
}

static EVP_PKEY *signer;

static enum stamp_err sign(void *ctx, const uint8_t digest[32], uint8_t sig[64],
                           struct stamp_error *why)
{
    uint8_t der[80];
    size_t len = sizeof der;
    EVP_PKEY_CTX *c;
    const uint8_t *p = der;
    ECDSA_SIG *s = NULL;

    (void)why;
    if (ctx != NULL) {
        return STAMP_E_DEVICE; /* the token is gone */
    }
    c = EVP_PKEY_CTX_new(signer, NULL);
    assert_int_equal(EVP_PKEY_sign_init(c), 1);
    assert_int_equal(EVP_PKEY_sign(c, der, &len, digest, 32), 1);
    EVP_PKEY_CTX_free(c);
    s = d2i_ECDSA_SIG(NULL, &p, (long)len);
    assert_non_null(s);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + 32, 32), 32);
    ECDSA_SIG_free(s);
    return STAMP_OK;
}

static void checkpoints_are_of_the_journals_key(void **state)
{
    EVP_PKEY *other = NULL;
    int gone;

    (void)state;
    must(stamp_key_generate(&signer, &err));
    must(stamp_key_generate(&other, &err));
    add(STAMP_JOURNAL_BEGIN, 0, "chip-a", 1);
    assert_int_equal(stamp_journal_checkpoint(journal, sign, &gone, &err),
                     STAMP_E_DEVICE);
    assert_int_equal(stamp_journal_head(journal)->seq, 1); /* nothing was written */
    must(stamp_journal_checkpoint(journal, sign, NULL, &err));
    must(stamp_journal_checkpoint(journal, sign, NULL, &err)); /* behind one: none more */
    assert_int_equal(stamp_journal_head(journal)->seq, 2);
    must(stamp_journal_check(journal, signer, &err));
    refuses(stamp_journal_check(journal, other, &err), STAMP_E_AUTH, "checkpoint 2");
    must(again());
    must(stamp_journal_check(journal, signer, &err));
    EVP_PKEY_free(signer);
    EVP_PKEY_free(other);
}

static void one_process_at_a_time(void **state)
{
    struct stamp_journal *second;

    (void)state;
    add(STAMP_JOURNAL_BEGIN, 0, "chip-a", 1);
    refuses(stamp_journal_open(path, true, order, COUNT, &second, &err), STAMP_E_BUSY,
            "another program has the journal");
    assert_null(second);
}

static void who_has_it_for_a_moment_is_waited_for(void **state)
{
    int ends[2];
    char byte = 0;
    int status = 1;
    pid_t child;

    (void)state;
    stamp_journal_close(&journal);
    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool opened = again() == STAMP_OK;

        (void)!write(ends[1], &byte, 1);
        (void)usleep(300000);
        stamp_journal_close(&journal);
        _exit(opened ? 0 : 1);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    must(stamp_journal_open(path, false, order, COUNT, &journal, &err));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void all_or_none_and_nothing_too_long(void **state)
{
    struct stamp_journal_entry e[3];
    char chip[STAMP_JOURNAL_CHIP_MAX + 2];

    (void)state;
    memset(chip, 'x', sizeof chip);
    chip[sizeof chip - 1] = '\0';
    e[0] = of(STAMP_JOURNAL_BEGIN, 0, "chip-a", 1);
    e[1] = of(STAMP_JOURNAL_BEGIN, 1, "chip-b", 1);
    e[2] = of(STAMP_JOURNAL_BEGIN, 2, chip, 1);
    refuses(stamp_journal_append(journal, e, 3, &err), STAMP_E_RANGE, "is too long");
    assert_int_equal(stamp_journal_head(journal)->seq, 0);
    assert_int_equal(stamp_journal_begun(journal), 0);
    must(stamp_journal_append(journal, e, 2, &err));
    must(again());
    assert_int_equal(stamp_journal_begun(journal), 2);
}

/* The disk is full in the middle: what was there stays, and it goes on afterwards. */
static void a_full_disk_loses_nothing(void **state)
{
    static uint8_t data[STAMP_JOURNAL_DATA_MAX];
    struct rlimit was;
    struct rlimit small;
    struct stamp_journal_entry e = of(STAMP_JOURNAL_BEGIN, 1, "chip-b", 2);

    (void)state;
    add(STAMP_JOURNAL_BEGIN, 0, "chip-a", 1);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 65536;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    e.data = (struct stamp_slice){data, sizeof data};
    for (int i = 0; i < 8; i++) {
        uint32_t seq = stamp_journal_head(journal)->seq;

        if (stamp_journal_append(journal, &e, 1, &err) != STAMP_OK) {
            assert_int_equal(err.code, STAMP_E_DATABASE);
            assert_int_equal(stamp_journal_head(journal)->seq, seq);
            break;
        }
    }
    assert_int_equal(err.code, STAMP_E_DATABASE);
    stamp_error_clear(&err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    add(STAMP_JOURNAL_BEGIN, 2, "chip-c", 3);
    must(again());
    assert_non_null(stamp_journal_unit_of(journal, bytes("chip-a")));
    assert_non_null(stamp_journal_unit_of(journal, bytes("chip-c")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(units_are_where_their_last_entry_says),
        TEST(other_orders_are_not_followed),
        TEST(what_was_changed_is_found),
        TEST(checkpoints_are_of_the_journals_key),
        TEST(one_process_at_a_time),
        TEST(who_has_it_for_a_moment_is_waited_for),
        TEST(all_or_none_and_nothing_too_long),
        TEST(a_full_disk_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
