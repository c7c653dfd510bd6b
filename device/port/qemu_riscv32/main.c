/*
 * The firmware of the emulated board: says in one line what it is, then answers a host on
 * the console. Frames begin with 0x06 0x09 or 0x04 0x14, so text lines and frames share
 * the line.
 */
#include <psa/crypto.h>

#include "mbedtls/memory_buffer_alloc.h"

#include "core/stamp.h"
#include "device/agent.h"
#include "device/device.h"
#include "device/port/qemu_riscv32/idle.h"
#include "device/port/qemu_riscv32/port.h"
#include "device/port/qemu_riscv32/power.h"
#include "device/port/qemu_riscv32/rng.h"
#include "device/port/qemu_riscv32/uart.h"
#include "device/rotate.h"
#include "device/strike.h"

#ifndef BOARD_FIRMWARE_VERSION
#error "the build says which version this is"
#endif

#define HEAP_SIZE 65536u
#define SERIAL_SIZE 65u
#define IDLE_MS 1000u

static unsigned char heap[HEAP_SIZE];
static struct board board;
static struct stamp_device device;
static struct stamp_agent agent;
static struct stamp_strike strike;
static struct stamp_rotate rotate;
/* A device is struck before it rotates: one buffer for both. */
static uint8_t room[STAMP_STRIKE_BUFFER];

/* Mbed TLS takes all its memory from `heap`, so it cannot grow into the stack. */
static void crypto_start(void)
{
    if (rng_init() != STAMP_OK) {
        power_fail("no entropy device (virtio-rng): no crypto and no keys without it");
    }
    mbedtls_memory_buffer_alloc_init(heap, sizeof(heap));
    if (psa_crypto_init() != PSA_SUCCESS) {
        power_fail("the crypto library does not start");
    }
}

/* The serial number comes from flash: what is not plain text must not reach a terminal.
 */
static void print_serial(void)
{
    char serial[SERIAL_SIZE];
    size_t len;

    if (stamp_get_string(&device, STAMP_BIRTH, STAMP_SERIAL, serial, sizeof(serial) - 1,
                         &len) != STAMP_OK) {
        uart_puts("(no serial)");
        return;
    }
    for (size_t i = 0; i < len; i++) {
        serial[i] = serial[i] >= ' ' && serial[i] <= '~' ? serial[i] : '?';
    }
    serial[len] = '\0';
    uart_puts(serial);
}

static void print_boot_line(enum stamp_err opened)
{
    uart_puts("devstamp: qemu-riscv32 " BOARD_FIRMWARE_VERSION ", ");
    if (opened == STAMP_OK) {
        uart_puts("stamp ");
        print_serial();
        uart_puts(device.locked ? ", locked" : "");
        uart_puts(board.port.root_key != NULL ? ", encrypted at rest\n" : "\n");
    } else if (opened == STAMP_E_BLANK) {
        uart_puts("no stamp; waiting\n");
    } else {
        uart_puts("stamp damaged or not for this board; waiting\n");
    }
}

static void send(void *ctx, const uint8_t *line, size_t len)
{
    (void)ctx;
    uart_write(line, len);
}

int main(void)
{
    struct stamp_agent_config config = {0};

    uart_init();
    idle_init();
    crypto_start();
    if (board_init(&board) != STAMP_OK) {
        power_fail("the flash is not the one of this board");
    }
    config.dev = &device;
    config.opened = stamp_device_open(&device, &board.port);
    config.firmware = BOARD_FIRMWARE_VERSION;
    config.tx = send;
    config.more[STAMP_AGENT_STRIKE] = &strike.more;
    config.more[STAMP_AGENT_ROTATE] = &rotate.more;
    stamp_strike_init(&strike, room, sizeof(room));
    stamp_rotate_init(&rotate, room, sizeof(room));
    stamp_agent_init(&agent, &config);
    print_boot_line(config.opened);

    for (;;) {
        int byte = uart_getc();

        if (byte >= 0) {
            stamp_agent_input(&agent, (uint8_t)byte);
        } else {
            idle_wait(IDLE_MS);
        }
    }
}
