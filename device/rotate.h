/*
 * Rotation on the device: it makes a new operational key, asks for a certificate, judges
 * what it gets, and commits a bank with both. An agent (device/agent.h) whose `more` has
 * that of a `struct stamp_rotate` answers the requests of SPEC 16; one without knows none
 * of them.
 *
 * The new key waits in the operational bank itself, beside the identity in use, and goes
 * with it through every other rewriting of the bank (a claim, say). So power may fail at
 * any instant: the identity in use is there or the new one, and a key that waits is never
 * lost. No private key leaves the device.
 *
 * Needs Mbed TLS's x509write_csr beside what device/device.h needs. No malloc of its own,
 * no static data.
 */
#ifndef DEVICE_ROTATE_H
#define DEVICE_ROTATE_H

#include "device/agent.h"
#include "device/pieces.h"

/* Holds a chain of two certificates of 1 KiB and a bundle of 4 KiB, or a request. */
#define STAMP_ROTATE_BUFFER 6144u

/** Treat as opaque. */
struct stamp_rotate {
    struct stamp_agent_more more;
    uint8_t *buf; /* the certificates, the bundle behind them */
    size_t size;
    uint32_t len[2]; /* by enum stamp_smp_hand: of what is whole in `buf`; 0 = none */
    struct stamp_pieces hand;
    uint32_t request; /* length of the request for a certificate, at the end of `buf` */
};

/**
 * @param buf  borrowed as long as the agent lives; no secret passes through it. May be
 *             that of a strike: a device is struck before it rotates, and what does not
 *             pass the judgement is not written
 * @param size  bytes
 */
void stamp_rotate_init(struct stamp_rotate *r, void *buf, size_t size);

#endif
