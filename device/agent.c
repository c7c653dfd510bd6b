/* Dispatch, and the requests that need no exchange. The claim is in claim.c. SPEC 10. */
#include "device/agent.h"

#include <string.h>

#include "device/agent_i.h"
#include "device/device_i.h"

enum {
    ITEM_CLAIMS = 0,  /* "k" of SPEC 10-6 that is no key of the stamp */
    ITEM_CHUNK = 224, /* bytes of one answer: with heads and "len" in STAMP_SMP_MAX */
};

/* Out of line, which makes shorter code. */
STAMPI_OWN_FRAME static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

void stampi_put_map(struct stamp_cbor_out *o, uint32_t n)
{
    stamp_cbor_put_head(o, STAMP_CBOR_MAP, n);
}

static void put_key(struct stamp_cbor_out *o, const char *key)
{
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, key, strlen(key));
}

void stampi_put(struct stamp_cbor_out *o, const char *key, enum stamp_cbor_type type,
                uint32_t arg, const void *p)
{
    put_key(o, key);
    stamp_cbor_put_head(o, type, arg);
    if (p != NULL) {
        stamp_cbor_put_raw(o, p, arg);
    }
}

void stampi_put_uint(struct stamp_cbor_out *o, const char *key, uint32_t v)
{
    stampi_put(o, key, STAMP_CBOR_UINT, v, NULL);
}

void stampi_put_bool(struct stamp_cbor_out *o, const char *key, bool v)
{
    stampi_put(o, key, STAMP_CBOR_SIMPLE, 20u + v, NULL);
}

enum stamp_err stampi_put_item(struct stamp_cbor_out *o, const struct stamp_device *dev,
                               const char *key, uint32_t item)
{
    struct stamp_slice v;
    enum stamp_err err = stampi_find(dev, STAMP_BIRTH, item, &v);

    if (err == STAMP_OK) {
        put_key(o, key);
        stamp_cbor_put_raw(o, v.p, v.len); /* in messages as in the stamp */
    }
    stampi_done(dev);
    return err;
}

bool stampi_field_bytes(const struct stampi_call *c, const char *key, size_t min,
                        size_t max, struct stamp_slice *out)
{
    struct stamp_cbor v;

    (void)stamp_smp_field(c->body, c->len, key, &v); /* its error stays in `v` */
    *out = stamp_cbor_string(&v, STAMP_CBOR_BYTES, min, max);
    return v.err == STAMP_OK;
}

bool stampi_field_uint(const struct stampi_call *c, const char *key, uint32_t *out)
{
    struct stamp_cbor v;
    enum stamp_err err = stamp_smp_field(c->body, c->len, key, &v);

    *out = stamp_cbor_expect(&v, STAMP_CBOR_UINT);
    return err == STAMP_E_MISSING || v.err == STAMP_OK;
}

static bool field_which(const struct stampi_call *c, enum stamp_which *which)
{
    uint32_t w;
    bool ok = stampi_field_uint(c, "w", &w) && (w == STAMP_BIRTH || w == STAMP_NEWEST);

    *which = (enum stamp_which)w;
    return ok;
}

enum stamp_err stampi_sign_with(const struct stamp_device *dev, enum stamp_which which,
                                uint32_t key, const char *label,
                                struct stamp_slice payload,
                                uint8_t sig[STAMP_SIGNATURE_SIZE],
                                uint8_t point[STAMP_POINT_SIZE])
{
    psa_key_id_t id;
    size_t len;
    enum stamp_err err = stamp_key_load(dev, which, key, &id);

    if (err == STAMP_OK && point != NULL &&
        psa_export_public_key(id, point, STAMP_POINT_SIZE, &len) != PSA_SUCCESS) {
        err = STAMP_E_CRYPTO;
    }
    if (err == STAMP_OK) {
        err = stamp_sign(id, label, payload.p, payload.len, sig);
    }
    stamp_key_unload(id);
    return err;
}

/* Keys in the order of deterministic encoding, as in every message. False: an item cannot
 * be read. */
