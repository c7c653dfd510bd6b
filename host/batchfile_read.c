/*
 * Reading a batch file. Nothing is used before it was checked against what the manifest
 * signs: the header and the index by their bytes, pages and segments by their digests in
 * the index, records by theirs in the pages. SPEC 11-24.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "host/batchfile_own.h"
#include "host/cms.h"
#include "host/signerkey.h"

/* Read here and there: as much as the largest block takes, and not much at a time. */
#define WINDOW_SIZE (STAMPI_MANIFEST_MAX + STAMPI_FRAME_SIZE)
#define WINDOW_AHEAD ((size_t)4096)

static enum stamp_err no_memory(struct stamp_error *err)
{
    (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    return STAMP_E_NOMEM;
}

/* A part of the file that is not as it was written. */
static enum stamp_err damaged(const struct stamp_batch *b, const char *part,
                              struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_CORRUPT, 0, "the %s of '%s' is damaged", part,
                           b->path);
}

/* ---- the index ---- */

static const uint8_t *page_ref(const struct stamp_batch *b, uint32_t page)
{
    return b->index + STAMPI_HEAD_SIZE + (size_t)page * STAMPI_PAGE_REF_SIZE;
}

static const uint8_t *segment_ref(const struct stamp_batch *b, uint32_t segment)
{
    return page_ref(b, b->n_pages) + (size_t)segment * STAMPI_SEGMENT_REF_SIZE;
}

uint64_t stampi_page_offset(const struct stamp_batch *b, uint32_t page)
{
    return stampi_get_u64(page_ref(b, page));
}

const uint8_t *stampi_page_digest(const struct stamp_batch *b, uint32_t page)
{
    return page_ref(b, page) + 8;
}

uint64_t stampi_segment_offset(const struct stamp_batch *b, uint32_t segment)
{
    return stampi_get_u64(segment_ref(b, segment));
}

uint32_t stampi_segment_first(const struct stamp_batch *b, uint32_t segment)
{
    return stamp_get_u32(segment_ref(b, segment) + 8);
}

const uint8_t *stampi_segment_digest(const struct stamp_batch *b, uint32_t segment)
{
    return segment_ref(b, segment) + 12;
}

/* Segments begin at record 0, each behind the one before, the last before the end. */
static bool segments_ok(const struct stamp_batch *b)
{
    for (uint32_t i = 0; i < b->n_segments; i++) {
        uint32_t first = stampi_segment_first(b, i);

        if (i == 0 ? first != 0 : first <= stampi_segment_first(b, i - 1)) {
            return false;
        }
    }
    return stampi_segment_first(b, b->n_segments - 1) < b->manifest.count;
}

/* SPEC 11-9. The block may be larger than the window. */
static enum stamp_err load_index(struct stamp_batch *b, struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    uint64_t size = b->manifest_at - b->index_at;
    uint64_t pages =
        ((uint64_t)b->manifest.count + STAMPI_PAGE_ENTRIES - 1) / STAMPI_PAGE_ENTRIES;
    struct stampi_window w = {.buf = NULL};
    struct stampi_head head;
    const uint8_t *p = NULL;
    enum stamp_err rc;

    if (size <= STAMPI_FRAME_SIZE || size - STAMPI_FRAME_SIZE > UINT32_MAX) {
        return damaged(b, "index", err);
    }
    rc = stampi_window_init(&w, b->fd, b->size, (size_t)size, 0, err);
    if (rc == STAMP_OK) {
        rc = stampi_window_get(&w, b->index_at, (size_t)size, &p, err);
    }
    if (rc != STAMP_OK) {
        stampi_window_fini(&w);
        return rc == STAMP_E_MISSING ? damaged(b, "index", err) : rc;
    }
    b->index = w.buf; /* taken */
    stampi_head_get(p, &head);
    b->n_pages = head.a;
    b->n_segments = head.b;
    if (!stampi_head_is(&head, STAMPI_MAGIC_INDEX) ||
        head.len != size - STAMPI_FRAME_SIZE ||
        !stampi_block_check(b->md, p, (size_t)size, digest) ||
        memcmp(digest, b->manifest.index_digest, sizeof digest) != 0 || head.a != pages ||
        head.b == 0 ||
        head.len !=
            pages * STAMPI_PAGE_REF_SIZE + (uint64_t)head.b * STAMPI_SEGMENT_REF_SIZE ||
        !segments_ok(b)) {
        return damaged(b, "index", err);
    }
    return STAMP_OK;
}

/* ---- opening ---- */

/* A window into a part that must be there. */
static enum stamp_err part_get(struct stamp_batch *b, uint64_t at, size_t n,
                               const char *part, const uint8_t **p,
                               struct stamp_error *err)
{
    enum stamp_err rc = stampi_window_get(&b->window, at, n, p, err);

    return rc == STAMP_E_MISSING ? damaged(b, part, err) : rc;
}

