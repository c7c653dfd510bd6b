/*
 * Batches on the books. A batch reserves its whole block of serials and certificate
 * serial numbers when it is made, durable before anything else. It is then cut into
 * shares, which processes of one or more machines claim, each for a volume (a file) of
 * its own:
 *
 *     stamp_registry_batch_create()   once, or by each machine with the same name
 *     stamp_registry_volume()         which of the batch's files is this one
 *     stamp_registry_share_claim()    indices [first + done, first + n) are ours to make
 *       stamp_registry_run_add()      one device; touches no database
 *       stamp_registry_run_commit()   a run of devices, all or none
 *
 * After a crash a volume claims its own unfinished shares again, and `done` says where to
 * go on. What was made behind that is not on the books: it is thrown away and made anew.
 *
 * Cost of a device in a run, with SQLite: 6 us of processor time, 730 bytes of disk
 * with a certificate of 554; bench/registry.c measures it.
 */
#ifndef HOST_REGISTRY_BATCH_H
#define HOST_REGISTRY_BATCH_H

#include "host/registry.h"

#define STAMP_REGISTRY_NAME_SIZE 65u
#define STAMP_REGISTRY_UID_SIZE 16u
#define STAMP_REGISTRY_MARK_MAX 64u
#define STAMP_REGISTRY_SEALED_MAX 128u               /* bytes of a proof in escrow */
#define STAMP_REGISTRY_BATCH_MAX UINT32_C(100000000) /* devices in one batch */

/** The numbers are in the database: append-only. */
enum stamp_registry_batch_state {
    STAMP_REGISTRY_BATCH_OPEN = 0,   /* not all devices are issued */
    STAMP_REGISTRY_BATCH_MADE = 1,   /* all are */
    STAMP_REGISTRY_BATCH_CLOSED = 2, /* its results are on the books */
};

const char *stamp_registry_batch_state_name(enum stamp_registry_batch_state state);

struct stamp_registry_batch {
    uint32_t id;
    uint8_t uid[STAMP_REGISTRY_UID_SIZE]; /* random; the id in its files */
    char name[STAMP_REGISTRY_NAME_SIZE];
    char product[STAMP_MAX_TEXT + 1u];
    char note[STAMP_REGISTRY_TEXT_SIZE];
    enum stamp_registry_batch_state state;
    time_t at; /* when it was made: also the date in its serials */
    uint32_t count;
    uint64_t first_counter; /* index i has the pattern's counter first_counter + i */
    uint8_t prefix[12];     /* of its certificate serial numbers */
    char who[STAMP_REGISTRY_TEXT_SIZE];
    char where[STAMP_REGISTRY_TEXT_SIZE];
};

/** A program's request for a batch or an order, by the name that it gave it: what it gets
 * is booked with it, once. */
struct stamp_registry_request {
    const char *who;    /* asks: the name of its API key */
    const char *name;   /* 1..64 bytes */
    uint8_t digest[32]; /* of all that it asks for */
};

/** What came of it. @param batch  its number
 * @retval STAMP_E_MISSING  nothing yet
 * @retval STAMP_E_EXISTS   under this name something else was asked for */
STAMP_MUST_USE enum stamp_err
stamp_registry_request_find(struct stamp_registry *r,
                            const struct stamp_registry_request *request, uint32_t *batch,
                            struct stamp_error *err);

/** Was it made for a request? */
STAMP_MUST_USE enum stamp_err stamp_registry_request_of(struct stamp_registry *r,
                                                        uint32_t batch, bool *is,
                                                        struct stamp_error *err);

struct stamp_registry_batch_setup {
    const char *name; /* 1..64 bytes, not digits alone; NULL = its number */
    const char *product;
    const char *note; /* NULL = none */
    const struct stamp_serial_pattern *pattern;
    uint32_t count;      /* 1..STAMP_REGISTRY_BATCH_MAX */
    uint32_t share_size; /* devices in a share; 0 = one share */
    uint64_t first;      /* counter of its first serial; 0 = the next free block */
    time_t now;
    const char *owner; /* of its first volume: see stamp_registry_volume(); NULL = none */
    const struct stamp_registry_request *request; /* NULL = none */
};

