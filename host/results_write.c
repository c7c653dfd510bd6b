/*
 * Results, written: a sequence of CBOR items that goes to the disk as it is made, under
 * another name. What is said and signed is on the books before the file has its name
 * (SPEC 12-7, 12-8), so that no number ever stands for two things.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/batchbooks_own.h"
#include "host/key.h"
#include "host/results.h"

#define BUFFER_SIZE ((size_t)1 << 17) /* more than a head takes */
#define ENTRY_MAX ((size_t)1024)

enum head_key {
    HEAD_VERSION = 1,
    HEAD_MANIFEST,
    HEAD_VOUCHER,
    HEAD_SIGNATURE,
    HEAD_NUMBER,
    HEAD_PREVIOUS,
    HEAD_MADE_AT,
    HEAD_EVENTS
};

struct writing {
    struct stamp_books *b;
    struct stamp_batch *batch;
    const char *path;
    char temp[PATH_MAX];
    int fd;
    EVP_MD_CTX *md;
    uint8_t *buf;
    size_t len;

    uint8_t voucher[STAMPI_VOUCHER_MAX];
    size_t voucher_len;
    uint8_t voucher_signature[STAMP_SIG_SIZE];
    EVP_PKEY *journal;

    bool again; /* these were signed before */
    uint32_t number;
    uint32_t events;
    uint32_t made_at;
    uint8_t previous[STAMP_BATCH_DIGEST_SIZE];
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    uint8_t signature[STAMP_SIG_SIZE];
};

static enum stamp_err failed_io(const struct writing *w, int code,
                                struct stamp_error *err)
{
    return stamp_error_set(err, code == EEXIST ? STAMP_E_EXISTS : STAMP_E_IO, code,
                           code == EEXIST ? "'%s' exists already"
                                          : "cannot write '%s': %s",
                           w->path, strerror(code));
}

/* ---- bytes ---- */

static enum stamp_err flush(struct writing *w, struct stamp_error *err)
{
    size_t done = 0;

    while (done < w->len) {
        ssize_t n = write(w->fd, w->buf + done, w->len - done);

        if (n < 0 && errno != EINTR) {
            return failed_io(w, errno, err);
        }
        done += n < 0 ? 0 : (size_t)n;
    }
    w->len = 0;
    return STAMP_OK;
}

/* An item was written behind buf + len. All before the tail enters the digest. */
static enum stamp_err put(struct writing *w, const struct stamp_cbor_out *o, bool digest,
                          struct stamp_error *err)
{
    if (!stamp_cbor_out_ok(o)) {
        STAMP_BUG("an item of results does not fit");
    }
    if (digest && EVP_DigestUpdate(w->md, o->p, o->len) != 1) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    w->len += o->len;
    return BUFFER_SIZE - w->len < ENTRY_MAX ? flush(w, err) : STAMP_OK;
}

static void begin_item(const struct writing *w, struct stamp_cbor_out *o)
{
    stamp_cbor_out_init(o, w->buf + w->len, BUFFER_SIZE - w->len);
}

static void put_uint(struct stamp_cbor_out *o, uint32_t value)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, value);
}

static void put_text(struct stamp_cbor_out *o, const char *text)
{
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, text, strlen(text));
}

static void put_bytes(struct stamp_cbor_out *o, uint32_t key, const void *p, size_t len)
{
    put_uint(o, key);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, p, len);
}

/* SPEC 12-5. */
static enum stamp_err put_head(struct writing *w, struct stamp_error *err)
{
    struct stamp_slice manifest = stamp_batch_manifest_cms(w->batch);
    struct stamp_cbor_out o;

