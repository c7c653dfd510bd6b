/*
 * Opening a FILE.part to write: a new one, or what a former run left. SPEC 11-15..11-18,
 * 11-26..11-28.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/batchfile_own.h"
#include "host/cms.h"
#include "host/pki.h"

static enum stamp_err no_memory(struct stamp_error *err)
{
    (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    return STAMP_E_NOMEM;
}

/* The same recipients in DER, for the header and the manifest. */
static enum stamp_err take_recipients(struct stamp_batch_writer *w,
                                      struct stamp_error *err)
{
    size_t n = w->setup.n_recipients;

    if (n < 1 || n > STAMP_BATCH_RECIPIENTS_MAX) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "1 to %u recipients, not %zu",
                               STAMP_BATCH_RECIPIENTS_MAX, n);
    }
    for (size_t i = 0; i < n; i++) {
        X509 *cert = w->setup.recipients[i];
        uint8_t *der = NULL;
        enum stamp_err rc = stamp_cms_check_recipient(cert, err);

        if (rc != STAMP_OK) {
            return rc;
        }
        if (X509_up_ref(cert) != 1) {
            return no_memory(err);
        }
        w->recipients[i] = cert;
        rc = stamp_pki_encode(cert, &der, &w->der[i].len, err);
        w->der[i].p = der;
        if (rc != STAMP_OK) {
            return rc;
        }
        if (w->der[i].len > STAMP_MAX_CERTIFICATE) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "a recipient's certificate is longer than %u bytes",
                                   STAMP_MAX_CERTIFICATE);
        }
    }
    return STAMP_OK;
}

static enum stamp_err prepare(struct stamp_batch_writer *w, const char *path,
                              const struct stamp_batch_setup *setup,
                              struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    enum stamp_err rc;

    w->fd = -1;
    w->setup = *setup;
    w->ordered = true;
    w->path = strdup(path);
    if (w->path == NULL || asprintf(&w->part, "%s" STAMP_BATCH_PART, path) < 0) {
        w->part = NULL;
        return no_memory(err);
    }
    w->buf = malloc(STAMPI_BUFFER_SIZE);
    if (w->buf == NULL) {
        return no_memory(err);
    }
    w->md = stampi_digest_new();
    rc = stamp_merkle_init(&w->tree, err);
    if (rc == STAMP_OK) {
        rc = take_recipients(w, err);
    }
    if (rc == STAMP_OK &&
        (w->md == NULL ||
         !stampi_recipients_digest(w->md, w->der, w->setup.n_recipients, digest) ||
         !stampi_header_make(w->md, w->setup.id, w->setup.volume, digest,
                             w->setup.profile_digest, w->header))) {
        rc = stamp_openssl_failed(err, "cannot compute a digest");
    }
    return rc;
}

/* The name must still be that of the file we hold: who opened a file that was finished
 * meanwhile holds what must not be touched. */
static bool still_named(const struct stamp_batch_writer *w, struct stat *ours)
{
    struct stat named;

    return fstat(w->fd, ours) == 0 && lstat(w->part, &named) == 0 &&
           ours->st_dev == named.st_dev && ours->st_ino == named.st_ino &&
           S_ISREG(ours->st_mode);
}

static enum stamp_err check_name(const struct stamp_batch_writer *w,
                                 struct stamp_error *err)
{
    struct stat st;

    return lstat(w->path, &st) == 0 ? stamp_error_set(err, STAMP_E_EXISTS, EEXIST,
                                                      "'%s' exists already", w->path)
                                    : STAMP_OK;
}

static enum stamp_err open_part(struct stamp_batch_writer *w, struct stamp_error *err)
{
    struct stat st;
    enum stamp_err rc = check_name(w, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    w->fd = open(w->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot open '%s': %s", w->part,
                               strerror(errno));
    }
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0) {
        return stamp_error_set(err, errno == EWOULDBLOCK ? STAMP_E_BUSY : STAMP_E_IO,
                               errno, "'%s' is being written by another process",
                               w->part);
    }
    if (!still_named(w, &st)) {
        return stamp_error_set(err, STAMP_E_BUSY, 0,
                               "'%s' was finished by another process", w->part);
    }
    /* Finished between the first look and the lock: what we hold is a new, empty file. */
    rc = check_name(w, err);
    if (rc != STAMP_OK && st.st_size == 0) {
        (void)unlink(w->part);
    }
    return rc;
}

/* Is what stands in the file a batch of ours? SPEC 11-28. */
static enum stamp_err check_header(struct stamp_batch_writer *w,
                                   const uint8_t found[STAMPI_HEADER_SIZE],
                                   struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    struct stampi_head head;

    if (memcmp(found, w->header, STAMPI_HEADER_SIZE) == 0) {
        return STAMP_OK;
    }
    stampi_head_get(found, &head);
    if (!stampi_head_is(&head, STAMPI_MAGIC_HEADER) ||
        !stampi_block_check(w->md, found, STAMPI_HEADER_SIZE, digest)) {
        return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                               "'%s' does not begin as a batch file does", w->part);
    }
    if (head.a != STAMPI_VERSION) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "'%s' was made by a newer program", w->part);
    }
    (void)stamp_error_set(err, STAMP_E_EXISTS, 0,
                          "'%s' is of another batch, profile or recipients", w->part);
    stamp_error_hint(err, "give another name, or remove that file if it is not wanted");
    return STAMP_E_EXISTS;
}

