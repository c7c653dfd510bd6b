/* What the files of reconciling share. */
#ifndef HOST_RECONCILE_OWN_H
#define HOST_RECONCILE_OWN_H

#include "host/reconcile.h"
#include "host/registry_order.h"
#include "host/station_cert.h"

#define STAMPI_RECONCILE_NAME_SIZE 17u /* of a station: 16 digits */

struct stampi_teller {
    stamp_reconcile_tell tell;
    void *ctx;
    struct stamp_reconciled *r;
};

/** Tell people. All but ORDER and DEVICE wants somebody's attention, and is counted.
 * @param station  its name; NULL = not known */
void stampi_say(struct stampi_teller *t, enum stamp_reconcile_what what,
                const char *station, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** What headquarters certified for a station. */
STAMP_MUST_USE enum stamp_err stampi_reconcile_station(const struct stamp_workspace *ws,
                                                       const uint8_t station[32],
                                                       struct stamp_station_cert *cert,
                                                       struct stamp_error *err);

/* ---- one station's journal, followed ---- */

#define STAMPI_RECONCILE_POP_MAX 160u

struct stampi_unit {
    enum stamp_journal_kind last;
    bool failed;
    bool locked;
    uint64_t at;
    uint8_t chip[STAMP_JOURNAL_CHIP_MAX];
    size_t chip_len;
    uint8_t *certificate;
    size_t certificate_len;
    uint8_t pop[STAMPI_RECONCILE_POP_MAX];
    size_t pop_len;
    char why[STAMP_JOURNAL_TEXT_MAX + 1];
    bool revoked; /* its chip was struck under another index */
};

struct stampi_order {
    struct stamp_registry_order is;
    bool known;
    bool foreign; /* of another station: said already */
    uint32_t beyond;
    struct stampi_unit *unit;
    struct stampi_order *next;
};

struct stampi_walk {
    const struct stamp_workspace *ws;
    struct stampi_teller *t;
    const struct stamp_journal_have *have;
    struct stamp_station_cert cert;
    char station[STAMPI_RECONCILE_NAME_SIZE];
    struct stampi_order *orders;
    uint32_t seq;
    uint8_t hash[STAMP_JOURNAL_HASH];
};

/** All entries of `w->have`. Certificates of an index that has one already go to the
 * books at once, which refuse them; the others are for stampi_unit_admit(). */
STAMP_MUST_USE enum stamp_err stampi_walk(struct stampi_walk *w, struct stamp_error *err);
void stampi_walk_fini(struct stampi_walk *w);

/** What its last entry makes of it on the books. */
enum stamp_registry_state stampi_unit_state(const struct stampi_unit *u);

STAMP_MUST_USE enum stamp_err stampi_unit_serial(const struct stampi_walk *w,
                                                 const struct stampi_order *o,
                                                 uint32_t index,
                                                 char serial[STAMP_SERIAL_SIZE],
                                                 struct stamp_error *err);

/** Hexadecimal, as the books have it. */
void stampi_unit_chip(const struct stampi_unit *u,
                      char out[2 * STAMP_JOURNAL_CHIP_MAX + 1]);

/** A unit with this certificate goes to the books, or is kept apart, which is told. */
STAMP_MUST_USE enum stamp_err stampi_unit_admit(struct stampi_walk *w,
                                                struct stampi_order *o, uint32_t index,
                                                const struct stampi_unit *u,
                                                struct stamp_slice der,
                                                struct stamp_error *err);

#endif
