#include "host/registry_order.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "host/hex.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/registry_own.h"

/* ---- orders ---- */

static enum stamp_err check_setup(const struct stamp_registry_order_setup *s,
                                  const struct stamp_registry_batch_setup *batch,
                                  struct stamp_error *err)
{
    enum stamp_err rc = stampi_check_batch(batch, err);

    if (rc == STAMP_OK && !stamp_serial_ascends(s->pattern)) {
        rc = stamp_error_set(err, STAMP_E_CONFIG, 0,
                             "the serials of a work order follow from a counter, with "
                             "nothing random in them");
    }
    return rc;
}

static enum stamp_err add(struct stamp_registry *r,
                          const struct stamp_registry_order_setup *s,
                          const struct stamp_registry_batch_setup *batch,
                          struct stamp_registry_order *out, struct stamp_error *err)
{
    STAMP_REGISTRY_STATION_AUTO station;
    char pattern[STAMP_SERIAL_TEXT_SIZE];
    enum stamp_err rc = stamp_registry_station_find(r, s->station, &station, err);

    if (rc == STAMP_OK) {
        rc = stampi_add_batch(r, batch, &out->batch, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    memcpy(out->id, out->batch.uid, sizeof out->id);
    memcpy(out->station, s->station, sizeof out->station);
    out->pattern = *s->pattern;
    out->lock_later = s->lock_later;
    out->pop = s->pop;
    out->not_after = s->not_after;
    stamp_serial_text(s->pattern, pattern);
    return STAMPI_RUN(r, STAMPI_ORDER_ADD, NULL, NULL, NULL, err,
                      stampi_blob(out->id, sizeof out->id), stampi_int(out->batch.id),
                      stampi_blob(out->station, sizeof out->station),
                      stampi_text(pattern), stampi_int(out->lock_later),
                      stampi_int(out->pop), stampi_int((int64_t)out->not_after));
}

enum stamp_err stamp_registry_order_add(struct stamp_registry *r,
                                        const struct stamp_registry_order_setup *setup,
                                        struct stamp_registry_order *out,
                                        struct stamp_error *err)
{
    const struct stamp_registry_batch_setup batch = {
        .name = setup->name,
        .product = setup->product,
        .note = setup->note == NULL ? "work order" : setup->note,
        .pattern = setup->pattern,
        .count = setup->count,
        .first = setup->first,
        .now = setup->now,
        .request = setup->request};
    enum stamp_err rc = check_setup(setup, &batch, err);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_finish(r, add(r, setup, &batch, out, err), err);
    if (rc != STAMP_OK) {
        memset(out, 0, sizeof *out);
    }
    return rc;
}

struct orders {
    struct stamp_registry_order *order;
    size_t n;
};

/* id, batch, station, pattern, lock_later, pop, not_after, state, closed_at */
static enum stamp_err take_order(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct orders *all = ctx;
    struct stamp_registry_order *o = &all->order[all->n++];
    char pattern[STAMP_SERIAL_TEXT_SIZE];

    memset(o, 0, sizeof *o);
    stampi_get_blob(&v[0], o->id, sizeof o->id);
    o->batch.id = (uint32_t)v[1].number;
    stampi_get_blob(&v[2], o->station, sizeof o->station);
    stampi_get_text(&v[3], pattern, sizeof pattern);
    o->lock_later = v[4].number != 0;
    o->pop = (uint8_t)v[5].number;
    o->not_after = (time_t)v[6].number;
    o->state = (enum stamp_registry_order_state)v[7].number;
    o->closed_at = (time_t)v[8].number;
    return stamp_serial_parse(&o->pattern, pattern, NULL, err);
}

static enum stamp_err find(struct stamp_registry *r, enum stampi_sql which,
                           struct stampi_value key, struct stamp_registry_order *out,
                           struct stamp_error *err)
{
    struct orders all = {out, 0};
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    rc = STAMPI_RUN(r, which, take_order, &all, NULL, err, key);
    if (rc == STAMP_OK && all.n == 0) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "the order is not on these books");
    }
    return rc == STAMP_OK ? stampi_batch_get(r, out->batch.id, &out->batch, err) : rc;
}

