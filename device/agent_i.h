/* What agent.c and claim.c share. */
#ifndef DEVICE_AGENT_I_H
#define DEVICE_AGENT_I_H

#include "device/agent.h"

struct stamp_request {
    const uint8_t *body;
    size_t len;
};

struct stamp_reply {
    struct stamp_cbor_out out;
    uint32_t wait_ms; /* with STAMP_RC_BUSY */
};

/** Claim state as a bank keeps it; without one, zeroes. */
struct stamp_claim_state {
    uint32_t tries;
    bool claimed;
};

STAMP_MUST_USE enum stamp_err stampi_claim_state(const struct stamp_device *dev,
                                                 struct stamp_claim_state *state);

/** Start the clock of SPEC 10-17 at boot. */
void stampi_claim_init(struct stamp_agent *a);

/** End the exchange, if there is one, and destroy its keys. */
void stampi_claim_end(struct stamp_agent *a);

enum stamp_smp_rc stampi_claim(struct stamp_agent *a, const struct stamp_request *q,
                               struct stamp_reply *r);
enum stamp_smp_rc stampi_possess(struct stamp_agent *a, const struct stamp_request *q,
                                 struct stamp_reply *r);

enum stamp_smp_rc stampi_rc(enum stamp_err err);

/** A byte string of the request; false: missing, or not `min`..`max` bytes. */
bool stampi_field_bytes(const struct stamp_request *q, const char *key, size_t min,
                        size_t max, struct stamp_slice *out);

void stampi_put_bytes(struct stamp_reply *r, const char *key, const void *p, size_t len);

#endif
