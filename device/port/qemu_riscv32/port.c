#include "device/port/qemu_riscv32/port.h"

#include "mbedtls/platform_util.h"

#include "device/port/qemu_riscv32/clock.h"
#include "device/port/qemu_riscv32/fuse.h"

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

static int lock(void *ctx)
{
    struct board *board = ctx;

    cfi_protect(&board->cfi, board->port.flash.birth_size);
    return STAMP_OK;
}

static uint32_t now_ms(void *ctx)
{
    (void)ctx;
    return clock_now_ms();
}

static bool has_root_key(void)
{
    uint8_t key[FUSE_ROOT_KEY_SIZE];
    bool has = fuse_root_key(key);

    mbedtls_platform_zeroize(key, sizeof(key));
    return has;
}

enum stamp_err board_init(struct board *board)
{
    struct stamp_port *port = &board->port;

    *port = (struct stamp_port){0};
    if (cfi_init(&board->cfi, BOARD_FLASH_BASE, 3u * BOARD_SECTOR_SIZE) != STAMP_OK ||
        board->cfi.sector_size != BOARD_SECTOR_SIZE) {
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
    port->now_ms = now_ms;
    port->ctx = board;
    return STAMP_OK;
}
