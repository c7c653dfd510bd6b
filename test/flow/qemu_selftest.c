/*
 * Firmware that tests the board's drivers and the crypto library where they run: on the
 * emulated board. Which part runs, a word in the fuses says. Prints a line a check and
 * ends the machine with status 0 where all hold. Run by qemu_board_test.sh.
 */
#include <psa/crypto.h>
#include <string.h>

#include "mbedtls/memory_buffer_alloc.h"

#include "device/port/qemu_riscv32/clock.h"
#include "device/port/qemu_riscv32/fuse.h"
#include "device/port/qemu_riscv32/idle.h"
#include "device/port/qemu_riscv32/port.h"
#include "device/port/qemu_riscv32/power.h"
#include "device/port/qemu_riscv32/rng.h"
#include "device/port/qemu_riscv32/uart.h"

/* Parts of the test, by fuse_test_word(). */
#define PART_FRESH 1u    /* on an erased flash */
#define PART_AGAIN 2u    /* after it, on the same flash */
#define PART_READONLY 3u /* after it, on a flash that refuses changes */
#define PART_FAULT 4u    /* a trap is reported and ends the run */
#define PART_STACK 5u    /* so is a stack that overflows */

#define BIRTH 0u
#define BANK_A BOARD_SECTOR_SIZE
#define BANK_B (2u * BOARD_SECTOR_SIZE)
#define END (3u * BOARD_SECTOR_SIZE)

static unsigned char heap[65536];
static struct board board;
static unsigned failures;
static const uint8_t pattern[12] = "abcdefghijk";

static void check(const char *what, bool holds)
{
    uart_puts(holds ? "ok " : "FAILED ");
    uart_puts(what);
    uart_puts("\n");
    failures += holds ? 0u : 1u;
}

static bool flash_is(uint32_t off, const void *expected, size_t len)
{
    return memcmp(board.port.flash.map + off, expected, len) == 0;
}

static bool flash_blank(uint32_t off, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (board.port.flash.map[off + i] != 0xFF) {
            return false;
        }
    }
    return true;
}

static int erase(uint32_t off)
{
    return board.port.flash.erase(board.port.flash.ctx, off);
}

static int program(uint32_t off, const void *buf, size_t len)
{
    return board.port.flash.program(board.port.flash.ctx, off, buf, len);
}

static void test_clock(void)
{
    uint32_t start_ms = board.port.now_ms(board.port.ctx);

    for (int i = 0; i < 1000 && !clock_passed(start_ms, 20); i++) {
        idle_wait(20);
    }
    check("the clock goes on while the hart sleeps", clock_passed(start_ms, 20));
    check("and not much faster than it should", !clock_passed(start_ms, 5000));
}

static void test_entropy(void)
{
    uint8_t a[100] = {0};
    uint8_t b[100] = {0};
    uint8_t zero[36] = {0};

    check("entropy is delivered",
          rng_read(a, sizeof(a)) == STAMP_OK && rng_read(b, sizeof(b)) == STAMP_OK);
    check("all of it", memcmp(a + 64, zero, 36) != 0 && memcmp(b + 64, zero, 36) != 0);
    check("never the same twice", memcmp(a, b, sizeof(a)) != 0);
}

static void test_signature(void)
{
    static const uint8_t hash[32] = {1, 2, 3};
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_algorithm_t alg = PSA_ALG_ECDSA(PSA_ALG_SHA_256);
    psa_key_id_t key = 0;
    uint8_t signature[64];
    size_t len = 0;

    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attributes, 256);
    psa_set_key_usage_flags(&attributes,
                            PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&attributes, alg);
    check("a P-256 key is made", psa_generate_key(&attributes, &key) == PSA_SUCCESS);
    check("signs", psa_sign_hash(key, alg, hash, sizeof(hash), signature,
                                 sizeof(signature), &len) == PSA_SUCCESS &&
                       len == sizeof(signature));
    check("verifies",
          psa_verify_hash(key, alg, hash, sizeof(hash), signature, len) == PSA_SUCCESS);
    signature[40] ^= 1;
    check("and a changed signature does not",
          psa_verify_hash(key, alg, hash, sizeof(hash), signature, len) ==
              PSA_ERROR_INVALID_SIGNATURE);
    check("the key goes away", psa_destroy_key(key) == PSA_SUCCESS);
}

