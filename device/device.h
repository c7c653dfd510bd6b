/*
 * The stamp on a device: read, prove, write once, lock, rotate.
 *
 * Library-wide rules:
 * - No malloc, no static data, no stdio. The caller owns every buffer and the `struct
 *   stamp_device`. One caller at a time.
 * - psa_crypto_init() must have succeeded before any call.
 * - Private keys are PSA key ids; the caller destroys ids that it got (psa_destroy_key).
 * - Every function that changes flash is safe under power loss at any instant: afterwards the old
 *   state or the new one is there, whole, and the same one at every later boot.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <psa/crypto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/part.h"
#include "core/stamp.h"
#include "device/port.h"

struct stamp_device {
    const struct stamp_port *port; /* borrowed */
    struct stamp_part part;
    bool locked;
};

/**
 * Open the partition, check each operational bank's signature with the birth key (a bank that
 * fails is as if it were torn), and apply the port's lock where the lock mark is set.
 *
 * @retval STAMP_OK         there is a stamp
 * @retval STAMP_E_BLANK    no stamp yet; stamp_birth_write() may be called
 * @retval STAMP_E_CORRUPT, STAMP_E_VERSION, STAMP_E_FLASH, STAMP_E_CRYPTO  as they say
 * Reads flash only.
 */
STAMP_MUST_USE enum stamp_err stamp_device_open(struct stamp_device *dev,
                                                const struct stamp_port *port);

/**
 * Copy an item's value (its CBOR encoding), decrypted where it rests encrypted.
 *
 * @param which  STAMP_BIRTH, STAMP_BANK_A, STAMP_BANK_B or STAMP_NEWEST
 * @param key    enum stamp_key
 * @retval STAMP_OK         `*len` bytes in `buf`; wipe them after use where they are secret
 * @retval STAMP_E_MISSING  not there
 * @retval STAMP_E_SPACE    `*len` says what it takes
 * @retval STAMP_E_CRYPTO   the record does not open: damaged, or another root key
 */
STAMP_MUST_USE enum stamp_err stamp_get(const struct stamp_device *dev, enum stamp_which which,
                                        uint32_t key, void *buf, size_t size, size_t *len);

/** As stamp_get(), and unwraps one text or byte string to its content. */
STAMP_MUST_USE enum stamp_err stamp_get_string(const struct stamp_device *dev,
                                               enum stamp_which which, uint32_t key, void *buf,
                                               size_t size, size_t *len);

/** Load a region's device key (STAMP_BIRTH or STAMP_NEWEST) or, with key
 * STAMP_PROVISIONING_PRIVATE, the provisioning key into PSA as a volatile P-256 key pair for
 * ECDSA with SHA-256. The caller destroys `*id`. */
STAMP_MUST_USE enum stamp_err stamp_key_load(const struct stamp_device *dev,
                                             enum stamp_which which, uint32_t key,
                                             psa_key_id_t *id);

/**
 * Sign `payload` with the key `id`, domain-separated by `label` (COSE Sig_structure, SPEC 6-3).
 * @param sig  64 bytes, r then s
 */
STAMP_MUST_USE enum stamp_err stamp_sign(psa_key_id_t id, const char *label, const void *payload,
                                         size_t payload_len, uint8_t sig[64]);

/**
 * Check such a signature with the key `id` (pair or public).
 * @retval STAMP_E_AUTH  wrong signature
 */
STAMP_MUST_USE enum stamp_err stamp_verify(psa_key_id_t id, const char *label,
                                           const void *payload, size_t payload_len,
                                           const uint8_t sig[64]);

/** As stamp_verify(), with the 65-byte public point. */
STAMP_MUST_USE enum stamp_err stamp_verify_point(const uint8_t point[65], const char *label,
                                                 const void *payload, size_t payload_len,
                                                 const uint8_t sig[64]);

/**
 * SHA-256 over the stamp's claims (SPEC 7), the digest that its certificate binds.
 */
STAMP_MUST_USE enum stamp_err stamp_claims_digest(const struct stamp_device *dev,
                                                  uint8_t digest[32]);

/**
 * A window of the claims' encoding, for sending in chunks: bytes [off, off + *len) of `*total`.
 * Secrets appear as commitments only.
 */
STAMP_MUST_USE enum stamp_err stamp_claims_read(const struct stamp_device *dev, size_t off,
                                                void *buf, size_t size, size_t *len,
                                                size_t *total);

/**
 * Write the birth stamp, once.
 *
 * @param in  encoded birth stamp in plaintext; not kept; encrypted on its way where the port has
 *            a root key. Needs no extra buffer for that.
 * @retval STAMP_OK         durable; `dev` is open on it
 * @retval STAMP_E_EXISTS   there is a whole birth stamp already; flash untouched
 * @retval STAMP_E_LOCKED   the lock mark is set; flash untouched
 * @retval STAMP_E_FORMAT, STAMP_E_MISSING  not a birth stamp; flash untouched
 * @retval STAMP_E_SPACE    does not fit the region; flash untouched
 * @retval STAMP_E_FLASH, STAMP_E_CRYPTO  not committed: the region counts as torn; call again
 */
STAMP_MUST_USE enum stamp_err stamp_birth_write(struct stamp_device *dev, const void *in,
                                                size_t in_len);

/** Set the lock mark, then apply the port's lock. Repeating is harmless. STAMP_E_BLANK without a
 * whole birth stamp. */
STAMP_MUST_USE enum stamp_err stamp_lock(struct stamp_device *dev);

/**
 * Replace the operational bank: written whole into the spare bank with the next sequence number
 * and the birth key's signature, header last.
 *
 * @param in  encoded operational stamp (keys allowed in a bank only, SPEC 6-1); not kept
 * @retval STAMP_OK        durable; `dev` is open on it
 * @retval STAMP_E_RANGE, STAMP_E_FORMAT, STAMP_E_SPACE  flash untouched
 * @retval STAMP_E_FLASH, STAMP_E_CRYPTO  the old bank still counts; call again
 */
STAMP_MUST_USE enum stamp_err stamp_bank_replace(struct stamp_device *dev, const void *in,
                                                 size_t in_len);

/**
 * Replace single items of the operational bank and keep the others: `n` changes, ascending keys;
 * a change with value.p == NULL removes the item. Values are CBOR encodings. The kept items are
 * copied from bank to bank, decrypted and encrypted again one at a time.
 *
 * @param work, work_size  scratch for the largest kept item; wiped
 */
struct stamp_change {
    uint32_t key;
    struct stamp_slice value;
};
STAMP_MUST_USE enum stamp_err stamp_bank_update(struct stamp_device *dev,
                                                const struct stamp_change *changes, size_t n,
                                                void *work, size_t work_size);

#endif
