/* Retention: what ended leaves the books, the log says so, and what somebody else takes
 * away still shows. */
#include "host/registry_prune.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/hex.h"
#include "host/key.h"
#include "host/registry_apikey.h"
#include "host/registry_check.h"
#include "host/registry_enrol.h"
#include "host/registry_log.h"
#include "host/registry_token.h"
#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define DAY 86400L
#define MANY 2100u /* keys: more than one transaction takes */

static struct stamp_log_signer signer;
static char told[8][256];
static size_t n_told;
static uint8_t prefix[STAMP_CERTIFICATE_PREFIX_SIZE];
static uint32_t counter;

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        print_error("%s\n", err->what);
    }
    assert_int_equal(rc, STAMP_OK);
}

static void tell(void *ctx, const char *what)
{
    (void)ctx;
    if (n_told < sizeof told / sizeof *told) {
        (void)snprintf(told[n_told++], sizeof told[0], "%s", what);
    }
}

static void is_told(const char *what)
{
    for (size_t i = 0; i < n_told; i++) {
        if (strstr(told[i], what) != NULL) {
            return;
        }
    }
    fail_msg("not told: %s; but: %s", what, n_told > 0 ? told[0] : "nothing");
}

/* ---- a device and its keys ---- */

static int64_t device(const char *serial, uint64_t key)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    uint8_t der[] = {0x30, 0x00};

    must(stamp_registry_reserve_serial(books, "Sensor", serial, NOW, &row, &err), &err);
    books_key(row.fingerprint, key);
    row.certificate = der;
    row.certificate_len = sizeof der;
    must(stamp_registry_issue(books, &row, 1, NOW, &err), &err);
    return row.id;
}

/* A key that is certified at `now` for 90 days; it retires the one before, which nobody
 * used. */
static void certify(int64_t id, uint64_t key, time_t now)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_ldevid_asked asked = {.device = id,
                                       .now = now,
                                       .not_after = now + 90 * DAY,
                                       .renew_before = now + 30 * DAY,
                                       .per_hour = 1000000,
                                       .who = "birth"};
    STAMP_LDEVID_AUTO l = {.certificate = NULL};
    enum stamp_refusal why;
    uint8_t der[4];
    bool kept;

    books_key(asked.fingerprint, key);
    memcpy(asked.certificate_serial, prefix, sizeof prefix);
    counter++;
    for (unsigned i = 0; i < sizeof der; i++) {
        der[i] = (uint8_t)(counter >> 8 * i);
        asked.certificate_serial[15 - i] = der[i];
    }
    must(stamp_registry_group_begin(books, &err), &err);
    must(stamp_registry_ldevid_begin(books, &asked, &why, &l, &err), &err);
    assert_int_equal(why, STAMP_REFUSAL_NONE);
    must(stamp_registry_ldevid_certify(
             books, id, l.n, (struct stamp_slice){der, sizeof der}, &kept, &err),
         &err);
    assert_true(kept);
    must(stamp_registry_group_end(books, STAMP_OK, &err), &err);
}

static long long keys(void)
{
    return books_number("SELECT count(*) FROM operational");
}

static long long dropped(void)
{
    return books_number("SELECT count(*) FROM log_leaf WHERE length(leaf) = 17");
}

static struct stamp_registry_pruned prune(time_t before)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_pruned out;

    must(stamp_registry_prune(books, &signer, before, NOW + 9999 * DAY, &out, &err),
         &err);
    return out;
}

/* ---- checks ---- */

static uint64_t log_wrong(const struct stamp_log_head *head)
{
    struct stamp_log_checked out;

    n_told = 0;
    assert_int_equal(stamp_registry_log_check(books, signer.key, head,
                                              head == NULL ? 0 : 1, tell, NULL, &out,
                                              NULL),
                     STAMP_OK);
    return out.wrong;
}

/* One is told of the device's own certificate, which is none here. */
static uint64_t rows_wrong(void)
{
    struct stamp_registry_checked out;

    n_told = 0;
    assert_int_equal(stamp_registry_check(books, tell, NULL, &out, NULL), STAMP_OK);
    return out.wrong - out.devices;
}

static struct stamp_log_head head(void)
{
    struct stamp_log_head h;
    uint32_t added;

