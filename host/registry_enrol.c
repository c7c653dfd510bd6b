/* Operational keys on the books: who may ask for one, and what becomes of it. */
#include "host/registry_enrol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_own.h"

/* Of one device: a confirmed key and a pending one, and one more where one of them is
 * renewed with the same key. Rows are never taken away, but those retired do not count.
 */
#define COUNT_MAX 4u

#define HOUR 3600
#define DAY 86400 /* an intent that old is not signed any more */
#define AHEAD 300 /* a certificate may begin so late after now */

void stamp_ldevid_fini(struct stamp_ldevid *l)
{
    free(l->certificate);
    memset(l, 0, sizeof *l);
}

enum stamp_err stamp_registry_group_begin(struct stamp_registry *r,
                                          struct stamp_error *err)
{
    return stampi_begin(r, err);
}

enum stamp_err stamp_registry_group_end(struct stamp_registry *r, enum stamp_err rc,
                                        struct stamp_error *err)
{
    return stampi_finish(r, rc, err);
}

/* Devices' numbers are positive: the blocks of the service have negative ones. */
enum stamp_err
stamp_registry_certificate_block(struct stamp_registry *r,
                                 uint8_t prefix[STAMP_CERTIFICATE_PREFIX_SIZE],
                                 struct stamp_error *err)
{
    int64_t number = 0;
    enum stamp_err rc = stampi_begin(r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_count_on(r, "service", 1, &number, err);
    if (rc == STAMP_OK) {
        rc = stampi_new_block(r, -number, UINT32_MAX, prefix, err);
    }
    return stampi_finish(r, rc, err);
}

/* ---- a device's rows ---- */

struct rows {
    struct stamp_ldevid *row;
    size_t n, max;
    int64_t device;
};

/* LDEVID_COLUMNS */
static enum stamp_err take_row(void *ctx, const struct stampi_value *v,
                               struct stamp_error *err)
{
    struct rows *rows = ctx;
    struct stamp_ldevid *l = &rows->row[rows->n];

    if (rows->n == rows->max) {
        return STAMP_OK;
    }
    memset(l, 0, sizeof *l);
    l->device = rows->device;
    l->n = (uint32_t)v[0].number;
    l->state = (enum stamp_ldevid_state)v[1].number;
    stampi_get_blob(&v[2], l->fingerprint, sizeof l->fingerprint);
    stampi_get_blob(&v[3], l->certificate_serial, sizeof l->certificate_serial);
    l->at = (time_t)v[4].number;
    l->changed_at = (time_t)v[5].number;
    l->not_before = (time_t)v[6].number;
    l->not_after = (time_t)v[7].number;
    stampi_get_text(&v[8], l->who, sizeof l->who);
    if (v[9].type == STAMPI_BLOB && v[9].len > 0) {
        l->certificate = malloc(v[9].len);
        if (l->certificate == NULL) {
            return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        memcpy(l->certificate, v[9].p, v[9].len);
        l->certificate_len = v[9].len;
    }
    rows->n++;
    return STAMP_OK;
}

static void rows_fini(struct rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        stamp_ldevid_fini(&rows->row[i]);
    }
    rows->n = 0;
}

static enum stamp_err read_rows(struct stamp_registry *r, enum stampi_sql which,
                                struct rows *rows, struct stamp_error *err)
{
    enum stamp_err rc =
        STAMPI_RUN(r, which, take_row, rows, NULL, err, stampi_int(rows->device),
                   stampi_int((int64_t)rows->max));

    if (rc != STAMP_OK) {
        rows_fini(rows);
    }
    return rc;
}

enum stamp_err stampi_ldevid_page(struct stamp_registry *r, int64_t device,
                                  int64_t before, struct stamp_ldevid *rows, size_t max,
                                  size_t *n, struct stamp_error *err)
{
    struct rows all = {.row = rows, .max = max, .device = device};
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_LDEVID_LIST, take_row, &all, NULL, err, stampi_int(device),
                   stampi_int(before), stampi_int((int64_t)max));

    if (rc != STAMP_OK) {
        rows_fini(&all);
    }
    *n = all.n;
    return rc;
}

