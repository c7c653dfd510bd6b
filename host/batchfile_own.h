/*
 * What the writer and the reader of batch files share: blocks (SPEC 11.1), records (11.2)
 * and the manifest's content (11.4).
 */
#ifndef HOST_BATCHFILE_OWN_H
#define HOST_BATCHFILE_OWN_H

#include <sys/types.h>

#include "host/batchfile.h"
#include "host/merkle.h"

#define STAMPI_HEAD_SIZE 16u
#define STAMPI_CHECK_SIZE 8u
#define STAMPI_FRAME_SIZE (STAMPI_HEAD_SIZE + STAMPI_CHECK_SIZE)

#define STAMPI_MAGIC_HEADER "dStB"
#define STAMPI_MAGIC_SEGMENT "dStS"
#define STAMPI_MAGIC_RECORD "dStR"
#define STAMPI_MAGIC_PAGE "dStL"
#define STAMPI_MAGIC_INDEX "dStI"
#define STAMPI_MAGIC_MANIFEST "dStM"
#define STAMPI_MAGIC_END "dStE"

/* Payloads, SPEC 11-5. */
#define STAMPI_HEADER_LEN 80u
#define STAMPI_ENVELOPE_MAX 32768u
#define STAMPI_RECORD_LEN_MAX (STAMP_BATCH_RECORD_MAX - STAMPI_FRAME_SIZE)
#define STAMPI_PAGE_LEN_MAX (STAMPI_PAGE_ENTRIES * STAMPI_ENTRY_MAX)
#define STAMPI_MANIFEST_MAX 65536u
#define STAMPI_END_LEN 16u

#define STAMPI_HEADER_SIZE (STAMPI_HEADER_LEN + STAMPI_FRAME_SIZE)
#define STAMPI_END_SIZE (STAMPI_END_LEN + STAMPI_FRAME_SIZE)
#define STAMPI_SEGMENT_SIZE_MAX (STAMPI_ENVELOPE_MAX + STAMPI_FRAME_SIZE)
#define STAMPI_PAGE_SIZE_MAX (STAMPI_PAGE_LEN_MAX + STAMPI_FRAME_SIZE)

#define STAMPI_VERSION 1u
#define STAMPI_PAGE_ENTRIES 256u
#define STAMPI_ENTRY_FIXED 41u /* offset, digest, length of the serial */
#define STAMPI_ENTRY_MAX (STAMPI_ENTRY_FIXED + STAMP_SERIAL_MAX)
#define STAMPI_PAGE_REF_SIZE 40u    /* offset, digest */
#define STAMPI_SEGMENT_REF_SIZE 44u /* offset, first record, digest */
#define STAMPI_KEY_SIZE 32u
#define STAMPI_RANDOM_SIZE 16u
#define STAMPI_TAG_SIZE 16u
#define STAMPI_CONTENT_MAX 32768u /* bytes of the manifest's CBOR */

/* ---- batchfile_block.c ---- */

struct stampi_head {
    uint8_t magic[4];
    uint32_t len; /* of the payload */
    uint32_t a;
    uint32_t b;
};

uint64_t stampi_get_u64(const uint8_t *p);
void stampi_put_u64(uint8_t *p, uint64_t v);

void stampi_head_put(uint8_t *p, const char *magic, uint32_t len, uint32_t a, uint32_t b);
void stampi_head_get(const uint8_t *p, struct stampi_head *h);
bool stampi_head_is(const struct stampi_head *h, const char *magic);

/** A context for the two below; NULL on failure. */
EVP_MD_CTX *stampi_digest_new(void);

/** Digest of a block of `len` bytes without its check. SPEC 11-3. */
bool stampi_block_digest(EVP_MD_CTX *md, const uint8_t *block, size_t len,
                         uint8_t digest[STAMP_BATCH_DIGEST_SIZE]);

/** Put head and check around a payload that stands at block + STAMPI_HEAD_SIZE. */
bool stampi_block_close(EVP_MD_CTX *md, uint8_t *block, const char *magic, uint32_t len,
                        uint32_t a, uint32_t b, uint8_t digest[STAMP_BATCH_DIGEST_SIZE]);

/** Is the check right? `len` is the whole block's. Gives the digest. */
bool stampi_block_check(EVP_MD_CTX *md, const uint8_t *block, size_t len,
                        uint8_t digest[STAMP_BATCH_DIGEST_SIZE]);

