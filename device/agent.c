/* Dispatch, and the requests that need no exchange. The claim is in claim.c. SPEC 10. */
#include "device/agent.h"

#include <string.h>

#include "device/agent_i.h"

enum {
    ITEM_CLAIMS = 0,  /* "k" of SPEC 10-6 that is no key of the stamp */
    ITEM_CHUNK = 224, /* bytes of one answer: with heads and "len" in STAMP_SMP_MAX */
};

static void put_key(struct stamp_reply *r, const char *key)
{
    stamp_cbor_put_string(&r->out, STAMP_CBOR_TEXT, key, strlen(key));
}

void stampi_put_bytes(struct stamp_reply *r, const char *key, const void *p, size_t len)
{
    put_key(r, key);
    stamp_cbor_put_string(&r->out, STAMP_CBOR_BYTES, p, len);
}

static void put_text(struct stamp_reply *r, const char *key, const void *p, size_t len)
{
    put_key(r, key);
    stamp_cbor_put_string(&r->out, STAMP_CBOR_TEXT, p, len);
}

static void put_uint(struct stamp_reply *r, const char *key, uint32_t v)
{
    put_key(r, key);
    stamp_cbor_put_head(&r->out, STAMP_CBOR_UINT, v);
}

static void put_bool(struct stamp_reply *r, const char *key, bool v)
{
    put_key(r, key);
    stamp_cbor_put_head(&r->out, STAMP_CBOR_SIMPLE, v ? 21 : 20);
}

static void put_map(struct stamp_reply *r, uint32_t n)
{
    stamp_cbor_put_head(&r->out, STAMP_CBOR_MAP, n);
}

bool stampi_field_bytes(const struct stamp_request *q, const char *key, size_t min,
                        size_t max, struct stamp_slice *out)
{
    struct stamp_cbor c;

    if (stamp_smp_field(q->body, q->len, key, &c) != STAMP_OK) {
        return false;
    }
    *out = stamp_cbor_string(&c, STAMP_CBOR_BYTES, min, max);
    return c.err == STAMP_OK;
}

/* A number that may be absent, and is then 0. */
static bool field_uint(const struct stamp_request *q, const char *key, uint32_t *out)
{
    struct stamp_cbor c;

    *out = 0;
    if (stamp_smp_field(q->body, q->len, key, &c) == STAMP_OK) {
        *out = stamp_cbor_uint(&c, UINT32_MAX);
        return c.err == STAMP_OK;
    }
    return c.err == STAMP_E_MISSING;
}

static bool field_which(const struct stamp_request *q, enum stamp_which *which)
{
    uint32_t w;

    if (!field_uint(q, "w", &w) || (w != STAMP_BIRTH && w != STAMP_NEWEST)) {
        return false;
    }
    *which = (enum stamp_which)w;
    return true;
}

enum stamp_smp_rc stampi_rc(enum stamp_err err)
{
    switch ((int)err) {
    case STAMP_OK:
        return STAMP_RC_OK;
    case STAMP_E_BLANK:
    case STAMP_E_MISSING:
        return STAMP_RC_NOT_FOUND;
    case STAMP_E_SPACE:
        return STAMP_RC_TOO_LARGE;
    default:
        return STAMP_RC_UNKNOWN;
    }
}

static size_t shown_len(const char *firmware)
{
    size_t len = strlen(firmware);

    return len < STAMP_AGENT_FIRMWARE_MAX ? len : STAMP_AGENT_FIRMWARE_MAX;
}

static enum stamp_err put_item_text(const struct stamp_device *dev, struct stamp_reply *r,
                                    const char *name, uint32_t key)
{
    uint8_t buf[STAMP_MAX_TEXT];
    size_t len;
    enum stamp_err err = stamp_get_string(dev, STAMP_BIRTH, key, buf, sizeof buf, &len);

    if (err == STAMP_OK) {
        put_text(r, name, buf, len);
    }
    return err;
}

/* Info of a device with a stamp. Keys in the order of deterministic encoding, as in every
 * message. */
static enum stamp_err put_stamp(const struct stamp_agent *a, struct stamp_reply *r)
{
    const struct stamp_device *dev = a->cfg.dev;
    const struct stamp_part *part = &dev->part;
    const char *state = dev->locked ? "locked" : "ready";
    struct stamp_claim_state claim;
    uint8_t purpose[STAMP_CBOR_HEAD_MAX];
    enum stamp_err err = stampi_claim_state(dev, &claim);
    size_t len;

