#include "station/sealed_part.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/journal_bundle.h"
#include "host/letter.h"
#include "host/sig.h"

struct making {
    const struct stamp_site *site;
    struct stamp_journal *journal;
    stamp_journal_sign sign;
    void *ctx;
};

static enum stamp_err seal(const struct making *m, const struct stamp_journal_part *part,
                           struct stamp_buffer *out, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO payload = {NULL, 0};
    struct stamp_slice body;
    uint8_t digest[32];
    uint8_t sig[64];
    enum stamp_err rc = stamp_journal_part_encode(part, &payload, err);

    body = (struct stamp_slice){payload.p, payload.len};
    if (rc == STAMP_OK) {
        rc = stamp_sig_digest(STAMP_LABEL_JOURNAL_PART, body.p, body.len, digest, err);
    }
    if (rc == STAMP_OK) {
        rc = m->sign(m->ctx, digest, sig, err);
    }
    return rc == STAMP_OK ? stamp_letter_seal(STAMP_LABEL_JOURNAL_PART, body, sig,
                                              m->site->cert.home, out, err)
                          : rc;
}

/* Entries one behind the other in a room of their own. */
static enum stamp_err put(const struct making *m, uint32_t from,
                          struct stamp_sealed_part *out, struct stamp_error *err)
{
    const struct stamp_journal_head *head = stamp_journal_head(m->journal);
    struct stamp_journal_part *part = calloc(1, sizeof *part);
    uint8_t *room = malloc((size_t)STAMP_JOURNAL_PART_ENTRIES * STAMP_JOURNAL_ENTRY_MAX);
    size_t used = 0;
    enum stamp_err rc =
        part != NULL && room != NULL
            ? STAMP_OK
            : stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");

    if (rc == STAMP_OK) {
        memcpy(part->station, m->site->cert.id, sizeof part->station);
        part->head = head->seq;
        memcpy(part->head_hash, head->hash, sizeof part->head_hash);
    }
    out->next = from;
    while (rc == STAMP_OK && out->next <= head->seq &&
           part->n < STAMP_JOURNAL_PART_ENTRIES && used < STAMP_LETTER_MAX / 2) {
        size_t len;

        rc = stamp_journal_raw(m->journal, out->next++, room + used, &len, err);
        part->entry[part->n++] = (struct stamp_slice){room + used, len};
        used += len;
    }
    if (rc == STAMP_OK) {
        rc = seal(m, part, &out->bytes, err);
    }
    free(room);
    free(part);
    return rc;
}

enum stamp_err stamp_sealed_part_make(const struct stamp_site *site,
                                      struct stamp_journal *journal,
                                      stamp_journal_sign sign, void *ctx, uint32_t from,
                                      struct stamp_sealed_part *out,
                                      struct stamp_error *err)
{
    const struct making m = {site, journal, sign, ctx};
    const struct stamp_journal_head *head = stamp_journal_head(journal);
    enum stamp_err rc = STAMP_OK;

    *out = (struct stamp_sealed_part){.next = from, .head = head->seq};
    if (from > head->seq + 1) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the journal has %u entries",
                               head->seq);
    }
    if (from > head->seq && head->checkpoint == head->seq) {
        return STAMP_OK;
    }
    rc = stamp_journal_checkpoint(journal, sign, ctx, err);
    out->head = head->seq;
    return rc == STAMP_OK ? put(&m, from, out, err) : rc;
}
