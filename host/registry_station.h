/*
 * Stations on the books: whom headquarters certified, and with what.
 */
#ifndef HOST_REGISTRY_STATION_H
#define HOST_REGISTRY_STATION_H

#include "host/registry_batch.h"

struct stamp_registry_station {
    uint8_t id[32];  /* SHA-256 of the station CA's certificate */
    uint8_t key[32]; /* SHA-256 of its key's point: a key is one station's */
    char name[STAMP_REGISTRY_NAME_SIZE];
    struct stamp_slice ca; /* DER */
    struct stamp_slice box;
    struct stamp_slice journal;
    time_t at; /* since when it is enrolled */
    char who[STAMP_REGISTRY_TEXT_SIZE];
    char where[STAMP_REGISTRY_TEXT_SIZE];
    uint8_t *own; /* what the slices are in, of one that was found */
};

void stamp_registry_station_fini(struct stamp_registry_station *s);
#define STAMP_REGISTRY_STATION_AUTO                                                      \
    __attribute__((cleanup(stamp_registry_station_fini))) struct stamp_registry_station

/**
 * Book a station. Its author and place are the registry's.
 *
 * @retval STAMP_E_DUPLICATE  one with its certificate or its key is on the books already
 * @retval STAMP_E_RANGE      the name is none of 1..64 bytes
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_station_add(struct stamp_registry *r,
                           const struct stamp_registry_station *s,
                           struct stamp_error *err);

/** By certificate, or by key. STAMP_E_MISSING where there is none. End with
 * stamp_registry_station_fini(). */
STAMP_MUST_USE enum stamp_err
stamp_registry_station_find(struct stamp_registry *r, const uint8_t id[32],
                            struct stamp_registry_station *out, struct stamp_error *err);
STAMP_MUST_USE enum stamp_err
stamp_registry_station_find_key(struct stamp_registry *r, const uint8_t key[32],
                                struct stamp_registry_station *out,
                                struct stamp_error *err);

/** Called with each, which is borrowed; false ends it. */
typedef bool (*stamp_registry_station_told)(void *ctx,
                                            const struct stamp_registry_station *s);

/** Tell all of them, oldest first. */
STAMP_MUST_USE enum stamp_err
stamp_registry_station_list(struct stamp_registry *r, stamp_registry_station_told told,
                            void *ctx, struct stamp_error *err);

#endif
