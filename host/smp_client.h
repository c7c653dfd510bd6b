/*
 * Requests to a live device and their answers (SPEC 10): framing, sequence numbers,
 * timeouts, and asking again when a frame got lost or damaged. What comes back is not
 * trusted.
 */
#ifndef HOST_SMP_CLIENT_H
#define HOST_SMP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cbor.h"
#include "core/part.h"
#include "core/smp.h"
#include "host/error.h"
#include "host/tty.h"

/** A way to a device: a serial port, or in a test the device itself. */
struct stamp_smp_line {
    /* Send all, or fail. */
    enum stamp_err (*send)(void *ctx, const void *p, size_t len, struct stamp_error *err);
    /* Wait at most `timeout_ms` for bytes; `*len` 0 = the time is over. */
    enum stamp_err (*receive)(void *ctx, void *buf, size_t size, int timeout_ms,
                              size_t *len, struct stamp_error *err);
    void *ctx;
    const char *name; /* for messages */
};

struct stamp_smp_client {
    struct stamp_smp_line line; /* its ctx and name are borrowed */
    int read_ms;                /* to wait for the answer to a read */
    int write_ms;               /* to a write: the device may compute signatures */
    /* How often that much is waited. Meanwhile a request is sent again every `read_ms`,
     * unless there is one try only: a lost frame costs no more than that, and who is
     * computing answers once. SPEC 10-19. */
    int tries;
    /* Asked every now and then while it waits: true ends the waiting. NULL = never. */
    bool (*is_over)(void *ctx);
    void *is_over_ctx;
    uint8_t seq;
    struct stamp_smp_rx rx;
};

struct stamp_smp_reply {
    uint8_t body[STAMP_SMP_MAX];
    size_t len;
};

/** A request's body is built into this. */
struct stamp_smp_body {
    uint8_t bytes[STAMP_SMP_MAX - STAMP_SMP_HEADER];
    struct stamp_cbor_out out;
};

/** The line over a serial port that the caller keeps open. */
struct stamp_smp_line stamp_smp_tty_line(struct stamp_tty *tty);

/** Begin with the usual times: 1 s, 10 s, three tries. */
void stamp_smp_client_init(struct stamp_smp_client *c, const struct stamp_smp_line *line);

/** A body that is a map of `n` entries to come. */
void stamp_smp_body_init(struct stamp_smp_body *b, uint32_t n);
void stamp_smp_body_uint(struct stamp_smp_body *b, const char *key, uint32_t v);
void stamp_smp_body_bytes(struct stamp_smp_body *b, const char *key, const void *p,
                          size_t len);

/**
 * Ask, and wait for the answer that belongs to it.
 *
 * Without an answer the same request is sent again, and the device then does not act a
 * second time (SPEC 10-19).
 *
 * @param op    STAMP_SMP_READ or STAMP_SMP_WRITE
 * @retval STAMP_OK             `r->body[0..r->len)` is a CBOR map without an error
 * @retval STAMP_E_TIMEOUT      no answer; the error names the port
 * @retval STAMP_E_BUSY         the device slows down; native = milliseconds to wait
 * @retval STAMP_E_AUTH         the device says "not authentic"
 * @retval STAMP_E_MISSING      the device has no stamp, or not this item
 * @retval STAMP_E_UNSUPPORTED  the device does not do this
 * @retval STAMP_E_DEVICE       another error of the device; native = its code
 * @retval STAMP_E_FORMAT       the answer is not what SPEC says
 * @retval STAMP_E_IO           the port failed
 */
STAMP_MUST_USE enum stamp_err
stamp_smp_request(struct stamp_smp_client *c, enum stamp_smp_op op, uint16_t group,
                  uint8_t id, const struct stamp_smp_body *body,
                  struct stamp_smp_reply *r, struct stamp_error *err);

/**
 * A byte string of exactly `len` bytes from an answer.
 * @retval STAMP_E_FORMAT  not there, or of another length; the error names it
 */
STAMP_MUST_USE enum stamp_err stamp_smp_reply_bytes(const struct stamp_smp_reply *r,
                                                    const char *key, void *out,
                                                    size_t len, struct stamp_error *err);

/** What info tells (SPEC 10, id 0). Texts are NUL-terminated printable ASCII or UTF-8. */
struct stamp_info {
    char state[16]; /* "blank", "ready", "locked", "damaged" */
    char serial[65];
    char product[65];
    char firmware[25];
    uint32_t purpose;
    uint32_t seq;
    bool claimed;
    bool encrypted;
};

STAMP_MUST_USE enum stamp_err stamp_smp_info(struct stamp_smp_client *c,
                                             struct stamp_info *info,
                                             struct stamp_error *err);

/**
 * Read a whole item in chunks (SPEC 10-6).
 *
 * @param key    0 the claims, STAMP_TRUST_BUNDLE or STAMP_CERTIFICATES
 * @param which  STAMP_BIRTH or STAMP_NEWEST
 * @param max    most bytes taken
 * @param out    the caller frees it; NULL on failure
 */
STAMP_MUST_USE enum stamp_err stamp_smp_item(struct stamp_smp_client *c, uint32_t key,
                                             enum stamp_which which, size_t max,
                                             uint8_t **out, size_t *len,
                                             struct stamp_error *err);

#endif