static void test_root_key(void)
{
    uint8_t expected[32];
    uint8_t key[32] = {0};

    for (size_t i = 0; i < sizeof(expected); i++) {
        expected[i] = (uint8_t)('A' + i);
    }
    check("there is a root key", board.port.root_key != NULL);
    check("it is what the machine was given",
          board.port.root_key != NULL && board.port.root_key(board.port.ctx, key) == 0 &&
              memcmp(key, expected, sizeof(key)) == 0);
}

static void test_erase_and_program(void)
{
    uint32_t unit = 0x12345678u;
    struct cfi other;

    check("a partition that is not whole sectors is refused",
          cfi_init(&other, BOARD_FLASH_BASE, BOARD_SECTOR_SIZE / 2) == STAMP_E_RANGE);
    check("and one larger than the flash",
          cfi_init(&other, BOARD_FLASH_BASE, 129u * BOARD_SECTOR_SIZE) == STAMP_E_RANGE);
    for (uint32_t off = BIRTH; off < END; off += BOARD_SECTOR_SIZE) {
        check("a sector is erased",
              erase(off) == 0 && flash_blank(off, BOARD_SECTOR_SIZE));
        check("programmed at its start", program(off, pattern, sizeof(pattern)) == 0 &&
                                             flash_is(off, pattern, sizeof(pattern)));
        check("and at its end", program(off + BOARD_SECTOR_SIZE - 4, &unit, 4) == 0 &&
                                    flash_is(off + BOARD_SECTOR_SIZE - 4, &unit, 4));
    }
    check("what lies between is untouched",
          flash_blank(BANK_A + sizeof(pattern), BOARD_SECTOR_SIZE - sizeof(pattern) - 4));
    check("a unit is not programmed twice",
          program(BANK_A, &unit, 4) == STAMP_E_FLASH && flash_is(BANK_A, pattern, 4));
    check("erasing one sector",
          erase(BANK_A) == 0 && flash_blank(BANK_A, BOARD_SECTOR_SIZE));
    check("leaves its neighbours", flash_is(BIRTH + BOARD_SECTOR_SIZE - 4, &unit, 4) &&
                                       flash_is(BANK_B, pattern, sizeof(pattern)));
}

static void test_ranges(void)
{
    uint8_t bytes[8] = {0};

    check("erase in the middle of a sector is refused",
          erase(BANK_A + 4) == STAMP_E_RANGE);
    check("erase behind the partition is refused", erase(END) == STAMP_E_RANGE);
    check("erase far outside is refused", erase(0xFFFC0000u) == STAMP_E_RANGE);
    check("program behind the partition is refused",
          program(END, bytes, 4) == STAMP_E_RANGE);
    check("program over its end is refused, whole",
          program(END - 4, bytes, 8) == STAMP_E_RANGE);
    check("program with a wrapping length is refused",
          program(BANK_A, bytes, 0xFFFFFFFCu) == STAMP_E_RANGE);
    check("half a unit is refused", program(BANK_A, bytes, 2) == STAMP_E_RANGE);
    check("a unit astride is refused", program(BANK_A + 2, bytes, 4) == STAMP_E_RANGE);
    check("nothing of it was programmed", flash_blank(BANK_A, BOARD_SECTOR_SIZE));
    check("read over the end is refused",
          board.port.flash.read(board.port.flash.ctx, END - 4, bytes, 8) ==
              STAMP_E_RANGE);
    check("read copies",
          board.port.flash.read(board.port.flash.ctx, BANK_B + 1, bytes, 3) == 0 &&
              memcmp(bytes, pattern + 1, 3) == 0);
}

