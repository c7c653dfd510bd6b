/* Operational keys and tokens on the books. */
#include "host/registry_enrol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/registry_issued.h"
#include "host/registry_token.h"
#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define DAY 86400L

static const uint8_t birth_der[] = {0x30, 0x03, 0x02, 0x01, 0x01};
static const uint8_t forged_der[] = {0x30, 0x03, 0x02, 0x01, 0x02};
static uint8_t prefix[STAMP_CERTIFICATE_PREFIX_SIZE];
static uint32_t counter;

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        print_error("%s\n", err->what);
    }
    assert_int_equal(rc, STAMP_OK);
}

/* A device that was made at the desk, with key number `key`. */
static struct stamp_registry_row device(const char *serial, uint64_t key)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    uint8_t der[sizeof birth_der];

    must(stamp_registry_reserve_serial(books, "Sensor", serial, NOW, &row, &err), &err);
    books_key(row.fingerprint, key);
    memcpy(der, birth_der, sizeof der);
    row.certificate = der;
    row.certificate_len = sizeof der;
    must(stamp_registry_issue(books, &row, 1, NOW, &err), &err);
    row.certificate = NULL;
    return row;
}

static struct stamp_peer peer(const char *serial, uint64_t key, const uint8_t *der,
                              size_t len)
{
    struct stamp_peer p = {.der = der, .len = len};

    books_key(p.fingerprint, key);
    (void)snprintf(p.serial, sizeof p.serial, "%s", serial);
    return p;
}

static struct stamp_admitted admit(const struct stamp_peer *p)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_admitted a;

    must(stamp_registry_admit(books, p, &a, &err), &err);
    free(a.certificate); /* no case looks at it */
    a.certificate = NULL;
    return a;
}

static enum stamp_refusal refusal(const struct stamp_peer *p)
{
    return admit(p).refusal;
}

/* Book an intent for key number `key`. */
static enum stamp_refusal begin(int64_t id, uint64_t key, time_t now,
                                struct stamp_ldevid *out)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_ldevid_asked asked = {.device = id,
                                       .now = now,
                                       .not_after = now + 90 * DAY,
                                       .renew_before = now + 30 * DAY,
                                       .per_hour = 6,
                                       .who = "birth"};
    enum stamp_refusal why;

    books_key(asked.fingerprint, key);
    memcpy(asked.certificate_serial, prefix, sizeof prefix);
    counter++;
    asked.certificate_serial[15] = (uint8_t)counter;
    must(stamp_registry_group_begin(books, &err), &err);
    must(stamp_registry_group_end(
             books, stamp_registry_ldevid_begin(books, &asked, &why, out, &err), &err),
         &err);
    return why;
}

static bool certify(const struct stamp_ldevid *l, const uint8_t *der, size_t len)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    bool kept;

    must(stamp_registry_group_begin(books, &err), &err);
    must(stamp_registry_group_end(
             books,
             stamp_registry_ldevid_certify(books, l->device, l->n,
                                           (struct stamp_slice){der, len}, &kept, &err),
             &err),
         &err);
    return kept;
}

/* A key with a certificate of one byte, `mark`. */
static struct stamp_ldevid make(int64_t id, uint64_t key, time_t now, uint8_t mark)
{
    struct stamp_ldevid l;

    assert_int_equal(begin(id, key, now, &l), STAMP_REFUSAL_NONE);
    assert_int_equal(l.state, STAMP_LDEVID_INTENT);
    assert_true(certify(&l, &mark, 1));
    return l;
}

static void use(const struct stamp_admitted *a, time_t now)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    must(stamp_registry_group_begin(books, &err), &err);
    must(stamp_registry_group_end(books, stamp_registry_ldevid_use(books, a, now, &err),
                                  &err),
         &err);
}

static int setup(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    int rc = books_open(state);

    must(stamp_registry_certificate_block(books, prefix, &err), &err);
    return rc;
}

/* ---- admission ---- */

