/*
 * The stamp on a device: read, prove, write once, lock, rotate.
 *
 * Library-wide rules:
 * - No malloc, no static data, no stdio. The caller owns every buffer and the
 *   `struct stamp_device`. One caller at a time. (The crypto library may use its own
 * heap; certificates are parsed in it.)
 * - psa_crypto_init() must have succeeded before any call.
 * - Private keys are PSA key ids. An id that stamp_key_load() gave goes back through
 *   stamp_key_unload().
 * - Every function that changes flash is safe under power loss at any instant: afterwards
 *   the old state or the new one is there, whole, and the same one at every later boot.
 * - Where the port has a root key, or its flash is not mapped, its work buffer must hold
 *   the largest item and STAMP_WORK_EXTRA bytes; else STAMP_E_SPACE. It is wiped after
 *   use. No argument may overlap it.
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
 * Open the partition, check each operational bank's signature with the birth key (a bank
 * that fails is as if it were torn), and apply the port's lock where the stamp is locked.
 *
 * @param dev   filled in every case, so that a stamp can be written after STAMP_E_BLANK
 *              and STAMP_E_CORRUPT; after other errors only to be opened again
 * @param port  borrowed as long as `dev` is used; its geometry must be as core/flash.h
 *              says, which port_conformance checks and this function does not
 * @retval STAMP_OK         there is a stamp
 * @retval STAMP_E_BLANK    no stamp yet; stamp_birth_write() may be called
 * @retval STAMP_E_CORRUPT  the birth region is torn; unless locked, stamp_birth_write()
 *                          may be called
 * @retval STAMP_E_VERSION  the birth region is of a newer format
 * @retval STAMP_E_FLASH    the port failed to read or to lock
 * @retval STAMP_E_CRYPTO   a bank cannot be checked: another root key or none, or the
 *                          crypto library failed
 * @retval others           a bank cannot be checked: as stamp_key_load()
 *
 * Changes no flash. SPEC 3-9, 3-10.
 */
STAMP_MUST_USE enum stamp_err stamp_device_open(struct stamp_device *dev,
                                                const struct stamp_port *port);

/**
 * Copy an item's value (its CBOR encoding), decrypted where it rests encrypted.
 *
 * @param which  STAMP_BIRTH, STAMP_BANK_A, STAMP_BANK_B or STAMP_NEWEST
 * @param key    enum stamp_key
 * @retval STAMP_OK         `*len` bytes in `buf`; wipe them where they are secret
 * @retval STAMP_E_MISSING  not there
 * @retval STAMP_E_SPACE    `*len` says what it takes, or is 0: the work buffer is too
 *                          small
 * @retval STAMP_E_FORMAT   the body is malformed
 * @retval STAMP_E_FLASH    the port failed to read
 * @retval STAMP_E_CRYPTO   the record does not open: damaged, another root key or none
 */
STAMP_MUST_USE enum stamp_err stamp_get(const struct stamp_device *dev,
                                        enum stamp_which which, uint32_t key, void *buf,
                                        size_t size, size_t *len);

/** As stamp_get(), and unwraps one text or byte string to its content, which alone must
 * fit `buf`. STAMP_E_FORMAT: it is of another type. */
STAMP_MUST_USE enum stamp_err stamp_get_string(const struct stamp_device *dev,
                                               enum stamp_which which, uint32_t key,
                                               void *buf, size_t size, size_t *len);

/**
 * Load a region's device key (`key` STAMP_DEVICE_KEY, `which` STAMP_BIRTH or
 * STAMP_NEWEST) or provisioning key (STAMP_PROVISIONING_PRIVATE) into PSA, as a P-256 key
 * pair that can only sign and verify hashes with ECDSA; it cannot be exported. A key that
 * is elsewhere (SPEC 5-6) is named, not copied.
 *
 * @param id  give it back with stamp_key_unload(); PSA_KEY_ID_NULL on failure
 * @retval STAMP_E_FORMAT  the item is no key
 * @retval STAMP_E_CRYPTO  the key library refused, or the port knows no secure element
 * @retval others          as stamp_get()
 */
