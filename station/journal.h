/*
 * The journal of a station: an SQLite file in which every step is an entry that carries
 * the hash of the one before. What an append returned is on the disk. Nothing else is
 * stored: how far each unit is follows from the entries, which are all read, and their
 * chain checked, when it is opened. SPEC 15.
 */
#ifndef STATION_JOURNAL_H
#define STATION_JOURNAL_H

#include "host/journal_entry.h"
#include "host/openssl.h"

struct stamp_journal;

/** Where a unit is: the entry that came last for it. */
struct stamp_journal_unit {
    uint32_t index;
    enum stamp_journal_kind last; /* 0 = not begun */
    bool failed;                  /* FAILED came after `last` */
    uint8_t chip[STAMP_JOURNAL_CHIP_MAX];
    size_t chip_len;
    uint32_t begin;       /* seq of its BEGIN; 0 = none */
    uint32_t intent;      /* of its INTENT */
    uint32_t certificate; /* of its CERTIFICATE */
    uint32_t pop;
    uint64_t at; /* of the last entry */
};

/**
 * Open the journal, or with `station` make one where there is none. One process at a
 * time.
 *
 * @param order  whose units are followed
 * @param count  of them
 * @retval STAMP_E_BUSY      another process has it, and had for some seconds: who only
 *                           exports has it for a moment
 * @retval STAMP_E_MISSING   there is none
 * @retval STAMP_E_CORRUPT   an entry was changed, is missing or is of another journal;
 *                           `err` names the first
 */
STAMP_MUST_USE enum stamp_err stamp_journal_open(const char *path, bool create,
                                                 const uint8_t order[16], uint32_t count,
                                                 struct stamp_journal **out,
                                                 struct stamp_error *err);
void stamp_journal_close(struct stamp_journal **p);
#define STAMP_JOURNAL_AUTO                                                               \
    __attribute__((cleanup(stamp_journal_close))) struct stamp_journal

/**
 * Append: all or none, on the disk when it returns.
 *
 * @param entries  their seq and previous are filled in
 */
STAMP_MUST_USE enum stamp_err stamp_journal_append(struct stamp_journal *j,
                                                   struct stamp_journal_entry *entries,
                                                   size_t n, struct stamp_error *err);

/** Signs a digest with the journal's key. */
typedef enum stamp_err (*stamp_journal_sign)(void *ctx, const uint8_t digest[32],
                                             uint8_t sig[64], struct stamp_error *err);

/** Append a signature over all so far (SPEC 15-5). Does nothing behind a checkpoint. */
STAMP_MUST_USE enum stamp_err stamp_journal_checkpoint(struct stamp_journal *j,
                                                       stamp_journal_sign sign, void *ctx,
                                                       struct stamp_error *err);

/** Are all checkpoints of this key? STAMP_E_AUTH: one is not; `err` names it. */
STAMP_MUST_USE enum stamp_err stamp_journal_check(struct stamp_journal *j, EVP_PKEY *key,
                                                  struct stamp_error *err);

/** The unit with an index; NULL = beyond the order. Borrowed until the next append. */
const struct stamp_journal_unit *stamp_journal_unit(const struct stamp_journal *j,
                                                    uint32_t index);

/** The unit that this chip is; NULL = it is none that may go on. */
const struct stamp_journal_unit *stamp_journal_unit_of(const struct stamp_journal *j,
                                                       struct stamp_slice chip);

/** Units that were begun: their indices are below it. */
uint32_t stamp_journal_begun(const struct stamp_journal *j);

/** Read one entry again. @param buf  STAMP_JOURNAL_ENTRY_MAX bytes, which `e` points into
 */
STAMP_MUST_USE enum stamp_err stamp_journal_entry(struct stamp_journal *j, uint32_t seq,
                                                  uint8_t *buf,
                                                  struct stamp_journal_entry *e,
                                                  struct stamp_error *err);

/** The encoding of one entry. @param len  its length */
STAMP_MUST_USE enum stamp_err stamp_journal_raw(struct stamp_journal *j, uint32_t seq,
                                                uint8_t *buf, size_t *len,
                                                struct stamp_error *err);

/** The order that was taken in last, and its count. STAMP_E_MISSING: none was. */
STAMP_MUST_USE enum stamp_err stamp_journal_last_order(struct stamp_journal *j,
                                                       uint8_t order[16], uint32_t *count,
                                                       struct stamp_error *err);

struct stamp_journal_head {
    uint32_t seq; /* of the last entry; 0 = empty */
    uint8_t hash[STAMP_JOURNAL_HASH];
    uint64_t at;         /* of the last entry */
    uint32_t checkpoint; /* seq of the last one */
    uint32_t orders;     /* ORDER entries of the order that is followed */
};

const struct stamp_journal_head *stamp_journal_head(const struct stamp_journal *j);

/** Of the order that is followed. */
struct stamp_journal_status {
    uint32_t count;
    uint32_t done;
    uint32_t failed; /* stopped, and may go on */
    uint32_t scrapped;
    uint32_t doubt; /* begun, and neither done, failed nor scrapped */
    uint32_t remaining;
    uint32_t per_hour; /* done in the last hour */
    uint32_t shift;    /* done in the last eight hours */
};

void stamp_journal_status(const struct stamp_journal *j, uint64_t now,
                          struct stamp_journal_status *s);

#endif
