/*
 * What a product supplies so that the device library runs on it. device/PORTING.md
 * explains each function; port/template is a start; test/unit/port_conformance checks
 * one.
 *
 * Rules: one caller at a time (the library takes no locks); functions return 0 or
 * negative and block until done; `ctx` of the flash and of the port are passed back
 * untouched.
 */
#ifndef DEVICE_PORT_H
#define DEVICE_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "core/flash.h"

#define STAMP_CHIP_ID_MAX 32u

/* Parts of a lock. */
#define STAMP_LOCK_WRITE 1u   /* the birth region cannot be erased or programmed */
#define STAMP_LOCK_ENCRYPT 2u /* what rests in flash is encrypted, for good */
#define STAMP_LOCK_DEBUG 4u   /* no debugger or boot loader reads the chip */

struct stamp_port {
    struct stamp_flash flash;

    /* Scratch for one item at a time; wiped after use. Needed where root_key is set or
     * the flash is not mapped. As large as the largest item's encoding and
     * STAMP_WORK_EXTRA bytes: 2 KiB holds a chain of two or three certificates, 4,120
     * bytes any trust bundle. Too small: STAMP_E_SPACE before anything is changed. */
    void *work;
    size_t work_size;

    /* The 32-byte key under which items rest in flash: from fuse, PUF or HUK; the same at
     * every boot, unknown outside the chip. NULL = flash is plaintext or encrypted by the
     * chip itself. */
    int (*root_key)(void *ctx, uint8_t key[32]);

    /* Make the birth region unwritable (and, where the chip has it, flash encryption on,
     * debug off). Idempotent: called again at each boot once the stamp is locked. NULL =
     * nothing to do. */
    int (*lock)(void *ctx);

    /* Milliseconds since boot; wraps. Slows down wrong proofs of possession. Required. */
    uint32_t (*now_ms)(void *ctx);

    /* Give the PSA key that stands for slot `slot` of a secure element (key where = 2).
     * NULL = no secure element. */
    int (*element_key)(void *ctx, uint32_t slot, uint32_t *psa_id);

    /* The number that the chip has from its maker, 1..STAMP_CHIP_ID_MAX bytes: never the
     * same on two units, and not to be changed. NULL = it has none. */
    int (*chip_id)(void *ctx, uint8_t id[STAMP_CHIP_ID_MAX], size_t *len);

    /* What of the lock is in force, asked from the chip now: STAMP_LOCK_... bits. `*can`
     * gets those that this chip has at all. NULL = the lock mark is all that there is. */
    uint32_t (*lock_state)(void *ctx, uint32_t *can);

    /* Start the device anew. A board does not return from it; where it does, the agent
     * goes on with what the caller of stamp_agent_input() does next. NULL = cannot. */
    void (*restart)(void *ctx);

    /* SHA-256 of the owner's 65-byte public point, pinned in the firmware; NULL = take
     * the one in the birth stamp. */
    const uint8_t *owner_key_hash;

    void *ctx;
};

/* Bytes of `work` beyond the item itself: the tag, and room to open it in place. */
#define STAMP_WORK_EXTRA 24u

#endif
