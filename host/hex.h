/* Bytes as hexadecimal digits, in lower case. */
#ifndef HOST_HEX_H
#define HOST_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** @param out  2 * len + 1 bytes; ends with a NUL */
void stamp_hex(const uint8_t *p, size_t len, char *out);

/** From 2 * len digits of either case. False: they are none. */
bool stamp_unhex(const char *text, size_t len, uint8_t *out);

#endif
