/* Little-endian numbers of the region header, by hand. SPEC 3-2. */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include <stdint.h>

#define STAMP_MAGIC 0x70745364u /* "dStp" */

uint32_t stamp_get_u32(const uint8_t *p);
void stamp_put_u32(uint8_t *p, uint32_t v);

#endif