/**
 * Make a batch, or take the one of this name. The owner's volume comes with it, or is
 * there already: whoever is killed after this finds both again, or neither.
 *
 * @param made  whether it is new; NULL = not asked
 * @retval STAMP_E_DUPLICATE  `first` is given, and one of its serials is taken
 * @retval STAMP_E_EXISTS  one of this name is of another product or count, or is a work
 * order
 * @retval STAMP_E_RANGE   a count or text out of range, or the pattern is used up
 */
STAMP_MUST_USE enum stamp_err stamp_registry_batch_create(
    struct stamp_registry *r, const struct stamp_registry_batch_setup *setup,
    struct stamp_registry_batch *batch, bool *made, struct stamp_error *err);

/** By name, number or uid. STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err
stamp_registry_batch_find(struct stamp_registry *r, const char *name,
                          struct stamp_registry_batch *batch, struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stamp_registry_batch_get(struct stamp_registry *r,
                                                       uint32_t id,
                                                       struct stamp_registry_batch *batch,
                                                       struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stamp_registry_batch_find_uid(
    struct stamp_registry *r, const uint8_t uid[STAMP_REGISTRY_UID_SIZE],
    struct stamp_registry_batch *batch, struct stamp_error *err);

/** The newest batch that is not closed and has a volume of this owner.
 * STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err
stamp_registry_batch_find_owner(struct stamp_registry *r, const char *owner,
                                struct stamp_registry_batch *batch,
                                struct stamp_error *err);

/** One page of batches, oldest first. @param after  number of the last one; 0 = from the
 * start */
STAMP_MUST_USE enum stamp_err
stamp_registry_batch_list(struct stamp_registry *r, uint32_t after,
                          struct stamp_registry_batch *batches, size_t max, size_t *n,
                          struct stamp_error *err);

/** Called with each product that has batches, its desk's among them; false ends it. */
typedef bool (*stamp_registry_product_told)(void *ctx, const char *product,
                                            uint64_t batches);
STAMP_MUST_USE enum stamp_err stamp_registry_products(struct stamp_registry *r,
                                                      stamp_registry_product_told told,
                                                      void *ctx, struct stamp_error *err);

/** Certificate serial number of a batch's device. */
void stamp_registry_batch_serial(const struct stamp_registry_batch *batch, uint32_t index,
                                 uint8_t out[STAMP_CERTIFICATE_SERIAL_SIZE]);

/**
 * A step of the batch: open, made, closed.
 *
 * @retval STAMP_E_EXISTS  it is a work order: see host/registry_order.h
 * @retval STAMP_E_STATE  made: a share is not done; or not the step from where it is. To
 * be where it is asked for already is no error
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_batch_step(struct stamp_registry *r, uint32_t batch,
                          enum stamp_registry_batch_state to, struct stamp_error *err);

/** Where the stamps of a batch are: issued = struck + scrapped + returned + revoked +
 * outstanding. A stamp is counted by how it was used up; what became of its unit later
 * changes nothing here. */
struct stamp_registry_balance {
    uint64_t reserved; /* not issued yet */
    uint64_t issued;
    uint64_t struck;
    uint64_t scrapped;
    uint64_t returned;
    uint64_t revoked;                      /* before they were used */
    uint64_t outstanding;                  /* issued, and nothing more is known */
    uint64_t state[STAMP_REGISTRY_STATES]; /* devices that are in each state now */
};

STAMP_MUST_USE enum stamp_err stamp_registry_balance(struct stamp_registry *r,
                                                     uint32_t batch,
                                                     struct stamp_registry_balance *out,
                                                     struct stamp_error *err);

/* ---- making its devices ---- */

/**
 * The number of a volume: 0 for the batch's first, and so on; always the same for one
 * owner.
 *
 * @param owner  who writes which file, "host:/path" say; 1..200 bytes
 */
STAMP_MUST_USE enum stamp_err stamp_registry_volume(struct stamp_registry *r,
                                                    uint32_t batch, const char *owner,
                                                    uint32_t *volume,
                                                    struct stamp_error *err);

/** A volume, and how far it is. */
struct stamp_registry_volume {
    uint32_t volume;
    char owner[STAMP_REGISTRY_TEXT_SIZE];
    uint64_t claimed; /* devices in its shares */
    uint64_t done;    /* of them on the books */
};