static enum stamp_err begin_file(struct stamp_batch_writer *w, struct stamp_error *err)
{
    enum stamp_err rc;

    if (ftruncate(w->fd, 0) != 0) {
        return stampi_writer_failed_io(w, "write", errno, err);
    }
    rc = stampi_writer_put(w, w->header, sizeof w->header, err);
    if (rc == STAMP_OK) {
        rc = stampi_writer_sync(w, err);
    }
    /* The name is durable only when its directory is. */
    return rc == STAMP_OK ? stampi_writer_sync_dir(w, err) : rc;
}

/* A header that did not come to the disk whole: its beginning, or nothing but its length.
 * A short file of somebody else's is neither. */
static bool torn_header(const struct stamp_batch_writer *w, const uint8_t *found,
                        size_t len)
{
    static const uint8_t zero[STAMPI_HEADER_SIZE];

    return memcmp(found, zero, len) == 0 ||
           (len < STAMPI_HEADER_SIZE && memcmp(found, w->header, len) == 0);
}

static enum stamp_err go_on(struct stamp_batch_writer *w, stamp_batch_found found,
                            void *ctx, struct stamp_error *err)
{
    uint8_t header[STAMPI_HEADER_SIZE] = {0};
    struct stat st;
    uint64_t end = 0;
    size_t len;
    enum stamp_err rc;

    if (fstat(w->fd, &st) != 0) {
        return stampi_writer_failed_io(w, "read", errno, err);
    }
    len = st.st_size < (off_t)sizeof header ? (size_t)st.st_size : sizeof header;
    if (pread(w->fd, header, len, 0) != (ssize_t)len) {
        return stampi_writer_failed_io(w, "read", EIO, err);
    }
    if (st.st_size <= (off_t)sizeof header && torn_header(w, header, len)) {
        return begin_file(w, err);
    }
    rc = check_header(w, header, err);
    if (rc == STAMP_OK) {
        rc = stampi_writer_scan(w, (uint64_t)st.st_size, found, ctx, &end, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    /* Durable, or what was cut could be found again behind what comes now. SPEC 11-27. */
    if (ftruncate(w->fd, (off_t)end) != 0 || fsync(w->fd) != 0) {
        return stampi_writer_failed_io(w, "cut", errno, err);
    }
    w->at = end;
    return w->page_entries == STAMPI_PAGE_ENTRIES ? stampi_writer_put_page(w, err)
                                                  : STAMP_OK;
}

/* The block that brings an envelope into the file. */
static enum stamp_err make_segment(struct stamp_batch_writer *w, const uint8_t *der,
                                   size_t len, struct stamp_error *err)
{
    if (len > STAMPI_ENVELOPE_MAX) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "too many or too long recipients");
    }
    w->segment = malloc(len + STAMPI_FRAME_SIZE);
    if (w->segment == NULL) {
        return no_memory(err);
    }
    memcpy(w->segment + STAMPI_HEAD_SIZE, der, len);
    w->segment_len = len + STAMPI_FRAME_SIZE;
    return stampi_block_close(w->md, w->segment, STAMPI_MAGIC_SEGMENT, (uint32_t)len,
                              w->n_segments, stampi_writer_count(w), w->segment_digest)
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot compute a digest");
}

/* This run's content key: made, wrapped, and forgotten but for what derives keys from it.
 * SPEC 11-15..11-18. */
static enum stamp_err new_segment(struct stamp_batch_writer *w, struct stamp_error *err)
{
    uint8_t content[STAMPI_KEY_SIZE];
    uint8_t *der = NULL;
    size_t len = 0;
    enum stamp_err rc;

    if (RAND_priv_bytes(content, sizeof content) != 1) {
        return stamp_openssl_failed(err, "the random generator failed");
    }
    rc = stamp_cms_wrap(content, sizeof content, w->recipients, w->setup.n_recipients,
                        &der, &len, err);
    if (rc == STAMP_OK) {
        rc = stampi_segment_key(w->setup.id, w->setup.volume, w->n_segments, content,
                                &w->key, err);
    }
    OPENSSL_cleanse(content, sizeof content);
    if (rc == STAMP_OK) {
        rc = make_segment(w, der, len, err);
    }
    OPENSSL_free(der);
    return rc;
}

enum stamp_err stamp_batch_writer_open(const char *path,
                                       const struct stamp_batch_setup *setup,
                                       stamp_batch_found found, void *ctx,
                                       struct stamp_batch_writer **out,
                                       struct stamp_error *err)
{
    struct stamp_batch_writer *w = calloc(1, sizeof *w);
    enum stamp_err rc;

    *out = NULL;
    if (w == NULL) {
        return no_memory(err);
    }
    rc = prepare(w, path, setup, err);
    if (rc == STAMP_OK) {
        rc = open_part(w, err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(err, "nothing was changed");
    }
    if (rc == STAMP_OK) {
        rc = go_on(w, found, ctx, err);
    }
    if (rc == STAMP_OK) {
        rc = new_segment(w, err);
    }
    if (rc != STAMP_OK) {
        stamp_batch_writer_free(&w);
        return rc;
    }
    *out = w;
    return STAMP_OK;
}
