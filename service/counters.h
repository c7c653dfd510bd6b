/*
 * What the service has done, in numbers: one page of memory that all its processes share
 * and only add to. Nothing is decided by it, so a process that was taken over gains
 * nothing by writing there.
 */
#ifndef SERVICE_COUNTERS_H
#define SERVICE_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/registry_enrol.h"
#include "service/process.h"

#define SERVICE_ROLES 9u
#define SERVICE_BUCKETS 9u /* of how long a request took; the last one is endless */

struct service_counters {
    _Atomic uint64_t issued, again, confirmed, later;
    _Atomic uint64_t refused[STAMP_REFUSALS];
    _Atomic uint64_t ocsp_kept, ocsp_made, lists;
    _Atomic uint64_t batches, batched; /* that were made, and stamps in them */
    _Atomic uint64_t leaves, heads;    /* of the log, since it was started */
    _Atomic uint64_t queries;          /* that the reader answered */
    _Atomic uint64_t restarts[SERVICE_ROLES];
    _Atomic uint64_t connections[SERVICE_FRONTS_MAX]; /* open now */
    _Atomic uint64_t took[SERVICE_BUCKETS];           /* enrolments, by time */
    _Atomic uint64_t took_us;
    _Atomic uint64_t down; /* processes that are not there now */
};

/** Of this process; before service_counters_open() a page of its own. */
extern struct service_counters *service_count;

#define SERVICE_COUNT(what) (void)atomic_fetch_add(&service_count->what, 1)

/** Make the page. @return its descriptor; -1 where that fails */
int service_counters_make(void);

/** Take it. False where it cannot be mapped. */
bool service_counters_open(int fd);

/** How long an enrolment took. */
void service_counters_took(int64_t us);

/**
 * All of it, in Prometheus' text format.
 *
 * @return bytes written; at most `size`
 */
size_t service_counters_print(char *out, size_t size);

#endif
