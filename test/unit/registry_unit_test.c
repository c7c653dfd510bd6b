/* Units of a work order that the service certifies: what the books let it sign. SPEC 17.
 */
#include "host/registry_unit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/keys.h"
#include "host/key.h"
#include "host/pki.h"
#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define COUNT 3u

static const uint8_t station_id[32] = {7, 7, 7};
static const uint8_t certificate[] = {0x30, 1, 2, 3};
static EVP_PKEY *journal;
static struct stamp_registry_order order;

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        print_error("%s\n", err->what);
    }
    assert_int_equal(rc, STAMP_OK);
}

static int open_books(void **state)
{
    const struct stamp_authority what = {.organization = "Acme",
                                         .role = "Journal",
                                         .purpose = STAMP_DEVELOPMENT,
                                         .not_before = NOW,
                                         .path_len = 0};
    struct stamp_registry_station s = {.key = {1},
                                       .name = "line-3",
                                       .ca = {(const uint8_t *)"ca", 2},
                                       .box = {(const uint8_t *)"box", 3},
                                       .at = NOW};
    struct stamp_serial_pattern pattern = books_pattern("SN-{counter:6}");
    const struct stamp_registry_order_setup setup = {.product = "Sensor",
                                                     .pattern = &pattern,
                                                     .count = COUNT,
                                                     .first = 100,
                                                     .station = station_id,
                                                     .lock_later = true,
                                                     .not_after = NOW + 1000,
                                                     .now = NOW};
    struct stamp_error err = STAMP_ERROR_INIT;
    X509 *cert = NULL;
    uint8_t *der = NULL;
    int rc = books_open(state);

    must(stamp_key_generate(&journal, &err), &err);
    must(stamp_pki_authority(&what, journal, NULL, journal, &cert, &err), &err);
    must(stamp_pki_encode(cert, &der, &s.journal.len, &err), &err);
    s.journal.p = der;
    memcpy(s.id, station_id, sizeof s.id);
    must(stamp_registry_station_add(books, &s, &err), &err);
    must(stamp_registry_order_add(books, &setup, &order, &err), &err);
    OPENSSL_free(der);
    X509_free(cert);
    return rc;
}

static int close_books(void **state)
{
    EVP_PKEY_free(journal);
    journal = NULL;
    return books_close(state);
}

/* ---- asking ---- */

static struct stamp_unit_request request(uint32_t index, uint8_t key)
{
    struct stamp_unit_request u = {
        .index = index, .not_before = NOW, .point = {4, key}, .digest = {9}};

    memcpy(u.station, station_id, sizeof u.station);
    memcpy(u.order, order.id, sizeof u.order);
    return u;
}

static void sign(const struct stamp_unit_request *u, EVP_PKEY *key,
                 uint8_t sig[STAMP_SIG_SIZE])
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t payload[STAMP_UNIT_PAYLOAD_MAX];
    size_t len;

    stamp_unit_request_payload(u, payload, &len);
    must(stamp_sig_make(key, STAMP_LABEL_UNIT, payload, len, sig, &err), &err);
}

static enum stamp_refusal ask_signed(const struct stamp_unit_request *u,
                                     const uint8_t *sig, time_t now,
                                     struct stamp_unit_booked *out)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_refusal refusal;
    enum stamp_err rc;

    must(stamp_registry_group_begin(books, &err), &err);
    rc = stamp_registry_unit_begin(books, u, sig, now, &refusal, out, &err);
    must(stamp_registry_group_end(books, rc, &err), &err);
    return refusal;
}

static enum stamp_refusal ask(const struct stamp_unit_request *u, time_t now)
{
    struct stamp_unit_booked b;
    uint8_t sig[STAMP_SIG_SIZE];
    enum stamp_refusal refusal;

    sign(u, journal, sig);
    refusal = ask_signed(u, sig, now, &b);
    stamp_unit_booked_fini(&b);
    return refusal;
}

