/*
 * Results, read: a sequence of CBOR items through one buffer. The first pass checks all
 * of it, signature included, before anything is told; SPEC 12-9. The second one tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cbor.h"
#include "host/batchfile_own.h"
#include "host/cms.h"
#include "host/results.h"
#include "host/sig.h"

#define BUFFER_SIZE ((size_t)1 << 18)
#define HEAD_MAX ((size_t)1 << 17)
#define ENTRY_MAX ((size_t)1024)
#define VOUCHER_MAX 256u
#define VERSION 1u

struct stamp_results {
    char *path;
    int fd;
    uint8_t *buf;
    size_t at; /* of the next item in it */
    size_t len;
    bool end; /* the file has no more than what is in it */

    struct stamp_results_head head;
    off_t entries_at; /* of the first entry in the file */
    off_t file_at;    /* of buf + len in the file */
    uint32_t next;    /* index of the next entry */
    uint8_t journal[STAMP_POINT_SIZE];
    char first[STAMP_SERIAL_SIZE]; /* serials, as the manifest has them */
    char last[STAMP_SERIAL_SIZE];
    bool ordered;
    char before[STAMP_SERIAL_SIZE]; /* serial of the entry before; "" = none */
    EVP_MD_CTX *md;
    EVP_MD_CTX *head_md; /* as it is behind the head */
};

static enum stamp_err malformed(const struct stamp_results *r, const char *part,
                                struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_CORRUPT, 0, "the %s of '%s' is damaged", part,
                           r->path);
}

/* ---- bytes ---- */

/* At least `want` bytes from the next item on, where the file has them. */
static enum stamp_err fill(struct stamp_results *r, size_t want, struct stamp_error *err)
{
    if (r->len - r->at >= want || r->end) {
        return STAMP_OK;
    }
    memmove(r->buf, r->buf + r->at, r->len - r->at);
    r->len -= r->at;
    r->at = 0;
    while (r->len < BUFFER_SIZE && !r->end) {
        ssize_t n = read(r->fd, r->buf + r->len, BUFFER_SIZE - r->len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return stamp_error_set(err, STAMP_E_IO, errno, "cannot read '%s': %s",
                                   r->path, strerror(errno));
        }
        r->end = n == 0;
        r->len += (size_t)n;
        r->file_at += n;
    }
    return STAMP_OK;
}

static void reader(const struct stamp_results *r, size_t max, struct stamp_cbor *c)
{
    size_t left = r->len - r->at;

    stamp_cbor_init(c, r->buf + r->at, left < max ? left : max);
}

/* The item was read: it is part of what is signed. */
static enum stamp_err took(struct stamp_results *r, const struct stamp_cbor *c,
                           size_t max, struct stamp_error *err)
{
    size_t left = r->len - r->at;
    size_t n = (left < max ? left : max) - c->left;

    if (EVP_DigestUpdate(r->md, r->buf + r->at, n) != 1) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    r->at += n;
    return STAMP_OK;
}

/* ---- head ---- */

struct raw_head {
    struct stamp_slice manifest;
    struct stamp_slice voucher;
    struct stamp_slice voucher_signature;
    struct stamp_slice previous;
};

static void want_key(struct stamp_cbor *c, uint32_t key)
{
    stamp_cbor_want(c, STAMP_CBOR_UINT, key);
}

static struct stamp_slice get_bytes(struct stamp_cbor *c, uint32_t key, size_t min,
                                    size_t max)
{
    want_key(c, key);
    return stamp_cbor_string(c, STAMP_CBOR_BYTES, min, max);
}

static uint32_t get_uint(struct stamp_cbor *c, uint32_t key)
{
    want_key(c, key);
    return stamp_cbor_uint(c, UINT32_MAX);
}

static bool is_zero(struct stamp_slice s)
{
    uint8_t any = 0;

    for (size_t i = 0; i < s.len; i++) {
        any |= s.p[i];
    }
    return any == 0;
}

/* SPEC 12-5 */
static enum stamp_err read_head(struct stamp_results *r, struct raw_head *raw,
                                struct stamp_cbor *c, struct stamp_error *err)
{
    uint32_t version;

