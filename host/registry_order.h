/*
 * Work orders on the books, and the units that a station made under them. An order is a
 * batch whose devices come from journals: its block of serials and certificate serial
 * numbers is reserved when the order is made, and each unit is admitted when the
 * station's journal tells of it. What is not admitted is on no books, whatever it chains
 * to.
 */
#ifndef HOST_REGISTRY_ORDER_H
#define HOST_REGISTRY_ORDER_H

#include "host/registry_station.h"

/** The numbers are in the database: append-only. */
enum stamp_registry_order_state {
    STAMP_REGISTRY_ORDER_OPEN = 0,
    STAMP_REGISTRY_ORDER_CLOSED = 1, /* nothing new from it is admitted */
};

struct stamp_registry_order {
    uint8_t id[16]; /* also the uid of its batch */
    struct stamp_registry_batch batch;
    uint8_t station[32]; /* SHA-256 of the station CA's certificate */
    struct stamp_serial_pattern pattern;
    bool lock_later;
    uint8_t pop;      /* enum stamp_order_pop */
    time_t not_after; /* 0 = not known */
    enum stamp_registry_order_state state;
    time_t closed_at; /* 0 = it is open */
};

struct stamp_registry_order_setup {
    const char *name; /* NULL = its number */
    const char *product;
    const struct stamp_serial_pattern *pattern;
    uint32_t count;
    uint64_t first; /* counter of its first serial; 0 = the next block that is free */
    const uint8_t *station; /* 32 bytes: of a station on the books */
    bool lock_later;
    uint8_t pop;      /* enum stamp_order_pop */
    time_t not_after; /* 0 = not told */
    const char *note; /* NULL = none */
    time_t now;
    const struct stamp_registry_request *request; /* NULL = none */
};

/**
 * Reserve what an order takes, and book it, in one transaction.
 *
 * @retval STAMP_E_DUPLICATE  a serial of the block is on the books already
 * @retval STAMP_E_MISSING    the station is not
 * @retval STAMP_E_CONFIG     serials of the pattern do not follow from a counter (SPEC
 *                            14-4, key 9)
 * @retval others             as stamp_registry_batch_create()
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_order_add(struct stamp_registry *r,
                         const struct stamp_registry_order_setup *setup,
                         struct stamp_registry_order *out, struct stamp_error *err);

/** By id. STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err stamp_registry_order_find(struct stamp_registry *r,
                                                        const uint8_t id[16],
                                                        struct stamp_registry_order *out,
                                                        struct stamp_error *err);

/** Book which file it is: SHA-256 of it. */
STAMP_MUST_USE enum stamp_err stamp_registry_order_file(struct stamp_registry *r,
                                                        const uint8_t id[16],
                                                        const uint8_t digest[32],
                                                        struct stamp_error *err);

/** By its file. STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err
stamp_registry_order_find_file(struct stamp_registry *r, const uint8_t digest[32],
                               struct stamp_registry_order *out, struct stamp_error *err);

/** By whatever people call it: its number or name, its id of 32 digits, or the SHA-256 of
 * its file in 64. STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err stamp_registry_order_seek(struct stamp_registry *r,
                                                        const char *name,
                                                        struct stamp_registry_order *out,
                                                        struct stamp_error *err);

/** One page of orders, oldest first. @param after  number of the last one's batch; 0 =
 * from the start */
STAMP_MUST_USE enum stamp_err
stamp_registry_order_list(struct stamp_registry *r, uint32_t after,
                          struct stamp_registry_order *orders, size_t max, size_t *n,
                          struct stamp_error *err);

/** Admit nothing new from it. Repeating is harmless. Its serials stay its own for good.
 */
STAMP_MUST_USE enum stamp_err stamp_registry_order_close(struct stamp_registry *r,
                                                         const uint8_t id[16], time_t now,
                                                         struct stamp_error *err);

