#include "host/order.h"

#include <string.h>

#include "host/bundle.h"
#include "host/key.h"
#include "host/letter.h"
#include "host/order_own.h"
#include "host/sig.h"

#define LABEL STAMP_LABEL_ORDER
#define PAYLOAD_MAX 65536u

enum stamp_err stamp_order_make(const struct stamp_order *order, EVP_PKEY *owner,
                                X509 *box, struct stamp_buffer *out,
                                struct stamp_error *err)
{
    STAMP_BUFFER_AUTO payload = {NULL, 0};
    struct stamp_order o = *order;
    struct stamp_slice body;
    uint8_t sig[STAMP_SIG_SIZE];
    enum stamp_err rc = stamp_key_point(owner, o.owner, err);

    *out = (struct stamp_buffer){NULL, 0};
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(&payload, PAYLOAD_MAX, 0, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    body.p = payload.p;
    rc = stampi_order_encode(&o, payload.p, payload.len, &body.len, err);
    if (rc == STAMP_OK) {
        rc = stamp_sig_make(owner, LABEL, body.p, body.len, sig, err);
    }
    return rc == STAMP_OK ? stamp_letter_seal(LABEL, body, sig, box, out, err) : rc;
}

/* SPEC 14-3: the signature over the payload. */
static enum stamp_err check_signed(struct stamp_slice payload, const uint8_t *sig,
                                   const uint8_t owner_hash[32],
                                   struct stamp_order *order, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    uint8_t hash[32];
    enum stamp_err rc;

    rc = stampi_order_decode(payload, order, err);
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(order->owner, hash, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (memcmp(hash, owner_hash, sizeof hash) != 0) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "the order is of another owner");
    }
    rc = stamp_sig_check_point(order->owner, LABEL, payload.p, payload.len, sig, &why);
    if (rc == STAMP_E_AUTH || rc == STAMP_E_FORMAT) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the order is not signed by its owner");
    }
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    return stamp_bundle_check(order->bundle, owner_hash, order->purpose, NULL, err);
}

enum stamp_err stamp_order_open(struct stamp_slice file, const uint8_t owner_hash[32],
                                EVP_PKEY *box, struct stamp_buffer *plain,
                                struct stamp_order *order, struct stamp_error *err)
{
    struct stamp_slice payload;
    const uint8_t *sig;
    enum stamp_err rc =
        stamp_letter_open(LABEL, "order", file, box, plain, &payload, &sig, err);

    memset(order, 0, sizeof *order);
    if (rc == STAMP_OK) {
        rc = check_signed(payload, sig, owner_hash, order, err);
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(plain);
        memset(order, 0, sizeof *order);
    }
    return rc;
}

enum stamp_err stamp_order_check(const struct stamp_order *order,
                                 struct stamp_slice station, uint8_t purpose, time_t now,
                                 struct stamp_error *err)
{
    if (order->purpose != purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "the order is for the other purpose");
    }
    if (order->station.len != station.len ||
        memcmp(order->station.p, station.p, station.len) != 0) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "the order is for another station");
    }
    if (now < (time_t)order->not_before) {
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "the order does not hold yet, or the clock is wrong");
    }
    if (now > (time_t)order->not_after) {
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "the order holds no longer, or the clock is wrong");
    }
    return STAMP_OK;
}
