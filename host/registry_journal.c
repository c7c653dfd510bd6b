#include "host/registry_journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_own.h"

enum { PAGE = 64 };

/* ---- taking in ---- */

struct others {
    const uint8_t *hash;
    bool same, other;
};

static enum stamp_err compare(void *ctx, const struct stampi_value *v,
                              struct stamp_error *err)
{
    struct others *o = ctx;
    bool is = v[0].len == STAMP_JOURNAL_HASH &&
              memcmp(v[0].p, o->hash, STAMP_JOURNAL_HASH) == 0;

    (void)err;
    o->same = o->same || is;
    o->other = o->other || !is;
    return STAMP_OK;
}

static enum stamp_err put_entry(struct stamp_registry *r, const uint8_t station[32],
                                struct stamp_slice body,
                                struct stamp_journal_stored *counts,
                                struct stamp_error *err)
{
    struct stamp_journal_entry e;
    uint8_t hash[STAMP_JOURNAL_HASH];
    struct others others = {.hash = hash};
    enum stamp_err rc = stamp_journal_entry_decode(body, &e, err);

    if (rc == STAMP_OK) {
        rc = stamp_journal_entry_hash(body, hash, err);
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_JOURNAL_AT, compare, &others, NULL, err,
                        stampi_blob(station, 32), stampi_int(e.seq));
    }
    if (rc == STAMP_OK && !others.same) {
        rc = STAMPI_RUN(r, STAMPI_JOURNAL_ADD, NULL, NULL, NULL, err,
                        stampi_blob(station, 32), stampi_int(e.seq),
                        stampi_blob(hash, sizeof hash), stampi_blob(body.p, body.len));
        counts->forks += others.other;
        counts->added += !others.other;
    } else if (rc == STAMP_OK) {
        counts->known++;
    }
    return rc;
}

static enum stamp_err put(struct stamp_registry *r, const struct stamp_journal_part *part,
                          struct stamp_journal_stored *counts, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < part->n && rc == STAMP_OK; i++) {
        rc = put_entry(r, part->station, part->entry[i], counts, err);
    }
    return rc == STAMP_OK
               ? STAMPI_RUN(r, STAMPI_JOURNAL_HEAD, NULL, NULL, NULL, err,
                            stampi_blob(part->station, 32), stampi_int(part->head),
                            stampi_blob(part->head_hash, sizeof part->head_hash))
               : rc;
}

enum stamp_err stamp_registry_journal_put(struct stamp_registry *r,
                                          const struct stamp_journal_part *part,
                                          struct stamp_journal_stored *counts,
                                          struct stamp_error *err)
{
    struct stamp_journal_stored sum = *counts;
    enum stamp_err rc = stampi_begin(r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_finish(r, put(r, part, &sum, err), err);
    if (rc == STAMP_OK) {
        *counts = sum;
    }
    return rc;
}

/* ---- what is there ---- */

struct listing {
    struct stamp_journal_have *have;
    size_t n, room;
};

/* station, entries, last, head, all of them with forks */
static enum stamp_err take_have(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct listing *l = ctx;
    struct stamp_journal_have *h = &l->have[l->n];

    (void)err;
    if (l->n == l->room) {
        return STAMP_OK;
    }
    l->n++;
    memset(h, 0, sizeof *h);
    stampi_get_blob(&v[0], h->station, sizeof h->station);
    h->entries = (uint32_t)v[1].number;
    h->last = (uint32_t)v[2].number;
    h->head = (uint32_t)v[3].number;
    h->forks = (uint32_t)(v[4].number - v[1].number);
    return STAMP_OK;
}

static enum stamp_err first_missing(struct stamp_registry *r,
                                    struct stamp_journal_have *have,
                                    struct stamp_error *err)
{
    int64_t want = 1;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_JOURNAL_GAP, stampi_take_number, &want, NULL,
                                   err, stampi_blob(have->station, sizeof have->station));

    have->missing = want <= have->head || want <= have->last ? (uint32_t)want : 0;
    return rc;
}

enum stamp_err stamp_registry_journal_list(struct stamp_registry *r,
                                           struct stamp_journal_have *have, size_t *n,
                                           struct stamp_error *err)
{
    struct listing l = {have, 0, *n};
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_JOURNAL_LIST, take_have, &l, NULL, err,
                                   stampi_int((int64_t)*n));

    *n = rc == STAMP_OK ? l.n : 0;
    for (size_t i = 0; i < *n && rc == STAMP_OK; i++) {
        rc = first_missing(r, &have[i], err);
    }
    return rc;
}

