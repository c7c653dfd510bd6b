/* What becomes of a device: the steps that there are, and its history. */
#include <string.h>
#include <time.h>

#include "host/registry_own.h"

/* From how many changes on bulk is faster. */
#define BULK_MIN 64u

#define BIT(state) (1u << STAMP_REGISTRY_##state)

static const struct {
    const char *name;
    unsigned next; /* bits of the states that may follow */
} states[STAMP_REGISTRY_STATES] = {
    [STAMP_REGISTRY_RESERVED] = {"reserved", BIT(ISSUED) | BIT(SCRAPPED)},
    [STAMP_REGISTRY_ISSUED] = {"issued", BIT(STRUCK) | BIT(RETURNED) | BIT(SCRAPPED) |
                                             BIT(REVOKED)},
    [STAMP_REGISTRY_STRUCK] = {"struck", BIT(LABELLED) | BIT(SHIPPED) | BIT(ACTIVE) |
                                             BIT(RETURNED) | BIT(SCRAPPED) |
                                             BIT(REVOKED)},
    [STAMP_REGISTRY_LABELLED] = {"labelled", BIT(SHIPPED) | BIT(ACTIVE) | BIT(RETURNED) |
                                                 BIT(SCRAPPED) | BIT(REVOKED)},
    [STAMP_REGISTRY_SHIPPED] = {"shipped", BIT(ACTIVE) | BIT(RETURNED) | BIT(SCRAPPED) |
                                               BIT(REVOKED)},
    [STAMP_REGISTRY_ACTIVE] = {"active", BIT(RETURNED) | BIT(SCRAPPED) | BIT(REVOKED)},
    [STAMP_REGISTRY_RETURNED] = {"returned", BIT(RE_STRUCK) | BIT(SHIPPED) |
                                                 BIT(SCRAPPED) | BIT(REVOKED)},
    [STAMP_REGISTRY_RE_STRUCK] = {"re-struck", BIT(LABELLED) | BIT(SHIPPED) |
                                                   BIT(ACTIVE) | BIT(SCRAPPED) |
                                                   BIT(REVOKED)},
    [STAMP_REGISTRY_SCRAPPED] = {"scrapped", BIT(REVOKED)},
    [STAMP_REGISTRY_REVOKED] = {"revoked", 0},
};

const char *stamp_registry_state_name(enum stamp_registry_state state)
{
    return (unsigned)state < STAMP_REGISTRY_STATES ? states[state].name : "?";
}

bool stamp_registry_state_parse(const char *name, enum stamp_registry_state *out)
{
    for (unsigned i = 0; i < STAMP_REGISTRY_STATES; i++) {
        if (strcmp(name, states[i].name) == 0) {
            *out = (enum stamp_registry_state)i;
            return true;
        }
    }
    return false;
}

bool stamp_registry_may(enum stamp_registry_state from, enum stamp_registry_state to)
{
    return (unsigned)from < STAMP_REGISTRY_STATES &&
           (unsigned)to < STAMP_REGISTRY_STATES &&
           (states[from].next >> (unsigned)to & 1u) != 0;
}

/* Steps that only a device takes which was on a unit once: an unused stamp that came
 * back stays unused. */
static bool needs_strike(enum stamp_registry_state from, enum stamp_registry_state to)
{
    return from == STAMP_REGISTRY_RETURNED &&
           (to == STAMP_REGISTRY_RE_STRUCK || to == STAMP_REGISTRY_SHIPPED);
}

static enum stamp_err take_device(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    struct stampi_device *d = ctx;

    (void)err;
    d->id = v[0].number;
    d->state = (enum stamp_registry_state)v[1].number;
    d->changed_at = v[2].type == STAMPI_NULL ? -1 : v[2].number;
    stampi_get_text(&v[3], d->chip, sizeof d->chip);
    return STAMP_OK;
}

