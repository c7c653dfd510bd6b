/*
 * The books: which serials, keys, certificate serials and chips there are, each once, and
 * what became of every device. An SQLite file (the default), which several programs of
 * one machine may use at once, or a PostgreSQL database, for several machines. Both hold
 * the same tables and behave the same. No private key and no other secret is in them.
 *
 * A registry handle is for one thread at a time. What returns STAMP_OK is durable; what
 * fails has changed nothing. The errors below hold for every call beside its own:
 *
 *     STAMP_E_BUSY      other programs hold it for a minute already: try again
 *     STAMP_E_DATABASE  the database failed, or is out of reach; native = its own code
 *
 * Where a call fails while PostgreSQL itself goes away, what was asked for may have been
 * done all the same: look it up once it is back.
 *
 * Batches and their devices by the thousand: host/registry_batch.h.
 */
#ifndef HOST_REGISTRY_H
#define HOST_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/stamp.h"
#include "host/error.h"
#include "host/leaf.h"
#include "host/serial.h"

struct stamp_registry;

/** What a device is. The numbers are in the database: append-only. */
enum stamp_registry_state {
    STAMP_REGISTRY_RESERVED = 0, /* the serial is taken, nothing is made */
    STAMP_REGISTRY_ISSUED = 1,   /* the stamp is made, on no unit yet */
    STAMP_REGISTRY_STRUCK = 2,   /* it is on a unit */
    STAMP_REGISTRY_LABELLED = 3,
    STAMP_REGISTRY_SHIPPED = 4,
    STAMP_REGISTRY_ACTIVE = 5,    /* seen by the service */
    STAMP_REGISTRY_RETURNED = 6,  /* an unused stamp, or a device that came back */
    STAMP_REGISTRY_RE_STRUCK = 7, /* came back and got a new stamp */
    STAMP_REGISTRY_SCRAPPED = 8,  /* no unit; the serial is never used again */
    STAMP_REGISTRY_REVOKED = 9    /* not to be trusted any more */
};
#define STAMP_REGISTRY_STATES 10u

/** "reserved", "re-struck", ... */
const char *stamp_registry_state_name(enum stamp_registry_state state);
bool stamp_registry_state_parse(const char *name, enum stamp_registry_state *out);

/** May a device in `from` become `to`? Re-struck needs a strike before it, too. */
bool stamp_registry_may(enum stamp_registry_state from, enum stamp_registry_state to);

#define STAMP_REGISTRY_TEXT_MAX 200u /* bytes of who, where, why, notes and owners */
#define STAMP_REGISTRY_TEXT_SIZE (STAMP_REGISTRY_TEXT_MAX + 1u)
#define STAMP_REGISTRY_CHIP_SIZE 65u

/** Is it a PostgreSQL URL ("postgres://...", "postgresql://...") and no file? */
bool stamp_registry_is_url(const char *where);

/**
 * Make the books.
 *
 * @param where  a file, made with mode 0600; or the URL of a database that is there. A
 * password in the URL is refused: command lines are seen by everybody. libpq finds it in
 * ~/.pgpass or $PGPASSFILE
 * @retval STAMP_E_EXISTS  there are books already: untouched
 * @retval STAMP_E_CONFIG  a URL that cannot be taken
 */
STAMP_MUST_USE enum stamp_err stamp_registry_create(const char *where, uint8_t purpose,
                                                    struct stamp_error *err);

/**
 * Open them, and bring them up to this program's version. Takes the same time however
 * many devices there are, a migration excepted.
 *
 * @retval STAMP_E_VERSION  made by a newer program; untouched
 * @retval STAMP_E_IO       there is no such file
 * @retval STAMP_E_CONFIG   a URL that cannot be taken
 */
STAMP_MUST_USE enum stamp_err stamp_registry_open(const char *where,
                                                  struct stamp_registry **out,
                                                  struct stamp_error *err);

void stamp_registry_close(struct stamp_registry **p);
#define STAMP_REGISTRY_AUTO                                                              \
    __attribute__((cleanup(stamp_registry_close))) struct stamp_registry

/** The purpose that it was made with. */
uint8_t stamp_registry_purpose(const struct stamp_registry *r);

/** Who, and where, the history says from now on; else the user's and the machine's names.
 * Longer texts are cut. */
void stamp_registry_author(struct stamp_registry *r, const char *who, const char *where);

/** The serial number of a block's certificate: the block's prefix (12 bytes), and which
 * of its certificates it is. */
void stamp_registry_certificate_serial(const uint8_t prefix[12], uint32_t index,
                                       uint8_t out[STAMP_CERTIFICATE_SERIAL_SIZE]);

/** A device. */
struct stamp_registry_row {
    int64_t id; /* batch << 32 | index in it */
    char serial[STAMP_SERIAL_SIZE];
    char product[STAMP_MAX_TEXT + 1u];
    enum stamp_registry_state state;
    time_t at; /* since when it is in its state */
    bool own;  /* something happened to it alone; else to a run of its batch */
    uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE];
    uint8_t fingerprint[32]; /* SHA-256 of the device key's point; 0 = reserved only */
    char chip[STAMP_REGISTRY_CHIP_SIZE]; /* "" = not known */
    char *file;                          /* NULL = none */
    uint8_t *certificate;                /* DER; NULL = none */
    size_t certificate_len;
};

/** Frees file and certificate, and zeroes it. */
void stamp_registry_row_fini(struct stamp_registry_row *row);

