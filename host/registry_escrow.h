/*
 * Proofs of possession in escrow on the books (host/escrow.h): an envelope for each run,
 * a sealed proof for each device. Nothing here opens them.
 */
#ifndef HOST_REGISTRY_ESCROW_H
#define HOST_REGISTRY_ESCROW_H

#include "core/cbor.h"
#include "host/registry_batch.h"

/**
 * Put an envelope on the books.
 *
 * @param batch  that its proofs are of; 0 = of stamps made one by one
 * @param key    its number: for stamp_registry_run_escrow() and below
 */
STAMP_MUST_USE enum stamp_err stamp_registry_escrow_key(struct stamp_registry *r,
                                                        uint32_t batch,
                                                        struct stamp_slice envelope,
                                                        int64_t *key,
                                                        struct stamp_error *err);

struct stamp_registry_sealed {
    int64_t device; /* id of its row */
    const uint8_t *p;
    size_t len; /* 1..STAMP_REGISTRY_SEALED_MAX */
};

/** Put the proofs of devices on the books that were made one by one; all or none.
 * STAMP_E_DUPLICATE where one is there already. */
STAMP_MUST_USE enum stamp_err
stamp_registry_escrow_add(struct stamp_registry *r, int64_t key,
                          const struct stamp_registry_sealed *sealed, size_t n,
                          struct stamp_error *err);

#define STAMP_REGISTRY_POP_MAX 160u /* bytes of a proof, whoever sealed it */

/** A sealed proof and its envelope. */
struct stamp_registry_escrow {
    uint8_t *envelope; /* NULL = the device sealed it itself: host/pop.h */
    size_t envelope_len;
    uint8_t sealed[STAMP_REGISTRY_POP_MAX];
    size_t sealed_len;
};

/** STAMP_E_MISSING where none is kept of this serial. End with
 * stamp_registry_escrow_fini(). */
STAMP_MUST_USE enum stamp_err
stamp_registry_escrow_find(struct stamp_registry *r, const char *serial,
                           struct stamp_registry_escrow *out, struct stamp_error *err);
/** The same, or the one that the device sealed itself when it was struck. */
STAMP_MUST_USE enum stamp_err
stamp_registry_sealed_find(struct stamp_registry *r, const char *serial,
                           struct stamp_registry_escrow *out, struct stamp_error *err);
void stamp_registry_escrow_fini(struct stamp_registry_escrow *e);

#endif
