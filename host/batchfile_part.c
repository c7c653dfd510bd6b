/* How far a FILE.part is, for who wants to know: read only. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/batchfile_own.h"

static enum stamp_err take_header(int fd, const char *path, EVP_MD_CTX *md,
                                  struct stamp_batch_part_state *out,
                                  struct stamp_error *err)
{
    uint8_t header[STAMPI_HEADER_SIZE];
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    struct stampi_head head;

    if (pread(fd, header, sizeof header, 0) != (ssize_t)sizeof header) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' is not a batch file", path);
    }
    stampi_head_get(header, &head);
    if (!stampi_head_is(&head, STAMPI_MAGIC_HEADER) ||
        !stampi_block_check(md, header, sizeof header, digest)) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' is not a batch file", path);
    }
    if (head.a != STAMPI_VERSION) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "'%s' was made by a newer program", path);
    }
    memcpy(out->id, header + STAMPI_HEAD_SIZE, sizeof out->id);
    out->volume = head.b;
    return STAMP_OK;
}

static bool note(void *ctx, const struct stamp_batch_entry *entry)
{
    struct stamp_batch_part_state *out = ctx;

    memcpy(out->last, entry->serial, sizeof out->last);
    out->records = entry->index + 1;
    return true;
}

static enum stamp_err look(struct stamp_batch_writer *w, const char *path,
                           struct stamp_batch_part_state *out, struct stamp_error *err)
{
    struct stat st;
    enum stamp_err rc;

    w->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (w->fd < 0 || fstat(w->fd, &st) != 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot open '%s': %s", path,
                               strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return stamp_error_set(err, STAMP_E_IO, 0, "'%s' is not a regular file", path);
    }
    w->md = stampi_digest_new();
    w->ordered = true;
    out->size = (uint64_t)st.st_size;
    rc = w->md == NULL ? stamp_openssl_failed(err, "cannot compute a digest")
                       : stamp_merkle_init(&w->tree, err);
    if (rc == STAMP_OK) {
        rc = take_header(w->fd, path, w->md, out, err);
    }
    memcpy(w->setup.id, out->id, sizeof out->id);
    w->setup.volume = out->volume;
    return rc == STAMP_OK ? stampi_writer_scan(w, out->size, note, out, &out->whole, err)
                          : rc;
}

enum stamp_err stamp_batch_part_look(const char *path, struct stamp_batch_part_state *out,
                                     struct stamp_error *err)
{
    struct stamp_batch_writer *w = calloc(1, sizeof *w);
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    if (w == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = look(w, path, out, err);
    stamp_batch_writer_free(&w);
    return rc;
}
