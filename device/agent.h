/*
 * The agent: answers a host on a serial line about this device's stamp. Frames come in
 * byte by byte; each whole request is answered before the call returns. SPEC 10.
 *
 * It tells public claims, proves the possession of keys, and lets an owner claim the
 * device. No request exports a private key or a secret, and none signs bytes of the
 * host's choice but a nonce under the label of proving (SPEC 10-7).
 *
 * No malloc, no static data. psa_crypto_init() must have succeeded.
 */
#ifndef DEVICE_AGENT_H
#define DEVICE_AGENT_H

#include <psa/crypto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/smp.h"
#include "device/device.h"

#define STAMP_AGENT_FIRMWARE_MAX 24u /* characters of the firmware's version */

struct stampi_call;

/** What a device may do beside: begins the struct of each, and is set by its init
 * function, so that a product links only what it has. Treat as opaque. */
struct stamp_agent_more {
    int (*answer)(struct stampi_call *c, unsigned group, unsigned id, bool write);
    /* Of the strike: stampi_claim_compare(), and more; an answer that it makes is instead
     * of a claim. */
    int (*compare)(struct stampi_call *c, struct stamp_slice given);
};

enum stamp_agent_part { STAMP_AGENT_STRIKE, STAMP_AGENT_ROTATE, STAMP_AGENT_PARTS };

struct stamp_agent_config {
    struct stamp_device *dev; /* borrowed as long as the agent lives */

    /* What stamp_device_open() returned for `dev`: STAMP_OK, STAMP_E_BLANK ("no stamp"),
     * or another error ("damaged"). */
    enum stamp_err opened;

    const char
        *firmware; /* version, at most STAMP_AGENT_FIRMWARE_MAX characters; borrowed */

    /* Sends one line of a frame (at most STAMP_SMP_LINE bytes); blocks until it is out.
     */
    stamp_smp_tx tx;
    void *tx_ctx;

    /* &strike.more of device/strike.h: the device may be struck; &rotate.more of
     * device/rotate.h: it renews its operational identity. Borrowed. NULL = not so. */
    struct stamp_agent_more *more[STAMP_AGENT_PARTS];
};

/** The exchange of SPEC 10.1, between claim and possess. */
struct stamp_claim {
    psa_key_id_t key[2]; /* from the app, to the app; PSA_KEY_ID_NULL: no exchange */
    uint32_t since_ms;   /* boot or the last wrong try; waiting counts from here */
};

struct stamp_agent {
    struct stamp_agent_config cfg;
    struct stamp_claim claim;
    struct stamp_smp_rx rx;
    bool restart;    /* once the answer is out */
    size_t answered; /* length of the answer in `out`; 0 = none */
    unsigned crc;    /* of the request that it answers */
    uint8_t out[STAMP_SMP_BUFFER];
};

/** Begin. Copies `*cfg`. */
void stamp_agent_init(struct stamp_agent *a, const struct stamp_agent_config *cfg);

/** Take one byte from the line; answers when it completes a request. */
void stamp_agent_input(struct stamp_agent *a, uint8_t byte);

/** The stamp was written, locked or opened again by other code: take `opened` as the new
 * result and end any claim exchange. */
void stamp_agent_reopened(struct stamp_agent *a, enum stamp_err opened);

/** End: closes a claim exchange and destroys its keys. */
void stamp_agent_fini(struct stamp_agent *a);

#endif