/** The header as SPEC 11-6 has it. */
bool stampi_header_make(EVP_MD_CTX *md, const uint8_t *id, uint32_t volume,
                        const uint8_t *recipients_digest, const uint8_t *profile_digest,
                        uint8_t out[STAMPI_HEADER_SIZE]);

/** SHA-256 over certificates in DER, one behind the other. */
bool stampi_recipients_digest(EVP_MD_CTX *md, const struct stamp_slice *certs, size_t n,
                              uint8_t digest[STAMP_BATCH_DIGEST_SIZE]);

/** Is serial `a` greater than `b`? SPEC 11-14. */
bool stampi_serial_greater(struct stamp_slice a, struct stamp_slice b);

/** 1..64 bytes of 0x21..0x7E. */
bool stampi_serial_ok(struct stamp_slice serial);

void stampi_free_mac_ctx(EVP_MAC_CTX **p);
void stampi_free_cipher_ctx(EVP_CIPHER_CTX **p);

/** Part of a file in memory, moved over it as needed. */
struct stampi_window {
    int fd;
    uint64_t file_size;
    size_t ahead; /* bytes that a move reads at least, where the file has them */
    uint8_t *buf;
    size_t size;
    uint64_t at; /* where buf begins in the file */
    size_t len;
};

/** @param size  the most that stampi_window_get() can be asked for */
STAMP_MUST_USE enum stamp_err stampi_window_init(struct stampi_window *w, int fd,
                                                 uint64_t file_size, size_t size,
                                                 size_t ahead, struct stamp_error *err);
void stampi_window_fini(struct stampi_window *w);

/**
 * `n` bytes at `at`, valid until the next call.
 *
 * @retval STAMP_E_MISSING  the file ends before; `err` is left alone
 * @retval STAMP_E_IO       the disk failed
 */
STAMP_MUST_USE enum stamp_err stampi_window_get(struct stampi_window *w, uint64_t at,
                                                size_t n, const uint8_t **p,
                                                struct stamp_error *err);

/* ---- batchfile_seal.c ---- */

/** A record's parts, pointing into its block. */
struct stampi_record {
    uint32_t index;
    uint32_t segment;
    const uint8_t *random;
    struct stamp_slice serial;
    struct stamp_slice clear;  /* the block before the sealed stamp */
    struct stamp_slice sealed; /* ciphertext and tag */
};

/** Take a record apart; its check is not looked at. `len` is the whole block's. */
bool stampi_record_parse(const uint8_t *block, size_t len, struct stampi_record *r);

/** What one segment's records are sealed under: HKDF's PRK, in an HMAC context. */
STAMP_MUST_USE enum stamp_err stampi_segment_key(const uint8_t id[STAMP_BATCH_ID_SIZE],
                                                 uint32_t volume, uint32_t segment,
                                                 const uint8_t content[STAMPI_KEY_SIZE],
                                                 EVP_MAC_CTX **out,
                                                 struct stamp_error *err);

/** A context for stampi_record_open(); NULL on failure. */
EVP_CIPHER_CTX *stampi_cipher_new(bool encrypt);

/** Open it; `body` takes the length of `sealed` less STAMPI_TAG_SIZE. False: it does not
 * open, and `body` is wiped. */
bool stampi_record_open(EVP_MAC_CTX *segment, EVP_CIPHER_CTX *cipher,
                        const struct stampi_record *r, uint8_t *body);

/* ---- batchfile_manifest.c ---- */

/** As stamp_encode(). Root, index digest and all else are as in `m`. */
STAMP_MUST_USE enum stamp_err stampi_manifest_encode(const struct stamp_batch_manifest *m,
                                                     uint8_t *out, size_t size,
                                                     size_t *len);

/** Decode and check all of it; slices point into `in`. */
STAMP_MUST_USE enum stamp_err stampi_manifest_decode(struct stamp_batch_manifest *m,
                                                     struct stamp_slice in);

/** Is the manifest's signer a batch key, and are all for one purpose? SPEC 11-23. */
STAMP_MUST_USE enum stamp_err stampi_check_signer(const char *path, X509 *signer,
                                                  uint8_t purpose, X509 *const *anchors,
                                                  size_t n, struct stamp_error *err);

/* ---- batchfile_voucher.c ---- */

