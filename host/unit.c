#include "host/unit.h"

#include <openssl/crypto.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/pieces.h"

enum {
    RESTART_TRIES = 50,
    RESTART_WAIT_MS = 10, /* doubled each time, up to the most */
    RESTART_WAIT_MAX_MS = 160,
    RESTART_ASK_MS = 400,
};

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
    rc = stampi_ask(c, STAMP_SMP_READ, STAMP_SMP_UNIT, &body, &r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    chip = stampi_reply_bytes(&r, "id", sizeof unit->chip);
    offer = stampi_reply_bytes(&r, "o", sizeof unit->offer);
    if (!stampi_reply_uint(&r, "at", &phase) || phase > STAMP_PHASE_FINISHED ||
        chip.p == NULL || !stampi_reply_uint(&r, "can", &unit->can) ||
        !stampi_reply_uint(&r, "lock", &unit->lock) ||
        !stampi_reply_uint(&r, "max", &unit->room) ||
        (offer.p != NULL && offer.len != sizeof unit->offer)) {
        return stampi_bad_answer(c, "it does not say what it is", err);
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
    return stampi_pieces_put(c, STAMP_SMP_PUT, (uint32_t)what, bytes, err);
}

enum stamp_err stamp_unit_make(struct stamp_smp_client *c, const uint8_t challenge[32],
                               struct stamp_buffer *request, struct stamp_error *err)
{
    return stampi_pieces_request(c, STAMP_SMP_MAKE, STAMP_SMP_REQUEST, challenge, request,
                                 err);
}

enum stamp_err stamp_unit_agree(struct stamp_smp_client *c,
                                const uint8_t mine[STAMP_POINT_SIZE],
                                uint8_t theirs[STAMP_POINT_SIZE], struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    enum stamp_err rc;

    stamp_smp_body_init(&body, 1);
    stamp_smp_body_bytes(&body, "e", mine, STAMP_POINT_SIZE);
    rc = stampi_ask(c, STAMP_SMP_WRITE, STAMP_SMP_AGREE, &body, &r, err);
    return rc == STAMP_OK ? stamp_smp_reply_bytes(&r, "e", theirs, STAMP_POINT_SIZE, err)
                          : rc;
}

enum stamp_err stamp_unit_strike(struct stamp_smp_client *c, uint8_t digest[32],
                                 struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    enum stamp_err rc;

    stamp_smp_body_init(&body, 0);
    rc = stampi_ask(c, STAMP_SMP_WRITE, STAMP_SMP_STRIKE, &body, &r, err);
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
    rc = stampi_ask(c, STAMP_SMP_READ, STAMP_SMP_POP, &body, &r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    d = stampi_reply_bytes(&r, "d", sizeof r.body);
    *shown = d.p == NULL;
    if (*shown) {
        stamp_smp_field(r.body, r.len, "pop", &v);
        d = stamp_cbor_string(&v, STAMP_CBOR_TEXT, 4, STAMP_MAX_TEXT);
    }
    rc = d.len == 0 ? stampi_bad_answer(c, "no proof of possession", err)
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
    rc = stampi_ask(c, STAMP_SMP_WRITE, STAMP_SMP_FINISH, &body, &r, err);
    if (rc == STAMP_OK && (!stampi_reply_uint(&r, "can", can) ||
                           !stampi_reply_uint(&r, "lock", in_force))) {
        rc = stampi_bad_answer(c, "it does not say what is locked", err);
    }
    return rc;
}

enum stamp_err stamp_unit_abandon(struct stamp_smp_client *c, struct stamp_error *err)
{
    struct stamp_smp_body body;
    struct stamp_smp_reply r;

    stamp_smp_body_init(&body, 0);
    return stampi_ask(c, STAMP_SMP_WRITE, STAMP_SMP_ABANDON, &body, &r, err);
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
