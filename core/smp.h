/*
 * SMP, the management protocol of MCUmgr, as far as both ends of a serial line need it:
 * the 8-byte header, and the framing in base64 lines with a CRC-16. SPEC 10-1, 10-2.
 *
 * Bytes go in one at a time, lines come out through a function, and the caller owns every
 * buffer. What is no frame (console text, noise, a cut line) is passed over: a reader
 * finds the next frame by itself.
 */
#ifndef CORE_SMP_H
#define CORE_SMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cbor.h"

#define STAMP_SMP_HEADER 8u
#define STAMP_SMP_MAX 256u  /* a message, header included */
#define STAMP_SMP_LINE 127u /* a line, its two first bytes and the line feed included */

/* Where the fields of the header are; two-byte ones are big-endian. A version is in the
 * upper bits of op. */
enum stamp_smp_at {
    STAMP_SMP_AT_OP = 0,
    STAMP_SMP_AT_FLAGS = 1,
    STAMP_SMP_AT_LEN = 2,
    STAMP_SMP_AT_GROUP = 4,
    STAMP_SMP_AT_SEQ = 6,
    STAMP_SMP_AT_ID = 7,
};
#define STAMP_SMP_OP_MASK 7u

/* A message in memory has room for its length before it and its CRC behind it. */
#define STAMP_SMP_ROOM 2u
#define STAMP_SMP_BUFFER (STAMP_SMP_ROOM + STAMP_SMP_MAX + STAMP_SMP_ROOM)

enum stamp_smp_op {
    STAMP_SMP_READ = 0,
    STAMP_SMP_READ_RSP = 1,
    STAMP_SMP_WRITE = 2,
    STAMP_SMP_WRITE_RSP = 3,
};

/* Groups and ids, SPEC 10-3..10-5. */
#define STAMP_SMP_GROUP_OS 0u
#define STAMP_SMP_GROUP_STAMP 64u

enum stamp_smp_id {
    STAMP_SMP_ECHO = 0,    /* in STAMP_SMP_GROUP_OS */
    STAMP_SMP_RESTART = 5, /* likewise */
    STAMP_SMP_INFO = 0,    /* these in STAMP_SMP_GROUP_STAMP */
    STAMP_SMP_ITEM = 1,
    STAMP_SMP_PROVE = 2,
    STAMP_SMP_CLAIM = 3,
    STAMP_SMP_POSSESS = 4,
    STAMP_SMP_UNIT = 5, /* these where the device can be struck, SPEC 13 */
    STAMP_SMP_PUT = 6,
    STAMP_SMP_MAKE = 7,
    STAMP_SMP_REQUEST = 8,
    STAMP_SMP_STRIKE = 9,
    STAMP_SMP_POP = 10,
    STAMP_SMP_FINISH = 11,
    STAMP_SMP_ABANDON = 12,
    STAMP_SMP_AGREE = 13,
    STAMP_SMP_ROTATION = 14, /* these where it renews its identity, SPEC 16 */
    STAMP_SMP_RENEW = 15,
    STAMP_SMP_RENEWAL = 16,
    STAMP_SMP_HAND = 17,
    STAMP_SMP_COMMIT = 18,
    STAMP_SMP_DROP = 19,
};

/* What put carries, SPEC 13-3. */
enum stamp_smp_put {
    STAMP_PUT_OFFER = 0,
    STAMP_PUT_CERTIFICATES = 1,
    STAMP_PUT_SEALED = 2, /* a whole birth stamp, sealed as SPEC 13-24 says */
};

/* What hand carries, SPEC 16-3. */
enum stamp_smp_hand {
    STAMP_HAND_CERTIFICATES = 0,
    STAMP_HAND_BUNDLE = 1,
};

/* How far a unit is, SPEC 13-2. */
enum stamp_phase {
    STAMP_PHASE_BLANK = 0,
    STAMP_PHASE_PENDING = 1, /* its keys are made */
    STAMP_PHASE_STRUCK = 2,  /* its birth stamp is written */
    STAMP_PHASE_FINISHED = 3,
};

enum stamp_smp_rc {
    STAMP_RC_OK = 0,
    STAMP_RC_UNKNOWN = 1,
    STAMP_RC_BAD = 3,
    STAMP_RC_NOT_FOUND = 5,
    STAMP_RC_STATE = 6,
    STAMP_RC_TOO_LARGE = 7,
    STAMP_RC_NOT_SUPPORTED = 8,
    STAMP_RC_BUSY = 10,
    STAMP_RC_NOT_AUTHENTIC = 11,
};

/* Claim, SPEC 10.1: the plaintext of possess is {"pop": text}, its ciphertext has a tag.
 */
#define STAMP_NONCE_MIN 16u
#define STAMP_NONCE_MAX 64u
#define STAMP_GCM_TAG 16u

struct stamp_smp_header {
    uint8_t op;   /* enum stamp_smp_op */
    uint16_t len; /* of what follows the header */
    uint16_t group;
    uint8_t seq;
    uint8_t id;
};

void stamp_smp_header_put(uint8_t out[STAMP_SMP_HEADER],
                          const struct stamp_smp_header *h);

/**
 * @param len  bytes of the message at `in`
 * @retval STAMP_OK        `*h` is set; a version in the upper bits of op is cut off
 * @retval STAMP_E_FORMAT  too short, or its length is not that of the message
 */
STAMP_MUST_USE enum stamp_err stamp_smp_header_get(const uint8_t *in, size_t len,
                                                   struct stamp_smp_header *h);

/**
 * Look up `key` in a message's body: one CBOR map with text keys, nothing behind it.
 *
 * @param value  positioned at the value; where it is not found an empty reader with the
 *               error, so that a caller may read on and check once
 * @retval STAMP_OK         found
 * @retval STAMP_E_MISSING  the map is fine and has no such key
 * @retval STAMP_E_FORMAT   not such a map
 */
enum stamp_err stamp_smp_field(const uint8_t *body, size_t len, const char *key,
                               struct stamp_cbor *value);

/** CRC-16/XMODEM: polynomial 0x1021, from 0, not reflected. */
uint16_t stamp_crc16(const void *data, size_t len);

/** Receives a line of a frame; called once for each line. */
typedef void (*stamp_smp_tx)(void *ctx, const uint8_t *line, size_t len);

/**
 * Frame a message and hand out its lines.
 *
 * @param buf  STAMP_SMP_BUFFER bytes; the message lies at buf + STAMP_SMP_ROOM, length
 *             and CRC are written around it
 * @param len  of the message, at most STAMP_SMP_MAX
 */
void stamp_smp_send(uint8_t buf[STAMP_SMP_BUFFER], size_t len, stamp_smp_tx tx,
                    void *ctx);

struct stamp_smp_rx {
    uint32_t last;  /* the byte before, or that this is in a line */
    uint32_t len;   /* bytes decoded so far; 0 = no frame has begun */
    uint32_t chars; /* base64 characters of this line */
    uint32_t bits;  /* the last ones' bits */
    bool padded;    /* '=' seen in this line */
    uint8_t buf[STAMP_SMP_BUFFER];
};

void stamp_smp_rx_init(struct stamp_smp_rx *rx);

/**
 * Take one byte from the line.
 *
 * @return length of a message that is now whole, with a right CRC, at
 *         rx->buf + STAMP_SMP_ROOM until the next call, its CRC behind it; 0 while
 *         there is none
 * A frame that is damaged or too long is dropped; the next one is found.
 */
size_t stamp_smp_rx_byte(struct stamp_smp_rx *rx, uint8_t byte);

#endif
