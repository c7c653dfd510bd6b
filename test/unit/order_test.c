/* Work orders: what headquarters signs is what the station gets, and nothing else is.
 * SPEC 14. */
#include "host/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cbor.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/sig.h"
#include "test/fixture/batch.h"

#define NOW 1764000000u

struct rig {
    struct batch_fixture f; /* station[0] is the box, station[1] stands for the CA */
    struct stamp_order order;
    struct stamp_buffer file;
    uint8_t *station_der;
    size_t station_len;
    uint8_t owner_hash[32];
};

static struct rig rig;

static struct stamp_slice text(const char *s)
{
    struct stamp_slice out = {(const uint8_t *)s, strlen(s)};

    return out;
}

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        print_error("%s\n", err->what);
    }
    assert_int_equal(rc, STAMP_OK);
}

static int setup(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_order *o = &rig.order;
    uint8_t point[STAMP_POINT_SIZE];

    (void)state;
    batch_fixture_init(&rig.f, STAMP_DEVELOPMENT);
    must(stamp_pki_encode(rig.f.station[1], &rig.station_der, &rig.station_len, &err),
         &err);
    must(stamp_key_point(rig.f.pki.owner_key, point, &err), &err);
    must(stamp_key_hash(point, rig.owner_hash, &err), &err);
    memset(o->id, 7, sizeof o->id);
    o->purpose = STAMP_DEVELOPMENT;
    o->product = text("Sensor");
    o->profile = text("company: Example\n");
    o->count = 500;
    o->first_counter = 1000;
    o->at = NOW;
    o->first = text("SN-001000");
    o->last = text("SN-001499");
    memset(o->prefix, 0x11, sizeof o->prefix);
    o->station.p = rig.station_der;
    o->station.len = rig.station_len;
    o->not_before = NOW;
    o->not_after = NOW + 1000;
    o->bundle.p = rig.f.pki.bundle;
    o->bundle.len = rig.f.pki.bundle_len;
    o->lock = STAMP_ORDER_LOCK_LATER;
    o->pop = STAMP_ORDER_POP_SEALED;
    o->recipient = o->station;
    o->backdate_s = 3600;
    o->note = text("second shift");
    must(stamp_order_make(o, rig.f.pki.owner_key, rig.f.station[0], &rig.file, &err),
         &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stamp_buffer_free(&rig.file);
    OPENSSL_free(rig.station_der);
    batch_fixture_fini(&rig.f);
    return 0;
}

static enum stamp_err open_bytes(const struct stamp_buffer *file, EVP_PKEY *box,
                                 struct stamp_buffer *plain, struct stamp_order *out,
                                 struct stamp_error *err)
{
    struct stamp_slice s = {file->p, file->len};

    return stamp_order_open(s, rig.owner_hash, box, plain, out, err);
}

static void assert_slice(struct stamp_slice a, struct stamp_slice b)
{
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.p, b.p, b.len);
}

/* SPEC 14-1 to 14-4 */
static void station_gets_what_headquarters_signed(void **state)
{
    STAMP_BUFFER_AUTO plain = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_order o;

    (void)state;
    must(open_bytes(&rig.file, rig.f.station_key[0], &plain, &o, &err), &err);
    assert_memory_equal(o.id, rig.order.id, sizeof o.id);
    assert_int_equal(o.purpose, STAMP_DEVELOPMENT);
    assert_slice(o.product, rig.order.product);
    assert_slice(o.profile, rig.order.profile);
    assert_int_equal(o.count, 500);
    assert_int_equal(o.first_counter, 1000);
    assert_int_equal(o.at, NOW);
    assert_slice(o.first, rig.order.first);
    assert_slice(o.last, rig.order.last);
    assert_memory_equal(o.prefix, rig.order.prefix, sizeof o.prefix);
    assert_slice(o.station, rig.order.station);
    assert_int_equal(o.not_before, NOW);
    assert_int_equal(o.not_after, NOW + 1000);
    assert_slice(o.bundle, rig.order.bundle);
    assert_int_equal(o.lock, STAMP_ORDER_LOCK_LATER);
    assert_int_equal(o.pop, STAMP_ORDER_POP_SEALED);
    assert_slice(o.recipient, rig.order.recipient);
    assert_int_equal(o.backdate_s, 3600);
    assert_slice(o.note, rig.order.note);
}

static void optional_values_may_be_absent(void **state)
{
    STAMP_BUFFER_AUTO file = {NULL, 0};
    STAMP_BUFFER_AUTO plain = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_order in = rig.order;
    struct stamp_order o;

    (void)state;
    in.pop = STAMP_ORDER_POP_SHOWN;
    in.recipient = (struct stamp_slice){NULL, 0};
    in.note = (struct stamp_slice){NULL, 0};
    must(stamp_order_make(&in, rig.f.pki.owner_key, rig.f.station[0], &file, &err), &err);
    must(open_bytes(&file, rig.f.station_key[0], &plain, &o, &err), &err);
    assert_int_equal(o.pop, STAMP_ORDER_POP_SHOWN);
    assert_int_equal(o.recipient.len, 0);
    assert_int_equal(o.note.len, 0);
    assert_int_equal(o.backdate_s, 3600);
    assert_false(o.uncounted);
}

