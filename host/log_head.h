/*
 * Heads of the transparency log: its size and root, signed by a key of its own. SPEC 18.
 */
#ifndef HOST_LOG_HEAD_H
#define HOST_LOG_HEAD_H

#include <time.h>

#include "host/merkle.h"
#include "host/pki.h"

#define STAMP_LOG_HEAD_MAX 256u /* bytes of a signed head */
#define STAMP_LOG_ID_SIZE 32u   /* SHA-256 of the log key's point */

struct stamp_log_head {
    uint8_t id[STAMP_LOG_ID_SIZE];
    uint8_t purpose;
    uint64_t size;
    time_t at;
    uint8_t root[STAMP_MERKLE_SIZE];
    size_t len; /* as it was signed */
    uint8_t bytes[STAMP_LOG_HEAD_MAX];
};

/** Who signs heads. */
struct stamp_log_signer {
    EVP_PKEY *key;
    uint8_t purpose;
};

/** Sign: id, purpose and bytes are filled in. */
STAMP_MUST_USE enum stamp_err stamp_log_head_sign(const struct stamp_log_signer *s,
                                                  struct stamp_log_head *head,
                                                  struct stamp_error *err);

/** Read a signed head; its signature is not looked at. */
STAMP_MUST_USE enum stamp_err stamp_log_head_read(struct stamp_slice in,
                                                  struct stamp_log_head *out,
                                                  struct stamp_error *err);

/** Is it signed by this key? STAMP_E_AUTH: it is not. */
STAMP_MUST_USE enum stamp_err stamp_log_head_check(const struct stamp_log_head *head,
                                                   EVP_PKEY *key,
                                                   struct stamp_error *err);

#endif
