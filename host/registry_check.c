#include "host/registry_check.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/certificate.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/registry_log_own.h"
#include "host/registry_walk.h"

#define LEAVES_PAGE 4096u
#define TALLIES 32

/* A set of leaves, in whatever order: the sum of their hashes, and how many. The hashes
 * are under a key that is drawn for each check: whoever could choose what is on the books
 * could else choose it so that sums are the same. */
struct sum {
    uint64_t n;
    uint8_t hash[STAMP_MERKLE_SIZE];
};

struct check {
    struct stamp_registry *r;
    struct stampi_findings found;
    struct stamp_registry_checked *out;
    struct stamp_error *err;
    enum stamp_err rc; /* of what a row's function could not return */
    EVP_MD_CTX *md;
    uint8_t key[STAMP_MERKLE_SIZE]; /* of the sums */
    struct sum rows[STAMP_LOG_KINDS], log[STAMP_LOG_KINDS];

    /* of the device that rows or leaves are of now */
    int64_t device;
    struct sum of_rows, of_log;
    char serial[STAMP_SERIAL_SIZE];
    char chip[STAMP_REGISTRY_CHIP_SIZE]; /* that the log has last */
    int last_state;                      /* that the log has last; -1 = none */
    uint32_t certified, confirmed;       /* operational keys: the last ones */
    bool retired;                        /* all of them, after that */

    struct stampi_span block, run; /* that the last device was in */
    int64_t *tally;                /* by batch and what */
    size_t batches;
};

/* ---- sets of leaves ---- */

static void add_hash(struct sum *s, const uint8_t hash[STAMP_MERKLE_SIZE])
{
    unsigned carry = 0;

    for (size_t i = STAMP_MERKLE_SIZE; i > 0; i--) {
        carry += (unsigned)s->hash[i - 1] + hash[i - 1];
        s->hash[i - 1] = (uint8_t)carry;
        carry >>= 8;
    }
    s->n++;
}

static bool same(const struct sum *a, const struct sum *b)
{
    return a->n == b->n && memcmp(a->hash, b->hash, sizeof a->hash) == 0;
}

/* Without what rows do not keep. False: there is nothing to compare. */
static bool strip(struct stamp_log_entry *e)
{
    static const struct stamp_slice none = {NULL, 0};

    switch (e->kind) {
    case STAMP_LOG_DEVICE: /* the row has the last chip only: looked at by itself */
        e->chip = none;
        return e->has_state;
    case STAMP_LOG_OPERATIONAL: /* of what came later the row's state tells */
        e->at = 0;
        return e->digest != NULL;
    case STAMP_LOG_OWN:
        e->at = 0;
        return true;
    case STAMP_LOG_REVOCATION:
        e->who = e->where = none;
        return true;
    case STAMP_LOG_BATCH_STATE: /* the row has the last one only */
    case STAMP_LOG_DROP:        /* host/registry_log_check.c looks at it */
        return false;
    case STAMP_LOG_ANCHOR:
        return e->name.len == sizeof STAMPI_ANCHOR_RESULTS - 1 &&
               memcmp(e->name.p, STAMPI_ANCHOR_RESULTS, e->name.len) == 0;
    case STAMP_LOG_BATCH:
    case STAMP_LOG_RUN:
    default:
        return true;
    }
}

static enum stamp_err add(struct check *c, struct stamp_log_entry *e, struct sum *all,
                          struct sum *of_device)
{
    uint8_t bytes[STAMP_LOG_ENTRY_MAX];
    uint8_t hash[STAMP_MERKLE_SIZE];
    enum stamp_log_kind kind = e->kind;
    size_t len;
    enum stamp_err rc;

    if (!strip(e)) {
        return STAMP_OK;
    }
    rc = stamp_log_entry_encode(e, bytes, &len, c->err);
    if (rc != STAMP_OK || !stamp_merkle_leaf(c->md, bytes, len, hash) ||
        !stamp_merkle_join(c->md, c->key, hash, hash)) {
        return rc != STAMP_OK ? rc
                              : stamp_openssl_failed(c->err, "cannot compute a digest");
    }
    add_hash(all != NULL ? &all[kind] : of_device, hash);
    if (all != NULL && of_device != NULL) {
        add_hash(of_device, hash);
    }
    return STAMP_OK;
}