enum stamp_err stamp_registry_ldevid_list(struct stamp_registry *r, int64_t device,
                                          struct stamp_ldevid *rows, size_t max,
                                          size_t *n, struct stamp_error *err)
{
    return stampi_ldevid_page(r, device, INT64_MAX, rows, max, n, err);
}

/* ---- admission ---- */

static enum stamp_refusal refuse_state(enum stamp_registry_state state)
{
    switch (state) {
    case STAMP_REGISTRY_REVOKED:
        return STAMP_REFUSAL_REVOKED;
    case STAMP_REGISTRY_RETURNED:
    case STAMP_REGISTRY_SCRAPPED:
        return STAMP_REFUSAL_STATE;
    case STAMP_REGISTRY_RESERVED: /* has no birth key; a token may have let it in */
    case STAMP_REGISTRY_ISSUED:
    case STAMP_REGISTRY_STRUCK:
    case STAMP_REGISTRY_LABELLED:
    case STAMP_REGISTRY_SHIPPED:
    case STAMP_REGISTRY_ACTIVE:
    case STAMP_REGISTRY_RE_STRUCK:
    default:
        return STAMP_REFUSAL_NONE;
    }
}

void stamp_admitted_fini(struct stamp_admitted *a)
{
    free(a->certificate);
    memset(a, 0, sizeof *a);
}

/* Its certificate is the caller's from now on. */
static void fill(struct stamp_admitted *out, struct stamp_registry_row *row)
{
    out->device = row->id;
    memcpy(out->serial, row->serial, sizeof out->serial);
    memcpy(out->product, row->product, sizeof out->product);
    out->state = row->state;
    out->refusal = refuse_state(row->state);
    out->certificate = row->certificate;
    out->certificate_len = row->certificate_len;
    row->certificate = NULL;
}

static bool same(const struct stamp_peer *peer, const uint8_t *der, size_t len)
{
    return der != NULL && peer->len == len && memcmp(peer->der, der, len) == 0;
}

/* The key is none of the books': is its certificate for a serial that has another? */
static enum stamp_err refuse_unknown(struct stamp_registry *r,
                                     const struct stamp_peer *peer,
                                     struct stamp_admitted *out, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    enum stamp_err rc;

    out->refusal = STAMP_REFUSAL_UNKNOWN_KEY;
    if (peer->serial[0] == '\0') {
        return STAMP_OK;
    }
    rc = stamp_registry_find(r, peer->serial, &row, &why);
    if (rc == STAMP_OK) {
        fill(out, &row);
        out->refusal = STAMP_REFUSAL_FORGED;
        stamp_registry_row_fini(&row);
    } else if (rc != STAMP_E_MISSING) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    return STAMP_OK;
}

/* Which of the device's operational keys is it? The certificate says, where the key was
 * renewed; else the newest with that key. */
static enum stamp_err admit_operational(struct stamp_registry *r,
                                        const struct stamp_peer *peer,
                                        struct stamp_admitted *out,
                                        struct stamp_error *err)
{
    struct stamp_ldevid row[COUNT_MAX];
    struct rows rows = {.row = row, .max = COUNT_MAX, .device = out->device};
    const struct stamp_ldevid *found = NULL;
    bool exact = false;
    enum stamp_err rc = read_rows(r, STAMPI_LDEVID_OF, &rows, err);

    for (size_t i = 0; i < rows.n && !exact; i++) {
        const struct stamp_ldevid *l = &row[i];

        if (memcmp(l->fingerprint, peer->fingerprint, 32) == 0 &&
            (l->state == STAMP_LDEVID_PENDING || l->state == STAMP_LDEVID_CONFIRMED)) {
            exact = same(peer, l->certificate, l->certificate_len);
            found = found == NULL || exact ? l : found;
        }
    }
    if (rc == STAMP_OK && found == NULL) {
        out->refusal = STAMP_REFUSAL_RETIRED;
    } else if (rc == STAMP_OK && !exact && !peer->trusted) {
        out->refusal = STAMP_REFUSAL_UNTRUSTED;
    } else if (rc == STAMP_OK) {
        out->n = found->n;
        out->first_use = exact && found->state == STAMP_LDEVID_PENDING;
    }
    rows_fini(&rows);
    return rc;
}