enum stamp_err stamp_registry_order_find(struct stamp_registry *r, const uint8_t id[16],
                                         struct stamp_registry_order *out,
                                         struct stamp_error *err)
{
    return find(r, STAMPI_ORDER_FIND, stampi_blob(id, 16), out, err);
}

enum stamp_err stamp_registry_order_find_file(struct stamp_registry *r,
                                              const uint8_t digest[32],
                                              struct stamp_registry_order *out,
                                              struct stamp_error *err)
{
    return find(r, STAMPI_ORDER_FIND_FILE, stampi_blob(digest, 32), out, err);
}

enum stamp_err stamp_registry_order_seek(struct stamp_registry *r, const char *name,
                                         struct stamp_registry_order *out,
                                         struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    struct stamp_error why = STAMP_ERROR_INIT;
    uint8_t id[32];
    enum stamp_err rc;

    if (strlen(name) == 64 && stamp_unhex(name, 32, id)) {
        return stamp_registry_order_find_file(r, id, out, err);
    }
    if (strlen(name) == 32 && stamp_unhex(name, 16, id)) {
        return stamp_registry_order_find(r, id, out, err);
    }
    rc = stamp_registry_batch_find(r, name, &batch, &why);
    if (rc == STAMP_OK) {
        stamp_error_clear(&why);
        rc = stamp_registry_order_find(r, batch.uid, out, &why);
    }
    return rc == STAMP_E_MISSING
               ? stamp_error_set(err, rc, 0, "there is no work order '%s'", name)
           : rc != STAMP_OK ? stamp_error_set(err, rc, why.native, "%s", why.what)
                            : STAMP_OK;
}

enum stamp_err stamp_registry_order_file(struct stamp_registry *r, const uint8_t id[16],
                                         const uint8_t digest[32],
                                         struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK
               ? stampi_finish(r,
                               STAMPI_RUN(r, STAMPI_ORDER_FILE, NULL, NULL, NULL, err,
                                          stampi_blob(digest, 32), stampi_blob(id, 16)),
                               err)
               : rc;
}

enum stamp_err stamp_registry_order_list(struct stamp_registry *r, uint32_t after,
                                         struct stamp_registry_order *orders, size_t max,
                                         size_t *n, struct stamp_error *err)
{
    struct orders all = {orders, 0};
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_ORDER_LIST, take_order, &all, NULL, err,
                                   stampi_int(after), stampi_int((int64_t)max));

    for (size_t i = 0; i < all.n && rc == STAMP_OK; i++) {
        rc = stampi_batch_get(r, orders[i].batch.id, &orders[i].batch, err);
    }
    *n = rc == STAMP_OK ? all.n : 0;
    return rc;
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

struct telling {
    stamp_registry_quarantine_told told;
    void *ctx;
    bool ended;
};

/* work_order, n, digest, fingerprint, serial, why, at, certificate */
static enum stamp_err tell(void *ctx, const struct stampi_value *v,
                           struct stamp_error *err)
{
    struct telling *t = ctx;
    struct stamp_registry_quarantine q = {.index = (uint32_t)v[1].number,
                                          .at = (time_t)v[6].number,
                                          .certificate = {v[7].p, v[7].len}};

    (void)err;
    stampi_get_blob(&v[3], q.fingerprint, sizeof q.fingerprint);
    stampi_get_text(&v[4], q.serial, sizeof q.serial);
    stampi_get_text(&v[5], q.why, sizeof q.why);
    t->ended = t->ended || !t->told(t->ctx, &q);
    return STAMP_OK;
}

enum stamp_err stamp_registry_quarantine(struct stamp_registry *r,
                                         const uint8_t order[16],
                                         stamp_registry_quarantine_told told, void *ctx,
                                         struct stamp_error *err)
{
    struct telling t = {told, ctx, false};

    return STAMPI_RUN(r, STAMPI_QUARANTINE_LIST, tell, &t, NULL, err,
                      stampi_blob(order, 16));
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
    if (v[0].len <= STAMPI_POP_MAX) {
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
