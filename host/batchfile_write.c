/*
 * Writing a batch file. All bytes go through one buffer in the order they stand in the
 * file; nothing is written twice, so whatever breaks off leaves whole blocks and at most
 * one torn one. SPEC 11.5.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "host/batchfile_own.h"

#define WRITE_AHEAD ((uint64_t)4 << 20)
#define TABLE_FIRST ((size_t)4096) /* bytes of a table that has just begun */

static enum stamp_err no_memory(struct stamp_error *err)
{
    (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    return STAMP_E_NOMEM;
}

/* From here on nothing is taken any more: what is in the file is no longer known. */
enum stamp_err stampi_writer_broken(struct stamp_batch_writer *w, enum stamp_err rc,
                                    struct stamp_error *err)
{
    w->failed = rc;
    stamp_error_state(err, "what was synced of '%s' is kept", w->part);
    stamp_error_hint(err, "run the same command again, it goes on there");
    return rc;
}

enum stamp_err stampi_writer_failed_io(struct stamp_batch_writer *w, const char *verb,
                                       int code, struct stamp_error *err)
{
    return stampi_writer_broken(w,
                                stamp_error_set(err, STAMP_E_IO, code,
                                                "cannot %s '%s': %s", verb, w->part,
                                                strerror(code)),
                                err);
}

enum stamp_err stampi_writer_usable(const struct stamp_batch_writer *w,
                                    struct stamp_error *err)
{
    if (w->finished || w->failed != STAMP_OK) {
        return stamp_error_set(err,
                               w->finished ? STAMP_E_EXISTS : (enum stamp_err)w->failed,
                               0, "'%s' takes no more", w->part);
    }
    return STAMP_OK;
}

/* ---- what is booked ---- */

static bool table_grow(uint8_t **table, size_t *size, size_t need)
{
    size_t larger = *size == 0 ? TABLE_FIRST : *size * 2;
    uint8_t *p;

    if (need <= *size) {
        return true;
    }
    p = realloc(*table, larger);
    if (p == NULL) {
        return false;
    }
    *table = p;
    *size = larger;
    return true;
}

enum stamp_err stampi_writer_note(struct stamp_batch_writer *w, uint64_t at,
                                  const struct stampi_record *r,
                                  const uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                  struct stamp_error *err)
{
    struct stamp_slice last = {(const uint8_t *)w->last, strlen(w->last)};
    uint8_t *p = w->page + STAMPI_HEAD_SIZE + w->page_len;
    enum stamp_err rc =
        stampi_writer_count(w) == UINT32_MAX
            ? stamp_error_set(err, STAMP_E_RANGE, 0, "the batch has too many records")
            : stamp_merkle_add(&w->tree, digest, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    /* SPEC 11-8. */
    stampi_put_u64(p, at);
    memcpy(p + 8, digest, STAMP_BATCH_DIGEST_SIZE);
    p[STAMPI_ENTRY_FIXED - 1] = (uint8_t)r->serial.len;
    memcpy(p + STAMPI_ENTRY_FIXED, r->serial.p, r->serial.len);
    w->page_len += STAMPI_ENTRY_FIXED + r->serial.len;
    w->page_entries++;

    w->ordered = w->ordered && (last.len == 0 || stampi_serial_greater(r->serial, last));
    memcpy(w->last, r->serial.p, r->serial.len);
    w->last[r->serial.len] = '\0';
    if (w->first[0] == '\0') {
        memcpy(w->first, w->last, sizeof w->first);
    }
    return STAMP_OK;
}

enum stamp_err stampi_writer_page(struct stamp_batch_writer *w, size_t *len,
                                  uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                  struct stamp_error *err)
{
    *len = w->page_len + STAMPI_FRAME_SIZE;
    if (!stampi_block_close(w->md, w->page, STAMPI_MAGIC_PAGE, (uint32_t)w->page_len,
                            w->n_pages, w->page_entries, digest)) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    return STAMP_OK;
}

enum stamp_err stampi_writer_page_done(struct stamp_batch_writer *w, uint64_t at,
                                       const uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                       struct stamp_error *err)
{
    size_t used = (size_t)w->n_pages * STAMPI_PAGE_REF_SIZE;

    if (!table_grow(&w->pages, &w->pages_size, used + STAMPI_PAGE_REF_SIZE)) {
        return no_memory(err);
    }
    stampi_put_u64(w->pages + used, at);
    memcpy(w->pages + used + 8, digest, STAMP_BATCH_DIGEST_SIZE);
    w->n_pages++;
    w->page_len = 0;
    w->page_entries = 0;
    return STAMP_OK;
}

enum stamp_err stampi_writer_segment_done(struct stamp_batch_writer *w, uint64_t at,
                                          const uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                          struct stamp_error *err)
{
    size_t used = (size_t)w->n_segments * STAMPI_SEGMENT_REF_SIZE;

    if (!table_grow(&w->segments, &w->segments_size, used + STAMPI_SEGMENT_REF_SIZE)) {
        return no_memory(err);
    }
    stampi_put_u64(w->segments + used, at);
    stamp_put_u32(w->segments + used + 8, stampi_writer_count(w));
    memcpy(w->segments + used + 12, digest, STAMP_BATCH_DIGEST_SIZE);
    w->n_segments++;
    return STAMP_OK;
}

/* ---- bytes ---- */

/* The disk begins early with what the next sync waits for. A hint: its result is nothing
 * to go by. */
static void write_ahead(struct stamp_batch_writer *w)
{
    if (w->at - w->ahead >= WRITE_AHEAD) {
        (void)sync_file_range(w->fd, (off_t)w->ahead, (off_t)(w->at - w->ahead),
                              SYNC_FILE_RANGE_WRITE);
        w->ahead = w->at;
    }
}

static enum stamp_err flush(struct stamp_batch_writer *w, struct stamp_error *err)
{
    size_t done = 0;

    while (done < w->buf_len) {
        ssize_t n =
            pwrite(w->fd, w->buf + done, w->buf_len - done, (off_t)(w->at + done));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return stampi_writer_failed_io(w, "write", n == 0 ? ENOSPC : errno, err);
        }
        done += (size_t)n;
    }
    w->at += w->buf_len;
    w->buf_len = 0;
    write_ahead(w);
    return STAMP_OK;
}

enum stamp_err stampi_writer_put(struct stamp_batch_writer *w, const uint8_t *p,
                                 size_t len, struct stamp_error *err)
{
    while (len > 0) {
        size_t room = STAMPI_BUFFER_SIZE - w->buf_len;
        size_t n = len < room ? len : room;

        memcpy(w->buf + w->buf_len, p, n);
        w->buf_len += n;
        p += n;
        len -= n;
        if (w->buf_len == STAMPI_BUFFER_SIZE) {
            enum stamp_err rc = flush(w, err);

            if (rc != STAMP_OK) {
                return rc;
            }
        }
    }
    return STAMP_OK;
}

static uint64_t position(const struct stamp_batch_writer *w)
{
    return w->at + w->buf_len;
}

enum stamp_err stampi_writer_put_page(struct stamp_batch_writer *w,
                                      struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    uint64_t at = position(w);
    size_t len;
    enum stamp_err rc = stampi_writer_page(w, &len, digest, err);

    if (rc == STAMP_OK) {
        rc = stampi_writer_put(w, w->page, len, err);
    }
    return rc == STAMP_OK ? stampi_writer_page_done(w, at, digest, err) : rc;
}

enum stamp_err stampi_writer_sync(struct stamp_batch_writer *w, struct stamp_error *err)
{
    enum stamp_err rc = flush(w, err);

