#include "station/slot_end.h"

#include <string.h>
#include <time.h>

#include "host/prove.h"
#include "host/unit.h"

int64_t stamp_slot_now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

enum stamp_err stamp_slot_check_lock(uint32_t can, uint32_t in_force, const char *serial,
                                     struct stamp_error *err)
{
    if ((in_force & STAMP_UNIT_LOCK_WRITE) != 0 && (can & ~in_force) == 0) {
        return STAMP_OK;
    }
    stamp_error_hint(err,
                     "of write protection (1), encryption (2) and debug off (4) the "
                     "chip has %u and %u is in force",
                     can, in_force);
    return stamp_error_set(err, STAMP_E_STATE, 0, "unit %s is not locked", serial);
}

enum stamp_err stamp_slot_prove(struct stamp_smp_client *c,
                                const uint8_t point[STAMP_POINT_SIZE], bool locked,
                                const char *serial, struct stamp_error *err)
{
    struct stamp_info info;
    struct stamp_unit unit;
    enum stamp_err rc = stamp_unit_restart(c, err);

    if (rc == STAMP_OK) {
        rc = stamp_unit_ask(c, &unit, err);
    }
    if (rc == STAMP_OK && locked) {
        rc = stamp_slot_check_lock(unit.can, unit.lock, serial, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_smp_info(c, &info, err);
    }
    if (rc == STAMP_OK && (strcmp(info.serial, serial) != 0 ||
                           (locked && strcmp(info.state, "locked") != 0))) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0, "unit %s says that it is %s, %s",
                             serial, info.serial, info.state);
    }
    return rc == STAMP_OK ? stamp_prove_key(c, STAMP_BIRTH, point, err) : rc;
}
