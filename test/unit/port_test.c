/* The conformance test itself: it passes what is right, the template among it, and finds
 * each fault. */
#include <string.h>

#include "device/port/template/template.h"
#include "test/unit/port_conformance.h"
#include "test/unit/rig/rig.h"

/* ---- a chip for the template ---- */

static uint8_t chip[0x100000];
static uint32_t protected_end;
static uint32_t uptime;

int hal_flash_read(uint32_t address, void *buf, size_t len)
{
    memcpy(buf, chip + address, len);
    return 0;
}

int hal_flash_program(uint32_t address, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    if (address < protected_end) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        chip[address + i] &= p[i];
    }
    return 0;
}

int hal_flash_erase_sector(uint32_t address)
{
    if (address < protected_end) {
        return -1;
    }
    memset(chip + address, 0xFF, 4096);
    return 0;
}

int hal_flash_protect(uint32_t address, uint32_t size)
{
    protected_end = address + size;
    return 0;
}

int hal_fuse_key(uint8_t key[32])
{
    for (uint8_t i = 0; i < 32; i++) {
        key[i] = i;
    }
    return 0;
}

static int debug_is_off;

int hal_debug_off(void)
{
    debug_is_off = 1;
    return 0;
}

int hal_debug_is_off(void)
{
    return debug_is_off;
}

int hal_flash_is_protected(uint32_t address, uint32_t size)
{
    return protected_end == address + size;
}

int hal_chip_number(uint8_t id[8])
{
    memset(id, 0x5A, 8);
    return 0;
}

void hal_reset(void)
{
    uptime = 0;
}

uint32_t hal_uptime_ms(void)
{
    return uptime++;
}

static void template_conforms(void **state)
{
    (void)state;
    assert_null(port_conformance(template_port(), true));
}

static int another_id(void *ctx, uint8_t id[STAMP_CHIP_ID_MAX], size_t *len)
{
    static uint8_t n;

    (void)ctx;
    id[0] = n++;
    *len = 1;
    return 0;
}

static int no_id(void *ctx, uint8_t id[STAMP_CHIP_ID_MAX], size_t *len)
{
    (void)ctx;
    (void)id;
    *len = 0;
    return 0;
}

static uint32_t says_nothing(void *ctx, uint32_t *can)
{
    (void)ctx;
    *can = STAMP_LOCK_WRITE;
    return 0;
}

static uint32_t says_too_much(void *ctx, uint32_t *can)
{
    (void)ctx;
    *can = STAMP_LOCK_WRITE;
    return STAMP_LOCK_DEBUG;
}

static uint32_t says_always(void *ctx, uint32_t *can)
{
    (void)ctx;
    *can = STAMP_LOCK_WRITE;
    return STAMP_LOCK_WRITE;
}