/** What a journal tells of one unit. Texts and bytes are borrowed. */
struct stamp_registry_unit {
    uint32_t index;
    const char *serial;
    const uint8_t *fingerprint; /* 32 bytes: SHA-256 of the device key's point */
    const char *chip;           /* NULL = none */
    const uint8_t *certificate;
    size_t certificate_len;
    enum stamp_registry_state state; /* ISSUED: signed, and not known to be finished;
                                        STRUCK; SCRAPPED; REVOKED: struck again */
    time_t at;
    const char *where;      /* NULL = stamp_registry_author() */
    const char *why;        /* NULL = none */
    struct stamp_slice pop; /* sealed by the device; p NULL = none */
    bool locked;
};

/** One unit that is not admitted, in words. */
typedef void (*stamp_registry_refused)(void *ctx, const struct stamp_registry_unit *unit,
                                       const char *why);

/**
 * Admit units. What is on the books already is passed over, and so are older news than
 * they have; what contradicts them is told, kept apart and not merged; the others are
 * booked: all of them or none.
 *
 * A new unit is admitted with the serial of its index, with a certificate that the
 * order's station CA signed for this index, this serial, this key and the books' purpose,
 * and with a key and a chip that no other device has. The chip of a device that is
 * scrapped or revoked may have a new one: it moves over.
 *
 * @param order    its id counts; all else is read again
 * @param refused  where the call fails in the end, what it told was not kept
 * @param booked   how many were new, or new in their state
 * @retval STAMP_E_MISSING  the order or its station is not on the books
 * @retval STAMP_E_BUSY     another program books the same key, serial or chip: again
 */
STAMP_MUST_USE enum stamp_err stamp_registry_order_admit(
    struct stamp_registry *r, const struct stamp_registry_order *order,
    const struct stamp_registry_unit *units, size_t n, time_t now,
    stamp_registry_refused refused, void *ctx, uint32_t *booked, struct stamp_error *err);

/** A device of an order with `lock: later` was locked: it may be shipped now. */
STAMP_MUST_USE enum stamp_err stamp_registry_locked(struct stamp_registry *r,
                                                    const char *serial,
                                                    struct stamp_error *err);

/** How many units of an order were refused: certificates, each counted once. */
STAMP_MUST_USE enum stamp_err stamp_registry_quarantined(struct stamp_registry *r,
                                                         const uint8_t order[16],
                                                         uint32_t *n,
                                                         struct stamp_error *err);

/** A unit that was refused. */
struct stamp_registry_quarantine {
    uint32_t index;
    uint8_t fingerprint[32];
    char serial[STAMP_SERIAL_SIZE]; /* "?" = it was no serial */
    char why[STAMP_REGISTRY_TEXT_SIZE];
    time_t at;                      /* when it was told first */
    struct stamp_slice certificate; /* borrowed for the call */
};

/** Called with each; false ends it. */
typedef bool (*stamp_registry_quarantine_told)(void *ctx,
                                               const struct stamp_registry_quarantine *q);

/** Tell all of an order that were refused, by index. */
STAMP_MUST_USE enum stamp_err
stamp_registry_quarantine(struct stamp_registry *r, const uint8_t order[16],
                          stamp_registry_quarantine_told told, void *ctx,
                          struct stamp_error *err);

/** The proof that a device sealed itself: STAMP_E_MISSING where there is none.
 * @param out  160 bytes */
STAMP_MUST_USE enum stamp_err stamp_registry_sealed_pop(struct stamp_registry *r,
                                                        const char *serial, uint8_t *out,
                                                        size_t *len,
                                                        struct stamp_error *err);

/**
 * Is this very certificate on the books, of a device that is not revoked? Whatever it
 * chains to.
 *
 * @param row  the device; end with stamp_registry_row_fini()
 * @retval STAMP_E_MISSING  it is not
 * @retval STAMP_E_AUTH     the device of its key has another certificate, or is revoked
 */
STAMP_MUST_USE enum stamp_err stamp_registry_admits(struct stamp_registry *r,
                                                    struct stamp_slice certificate,
                                                    struct stamp_registry_row *row,
                                                    struct stamp_error *err);

#endif
