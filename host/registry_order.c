#include "host/registry_order.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "host/key.h"
#include "host/pki.h"
#include "host/registry_own.h"

enum { POP_MAX = 160 };

/* ---- orders ---- */

enum stamp_err stamp_registry_order_add(struct stamp_registry *r,
                                        const struct stamp_registry_order_setup *setup,
                                        struct stamp_registry_order *out,
                                        struct stamp_error *err)
{
    const struct stamp_registry_batch_setup batch = {.name = setup->name,
                                                     .product = setup->product,
                                                     .note = "work order",
                                                     .pattern = setup->pattern,
                                                     .count = setup->count,
                                                     .first = setup->first,
                                                     .now = setup->now};
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    rc = stampi_check_batch(&batch, err);
    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_add_batch(r, &batch, &out->batch, err);
    if (rc == STAMP_OK) {
        memcpy(out->id, out->batch.uid, sizeof out->id);
        memcpy(out->station, setup->station, sizeof out->station);
        out->lock_later = setup->lock_later;
        rc = STAMPI_RUN(r, STAMPI_ORDER_ADD, NULL, NULL, NULL, err,
                        stampi_blob(out->id, sizeof out->id), stampi_int(out->batch.id),
                        stampi_blob(out->station, sizeof out->station),
                        stampi_int(out->lock_later));
    }
    return stampi_finish(r, rc, err);
}

struct found {
    struct stamp_registry_order *out;
    bool any;
};

static enum stamp_err take_order(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct found *f = ctx;

    (void)err;
    f->any = true;
    f->out->batch.id = (uint32_t)v[0].number;
    stampi_get_blob(&v[1], f->out->station, sizeof f->out->station);
    f->out->lock_later = v[2].number != 0;
    f->out->state = (enum stamp_registry_order_state)v[3].number;
    f->out->closed_at = (time_t)v[4].number;
    return STAMP_OK;
}

enum stamp_err stamp_registry_order_find(struct stamp_registry *r, const uint8_t id[16],
                                         struct stamp_registry_order *out,
                                         struct stamp_error *err)
{
    struct found f = {out, false};
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    memcpy(out->id, id, sizeof out->id);
    rc = STAMPI_RUN(r, STAMPI_ORDER_FIND, take_order, &f, NULL, err, stampi_blob(id, 16));
    if (rc == STAMP_OK && !f.any) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "the order is not on these books");
    }
    return rc == STAMP_OK ? stampi_batch_get(r, out->batch.id, &out->batch, err) : rc;
}

enum stamp_err stamp_registry_order_close(struct stamp_registry *r, const uint8_t id[16],
                                          time_t now, struct stamp_error *err)
{
    struct stamp_registry_order order;
    enum stamp_err rc = stamp_registry_order_find(r, id, &order, err);

    if (rc == STAMP_OK && order.state == STAMP_REGISTRY_ORDER_OPEN) {
        rc = stampi_begin(r, err);
        if (rc == STAMP_OK) {
            rc = stampi_finish(r,
                               STAMPI_RUN(r, STAMPI_ORDER_CLOSE, NULL, NULL, NULL, err,
                                          stampi_int((int64_t)now), stampi_blob(id, 16)),
                               err);
        }
    }
    return rc;
}

/* ---- units ---- */

/* What the books have in a unit's place. */
struct place {
    bool any;
    enum stamp_registry_state state;
    int64_t changed_at;
    uint8_t fingerprint[32];
    bool same; /* the certificate is */
    const struct stamp_registry_unit *unit;
};

static enum stamp_err take_place(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct place *p = ctx;

    (void)err;
    p->any = true;
    p->state = (enum stamp_registry_state)v[0].number;
    p->changed_at = v[1].number;
    stampi_get_blob(&v[2], p->fingerprint, sizeof p->fingerprint);
    p->same = v[3].len == p->unit->certificate_len &&
              memcmp(v[3].p, p->unit->certificate, v[3].len) == 0;
    return STAMP_OK;
}

struct owner {
    int64_t id; /* -1 = nobody */
};

static enum stamp_err take_owner(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    (void)err;
    ((struct owner *)ctx)->id = v[0].number;
    return STAMP_OK;
}

struct admission {
    struct stamp_registry *r;
    const struct stamp_registry_order *order;
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
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(
        a->r, STAMPI_QUARANTINE_ADD, NULL, NULL, &changed, err,
        stampi_blob(a->order->id, 16), stampi_int(u->index),
        stampi_blob(u->fingerprint, 32), stampi_text(u->serial), stampi_text(why),
        stampi_int((int64_t)a->now), stampi_blob(u->certificate, u->certificate_len));

    if (rc == STAMP_OK) {
        a->refused(a->ctx, u, why);
    }
    return rc;
}

static enum stamp_err owner_of(struct admission *a, enum stampi_sql which,
                               struct stampi_value what, int64_t *id,
                               struct stamp_error *err)
{
    struct owner o = {-1};
    enum stamp_err rc = STAMPI_RUN(a->r, which, take_owner, &o, NULL, err, what);

