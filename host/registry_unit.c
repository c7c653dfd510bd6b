#include "host/registry_unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/key.h"
#include "host/pki.h"
#include "host/registry_own.h"

void stamp_unit_booked_fini(struct stamp_unit_booked *b)
{
    free(b->certificate);
    memset(b, 0, sizeof *b);
}

/* ---- may it be? ---- */

/* The station signed it; NONE of that tells what its order says. */
static enum stamp_err check_station(struct stamp_registry *r,
                                    const struct stamp_unit_request *u,
                                    const uint8_t *sig, enum stamp_refusal *refusal,
                                    struct stamp_error *err)
{
    STAMP_REGISTRY_STATION_AUTO station = {.own = NULL};
    STAMP_X509_AUTO *journal = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_registry_station_find(r, u->station, &station, &why);

    if (rc == STAMP_E_MISSING) {
        *refusal = STAMP_REFUSAL_STATION;
        return STAMP_OK;
    }
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    rc = stamp_pki_decode(station.journal, &journal, err);
    if (rc == STAMP_OK &&
        stamp_unit_request_check(u, X509_get0_pubkey(journal), sig, NULL) != STAMP_OK) {
        *refusal = STAMP_REFUSAL_STATION;
    }
    return rc;
}

static enum stamp_err check_order(struct stamp_registry *r,
                                  const struct stamp_unit_request *u, time_t now,
                                  struct stamp_registry_order *order,
                                  enum stamp_refusal *refusal, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_ORDER_LOCK, NULL, NULL, NULL, err,
                                   stampi_blob(u->order, sizeof u->order));

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_registry_order_find(r, u->order, order, &why);
    if (rc == STAMP_E_MISSING) {
        *refusal = STAMP_REFUSAL_ORDER;
        return STAMP_OK;
    }
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    if (memcmp(order->station, u->station, sizeof u->station) != 0 ||
        order->state == STAMP_REGISTRY_ORDER_CLOSED ||
        (order->not_after != 0 && now > order->not_after)) {
        *refusal = STAMP_REFUSAL_ORDER;
    } else if (u->index >= order->batch.count) {
        *refusal = STAMP_REFUSAL_UNIT;
    }
    return STAMP_OK;
}

/* ---- what the books have in its place ---- */

struct place {
    bool any;
    uint8_t fingerprint[32];
    struct stamp_unit_booked *out;
};

/* state, fingerprint, certificate, chip */
static enum stamp_err take_place(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct place *p = ctx;

    p->any = true;
    stampi_get_blob(&v[1], p->fingerprint, sizeof p->fingerprint);
    if (v[2].type == STAMPI_NULL || v[2].len == 0) {
        return STAMP_OK;
    }
    p->out->certificate = malloc(v[2].len);
    if (p->out->certificate == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(p->out->certificate, v[2].p, v[2].len);
    p->out->certificate_len = v[2].len;
    return STAMP_OK;
}

enum stamp_err stamp_registry_unit_find(struct stamp_registry *r, int64_t device,
                                        struct stamp_unit_booked *out,
                                        struct stamp_error *err)
{
    struct place p = {.out = out};

    memset(out, 0, sizeof *out);
    out->device = device;
    return STAMPI_RUN(r, STAMPI_UNIT_FIND, take_place, &p, NULL, err, stampi_int(device));
}

/* ---- booking ---- */

static enum stamp_err add(struct stamp_registry *r, const struct stamp_unit_booked *b,
                          const uint8_t fingerprint[32], time_t now,
                          enum stamp_refusal *refusal, struct stamp_error *err)
{
    bool taken;
    enum stamp_err rc =
        stampi_is_taken(r, STAMPI_SERIAL_OWNER, stampi_text(b->serial), &taken, err);

    if (rc == STAMP_OK && !taken) {
        rc = stampi_is_taken(r, STAMPI_KEY_OWNER, stampi_blob(fingerprint, 32), &taken,
                             err);
    }
    if (rc != STAMP_OK || taken) {
        *refusal = taken ? STAMP_REFUSAL_KEY_TAKEN : *refusal;
        return rc;
    }
    rc = stampi_unit_claim(r, b->serial, fingerprint, b->device, err);
    return rc == STAMP_OK
               ? STAMPI_RUN(r, STAMPI_UNIT_BEGIN, NULL, NULL, NULL, err,
                            stampi_int(b->device), stampi_text(b->serial),
                            stampi_int((int64_t)now), stampi_blob(fingerprint, 32))
               : rc;
}

static enum stamp_err begin(struct stamp_registry *r, const struct stamp_unit_request *u,
                            const struct stamp_registry_order *order, time_t now,
                            enum stamp_refusal *refusal, struct stamp_unit_booked *out,
                            struct stamp_error *err)
{
    struct place p = {.out = out};
    uint8_t fingerprint[32];
    enum stamp_err rc = stamp_key_hash(u->point, fingerprint, err);

    out->device = (int64_t)order->batch.id << 32 | u->index;
    stamp_registry_batch_serial(&order->batch, u->index, out->certificate_serial);
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&order->pattern, order->batch.first_counter + u->index,
                                 order->batch.at, out->serial, sizeof out->serial, err);
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_UNIT_FIND, take_place, &p, NULL, err,
                        stampi_int(out->device));
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (p.any) {
        *refusal = memcmp(p.fingerprint, fingerprint, sizeof fingerprint) == 0
                       ? STAMP_REFUSAL_NONE
                       : STAMP_REFUSAL_KEY_TAKEN;
        return STAMP_OK;
    }
    return add(r, out, fingerprint, now, refusal, err);
}

