/* A proof of possession that the factory was told: the first claim makes it void, and
 * nobody is locked out who loses power or an answer meanwhile. SPEC 10-25, 10-26. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/claim.h"
#include "test/unit/live/live.h"

static struct live live; /* large */

/* What the owner's app keeps. */
static struct {
    char label[256]; /* "" = none */
    unsigned kept;
    bool fails;
} app;

static void begin(bool encrypted)
{
    const struct live_options o = {.encrypted = encrypted, .strike = true, .told = true};

    memset(&app, 0, sizeof app);
    live_start(&live, &o);
}

static enum stamp_err keep(void *ctx, struct stamp_slice label, struct stamp_error *err)
{
    char text[sizeof app.label];

    (void)ctx;
    if (app.fails) {
        return stamp_error_set(err, STAMP_E_IO, 0, "the disk is full");
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)label.len, label.p);
    if (app.label[0] != '\0') { /* the one that waits stays the same */
        assert_string_equal(app.label, text);
    }
    memcpy(app.label, text, sizeof text);
    app.kept++;
    return STAMP_OK;
}

static enum stamp_err claim_with(struct stamp_scan *label, stamp_claim_keep how,
                                 bool *renewed, struct stamp_error *err)
{
    struct stamp_claim_result result;
    enum stamp_err rc;

    stamp_error_clear(err);
    rc = stamp_claim_run(&live.client, label, how, NULL, &result, err);
    *renewed = result.renewed;
    if (rc == STAMP_OK) {
        assert_string_equal(result.serial, LIVE_SERIAL);
    }
    stamp_scan_fini(label);
    return rc;
}

static enum stamp_err claim_old(stamp_claim_keep how, bool *renewed,
                                struct stamp_error *err)
{
    struct stamp_scan label;

    live_label(&live, &label);
    return claim_with(&label, how, renewed, err);
}

static enum stamp_err claim_new(struct stamp_error *err)
{
    struct stamp_scan label = {.has_hash = false};
    bool renewed;

    assert_int_equal(stamp_claim_label_add(&label, app.label, strlen(app.label), NULL),
                     STAMP_OK);
    assert_string_equal(label.serial, LIVE_SERIAL);
    return claim_with(&label, keep, &renewed, err);
}

static void assert_claimed(bool want)
{
    bool claimed;

    assert_int_equal(live_tries(&live, &claimed), 0);
    assert_int_equal(claimed, want);
}

/* The old one is void, the new one is not, and a restart changes nothing. */
static void assert_renewed(void)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    bool renewed;

    assert_claimed(true);
    assert_int_equal(claim_new(&err), STAMP_OK);
    assert_int_equal(claim_old(keep, &renewed, &err), STAMP_E_AUTH);
    live_boot(&live);
    assert_int_equal(claim_old(keep, &renewed, &err), STAMP_E_AUTH);
    assert_int_equal(claim_new(&err), STAMP_OK);
    assert_claimed(true);
}

static void the_first_claim_renews_it(void **state)
{
    (void)state;
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        bool renewed;

        begin(encrypted != 0);
        assert_int_equal(claim_old(keep, &renewed, &err), STAMP_OK);
        assert_true(renewed);
        assert_int_equal(app.kept, 1);
        assert_null(strstr(app.label, LIVE_POP));
        assert_renewed();
        assert_int_equal(app.kept, 1);
        live_stop(&live);
    }
}

static void nothing_is_claimed_that_is_not_kept(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    bool renewed;

    (void)state;
    begin(false);
    assert_int_equal(claim_old(NULL, &renewed, &err), STAMP_E_UNSUPPORTED);
    assert_non_null(strstr(err.what, "the factory was told the proof of possession"));
    assert_claimed(false);
    app.fails = true;
    assert_int_equal(claim_old(keep, &renewed, &err), STAMP_E_IO);
    assert_string_equal(err.state, "the device is not claimed, and its label holds");
    assert_claimed(false);
    app.fails = false;
    live_boot(&live);
    assert_int_equal(claim_old(keep, &renewed, &err), STAMP_OK);
    assert_renewed();
    live_stop(&live);
}

static void a_proof_that_was_never_told_stays(void **state)
{
    const struct live_options o = {.strike = true};
    struct stamp_error err = STAMP_ERROR_INIT;
    bool renewed;

    (void)state;
    live_start(&live, &o);
    assert_int_equal(claim_old(NULL, &renewed, &err), STAMP_OK);
    assert_false(renewed);
    assert_int_equal(claim_old(NULL, &renewed, &err), STAMP_OK);
    live_stop(&live);
}

static void wrong_ones_are_counted_as_ever(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_scan label;
    bool claimed;
    bool renewed;

    (void)state;
    begin(false);
    for (unsigned round = 0; round < 2; round++) { /* also while another one waits */
        for (uint32_t n = 1; n <= 2; n++) {
            live_label(&live, &label);
            stamp_secret_free(&label.pop);
            assert_int_equal(stamp_secret_new(&label.pop, "wrong-one", 9, NULL),
                             STAMP_OK);
            assert_int_equal(claim_with(&label, keep, &renewed, &err), STAMP_E_AUTH);
            assert_int_equal(live_tries(&live, &claimed), n);
        }
        assert_int_equal(claim_old(NULL, &renewed, &err), STAMP_E_UNSUPPORTED);
        assert_claimed(false); /* the right one clears the count */
    }
    assert_int_equal(app.kept, 0);
    live_stop(&live);
}

/* Power fails in each operation on the flash; then the owner tries again. */
static void power_may_fail_anywhere(void **state)
{
    unsigned cut = 0;
    bool all = false;

    (void)state;
    while (!all) {
        struct stamp_error err = STAMP_ERROR_INIT;
        bool renewed;
        enum stamp_err rc;

        begin(false);
        live.flash_ops = 0;
        live.cut_at = ++cut;
        rc = claim_old(keep, &renewed, &err);
        all = !live.dead;
        live.cut_at = 0;
        if (live.dead) {
            assert_int_not_equal(rc, STAMP_OK);
            live_boot(&live);
            rc = claim_old(keep, &renewed, &err);
            if (rc != STAMP_OK) { /* it is void already: then the new one was kept */
                assert_int_equal(rc, STAMP_E_AUTH);
                assert_int_equal(claim_new(&err), STAMP_OK);
            }
        }
        assert_renewed();
        live_stop(&live);
    }
    assert_true(cut > 20);
}

struct trouble {
    unsigned seen;
    unsigned lose; /* which message; 0 = none */
};

static unsigned lose_one(void *ctx, bool up, uint8_t *msg, size_t *len)
{
    struct trouble *t = ctx;

    (void)up;
    (void)msg;
    (void)len;
    return ++t->seen == t->lose ? 0 : 1;
}

static void any_message_may_be_lost(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 10; n++) { /* five requests, five answers */
        struct stamp_error err = STAMP_ERROR_INIT;
        struct trouble t = {.lose = n};
        bool renewed;

        begin(false);
        live.hook = lose_one;
        live.hook_ctx = &t;
        assert_int_equal(claim_old(keep, &renewed, &err), STAMP_OK);
        live.hook = NULL;
        assert_int_equal(app.kept, 1);
        assert_renewed();
        live_stop(&live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_claim_renews_it),
        cmocka_unit_test(nothing_is_claimed_that_is_not_kept),
        cmocka_unit_test(a_proof_that_was_never_told_stays),
        cmocka_unit_test(wrong_ones_are_counted_as_ever),
        cmocka_unit_test(power_may_fail_anywhere),
        cmocka_unit_test(any_message_may_be_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
