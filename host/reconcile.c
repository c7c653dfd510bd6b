#include "host/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/hex.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/registry_order.h"
#include "host/station_cert.h"
#include "host/workspace_home.h"

enum { TEXT_MAX = 400, STATIONS_MAX = 256, ADMIT_MAX = 128, POP_MAX = 160 };

struct teller {
    stamp_reconcile_tell tell;
    void *ctx;
    struct stamp_reconciled *r;
};

static void say(struct teller *t, bool problem, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct teller *t, bool problem, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    t->r->problems += problem;
    t->tell(t->ctx, text);
}

static void name_of(const uint8_t station[32], char out[17])
{
    stamp_hex(station, 8, out);
}

static enum stamp_err load_station(const struct stamp_workspace *ws,
                                   const uint8_t station[32],
                                   struct stamp_station_cert *cert,
                                   struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc = stamp_workspace_station(ws, station, path, err);

    if (rc == STAMP_OK && access(path, F_OK) != 0) {
        rc = stamp_error_set(err, STAMP_E_MISSING, errno,
                             "a journal of a station that was never enrolled here");
    }
    return rc == STAMP_OK ? stamp_station_cert_load(path, cert, err) : rc;
}

/* ---- taking in ---- */

static enum stamp_err whose(void *ctx, const uint8_t station[32], X509 **journal,
                            struct stamp_error *err)
{
    struct stamp_station_cert cert;
    enum stamp_err rc = load_station(ctx, station, &cert, err);

    *journal = NULL;
    if (rc == STAMP_OK) {
        *journal = cert.cert[STAMP_STATION_JOURNAL];
        X509_up_ref(*journal);
        stamp_station_cert_fini(&cert);
    }
    return rc;
}

static enum stamp_err take_parts(const struct stamp_workspace *ws,
                                 struct stamp_journal_store *store, EVP_PKEY *home,
                                 const char *path, struct stamp_slice in,
                                 struct teller *t, struct stamp_error *err)
{
    static struct stamp_journal_part part;
    enum stamp_err rc = STAMP_OK;

    for (unsigned n = 1; in.len > 0 && rc == STAMP_OK; n++) {
        struct stamp_error why = STAMP_ERROR_INIT;
        struct stamp_buffer plain;
        size_t used;
        enum stamp_err opened = stamp_journal_part_open(
            in, home, whose, (void *)(uintptr_t)ws, &used, &plain, &part, &why);

        if (opened != STAMP_OK) {
            t->r->damaged++;
            say(t, true, "%s, part %u: %s%s", path, n, why.what,
                used == 0 ? "; the file ends there" : "");
            if (used == 0) {
                break;
            }
        } else {
            rc = stamp_journal_store_put(store, &part, &t->r->stored, err);
            t->r->parts++;
            stamp_buffer_free(&plain);
        }
        in.p += used;
        in.len -= used;
    }
    return rc;
}

enum stamp_err stamp_reconcile_take(const struct stamp_workspace *ws,
                                    struct stamp_journal_store *store, EVP_PKEY *home,
                                    const char *path, stamp_reconcile_tell tell,
                                    void *ctx, struct stamp_reconciled *r,
                                    struct stamp_error *err)
{
    struct teller t = {tell, ctx, r};
    struct stat st;
    void *map = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum stamp_err rc;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (map == MAP_FAILED) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot read '%s': %s", path,
                             fd < 0 ? strerror(errno) : "it is empty");
    } else {
        rc = take_parts(ws, store, home, path,
                        (struct stamp_slice){map, (size_t)st.st_size}, &t, err);
        (void)munmap(map, (size_t)st.st_size);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

/* ---- comparing ---- */

struct unit {
    enum stamp_journal_kind last;
    bool failed;
    bool locked;
    uint64_t at;
    uint8_t chip[STAMP_JOURNAL_CHIP_MAX];
    size_t chip_len;
    uint8_t *certificate;
    size_t certificate_len;
    uint8_t pop[POP_MAX];
    size_t pop_len;
    char why[STAMP_JOURNAL_TEXT_MAX + 1];
};

struct order {
    struct stamp_registry_order is;
    bool known;
    bool foreign; /* of another station: said already */
    uint32_t beyond;
    struct unit *unit;
    struct order *next;
};

struct walk {
    const struct stamp_workspace *ws;
    struct teller t;
    const struct stamp_journal_have *have;
    struct stamp_station_cert cert;
    char station[17];
    struct order *orders;
    uint32_t seq;
    uint8_t hash[STAMP_JOURNAL_HASH];
};

static struct order *find_order(struct walk *w, const uint8_t id[16])
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct order *o;

    for (o = w->orders; o != NULL; o = o->next) {
        if (memcmp(o->is.id, id, 16) == 0) {
            return o;
        }
    }
    o = calloc(1, sizeof *o);
    if (o == NULL) {
        return NULL;
    }
    o->known = stamp_registry_order_find(w->ws->registry, id, &o->is, &err) == STAMP_OK;
    memcpy(o->is.id, id, 16);
    if (!o->known) {
        say(&w->t, true, "station %s: %s", w->station, err.what);
    } else {
        o->unit = calloc(o->is.batch.count, sizeof *o->unit);
        if (o->unit == NULL) {
            free(o);
            return NULL;
        }
    }
    o->next = w->orders;
    w->orders = o;
    return o;
}

