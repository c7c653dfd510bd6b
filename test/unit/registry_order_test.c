/* Work orders on the books, and what of a journal's units they admit. SPEC 14. */
#include "host/registry_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/key.h"
#include "host/order.h"
#include "host/pki.h"
#include "test/unit/books/books.h"

#define NOW BOOKS_NOW
#define COUNT 8u
#define FIRST 100u

static struct stamp_serial_pattern pattern;

/* ---- a station, and units that it made ---- */

struct station {
    EVP_PKEY *key;
    X509 *ca;
    uint8_t *der;
    size_t len;
    uint8_t id[32];
};

static struct station station;
static struct station rogue; /* of the same name, and not on the books */

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        print_error("%s\n", err->what);
    }
    assert_int_equal(rc, STAMP_OK);
}

static void hash_point(EVP_PKEY *key, uint8_t hash[32])
{
    uint8_t point[STAMP_POINT_SIZE];

    assert_int_equal(stamp_key_point(key, point, NULL), STAMP_OK);
    assert_int_equal(stamp_key_hash(point, hash, NULL), STAMP_OK);
}

static void station_init(struct station *s)
{
    const struct stamp_authority what = {.organization = "Acme",
                                         .role = "Station CA",
                                         .purpose = STAMP_DEVELOPMENT,
                                         .not_before = NOW,
                                         .path_len = 0};
    struct stamp_error err = STAMP_ERROR_INIT;

    must(stamp_key_generate(&s->key, &err), &err);
    must(stamp_pki_authority(&what, s->key, NULL, s->key, &s->ca, &err), &err);
    must(stamp_pki_encode(s->ca, &s->der, &s->len, &err), &err);
    assert_int_equal(EVP_Digest(s->der, s->len, s->id, NULL, EVP_sha256(), NULL), 1);
}

static void station_fini(struct station *s)
{
    EVP_PKEY_free(s->key);
    X509_free(s->ca);
    OPENSSL_free(s->der);
}

static struct stamp_registry_station row_of(const struct station *s)
{
    struct stamp_registry_station row = {.name = "line-3",
                                         .ca = {s->der, s->len},
                                         .box = {(const uint8_t *)"box", 3},
                                         .journal = {(const uint8_t *)"journal", 7},
                                         .at = NOW};

    memcpy(row.id, s->id, sizeof row.id);
    hash_point(s->key, row.key);
    return row;
}

/* What a journal tells of one unit, and what it points to. */
struct made {
    struct stamp_registry_unit unit;
    char serial[STAMP_SERIAL_SIZE];
    char chip[16];
    uint8_t fingerprint[32];
    uint8_t certificate[STAMP_MAX_CERTIFICATE];
};

struct making {
    const struct station *by;
    const struct stamp_registry_order *order;
    uint32_t index;     /* in the certificate's serial number */
    const char *serial; /* NULL = the index's */
    EVP_PKEY *key;      /* NULL = a new one */
    bool unbound;
};

static void make_unit(struct made *m, const struct making *how)
{
    static const uint8_t digest[32] = {1};
    const struct stamp_leaf_profile profile = {.organization = "Acme",
                                               .purpose = STAMP_DEVELOPMENT};
    struct stamp_leaf_subject subject = {.common_name = "Sensor",
                                         .digest = how->unbound ? NULL : digest,
                                         .not_before = NOW};
    struct stamp_leaf_maker *maker = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    EVP_PKEY *key = how->key;
    uint8_t point[STAMP_POINT_SIZE];
    size_t len;

    memset(m, 0, sizeof *m);
    must(stamp_serial_format(&pattern, how->order->batch.first_counter + how->index, NOW,
                             m->serial, sizeof m->serial, &err),
         &err);
    if (key == NULL) {
        must(stamp_key_generate(&key, &err), &err);
    }
    must(stamp_key_point(key, point, &err), &err);
    hash_point(key, m->fingerprint);
    subject.point = point;
    subject.serial = how->serial == NULL ? m->serial : how->serial;
    stamp_registry_batch_serial(&how->order->batch, how->index, subject.serial_number);
    must(stamp_leaf_new(&profile, how->by->ca, how->by->key, &maker, &err), &err);
    must(stamp_leaf_make(maker, &subject, m->certificate, &len, &err), &err);
    stamp_leaf_free(&maker);
    if (how->key == NULL) {
        EVP_PKEY_free(key);
    }
    (void)snprintf(m->chip, sizeof m->chip, "chip-%u", how->index);
    m->unit = (struct stamp_registry_unit){.index = how->index,
                                           .serial = m->serial,
                                           .fingerprint = m->fingerprint,
                                           .chip = m->chip,
                                           .certificate = m->certificate,
                                           .certificate_len = len,
                                           .state = STAMP_REGISTRY_STRUCK,
                                           .at = NOW + 10 + how->index,
                                           .where = "line-3",
                                           .locked = true};
}