enum stamp_err stamp_registry_unit_begin(struct stamp_registry *r,
                                         const struct stamp_unit_request *u,
                                         const uint8_t sig[STAMP_SIG_SIZE], time_t now,
                                         enum stamp_refusal *refusal,
                                         struct stamp_unit_booked *out,
                                         struct stamp_error *err)
{
    struct stamp_registry_order order;
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    *refusal = STAMP_REFUSAL_NONE;
    rc = check_station(r, u, sig, refusal, err);
    if (rc == STAMP_OK && *refusal == STAMP_REFUSAL_NONE) {
        rc = check_order(r, u, now, &order, refusal, err);
    }
    if (rc == STAMP_OK && *refusal == STAMP_REFUSAL_NONE) {
        rc = begin(r, u, &order, now, refusal, out, err);
    }
    return rc;
}

static enum stamp_err take_lock(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    bool *lock_later = ctx;

    (void)err;
    *lock_later = v[0].number != 0;
    return STAMP_OK;
}

/* What the log tells of it. */
struct born {
    char serial[STAMP_SERIAL_SIZE];
    uint8_t fingerprint[32];
};

static enum stamp_err take_born(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct born *b = ctx;

    (void)err;
    stampi_get_text(&v[0], b->serial, sizeof b->serial);
    stampi_get_blob(&v[1], b->fingerprint, sizeof b->fingerprint);
    return STAMP_OK;
}

static enum stamp_err find_born(struct stamp_registry *r, int64_t device,
                                struct born *born, struct stamp_error *err)
{
    return STAMPI_RUN(r, STAMPI_DEVICE_SERIAL, take_born, born, NULL, err,
                      stampi_int(device));
}

enum stamp_err stamp_registry_unit_certify(struct stamp_registry *r, int64_t device,
                                           time_t now, struct stamp_slice certificate,
                                           bool *kept, struct stamp_error *err)
{
    STAMPI_TALLY_AUTO tally = {.cell = NULL};
    struct born born = {.serial = ""};
    bool lock_later = false;
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_UNIT_CERTIFY, NULL, NULL, &changed, err,
                                   stampi_blob(certificate.p, certificate.len),
                                   stampi_int((int64_t)now), stampi_int(device));

    *kept = changed == 1;
    if (rc != STAMP_OK || !*kept) {
        return rc;
    }
    rc = STAMPI_RUN(r, STAMPI_ORDER_LOCKS, take_lock, &lock_later, NULL, err,
                    stampi_int(device >> 32));
    if (rc == STAMP_OK) {
        rc = find_born(r, device, &born, err);
    }
    if (rc == STAMP_OK) {
        const struct stampi_happened h = {.device = device,
                                          .serial = born.serial,
                                          .state = STAMP_REGISTRY_ISSUED,
                                          .at = (int64_t)now,
                                          .why = STAMPI_WHY_UNIT,
                                          .fingerprint = born.fingerprint,
                                          .certificate = certificate};

        rc = stampi_unit_issued(r, &h, lock_later, &tally, err);
    }
    return rc == STAMP_OK ? stampi_tally_write(r, &tally, err) : rc;
}