/* What kind of file it is, before anything is trusted. SPEC 11-6. */
static enum stamp_err check_kind(struct stamp_batch *b, struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    struct stampi_head head;
    const uint8_t *p = NULL;
    enum stamp_err rc = stampi_window_get(&b->window, 0, STAMPI_HEADER_SIZE, &p, err);

    if (rc == STAMP_OK) {
        stampi_head_get(p, &head);
    }
    if (rc == STAMP_E_MISSING || (rc == STAMP_OK && memcmp(head.magic, "dSt", 3) != 0)) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' is not a batch file",
                               b->path);
    }
    if (rc == STAMP_OK && stampi_head_is(&head, STAMPI_MAGIC_HEADER) &&
        head.a != STAMPI_VERSION &&
        stampi_block_check(b->md, p, STAMPI_HEADER_SIZE, digest)) {
        rc = stamp_error_set(err, STAMP_E_VERSION, 0, "'%s' was made by a newer program",
                             b->path);
    }
    return rc;
}

static enum stamp_err load_end(struct stamp_batch *b, struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    struct stampi_head head;
    const uint8_t *p = NULL;
    enum stamp_err rc = STAMP_E_CORRUPT;

    if (b->size >= STAMPI_END_SIZE) {
        rc = stampi_window_get(&b->window, b->size - STAMPI_END_SIZE, STAMPI_END_SIZE, &p,
                               err);
    }
    if (rc == STAMP_OK) {
        stampi_head_get(p, &head);
        b->index_at = stampi_get_u64(p + STAMPI_HEAD_SIZE);
        b->manifest_at = stampi_get_u64(p + STAMPI_HEAD_SIZE + 8);
    }
    if (rc == STAMP_E_IO) {
        return rc;
    }
    if (rc != STAMP_OK || !stampi_head_is(&head, STAMPI_MAGIC_END) ||
        head.len != STAMPI_END_LEN || head.a != STAMPI_VERSION || head.b != 0 ||
        !stampi_block_check(b->md, p, STAMPI_END_SIZE, digest) ||
        b->index_at < STAMPI_HEADER_SIZE || b->manifest_at < b->index_at ||
        b->manifest_at > b->size - STAMPI_END_SIZE) {
        (void)damaged(b, "end", err);
        stamp_error_hint(err, "copy the file again: it is cut short, or not finished");
        return STAMP_E_CORRUPT;
    }
    return STAMP_OK;
}

