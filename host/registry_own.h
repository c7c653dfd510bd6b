/* What the files of the registry share. */
#ifndef HOST_REGISTRY_OWN_H
#define HOST_REGISTRY_OWN_H

#include "host/log_entry.h"
#include "host/merkle.h"
#include "host/registry_books.h"
#include "host/registry_db.h"
#include "host/registry_enrol.h"

#define STAMPI_PREFIX_LEN 12u
#define STAMPI_POP_MAX 160u /* bytes of a proof that a device sealed */

/* Leaves of the log that the transaction has gathered. */
struct stampi_leaves {
    uint8_t *bytes; /* one behind the other: device, length, leaf */
    size_t len, room;
};
#define STAMPI_LEAVES_KEPT ((size_t)1 << 20)
#define STAMPI_NO_DEVICE INT64_MIN

struct stamp_registry {
    struct stampi_db *db;
    struct stampi_leaves leaves;
    uint8_t purpose;
    char who[STAMP_REGISTRY_TEXT_SIZE];
    char where[STAMP_REGISTRY_TEXT_SIZE];
};

/* ---- statements ---- */

#define STAMPI_RUN(r, which, row, ctx, changed, err, ...)                                \
    (r)->db->ops->run((r)->db, (which), (const struct stampi_value[]){__VA_ARGS__},      \
                      sizeof((const struct stampi_value[]){__VA_ARGS__}) /               \
                          sizeof(struct stampi_value),                                   \
                      (row), (ctx), (changed), (err))

/** A row of one number, into an int64_t. */
enum stamp_err stampi_take_number(void *number, const struct stampi_value *v,
                                  struct stamp_error *err);

STAMP_MUST_USE enum stamp_err stampi_begin(struct stamp_registry *r,
                                           struct stamp_error *err);
/** End a transaction that went well so far, or not. */
STAMP_MUST_USE enum stamp_err stampi_finish(struct stamp_registry *r, enum stamp_err rc,
                                            struct stamp_error *err);

/** A counter: add `n` and get what it was. Whoever did so has it until the transaction
 * ends. */
STAMP_MUST_USE enum stamp_err stampi_count_on(struct stamp_registry *r, const char *name,
                                              uint64_t n, int64_t *was,
                                              struct stamp_error *err);

/** A prefix that nobody has, for the certificate serials of devices from `first` on. */
STAMP_MUST_USE enum stamp_err stampi_new_block(struct stamp_registry *r, int64_t first,
                                               uint64_t n,
                                               uint8_t prefix[STAMPI_PREFIX_LEN],
                                               struct stamp_error *err);

/** UTF-8 without control characters: what both databases, JSON and terminals take. */
bool stampi_is_text(const char *text);
STAMP_MUST_USE enum stamp_err stampi_check_text(const char *text, size_t max,
                                                const char *what,
                                                struct stamp_error *err);

/** By number; id 0 where there is none. */
STAMP_MUST_USE enum stamp_err stampi_batch_get(struct stamp_registry *r, uint32_t id,
                                               struct stamp_registry_batch *batch,
                                               struct stamp_error *err);

/** A new batch, in a transaction. */
STAMP_MUST_USE enum stamp_err
stampi_check_batch(const struct stamp_registry_batch_setup *setup,
                   struct stamp_error *err);
STAMP_MUST_USE enum stamp_err
stampi_add_batch(struct stamp_registry *r, const struct stamp_registry_batch_setup *setup,
                 struct stamp_registry_batch *batch, struct stamp_error *err);

/** The number of an owner's volume, which is made where there is none. In a transaction.
 */