enum stamp_err stamp_registry_admit(struct stamp_registry *r,
                                    const struct stamp_peer *peer,
                                    struct stamp_admitted *out, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    enum stamp_err rc = stamp_registry_find_key(r, peer->fingerprint, &row, &why);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_E_MISSING) {
        return refuse_unknown(r, peer, out, err);
    }
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    fill(out, &row);
    out->birth = memcmp(row.fingerprint, peer->fingerprint, 32) == 0;
    if (peer->serial[0] != '\0' && strcmp(peer->serial, row.serial) != 0) {
        out->refusal = STAMP_REFUSAL_FORGED; /* a booked key under another's name */
    } else if (out->refusal == STAMP_REFUSAL_NONE && !out->birth) {
        rc = admit_operational(r, peer, out, err);
    } else if (out->refusal == STAMP_REFUSAL_NONE && !peer->trusted &&
               !same(peer, out->certificate, out->certificate_len)) {
        out->refusal = STAMP_REFUSAL_UNTRUSTED;
    }
    stamp_registry_row_fini(&row);
    return rc;
}

static enum stamp_err find_serial(struct stamp_registry *r, const char *serial,
                                  struct stamp_admitted *out, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    enum stamp_err rc = stamp_registry_find(r, serial, &row, &why);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_E_MISSING) {
        out->refusal = STAMP_REFUSAL_UNKNOWN_SERIAL;
        return STAMP_OK;
    }
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    fill(out, &row);
    stamp_registry_row_fini(&row);
    return STAMP_OK;
}

enum stamp_err stamp_registry_admit_serial(struct stamp_registry *r, const char *serial,
                                           struct stamp_admitted *out,
                                           struct stamp_error *err)
{
    enum stamp_err rc = find_serial(r, serial, out, err);

    if (rc == STAMP_OK && out->refusal == STAMP_REFUSAL_NONE &&
        out->state == STAMP_REGISTRY_RESERVED) {
        out->refusal = STAMP_REFUSAL_STATE;
    }
    return rc;
}

static enum stamp_err take_serial(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    (void)err;
    stampi_get_text(&v[0], ctx, STAMP_SERIAL_SIZE);
    return STAMP_OK;
}

enum stamp_err stamp_registry_admit_device(struct stamp_registry *r, int64_t device,
                                           struct stamp_admitted *out,
                                           struct stamp_error *err)
{
    char serial[STAMP_SERIAL_SIZE] = "";
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_DEVICE_SERIAL, take_serial, serial, NULL,
                                   err, stampi_int(device));

    return rc == STAMP_OK ? find_serial(r, serial, out, err) : rc;
}

/* ---- a new key ---- */

/* Rows in which a key may still be used, but for the row `n`: retired. */
static enum stamp_err retire(struct stamp_registry *r, const struct rows *rows,
                             uint32_t n, bool confirmed, time_t now,
                             struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < rows->n && rc == STAMP_OK; i++) {
        const struct stamp_ldevid *l = &rows->row[i];
        bool counts = l->state == STAMP_LDEVID_INTENT ||
                      l->state == STAMP_LDEVID_PENDING ||
                      (confirmed && l->state == STAMP_LDEVID_CONFIRMED);

        if (counts && l->n != n) {
            rc = STAMPI_RUN(r, STAMPI_LDEVID_STATE, NULL, NULL, NULL, err,
                            stampi_int(STAMP_LDEVID_RETIRED), stampi_int((int64_t)now),
                            stampi_int(l->device), stampi_int(l->n));
        }
    }
    return rc;
}

static enum stamp_err become_active(struct stamp_registry *r,
                                    const struct stamp_admitted *a, time_t now,
                                    struct stamp_error *err)
{
    STAMPI_TALLY_AUTO tally = {0};
    const struct stamp_registry_change change = {.serial = a->serial,
                                                 .to = STAMP_REGISTRY_ACTIVE,
                                                 .at = now,
                                                 .why = "used its operational key"};
    enum stamp_err rc;

