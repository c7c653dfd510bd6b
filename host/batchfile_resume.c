/* What a former run left of a FILE.part: the longest beginning that is whole and in its
 * place. SPEC 11-27. */
#include <string.h>

#include "core/bytes.h"
#include "host/batchfile_own.h"

#define WINDOW_SIZE ((size_t)1 << 20)

struct scan {
    struct stamp_batch_writer *w;
    struct stampi_window window;
    stamp_batch_found found;
    void *ctx;
    uint64_t at;         /* all before this is taken */
    uint64_t segment_at; /* the newest segment's block */
    bool stop;
};

/* The block at s->at, its check right; NULL where there is none. */
static enum stamp_err next_block(struct scan *s, const uint8_t **block, size_t *size,
                                 uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                 struct stamp_error *err)
{
    struct stampi_head head;
    const uint8_t *p = NULL;
    enum stamp_err rc = stampi_window_get(&s->window, s->at, STAMPI_HEAD_SIZE, &p, err);

    *block = NULL;
    if (rc == STAMP_OK) {
        stampi_head_get(p, &head);
        /* Longer than all that is looked for, or empty, which none of it is. */
        if (head.len > STAMPI_ENVELOPE_MAX || head.len == 0) {
            return STAMP_OK;
        }
        *size = head.len + STAMPI_FRAME_SIZE;
        rc = stampi_window_get(&s->window, s->at, *size, &p, err);
    }
    if (rc != STAMP_OK) {
        return rc == STAMP_E_MISSING ? STAMP_OK : rc;
    }
    /* A digest that cannot be computed is no wrong one: nothing may be cut for it. */
    if (!stampi_block_digest(s->w->md, p, *size - STAMPI_CHECK_SIZE, digest)) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    if (memcmp(p + *size - STAMPI_CHECK_SIZE, digest, STAMPI_CHECK_SIZE) == 0) {
        *block = p;
    }
    return STAMP_OK;
}

/* Does a segment have records? One that has none is not there. */
static bool segment_is_empty(const struct scan *s)
{
    const struct stamp_batch_writer *w = s->w;
    size_t last = (size_t)(w->n_segments - 1) * STAMPI_SEGMENT_REF_SIZE;

    return w->n_segments > 0 &&
           stamp_get_u32(w->segments + last + 8) == stampi_writer_count(w);
}

static enum stamp_err take_record(struct scan *s, const uint8_t *block, size_t size,
                                  const uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                  struct stamp_error *err)
{
    struct stamp_batch_writer *w = s->w;
    struct stamp_batch_entry entry;
    struct stampi_record r;
    enum stamp_err rc;

    if (!stampi_record_parse(block, size, &r) || r.index != stampi_writer_count(w) ||
        w->n_segments == 0 || r.segment != w->n_segments - 1) {
        s->stop = true;
        return STAMP_OK;
    }
    entry.index = r.index;
    memcpy(entry.serial, r.serial.p, r.serial.len);
    entry.serial[r.serial.len] = '\0';
    memcpy(entry.digest, digest, sizeof entry.digest);
    if (s->found != NULL && !s->found(s->ctx, &entry)) {
        s->stop = true;
        return STAMP_OK;
    }
    rc = stampi_writer_note(w, s->at, &r, digest, err);
    s->at += size;
    return rc;
}

/* It can only be what the records before it make it. */
static enum stamp_err take_page(struct scan *s, const uint8_t *block, size_t size,
                                struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    size_t len = 0;
    enum stamp_err rc = stampi_writer_page(s->w, &len, digest, err);

    if (rc != STAMP_OK || len != size || memcmp(block, s->w->page, len) != 0) {
        s->stop = true;
        return rc;
    }
    rc = stampi_writer_page_done(s->w, s->at, digest, err);
    s->at += size;
    return rc;
}

static enum stamp_err take_segment(struct scan *s, const struct stampi_head *head,
                                   size_t size,
                                   const uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                   struct stamp_error *err)
{
    enum stamp_err rc;

    if (head->a != s->w->n_segments || head->b != stampi_writer_count(s->w) ||
        segment_is_empty(s)) {
        s->stop = true;
        return STAMP_OK;
    }
    rc = stampi_writer_segment_done(s->w, s->at, digest, err);
    s->segment_at = s->at;
    s->at += size;
    return rc;
}

static enum stamp_err take_block(struct scan *s, struct stamp_error *err)
{
    bool page_due = s->w->page_entries == STAMPI_PAGE_ENTRIES;
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    const uint8_t *block = NULL;
    struct stampi_head head;
    size_t size = 0;
    enum stamp_err rc = next_block(s, &block, &size, digest, err);

    if (rc != STAMP_OK || block == NULL) {
        s->stop = true;
        return rc;
    }
    stampi_head_get(block, &head);
    if (page_due && stampi_head_is(&head, STAMPI_MAGIC_PAGE)) {
        return take_page(s, block, size, err);
    }
    if (!page_due && stampi_head_is(&head, STAMPI_MAGIC_RECORD)) {
        return take_record(s, block, size, digest, err);
    }
    if (!page_due && stampi_head_is(&head, STAMPI_MAGIC_SEGMENT)) {
        return take_segment(s, &head, size, digest, err);
    }
    s->stop = true;
    return STAMP_OK;
}

enum stamp_err stampi_writer_scan(struct stamp_batch_writer *w, uint64_t size,
                                  stamp_batch_found found, void *ctx, uint64_t *end,
                                  struct stamp_error *err)
{
    struct scan s = {.w = w, .found = found, .ctx = ctx, .at = STAMPI_HEADER_SIZE};
    enum stamp_err rc =
        stampi_window_init(&s.window, w->fd, size, WINDOW_SIZE, WINDOW_SIZE, err);

    while (rc == STAMP_OK && !s.stop) {
        rc = take_block(&s, err);
    }
    if (rc == STAMP_OK && segment_is_empty(&s)) {
        w->n_segments--;
        s.at = s.segment_at;
    }
    stampi_window_fini(&s.window);
    *end = s.at;
    return rc;
}
