/* The end of a batch file: index, signed manifest, and the name. SPEC 11.4, 11-26. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/batchfile_own.h"
#include "host/cms.h"
#include "host/signerkey.h"

enum stamp_err stampi_writer_sync_dir(const struct stamp_batch_writer *w,
                                      struct stamp_error *err)
{
    char *copy = strdup(w->path);
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 ? errno : 0;

    free(copy);
    /* Some file systems cannot sync a directory, and some let us write but not read it.
     */
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL) {
        code = errno;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (code != 0 && code != EACCES) {
        return stamp_error_set(err, STAMP_E_IO, code,
                               "cannot sync the directory of '%s': %s", w->path,
                               strerror(code));
    }
    return STAMP_OK;
}

/* Where the parts behind the records begin. */
struct ending {
    uint64_t index_at;
    uint64_t manifest_at;
    uint8_t index_digest[STAMP_BATCH_DIGEST_SIZE];
};

static enum stamp_err put_index(struct stamp_batch_writer *w, struct ending *e,
                                struct stamp_error *err)
{
    size_t pages = (size_t)w->n_pages * STAMPI_PAGE_REF_SIZE;
    size_t segments = (size_t)w->n_segments * STAMPI_SEGMENT_REF_SIZE;
    uint8_t *block = malloc(pages + segments + STAMPI_FRAME_SIZE);
    enum stamp_err rc;

    if (block == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(block + STAMPI_HEAD_SIZE, w->pages, pages);
    memcpy(block + STAMPI_HEAD_SIZE + pages, w->segments, segments);
    e->index_at = stamp_batch_writer_size(w);
    rc =
        stampi_block_close(w->md, block, STAMPI_MAGIC_INDEX, (uint32_t)(pages + segments),
                           w->n_pages, w->n_segments, e->index_digest)
            ? stampi_writer_put(w, block, pages + segments + STAMPI_FRAME_SIZE, err)
            : stamp_openssl_failed(err, "cannot compute a digest");
    free(block);
    return rc;
}

static void closing_texts(const struct stamp_batch_closing *what,
                          struct stamp_batch_manifest *m)
{
    m->product.p = (const uint8_t *)what->product;
    m->product.len = strlen(what->product);
    if (what->note != NULL && what->note[0] != '\0') {
        m->note.p = (const uint8_t *)what->note;
        m->note.len = strlen(what->note);
    }
}

static enum stamp_err sign(const struct stamp_batch_writer *w,
                           const struct stamp_batch_closing *what, const struct ending *e,
                           uint8_t **der, size_t *len, struct stamp_error *err)
{
    struct stamp_batch_manifest m = {.volume = w->setup.volume,
                                     .purpose = what->purpose,
                                     .made_at = (uint32_t)what->made_at,
                                     .count = stampi_writer_count(w),
                                     .ordered = w->ordered,
                                     .n_recipients = w->setup.n_recipients,
                                     .bundle = what->bundle};
    uint8_t content[STAMPI_CONTENT_MAX];
    struct stamp_slice signed_part = {content, 0};
    uint8_t *secret = NULL;
    enum stamp_err rc;

    closing_texts(what, &m);
    if (what->partition != NULL) {
        m.has_partition = true;
        m.partition = *what->partition;
    }
    m.first.p = (const uint8_t *)w->first;
    m.first.len = strlen(w->first);
    m.last.p = (const uint8_t *)w->last;
    m.last.len = strlen(w->last);
    memcpy(m.id, w->setup.id, sizeof m.id);
    memcpy(m.profile_digest, w->setup.profile_digest, sizeof m.profile_digest);
    memcpy(m.recipients, w->der, sizeof m.recipients);
    memcpy(m.index_digest, e->index_digest, sizeof m.index_digest);
    rc = stamp_merkle_root(&w->tree, m.root, err);
    if (rc == STAMP_OK) {
        rc = stampi_voucher_make(w->recipients, w->setup.n_recipients, m.voucher, &secret,
                                 &m.voucher_secret.len, err);
    }
    m.voucher_secret.p = secret;
    if (rc == STAMP_OK) {
        rc = stampi_manifest_encode(&m, content, sizeof content, &signed_part.len);
        if (rc != STAMP_OK) {
            (void)stamp_error_set(err, rc, 0, "the manifest breaks a limit");
        }
    }
    OPENSSL_free(secret);
    if (rc == STAMP_OK) {
        rc = stamp_cms_sign(signed_part, what->key, what->certificate, der, len, err);
    }
    return rc;
}

static enum stamp_err put_manifest(struct stamp_batch_writer *w,
                                   const struct stamp_batch_closing *what,
                                   struct ending *e, struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    uint8_t *block = NULL;
    uint8_t *der = NULL;
    size_t len = 0;
    enum stamp_err rc = sign(w, what, e, &der, &len, err);

    if (rc == STAMP_OK && len > STAMPI_MANIFEST_MAX) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "the signed manifest is too long");
    }
    if (rc == STAMP_OK && der != NULL) {
        block = malloc(len + STAMPI_FRAME_SIZE);
        if (block == NULL) {
            rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
    }
    if (block != NULL) {
        memcpy(block + STAMPI_HEAD_SIZE, der, len);
        e->manifest_at = stamp_batch_writer_size(w);
        rc = stampi_block_close(w->md, block, STAMPI_MAGIC_MANIFEST, (uint32_t)len, 0, 0,
                                digest)
                 ? stampi_writer_put(w, block, len + STAMPI_FRAME_SIZE, err)
                 : stamp_openssl_failed(err, "cannot compute a digest");
    }
    free(block);
    OPENSSL_free(der);
    return rc;
}