static void test_lock_state(uint32_t expected)
{
    const uint32_t all = STAMP_LOCK_WRITE | STAMP_LOCK_ENCRYPT | STAMP_LOCK_DEBUG;
    uint32_t can = 0;
    uint32_t state = board.port.lock_state(board.port.ctx, &can);

    check("the board has all parts of a lock", can == all);
    check("and those are in force that should be", state == expected);
}

static void test_lock(void)
{
    check("the lock is set", board.port.lock(board.port.ctx) == 0);
    check("twice is harmless", board.port.lock(board.port.ctx) == 0);
    check("erase of the birth region is refused", erase(BIRTH) == STAMP_E_LOCKED);
    check("program in the birth region is refused",
          program(BIRTH + 64, pattern, 4) == STAMP_E_LOCKED);
    check("also in its last unit",
          program(BIRTH + BOARD_SECTOR_SIZE - 8, pattern, 4) == STAMP_E_LOCKED);
    check("the birth region is as it was",
          flash_is(BIRTH, pattern, sizeof(pattern)) &&
              flash_blank(BIRTH + sizeof(pattern),
                          BOARD_SECTOR_SIZE - sizeof(pattern) - 4));
    check("the banks stay writable", erase(BANK_A) == 0 &&
                                         program(BANK_A, pattern, 12) == 0 &&
                                         flash_is(BANK_A, pattern, 12));
}

static void test_fresh(void)
{
    test_clock();
    test_entropy();
    test_signature();
    test_root_key();
    test_erase_and_program();
    test_ranges();
    test_lock_state(0);
    test_lock();
    test_lock_state(STAMP_LOCK_WRITE | STAMP_LOCK_ENCRYPT | STAMP_LOCK_DEBUG);
}

static void test_again(void)
{
    uint8_t key[32];
    uint32_t can;

    check("encryption stays on where the fuse is gone, and there is no key for it",
          board.port.root_key != NULL &&
              board.port.root_key(board.port.ctx, key) == STAMP_E_MISSING);
    check("what was burnt is in force from boot on",
          board.port.lock_state(board.port.ctx, &can) ==
                  (STAMP_LOCK_WRITE | STAMP_LOCK_DEBUG) &&
              can == (STAMP_LOCK_WRITE | STAMP_LOCK_DEBUG));
    check("what was programmed is still there",
          flash_is(BIRTH, pattern, sizeof(pattern)) && flash_is(BANK_A, pattern, 12) &&
              flash_is(BANK_B, pattern, sizeof(pattern)));
    test_lock();
}

static void test_readonly(void)
{
    check("the chips refuse to erase", erase(BANK_B) == STAMP_E_FLASH);
    check("the chips refuse to program",
          program(BANK_B + 64, pattern, 4) == STAMP_E_FLASH);
    check("and keep what they hold",
          flash_is(BANK_B, pattern, sizeof(pattern)) && flash_blank(BANK_B + 64, 4));
    check("they are readable after it", flash_is(BIRTH, pattern, sizeof(pattern)));
}

/* Runs out of stack; what it computes keeps the compiler from seeing through it. */
static uint32_t overflow(uint32_t depth)
{
    volatile uint32_t used[64];

    used[depth % 64] = depth;
    return depth == 0 ? 0 : overflow(depth + 1) + used[depth % 64];
}

int main(void)
{
    uart_init();
    idle_init();
    if (rng_init() != STAMP_OK) {
        power_fail("no entropy device");
    }
    mbedtls_memory_buffer_alloc_init(heap, sizeof(heap));
    if (psa_crypto_init() != PSA_SUCCESS || board_init(&board) != STAMP_OK) {
        power_fail("the self-test does not start");
    }
    switch (fuse_test_word()) {
    case PART_FRESH:
        test_fresh();
        break;
    case PART_AGAIN:
        test_again();
        break;
    case PART_READONLY:
        test_readonly();
        break;
    case PART_STACK:
        uart_put_hex(overflow(1));
        break;
    case PART_FAULT:
        __asm__ volatile("unimp");
        break;
    default:
        power_fail("unknown part of the self-test");
    }
    power_off(failures == 0 ? 0 : 3);
}