static void make_good(struct made *m, const struct stamp_registry_order *order,
                      uint32_t index)
{
    const struct making how = {.by = &station, .order = order, .index = index};

    make_unit(m, &how);
}

/* ---- books ---- */

static int open_books(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_station row;
    int rc = books_open(state);

    pattern = books_pattern("SN-{counter:6}{luhn}");
    station_init(&station);
    station_init(&rogue);
    row = row_of(&station);
    must(stamp_registry_station_add(books, &row, &err), &err);
    return rc;
}

static int close_books(void **state)
{
    station_fini(&station);
    station_fini(&rogue);
    return books_close(state);
}

static struct stamp_registry_order_setup setup(void)
{
    return (struct stamp_registry_order_setup){.product = "Sensor",
                                               .pattern = &pattern,
                                               .count = COUNT,
                                               .first = FIRST,
                                               .station = station.id,
                                               .pop = STAMP_ORDER_POP_SEALED,
                                               .not_after = NOW + 1000,
                                               .now = NOW};
}

static struct stamp_registry_order new_order(bool lock_later)
{
    struct stamp_registry_order_setup s = setup();
    struct stamp_registry_order order;
    struct stamp_error err = STAMP_ERROR_INIT;

    s.lock_later = lock_later;
    must(stamp_registry_order_add(books, &s, &order, &err), &err);
    return order;
}

/* What was refused in the last call, and the last reason. */
static uint32_t refusals;
static char reason[200];

static void refused(void *ctx, const struct stamp_registry_unit *unit, const char *why)
{
    (void)ctx;
    (void)unit;
    refusals++;
    (void)snprintf(reason, sizeof reason, "%s", why);
}

static uint32_t admit(const struct stamp_registry_order *order,
                      const struct stamp_registry_unit *units, size_t n)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint32_t booked = 99;

    refusals = 0;
    reason[0] = '\0';
    must(stamp_registry_order_admit(books, order, units, n, NOW + 100, refused, NULL,
                                    &booked, &err),
         &err);
    return booked;
}