/** Batch of a device. Stamps made one by one have a batch of their own per product. */
static inline uint32_t stamp_registry_batch_of(const struct stamp_registry_row *row)
{
    return (uint32_t)(row->id >> 32);
}

/* ---- stamps made one by one ---- */

/**
 * Reserve `n` serials of the pattern with certificate serial numbers. Serials that are on
 * the books are passed over.
 *
 * @param rows  `n` rows, filled: id, serial, product, at, certificate_serial
 * @retval STAMP_E_RANGE  the pattern is used up
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_reserve(struct stamp_registry *r, const char *product,
                       const struct stamp_serial_pattern *pattern, time_t now,
                       struct stamp_registry_row *rows, size_t n,
                       struct stamp_error *err);

/** Reserve this one. STAMP_E_DUPLICATE where it is on the books already, or lies in the
 * serial block of a batch. */
STAMP_MUST_USE enum stamp_err
stamp_registry_reserve_serial(struct stamp_registry *r, const char *product,
                              const char *serial, time_t now,
                              struct stamp_registry_row *row, struct stamp_error *err);

/**
 * Book `n` reserved rows as issued: with fingerprint, file and certificate. All or none.
 *
 * @retval STAMP_E_DUPLICATE  a key is on the books already
 * @retval STAMP_E_STATE      one is not reserved
 */
STAMP_MUST_USE enum stamp_err stamp_registry_issue(struct stamp_registry *r,
                                                   const struct stamp_registry_row *rows,
                                                   size_t n, time_t now,
                                                   struct stamp_error *err);

/** Scrap `n` reserved rows: nothing was made of them. */
STAMP_MUST_USE enum stamp_err
stamp_registry_give_up(struct stamp_registry *r, const struct stamp_registry_row *rows,
                       size_t n, time_t now, struct stamp_error *err);

/* ---- what becomes of a device ---- */

struct stamp_registry_change {
    const char *serial;
    enum stamp_registry_state to;
    time_t at;
    const char *chip;  /* its chip id, at a strike; NULL = as it was */
    const char *who;   /* NULL = stamp_registry_author() */
    const char *where; /* NULL = stamp_registry_author() */
    const char *why;   /* NULL = "" */
    uint8_t reason;    /* of a revocation: enum stamp_reason (host/registry_revoke.h) */
};

/**
 * Book what happened to `n` devices. All or none. A change that is on the books already,
 * to the second, is passed over.
 *
 * @param bad  index of the change that was refused; NULL = not asked
 * @retval STAMP_E_MISSING    no such serial
 * @retval STAMP_E_STATE      no step from the state that it is in; the hint names those
 * that there are
 * @retval STAMP_E_DUPLICATE  the chip is another device's, or the device has another chip
 * @retval STAMP_E_RANGE      a text is too long
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_change(struct stamp_registry *r,
                      const struct stamp_registry_change *changes, size_t n, size_t *bad,
                      struct stamp_error *err);

/** One line of a device's history. */
struct stamp_registry_entry {
    enum stamp_registry_state state;
    time_t at;
    char who[STAMP_REGISTRY_TEXT_SIZE];
    char where[STAMP_REGISTRY_TEXT_SIZE];
    char why[STAMP_REGISTRY_TEXT_SIZE];
};

/** Called with each; false ends it. */
typedef bool (*stamp_registry_told)(void *ctx, const struct stamp_registry_entry *entry);

/** Tell all that happened to a device, oldest first: what its batch has for all of them,
 * then its own. STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err stamp_registry_history(struct stamp_registry *r,
                                                     const char *serial,
                                                     stamp_registry_told told, void *ctx,
                                                     struct stamp_error *err);

/* ---- looking up ---- */

/** By serial, key or chip. STAMP_E_MISSING where there is none. End with
 * stamp_registry_row_fini(). */
STAMP_MUST_USE enum stamp_err stamp_registry_find(struct stamp_registry *r,
                                                  const char *serial,
                                                  struct stamp_registry_row *row,
                                                  struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stamp_registry_find_key(struct stamp_registry *r,
                                                      const uint8_t fingerprint[32],
                                                      struct stamp_registry_row *row,
                                                      struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stamp_registry_find_chip(struct stamp_registry *r,
                                                       const char *chip,
                                                       struct stamp_registry_row *row,
                                                       struct stamp_error *err);

/** Which devices; all conditions hold at once. */
struct stamp_registry_filter {
    bool by_state;
    enum stamp_registry_state state;
    const char *product; /* NULL = any */
    uint32_t batch;      /* 0 = any */
    time_t since;        /* their state is not older; 0 = any */
};

/**
 * One page of devices. Without `since` they come in the order of batches and, in one, of
 * serials; with it, those with a history of their own first.
 *
 * @param after  the last row of the page before; NULL = the first page
 * @param rows   `max` rows; filled ones end with stamp_registry_row_fini()
 * @param n      how many there are; fewer than `max` only on the last page
 * Serials that a batch has reserved and not issued yet have no row.
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_list(struct stamp_registry *r, const struct stamp_registry_filter *filter,
                    const struct stamp_registry_row *after,
                    struct stamp_registry_row *rows, size_t max, size_t *n,
                    struct stamp_error *err);

/** How many devices are in a state; those that a batch has reserved are counted. */
STAMP_MUST_USE enum stamp_err stamp_registry_count(struct stamp_registry *r,
                                                   enum stamp_registry_state state,
                                                   uint64_t *count,
                                                   struct stamp_error *err);

#endif
