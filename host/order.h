/*
 * Work orders: what one station may make, signed by the owner key and sealed to the
 * station's box. SPEC 14.
 */
#ifndef HOST_ORDER_H
#define HOST_ORDER_H

#include <stdint.h>
#include <time.h>

#include "core/stamp.h"
#include "host/image.h"
#include "host/openssl.h"

#define STAMP_ORDER_ID_SIZE 16u
#define STAMP_ORDER_PREFIX_SIZE 12u
#define STAMP_ORDER_PROFILE_MAX 32768u
#define STAMP_ORDER_NOTE_MAX 256u
#define STAMP_ORDER_MAX 131072u /* bytes of an order file that is read */

enum stamp_order_lock { STAMP_ORDER_LOCK_STRIKE = 0, STAMP_ORDER_LOCK_LATER = 1 };

enum stamp_order_pop {
    STAMP_ORDER_POP_NONE = 0,
    STAMP_ORDER_POP_SEALED = 1, /* by the device, to the recipient */
    STAMP_ORDER_POP_SHOWN = 2,  /* to the station, for its label */
};

/** An order. Slices are borrowed: of an opened one, from the bytes it was opened into. */
struct stamp_order {
    uint8_t id[STAMP_ORDER_ID_SIZE];
    uint8_t purpose;
    uint8_t owner[STAMP_POINT_SIZE];
    struct stamp_slice product; /* text */
    struct stamp_slice profile; /* YAML */
    uint32_t count;
    uint32_t first_counter; /* of the serial with index 0 */
    uint32_t at;            /* the time in the serials */
    struct stamp_slice first;
    struct stamp_slice last;
    uint8_t prefix[STAMP_ORDER_PREFIX_SIZE]; /* of certificate serial numbers */
    struct stamp_slice station;              /* DER of the station CA */
    uint32_t not_before;
    uint32_t not_after;
    struct stamp_slice bundle;
    enum stamp_order_lock lock;
    enum stamp_order_pop pop;
    struct stamp_slice recipient; /* DER; of POP_SEALED, else empty */
    uint32_t backdate_s;
    struct stamp_slice note; /* text; empty = none */
    bool uncounted;          /* a token that keeps no count will do */
};

/**
 * Sign and seal.
 *
 * @param order  its `owner` is taken from the key
 * @param owner  the owner key; it may live in a token
 * @param box    the station's box certificate
 * @param out    the file; free with stamp_buffer_free()
 * @retval STAMP_E_RANGE   a value is not as SPEC 14-4 says; `err` names it
 * @retval STAMP_E_CONFIG  nothing can be sealed to the box
 */
STAMP_MUST_USE enum stamp_err stamp_order_make(const struct stamp_order *order,
                                               EVP_PKEY *owner, X509 *box,
                                               struct stamp_buffer *out,
                                               struct stamp_error *err);

/**
 * Open, and check what needs no clock and no station: that it was sealed to this box, and
 * is whole and the owner's. SPEC 14-5.
 *
 * @param owner_hash  32 bytes (SPEC 5-8)
 * @param box         private key; it may live in a token
 * @param plain       what `order` points into; free with stamp_buffer_free()
 * @retval STAMP_E_AUTH     not for this box, or not this owner's
 * @retval STAMP_E_FORMAT   not an order
 * @retval STAMP_E_VERSION  made by a newer program
 */
STAMP_MUST_USE enum stamp_err stamp_order_open(struct stamp_slice file,
                                               const uint8_t owner_hash[32],
                                               EVP_PKEY *box, struct stamp_buffer *plain,
                                               struct stamp_order *order,
                                               struct stamp_error *err);

/**
 * Does it hold here and now?
 *
 * @param station  the station CA's certificate in DER
 * @retval STAMP_E_AUTH     it is for another station
 * @retval STAMP_E_PURPOSE  for the other purpose
 * @retval STAMP_E_STATE    not yet, or no longer
 */
STAMP_MUST_USE enum stamp_err stamp_order_check(const struct stamp_order *order,
                                                struct stamp_slice station,
                                                uint8_t purpose, time_t now,
                                                struct stamp_error *err);

#endif
