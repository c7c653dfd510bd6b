/*
 * Any bytes on the serial line of a unit that can be struck, and of a station that
 * strikes one. The first byte says how: 0 bytes to the unit as they are; 1 messages,
 * framed here; 2 all of it as an offer, put whole and made; 3 as certificates for an
 * offer that was made; 4 as a sealed stamp; 5 answers to what the station asks.
 *
 * No certificate here is of the bundle's anchors, so whatever comes, nothing is ever
 * written into the birth region. Signatures and key generation are played, as in
 * smp_fuzz; so is the check of the owner's signature, or no input would get past it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/unit.h"
#include "test/unit/live/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

psa_status_t __wrap_psa_sign_hash(psa_key_id_t id, psa_algorithm_t alg,
                                  const uint8_t *hash, size_t hash_len, uint8_t *sig,
                                  size_t size, size_t *len);
psa_status_t __wrap_psa_verify_hash(psa_key_id_t id, psa_algorithm_t alg,
                                    const uint8_t *hash, size_t hash_len,
                                    const uint8_t *sig, size_t len);
psa_status_t __wrap_psa_generate_key(const psa_key_attributes_t *attr, psa_key_id_t *id);

psa_status_t __wrap_psa_sign_hash(psa_key_id_t id, psa_algorithm_t alg,
                                  const uint8_t *hash, size_t hash_len, uint8_t *sig,
                                  size_t size, size_t *len)
{
    (void)id;
    (void)alg;
    (void)hash;
    (void)hash_len;
    memset(sig, 0x11, size);
    *len = STAMP_SIGNATURE_SIZE;
    return PSA_SUCCESS;
}

psa_status_t __wrap_psa_verify_hash(psa_key_id_t id, psa_algorithm_t alg,
                                    const uint8_t *hash, size_t hash_len,
                                    const uint8_t *sig, size_t len)
{
    (void)id;
    (void)alg;
    (void)hash;
    (void)hash_len;
    (void)sig;
    (void)len;
    return PSA_SUCCESS;
}

psa_status_t __wrap_psa_generate_key(const psa_key_attributes_t *attr, psa_key_id_t *id)
{
    uint8_t scalar[STAMP_SCALAR_SIZE];

    memset(scalar, 0x22, sizeof scalar);
    return psa_import_key(attr, scalar, sizeof scalar, id);
}

enum { MESSAGES_MAX = 24, SLOW_MAX = 3 };

static struct live live;
static uint8_t blank[sizeof live.flash];

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* A result is one of those that the headers name. */
static void known(enum stamp_err rc)
{
    require(rc <= STAMP_OK && rc > -100);
}

static void set_up(void)
{
    static bool done;
    const struct live_options o = {.no_stamp = true, .strike = true};

    if (!done) {
        live_start(&live, &o);
        memcpy(blank, live.flash, sizeof blank);
        done = true;
    }
    memcpy(live.flash, blank, sizeof blank);
    live.fuses = 0;
    live.port.owner_key_hash = NULL; /* the offer's own is taken */
    live_boot(&live);
}

/* A message is a length byte and that many bytes. */
static size_t take(const uint8_t **data, size_t *len, uint8_t *msg, size_t max)
{
    size_t n = *len > 0 ? (*data)[0] : 0;

    n = n < *len ? n : *len - (*len > 0);
    n = n < max ? n : max;
    memcpy(msg, *data + (*len > 0), n);
    *data += n + (*len > 0);
    *len -= n + (*len > 0);
    return n;
}

static void to_unit(const uint8_t *data, size_t len, bool framed)
{
    unsigned slow = 0;

    for (unsigned k = 0; len > 0 && (!framed || k < MESSAGES_MAX); k++) {
        uint8_t buf[STAMP_SMP_BUFFER];

        live.out_len = 0;
        if (framed) {
            size_t n = take(&data, &len, buf + STAMP_SMP_ROOM, STAMP_SMP_MAX);
            uint8_t id = n > 7 ? buf[STAMP_SMP_ROOM + 7] : 0;

            slow +=
                id == STAMP_SMP_MAKE || id == STAMP_SMP_STRIKE || id == STAMP_SMP_AGREE;
            if (slow <= SLOW_MAX) {
                live_send_raw(&live, buf, n);
            }
        } else {
            stamp_agent_input(&live.agent, *data++);
            len--;
        }
    }
}