/* SPEC 14-4, 20: with a note and without one. */
static void a_token_without_a_count_is_allowed_or_not(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_order in = rig.order;

    (void)state;
    for (int note = 0; note < 2; note++) {
        STAMP_BUFFER_AUTO file = {NULL, 0};
        STAMP_BUFFER_AUTO plain = {NULL, 0};
        struct stamp_order o;

        in.uncounted = true;
        in.note = note != 0 ? rig.order.note : (struct stamp_slice){NULL, 0};
        must(stamp_order_make(&in, rig.f.pki.owner_key, rig.f.station[0], &file, &err),
             &err);
        must(open_bytes(&file, rig.f.station_key[0], &plain, &o, &err), &err);
        assert_true(o.uncounted);
        assert_int_equal(o.note.len, in.note.len);
    }
}

static void profile_is_not_in_the_clear(void **state)
{
    (void)state;
    assert_null(memmem(rig.file.p, rig.file.len, "Example", 7));
}

static void another_station_cannot_open_it(void **state)
{
    STAMP_BUFFER_AUTO plain = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_order o;

    (void)state;
    assert_int_equal(open_bytes(&rig.file, rig.f.station_key[1], &plain, &o, &err),
                     STAMP_E_AUTH);
    assert_null(plain.p);
    assert_int_equal(o.count, 0);
}

/* SPEC 14-5 */
static void another_owner_is_refused(void **state)
{
    STAMP_BUFFER_AUTO file = {NULL, 0};
    STAMP_BUFFER_AUTO plain = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_order o;

    (void)state;
    must(
        stamp_order_make(&rig.order, rig.f.station_key[1], rig.f.station[0], &file, &err),
        &err);
    assert_int_equal(open_bytes(&file, rig.f.station_key[0], &plain, &o, &err),
                     STAMP_E_AUTH);
    assert_string_equal(err.what, "the order is of another owner");
}

static void every_changed_byte_is_refused(void **state)
{
    struct stamp_order o;

    (void)state;
    for (size_t i = 0; i < rig.file.len; i++) {
        STAMP_BUFFER_AUTO plain = {NULL, 0};
        struct stamp_error err = STAMP_ERROR_INIT;
        enum stamp_err rc;

        rig.file.p[i] ^= 0x01;
        rc = open_bytes(&rig.file, rig.f.station_key[0], &plain, &o, &err);
        rig.file.p[i] ^= 0x01;
        /* the recipient's name in the envelope is no secret and opens nothing */
        if (rc != STAMP_OK) {
            assert_int_not_equal(err.what[0], '\0');
            assert_null(plain.p);
            continue;
        }
        assert_slice(o.profile, rig.order.profile);
        assert_int_equal(o.count, rig.order.count);
    }
}

static void a_cut_order_is_refused(void **state)
{
    struct stamp_order o;

    (void)state;
    for (size_t len = 0; len < rig.file.len; len += 7) {
        STAMP_BUFFER_AUTO plain = {NULL, 0};
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_buffer cut = {rig.file.p, len};

        assert_int_equal(open_bytes(&cut, rig.f.station_key[0], &plain, &o, &err),
                         STAMP_E_FORMAT);
    }
}

/* SPEC 14-5 */
static void it_holds_for_its_station_purpose_and_time_only(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice station = rig.order.station;
    struct stamp_slice other = rig.order.bundle;
    const struct stamp_order *o = &rig.order;

    (void)state;
    must(stamp_order_check(o, station, STAMP_DEVELOPMENT, NOW, &err), &err);
    must(stamp_order_check(o, station, STAMP_DEVELOPMENT, NOW + 1000, &err), &err);
    assert_int_equal(stamp_order_check(o, station, STAMP_DEVELOPMENT, NOW - 1, &err),
                     STAMP_E_STATE);
    assert_int_equal(stamp_order_check(o, station, STAMP_DEVELOPMENT, NOW + 1001, NULL),
                     STAMP_E_STATE);
    assert_int_equal(stamp_order_check(o, station, STAMP_PRODUCTION, NOW, NULL),
                     STAMP_E_PURPOSE);
    assert_int_equal(stamp_order_check(o, other, STAMP_DEVELOPMENT, NOW, NULL),
                     STAMP_E_AUTH);
}

static void refuse(struct stamp_order o, const char *what)
{
    STAMP_BUFFER_AUTO file = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;

    assert_int_equal(
        stamp_order_make(&o, rig.f.pki.owner_key, rig.f.station[0], &file, &err),
        STAMP_E_RANGE);
    assert_non_null(strstr(err.what, what));
    assert_null(file.p);
}

static void impossible_orders_are_not_made(void **state)
{
    struct stamp_order o = rig.order;

    (void)state;
    o.count = 0;
    refuse(o, "count");
    o = rig.order;
    o.first_counter = UINT32_MAX - 10;
    refuse(o, "count");
    o = rig.order;
    o.product = text("");
    refuse(o, "product");
    o = rig.order;
    o.not_after = o.not_before;
    refuse(o, "dates");
    o = rig.order;
    o.recipient.len = 0;
    refuse(o, "recipient");
    o = rig.order;
    o.pop = STAMP_ORDER_POP_NONE;
    refuse(o, "recipient");
    o = rig.order;
    o.note = text("line\nfeed");
    refuse(o, "note");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(station_gets_what_headquarters_signed),
        cmocka_unit_test(optional_values_may_be_absent),
        cmocka_unit_test(a_token_without_a_count_is_allowed_or_not),
        cmocka_unit_test(profile_is_not_in_the_clear),
        cmocka_unit_test(another_station_cannot_open_it),
        cmocka_unit_test(another_owner_is_refused),
        cmocka_unit_test(every_changed_byte_is_refused),
        cmocka_unit_test(a_cut_order_is_refused),
        cmocka_unit_test(it_holds_for_its_station_purpose_and_time_only),
        cmocka_unit_test(impossible_orders_are_not_made),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
