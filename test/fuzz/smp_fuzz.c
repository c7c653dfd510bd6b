/*
 * Any bytes on the serial line, for the device and for the host. The first byte says how:
 * 0 bytes to the agent as they are; 1 messages to the agent, framed here so that they get
 * past the CRC; 2 answers to the host's questions.
 *
 * The device's signatures and key generation are played (ld --wrap): they take nearly all
 * of the time, and nothing depends on their values.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/claim.h"
#include "host/prove.h"
#include "test/unit/live/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

psa_status_t __wrap_psa_sign_hash(psa_key_id_t id, psa_algorithm_t alg,
                                  const uint8_t *hash, size_t hash_len, uint8_t *sig,
                                  size_t size, size_t *len);
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

psa_status_t __wrap_psa_generate_key(const psa_key_attributes_t *attr, psa_key_id_t *id)
{
    uint8_t scalar[STAMP_SCALAR_SIZE];

    memset(scalar, 0x22, sizeof scalar);
    return psa_import_key(attr, scalar, sizeof scalar, id);
}

static struct live live;
static struct stamp_trust *trust;

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void set_up(void)
{
    static bool done;
    const struct live_options o = {.encrypted = false};
    struct stamp_slice root = {live.root_der, 0};
    X509 *cert = NULL;

    if (done) {
        return;
    }
    live_start(&live, &o);
    root.len = live.root_der_len;
    require(stamp_trust_new(&trust, NULL) == STAMP_OK &&
            stamp_pki_decode(root, &cert, NULL) == STAMP_OK &&
            stamp_trust_add(trust, cert, NULL) == STAMP_OK);
    X509_free(cert);
    done = true;
}

/* A message is a length byte and that many bytes, cut to `max`. */
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

/* Whatever it was told: its flash is as before, and it knows no more proofs than before.
 */
static void check_agent(const uint8_t *before)
{
    bool claimed;

    require(memcmp(before, live.flash, sizeof live.flash) == 0);
    require(live_tries(&live, &claimed) == 0 && !claimed);
}

static void to_agent(const uint8_t *data, size_t len, bool framed)
{
    static uint8_t before[sizeof live.flash];
    unsigned claims = 0;

    live_boot(&live);
    memcpy(before, live.flash, sizeof before);
    while (len > 0) {
        uint8_t buf[STAMP_SMP_BUFFER];

        live.out_len = 0;
        if (framed) {
            size_t n = take(&data, &len, buf + STAMP_SMP_ROOM, STAMP_SMP_MAX);

            claims += n > 7 && buf[STAMP_SMP_ROOM + 7] == STAMP_SMP_CLAIM;
            if (claims <= 2) { /* key agreement is slow, and more of it finds no more */
                live_send_raw(&live, buf, n);
            }
        } else {
            stamp_agent_input(&live.agent, *data++);
            len--;
        }
    }
    check_agent(before);
}

/* A line on which the answers come from the input. */
struct answers {
    const uint8_t *data;
    size_t len;
    uint8_t asked[STAMP_SMP_HEADER];
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

static void to_host(const uint8_t *data, size_t len)
{
    struct answers a = {.data = data, .len = len};
    struct stamp_smp_line line = {answer, hand_out, &a, "fuzz"};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_claim_result result;
    struct stamp_smp_client client;
    struct stamp_proof proof;
    struct stamp_scan label;
    bool claim = len > 0 && (data[len - 1] & 1) != 0;

    stamp_smp_rx_init(&a.rx);
    stamp_smp_client_init(&client, &line);
    client.tries = 1;
    if (claim) {
        live_label(&live, &label);
        label.serial[0] = '\0';
        require(stamp_claim_run(&client, &label, NULL, NULL, &result, &err) != STAMP_OK);
        stamp_scan_fini(&label);
    } else {
        require(stamp_prove_device(&client, trust, STAMP_BIRTH, &proof, &err) !=
                STAMP_OK);
    }
    require(err.code != STAMP_OK && err.what[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    set_up();
    if (len < 1 || len > 8192) {
        return 0;
    }
    if (data[0] % 3 == 2) {
        to_host(data + 1, len - 1);
    } else {
        to_agent(data + 1, len - 1, data[0] % 3 == 1);
    }
    return 0;
}
