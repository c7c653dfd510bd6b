/* Batches: their blocks of serials, their volumes and shares, their balance. */
#include "host/registry_batch.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "host/registry_own.h"

/* How many free blocks are looked for where somebody gave serials of one by hand. */
#define TRIES 1000

static const char *const state_names[] = {
    [STAMP_REGISTRY_BATCH_OPEN] = "open",
    [STAMP_REGISTRY_BATCH_MADE] = "made",
    [STAMP_REGISTRY_BATCH_CLOSED] = "closed",
};
#define BATCH_STATES (sizeof state_names / sizeof *state_names)

const char *stamp_registry_batch_state_name(enum stamp_registry_batch_state state)
{
    return (unsigned)state < BATCH_STATES ? state_names[state] : "?";
}

void stamp_registry_batch_serial(const struct stamp_registry_batch *batch, uint32_t index,
                                 uint8_t out[STAMP_CERTIFICATE_SERIAL_SIZE])
{
    stamp_registry_certificate_serial(batch->prefix, index, out);
}

/* ---- looking up ---- */

struct batches {
    struct stamp_registry_batch *batch;
    size_t n;
};

/* id, uid, name, product, note, state, at, count, first_counter, prefix, who, place */
static enum stamp_err take_batch(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct batches *all = ctx;
    struct stamp_registry_batch *b = &all->batch[all->n++];

    (void)err;
    memset(b, 0, sizeof *b);
    b->id = (uint32_t)v[0].number;
    stampi_get_blob(&v[1], b->uid, sizeof b->uid);
    stampi_get_text(&v[2], b->name, sizeof b->name);
    stampi_get_text(&v[3], b->product, sizeof b->product);
    stampi_get_text(&v[4], b->note, sizeof b->note);
    b->state = (enum stamp_registry_batch_state)v[5].number;
    b->at = (time_t)v[6].number;
    b->count = (uint32_t)v[7].number;
    b->first_counter = (uint64_t)v[8].number;
    stampi_get_blob(&v[9], b->prefix, sizeof b->prefix);
    stampi_get_text(&v[10], b->who, sizeof b->who);
    stampi_get_text(&v[11], b->where, sizeof b->where);
    return STAMP_OK;
}

static enum stamp_err get(struct stamp_registry *r, enum stampi_sql which,
                          struct stampi_value key, struct stamp_registry_batch *batch,
                          struct stamp_error *err)
{
    struct batches all = {batch, 0};

    memset(batch, 0, sizeof *batch);
    return STAMPI_RUN(r, which, take_batch, &all, NULL, err, key);
}

enum stamp_err stampi_batch_get(struct stamp_registry *r, uint32_t id,
                                struct stamp_registry_batch *batch,
                                struct stamp_error *err)
{
    return get(r, STAMPI_BATCH_GET, stampi_int(id), batch, err);
}

enum stamp_err stamp_registry_batch_get(struct stamp_registry *r, uint32_t id,
                                        struct stamp_registry_batch *batch,
                                        struct stamp_error *err)
{
    enum stamp_err rc = stampi_batch_get(r, id, batch, err);

    return rc == STAMP_OK && batch->id == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0, "there is no batch %" PRIu32,
                                 id)
               : rc;
}

enum stamp_err stamp_registry_batch_find(struct stamp_registry *r, const char *name,
                                         struct stamp_registry_batch *batch,
                                         struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    memset(batch, 0, sizeof *batch);
    if (stampi_is_text(name)) {
        rc = get(r, STAMPI_BATCH_FIND, stampi_text(name), batch, err);
    }
    return rc == STAMP_OK && batch->id == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0, "there is no batch '%s'", name)
               : rc;
}

enum stamp_err stamp_registry_batch_find_uid(struct stamp_registry *r,
                                             const uint8_t uid[STAMP_REGISTRY_UID_SIZE],
                                             struct stamp_registry_batch *batch,
                                             struct stamp_error *err)
{
    enum stamp_err rc = get(r, STAMPI_BATCH_FIND_UID,
                            stampi_blob(uid, STAMP_REGISTRY_UID_SIZE), batch, err);

    return rc == STAMP_OK && batch->id == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0, "the batch is not on the books")
               : rc;
}

enum stamp_err stamp_registry_batch_find_owner(struct stamp_registry *r,
                                               const char *owner,
                                               struct stamp_registry_batch *batch,
                                               struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    memset(batch, 0, sizeof *batch);
    if (stampi_is_text(owner)) {
        rc = get(r, STAMPI_BATCH_FIND_OWNER, stampi_text(owner), batch, err);
    }
    return rc == STAMP_OK && batch->id == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "no batch that '%s' makes is open", owner)
               : rc;
}

