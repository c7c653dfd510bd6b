/* Admitting units of a work order: what a station's journal tells is believed as far as
 * the books, the order and the certificates agree with it. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "host/key.h"
#include "host/pki.h"
#include "host/registry_order.h"
#include "host/registry_own.h"

struct admission {
    struct stamp_registry *r;
    struct stamp_registry_order order;
    X509 *ca; /* the station's */
    time_t now;
    stamp_registry_refused refused;
    void *ctx;
    uint32_t *booked;
    struct stampi_tally tally;
};

/* Kept apart, once for each certificate. */
static enum stamp_err refuse(struct admission *a, const struct stamp_registry_unit *u,
                             const char *why, struct stamp_error *err)
{
    bool is_serial = stampi_is_text(u->serial) && strlen(u->serial) <= STAMP_SERIAL_MAX;
    uint8_t digest[32];
    enum stamp_err rc = STAMP_OK;

    if (EVP_Digest(u->certificate, u->certificate_len, digest, NULL, stamp_sha256(),
                   NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash a certificate");
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(a->r, STAMPI_QUARANTINE_ADD, NULL, NULL, NULL, err,
                        stampi_blob(a->order.id, 16), stampi_int(u->index),
                        stampi_blob(digest, 32), stampi_blob(u->fingerprint, 32),
                        stampi_text(is_serial ? u->serial : "?"), stampi_text(why),
                        stampi_int((int64_t)a->now),
                        stampi_blob(u->certificate, u->certificate_len));
    }
    if (rc == STAMP_OK) {
        a->refused(a->ctx, u, why);
    }
    return rc;
}

/* ---- what the unit is by itself ---- */

static bool text_ok(const char *text, size_t max)
{
    return text == NULL || (strlen(text) <= max && stampi_is_text(text));
}

static const char *check_form(const struct stamp_registry_unit *u)
{
    if (u->certificate_len == 0 || u->certificate_len > STAMP_MAX_CERTIFICATE) {
        return "it has no certificate";
    }
    if (!text_ok(u->serial, STAMP_SERIAL_MAX)) {
        return "its serial is none";
    }
    if (!text_ok(u->chip, STAMP_REGISTRY_CHIP_SIZE - 1u) ||
        (u->chip != NULL && u->chip[0] == '\0')) {
        return "its chip id is none";
    }
    if (!text_ok(u->where, STAMP_REGISTRY_TEXT_MAX) ||
        !text_ok(u->why, STAMP_REGISTRY_TEXT_MAX)) {
        return "what was noted of it is no text";
    }
    if (u->pop.p != NULL && (u->pop.len == 0 || u->pop.len > STAMPI_POP_MAX)) {
        return "its proof of possession has no such length";
    }
    return NULL;
}

static bool is_serial_number(const struct admission *a, const X509 *cert, uint32_t index)
{
    const ASN1_INTEGER *number = X509_get0_serialNumber(cert);
    uint8_t want[STAMP_CERTIFICATE_SERIAL_SIZE];

    stamp_registry_batch_serial(&a->order.batch, index, want);
    return ASN1_STRING_type(number) == V_ASN1_INTEGER &&
           ASN1_STRING_length(number) == (int)sizeof want &&
           memcmp(ASN1_STRING_get0_data(number), want, sizeof want) == 0;
}

/* Is it what the station CA may sign under this order for this index? */
static const char *check_certificate(const struct admission *a,
                                     const struct stamp_registry_unit *u)
{
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_binding binding;
    char serial[STAMP_SERIAL_SIZE];
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t fingerprint[32];

    if (stamp_serial_format(&a->order.pattern, a->order.batch.first_counter + u->index,
                            a->order.batch.at, serial, sizeof serial, NULL) != STAMP_OK ||
        strcmp(serial, u->serial) != 0) {
        return "its serial is not that of its index";
    }
    if (stamp_pki_decode((struct stamp_slice){u->certificate, u->certificate_len}, &cert,
                         NULL) != STAMP_OK) {
        return "its certificate is none";
    }
    if (X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(a->ca)) != 0 ||
        X509_verify(cert, X509_get0_pubkey(a->ca)) != 1) {
        ERR_clear_error();
        return "its certificate is not signed by the order's station";
    }
    if (!is_serial_number(a, cert, u->index)) {
        return "its certificate has not the serial number of its index";
    }
    if (stamp_pki_serial(cert, serial, sizeof serial, NULL) != STAMP_OK ||
        strcmp(serial, u->serial) != 0) {
        return "its certificate names another serial";
    }
    if (stamp_key_point(X509_get0_pubkey(cert), point, NULL) != STAMP_OK ||
        stamp_key_hash(point, fingerprint, NULL) != STAMP_OK ||
        memcmp(fingerprint, u->fingerprint, sizeof fingerprint) != 0) {
        return "its certificate is of another key";
    }
    if (stamp_binding_read(cert, &binding, NULL) != STAMP_OK || !binding.has_digest ||
        binding.purpose != a->r->purpose) {
        return "its certificate is bound to no stamp of this purpose";
    }
    return NULL;
}

