#include "host/unit.h"

#include <openssl/crypto.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PUT_CHUNK = 200, /* with the other fields in a request of 256 bytes */
    PUT_STALLS = 8,  /* answers in a row that bring it no further */
    REQUEST_MAX = 2048,
    RESTART_TRIES = 50,
    RESTART_WAIT_MS = 10, /* doubled each time, up to the most */
    RESTART_WAIT_MAX_MS = 160,
    RESTART_ASK_MS = 400,
};

static enum stamp_err bad(const struct stamp_smp_client *c, const char *why,
                          struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0,
                           "the device on '%s' gave an answer that is not to the "
                           "specification: %s",
                           c->line.name, why);
}

static bool get_uint(const struct stamp_smp_reply *r, const char *key, uint32_t *out)
{
    struct stamp_cbor v;

    stamp_smp_field(r->body, r->len, key, &v);
    *out = stamp_cbor_uint(&v, UINT32_MAX);
    return v.err == STAMP_OK;
}

static enum stamp_err ask(struct stamp_smp_client *c, enum stamp_smp_op op, uint8_t id,
                          const struct stamp_smp_body *body, struct stamp_smp_reply *r,
                          struct stamp_error *err)
{
    uint32_t code;
    enum stamp_err rc = stamp_smp_request(c, op, STAMP_SMP_GROUP_STAMP, id, body, r, err);

    if (rc == STAMP_E_DEVICE && get_uint(r, "rc", &code) && code == STAMP_RC_STATE) {
        return stamp_error_set(err, STAMP_E_STATE, STAMP_RC_STATE,
                               "the device on '%s' does not do this where it is now",
                               c->line.name);
    }
    return rc;
}

static struct stamp_slice get_bytes(const struct stamp_smp_reply *r, const char *key,
                                    size_t max)
{
    struct stamp_cbor v;
    struct stamp_slice s;

    stamp_smp_field(r->body, r->len, key, &v);
    s = stamp_cbor_string(&v, STAMP_CBOR_BYTES, 0, max);
    return v.err == STAMP_OK ? s : (struct stamp_slice){NULL, 0};
}

