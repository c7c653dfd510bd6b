/*
 * The books of a workspace: which serials, keys and certificate serials there are, each
 * once. An SQLite file; several programs may use it at once. It holds no private key and
 * no other secret.
 *
 * A stamp goes from reserved to made, or to void where it could not be made or written.
 * Reserved is durable before anything is made, so a serial is never given out twice,
 * whatever crashes; a void serial stays on the books and is not used again.
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

enum stamp_registry_state {
    STAMP_REGISTRY_RESERVED = 0,
    STAMP_REGISTRY_MADE = 1,
    STAMP_REGISTRY_VOID = 2
};

/** Make the file, mode 0600. STAMP_E_EXISTS where there is one. */
STAMP_MUST_USE enum stamp_err stamp_registry_create(const char *path, uint8_t purpose,
                                                    struct stamp_error *err);

/**
 * Open it, and bring it up to this program's version.
 *
 * @retval STAMP_E_VERSION  made by a newer program; untouched
 * @retval STAMP_E_IO       there is none
 */
STAMP_MUST_USE enum stamp_err stamp_registry_open(const char *path,
                                                  struct stamp_registry **out,
                                                  struct stamp_error *err);

void stamp_registry_close(struct stamp_registry **p);
#define STAMP_REGISTRY_AUTO                                                              \
    __attribute__((cleanup(stamp_registry_close))) struct stamp_registry

/** The purpose that it was made with. */
uint8_t stamp_registry_purpose(const struct stamp_registry *r);

/** One stamp's line. */
struct stamp_registry_row {
    char serial[STAMP_SERIAL_SIZE];
    enum stamp_registry_state state;
    time_t at; /* when it was reserved */
    uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE];
    uint8_t fingerprint[32]; /* SHA-256 of the device key's point */
    char *file; /* NULL = none; of a row from stamp_registry_find() to be freed */
};

/**
 * Reserve `n` serials of the pattern with certificate serial numbers; durable before
 * return. Serials that were given by hand are passed over.
 *
 * @param rows  `n` rows, filled: serial, certificate_serial, at
 * @retval STAMP_E_RANGE  the pattern is used up; nothing was reserved
 */
STAMP_MUST_USE enum stamp_err stamp_registry_reserve(
    struct stamp_registry *r, const struct stamp_serial_pattern *pattern, time_t now,
    struct stamp_registry_row *rows, size_t n, struct stamp_error *err);

/** Reserve this one. STAMP_E_DUPLICATE where it is on the books already. */
STAMP_MUST_USE enum stamp_err
stamp_registry_reserve_serial(struct stamp_registry *r, const char *serial, time_t now,
                              struct stamp_registry_row *row, struct stamp_error *err);

/**
 * Book `n` reserved rows as made: with fingerprint and file. All or none.
 *
 * @retval STAMP_E_DUPLICATE  a key or certificate serial is on the books already
 */
STAMP_MUST_USE enum stamp_err stamp_registry_made(struct stamp_registry *r,
                                                  const struct stamp_registry_row *rows,
                                                  size_t n, struct stamp_error *err);

/** Give up `n` reserved rows. */
STAMP_MUST_USE enum stamp_err stamp_registry_void(struct stamp_registry *r,
                                                  const struct stamp_registry_row *rows,
                                                  size_t n, struct stamp_error *err);

/** Look one up. STAMP_E_MISSING where there is none. End with stamp_registry_row_fini().
 */
STAMP_MUST_USE enum stamp_err stamp_registry_find(struct stamp_registry *r,
                                                  const char *serial,
                                                  struct stamp_registry_row *row,
                                                  struct stamp_error *err);

void stamp_registry_row_fini(struct stamp_registry_row *row);

/** How many lines there are in a state. */
STAMP_MUST_USE enum stamp_err stamp_registry_count(struct stamp_registry *r,
                                                   enum stamp_registry_state state,
                                                   uint64_t *count,
                                                   struct stamp_error *err);

#endif