    begin_item(w, &o);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, HEAD_EVENTS);
    put_uint(&o, HEAD_VERSION);
    put_uint(&o, 1);
    put_bytes(&o, HEAD_MANIFEST, manifest.p, manifest.len);
    put_bytes(&o, HEAD_VOUCHER, w->voucher, w->voucher_len);
    put_bytes(&o, HEAD_SIGNATURE, w->voucher_signature, sizeof w->voucher_signature);
    put_uint(&o, HEAD_NUMBER);
    put_uint(&o, w->number);
    put_bytes(&o, HEAD_PREVIOUS, w->previous, sizeof w->previous);
    put_uint(&o, HEAD_MADE_AT);
    put_uint(&o, w->made_at);
    put_uint(&o, HEAD_EVENTS);
    put_uint(&o, w->events);
    return put(w, &o, true, err);
}

/* SPEC 12-6. */
static enum stamp_err put_entry(struct writing *w, const struct stamp_books_line *line,
                                struct stamp_error *err)
{
    static const uint32_t members[] = {3, 4, 8, 9};
    struct stamp_cbor_out o;

    begin_item(w, &o);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, members[line->result]);
    put_uint(&o, line->index);
    put_text(&o, line->serial);
    put_uint(&o, (uint32_t)line->result);
    if (line->result != STAMP_BOOKS_UNUSED) {
        put_uint(&o, (uint32_t)line->handed_at);
    }
    if (line->result == STAMP_BOOKS_STRUCK || line->result == STAMP_BOOKS_SCRAPPED) {
        put_uint(&o, (uint32_t)line->reported_at);
        put_text(&o, line->chip);
        put_text(&o, line->who);
        put_text(&o, line->where);
    }
    if (line->result == STAMP_BOOKS_SCRAPPED) {
        put_text(&o, line->reason);
    }
    return put(w, &o, true, err);
}

static enum stamp_err entry_line(struct writing *w, uint32_t index,
                                 struct stamp_books_line *line, struct stamp_error *err)
{
    struct stamp_batch_entry entry;
    sqlite3_stmt *s = stampi_books_sql(w->b, STAMPI_BOOKS_LINE, err);
    enum stamp_err rc;

    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    (void)sqlite3_bind_int64(s, 1, index);
    rc = stampi_books_row(w->b, s, err);
    if (rc == STAMP_OK) {
        stampi_books_take_line(s, line);
    } else if (rc == STAMP_E_MISSING) {
        memset(line, 0, sizeof *line); /* returned */
        line->index = index;
        rc = STAMP_OK;
    }
    if (rc == STAMP_OK && line->result > STAMP_BOOKS_SCRAPPED) {
        rc = stamp_error_set(err, STAMP_E_CORRUPT, 0, "'%s' are damaged", w->b->path);
    }
    (void)sqlite3_reset(s);
    if (rc == STAMP_OK) {
        rc = stamp_batch_entry(w->batch, index, &entry, err);
    }
    if (rc == STAMP_OK) {
        memcpy(line->serial, entry.serial, sizeof entry.serial);
    }
    return rc;
}

/* The digest is made, or compared with what was signed before. SPEC 12-8. */
static enum stamp_err sign(struct writing *w, struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];

    if (EVP_DigestFinal_ex(w->md, digest, NULL) != 1) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    if (w->again) {
        return memcmp(digest, w->digest, sizeof digest) == 0
                   ? STAMP_OK
                   : stamp_error_set(err, STAMP_E_CORRUPT, 0,
                                     "'%s' no longer say what results %u said",
                                     w->b->path, w->number);
    }
    memcpy(w->digest, digest, sizeof digest);
    return stamp_sig_make(w->journal, STAMP_LABEL_RESULTS, digest, sizeof digest,
                          w->signature, err);
}

static enum stamp_err put_tail(struct writing *w, struct stamp_error *err)
{
    struct stamp_cbor_out o;
    enum stamp_err rc = sign(w, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    begin_item(w, &o);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, w->digest, sizeof w->digest);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, w->signature, sizeof w->signature);
    return put(w, &o, false, err);
}

static enum stamp_err put_all(struct writing *w, struct stamp_error *err)
{
    uint32_t count = stamp_batch_manifest(w->batch)->count;
    struct stamp_books_line line;
    enum stamp_err rc = put_head(w, err);