STAMP_MUST_USE enum stamp_err stamp_key_load(const struct stamp_device *dev,
                                             enum stamp_which which, uint32_t key,
                                             psa_key_id_t *id);

/** Destroy a key that was copied into PSA; leave one that lives there or in an element.
 * Of no key: does nothing. */
void stamp_key_unload(psa_key_id_t id);

/**
 * Sign `payload` with the key `id`, domain-separated by `label` (COSE Sig_structure, SPEC
 * 6-3).
 *
 * @param label  text of at most 40 characters
 * @param sig    64 bytes, r then s
 * @retval STAMP_E_CRYPTO  the crypto library failed, or the label is longer
 */
STAMP_MUST_USE enum stamp_err stamp_sign(psa_key_id_t id, const char *label,
                                         const void *payload, size_t payload_len,
                                         uint8_t sig[64]);

/**
 * Check such a signature with the key `id` (pair or public).
 *
 * @retval STAMP_E_AUTH    wrong signature
 * @retval STAMP_E_CRYPTO  as stamp_sign()
 */
STAMP_MUST_USE enum stamp_err stamp_verify(psa_key_id_t id, const char *label,
                                           const void *payload, size_t payload_len,
                                           const uint8_t sig[64]);

/** As stamp_verify(), with the 65-byte public point. STAMP_E_CRYPTO: not a point of the
 * curve. */
STAMP_MUST_USE enum stamp_err stamp_verify_point(const uint8_t point[65],
                                                 const char *label, const void *payload,
                                                 size_t payload_len,
                                                 const uint8_t sig[64]);

/** SHA-256 over the stamp's claims, the digest that its certificate binds. SPEC 7-3.
 * Errors as stamp_get(), with `digest` zeroed. */
STAMP_MUST_USE enum stamp_err stamp_claims_digest(const struct stamp_device *dev,
                                                  uint8_t digest[32]);

/**
 * A window of the claims' encoding (SPEC 7-1), for sending in chunks: `*len` bytes from
 * `off`, of `*total`. Secrets appear as commitments only. An `off` at or behind the end
 * gives no bytes. Errors as stamp_get().
 */
STAMP_MUST_USE enum stamp_err stamp_claims_read(const struct stamp_device *dev,
                                                size_t off, void *buf, size_t size,
                                                size_t *len, size_t *total);

/**
 * Write the birth stamp, once.
 *
 * Before flash is touched it is judged as by stamp_check_binding(), and that it is one
 * map in the order of SPEC 4-1 with what must be there (SPEC 5-20). Values that nothing
 * here uses are not looked into.
 *
 * @param in      encoded birth stamp in plaintext; not kept; encrypted on its way where
 *                the port has a root key
 * @param in_len  bytes, 1..STAMP_MAX_LEN
 * @retval STAMP_OK         durable; `dev` is open on it
 * @retval STAMP_E_LOCKED   the stamp is locked; flash untouched
 * @retval STAMP_E_EXISTS   there is a whole birth stamp already; flash untouched
 * @retval STAMP_E_VERSION  there is one of a newer format; flash untouched
 * @retval STAMP_E_FORMAT, STAMP_E_MISSING  not a birth stamp; flash untouched
 * @retval STAMP_E_AUTH, STAMP_E_PURPOSE    its parts do not belong together, or to the
 *                          owner; flash untouched
 * @retval STAMP_E_SPACE    does not fit the region or the work buffer; flash untouched
 * @retval STAMP_E_FLASH, STAMP_E_CRYPTO    not committed: no stamp is there; call again
 *
 * Power loss: no stamp, or this one. Blocks for the erase of the region. SPEC 3-11, 3-13.
 */
STAMP_MUST_USE enum stamp_err stamp_birth_write(struct stamp_device *dev, const void *in,
                                                size_t in_len);