    stamp_cbor_want(c, STAMP_CBOR_MAP, 8);
    version = get_uint(c, 1);
    if (c->err != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' are no results of a batch",
                               r->path);
    }
    if (version != VERSION) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "'%s' were made by a newer program", r->path);
    }
    raw->manifest = get_bytes(c, 2, 1, STAMPI_MANIFEST_MAX);
    raw->voucher = get_bytes(c, 3, 1, VOUCHER_MAX);
    raw->voucher_signature = get_bytes(c, 4, STAMP_SIG_SIZE, STAMP_SIG_SIZE);
    r->head.number = get_uint(c, 5);
    raw->previous = get_bytes(c, 6, STAMP_BATCH_DIGEST_SIZE, STAMP_BATCH_DIGEST_SIZE);
    r->head.made_at = get_uint(c, 7);
    r->head.events = get_uint(c, 8);
    if (c->err != STAMP_OK || r->head.number == 0 ||
        (r->head.number == 1) != is_zero(raw->previous)) {
        return malformed(r, "head", err);
    }
    memcpy(r->head.previous, raw->previous.p, sizeof r->head.previous);
    return STAMP_OK;
}

static void take_manifest(struct stamp_results *r, const struct stamp_batch_manifest *m)
{
    memcpy(r->head.batch, m->id, sizeof r->head.batch);
    r->head.volume = m->volume;
    r->head.count = m->count;
    memcpy(r->head.product, m->product.p, m->product.len);
    r->head.product[m->product.len] = '\0';
    memcpy(r->first, m->first.p, m->first.len);
    memcpy(r->last, m->last.p, m->last.len);
    r->ordered = m->ordered;
}

/* SPEC 11-23, 11-24 */
static enum stamp_err check_manifest(struct stamp_results *r, struct stamp_slice cms,
                                     X509 *const *anchors, size_t n,
                                     uint8_t voucher[STAMP_POINT_SIZE],
                                     struct stamp_error *err)
{
    STAMP_X509_AUTO *signer = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_batch_manifest m;
    struct stamp_slice content = {NULL, 0};
    uint8_t *bytes = NULL;
    enum stamp_err rc =
        stamp_cms_verify(cms, anchors, n, &bytes, &content.len, &signer, &why);

    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "the manifest in '%s': %s", r->path,
                               why.what);
    }
    content.p = bytes;
    rc = stampi_manifest_decode(&m, content);
    if (rc != STAMP_OK) {
        rc = malformed(r, "manifest", err);
    } else {
        rc = stampi_check_signer(r->path, signer, m.purpose, anchors, n, err);
    }
    if (rc == STAMP_OK) {
        take_manifest(r, &m);
        memcpy(voucher, m.voucher, STAMP_POINT_SIZE);
    }
    OPENSSL_free(bytes);
    return rc;
}

/* SPEC 12-3 */
static enum stamp_err check_voucher(struct stamp_results *r, const struct raw_head *raw,
                                    const uint8_t voucher[STAMP_POINT_SIZE],
                                    struct stamp_error *err)
{
    struct stamp_cbor c;
    struct stamp_slice batch;
    struct stamp_slice books;
    struct stamp_slice journal;
    uint32_t volume;

    if (stamp_sig_check_point(voucher, STAMP_LABEL_BOOKS, raw->voucher.p,
                              raw->voucher.len, raw->voucher_signature.p,
                              NULL) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "'%s': who made these books could not open the batch",
                               r->path);
    }
    stamp_cbor_init(&c, raw->voucher.p, raw->voucher.len);
    stamp_cbor_want(&c, STAMP_CBOR_MAP, 5);
    batch = get_bytes(&c, 1, STAMP_BATCH_ID_SIZE, STAMP_BATCH_ID_SIZE);
    volume = get_uint(&c, 2);
    books = get_bytes(&c, 3, STAMP_BOOKS_ID_SIZE, STAMP_BOOKS_ID_SIZE);
    journal = get_bytes(&c, 4, STAMP_POINT_SIZE, STAMP_POINT_SIZE);
    (void)get_uint(&c, 5);
    if (c.err != STAMP_OK || c.left > 0) {
        return malformed(r, "voucher", err);
    }
    if (memcmp(batch.p, r->head.batch, sizeof r->head.batch) != 0 ||
        volume != r->head.volume) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "'%s': the voucher is for another batch file", r->path);
    }
    memcpy(r->head.books, books.p, sizeof r->head.books);
    memcpy(r->journal, journal.p, sizeof r->journal);
    return STAMP_OK;
}

