/* The requests of a strike. What takes keys or certificates is in strike_make.c,
 * strike_body.c and strike_request.c. SPEC 13. */
#include "device/strike.h"

#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/share_i.h"
#include "device/strike_i.h"

enum {
    SEALED_AT = 16, /* a sealed stamp is put there, and opened to the beginning */
    NONCE = 0,      /* each key seals one message */
};

/* ---- the buffer ---- */

static uint32_t used(const struct stamp_strike *s)
{
    return s->len[STAMP_PUT_OFFER] + s->len[STAMP_PUT_CERTIFICATES];
}

struct stamp_cbor_out stampi_strike_room(const struct stamp_strike *s)
{
    struct stamp_cbor_out o;

    stamp_cbor_out_init(&o, s->buf + used(s), s->size - used(s));
    return o;
}

/* But for a request for a certificate, which is at the end. */
void stampi_strike_wipe(struct stamp_strike *s)
{
    mbedtls_platform_zeroize(s->buf + used(s), s->size - used(s) - s->request);
}

static void forget(struct stamp_strike *s)
{
    s->len[STAMP_PUT_OFFER] = 0;
    s->len[STAMP_PUT_CERTIFICATES] = 0;
    s->request = 0;
    s->put.total = 0;
    stampi_strike_wipe(s);
    (void)psa_destroy_key(s->agreed);
    s->agreed = PSA_KEY_ID_NULL;
}

/* ---- requests ---- */

enum stamp_phase stamp_strike_phase(const struct stamp_device *dev, enum stamp_err opened)
{
    bool pending = stampi_pending(dev, NULL);

    if (opened == STAMP_OK) {
        return pending ? STAMP_PHASE_STRUCK : STAMP_PHASE_FINISHED;
    }
    return pending ? STAMP_PHASE_PENDING : STAMP_PHASE_BLANK;
}

static uint32_t lock_state(const struct stamp_device *dev, uint32_t *can)
{
    const struct stamp_port *port = dev->port;

    *can = STAMP_LOCK_WRITE;
    if (port->lock_state != NULL) {
        return port->lock_state(port->ctx, can);
    }
    return dev->locked ? STAMP_LOCK_WRITE : 0;
}

STAMPI_OWN_FRAME static int answer_unit(struct stampi_call *c)
{
    const struct stamp_agent_config *cfg = &c->a->cfg;
    const struct stamp_port *port = cfg->dev->port;
    uint8_t offer[STAMPI_HASH_SIZE];
    uint8_t chip[STAMP_CHIP_ID_MAX];
    size_t chip_len = 0;
    uint32_t can;
    uint32_t lock = lock_state(cfg->dev, &can);
    bool pending = stampi_pending(cfg->dev, offer);

    if (port->chip_id != NULL && port->chip_id(port->ctx, chip, &chip_len) != 0) {
        return STAMP_RC_UNKNOWN;
    }
    stampi_put_map(&c->out, pending ? 6 : 5);
    if (pending) {
        stampi_put(&c->out, "o", STAMP_CBOR_BYTES, sizeof offer, offer);
    }
    stampi_put_uint(&c->out, "at", stamp_strike_phase(cfg->dev, cfg->opened));
    stampi_put(&c->out, "id", STAMP_CBOR_BYTES, (uint32_t)chip_len, chip);
    stampi_put_uint(&c->out, "can", can);
    stampi_put_uint(&c->out, "max", (uint32_t)stampi_strike_of(c)->size);
    stampi_put_uint(&c->out, "lock", lock);
    return STAMP_RC_OK;
}

/* Where a thing begins in the buffer. */
static uint32_t place(const struct stamp_strike *s, uint32_t what)
{
    return what == STAMP_PUT_CERTIFICATES ? s->len[STAMP_PUT_OFFER]
           : what == STAMP_PUT_SEALED     ? SEALED_AT
                                          : 0;
}

/* A thing begins anew. */
static int begin_put(struct stamp_strike *s, const struct stampi_piece *piece)
{
    if (piece->what == STAMP_PUT_CERTIFICATES) {
        s->len[STAMP_PUT_CERTIFICATES] = 0;
        s->request = 0;
        if (s->len[STAMP_PUT_OFFER] == 0) {
            return STAMP_RC_STATE;
        }
    } else if (piece->what == STAMP_PUT_OFFER) {
        forget(s);
    } else if (s->agreed == PSA_KEY_ID_NULL) {
        return STAMP_RC_STATE;
    }
    return stampi_piece_begin(&s->put, piece, s->size - place(s, piece->what));
}

