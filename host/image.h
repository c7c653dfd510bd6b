/*
 * The image of a stamp partition: the bytes that are put on a device, made and read.
 * Reading is strict (SPEC 3-14): where a device would fall back, an image is damaged.
 *
 * Images hold secrets: the buffers from here are wiped when freed with the functions
 * here.
 */
#ifndef HOST_IMAGE_H
#define HOST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/part.h"
#include "core/stamp.h"
#include "host/error.h"
#include "host/secret.h"

#define STAMP_IMAGE_MAX ((size_t)256 << 20) /* bytes of a flash dump that is read */

/** The partition on a product's flash. */
struct stamp_geometry {
    uint32_t birth_size; /* bytes, whole sectors */
    uint32_t bank_size;  /* bytes of one bank, whole sectors */
    uint32_t erase_size; /* bytes of a sector */
    uint16_t program_size;
    uint8_t erased; /* 0xFF or 0x00 */
};

/** Bytes of the whole partition. */
size_t stamp_geometry_size(const struct stamp_geometry *g);

/** Bytes that are wiped when freed with stamp_buffer_free(). */
struct stamp_buffer {
    uint8_t *p;
    size_t len;
};

STAMP_MUST_USE enum stamp_err stamp_buffer_new(struct stamp_buffer *b, size_t len,
                                               uint8_t fill, struct stamp_error *err);
void stamp_buffer_free(struct stamp_buffer *b);
#define STAMP_BUFFER_AUTO __attribute__((cleanup(stamp_buffer_free))) struct stamp_buffer

/** One region of an opened image. */
struct stamp_image_region {
    bool whole; /* else it is blank */
    struct stamp_header header;
    uint8_t raw_header[STAMP_HEADER_SIZE];
    struct stamp_slice raw;    /* body as it stands in flash */
    const uint8_t *signature;  /* of a bank: 64 bytes */
    struct stamp_buffer plain; /* body decrypted, where it rests encrypted */
    struct stamp_slice body;   /* plaintext body */
    struct stamp stamp;        /* decoded; points into `body` */
};

struct stamp_image {
    struct stamp_buffer bytes; /* of the partition */
    uint32_t birth_size;
    uint32_t bank_size;
    uint8_t erased;
    bool locked;
    struct stamp_image_region region[3]; /* by enum stamp_which */
    enum stamp_which newest;             /* STAMP_BIRTH where no bank is current */
};

/**
 * Make an image: the birth region with `body`, and blank banks.
 *
 * @param body      an encoded birth stamp in plaintext
 * @param root_key  NULL = not encrypted
 * @param out       stamp_geometry_size() bytes; free with stamp_buffer_free()
 * @retval STAMP_E_SPACE  the stamp does not fit the birth region
 * @retval STAMP_E_RANGE  the geometry is impossible
 */
STAMP_MUST_USE enum stamp_err stamp_image_make(const struct stamp_geometry *g,
                                               struct stamp_slice body,
                                               const struct stamp_secret *root_key,
                                               struct stamp_buffer *out,
                                               struct stamp_error *err);

/**
 * Open an image: every region is whole or erased from end to end, or this fails.
 *
 * @param bytes     copied
 * @param len       of the image; with `exact` the partition must fill it
 * @param root_key  NULL = none at hand
 * @param out       free with stamp_image_free()
 * @retval STAMP_E_BLANK    no stamp in it
 * @retval STAMP_E_CORRUPT  damaged or cut short
 * @retval STAMP_E_VERSION  made by a newer format
 * @retval STAMP_E_FORMAT   whole, but not a stamp
 * @retval STAMP_E_CRYPTO   rests encrypted, and `root_key` is missing or another
 */
STAMP_MUST_USE enum stamp_err stamp_image_open(const uint8_t *bytes, size_t len,
                                               bool exact,
                                               const struct stamp_secret *root_key,
                                               struct stamp_image **out,
                                               struct stamp_error *err);

void stamp_image_free(struct stamp_image **p);
#define STAMP_IMAGE_AUTO __attribute__((cleanup(stamp_image_free))) struct stamp_image

/**
 * The same stamp for another flash; bodies and signatures stay as they are, or a
 * plaintext birth stamp is encrypted under `root_key`. The lock mark is not taken along.
 *
 * @retval STAMP_E_SPACE        a body does not fit its region
 * @retval STAMP_E_UNSUPPORTED  to encrypt an image whose banks are in use: their
 * signatures cover what would change
 */
STAMP_MUST_USE enum stamp_err stamp_image_relayout(const struct stamp_image *img,
                                                   const struct stamp_geometry *g,
                                                   const struct stamp_secret *root_key,
                                                   struct stamp_buffer *out,
                                                   struct stamp_error *err);

/** The newest stamp's item is in a bank or in birth: these say where to look. */
const struct stamp *stamp_image_birth(const struct stamp_image *img);
const struct stamp *stamp_image_bank(const struct stamp_image *img); /* NULL = none */

#endif