    if (err != STAMP_OK) {
        return err;
    }
    put_map(r, 9);
    put_uint(r, "v", 1);
    put_text(r, "fw", a->cfg.firmware, shown_len(a->cfg.firmware));
    put_uint(r, "seq", part->region[part->newest].seq);
    put_bool(r, "crypt", (part->region[STAMP_BIRTH].flags & STAMP_FLAG_ENCRYPTED) != 0);
    put_text(r, "state", state, strlen(state));
    err = put_item_text(dev, r, "serial", STAMP_SERIAL);
    if (err != STAMP_OK) {
        return err;
    }
    put_bool(r, "claimed", claim.claimed);
    err = put_item_text(dev, r, "product", STAMP_PRODUCT);
    if (err != STAMP_OK) {
        return err;
    }
    err = stamp_get(dev, STAMP_BIRTH, STAMP_PURPOSE, purpose, sizeof purpose, &len);
    if (err == STAMP_OK) {
        put_key(r, "purpose");
        stamp_cbor_put_raw(&r->out, purpose, len); /* in the stamp, the same number */
    }
    return err;
}

static enum stamp_smp_rc answer_info(const struct stamp_agent *a, struct stamp_reply *r)
{
    const char *state = a->cfg.opened == STAMP_E_BLANK ? "blank" : "damaged";
    struct stamp_cbor_out begin = r->out;

    /* an item that cannot be read makes it damaged */
    if (a->cfg.opened == STAMP_OK && put_stamp(a, r) == STAMP_OK) {
        return STAMP_RC_OK;
    }
    r->out = begin;
    put_map(r, 3);
    put_uint(r, "v", 1);
    put_text(r, "fw", a->cfg.firmware, shown_len(a->cfg.firmware));
    put_text(r, "state", state, strlen(state));
    return STAMP_RC_OK;
}

static enum stamp_smp_rc answer_item(struct stamp_agent *a, const struct stamp_request *q,
                                     struct stamp_reply *r)
{
    const struct stamp_device *dev = a->cfg.dev;
    const uint8_t *chunk = a->cfg.work;
    enum stamp_which which;
    enum stamp_err err;
    uint32_t key;
    uint32_t off;
    size_t len;
    size_t total;

    if (!field_uint(q, "k", &key) || !field_uint(q, "off", &off) ||
        !field_which(q, &which)) {
        return STAMP_RC_BAD;
    }
    if (key == ITEM_CLAIMS) {
        size_t room = a->cfg.work_size < ITEM_CHUNK ? a->cfg.work_size : ITEM_CHUNK;

        err = stamp_claims_read(dev, off, a->cfg.work, room, &len, &total);
    } else if (key == STAMP_TRUST_BUNDLE || key == STAMP_CERTIFICATES) {
        err = stamp_get(dev, which, key, a->cfg.work, a->cfg.work_size, &total);
        len = err == STAMP_OK && off < total ? total - off : 0;
        len = len < ITEM_CHUNK ? len : ITEM_CHUNK;
        chunk += len > 0 ? off : 0;
    } else {
        return STAMP_RC_BAD;
    }
    if (err != STAMP_OK) {
        return stampi_rc(err);
    }
    put_map(r, 2);
    stampi_put_bytes(r, "d", chunk, len);
    put_uint(r, "len", (uint32_t)total);
    return STAMP_RC_OK;
}

static enum stamp_smp_rc answer_prove(const struct stamp_agent *a,
                                      const struct stamp_request *q,
                                      struct stamp_reply *r)
{
    uint8_t signature[STAMP_SIGNATURE_SIZE];
    struct stamp_slice nonce;
    enum stamp_which which;
    enum stamp_err err;
    psa_key_id_t id;

    if (!field_which(q, &which) ||
        !stampi_field_bytes(q, "n", STAMP_NONCE_MIN, STAMP_NONCE_MAX, &nonce)) {
        return STAMP_RC_BAD;
    }
    err = stamp_key_load(a->cfg.dev, which, STAMP_DEVICE_KEY, &id);
    if (err == STAMP_OK) {
        err = stamp_sign(id, STAMP_LABEL_PROVE, nonce.p, nonce.len, signature);
        stamp_key_unload(id);
    }
    if (err != STAMP_OK) {
        return stampi_rc(err);
    }
    put_map(r, 1);
    stampi_put_bytes(r, "s", signature, sizeof signature);
    return STAMP_RC_OK;
}

static enum stamp_smp_rc answer_echo(const struct stamp_request *q, struct stamp_reply *r)
{
    struct stamp_cbor c;
    struct stamp_slice text;

    stamp_smp_field(q->body, q->len, "d", &c); /* its error stays in `c` */
    text = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 0, q->len);
    if (c.err != STAMP_OK) {
        return STAMP_RC_BAD;
    }
    put_map(r, 1);
    put_text(r, "r", text.p, text.len);
    return STAMP_RC_OK;
}