    if (rc == STAMP_OK && fdatasync(w->fd) != 0) {
        rc = stampi_writer_failed_io(w, "sync", errno, err);
    }
    return rc;
}

void stamp_batch_writer_free(struct stamp_batch_writer **p)
{
    struct stamp_batch_writer *w = *p;

    if (w == NULL) {
        return;
    }
    if (w->fd >= 0) {
        (void)close(w->fd);
    }
    for (size_t i = 0; i < STAMP_BATCH_RECIPIENTS_MAX; i++) {
        uint8_t *der = NULL;

        memcpy(&der, &w->der[i].p, sizeof der);
        OPENSSL_free(der);
        X509_free(w->recipients[i]);
    }
    stamp_merkle_fini(&w->tree);
    EVP_MD_CTX_free(w->md);
    stampi_free_mac_ctx(&w->key);
    free(w->segment);
    free(w->segments);
    free(w->pages);
    free(w->buf);
    free(w->part);
    free(w->path);
    free(w);
    *p = NULL;
}

uint32_t stamp_batch_writer_count(const struct stamp_batch_writer *w)
{
    return stampi_writer_count(w);
}

uint64_t stamp_batch_writer_size(const struct stamp_batch_writer *w)
{
    return position(w);
}

/* ---- appending ---- */

static enum stamp_err put_segment(struct stamp_batch_writer *w, struct stamp_error *err)
{
    uint64_t at = position(w);
    enum stamp_err rc = stampi_writer_put(w, w->segment, w->segment_len, err);

