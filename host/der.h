/*
 * Writing DER from the end of a buffer to its beginning, so that a length is known when
 * its head is written and no field has to have a fixed width. An overflow sticks. And
 * going through what is DER, an element after the other.
 */
#ifndef HOST_DER_H
#define HOST_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stamp.h"

#define STAMP_DER_INTEGER 0x02u
#define STAMP_DER_BIT_STRING 0x03u
#define STAMP_DER_OCTETS 0x04u
#define STAMP_DER_OID 0x06u
#define STAMP_DER_ENUMERATED 0x0Au
#define STAMP_DER_UTF8 0x0Cu
#define STAMP_DER_PRINTABLE 0x13u
#define STAMP_DER_UTC_TIME 0x17u
#define STAMP_DER_GENERALIZED_TIME 0x18u
#define STAMP_DER_SEQUENCE 0x30u
#define STAMP_DER_SET 0x31u
#define STAMP_DER_CONTEXT(n) (0xA0u | (n)) /* constructed */

struct stamp_der {
    uint8_t *buf;
    size_t size;
    size_t at; /* what is written lies in buf[at..size) */
    bool full;
};

void stamp_der_init(struct stamp_der *d, void *buf, size_t size);

/** Put bytes in front of what is there. */
void stamp_der_raw(struct stamp_der *d, const void *p, size_t len);

/** Bytes written so far: take it before a constructed value's content is written. */
size_t stamp_der_len(const struct stamp_der *d);

/** Put tag and length in front of what was written since stamp_der_len() was `mark`. */
void stamp_der_wrap(struct stamp_der *d, uint8_t tag, size_t mark);

/** A primitive: tag, length, bytes. */
void stamp_der_put(struct stamp_der *d, uint8_t tag, const void *p, size_t len);

/** The first byte written last. Meaningless where `full` is set. */
const uint8_t *stamp_der_bytes(const struct stamp_der *d);

/** What the element at the beginning of `in` holds; `in` goes behind it. False where
 * there is none of this tag, not all of it, or its length (of up to 64 KiB) is written as
 * DER does not: then both stay, and OpenSSL may have an error queued. */
bool stamp_der_next(struct stamp_slice *in, uint8_t tag, struct stamp_slice *out);

#endif
