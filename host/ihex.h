/* Intel HEX with 32-bit addresses (record types 00, 01, 02 and 04). */
#ifndef HOST_IHEX_H
#define HOST_IHEX_H

#include "host/image.h"

/** Render bytes at an address. 16-byte rows in which every byte is `skip` are left out;
 * -1 leaves none out. */
STAMP_MUST_USE enum stamp_err stamp_ihex_write(const uint8_t *bytes, size_t len,
                                               uint32_t address, int skip,
                                               struct stamp_buffer *out,
                                               struct stamp_error *err);

/**
 * Read all of it: the bytes from the lowest address to the highest; what is not given in
 * between is 0xFF.
 *
 * @retval STAMP_E_FORMAT  a record is malformed, or the end record is missing
 */
STAMP_MUST_USE enum stamp_err stamp_ihex_read(const uint8_t *text, size_t len,
                                              struct stamp_buffer *out,
                                              struct stamp_error *err);

#endif
