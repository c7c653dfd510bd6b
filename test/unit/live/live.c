#include "test/unit/live/live.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/bundle.h"
#include "host/claims.h"
#include "host/dpp.h"
#include "host/key.h"
#include "host/leaf.h"
#include "host/pki.h"

static struct stamp_slice slice(const void *p, size_t len)
{
    struct stamp_slice s = {p, len};

    return s;
}

static struct stamp_slice text(const char *t)
{
    return slice(t, strlen(t));
}

/* ---- flash and port ---- */

static int flash_read(void *ctx, uint32_t off, void *buf, size_t len)
{
    struct live *l = ctx;

    assert_true(off <= sizeof l->flash && len <= sizeof l->flash - off);
    memcpy(buf, l->flash + off, len);
    return 0;
}

/* Does power fail in this operation? */
static bool cut(struct live *l)
{
    l->dead |= ++l->flash_ops == l->cut_at;
    return l->dead;
}

/* A byte that was being programmed: some of its bits are. */
static uint8_t spoilt(const struct live *l, uint8_t byte)
{
    return l->is.erased == 0xFF ? byte | 0x55u : byte & 0xAAu;
}

static int flash_program(void *ctx, uint32_t off, const void *buf, size_t len)
{
    struct live *l = ctx;

    if (l->flash_fails || l->dead) {
        return -1;
    }
    assert_true(off % l->is.unit == 0 && len % l->is.unit == 0);
    assert_true(off <= sizeof l->flash && len <= sizeof l->flash - off);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(l->flash[off + i], l->is.erased);
    }
    if (cut(l)) { /* some of it is there, some bits of the next unit, too */
        memcpy(l->flash + off, buf, len / 2);
        l->flash[off + len / 2] = spoilt(l, ((const uint8_t *)buf)[len / 2]);
        return -1;
    }
    memcpy(l->flash + off, buf, len);
    return 0;
}

static int flash_erase(void *ctx, uint32_t off)
{
    struct live *l = ctx;

    if (l->flash_fails || l->dead) {
        return -1;
    }
    assert_true(off % l->is.sector == 0 && off < sizeof l->flash);
    if (cut(l)) { /* erased in part: no byte is what it was, or what it is to be */
        for (size_t i = 0; i < l->is.sector; i++) {
            const uint8_t reached = (uint8_t)(i * 37u);

            l->flash[off + i] = l->is.erased == 0xFF
                                    ? l->flash[off + i] | reached
                                    : l->flash[off + i] & (uint8_t)~reached;
        }
        return -1;
    }
    memset(l->flash + off, l->is.erased, l->is.sector);
    return 0;
}

static int root_key(void *ctx, uint8_t key[32])
{
    (void)ctx;
    memset(key, 0x5A, 32);
    return 0;
}

static uint32_t now_ms(void *ctx)
{
    return ((struct live *)ctx)->now_ms;
}

static int chip_id(void *ctx, uint8_t id[STAMP_CHIP_ID_MAX], size_t *len)
{
    struct live *l = ctx;

    memcpy(id, l->chip, sizeof l->chip);
    *len = sizeof l->chip;
    return 0;
}

/* Fuses burn one by one, and power may fail between. */
static int burn(void *ctx)
{
    struct live *l = ctx;

    for (uint32_t bit = 1; bit <= STAMP_LOCK_DEBUG; bit <<= 1) {
        if ((l->fuses & bit) == 0 && cut(l)) {
            return -1;
        }
        l->fuses |= bit;
    }
    return 0;
}

static uint32_t lock_state(void *ctx, uint32_t *can)
{
    *can = STAMP_LOCK_WRITE | STAMP_LOCK_ENCRYPT | STAMP_LOCK_DEBUG;
    return ((struct live *)ctx)->fuses;
}

static void restart(void *ctx)
{
    ((struct live *)ctx)->restarts++;
}

