/*
 * A batch that a service makes (stamp serve, its API): it is asked for, made there, and
 * fetched. The same call again goes on where the last one was broken off: the name that
 * the request has with the service stands in FILE.ask until FILE is whole.
 */
#ifndef HOST_BATCH_ONLINE_H
#define HOST_BATCH_ONLINE_H

#include <signal.h>

#include "host/batchfile.h"
#include "host/https.h"

#define STAMP_BATCH_ASK ".ask"

struct stamp_batch_online {
    struct stamp_https *https; /* to the service */
    const char *url;           /* its, for people */
    const char *trust;         /* PEM file: the root of the batch */
    const char *path;          /* FILE; never overwritten */
    const char *product;
    const char *note; /* NULL = none */
    uint32_t count;
    X509 *const *stations; /* 1..STAMP_BATCH_RECIPIENTS_MAX, that the service knows */
    size_t n_stations;
    unsigned patience_s;               /* for a service that is away, or busy */
    const volatile sig_atomic_t *stop; /* not 0: stop cleanly; NULL = none */
    void (*progress)(void *ctx, uint32_t done, uint32_t total);
    void *ctx;
};

/**
 * Ask, wait, fetch, and check all of the file against the root.
 *
 * @param batch  its number on the service's books
 * @retval STAMP_E_EXISTS  FILE is there already: nothing was asked for
 * @retval STAMP_E_AUTH    the API key may not, or what came is not what was asked for
 * @retval STAMP_E_STATE   the service refuses
 * @retval STAMP_E_IO      no service, or the disk
 * @retval STAMP_E_BUSY    stopped, or the service was away or busy for too long: call
 * again
 */
STAMP_MUST_USE enum stamp_err stamp_batch_order_online(const struct stamp_batch_online *o,
                                                       uint32_t *batch,
                                                       struct stamp_error *err);

#endif
