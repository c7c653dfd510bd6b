/*
 * The batch file: birth stamps in bulk, sealed to the stations that may open them, in one
 * file that never changes once it is finished. SPEC 11.
 *
 * Writing: one writer owns FILE.part; any number of sealers, one for each worker thread,
 * make records under the writer's content key, which is drawn when the writer is opened
 * and never leaves memory; the writer appends them in the order of their indices.
 *
 *     stamp_batch_writer_open()    FILE.part: new, or gone on with after a crash
 *     stamp_batch_sealer_new()     in each worker
 *     stamp_batch_seal()           in each worker, as often as wanted
 *     stamp_batch_append()         in index order
 *     stamp_batch_sync()           what was appended is durable now
 *     stamp_batch_finish()         index, signed manifest, and the name FILE
 *
 * Reading: stamp_batch_open() checks the signed manifest; whatever is read after that is
 * checked against it.
 *
 * Memory: a writer takes 100 KiB (1 MiB more while it goes on with a file) and 40 bytes
 * for each 256 records; a reader 120 KiB (1 MiB more while it verifies) and the same.
 */
#ifndef HOST_BATCHFILE_H
#define HOST_BATCHFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/stamp.h"
#include "host/openssl.h"
#include "host/profile.h"
#include "host/serial.h"

#define STAMP_BATCH_ID_SIZE 16u
#define STAMP_BATCH_DIGEST_SIZE 32u
#define STAMP_BATCH_RECIPIENTS_MAX 8u
#define STAMP_BATCH_NOTE_MAX 256u
#define STAMP_BATCH_RECORD_MAX 16505u /* bytes of the largest record. SPEC 11-5 */
#define STAMP_BATCH_PART ".part"      /* behind the name while it is being written */

/* ---- writing ---- */

/** What a batch file is from its first byte on; the same in every run. */
struct stamp_batch_setup {
    uint8_t id[STAMP_BATCH_ID_SIZE];
    uint32_t volume; /* 0 where the batch is one file */
    uint8_t profile_digest[STAMP_BATCH_DIGEST_SIZE];
    X509 *const *recipients; /* see stamp_cms_check_recipient() */
    size_t n_recipients;     /* 1..STAMP_BATCH_RECIPIENTS_MAX */
};

/** One record as the file has it; a sealed one is not opened for this. */
struct stamp_batch_entry {
    uint32_t index;
    char serial[STAMP_SERIAL_SIZE];
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE]; /* of the record: the tree's leaf */
};

/**
 * Called for each whole record of a FILE.part that is gone on with.
 *
 * @return false: cut the file here; this record and those behind it are made anew
 */
typedef bool (*stamp_batch_found)(void *ctx, const struct stamp_batch_entry *entry);

struct stamp_batch_writer;

/**
 * Open `path`.part: a new one, or what a former run left. Of that, whole records stay
 * (SPEC 11-27), and the rest is cut off, durably, before this returns.
 *
 * @param path   of the finished file
 * @param setup  recipients' references are kept
 * @param found  NULL = keep all whole records
 * @retval STAMP_E_EXISTS   `path` is there already, or `path`.part is of another batch:
 * untouched
 * @retval STAMP_E_BUSY     another process is writing it: untouched
 * @retval STAMP_E_VERSION  `path`.part was made by a newer program: untouched
 * @retval STAMP_E_CONFIG   nothing can be sealed to a recipient
 * @retval STAMP_E_CORRUPT  `path`.part is something else: untouched
 */
STAMP_MUST_USE enum stamp_err
stamp_batch_writer_open(const char *path, const struct stamp_batch_setup *setup,
                        stamp_batch_found found, void *ctx,
                        struct stamp_batch_writer **out, struct stamp_error *err);

/** Close without finishing: what was appended since the last sync may or may not be found
 * by the next run. */
void stamp_batch_writer_free(struct stamp_batch_writer **p);
#define STAMP_BATCH_WRITER_AUTO                                                          \
    __attribute__((cleanup(stamp_batch_writer_free))) struct stamp_batch_writer

/** Records so far: the index of the next one. */
uint32_t stamp_batch_writer_count(const struct stamp_batch_writer *w);

/** Bytes of the file so far. */
uint64_t stamp_batch_writer_size(const struct stamp_batch_writer *w);

/** A worker's means of sealing: independent of the writer and of other sealers. */
struct stamp_batch_sealer;

STAMP_MUST_USE enum stamp_err stamp_batch_sealer_new(const struct stamp_batch_writer *w,
                                                     struct stamp_batch_sealer **out,
                                                     struct stamp_error *err);
void stamp_batch_sealer_free(struct stamp_batch_sealer **p);
#define STAMP_BATCH_SEALER_AUTO                                                          \
    __attribute__((cleanup(stamp_batch_sealer_free))) struct stamp_batch_sealer

