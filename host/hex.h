/* Bytes as lower-case hexadecimal digits. */
#ifndef HOST_HEX_H
#define HOST_HEX_H

#include <stddef.h>
#include <stdint.h>

/** @param out  2 * len + 1 bytes; ends with a NUL */
void stamp_hex(const uint8_t *p, size_t len, char *out);

#endif
