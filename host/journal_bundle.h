/*
 * What a station exports of its journal: a file of parts, each signed with the journal
 * key and sealed to headquarters. Parts may come in any order, more than once, and from
 * files that were cut. SPEC 15-8.
 */
#ifndef HOST_JOURNAL_BUNDLE_H
#define HOST_JOURNAL_BUNDLE_H

#include "host/image.h"
#include "host/journal_entry.h"
#include "host/openssl.h"

#define STAMP_JOURNAL_PART_ENTRIES 128u

struct stamp_journal_part {
    uint8_t station[32]; /* SHA-256 of the station CA's certificate */
    uint32_t head;       /* seq of the journal's last entry when it was exported */
    uint8_t head_hash[STAMP_JOURNAL_HASH];
    struct stamp_slice entry[STAMP_JOURNAL_PART_ENTRIES]; /* encodings, ascending */
    size_t n;
};

/** Encode what is signed. @param out  free with stamp_buffer_free() */
STAMP_MUST_USE enum stamp_err
stamp_journal_part_encode(const struct stamp_journal_part *part, struct stamp_buffer *out,
                          struct stamp_error *err);

/** Whose journal key signs for a station: its certificate, for the caller to free.
 * STAMP_E_MISSING: the station is not known. */
typedef enum stamp_err (*stamp_journal_whose)(void *ctx, const uint8_t station[32],
                                              X509 **journal, struct stamp_error *err);

/**
 * Open the part that begins at `in`.
 *
 * @param used   its length in the file; set where it can be told, on failure too
 * @param plain  what `part` points into; free with stamp_buffer_free()
 * @retval STAMP_E_AUTH     not sealed to this key, or not signed by the station
 * @retval STAMP_E_MISSING  of a station that is not known
 * @retval STAMP_E_FORMAT   no part
 */
STAMP_MUST_USE enum stamp_err
stamp_journal_part_open(struct stamp_slice in, EVP_PKEY *home, stamp_journal_whose whose,
                        void *ctx, size_t *used, struct stamp_buffer *plain,
                        struct stamp_journal_part *part, struct stamp_error *err);

/** Bytes of as many whole parts at the begin of `in` as fit into `max`, but of one at
 * least; 0 where what begins there is none. */
size_t stamp_journal_parts(struct stamp_slice in, size_t max);

#endif
