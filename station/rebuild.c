#include "station/rebuild.h"

#include <errno.h>
#include <openssl/x509.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/pki.h"
#include "host/returned.h"
#include "host/station_cert.h"
#include "host/workspace_home.h"

#define LOST "lost with the journal"

/* ---- the file ---- */

struct restore {
    sqlite3 *db;
    sqlite3_stmt *add;
    const char *path;
    uint32_t seq;
    uint8_t hash[STAMP_JOURNAL_HASH];
    uint64_t at; /* of the last entry */
};

static enum stamp_err failed(struct restore *r, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_DATABASE, sqlite3_extended_errcode(r->db),
                           "cannot write '%s': %s", r->path, sqlite3_errmsg(r->db));
}

static enum stamp_err restore_begin(struct restore *r, struct stamp_error *err)
{
    mode_t mask;
    enum stamp_err rc = STAMP_OK;

    if (access(r->path, F_OK) == 0) {
        return stamp_error_set(err, STAMP_E_EXISTS, 0, "'%s' is there already", r->path);
    }
    mask = umask(077);
    if (sqlite3_open(r->path, &r->db) != SQLITE_OK ||
        sqlite3_exec(r->db,
                     "PRAGMA synchronous = FULL; BEGIN;"
                     "CREATE TABLE entry (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) "
                     "STRICT",
                     NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, "INSERT INTO entry (seq, body) VALUES (?, ?)", -1,
                           &r->add, NULL) != SQLITE_OK) {
        rc = failed(r, err);
    }
    (void)umask(mask);
    return rc;
}

static enum stamp_err restore_body(struct restore *r, struct stamp_slice body,
                                   struct stamp_error *err)
{
    (void)sqlite3_reset(r->add);
    if (sqlite3_bind_int64(r->add, 1, r->seq + 1) != SQLITE_OK ||
        sqlite3_bind_blob(r->add, 2, body.p, (int)body.len, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_step(r->add) != SQLITE_DONE) {
        return failed(r, err);
    }
    r->seq++;
    return stamp_journal_entry_hash(body, r->hash, err);
}

static enum stamp_err restore_entry(struct restore *r, struct stamp_journal_entry *e,
                                    struct stamp_error *err)
{
    uint8_t buf[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_slice body = {buf, 0};
    enum stamp_err rc;

    e->seq = r->seq + 1;
    e->at = r->at;
    memcpy(e->previous, r->hash, sizeof e->previous);
    rc = stamp_journal_entry_encode(e, buf, &body.len, err);
    return rc == STAMP_OK ? restore_body(r, body, err) : rc;
}

/* All of it, or no file. */
static enum stamp_err restore_end(struct restore *r, enum stamp_err rc,
                                  struct stamp_error *err)
{
    if (r->db == NULL) {
        return rc;
    }
    if (rc == STAMP_OK && sqlite3_exec(r->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        rc = failed(r, err);
    }
    (void)sqlite3_finalize(r->add);
    (void)sqlite3_close(r->db);
    if (rc != STAMP_OK) {
        (void)unlink(r->path);
    }
    return rc;
}

/* ---- what is known of units ---- */

struct unit {
    bool begun;
    bool certified;
    bool given_up; /* scrapped, or reworked */
    bool done;
    bool struck;
    const struct stamp_journal_device *device; /* that came back */
};

struct known {
    struct stamp_registry_order order;
    uint32_t counted; /* units that were begun, at least */
    struct unit *unit;
};

struct returned {
    struct stamp_journal_device is;
    struct stamp_registry_order order;
    uint32_t index;
};

struct rebuild {
    const struct stamp_rebuild_setup *setup;
    struct restore to;
    X509 *ca; /* the station's */
    struct known known[STAMP_REBUILD_ORDERS];
    size_t n_known;
    struct returned *device;
    size_t n_devices;
    struct stamp_rebuilt *out;
};

static enum stamp_err know(struct rebuild *b, const struct stamp_registry_order *order,
                           struct known **out, struct stamp_error *err)
{
    struct known *k = NULL;

