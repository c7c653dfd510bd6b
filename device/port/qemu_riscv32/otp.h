/*
 * One-time words: a flash sector of their own behind the stamp partition, of which this
 * firmware only ever programs bits and never erases one. What was burnt stays burnt, over
 * resets, power cuts and new firmware; whoever has the flash file outside the machine can
 * undo it, as nobody can with the fuses of a chip.
 *
 * A word counts as burnt as soon as one bit of it is: a burn that power cut short is not
 * taken back.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_OTP_H
#define DEVICE_PORT_QEMU_RISCV32_OTP_H

#include <stdbool.h>
#include <stdint.h>

#include "device/port/qemu_riscv32/cfi.h"

enum otp_word { OTP_WRITE, OTP_ENCRYPT, OTP_DEBUG, OTP_WORDS };

struct otp {
    struct cfi cfi; /* the sector, without its erase */
};

/**
 * Take the sector at `off` of the flash.
 *
 * @retval STAMP_OK
 * @retval STAMP_E_RANGE  there is none at `off`
 */
STAMP_MUST_USE enum stamp_err otp_init(struct otp *otp, const struct cfi *flash,
                                       uint32_t off);

bool otp_burnt(const struct otp *otp, enum otp_word word);

/**
 * Burn a word; one that is burnt already is left alone.
 *
 * @retval STAMP_OK       it is burnt, in the cells
 * @retval STAMP_E_FLASH  the chips refuse
 * Power loss: burnt or not.
 */
STAMP_MUST_USE enum stamp_err otp_burn(struct otp *otp, enum otp_word word);

#endif