static enum stamp_err take_head(struct stamp_results *r, X509 *const *anchors, size_t n,
                                struct stamp_error *err)
{
    struct raw_head raw = {.manifest = {NULL, 0}};
    struct stamp_cbor c;
    uint8_t voucher[STAMP_POINT_SIZE];
    enum stamp_err rc = fill(r, HEAD_MAX, err);

    if (rc == STAMP_OK) {
        reader(r, HEAD_MAX, &c);
        rc = read_head(r, &raw, &c, err);
    }
    if (rc == STAMP_OK) {
        rc = check_manifest(r, raw.manifest, anchors, n, voucher, err);
    }
    if (rc == STAMP_OK) {
        rc = check_voucher(r, &raw, voucher, err);
    }
    if (rc == STAMP_OK) {
        rc = took(r, &c, HEAD_MAX, err);
        r->entries_at = r->file_at - (off_t)(r->len - r->at);
    }
    if (rc == STAMP_OK && EVP_MD_CTX_copy_ex(r->head_md, r->md) != 1) {
        rc = stamp_openssl_failed(err, "cannot compute a digest");
    }
    return rc;
}

/* ---- entries ---- */

static void get_text(struct stamp_cbor *c, char *out, size_t size)
{
    struct stamp_slice s = stamp_cbor_string(c, STAMP_CBOR_TEXT, 0, size - 1);

    if (c->err == STAMP_OK && !stamp_text_ok(s.p, s.len, false)) {
        c->err = STAMP_E_FORMAT;
    }
    if (c->err == STAMP_OK) {
        memcpy(out, s.p, s.len);
        out[s.len] = '\0';
    }
}

/* SPEC 12-6 */
static void get_entry(struct stamp_cbor *c, struct stamp_books_line *out)
{
    static const uint32_t members[] = {3, 4, 8, 9};
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);
    uint32_t result;
    struct stamp_slice serial;

    memset(out, 0, sizeof *out);
    out->index = stamp_cbor_uint(c, UINT32_MAX);
    serial = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_SERIAL_MAX);
    result = stamp_cbor_uint(c, STAMP_BOOKS_SCRAPPED);
    if (c->err != STAMP_OK || n != members[result] || !stampi_serial_ok(serial)) {
        c->err = STAMP_E_FORMAT;
        return;
    }
    memcpy(out->serial, serial.p, serial.len);
    out->result = (enum stamp_books_result)result;
    if (out->result != STAMP_BOOKS_UNUSED) {
        out->handed_at = stamp_cbor_uint(c, UINT32_MAX);
    }
    if (out->result == STAMP_BOOKS_STRUCK || out->result == STAMP_BOOKS_SCRAPPED) {
        out->reported_at = stamp_cbor_uint(c, UINT32_MAX);
        get_text(c, out->chip, sizeof out->chip);
        get_text(c, out->who, sizeof out->who);
        get_text(c, out->where, sizeof out->where);
    }
    if (out->result == STAMP_BOOKS_SCRAPPED) {
        get_text(c, out->reason, sizeof out->reason);
    }
}

/* Is it what the manifest says of this record? SPEC 12-9. */
static bool in_its_place(const struct stamp_results *r, const struct stamp_books_line *e)
{
    struct stamp_slice serial = {(const uint8_t *)e->serial, strlen(e->serial)};
    struct stamp_slice before = {(const uint8_t *)r->before, strlen(r->before)};

    return e->index == r->next && (e->index > 0 || strcmp(e->serial, r->first) == 0) &&
           (e->index + 1 < r->head.count || strcmp(e->serial, r->last) == 0) &&
           (!r->ordered || e->index == 0 || stampi_serial_greater(serial, before));
}

/* The file may have been changed since it was checked. */
static enum stamp_err check_same(struct stamp_results *r, struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];

    if (EVP_DigestFinal_ex(r->md, digest, NULL) != 1 ||
        EVP_MD_CTX_copy_ex(r->md, r->head_md) != 1) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    return memcmp(digest, r->head.digest, sizeof digest) == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0, "there are no more entries")
               : stamp_error_set(err, STAMP_E_CORRUPT, 0,
                                 "'%s' was changed while it was read", r->path);
}

