/* The requests of a rotation. The request for a certificate is in rotate_request.c. SPEC
 * 16. */
#include "device/rotate.h"

#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/rotate_i.h"

enum { CHANGES = 4 };

static struct stamp_rotate *rotate_of(const struct stampi_call *c)
{
    return (struct stamp_rotate *)
        c->a->cfg.more[STAMP_AGENT_ROTATE]; /* its first member */
}

/* The encoding of the key that waits. STAMP_E_MISSING: none does. */
static enum stamp_err get_waiting(const struct stamp_device *dev,
                                  uint8_t key[STAMPI_DEVICE_KEY_MAX], size_t *len)
{
    return stamp_get(dev, STAMP_NEWEST, STAMP_NEXT_KEY, key, STAMPI_DEVICE_KEY_MAX, len);
}

static int answer_rotation(struct stampi_call *c)
{
    const struct stamp_device *dev = c->a->cfg.dev;
    const struct stamp_port *port = dev->port;
    struct stamp_item item;
    uint8_t chip[STAMP_CHIP_ID_MAX];
    size_t len = 0;
    enum stamp_err rc = stamp_find(&dev->part, STAMP_NEWEST, STAMP_NEXT_KEY, &item);

    if ((rc != STAMP_OK && rc != STAMP_E_MISSING) ||
        (port->chip_id != NULL && port->chip_id(port->ctx, chip, &len) != 0)) {
        return STAMP_RC_UNKNOWN;
    }
    stampi_put_map(&c->out, 3);
    stampi_put_uint(&c->out, "at", rc == STAMP_OK);
    stampi_put(&c->out, "id", STAMP_CBOR_BYTES, (uint32_t)len, chip);
    stampi_put_uint(&c->out, "max", (uint32_t)rotate_of(c)->size);
    return STAMP_RC_OK;
}

/* Make the key, unless one waits. It is durable before anything is asked for it. SPEC
 * 16-4. */
STAMPI_OWN_FRAME static enum stamp_err make_key(struct stamp_device *dev)
{
    uint8_t key[STAMPI_DEVICE_KEY_MAX];
    uint8_t point[STAMP_POINT_SIZE];
    struct stamp_change change = {STAMP_NEXT_KEY, {key, 0}};
    struct stamp_cbor_out o;
    enum stamp_err rc = get_waiting(dev, key, &change.value.len);

    if (rc == STAMP_E_MISSING) {
        stamp_cbor_out_init(&o, key, sizeof key);
        rc = stampi_put_device_key(&o, point);
        change.value.len = o.len;
        if (rc == STAMP_OK) {
            rc = stamp_bank_update(dev, &change, 1);
        }
    }
    mbedtls_platform_zeroize(key, sizeof key);
    return rc;
}