static enum stamp_err put_end(struct stamp_batch_writer *w, const struct ending *e,
                              struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    uint8_t block[STAMPI_END_SIZE];

    stampi_put_u64(block + STAMPI_HEAD_SIZE, e->index_at);
    stampi_put_u64(block + STAMPI_HEAD_SIZE + 8, e->manifest_at);
    if (!stampi_block_close(w->md, block, STAMPI_MAGIC_END, STAMPI_END_LEN,
                            STAMPI_VERSION, 0, digest)) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    return stampi_writer_put(w, block, sizeof block, err);
}

/* Never over a file that is there. Some file systems cannot rename without replacing. */
static enum stamp_err take_name(const struct stamp_batch_writer *w,
                                struct stamp_error *err)
{
    int code = 0;

    if (renameat2(AT_FDCWD, w->part, AT_FDCWD, w->path, RENAME_NOREPLACE) != 0) {
        code = errno;
        if (code == EINVAL || code == ENOSYS) {
            code = link(w->part, w->path) == 0 && unlink(w->part) == 0 ? 0 : errno;
        }
    }
    if (code == EEXIST) {
        return stamp_error_set(err, STAMP_E_EXISTS, code, "'%s' exists already", w->path);
    }
    if (code != 0) {
        return stamp_error_set(err, STAMP_E_IO, code, "cannot rename '%s': %s", w->part,
                               strerror(code));
    }
    return STAMP_OK;
}

static enum stamp_err put_ending(struct stamp_batch_writer *w,
                                 const struct stamp_batch_closing *what,
                                 struct stamp_error *err)
{
    struct ending e = {0};
    enum stamp_err rc = STAMP_OK;

    if (w->page_entries > 0) {
        rc = stampi_writer_put_page(w, err);
    }
    if (rc == STAMP_OK) {
        rc = put_index(w, &e, err);
    }
    if (rc == STAMP_OK) {
        rc = put_manifest(w, what, &e, err);
    }
    if (rc == STAMP_OK) {
        rc = put_end(w, &e, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_writer_sync(w, err);
    }
    return rc;
}

/* All that can be refused before anything is written. */
static enum stamp_err check(const struct stamp_batch_writer *w,
                            const struct stamp_batch_closing *what,
                            struct stamp_error *err)
{
    struct stamp_batch_manifest m = {.made_at = 0};
    struct stamp_binding binding;
    struct stamp_bundle bundle;
    enum stamp_err rc;

    closing_texts(what, &m);
    if (what->count != stampi_writer_count(w) || what->count == 0) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "'%s' has %u records, not %u",
                               w->part, stampi_writer_count(w), what->count);
    }
    if (what->purpose > STAMP_PRODUCTION || what->made_at < 0 ||
        what->made_at > (time_t)UINT32_MAX || m.product.len < 1 ||
        m.product.len > STAMP_MAX_TEXT ||
        !stamp_text_ok(m.product.p, m.product.len, false) ||
        m.note.len > STAMP_BATCH_NOTE_MAX ||
        !stamp_text_ok(m.note.p, m.note.len, false) ||
        (what->partition != NULL && what->partition->erased_value != 0 &&
         what->partition->erased_value != 0xFF)) {
        return stamp_error_set(
            err, STAMP_E_RANGE, 0,
            "product, note, time or partition cannot be in a manifest");
    }
    if (stamp_bundle_decode(&bundle, what->bundle.p, what->bundle.len) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "that is not a trust bundle");
    }
    rc = stamp_signerkey_check(what->certificate, STAMP_ARC_BATCH_SIGNER, &binding, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (X509_check_private_key(what->certificate, what->key) != 1) {
        return stamp_openssl_failed(err, "the batch key is not its certificate's");
    }
    if (bundle.purpose != what->purpose || !binding.present ||
        binding.purpose != what->purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "the batch, its key and its trust bundle differ in "
                               "purpose");
    }
    return STAMP_OK;
}

enum stamp_err stamp_batch_finish(struct stamp_batch_writer *w,
                                  const struct stamp_batch_closing *what,
                                  struct stamp_error *err)
{
    enum stamp_err rc = stampi_writer_usable(w, err);

    if (rc == STAMP_OK) {
        rc = check(w, what, err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(err, "nothing was changed");
        return rc;
    }
    rc = put_ending(w, what, err);
    if (rc == STAMP_OK) {
        rc = take_name(w, err);
    }
    if (rc != STAMP_OK) {
        return stampi_writer_broken(w, rc, err);
    }
    w->finished = true;
    return stampi_writer_sync_dir(w, err);
}