/**
 * Do the parts of the birth stamp belong together (SPEC 7-6, 7-7)? The bundle is the
 * owner's (the one pinned in the firmware, else the one that the stamp names), the chain
 * leads to one of its anchors, the leaf certifies the device key and this serial, its
 * digest is that of the claims, and all are for one purpose. Dates are not judged: a
 * device's clock is not to be trusted.
 *
 * @retval STAMP_OK         bound, and every part agrees
 * @retval STAMP_E_MISSING  unbound: the leaf says nothing of claims; the rest agrees
 * @retval STAMP_E_AUTH     something is not authentic
 * @retval STAMP_E_PURPOSE  purposes differ
 * @retval STAMP_E_FORMAT   a certificate or the bundle does not parse
 * @retval others           as stamp_get()
 *
 * Reads only.
 */
STAMP_MUST_USE enum stamp_err stamp_check_binding(const struct stamp_device *dev);

/**
 * Set the lock mark, then apply the port's lock. Repeating is harmless.
 *
 * @retval STAMP_OK       locked
 * @retval STAMP_E_BLANK  there is no whole birth stamp; flash untouched
 * @retval STAMP_E_FLASH  the port failed; call again
 *
 * Power loss: unlocked, or locked for ever. SPEC 3-10.
 */
STAMP_MUST_USE enum stamp_err stamp_lock(struct stamp_device *dev);

/**
 * Replace the operational bank: written whole into the spare bank with the next sequence
 * number and the birth key's signature, header last. Nothing is judged: see
 * stamp_rotate().
 *
 * @param in  encoded operational stamp (keys allowed in a bank only, SPEC 6-1); not kept
 * @retval STAMP_OK         durable; `dev` is open on it
 * @retval STAMP_E_BLANK    there is no whole birth stamp; flash untouched
 * @retval STAMP_E_FORMAT   not an operational stamp; flash untouched
 * @retval STAMP_E_SPACE    does not fit a bank or the work buffer; flash untouched
 * @retval STAMP_E_VERSION  a bank is of a newer format; flash untouched
 * @retval STAMP_E_RANGE    the sequence numbers are used up; flash untouched
 * @retval STAMP_E_FLASH, STAMP_E_CRYPTO  the old bank still counts; open again, then call
 *                          again
 *
 * Power loss: the old bank, or this one. Blocks for the erase of a bank. SPEC 3-11, 3-12.
 */
STAMP_MUST_USE enum stamp_err stamp_bank_replace(struct stamp_device *dev, const void *in,
                                                 size_t in_len);

/** A new value of an item: its CBOR encoding, borrowed. value.p == NULL takes the item
 * out of the bank. */
struct stamp_change {
    uint32_t key;
    struct stamp_slice value;
};

/**
 * Replace single items of the operational bank and keep the others, which are copied from
 * bank to bank, decrypted and encrypted again one at a time. Without a bank, it begins
 * with an empty one.
 *
 * @param changes  `n` of them, each key once, allowed in a bank (SPEC 6-1)
 * @retval as stamp_bank_replace()
 */
STAMP_MUST_USE enum stamp_err
stamp_bank_update(struct stamp_device *dev, const struct stamp_change *changes, size_t n);

/**
 * Replace the operational identity: as stamp_bank_update(), with the new device key (item
 * 48) and its certificates (item 49), maybe a trust bundle (item 9), and whatever else is
 * to change; but only after judging them as stamp_check_binding() does, and that the
 * bundle is not older than the one held (SPEC 8-4). The chain must lead to an anchor of
 * the new bundle, where there is one. A leaf need not bind, but a digest in it must be
 * right.
 *
 * @retval STAMP_OK          durable; `dev` is open on it
 * @retval STAMP_E_MISSING   there is no whole birth stamp; flash untouched
 * @retval STAMP_E_AUTH      not authentic; flash untouched
 * @retval STAMP_E_PURPOSE   for the other purpose; flash untouched
 * @retval STAMP_E_ROLLBACK  the bundle is older than the one held; flash untouched
 * @retval STAMP_E_SPACE     the work buffer is too small for the held bundle, or as
 *                           stamp_bank_replace(); flash untouched
 * @retval others            as stamp_bank_replace()
 */
STAMP_MUST_USE enum stamp_err stamp_rotate(struct stamp_device *dev,
                                           const struct stamp_change *changes, size_t n);

#endif
