#include "host/reconcile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/reconcile_own.h"
#include "host/workspace_home.h"

enum { TEXT_MAX = 400, STATIONS_MAX = 256 };

static void tell(struct stampi_teller *t, struct stamp_reconcile_told *told,
                 const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));

static void tell(struct stampi_teller *t, struct stamp_reconcile_told *told,
                 const char *fmt, va_list args)
{
    char text[TEXT_MAX];

    (void)vsnprintf(text, sizeof text, fmt, args);
    told->text = text;
    t->tell(t->ctx, told);
}

void stampi_say(struct stampi_teller *t, enum stamp_reconcile_what what,
                const char *station, const char *fmt, ...)
{
    struct stamp_reconcile_told told = {.what = what, .station = station};
    va_list args;

    t->r->problems += stamp_reconcile_is_problem(what);
    va_start(args, fmt);
    tell(t, &told, fmt, args);
    va_end(args);
}

static void say_order(struct stampi_teller *t, const struct stamp_reconcile_order *o,
                      const char *station, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void say_order(struct stampi_teller *t, const struct stamp_reconcile_order *o,
                      const char *station, const char *fmt, ...)
{
    struct stamp_reconcile_told told = {
        .what = STAMP_RECONCILE_ORDER, .station = station, .order = o};
    va_list args;

    va_start(args, fmt);
    tell(t, &told, fmt, args);
    va_end(args);
}

static const char *const names[] = {
    [STAMP_RECONCILE_ORDER] = "order",     [STAMP_RECONCILE_DEVICE] = "device",
    [STAMP_RECONCILE_DAMAGED] = "damaged", [STAMP_RECONCILE_GAP] = "gap",
    [STAMP_RECONCILE_FORK] = "fork",       [STAMP_RECONCILE_CHANGED] = "changed",
    [STAMP_RECONCILE_REFUSED] = "refused", [STAMP_RECONCILE_FOREIGN] = "foreign",
    [STAMP_RECONCILE_UNKNOWN] = "unknown", [STAMP_RECONCILE_STRANGE] = "strange",
};

const char *stamp_reconcile_name(enum stamp_reconcile_what what)
{
    return names[what];
}

bool stamp_reconcile_of(const char *name, enum stamp_reconcile_what *out)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum stamp_reconcile_what)i;
            return true;
        }
    }
    return false;
}

bool stamp_reconcile_is_problem(enum stamp_reconcile_what what)
{
    return what != STAMP_RECONCILE_ORDER && what != STAMP_RECONCILE_DEVICE;
}