    for (size_t i = 0; i < b->n_known; i++) {
        if (memcmp(b->known[i].order.id, order->id, sizeof order->id) == 0) {
            k = &b->known[i];
        }
    }
    if (k == NULL && b->n_known == STAMP_REBUILD_ORDERS) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "the station worked under more than %u orders",
                               STAMP_REBUILD_ORDERS);
    }
    if (k == NULL) {
        k = &b->known[b->n_known];
        k->order = *order;
        k->unit = calloc(order->batch.count, sizeof *k->unit);
        if (k->unit == NULL) {
            return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        b->n_known++;
    }
    *out = k;
    return STAMP_OK;
}

static void count_to(struct known *k, uint32_t n)
{
    k->counted = n > k->counted ? n : k->counted;
}

static void follow(struct unit *u, enum stamp_journal_kind kind)
{
    u->begun = true;
    u->certified |= kind == STAMP_JOURNAL_CERTIFICATE;
    u->struck |= kind == STAMP_JOURNAL_STRUCK;
    u->done |= kind == STAMP_JOURNAL_DONE;
    u->given_up |= kind == STAMP_JOURNAL_SCRAPPED || kind == STAMP_JOURNAL_REWORK;
}

static enum stamp_err take_exported(void *ctx, struct stamp_slice body,
                                    const struct stamp_journal_entry *e,
                                    struct stamp_error *err)
{
    struct rebuild *b = ctx;
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_registry_order order;
    struct known *k;
    enum stamp_err rc;

    if (e->seq != b->to.seq + 1) {
        return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                               e->seq == b->to.seq
                                   ? "there are two entries %u: which one counts is for "
                                     "people to say"
                                   : "entry %u is the first behind a gap",
                               e->seq);
    }
    b->to.at = e->at;
    b->out->exported++;
    rc = restore_body(&b->to, body, err);
    if (rc != STAMP_OK || !e->has_unit) {
        return rc;
    }
    rc = stamp_registry_order_find(b->setup->ws->registry, e->order, &order, &why);
    if (rc == STAMP_E_MISSING) { /* of no order here: the entry stays as it is */
        return STAMP_OK;
    }
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    rc = know(b, &order, &k, err);
    if (rc == STAMP_OK && e->index < order.batch.count) {
        count_to(k, e->index + 1);
        follow(&k->unit[e->index], e->kind);
    }
    return rc;
}

/* A device of this station. Others that came back are passed over. */
static enum stamp_err take_device(void *ctx, const struct stamp_journal_device *d,
                                  struct stamp_error *err)
{
    struct rebuild *b = ctx;
    struct stamp_slice der = {d->certificate, d->certificate_len};
    struct returned r = {.is = *d};
    struct returned *more;
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc =
        stamp_returned_order(b->setup->ws->registry, der, &r.order, &r.index, &why);

    if (rc == STAMP_E_MISSING) {
        return STAMP_OK;
    }
    rc = rc == STAMP_OK ? stamp_pki_decode(der, &cert, err)
                        : stamp_error_set(err, rc, why.native, "%s", why.what);
    if (rc != STAMP_OK || memcmp(r.order.station, b->setup->station, 32) != 0 ||
        r.index >= r.order.batch.count ||
        (X509_verify(cert, X509_get0_pubkey(b->ca)) != 1 &&
         X509_verify(cert, X509_get0_pubkey(b->setup->ws->sub_ca)) != 1)) {
        return rc;
    }
    more = realloc(b->device, (b->n_devices + 1) * sizeof *more);
    if (more == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    b->device = more;
    more[b->n_devices++] = r;
    return STAMP_OK;
}

/* Behind the exports, so that `device` grows no more. */
static enum stamp_err place_devices(struct rebuild *b, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < b->n_devices && rc == STAMP_OK; i++) {
        const struct returned *r = &b->device[i];
        struct known *k;

        rc = know(b, &r->order, &k, err);
        if (rc == STAMP_OK) {
            k->unit[r->index].device = &r->is;
            count_to(k, r->index + 1);
        }
    }
    for (size_t i = 0; i < b->setup->n_counts && rc == STAMP_OK; i++) {
        const struct stamp_rebuild_count *c = &b->setup->count[i];
        struct known *k;

        if (memcmp(c->order.station, b->setup->station, 32) != 0 ||
            c->counted > c->order.batch.count) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "order %s is of another station, or has less than %u "
                                   "units",
                                   c->order.batch.name, c->counted);
        }
        rc = know(b, &c->order, &k, err);
        if (rc == STAMP_OK) {
            count_to(k, c->counted);
        }
    }
    return rc;
}

/* ---- entries behind the exported ones ---- */

static enum stamp_err add(struct rebuild *b, const struct known *k, uint32_t index,
                          enum stamp_journal_kind kind, struct stamp_slice data,
                          struct stamp_error *err)
{
    const struct stamp_journal_device *d = k->unit[index].device;
    struct stamp_journal_entry e = {
        .kind = kind, .has_unit = true, .index = index, .data = data};

