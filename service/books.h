/*
 * The books of the service: a process that has the registry and nothing else. All that
 * waits is one round: one transaction for the requests of devices and for certificates
 * that the signer made. Only then is anybody told, or the signer asked.
 */
#ifndef SERVICE_BOOKS_H
#define SERVICE_BOOKS_H

#include <time.h>

#include "host/registry_enrol.h"
#include "host/registry_unit.h"
#include "service/process.h"

#define BOOKS_WHO_MAX 160u

/* What came of one request for a certificate, once the round is written. */
struct books_verdict {
    enum stamp_refusal refusal;
    struct stamp_ldevid ldevid;    /* INTENT: to be signed; else it has its certificate */
    struct stamp_unit_booked unit; /* the same of a station's unit */
    uint8_t *birth;                /* DER, for the signer */
    size_t birth_len;
    char serial[STAMP_SERIAL_SIZE]; /* for the log, as far as known */
    char who[BOOKS_WHO_MAX];
    bool judge;     /* nothing is decided before the front says if the chain holds */
    bool confirmed; /* it was the first use of its operational key */
};

void books_verdict_fini(struct books_verdict *v);

/* Serial numbers of certificates: a block of the registry's. */
struct books_numbers {
    uint8_t prefix[STAMP_CERTIFICATE_PREFIX_SIZE];
    uint32_t next; /* 0 = the block is used up */
};

/** The next one; there is one. */
void books_number(struct books_numbers *numbers,
                  uint8_t out[STAMP_CERTIFICATE_SERIAL_SIZE]);

/**
 * Who is it, and what may he have? Inside of a group (host/registry_enrol.h).
 *
 * @param v  ended with books_verdict_fini(), also after a failure
 */
STAMP_MUST_USE enum stamp_err
books_enrol(struct stamp_registry *r, const struct stamp_service_setup *setup,
            const struct service_enrol *asked, time_t now, struct books_numbers *numbers,
            struct books_verdict *v, struct stamp_error *err);

/** The same for a station's unit. */
STAMP_MUST_USE enum stamp_err books_unit(struct stamp_registry *r,
                                         const struct service_unit *asked, time_t now,
                                         struct books_verdict *v,
                                         struct stamp_error *err);

/** Whose the changes of the service itself are. */
#define BOOKS_AUTHOR "stamp serve"

/**
 * What a program changes, by the name of its API key. In a transaction of its own.
 *
 * @param a  `why` points into `err`
 * @return not STAMP_OK where nothing is decided
 */
STAMP_MUST_USE enum stamp_err books_change(struct stamp_registry *r,
                                           const struct service_change *c, time_t now,
                                           struct service_change_answer *a,
                                           struct stamp_error *err);

#endif
