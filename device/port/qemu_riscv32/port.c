#include "device/port/qemu_riscv32/port.h"

#include "mbedtls/platform_util.h"

#include "device/port/qemu_riscv32/clock.h"
#include "device/port/qemu_riscv32/power.h"

static int flash_read(void *ctx, uint32_t off, void *buf, size_t len)
{
    return cfi_read(&((struct board *)ctx)->cfi, off, buf, len);
}

static int flash_program(void *ctx, uint32_t off, const void *buf, size_t len)
{
    return cfi_program(&((struct board *)ctx)->cfi, off, buf, len);
}

static int flash_erase(void *ctx, uint32_t off)
{
    return cfi_erase(&((struct board *)ctx)->cfi, off);
}

static int root_key(void *ctx, uint8_t key[32])
{
    (void)ctx;
    return fuse_root_key(key) ? STAMP_OK : STAMP_E_MISSING;
}

static bool has_root_key(void)
{
    uint8_t key[FUSE_ROOT_KEY_SIZE];
    bool has = fuse_root_key(key);

    mbedtls_platform_zeroize(key, sizeof(key));
    return has;
}

/* What the burnt words ask of this firmware. */
static void obey(struct board *board)
{
    if (otp_burnt(&board->otp, OTP_WRITE)) {
        cfi_protect(&board->cfi, board->port.flash.birth_size);
    }
    if (otp_burnt(&board->otp, OTP_ENCRYPT)) {
        board->port.root_key = root_key; /* fails where the fuse has none */
    }
}

/* WRITE comes last: a lock cut short by power leaves the birth region as it was, and is
 * taken up again by the mark in it. */
static int lock(void *ctx)
{
    struct board *board = ctx;
    enum stamp_err err = otp_burn(&board->otp, OTP_DEBUG);

    if (err == STAMP_OK && has_root_key()) {
        err = otp_burn(&board->otp, OTP_ENCRYPT);
    }
    if (err == STAMP_OK) {
        err = otp_burn(&board->otp, OTP_WRITE);
    }
    obey(board);
    return err;
}

/* Asks the driver, by a write that would change nothing: the chips of this machine have a
 * Block Lock command, but ignore it, and tell no lock state. */
static bool birth_is_protected(struct board *board)
{
    static const uint32_t nothing = UINT32_MAX;
    uint32_t last = board->port.flash.birth_size - CFI_PROGRAM_SIZE;

    return cfi_program(&board->cfi, 0, &nothing, sizeof(nothing)) == STAMP_E_LOCKED &&
           cfi_program(&board->cfi, last, &nothing, sizeof(nothing)) == STAMP_E_LOCKED;
}

static uint32_t lock_state(void *ctx, uint32_t *can)
{
    struct board *board = ctx;
    uint32_t state = 0;

    *can = STAMP_LOCK_WRITE | STAMP_LOCK_DEBUG;
    if (has_root_key()) {
        *can |= STAMP_LOCK_ENCRYPT;
        state |= otp_burnt(&board->otp, OTP_ENCRYPT) ? STAMP_LOCK_ENCRYPT : 0;
    }
    state |= otp_burnt(&board->otp, OTP_DEBUG) ? STAMP_LOCK_DEBUG : 0;
    if (otp_burnt(&board->otp, OTP_WRITE) && birth_is_protected(board)) {
        state |= STAMP_LOCK_WRITE;
    }
    return state;
}

static int chip_id(void *ctx, uint8_t id[STAMP_CHIP_ID_MAX], size_t *len)
{
    (void)ctx;
    *len = FUSE_CHIP_ID_SIZE;
    return fuse_chip_id(id) ? STAMP_OK : STAMP_E_MISSING;
}

/* The console holds nothing back: a byte that was taken is a byte that was sent. */
static void restart(void *ctx)
{
    (void)ctx;
    power_restart();
}

static uint32_t now_ms(void *ctx)
{
    (void)ctx;
    return clock_now_ms();
}

enum stamp_err board_init(struct board *board)
{
    struct stamp_port *port = &board->port;
    uint8_t id[FUSE_CHIP_ID_SIZE];
    struct cfi flash;

    *port = (struct stamp_port){0};
    if (cfi_init(&flash, BOARD_FLASH_BASE, 4u * BOARD_SECTOR_SIZE) != STAMP_OK ||
        flash.sector_size != BOARD_SECTOR_SIZE ||
        cfi_part(&flash, 0, BOARD_OTP_OFFSET, &board->cfi) != STAMP_OK ||
        otp_init(&board->otp, &flash, BOARD_OTP_OFFSET) != STAMP_OK) {
        return STAMP_E_FLASH;
    }
    port->flash.map = (const uint8_t *)BOARD_FLASH_BASE;
    port->flash.read = flash_read;
    port->flash.program = flash_program;
    port->flash.erase = flash_erase;
    port->flash.ctx = board;
    port->flash.birth_size = BOARD_SECTOR_SIZE;
    port->flash.bank_size = BOARD_SECTOR_SIZE;
    port->flash.erase_size = BOARD_SECTOR_SIZE;
    port->flash.program_size = CFI_PROGRAM_SIZE;
    port->flash.erased = 0xFF;
    port->work = board->work;
    port->work_size = sizeof(board->work);
    port->root_key = has_root_key() ? root_key : NULL;
    port->lock = lock;
    port->lock_state = lock_state;
    port->now_ms = now_ms;
    port->chip_id = fuse_chip_id(id) ? chip_id : NULL;
    port->restart = restart;
    port->owner_key_hash = fuse_owner_hash(board->owner_hash) ? board->owner_hash : NULL;
    port->ctx = board;
    obey(board);
    return STAMP_OK;
}