/* ---- what the books have ---- */

/* In a unit's place. */
struct place {
    bool any;
    enum stamp_registry_state state;
    uint8_t fingerprint[32];
    char chip[STAMP_REGISTRY_CHIP_SIZE];
    bool same; /* the certificate is */
    const struct stamp_registry_unit *unit;
};

/* state, fingerprint, certificate, chip */
static enum stamp_err take_place(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct place *p = ctx;

    (void)err;
    p->any = true;
    p->state = (enum stamp_registry_state)v[0].number;
    stampi_get_blob(&v[1], p->fingerprint, sizeof p->fingerprint);
    p->same = v[2].len == p->unit->certificate_len &&
              memcmp(v[2].p, p->unit->certificate, v[2].len) == 0;
    stampi_get_text(&v[3], p->chip, sizeof p->chip);
    return STAMP_OK;
}

/* Whose a chip is. */
struct owner {
    int64_t id; /* -1 = nobody's */
    enum stamp_registry_state state;
};

static enum stamp_err take_owner(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct owner *o = ctx;

    (void)err;
    o->id = v[0].number;
    o->state = (enum stamp_registry_state)v[1].number;
    return STAMP_OK;
}

/* Why the chip cannot be this device's; NULL = it can. */
static enum stamp_err check_chip(struct admission *a, const struct stamp_registry_unit *u,
                                 int64_t id, struct owner *o, const char **why,
                                 struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    *o = (struct owner){-1, STAMP_REGISTRY_RESERVED};
    if (u->chip != NULL) {
        rc = STAMPI_RUN(a->r, STAMPI_CHIP_OWNER, take_owner, o, NULL, err,
                        stampi_text(u->chip));
    }
    if (rc == STAMP_OK && o->id >= 0 && o->id != id &&
        o->state != STAMP_REGISTRY_SCRAPPED && o->state != STAMP_REGISTRY_REVOKED) {
        *why = "its chip is another device's";
    }
    return rc;
}

enum stamp_err stampi_is_taken(struct stamp_registry *r, enum stampi_sql which,
                               struct stampi_value what, bool *taken,
                               struct stamp_error *err)
{
    int64_t id = -1;
    enum stamp_err rc = STAMPI_RUN(r, which, stampi_take_number, &id, NULL, err, what);

    *taken = id >= 0;
    return rc;
}

/* Why a unit that is not on the books cannot come there; NULL = it can. */
static enum stamp_err check_new(struct admission *a, const struct stamp_registry_unit *u,
                                const char **why, struct stamp_error *err)
{
    bool taken = false;
    enum stamp_err rc = STAMP_OK;

    *why = a->order.state == STAMP_REGISTRY_ORDER_CLOSED ? "the order is closed"
                                                         : check_certificate(a, u);
    if (*why == NULL) {
        rc = stampi_is_taken(a->r, STAMPI_SERIAL_OWNER, stampi_text(u->serial), &taken,
                             err);
        *why = taken ? "its serial is another device's" : NULL;
    }
    if (rc == STAMP_OK && *why == NULL) {
        rc = stampi_is_taken(a->r, STAMPI_KEY_OWNER, stampi_blob(u->fingerprint, 32),
                             &taken, err);
        *why = taken ? "its key is another device's" : NULL;
    }
    return rc;
}

/* ---- booking ---- */

/* What was free a moment ago is not any more. */
static enum stamp_err lost_race(const char *serial, struct stamp_error *err)
{
    stamp_error_hint(err, "run the same command again");
    return stamp_error_set(err, STAMP_E_BUSY, 0,
                           "another program books the serial, key or chip of '%s'",
                           serial);
}

static enum stamp_err claim(struct stamp_registry *r, enum stampi_sql which,
                            struct stampi_value what, int64_t id, const char *serial,
                            struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc =
        STAMPI_RUN(r, which, NULL, NULL, &changed, err, what, stampi_int(id));

    return rc == STAMP_OK && changed == 0 ? lost_race(serial, err) : rc;
}