static enum stamp_err refuse_step(const struct stamp_registry_change *c,
                                  const struct stampi_device *d, struct stamp_error *err)
{
    char list[160] = "";
    size_t len = 0;

    for (unsigned i = 0; i < STAMP_REGISTRY_STATES; i++) {
        enum stamp_registry_state to = (enum stamp_registry_state)i;

        if (stamp_registry_may(d->state, to) &&
            (d->was_struck || !needs_strike(d->state, to))) {
            size_t name = strlen(states[i].name);

            memcpy(list + len, len == 0 ? "" : ", ", len == 0 ? 0 : 2);
            len += len == 0 ? 0 : 2;
            memcpy(list + len, states[i].name, name + 1);
            len += name;
        }
    }
    (void)stamp_error_set(err, STAMP_E_STATE, 0, "'%s' is %s and cannot become %s",
                          c->serial, stamp_registry_state_name(d->state),
                          stamp_registry_state_name(c->to));
    stamp_error_hint(err, "what may follow is: %s", len == 0 ? "nothing" : list);
    return STAMP_E_STATE;
}

static enum stamp_err take_strike(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    bool *was_struck = ctx;

    (void)v;
    (void)err;
    *was_struck = true;
    return STAMP_OK;
}

bool stampi_is_told(const struct stamp_registry_change *c, const struct stampi_device *d)
{
    return d->state == c->to && d->changed_at == (int64_t)c->at &&
           (c->chip == NULL || strcmp(c->chip, d->chip) == 0);
}

enum stamp_err stampi_check_step(const struct stamp_registry_change *c,
                                 const struct stampi_device *d, struct stamp_error *err)
{
    /* To issue, more is needed than a word. */
    if (!stamp_registry_may(d->state, c->to) || c->to == STAMP_REGISTRY_ISSUED ||
        (!d->was_struck && needs_strike(d->state, c->to))) {
        return refuse_step(c, d, err);
    }
    return c->chip == NULL || d->chip[0] == '\0' || strcmp(c->chip, d->chip) == 0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                                 "'%s' is on chip '%s' already, not on '%s'", c->serial,
                                 d->chip, c->chip);
}

enum stamp_err stampi_chip_is_taken(const struct stamp_registry_change *c,
                                    struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                           "chip '%s' is another device's already, not that of '%s'",
                           c->chip, c->serial);
}

enum stamp_err stampi_no_device(const struct stamp_registry_change *c,
                                struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_MISSING, 0, "serial '%s' is not on the books",
                           c->serial);
}

static enum stamp_err claim_chip(struct stamp_registry *r,
                                 const struct stamp_registry_change *c,
                                 struct stampi_device *d, struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc;

    if (c->chip == NULL || strcmp(c->chip, d->chip) == 0) {
        return STAMP_OK;
    }
    rc = STAMPI_RUN(r, STAMPI_CHIP_CLAIM, NULL, NULL, &changed, err, stampi_text(c->chip),
                    stampi_int(d->id));
    memcpy(d->chip, c->chip, strlen(c->chip) + 1);
    return rc == STAMP_OK && changed == 0 ? stampi_chip_is_taken(c, err) : rc;
}

enum stamp_err stampi_check_change(const struct stamp_registry_change *c,
                                   struct stamp_error *err)
{
    const struct {
        const char *text;
        size_t max;
        const char *what;
    } texts[] = {
        {c->chip, STAMP_REGISTRY_CHIP_SIZE - 1u, "chip id"},
        {c->who, STAMP_REGISTRY_TEXT_MAX, "operator"},
        {c->where, STAMP_REGISTRY_TEXT_MAX, "place"},
        {c->why, STAMP_REGISTRY_TEXT_MAX, "reason"},
    };
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < sizeof texts / sizeof *texts && rc == STAMP_OK; i++) {
        if (texts[i].text != NULL) {
            rc = stampi_check_text(texts[i].text, texts[i].max, texts[i].what, err);
        }
    }
    if (rc == STAMP_OK && c->chip != NULL && c->chip[0] == '\0') {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "the chip id is empty");
    }
    return rc == STAMP_OK && !stampi_is_text(c->serial) ? stampi_no_device(c, err) : rc;
}

enum stamp_err stampi_tally_step(struct stampi_tally *tally,
                                 const struct stampi_device *d,
                                 enum stamp_registry_state to, struct stamp_error *err)
{
    uint32_t batch = (uint32_t)(d->id >> 32);
    enum stamp_err rc = stampi_tally(tally, batch, (int)d->state, -1, err);