static void free_orders(struct walk *w)
{
    while (w->orders != NULL) {
        struct order *o = w->orders;

        w->orders = o->next;
        for (uint32_t i = 0; o->unit != NULL && i < o->is.batch.count; i++) {
            free(o->unit[i].certificate);
        }
        free(o->unit);
        free(o);
    }
}

static void refused(void *ctx, const struct stamp_registry_unit *unit, const char *why)
{
    struct walk *w = ctx;

    w->t.r->refused++;
    say(&w->t, true, "station %s: unit %u (%s) is refused: %s", w->station, unit->index,
        unit->serial, why);
}

static void chip_text(const struct unit *u, char out[2 * STAMP_JOURNAL_CHIP_MAX + 1])
{
    for (size_t i = 0; i < u->chip_len; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", u->chip[i]);
    }
    out[2 * u->chip_len] = '\0';
}

/* Is it this station's, with the number that its index has, for the index's serial? */
static const char *check_certificate(const struct walk *w, const struct order *o,
                                     uint32_t index, X509 *cert, const char *serial)
{
    uint8_t want[STAMP_CERTIFICATE_SERIAL_SIZE];
    char name[STAMP_SERIAL_SIZE];
    const ASN1_INTEGER *number = X509_get0_serialNumber(cert);

    stamp_registry_batch_serial(&o->is.batch, index, want);
    if (X509_verify(cert, X509_get0_pubkey(w->cert.cert[STAMP_STATION_CA])) != 1) {
        return "its certificate is not signed by its station";
    }
    if (ASN1_STRING_length(number) != (int)sizeof want ||
        memcmp(ASN1_STRING_get0_data(number), want, sizeof want) != 0) {
        return "its certificate has not the number of its index";
    }
    return stamp_pki_serial(cert, name, sizeof name, NULL) == STAMP_OK &&
                   strcmp(name, serial) == 0
               ? NULL
               : "its certificate is for another serial";
}

static enum stamp_registry_state state_of(const struct unit *u)
{
    switch (u->last) {
    case STAMP_JOURNAL_SCRAPPED:
        return STAMP_REGISTRY_SCRAPPED;
    case STAMP_JOURNAL_REWORK: /* its chip gets another stamp */
        return STAMP_REGISTRY_REVOKED;
    case STAMP_JOURNAL_STRUCK:
    case STAMP_JOURNAL_POP:
    case STAMP_JOURNAL_LOCKED:
    case STAMP_JOURNAL_DONE:
        return STAMP_REGISTRY_STRUCK;
    case STAMP_JOURNAL_OPEN:
    case STAMP_JOURNAL_ORDER:
    case STAMP_JOURNAL_BEGIN:
    case STAMP_JOURNAL_INTENT:
    case STAMP_JOURNAL_CERTIFICATE:
    case STAMP_JOURNAL_FAILED:
    case STAMP_JOURNAL_PAUSE:
    case STAMP_JOURNAL_RESUME:
    case STAMP_JOURNAL_CHECKPOINT:
    case STAMP_JOURNAL_PUT:
    default:
        return STAMP_REGISTRY_ISSUED;
    }
}