enum stamp_err stamp_unit_ask(struct stamp_smp_client *c, struct stamp_unit *unit,
                              struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    struct stamp_slice chip;
    struct stamp_slice offer;
    uint32_t phase;
    enum stamp_err rc;

    memset(unit, 0, sizeof *unit);
    stamp_smp_body_init(&body, 0);
    rc = ask(c, STAMP_SMP_READ, STAMP_SMP_UNIT, &body, &r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    chip = get_bytes(&r, "id", sizeof unit->chip);
    offer = get_bytes(&r, "o", sizeof unit->offer);
    if (!get_uint(&r, "at", &phase) || phase > STAMP_PHASE_FINISHED || chip.p == NULL ||
        !get_uint(&r, "can", &unit->can) || !get_uint(&r, "lock", &unit->lock) ||
        !get_uint(&r, "max", &unit->room) ||
        (offer.p != NULL && offer.len != sizeof unit->offer)) {
        return bad(c, "it does not say what it is", err);
    }
    unit->phase = (enum stamp_phase)phase;
    memcpy(unit->chip, chip.p, chip.len);
    unit->chip_len = chip.len;
    unit->pending = offer.p != NULL;
    if (unit->pending) {
        memcpy(unit->offer, offer.p, sizeof unit->offer);
    }
    return STAMP_OK;
}

enum stamp_err stamp_unit_put(struct stamp_smp_client *c, enum stamp_smp_put what,
                              struct stamp_slice bytes, struct stamp_error *err)
{
    uint32_t at = 0;
    int stalls = 0;

    while (at < bytes.len) {
        size_t n = bytes.len - at < PUT_CHUNK ? bytes.len - at : PUT_CHUNK;
        struct stamp_smp_body body;
        struct stamp_smp_reply r;
        uint32_t next;
        enum stamp_err rc;

        stamp_smp_body_init(&body, 4);
        stamp_smp_body_bytes(&body, "d", bytes.p + at, n);
        stamp_smp_body_uint(&body, "w", (uint32_t)what);
        stamp_smp_body_uint(&body, "len", (uint32_t)bytes.len);
        stamp_smp_body_uint(&body, "off", at);
        rc = ask(c, STAMP_SMP_WRITE, STAMP_SMP_PUT, &body, &r, err);
        if (rc != STAMP_OK) {
            return rc;
        }
        if (!get_uint(&r, "off", &next) || next > bytes.len) {
            return bad(c, "it does not say how far it is", err);
        }
        stalls = next > at ? 0 : stalls + 1;
        if (stalls > PUT_STALLS) {
            return bad(c, "it takes nothing in", err);
        }
        at = next;
    }
    return STAMP_OK;
}

static enum stamp_err read_request(struct stamp_smp_client *c, uint32_t len,
                                   struct stamp_buffer *request, struct stamp_error *err)
{
    size_t have = 0;

    while (have < len) {
        struct stamp_smp_body body;
        struct stamp_smp_reply r;
        struct stamp_slice d;
        enum stamp_err rc;

        stamp_smp_body_init(&body, 1);
        stamp_smp_body_uint(&body, "off", (uint32_t)have);
        rc = ask(c, STAMP_SMP_READ, STAMP_SMP_REQUEST, &body, &r, err);
        if (rc != STAMP_OK) {
            return rc;
        }
        d = get_bytes(&r, "d", sizeof r.body);
        if (d.len == 0 || d.len > len - have) {
            return bad(c, "a request for a certificate whose length changes", err);
        }
        memcpy(request->p + have, d.p, d.len);
        have += d.len;
    }
    return STAMP_OK;
}

enum stamp_err stamp_unit_make(struct stamp_smp_client *c, const uint8_t challenge[32],
                               struct stamp_buffer *request, struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    uint32_t len;
    enum stamp_err rc;

    *request = (struct stamp_buffer){0};
    stamp_smp_body_init(&body, 1);
    stamp_smp_body_bytes(&body, "n", challenge, 32);
    rc = ask(c, STAMP_SMP_WRITE, STAMP_SMP_MAKE, &body, &r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (!get_uint(&r, "len", &len) || len == 0 || len > REQUEST_MAX) {
        return bad(c, "a request for a certificate of no sensible length", err);
    }
    rc = stamp_buffer_new(request, len, 0, err);
    if (rc == STAMP_OK) {
        rc = read_request(c, len, request, err);
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(request);
    }
    return rc;
}

enum stamp_err stamp_unit_strike(struct stamp_smp_client *c, uint8_t digest[32],
                                 struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    enum stamp_err rc;

    stamp_smp_body_init(&body, 0);
    rc = ask(c, STAMP_SMP_WRITE, STAMP_SMP_STRIKE, &body, &r, err);
    return rc == STAMP_OK ? stamp_smp_reply_bytes(&r, "h", digest, 32, err) : rc;
}

enum stamp_err stamp_unit_pop(struct stamp_smp_client *c, bool *shown,
                              struct stamp_buffer *out, struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    struct stamp_cbor v;
    struct stamp_slice d;
    enum stamp_err rc;

    *out = (struct stamp_buffer){0};
    stamp_smp_body_init(&body, 0);
    rc = ask(c, STAMP_SMP_READ, STAMP_SMP_POP, &body, &r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    d = get_bytes(&r, "d", sizeof r.body);
    *shown = d.p == NULL;
    if (*shown) {
        stamp_smp_field(r.body, r.len, "pop", &v);
        d = stamp_cbor_string(&v, STAMP_CBOR_TEXT, 4, STAMP_MAX_TEXT);
    }
    rc = d.len == 0 ? bad(c, "no proof of possession", err)
                    : stamp_buffer_new(out, d.len, 0, err);
    if (rc == STAMP_OK) {
        memcpy(out->p, d.p, d.len);
    }
    OPENSSL_cleanse(&r, sizeof r);
    return rc;
}

enum stamp_err stamp_unit_finish(struct stamp_smp_client *c, bool lock, uint32_t *can,
                                 uint32_t *in_force, struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    enum stamp_err rc;

    stamp_smp_body_init(&body, 1);
    stamp_cbor_put_string(&body.out, STAMP_CBOR_TEXT, "lock", 4);
    stamp_cbor_put_head(&body.out, STAMP_CBOR_SIMPLE, 20u + lock);
    rc = ask(c, STAMP_SMP_WRITE, STAMP_SMP_FINISH, &body, &r, err);
    if (rc == STAMP_OK &&
        (!get_uint(&r, "can", can) || !get_uint(&r, "lock", in_force))) {
        rc = bad(c, "it does not say what is locked", err);
    }
    return rc;
}

enum stamp_err stamp_unit_abandon(struct stamp_smp_client *c, struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;

    stamp_smp_body_init(&body, 0);
    return ask(c, STAMP_SMP_WRITE, STAMP_SMP_ABANDON, &body, &r, err);
}

static void wait_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

enum stamp_err stamp_unit_restart(struct stamp_smp_client *c, struct stamp_error *err)
{
    struct stamp_smp_client quick = *c;
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    struct stamp_info info;
    enum stamp_err rc;

    stamp_smp_body_init(&body, 0);
    quick.tries = 1; /* the answer may get lost in the restart, which is no failure */
    rc = stamp_smp_request(&quick, STAMP_SMP_WRITE, STAMP_SMP_GROUP_OS, STAMP_SMP_RESTART,
                           &body, &r, err);
    if (rc != STAMP_OK && rc != STAMP_E_TIMEOUT) {
        c->seq = quick.seq;
        return rc;
    }
    quick.read_ms = RESTART_ASK_MS;
    for (int i = 0, ms = RESTART_WAIT_MS; i < RESTART_TRIES; i++) {
        wait_ms(ms);
        ms = 2 * ms < RESTART_WAIT_MAX_MS ? 2 * ms : RESTART_WAIT_MAX_MS;
        rc = stamp_smp_info(&quick, &info, err);
        if (rc != STAMP_E_TIMEOUT && rc != STAMP_E_FORMAT) {
            break;
        }
    }
    c->seq = quick.seq;
    stamp_smp_rx_init(&c->rx);
    return rc;
}