    if (rc == STAMP_OK) {
        rc = stampi_tally(tally, batch, (int)to, 1, err);
    }
    if (rc == STAMP_OK && d->state == STAMP_REGISTRY_ISSUED) {
        rc = stampi_tally(tally, batch, STAMPI_LEFT + (int)to, 1, err);
    }
    return rc;
}

enum stamp_err stampi_leaf_change(struct stamp_registry *r,
                                  const struct stamp_registry_change *c,
                                  const struct stampi_device *d, struct stamp_error *err)
{
    const struct stampi_happened h = {.device = d->id,
                                      .serial = c->serial,
                                      .state = c->to,
                                      .at = (int64_t)c->at,
                                      .who = c->who,
                                      .where = c->where,
                                      .why = c->why,
                                      .chip = d->chip};

    return stampi_leaf_device(r, &h, err);
}

static enum stamp_err write_change(struct stamp_registry *r,
                                   const struct stamp_registry_change *c,
                                   const struct stampi_device *d,
                                   struct stampi_tally *tally, struct stamp_error *err)
{
    const char *chip = d->chip[0] == '\0' ? NULL : d->chip;
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_DEVICE_CHANGE, NULL, NULL, NULL, err, stampi_int(c->to),
                   stampi_int((int64_t)c->at), stampi_text(chip), stampi_int(d->id));

    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_EVENT_ADD, NULL, NULL, NULL, err, stampi_int(d->id),
                        stampi_int(c->to), stampi_int((int64_t)c->at),
                        stampi_text(c->who == NULL ? r->who : c->who),
                        stampi_text(c->where == NULL ? r->where : c->where),
                        stampi_text(c->why == NULL ? "" : c->why));
    }
    if (rc == STAMP_OK) {
        rc = stampi_leaf_change(r, c, d, err);
    }
    return rc == STAMP_OK ? stampi_tally_step(tally, d, c->to, err) : rc;
}

/* A unit that is to be locked at a later stage does not leave before that. */
static enum stamp_err check_lock(struct stamp_registry *r,
                                 const struct stamp_registry_change *c,
                                 const struct stampi_device *d, struct stamp_error *err)
{
    int64_t unlocked = -1;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_UNLOCKED_FIND, stampi_take_number, &unlocked,
                                   NULL, err, stampi_int(d->id));

    if (rc != STAMP_OK || unlocked < 0) {
        return rc;
    }
    stamp_error_hint(err, "lock it: stamp lock --port TTY");
    return stamp_error_set(err, STAMP_E_STATE, 0,
                           "'%s' is not locked yet and cannot become shipped", c->serial);
}

static enum stamp_err change_one(struct stamp_registry *r,
                                 const struct stamp_registry_change *c,
                                 struct stampi_tally *tally, struct stamp_error *err)
{
    struct stampi_device d = {.id = -1};
    enum stamp_err rc = stampi_check_change(c, err);

    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_DEVICE_LOCK, take_device, &d, NULL, err,
                        stampi_text(c->serial));
    }
    if (rc == STAMP_OK && d.id < 0) {
        rc = stampi_no_device(c, err);
    }
    if (rc != STAMP_OK || stampi_is_told(c, &d)) {
        return rc;
    }
    if (d.state == STAMP_REGISTRY_RETURNED) {
        rc = STAMPI_RUN(r, STAMPI_WAS_STRUCK, take_strike, &d.was_struck, NULL, err,
                        stampi_int(d.id));
    }
    if (rc == STAMP_OK) {
        rc = stampi_check_step(c, &d, err);
    }
    if (rc == STAMP_OK && c->to == STAMP_REGISTRY_SHIPPED) {
        rc = check_lock(r, c, &d, err);
    }
    if (rc == STAMP_OK) {
        rc = claim_chip(r, c, &d, err);
    }
    return rc == STAMP_OK ? write_change(r, c, &d, tally, err) : rc;
}