/** One page of a batch's volumes. @param from  the lowest number */
STAMP_MUST_USE enum stamp_err
stamp_registry_volume_list(struct stamp_registry *r, uint32_t batch, uint32_t from,
                           struct stamp_registry_volume *volumes, size_t max, size_t *n,
                           struct stamp_error *err);

struct stamp_registry_share {
    uint32_t batch;
    uint32_t volume;
    uint32_t first; /* index of its first device */
    uint32_t n;
    uint32_t done;                         /* devices that are on the books */
    uint8_t mark[STAMP_REGISTRY_MARK_MAX]; /* as it was given with the last of them */
    size_t mark_len;
};

/**
 * Claim a share for a volume: one of its own that is not done, else one that nobody has.
 * Never waits for other claims, and never gets what another volume has.
 *
 * @retval STAMP_E_MISSING  there is none left
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_share_claim(struct stamp_registry *r, uint32_t batch, uint32_t volume,
                           struct stamp_registry_share *share, struct stamp_error *err);

/** The shares of a volume, done or not, by first index. @param n  in: room; out: how many
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_share_list(struct stamp_registry *r, uint32_t batch, uint32_t volume,
                          struct stamp_registry_share *shares, size_t max, size_t *n,
                          struct stamp_error *err);

/** Give what is not done of a lost volume's shares back for others to claim; afterwards
 * that volume commits nothing more of them. */
STAMP_MUST_USE enum stamp_err stamp_registry_share_release(struct stamp_registry *r,
                                                           uint32_t batch,
                                                           uint32_t volume,
                                                           struct stamp_error *err);

/** A run: devices that go on the books together. */
struct stamp_registry_run;

struct stamp_registry_device {
    const char *serial;
    const uint8_t *fingerprint; /* 32 bytes */
    const uint8_t *certificate; /* DER; 1..STAMP_MAX_CERTIFICATE bytes */
    size_t certificate_len;
    const uint8_t *sealed; /* its proof in escrow: host/registry_escrow.h */
    size_t sealed_len;     /* 0 = none */
};

/**
 * @param dir  where an unnamed temporary file goes; it holds certificates, no secrets
 * A run takes up to 6 MiB of memory; the file, 100 MB. Filling one may go on in one
 * thread while another commits a second one.
 */
STAMP_MUST_USE enum stamp_err stamp_registry_run_new(struct stamp_registry *r,
                                                     const char *dir,
                                                     struct stamp_registry_run **out,
                                                     struct stamp_error *err);
void stamp_registry_run_free(struct stamp_registry_run **p);
#define STAMP_REGISTRY_RUN_AUTO                                                          \
    __attribute__((cleanup(stamp_registry_run_free))) struct stamp_registry_run

/** Add the next device, in the order of indices. STAMP_E_SPACE where the run is full,
 * STAMP_E_RANGE where the device cannot be, STAMP_E_IO where the temporary file fails. */
STAMP_MUST_USE enum stamp_err
stamp_registry_run_add(struct stamp_registry_run *run,
                       const struct stamp_registry_device *device,
                       struct stamp_error *err);

/** Whose envelope the sealed proofs of this run belong to. */
void stamp_registry_run_escrow(struct stamp_registry_run *run, int64_t key);

/** Devices in it. */
uint32_t stamp_registry_run_count(const struct stamp_registry_run *run);

/** Is it worth a commit? From 16,384 devices on, and more where the books are large. */
bool stamp_registry_run_full(const struct stamp_registry_run *run);

/**
 * Put the run on the books as issued: indices share->first + share->done on. Whatever the
 * devices were written to must be durable before this.
 *
 * @param share  on success `done` and `mark` are moved on
 * @param mark   for whoever goes on after a crash; up to STAMP_REGISTRY_MARK_MAX bytes
 * @retval STAMP_E_DUPLICATE  a serial or key is on the books already
 * @retval STAMP_E_STATE      the share is not this volume's any more
 * @retval STAMP_E_RANGE      more than the share has left
 * On success the run is empty; on failure it is as it was, and may be committed again.
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_run_commit(struct stamp_registry *r, struct stamp_registry_run *run,
                          struct stamp_registry_share *share, const void *mark,
                          size_t mark_len, time_t now, struct stamp_error *err);

#endif
