/* The leaves that rows of the books have in the log. */
#include <string.h>

#include "host/registry_walk.h"

struct making {
    struct stamp_registry *r;
    stampi_leaves_taken taken;
    void *ctx;
};

static void by(struct stamp_registry *r, const struct stampi_value *who,
               const struct stampi_value *where)
{
    stampi_get_text(who, r->who, sizeof r->who);
    stampi_get_text(where, r->where, sizeof r->where);
}

static struct stamp_slice bytes_of(const struct stampi_value *v)
{
    return (struct stamp_slice){v->p, v->type == STAMPI_BLOB ? v->len : 0};
}

static enum stamp_err end_row(struct making *m, enum stamp_err rc,
                              struct stamp_error *err)
{
    if (rc == STAMP_OK) {
        rc = m->taken(m->ctx, m->r, err);
    }
    stampi_leaves_clear(m->r);
    return rc;
}

/* id, name, count, at, state, who, place */
static enum stamp_err batch_row(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct making *m = ctx;
    char name[STAMP_REGISTRY_NAME_SIZE];
    enum stamp_err rc;

    by(m->r, &v[5], &v[6]);
    stampi_get_text(&v[1], name, sizeof name);
    rc = stampi_leaf_batch(m->r, v[0].number, name, (uint32_t)v[2].number, v[3].number,
                           err);
    for (int state = 1; rc == STAMP_OK && state <= v[4].number; state++) {
        rc = stampi_leaf_batch_state(m->r, v[0].number, state, v[3].number, err);
    }
    return end_row(m, rc, err);
}

/* first, n, at, who, place */
static enum stamp_err run_row(void *ctx, const struct stampi_value *v,
                              struct stamp_error *err)
{
    struct making *m = ctx;
    uint8_t root[STAMP_MERKLE_SIZE];
    uint32_t n = (uint32_t)v[1].number;
    uint32_t found;
    enum stamp_err rc;

    by(m->r, &v[3], &v[4]);
    rc = stampi_run_root(m->r, v[0].number, n, &found, root, err);
    if (rc == STAMP_OK) {
        rc = stampi_leaf_run(m->r, v[0].number, found == n ? n : found, v[2].number, root,
                             err);
    }
    return end_row(m, rc, err);
}

/* device, n, serial, state, at, who, place, why, chip, fingerprint, certificate */
static enum stamp_err event_row(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct making *m = ctx;
    bool issued = v[3].number == STAMP_REGISTRY_ISSUED;
    char serial[STAMP_SERIAL_SIZE];
    char why[STAMP_REGISTRY_TEXT_SIZE];
    char chip[STAMP_REGISTRY_CHIP_SIZE];
    uint8_t fingerprint[32];
    const struct stampi_happened h = {
        .device = v[0].number,
        .serial = serial,
        .state = (enum stamp_registry_state)v[3].number,
        .at = v[4].number,
        .why = why,
        .chip = chip,
        .fingerprint = fingerprint,
        .certificate = issued ? bytes_of(&v[10]) : (struct stamp_slice){NULL, 0}};

    by(m->r, &v[5], &v[6]);
    stampi_get_text(&v[2], serial, sizeof serial);
    stampi_get_text(&v[7], why, sizeof why);
    stampi_get_text(&v[8], chip, sizeof chip);
    stampi_get_blob(&v[9], fingerprint, sizeof fingerprint);
    return end_row(m, stampi_leaf_device(m->r, &h, err), err);
}

/* device, n, state, certificate, at, changed_at */
static enum stamp_err operational_row(void *ctx, const struct stampi_value *v,
                                      struct stamp_error *err)
{
    const struct stamp_slice none = {NULL, 0};
    struct making *m = ctx;
    struct stamp_slice certificate = bytes_of(&v[3]);
    uint32_t n = (uint32_t)v[1].number;
    enum stamp_err rc = STAMP_OK;

