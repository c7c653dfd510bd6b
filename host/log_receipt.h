/*
 * Receipts: leaves of the transparency log with the proof that they are in it, for
 * whoever trusts the workspace's root and has nothing else. SPEC 18-10.
 */
#ifndef HOST_LOG_RECEIPT_H
#define HOST_LOG_RECEIPT_H

#include "host/log_entry.h"
#include "host/log_head.h"
#include "host/merkle_proof.h"
#include "host/trust.h"

#define STAMP_LOG_RECEIPT_MAX ((size_t)1 << 20) /* bytes */

/** A leaf and where it stands; of a run also one device of it. */
struct stamp_log_item {
    uint64_t index;
    struct stamp_slice leaf;
    struct stamp_merkle_path path;
    bool in_run;
    uint32_t place;            /* in the run */
    struct stamp_slice record; /* SPEC 18-6 */
    struct stamp_merkle_path run_path;
};

/** A receipt that is being written. Begin with zeros, end with free(bytes). */
struct stamp_log_receipt {
    uint8_t *bytes;
    size_t len, room;
    size_t items;
};

STAMP_MUST_USE enum stamp_err stamp_log_receipt_add(struct stamp_log_receipt *r,
                                                    const struct stamp_log_item *item,
                                                    struct stamp_error *err);

/** The whole receipt. @param certificate  of the log key @param out  the caller frees it
 */
STAMP_MUST_USE enum stamp_err stamp_log_receipt_write(const struct stamp_log_receipt *r,
                                                      const struct stamp_log_head *head,
                                                      X509 *certificate, uint8_t **out,
                                                      size_t *len,
                                                      struct stamp_error *err);

/** What a receipt proves; borrowed. */
typedef void (*stamp_log_proven)(void *ctx, const struct stamp_log_item *item,
                                 const struct stamp_log_entry *entry);

/**
 * Check a receipt: the log key's certificate against `trust`, the head against the key,
 * and each leaf against the head.
 *
 * @param head    filled
 * @param proven  called with each leaf, once it is proven
 * @retval STAMP_E_FORMAT  it is no receipt
 * @retval STAMP_E_AUTH    something does not hold; `err` says what
 */
STAMP_MUST_USE enum stamp_err stamp_log_receipt_check(struct stamp_slice in,
                                                      const struct stamp_trust *trust,
                                                      struct stamp_log_head *head,
                                                      stamp_log_proven proven, void *ctx,
                                                      struct stamp_error *err);

/**
 * The log key's certificate: led to by `trust`, and for that purpose alone. SPEC 18-9.
 *
 * @param purpose  that the head states
 * @param key      the caller frees it
 */
STAMP_MUST_USE enum stamp_err stamp_log_certificate_check(struct stamp_slice der,
                                                          const struct stamp_trust *trust,
                                                          uint8_t purpose, EVP_PKEY **key,
                                                          struct stamp_error *err);

#endif
