/*
 * A unit that is being struck: the requests of SPEC 13, one function each. What comes
 * back is not trusted. Errors as stamp_smp_request(), and:
 *
 *     STAMP_E_STATE  the unit is not at the point where it does this
 */
#ifndef HOST_UNIT_H
#define HOST_UNIT_H

#include "host/image.h"
#include "host/smp_client.h"

/** How far it is, and what it is. SPEC 13-2. */
struct stamp_unit {
    enum stamp_phase phase;
    uint8_t chip[32];
    size_t chip_len; /* 0 = the chip has no number */
    uint32_t can;    /* parts of a lock that it has: STAMP_UNIT_LOCK_... */
    uint32_t lock;   /* those in force */
    uint32_t room;   /* bytes that it takes in */
    bool pending;
    uint8_t offer[32]; /* digest of the offer that its keys wait for */
};

#define STAMP_UNIT_LOCK_WRITE 1u
#define STAMP_UNIT_LOCK_ENCRYPT 2u
#define STAMP_UNIT_LOCK_DEBUG 4u

STAMP_MUST_USE enum stamp_err stamp_unit_ask(struct stamp_smp_client *c,
                                             struct stamp_unit *unit,
                                             struct stamp_error *err);

/** Hand over an offer, certificates or a sealed stamp, in chunks. SPEC 13-3. */
STAMP_MUST_USE enum stamp_err stamp_unit_put(struct stamp_smp_client *c,
                                             enum stamp_smp_put what,
                                             struct stamp_slice bytes,
                                             struct stamp_error *err);

/** Have it make its keys for the offer, and read its request for a certificate.
 * @param request  free with stamp_buffer_free() */
STAMP_MUST_USE enum stamp_err stamp_unit_make(struct stamp_smp_client *c,
                                              const uint8_t challenge[32],
                                              struct stamp_buffer *request,
                                              struct stamp_error *err);

/** Exchange points of ephemeral pairs, for a stamp that was made before. SPEC 13-24. */
STAMP_MUST_USE enum stamp_err stamp_unit_agree(struct stamp_smp_client *c,
                                               const uint8_t mine[STAMP_POINT_SIZE],
                                               uint8_t theirs[STAMP_POINT_SIZE],
                                               struct stamp_error *err);

/** Have it write its birth stamp. @param digest  of the claims that it then read back */
STAMP_MUST_USE enum stamp_err stamp_unit_strike(struct stamp_smp_client *c,
                                                uint8_t digest[32],
                                                struct stamp_error *err);

/** Its proof of possession: sealed, or where the owner's bundle names no recipient as
 * text. @param shown  whether it is text. STAMP_E_MISSING: it has none */
STAMP_MUST_USE enum stamp_err stamp_unit_pop(struct stamp_smp_client *c, bool *shown,
                                             struct stamp_buffer *out,
                                             struct stamp_error *err);

/** End the strike: what was pending goes, and with `lock` the unit is locked. */
STAMP_MUST_USE enum stamp_err stamp_unit_finish(struct stamp_smp_client *c, bool lock,
                                                uint32_t *can, uint32_t *in_force,
                                                struct stamp_error *err);

/** Have it forget the keys that it made. */
STAMP_MUST_USE enum stamp_err stamp_unit_abandon(struct stamp_smp_client *c,
                                                 struct stamp_error *err);

/** Restart it, and wait until it answers again. */
STAMP_MUST_USE enum stamp_err stamp_unit_restart(struct stamp_smp_client *c,
                                                 struct stamp_error *err);

#endif
