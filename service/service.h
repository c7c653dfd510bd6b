/*
 * The service (`stamp serve`): devices get and renew their operational certificates over
 * HTTPS (EST, RFC 7030 and 8951). It is made of small processes, each with what it needs
 * and no more:
 *
 *     parent   starts the others, and starts them again; reads nothing from a network
 *     front    TLS, HTTP, and all bytes that are not trusted; has the key of its own TLS
 *              certificate, which never is in a file; no database, no other key
 *     books    the registry: who is who, and what each may have; one transaction for all
 *              that waits at the time
 *     signer   the key of the certificate authority; signs what its own policy allows
 *     status   the registry, to read: what is revoked; lists (CRL) and answers (OCSP),
 *              for which it has a key of its own
 *     maker    makes keys for devices that cannot (EST's serverkeygen), and seals them to
 *              the device before they leave it; has a key of its own to sign that
 *     batches  makes stamps in bulk for programs that ask (API), sealed to a station that
 *              the service knows; has the registry, the batch key, and a folder of files
 *
 *     log      the registry, and the log key: grows the transparency log by what waits
 *              (SPEC 18), and signs its heads; nobody talks to it
 *     reader   the registry, to read: answers what programs ask of devices and the log
 *     factory  the registry, and the reception key, which opens what stations export:
 *              books work orders, takes journals in, reconciles them
 *
 *     device ──TLS── front ── books ──── signer
 *                     ├────── status ──────┤
 *                     ├────── batches ─────┘
 *                     ├────── reader
 *                     ├────── factory
 *                     └────── maker ── books
 *
 * They talk in messages of bounded size (service/wire.h). Intent goes on the books before
 * anything is signed, and the certificate before it is told.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/error.h"
#include "host/secret.h"

#define SERVICE_FRONTS_MAX 32u
#define SERVICE_NAMES_MAX 8u
#define SERVICE_DAYS_MAX 3650u
#define SERVICE_RATE 60000u /* unless told otherwise */
#define SERVICE_BATCH_RATE 1200000u

/** As command line and environment have it; borrowed until the service ends. */
struct stamp_service_setup {
    const char *dir;    /* workspace; NULL = look for it */
    const char *listen; /* "ADDR:PORT", "[ADDR]:PORT", ":PORT"; port 0 = any */
    const char *http;   /* the same, for what is public: lists and OCSP; NULL = not so */
    const char *admin;  /* the same, for who runs it: metrics and health; NULL = not so */
    const char *name[SERVICE_NAMES_MAX]; /* of this server, for its certificate */
    uint32_t n_names;                    /* 0 = the machine's, and localhost */
    uint32_t fronts;                     /* 1..SERVICE_FRONTS_MAX */
    uint32_t days;                       /* an operational certificate is valid */
    uint32_t per_hour;                   /* new certificates of one device */
    uint32_t rate;                       /* and of all of them, in a minute */
    uint32_t batch_rate;                 /* certificates in batches, in a minute */
    bool linking; /* enrolment wants proof of possession of this connection */
    const char *wrap[SERVICE_NAMES_MAX]; /* labels whose GET answers have short lines */
    uint32_t n_wrap;
    const char *plain_keys; /* product whose devices may have keys made for them in the
                               clear, inside of TLS alone; NULL = none */
};

#define STAMP_SERVICE_SETUP_INIT                                                         \
    {                                                                                    \
        .listen = "127.0.0.1:8443", .fronts = 1, .days = 90, .per_hour = 6,              \
        .rate = SERVICE_RATE, .batch_rate = SERVICE_BATCH_RATE                           \
    }

/**
 * Be the parent, until SIGTERM or SIGINT: then what was asked is answered, and all ends.
 *
 * @param argv        of the verb: the processes are started with it, and "--as ROLE"
 * @param passphrase  of the workspace's keys; NULL in development
 */
STAMP_MUST_USE enum stamp_err stamp_service_run(const struct stamp_service_setup *setup,
                                                char *const *argv,
                                                const struct stamp_secret *passphrase,
                                                struct stamp_error *err);

/** Be one of the others. @param role  what came with "--as"
 * @return the exit status */
int stamp_service_child(const struct stamp_service_setup *setup, const char *role);

#endif
