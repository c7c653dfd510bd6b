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

/** What may be printed of a unit whose proof of possession is shown. */
struct stamp_slot_label {
    const char *serial;
    struct stamp_slice pop;      /* text; secret */
    struct stamp_slice offer;    /* for stamp_offer_barcode() */
    struct stamp_evidence known; /* of it: the provisioning point */
};

/** A place on the line where units come, one after the other. */
struct stamp_slot {
    struct stamp_line *line;
    const char *port; /* for messages: the slot's name */
    int64_t
        end_ms; /* when the unit's time is over; waiting for the token is not counted */
    struct stamp_smp_client *client;
    uint8_t done[STAMP_JOURNAL_CHIP_MAX]; /* the chip that was finished here last */
    size_t done_len;

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
STAMP_MUST_USE enum stamp_err stamp_slot_strike(struct stamp_slot *slot,
                                                char serial[STAMP_SERIAL_SIZE],
                                                bool *fresh, struct stamp_error *err);

/** Of a clock that only goes forward. */
int64_t stamp_slot_now_ms(void);

/** Lock the unit on a port, restart it, and have it prove itself.
 * @param serial  of the unit */
STAMP_MUST_USE enum stamp_err stamp_slot_lock(struct stamp_smp_client *client,
                                              const struct stamp_trust *trust,
                                              char serial[STAMP_SERIAL_SIZE],
                                              struct stamp_error *err);

#endif