    if (!stamp_registry_may(a->state, STAMP_REGISTRY_ACTIVE)) {
        return STAMP_OK;
    }
    rc = stampi_change(r, &change, 1, NULL, &tally, err);
    return rc == STAMP_OK ? stampi_tally_write(r, &tally, err) : rc;
}

enum stamp_err stamp_registry_ldevid_use(struct stamp_registry *r,
                                         const struct stamp_admitted *a, time_t now,
                                         struct stamp_error *err)
{
    struct stamp_ldevid row[COUNT_MAX];
    struct rows rows = {.row = row, .max = COUNT_MAX, .device = a->device};
    enum stamp_err rc = read_rows(r, STAMPI_LDEVID_OF, &rows, err);

    if (rc == STAMP_OK) {
        rc = retire(r, &rows, a->n, true, now, err);
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_LDEVID_STATE, NULL, NULL, NULL, err,
                        stampi_int(STAMP_LDEVID_CONFIRMED), stampi_int((int64_t)now),
                        stampi_int(a->device), stampi_int(a->n));
    }
    if (rc == STAMP_OK) {
        rc = stampi_leaf_operational(r, a->device, a->n, STAMP_LDEVID_CONFIRMED,
                                     (int64_t)now, (struct stamp_slice){NULL, 0}, err);
    }
    if (rc == STAMP_OK) {
        rc = become_active(r, a, now, err);
    }
    rows_fini(&rows);
    return rc;
}

/* Whose is the key? No key is two devices', nor a device's birth key and another. */
static enum stamp_err claim(struct stamp_registry *r,
                            const struct stamp_ldevid_asked *asked,
                            enum stamp_refusal *refusal, struct stamp_error *err)
{
    int64_t changed = 0;
    int64_t owner = 0;
    int64_t retired = 0;
    struct stampi_value key = stampi_blob(asked->fingerprint, 32);
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_KEY_CLAIM, NULL, NULL, &changed, err, key,
                                   stampi_int(asked->device));

    if (rc != STAMP_OK || changed == 1) {
        return rc;
    }
    rc = STAMPI_RUN(r, STAMPI_KEY_OWNER, stampi_take_number, &owner, NULL, err, key);
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_LDEVID_RETIRED, stampi_take_number, &retired, NULL, err,
                        stampi_int(asked->device), key);
    }
    if (rc == STAMP_OK) {
        *refusal = owner == asked->device && retired > 0 ? STAMP_REFUSAL_RETIRED
                                                         : STAMP_REFUSAL_KEY_TAKEN;
    }
    return rc;
}

/* Of a device's rows. */
struct past {
    int64_t last; /* the highest number */
    bool often;   /* as many as may be were made in the last hour */
};

static enum stamp_err take_past(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct past *past = ctx;

    (void)err;
    past->last = v[0].number;
    past->often = v[1].type == STAMPI_INT && v[1].number != 0;
    return STAMP_OK;
}

static enum stamp_err add(struct stamp_registry *r,
                          const struct stamp_ldevid_asked *asked, uint32_t n,
                          struct stamp_ldevid *out, struct stamp_error *err)
{
    struct stampi_value serial =
        stampi_blob(asked->certificate_serial, sizeof asked->certificate_serial);
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_LDEVID_ADD, NULL, NULL, NULL, err, stampi_int(asked->device),
                   stampi_int(n), stampi_blob(asked->fingerprint, 32), serial,
                   stampi_int((int64_t)asked->now), stampi_int((int64_t)asked->now),
                   stampi_int((int64_t)asked->not_after), stampi_text(asked->who));

    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_CERTIFICATE_CLAIM, NULL, NULL, NULL, err, serial,
                        stampi_int(asked->device), stampi_int(n));
    }
    out->device = asked->device;
    out->n = n;
    out->state = STAMP_LDEVID_INTENT;
    memcpy(out->fingerprint, asked->fingerprint, 32);
    memcpy(out->certificate_serial, asked->certificate_serial,
           sizeof out->certificate_serial);
    out->at = out->changed_at = out->not_before = asked->now;
    out->not_after = asked->not_after;
    return rc;
}

