/*
 * The profile: what the stamps of one product hold, from devstamp.yaml.
 *
 * A key that is not known, a wrong type or an impossible value is an error
 * "FILE:LINE:COLUMN: message"; nothing is guessed or passed over. The purpose is the
 * workspace's and not in here; neither is any key or secret.
 */
#ifndef HOST_PROFILE_H
#define HOST_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/barcode.h"
#include "host/error.h"
#include "host/secret.h"
#include "host/serial.h"

#define STAMP_PROFILE_FILE "devstamp.yaml"
#define STAMP_PROFILE_MAX ((size_t)65536) /* bytes of a profile file */

enum stamp_profile_key {
    STAMP_PROFILE_KEY_NONE,
    STAMP_PROFILE_KEY_DEVICE,
    STAMP_PROFILE_KEY_PEER
};

struct stamp_profile_certificate {
    uint32_t validity_days; /* 0 = no well-defined end: 99991231235959Z */
    uint32_t pen;           /* the owner's private enterprise number; 0 = none */
    const char *organization;
    const char *organizational_unit; /* NULL = none */
    const char *common_name;         /* template for stamp_template_fill() */
    const char *country;             /* two capitals; NULL = none */
    const char *hardware_type_oid; /* of HardwareModuleName, dotted; NULL = none given */
};

struct stamp_profile_pop {
    const char *alphabet;
    uint32_t length;
    const char *escrow_file; /* PEM of the owner's certificate that the books' copy is
                                sealed to; as peer_key_file; NULL = no copy is kept */
};

struct stamp_profile_partition {
    uint32_t offset;       /* of the partition in flash, a multiple of erase_size */
    uint32_t birth_size;   /* bytes, whole sectors */
    uint32_t bank_size;    /* bytes of one bank, whole sectors */
    uint32_t erase_size;   /* bytes, a power of two, 512 and up */
    uint16_t program_size; /* bytes, a power of two, 1..64 */
    uint8_t erased_value;  /* 0x00 or 0xFF */
};

struct stamp_profile_field {
    const char *name;
    enum stamp_field_type type;
    const char *text; /* of every type, as stamp_barcode_field wants it */
    int64_t number;   /* of INT and BOOL */
};

/** Loaded and checked. Everything it points at lives until stamp_profile_free(). */
struct stamp_profile {
    const char *company;
    const char *product;
    const char *model;             /* NULL = none */
    const char *hardware_revision; /* NULL = none */
    const char *serial_text;       /* the pattern as written */
    struct stamp_serial_pattern serial;
    struct stamp_profile_certificate certificate;
    struct stamp_profile_pop pop;
    enum stamp_profile_key provisioning;
    const char *peer_key_file; /* PEM, of KEY_PEER; relative to the profile's directory
                                  in the file, not so here; else NULL */
    struct stamp_profile_partition partition;
    struct stamp_barcode_template barcodes[STAMP_MAX_BARCODES];
    size_t n_barcodes;
    struct stamp_profile_field fields[STAMP_MAX_FIELDS];
    struct stamp_barcode_field field_texts[STAMP_MAX_FIELDS]; /* the same, for vars */
    size_t n_fields;
    struct stampi_profile_own *own;
};

/**
 * Load a profile file.
 *
 * @param out  the caller frees it; NULL on failure
 * @retval STAMP_E_CONFIG  a mistake in it: "FILE:LINE:COLUMN: message"
 * @retval STAMP_E_IO, STAMP_E_SPACE  it cannot be read, or is longer than
 * STAMP_PROFILE_MAX
 */
STAMP_MUST_USE enum stamp_err
stamp_profile_load(const char *path, struct stamp_profile **out, struct stamp_error *err);

/** The same from memory; `name` is for messages and for where a peer_key_file lies. */
STAMP_MUST_USE enum stamp_err stamp_profile_parse(const void *text, size_t len,
                                                  const char *name,
                                                  struct stamp_profile **out,
                                                  struct stamp_error *err);

/** Free and null. NULL and a pointer to NULL are accepted. */
void stamp_profile_free(struct stamp_profile **p);

/**
 * May stamps of this purpose be made from the profile? For production: no example value
 * from a manual (20202021, abcd1234 and the like) may stand in a barcode or a field.
 *
 * @retval STAMP_E_PURPOSE  one does
 */
STAMP_MUST_USE enum stamp_err stamp_profile_check_purpose(const struct stamp_profile *p,
                                                          bool production,
                                                          struct stamp_error *err);

/** Draw a proof of possession as the profile wants it; never one of the example values.
 */
STAMP_MUST_USE enum stamp_err stamp_profile_draw_pop(const struct stamp_profile *p,
                                                     struct stamp_secret **out,
                                                     struct stamp_error *err);

/** Fill `vars` with what the profile knows; serial, pop and point are left NULL. */
void stamp_profile_vars(const struct stamp_profile *p, struct stamp_barcode_vars *vars);

/**
 * Write a profile with comments that explain it, and that loads.
 *
 * @param company, product  1..64 bytes of UTF-8 without control characters
 * @retval STAMP_E_RANGE   company or product is not so; nothing was written
 * @retval STAMP_E_EXISTS  `path` exists; it is left alone
 */
STAMP_MUST_USE enum stamp_err stamp_profile_write_default(const char *path,
                                                          const char *company,
                                                          const char *product,
                                                          struct stamp_error *err);

#endif