/** What stamp_batch_append() needs beside the record's bytes. */
struct stamp_batch_record {
    size_t len;
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
};

/** Bytes of the record that holds a body. */
size_t stamp_batch_record_size(size_t serial_len, size_t body_len);

/**
 * Seal one stamp. May run in many threads at once, each with a sealer of its own; no
 * memory is allocated.
 *
 * @param index   where it will be appended
 * @param serial  1..64 characters
 * @param body    an encoded birth stamp in plaintext; not kept
 * @param out     the record: stamp_batch_record_size() bytes; not over `body`
 * @retval STAMP_E_RANGE  no such serial, or a body of no or more than STAMP_MAX_LEN bytes
 * @retval STAMP_E_SPACE  `size` is too small
 * Not to be used on both sides of a fork(). SPEC 11-10..11-12.
 */
STAMP_MUST_USE enum stamp_err
stamp_batch_seal(struct stamp_batch_sealer *s, uint32_t index, const char *serial,
                 struct stamp_slice body, uint8_t *out, size_t size,
                 struct stamp_batch_record *record, struct stamp_error *err);

/**
 * Append the next record. It goes to a buffer, and to the file when that is full.
 *
 * @param bytes  record->len bytes as stamp_batch_seal() made them; copied
 * @retval STAMP_E_RANGE  not a record of this writer, or not the next one: nothing was
 * changed
 * @retval STAMP_E_IO     the disk failed or is full; from now on every call fails, and
 * opening it anew goes on with what is whole
 */
STAMP_MUST_USE enum stamp_err stamp_batch_append(struct stamp_batch_writer *w,
                                                 const uint8_t *bytes,
                                                 const struct stamp_batch_record *record,
                                                 struct stamp_error *err);

/** Force all that was appended to the disk. Power loss after it loses none of it.
 * STAMP_E_IO as with stamp_batch_append(). */
STAMP_MUST_USE enum stamp_err stamp_batch_sync(struct stamp_batch_writer *w,
                                               struct stamp_error *err);

/** The two halves of stamp_batch_sync(): what was appended goes to the file ... */
STAMP_MUST_USE enum stamp_err stamp_batch_flush(struct stamp_batch_writer *w,
                                                struct stamp_error *err);

/** ... and what went to the file, to the disk. May run in one thread while another one
 * appends. STAMP_E_IO: what is durable is not known; open it anew. */
STAMP_MUST_USE enum stamp_err stamp_batch_force(const struct stamp_batch_writer *w,
                                                struct stamp_error *err);

/** What the manifest says, and who signs it. */
struct stamp_batch_closing {
    uint32_t count; /* records that there must be */
    const char *product;
    uint8_t purpose;
    time_t made_at;
    struct stamp_slice bundle; /* the trust bundle (SPEC 8) */
    const char *note;          /* 1..STAMP_BATCH_NOTE_MAX bytes; NULL or "" = none */
    const struct stamp_profile_partition *partition; /* NULL = it does not say */
    EVP_PKEY *key;                                   /* a batch key: host/signerkey.h */
    X509 *certificate;                               /* of that key */
};

/**
 * Write index and manifest, force all to the disk, and give the file its name.
 *
 * @retval STAMP_E_RANGE   another count, or a text out of range: nothing was changed
 * @retval STAMP_E_AUTH    the certificate is not a batch key's: nothing was changed
 * @retval STAMP_E_PURPOSE the certificate is for the other purpose: nothing was changed
 * @retval STAMP_E_EXISTS  the name was taken meanwhile; FILE.part is kept
 * After any other failure FILE.part can be opened anew and finished. Nothing can be
 * appended after success.
 */
STAMP_MUST_USE enum stamp_err stamp_batch_finish(struct stamp_batch_writer *w,
                                                 const struct stamp_batch_closing *what,
                                                 struct stamp_error *err);

/* ---- reading ---- */

/** The manifest. Slices point into the opened batch; texts are not NUL-terminated. */
struct stamp_batch_manifest {
    uint8_t id[STAMP_BATCH_ID_SIZE];
    uint32_t volume;
    struct stamp_slice product;
    uint8_t purpose;
    uint32_t made_at;
    uint32_t count;
    struct stamp_slice first; /* serial of the first record */
    struct stamp_slice last;
    bool ordered;
    struct stamp_slice recipients[STAMP_BATCH_RECIPIENTS_MAX]; /* DER */
    size_t n_recipients;
    struct stamp_slice bundle;
    struct stamp_slice note; /* p NULL = none */
    uint8_t profile_digest[STAMP_BATCH_DIGEST_SIZE];
    uint8_t root[STAMP_BATCH_DIGEST_SIZE];
    uint8_t index_digest[STAMP_BATCH_DIGEST_SIZE];
    uint8_t voucher[STAMP_POINT_SIZE]; /* point of the voucher key. SPEC 12-2 */
    struct stamp_slice voucher_secret; /* its scalar, wrapped for the recipients */
    bool has_partition;
    struct stamp_profile_partition partition;
};