/* A row with the same key that is as good as a new one: taken out of `rows`. One that is
 * not valid yet is of a clock that was set back since. */
static bool find_again(struct rows *rows, const struct stamp_ldevid_asked *asked,
                       bool *has_key, struct stamp_ldevid *out)
{
    *has_key = false;
    for (size_t i = 0; i < rows->n; i++) {
        struct stamp_ldevid *l = &rows->row[i];

        if (l->state == STAMP_LDEVID_RETIRED ||
            memcmp(l->fingerprint, asked->fingerprint, 32) != 0) {
            continue;
        }
        *has_key = true;
        if (l->not_after >= asked->renew_before && l->not_before <= asked->now + AHEAD &&
            (l->state != STAMP_LDEVID_INTENT || l->at > asked->now - DAY)) {
            *out = *l;
            l->certificate = NULL;
            return true;
        }
    }
    return false;
}

enum stamp_err stamp_registry_ldevid_begin(struct stamp_registry *r,
                                           const struct stamp_ldevid_asked *asked,
                                           enum stamp_refusal *refusal,
                                           struct stamp_ldevid *out,
                                           struct stamp_error *err)
{
    struct stamp_ldevid row[COUNT_MAX];
    struct rows rows = {.row = row, .max = COUNT_MAX, .device = asked->device};
    struct past past = {0, false};
    bool has_key;
    enum stamp_err rc = read_rows(r, STAMPI_LDEVID_OF, &rows, err);

    memset(out, 0, sizeof *out);
    *refusal = STAMP_REFUSAL_NONE;
    if (rc != STAMP_OK || find_again(&rows, asked, &has_key, out)) {
        rows_fini(&rows);
        return rc;
    }
    rc = STAMPI_RUN(r, STAMPI_LDEVID_LAST, take_past, &past, NULL, err,
                    stampi_int((int64_t)asked->now - HOUR),
                    stampi_int((int64_t)asked->per_hour - 1), stampi_int(asked->device));
    if (rc == STAMP_OK && (past.often || asked->per_hour == 0)) {
        *refusal = STAMP_REFUSAL_RATE;
    }
    if (rc == STAMP_OK && *refusal == STAMP_REFUSAL_NONE && !has_key) {
        rc = claim(r, asked, refusal, err);
    }
    if (rc == STAMP_OK && *refusal == STAMP_REFUSAL_NONE) {
        rc = retire(r, &rows, 0, false, asked->now, err);
    }
    if (rc == STAMP_OK && *refusal == STAMP_REFUSAL_NONE) {
        rc = add(r, asked, (uint32_t)past.last + 1, out, err);
    }
    rows_fini(&rows);
    return rc;
}

enum stamp_err stamp_registry_ldevid_certify(struct stamp_registry *r, int64_t device,
                                             uint32_t n, struct stamp_slice certificate,
                                             bool *kept, struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_LDEVID_CERTIFY, NULL, NULL, &changed, err,
                                   stampi_blob(certificate.p, certificate.len),
                                   stampi_int(device), stampi_int(n));

    *kept = rc == STAMP_OK && changed == 1;
    return *kept ? stampi_leaf_operational(r, device, n, STAMP_LDEVID_PENDING,
                                           (int64_t)time(NULL), certificate, err)
                 : rc;
}

struct owner {
    int64_t device;
    uint32_t n;
};

static enum stamp_err take_owner(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct owner *o = ctx;

    (void)err;
    o->device = v[0].number;
    o->n = (uint32_t)v[1].number;
    return STAMP_OK;
}

enum stamp_err stamp_registry_certificate_owner(
    struct stamp_registry *r,
    const uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE], int64_t *device,
    uint32_t *n, struct stamp_error *err)
{
    struct owner owner = {0, 0};
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_CERTIFICATE_OWNER, take_owner, &owner, NULL, err,
                   stampi_blob(certificate_serial, STAMP_CERTIFICATE_SERIAL_SIZE));

    *device = owner.device;
    *n = owner.n;
    return rc;
}