    for (uint32_t i = 0; i < count && rc == STAMP_OK; i++) {
        rc = entry_line(w, i, &line, err);
        if (rc == STAMP_OK) {
            rc = put_entry(w, &line, err);
        }
    }
    if (rc == STAMP_OK) {
        rc = put_tail(w, err);
    }
    if (rc == STAMP_OK) {
        rc = flush(w, err);
    }
    if (rc == STAMP_OK && fsync(w->fd) != 0) {
        rc = failed_io(w, errno, err);
    }
    return rc;
}

/* ---- what the books give ---- */

static enum stamp_err take_voucher(struct writing *w, struct stamp_error *err)
{
    uint8_t scalar[STAMP_SCALAR_SIZE];
    sqlite3_stmt *s = stampi_books_sql(w->b, STAMPI_BOOKS_VOUCHER, err);
    enum stamp_err rc = s == NULL ? STAMP_E_DATABASE : stampi_books_row(w->b, s, err);

    if (rc != STAMP_OK) {
        return rc == STAMP_E_MISSING ? STAMP_E_CORRUPT : rc;
    }
    w->voucher_len = (size_t)sqlite3_column_bytes(s, 0);
    if (w->voucher_len > sizeof w->voucher ||
        sqlite3_column_bytes(s, 1) != (int)sizeof w->voucher_signature ||
        sqlite3_column_bytes(s, 2) != (int)sizeof scalar) {
        rc = stamp_error_set(err, STAMP_E_CORRUPT, 0, "'%s' are damaged", w->b->path);
    } else {
        memcpy(w->voucher, sqlite3_column_blob(s, 0), w->voucher_len);
        memcpy(w->voucher_signature, sqlite3_column_blob(s, 1),
               sizeof w->voucher_signature);
        memcpy(scalar, sqlite3_column_blob(s, 2), sizeof scalar);
        rc = stamp_key_from_scalar(scalar, &w->journal, err);
    }
    OPENSSL_cleanse(scalar, sizeof scalar);
    (void)sqlite3_reset(s);
    return rc;
}

/* Those of the last time again, or the next ones. */
static enum stamp_err take_number(struct writing *w, const struct stampi_books_head *head,
                                  time_t now, struct stamp_error *err)
{
    sqlite3_stmt *s = stampi_books_sql(w->b, STAMPI_BOOKS_RESULTS, err);
    time_t at = 0;
    enum stamp_err rc = s == NULL ? STAMP_E_DATABASE : stampi_books_row(w->b, s, err);

    w->number = 1;
    w->events = head->state.events;
    if (rc == STAMP_OK && (sqlite3_column_bytes(s, 3) != (int)sizeof w->previous ||
                           sqlite3_column_bytes(s, 4) != (int)sizeof w->digest ||
                           sqlite3_column_bytes(s, 5) != (int)sizeof w->signature)) {
        return stamp_error_set(err, STAMP_E_CORRUPT, 0, "'%s' are damaged", w->b->path);
    }
    if (rc == STAMP_OK) {
        w->number = (uint32_t)sqlite3_column_int64(s, 0);
        w->again = sqlite3_column_int64(s, 1) == w->events;
        w->made_at = (uint32_t)sqlite3_column_int64(s, 2);
        memcpy(w->previous, sqlite3_column_blob(s, w->again ? 3 : 4), sizeof w->previous);
        memcpy(w->digest, sqlite3_column_blob(s, 4), sizeof w->digest);
        memcpy(w->signature, sqlite3_column_blob(s, 5), sizeof w->signature);
        w->number += w->again ? 0 : 1;
    }
    (void)sqlite3_reset(s);
    if ((rc == STAMP_OK || rc == STAMP_E_MISSING) && !w->again) {
        rc = stampi_books_clock(head, now, &at, err);
        w->made_at = (uint32_t)at;
    }
    return rc;
}

