#include "device/port/qemu_riscv32/otp.h"

#include "device/port/qemu_riscv32/mmio.h"

/* Apart by more than a buffer of the flash, so that one burn never touches two words. */
#define WORD_STRIDE 64u

static uint32_t offset_of(enum otp_word word)
{
    return (uint32_t)word * WORD_STRIDE;
}

enum stamp_err otp_init(struct otp *otp, uintptr_t base, uint32_t size)
{
    enum stamp_err err = cfi_init(&otp->cfi, base, size);

    if (err != STAMP_OK || otp->cfi.sector_size != size) {
        return STAMP_E_FLASH;
    }
    cfi_never_erase(&otp->cfi);
    return STAMP_OK;
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
