/* What programs change on the books over the API: who may, and by whose name. */
#include <stdio.h>
#include <string.h>

#include "host/registry_revoke.h"
#include "service/answer.h"
#include "service/books.h"
#include "service/log.h"

#define MAY(role) (1u << STAMP_ROLE_##role)

static const unsigned may[SERVICE_CHANGE_VERBS] = {
    [SERVICE_CHANGE_STATE] = MAY(ADMIN) | MAY(FACTORY) | MAY(SUPPORT),
    [SERVICE_CHANGE_REVOKE] = MAY(ADMIN) | MAY(SUPPORT),
    [SERVICE_CHANGE_OPERATIONAL] = MAY(ADMIN) | MAY(SUPPORT),
};

static enum stamp_err admit(struct stamp_registry *r, const struct service_change *c,
                            time_t now, struct stamp_apikey *key,
                            struct service_change_answer *a, struct stamp_error *err)
{
    enum stamp_err rc = service_admit(r, c->key, may[c->verb], c->from, now, key, err);

    if (rc == STAMP_E_AUTH || rc == STAMP_E_MISSING) {
        a->outcome = rc == STAMP_E_AUTH ? SERVICE_CHANGE_ROLE : SERVICE_CHANGE_KEY;
        return STAMP_OK;
    }
    a->outcome = SERVICE_CHANGE_DONE;
    return rc;
}

/* One that is in the state already is left as it is: asked twice, changed once. */
static enum stamp_err change(struct stamp_registry *r, const struct service_change *c,
                             const char *serial, time_t now,
                             struct service_change_answer *a, struct stamp_error *err)
{
    bool revoke = c->verb == SERVICE_CHANGE_REVOKE;
    struct stamp_registry_row row;
    char why[STAMP_REGISTRY_TEXT_SIZE];
    char chip[STAMP_REGISTRY_CHIP_SIZE];
    struct stamp_registry_change what = {
        .serial = serial,
        .to = revoke ? STAMP_REGISTRY_REVOKED : (enum stamp_registry_state)c->state,
        .at = now,
        .why = why,
        .reason = c->reason};
    enum stamp_err rc = stamp_registry_find(r, serial, &row, err);
    bool done = rc == STAMP_OK && row.state == what.to;

    service_text(c->why, why, sizeof why);
    service_text(c->chip, chip, sizeof chip);
    what.chip = chip[0] == '\0' ? NULL : chip;
    if (revoke && why[0] == '\0') {
        (void)snprintf(why, sizeof why, "%s",
                       stamp_reason_name((enum stamp_reason)c->reason));
    }
    done = done && (what.chip == NULL || strcmp(what.chip, row.chip) == 0);
    stamp_registry_row_fini(&row);
    a->n = !done;
    return rc == STAMP_OK && !done ? stamp_registry_change(r, &what, 1, NULL, err) : rc;
}

static enum stamp_err do_it(struct stamp_registry *r, const struct service_change *c,
                            time_t now, struct service_change_answer *a,
                            struct stamp_error *err)
{
    char serial[STAMP_SERIAL_SIZE];
    size_t n = 0;
    enum stamp_err rc;

    service_text(c->serial, serial, sizeof serial);
    if (c->verb != SERVICE_CHANGE_OPERATIONAL) {
        return change(r, c, serial, now, a, err);
    }
    rc = stamp_registry_revoke_operational(r, serial, (enum stamp_reason)c->reason, now,
                                           &n, err);
    a->n = n;
    return rc;
}

static void say(const struct service_change *c, const char *who,
                const struct service_change_answer *a)
{
    static const char *const events[SERVICE_CHANGE_VERBS] = {
        [SERVICE_CHANGE_STATE] = "changed",
        [SERVICE_CHANGE_REVOKE] = "revoked",
        [SERVICE_CHANGE_OPERATIONAL] = "revoked-operational"};
    char serial[STAMP_SERIAL_SIZE];
    char from[SERVICE_FROM_MAX + 1];

    if (a->outcome == SERVICE_CHANGE_DONE && a->n > 0) {
        service_text(c->serial, serial, sizeof serial);
        service_text(c->from, from, sizeof from);
        service_log(events[c->verb], "device", serial, "by", who, "from", from, NULL);
    }
}

/* What the question has wrong is its answer, the rest is an error. */
static enum stamp_err outcome_of(enum stamp_err rc, struct service_change_answer *a,
                                 struct stamp_error *err)
{
    switch ((int)rc) {
    case STAMP_E_MISSING:
        a->outcome = SERVICE_CHANGE_NONE;
        break;
    case STAMP_E_STATE:
        a->outcome = SERVICE_CHANGE_CONFLICT;
        break;
    case STAMP_E_DUPLICATE:
    case STAMP_E_RANGE:
        a->outcome = SERVICE_CHANGE_WRONG;
        break;
    default:
        return rc;
    }
    a->why = (struct stamp_slice){(const uint8_t *)err->what, strlen(err->what)};
    a->why.len = a->why.len < 200 ? a->why.len : 200;
    return STAMP_OK;
}

enum stamp_err books_change(struct stamp_registry *r, const struct service_change *c,
                            time_t now, struct service_change_answer *a,
                            struct stamp_error *err)
{
    struct stamp_apikey key = {.role = 0};
    char who[STAMP_REGISTRY_NAME_SIZE + sizeof "API key "];
    char from[SERVICE_FROM_MAX + 1];
    enum stamp_err rc;

    memset(a, 0, sizeof *a);
    rc = admit(r, c, now, &key, a, err);
    if (rc == STAMP_OK && a->outcome == SERVICE_CHANGE_DONE) {
        service_text(c->from, from, sizeof from);
        (void)snprintf(who, sizeof who, "API key %s", key.name);
        stamp_registry_author(r, who, from);
        rc = outcome_of(do_it(r, c, now, a, err), a, err);
        stamp_registry_author(r, BOOKS_AUTHOR, NULL);
    }
    if (rc == STAMP_OK) {
        say(c, key.name, a);
    }
    return rc;
}
