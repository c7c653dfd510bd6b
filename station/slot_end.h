/*
 * The end of a strike, wherever the stamp came from: the lock that is in force, the
 * restart, and the proof. SPEC 13-22.
 */
#ifndef STATION_SLOT_END_H
#define STATION_SLOT_END_H

#include "host/key.h"
#include "host/smp_client.h"

/** Of a clock that only goes forward. */
int64_t stamp_slot_now_ms(void);

/** Are all parts in force that the chip has? STAMP_E_STATE: no; the hint names them.
 * @param can, in_force  as STAMP_UNIT_LOCK_... */
STAMP_MUST_USE enum stamp_err stamp_slot_check_lock(uint32_t can, uint32_t in_force,
                                                    const char *serial,
                                                    struct stamp_error *err);

/** It says after a restart that it is locked, and proves that it holds its key: what it
 * wrote for that key it read back before. */
STAMP_MUST_USE enum stamp_err stamp_slot_prove(struct stamp_smp_client *c,
                                               const uint8_t point[STAMP_POINT_SIZE],
                                               bool locked, const char *serial,
                                               struct stamp_error *err);

#endif