enum stamp_err stampi_unit_claim(struct stamp_registry *r, const char *serial,
                                 const uint8_t fingerprint[32], int64_t id,
                                 struct stamp_error *err)
{
    enum stamp_err rc =
        claim(r, STAMPI_SERIAL_CLAIM, stampi_text(serial), id, serial, err);

    return rc == STAMP_OK
               ? claim(r, STAMPI_KEY_CLAIM, stampi_blob(fingerprint, 32), id, serial, err)
               : rc;
}

static enum stamp_err leaf_of_chip(struct admission *a,
                                   const struct stamp_registry_unit *u, int64_t id,
                                   struct stamp_error *err)
{
    struct stamp_log_entry e = stampi_entry_of(id, STAMP_LOG_DEVICE, (int64_t)u->at);

    e.serial = stamp_log_text(u->serial);
    e.chip = stamp_log_text(u->chip);
    return stampi_leaf(a->r, id, &e, err);
}

/* The chip is checked. */
static enum stamp_err take_chip(struct admission *a, const struct stamp_registry_unit *u,
                                int64_t id, const struct owner *o,
                                struct stamp_error *err)
{
    int64_t changed = 1;
    enum stamp_err rc = STAMP_OK;

    if (o->id < 0) {
        rc = claim(a->r, STAMPI_CHIP_CLAIM, stampi_text(u->chip), id, u->serial, err);
    } else if (o->id != id) {
        rc = STAMPI_RUN(a->r, STAMPI_CHIP_MOVE, NULL, NULL, &changed, err, stampi_int(id),
                        stampi_text(u->chip), stampi_int(o->id));
        if (rc == STAMP_OK && changed == 0) {
            rc = lost_race(u->serial, err);
        }
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(a->r, STAMPI_UNIT_CHIP, NULL, NULL, NULL, err,
                        stampi_text(u->chip), stampi_int(id));
    }
    return rc == STAMP_OK ? leaf_of_chip(a, u, id, err) : rc;
}

enum stamp_err stampi_unit_issued(struct stamp_registry *r,
                                  const struct stampi_happened *h, bool lock_later,
                                  struct stampi_tally *tally, struct stamp_error *err)
{
    uint32_t batch = (uint32_t)(h->device >> 32);
    enum stamp_err rc = STAMPI_RUN(
        r, STAMPI_EVENT_ADD, NULL, NULL, NULL, err, stampi_int(h->device),
        stampi_int(h->state), stampi_int(h->at), stampi_text(r->who),
        stampi_text(h->where == NULL ? r->where : h->where), stampi_text(h->why));

    if (rc == STAMP_OK) {
        rc = stampi_leaf_device(r, h, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_tally(tally, batch, STAMP_REGISTRY_RESERVED, -1, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_tally(tally, batch, STAMP_REGISTRY_ISSUED, 1, err);
    }
    return rc == STAMP_OK && lock_later ? STAMPI_RUN(r, STAMPI_UNLOCKED_ADD, NULL, NULL,
                                                     NULL, err, stampi_int(h->device))
                                        : rc;
}

static enum stamp_err add_unit(struct admission *a, const struct stamp_registry_unit *u,
                               int64_t id, struct stamp_error *err)
{
    const struct stampi_happened h = {
        .device = id,
        .serial = u->serial,
        .state = STAMP_REGISTRY_ISSUED,
        .at = (int64_t)u->at,
        .where = u->where,
        .why = STAMPI_WHY_UNIT,
        .fingerprint = u->fingerprint,
        .certificate = {u->certificate, u->certificate_len}};
    enum stamp_err rc = stampi_unit_claim(a->r, u->serial, u->fingerprint, id, err);

    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(a->r, STAMPI_UNIT_ADD, NULL, NULL, NULL, err, stampi_int(id),
                        stampi_text(u->serial), stampi_int((int64_t)u->at),
                        stampi_blob(u->fingerprint, 32),
                        stampi_blob(u->certificate, u->certificate_len));
    }
    return rc == STAMP_OK
               ? stampi_unit_issued(a->r, &h, a->order.lock_later, &a->tally, err)
               : rc;
}

/* What a unit that is on the books has become since, and what else is told of it. */
static enum stamp_err add_news(struct admission *a, const struct stamp_registry_unit *u,
                               int64_t id, const struct place *is, bool is_new,
                               struct stamp_error *err)
{
    const struct stamp_registry_change c = {.serial = u->serial,
                                            .to = u->state,
                                            .at = u->at,
                                            .where = u->where,
                                            .why = u->why};
    bool changes = u->state != STAMP_REGISTRY_ISSUED && u->state != is->state &&
                   stamp_registry_may(is->state, u->state);
    enum stamp_err rc = STAMP_OK;

