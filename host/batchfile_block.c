/* Blocks, the frame of everything in a batch file (SPEC 11.1), and a window over a file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "host/batchfile_own.h"

uint64_t stampi_get_u64(const uint8_t *p)
{
    return (uint64_t)stamp_get_u32(p) | (uint64_t)stamp_get_u32(p + 4) << 32;
}

void stampi_put_u64(uint8_t *p, uint64_t v)
{
    stamp_put_u32(p, (uint32_t)v);
    stamp_put_u32(p + 4, (uint32_t)(v >> 32));
}

/* SPEC 11-2, 11-4. */
void stampi_head_put(uint8_t *p, const char *magic, uint32_t len, uint32_t a, uint32_t b)
{
    memcpy(p, magic, 4);
    stamp_put_u32(p + 4, len);
    stamp_put_u32(p + 8, a);
    stamp_put_u32(p + 12, b);
}

void stampi_head_get(const uint8_t *p, struct stampi_head *h)
{
    memcpy(h->magic, p, 4);
    h->len = stamp_get_u32(p + 4);
    h->a = stamp_get_u32(p + 8);
    h->b = stamp_get_u32(p + 12);
}

bool stampi_head_is(const struct stampi_head *h, const char *magic)
{
    return memcmp(h->magic, magic, 4) == 0;
}

EVP_MD_CTX *stampi_digest_new(void)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (md != NULL && EVP_DigestInit_ex(md, stamp_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(md);
        return NULL;
    }
    return md;
}

/* SPEC 11-3. The zero byte makes a record's digest the leaf hash of RFC 6962. */
bool stampi_block_digest(EVP_MD_CTX *md, const uint8_t *block, size_t len,
                         uint8_t digest[STAMP_BATCH_DIGEST_SIZE])
{
    static const uint8_t zero = 0;

    return EVP_DigestInit_ex(md, NULL, NULL) == 1 &&
           EVP_DigestUpdate(md, &zero, 1) == 1 && EVP_DigestUpdate(md, block, len) == 1 &&
           EVP_DigestFinal_ex(md, digest, NULL) == 1;
}

bool stampi_block_close(EVP_MD_CTX *md, uint8_t *block, const char *magic, uint32_t len,
                        uint32_t a, uint32_t b, uint8_t digest[STAMP_BATCH_DIGEST_SIZE])
{
    size_t end = STAMPI_HEAD_SIZE + (size_t)len;

    stampi_head_put(block, magic, len, a, b);
    if (!stampi_block_digest(md, block, end, digest)) {
        return false;
    }
    memcpy(block + end, digest, STAMPI_CHECK_SIZE);
    return true;
}

bool stampi_block_check(EVP_MD_CTX *md, const uint8_t *block, size_t len,
                        uint8_t digest[STAMP_BATCH_DIGEST_SIZE])
{
    return len > STAMPI_FRAME_SIZE &&
           stampi_block_digest(md, block, len - STAMPI_CHECK_SIZE, digest) &&
           memcmp(block + len - STAMPI_CHECK_SIZE, digest, STAMPI_CHECK_SIZE) == 0;
}

/* SPEC 11-6. */
bool stampi_header_make(EVP_MD_CTX *md, const uint8_t *id, uint32_t volume,
                        const uint8_t *recipients_digest, const uint8_t *profile_digest,
                        uint8_t out[STAMPI_HEADER_SIZE])
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    uint8_t *p = out + STAMPI_HEAD_SIZE;

    memcpy(p, id, STAMP_BATCH_ID_SIZE);
    memcpy(p + STAMP_BATCH_ID_SIZE, recipients_digest, STAMP_BATCH_DIGEST_SIZE);
    memcpy(p + STAMP_BATCH_ID_SIZE + STAMP_BATCH_DIGEST_SIZE, profile_digest,
           STAMP_BATCH_DIGEST_SIZE);
    return stampi_block_close(md, out, STAMPI_MAGIC_HEADER, STAMPI_HEADER_LEN,
                              STAMPI_VERSION, volume, digest);
}

bool stampi_recipients_digest(EVP_MD_CTX *md, const struct stamp_slice *certs, size_t n,
                              uint8_t digest[STAMP_BATCH_DIGEST_SIZE])
{
    bool ok = EVP_DigestInit_ex(md, NULL, NULL) == 1;

    for (size_t i = 0; i < n && ok; i++) {
        ok = EVP_DigestUpdate(md, certs[i].p, certs[i].len) == 1;
    }
    return ok && EVP_DigestFinal_ex(md, digest, NULL) == 1;
}

bool stampi_serial_greater(struct stamp_slice a, struct stamp_slice b)
{
    return a.len != b.len ? a.len > b.len : memcmp(a.p, b.p, a.len) > 0;
}

bool stampi_serial_ok(struct stamp_slice serial)
{
    for (size_t i = 0; i < serial.len; i++) {
        if (serial.p[i] < 0x21 || serial.p[i] > 0x7E) {
            return false;
        }
    }
    return serial.len >= 1 && serial.len <= STAMP_SERIAL_MAX;
}

void stampi_free_mac_ctx(EVP_MAC_CTX **p)
{
    EVP_MAC_CTX_free(*p);
    *p = NULL;
}

void stampi_free_cipher_ctx(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
    *p = NULL;
}

enum stamp_err stampi_window_init(struct stampi_window *w, int fd, uint64_t file_size,
                                  size_t size, size_t ahead, struct stamp_error *err)
{
    memset(w, 0, sizeof *w);
    w->fd = fd;
    w->file_size = file_size;
    w->size = size;
    w->ahead = ahead < size ? ahead : size;
    w->buf = malloc(size);
    return w->buf == NULL ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
                          : STAMP_OK;
}

void stampi_window_fini(struct stampi_window *w)
{
    free(w->buf);
    memset(w, 0, sizeof *w);
}

/* Move to `at` and read at least `n` bytes. */
static enum stamp_err fill(struct stampi_window *w, uint64_t at, size_t n,
                           struct stamp_error *err)
{
    size_t want = n > w->ahead ? n : w->ahead;

    w->at = at;
    w->len = 0;
    while (w->len < n) {
        ssize_t got = pread(w->fd, w->buf + w->len, want - w->len, (off_t)(at + w->len));

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return stamp_error_set(err, STAMP_E_IO, errno, "cannot read the batch: %s",
                                   strerror(errno));
        }
        if (got == 0) {
            return STAMP_E_MISSING;
        }
        w->len += (size_t)got;
    }
    return STAMP_OK;
}

enum stamp_err stampi_window_get(struct stampi_window *w, uint64_t at, size_t n,
                                 const uint8_t **p, struct stamp_error *err)
{
    *p = NULL;
    if (at > w->file_size || n > w->file_size - at) {
        return STAMP_E_MISSING;
    }
    if (n > w->size) {
        STAMP_BUG("the window is too small");
    }
    if (at < w->at || at - w->at > w->len || n > w->len - (size_t)(at - w->at)) {
        enum stamp_err rc = fill(w, at, n, err);

        if (rc != STAMP_OK) {
            w->len = 0;
            return rc;
        }
    }
    *p = w->buf + (size_t)(at - w->at);
    return STAMP_OK;
}