static void booked_key_needs_trusted_chain_or_booked_certificate(void **state)
{
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_peer p = peer("A-1", 1, birth_der, sizeof birth_der);
    struct stamp_admitted a = admit(&p);

    (void)state;
    assert_int_equal(a.refusal, STAMP_REFUSAL_NONE);
    assert_true(a.birth);
    assert_int_equal(a.device, row.id);
    assert_string_equal(a.product, "Sensor");

    p.der = forged_der;
    assert_int_equal(refusal(&p), STAMP_REFUSAL_UNTRUSTED);
    p.trusted = true;
    assert_int_equal(refusal(&p), STAMP_REFUSAL_NONE);
}

static void another_key_is_refused_however_well_certified(void **state)
{
    struct stamp_peer p = peer("A-1", 2, forged_der, sizeof forged_der);

    (void)state;
    (void)device("A-1", 1);
    p.trusted = true;
    assert_int_equal(refusal(&p), STAMP_REFUSAL_FORGED);
    p = peer("A-2", 2, forged_der, sizeof forged_der);
    p.trusted = true;
    assert_int_equal(refusal(&p), STAMP_REFUSAL_UNKNOWN_KEY);
    p = peer("A-2", 1, forged_der, sizeof forged_der); /* a booked key, another's name */
    p.trusted = true;
    assert_int_equal(refusal(&p), STAMP_REFUSAL_FORGED);
}

static void revoked_and_scrapped_devices_are_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_change change = {
        .serial = "A-1", .to = STAMP_REGISTRY_SCRAPPED, .at = NOW};
    struct stamp_peer p = peer("A-1", 1, birth_der, sizeof birth_der);

    (void)state;
    (void)device("A-1", 1);
    must(stamp_registry_change(books, &change, 1, NULL, &err), &err);
    assert_int_equal(refusal(&p), STAMP_REFUSAL_STATE);
    change.to = STAMP_REGISTRY_REVOKED;
    must(stamp_registry_change(books, &change, 1, NULL, &err), &err);
    assert_int_equal(refusal(&p), STAMP_REFUSAL_REVOKED);
}

/* ---- keys ---- */

static void same_key_gets_the_same_certificate(void **state)
{
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_ldevid l = make(row.id, 10, NOW, 0xAA);
    struct stamp_ldevid again;

    (void)state;
    assert_int_equal(begin(row.id, 10, NOW + 60, &again), STAMP_REFUSAL_NONE);
    assert_int_equal(again.state, STAMP_LDEVID_PENDING);
    assert_int_equal(again.n, l.n);
    assert_int_equal(again.certificate_len, 1);
    assert_int_equal(again.certificate[0], 0xAA);
    stamp_ldevid_fini(&again);
}

static void an_intent_is_signed_as_it_was_booked(void **state)
{
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_ldevid l;
    struct stamp_ldevid again;
    uint8_t der = 1;

    (void)state;
    assert_int_equal(begin(row.id, 10, NOW, &l), STAMP_REFUSAL_NONE);
    books_reopen(); /* the process was killed */
    assert_int_equal(begin(row.id, 10, NOW + 60, &again), STAMP_REFUSAL_NONE);
    assert_int_equal(again.state, STAMP_LDEVID_INTENT);
    assert_int_equal(again.n, l.n);
    assert_int_equal(again.not_before, NOW);
    assert_memory_equal(again.certificate_serial, l.certificate_serial,
                        sizeof l.certificate_serial);
    assert_true(certify(&again, &der, 1));
    assert_false(certify(&again, &der, 1)); /* the first one counts */
    /* too old an intent is not signed any more */
    assert_int_equal(begin(row.id, 11, NOW, &l), STAMP_REFUSAL_NONE);
    assert_int_equal(begin(row.id, 11, NOW + 2 * DAY, &again), STAMP_REFUSAL_NONE);
    assert_int_equal(again.n, l.n + 1);
}

