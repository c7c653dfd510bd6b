/*
 * Images as files: the partition's bytes, Intel HEX at the partition's address, or PEM of
 * the birth stamp alone. A reader tells them apart by how they begin.
 */
#ifndef HOST_IMAGEFILE_H
#define HOST_IMAGEFILE_H

#include "host/image.h"

enum stamp_image_format {
    STAMP_IMAGE_PARTITION, /* .bin */
    STAMP_IMAGE_IHEX,      /* .hex */
    STAMP_IMAGE_PEM        /* .pem */
};

#define STAMP_PEM_LABEL "DEVICE STAMP"

/** "partition", "ihex" or "pem". False for another word. */
bool stamp_imagefile_format(const char *word, enum stamp_image_format *out);

/** The usual ending, with its dot. */
const char *stamp_imagefile_suffix(enum stamp_image_format format);

/**
 * Render a new stamp.
 *
 * @param body    encoded birth stamp, plaintext
 * @param offset  of the partition in flash: where Intel HEX puts it
 * @param out     free with stamp_buffer_free()
 * As stamp_image_make().
 */
STAMP_MUST_USE enum stamp_err
stamp_imagefile_render(enum stamp_image_format format, const struct stamp_geometry *g,
                       uint32_t offset, struct stamp_slice body, struct stamp_buffer *out,
                       struct stamp_error *err);

/**
 * From a file's bytes to an open image.
 *
 * @param at        where the partition begins in it; with -1 it fills the whole of it
 * @param root_key  NULL = none at hand
 * As stamp_image_open().
 */
STAMP_MUST_USE enum stamp_err stamp_imagefile_open(const uint8_t *bytes, size_t len,
                                                   int64_t at,
                                                   const struct stamp_secret *root_key,
                                                   struct stamp_image **out,
                                                   struct stamp_error *err);

/** Read a file and open it. STAMP_E_IO where it cannot be read. */
STAMP_MUST_USE enum stamp_err stamp_imagefile_load(const char *path, int64_t at,
                                                   const struct stamp_secret *root_key,
                                                   struct stamp_image **out,
                                                   struct stamp_error *err);

#endif
