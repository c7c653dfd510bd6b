/*
 * Entries of a station's journal: what the station writes, and headquarters reads. Each
 * carries the hash of the one before it. SPEC 15.
 */
#ifndef HOST_JOURNAL_ENTRY_H
#define HOST_JOURNAL_ENTRY_H

#include "core/stamp.h"
#include "host/error.h"

#define STAMP_JOURNAL_TEXT_MAX 200u
#define STAMP_JOURNAL_CHIP_MAX 64u
#define STAMP_JOURNAL_DATA_MAX 16384u
#define STAMP_JOURNAL_ENTRY_MAX 18432u /* bytes of an encoded entry */
#define STAMP_JOURNAL_HASH 32u

/** The numbers are in files: append-only. */
enum stamp_journal_kind {
    STAMP_JOURNAL_OPEN = 1,  /* the station begins to work; data: the journal key's
                                certificate in DER */
    STAMP_JOURNAL_ORDER = 2, /* an order is taken in; data: SHA-256 of what the
                                 letter held, and the count, 4 bytes big-endian */
    STAMP_JOURNAL_BEGIN = 3, /* a chip gets an index; data: the offer */
    STAMP_JOURNAL_INTENT =
        4, /* a certificate will be signed; data: what of it is signed */
    STAMP_JOURNAL_CERTIFICATE = 5, /* data: it, in DER */
    STAMP_JOURNAL_STRUCK = 6,      /* the unit wrote it and read it back */
    STAMP_JOURNAL_POP = 7,       /* data: the proof that the unit sealed; empty: shown */
    STAMP_JOURNAL_LOCKED = 8,    /* data: one byte, the parts in force */
    STAMP_JOURNAL_DONE = 9,      /* it restarted and proved itself */
    STAMP_JOURNAL_FAILED = 10,   /* why; it may go on */
    STAMP_JOURNAL_SCRAPPED = 11, /* who, why; it may not */
    STAMP_JOURNAL_REWORK =
        12,                   /* who, why; data: who confirmed; its chip may begin anew */
    STAMP_JOURNAL_PAUSE = 13, /* the line stands; why */
    STAMP_JOURNAL_RESUME = 14,
    STAMP_JOURNAL_CHECKPOINT = 15, /* data: the journal key's signature, SPEC 15-5 */
    STAMP_JOURNAL_PUT = 16,        /* kept free: see host/batchbooks.h */
};

/** Slices are borrowed: of a decoded one, from its encoding. */
struct stamp_journal_entry {
    uint32_t seq; /* 1, 2, ... */
    uint8_t previous[STAMP_JOURNAL_HASH];
    uint64_t at; /* seconds */
    enum stamp_journal_kind kind;
    bool has_unit;
    uint8_t order[16]; /* with has_unit, and of ORDER */
    uint32_t index;
    struct stamp_slice chip; /* bytes */
    struct stamp_slice who;  /* text */
    struct stamp_slice why;  /* text */
    struct stamp_slice data;
};

/** @param out  STAMP_JOURNAL_ENTRY_MAX bytes. STAMP_E_RANGE: something is too long */
STAMP_MUST_USE enum stamp_err
stamp_journal_entry_encode(const struct stamp_journal_entry *e, uint8_t *out, size_t *len,
                           struct stamp_error *err);

STAMP_MUST_USE enum stamp_err stamp_journal_entry_decode(struct stamp_slice in,
                                                         struct stamp_journal_entry *e,
                                                         struct stamp_error *err);

/** SPEC 15-3. */
STAMP_MUST_USE enum stamp_err stamp_journal_entry_hash(struct stamp_slice encoded,
                                                       uint8_t hash[STAMP_JOURNAL_HASH],
                                                       struct stamp_error *err);

/** "begin", "certificate", ... */
const char *stamp_journal_kind_name(enum stamp_journal_kind kind);

#endif