/* A page of entries, since whoever is told of one may ask the books, too. */
struct page {
    struct {
        uint8_t *p;
        size_t len;
    } body[PAGE];
    size_t n;
    int64_t seq;
    uint8_t hash[STAMP_JOURNAL_HASH];
};

/* seq, hash, body */
static enum stamp_err take_entry(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct page *p = ctx;
    uint8_t *copy = v[2].len == 0 ? NULL : malloc(v[2].len);

    if (copy == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(copy, v[2].p, v[2].len);
    p->body[p->n].p = copy;
    p->body[p->n++].len = v[2].len;
    p->seq = v[0].number;
    stampi_get_blob(&v[1], p->hash, sizeof p->hash);
    return STAMP_OK;
}

static enum stamp_err tell_page(struct page *p, stamp_journal_each each, void *ctx,
                                struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < p->n && rc == STAMP_OK; i++) {
        struct stamp_slice body = {p->body[i].p, p->body[i].len};
        struct stamp_journal_entry e;

        rc = stamp_journal_entry_decode(body, &e, err);
        if (rc == STAMP_OK) {
            rc = each(ctx, body, &e, err);
        }
    }
    return rc;
}

enum stamp_err stamp_registry_journal_each(struct stamp_registry *r,
                                           const uint8_t station[32], uint32_t from,
                                           stamp_journal_each each, void *ctx,
                                           struct stamp_error *err)
{
    struct page p = {.n = PAGE, .seq = (int64_t)from - 1};
    enum stamp_err rc = STAMP_OK;

    memset(p.hash, 0xFF, sizeof p.hash);
    while (rc == STAMP_OK && p.n == PAGE) {
        uint8_t hash[STAMP_JOURNAL_HASH];

        memcpy(hash, p.hash, sizeof hash);
        p.n = 0;
        rc = STAMPI_RUN(r, STAMPI_JOURNAL_PAGE, take_entry, &p, NULL, err,
                        stampi_blob(station, 32), stampi_int(p.seq),
                        stampi_blob(hash, sizeof hash), stampi_int(PAGE));
        if (rc == STAMP_OK) {
            rc = tell_page(&p, each, ctx, err);
        }
        for (size_t i = 0; i < p.n; i++) {
            free(p.body[i].p);
        }
    }
    return rc;
}

/* ---- devices that came back ---- */

enum stamp_err stamp_registry_journal_device(struct stamp_registry *r,
                                             const struct stamp_journal_device *device,
                                             struct stamp_error *err)
{
    uint8_t digest[32];
    enum stamp_err rc;

    if (EVP_Digest(device->certificate, device->certificate_len, digest, NULL,
                   stamp_sha256(), NULL) != 1) {
        return stamp_openssl_failed(err, "cannot hash a certificate");
    }
    rc = stampi_begin(r, err);
    return rc == STAMP_OK
               ? stampi_finish(
                     r,
                     STAMPI_RUN(r, STAMPI_JOURNAL_DEVICE_PUT, NULL, NULL, NULL, err,
                                stampi_blob(digest, sizeof digest),
                                stampi_blob(device->certificate, device->certificate_len),
                                stampi_blob(device->chip, device->chip_len),
                                stampi_int(device->lock),
                                stampi_int((int64_t)device->at)),
                     err)
               : rc;
}

struct returned {
    stamp_journal_device_each each;
    void *ctx;
    struct stamp_journal_device d;
};

static bool take_blob(const struct stampi_value *v, uint8_t *out, size_t size,
                      size_t *len)
{
    *len = v->len;
    if (v->len > size) {
        return false;
    }
    if (v->len > 0) {
        memcpy(out, v->p, v->len);
    }
    return true;
}

/* certificate, chip, locked, at */
static enum stamp_err take_device(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    struct returned *t = ctx;

    if (!take_blob(&v[0], t->d.certificate, sizeof t->d.certificate,
                   &t->d.certificate_len) ||
        !take_blob(&v[1], t->d.chip, sizeof t->d.chip, &t->d.chip_len)) {
        return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                               "the books hold a device that came back and is too long");
    }
    t->d.lock = (uint8_t)v[2].number;
    t->d.at = (uint64_t)v[3].number;
    return t->each(t->ctx, &t->d, err);
}

enum stamp_err stamp_registry_journal_devices(struct stamp_registry *r,
                                              stamp_journal_device_each each, void *ctx,
                                              struct stamp_error *err)
{
    struct returned t = {.each = each, .ctx = ctx};

    return STAMPI_RUN(r, STAMPI_JOURNAL_DEVICES, take_device, &t, NULL, err,
                      stampi_int(0));
}