/* ---- what a device's leaves say ---- */

static void see(struct check *c, const struct stamp_log_entry *e)
{
    if (e->kind == STAMP_LOG_DEVICE) {
        if (e->has_state) {
            c->last_state = (int)e->state;
        }
        if (e->chip.len > 0 && e->chip.len < sizeof c->chip) {
            memcpy(c->chip, e->chip.p, e->chip.len);
            c->chip[e->chip.len] = '\0';
        }
    } else if (e->kind == STAMP_LOG_OPERATIONAL) {
        /* two nodes may certify at once: the higher number is the later one */
        if (e->digest != NULL) {
            c->certified = e->n > c->certified ? e->n : c->certified;
            c->retired = false;
        } else if (e->state == STAMP_LDEVID_CONFIRMED) {
            c->confirmed = e->n > c->confirmed ? e->n : c->confirmed;
        } else {
            c->retired = true;
        }
    }
}

static bool take_own_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct check *c = ctx;
    struct stamp_log_entry e;

    (void)index;
    if (stamp_log_entry_decode(leaf, &e, NULL) != STAMP_OK ||
        (e.kind != STAMP_LOG_DEVICE && e.kind != STAMP_LOG_OPERATIONAL)) {
        return true; /* malformed ones were told */
    }
    see(c, &e);
    if (e.kind == STAMP_LOG_DEVICE) {
        c->rc = add(c, &e, NULL, &c->of_log);
    }
    return c->rc == STAMP_OK;
}

static enum stamp_err read_leaves(struct check *c, int64_t device)
{
    enum stamp_err rc;

    memset(&c->of_log, 0, sizeof c->of_log);
    c->chip[0] = '\0';
    c->last_state = -1;
    c->certified = c->confirmed = 0;
    c->retired = false;
    rc = stamp_registry_log_of(c->r, device, 0, UINT32_MAX, take_own_leaf, c, c->err);
    return rc == STAMP_OK ? c->rc : rc;
}

/* ---- devices ---- */

static enum stamp_err check_owner(struct check *c, enum stampi_sql which,
                                  struct stampi_value what, int64_t id, const char *name)
{
    int64_t owner = -1;
    enum stamp_err rc =
        STAMPI_RUN(c->r, which, stampi_take_number, &owner, NULL, c->err, what);

    if (rc == STAMP_OK && owner != id) {
        stampi_tell(&c->found, "device '%s': its %s is %s", c->serial, name,
                    owner < 0 ? "claimed by nobody" : "another device's");
    }
    return rc;
}

/* What the certificate says of itself, against the row. Numbers are of the device's block
 * only where devstamp gave them. */
static enum stamp_err check_certificate(struct check *c, int64_t id,
                                        struct stamp_slice der,
                                        const uint8_t *fingerprint)
{
    STAMP_X509_AUTO *cert = NULL;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t hash[32];
    uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE];
    char serial[STAMP_MAX_TEXT + 1u];
    EVP_PKEY *key;
    enum stamp_err rc;

    if (stamp_pki_decode(der, &cert, NULL) != STAMP_OK) {
        stampi_tell(&c->found, "device '%s': its certificate is none", c->serial);
        return STAMP_OK;
    }
    key = X509_get0_pubkey(cert);
    if (key == NULL || stamp_key_point(key, point, NULL) != STAMP_OK ||
        stamp_key_hash(point, hash, NULL) != STAMP_OK ||
        memcmp(hash, fingerprint, sizeof hash) != 0) {
        stampi_tell(&c->found, "device '%s': its certificate is for another key",
                    c->serial);
        return STAMP_OK;
    }
    if (stamp_pki_serial(cert, serial, sizeof serial, NULL) != STAMP_OK ||
        strcmp(serial, c->serial) != 0) {
        stampi_tell(&c->found, "device '%s': its certificate has another serial",
                    c->serial);
    }
    rc = stampi_find_block(c->r, id, &c->block, c->err);
    if (rc == STAMP_OK && stampi_is_within(id, &c->block)) {
        stamp_registry_certificate_serial(c->block.prefix,
                                          (uint32_t)(id - c->block.first), number);
        if (!stamp_certificate_is(der, number, point)) {
            stampi_tell(&c->found,
                        "device '%s': its certificate has a number that is not its own",
                        c->serial);
        }
    }
    return rc;
}

