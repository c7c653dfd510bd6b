/*
 * The stamp as a struct, and the two ways between it and its bytes. One codec for the
 * desk, the factory, the device and the service. SPEC 4 and 5.
 */
#ifndef CORE_STAMP_H
#define CORE_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cbor.h"
#include "core/err.h"
#include "core/keys.h"

#define STAMP_MAX_LEN 16384u
#define STAMP_MAX_CERTIFICATES 4u
#define STAMP_MAX_BARCODES 8u /* of each sort, public and secret */
#define STAMP_MAX_FIELDS 16u
#define STAMP_MAX_TEXT 64u
#define STAMP_MAX_PAYLOAD 512u /* bytes of one barcode payload */
#define STAMP_MAX_CERTIFICATE 2048u
#define STAMP_MAX_BUNDLE 4096u
#define STAMP_SALT_SIZE 16u
#define STAMP_POINT_SIZE 65u /* uncompressed P-256 point, 04 x y */
#define STAMP_SCALAR_SIZE 32u

struct stamp_barcode {
    uint8_t symbology; /* enum stamp_symbology */
    struct stamp_slice name;
    struct stamp_slice payload; /* UTF-8 */
};

enum stamp_field_type { STAMP_FIELD_TEXT, STAMP_FIELD_INT, STAMP_FIELD_BOOL };

struct stamp_field {
    struct stamp_slice name;
    uint8_t type; /* enum stamp_field_type */
    struct stamp_slice text;
    int64_t number; /* INT, or 0/1 of BOOL; -2^32..2^32-1 */
};

/* All slices point to memory that the caller keeps; an absent item has p == NULL. */
struct stamp {
    struct stamp_slice serial;
    struct stamp_slice company;
    struct stamp_slice product;
    struct stamp_slice model;
    struct stamp_slice hardware_revision;
    bool has_made_at;
    uint32_t made_at;
    bool has_purpose;
    uint8_t purpose;
    struct stamp_slice owner_key_hash;
    struct stamp_slice trust_bundle; /* its whole encoding (an array) */

    bool has_provisioning_key;
    uint8_t provisioning_kind;
    struct stamp_slice provisioning_point;
    struct stamp_slice provisioning_salt;    /* with provisioning_private */
    struct stamp_slice provisioning_private; /* secret */

    struct stamp_barcode barcodes[STAMP_MAX_BARCODES];
    uint8_t n_barcodes;
    struct stamp_slice secret_barcodes_salt;
    struct stamp_barcode secret_barcodes[STAMP_MAX_BARCODES]; /* secret */
    uint8_t n_secret_barcodes;

    struct stamp_field
        fields[STAMP_MAX_FIELDS]; /* names in bytewise order of their encodings */
    uint8_t n_fields;
    bool pop_shown;

    struct stamp_slice pop_salt;
    struct stamp_slice pop; /* secret */

    bool has_device_key;
    uint8_t key_where;              /* enum stamp_key_where */
    uint32_t key_id;                /* where it is not STAMP_KEY_HERE */
    struct stamp_slice key_private; /* where it is: 32 bytes; secret */

    struct stamp_slice certificates[STAMP_MAX_CERTIFICATES]; /* DER, leaf first */
    uint8_t n_certificates;

    bool has_claim_state;
    uint32_t claim_tries;
    bool claimed;

    bool has_next_key; /* banks only: a key that waits for its certificate */
    uint8_t next_where;
    uint32_t next_id;
    struct stamp_slice next_private; /* secret */

    struct stamp_slice next_pop_salt; /* banks only: a proof that waits */
    struct stamp_slice next_pop;      /* secret */
};

/**
 * Decode one stamp and check all of it: deterministic CBOR, known keys, types, limits
 * (SPEC 4, 5). Keys this code does not know are accepted and ignored.
 *
 * @param s    filled; slices point into `in`; zeroed on failure
 * @retval STAMP_OK
 * @retval STAMP_E_FORMAT  not a stamp
 * Does not check what must be there: see stamp_check_birth().
 */
STAMP_MUST_USE enum stamp_err stamp_decode(struct stamp *s, const void *in,
                                           size_t in_len);

/**
 * Encode. `*len` is the length needed, also when it does not fit. Fields are written in
 * the order that determinism asks for, whatever order they are in.
 *
 * @retval STAMP_OK        `out[0..*len)` is the stamp
 * @retval STAMP_E_SPACE   `size` is too small; `*len` says what it takes
 * @retval STAMP_E_RANGE   the struct breaks a limit; `*len` is 0
 */
STAMP_MUST_USE enum stamp_err stamp_encode(const struct stamp *s, void *out, size_t size,
                                           size_t *len);

/** What a birth stamp must hold (SPEC 5-20): STAMP_OK or STAMP_E_MISSING. */
STAMP_MUST_USE enum stamp_err stamp_check_birth(const struct stamp *s);

/** UTF-8 (RFC 3629) and, unless `controls`, free of control characters. SPEC 4-2, 4-8. */
bool stamp_text_ok(const uint8_t *p, size_t len, bool controls);

/** How a key enters the claims digest (SPEC 7-2). */
enum stamp_key_class stamp_key_class(uint32_t key);

/* The trust bundle (SPEC 8): COSE_Sign1 = [protected, {}, payload, signature]. */
struct stamp_bundle {
    struct stamp_slice protected_header; /* h'a10126': ES256 */
    struct stamp_slice payload;
    struct stamp_slice signature; /* 64 bytes */
    uint32_t version;
    uint8_t purpose;
    struct stamp_slice anchors[STAMP_MAX_CERTIFICATES]; /* DER */
    uint8_t n_anchors;
    struct stamp_slice owner;     /* 65-byte point */
    struct stamp_slice recipient; /* 65-byte point; p NULL = none; not set by decoding */
};

/** Decode a bundle; the signature is NOT checked here. */
STAMP_MUST_USE enum stamp_err stamp_bundle_decode(struct stamp_bundle *b, const void *in,
                                                  size_t in_len);

/** The point that devices seal their proofs to, and whether all keys of the payload are
 * in order (SPEC 8-7).
 * @retval STAMP_E_MISSING  there is none
 * @retval STAMP_E_FORMAT   it is no point, or keys are out of order */
STAMP_MUST_USE enum stamp_err stamp_bundle_recipient(const struct stamp_bundle *b,
                                                     struct stamp_slice *point);

/** Encode payload from version, purpose, anchors and owner. As stamp_encode(). */
STAMP_MUST_USE enum stamp_err stamp_bundle_payload(const struct stamp_bundle *b,
                                                   void *out, size_t size, size_t *len);

/** Wrap payload and signature as COSE_Sign1. As stamp_encode(). */
STAMP_MUST_USE enum stamp_err stamp_bundle_encode(struct stamp_slice payload,
                                                  const uint8_t signature[64], void *out,
                                                  size_t size, size_t *len);

/**
 * What comes before the payload in a COSE Sig_structure (RFC 9052 4.4): ["Signature1",
 * h'a10126', label, payload]. The signed bytes are this prefix, then `payload_len` bytes.
 *
 * @param out  at least STAMP_SIG_PREFIX_MAX bytes
 * @return length of the prefix
 */
#define STAMP_SIG_PREFIX_MAX 64u
size_t stamp_sig_prefix(const char *label, size_t payload_len, uint8_t *out);

#endif