/* The signed CMS. SPEC 11-20. */
static enum stamp_err load_manifest(struct stamp_batch *b, struct stamp_slice *cms,
                                    struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    uint64_t size = b->size - STAMPI_END_SIZE - b->manifest_at;
    struct stampi_head head;
    const uint8_t *p = NULL;
    enum stamp_err rc;

    if (size <= STAMPI_FRAME_SIZE || size > WINDOW_SIZE) {
        return damaged(b, "manifest", err);
    }
    rc = part_get(b, b->manifest_at, (size_t)size, "manifest", &p, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    stampi_head_get(p, &head);
    if (!stampi_head_is(&head, STAMPI_MAGIC_MANIFEST) ||
        head.len != size - STAMPI_FRAME_SIZE || head.a != 0 || head.b != 0 ||
        !stampi_block_check(b->md, p, (size_t)size, digest)) {
        return damaged(b, "manifest", err);
    }
    cms->p = p + STAMPI_HEAD_SIZE;
    cms->len = head.len;
    return STAMP_OK;
}

/* SPEC 11-23. */
enum stamp_err stampi_check_signer(const char *path, X509 *signer, uint8_t purpose,
                                   X509 *const *anchors, size_t n,
                                   struct stamp_error *err)
{
    struct stamp_binding binding;
    enum stamp_err rc =
        stamp_signerkey_check(signer, STAMP_ARC_BATCH_SIGNER, &binding, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (!binding.present || binding.purpose != purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "the batch key of '%s' is for the other purpose", path);
    }
    for (size_t i = 0; i < n; i++) {
        rc = stamp_binding_read(anchors[i], &binding, err);
        if (rc != STAMP_OK) {
            return rc;
        }
        if (binding.present && binding.purpose != purpose) {
            return stamp_error_set(
                err, STAMP_E_PURPOSE, 0, "'%s' is for %s, the trust anchor is not", path,
                purpose == STAMP_PRODUCTION ? "production" : "development");
        }
    }
    return STAMP_OK;
}

static enum stamp_err check_header(struct stamp_batch *b, struct stamp_error *err)
{
    const struct stamp_batch_manifest *m = &b->manifest;
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    uint8_t want[STAMPI_HEADER_SIZE];
    const uint8_t *p = NULL;
    enum stamp_err rc = part_get(b, 0, STAMPI_HEADER_SIZE, "header", &p, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (!stampi_recipients_digest(b->md, m->recipients, m->n_recipients, digest) ||
        !stampi_header_make(b->md, m->id, m->volume, digest, m->profile_digest, want)) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    return memcmp(p, want, sizeof want) == 0 ? STAMP_OK : damaged(b, "header", err);
}

enum stamp_err stampi_batch_attach(struct stamp_batch *b, size_t len,
                                   struct stamp_error *err)
{
    struct stamp_slice content = {b->content, len};
    enum stamp_err rc;

    if (stampi_manifest_decode(&b->manifest, content) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the manifest of '%s' is not one",
                               b->path);
    }
    rc = check_header(b, err);
    if (rc == STAMP_OK) {
        rc = load_index(b, err);
    }
    if (rc == STAMP_OK) {
        b->segment_keys = calloc(b->n_segments, sizeof(EVP_MAC_CTX *));
        rc = b->segment_keys == NULL ? no_memory(err) : STAMP_OK;
    }
    return rc;
}

enum stamp_err stampi_batch_new(const char *path, int fd, struct stamp_batch **out,
                                struct stamp_error *err)
{
    struct stamp_batch *b = calloc(1, sizeof *b);
    struct stat st;
    enum stamp_err rc;

    *out = b;
    if (b == NULL || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        free(b);
        *out = NULL;
        return stamp_error_set(err, STAMP_E_IO, 0, "'%s' is not a regular file", path);
    }
    b->fd = fd;
    b->size = (uint64_t)st.st_size;
    b->path = strdup(path);
    b->md = stampi_digest_new();
    b->cipher = stampi_cipher_new(false);
    rc = stampi_window_init(&b->window, fd, b->size, WINDOW_SIZE, WINDOW_AHEAD, err);
    if (rc == STAMP_OK && (b->path == NULL || b->md == NULL || b->cipher == NULL)) {
        rc = no_memory(err);
    }
    if (rc == STAMP_OK) {
        rc = check_kind(b, err);
    }
    if (rc == STAMP_OK) {
        rc = load_end(b, err);
    }
    if (rc != STAMP_OK) {
        stamp_batch_close(out);
    }
    return rc;
}

/* The content of a manifest that an anchor vouches for. */
static enum stamp_err take_manifest(struct stamp_batch *b, X509 *const *anchors, size_t n,
                                    size_t *len, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_slice cms = {NULL, 0};
    enum stamp_err rc = load_manifest(b, &cms, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    /* The window that it stands in moves on. */
    b->cms = OPENSSL_memdup(cms.p, cms.len);
    b->cms_len = cms.len;
    if (b->cms == NULL) {
        return no_memory(err);
    }
    rc = stamp_cms_verify(cms, anchors, n, &b->content, len, &b->signer, &why);
    if (rc != STAMP_OK) {
        (void)stamp_error_set(err, rc, why.native, "the manifest of '%s': %s", b->path,
                              why.what);
    }
    return rc;
}

enum stamp_err stamp_batch_open(const char *path, X509 *const *anchors, size_t n_anchors,
                                struct stamp_batch **out, struct stamp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stamp_batch *b = NULL;
    size_t len = 0;
    enum stamp_err rc;

    *out = NULL;
    if (fd < 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot open '%s': %s", path,
                               strerror(errno));
    }
    rc = stampi_batch_new(path, fd, &b, err);
    if (b == NULL) {
        return rc;
    }
    rc = take_manifest(b, anchors, n_anchors, &len, err);
    if (rc == STAMP_OK) {
        rc = stampi_batch_attach(b, len, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_check_signer(path, b->signer, b->manifest.purpose, anchors, n_anchors,
                                 err);
    }
    if (rc != STAMP_OK) {
        stamp_batch_close(&b);
    }
    *out = b;
    return rc;
}

void stamp_batch_close(struct stamp_batch **p)
{
    struct stamp_batch *b = *p;

    if (b == NULL) {
        return;
    }
    for (uint32_t i = 0; b->segment_keys != NULL && i < b->n_segments; i++) {
        stampi_free_mac_ctx(&b->segment_keys[i]);
    }
    free(b->segment_keys);
    stampi_free_cipher_ctx(&b->cipher);
    EVP_PKEY_free(b->key);
    free(b->index);
    X509_free(b->signer);
    OPENSSL_free(b->content);
    OPENSSL_free(b->cms);
    stampi_window_fini(&b->window);
    EVP_MD_CTX_free(b->md);
    (void)close(b->fd);
    free(b->path);
    free(b);
    *p = NULL;
}

const struct stamp_batch_manifest *stamp_batch_manifest(const struct stamp_batch *b)
{
    return &b->manifest;
}

struct stamp_slice stamp_batch_manifest_cms(const struct stamp_batch *b)
{
    return (struct stamp_slice){b->cms, b->cms_len};
}

const X509 *stamp_batch_signer(const struct stamp_batch *b)
{
    return b->signer;
}