static void what_a_line_asks_of_a_chip_is_checked(void **state)
{
    static const struct {
        int (*chip_id)(void *, uint8_t *, size_t *);
        uint32_t (*lock_state)(void *, uint32_t *);
        const char *wrong;
    } bad[] = {
        {another_id, NULL, "the chip id is another one each time"},
        {no_id, NULL, "the chip id has no sensible length"},
        {NULL, says_nothing, "it is locked, and not all parts are in force"},
        {NULL, says_too_much, "the lock state has parts that the chip does not have"},
        {NULL, says_always, "it says that it is locked before"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct stamp_port port = *template_port();

        protected_end = 0;
        port.chip_id = bad[i].chip_id;
        port.lock_state = bad[i].lock_state;
        assert_string_equal(port_conformance(&port, true), bad[i].wrong);
    }
    protected_end = 0;
}

static void a_device_lives_on_the_template(void **state)
{
    const struct fixture_options small = {.small = true};
    struct fixture_stamp birth;
    struct stamp_device dev;

    (void)state;
    memset(chip, 0xFF, sizeof(chip));
    protected_end = 0;
    fixture_birth(&rig_owner, &small, &birth);
    assert_int_equal(stamp_device_open(&dev, template_port()), STAMP_E_BLANK);
    assert_int_equal(stamp_birth_write(&dev, birth.bytes, birth.len), STAMP_OK);
    assert_int_equal(stamp_lock(&dev), STAMP_OK);
    protected_end = 0; /* a reset */
    assert_int_equal(stamp_device_open(&dev, template_port()), STAMP_OK);
    assert_int_equal(protected_end, 0xF1000);
    assert_int_equal(stamp_check_binding(&dev), STAMP_OK);
}

/* ---- ports with one fault each ---- */

static struct nor nor;

static int start(void **state)
{
    const struct nor_geometry g = {1024, 8, 0xFF, 2048};

    (void)state;
    nor_init(&nor, &g, true, true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    nor_fini(&nor);
    return 0;
}

static int no_program(void *ctx, uint32_t off, const void *buf, size_t len)
{
    (void)ctx;
    (void)off;
    (void)buf;
    (void)len;
    return 0;
}

static int long_program(void *ctx, uint32_t off, const void *buf, size_t len)
{
    struct nor *n = ctx;

    memcpy(n->cells + off, buf, len);
    n->cells[off + len < n->size ? off + len : 0] = 0; /* one byte too many */
    return 0;
}

static int no_erase(void *ctx, uint32_t off)
{
    (void)ctx;
    (void)off;
    return 0;
}

static int wide_erase(void *ctx, uint32_t off)
{
    struct nor *n = ctx;

    memset(n->used, 0, n->size / 8);
    memset(n->cells + off, 0xFF, off + 2048 <= n->size ? 2048 : 1024);
    return 0;
}

static int shifted_read(void *ctx, uint32_t off, void *buf, size_t len)
{
    const struct nor *n = ctx;

    memcpy(buf, n->cells + (off & ~3u), len); /* reads words only */
    return 0;
}

static int new_root_key(void *ctx, uint8_t key[32])
{
    struct nor *n = ctx;

    memset(key, 0, 32);
    key[0] = (uint8_t)++n->clock_ms;
    return 0;
}

static int flat_root_key(void *ctx, uint8_t key[32])
{
    (void)ctx;
    memset(key, 0xFF, 32);
    return 0;
}

static uint32_t backwards(void *ctx)
{
    struct nor *n = ctx;

    return n->clock_ms--;
}

static void right_one_passes(void **state)
{
    (void)state;
    assert_null(port_conformance(&nor.port, false));
    nor.port.flash.map = NULL;
    assert_null(port_conformance(&nor.port, false));
    nor.port.root_key = NULL;
    nor.port.lock = NULL;
    assert_null(port_conformance(&nor.port, true));
    assert_string_equal(nor.broken, "");
    for (uint32_t i = 0; i < nor.size; i++) {
        assert_int_equal(nor.cells[i], 0xFF);
    }
}

static void each_fault_is_found(void **state)
{
    struct stamp_port p;

    (void)state;
    p = nor.port;
    p.flash.program = no_program;
    assert_string_equal(port_conformance(&p, false),
                        "what was programmed does not read back");
    p = nor.port;
    p.flash.program = long_program;
    assert_string_equal(port_conformance(&p, false),
                        "program changes bytes behind its own");
    p = nor.port;
    p.flash.erase = no_erase;
    memset(nor.cells, 0, 8);
    assert_string_equal(port_conformance(&p, false),
                        "an erased byte does not read as erased");
    p = nor.port;
    p.flash.erase = wide_erase;
    memset(nor.cells, 0xFF, nor.size);
    assert_string_equal(port_conformance(&p, false), "erase changes another sector");
    p = nor.port;
    p.flash.read = shifted_read;
    assert_non_null(port_conformance(&p, false));
    p = nor.port;
    p.root_key = new_root_key;
    assert_string_equal(port_conformance(&p, false),
                        "the root key is another one each time");
    p.root_key = flat_root_key;
    assert_string_equal(port_conformance(&p, false),
                        "the root key is 32 times the same byte");
    p = nor.port;
    p.now_ms = backwards;
    assert_string_equal(port_conformance(&p, false), "the clock goes back");
    p = nor.port; /* whose lock does nothing */
    assert_string_equal(port_conformance(&p, true), "the locked region can be erased");
}

static void bad_geometry_is_found(void **state)
{
    struct stamp_port p;

    (void)state;
    p = nor.port;
    p.flash.program_size = 24;
    assert_non_null(port_conformance(&p, false));
    p.flash.program_size = 128;
    assert_non_null(port_conformance(&p, false));
    p = nor.port;
    p.flash.erase_size = 1000;
    assert_non_null(port_conformance(&p, false));
    p = nor.port;
    p.flash.bank_size = 1536;
    assert_non_null(port_conformance(&p, false));
    p = nor.port;
    p.flash.erase_size = 256;
    p.flash.birth_size = 256;
    assert_non_null(port_conformance(&p, false));
    p = nor.port;
    p.flash.erased = 0xAA;
    assert_non_null(port_conformance(&p, false));
    p = nor.port;
    p.flash.map = NULL;
    p.flash.read = NULL;
    assert_non_null(port_conformance(&p, false));
    p = nor.port;
    p.now_ms = NULL;
    assert_non_null(port_conformance(&p, false));
    p = nor.port;
    p.work = NULL;
    assert_non_null(port_conformance(&p, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(template_conforms),
        cmocka_unit_test(what_a_line_asks_of_a_chip_is_checked),
        cmocka_unit_test(a_device_lives_on_the_template),
        cmocka_unit_test_setup_teardown(right_one_passes, start, stop),
        cmocka_unit_test_setup_teardown(each_fault_is_found, start, stop),
        cmocka_unit_test_setup_teardown(bad_geometry_is_found, start, stop),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