    do {
        assert_int_equal(stamp_registry_log_grow(books, NULL, NOW, &added, NULL),
                         STAMP_OK);
    } while (added > 0);
    assert_int_equal(stamp_registry_log_grow(books, &signer, NOW, &added, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_registry_log_head(books, &h, NULL), STAMP_OK);
    return h;
}

/* Five keys, 100 days apart; the first three are dropped where it ended. */
static struct stamp_log_head five(void)
{
    int64_t id = device("A", 1);
    struct stamp_log_head before;

    for (unsigned i = 0; i < 5; i++) {
        certify(id, 10 + i, NOW + (time_t)i * 100 * DAY);
    }
    before = head();
    assert_int_equal(prune(NOW + 301 * DAY).keys, 3);
    return before;
}

/* ---- the cases ---- */

static void keys_that_ended_leave_and_the_log_says_so(void **state)
{
    int64_t id = device("A", 1);
    struct stamp_log_head before;
    struct stamp_registry_pruned n;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        certify(id, 10 + i, NOW + (time_t)i * 100 * DAY);
    }
    before = head();
    n = prune(NOW + 89 * DAY); /* none has ended */
    assert_int_equal(n.keys, 0);
    n = prune(NOW + 301 * DAY);
    assert_int_equal(n.keys, 3); /* of day 90, 190 and 290 */
    assert_int_equal(n.leaves, 3);
    assert_int_equal(keys(), 2);
    assert_int_equal(dropped(), 3);
    assert_int_equal(books_number("SELECT count(*) FROM claim_certificate"), 2);
    assert_int_equal(log_wrong(&before), 0); /* the head of before still holds */
    assert_int_equal(rows_wrong(), 0);
    n = prune(NOW + 9000 * DAY); /* all have ended: the newest stays, whatever it is */
    assert_int_equal(n.keys, 1);
    assert_int_equal(keys(), 1);
    assert_int_equal(log_wrong(&before), 0);
    assert_int_equal(rows_wrong(), 0);
    certify(id, 99, NOW + 9000 * DAY); /* and it goes on with the next number */
    assert_int_equal(books_number("SELECT max(n) FROM operational"), 6);
    (void)head();
    assert_int_equal(log_wrong(&before), 0);
    assert_int_equal(rows_wrong(), 0);
}

static void a_key_never_comes_back(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_ldevid_asked asked = {.now = NOW + 301 * DAY,
                                       .not_after = NOW + 400 * DAY,
                                       .renew_before = NOW + 330 * DAY,
                                       .per_hour = 9,
                                       .who = "birth"};
    struct stamp_ldevid l;
    enum stamp_refusal why;

    (void)state;
    (void)five();
    asked.device = device("B", 2);
    books_key(asked.fingerprint, 10); /* of A, and dropped */
    must(stamp_registry_group_begin(books, &err), &err);
    must(stamp_registry_ldevid_begin(books, &asked, &why, &l, &err), &err);
    must(stamp_registry_group_end(books, STAMP_OK, &err), &err);
    assert_int_equal(why, STAMP_REFUSAL_KEY_TAKEN);
}

static void what_somebody_else_drops_shows(void **state)
{
    struct stamp_log_head before = five();
    char sql[256];

    (void)state;
    assert_int_equal(log_wrong(&before), 0);
    /* one more, as if it were of these */
    books_sql("UPDATE log_leaf SET device = NULL, leaf = (SELECT leaf FROM log_leaf"
              " WHERE length(leaf) = 17 LIMIT 1) WHERE n = 0");
    assert_int_equal(log_wrong(&before), 1);
    is_told("4 leaves were dropped that are not the 3 which the log says");
    /* or by a number that the log does not have */
    (void)snprintf(sql, sizeof sql, "UPDATE log_leaf SET leaf = %s WHERE n = 0",
                   books_in_postgres ? "'\\x5000000000000000000000000000000000'::bytea"
                                     : "X'5000000000000000000000000000000000'");
    books_sql(sql);
    assert_int_equal(log_wrong(&before), 1);
    is_told("1 leaves were dropped, and the log does not say so");
}

static void a_row_that_is_taken_away_shows(void **state)
{
    (void)state;
    (void)five();
    books_sql("DELETE FROM operational WHERE n = 4");
    assert_true(rows_wrong() > 0);
    is_told("operational certificates: what the books have");
}

