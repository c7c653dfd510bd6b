/* What the files of the registry share. */
#ifndef HOST_REGISTRY_OWN_H
#define HOST_REGISTRY_OWN_H

#include "host/registry_books.h"
#include "host/registry_db.h"

#define STAMPI_PREFIX_LEN 12u
#define STAMPI_POP_MAX 160u /* bytes of a proof that a device sealed */

struct stamp_registry {
    struct stampi_db *db;
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

/** A row of one text, into a name. */
enum stamp_err stampi_take_name(void *name, const struct stampi_value *v,
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
/** A unit of a work order has its certificate now. @param where  NULL = the registry's */
STAMP_MUST_USE enum stamp_err
stampi_unit_issued(struct stamp_registry *r, int64_t id, time_t at, const char *where,
                   bool lock_later, struct stampi_tally *tally, struct stamp_error *err);
/** The certificates of a device that was revoked. */
STAMP_MUST_USE enum stamp_err stampi_revoke(struct stamp_registry *r,
                                            const struct stamp_registry_change *c,
                                            struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_results_add(struct stamp_registry *r,
                                                 const struct stamp_registry_results *row,
                                                 struct stamp_error *err);

#endif
