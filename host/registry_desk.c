/* Stamps made one by one: reserved, then issued or given up. */
#include <string.h>

#include "host/registry_own.h"

/* The batch that a product's stamps belong to which no batch was made for. */
struct desk {
    uint32_t batch;
    int64_t first; /* id of the first of the devices that are being added */
    uint8_t prefix[STAMPI_PREFIX_LEN];
};

struct desk_row {
    int64_t id;
    char product[STAMP_MAX_TEXT + 1u];
};

static enum stamp_err take_desk(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct desk_row *row = ctx;

    (void)err;
    row->id = v[0].number;
    stampi_get_text(&v[1], row->product, sizeof row->product);
    return STAMP_OK;
}

static enum stamp_err find_desk(struct stamp_registry *r, const char *product, time_t now,
                                struct desk *desk, struct stamp_error *err)
{
    struct desk_row row = {0, ""};
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_DESK_FIND, take_desk, &row, NULL, err, stampi_text(product));

    if (rc == STAMP_OK && row.id == 0) {
        rc = stampi_count_on(r, "batch", 1, &row.id, err);
        if (rc == STAMP_OK) {
            rc = STAMPI_RUN(r, STAMPI_DESK_ADD, NULL, NULL, NULL, err, stampi_int(row.id),
                            stampi_text(product), stampi_int((int64_t)now),
                            stampi_text(r->who), stampi_text(r->where));
        }
    } else if (rc == STAMP_OK && row.product[0] == '\0') {
        rc = STAMPI_RUN(r, STAMPI_DESK_NAME, NULL, NULL, NULL, err, stampi_text(product),
                        stampi_int(row.id));
    }
    desk->batch = (uint32_t)row.id;
    return rc;
}

/* In a transaction that holds the counter "serial". */
static enum stamp_err grow_desk(struct stamp_registry *r, const char *product, time_t now,
                                size_t n, struct desk *desk, struct stamp_error *err)
{
    int64_t index = 0;
    enum stamp_err rc = find_desk(r, product, now, desk, err);

    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_DESK_GROW, stampi_take_number, &index, NULL, err,
                        stampi_int((int64_t)n), stampi_int(desk->batch));
    }
    if (rc == STAMP_OK) {
        desk->first = (int64_t)desk->batch << 32 | index;
        rc = stampi_new_block(r, desk->first, n, desk->prefix, err);
    }
    return rc;
}

static void fill_row(const struct desk *desk, uint32_t i, const char *product, time_t now,
                     struct stamp_registry_row *row)
{
    memset(row, 0, sizeof *row);
    row->id = desk->first + i;
    row->at = now;
    memcpy(row->product, product, strlen(product) + 1);
    stamp_registry_certificate_serial(desk->prefix, i, row->certificate_serial);
}

static enum stamp_err add_event(struct stamp_registry *r,
                                const struct stamp_registry_row *row,
                                enum stamp_registry_state state, time_t at,
                                struct stamp_error *err)
{
    bool issued = state == STAMP_REGISTRY_ISSUED;
    const struct stampi_happened h = {
        .device = row->id,
        .serial = row->serial,
        .state = state,
        .at = (int64_t)at,
        .fingerprint = row->fingerprint,
        .certificate = {row->certificate, issued ? row->certificate_len : 0}};
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_EVENT_ADD, NULL, NULL, NULL, err, stampi_int(row->id),
                   stampi_int(state), stampi_int((int64_t)at), stampi_text(r->who),
                   stampi_text(r->where), stampi_text(""));

    return rc == STAMP_OK ? stampi_leaf_device(r, &h, err) : rc;
}

/* @param taken  the serial is on the books already: nothing was added */
static enum stamp_err add_row(struct stamp_registry *r,
                              const struct stamp_registry_row *row, bool *taken,
                              struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_SERIAL_CLAIM, NULL, NULL, &changed, err,
                                   stampi_text(row->serial), stampi_int(row->id));

    *taken = rc == STAMP_OK && changed == 0;
    if (rc != STAMP_OK || *taken) {
        return rc;
    }
    rc = STAMPI_RUN(r, STAMPI_DEVICE_ADD, NULL, NULL, NULL, err, stampi_int(row->id),
                    stampi_text(row->serial), stampi_int((int64_t)row->at));
    return rc == STAMP_OK ? add_event(r, row, STAMP_REGISTRY_RESERVED, row->at, err) : rc;
}