    if (rc == STAMP_OK) {
        rc = stampi_writer_segment_done(w, at, w->segment_digest, err);
    }
    w->segment_begun = rc == STAMP_OK;
    return rc;
}

enum stamp_err stamp_batch_append(struct stamp_batch_writer *w, const uint8_t *bytes,
                                  const struct stamp_batch_record *record,
                                  struct stamp_error *err)
{
    struct stampi_record r;
    uint64_t at;
    enum stamp_err rc = stampi_writer_usable(w, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    /* The digest is the worker's; that it belongs to these bytes shows in the check. */
    if (!stampi_record_parse(bytes, record->len, &r) ||
        r.index != stampi_writer_count(w) || r.segment != stamp_get_u32(w->segment + 8) ||
        memcmp(bytes + record->len - STAMPI_CHECK_SIZE, record->digest,
               STAMPI_CHECK_SIZE) != 0) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "that is not record %u of this batch",
                               stampi_writer_count(w));
    }
    if (!w->segment_begun) {
        rc = put_segment(w, err);
    }
    at = position(w);
    if (rc == STAMP_OK) {
        rc = stampi_writer_put(w, bytes, record->len, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_writer_note(w, at, &r, record->digest, err);
    }
    if (rc == STAMP_OK && w->page_entries == STAMPI_PAGE_ENTRIES) {
        rc = stampi_writer_put_page(w, err);
    }
    return rc == STAMP_OK ? rc : stampi_writer_broken(w, rc, err);
}

enum stamp_err stamp_batch_sync(struct stamp_batch_writer *w, struct stamp_error *err)
{
    enum stamp_err rc = stampi_writer_usable(w, err);

    return rc == STAMP_OK ? stampi_writer_sync(w, err) : rc;
}

enum stamp_err stamp_batch_flush(struct stamp_batch_writer *w, struct stamp_error *err)
{
    enum stamp_err rc = stampi_writer_usable(w, err);

    return rc == STAMP_OK ? flush(w, err) : rc;
}

enum stamp_err stamp_batch_force(const struct stamp_batch_writer *w,
                                 struct stamp_error *err)
{
    if (fdatasync(w->fd) != 0) {
        int code = errno;

        (void)stamp_error_set(err, STAMP_E_IO, code, "cannot sync '%s': %s", w->part,
                              strerror(code));
        stamp_error_hint(err,
                         "run the same command again, it goes on with what is whole");
        return STAMP_E_IO;
    }
    return STAMP_OK;
}
