/* Shared by the library's files and the agent's only. */
#ifndef DEVICE_DEVICE_I_H
#define DEVICE_DEVICE_I_H

#include "device/device.h"

#define STAMPI_TAG_SIZE 16u
#define STAMPI_HASH_SIZE 32u

/* Not put into its caller, which would then need the stack of both all the time. */
#if defined(__GNUC__)
#define STAMPI_OWN_FRAME __attribute__((noinline))
#else
#define STAMPI_OWN_FRAME
#endif

/* ---- values (get.c) ---- */

/**
 * Find an item, and have its value in memory and in plaintext: where the flash is mapped,
 * or else in the port's work buffer. stampi_done() follows in every case, before the
 * next.
 *
 * @retval as stamp_get()
 */
enum stamp_err stampi_find(const struct stamp_device *dev, enum stamp_which which,
                           uint32_t key, struct stamp_slice *v);

/** Wipe the work buffer. */
void stampi_done(const struct stamp_device *dev);

/** A stamp in memory, which the functions for a birth stamp in flash then read. */
struct stampi_view {
    struct stamp_flash flash;
    struct stamp_device dev;
};
void stampi_view_init(struct stampi_view *view, const struct stamp_port *port,
                      const void *in, size_t in_len);

/* ---- items at rest (rest.c), SPEC 9 ---- */

/** The key of a region, from the first 32 bytes of its header, which lie STAMPI_HEADER_AT
 * behind `header`: the label goes before them. */
#define STAMPI_HEADER_AT (sizeof STAMP_LABEL_REST - 1)
enum stamp_err stampi_rest_key(const struct stamp_port *port, uint8_t *header,
                               psa_key_usage_t usage, psa_key_id_t *id);

/** AES-256-GCM with a nonce of zeroes that ends in `key`, and no additional data. Opening
 * takes at least 16 bytes. `out` gets 16 bytes more than `in`, or when opening fewer; it
 * may overlap `in` when it begins 8 bytes or more before, and for sealing may be `in`. */
enum stamp_err stampi_crypt(psa_key_id_t id, uint32_t key, bool open, const uint8_t *in,
                            size_t in_len, uint8_t *out);

/* ---- keys and signatures (key.c, sign.c) ---- */

/** Fill `*attr`, whatever it was. */
void stampi_attributes(psa_key_attributes_t *attr, psa_key_type_t type,
                       psa_key_usage_t usage, psa_algorithm_t alg);

enum stamp_err stampi_import(psa_key_type_t type, psa_key_usage_t usage,
                             psa_algorithm_t alg, const uint8_t *data, size_t len,
                             psa_key_id_t *id);

/** HKDF-SHA-256 from a key, or from what this key agrees on with the point `peer`. */
struct stampi_kdf {
    psa_key_id_t secret;
    const uint8_t *peer;
    struct stamp_slice salt;
    struct stamp_slice info;
};

/**
 * Derive `n` AES-256-GCM keys one after the other: the first for `usage`, encryption or
 * decryption, the next for the other.
 *
 * @param id  those that were not made stay as they were
 * @retval PSA_ERROR_INVALID_ARGUMENT  `peer` is no point of the curve
 */
psa_status_t stampi_derive(const struct stampi_kdf *kdf, psa_key_usage_t usage,
                           psa_key_id_t *id, size_t n);

/** The key that the encoding of item 48 (or of another, [salt, scalar]) names. */
enum stamp_err stampi_key_parse(const struct stamp_port *port, uint32_t key,
                                struct stamp_slice value, psa_key_id_t *id);

/** SHA-256 at once. */
enum stamp_err stampi_sha256(const void *p, size_t len, uint8_t hash[STAMPI_HASH_SIZE]);

/** Hash on; an error sticks. */
void stampi_hash(psa_hash_operation_t *op, const void *p, size_t len);

/** Begin to hash a Sig_structure; the payload's bytes follow. An error sticks until the
 * end.
 */
void stampi_sig_begin(psa_hash_operation_t *op, const char *label, size_t payload_len);

/** Sign into `sig`, or where it is NULL check `check`; 64 bytes. STAMP_E_AUTH: it is
 * wrong. */
enum stamp_err stampi_sig_end(psa_hash_operation_t *op, psa_key_id_t id, uint8_t *sig,
                              const uint8_t *check);

/* ---- writing (write.c) ---- */

/** What goes into a region: the items of a region that is there, with changes. */
struct stampi_job {
    enum stamp_which which;
    uint8_t kind;
    uint32_t seq;
    psa_key_id_t signer; /* banks: the birth key */

    const struct stamp_device *from; /* NULL: nothing but the changes */
    enum stamp_which from_which;
    const uint8_t *in; /* where that is a view: the whole encoding, to be used up */
    size_t in_len;
    const struct stamp_change *changes;
    size_t n_changes;
};

/** Write one region, header last, after checking what goes in; does not look at what is
 * there. STAMP_E_MISSING, STAMP_E_FORMAT, STAMP_E_SPACE: flash untouched. */
enum stamp_err stampi_region_write(struct stamp_device *dev,
                                   const struct stampi_job *job);

/** Erase a region, sector by sector. Here, since the library is smaller so. */
static inline enum stamp_err stampi_erase(const struct stamp_flash *flash,
                                          const struct stamp_region *r)
{
    for (uint32_t off = 0; off < r->size; off += flash->erase_size) {
        if (flash->erase == NULL || flash->erase(flash->ctx, r->off + off) != 0) {
            return STAMP_E_FLASH;
        }
    }
    return STAMP_OK;
}

/** Program bytes of whole units. */
enum stamp_err stampi_program(const struct stamp_flash *flash, uint32_t off,
                              const void *p, size_t len);

/** The change of an item, or NULL. */
const struct stamp_slice *stampi_change(const struct stamp_change *changes, size_t n,
                                        uint32_t key);

/* ---- identities (judge.c) ---- */

/**
 * Does an identity belong to this device and its owner (SPEC 7-7, 8-4)?
 *
 * @param dev       a whole birth stamp, in flash or a view
 * @param changes  a new identity; `n` 0: the birth stamp's own
 * @param bound    whether the leaf carries a digest
 * @retval as stamp_rotate()
 */
enum stamp_err stampi_judge(const struct stamp_device *dev,
                            const struct stamp_change *changes, size_t n, bool *bound);

#endif