static void first_use_of_the_pending_key_retires_the_other(void **state)
{
    static const uint8_t first[] = {1};
    static const uint8_t second[] = {2};
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_peer old = peer("A-1", 10, first, 1);
    struct stamp_peer fresh = peer("A-1", 11, second, 1);
    struct stamp_admitted a;

    (void)state;
    (void)make(row.id, 10, NOW, 1);
    a = admit(&old);
    assert_true(a.first_use);
    use(&a, NOW);
    assert_false(admit(&old).first_use);
    (void)make(row.id, 11, NOW + 1, 2);
    assert_int_equal(refusal(&old), STAMP_REFUSAL_NONE); /* until the new one is used */
    a = admit(&fresh);
    assert_int_equal(a.refusal, STAMP_REFUSAL_NONE);
    assert_false(a.birth);
    use(&a, NOW + 2);
    assert_int_equal(refusal(&old), STAMP_REFUSAL_RETIRED);
    assert_int_equal(refusal(&fresh), STAMP_REFUSAL_NONE);
    /* a retired key never comes back */
    struct stamp_ldevid l;

    assert_int_equal(begin(row.id, 10, NOW + 3, &l), STAMP_REFUSAL_RETIRED);
    /* and the birth key is always the way home */
    struct stamp_peer born = peer("A-1", 1, birth_der, sizeof birth_der);

    assert_int_equal(refusal(&born), STAMP_REFUSAL_NONE);
}

static void one_key_is_pending_at_most(void **state)
{
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_peer p = peer("A-1", 10, (const uint8_t[]){1}, 1);

    (void)state;
    (void)make(row.id, 10, NOW, 1);
    (void)make(row.id, 11, NOW, 2);
    assert_int_equal(refusal(&p), STAMP_REFUSAL_RETIRED);
    assert_int_equal(
        books_number("SELECT count(*) FROM operational WHERE state IN (0, 1)"), 1);
}

static void confirmed_key_outlives_many_pending_ones(void **state)
{
    static const uint8_t first[] = {1};
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_peer p = peer("A-1", 10, first, 1);
    struct stamp_admitted a;

    (void)state;
    (void)make(row.id, 10, NOW, 1);
    a = admit(&p);
    use(&a, NOW);
    for (uint64_t i = 0; i < 10; i++) {
        (void)make(row.id, 20 + i, NOW + (time_t)i * 3601, 2);
    }
    assert_int_equal(refusal(&p), STAMP_REFUSAL_NONE);
}

static void a_key_is_renewed_near_its_end(void **state)
{
    static const uint8_t first[] = {1};
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_peer p = peer("A-1", 10, first, 1);
    struct stamp_admitted a;
    struct stamp_ldevid l;

    (void)state;
    (void)make(row.id, 10, NOW, 1);
    a = admit(&p);
    use(&a, NOW);
    assert_int_equal(begin(row.id, 10, NOW + 61 * DAY, &l), STAMP_REFUSAL_NONE);
    assert_int_equal(l.n, 2);
    assert_true(certify(&l, (const uint8_t[]){2}, 1));
    p.der = (const uint8_t[]){2};
    a = admit(&p);
    assert_true(a.first_use);
    use(&a, NOW + 61 * DAY);
    p.der = first; /* the older certificate of the same key: no longer booked */
    assert_int_equal(refusal(&p), STAMP_REFUSAL_UNTRUSTED);
}

static void no_key_is_two_devices(void **state)
{
    struct stamp_registry_row a = device("A-1", 1);
    struct stamp_registry_row b = device("A-2", 2);
    struct stamp_ldevid l;

    (void)state;
    (void)make(a.id, 10, NOW, 1);
    assert_int_equal(begin(b.id, 10, NOW, &l), STAMP_REFUSAL_KEY_TAKEN);
    assert_int_equal(begin(b.id, 1, NOW, &l), STAMP_REFUSAL_KEY_TAKEN);
    assert_int_equal(begin(b.id, 2, NOW, &l), STAMP_REFUSAL_KEY_TAKEN); /* its birth's */
    assert_int_equal(books_number("SELECT count(*) FROM operational"), 1);
}