/* One certificate of a unit goes to the books. */
static enum stamp_err admit(struct walk *w, struct order *o, uint32_t index,
                            const struct unit *u, struct stamp_slice der,
                            struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    char serial[STAMP_SERIAL_SIZE] = "";
    char chip[2 * STAMP_JOURNAL_CHIP_MAX + 1];
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t fingerprint[32] = {0};
    uint32_t booked;
    struct stamp_registry_unit unit = {.index = index,
                                       .serial = serial,
                                       .fingerprint = fingerprint,
                                       .certificate = der.p,
                                       .certificate_len = der.len,
                                       .state = state_of(u),
                                       .at = (time_t)u->at,
                                       .where = w->station,
                                       .why = u->why[0] == '\0' ? NULL : u->why,
                                       .pop = {u->pop, u->pop_len},
                                       .locked = u->locked};
    const char *why;
    enum stamp_err rc = stamp_pki_decode(der, &cert, err);

    chip_text(u, chip);
    unit.chip = u->chip_len > 0 && unit.state == STAMP_REGISTRY_STRUCK ? chip : NULL;
    unit.pop.p = u->pop_len > 0 ? u->pop : NULL;
    if (rc == STAMP_OK) {
        rc = stamp_key_point(X509_get0_pubkey(cert), point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(point, fingerprint, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&w->ws->profile->serial,
                                 o->is.batch.first_counter + index, o->is.batch.at,
                                 serial, sizeof serial, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    why = check_certificate(w, o, index, cert, serial);
    if (why != NULL) {
        refused(w, &unit, why);
        return STAMP_OK;
    }
    rc = stamp_registry_order_admit(w->ws->registry, &o->is, &unit, 1, time(NULL),
                                    refused, w, &booked, err);
    w->t.r->booked += booked;
    return rc;
}

/* Another certificate of an index that has one: the first stays, this one is judged by
 * the books, which refuse it. */
static enum stamp_err take_certificate(struct walk *w, struct order *o, uint32_t index,
                                       struct unit *u, struct stamp_slice der,
                                       struct stamp_error *err)
{
    if (u->certificate != NULL) {
        if (u->certificate_len == der.len &&
            memcmp(u->certificate, der.p, der.len) == 0) {
            return STAMP_OK;
        }
        enum stamp_err rc =
            admit(w, o, index, u,
                  (struct stamp_slice){u->certificate, u->certificate_len}, err);

        return rc == STAMP_OK ? admit(w, o, index, u, der, err) : rc;
    }
    u->certificate = malloc(der.len);
    if (u->certificate == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(u->certificate, der.p, der.len);
    u->certificate_len = der.len;
    return STAMP_OK;
}

static enum stamp_err follow(struct walk *w, const struct stamp_journal_entry *e,
                             struct stamp_error *err)
{
    struct order *o = find_order(w, e->order);
    struct unit *u;

    if (o == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (!o->known) {
        return STAMP_OK;
    }
    if (memcmp(o->is.station, w->have->station, 32) != 0) {
        if (!o->foreign) {
            say(&w->t, true,
                "station %s worked under order %s, which is another "
                "station's: nothing of it is admitted",
                w->station, o->is.batch.name);
        }
        o->foreign = true;
        return STAMP_OK;
    }
    if (e->index >= o->is.batch.count) {
        if (e->kind == STAMP_JOURNAL_CERTIFICATE) {
            struct unit extra = {.last = e->kind, .at = e->at};

            o->beyond++;
            return admit(w, o, e->index, &extra, e->data, err);
        }
        return STAMP_OK;
    }
    u = &o->unit[e->index];
    u->failed = e->kind == STAMP_JOURNAL_FAILED;
    if (u->failed) {
        return STAMP_OK;
    }
    u->last = e->kind;
    u->at = e->at;
    if (e->kind == STAMP_JOURNAL_BEGIN) {
        memcpy(u->chip, e->chip.p, e->chip.len);
        u->chip_len = e->chip.len;
    } else if (e->kind == STAMP_JOURNAL_POP && e->data.len <= sizeof u->pop) {
        memcpy(u->pop, e->data.p, e->data.len);
        u->pop_len = e->data.len;
    } else if (e->kind == STAMP_JOURNAL_LOCKED) {
        u->locked = true;
    } else if (e->why.len > 0) {
        (void)snprintf(u->why, sizeof u->why, "%.*s", (int)e->why.len, e->why.p);
    }
    return e->kind == STAMP_JOURNAL_CERTIFICATE
               ? take_certificate(w, o, e->index, u, e->data, err)
               : STAMP_OK;
}

static enum stamp_err see(void *ctx, struct stamp_slice body,
                          const struct stamp_journal_entry *e, struct stamp_error *err)
{
    struct walk *w = ctx;
    enum stamp_err rc = STAMP_OK;

    if (e->seq == w->seq + 1 && memcmp(e->previous, w->hash, sizeof w->hash) != 0) {
        w->t.r->broken++;
        say(&w->t, true,
            "station %s: entry %u does not follow the one before it: one of "
            "both was changed",
            w->station, e->seq);
    } else if (e->seq == w->seq && w->seq > 0) {
        w->t.r->forks++;
        say(&w->t, true,
            "station %s: there are two entries %u: the journal was copied "
            "and both went on",
            w->station, e->seq);
    }
    w->seq = e->seq;
    rc = stamp_journal_entry_hash(body, w->hash, err);
    return rc == STAMP_OK && e->has_unit ? follow(w, e, err) : rc;
}

static enum stamp_err settle(struct walk *w, struct order *o, struct stamp_error *err)
{
    uint32_t begun = 0, done = 0, unproven = 0, scrapped = 0, signed_only = 0, lost = 0;
    uint32_t refused_all = 0;
    enum stamp_err rc = STAMP_OK;

    for (uint32_t i = 0; i < o->is.batch.count && rc == STAMP_OK; i++) {
        const struct unit *u = &o->unit[i];
        enum stamp_registry_state state = state_of(u);

        if (u->last == 0) {
            continue;
        }
        begun++;
        scrapped += state == STAMP_REGISTRY_SCRAPPED || state == STAMP_REGISTRY_REVOKED;
        done += u->last == STAMP_JOURNAL_DONE;
        unproven += state == STAMP_REGISTRY_STRUCK && u->last != STAMP_JOURNAL_DONE;
        signed_only += state == STAMP_REGISTRY_ISSUED && u->certificate != NULL;
        lost += state == STAMP_REGISTRY_ISSUED && u->certificate == NULL;
        if (u->certificate != NULL) {
            rc = admit(w, o, i, u,
                       (struct stamp_slice){u->certificate, u->certificate_len}, err);
        }
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_quarantined(w->ws->registry, o->is.id, &refused_all, err);
    }
    if (rc == STAMP_OK) {
        say(&w->t, false,
            "order %s, station %s: expected %u; made %u, written and not proven %u, "
            "signed and not known to be written %u, begun without a certificate %u, "
            "scrapped %u, not begun %u; too many %u, refused %u",
            o->is.batch.name, w->station, o->is.batch.count, done, unproven, signed_only,
            lost, scrapped, o->is.batch.count - begun, o->beyond, refused_all);
    }
    return rc;
}

static enum stamp_err reconcile_station(struct walk *w, struct stamp_journal_store *store,
                                        struct stamp_error *err)
{
    const struct stamp_journal_have *h = w->have;
    enum stamp_err rc = load_station(w->ws, h->station, &w->cert, err);

    name_of(h->station, w->station);
    if (rc == STAMP_OK && h->missing > 0) {
        w->t.r->gaps++;
        say(&w->t, true,
            "station %s: entry %u is missing, and the station said it has %u: "
            "ask for an export from there on",
            w->station, h->missing, h->head);
    }
    if (rc == STAMP_OK) {
        rc = stamp_journal_store_each(store, h->station, 1, see, w, err);
    }
    for (struct order *o = w->orders; o != NULL && rc == STAMP_OK; o = o->next) {
        if (o->known && !o->foreign) {
            rc = settle(w, o, err);
        }
    }
    free_orders(w);
    stamp_station_cert_fini(&w->cert);
    return rc;
}

enum stamp_err stamp_reconcile(const struct stamp_workspace *ws,
                               struct stamp_journal_store *store,
                               stamp_reconcile_tell tell, void *ctx,
                               struct stamp_reconciled *r, struct stamp_error *err)
{
    static struct stamp_journal_have have[STATIONS_MAX];
    size_t n = STATIONS_MAX;
    enum stamp_err rc = stamp_journal_store_list(store, have, &n, err);

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        struct walk w = {.ws = ws, .t = {tell, ctx, r}, .have = &have[i]};

        rc = reconcile_station(&w, store, err);
    }
    return rc;
}