    *id = o.id;
    return rc;
}

/* Why a unit that is not on the books cannot come there; NULL = it can. */
static enum stamp_err check_new(struct admission *a, const struct stamp_registry_unit *u,
                                const char **why, struct stamp_error *err)
{
    int64_t id = -1;
    enum stamp_err rc = STAMP_OK;

    *why = a->order->state == STAMP_REGISTRY_ORDER_CLOSED ? "the order is closed" : NULL;
    if (*why == NULL) {
        rc = owner_of(a, STAMPI_SERIAL_OWNER, stampi_text(u->serial), &id, err);
        *why = id >= 0 ? "the serial is another device's" : NULL;
    }
    if (rc == STAMP_OK && *why == NULL) {
        rc = owner_of(a, STAMPI_KEY_OWNER, stampi_blob(u->fingerprint, 32), &id, err);
        *why = id >= 0 ? "the key is another device's" : NULL;
    }
    if (rc == STAMP_OK && *why == NULL && u->chip != NULL) {
        rc = owner_of(a, STAMPI_CHIP_OWNER, stampi_text(u->chip), &id, err);
        *why = id >= 0 ? "the chip is another device's" : NULL;
    }
    return rc;
}

static enum stamp_err add_unit(struct admission *a, const struct stamp_registry_unit *u,
                               int64_t id, struct stamp_error *err)
{
    enum stamp_err rc = STAMPI_RUN(a->r, STAMPI_SERIAL_CLAIM, NULL, NULL, NULL, err,
                                   stampi_text(u->serial), stampi_int(id));

    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(a->r, STAMPI_KEY_CLAIM, NULL, NULL, NULL, err,
                        stampi_blob(u->fingerprint, 32), stampi_int(id));
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(a->r, STAMPI_UNIT_ADD, NULL, NULL, NULL, err, stampi_int(id),
                        stampi_text(u->serial), stampi_int((int64_t)u->at),
                        stampi_blob(u->fingerprint, 32),
                        stampi_blob(u->certificate, u->certificate_len));
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(a->r, STAMPI_EVENT_ADD, NULL, NULL, NULL, err, stampi_int(id),
                        stampi_int(STAMP_REGISTRY_ISSUED), stampi_int((int64_t)u->at),
                        stampi_text(a->r->who), stampi_text(u->where),
                        stampi_text("made on the device"));
    }
    if (rc == STAMP_OK) {
        rc =
            stampi_tally(&a->tally, a->order->batch.id, STAMP_REGISTRY_RESERVED, -1, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_tally(&a->tally, a->order->batch.id, STAMP_REGISTRY_ISSUED, 1, err);
    }
    if (rc == STAMP_OK && a->order->lock_later) {
        rc = STAMPI_RUN(a->r, STAMPI_UNLOCKED_ADD, NULL, NULL, NULL, err, stampi_int(id));
    }
    return rc;
}

/* What a unit that is on the books has become since. */
static enum stamp_err add_state(struct admission *a, const struct stamp_registry_unit *u,
                                enum stamp_registry_state is, struct stamp_error *err)
{
    const struct stamp_registry_change c = {.serial = u->serial,
                                            .to = u->state,
                                            .at = u->at,
                                            .chip = u->chip,
                                            .where = u->where,
                                            .why = u->why};
    const char *why = NULL;
    int64_t id = -1;
    enum stamp_err rc = STAMP_OK;

    if (u->state == STAMP_REGISTRY_ISSUED || u->state == is ||
        !stamp_registry_may(is, u->state)) {
        return STAMP_OK; /* older news than the books have */
    }
    if (u->chip != NULL) {
        rc = owner_of(a, STAMPI_CHIP_OWNER, stampi_text(u->chip), &id, err);
        why = id >= 0 ? "the chip is another device's" : NULL;
    }
    if (rc == STAMP_OK && why != NULL) {
        return refuse(a, u, why, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_change(a->r, &c, 1, NULL, &a->tally, err);
    }
    *a->booked += rc == STAMP_OK;
    return rc;
}

static enum stamp_err add_rest(struct admission *a, const struct stamp_registry_unit *u,
                               int64_t id, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (u->pop.p != NULL && u->pop.len <= POP_MAX) {
        rc = STAMPI_RUN(a->r, STAMPI_POP_ADD, NULL, NULL, NULL, err, stampi_int(id),
                        stampi_blob(u->pop.p, u->pop.len));
    }
    if (rc == STAMP_OK && u->locked) {
        rc = STAMPI_RUN(a->r, STAMPI_UNLOCKED_REMOVE, NULL, NULL, NULL, err,
                        stampi_int(id));
    }
    return rc;
}

static enum stamp_err admit(struct admission *a, const struct stamp_registry_unit *u,
                            struct stamp_error *err)
{
    int64_t id = (int64_t)a->order->batch.id << 32 | u->index;
    struct place place = {.unit = u, .state = STAMP_REGISTRY_ISSUED};
    const char *why = NULL;
    enum stamp_err rc;

