/* A work order's payload as bytes: between host/order.c and host/order_payload.c. */
#ifndef HOST_ORDER_OWN_H
#define HOST_ORDER_OWN_H

#include "host/order.h"

/** Encode. @param out  `size` bytes. STAMP_E_RANGE names a value; SPEC 14-4. */
STAMP_MUST_USE enum stamp_err stampi_order_encode(const struct stamp_order *order,
                                                  uint8_t *out, size_t size, size_t *len,
                                                  struct stamp_error *err);

/** Decode: everything but what 14-4 says of serials. `order` points into `in`. */
STAMP_MUST_USE enum stamp_err stampi_order_decode(struct stamp_slice in,
                                                  struct stamp_order *order,
                                                  struct stamp_error *err);

#endif
