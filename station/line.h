/*
 * The line while it runs: one order, one token, one journal, shared by the threads of all
 * ports. What is written down is on the disk before the step that it announces, so that a
 * station that is killed anywhere goes on where it was, and no certificate exists that
 * the journal does not know.
 *
 *     BEGIN    a chip gets an index
 *     INTENT   exactly what will be signed; then the token counts it, and signs
 *     CERTIFICATE, STRUCK, POP, LOCKED, DONE
 */
#ifndef STATION_LINE_H
#define STATION_LINE_H

#include "host/order.h"
#include "host/profile.h"
#include "host/request.h"
#include "station/journal.h"
#include "station/sealed_part.h"
#include "station/site.h"

struct stamp_line;

/** Something that the people on the line should read. Called by any thread, one at a
 * time. */
typedef void (*stamp_line_tell)(void *ctx, const char *port, const char *text);

struct stamp_line_setup {
    const char *order; /* file */
    struct stamp_pin pin;
    const char *who;    /* operator; NULL = none */
    const char *server; /* URL of the service that signs; NULL = the token does */
    stamp_line_tell tell;
    void *ctx;
};

/**
 * Take in the order and make sure that all agrees: order, station, owner, clock, journal
 * and what the token counts.
 *
 * @param site  borrowed
 * @retval STAMP_E_STATE    the clock is in doubt, or the order does not hold now
 * @retval STAMP_E_CORRUPT  the journal was changed, cut, put back or copied
 * @retval STAMP_E_AUTH     the order or a key is not this station's
 * @retval STAMP_E_DEVICE   the token is not there
 * @retval STAMP_E_IO       the service is not
 */
STAMP_MUST_USE enum stamp_err stamp_line_open(const struct stamp_site *site,
                                              const struct stamp_line_setup *setup,
                                              struct stamp_line **out,
                                              struct stamp_error *err);

/** A last checkpoint, where there are entries behind the one before. */
void stamp_line_close(struct stamp_line **p);

/** End what waits for the token, from any thread or a signal's handler. */
void stamp_line_stop(struct stamp_line *line);
bool stamp_line_stopping(const struct stamp_line *line);

/** Did it stop by itself, with the clock in doubt or the order over? */
bool stamp_line_halted(const struct stamp_line *line);

const struct stamp_order *stamp_line_order(const struct stamp_line *line);
/** Who signs: the station's CA, or the service's. */
X509 *stamp_line_issuer(const struct stamp_line *line);
const struct stamp_site *stamp_line_site(const struct stamp_line *line);
void stamp_line_say(struct stamp_line *line, const char *port, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** A unit on the line. */
struct stamp_line_unit {
    uint32_t index;
    enum stamp_journal_kind last;
    char serial[STAMP_SERIAL_SIZE];
    uint8_t chip[STAMP_JOURNAL_CHIP_MAX];
    size_t chip_len;
    struct stamp_buffer offer;
    uint8_t certificate[STAMP_MAX_CERTIFICATE]; /* once there is one */
    size_t certificate_len;
};

void stamp_line_unit_fini(struct stamp_line_unit *u);

/**
 * The unit with this chip: the one that the journal knows, or with `begin` a new one.
 *
 * @retval STAMP_E_MISSING  it is not known, and none is begun
 * @retval STAMP_E_RANGE    the order is used up
 */
STAMP_MUST_USE enum stamp_err stamp_line_unit(struct stamp_line *line,
                                              struct stamp_slice chip, bool begin,
                                              struct stamp_line_unit *u,
                                              struct stamp_error *err);

/**
 * The unit's certificate: signed for this request, or the one that was signed for it
 * before. Waits while the token is away.
 *
 * @param r  checked
 * @retval STAMP_E_AUTH  another key or other claims were signed for this unit before
 */
STAMP_MUST_USE enum stamp_err stamp_line_sign(struct stamp_line *line,
                                              struct stamp_line_unit *u,
                                              const struct stamp_request *r,
                                              struct stamp_error *err);

/** Write down what became of it. @param why  NULL = nothing */
STAMP_MUST_USE enum stamp_err stamp_line_note(struct stamp_line *line,
                                              struct stamp_line_unit *u,
                                              enum stamp_journal_kind kind,
                                              struct stamp_slice data, const char *why,
                                              struct stamp_error *err);

/**
 * A unit is given up (SCRAPPED), or came back and may be struck again (REWORK): its index
 * is used up for ever, its history stays.
 *
 * @param who        the operator
 * @param confirmed  of REWORK: who else says so; another name
 * @retval STAMP_E_MISSING  no such unit was begun
 * @retval STAMP_E_STATE    it was given up before, or REWORK without another's word
 */
STAMP_MUST_USE enum stamp_err
stamp_line_give_up(struct stamp_line *line, const char *serial,
                   enum stamp_journal_kind kind, const char *why, const char *who,
                   const char *confirmed, struct stamp_error *err);

/** Waits a second at most. False: the line stands, and `s` is what it was before. */
bool stamp_line_status(struct stamp_line *line, struct stamp_journal_status *s);

/** As stamp_sealed_part_make(), of the journal that the line has open. STAMP_E_BUSY: the
 * line stands */
STAMP_MUST_USE enum stamp_err stamp_line_part(struct stamp_line *line, uint32_t from,
                                              struct stamp_sealed_part *out,
                                              struct stamp_error *err);

#endif