    if (changes) {
        rc = stampi_change(a->r, &c, 1, NULL, &a->tally, err);
    }
    if (rc == STAMP_OK && u->pop.p != NULL) {
        rc = STAMPI_RUN(a->r, STAMPI_POP_ADD, NULL, NULL, NULL, err, stampi_int(id),
                        stampi_blob(u->pop.p, u->pop.len));
    }
    if (rc == STAMP_OK && u->locked) {
        rc = STAMPI_RUN(a->r, STAMPI_UNLOCKED_REMOVE, NULL, NULL, NULL, err,
                        stampi_int(id));
    }
    *a->booked += rc == STAMP_OK && (changes || is_new);
    return rc;
}

/* A unit that is on the books, or can come there. */
static enum stamp_err book(struct admission *a, const struct stamp_registry_unit *u,
                           int64_t id, const struct place *is, struct stamp_error *err)
{
    const char *why = NULL;
    struct owner o = {-1, STAMP_REGISTRY_RESERVED};
    bool chip = u->chip != NULL && is->chip[0] == '\0';
    enum stamp_err rc = STAMP_OK;

    if (u->chip != NULL && is->chip[0] != '\0' && strcmp(u->chip, is->chip) != 0) {
        why = "the books have another chip of its key";
    } else if (chip) {
        rc = check_chip(a, u, id, &o, &why, err);
    }
    if (rc == STAMP_OK && why != NULL) {
        return refuse(a, u, why, err);
    }
    if (rc == STAMP_OK && !is->any) {
        rc = add_unit(a, u, id, err);
    }
    if (rc == STAMP_OK && chip) {
        rc = take_chip(a, u, id, &o, err);
    }
    return rc == STAMP_OK ? add_news(a, u, id, is, !is->any, err) : rc;
}

static enum stamp_err admit(struct admission *a, const struct stamp_registry_unit *u,
                            struct stamp_error *err)
{
    int64_t id = (int64_t)a->order.batch.id << 32 | u->index;
    struct place is = {.unit = u, .state = STAMP_REGISTRY_ISSUED};
    const char *why = check_form(u);
    enum stamp_err rc = STAMP_OK;

    if (why == NULL && u->index >= a->order.batch.count) {
        why = "the order has no such unit: too many";
    }
    if (why == NULL) {
        rc = STAMPI_RUN(a->r, STAMPI_UNIT_FIND, take_place, &is, NULL, err,
                        stampi_int(id));
        if (rc == STAMP_OK && !is.any) {
            rc = check_new(a, u, &why, err);
        } else if (rc == STAMP_OK && !is.same) {
            why = memcmp(is.fingerprint, u->fingerprint, 32) != 0
                      ? "the books have another key in its place"
                      : "the books have another certificate of its key";
        }
    }
    if (rc == STAMP_OK && why != NULL) {
        return refuse(a, u, why, err);
    }
    return rc == STAMP_OK ? book(a, u, id, &is, err) : rc;
}

/* The order as it is now, and nobody else admits units of it until this ends. */
static enum stamp_err prepare(struct admission *a, const uint8_t id[16],
                              struct stamp_error *err)
{
    STAMP_REGISTRY_STATION_AUTO station = {.own = NULL};
    enum stamp_err rc =
        STAMPI_RUN(a->r, STAMPI_ORDER_LOCK, NULL, NULL, NULL, err, stampi_blob(id, 16));

    if (rc == STAMP_OK) {
        rc = stamp_registry_order_find(a->r, id, &a->order, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_station_find(a->r, a->order.station, &station, err);
    }
    return rc == STAMP_OK ? stamp_pki_decode(station.ca, &a->ca, err) : rc;
}

enum stamp_err stamp_registry_order_admit(struct stamp_registry *r,
                                          const struct stamp_registry_order *order,
                                          const struct stamp_registry_unit *units,
                                          size_t n, time_t now,
                                          stamp_registry_refused refused, void *ctx,
                                          uint32_t *booked, struct stamp_error *err)
{
    struct admission a = {
        .r = r, .now = now, .refused = refused, .ctx = ctx, .booked = booked};
    enum stamp_err rc;

    *booked = 0;
    rc = stampi_begin(r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = prepare(&a, order->id, err);
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = admit(&a, &units[i], err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_tally_write(r, &a.tally, err);
    }
    stampi_tally_free(&a.tally);
    X509_free(a.ca);
    rc = stampi_finish(r, rc, err);
    if (rc != STAMP_OK) {
        *booked = 0;
    }
    return rc;
}