/* SPEC 13-3. */
STAMPI_OWN_FRAME static int answer_put(struct stampi_call *c)
{
    struct stamp_strike *s = stampi_strike_of(c);
    struct stampi_piece piece;
    int rc = stampi_piece_read(c, STAMP_PUT_SEALED, &piece);

    if (rc == STAMP_RC_OK && piece.off == 0) {
        rc = begin_put(s, &piece);
    }
    if (rc == STAMP_RC_OK &&
        stampi_piece_take(c, &s->put, &piece, s->buf + place(s, piece.what)) &&
        piece.what != STAMP_PUT_SEALED) {
        s->len[piece.what] = piece.total;
    }
    return rc;
}

/* SPEC 13-8. */
static int answer_make(struct stampi_call *c)
{
    struct stamp_strike *s = stampi_strike_of(c);
    struct stamp_device *dev = c->a->cfg.dev;
    uint8_t waiting[STAMPI_HASH_SIZE];
    uint8_t point[STAMP_POINT_SIZE];
    struct stampi_offer offer;
    struct stamp_slice challenge;
    struct stamp_slice body;
    int rc;

    if (!stampi_field_bytes(c, "n", STAMPI_CHALLENGE_SIZE, STAMPI_CHALLENGE_SIZE,
                            &challenge)) {
        return STAMP_RC_BAD;
    }
    if (stamp_strike_phase(dev, c->a->cfg.opened) >= STAMP_PHASE_STRUCK || dev->locked) {
        return STAMP_RC_STATE;
    }
    s->request = 0;
    s->len[STAMP_PUT_CERTIFICATES] = 0;
    rc = stampi_offer_take(c, &offer);
    if (rc == STAMP_OK && !stampi_pending(dev, NULL)) {
        rc = stampi_pending_make(c, &offer);
    }
    if (rc == STAMP_OK && (!stampi_pending(dev, waiting) ||
                           memcmp(waiting, offer.digest, sizeof waiting) != 0)) {
        rc = STAMP_RC_STATE; /* keys wait for another offer */
    }
    if (rc == STAMP_OK) {
        rc = stampi_compose(c, &offer, false, point, &body);
    }
    if (rc == STAMP_OK) {
        rc = stampi_request_make(c, &offer, point, body, challenge);
    }
    stampi_strike_wipe(s);
    if (rc == STAMP_OK) {
        stampi_put_map(&c->out, 1);
        stampi_put_uint(&c->out, "len", s->request);
    }
    return rc;
}

static int answer_request(struct stampi_call *c)
{
    const struct stamp_strike *s = stampi_strike_of(c);

    return s->request == 0
               ? STAMP_RC_STATE
               : stampi_piece_give(c, s->buf + s->size - s->request, s->request);
}

/* A stamp that was made elsewhere, sealed to this exchange: opened in its place. */
STAMPI_OWN_FRAME static int open_sealed(struct stamp_strike *s, struct stamp_slice *body)
{
    int rc;

    if (s->put.what != STAMP_PUT_SEALED || s->put.have != s->put.total ||
        s->put.total < STAMP_GCM_TAG) {
        return STAMP_RC_STATE;
    }
    rc = stampi_crypt(s->agreed, NONCE, true, s->buf + SEALED_AT, s->put.total, s->buf);
    body->p = s->buf;
    body->len = s->put.total - STAMP_GCM_TAG;
    return rc == STAMP_OK ? STAMP_OK : STAMP_RC_NOT_AUTHENTIC;
}

STAMPI_OWN_FRAME static int compose_own(struct stampi_call *c, struct stamp_slice *body)
{
    const struct stamp_device *dev = c->a->cfg.dev;
    uint8_t waiting[STAMPI_HASH_SIZE];
    uint8_t point[STAMP_POINT_SIZE];
    struct stampi_offer offer;
    int rc = stampi_offer_take(c, &offer);

    if (rc == STAMP_OK && (stampi_strike_of(c)->len[STAMP_PUT_CERTIFICATES] == 0 ||
                           !stampi_pending(dev, waiting) ||
                           memcmp(waiting, offer.digest, sizeof waiting) != 0)) {
        rc = STAMP_RC_STATE;
    }
    return rc == STAMP_OK ? stampi_compose(c, &offer, true, point, body) : rc;
}