enum stamp_err stampi_reconcile_station(const struct stamp_workspace *ws,
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

/* ---- settling: all journals were followed, and what was struck is on the books ---- */

static enum stamp_err admit_all(struct stampi_walk *w, struct stampi_order *o,
                                struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (uint32_t i = 0; i < o->is.batch.count && rc == STAMP_OK; i++) {
        const struct stampi_unit *u = &o->unit[i];

        if (u->certificate != NULL) {
            rc = stampi_unit_admit(
                w, o, i, u, (struct stamp_slice){u->certificate, u->certificate_len},
                err);
        }
    }
    return rc;
}

/* A unit that was begun here and finished under another index: a spare station took over,
 * or its order was closed. What was signed for it here is not to be trusted. */
static enum stamp_err find_moved(struct stampi_walk *w, struct stampi_order *o,
                                 uint32_t index, bool *moved, struct stamp_error *err)
{
    struct stampi_unit *u = &o->unit[index];
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    char serial[STAMP_SERIAL_SIZE];
    char chip[2 * STAMP_JOURNAL_CHIP_MAX + 1];
    enum stamp_err rc;

    *moved = false;
    if (u->chip_len == 0) {
        return STAMP_OK;
    }
    stampi_unit_chip(u, chip);
    rc = stamp_registry_find_chip(w->ws->registry, chip, &row, &why);
    if (rc != STAMP_OK) {
        return rc == STAMP_E_MISSING
                   ? STAMP_OK
                   : stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    rc = stampi_unit_serial(w, o, index, serial, err);
    *moved = rc == STAMP_OK && strcmp(row.serial, serial) != 0;
    if (*moved && u->certificate != NULL) {
        u->revoked = true;
        (void)snprintf(u->why, sizeof u->why, "its chip was struck as %.64s", row.serial);
        rc = stampi_unit_admit(w, o, index, u,
                               (struct stamp_slice){u->certificate, u->certificate_len},
                               err);
    }
    stamp_registry_row_fini(&row);
    return rc;
}

static enum stamp_err settle_unit(struct stampi_walk *w, struct stampi_order *o,
                                  uint32_t index, struct stamp_reconcile_order *sum,
                                  struct stamp_error *err)
{
    const struct stampi_unit *u = &o->unit[index];
    enum stamp_registry_state state = stampi_unit_state(u);
    bool moved = false;
    enum stamp_err rc = STAMP_OK;

    if (u->last == 0) {
        sum->not_begun++;
        return STAMP_OK;
    }
    if (state == STAMP_REGISTRY_ISSUED) {
        rc = find_moved(w, o, index, &moved, err);
    }
    if (moved) {
        sum->moved++;
    } else if (state == STAMP_REGISTRY_ISSUED) {
        sum->signed_only += u->certificate != NULL;
        sum->begun += u->certificate == NULL;
    } else if (state == STAMP_REGISTRY_STRUCK) {
        sum->made += u->last == STAMP_JOURNAL_DONE;
        sum->unproven += u->last != STAMP_JOURNAL_DONE;
    } else {
        sum->scrapped++;
    }
    return rc;
}

static enum stamp_err settle(struct stampi_walk *w, struct stampi_order *o,
                             struct stamp_error *err)
{
    struct stamp_reconcile_order sum = {
        .name = o->is.batch.name, .expected = o->is.batch.count, .too_many = o->beyond};
    enum stamp_err rc = STAMP_OK;

    for (uint32_t i = 0; i < o->is.batch.count && rc == STAMP_OK; i++) {
        rc = settle_unit(w, o, i, &sum, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_quarantined(w->ws->registry, o->is.id, &sum.refused, err);
    }
    if (rc == STAMP_OK) {
        say_order(
            w->t, &sum, w->station,
            "order %s, station %s: expected %u; made %u, written and not proven %u, "
            "signed and not known to be written %u, begun without a certificate "
            "%u, begun here and made elsewhere %u, scrapped %u, not begun %u; too "
            "many %u, refused %u",
            sum.name, w->station, sum.expected, sum.made, sum.unproven, sum.signed_only,
            sum.begun, sum.moved, sum.scrapped, sum.not_begun, sum.too_many, sum.refused);
    }
    return rc;
}

static enum stamp_err each_order(struct stampi_walk *w,
                                 enum stamp_err (*what)(struct stampi_walk *w,
                                                        struct stampi_order *o,
                                                        struct stamp_error *err),
                                 struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (struct stampi_order *o = w->orders; o != NULL && rc == STAMP_OK; o = o->next) {
        if (o->known && !o->foreign) {
            rc = what(w, o, err);
        }
    }
    return rc;
}

enum stamp_err stamp_reconcile(const struct stamp_workspace *ws,
                               stamp_reconcile_tell tell_one, void *ctx,
                               struct stamp_reconciled *r, struct stamp_error *err)
{
    static struct stamp_journal_have have[STATIONS_MAX];
    struct stampi_teller t = {tell_one, ctx, r};
    struct stampi_walk *walk = NULL;
    size_t n = STATIONS_MAX;
    enum stamp_err rc = stamp_registry_journal_list(ws->registry, have, &n, err);

    if (rc == STAMP_OK && n > 0) {
        walk = calloc(n, sizeof *walk);
        rc = walk != NULL ? STAMP_OK
                          : stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        walk[i] = (struct stampi_walk){.ws = ws, .t = &t, .have = &have[i]};
        rc = stampi_walk(&walk[i], err);
        if (rc == STAMP_OK) {
            rc = each_order(&walk[i], admit_all, err);
        }
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = each_order(&walk[i], settle, err);
    }
    for (size_t i = 0; walk != NULL && i < n; i++) {
        stampi_walk_fini(&walk[i]);
    }
    free(walk);
    return rc;
}