/**
 * Draw a voucher key, and forget all of it but this. SPEC 12-2.
 *
 * @param point   of the key
 * @param secret  its scalar, wrapped for the recipients; freed with OPENSSL_free()
 */
STAMP_MUST_USE enum stamp_err stampi_voucher_make(X509 *const *recipients, size_t n,
                                                  uint8_t point[STAMP_POINT_SIZE],
                                                  uint8_t **secret, size_t *len,
                                                  struct stamp_error *err);

/* ---- batchfile_open.c, batchfile_write.c, batchfile_resume.c, batchfile_finish.c ----
 */

/* Measured: with 64 KiB a record costs 1 us in the kernel, with 1 MiB 3 us. */
#define STAMPI_BUFFER_SIZE ((size_t)1 << 16)

struct stamp_batch_writer {
    char *path;
    char *part;
    int fd;
    int failed; /* an enum stamp_err: every further call fails */
    bool finished;
    struct stamp_batch_setup setup; /* recipients below */
    X509 *recipients[STAMP_BATCH_RECIPIENTS_MAX];
    struct stamp_slice der[STAMP_BATCH_RECIPIENTS_MAX]; /* the same */
    uint8_t header[STAMPI_HEADER_SIZE];
    EVP_MD_CTX *md;
    struct stamp_merkle tree;

    EVP_MAC_CTX *key; /* of this run's segment */
    uint8_t *segment; /* its block; written before its first record */
    size_t segment_len;
    uint8_t segment_digest[STAMP_BATCH_DIGEST_SIZE];
    bool segment_begun;

    uint8_t *buf; /* what is not in the file yet */
    size_t buf_len;
    uint64_t at;    /* where the buffer's first byte goes */
    uint64_t ahead; /* up to where the disk was told to begin */

    uint8_t page[STAMPI_PAGE_SIZE_MAX]; /* entries from STAMPI_HEAD_SIZE on */
    size_t page_len;                    /* of the entries */
    uint32_t page_entries;

    uint8_t *pages; /* STAMPI_PAGE_REF_SIZE each */
    uint32_t n_pages;
    size_t pages_size;
    uint8_t *segments; /* STAMPI_SEGMENT_REF_SIZE each */
    uint32_t n_segments;
    size_t segments_size;

    bool ordered;
    char first[STAMP_SERIAL_SIZE];
    char last[STAMP_SERIAL_SIZE];
};

/** How many records there are; fewer than 2^32. */
static inline uint32_t stampi_writer_count(const struct stamp_batch_writer *w)
{
    return (uint32_t)w->tree.count;
}

/** Book a record that stands at `at` in the file: page, tree, order. */
STAMP_MUST_USE enum stamp_err stampi_writer_note(
    struct stamp_batch_writer *w, uint64_t at, const struct stampi_record *r,
    const uint8_t digest[STAMP_BATCH_DIGEST_SIZE], struct stamp_error *err);

/** The page so far as a block; `*len` is its size. */
STAMP_MUST_USE enum stamp_err stampi_writer_page(struct stamp_batch_writer *w,
                                                 size_t *len,
                                                 uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                                 struct stamp_error *err);

/** Book that page as standing at `at`, and begin the next. */
STAMP_MUST_USE enum stamp_err
stampi_writer_page_done(struct stamp_batch_writer *w, uint64_t at,
                        const uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                        struct stamp_error *err);

/** Book a segment that stands at `at`, beginning with the next record. */
STAMP_MUST_USE enum stamp_err
stampi_writer_segment_done(struct stamp_batch_writer *w, uint64_t at,
                           const uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                           struct stamp_error *err);

/**
 * Take what a former run left in a file of `size` bytes that begins with our header: all
 * that is whole and in its place is booked. Nothing is written.
 *
 * @param end  where the file is to be cut
 */
STAMP_MUST_USE enum stamp_err stampi_writer_scan(struct stamp_batch_writer *w,
                                                 uint64_t size, stamp_batch_found found,
                                                 void *ctx, uint64_t *end,
                                                 struct stamp_error *err);

/** Fails where the writer is finished, or failed before. */
STAMP_MUST_USE enum stamp_err stampi_writer_usable(const struct stamp_batch_writer *w,
                                                   struct stamp_error *err);

/** The writer takes nothing more: what is in its file is no longer known. Returns `rc`.
 */
enum stamp_err stampi_writer_broken(struct stamp_batch_writer *w, enum stamp_err rc,
                                    struct stamp_error *err);

