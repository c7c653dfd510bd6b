#include "device/port/qemu_riscv32/otp.h"

#include "device/port/qemu_riscv32/mmio.h"

/* Apart by more than a buffer of the flash, so that one burn never touches two words. */
#define WORD_STRIDE 64u

static uint32_t offset_of(enum otp_word word)
{
    return (uint32_t)word * WORD_STRIDE;
}

enum stamp_err otp_init(struct otp *otp, const struct cfi *flash, uint32_t off)
{
    enum stamp_err err = cfi_part(flash, off, flash->sector_size, &otp->cfi);

    cfi_never_erase(&otp->cfi);
    return err;
}

bool otp_burnt(const struct otp *otp, enum otp_word word)
{
    return mmio_read32(otp->cfi.base + offset_of(word)) != UINT32_MAX;
}

enum stamp_err otp_burn(struct otp *otp, enum otp_word word)
{
    static const uint32_t burnt = 0;

    if (otp_burnt(otp, word)) {
        return STAMP_OK;
    }
    return cfi_program(&otp->cfi, offset_of(word), &burnt, sizeof burnt);
}
