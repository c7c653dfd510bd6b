/* One station's journal, entry by entry: what became of the units that it tells of. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/hex.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/reconcile_own.h"

static struct stampi_order *find_order(struct stampi_walk *w, const uint8_t id[16])
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stampi_order *o;

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
        stampi_say(w->t, STAMP_RECONCILE_UNKNOWN, w->station, "station %s: %s",
                   w->station, err.what);
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

void stampi_walk_fini(struct stampi_walk *w)
{
    while (w->orders != NULL) {
        struct stampi_order *o = w->orders;

        w->orders = o->next;
        for (uint32_t i = 0; o->unit != NULL && i < o->is.batch.count; i++) {
            free(o->unit[i].certificate);
        }
        free(o->unit);
        free(o);
    }
    stamp_station_cert_fini(&w->cert);
}

static void refused(void *ctx, const struct stamp_registry_unit *unit, const char *why)
{
    struct stampi_walk *w = ctx;

    w->t->r->refused++;
    stampi_say(w->t, STAMP_RECONCILE_REFUSED, w->station,
               "station %s: unit %u (%s) is refused: %s", w->station, unit->index,
               unit->serial, why);
}

void stampi_unit_chip(const struct stampi_unit *u,
                      char out[2 * STAMP_JOURNAL_CHIP_MAX + 1])
{
    stamp_hex(u->chip, u->chip_len, out);
}

/* Is it this station's, with the number that its index has, for the index's serial? */
static const char *check_certificate(const struct stampi_walk *w,
                                     const struct stampi_order *o, uint32_t index,
                                     X509 *cert, const char *serial)
{
    uint8_t want[STAMP_CERTIFICATE_SERIAL_SIZE];
    char name[STAMP_SERIAL_SIZE];
    const ASN1_INTEGER *number = X509_get0_serialNumber(cert);

    stamp_registry_batch_serial(&o->is.batch, index, want);
    if (X509_verify(cert, X509_get0_pubkey(w->cert.cert[STAMP_STATION_CA])) != 1 &&
        X509_verify(cert, X509_get0_pubkey(w->ws->sub_ca)) != 1) { /* SPEC 17-6 */
        return "its certificate is signed neither by its station nor by the service";
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

enum stamp_err stampi_unit_serial(const struct stampi_walk *w,
                                  const struct stampi_order *o, uint32_t index,
                                  char serial[STAMP_SERIAL_SIZE], struct stamp_error *err)
{
    return stamp_serial_format(&w->ws->profile->serial, o->is.batch.first_counter + index,
                               o->is.batch.at, serial, STAMP_SERIAL_SIZE, err);
}

enum stamp_registry_state stampi_unit_state(const struct stampi_unit *u)
{
    if (u->revoked) {
        return STAMP_REGISTRY_REVOKED;
    }
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
enum stamp_err stampi_unit_admit(struct stampi_walk *w, struct stampi_order *o,
                                 uint32_t index, const struct stampi_unit *u,
                                 struct stamp_slice der, struct stamp_error *err)
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
                                       .state = stampi_unit_state(u),
                                       .at = (time_t)u->at,
                                       .where = w->station,
                                       .why = u->why[0] == '\0' ? NULL : u->why,
                                       .pop = {u->pop, u->pop_len},
                                       .locked = u->locked};
    const char *why;
    enum stamp_err rc = stamp_pki_decode(der, &cert, err);

    stampi_unit_chip(u, chip);
    unit.chip = u->chip_len > 0 && unit.state == STAMP_REGISTRY_STRUCK ? chip : NULL;
    unit.pop.p = u->pop_len > 0 ? u->pop : NULL;
    if (rc == STAMP_OK) {
        rc = stamp_key_point(X509_get0_pubkey(cert), point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(point, fingerprint, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_unit_serial(w, o, index, serial, err);
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
    w->t->r->booked += booked;
    return rc;
}

/* Another certificate of an index that has one: the first stays, this one is judged by
 * the books, which refuse it. */
static enum stamp_err take_certificate(struct stampi_walk *w, struct stampi_order *o,
                                       uint32_t index, struct stampi_unit *u,
                                       struct stamp_slice der, struct stamp_error *err)
{
    if (u->certificate != NULL) {
        if (u->certificate_len == der.len &&
            memcmp(u->certificate, der.p, der.len) == 0) {
            return STAMP_OK;
        }
        enum stamp_err rc = stampi_unit_admit(
            w, o, index, u, (struct stamp_slice){u->certificate, u->certificate_len},
            err);

        return rc == STAMP_OK ? stampi_unit_admit(w, o, index, u, der, err) : rc;
    }
    u->certificate = malloc(der.len);
    if (u->certificate == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(u->certificate, der.p, der.len);
    u->certificate_len = der.len;
    return STAMP_OK;
}

static enum stamp_err follow(struct stampi_walk *w, const struct stamp_journal_entry *e,
                             struct stamp_error *err)
{
    struct stampi_order *o = find_order(w, e->order);
    struct stampi_unit *u;

    if (o == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (!o->known) {
        return STAMP_OK;
    }
    if (memcmp(o->is.station, w->have->station, 32) != 0) {
        if (!o->foreign) {
            stampi_say(w->t, STAMP_RECONCILE_FOREIGN, w->station,
                       "station %s worked under order %s, which is another "
                       "station's: nothing of it is admitted",
                       w->station, o->is.batch.name);
        }
        o->foreign = true;
        return STAMP_OK;
    }
    if (e->index >= o->is.batch.count) {
        if (e->kind == STAMP_JOURNAL_CERTIFICATE) {
            struct stampi_unit extra = {.last = e->kind, .at = e->at};

            o->beyond++;
            return stampi_unit_admit(w, o, e->index, &extra, e->data, err);
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
        u->chip_len = e->chip.len;
        if (e->chip.len > 0) {
            memcpy(u->chip, e->chip.p, e->chip.len);
        }
    } else if (e->kind == STAMP_JOURNAL_POP && e->data.len > 0 &&
               e->data.len <= sizeof u->pop) {
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
    struct stampi_walk *w = ctx;
    enum stamp_err rc = STAMP_OK;

    if (e->seq == w->seq + 1 && memcmp(e->previous, w->hash, sizeof w->hash) != 0) {
        w->t->r->broken++;
        stampi_say(w->t, STAMP_RECONCILE_CHANGED, w->station,
                   "station %s: entry %u does not follow the one before it: one of "
                   "both was changed",
                   w->station, e->seq);
    } else if (e->seq == w->seq && w->seq > 0) {
        w->t->r->forks++;
        stampi_say(w->t, STAMP_RECONCILE_FORK, w->station,
                   "station %s: there are two entries %u: the journal was copied "
                   "and both went on",
                   w->station, e->seq);
    }
    w->seq = e->seq;
    rc = stamp_journal_entry_hash(body, w->hash, err);
    return rc == STAMP_OK && e->has_unit ? follow(w, e, err) : rc;
}

enum stamp_err stampi_walk(struct stampi_walk *w, struct stamp_error *err)
{
    const struct stamp_journal_have *h = w->have;
    enum stamp_err rc;

    stamp_hex(h->station, 8, w->station);
    rc = stampi_reconcile_station(w->ws, h->station, &w->cert, err);
    if (rc == STAMP_OK && h->missing > 0) {
        w->t->r->gaps++;
        stampi_say(w->t, STAMP_RECONCILE_GAP, w->station,
                   "station %s: entry %u is missing, and the station said it has %u: "
                   "ask for an export from there on",
                   w->station, h->missing, h->head);
    }
    return rc == STAMP_OK
               ? stamp_registry_journal_each(w->ws->registry, h->station, 1, see, w, err)
               : rc;
}
