/* Shared by the library's files only. */
#ifndef DEVICE_DEVICE_I_H
#define DEVICE_DEVICE_I_H

#include "device/device.h"

#define STAMPI_TAG_SIZE 16u
#define STAMPI_HASH_SIZE 32u

/* ---- values (get.c) ---- */

/** The region that an item lies in. */
enum stamp_which stampi_region_of(const struct stamp_part *part,
                                  const struct stamp_item *item);

/** Length of an item's value in plaintext. */
enum stamp_err stampi_value_len(const struct stamp_device *dev,
                                const struct stamp_item *item, size_t *len);

/**
 * An item's value in plaintext. `v->p` points into mapped flash, or into the port's work
 * buffer where it was encrypted; it is NULL where it must be read from item->off.
 * stampi_value_done() follows in every case.
 */
enum stamp_err stampi_value(const struct stamp_device *dev, const struct stamp_item *item,
                            struct stamp_slice *v);
void stampi_value_done(const struct stamp_device *dev, const struct stamp_slice *v);

/** Reads an item's value piece by piece, wherever it is. */
struct stampi_reader {
    const struct stamp_device *dev;
    struct stamp_slice value; /* what is left of it */
    struct stamp_slice work;  /* for stampi_value_done() */
    uint32_t off;
    uint8_t buf[64];
};
enum stamp_err stampi_read_begin(struct stampi_reader *r, const struct stamp_device *dev,
                                 const struct stamp_item *item);

/** The next piece; of 0 bytes at the end and after an error. */
enum stamp_err stampi_read(struct stampi_reader *r, struct stamp_slice *piece);

/** Wipes; follows stampi_read_begin() in every case. */
void stampi_read_end(struct stampi_reader *r);

/** As stampi_value(), and in memory in any case: read into the work buffer where it is
 * not mapped. `*v` is {NULL, 0} on failure. */
enum stamp_err stampi_find_value(const struct stamp_device *dev, enum stamp_which which,
                                 uint32_t key, struct stamp_slice *v);

/** A stamp in memory, which the functions for a stamp in flash then read. */
struct stampi_view {
    struct stamp_flash flash;
    struct stamp_device dev;
};
void stampi_view_init(struct stampi_view *view, const struct stamp_port *port,
                      const void *in, size_t in_len);

/* ---- items at rest (rest.c), SPEC 9 ---- */

/** The key of a region, from the first 32 bytes of its header. */
enum stamp_err stampi_rest_key(const struct stamp_port *port, const uint8_t header[32],
                               psa_key_usage_t usage, psa_key_id_t *id);

/** `out` takes in_len + 16 bytes and may be `in`. */
enum stamp_err stampi_rest_seal(psa_key_id_t id, uint32_t key, const uint8_t *in,
                                size_t in_len, uint8_t *out);

/** `out` takes in_len - 16 bytes; it may overlap `in` when it begins 8 bytes or more
 * before. */
enum stamp_err stampi_rest_open(psa_key_id_t id, uint32_t key, const uint8_t *in,
                                size_t in_len, uint8_t *out);

/* ---- keys and signatures (key.c, sign.c) ---- */

enum stamp_err stampi_import(psa_key_type_t type, psa_key_usage_t usage,
                             psa_algorithm_t alg, const uint8_t *data, size_t len,
                             psa_key_id_t *id);

/** The key that the encoding of item 48 (or, `salted`, of item 33) names. */
enum stamp_err stampi_key_parse(const struct stamp_port *port, struct stamp_slice value,
                                bool salted, psa_key_id_t *id);

/** Begin to hash a Sig_structure; the payload's bytes follow. An error sticks until the
 * end. */
enum stamp_err stampi_sig_begin(psa_hash_operation_t *op, const char *label,
                                size_t payload_len);
enum stamp_err stampi_sig_sign(psa_hash_operation_t *op, psa_key_id_t id,
                               uint8_t sig[STAMP_SIGNATURE_SIZE]);
enum stamp_err stampi_sig_verify(psa_hash_operation_t *op, psa_key_id_t id,
                                 const uint8_t sig[STAMP_SIGNATURE_SIZE]);

/** Hash on; an error sticks. */
void stampi_hash(psa_hash_operation_t *op, const void *p, size_t len);

/* ---- writing (write.c) ---- */

/** What goes into a region: the items of a region that is there, with changes. */
struct stampi_job {
    enum stamp_which which;
    uint8_t kind;
    uint32_t seq;
    psa_key_id_t signer; /* banks: the birth key */

    const struct stamp_device *from;
    enum stamp_which from_which;
    bool empty; /* take nothing from there */
    const struct stamp_change *changes;
    size_t n_changes;
};

/** Write one region, header last. Does not look at what is there. */
enum stamp_err stampi_region_write(struct stamp_device *dev,
                                   const struct stampi_job *job);

/** Decode all of a stamp, and see that a birth stamp is complete. Takes a kilobyte of
 * stack (two where pointers are of 64 bits), which is given back before anything is
 * written. */
enum stamp_err stampi_check_stamp(const void *in, size_t in_len, bool birth);

/** Program bytes of whole units. */
enum stamp_err stampi_program(const struct stamp_flash *flash, uint32_t off,
                              const void *p, size_t len);

/* ---- banks (open.c) ---- */

/** Set part.newest from the regions as they stand. */
void stampi_pick_newest(struct stamp_part *part);

/* ---- certificates (chain.c) ---- */

/** What certificates must agree with. */
struct stampi_identity {
    struct stamp_slice serial;
    uint8_t purpose;
    uint8_t digest[STAMPI_HASH_SIZE];
    uint8_t point[STAMP_POINT_SIZE];
    const struct stamp_bundle *bundle; /* NULL: the chain is not followed to an anchor */
};

/** Fill all but `point` and `bundle` from the birth stamp; `serial` takes STAMP_MAX_TEXT
 * bytes. */
enum stamp_err stampi_identity_of(const struct stamp_device *dev,
                                  struct stampi_identity *who, uint8_t *serial);

/**
 * @param certificates  encoding of item 49
 * @param bound         whether the leaf carries a digest
 * @retval as stamp_check_binding(), without STAMP_E_MISSING
 */
enum stamp_err stampi_chain_check(struct stamp_slice certificates,
                                  const struct stampi_identity *who, bool *bound);

#endif