enum stamp_err stamp_registry_batch_list(struct stamp_registry *r, uint32_t after,
                                         struct stamp_registry_batch *batches, size_t max,
                                         size_t *n, struct stamp_error *err)
{
    struct batches all = {batches, 0};
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_BATCH_LIST, take_batch, &all, NULL, err,
                                   stampi_int(after), stampi_int((int64_t)max));

    *n = rc == STAMP_OK ? all.n : 0;
    return rc;
}

/* ---- making ---- */

struct block {
    char first[STAMP_SERIAL_SIZE]; /* "" = the serials do not ascend */
    char last[STAMP_SERIAL_SIZE];
};

/* Do a pattern's serials ascend with its counter? Not where something drawn at random
 * stands before it. The check character stands behind it, the date is the batch's. */
static bool ascends(const struct stamp_serial_pattern *pattern)
{
    for (size_t i = 0; i < pattern->n_elements; i++) {
        if (pattern->element[i].kind == STAMP_SERIAL_RANDOM) {
            return false;
        }
        if (pattern->element[i].kind == STAMP_SERIAL_COUNTER) {
            return true;
        }
    }
    return false;
}

static enum stamp_err block_at(const struct stamp_registry_batch_setup *s,
                               uint64_t counter, struct block *b, struct stamp_error *err)
{
    enum stamp_err rc =
        stamp_serial_format(s->pattern, counter, s->now, b->first, sizeof b->first, err);

    return rc == STAMP_OK ? stamp_serial_format(s->pattern, counter + s->count - 1,
                                                s->now, b->last, sizeof b->last, err)
                          : rc;
}

static enum stamp_err is_taken(struct stamp_registry *r, const struct block *b,
                               bool *taken, struct stamp_error *err)
{
    char name[STAMP_REGISTRY_NAME_SIZE] = "";
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_SERIAL_RANGE, stampi_take_name, name, NULL,
                                   err, stampi_text(b->first), stampi_text(b->last));

    if (rc == STAMP_OK && name[0] == '\0') {
        rc = STAMPI_RUN(r, STAMPI_BATCH_RANGE, stampi_take_name, name, NULL, err,
                        stampi_text(b->last), stampi_text(b->first));
    }
    *taken = name[0] != '\0';
    return rc;
}

/* The block that was asked for. The counter goes on behind it. */
static enum stamp_err take_this_block(struct stamp_registry *r,
                                      const struct stamp_registry_batch_setup *s,
                                      struct block *b, struct stamp_error *err)
{
    int64_t next;
    bool taken = false;
    enum stamp_err rc = stampi_count_on(r, "serial", 0, &next, err);

    if (rc == STAMP_OK) {
        rc = block_at(s, s->first, b, err);
    }
    if (rc == STAMP_OK && !ascends(s->pattern)) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0,
                             "serials with something random in them have no range");
    }
    if (rc == STAMP_OK) {
        rc = is_taken(r, b, &taken, err);
    }
    if (rc == STAMP_OK && taken) {
        rc = stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                             "a serial from '%s' to '%s' is on the books already",
                             b->first, b->last);
    }
    if (rc == STAMP_OK && (uint64_t)next < s->first + s->count) {
        rc =
            STAMPI_RUN(r, STAMPI_COUNTER_SET, NULL, NULL, NULL, err,
                       stampi_int((int64_t)(s->first + s->count)), stampi_text("serial"));
    }
    return rc;
}

/* The next block of serials that nobody has one of. In a transaction that holds the
 * counter. */
static enum stamp_err take_block(struct stamp_registry *r,
                                 const struct stamp_registry_batch_setup *s,
                                 uint64_t *counter, struct block *b,
                                 struct stamp_error *err)
{
    bool taken = true;
    enum stamp_err rc = STAMP_OK;

    for (unsigned i = 0; i < TRIES && taken && rc == STAMP_OK; i++) {
        int64_t was;

        rc = stampi_count_on(r, "serial", s->count, &was, err);
        *counter = (uint64_t)was;
        if (rc == STAMP_OK) {
            rc = block_at(s, *counter, b, err);
        }
        if (rc == STAMP_OK && !ascends(s->pattern)) {
            memset(b, 0, sizeof *b);
            return STAMP_OK;
        }
        if (rc == STAMP_OK) {
            rc = is_taken(r, b, &taken, err);
        }
    }
    return rc == STAMP_OK && taken
               ? stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                                 "no block of %" PRIu32 " serials is free", s->count)
               : rc;
}