    if (u->index >= a->order->batch.count) {
        return refuse(a, u, "the order has no such unit: too many", err);
    }
    rc =
        STAMPI_RUN(a->r, STAMPI_UNIT_FIND, take_place, &place, NULL, err, stampi_int(id));
    if (rc == STAMP_OK && place.any && !place.same) {
        why = memcmp(place.fingerprint, u->fingerprint, 32) != 0
                  ? "the books have another key in its place"
                  : "the books have another certificate of its key";
    } else if (rc == STAMP_OK && !place.any) {
        rc = check_new(a, u, &why, err);
        if (rc == STAMP_OK && why == NULL) {
            rc = add_unit(a, u, id, err);
            *a->booked += u->state == STAMP_REGISTRY_ISSUED;
        }
    }
    if (rc == STAMP_OK && why != NULL) {
        return refuse(a, u, why, err);
    }
    if (rc == STAMP_OK) {
        rc = add_state(a, u, place.state, err);
    }
    return rc == STAMP_OK ? add_rest(a, u, id, err) : rc;
}

enum stamp_err stamp_registry_order_admit(struct stamp_registry *r,
                                          const struct stamp_registry_order *order,
                                          const struct stamp_registry_unit *units,
                                          size_t n, time_t now,
                                          stamp_registry_refused refused, void *ctx,
                                          uint32_t *booked, struct stamp_error *err)
{
    struct admission a = {r, order, now, refused, ctx, booked, {0}};
    enum stamp_err rc;

    *booked = 0;
    rc = stampi_begin(r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = admit(&a, &units[i], err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_tally_write(r, &a.tally, err);
    }
    stampi_tally_free(&a.tally);
    return stampi_finish(r, rc, err);
}

enum stamp_err stamp_registry_locked(struct stamp_registry *r, const char *serial,
                                     struct stamp_error *err)
{
    struct stamp_registry_row row;
    enum stamp_err rc = stamp_registry_find(r, serial, &row, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_begin(r, err);
    if (rc == STAMP_OK) {
        rc = stampi_finish(r,
                           STAMPI_RUN(r, STAMPI_UNLOCKED_REMOVE, NULL, NULL, NULL, err,
                                      stampi_int(row.id)),
                           err);
    }
    stamp_registry_row_fini(&row);
    return rc;
}

enum stamp_err stamp_registry_quarantined(struct stamp_registry *r,
                                          const uint8_t order[16], uint32_t *n,
                                          struct stamp_error *err)
{
    int64_t count = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_QUARANTINE_COUNT, stampi_take_number, &count,
                                   NULL, err, stampi_blob(order, 16));

    *n = (uint32_t)count;
    return rc;
}

struct sealed {
    uint8_t *out;
    size_t *len;
};

static enum stamp_err take_pop(void *ctx, const struct stampi_value *v,
                               struct stamp_error *err)
{
    struct sealed *s = ctx;

    (void)err;
    if (v[0].len <= POP_MAX) {
        memcpy(s->out, v[0].p, v[0].len);
        *s->len = v[0].len;
    }
    return STAMP_OK;
}

enum stamp_err stamp_registry_sealed_pop(struct stamp_registry *r, const char *serial,
                                         uint8_t *out, size_t *len,
                                         struct stamp_error *err)
{
    struct sealed s = {out, len};
    enum stamp_err rc;

    *len = 0;
    rc = STAMPI_RUN(r, STAMPI_POP_FIND, take_pop, &s, NULL, err, stampi_text(serial));
    return rc == STAMP_OK && *len == 0
               ? stamp_error_set(
                     err, STAMP_E_MISSING, 0,
                     "no proof of possession of '%s' was sealed by the device", serial)
               : rc;
}

enum stamp_err stamp_registry_admits(struct stamp_registry *r,
                                     struct stamp_slice certificate,
                                     struct stamp_registry_row *row,
                                     struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t fingerprint[32];
    enum stamp_err rc = stamp_pki_decode(certificate, &cert, err);

    memset(row, 0, sizeof *row);
    if (rc == STAMP_OK) {
        rc = stamp_key_point(X509_get0_pubkey(cert), point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(point, fingerprint, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_find_key(r, fingerprint, row, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (row->state == STAMP_REGISTRY_REVOKED || row->state == STAMP_REGISTRY_SCRAPPED) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0, "'%s' is %s", row->serial,
                             stamp_registry_state_name(row->state));
    } else if (row->certificate_len != certificate.len ||
               memcmp(row->certificate, certificate.p, certificate.len) != 0) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "the books have another certificate of '%s'", row->serial);
    }
    if (rc != STAMP_OK) {
        stamp_registry_row_fini(row);
    }
    return rc;
}
