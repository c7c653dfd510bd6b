/*
 * Results of a batch file: what its opener tells headquarters, signed with the journal
 * key of its books. SPEC 12. Both ways take the same memory whatever the batch's size.
 */
#ifndef HOST_RESULTS_H
#define HOST_RESULTS_H

#include "host/batchbooks.h"

/**
 * Write results of closed books: the next running number, or, where nothing was written
 * down since the last ones, those again, byte for byte.
 *
 * @param path  written whole or not at all; must be free
 * @retval STAMP_E_STATE   the books are not closed
 * @retval STAMP_E_EXISTS  `path` is there already
 */
STAMP_MUST_USE enum stamp_err
stamp_results_write(struct stamp_books *b, struct stamp_batch *batch, const char *path,
                    time_t now, uint32_t *number, struct stamp_error *err);

/** The head. */
struct stamp_results_head {
    uint8_t batch[STAMP_BATCH_ID_SIZE];
    uint32_t volume;
    uint32_t count; /* records: entries */
    char product[STAMP_MAX_TEXT + 1u];
    uint8_t books[STAMP_BOOKS_ID_SIZE];
    uint32_t number;
    uint8_t previous[STAMP_BATCH_DIGEST_SIZE];
    uint32_t made_at;
    uint32_t events;
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE]; /* of the results: 12-8 */
};

struct stamp_results;

/**
 * Open results and check all of 12-9, every entry included; nothing is told of it before.
 *
 * @param anchors  whom the batch key's certificate must lead to
 * @retval STAMP_E_FORMAT, STAMP_E_CORRUPT, STAMP_E_VERSION, STAMP_E_AUTH, STAMP_E_PURPOSE
 */
STAMP_MUST_USE enum stamp_err stamp_results_open(const char *path, X509 *const *anchors,
                                                 size_t n_anchors,
                                                 struct stamp_results **out,
                                                 struct stamp_error *err);
/** The same of a file that is open. @param fd  taken over @param name  for people */
STAMP_MUST_USE enum stamp_err
stamp_results_open_file(int fd, const char *name, X509 *const *anchors, size_t n_anchors,
                        struct stamp_results **out, struct stamp_error *err);
void stamp_results_free(struct stamp_results **p);
#define STAMP_RESULTS_AUTO                                                               \
    __attribute__((cleanup(stamp_results_free))) struct stamp_results

const struct stamp_results_head *stamp_results_head(const struct stamp_results *r);

/** Back to the first entry. */
STAMP_MUST_USE enum stamp_err stamp_results_rewind(struct stamp_results *r,
                                                   struct stamp_error *err);

/** The next entry; UNUSED = returned. Behind the last one STAMP_E_MISSING, once, or,
 * where the file is not any more what was checked, STAMP_E_CORRUPT. */
STAMP_MUST_USE enum stamp_err stamp_results_next(struct stamp_results *r,
                                                 struct stamp_books_line *out,
                                                 struct stamp_error *err);

#endif
