/*
 * One unit on one port, from wherever it is to its end: keys made, certificate signed,
 * stamp written, locked, restarted, proven. Every step is in the journal before the next
 * one. SPEC 13.
 */
#ifndef STATION_SLOT_H
#define STATION_SLOT_H

#include "host/smp_client.h"
#include "host/trust.h"
#include "host/unit.h"
#include "station/line.h"
#include "station/slot_end.h"
#include "station/source.h"

/** What may be printed of a unit whose proof of possession is shown. */
struct stamp_slot_label {
    const char *serial;
    struct stamp_slice pop;      /* text; secret */
    struct stamp_slice offer;    /* for stamp_offer_barcode() */
    struct stamp_evidence known; /* of it: the provisioning point */
};

/** A place on the line where units come, one after the other. */
struct stamp_slot {
    const char *port; /* for messages: the slot's name */
    const char *path; /* of the port */
    int64_t
        end_ms; /* when the unit's time is over; waiting for the token is not counted */
    struct stamp_smp_client *client;
    uint8_t done[STAMP_JOURNAL_CHIP_MAX]; /* the chip that was finished here last */
    size_t done_len;

    /* Let go of the port while `what` runs, which gives it to another program. */
    enum stamp_err (*let_go)(void *ctx,
                             enum stamp_err (*what)(void *ctx, struct stamp_error *err),
                             void *what_ctx, struct stamp_error *err);
    void *let_go_ctx;

    /* Print a label; NULL = proofs are not shown here. */
    enum stamp_err (*label)(void *ctx, const struct stamp_slot_label *label,
                            struct stamp_error *err);
    void *label_ctx;
};

/**
 * Strike the unit that is on the port.
 *
 * @param serial  of the unit, as far as it is known
 * @retval STAMP_OK         it is done, now or before
 * @retval STAMP_E_TIMEOUT  nothing answers
 * @retval STAMP_E_RANGE    the order is used up
 * @retval others           it failed, the journal says so, and it may be tried again
 */
STAMP_MUST_USE enum stamp_err stamp_slot_strike(struct stamp_line *line,
                                                struct stamp_slot *slot,
                                                char serial[STAMP_SERIAL_SIZE],
                                                bool *fresh, struct stamp_error *err);

/** Lock the unit on a port, restart it, and have it prove itself.
 * @param serial  of the unit */
STAMP_MUST_USE enum stamp_err stamp_slot_lock(struct stamp_smp_client *client,
                                              const struct stamp_trust *trust,
                                              char serial[STAMP_SERIAL_SIZE],
                                              struct stamp_error *err);

/** The work order of a line as a source of stamps. */
struct stamp_source stamp_slot_source(struct stamp_line *line);

#endif