static void put(enum stamp_smp_put what, struct stamp_slice in)
{
    static const uint8_t challenge[32];
    struct stamp_buffer request = {0};
    uint8_t digest[32];
    uint32_t can;
    uint32_t lock;

    if (in.len == 0 || stamp_unit_put(&live.client, what, in, NULL) != STAMP_OK) {
        return;
    }
    if (what == STAMP_PUT_OFFER) {
        known(stamp_unit_make(&live.client, challenge, &request, NULL));
        stamp_buffer_free(&request);
    }
    require(stamp_unit_strike(&live.client, digest, NULL) != STAMP_OK);
    require(stamp_unit_finish(&live.client, true, &can, &lock, NULL) != STAMP_OK);
}

/* ---- the station's end ---- */

struct answers {
    const uint8_t *data;
    size_t len;
    struct stamp_smp_rx rx;
    uint8_t out[1024];
    size_t out_len;
};

static void put_line(void *ctx, const uint8_t *line, size_t len)
{
    struct answers *a = ctx;

    memcpy(a->out + a->out_len, line, len);
    a->out_len += len;
}

static enum stamp_err answer(void *ctx, const void *p, size_t len,
                             struct stamp_error *err)
{
    struct answers *a = ctx;
    const uint8_t *bytes = p;

    (void)err;
    for (size_t i = 0; i < len; i++) {
        uint8_t buf[STAMP_SMP_BUFFER];
        size_t n;

        if (stamp_smp_rx_byte(&a->rx, bytes[i]) == 0) {
            continue;
        }
        memcpy(buf + STAMP_SMP_ROOM, a->rx.buf + STAMP_SMP_ROOM, STAMP_SMP_HEADER);
        n = take(&a->data, &a->len, buf + STAMP_SMP_ROOM + STAMP_SMP_HEADER,
                 STAMP_SMP_MAX - STAMP_SMP_HEADER);
        buf[STAMP_SMP_ROOM]++;
        buf[STAMP_SMP_ROOM + 2] = 0;
        buf[STAMP_SMP_ROOM + 3] = (uint8_t)n;
        a->out_len = 0;
        stamp_smp_send(buf, STAMP_SMP_HEADER + n, put_line, a);
    }
    return STAMP_OK;
}

static enum stamp_err hand_out(void *ctx, void *buf, size_t size, int timeout_ms,
                               size_t *len, struct stamp_error *err)
{
    struct answers *a = ctx;

    (void)timeout_ms;
    (void)err;
    *len = a->out_len < size ? a->out_len : size;
    memcpy(buf, a->out, *len);
    a->out_len -= *len;
    memmove(a->out, a->out + *len, a->out_len);
    return STAMP_OK;
}

static void to_station(const uint8_t *data, size_t len)
{
    static const uint8_t offer[600];
    static const uint8_t challenge[32];
    struct answers a = {.data = data, .len = len};
    struct stamp_smp_line line = {answer, hand_out, &a, "fuzz"};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_smp_client client;
    struct stamp_buffer request = {0};
    struct stamp_buffer pop = {0};
    struct stamp_unit unit;
    uint8_t digest[32];
    uint32_t can;
    uint32_t lock;
    bool shown;

    stamp_smp_rx_init(&a.rx);
    stamp_smp_client_init(&client, &line);
    client.tries = 1;
    if (stamp_unit_ask(&client, &unit, &err) == STAMP_OK) {
        require(unit.chip_len <= sizeof unit.chip && unit.phase <= STAMP_PHASE_FINISHED);
    }
    known(stamp_unit_put(&client, STAMP_PUT_OFFER,
                         (struct stamp_slice){offer, sizeof offer}, NULL));
    if (stamp_unit_make(&client, challenge, &request, NULL) == STAMP_OK) {
        require(request.p != NULL && request.len > 0);
    }
    known(stamp_unit_strike(&client, digest, NULL));
    if (stamp_unit_pop(&client, &shown, &pop, NULL) == STAMP_OK) {
        require(pop.len > 0);
    }
    known(stamp_unit_finish(&client, true, &can, &lock, NULL));
    stamp_buffer_free(&request);
    stamp_buffer_free(&pop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct stamp_slice in = {data + 1, len - 1};

    if (len < 1 || len > 8192) {
        return 0;
    }
    set_up();
    switch (data[0] % 6) {
    case 0:
    case 1:
        to_unit(in.p, in.len, data[0] % 6 == 1);
        break;
    case 2:
        put(STAMP_PUT_OFFER, in);
        break;
    case 3:
        put(STAMP_PUT_CERTIFICATES, in);
        break;
    case 4:
        put(STAMP_PUT_SEALED, in);
        break;
    default:
        to_station(in.p, in.len);
        break;
    }
    require(memcmp(live.flash, blank, LIVE_REGION) == 0);
    require(live.fuses == 0);
    return 0;
}