/* As stamp_birth_write(), and only what is bound: SPEC 13-14. */
STAMPI_OWN_FRAME static enum stamp_err write_birth(struct stamp_device *dev,
                                                   struct stamp_slice body)
{
    struct stampi_view view;
    struct stampi_job job = {
        .which = STAMP_BIRTH,
        .kind = STAMP_KIND_BIRTH,
        .from = &view.dev,
        .from_which = STAMP_BIRTH,
        .in = body.p,
        .in_len = body.len,
    };
    bool bound;
    enum stamp_err rc;

    if (dev->part.region[STAMP_BIRTH].state == STAMP_REGION_NEWER) {
        return STAMP_E_VERSION;
    }
    stampi_view_init(&view, dev->port, body.p, body.len);
    rc = stampi_judge(&view.dev, NULL, 0, &bound);
    if (rc == STAMP_OK && !bound) {
        rc = STAMP_E_AUTH;
    }
    if (rc == STAMP_OK) {
        rc = stampi_region_write(dev, &job);
    }
    return rc == STAMP_OK ? stamp_device_open(dev, dev->port) : rc;
}

/* SPEC 13-14. */
STAMPI_OWN_FRAME static int answer_strike(struct stampi_call *c)
{
    struct stamp_strike *s = stampi_strike_of(c);
    struct stamp_device *dev = c->a->cfg.dev;
    uint8_t digest[STAMPI_HASH_SIZE];
    struct stamp_slice body;
    int rc;

    if (stamp_strike_phase(dev, c->a->cfg.opened) >= STAMP_PHASE_STRUCK || dev->locked) {
        return STAMP_RC_STATE;
    }
    rc = s->agreed != PSA_KEY_ID_NULL ? open_sealed(s, &body) : compose_own(c, &body);
    if (rc == STAMP_OK) {
        rc = write_birth(dev, body);
    }
    if (rc == STAMP_OK) { /* of what is in flash now */
        rc = stamp_claims_digest(dev, digest);
    }
    if (rc != STAMP_RC_STATE) {
        forget(s);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_agent_reopened(c->a, STAMP_OK);
    stampi_put_map(&c->out, 1);
    stampi_put(&c->out, "h", STAMP_CBOR_BYTES, sizeof digest, digest);
    return STAMP_RC_OK;
}

/* An ephemeral pair for one message to or from `peer`. Its point goes to `point`, and
 * into the salt. SPEC 13-17, 13-24. */
static int agree(const char *label, const uint8_t peer[STAMP_POINT_SIZE],
                 psa_key_usage_t usage, uint8_t point[STAMP_POINT_SIZE], psa_key_id_t *id)
{
    uint8_t points[2 * STAMP_POINT_SIZE];
    uint8_t salt[STAMPI_HASH_SIZE];
    struct stampi_kdf kdf = {
        .peer = peer,
        .salt = {salt, sizeof salt},
        .info = {(const uint8_t *)label, strlen(label)},
    };
    psa_key_attributes_t attr;
    psa_status_t status;
    size_t len;

    stampi_attributes(&attr, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1),
                      PSA_KEY_USAGE_DERIVE,
                      PSA_ALG_KEY_AGREEMENT(PSA_ALG_ECDH, PSA_ALG_HKDF(PSA_ALG_SHA_256)));
    psa_set_key_bits(&attr, 256);
    status = psa_generate_key(&attr, &kdf.secret);
    if (status == PSA_SUCCESS) {
        status = psa_export_public_key(kdf.secret, point, STAMP_POINT_SIZE, &len);
    }
    memcpy(points, point, STAMP_POINT_SIZE);
    memcpy(points + STAMP_POINT_SIZE, peer, STAMP_POINT_SIZE);
    if (status == PSA_SUCCESS && stampi_sha256(points, sizeof points, salt) != STAMP_OK) {
        status = PSA_ERROR_GENERIC_ERROR;
    }
    if (status == PSA_SUCCESS) {
        status = stampi_derive(&kdf, usage, id, 1);
    }
    (void)psa_destroy_key(kdf.secret);
    if (status == PSA_ERROR_INVALID_ARGUMENT) {
        return STAMP_RC_BAD; /* no point of the curve */
    }
    return status == PSA_SUCCESS ? STAMP_OK : STAMP_E_CRYPTO;
}