static enum stamp_err add_shares(struct stamp_registry *r, uint32_t batch,
                                 const struct stamp_registry_batch_setup *s,
                                 struct stamp_error *err)
{
    uint32_t size = s->share_size == 0 ? s->count : s->share_size;
    enum stamp_err rc = STAMP_OK;

    for (uint32_t first = 0; first < s->count && rc == STAMP_OK; first += size) {
        uint32_t n = s->count - first < size ? s->count - first : size;

        rc = STAMPI_RUN(r, STAMPI_SHARE_ADD, NULL, NULL, NULL, err, stampi_int(batch),
                        stampi_int(first), stampi_int(n));
        if (s->count - first <= size) {
            break;
        }
    }
    return rc;
}

static const char *or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

/* Another node may be doing the same: one of the two gets it. */
static enum stamp_err add_request(struct stamp_registry *r,
                                  const struct stamp_registry_batch_setup *s, int64_t id,
                                  struct stamp_error *err)
{
    const struct stamp_registry_request *q = s->request;
    int64_t changed = 0;
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_REQUEST_ADD, NULL, NULL, &changed, err, stampi_text(q->who),
                   stampi_text(q->name), stampi_blob(q->digest, sizeof q->digest),
                   stampi_int(id), stampi_int((int64_t)s->now));

    return rc == STAMP_OK && changed == 0
               ? stamp_error_set(err, STAMP_E_BUSY, 0,
                                 "the request '%s' is being answered elsewhere", q->name)
               : rc;
}

struct request {
    uint8_t digest[32];
    int64_t batch;
};

static enum stamp_err take_request(void *ctx, const struct stampi_value *v,
                                   struct stamp_error *err)
{
    struct request *q = ctx;

    (void)err;
    stampi_get_blob(&v[0], q->digest, sizeof q->digest);
    q->batch = v[1].number;
    return STAMP_OK;
}

enum stamp_err stamp_registry_request_find(struct stamp_registry *r,
                                           const struct stamp_registry_request *request,
                                           uint32_t *batch, struct stamp_error *err)
{
    struct request q = {.batch = 0};
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_REQUEST_FIND, take_request, &q, NULL, err,
                                   stampi_text(request->who), stampi_text(request->name));

    *batch = (uint32_t)q.batch;
    if (rc == STAMP_OK && q.batch == 0) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "there is no request '%s'",
                             request->name);
    } else if (rc == STAMP_OK &&
               memcmp(q.digest, request->digest, sizeof q.digest) != 0) {
        rc = stamp_error_set(err, STAMP_E_EXISTS, 0,
                             "under the name '%s' something else was asked for",
                             request->name);
    }
    return rc;
}

enum stamp_err stamp_registry_request_of(struct stamp_registry *r, uint32_t batch,
                                         bool *is, struct stamp_error *err)
{
    int64_t n = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_REQUEST_OF, stampi_take_number, &n, NULL,
                                   err, stampi_int((int64_t)batch));

    *is = n > 0;
    return rc;
}