/* Leaf and row are gone, and the log is made to say so, but not by who has its key. */
static void who_has_not_the_key_cannot_say_so(void **state)
{
    struct stamp_log_head before = five();
    struct stamp_log_signer other = {.purpose = STAMP_DEVELOPMENT};
    struct stamp_log_signer own = signer;

    (void)state;
    assert_int_equal(stamp_key_generate(&other.key, NULL), STAMP_OK);
    certify(books_number("SELECT min(device) FROM operational"), 50, NOW + 600 * DAY);
    signer = other;
    assert_int_equal(prune(NOW + 601 * DAY).keys, 2);
    signer = own;
    EVP_PKEY_free(other.key);
    assert_int_equal(log_wrong(&before), 2);
    is_told("who says that 2 leaves were dropped has not the log's key");
    is_told("2 leaves were dropped, and the log does not say so");
}

static void a_hash_that_is_changed_shows(void **state)
{
    struct stamp_log_head before = five();

    (void)state;
    books_sql(books_in_postgres
                  ? "UPDATE log_tile SET hashes = set_byte(hashes, 100, 255 -"
                    " get_byte(hashes, 100)) WHERE level = 0"
                  : "UPDATE log_tile SET hashes = CAST(substr(hashes, 1, 100) ||"
                    " X'77' || substr(hashes, 102) AS BLOB) WHERE level = 0");
    assert_true(log_wrong(&before) > 0);
    is_told("the kept head of ");
}

static void many_go_in_several_transactions(void **state)
{
    int64_t id = device("A", 1);
    struct stamp_registry_pruned n;

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        certify(id, 100 + i, NOW + (time_t)i);
    }
    n = prune(NOW + 200 * DAY);
    assert_int_equal(n.keys, MANY - 1);
    assert_int_equal(n.leaves, MANY - 1);
    assert_int_equal(keys(), 1);
    (void)head();
    assert_int_equal(log_wrong(NULL), 0);
    assert_int_equal(rows_wrong(), 0);
}

static void what_ended_beside_is_forgotten(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t digest[STAMP_TOKEN_DIGEST_SIZE] = {1};
    struct stamp_registry_pruned n;

    (void)state;
    (void)device("A", 1);
    must(stamp_registry_token_add(books, "A", digest, NOW, NOW + DAY, &err), &err);
    must(stamp_registry_apikey_add(books, "old", STAMP_ROLE_AUDITOR, digest, NOW,
                                   NOW + DAY, &err),
         &err);
    digest[0] = 2;
    must(stamp_registry_apikey_add(books, "new", STAMP_ROLE_AUDITOR, digest, NOW,
                                   NOW + 900 * DAY, &err),
         &err);
    n = prune(NOW + 2 * DAY);
    assert_int_equal(n.tokens, 1);
    assert_int_equal(n.api_keys, 1);
    assert_int_equal(books_number("SELECT count(*) FROM api_key"), 1);
    assert_int_equal(books_number("SELECT count(*) FROM enrol_token"), 0);
}

static void what_is_not_over_stays(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_pruned n;

    (void)state;
    (void)device("A", 1);
    assert_int_equal(stamp_registry_prune(books, &signer, NOW + 1, NOW, &n, &err),
                     STAMP_E_RANGE);
}

static int setup(void **state)
{
    int rc = books_open(state);

    return rc != 0 || stamp_registry_certificate_block(books, prefix, NULL) != STAMP_OK
               ? -1
               : 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_that_ended_leave_and_the_log_says_so, setup,
                                        books_close),
        cmocka_unit_test_setup_teardown(a_key_never_comes_back, setup, books_close),
        cmocka_unit_test_setup_teardown(what_somebody_else_drops_shows, setup,
                                        books_close),
        cmocka_unit_test_setup_teardown(a_row_that_is_taken_away_shows, setup,
                                        books_close),
        cmocka_unit_test_setup_teardown(who_has_not_the_key_cannot_say_so, setup,
                                        books_close),
        cmocka_unit_test_setup_teardown(a_hash_that_is_changed_shows, setup, books_close),
        cmocka_unit_test_setup_teardown(many_go_in_several_transactions, setup,
                                        books_close),
        cmocka_unit_test_setup_teardown(what_ended_beside_is_forgotten, setup,
                                        books_close),
        cmocka_unit_test_setup_teardown(what_is_not_over_stays, setup, books_close),
    };
    int rc;

    books_init(argc, argv);
    signer.purpose = STAMP_DEVELOPMENT;
    if (stamp_key_generate(&signer.key, NULL) != STAMP_OK) {
        return 1;
    }
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(signer.key);
    return rc;
}