/* Whom the stamp's bundle names to seal proofs to. STAMP_E_MISSING: nobody. */
static enum stamp_err recipient(const struct stamp_device *dev,
                                uint8_t point[STAMP_POINT_SIZE])
{
    struct stamp_slice v;
    struct stamp_slice to;
    struct stamp_bundle b;
    enum stamp_err rc = stampi_find(dev, STAMP_BIRTH, STAMP_TRUST_BUNDLE, &v);

    if (rc == STAMP_OK) {
        rc = stamp_bundle_decode(&b, v.p, v.len);
    }
    if (rc == STAMP_OK) {
        rc = stamp_bundle_recipient(&b, &to);
    }
    if (rc == STAMP_OK) {
        memcpy(point, to.p, STAMP_POINT_SIZE);
    }
    stampi_done(dev);
    return rc;
}

/* The proof of possession: to the recipient, or where there is none and the stamp says so
 * as it is. Only between the strike and its end. SPEC 13-16 to 13-18. */
STAMPI_OWN_FRAME static int answer_pop(struct stampi_call *c)
{
    const struct stamp_device *dev = c->a->cfg.dev;
    uint8_t buf[STAMP_POINT_SIZE + STAMP_MAX_TEXT + STAMP_GCM_TAG];
    uint8_t peer[STAMP_POINT_SIZE];
    uint8_t salted[1 + 1 + STAMP_SALT_SIZE + 2 + STAMP_MAX_TEXT];
    struct stamp_cbor v;
    struct stamp_slice pop;
    psa_key_id_t id = PSA_KEY_ID_NULL;
    size_t len;
    int rc;

    if (stamp_strike_phase(dev, c->a->cfg.opened) != STAMP_PHASE_STRUCK) {
        return STAMP_RC_STATE;
    }
    rc = stamp_get(dev, STAMP_BIRTH, STAMP_POP, salted, sizeof salted, &len);
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_cbor_init(&v, salted, len);
    (void)stamp_cbor_expect(&v, STAMP_CBOR_ARRAY);
    (void)stamp_cbor_expect(&v, STAMP_CBOR_BYTES);
    pop.p = v.p + STAMP_SALT_SIZE;
    pop.len = v.left - STAMP_SALT_SIZE;
    stamp_cbor_init(&v, pop.p, pop.len);
    pop = stamp_cbor_string(&v, STAMP_CBOR_TEXT, 1, STAMP_MAX_TEXT);
    rc = recipient(dev, peer);
    stampi_put_map(&c->out, 1);
    if (rc == STAMP_OK) {
        rc = agree(STAMP_LABEL_POP, peer, PSA_KEY_USAGE_ENCRYPT, buf, &id);
        if (rc == STAMP_OK) {
            rc = stampi_crypt(id, NONCE, false, pop.p, pop.len, buf + STAMP_POINT_SIZE);
        }
        (void)psa_destroy_key(id);
        stampi_put(&c->out, "d", STAMP_CBOR_BYTES,
                   (uint32_t)(STAMP_POINT_SIZE + pop.len + STAMP_GCM_TAG), buf);
    } else if (rc == STAMP_E_MISSING && stamp_get(dev, STAMP_BIRTH, STAMP_POP_SHOWN, buf,
                                                  sizeof buf, &len) == STAMP_OK) {
        rc = STAMP_RC_OK;
        stampi_put(&c->out, "pop", STAMP_CBOR_TEXT, (uint32_t)pop.len, pop.p);
    }
    mbedtls_platform_zeroize(salted, sizeof salted);
    return rc;
}