static void make_port(struct live *l, const struct live_options *o)
{
    struct stamp_port *p = &l->port;

    static const struct live_flash usual = {4096, 8, 0xFF};

    l->is = o->flash != NULL ? *o->flash : usual;
    memset(l->flash, l->is.erased, sizeof l->flash);
    p->flash.read = flash_read;
    p->flash.program = flash_program;
    p->flash.erase = flash_erase;
    p->flash.ctx = l;
    p->flash.birth_size = LIVE_REGION;
    p->flash.bank_size = LIVE_REGION;
    p->flash.erase_size = l->is.sector;
    p->flash.program_size = l->is.unit;
    p->flash.erased = l->is.erased;
    p->work = l->port_work;
    p->work_size = sizeof l->port_work;
    p->root_key = o->encrypted ? root_key : NULL;
    p->now_ms = now_ms;
    p->ctx = l;
    if (o->strike) {
        memcpy(l->chip, "\x01\x02\x03\x04\x05\x06\x07\x08", sizeof l->chip);
        p->chip_id = chip_id;
        p->lock = burn;
        p->lock_state = lock_state;
        p->restart = restart;
        p->owner_key_hash = l->owner_hash;
    }
}

/* ---- the stamp ---- */

struct parts {
    struct stamp s;
    uint8_t owner_hash[32];
    uint8_t bundle[STAMP_MAX_BUNDLE];
    uint8_t scalar[STAMP_SCALAR_SIZE];
    uint8_t provisioning_scalar[STAMP_SCALAR_SIZE];
    uint8_t salts[2][STAMP_SALT_SIZE];
    uint8_t leaf[STAMP_MAX_CERTIFICATE];
    uint8_t body[STAMP_MAX_LEN];
    size_t body_len;
};