static bool put_info(struct stampi_call *c, bool whole, const char *state)
{
    const struct stamp_device *dev = c->a->cfg.dev;
    const struct stamp_part *part = &dev->part;
    const char *firmware = c->a->cfg.firmware;
    struct stamp_cbor_out *o = &c->out;
    struct stamp_claim_state claim;
    uint32_t len = 0;
    bool ok = true;

    while (len < STAMP_AGENT_FIRMWARE_MAX && firmware[len] != '\0') {
        len++;
    }
    stampi_put_map(o, whole ? 9 : 3);
    stampi_put_uint(o, "v", 1);
    stampi_put(o, "fw", STAMP_CBOR_TEXT, len, firmware);
    if (whole) {
        stampi_put_uint(o, "seq", part->region[part->newest].seq);
        stampi_put_bool(o, "crypt",
                        (part->region[STAMP_BIRTH].flags & STAMP_FLAG_ENCRYPTED) != 0);
    }
    stampi_put(o, "state", STAMP_CBOR_TEXT, (uint32_t)strlen(state), state);
    if (whole) {
        ok = stampi_claim_state(dev, &claim) == STAMP_OK;
        ok &= stampi_put_item(o, dev, "serial", STAMP_SERIAL) == STAMP_OK;
        stampi_put_bool(o, "claimed", claim.claimed);
        ok &= stampi_put_item(o, dev, "product", STAMP_PRODUCT) == STAMP_OK;
        ok &= stampi_put_item(o, dev, "purpose", STAMP_PURPOSE) == STAMP_OK;
    }
    return ok;
}

static int answer_info(struct stampi_call *c)
{
    enum stamp_err opened = c->a->cfg.opened;

    if (opened != STAMP_OK ||
        !put_info(c, true, c->a->cfg.dev->locked ? "locked" : "ready")) {
        c->out.len = 0;
        (void)put_info(c, false, opened == STAMP_E_BLANK ? "blank" : "damaged");
    }
    return STAMP_RC_OK;
}

static int answer_item(struct stampi_call *c)
{
    const struct stamp_device *dev = c->a->cfg.dev;
    uint8_t chunk[ITEM_CHUNK];
    struct stamp_slice v;
    enum stamp_which which;
    enum stamp_err err;
    uint32_t key;
    uint32_t off;
    size_t len = 0;
    size_t total;

    if (!stampi_field_uint(c, "k", &key) || !stampi_field_uint(c, "off", &off) ||
        !field_which(c, &which)) {
        return STAMP_RC_BAD;
    }
    if (key == ITEM_CLAIMS) {
        err = stamp_claims_read(dev, off, chunk, sizeof chunk, &len, &total);
    } else if (key == STAMP_TRUST_BUNDLE || key == STAMP_CERTIFICATES) {
        err = stampi_find(dev, which, key, &v);
        if (err == STAMP_OK) {
            total = v.len;
            off = off < total ? off : (uint32_t)total;
            len = total - off < sizeof chunk ? total - off : sizeof chunk;
            memcpy(chunk, v.p + off, len);
        }
        stampi_done(dev);
    } else {
        return STAMP_RC_BAD;
    }
    if (err != STAMP_OK) {
        return err;
    }
    stampi_put_map(&c->out, 2);
    stampi_put(&c->out, "d", STAMP_CBOR_BYTES, (uint32_t)len, chunk);
    stampi_put_uint(&c->out, "len", (uint32_t)total);
    return STAMP_RC_OK;
}

static int answer_prove(struct stampi_call *c)
{
    uint8_t sig[STAMP_SIGNATURE_SIZE];
    struct stamp_slice nonce;
    enum stamp_which which;
    enum stamp_err err;

    if (!field_which(c, &which) ||
        !stampi_field_bytes(c, "n", STAMP_NONCE_MIN, STAMP_NONCE_MAX, &nonce)) {
        return STAMP_RC_BAD;
    }
    err = stampi_sign_with(c->a->cfg.dev, which, STAMP_DEVICE_KEY, STAMP_LABEL_PROVE,
                           nonce, sig, NULL);
    if (err != STAMP_OK) {
        return err;
    }
    stampi_put_map(&c->out, 1);
    stampi_put(&c->out, "s", STAMP_CBOR_BYTES, sizeof sig, sig);
    return STAMP_RC_OK;
}

static int answer_echo(struct stampi_call *c)
{
    struct stamp_cbor v;
    struct stamp_slice text;

    (void)stamp_smp_field(c->body, c->len, "d", &v); /* its error stays in `v` */
    text = stamp_cbor_string(&v, STAMP_CBOR_TEXT, 0, c->len);
    stampi_put_map(&c->out, 1);
    stampi_put(&c->out, "r", STAMP_CBOR_TEXT, (uint32_t)text.len, text.p);
    return v.err == STAMP_OK ? STAMP_RC_OK : STAMP_RC_BAD;
}