/* A work order has no shares: nobody makes stamps of it. */
static enum stamp_err add_batch(struct stamp_registry *r,
                                const struct stamp_registry_batch_setup *s, bool is_order,
                                int64_t *made, struct stamp_error *err)
{
    struct block block = {"", ""};
    uint8_t uid[STAMP_REGISTRY_UID_SIZE];
    uint8_t prefix[STAMPI_PREFIX_LEN];
    char number[16];
    uint64_t counter = s->first;
    int64_t id;
    STAMPI_TALLY_AUTO tally = {0};
    enum stamp_err rc = s->first > 0 ? take_this_block(r, s, &block, err)
                                     : take_block(r, s, &counter, &block, err);

    if (rc == STAMP_OK) {
        rc = stampi_count_on(r, "batch", 1, &id, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_new_block(r, id << 32, s->count, prefix, err);
    }
    if (rc == STAMP_OK && RAND_bytes(uid, (int)sizeof uid) != 1) {
        rc = stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    (void)snprintf(number, sizeof number, "%" PRId64, id);
    rc = STAMPI_RUN(
        r, STAMPI_BATCH_ADD, NULL, NULL, NULL, err, stampi_int(id),
        stampi_blob(uid, sizeof uid), stampi_text(s->name == NULL ? number : s->name),
        stampi_text(s->product), stampi_text(s->note == NULL ? "" : s->note),
        stampi_int((int64_t)s->now), stampi_int(s->count), stampi_int((int64_t)counter),
        stampi_text(or_null(block.first)), stampi_text(or_null(block.last)),
        stampi_blob(prefix, sizeof prefix), stampi_text(r->who), stampi_text(r->where));
    if (rc == STAMP_OK && !is_order) {
        rc = add_shares(r, (uint32_t)id, s, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_tally(&tally, (uint32_t)id, STAMP_REGISTRY_RESERVED, s->count, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_leaf_batch(r, id, s->name == NULL ? number : s->name, s->count,
                               (int64_t)s->now, err);
    }
    if (rc == STAMP_OK && s->request != NULL) {
        rc = add_request(r, s, id, err);
    }
    *made = id;
    return rc == STAMP_OK ? stampi_tally_write(r, &tally, err) : rc;
}

static enum stamp_err check_name(const char *name, struct stamp_error *err)
{
    if (name[0] == '\0' || name[strspn(name, "0123456789")] == '\0') {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "a batch's name has more than digits in it");
    }
    return stampi_check_text(name, STAMP_REGISTRY_NAME_SIZE - 1u, "batch's name", err);
}

static enum stamp_err check_setup(const struct stamp_registry_batch_setup *s,
                                  struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (s->count == 0 || s->count > STAMP_REGISTRY_BATCH_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "cannot make %" PRIu32 " stamps",
                               s->count);
    }
    if (s->product[0] == '\0') {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the product has no name");
    }
    if (s->name != NULL) {
        rc = check_name(s->name, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_check_text(s->product, STAMP_MAX_TEXT, "product", err);
    }
    if (rc == STAMP_OK && s->note != NULL) {
        rc = stampi_check_text(s->note, STAMP_REGISTRY_TEXT_MAX, "note", err);
    }
    if (rc == STAMP_OK && s->owner != NULL) {
        rc = stampi_check_owner(s->owner, err);
    }
    return rc;
}

/* What a batch is told, and a work order is not. */
static enum stamp_err refuse_order(struct stamp_registry *r,
                                   const struct stamp_registry_batch *batch,
                                   struct stamp_error *err)
{
    int64_t found = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_ORDER_OF, stampi_take_number, &found, NULL,
                                   err, stampi_int(batch->id));

    if (rc != STAMP_OK || found == 0) {
        return rc;
    }
    stamp_error_hint(err, "see stamp order");
    return stamp_error_set(err, STAMP_E_EXISTS, 0, "'%s' is a work order and no batch",
                           batch->name);
}

/* In a transaction: the batch of this name, or a new one; the newest where it has no
 * name. */
static enum stamp_err find_or_add(struct stamp_registry *r,
                                  const struct stamp_registry_batch_setup *s,
                                  struct stamp_registry_batch *batch, bool *made,
                                  struct stamp_error *err)
{
    int64_t next;
    int64_t volume;
    int64_t id;
    enum stamp_err rc = stampi_count_on(r, "batch", 0, &next, err); /* one at a time */

    *made = true;
    if (rc == STAMP_OK && s->name != NULL) {
        rc = get(r, STAMPI_BATCH_FIND, stampi_text(s->name), batch, err);
        *made = batch->id == 0;
    }
    if (rc == STAMP_OK && *made) {
        rc = add_batch(r, s, false, &id, err);
        if (rc == STAMP_OK) {
            rc = get(r, STAMPI_BATCH_GET, stampi_int(next), batch, err);
        }
    }
    if (rc == STAMP_OK &&
        (batch->count != s->count || strcmp(batch->product, s->product) != 0)) {
        rc = stamp_error_set(err, STAMP_E_EXISTS, 0,
                             "batch '%s' is there already: %" PRIu32 " of '%s'",
                             batch->name, batch->count, batch->product);
    }
    if (rc == STAMP_OK && !*made) {
        rc = refuse_order(r, batch, err);
    }
    if (rc == STAMP_OK && s->owner != NULL) {
        rc = stampi_volume(r, batch->id, s->owner, &volume, err);
    }
    return rc;
}

enum stamp_err stampi_check_batch(const struct stamp_registry_batch_setup *setup,
                                  struct stamp_error *err)
{
    return check_setup(setup, err);
}

enum stamp_err stampi_add_batch(struct stamp_registry *r,
                                const struct stamp_registry_batch_setup *setup,
                                struct stamp_registry_batch *batch,
                                struct stamp_error *err)
{
    int64_t id = 0;
    enum stamp_err rc = add_batch(r, setup, true, &id, err);

    return rc == STAMP_OK ? stampi_batch_get(r, (uint32_t)id, batch, err) : rc;
}

enum stamp_err stamp_registry_batch_create(struct stamp_registry *r,
                                           const struct stamp_registry_batch_setup *setup,
                                           struct stamp_registry_batch *batch, bool *made,
                                           struct stamp_error *err)
{
    bool is_new;
    enum stamp_err rc = check_setup(setup, err);

    memset(batch, 0, sizeof *batch);
    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_finish(r, find_or_add(r, setup, batch, &is_new, err), err);
    if (rc != STAMP_OK) {
        memset(batch, 0, sizeof *batch);
    } else if (made != NULL) {
        *made = is_new;
    }
    return rc;
}

/* ---- states and balance ---- */

static enum stamp_err step(struct stamp_registry *r, uint32_t id,
                           enum stamp_registry_batch_state to, struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    int64_t left = 0;
    int64_t changed = 0;
    enum stamp_err rc = stamp_registry_batch_get(r, id, &batch, err);

    if (rc != STAMP_OK || batch.state == to) {
        return rc;
    }
    rc = refuse_order(r, &batch, err); /* its serials are its own for good */
    if (rc == STAMP_OK && to == STAMP_REGISTRY_BATCH_MADE) {
        rc = STAMPI_RUN(r, STAMPI_SHARES_LEFT, stampi_take_number, &left, NULL, err,
                        stampi_int(id));
    }
    if (rc == STAMP_OK && left > 0) {
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "batch '%s' has %" PRId64 " shares that are not done",
                               batch.name, left);
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_BATCH_STEP, NULL, NULL, &changed, err, stampi_int(to),
                        stampi_int(id), stampi_int((int64_t)to - 1));
    }
    if (rc == STAMP_OK && changed != 1) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0,
                             "batch '%s' is %s and cannot become %s", batch.name,
                             stamp_registry_batch_state_name(batch.state),
                             stamp_registry_batch_state_name(to));
    }
    return rc == STAMP_OK
               ? stampi_leaf_batch_state(r, id, (int)to, (int64_t)time(NULL), err)
               : rc;
}

