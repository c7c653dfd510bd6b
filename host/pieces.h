/*
 * What the requests of a strike and of a rotation have in common: asking, answers that
 * are not to SPEC, and things that go over the line in pieces. For host/unit.c and
 * host/rotate.c only.
 */
#ifndef HOST_PIECES_H
#define HOST_PIECES_H

#include "host/image.h"
#include "host/smp_client.h"

/** As stamp_smp_request(), in the stamp's group. STAMP_E_STATE: not where it is now. */
STAMP_MUST_USE enum stamp_err stampi_ask(struct stamp_smp_client *c, enum stamp_smp_op op,
                                         enum stamp_smp_id id,
                                         const struct stamp_smp_body *body,
                                         struct stamp_smp_reply *r,
                                         struct stamp_error *err);

/** STAMP_E_FORMAT: the answer is not to the specification. */
enum stamp_err stampi_bad_answer(const struct stamp_smp_client *c, const char *why,
                                 struct stamp_error *err);

bool stampi_reply_uint(const struct stamp_smp_reply *r, const char *key, uint32_t *out);

/** At most `max` bytes; p NULL: not there. Borrowed from `r`. */
struct stamp_slice stampi_reply_bytes(const struct stamp_smp_reply *r, const char *key,
                                      size_t max);

/** Hand something over. SPEC 13-3, 16-3. */
STAMP_MUST_USE enum stamp_err stampi_pieces_put(struct stamp_smp_client *c,
                                                enum stamp_smp_id id, uint32_t what,
                                                struct stamp_slice bytes,
                                                struct stamp_error *err);

/** Have the device make a request for a certificate that answers `challenge` with `make`,
 * and read it with `read`. @param out  free with stamp_buffer_free() */
STAMP_MUST_USE enum stamp_err
stampi_pieces_request(struct stamp_smp_client *c, enum stamp_smp_id make,
                      enum stamp_smp_id read, const uint8_t challenge[32],
                      struct stamp_buffer *out, struct stamp_error *err);

#endif