    if (certificate.len > 0) {
        rc = stampi_leaf_operational(m->r, v[0].number, n, STAMP_LDEVID_PENDING,
                                     v[4].number, certificate, err);
    }
    if (rc == STAMP_OK && v[2].number == STAMP_LDEVID_CONFIRMED) {
        rc = stampi_leaf_operational(m->r, v[0].number, n, STAMP_LDEVID_CONFIRMED,
                                     v[5].number, none, err);
    }
    return end_row(m, rc, err);
}

/* ca, serial, device, reason, at */
static enum stamp_err revocation_row(void *ctx, const struct stampi_value *v,
                                     struct stamp_error *err)
{
    struct making *m = ctx;

    m->r->who[0] = m->r->where[0] = '\0'; /* rows do not say */
    return end_row(m,
                   stampi_leaf_revocation(m->r, v[2].number, v[1].p, (uint8_t)v[3].number,
                                          v[4].number, err),
                   err);
}

/* serial, certificate, at, who */
static enum stamp_err own_row(void *ctx, const struct stampi_value *v,
                              struct stamp_error *err)
{
    struct making *m = ctx;
    struct stamp_slice certificate = bytes_of(&v[1]);

    by(m->r, &v[3], &(struct stampi_value){.type = STAMPI_NULL});
    return end_row(m,
                   certificate.len == 0
                       ? STAMP_OK
                       : stampi_leaf_own(m->r, v[0].p, certificate, v[2].number, err),
                   err);
}

/* books, number, digest, imported_at, who, place */
static enum stamp_err results_row(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    struct making *m = ctx;

    by(m->r, &v[4], &v[5]);
    return end_row(
        m, stampi_leaf_anchor(m->r, STAMPI_ANCHOR_RESULTS, v[2].p, v[3].number, err),
        err);
}

static const stampi_row rows[] = {
    [STAMPI_WALK_BATCHES] = batch_row,
    [STAMPI_WALK_RUNS] = run_row,
    [STAMPI_WALK_EVENTS] = event_row,
    [STAMPI_WALK_OPERATIONAL] = operational_row,
    [STAMPI_WALK_REVOCATIONS] = revocation_row,
    [STAMPI_WALK_OWN] = own_row,
    [STAMPI_WALK_RESULTS] = results_row,
};

enum stamp_err stampi_walk_leaves(struct stamp_registry *r, enum stampi_walk what,
                                  stampi_leaves_taken taken, void *ctx,
                                  struct stamp_error *err)
{
    struct making m = {.r = r, .taken = taken, .ctx = ctx};
    char who[STAMP_REGISTRY_TEXT_SIZE];
    char where[STAMP_REGISTRY_TEXT_SIZE];
    enum stamp_err rc;

    memcpy(who, r->who, sizeof who);
    memcpy(where, r->where, sizeof where);
    rc = stampi_walk_table(r, what, rows[what], &m, err);
    memcpy(r->who, who, sizeof who);
    memcpy(r->where, where, sizeof where);
    return rc;
}

static enum stamp_err write(void *ctx, struct stamp_registry *r, struct stamp_error *err)
{
    (void)ctx;
    return stampi_leaves_write(r, err);
}

/* What was set aside first, then what was issued, then what became of it. */
enum stamp_err stampi_take_over(struct stamp_registry *r, struct stamp_error *err)
{
    static const enum stampi_walk order[] = {
        STAMPI_WALK_BATCHES,     STAMPI_WALK_RUNS,        STAMPI_WALK_EVENTS,
        STAMPI_WALK_OPERATIONAL, STAMPI_WALK_REVOCATIONS, STAMPI_WALK_OWN,
        STAMPI_WALK_RESULTS,
    };
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < sizeof order / sizeof *order && rc == STAMP_OK; i++) {
        rc = stampi_walk_leaves(r, order[i], write, NULL, err);
    }
    return rc;
}