static int answer_renew(struct stampi_call *c)
{
    struct stamp_rotate *r = rotate_of(c);
    struct stamp_cbor_out room = {r->buf, r->size, 0};
    struct stamp_slice challenge;
    enum stamp_err rc;

    if (!stampi_field_bytes(c, "n", STAMPI_CHALLENGE_SIZE, STAMPI_CHALLENGE_SIZE,
                            &challenge)) {
        return STAMP_RC_BAD;
    }
    memset(r->len, 0, sizeof r->len);
    r->hand.total = 0;
    r->request = 0;
    rc = make_key(c->a->cfg.dev);
    if (rc == STAMP_OK) {
        rc = stampi_renewal_make(c->a->cfg.dev, challenge, room, &r->request);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stampi_put_map(&c->out, 1);
    stampi_put_uint(&c->out, "len", r->request);
    return STAMP_RC_OK;
}

static int answer_renewal(struct stampi_call *c)
{
    const struct stamp_rotate *r = rotate_of(c);

    return r->request == 0
               ? STAMP_RC_STATE
               : stampi_piece_give(c, r->buf + r->size - r->request, r->request);
}

/* Certificates begin at the beginning of the buffer, a bundle behind them. SPEC 16-3. */
static int answer_hand(struct stampi_call *c)
{
    struct stamp_rotate *r = rotate_of(c);
    struct stampi_piece piece;
    uint32_t at;
    int rc = stampi_piece_read(c, STAMP_HAND_BUNDLE, &piece);

    if (rc != STAMP_RC_OK) {
        return rc;
    }
    at = piece.what == STAMP_HAND_BUNDLE ? r->len[STAMP_HAND_CERTIFICATES] : 0;
    if (piece.off == 0) {
        if (piece.what == STAMP_HAND_CERTIFICATES) {
            r->len[STAMP_HAND_CERTIFICATES] = 0;
        } else if (at == 0) {
            return STAMP_RC_STATE;
        }
        r->len[STAMP_HAND_BUNDLE] = 0;
        r->request = 0; /* which is in the way */
        rc = stampi_piece_begin(&r->hand, &piece, r->size - at);
    }
    if (rc == STAMP_RC_OK && stampi_piece_take(c, &r->hand, &piece, r->buf + at)) {
        r->len[piece.what] = piece.total;
    }
    return rc;
}

/* SPEC 16-9, 16-10. */
STAMPI_OWN_FRAME static int answer_commit(struct stampi_call *c)
{
    struct stamp_rotate *r = rotate_of(c);
    struct stamp_device *dev = c->a->cfg.dev;
    const uint32_t *len = r->len;
    uint8_t key[STAMPI_DEVICE_KEY_MAX];
    struct stamp_change changes[CHANGES] = {
        {STAMP_DEVICE_KEY, {key, 0}},
        {STAMP_NEXT_KEY, {NULL, 0}},
        {STAMP_CERTIFICATES, {r->buf, len[STAMP_HAND_CERTIFICATES]}},
        {STAMP_TRUST_BUNDLE,
         {r->buf + len[STAMP_HAND_CERTIFICATES], len[STAMP_HAND_BUNDLE]}},
    };
    int rc = get_waiting(dev, key, &changes[0].value.len);

    if (rc == STAMP_E_MISSING || len[STAMP_HAND_CERTIFICATES] == 0) {
        rc = STAMP_E_STATE;
    }
    if (rc == STAMP_OK) {
        rc = stamp_rotate(dev, changes, CHANGES - (len[STAMP_HAND_BUNDLE] == 0));
    }
    mbedtls_platform_zeroize(key, sizeof key);
    if (rc != STAMP_OK) {
        return rc;
    }
    memset(r->len, 0, sizeof r->len);
    stamp_agent_reopened(c->a, STAMP_OK);
    stampi_put_map(&c->out, 1);
    stampi_put_uint(&c->out, "seq", dev->part.region[dev->part.newest].seq);
    return STAMP_RC_OK;
}

/* SPEC 16-11. */
static int answer_drop(struct stampi_call *c)
{
    static const struct stamp_change none = {STAMP_NEXT_KEY, {NULL, 0}};
    struct stamp_device *dev = c->a->cfg.dev;
    struct stamp_item item;
    enum stamp_err rc = stamp_find(&dev->part, STAMP_NEWEST, STAMP_NEXT_KEY, &item);

    if (rc == STAMP_OK) {
        rc = stamp_bank_update(dev, &none, 1);
    }
    stampi_put_map(&c->out, 0);
    return rc == STAMP_E_MISSING ? STAMP_OK : rc;
}

static int answer_any(struct stampi_call *c, unsigned id)
{
    switch (id) {
    case STAMP_SMP_ROTATION:
        return answer_rotation(c);
    case STAMP_SMP_RENEW:
        return answer_renew(c);
    case STAMP_SMP_RENEWAL:
        return answer_renewal(c);
    case STAMP_SMP_HAND:
        return answer_hand(c);
    case STAMP_SMP_COMMIT:
        return answer_commit(c);
    default:
        return answer_drop(c);
    }
}

static int answer(struct stampi_call *c, unsigned group, unsigned id, bool write)
{
    int rc;

    if (group != STAMP_SMP_GROUP_STAMP || id > STAMP_SMP_DROP ||
        write == (id == STAMP_SMP_ROTATION || id == STAMP_SMP_RENEWAL)) {
        return STAMP_RC_NOT_SUPPORTED;
    }
    if (c->a->cfg.opened != STAMP_OK) {
        return STAMP_RC_NOT_FOUND;
    }
    rc = answer_any(c, id);
    switch (rc) { /* what is the fault of what was handed over is said */
    case STAMP_E_AUTH:
    case STAMP_E_PURPOSE:
    case STAMP_E_ROLLBACK:
        return STAMP_RC_NOT_AUTHENTIC;
    case STAMP_E_STATE:
        return STAMP_RC_STATE;
    case STAMP_E_FORMAT:
        return STAMP_RC_BAD;
    case STAMP_E_UNSUPPORTED:
        return STAMP_RC_NOT_SUPPORTED;
    default:
        return rc;
    }
}

void stamp_rotate_init(struct stamp_rotate *r, void *buf, size_t size)
{
    memset(r, 0, sizeof *r);
    r->more.answer = answer;
    r->buf = buf;
    r->size = size;
}
