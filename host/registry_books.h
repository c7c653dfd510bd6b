/*
 * Results of stations on the books: which results of which books (SPEC 12) were imported,
 * and the import itself, which books what they tell of thousands of devices together with
 * them, or nothing:
 *
 *     stamp_registry_import_begin()
 *       stamp_registry_import_add()      again and again: as many devices as there are
 *     stamp_registry_import_commit()     with the row of the results
 *
 * Memory does not grow with what is added.
 */
#ifndef HOST_REGISTRY_BOOKS_H
#define HOST_REGISTRY_BOOKS_H

#include "host/registry_batch.h"

#define STAMP_REGISTRY_BOOKS_SIZE 16u
#define STAMP_REGISTRY_DIGEST_SIZE 32u

struct stamp_registry_results {
    uint8_t books[STAMP_REGISTRY_BOOKS_SIZE]; /* id of the books */
    uint64_t number;                          /* of these results: 1, 2, ... */
    uint32_t batch;
    uint32_t volume;
    uint8_t digest[STAMP_REGISTRY_DIGEST_SIZE];
    uint8_t previous[STAMP_REGISTRY_DIGEST_SIZE]; /* of number - 1; zeros for 1 */
    uint64_t events; /* what was ever written down in the books */
    time_t made_at;
    time_t imported_at;
    char who[STAMP_REGISTRY_TEXT_SIZE];   /* imported them: stamp_registry_author() */
    char where[STAMP_REGISTRY_TEXT_SIZE]; /* likewise */
};

/** Those with this number. STAMP_E_MISSING where there are none. */
STAMP_MUST_USE enum stamp_err stamp_registry_results_find(
    struct stamp_registry *r, const uint8_t books[STAMP_REGISTRY_BOOKS_SIZE],
    uint64_t number, struct stamp_registry_results *out, struct stamp_error *err);

/** Those with the highest number. STAMP_E_MISSING where there are none. */
STAMP_MUST_USE enum stamp_err
stamp_registry_results_last(struct stamp_registry *r,
                            const uint8_t books[STAMP_REGISTRY_BOOKS_SIZE],
                            struct stamp_registry_results *out, struct stamp_error *err);

/**
 * One page of those of a batch, by books and number.
 *
 * @param after  the last one of the page before; NULL = the first page
 * @param n      how many there are; fewer than `max` only on the last page
 */
STAMP_MUST_USE enum stamp_err stamp_registry_results_list(
    struct stamp_registry *r, uint32_t batch, const struct stamp_registry_results *after,
    struct stamp_registry_results *out, size_t max, size_t *n, struct stamp_error *err);

/**
 * Book results alone, of which nothing became of any device.
 *
 * @param row  who and where are not looked at: they are stamp_registry_author()'s
 * @retval STAMP_E_EXISTS  there are some with this number
 * @retval STAMP_E_RANGE   number 0, or a number that is too large to book
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_results_add(struct stamp_registry *r,
                           const struct stamp_registry_results *row,
                           struct stamp_error *err);

struct stamp_registry_import;

/**
 * Begin. Until the end nobody else writes to an SQLite file, and the handle is for
 * nothing but looking up, which sees what was added.
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_import_begin(struct stamp_registry *r, struct stamp_registry_import **out,
                            struct stamp_error *err);

/**
 * Add changes: what stamp_registry_change() says of each holds here. Those of a thousand
 * and more at once cost a fifth of single ones.
 *
 * @param bad  index, in `changes`, of one that was refused; NULL = not asked
 * On failure the import is over, and nothing of it is booked: free it.
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_import_add(struct stamp_registry_import *import,
                          const struct stamp_registry_change *changes, size_t n,
                          size_t *bad, struct stamp_error *err);

/**
 * Book it all. Over afterwards, however it ends: free it.
 *
 * @param row  as for stamp_registry_results_add(); NULL = none
 * @retval STAMP_E_EXISTS  there are results with this number; nothing is booked
 * @retval STAMP_E_STATE   it was over already; nothing is booked
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_import_commit(struct stamp_registry_import *import,
                             const struct stamp_registry_results *row,
                             struct stamp_error *err);

/** What is not committed is undone. */
void stamp_registry_import_free(struct stamp_registry_import **p);
#define STAMP_REGISTRY_IMPORT_AUTO                                                       \
    __attribute__((cleanup(stamp_registry_import_free))) struct stamp_registry_import

#endif
