/*
 * A device in memory with a stamp of its own, and a client that talks to it: no files, no
 * terminals, and a clock that the test sets. For tests of agent, claim and prove.
 */
#ifndef TEST_UNIT_LIVE_LIVE_H
#define TEST_UNIT_LIVE_LIVE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "device/agent.h"
#include "device/rotate.h"
#include "device/strike.h"
#include "host/scan.h"
#include "host/smp_client.h"

#define LIVE_SERIAL "LV-000123"
#define LIVE_PRODUCT "Lantern"
#define LIVE_POP "q7RkWz3m"

enum { LIVE_REGION = 8192 };

struct live_flash {
    uint32_t sector; /* at most LIVE_REGION */
    uint16_t unit;
    uint8_t erased;
};

struct live_options {
    const struct live_flash *flash; /* NULL = sectors of 4096, units of 8, erased FF */
    bool encrypted;
    bool no_pop;
    bool no_provisioning;
    bool peer_provisioning; /* the other way round: kind 1 */
    bool unbound;
    bool no_stamp;
    bool told; /* the factory was told the proof of possession */
    bool
        strike; /* the device can be struck: it pins the owner's key, and has a chip id */
};

/**
 * Sees each message on the line, and may change it or hold it back.
 *
 * @param up   to the device
 * @param msg  STAMP_SMP_MAX bytes of room
 * @return how often it goes on: 1 unchanged or changed, 0 lost, 2 doubled
 */
typedef unsigned (*live_hook)(void *ctx, bool up, uint8_t *msg, size_t *len);

struct live {
    uint8_t flash[3 * LIVE_REGION];
    struct live_flash is;
    bool flash_fails; /* erase and program fail from now on */
    unsigned flash_ops;
    unsigned cut_at; /* the operation that power fails in; 0 = none */
    bool dead;       /* power has failed: nothing happens until live_boot() */
    uint32_t now_ms;

    struct stamp_port port;
    uint8_t port_work[4096 + STAMP_WORK_EXTRA];
    struct stamp_device dev;
    struct stamp_agent agent;
    bool booted;
    uint8_t chip[8];
    uint8_t owner_hash[32];
    uint32_t fuses;
    unsigned restarts; /* asked for; live_boot() does it */
    struct stamp_strike strike;
    uint8_t strike_room[STAMP_STRIKE_BUFFER];
    struct stamp_rotate rotate;
    uint8_t rotate_room[STAMP_ROTATE_BUFFER];

    EVP_PKEY *root;
    EVP_PKEY *owner;
    EVP_PKEY *device_key;
    EVP_PKEY *provisioning;
    uint8_t provisioning_point[STAMP_POINT_SIZE];
    uint8_t root_der[STAMP_MAX_CERTIFICATE];
    size_t root_der_len;

    struct stamp_smp_client client;
    struct stamp_smp_rx up;
    struct stamp_smp_rx down;
    uint8_t out[8192]; /* frames on their way to the client */
    size_t out_len;
    live_hook hook;
    void *hook_ctx;
    unsigned requests[32]; /* of the stamp's group, by id */
};

/** Make the device and boot it; fails the test where it cannot. */
void live_start(struct live *l, const struct live_options *o);

/** Power off and on: what is in RAM is lost, the clock begins again at 0. */
void live_boot(struct live *l);

/** Frame what the client would never send. @param buf  as stamp_smp_send() wants it */
void live_send_raw(struct live *l, uint8_t buf[STAMP_SMP_BUFFER], size_t len);

/** Frame an answer that the device did not give. */
void live_answer_raw(struct live *l, uint8_t buf[STAMP_SMP_BUFFER], size_t len);

/** What its label says. Ended with stamp_scan_fini(). */
void live_label(const struct live *l, struct stamp_scan *label);

/** Wrong tries on record, and whether it is claimed. */
uint32_t live_tries(struct live *l, bool *claimed);

void live_stop(struct live *l);

#endif