/* The next serial that nobody has: somebody gave one by hand, or a batch has them. */
static enum stamp_err add_next(struct stamp_registry *r,
                               const struct stamp_serial_pattern *pattern, int64_t *next,
                               struct stamp_registry_row *row, struct stamp_error *err)
{
    char name[STAMP_REGISTRY_NAME_SIZE];
    bool taken = true;
    enum stamp_err rc = STAMP_OK;

    while (taken && rc == STAMP_OK) {
        rc = stamp_serial_format(pattern, (uint64_t)*next, row->at, row->serial,
                                 sizeof row->serial, err);
        *next += 1;
        if (rc == STAMP_OK) {
            rc = stampi_batch_with(r, row->serial, name, err);
        }
        if (rc == STAMP_OK && name[0] == '\0') {
            rc = add_row(r, row, &taken, err);
        }
    }
    return rc;
}

static enum stamp_err
reserve_all(struct stamp_registry *r, const struct stamp_serial_pattern *pattern,
            const struct desk *desk, const char *product, int64_t next, time_t now,
            struct stamp_registry_row *rows, size_t n, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        fill_row(desk, (uint32_t)i, product, now, &rows[i]);
        rc = add_next(r, pattern, &next, &rows[i], err);
    }
    return rc == STAMP_OK ? STAMPI_RUN(r, STAMPI_COUNTER_SET, NULL, NULL, NULL, err,
                                       stampi_int(next), stampi_text("serial"))
                          : rc;
}

static enum stamp_err count_reserved(struct stamp_registry *r, uint32_t batch, size_t n,
                                     struct stamp_error *err)
{
    STAMPI_TALLY_AUTO tally = {0};
    enum stamp_err rc =
        stampi_tally(&tally, batch, STAMP_REGISTRY_RESERVED, (int64_t)n, err);

    return rc == STAMP_OK ? stampi_tally_write(r, &tally, err) : rc;
}

static enum stamp_err check_product(const char *product, struct stamp_error *err)
{
    return product[0] == '\0'
               ? stamp_error_set(err, STAMP_E_RANGE, 0, "the product has no name")
               : stampi_check_text(product, STAMP_MAX_TEXT, "product", err);
}

enum stamp_err stamp_registry_reserve(struct stamp_registry *r, const char *product,
                                      const struct stamp_serial_pattern *pattern,
                                      time_t now, struct stamp_registry_row *rows,
                                      size_t n, struct stamp_error *err)
{
    struct desk desk = {0};
    int64_t next = 1;
    enum stamp_err rc = check_product(product, err);

    if (rc == STAMP_OK && (n == 0 || n > UINT32_MAX)) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "cannot reserve %zu serials", n);
    }
    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_count_on(r, "serial", n, &next, err);
    if (rc == STAMP_OK) {
        rc = grow_desk(r, product, now, n, &desk, err);
    }
    if (rc == STAMP_OK) {
        rc = reserve_all(r, pattern, &desk, product, next, now, rows, n, err);
    }
    if (rc == STAMP_OK) {
        rc = count_reserved(r, desk.batch, n, err);
    }
    return stampi_finish(r, rc, err);
}

static enum stamp_err reserve_this(struct stamp_registry *r, const char *product,
                                   const char *serial, time_t now,
                                   struct stamp_registry_row *row,
                                   struct stamp_error *err)
{
    char name[STAMP_REGISTRY_NAME_SIZE];
    struct stamp_registry_row mine;
    struct desk desk = {0};
    int64_t held;
    bool taken = false;
    enum stamp_err rc = stampi_count_on(r, "serial", 0, &held, err);