static void a_device_gets_so_many_keys_an_hour(void **state)
{
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_ldevid l;

    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        (void)make(row.id, 10 + i, NOW, 1);
    }
    assert_int_equal(begin(row.id, 20, NOW, &l), STAMP_REFUSAL_RATE);
    assert_int_equal(begin(row.id, 20, NOW + 3601, &l), STAMP_REFUSAL_NONE);
}

static void a_group_that_fails_leaves_nothing(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_ldevid_asked asked = {.device = row.id,
                                       .now = NOW,
                                       .not_after = NOW + DAY,
                                       .per_hour = 5,
                                       .who = "birth"};
    enum stamp_refusal why;
    struct stamp_ldevid l;

    (void)state;
    books_key(asked.fingerprint, 10);
    must(stamp_registry_group_begin(books, &err), &err);
    must(stamp_registry_ldevid_begin(books, &asked, &why, &l, &err), &err);
    assert_int_equal(stamp_registry_group_end(books, STAMP_E_NOMEM, &err), STAMP_E_NOMEM);
    assert_int_equal(books_number("SELECT count(*) FROM operational"), 0);
    assert_int_equal(books_number("SELECT count(*) FROM claim_certificate"), 0);
}

static void certificate_serials_lead_to_their_device(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_row row = device("A-1", 1);
    struct stamp_ldevid l = make(row.id, 10, NOW, 1);
    int64_t owner;
    uint32_t n;

    (void)state;
    must(stamp_registry_certificate_owner(books, l.certificate_serial, &owner, &n, &err),
         &err);
    assert_int_equal(owner, row.id);
    assert_int_equal(n, l.n);
    l.certificate_serial[3] ^= 1;
    must(stamp_registry_certificate_owner(books, l.certificate_serial, &owner, &n, &err),
         &err);
    assert_int_equal(owner, 0);
}

/* ---- tokens ---- */

static enum stamp_refusal show(const uint8_t digest[32], const char *serial, uint64_t key,
                               time_t now, bool use)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_admitted a;
    uint8_t fingerprint[32];
    enum stamp_err rc;

    books_key(fingerprint, key);
    must(stamp_registry_group_begin(books, &err), &err);
    rc = stamp_registry_admit_token(books, digest, serial, fingerprint, now, &a, &err);
    if (rc == STAMP_OK && use && a.refusal == STAMP_REFUSAL_NONE && a.first_use) {
        rc = stamp_registry_token_use(books, digest, fingerprint, now, &a.refusal, &err);
    }
    must(stamp_registry_group_end(books, rc, &err), &err);
    free(a.certificate);
    return a.refusal;
}

static void a_token_lets_one_key_in(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    char text[STAMP_TOKEN_TEXT_SIZE];
    uint8_t digest[32];
    uint8_t again[32];

    (void)state;
    (void)device("A-1", 1);
    (void)device("A-2", 2);
    must(stamp_token_draw(text, digest, &err), &err);
    assert_int_equal(strlen(text), 43);
    must(stamp_token_digest(text, 43, again, &err), &err);
    assert_memory_equal(digest, again, 32);
    must(stamp_registry_token_add(books, "A-1", digest, NOW, NOW + DAY, &err), &err);
    assert_int_equal(show(digest, "A-2", 10, NOW, true), STAMP_REFUSAL_TOKEN);
    assert_int_equal(show(digest, "A-1", 10, NOW + DAY + 1, true), STAMP_REFUSAL_TOKEN);
    /* admitted, but it got nothing: the token is still good for any key */
    assert_int_equal(show(digest, "A-1", 12, NOW, false), STAMP_REFUSAL_NONE);
    assert_int_equal(show(digest, "A-1", 10, NOW, true), STAMP_REFUSAL_NONE);
    assert_int_equal(show(digest, "A-1", 11, NOW, true), STAMP_REFUSAL_TOKEN);
    assert_int_equal(show(digest, "", 10, NOW + 2 * DAY, true), STAMP_REFUSAL_NONE);
    assert_int_equal(stamp_registry_token_drop(books, digest, &err), STAMP_E_MISSING);
}