static bool any_ships(const struct stamp_registry_change *changes, size_t n)
{
    while (n > 0 && changes[n - 1].to != STAMP_REGISTRY_SHIPPED) {
        n--;
    }
    return n > 0;
}

enum stamp_err stampi_change(struct stamp_registry *r,
                             const struct stamp_registry_change *changes, size_t n,
                             size_t *bad, struct stampi_tally *tally,
                             struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (n >= BULK_MIN && !any_ships(changes, n)) {
        rc = stampi_bulk(r, changes, n, bad, tally, err);
    } else {
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            if (bad != NULL) {
                *bad = i;
            }
            rc = change_one(r, &changes[i], tally, err);
        }
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        if (changes[i].to == STAMP_REGISTRY_REVOKED) {
            rc = stampi_revoke(r, &changes[i], err);
        }
    }
    return rc;
}

enum stamp_err stamp_registry_change(struct stamp_registry *r,
                                     const struct stamp_registry_change *changes,
                                     size_t n, size_t *bad, struct stamp_error *err)
{
    STAMPI_TALLY_AUTO tally = {0};
    enum stamp_err rc = stampi_begin(r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_change(r, changes, n, bad, &tally, err);
    if (rc == STAMP_OK) {
        rc = stampi_tally_write(r, &tally, err);
    }
    return stampi_finish(r, rc, err);
}

/* ---- history ---- */

struct telling {
    stamp_registry_told told;
    void *ctx;
    bool ended;
};

static enum stamp_err tell(struct telling *t, enum stamp_registry_state state, time_t at,
                           const struct stampi_value v[3])
{
    struct stamp_registry_entry e = {.state = state, .at = at};

    stampi_get_text(&v[0], e.who, sizeof e.who);
    stampi_get_text(&v[1], e.where, sizeof e.where);
    stampi_get_text(&v[2], e.why, sizeof e.why);
    t->ended = t->ended || !t->told(t->ctx, &e);
    return STAMP_OK;
}

static enum stamp_err tell_event(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    (void)err;
    return tell(ctx, (enum stamp_registry_state)v[0].number, (time_t)v[1].number, v + 2);
}

struct run_row {
    struct telling *telling;
    int64_t id;
};

/* first, n, at, who, place */
static enum stamp_err tell_run(void *ctx, const struct stampi_value *v,
                               struct stamp_error *err)
{
    const struct run_row *row = ctx;
    const struct stampi_value texts[3] = {v[3], v[4], stampi_text("")};

    (void)err;
    return row->id - v[0].number < v[1].number
               ? tell(row->telling, STAMP_REGISTRY_ISSUED, (time_t)v[2].number, texts)
               : STAMP_OK;
}

/* What a batch has for all its devices: that they were reserved, and issued. */
static enum stamp_err tell_batch(struct stamp_registry *r, int64_t id, struct telling *t,
                                 struct stamp_error *err)
{
    struct run_row run = {t, id};
    struct stamp_registry_batch batch;
    enum stamp_err rc = stampi_batch_get(r, (uint32_t)(id >> 32), &batch, err);

    if (rc != STAMP_OK || batch.id == 0) {
        return rc; /* made one by one: it has it all itself */
    }
    const struct stampi_value texts[3] = {
        stampi_text(batch.who), stampi_text(batch.where), stampi_text(batch.note)};

    rc = tell(t, STAMP_REGISTRY_RESERVED, batch.at, texts);
    return rc == STAMP_OK
               ? STAMPI_RUN(r, STAMPI_RUN_OF, tell_run, &run, NULL, err, stampi_int(id))
               : rc;
}

enum stamp_err stamp_registry_history(struct stamp_registry *r, const char *serial,
                                      stamp_registry_told told, void *ctx,
                                      struct stamp_error *err)
{
    struct stamp_registry_row row;
    struct telling t = {told, ctx, false};
    enum stamp_err rc = stamp_registry_find(r, serial, &row, err);

    if (rc == STAMP_OK) {
        rc = tell_batch(r, row.id, &t, err);
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_EVENTS, tell_event, &t, NULL, err, stampi_int(row.id));
    }
    stamp_registry_row_fini(&row);
    return rc;
}