    if (rc == STAMP_OK) {
        rc = stampi_batch_with(r, serial, name, err);
    }
    if (rc == STAMP_OK && name[0] != '\0') {
        rc = stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                             "serial '%s' lies in the block of batch '%s'", serial, name);
    }
    if (rc == STAMP_OK) {
        rc = grow_desk(r, product, now, 1, &desk, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    fill_row(&desk, 0, product, now, &mine);
    memcpy(mine.serial, serial, strlen(serial) + 1);
    rc = add_row(r, &mine, &taken, err);
    if (taken) {
        rc = stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                             "serial '%s' is on the books already", serial);
    }
    if (rc == STAMP_OK) {
        rc = count_reserved(r, desk.batch, 1, err);
    }
    if (rc == STAMP_OK) {
        *row = mine;
    }
    return rc;
}

enum stamp_err stamp_registry_reserve_serial(struct stamp_registry *r,
                                             const char *product, const char *serial,
                                             time_t now, struct stamp_registry_row *row,
                                             struct stamp_error *err)
{
    enum stamp_err rc = stamp_serial_check(serial, err);

    if (rc == STAMP_OK) {
        rc = check_product(product, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    return rc == STAMP_OK
               ? stampi_finish(r, reserve_this(r, product, serial, now, row, err), err)
               : rc;
}

/* ---- issued or given up ---- */

static enum stamp_err claim_key(struct stamp_registry *r,
                                const struct stamp_registry_row *row,
                                struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_KEY_CLAIM, NULL, NULL, &changed, err,
                                   stampi_blob(row->fingerprint, sizeof row->fingerprint),
                                   stampi_int(row->id));

    return rc == STAMP_OK && changed == 0
               ? stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                                 "the key of '%s' is on the books already", row->serial)
               : rc;
}

static enum stamp_err settle_row(struct stamp_registry *r,
                                 const struct stamp_registry_row *row, bool issued,
                                 time_t now, struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc =
        issued ? STAMPI_RUN(r, STAMPI_DEVICE_ISSUE, NULL, NULL, &changed, err,
                            stampi_int((int64_t)now), stampi_text(row->file),
                            stampi_blob(row->fingerprint, sizeof row->fingerprint),
                            stampi_blob(row->certificate, row->certificate_len),
                            stampi_int(row->id))
               : STAMPI_RUN(r, STAMPI_DEVICE_SCRAP, NULL, NULL, &changed, err,
                            stampi_int((int64_t)now), stampi_int(row->id));

    if (rc == STAMP_OK && changed != 1) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "serial '%s' is not reserved",
                             row->serial);
    }
    if (rc == STAMP_OK && issued) {
        rc = claim_key(r, row, err);
    }
    return rc == STAMP_OK
               ? add_event(r, row,
                           issued ? STAMP_REGISTRY_ISSUED : STAMP_REGISTRY_SCRAPPED, now,
                           err)
               : rc;
}

static enum stamp_err settle_all(struct stamp_registry *r,
                                 const struct stamp_registry_row *rows, size_t n,
                                 bool issued, time_t now, struct stampi_tally *tally,
                                 struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        uint32_t batch = stamp_registry_batch_of(&rows[i]);

        rc = settle_row(r, &rows[i], issued, now, err);
        if (rc == STAMP_OK) {
            rc = stampi_tally(tally, batch, STAMP_REGISTRY_RESERVED, -1, err);
        }
        if (rc == STAMP_OK) {
            rc = stampi_tally(tally, batch,
                              issued ? STAMP_REGISTRY_ISSUED : STAMP_REGISTRY_SCRAPPED, 1,
                              err);
        }
    }
    return rc == STAMP_OK ? stampi_tally_write(r, tally, err) : rc;
}

static enum stamp_err settle(struct stamp_registry *r,
                             const struct stamp_registry_row *rows, size_t n, bool issued,
                             time_t now, struct stamp_error *err)
{
    STAMPI_TALLY_AUTO tally = {0};
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK
               ? stampi_finish(r, settle_all(r, rows, n, issued, now, &tally, err), err)
               : rc;
}

enum stamp_err stamp_registry_issue(struct stamp_registry *r,
                                    const struct stamp_registry_row *rows, size_t n,
                                    time_t now, struct stamp_error *err)
{
    return settle(r, rows, n, true, now, err);
}

enum stamp_err stamp_registry_give_up(struct stamp_registry *r,
                                      const struct stamp_registry_row *rows, size_t n,
                                      time_t now, struct stamp_error *err)
{
    return settle(r, rows, n, false, now, err);
}