/* 0 = no such batch is expected */
static int64_t *cell(struct check *c, int64_t id, int64_t what)
{
    size_t batch = (size_t)(id >> 32);

    if (batch >= c->batches) {
        size_t more = batch + 64;
        int64_t *p = realloc(c->tally, more * TALLIES * sizeof *p);

        if (p == NULL) {
            c->rc = stamp_error_set(c->err, STAMP_E_NOMEM, ENOMEM, "out of memory");
            return NULL;
        }
        memset(p + c->batches * TALLIES, 0, (more - c->batches) * TALLIES * sizeof *p);
        c->tally = p;
        c->batches = more;
    }
    return &c->tally[batch * TALLIES + (size_t)(what % TALLIES)];
}

static enum stamp_err check_history(struct check *c, int64_t id,
                                    const struct stampi_value *v)
{
    char chip[STAMP_REGISTRY_CHIP_SIZE];
    bool own = v[3].type != STAMPI_NULL;
    enum stamp_err rc = stampi_find_run(c->r, id, &c->run, c->err);

    if (rc != STAMP_OK || (!own && stampi_is_within(id, &c->run))) {
        if (rc == STAMP_OK && v[2].number != STAMP_REGISTRY_ISSUED) {
            stampi_tell(
                &c->found, "device '%s': it is %s, and nothing happened to it", c->serial,
                stamp_registry_state_name((enum stamp_registry_state)v[2].number));
        }
        return rc;
    }
    rc = read_leaves(c, id);
    if (rc != STAMP_OK) {
        return rc;
    }
    stampi_get_text(&v[4], chip, sizeof chip);
    if (c->last_state < 0) {
        stampi_tell(&c->found, "device '%s': the log has nothing of it", c->serial);
    } else if (c->last_state != v[2].number) {
        stampi_tell(&c->found, "device '%s': it is %s on the books, and %s in the log",
                    c->serial,
                    stamp_registry_state_name((enum stamp_registry_state)v[2].number),
                    stamp_registry_state_name((enum stamp_registry_state)c->last_state));
    }
    if (strcmp(chip, c->chip) != 0) {
        stampi_tell(&c->found,
                    "device '%s': its chip is '%s' on the books, and '%s' in the log",
                    c->serial, chip, c->chip);
    }
    return STAMP_OK;
}

/* id, serial, state, changed_at, chip, fingerprint, certificate */
static enum stamp_err device_row(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct check *c = ctx;
    int64_t id = v[0].number;
    uint8_t fingerprint[32];
    int64_t *n = cell(c, id, v[2].number);
    enum stamp_err rc;

    (void)err;
    if (n == NULL) {
        return c->rc;
    }
    ++*n;
    c->out->devices++;
    stampi_get_text(&v[1], c->serial, sizeof c->serial);
    stampi_get_blob(&v[5], fingerprint, sizeof fingerprint);
    rc = check_owner(c, STAMPI_SERIAL_OWNER, stampi_text(c->serial), id, "serial");
    if (rc == STAMP_OK && v[5].type == STAMPI_BLOB) {
        rc = check_owner(c, STAMPI_KEY_OWNER, stampi_blob(fingerprint, 32), id, "key");
    }
    if (rc == STAMP_OK && v[6].type == STAMPI_BLOB) {
        rc =
            check_certificate(c, id, (struct stamp_slice){v[6].p, v[6].len}, fingerprint);
    }
    return rc == STAMP_OK ? check_history(c, id, v) : rc;
}

/* ---- histories: rows of one device after the other ---- */

static enum stamp_err end_device(struct check *c)
{
    enum stamp_err rc;

    if (c->device < 0) {
        return STAMP_OK;
    }
    rc = read_leaves(c, c->device);
    if (rc == STAMP_OK && !same(&c->of_rows, &c->of_log)) {
        stampi_tell(&c->found,
                    "device '%s': its history on the books (%" PRIu64
                    " entries) is not that of the log (%" PRIu64 ")",
                    c->serial, c->of_rows.n, c->of_log.n);
    }
    memset(&c->of_rows, 0, sizeof c->of_rows);
    c->device = -1;
    return rc;
}