static enum stamp_err book(struct writing *w, struct stamp_error *err)
{
    sqlite3_stmt *s;

    if (w->again) {
        return STAMP_OK;
    }
    s = stampi_books_sql(w->b, STAMPI_BOOKS_RESULTS_ADD, err);
    if (s == NULL) {
        return STAMP_E_DATABASE;
    }
    (void)sqlite3_bind_int64(s, 1, w->number);
    (void)sqlite3_bind_int64(s, 2, w->events);
    (void)sqlite3_bind_int64(s, 3, w->made_at);
    (void)sqlite3_bind_blob(s, 4, w->previous, sizeof w->previous, SQLITE_STATIC);
    (void)sqlite3_bind_blob(s, 5, w->digest, sizeof w->digest, SQLITE_STATIC);
    (void)sqlite3_bind_blob(s, 6, w->signature, sizeof w->signature, SQLITE_STATIC);
    return stampi_books_run(w->b, s, err);
}

static enum stamp_err make(struct writing *w, time_t now, struct stamp_error *err)
{
    struct stampi_books_head head;
    enum stamp_err rc = stampi_books_head(w->b, &head, err);

    if (rc == STAMP_OK && !head.state.closed) {
        return stamp_error_set(err, STAMP_E_STATE, 0, "'%s' are not closed", w->b->path);
    }
    if (rc == STAMP_OK) {
        rc = take_voucher(w, err);
    }
    if (rc == STAMP_OK) {
        rc = take_number(w, &head, now, err);
    }
    if (rc == STAMP_OK) {
        rc = put_all(w, err);
    }
    return rc == STAMP_OK ? book(w, err) : rc;
}

/* ---- the file ---- */

static enum stamp_err open_temp(struct writing *w, struct stamp_error *err)
{
    if (access(w->path, F_OK) == 0) {
        return failed_io(w, EEXIST, err);
    }
    if ((size_t)snprintf(w->temp, sizeof w->temp, "%s.XXXXXX.tmp", w->path) >=
        sizeof w->temp) {
        w->temp[0] = '\0';
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
    }
    w->fd = mkostemps(w->temp, 4, O_CLOEXEC);
    if (w->fd < 0) {
        w->temp[0] = '\0';
        return failed_io(w, errno, err);
    }
    w->md = EVP_MD_CTX_new();
    w->buf = malloc(BUFFER_SIZE);
    if (w->md == NULL || w->buf == NULL ||
        EVP_DigestInit_ex(w->md, EVP_sha256(), NULL) != 1) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    return STAMP_OK;
}

static enum stamp_err name_it(const struct writing *w, struct stamp_error *err)
{
    char *copy = strdup(w->path);
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = link(w->temp, w->path) != 0 ? errno : 0;

    free(copy);
    if (code == 0 && fd >= 0 && fsync(fd) != 0 && errno != EINVAL) {
        code = errno;
        (void)unlink(w->path);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return code == 0 ? STAMP_OK : failed_io(w, code, err);
}

enum stamp_err stamp_results_write(struct stamp_books *b, struct stamp_batch *batch,
                                   const char *path, time_t now, uint32_t *number,
                                   struct stamp_error *err)
{
    struct writing w = {.b = b, .batch = batch, .path = path, .fd = -1};
    enum stamp_err rc = open_temp(&w, err);

    *number = 0;
    if (rc == STAMP_OK) {
        rc = stampi_books_begin(b, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_books_end(b, make(&w, now, err), err);
    }
    if (rc == STAMP_OK) {
        rc = name_it(&w, err);
    }
    if (w.fd >= 0) {
        (void)close(w.fd);
    }
    if (w.temp[0] != '\0') {
        (void)unlink(w.temp);
    }
    EVP_MD_CTX_free(w.md);
    EVP_PKEY_free(w.journal);
    free(w.buf);
    *number = rc == STAMP_OK ? w.number : 0;
    if (rc != STAMP_OK) {
        stamp_error_state(err, "no results were written");
    }
    return rc;
}
