/* What agent.c and claim.c share. */
#ifndef DEVICE_AGENT_I_H
#define DEVICE_AGENT_I_H

#include "device/agent.h"

/**
 * One request and its answer. A function that answers one returns enum stamp_smp_rc, or a
 * negative enum stamp_err where the device library fails; what it put into `out` counts
 * only with STAMP_RC_OK.
 */
struct stampi_call {
    struct stamp_agent *a;
    const uint8_t *body; /* of the request */
    size_t len;
    struct stamp_cbor_out out; /* body of the answer */
    uint32_t wait_ms;          /* with STAMP_RC_BUSY */
};

/** Claim state as a bank keeps it; without one, zeroes. */
struct stamp_claim_state {
    uint32_t tries;
    bool claimed;
};

STAMP_MUST_USE enum stamp_err stampi_claim_state(const struct stamp_device *dev,
                                                 struct stamp_claim_state *state);

/** Is `given`, the encoding of a text, the stamp's proof of possession? In a time that
 * says nothing about where they differ. STAMP_RC_NOT_AUTHENTIC: no. */
int stampi_claim_compare(struct stampi_call *c, struct stamp_slice given);

/** Start the clock of SPEC 10-17 at boot. */
void stampi_claim_init(struct stamp_agent *a);

/** End the exchange, if there is one, and destroy its keys. */
void stampi_claim_end(struct stamp_agent *a);

int stampi_claim(struct stampi_call *c);
int stampi_possess(struct stampi_call *c);

/** A byte string of the request; false: missing, or not `min`..`max` bytes. */
bool stampi_field_bytes(const struct stampi_call *c, const char *key, size_t min,
                        size_t max, struct stamp_slice *out);

/** A number, which may be absent and is then 0. False: it is something else. */
bool stampi_field_uint(const struct stampi_call *c, const char *key, uint32_t *out);

void stampi_put_map(struct stamp_cbor_out *o, uint32_t n);

/** A key and its value: a string `p` of `arg` bytes; without `p` a number, a bool, or the
 * head of a string whose bytes follow. */
void stampi_put(struct stamp_cbor_out *o, const char *key, enum stamp_cbor_type type,
                uint32_t arg, const void *p);
void stampi_put_uint(struct stamp_cbor_out *o, const char *key, uint32_t v);
void stampi_put_bool(struct stamp_cbor_out *o, const char *key, bool v);

/** A key, and as its value that of an item of the birth stamp. */
enum stamp_err stampi_put_item(struct stamp_cbor_out *o, const struct stamp_device *dev,
                               const char *key, uint32_t item);

/**
 * Sign with a key of the stamp, which is loaded for that.
 * @param point  also take its public point; may be NULL
 */
enum stamp_err stampi_sign_with(const struct stamp_device *dev, enum stamp_which which,
                                uint32_t key, const char *label,
                                struct stamp_slice payload,
                                uint8_t sig[STAMP_SIGNATURE_SIZE],
                                uint8_t point[STAMP_POINT_SIZE]);

#endif
