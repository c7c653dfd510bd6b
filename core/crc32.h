/*
 * CRC-32 as in zlib and IEEE 802.3: reflected, polynomial 0xEDB88320, starts and ends
 * inverted.
 */
#ifndef CORE_CRC32_H
#define CORE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/** Continue `crc` (0 to begin) over `len` bytes. Bitwise: small, no table. SPEC 3-3. */
uint32_t stamp_crc32(uint32_t crc, const void *data, size_t len);

#endif
