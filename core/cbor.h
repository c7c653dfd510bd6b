/*
 * The CBOR subset of the stamp (RFC 8949, deterministic encoding 4.2.1): unsigned and
 * negative integers, byte and text strings, arrays, maps, false and true. Definite
 * lengths only, shortest heads only, arguments below 2^32, no tags, no floats. Nesting is
 * at most STAMP_CBOR_DEPTH.
 *
 * Reading works on bytes in memory (`struct stamp_cbor`). No malloc, no recursion. An
 * error sticks: after the first one every call fails, so a caller may check once at the
 * end.
 */
#ifndef CORE_CBOR_H
#define CORE_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define STAMP_CBOR_HEAD_MAX 5u
#define STAMP_CBOR_DEPTH 5 /* levels of arrays and maps inside one item, SPEC 4-4 */

enum stamp_cbor_type {
    STAMP_CBOR_UINT = 0,
    STAMP_CBOR_NINT = 1, /* value is -1 - n */
    STAMP_CBOR_BYTES = 2,
    STAMP_CBOR_TEXT = 3,
    STAMP_CBOR_ARRAY = 4,
    STAMP_CBOR_MAP = 5,
    STAMP_CBOR_SIMPLE = 7, /* 20 false, 21 true */
};

struct stamp_slice {
    const uint8_t *p;
    size_t len;
};

/** A head: major type and argument. `size` is the head's own length, 1..5. */
struct stamp_cbor_head {
    uint8_t type;
    uint8_t size;
    uint32_t arg;
};

/** A reader over bytes that the caller keeps. */
struct stamp_cbor {
    const uint8_t *p;
    size_t left;
    enum stamp_err err;
};

/**
 * Decode one head of at most `len` bytes.
 *
 * @retval STAMP_OK        `*h` is set
 * @retval STAMP_E_FORMAT  cut short, not shortest, or outside the subset; `*h` undefined
 * SPEC 4-1..4-4.
 */
STAMP_MUST_USE enum stamp_err stamp_cbor_head(const uint8_t *p, size_t len,
                                              struct stamp_cbor_head *h);

void stamp_cbor_init(struct stamp_cbor *c, const void *p, size_t len);

/** Read a head of `type`; returns its argument, 0 on error. */
uint32_t stamp_cbor_expect(struct stamp_cbor *c, enum stamp_cbor_type type);

/** Read a head of `type` whose argument must be `arg`. */
void stamp_cbor_want(struct stamp_cbor *c, enum stamp_cbor_type type, uint32_t arg);

/** Type of the next item without consuming it; -1 at the end or on error. */
int stamp_cbor_peek(const struct stamp_cbor *c);

/** Read a whole byte or text string of `min`..`max` bytes; the slice points into the
 * input. */
struct stamp_slice stamp_cbor_string(struct stamp_cbor *c, enum stamp_cbor_type type,
                                     size_t min, size_t max);

/** Read an unsigned integer of at most `max`. */
uint32_t stamp_cbor_uint(struct stamp_cbor *c, uint32_t max);

/** Skip one whole item (checked against the subset); the slice is its encoding. */
struct stamp_slice stamp_cbor_skip(struct stamp_cbor *c);

/* Writing: into a buffer of `size` bytes; `len` counts on past the end, so that a first
 * pass with size 0 measures. stamp_cbor_out_ok() says whether it all fitted. */
struct stamp_cbor_out {
    uint8_t *p;
    size_t size;
    size_t len;
};

void stamp_cbor_out_init(struct stamp_cbor_out *o, void *p, size_t size);
void stamp_cbor_put_head(struct stamp_cbor_out *o, enum stamp_cbor_type type,
                         uint32_t arg);
void stamp_cbor_put_raw(struct stamp_cbor_out *o, const void *p, size_t len);
void stamp_cbor_put_string(struct stamp_cbor_out *o, enum stamp_cbor_type type,
                           const void *p, size_t len);
bool stamp_cbor_out_ok(const struct stamp_cbor_out *o);

/** Encode a head into `p` (5 bytes free); returns its length. */
size_t stamp_cbor_encode_head(uint8_t *p, enum stamp_cbor_type type, uint32_t arg);

#endif