static int answer(struct stampi_call *c, const uint8_t *header)
{
    static int (*const table[])(struct stampi_call * c) = {
        [STAMP_SMP_INFO] = answer_info,       [STAMP_SMP_ITEM] = answer_item,
        [STAMP_SMP_PROVE] = answer_prove,     [STAMP_SMP_CLAIM] = stampi_claim,
        [STAMP_SMP_POSSESS] = stampi_possess,
    };
    const struct stamp_agent_more *more;
    unsigned group = get16(header + STAMP_SMP_AT_GROUP);
    unsigned id = header[STAMP_SMP_AT_ID];
    bool write = (header[STAMP_SMP_AT_OP] & STAMP_SMP_WRITE) != 0;

    if (group == STAMP_SMP_GROUP_OS && id == STAMP_SMP_ECHO && write) {
        return answer_echo(c);
    }
    if (group != STAMP_SMP_GROUP_STAMP || id > STAMP_SMP_POSSESS ||
        write != (id >= STAMP_SMP_PROVE)) {
        more = c->a->cfg.more[id > STAMP_SMP_AGREE];
        return more != NULL ? more->answer(c, group, id, write) : STAMP_RC_NOT_SUPPORTED;
    }
    if (id != STAMP_SMP_INFO && c->a->cfg.opened != STAMP_OK) {
        return STAMP_RC_NOT_FOUND;
    }
    return table[id](c);
}

/* Put the body of the answer to a request into c->out. */
static void put_answer(struct stampi_call *c, const uint8_t *header)
{
    int rc = answer(c, header);

    if (rc == STAMP_RC_OK && !stamp_cbor_out_ok(&c->out)) {
        rc = STAMP_E_SPACE;
    }
    if (rc == STAMP_RC_OK) {
        return;
    }
    if (rc < 0) {
        rc = rc == STAMP_E_MISSING ? STAMP_RC_NOT_FOUND
             : rc == STAMP_E_SPACE ? STAMP_RC_TOO_LARGE
                                   : STAMP_RC_UNKNOWN;
    }
    c->out.len = 0;
    stampi_put_map(&c->out, rc == STAMP_RC_BUSY ? 2 : 1);
    stampi_put_uint(&c->out, "rc", (uint32_t)rc);
    if (rc == STAMP_RC_BUSY) {
        stampi_put_uint(&c->out, "wait", c->wait_ms);
    }
}

/* `msg` has its CRC behind it. A request that comes a second time gets the same answer,
 * so that a host may repeat what it has no answer to: SPEC 10-19. What tells it is group,
 * sequence and id, which the answer repeats, and the CRC. */
static void reply(struct stamp_agent *a, const uint8_t *msg, size_t len)
{
    uint8_t *out = a->out + STAMP_SMP_ROOM;
    struct stampi_call c = {
        .a = a,
        .body = msg + STAMP_SMP_HEADER,
        .len = len - STAMP_SMP_HEADER,
        .out = {out + STAMP_SMP_HEADER, STAMP_SMP_MAX - STAMP_SMP_HEADER, 0},
    };

    if (len < STAMP_SMP_HEADER || get16(msg + STAMP_SMP_AT_LEN) != c.len ||
        (msg[STAMP_SMP_AT_OP] & STAMP_SMP_OP_MASK & ~(unsigned)STAMP_SMP_WRITE) != 0) {
        return; /* not a request: to answer it could start a quarrel of two devices */
    }
    if (a->answered == 0 || get16(msg + len) != a->crc ||
        memcmp(out + STAMP_SMP_AT_GROUP, msg + STAMP_SMP_AT_GROUP,
               STAMP_SMP_HEADER - STAMP_SMP_AT_GROUP) != 0) {
        put_answer(&c, msg);
        memcpy(out, msg, STAMP_SMP_HEADER);
        out[STAMP_SMP_AT_OP] = (msg[STAMP_SMP_AT_OP] & STAMP_SMP_OP_MASK) + 1u;
        out[STAMP_SMP_AT_FLAGS] = 0;
        out[STAMP_SMP_AT_LEN] = (uint8_t)(c.out.len >> 8);
        out[STAMP_SMP_AT_LEN + 1] = (uint8_t)c.out.len;
        a->answered = STAMP_SMP_HEADER + c.out.len;
        a->crc = get16(msg + len);
    }
    stamp_smp_send(a->out, a->answered, a->cfg.tx, a->cfg.tx_ctx);
    if (a->restart) {
        a->restart = false;
        a->cfg.dev->port->restart(a->cfg.dev->port->ctx);
    }
}

void stamp_agent_init(struct stamp_agent *a, const struct stamp_agent_config *cfg)
{
    memset(a, 0, sizeof *a);
    a->cfg = *cfg;
    stampi_claim_init(a);
}

void stamp_agent_input(struct stamp_agent *a, uint8_t byte)
{
    size_t len = stamp_smp_rx_byte(&a->rx, byte);

    if (len > 0) {
        reply(a, a->rx.buf + STAMP_SMP_ROOM, len);
    }
}

void stamp_agent_reopened(struct stamp_agent *a, enum stamp_err opened)
{
    stampi_claim_end(a);
    a->cfg.opened = opened;
    a->answered = 0;
}

void stamp_agent_fini(struct stamp_agent *a)
{
    stampi_claim_end(a);
}
