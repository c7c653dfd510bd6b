/*
 * What somebody with a scanner gets from a label: a claim label ("STAMP:"), a DPP URI, or
 * ESP provisioning JSON. The bytes come from outside and are not trusted.
 */
#ifndef HOST_SCAN_H
#define HOST_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/error.h"
#include "host/secret.h"

/** What was in it. Set to zeros before the first use. */
struct stamp_scan {
    bool has_key;
    uint8_t key[STAMP_POINT_SIZE]; /* the provisioning public key, on the curve */
    bool has_hash;
    uint8_t hash[32];         /* its DPP bootstrapping key hash; set with `key` too */
    struct stamp_secret *pop; /* NULL = none; owned */
    char serial[65];          /* "" = none */
};

/**
 * Any of the three, told by how it begins.
 *
 * @param payload  `len` bytes, no NUL needed; at most 4,096 are looked at
 * @param out      zeroed on failure; end its use with stamp_scan_fini()
 * @retval STAMP_E_FORMAT       none of them, or one with a mistake. No error text holds
 * the payload.
 */
STAMP_MUST_USE enum stamp_err stamp_scan_parse(const char *payload, size_t len,
                                               struct stamp_scan *out,
                                               struct stamp_error *err);

/** Only the claim label: STAMP:S:{serial};H:{key hash};P:{pop};; with the fields in this
 * order. */
STAMP_MUST_USE enum stamp_err stamp_claim_label_parse(const char *payload, size_t len,
                                                      struct stamp_scan *out,
                                                      struct stamp_error *err);

/** Wipe and zero. */
void stamp_scan_fini(struct stamp_scan *scan);

#endif