STAMP_MUST_USE enum stamp_err stampi_volume(struct stamp_registry *r, uint32_t batch,
                                            const char *owner, int64_t *volume,
                                            struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_check_owner(const char *owner,
                                                 struct stamp_error *err);

/** The open batch in whose block of serials a serial lies; "" = none. */
STAMP_MUST_USE enum stamp_err stampi_batch_with(struct stamp_registry *r,
                                                const char *serial,
                                                char name[STAMP_REGISTRY_NAME_SIZE],
                                                struct stamp_error *err);

/** Devices that follow on each other: a block of certificate numbers, or a run that was
 * issued together. */
struct stampi_span {
    int64_t first, n;                  /* n 0 = none */
    int64_t at;                        /* of a run */
    uint8_t prefix[STAMPI_PREFIX_LEN]; /* of a block */
};

static inline bool stampi_is_within(int64_t id, const struct stampi_span *s)
{
    return id >= s->first && id - s->first < s->n;
}

/** The block, or the run, that a device is in; as it is where that is the one of before.
 * A device that is in none leaves one that it is not in. */
STAMP_MUST_USE enum stamp_err stampi_find_block(struct stamp_registry *r, int64_t id,
                                                struct stampi_span *s,
                                                struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_find_run(struct stamp_registry *r, int64_t id,
                                              struct stampi_span *s,
                                              struct stamp_error *err);

/** A row of one text, into a name. */
enum stamp_err stampi_take_name(void *name, const struct stampi_value *v,
                                struct stamp_error *err);

/* ---- leaves of the log: gathered in a transaction, written at its end ---- */

/** @param device  whose history it belongs to; STAMPI_NO_DEVICE = nobody's */
STAMP_MUST_USE enum stamp_err stampi_leaf(struct stamp_registry *r, int64_t device,
                                          const struct stamp_log_entry *e,
                                          struct stamp_error *err);
/** Those gathered, one after the other. @param at  0 at first */
bool stampi_leaves_next(const struct stampi_leaves *l, size_t *at, int64_t *device,
                        struct stamp_slice *leaf);
STAMP_MUST_USE enum stamp_err stampi_leaves_write(struct stamp_registry *r,
                                                  struct stamp_error *err);
void stampi_leaves_clear(struct stamp_registry *r);

/** An entry of a device, or with STAMPI_NO_DEVICE of none. */
struct stamp_log_entry stampi_entry_of(int64_t device, enum stamp_log_kind kind,
                                       int64_t at);

/** Something happened to a device, as its history has it. */
struct stampi_happened {
    int64_t device;
    const char *serial;
    enum stamp_registry_state state;
    int64_t at;
    const char *who, *where; /* NULL = the registry's */
    const char *why;
    const char *chip; /* that it has now; NULL or "" = none */
    /* of one that was issued by itself: */
    const uint8_t *fingerprint;
    struct stamp_slice certificate;
};
STAMP_MUST_USE enum stamp_err stampi_leaf_device(struct stamp_registry *r,
                                                 const struct stampi_happened *h,
                                                 struct stamp_error *err);
/** An operational key was certified (then with its certificate), used, or revoked: 0 as
 * `n` then means all that the device has. */
STAMP_MUST_USE enum stamp_err
stampi_leaf_operational(struct stamp_registry *r, int64_t device, uint32_t n,
                        enum stamp_ldevid_state state, int64_t at,
                        struct stamp_slice certificate, struct stamp_error *err);
/** A certificate of the service itself. */
STAMP_MUST_USE enum stamp_err stampi_leaf_own(struct stamp_registry *r,
                                              const uint8_t *number,
                                              struct stamp_slice certificate, int64_t at,
                                              struct stamp_error *err);
/** A certificate was revoked. @param number  STAMP_CERTIFICATE_SERIAL_SIZE bytes */
STAMP_MUST_USE enum stamp_err
stampi_leaf_revocation(struct stamp_registry *r, int64_t device, const uint8_t *number,
                       uint8_t reason, int64_t at, struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_leaf_batch(struct stamp_registry *r, int64_t batch,
                                                const char *name, uint32_t count,
                                                int64_t at, struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_leaf_batch_state(struct stamp_registry *r,
                                                      int64_t batch, int state,
                                                      int64_t at,
                                                      struct stamp_error *err);
/** Something that is kept elsewhere: what it is, and its SHA-256. */
#define STAMPI_ANCHOR_RESULTS "results"
STAMP_MUST_USE enum stamp_err stampi_leaf_anchor(struct stamp_registry *r,
                                                 const char *name,
                                                 const uint8_t digest[32], int64_t at,
                                                 struct stamp_error *err);
/** A device in the tree of a run, SPEC 18-6. @param md  stamp_merkle_md()
 * @param out  STAMPI_RUN_RECORD_MAX bytes */
#define STAMPI_RUN_RECORD_MAX 160u
STAMP_MUST_USE bool stampi_run_record(EVP_MD_CTX *md, struct stamp_slice serial,
                                      const uint8_t fingerprint[32],
                                      struct stamp_slice certificate, uint8_t *out,
                                      size_t *len);
/** Its hash there. */
STAMP_MUST_USE bool stampi_run_leaf(EVP_MD_CTX *md, struct stamp_slice serial,
                                    const uint8_t fingerprint[32],
                                    struct stamp_slice certificate,
                                    uint8_t out[STAMP_MERKLE_SIZE]);
STAMP_MUST_USE enum stamp_err stampi_leaf_run(struct stamp_registry *r, int64_t first,
                                              uint32_t n, int64_t at,
                                              const uint8_t root[STAMP_MERKLE_SIZE],
                                              struct stamp_error *err);

/* ---- tallies: gathered in a transaction, written at its end in one order ---- */

struct stampi_cell {
    uint32_t batch;
    int what;
    int64_t n;
};

struct stampi_tally {
    struct stampi_cell *cell;
    size_t n, room;
};

STAMP_MUST_USE enum stamp_err stampi_tally(struct stampi_tally *t, uint32_t batch,
                                           int what, int64_t n, struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_tally_write(struct stamp_registry *r,
                                                 struct stampi_tally *t,
                                                 struct stamp_error *err);
void stampi_tally_free(struct stampi_tally *t);
#define STAMPI_TALLY_AUTO __attribute__((cleanup(stampi_tally_free))) struct stampi_tally

/* ---- in a transaction ---- */

/** A device that something happens to. */
struct stampi_device {
    int64_t id;
    enum stamp_registry_state state;
    int64_t changed_at; /* -1 = never */
    char chip[STAMP_REGISTRY_CHIP_SIZE];
    bool was_struck; /* known only where it is returned */
    int64_t events;  /* known only in bulk: how many it has of its own */
};

/** Can it be booked, whatever the device? */
STAMP_MUST_USE enum stamp_err stampi_check_change(const struct stamp_registry_change *c,
                                                  struct stamp_error *err);
enum stamp_err stampi_no_device(const struct stamp_registry_change *c,
                                struct stamp_error *err);

/** Is it on the books already, to the second? */
bool stampi_is_told(const struct stamp_registry_change *c, const struct stampi_device *d);
/** May it happen to this device? Whether the chip is another's is not asked. */
STAMP_MUST_USE enum stamp_err stampi_check_step(const struct stamp_registry_change *c,
                                                const struct stampi_device *d,
                                                struct stamp_error *err);
enum stamp_err stampi_chip_is_taken(const struct stamp_registry_change *c,
                                    struct stamp_error *err);
/** The leaf of it. @param d  as it is afterwards */
STAMP_MUST_USE enum stamp_err stampi_leaf_change(struct stamp_registry *r,
                                                 const struct stamp_registry_change *c,
                                                 const struct stampi_device *d,
                                                 struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_tally_step(struct stampi_tally *tally,
                                                const struct stampi_device *d,
                                                enum stamp_registry_state to,
                                                struct stamp_error *err);

/** Many changes, with a few statements. `bad` as in stamp_registry_change(). */
STAMP_MUST_USE enum stamp_err
stampi_bulk(struct stamp_registry *r, const struct stamp_registry_change *changes,
            size_t n, size_t *bad, struct stampi_tally *tally, struct stamp_error *err);

/** stamp_registry_change(), but for the tallies, which are gathered. */
STAMP_MUST_USE enum stamp_err
stampi_change(struct stamp_registry *r, const struct stamp_registry_change *changes,
              size_t n, size_t *bad, struct stampi_tally *tally, struct stamp_error *err);
/** Is it another device's: which of the statements *_OWNER, and of what? */
STAMP_MUST_USE enum stamp_err stampi_is_taken(struct stamp_registry *r,
                                              enum stampi_sql which,
                                              struct stampi_value what, bool *taken,
                                              struct stamp_error *err);
/** Serial and key are a unit's from now on. STAMP_E_BUSY: they were free a moment ago. */
STAMP_MUST_USE enum stamp_err stampi_unit_claim(struct stamp_registry *r,
                                                const char *serial,
                                                const uint8_t fingerprint[32], int64_t id,
                                                struct stamp_error *err);
/** A unit of a work order has its certificate now. */
#define STAMPI_WHY_UNIT "made on the device"
STAMP_MUST_USE enum stamp_err
stampi_unit_issued(struct stamp_registry *r, const struct stampi_happened *h,
                   bool lock_later, struct stampi_tally *tally, struct stamp_error *err);
/** Operational keys of a device whose number is below `before`, the newest first. */
STAMP_MUST_USE enum stamp_err stampi_ldevid_page(struct stamp_registry *r, int64_t device,
                                                 int64_t before,
                                                 struct stamp_ldevid *rows, size_t max,
                                                 size_t *n, struct stamp_error *err);
/** The certificates of a device that was revoked. */
STAMP_MUST_USE enum stamp_err stampi_revoke(struct stamp_registry *r,
                                            const struct stamp_registry_change *c,
                                            struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_results_add(struct stamp_registry *r,
                                                 const struct stamp_registry_results *row,
                                                 struct stamp_error *err);

#endif
