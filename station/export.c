#include "station/export.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/file.h"
#include "host/files.h"
#include "host/journal_bundle.h"
#include "host/letter.h"
#include "host/sig.h"

struct exporting {
    const struct stamp_site *site;
    struct stamp_session *session;
    struct stamp_journal *journal;
    uint8_t *out;
    size_t len;
    size_t room;
};

static enum stamp_err sign(void *ctx, const uint8_t digest[32], uint8_t sig[64],
                           struct stamp_error *err)
{
    struct exporting *x = ctx;

    return stamp_session_sign(x->session, x->site->label[STAMP_STATION_JOURNAL], digest,
                              sig, err);
}

static enum stamp_err keep(struct exporting *x, const struct stamp_buffer *b,
                           struct stamp_error *err)
{
    if (x->len + b->len > x->room) {
        size_t room = 2 * (x->len + b->len);
        uint8_t *out = realloc(x->out, room);

        if (out == NULL) {
            return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        x->out = out;
        x->room = room;
    }
    memcpy(x->out + x->len, b->p, b->len);
    x->len += b->len;
    return STAMP_OK;
}

static enum stamp_err put_part(struct exporting *x, const struct stamp_journal_part *part,
                               struct stamp_error *err)
{
    STAMP_BUFFER_AUTO payload = {NULL, 0};
    STAMP_BUFFER_AUTO letter = {NULL, 0};
    struct stamp_slice body;
    uint8_t digest[32];
    uint8_t sig[64];
    enum stamp_err rc = stamp_journal_part_encode(part, &payload, err);

    body = (struct stamp_slice){payload.p, payload.len};
    if (rc == STAMP_OK) {
        rc = stamp_sig_digest(STAMP_LABEL_JOURNAL_PART, body.p, body.len, digest, err);
    }
    if (rc == STAMP_OK) {
        rc = sign(x, digest, sig, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_letter_seal(STAMP_LABEL_JOURNAL_PART, body, sig, x->site->cert.home,
                               &letter, err);
    }
    return rc == STAMP_OK ? keep(x, &letter, err) : rc;
}

/* Entries of one part, one behind the other in `room`. */
static enum stamp_err put_parts(struct exporting *x, uint32_t from,
                                struct stamp_error *err)
{
    static struct stamp_journal_part part;
    const struct stamp_journal_head *head = stamp_journal_head(x->journal);
    uint8_t *room = malloc((size_t)STAMP_JOURNAL_PART_ENTRIES * STAMP_JOURNAL_ENTRY_MAX);
    enum stamp_err rc =
        room != NULL ? STAMP_OK
                     : stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");

    memcpy(part.station, x->site->cert.id, sizeof part.station);
    part.head = head->seq;
    memcpy(part.head_hash, head->hash, sizeof part.head_hash);
    for (uint32_t seq = from; seq <= head->seq && rc == STAMP_OK;) {
        size_t used = 0;

        part.n = 0;
        while (seq <= head->seq && part.n < STAMP_JOURNAL_PART_ENTRIES &&
               used < STAMP_LETTER_MAX / 2 && rc == STAMP_OK) {
            size_t len;

            rc = stamp_journal_raw(x->journal, seq++, room + used, &len, err);
            part.entry[part.n++] = (struct stamp_slice){room + used, len};
            used += len;
        }
        if (rc == STAMP_OK) {
            rc = put_part(x, &part, err);
        }
    }
    free(room);
    return rc;
}

enum stamp_err stamp_export(const struct stamp_site *site, const struct stamp_pin *pin,
                            uint32_t from, const char *path, uint32_t *n,
                            struct stamp_error *err)
{
    static const uint8_t no_order[16];
    struct exporting x = {.site = site};
    char journal[PATH_MAX];
    enum stamp_err rc = stamp_site_path(site, STAMP_SITE_JOURNAL, journal, err);

    *n = 0;
    if (rc == STAMP_OK) {
        rc = stamp_session_open(site->token, pin, &x.session, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_journal_open(journal, false, no_order, 0, &x.journal, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_journal_checkpoint(x.journal, sign, &x, err);
    }
    if (rc == STAMP_OK && from > stamp_journal_head(x.journal)->seq) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "the journal has %u entries",
                             stamp_journal_head(x.journal)->seq);
    }
    if (rc == STAMP_OK) {
        rc = put_parts(&x, from, err);
    }
    if (rc == STAMP_OK) {
        *n = stamp_journal_head(x.journal)->seq - from + 1;
        rc = stamp_file_write(path, x.out, x.len, STAMP_FILE_PUBLIC, false, err);
    }
    free(x.out);
    stamp_journal_close(&x.journal);
    stamp_session_close(&x.session);
    return rc;
}