/* SPEC 13-19. */
STAMPI_OWN_FRAME static int answer_finish(struct stampi_call *c)
{
    struct stamp_device *dev = c->a->cfg.dev;
    struct stamp_cbor v;
    uint32_t can;
    uint32_t lock;
    int rc = STAMP_OK;

    (void)stamp_smp_field(c->body, c->len, "lock", &v); /* its error stays in `v` */
    lock = stamp_cbor_expect(&v, STAMP_CBOR_SIMPLE);
    if (v.err != STAMP_OK) {
        return STAMP_RC_BAD;
    }
    if (c->a->cfg.opened != STAMP_OK) {
        return STAMP_RC_STATE;
    }
    if (stampi_pending(dev, NULL)) {
        rc = stampi_pending_erase(dev);
    }
    if (rc == STAMP_OK && lock == 21) {
        rc = stamp_lock(dev);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    lock = lock_state(dev, &can);
    stampi_put_map(&c->out, 2);
    stampi_put_uint(&c->out, "can", can);
    stampi_put_uint(&c->out, "lock", lock);
    return STAMP_RC_OK;
}

/* SPEC 13-21. */
STAMPI_OWN_FRAME static int answer_abandon(struct stampi_call *c)
{
    struct stamp_device *dev = c->a->cfg.dev;
    int rc = STAMP_OK;

    if (stamp_strike_phase(dev, c->a->cfg.opened) >= STAMP_PHASE_STRUCK) {
        return STAMP_RC_STATE;
    }
    forget(stampi_strike_of(c));
    if (stampi_pending(dev, NULL)) {
        rc = stampi_pending_erase(dev);
    }
    stampi_put_map(&c->out, 0);
    return rc;
}

/* SPEC 13-24. */
STAMPI_OWN_FRAME static int answer_agree(struct stampi_call *c)
{
    struct stamp_strike *s = stampi_strike_of(c);
    uint8_t point[STAMP_POINT_SIZE];
    struct stamp_slice peer;
    int rc;

    if (!stampi_field_bytes(c, "e", STAMP_POINT_SIZE, STAMP_POINT_SIZE, &peer)) {
        return STAMP_RC_BAD;
    }
    if (stamp_strike_phase(c->a->cfg.dev, c->a->cfg.opened) != STAMP_PHASE_BLANK) {
        return STAMP_RC_STATE;
    }
    forget(s);
    rc = agree(STAMP_LABEL_STRIKE, peer.p, PSA_KEY_USAGE_DECRYPT, point, &s->agreed);
    stampi_put_map(&c->out, 1);
    stampi_put(&c->out, "e", STAMP_CBOR_BYTES, sizeof point, point);
    return rc;
}

static int answer_restart(struct stampi_call *c)
{
    if (c->a->cfg.dev->port->restart == NULL) {
        return STAMP_RC_NOT_SUPPORTED;
    }
    c->a->restart = true;
    stampi_put_map(&c->out, 0);
    return STAMP_RC_OK;
}

/* ---- for the agent ---- */

static int answer_any(struct stampi_call *c, unsigned id)
{
    switch (id) {
    case STAMP_SMP_UNIT:
        return answer_unit(c);
    case STAMP_SMP_PUT:
        return answer_put(c);
    case STAMP_SMP_MAKE:
        return answer_make(c);
    case STAMP_SMP_REQUEST:
        return answer_request(c);
    case STAMP_SMP_STRIKE:
        return answer_strike(c);
    case STAMP_SMP_POP:
        return answer_pop(c);
    case STAMP_SMP_FINISH:
        return answer_finish(c);
    case STAMP_SMP_ABANDON:
        return answer_abandon(c);
    default:
        return answer_agree(c);
    }
}

static int answer(struct stampi_call *c, unsigned group, unsigned id, bool write)
{
    int rc;

    if (group == STAMP_SMP_GROUP_OS && id == STAMP_SMP_RESTART && write) {
        return answer_restart(c);
    }
    if (group != STAMP_SMP_GROUP_STAMP || id < STAMP_SMP_UNIT || id > STAMP_SMP_AGREE ||
        write ==
            (id == STAMP_SMP_UNIT || id == STAMP_SMP_REQUEST || id == STAMP_SMP_POP)) {
        return STAMP_RC_NOT_SUPPORTED;
    }
    rc = answer_any(c, id);
    switch (rc) { /* what is the offer's or the certificate's fault is said */
    case STAMP_E_AUTH:
    case STAMP_E_PURPOSE:
        return STAMP_RC_NOT_AUTHENTIC;
    case STAMP_E_STATE:
    case STAMP_E_LOCKED:
    case STAMP_E_EXISTS:
    case STAMP_E_VERSION:
        return STAMP_RC_STATE;
    case STAMP_E_FORMAT:
        return STAMP_RC_BAD;
    default:
        return rc;
    }
}

void stamp_strike_init(struct stamp_strike *s, void *buf, size_t size)
{
    memset(s, 0, sizeof *s);
    s->more.answer = answer;
    s->more.compare = stampi_strike_compare;
    s->buf = buf;
    s->size = size;
}