enum stamp_err stamp_registry_batch_step(struct stamp_registry *r, uint32_t batch,
                                         enum stamp_registry_batch_state to,
                                         struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK ? stampi_finish(r, step(r, batch, to, err), err) : rc;
}

static enum stamp_err take_tally(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct stamp_registry_balance *b = ctx;
    uint64_t n = (uint64_t)v[1].number;

    (void)err;
    if (v[0].number >= 0 && v[0].number < (int64_t)STAMP_REGISTRY_STATES) {
        b->state[v[0].number] = n;
        return STAMP_OK;
    }
    switch (v[0].number - STAMPI_LEFT) {
    case STAMP_REGISTRY_STRUCK:
        b->struck = n;
        break;
    case STAMP_REGISTRY_SCRAPPED:
        b->scrapped = n;
        break;
    case STAMP_REGISTRY_RETURNED:
        b->returned = n;
        break;
    case STAMP_REGISTRY_REVOKED:
        b->revoked = n;
        break;
    default:
        return stamp_error_set(err, STAMP_E_DATABASE, 0,
                               "the registry has a tally that nobody knows");
    }
    return STAMP_OK;
}

enum stamp_err stamp_registry_balance(struct stamp_registry *r, uint32_t batch,
                                      struct stamp_registry_balance *out,
                                      struct stamp_error *err)
{
    struct stamp_registry_batch b;
    enum stamp_err rc = stamp_registry_batch_get(r, batch, &b, err);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_OK) {
        rc =
            STAMPI_RUN(r, STAMPI_TALLY_OF, take_tally, out, NULL, err, stampi_int(batch));
    }
    if (rc != STAMP_OK) {
        memset(out, 0, sizeof *out);
        return rc;
    }
    out->reserved = out->state[STAMP_REGISTRY_RESERVED];
    out->outstanding = out->state[STAMP_REGISTRY_ISSUED];
    out->issued = b.count - out->reserved;
    return STAMP_OK;
}

/* ---- products ---- */

struct products {
    stamp_registry_product_told told;
    void *ctx;
    bool ended;
};

static enum stamp_err tell_product(void *ctx, const struct stampi_value *v,
                                   struct stamp_error *err)
{
    struct products *p = ctx;
    char product[STAMP_MAX_TEXT + 1u];

    (void)err;
    stampi_get_text(&v[0], product, sizeof product);
    p->ended = p->ended || !p->told(p->ctx, product, (uint64_t)v[1].number);
    return STAMP_OK;
}

enum stamp_err stamp_registry_products(struct stamp_registry *r,
                                       stamp_registry_product_told told, void *ctx,
                                       struct stamp_error *err)
{
    struct products p = {.told = told, .ctx = ctx};

    return r->db->ops->run(r->db, STAMPI_PRODUCTS, NULL, 0, tell_product, &p, NULL, err);
}