/** STAMP_E_IO, and the same. @param code  an errno */
enum stamp_err stampi_writer_failed_io(struct stamp_batch_writer *w, const char *verb,
                                       int code, struct stamp_error *err);

STAMP_MUST_USE enum stamp_err stampi_writer_put(struct stamp_batch_writer *w,
                                                const uint8_t *p, size_t len,
                                                struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_writer_put_page(struct stamp_batch_writer *w,
                                                     struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_writer_sync(struct stamp_batch_writer *w,
                                                 struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_writer_sync_dir(const struct stamp_batch_writer *w,
                                                     struct stamp_error *err);

/* ---- batchfile_read.c, batchfile_page.c, batchfile_get.c ---- */

struct stamp_batch {
    char *path;
    int fd;
    uint64_t size;
    uint64_t index_at;
    uint64_t manifest_at;
    EVP_MD_CTX *md;
    struct stampi_window window; /* for what is read here and there */

    uint8_t *content; /* the manifest's CBOR */
    uint8_t *cms;     /* the same, signed */
    size_t cms_len;
    struct stamp_batch_manifest manifest;
    X509 *signer;

    uint8_t *index; /* the whole block */
    uint32_t n_pages;
    uint32_t n_segments;

    bool has_page; /* page[] is that of number page_no, checked */
    uint32_t page_no;
    uint8_t page[STAMPI_PAGE_SIZE_MAX];
    size_t page_size;
    uint32_t page_entries;
    uint16_t entry_at[STAMPI_PAGE_ENTRIES]; /* offsets into page[] */

    EVP_PKEY *key;
    EVP_MAC_CTX **segment_keys; /* n_segments; NULL = not unwrapped yet */
    EVP_CIPHER_CTX *cipher;
};

/** References in the index. */
uint64_t stampi_page_offset(const struct stamp_batch *b, uint32_t page);
const uint8_t *stampi_page_digest(const struct stamp_batch *b, uint32_t page);
uint64_t stampi_segment_offset(const struct stamp_batch *b, uint32_t segment);
const uint8_t *stampi_segment_digest(const struct stamp_batch *b, uint32_t segment);
uint32_t stampi_segment_first(const struct stamp_batch *b, uint32_t segment);

/** One entry of the page that is loaded. */
struct stampi_entry {
    uint64_t offset;
    const uint8_t *digest;
    struct stamp_slice serial;
};
void stampi_page_entry(const struct stamp_batch *b, uint32_t i, struct stampi_entry *out);

/** Load the page into b->page, checked. */
STAMP_MUST_USE enum stamp_err stampi_page_load(struct stamp_batch *b, uint32_t page,
                                               struct stamp_error *err);

/**
 * The record of entry `e`, checked against it, through `w`.
 *
 * @param r     points into the window
 * @param size  of the block
 */
STAMP_MUST_USE enum stamp_err stampi_record_load(struct stamp_batch *b,
                                                 struct stampi_window *w, uint32_t index,
                                                 const struct stampi_entry *e,
                                                 struct stampi_record *r, size_t *size,
                                                 struct stamp_error *err);

/** Open a loaded record and check what is in it. As stamp_batch_get(). */
STAMP_MUST_USE enum stamp_err stampi_record_unseal(struct stamp_batch *b,
                                                   const struct stampi_record *r,
                                                   uint8_t body[STAMP_MAX_LEN],
                                                   size_t *len, struct stamp_error *err);

/** The segment's block, checked; points into b->window. */
STAMP_MUST_USE enum stamp_err stampi_segment_load(struct stamp_batch *b, uint32_t segment,
                                                  struct stamp_slice *envelope,
                                                  struct stamp_error *err);

/** Unwrap the segment's key, where that was not done yet; moves b->window. */
STAMP_MUST_USE enum stamp_err
stampi_segment_unlock(struct stamp_batch *b, uint32_t segment, struct stamp_error *err);

/** New, of a file that is open; takes `fd` also where it fails. */
STAMP_MUST_USE enum stamp_err stampi_batch_new(const char *path, int fd,
                                               struct stamp_batch **out,
                                               struct stamp_error *err);

/** The content of the manifest was taken into b->content: decode it, and check header and
 * index against it. */
STAMP_MUST_USE enum stamp_err stampi_batch_attach(struct stamp_batch *b, size_t len,
                                                  struct stamp_error *err);

#endif