static enum stamp_smp_rc answer(struct stamp_agent *a, const struct stamp_smp_header *h,
                                const struct stamp_request *q, struct stamp_reply *r)
{
    unsigned what = (unsigned)h->id << 2 | h->op;

    if (h->group == STAMP_SMP_GROUP_OS) {
        return what == (STAMP_SMP_ECHO << 2 | STAMP_SMP_WRITE) ? answer_echo(q, r)
                                                               : STAMP_RC_NOT_SUPPORTED;
    }
    if (h->group != STAMP_SMP_GROUP_STAMP || h->id > STAMP_SMP_POSSESS) {
        return STAMP_RC_NOT_SUPPORTED;
    }
    if (what == (STAMP_SMP_INFO << 2 | STAMP_SMP_READ)) {
        return answer_info(a, r);
    }
    if (a->cfg.opened != STAMP_OK) {
        return STAMP_RC_NOT_FOUND;
    }
    switch (what) {
    case STAMP_SMP_ITEM << 2 | STAMP_SMP_READ:
        return answer_item(a, q, r);
    case STAMP_SMP_PROVE << 2 | STAMP_SMP_WRITE:
        return answer_prove(a, q, r);
    case STAMP_SMP_CLAIM << 2 | STAMP_SMP_WRITE:
        return stampi_claim(a, q, r);
    case STAMP_SMP_POSSESS << 2 | STAMP_SMP_WRITE:
        return stampi_possess(a, q, r);
    default:
        return STAMP_RC_NOT_SUPPORTED;
    }
}

/* Make the answer to a request in a->out; returns its length. */
static size_t make_answer(struct stamp_agent *a, struct stamp_smp_header *h,
                          const struct stamp_request *q)
{
    uint8_t *out = a->out + STAMP_SMP_ROOM;
    struct stamp_reply r = {.wait_ms = 0};
    enum stamp_smp_rc rc;

    stamp_cbor_out_init(&r.out, out + STAMP_SMP_HEADER, STAMP_SMP_MAX - STAMP_SMP_HEADER);
    rc = answer(a, h, q, &r);
    if (rc == STAMP_RC_OK && !stamp_cbor_out_ok(&r.out)) {
        rc = STAMP_RC_TOO_LARGE;
    }
    if (rc != STAMP_RC_OK) {
        r.out.len = 0;
        put_map(&r, rc == STAMP_RC_BUSY ? 2 : 1);
        put_uint(&r, "rc", (uint32_t)rc);
        if (rc == STAMP_RC_BUSY) {
            put_uint(&r, "wait", r.wait_ms);
        }
    }
    h->op = (uint8_t)(h->op + 1u);
    h->len = (uint16_t)r.out.len;
    stamp_smp_header_put(out, h);
    return STAMP_SMP_HEADER + r.out.len;
}

/* `msg` has its CRC behind it. A request that comes a second time gets the same answer,
 * so that a host may repeat what it has no answer to: SPEC 10-19. */
static void reply(struct stamp_agent *a, const uint8_t *msg, size_t len)
{
    struct stamp_request q = {msg + STAMP_SMP_HEADER, len - STAMP_SMP_HEADER};
    const uint8_t *crc = msg + len;
    struct stamp_smp_header h;

    if (stamp_smp_header_get(msg, len, &h) != STAMP_OK ||
        (h.op != STAMP_SMP_READ && h.op != STAMP_SMP_WRITE)) {
        return; /* not a request: to answer it could start a quarrel of two devices */
    }
    if (a->answered == 0 || memcmp(a->last, msg, STAMP_SMP_HEADER) != 0 ||
        memcmp(a->last + STAMP_SMP_HEADER, crc, 2) != 0) {
        a->answered = (uint16_t)make_answer(a, &h, &q);
        memcpy(a->last, msg, STAMP_SMP_HEADER);
        memcpy(a->last + STAMP_SMP_HEADER, crc, 2);
    }
    stamp_smp_send(a->out, a->answered, a->cfg.tx, a->cfg.tx_ctx);
}

void stamp_agent_init(struct stamp_agent *a, const struct stamp_agent_config *cfg)
{
    memset(a, 0, sizeof *a);
    a->cfg = *cfg;
    stamp_smp_rx_init(&a->rx);
    stampi_claim_init(a);
}

void stamp_agent_input(struct stamp_agent *a, uint8_t byte)
{
    size_t len = stamp_smp_rx_byte(&a->rx, byte);

    if (len >= STAMP_SMP_HEADER) {
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