/* The leaves that rows have. */
static enum stamp_err take_rows(void *ctx, struct stamp_registry *r,
                                struct stamp_error *err)
{
    struct check *c = ctx;
    struct stamp_log_entry e;
    struct stamp_slice leaf;
    int64_t device;
    enum stamp_err rc = STAMP_OK;

    for (size_t at = 0;
         rc == STAMP_OK && stampi_leaves_next(&r->leaves, &at, &device, &leaf);) {
        rc = stamp_log_entry_decode(leaf, &e, err);
        if (rc == STAMP_OK && e.kind == STAMP_LOG_DEVICE && device != c->device) {
            rc = end_device(c);
            c->device = device;
            if (e.serial.len < sizeof c->serial) {
                memcpy(c->serial, e.serial.p, e.serial.len);
                c->serial[e.serial.len] = '\0';
            }
        }
        if (rc == STAMP_OK) {
            rc = add(c, &e, c->rows, e.kind == STAMP_LOG_DEVICE ? &c->of_rows : NULL);
        }
    }
    return rc;
}

/* ---- operational keys ---- */

static enum stamp_err take_serial(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    struct check *c = ctx;

    (void)err;
    stampi_get_text(&v[0], c->serial, sizeof c->serial);
    return STAMP_OK;
}

/* The state that the log says a key is in; -1 = one of several. */
static int expected(const struct check *c, uint32_t n)
{
    if (c->retired) {
        return STAMP_LDEVID_RETIRED;
    }
    if (n == c->confirmed) {
        return STAMP_LDEVID_CONFIRMED;
    }
    return n == c->certified && n > c->confirmed ? -1 : STAMP_LDEVID_RETIRED;
}

/* device, n, state, certificate, at, changed_at */
static enum stamp_err key_row(void *ctx, const struct stampi_value *v,
                              struct stamp_error *err)
{
    struct check *c = ctx;
    int want;
    enum stamp_err rc = STAMP_OK;

    (void)err;
    c->out->keys++;
    if (v[0].number != c->device) {
        c->device = v[0].number;
        c->serial[0] = '\0';
        rc = read_leaves(c, c->device);
        if (rc == STAMP_OK) {
            rc = STAMPI_RUN(c->r, STAMPI_DEVICE_SERIAL, take_serial, c, NULL, c->err,
                            stampi_int(c->device));
        }
        if (rc == STAMP_OK && c->serial[0] == '\0') {
            stampi_tell(&c->found, "operational key %" PRId64 " is of no device",
                        v[1].number);
        }
    }
    if (rc != STAMP_OK || v[3].type != STAMPI_BLOB) {
        return rc;
    }
    want = expected(c, (uint32_t)v[1].number);
    if (want >= 0 ? v[2].number != want
                  : v[2].number != STAMP_LDEVID_PENDING &&
                        v[2].number != STAMP_LDEVID_RETIRED) {
        stampi_tell(&c->found,
                    "device '%s': its operational key %" PRId64
                    " is in another state on the books than in the log",
                    c->serial, v[1].number);
    }
    return STAMP_OK;
}

/* ---- the log ---- */

static bool take_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct check *c = ctx;
    struct stamp_log_entry e;

    c->out->leaves = index + 1;
    if (stamp_log_is_dropped(leaf)) {
        return true;
    }
    if (stamp_log_entry_decode(leaf, &e, NULL) == STAMP_OK) {
        c->rc = add(c, &e, c->log, NULL);
    } else {
        stampi_tell(&c->found, "leaf %" PRIu64 " is malformed", index);
    }
    return c->rc == STAMP_OK;
}

static enum stamp_err read_log(struct check *c)
{
    uint64_t from;
    enum stamp_err rc;

    do {
        from = c->out->leaves;
        rc = stamp_registry_log_leaves(c->r, from, LEAVES_PAGE, take_leaf, c, c->err);
        rc = rc == STAMP_OK ? c->rc : rc;
    } while (rc == STAMP_OK && c->out->leaves > from);
    return rc;
}