/** How far a FILE.part is: what a writer that goes on with it would keep. */
struct stamp_batch_part_state {
    uint8_t id[STAMP_BATCH_ID_SIZE];
    uint32_t volume;
    uint32_t records;             /* whole ones */
    char last[STAMP_SERIAL_SIZE]; /* serial of the last; "" = none */
    uint64_t whole;               /* bytes that stay */
    uint64_t size;                /* of the file */
};

/**
 * Look at a FILE.part, which another process may be writing; nothing of it is signed yet.
 *
 * @param path  with STAMP_BATCH_PART
 * @retval STAMP_E_FORMAT   it does not begin as a batch file does
 * @retval STAMP_E_VERSION  made by a newer program
 */
STAMP_MUST_USE enum stamp_err stamp_batch_part_look(const char *path,
                                                    struct stamp_batch_part_state *out,
                                                    struct stamp_error *err);

struct stamp_batch;

/**
 * Open a finished file and check its manifest, header and index; no record is read.
 *
 * @param anchors  whom to trust; borrowed for the call
 * @retval STAMP_E_FORMAT   not a batch file
 * @retval STAMP_E_VERSION  made by a newer format
 * @retval STAMP_E_CORRUPT  damaged or cut short; `err` names the part
 * @retval STAMP_E_AUTH     not signed by a batch key that an anchor vouches for
 * @retval STAMP_E_PURPOSE  the anchors are for the other purpose
 */
STAMP_MUST_USE enum stamp_err stamp_batch_open(const char *path, X509 *const *anchors,
                                               size_t n_anchors, struct stamp_batch **out,
                                               struct stamp_error *err);

void stamp_batch_close(struct stamp_batch **p);
#define STAMP_BATCH_AUTO __attribute__((cleanup(stamp_batch_close))) struct stamp_batch

const struct stamp_batch_manifest *stamp_batch_manifest(const struct stamp_batch *b);

/** The manifest as it was signed: payload of its block, CMS in DER; borrowed. */
struct stamp_slice stamp_batch_manifest_cms(const struct stamp_batch *b);

/** The certificate that signed the manifest; borrowed. */
const X509 *stamp_batch_signer(const struct stamp_batch *b);

/**
 * Give the station's key, which may live in a token; a reference is kept.
 *
 * @retval STAMP_E_AUTH  it does not open this file; nothing more is said (SPEC 11-19)
 */
STAMP_MUST_USE enum stamp_err stamp_batch_unlock(struct stamp_batch *b, EVP_PKEY *key,
                                                 struct stamp_error *err);

/**
 * The voucher key of an unlocked batch: who has it could open the file. SPEC 12-2, 12-3.
 *
 * @param out  the caller frees it
 * @retval STAMP_E_AUTH     no key was given, or it does not open this
 * @retval STAMP_E_CORRUPT  it opens, and is not the manifest's key
 */
STAMP_MUST_USE enum stamp_err
stamp_batch_voucher(const struct stamp_batch *b, EVP_PKEY **out, struct stamp_error *err);

/** One line of the list. STAMP_E_MISSING where there is no such index; STAMP_E_CORRUPT
 * where its page is damaged. One caller at a time for one open batch, here and below. */
STAMP_MUST_USE enum stamp_err stamp_batch_entry(struct stamp_batch *b, uint32_t index,
                                                struct stamp_batch_entry *out,
                                                struct stamp_error *err);

/** Look a serial up: in an ordered file by halving, else page by page. STAMP_E_MISSING
 * where it is not in the file. */
STAMP_MUST_USE enum stamp_err stamp_batch_find(struct stamp_batch *b, const char *serial,
                                               struct stamp_batch_entry *out,
                                               struct stamp_error *err);

/**
 * Open one stamp.
 *
 * @param body  the encoded birth stamp, which the caller wipes: STAMP_MAX_LEN bytes
 * @retval STAMP_E_AUTH     no key was given
 * @retval STAMP_E_CORRUPT  the record is damaged; `err` names it
 * @retval STAMP_E_AUTH     it is another record than the signed one, does not open, or is
 * not what SPEC 11-13 says; `err` names it
 * On failure `body` is wiped and `*len` 0.
 */
STAMP_MUST_USE enum stamp_err stamp_batch_get(struct stamp_batch *b, uint32_t index,
                                              uint8_t body[STAMP_MAX_LEN], size_t *len,
                                              struct stamp_error *err);

/**
 * Check all of it, in one pass and with the same memory whatever its size; where a key
 * was given, open every record. SPEC 11-25.
 *
 * @retval STAMP_E_CORRUPT, STAMP_E_AUTH  `err` names the first thing that is wrong
 */
STAMP_MUST_USE enum stamp_err stamp_batch_verify(struct stamp_batch *b,
                                                 struct stamp_error *err);

#endif
