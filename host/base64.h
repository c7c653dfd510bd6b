/* Base64 on one line, as it stands in JSON. RFC 4648 4. */
#ifndef HOST_BASE64_H
#define HOST_BASE64_H

#include <stddef.h>
#include <stdint.h>

/** Room for what is read: whole blocks are written. */
#define STAMP_BASE64_ROOM(max) ((max) + 3u)

/**
 * @param text  NULL = ""
 * @param out   STAMP_BASE64_ROOM(max) bytes
 * @return bytes; 0: it is no base64, or of nothing, or of more than `max`
 */
size_t stamp_base64_read(const char *text, size_t len, uint8_t *out, size_t max);

#endif