static void compare_kinds(struct check *c)
{
    static const char *const names[STAMP_LOG_KINDS] = {
        [STAMP_LOG_BATCH] = "batches",
        [STAMP_LOG_RUN] = "devices that were issued together",
        [STAMP_LOG_DEVICE] = "what happened to devices",
        [STAMP_LOG_OPERATIONAL] = "operational certificates",
        [STAMP_LOG_REVOCATION] = "revocations",
        [STAMP_LOG_OWN] = "certificates of the service",
        [STAMP_LOG_ANCHOR] = "results of stations",
    };

    for (size_t i = 0; i < STAMP_LOG_KINDS; i++) {
        if (names[i] != NULL && !same(&c->rows[i], &c->log[i])) {
            stampi_tell(&c->found,
                        "%s: what the books have (%" PRIu64
                        ") is not what the log has (%" PRIu64 ")",
                        names[i], c->rows[i].n, c->log[i].n);
        }
    }
}

/* ---- counts ---- */

/* what, batch, n */
static enum stamp_err tally_row(void *ctx, const struct stampi_value *v,
                                struct stamp_error *err)
{
    struct check *c = ctx;
    int64_t *n;

    (void)err;
    if (v[0].number >= STAMPI_LEFT || v[0].number == STAMP_REGISTRY_RESERVED) {
        return STAMP_OK; /* devices that left a state, or have no row yet */
    }
    n = cell(c, v[1].number << 32, v[0].number);
    if (n == NULL) {
        return c->rc;
    }
    if (*n != v[2].number) {
        stampi_tell(&c->found,
                    "batch %" PRId64 ": %" PRId64
                    " devices are counted as %s, and %" PRId64 " are there",
                    v[1].number, v[2].number,
                    stamp_registry_state_name((enum stamp_registry_state)v[0].number),
                    *n);
    }
    *n = 0;
    return STAMP_OK;
}

static void check_uncounted(struct check *c)
{
    for (size_t i = 0; i < c->batches * TALLIES; i++) {
        size_t what = i % TALLIES;

        if (c->tally[i] != 0 && what != STAMP_REGISTRY_RESERVED && what < STAMPI_LEFT) {
            stampi_tell(&c->found,
                        "batch %zu: %" PRId64 " devices that are %s are not counted",
                        i / TALLIES, c->tally[i],
                        stamp_registry_state_name((enum stamp_registry_state)what));
        }
    }
}

/* ---- all ---- */

static enum stamp_err check_all(struct check *c)
{
    static const enum stampi_walk order[] = {
        STAMPI_WALK_BATCHES,     STAMPI_WALK_RUNS,        STAMPI_WALK_EVENTS,
        STAMPI_WALK_OPERATIONAL, STAMPI_WALK_REVOCATIONS, STAMPI_WALK_OWN,
        STAMPI_WALK_RESULTS,
    };
    uint32_t added = 0;
    enum stamp_err rc;

    do {
        rc = stamp_registry_log_grow(c->r, NULL, 0, &added, c->err);
    } while (rc == STAMP_OK && added > 0);
    if (rc == STAMP_OK) {
        rc = read_log(c);
    }
    for (size_t i = 0; i < sizeof order / sizeof *order && rc == STAMP_OK; i++) {
        rc = stampi_walk_leaves(c->r, order[i], take_rows, c, c->err);
    }
    if (rc == STAMP_OK) {
        rc = end_device(c);
    }
    if (rc == STAMP_OK) {
        compare_kinds(c);
        rc = stampi_walk_table(c->r, STAMPI_WALK_DEVICES, device_row, c, c->err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_walk_table(c->r, STAMPI_WALK_OPERATIONAL, key_row, c, c->err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_walk_table(c->r, STAMPI_WALK_TALLY, tally_row, c, c->err);
    }
    if (rc == STAMP_OK) {
        check_uncounted(c);
    }
    return rc;
}

enum stamp_err stamp_registry_check(struct stamp_registry *r, stamp_registry_wrong wrong,
                                    void *ctx, struct stamp_registry_checked *out,
                                    struct stamp_error *err)
{
    struct check c = {.r = r,
                      .found = {wrong, ctx, 0},
                      .out = out,
                      .err = err,
                      .md = stamp_merkle_md(),
                      .device = -1};
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    rc = c.md == NULL || RAND_bytes(c.key, sizeof c.key) != 1
             ? stamp_openssl_failed(err, "cannot compute a digest")
             : check_all(&c);
    out->wrong = c.found.n;
    EVP_MD_CTX_free(c.md);
    free(c.tally);
    return rc;
}
