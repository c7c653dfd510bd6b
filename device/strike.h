/*
 * The strike on the device: it makes its own keys, asks for a certificate, judges what it
 * gets, writes its birth stamp, and is locked. An agent (device/agent.h) whose `more` has
 * that of a `struct stamp_strike` answers the requests of SPEC 13; one without knows none
 * of them.
 *
 * No private key leaves the device. Power may fail at any instant: the unit is blank, or
 * its keys wait in a pending bank, or its birth stamp is written; each time the same
 * requests bring it to the end.
 *
 * Needs Mbed TLS's x509write_csr beside what device/device.h needs. No malloc of its own,
 * no static data.
 */
#ifndef DEVICE_STRIKE_H
#define DEVICE_STRIKE_H

#include "device/agent.h"
#include "device/pieces.h"

/* Holds an offer of 2 KiB, a chain of two certificates and the stamp made of them. */
#define STAMP_STRIKE_BUFFER 8192u

/** Treat as opaque. */
struct stamp_strike {
    struct stamp_agent_more more;
    uint8_t *buf; /* the offer, the certificates behind it, and room to work */
    size_t size;
    uint32_t len[2]; /* by enum stamp_smp_put: of what is whole in `buf`; 0 = none */
    struct stamp_pieces put;
    uint32_t request; /* length of the request for a certificate, at the end of `buf` */
    psa_key_id_t agreed; /* opens a sealed stamp; PSA_KEY_ID_NULL: none is expected */
};

/**
 * @param buf  borrowed as long as the agent lives; secrets pass through it, and it is
 *             wiped of them before each answer
 * @param size  STAMP_STRIKE_BUFFER is enough for most products
 */
void stamp_strike_init(struct stamp_strike *s, void *buf, size_t size);

/** How far is the unit (SPEC 13-2)? @param opened  what stamp_device_open() returned */
enum stamp_phase stamp_strike_phase(const struct stamp_device *dev,
                                    enum stamp_err opened);

#endif