enum stamp_err stamp_results_next(struct stamp_results *r, struct stamp_books_line *out,
                                  struct stamp_error *err)
{
    struct stamp_cbor c;
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    if (r->next == r->head.count) {
        return check_same(r, err);
    }
    rc = fill(r, ENTRY_MAX, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    reader(r, ENTRY_MAX, &c);
    get_entry(&c, out);
    if (c.err != STAMP_OK || !in_its_place(r, out)) {
        memset(out, 0, sizeof *out);
        return stamp_error_set(err, STAMP_E_CORRUPT, 0, "entry %u of '%s' is damaged",
                               r->next, r->path);
    }
    memcpy(r->before, out->serial, sizeof r->before);
    r->next++;
    return took(r, &c, ENTRY_MAX, err);
}

enum stamp_err stamp_results_rewind(struct stamp_results *r, struct stamp_error *err)
{
    if (lseek(r->fd, r->entries_at, SEEK_SET) < 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot read '%s': %s", r->path,
                               strerror(errno));
    }
    if (EVP_MD_CTX_copy_ex(r->md, r->head_md) != 1) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    r->before[0] = '\0';
    r->file_at = r->entries_at;
    r->at = 0;
    r->len = 0;
    r->end = false;
    r->next = 0;
    return STAMP_OK;
}

/* ---- tail ---- */

/* SPEC 12-8 */
static enum stamp_err check_tail(struct stamp_results *r, struct stamp_error *err)
{
    struct stamp_cbor c;
    struct stamp_slice digest;
    struct stamp_slice signature;
    enum stamp_err rc = fill(r, ENTRY_MAX, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (EVP_DigestFinal_ex(r->md, r->head.digest, NULL) != 1) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    reader(r, ENTRY_MAX, &c);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 2);
    digest = stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_BATCH_DIGEST_SIZE,
                               STAMP_BATCH_DIGEST_SIZE);
    signature = stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SIG_SIZE, STAMP_SIG_SIZE);
    if (c.err != STAMP_OK || c.left > 0 || !r->end) {
        return malformed(r, "end", err);
    }
    if (memcmp(digest.p, r->head.digest, digest.len) != 0) {
        return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                               "'%s' are not what was signed: damaged on the way",
                               r->path);
    }
    if (stamp_sig_check_point(r->journal, STAMP_LABEL_RESULTS, digest.p, digest.len,
                              signature.p, NULL) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "'%s' are not signed by the books they name", r->path);
    }
    return STAMP_OK;
}

static enum stamp_err check_all(struct stamp_results *r, X509 *const *anchors, size_t n,
                                struct stamp_error *err)
{
    struct stamp_books_line line;
    enum stamp_err rc = take_head(r, anchors, n, err);

    while (rc == STAMP_OK && r->next < r->head.count) {
        rc = stamp_results_next(r, &line, err);
    }
    if (rc == STAMP_OK) {
        rc = check_tail(r, err);
    }
    return rc == STAMP_OK ? stamp_results_rewind(r, err) : rc;
}

enum stamp_err stamp_results_open(const char *path, X509 *const *anchors,
                                  size_t n_anchors, struct stamp_results **out,
                                  struct stamp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    *out = NULL;
    return fd < 0 ? stamp_error_set(err, STAMP_E_IO, errno, "cannot open '%s': %s", path,
                                    strerror(errno))
                  : stamp_results_open_file(fd, path, anchors, n_anchors, out, err);
}

enum stamp_err stamp_results_open_file(int fd, const char *name, X509 *const *anchors,
                                       size_t n_anchors, struct stamp_results **out,
                                       struct stamp_error *err)
{
    struct stamp_results *r = calloc(1, sizeof *r);
    enum stamp_err rc;

    *out = NULL;
    if (r == NULL) {
        (void)close(fd);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    r->fd = fd;
    r->path = strdup(name);
    r->buf = malloc(BUFFER_SIZE);
    r->md = EVP_MD_CTX_new();
    r->head_md = EVP_MD_CTX_new();
    if (r->path == NULL || r->buf == NULL || r->md == NULL || r->head_md == NULL) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    } else if (EVP_DigestInit_ex(r->md, stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot compute a digest");
    } else {
        rc = check_all(r, anchors, n_anchors, err);
    }
    if (rc != STAMP_OK) {
        stamp_results_free(&r);
    }
    *out = r;
    return rc;
}

void stamp_results_free(struct stamp_results **p)
{
    if (*p != NULL) {
        (void)close((*p)->fd);
        EVP_MD_CTX_free((*p)->md);
        EVP_MD_CTX_free((*p)->head_md);
        free((*p)->path);
        free((*p)->buf);
        free(*p);
    }
    *p = NULL;
}

const struct stamp_results_head *stamp_results_head(const struct stamp_results *r)
{
    return &r->head;
}