    memcpy(e.order, k->order.id, sizeof e.order);
    if (kind == STAMP_JOURNAL_BEGIN && d != NULL) {
        e.chip = (struct stamp_slice){d->chip, d->chip_len};
    } else if (kind == STAMP_JOURNAL_SCRAPPED) {
        e.why = (struct stamp_slice){(const uint8_t *)LOST, sizeof LOST - 1};
    }
    return restore_entry(&b->to, &e, err);
}

static enum stamp_err add_device(struct rebuild *b, const struct known *k, uint32_t index,
                                 struct stamp_error *err)
{
    const struct unit *u = &k->unit[index];
    const struct stamp_journal_device *d = u->device;
    const struct stamp_slice none = {NULL, 0};
    enum stamp_err rc = STAMP_OK;

    b->out->devices++;
    if (!u->certified) {
        rc = add(b, k, index, STAMP_JOURNAL_CERTIFICATE,
                 (struct stamp_slice){d->certificate, d->certificate_len}, err);
    }
    if (rc == STAMP_OK && !u->struck) {
        rc = add(b, k, index, STAMP_JOURNAL_STRUCK, none, err);
    }
    if (rc == STAMP_OK && d->lock != 0) {
        rc = add(b, k, index, STAMP_JOURNAL_LOCKED, (struct stamp_slice){&d->lock, 1},
                 err);
    }
    if (rc == STAMP_OK && (d->lock != 0 || k->order.lock_later)) {
        rc = add(b, k, index, STAMP_JOURNAL_DONE, (struct stamp_slice){&d->lock, 1}, err);
    }
    return rc;
}

static enum stamp_err add_unit(struct rebuild *b, const struct known *k, uint32_t index,
                               struct stamp_error *err)
{
    const struct unit *u = &k->unit[index];
    const struct stamp_slice none = {NULL, 0};
    bool known = u->done || u->given_up || (u->certified && u->device == NULL);
    enum stamp_err rc = STAMP_OK;

    if (!known && !u->begun) {
        rc = add(b, k, index, STAMP_JOURNAL_BEGIN, none, err);
    }
    if (rc == STAMP_OK && !known && u->device != NULL) {
        rc = add_device(b, k, index, err);
    } else if (rc == STAMP_OK && !known) {
        b->out->lost++;
        rc = add(b, k, index, STAMP_JOURNAL_SCRAPPED, none, err);
    }
    return rc;
}

static enum stamp_err add_units(struct rebuild *b, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < b->n_known && rc == STAMP_OK; i++) {
        const struct known *k = &b->known[i];

        b->to.at = b->to.at > 0 ? b->to.at : (uint64_t)k->order.batch.at;
        for (uint32_t n = 0; n < k->counted && rc == STAMP_OK; n++) {
            rc = add_unit(b, k, n, err);
        }
    }
    return rc;
}

static enum stamp_err load_ca(struct rebuild *b, struct stamp_error *err)
{
    struct stamp_station_cert cert;
    char path[PATH_MAX];
    enum stamp_err rc =
        stamp_workspace_station(b->setup->ws, b->setup->station, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_station_cert_load(path, &cert, err);
    }
    if (rc == STAMP_OK) {
        b->ca = cert.cert[STAMP_STATION_CA];
        X509_up_ref(b->ca);
        stamp_station_cert_fini(&cert);
    }
    return rc;
}

enum stamp_err stamp_rebuild(const struct stamp_rebuild_setup *setup,
                             struct stamp_rebuilt *out, struct stamp_error *err)
{
    struct rebuild *b = calloc(1, sizeof *b);
    enum stamp_err rc;

    *out = (struct stamp_rebuilt){0};
    if (b == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    b->setup = setup;
    b->out = out;
    b->to.path = setup->path;
    rc = load_ca(b, err);
    if (rc == STAMP_OK) {
        rc = stamp_registry_journal_devices(setup->ws->registry, take_device, b, err);
    }
    if (rc == STAMP_OK) {
        rc = restore_begin(&b->to, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_journal_each(setup->ws->registry, setup->station, 1,
                                         take_exported, b, err);
    }
    if (rc == STAMP_OK) {
        rc = place_devices(b, err);
    }
    if (rc == STAMP_OK) {
        rc = add_units(b, err);
    }
    rc = restore_end(&b->to, rc, err);
    for (size_t i = 0; i < b->n_known; i++) {
        free(b->known[i].unit);
    }
    free(b->device);
    X509_free(b->ca);
    free(b);
    return rc;
}
