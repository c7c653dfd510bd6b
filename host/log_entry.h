/*
 * Entries of the transparency log: what was issued, and what became of it. SPEC 18.
 */
#ifndef HOST_LOG_ENTRY_H
#define HOST_LOG_ENTRY_H

#include <stdbool.h>

#include "core/stamp.h"
#include "host/error.h"
#include "host/serial.h"

#define STAMP_LOG_TEXT_MAX 200u
#define STAMP_LOG_ENTRY_MAX 1280u /* bytes of an encoded entry */

/** The numbers are in logs: append-only. */
enum stamp_log_kind {
    STAMP_LOG_BATCH = 1,       /* serials were set aside: count, name */
    STAMP_LOG_BATCH_STATE = 2, /* state */
    STAMP_LOG_RUN = 3,         /* devices that were issued together: count, root */
    STAMP_LOG_DEVICE = 4,      /* state; of one issued by itself: key, certificate */
    STAMP_LOG_OPERATIONAL = 5, /* state, n; when certified: key, certificate */
    STAMP_LOG_REVOCATION = 6,  /* of a certificate: number, reason */
    STAMP_LOG_OWN = 7,         /* a certificate of the service: number, certificate */
    STAMP_LOG_ANCHOR = 8,      /* something that is kept elsewhere: name, digest */
    STAMP_LOG_DROP = 9,        /* contents of leaves were dropped: number, n, digest */
};
#define STAMP_LOG_KINDS 10u

/** What is absent is NULL, empty or not set. Slices are borrowed: of a decoded one, from
 * its encoding. */
struct stamp_log_entry {
    enum stamp_log_kind kind;
    uint64_t at; /* seconds since 1970 */
    bool has_device;
    uint32_t batch, index; /* of the device; of a run, its first one */
    struct stamp_slice serial;
    bool has_state;
    uint32_t state;            /* enum stamp_registry_state, or of what the kind is */
    const uint8_t *key;        /* SHA-256 of its point */
    const uint8_t *digest;     /* SHA-256 of the certificate, or of what is anchored */
    const uint8_t *root;       /* of a run: SPEC 18-6 */
    uint32_t n;                /* 0 = absent */
    struct stamp_slice number; /* of a certificate: 16 bytes */
    bool has_reason;
    uint32_t reason; /* RFC 5280 5.3.1 */
    struct stamp_slice chip, name, who, where, why;
    struct stamp_slice signature; /* of what was dropped: 64 bytes, SPEC 18-12 */
};

/** @param out  STAMP_LOG_ENTRY_MAX bytes. STAMP_E_RANGE: something is too long */
STAMP_MUST_USE enum stamp_err stamp_log_entry_encode(const struct stamp_log_entry *e,
                                                     uint8_t *out, size_t *len,
                                                     struct stamp_error *err);

/** STAMP_E_FORMAT: it is none, or not in the one encoding that it has. */
STAMP_MUST_USE enum stamp_err stamp_log_entry_decode(struct stamp_slice in,
                                                     struct stamp_log_entry *e,
                                                     struct stamp_error *err);

/** "run", "device", ... */
const char *stamp_log_kind_name(enum stamp_log_kind kind);

/** A text as a slice; NULL as none. */
struct stamp_slice stamp_log_text(const char *text);

#endif
