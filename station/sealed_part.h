/* A part of the journal for headquarters, made while the journal is open:
 * host/journal_bundle.h. */
#ifndef STATION_SEALED_PART_H
#define STATION_SEALED_PART_H

#include "host/image.h"
#include "station/journal.h"
#include "station/site.h"

struct stamp_sealed_part {
    struct stamp_buffer bytes; /* free with stamp_buffer_free() */
    uint32_t next;             /* behind its last entry */
    uint32_t head;             /* the journal's last entry */
};

/**
 * Put a checkpoint behind the journal's last entry, and make a part of the entries from
 * `from` on, of as many as one holds. Where there are none, nothing is signed or made.
 *
 * @param sign  signs digests with the station's journal key
 * @retval STAMP_E_RANGE  the journal ends before: `from` is not even its next entry
 */
STAMP_MUST_USE enum stamp_err
stamp_sealed_part_make(const struct stamp_site *site, struct stamp_journal *journal,
                       stamp_journal_sign sign, void *ctx, uint32_t from,
                       struct stamp_sealed_part *out, struct stamp_error *err);

#endif
