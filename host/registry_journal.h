/*
 * Headquarters' copies of journals, on the books: what stations exported, entry by entry.
 * An entry that is there is never replaced: another one of the same number is a fork, and
 * is kept beside it. SPEC 15-10. And devices that came back, as they proved themselves.
 */
#ifndef HOST_REGISTRY_JOURNAL_H
#define HOST_REGISTRY_JOURNAL_H

#include "host/journal_bundle.h"
#include "host/registry.h"

struct stamp_journal_stored {
    uint32_t added; /* entries */
    uint32_t known; /* were there already */
    uint32_t forks; /* others of their number were */
};

/** Take a part in: all of it or nothing. Counts go on from what they were. */
STAMP_MUST_USE enum stamp_err
stamp_registry_journal_put(struct stamp_registry *r,
                           const struct stamp_journal_part *part,
                           struct stamp_journal_stored *counts, struct stamp_error *err);

/** What there is of one station's journal. */
struct stamp_journal_have {
    uint8_t station[32];
    uint32_t entries;
    uint32_t last;    /* highest seq that is there */
    uint32_t head;    /* highest seq that the station said it has */
    uint32_t missing; /* the first seq that is not there; 0 = none is missing */
    uint32_t forks;
};

/** All stations. @param n  in: room; out: how many */
STAMP_MUST_USE enum stamp_err stamp_registry_journal_list(struct stamp_registry *r,
                                                          struct stamp_journal_have *have,
                                                          size_t *n,
                                                          struct stamp_error *err);

/** Called with each entry; anything but STAMP_OK ends it and is returned. */
typedef enum stamp_err (*stamp_journal_each)(void *ctx, struct stamp_slice body,
                                             const struct stamp_journal_entry *e,
                                             struct stamp_error *err);

/** The entries of a station in order. @param from  seq to begin with, 1 or more */
STAMP_MUST_USE enum stamp_err
stamp_registry_journal_each(struct stamp_registry *r, const uint8_t station[32],
                            uint32_t from, stamp_journal_each each, void *ctx,
                            struct stamp_error *err);

/** A device that came back and proved itself. */
struct stamp_journal_device {
    uint8_t certificate[STAMP_MAX_CERTIFICATE];
    size_t certificate_len;
    uint8_t chip[STAMP_JOURNAL_CHIP_MAX];
    size_t chip_len; /* 0 = it does not tell */
    uint8_t lock;    /* parts in force */
    uint64_t at;     /* when, seconds */
};

/** Keep what it showed; the newest of a certificate counts. */
STAMP_MUST_USE enum stamp_err
stamp_registry_journal_device(struct stamp_registry *r,
                              const struct stamp_journal_device *device,
                              struct stamp_error *err);

/**
 * What headquarters kept in a file of its own, before the books had it: it is taken in,
 * and the file is called PATH.taken from then on. Nothing where there is none.
 */
STAMP_MUST_USE enum stamp_err stamp_registry_journal_take_over(struct stamp_registry *r,
                                                               const char *path,
                                                               struct stamp_error *err);

typedef enum stamp_err (*stamp_journal_device_each)(
    void *ctx, const struct stamp_journal_device *device, struct stamp_error *err);

STAMP_MUST_USE enum stamp_err
stamp_registry_journal_devices(struct stamp_registry *r, stamp_journal_device_each each,
                               void *ctx, struct stamp_error *err);

#endif