static void assert_refused(const struct stamp_registry_order *order,
                           const struct stamp_registry_unit *unit, const char *why)
{
    assert_int_equal(admit(order, unit, 1), 0);
    assert_int_equal(refusals, 1);
    assert_string_equal(reason, why);
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

static struct stamp_registry_balance balance_of(uint32_t batch)
{
    struct stamp_registry_balance b;

    assert_int_equal(stamp_registry_balance(books, batch, &b, NULL), STAMP_OK);
    assert_int_equal(b.issued,
                     b.struck + b.scrapped + b.returned + b.revoked + b.outstanding);
    return b;
}

static uint32_t quarantined(const struct stamp_registry_order *order)
{
    uint32_t n;

    assert_int_equal(stamp_registry_quarantined(books, order->id, &n, NULL), STAMP_OK);
    return n;
}

/* ---- orders ---- */

static void an_order_is_found_and_listed(void **state)
{
    struct stamp_registry_order order = new_order(true);
    struct stamp_registry_order found;
    struct stamp_registry_order all[3];
    struct stamp_registry_order_setup more = setup();
    struct stamp_registry_order second;
    char serial[STAMP_SERIAL_SIZE];
    size_t n;

    (void)state;
    assert_int_equal(stamp_registry_order_find(books, order.id, &found, NULL), STAMP_OK);
    assert_memory_equal(found.station, station.id, 32);
    assert_true(found.lock_later);
    assert_int_equal(found.pop, STAMP_ORDER_POP_SEALED);
    assert_int_equal(found.not_after, NOW + 1000);
    assert_int_equal(found.state, STAMP_REGISTRY_ORDER_OPEN);
    assert_int_equal(found.batch.count, COUNT);
    assert_int_equal(found.batch.first_counter, FIRST);
    assert_int_equal(
        stamp_serial_format(&found.pattern, FIRST, NOW, serial, sizeof serial, NULL),
        STAMP_OK);
    assert_true(stamp_serial_matches(&pattern, serial));

    more.first = 0;
    assert_int_equal(stamp_registry_order_add(books, &more, &second, NULL), STAMP_OK);
    assert_int_equal(second.batch.first_counter, FIRST + COUNT);
    assert_memory_not_equal(second.batch.prefix, order.batch.prefix, 12);
    assert_int_equal(stamp_registry_order_list(books, 0, all, 3, &n, NULL), STAMP_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(all[0].id, order.id, 16);
    assert_int_equal(stamp_registry_order_list(books, all[0].batch.id, all, 3, &n, NULL),
                     STAMP_OK);
    assert_int_equal(n, 1);
    assert_memory_equal(all[0].id, second.id, 16);
    assert_int_equal(all[0].batch.count, COUNT);
}

static void an_order_is_found_by_its_file(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_order found;
    uint8_t digest[32] = {3};

    (void)state;
    assert_int_equal(stamp_registry_order_find_file(books, digest, &found, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(stamp_registry_order_file(books, order.id, digest, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_order_find_file(books, digest, &found, NULL),
                     STAMP_OK);
    assert_memory_equal(found.id, order.id, 16);
}

static void what_cannot_be_ordered_reserves_nothing(void **state)
{
    struct stamp_registry_order_setup s = setup();
    struct stamp_registry_order order;
    struct stamp_serial_pattern drawn = books_pattern("SN-{counter:6}-{random:4}");

    (void)state;
    s.station = rogue.id;
    assert_int_equal(stamp_registry_order_add(books, &s, &order, NULL), STAMP_E_MISSING);
    s.station = station.id;
    s.pattern = &drawn;
    assert_int_equal(stamp_registry_order_add(books, &s, &order, NULL), STAMP_E_CONFIG);
    s.pattern = &pattern;
    s.count = 0;
    assert_int_equal(stamp_registry_order_add(books, &s, &order, NULL), STAMP_E_RANGE);
    s.count = 5;
    s.first = 999998;
    assert_int_equal(stamp_registry_order_add(books, &s, &order, NULL), STAMP_E_RANGE);
    assert_int_equal(books_number("SELECT count(*) FROM batch"), 0);
    assert_int_equal(books_number("SELECT count(*) FROM work_order"), 0);
}

static void a_block_is_one_orders_only(void **state)
{
    struct stamp_registry_order_setup s = setup();
    struct stamp_registry_row row;
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_order second;
    char serial[STAMP_SERIAL_SIZE];

    (void)state;
    s.first = FIRST + COUNT - 1;
    assert_int_equal(stamp_registry_order_add(books, &s, &second, NULL),
                     STAMP_E_DUPLICATE);
    assert_int_equal(stamp_registry_order_close(books, order.id, NOW, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_order_add(books, &s, &second, NULL),
                     STAMP_E_DUPLICATE);
    assert_int_equal(
        stamp_serial_format(&pattern, FIRST + 3, NOW, serial, sizeof serial, NULL),
        STAMP_OK);
    assert_int_equal(
        stamp_registry_reserve_serial(books, "Sensor", serial, NOW, &row, NULL),
        STAMP_E_DUPLICATE);
}

static void no_batch_verb_takes_an_order_for_a_batch(void **state)
{
    struct stamp_registry_order_setup s = setup();
    struct stamp_registry_batch_setup as_batch = {.name = "week-48",
                                                  .product = "Sensor",
                                                  .pattern = &pattern,
                                                  .count = COUNT,
                                                  .now = NOW,
                                                  .owner = "host:/file"};
    struct stamp_registry_order order;
    struct stamp_registry_batch batch;
    struct stamp_registry_share share;

    (void)state;
    s.name = "week-48";
    assert_int_equal(stamp_registry_order_add(books, &s, &order, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_batch_create(books, &as_batch, &batch, NULL, NULL),
                     STAMP_E_EXISTS);
    assert_int_equal(stamp_registry_share_claim(books, order.batch.id, 0, &share, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(
        stamp_registry_batch_step(books, order.batch.id, STAMP_REGISTRY_BATCH_MADE, NULL),
        STAMP_E_EXISTS);
}

/* ---- units ---- */

static void units_are_booked_once(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_unit units[3];
    struct stamp_registry_row row;
    static struct made m[3];
    static const uint8_t sealed[100] = {7};
    uint8_t pop[160];
    size_t len;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        make_good(&m[i], &order, i);
        units[i] = m[i].unit;
    }
    units[1].state = STAMP_REGISTRY_ISSUED;
    units[2].state = STAMP_REGISTRY_SCRAPPED;
    units[0].pop = (struct stamp_slice){sealed, sizeof sealed};
    assert_int_equal(admit(&order, units, 3), 3);
    assert_int_equal(refusals, 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(admit(&order, units, 3), 0);
        assert_int_equal(refusals, 0);
    }
    assert_int_equal(state_of(m[0].serial), STAMP_REGISTRY_STRUCK);
    assert_int_equal(state_of(m[1].serial), STAMP_REGISTRY_ISSUED);
    assert_int_equal(state_of(m[2].serial), STAMP_REGISTRY_SCRAPPED);
    assert_int_equal(balance_of(order.batch.id).reserved, COUNT - 3);
    assert_int_equal(balance_of(order.batch.id).struck, 1);
    assert_int_equal(balance_of(order.batch.id).outstanding, 1);
    assert_int_equal(books_number("SELECT count(*) FROM event"), 5);
    assert_int_equal(stamp_registry_sealed_pop(books, m[0].serial, pop, &len, NULL),
                     STAMP_OK);
    assert_int_equal(len, sizeof sealed);
    assert_memory_equal(pop, sealed, sizeof sealed);
    assert_int_equal(stamp_registry_sealed_pop(books, m[1].serial, pop, &len, NULL),
                     STAMP_E_MISSING);
    assert_int_equal(stamp_registry_find_chip(books, "chip-0", &row, NULL), STAMP_OK);
    assert_string_equal(row.serial, m[0].serial);
    assert_int_equal(row.id, (int64_t)order.batch.id << 32);
    stamp_registry_row_fini(&row);
}

static void further_news_is_a_change_and_older_news_is_none(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_unit u;
    static struct made m;

    (void)state;
    make_good(&m, &order, 0);
    u = m.unit;
    u.chip = NULL;
    u.state = STAMP_REGISTRY_ISSUED;
    assert_int_equal(admit(&order, &u, 1), 1);
    assert_int_equal(admit(&order, &m.unit, 1), 1);
    assert_int_equal(admit(&order, &u, 1), 0);
    assert_int_equal(state_of(m.serial), STAMP_REGISTRY_STRUCK);
    u = m.unit;
    u.state = STAMP_REGISTRY_SCRAPPED;
    u.at++;
    assert_int_equal(admit(&order, &u, 1), 1);
    assert_int_equal(admit(&order, &m.unit, 1), 0);
    assert_int_equal(refusals, 0);
    assert_int_equal(state_of(m.serial), STAMP_REGISTRY_SCRAPPED);
    assert_int_equal(quarantined(&order), 0);
}

static void false_certificates_are_kept_apart(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_order other = order;
    static struct made m;
    static struct made good;
    struct stamp_registry_unit u;

    (void)state;
    make_unit(&m, &(struct making){.by = &rogue, .order = &order, .index = 0});
    assert_refused(&order, &m.unit,
                   "its certificate is not signed by the order's station");
    assert_refused(&order, &m.unit,
                   "its certificate is not signed by the order's station");
    assert_int_equal(quarantined(&order), 1);

    make_good(&m, &order, 1);
    u = m.unit;
    u.index = 2;
    assert_refused(&order, &u, "its serial is not that of its index");
    make_good(&good, &order, 2);
    u.serial = good.serial;
    assert_refused(&order, &u, "its certificate has not the serial number of its index");
    other.batch.prefix[5] ^= 1u;
    make_unit(&m, &(struct making){.by = &station, .order = &other, .index = 1});
    assert_refused(&order, &m.unit,
                   "its certificate has not the serial number of its index");
    make_unit(&m,
              &(struct making){
                  .by = &station, .order = &order, .index = 3, .serial = "SN-0001001"});
    assert_refused(&order, &m.unit, "its certificate names another serial");
    make_good(&m, &order, 4);
    u = m.unit;
    u.fingerprint = good.fingerprint;
    assert_refused(&order, &u, "its certificate is of another key");
    make_unit(&m, &(struct making){
                      .by = &station, .order = &order, .index = 4, .unbound = true});
    assert_refused(&order, &m.unit,
                   "its certificate is bound to no stamp of this purpose");
    m.certificate[0] = 0x31;
    assert_refused(&order, &m.unit, "its certificate is none");
    make_good(&m, &order, COUNT);
    assert_refused(&order, &m.unit, "the order has no such unit: too many");
    u = m.unit;
    u.pop = (struct stamp_slice){m.certificate, 161};
    assert_refused(&order, &u, "its proof of possession has no such length");
    u = m.unit;
    u.serial = "SN\n1";
    assert_refused(&order, &u, "its serial is none");
    assert_int_equal(books_number("SELECT count(*) FROM device"), 0);
    assert_int_equal(balance_of(order.batch.id).reserved, COUNT);
}

static void conflicts_are_kept_apart_and_the_rest_is_booked(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_unit units[5];
    EVP_PKEY *key = NULL;
    static struct made m[5];

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    make_unit(&m[0],
              &(struct making){.by = &station, .order = &order, .index = 0, .key = key});
    /* another certificate of this key, and another key in this place */
    make_unit(&m[1],
              &(struct making){.by = &station, .order = &order, .index = 0, .key = key});
    make_good(&m[2], &order, 0);
    /* this key again in another place; this chip again */
    make_unit(&m[3],
              &(struct making){.by = &station, .order = &order, .index = 1, .key = key});
    make_good(&m[4], &order, 2);
    EVP_PKEY_free(key);
    for (int i = 0; i < 5; i++) {
        units[i] = m[i].unit;
    }
    units[4].chip = m[0].chip;
    assert_int_equal(admit(&order, units, 5), 1);
    assert_int_equal(refusals, 4);
    assert_refused(&order, &units[1], "the books have another certificate of its key");
    assert_refused(&order, &units[2], "the books have another key in its place");
    assert_refused(&order, &units[3], "its key is another device's");
    assert_refused(&order, &units[4], "its chip is another device's");
    assert_int_equal(quarantined(&order), 4);
    units[0].chip = "chip-9";
    assert_refused(&order, &units[0], "the books have another chip of its key");
    assert_int_equal(balance_of(order.batch.id).struck, 1);

    /* the chip was false: the same unit comes with its own */
    units[4].chip = m[4].chip;
    assert_int_equal(admit(&order, &units[4], 1), 1);
    assert_int_equal(state_of(m[4].serial), STAMP_REGISTRY_STRUCK);
}

struct told {
    uint32_t n;
    uint32_t index[8];
    char why[8][STAMP_REGISTRY_TEXT_SIZE];
    size_t certificate_len;
};

static bool tell(void *ctx, const struct stamp_registry_quarantine *q)
{
    struct told *t = ctx;

    t->index[t->n] = q->index;
    memcpy(t->why[t->n], q->why, sizeof t->why[0]);
    t->certificate_len = q->certificate.len;
    return ++t->n < 2;
}

static void what_was_refused_is_listed(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct told t = {0};
    static struct made m;

    (void)state;
    for (uint32_t i = 3; i > 0; i--) {
        make_unit(&m, &(struct making){.by = &rogue, .order = &order, .index = i});
        assert_int_equal(admit(&order, &m.unit, 1), 0);
    }
    assert_int_equal(stamp_registry_quarantine(books, order.id, tell, &t, NULL),
                     STAMP_OK);
    assert_int_equal(t.n, 2); /* and it was ended */
    assert_int_equal(t.index[0], 1);
    assert_int_equal(t.index[1], 2);
    assert_string_equal(t.why[0], "its certificate is not signed by the order's station");
    assert_true(t.certificate_len > 200);
}

static void a_closed_order_admits_nothing_new(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_order found;
    struct stamp_registry_unit u;
    static struct made m[2];

    (void)state;
    make_good(&m[0], &order, 0);
    make_good(&m[1], &order, 1);
    u = m[0].unit;
    u.state = STAMP_REGISTRY_ISSUED;
    assert_int_equal(admit(&order, &u, 1), 1);
    for (time_t at = NOW + 50; at < NOW + 52; at++) {
        assert_int_equal(stamp_registry_order_close(books, order.id, at, NULL), STAMP_OK);
        assert_int_equal(stamp_registry_order_find(books, order.id, &found, NULL),
                         STAMP_OK);
        assert_int_equal(found.state, STAMP_REGISTRY_ORDER_CLOSED);
        assert_int_equal(found.closed_at, NOW + 50);
    }
    /* what the caller has of it is older */
    assert_refused(&order, &m[1].unit, "the order is closed");
    assert_int_equal(admit(&order, &m[0].unit, 1), 1);
    assert_int_equal(state_of(m[0].serial), STAMP_REGISTRY_STRUCK);
}

static void a_revoked_devices_chip_may_have_a_new_stamp(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_unit units[2];
    struct stamp_registry_row row;
    static struct made m[2];

    (void)state;
    make_good(&m[0], &order, 0);
    make_good(&m[1], &order, 1);
    units[0] = m[0].unit;
    units[1] = m[1].unit;
    units[1].chip = m[0].chip;
    assert_int_equal(admit(&order, units, 1), 1);
    units[0].state = STAMP_REGISTRY_REVOKED;
    units[0].at += 5;
    units[0].why = "struck again";
    assert_int_equal(admit(&order, units, 2), 2);
    assert_int_equal(admit(&order, units, 2), 0);
    assert_int_equal(refusals, 0);
    assert_int_equal(state_of(m[0].serial), STAMP_REGISTRY_REVOKED);
    assert_int_equal(stamp_registry_find_chip(books, m[0].chip, &row, NULL), STAMP_OK);
    assert_string_equal(row.serial, m[1].serial);
    stamp_registry_row_fini(&row);
}

static void what_is_not_locked_is_not_shipped(void **state)
{
    struct stamp_registry_order order = new_order(true);
    struct stamp_registry_change ship = {.to = STAMP_REGISTRY_SHIPPED, .at = NOW + 99};
    static struct made m;

    (void)state;
    make_good(&m, &order, 0);
    m.unit.locked = false;
    ship.serial = m.serial;
    assert_int_equal(admit(&order, &m.unit, 1), 1);
    assert_int_equal(stamp_registry_change(books, &ship, 1, NULL, NULL), STAMP_E_STATE);
    assert_int_equal(admit(&order, &m.unit, 1), 0);
    assert_int_equal(stamp_registry_change(books, &ship, 1, NULL, NULL), STAMP_E_STATE);
    assert_int_equal(stamp_registry_locked(books, m.serial, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_locked(books, m.serial, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_change(books, &ship, 1, NULL, NULL), STAMP_OK);
    assert_int_equal(state_of(m.serial), STAMP_REGISTRY_SHIPPED);

    /* a journal tells it, too */
    make_good(&m, &order, 1);
    assert_int_equal(admit(&order, &m.unit, 1), 1);
    assert_int_equal(stamp_registry_change(books, &ship, 1, NULL, NULL), STAMP_OK);
}

static void only_what_is_on_the_books_is_admitted(void **state)
{
    struct stamp_registry_order order = new_order(false);
    struct stamp_registry_row row;
    struct stamp_registry_change revoke = {.to = STAMP_REGISTRY_REVOKED, .at = NOW + 99};
    EVP_PKEY *key = NULL;
    static struct made m;
    static struct made other;
    struct stamp_slice der;

    (void)state;
    assert_int_equal(stamp_key_generate(&key, NULL), STAMP_OK);
    make_unit(&m,
              &(struct making){.by = &station, .order = &order, .index = 0, .key = key});
    make_unit(&other,
              &(struct making){.by = &station, .order = &order, .index = 0, .key = key});
    EVP_PKEY_free(key);
    der = (struct stamp_slice){m.certificate, m.unit.certificate_len};
    assert_int_equal(stamp_registry_admits(books, der, &row, NULL), STAMP_E_MISSING);
    assert_int_equal(admit(&order, &m.unit, 1), 1);
    assert_int_equal(stamp_registry_admits(books, der, &row, NULL), STAMP_OK);
    assert_string_equal(row.serial, m.serial);
    stamp_registry_row_fini(&row);
    der = (struct stamp_slice){other.certificate, other.unit.certificate_len};
    assert_int_equal(stamp_registry_admits(books, der, &row, NULL), STAMP_E_AUTH);
    der = (struct stamp_slice){m.certificate, m.unit.certificate_len};
    revoke.serial = m.serial;
    assert_int_equal(stamp_registry_change(books, &revoke, 1, NULL, NULL), STAMP_OK);
    assert_int_equal(stamp_registry_admits(books, der, &row, NULL), STAMP_E_AUTH);
}

/* ---- stations ---- */

static bool count_station(void *ctx, const struct stamp_registry_station *s)
{
    assert_string_equal(s->name, "line-3");
    ++*(uint32_t *)ctx;
    return true;
}

static void a_station_is_booked_once(void **state)
{
    struct stamp_registry_station row = row_of(&station);
    struct stamp_registry_station found;
    uint32_t n = 0;

    (void)state;
    assert_int_equal(stamp_registry_station_add(books, &row, NULL), STAMP_E_DUPLICATE);
    row.id[0] ^= 1u; /* another certificate of the same key */
    assert_int_equal(stamp_registry_station_add(books, &row, NULL), STAMP_E_DUPLICATE);
    row = row_of(&rogue);
    row.name[0] = '\0';
    assert_int_equal(stamp_registry_station_add(books, &row, NULL), STAMP_E_RANGE);
    assert_int_equal(stamp_registry_station_list(books, count_station, &n, NULL),
                     STAMP_OK);
    assert_int_equal(n, 1);

    row = row_of(&station);
    assert_int_equal(stamp_registry_station_find_key(books, row.key, &found, NULL),
                     STAMP_OK);
    assert_memory_equal(found.id, row.id, 32);
    assert_int_equal(found.ca.len, station.len);
    assert_memory_equal(found.ca.p, station.der, station.len);
    assert_int_equal(found.box.len, 3);
    assert_memory_equal(found.journal.p, "journal", 7);
    assert_int_equal(found.at, NOW);
    stamp_registry_station_fini(&found);
    assert_int_equal(stamp_registry_station_find(books, rogue.id, &found, NULL),
                     STAMP_E_MISSING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_books, close_books)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(an_order_is_found_and_listed),
        TEST(an_order_is_found_by_its_file),
        TEST(what_cannot_be_ordered_reserves_nothing),
        TEST(a_block_is_one_orders_only),
        TEST(no_batch_verb_takes_an_order_for_a_batch),
        TEST(units_are_booked_once),
        TEST(further_news_is_a_change_and_older_news_is_none),
        TEST(false_certificates_are_kept_apart),
        TEST(conflicts_are_kept_apart_and_the_rest_is_booked),
        TEST(what_was_refused_is_listed),
        TEST(a_closed_order_admits_nothing_new),
        TEST(a_revoked_devices_chip_may_have_a_new_stamp),
        TEST(what_is_not_locked_is_not_shipped),
        TEST(only_what_is_on_the_books_is_admitted),
        TEST(a_station_is_booked_once),
    };

    books_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