static bool count(void *ctx, const struct stamp_registry_token *t)
{
    int *n = ctx;

    assert_string_equal(t->serial, "A-1");
    *n += 1;
    return true;
}

static void tokens_are_listed_and_dropped(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t digest[32];
    int n = 0;

    (void)state;
    (void)device("A-1", 1);
    for (uint64_t i = 0; i < 70; i++) {
        books_key(digest, i);
        must(stamp_registry_token_add(books, "A-1", digest, NOW, NOW + DAY, &err), &err);
    }
    must(stamp_registry_token_list(books, count, &n, &err), &err);
    assert_int_equal(n, 70);
    must(stamp_registry_token_drop(books, digest, &err), &err);
    assert_int_equal(show(digest, "A-1", 10, NOW, true), STAMP_REFUSAL_TOKEN);
    assert_int_equal(stamp_registry_token_add(books, "A-9", digest, NOW, NOW + DAY, &err),
                     STAMP_E_MISSING);
}

/* ---- certificates of no device ---- */

static void issued_certificates_are_found_by_key(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    static const uint8_t der[] = {1, 2, 3};
    struct stamp_issued what = {.kind = STAMP_ISSUED_REGISTRAR,
                                .name = "line 4",
                                .at = NOW,
                                .not_after = NOW + DAY};
    struct stamp_issued found;

    (void)state;
    memcpy(what.certificate_serial, prefix, sizeof prefix);
    books_key(what.fingerprint, 50);
    must(stamp_registry_issued_add(books, &what, &err), &err);
    assert_int_equal(
        stamp_registry_issued_find_key(books, what.fingerprint, &found, &err),
        STAMP_E_MISSING);
    stamp_error_clear(&err);
    must(stamp_registry_issued_certify(books, what.certificate_serial,
                                       (struct stamp_slice){der, 3}, &err),
         &err);
    assert_int_equal(stamp_registry_issued_certify(books, what.certificate_serial,
                                                   (struct stamp_slice){der, 3}, &err),
                     STAMP_E_STATE);
    stamp_error_clear(&err);
    must(stamp_registry_issued_find_key(books, what.fingerprint, &found, &err), &err);
    assert_int_equal(found.kind, STAMP_ISSUED_REGISTRAR);
    assert_string_equal(found.name, "line 4");
    assert_int_equal(found.certificate_len, 3);
    stamp_issued_fini(&found);
}

static void every_refusal_has_its_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STAMP_REFUSALS; i++) {
        assert_non_null(stamp_refusal_name((enum stamp_refusal)i));
        assert_true(strlen(stamp_refusal_text((enum stamp_refusal)i)) > 5);
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(stamp_refusal_name((enum stamp_refusal)i),
                                    stamp_refusal_name((enum stamp_refusal)k));
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, books_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(booked_key_needs_trusted_chain_or_booked_certificate),
        TEST(another_key_is_refused_however_well_certified),
        TEST(revoked_and_scrapped_devices_are_refused),
        TEST(same_key_gets_the_same_certificate),
        TEST(an_intent_is_signed_as_it_was_booked),
        TEST(first_use_of_the_pending_key_retires_the_other),
        TEST(one_key_is_pending_at_most),
        TEST(confirmed_key_outlives_many_pending_ones),
        TEST(a_key_is_renewed_near_its_end),
        TEST(no_key_is_two_devices),
        TEST(a_device_gets_so_many_keys_an_hour),
        TEST(a_group_that_fails_leaves_nothing),
        TEST(certificate_serials_lead_to_their_device),
        TEST(a_token_lets_one_key_in),
        TEST(tokens_are_listed_and_dropped),
        TEST(issued_certificates_are_found_by_key),
        cmocka_unit_test(every_refusal_has_its_words),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