static bool certify(int64_t device)
{
    const struct stamp_slice der = {certificate, sizeof certificate};
    struct stamp_error err = STAMP_ERROR_INIT;
    bool kept;
    enum stamp_err rc;

    must(stamp_registry_group_begin(books, &err), &err);
    rc = stamp_registry_unit_certify(books, device, NOW + 1, der, &kept, &err);
    must(stamp_registry_group_end(books, rc, &err), &err);
    return kept;
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

/* ---- tests ---- */

static void one_key_gets_one_certificate(void **state)
{
    struct stamp_unit_request u = request(1, 1);
    struct stamp_registry_balance balance;
    struct stamp_unit_booked b;
    uint8_t sig[STAMP_SIG_SIZE];

    (void)state;
    sign(&u, journal, sig);
    assert_int_equal(ask_signed(&u, sig, NOW, &b), STAMP_REFUSAL_NONE);
    assert_string_equal(b.serial, "SN-000101");
    assert_null(b.certificate);
    assert_int_equal(b.certificate_serial[15], 1);
    assert_int_equal(state_of(b.serial), STAMP_REGISTRY_RESERVED);
    /* again before it is signed: the same is to be signed */
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_NONE);
    assert_true(certify(b.device));
    assert_false(certify(b.device));
    assert_int_equal(state_of(b.serial), STAMP_REGISTRY_ISSUED);
    stamp_unit_booked_fini(&b);
    assert_int_equal(ask_signed(&u, sig, NOW, &b), STAMP_REFUSAL_NONE);
    assert_int_equal(b.certificate_len, sizeof certificate);
    assert_memory_equal(b.certificate, certificate, sizeof certificate);
    stamp_unit_booked_fini(&b);
    assert_int_equal(stamp_registry_balance(books, order.batch.id, &balance, NULL),
                     STAMP_OK);
    assert_int_equal(balance.issued, 1);
}

static void no_second_key_and_no_key_of_another(void **state)
{
    struct stamp_unit_request u = request(0, 1);

    (void)state;
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_NONE);
    u.point[1] = 2;
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_KEY_TAKEN);
    u = request(1, 1);
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_KEY_TAKEN);
    u.point[1] = 2;
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_NONE);
}

static void not_one_too_many(void **state)
{
    struct stamp_unit_request u = request(COUNT, 1);

    (void)state;
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_UNIT);
    u.index = UINT32_MAX;
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_UNIT);
    u.index = COUNT - 1;
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_NONE);
}

static void an_order_that_is_over_or_closed_gets_nothing(void **state)
{
    struct stamp_unit_request u = request(0, 1);
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(ask(&u, NOW + 1001), STAMP_REFUSAL_ORDER);
    u.order[0] ^= 1;
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_ORDER);
    u.order[0] ^= 1;
    must(stamp_registry_order_close(books, order.id, NOW, &err), &err);
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_ORDER);
}

static void only_the_station_itself_may_ask(void **state)
{
    struct stamp_unit_request u = request(0, 1);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_unit_booked b;
    uint8_t sig[STAMP_SIG_SIZE];
    EVP_PKEY *other = NULL;

    (void)state;
    must(stamp_key_generate(&other, &err), &err);
    sign(&u, other, sig);
    assert_int_equal(ask_signed(&u, sig, NOW, &b), STAMP_REFUSAL_STATION);
    sign(&u, journal, sig);
    u.index = 1; /* changed on the way */
    assert_int_equal(ask_signed(&u, sig, NOW, &b), STAMP_REFUSAL_STATION);
    u.station[0] ^= 1;
    assert_int_equal(ask(&u, NOW), STAMP_REFUSAL_STATION);
    EVP_PKEY_free(other);
}

static void a_request_is_read_as_it_was_written(void **state)
{
    struct stamp_unit_request u = request(2, 1);
    struct stamp_unit_request is;
    uint8_t sig[STAMP_SIG_SIZE] = {3};
    uint8_t read[STAMP_SIG_SIZE];
    uint8_t bytes[STAMP_UNIT_REQUEST_MAX + 1];
    size_t len;

    (void)state;
    for (int i = 0; i < 2; i++) {
        u.has_provisioning = i == 1;
        u.provisioning[0] = (uint8_t)i;
        stamp_unit_request_encode(&u, sig, bytes, &len);
        assert_true(len <= STAMP_UNIT_REQUEST_MAX);
        assert_int_equal(
            stamp_unit_request_decode((struct stamp_slice){bytes, len}, &is, read, NULL),
            STAMP_OK);
        assert_memory_equal(&is, &u, sizeof u);
        assert_memory_equal(read, sig, sizeof sig);
        for (size_t n = 0; n < len; n++) {
            assert_int_equal(stamp_unit_request_decode((struct stamp_slice){bytes, n},
                                                       &is, read, NULL),
                             STAMP_E_FORMAT);
        }
        bytes[len] = 0;
        assert_int_equal(stamp_unit_request_decode((struct stamp_slice){bytes, len + 1},
                                                   &is, read, NULL),
                         STAMP_E_FORMAT);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_books, close_books)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(one_key_gets_one_certificate),
        TEST(no_second_key_and_no_key_of_another),
        TEST(not_one_too_many),
        TEST(an_order_that_is_over_or_closed_gets_nothing),
        TEST(only_the_station_itself_may_ask),
        TEST(a_request_is_read_as_it_was_written),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