static void make_root(struct live *l, X509 **root)
{
    const struct stamp_authority what = {.organization = "Live test",
                                         .role = "device root",
                                         .purpose = STAMP_DEVELOPMENT,
                                         .not_before = 1700000000,
                                         .path_len = -1};
    uint8_t *der = NULL;

    assert_int_equal(stamp_pki_authority(&what, l->root, NULL, l->root, root, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_pki_encode(*root, &der, &l->root_der_len, NULL), STAMP_OK);
    assert_true(l->root_der_len <= sizeof l->root_der);
    memcpy(l->root_der, der, l->root_der_len);
    OPENSSL_free(der);
}

static void make_bundle(struct live *l, struct parts *p)
{
    struct stamp_bundle b = {.version = 1, .purpose = STAMP_DEVELOPMENT, .n_anchors = 1};
    uint8_t point[STAMP_POINT_SIZE];
    size_t len;

    b.anchors[0] = slice(l->root_der, l->root_der_len);
    assert_int_equal(stamp_bundle_sign(&b, l->owner, p->bundle, &len, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(l->owner, point, NULL), STAMP_OK);
    assert_int_equal(stamp_key_hash(point, p->owner_hash, NULL), STAMP_OK);
    p->s.trust_bundle = slice(p->bundle, len);
    p->s.owner_key_hash = slice(p->owner_hash, 32);
}

static void make_items(struct live *l, const struct live_options *o, struct parts *p)
{
    struct stamp *s = &p->s;

    s->serial = text(LIVE_SERIAL);
    s->company = text("Live test");
    s->product = text(LIVE_PRODUCT);
    s->has_made_at = true;
    s->made_at = 1735689600;
    s->has_purpose = true;
    s->purpose = STAMP_DEVELOPMENT;
    make_bundle(l, p);
    memset(p->salts, 0x33, sizeof p->salts);
    if (!o->no_pop) {
        s->pop_salt = slice(p->salts[0], STAMP_SALT_SIZE);
        s->pop = text(LIVE_POP);
        s->pop_shown = o->told;
    }
    if (!o->no_provisioning) {
        s->has_provisioning_key = true;
        s->provisioning_kind =
            o->peer_provisioning ? STAMP_PROVISIONING_PEER : STAMP_PROVISIONING_OWN;
        s->provisioning_point = slice(l->provisioning_point, STAMP_POINT_SIZE);
    }
    if (s->has_provisioning_key && !o->peer_provisioning) {
        assert_int_equal(stamp_key_scalar(l->provisioning, p->provisioning_scalar, NULL),
                         STAMP_OK);
        s->provisioning_salt = slice(p->salts[1], STAMP_SALT_SIZE);
        s->provisioning_private = slice(p->provisioning_scalar, STAMP_SCALAR_SIZE);
    }
    assert_int_equal(stamp_key_scalar(l->device_key, p->scalar, NULL), STAMP_OK);
    s->has_device_key = true;
    s->key_where = STAMP_KEY_HERE;
    s->key_private = slice(p->scalar, STAMP_SCALAR_SIZE);
}

static void make_leaf(struct live *l, const struct live_options *o, X509 *root,
                      struct parts *p)
{
    const struct stamp_leaf_profile profile = {.organization = "Live test",
                                               .purpose = STAMP_DEVELOPMENT};
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t digest[32];
    struct stamp_leaf_subject subject = {.serial_number = {0x11, 0x22},
                                         .serial = LIVE_SERIAL,
                                         .common_name = LIVE_SERIAL,
                                         .point = point,
                                         .digest = o->unbound ? NULL : digest,
                                         .not_before = 1735689600};
    struct stamp_leaf_maker *maker = NULL;
    size_t len;

    assert_int_equal(stamp_encode(&p->s, p->body, sizeof p->body, &p->body_len),
                     STAMP_OK);
    assert_int_equal(stamp_claims_of(p->body, p->body_len, digest, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(l->device_key, point, NULL), STAMP_OK);
    assert_int_equal(stamp_leaf_new(&profile, root, l->root, &maker, NULL), STAMP_OK);
    assert_int_equal(stamp_leaf_make(maker, &subject, p->leaf, &len, NULL), STAMP_OK);
    stamp_leaf_free(&maker);
    p->s.certificates[0] = slice(p->leaf, len);
    p->s.n_certificates = 1;
    assert_int_equal(stamp_encode(&p->s, p->body, sizeof p->body, &p->body_len),
                     STAMP_OK);
}

static void write_stamp(struct live *l, const struct live_options *o, X509 *root)
{
    struct parts *p = calloc(1, sizeof *p);
    struct stamp_device dev;

    assert_non_null(p);
    make_items(l, o, p);
    make_leaf(l, o, root, p);
    assert_int_equal(stamp_device_open(&dev, &l->port), STAMP_E_BLANK);
    assert_int_equal(stamp_birth_write(&dev, p->body, p->body_len), STAMP_OK);
    free(p);
}

/* ---- the line ---- */

static void queue_line(void *ctx, const uint8_t *line, size_t len)
{
    struct live *l = ctx;

    assert_in_range(len, 4, STAMP_SMP_LINE);
    assert_true(len <= sizeof l->out - l->out_len);
    memcpy(l->out + l->out_len, line, len);
    l->out_len += len;
}

static void to_device(void *ctx, const uint8_t *line, size_t len)
{
    struct live *l = ctx;

    for (size_t i = 0; i < len && !l->dead; i++) {
        stamp_agent_input(&l->agent, line[i]);
    }
}

/* One whole message on its way: through the hook, then on. */
static void pass_on(struct live *l, bool up, const struct stamp_smp_rx *rx, size_t len)
{
    uint8_t buf[STAMP_SMP_BUFFER];
    unsigned times = 1;

    memcpy(buf, rx->buf, sizeof buf);
    if (l->hook != NULL) {
        times = l->hook(l->hook_ctx, up, buf + STAMP_SMP_ROOM, &len);
    }
    for (unsigned i = 0; i < times; i++) {
        stamp_smp_send(buf, len, up ? to_device : queue_line, l);
    }
}

static void from_device(void *ctx, const uint8_t *line, size_t len)
{
    struct live *l = ctx;

    for (size_t i = 0; i < len && !l->dead; i++) {
        size_t n = stamp_smp_rx_byte(&l->down, line[i]);

        if (n > 0) {
            pass_on(l, false, &l->down, n);
        }
    }
}

static enum stamp_err line_send(void *ctx, const void *p, size_t len,
                                struct stamp_error *err)
{
    struct live *l = ctx;
    const uint8_t *bytes = p;

    (void)err;
    for (size_t i = 0; i < len; i++) {
        size_t n = stamp_smp_rx_byte(&l->up, bytes[i]);
        const uint8_t *msg = l->up.buf + STAMP_SMP_ROOM;

        if (n > 0 && msg[5] == STAMP_SMP_GROUP_STAMP) {
            l->requests[msg[7] % 32]++;
        }
        if (n > 0) {
            pass_on(l, true, &l->up, n);
        }
    }
    return STAMP_OK;
}

static enum stamp_err line_receive(void *ctx, void *buf, size_t size, int timeout_ms,
                                   size_t *len, struct stamp_error *err)
{
    struct live *l = ctx;

    (void)err;
    (void)timeout_ms;
    *len = l->out_len < size ? l->out_len : size;
    memcpy(buf, l->out, *len);
    l->out_len -= *len;
    memmove(l->out, l->out + *len, l->out_len);
    return STAMP_OK;
}

/* ---- start and stop ---- */

void live_start(struct live *l, const struct live_options *o)
{
    struct stamp_smp_line line = {line_send, line_receive, l, "memory"};
    uint8_t point[STAMP_POINT_SIZE];
    X509 *root = NULL;

    memset(l, 0, sizeof *l);
    assert_int_equal(psa_crypto_init(), PSA_SUCCESS);
    make_port(l, o);
    assert_int_equal(stamp_key_generate(&l->root, NULL), STAMP_OK);
    assert_int_equal(stamp_key_generate(&l->owner, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(l->owner, point, NULL), STAMP_OK);
    assert_int_equal(stamp_key_hash(point, l->owner_hash, NULL), STAMP_OK);
    assert_int_equal(stamp_key_generate(&l->device_key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_generate(&l->provisioning, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(l->provisioning, l->provisioning_point, NULL),
                     STAMP_OK);
    make_root(l, &root);
    if (!o->no_stamp) {
        write_stamp(l, o, root);
    }
    X509_free(root);
    stamp_smp_rx_init(&l->up);
    stamp_smp_rx_init(&l->down);
    stamp_smp_client_init(&l->client, &line);
    live_boot(l);
}

void live_boot(struct live *l)
{
    struct stamp_agent_config config = {
        .dev = &l->dev, .firmware = "live 1", .tx = from_device, .tx_ctx = l};

    if (l->booted) {
        stamp_agent_fini(&l->agent);
    }
    l->now_ms = 0;
    l->out_len = 0;
    l->dead = false;
    if (l->port.chip_id != NULL) {
        memset(l->strike_room, 0, sizeof l->strike_room);
        stamp_strike_init(&l->strike, l->strike_room, sizeof l->strike_room);
        config.more[STAMP_AGENT_STRIKE] = &l->strike.more;
    }
    memset(l->rotate_room, 0, sizeof l->rotate_room);
    stamp_rotate_init(&l->rotate, l->rotate_room, sizeof l->rotate_room);
    config.more[STAMP_AGENT_ROTATE] = &l->rotate.more;
    config.opened = stamp_device_open(&l->dev, &l->port);
    stamp_agent_init(&l->agent, &config);
    l->booted = true;
}

void live_send_raw(struct live *l, uint8_t buf[STAMP_SMP_BUFFER], size_t len)
{
    stamp_smp_send(buf, len, to_device, l);
}

void live_answer_raw(struct live *l, uint8_t buf[STAMP_SMP_BUFFER], size_t len)
{
    stamp_smp_send(buf, len, queue_line, l);
}

void live_label(const struct live *l, struct stamp_scan *label)
{
    memset(label, 0, sizeof *label);
    memcpy(label->key, l->provisioning_point, sizeof label->key);
    label->has_key = true;
    assert_int_equal(stamp_dpp_hash(l->provisioning_point, label->hash, NULL), STAMP_OK);
    label->has_hash = true;
    assert_int_equal(stamp_secret_new(&label->pop, LIVE_POP, strlen(LIVE_POP), NULL),
                     STAMP_OK);
    memcpy(label->serial, LIVE_SERIAL, sizeof LIVE_SERIAL);
}

uint32_t live_tries(struct live *l, bool *claimed)
{
    struct stamp_device dev;
    uint8_t buf[16];
    struct stamp_cbor c;
    uint32_t tries;
    size_t len;
    enum stamp_err err;

    assert_int_equal(stamp_device_open(&dev, &l->port), STAMP_OK);
    err = stamp_get(&dev, STAMP_NEWEST, STAMP_CLAIM_STATE, buf, sizeof buf, &len);
    *claimed = false;
    if (err == STAMP_E_MISSING) {
        return 0;
    }
    assert_int_equal(err, STAMP_OK);
    stamp_cbor_init(&c, buf, len);
    assert_int_equal(stamp_cbor_expect(&c, STAMP_CBOR_ARRAY), 2);
    tries = stamp_cbor_uint(&c, UINT32_MAX);
    *claimed = stamp_cbor_expect(&c, STAMP_CBOR_SIMPLE) == 21;
    assert_int_equal(c.err, STAMP_OK);
    return tries;
}

void live_stop(struct live *l)
{
    stamp_agent_fini(&l->agent);
    EVP_PKEY_free(l->root);
    EVP_PKEY_free(l->owner);
    EVP_PKEY_free(l->device_key);
    EVP_PKEY_free(l->provisioning);
    mbedtls_psa_crypto_free();
}
