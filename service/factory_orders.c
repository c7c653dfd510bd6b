/* The factory's work orders: what they take is booked here; they are signed and sealed
 * where the owner key is. */
#include <stdio.h>
#include <string.h>

#include "host/registry_json.h"
#include "service/factory_own.h"
#include "service/log.h"

/* ---- answers ---- */

static void send(struct factory_reply *r, unsigned code, const uint8_t id[16])
{
    struct stamp_registry_order order;
    json_t *j = NULL;
    enum stamp_err rc =
        stamp_registry_order_find(r->f->ws->registry, id, &order, &r->err);

    if (rc == STAMP_OK) {
        rc = stamp_order_json(r->f->ws->registry, &order, &j, &r->err);
    }
    if (rc == STAMP_OK) {
        service_answer_json(&r->to, code, j);
    } else {
        factory_refuse_error(r, rc);
    }
}

static void say(const struct factory_reply *r, const char *event,
                const struct stamp_registry_order *o, const struct service_factory *q)
{
    char from[SERVICE_FROM_MAX + 1];

    service_text(q->from, from, sizeof from);
    service_log(event, "order", o->batch.name, "by", r->key.name, "from", from, NULL);
}

/* ---- a new one ---- */

/* Of all that is asked for: the same name asks for the same. */
static enum stamp_err digest_of(const struct service_factory *q, uint8_t digest[32],
                                struct stamp_error *err)
{
    struct service_message m = {.type = SERVICE_FACTORY_ASK, .u.factory = *q};

    memset(m.u.factory.key, 0, sizeof m.u.factory.key); /* another key of this name */
    m.u.factory.from = (struct stamp_slice){NULL, 0};
    return service_question_digest(&m, digest, err);
}

/* Where it names a pattern, it is that of the profile, in one way to write it or another.
 */
static enum stamp_err check_pattern(const struct stamp_profile *p,
                                    struct stamp_slice pattern, struct stamp_error *err)
{
    struct stamp_serial_pattern asked;
    char text[STAMP_SERIAL_TEXT_SIZE];
    char own[STAMP_SERIAL_TEXT_SIZE];
    enum stamp_err rc = STAMP_OK;

    stamp_serial_text(&p->serial, own);
    if (pattern.len > 0) {
        service_text(pattern, text, sizeof text);
        rc = stamp_serial_parse(&asked, text, p->serial.alphabet, err);
        if (rc == STAMP_OK) {
            stamp_serial_text(&asked, text);
        }
    }
    return rc != STAMP_OK || pattern.len == 0 || strcmp(text, own) == 0
               ? rc
               : stamp_error_set(err, STAMP_E_CONFIG, 0,
                                 "the serials of this service's profile are '%.200s'",
                                 own);
}

static enum stamp_err check(const struct factory_reply *r,
                            const struct service_factory *q, struct stamp_error *err)
{
    const struct stamp_profile *p = r->f->ws->profile;
    char product[STAMP_MAX_TEXT + 1];

    service_text(q->product, product, sizeof product);
    return strcmp(product, p->product) == 0
               ? check_pattern(p, q->pattern, err)
               : stamp_error_set(err, STAMP_E_CONFIG, 0, "this service has '%s'",
                                 p->product);
}

static enum stamp_err add(struct factory_reply *r, const struct service_factory *q,
                          const struct stamp_registry_request *request,
                          struct stamp_registry_order *order)
{
    char product[STAMP_MAX_TEXT + 1];
    char note[STAMP_REGISTRY_TEXT_SIZE];
    struct stamp_registry_order_setup setup = {.product = product,
                                               .pattern = &r->f->ws->profile->serial,
                                               .count = (uint32_t)q->count,
                                               .first = q->first,
                                               .station = q->station.p,
                                               .lock_later = q->lock_later != 0,
                                               .pop = q->pop,
                                               .not_after = (time_t)q->not_after,
                                               .now = time(NULL),
                                               .request = request};

    service_text(q->product, product, sizeof product);
    service_text(q->note, note, sizeof note);
    setup.note = note[0] == '\0' ? NULL : note;
    return stamp_registry_order_add(r->f->ws->registry, &setup, order, &r->err);
}

void factory_order(struct factory_reply *r, const struct service_factory *q)
{
    char name[SERVICE_NAME_MAX + 1];
    struct stamp_registry_request request = {.who = r->key.name, .name = name};
    struct stamp_registry_batch batch;
    struct stamp_registry_order order;
    uint32_t id = 0;
    enum stamp_err rc = digest_of(q, request.digest, &r->err);

    service_text(q->name, name, sizeof name);
    if (rc == STAMP_OK) {
        rc = stamp_registry_request_find(r->f->ws->registry, &request, &id, &r->err);
    }
    if (rc == STAMP_OK) { /* asked for before */
        rc = stamp_registry_batch_get(r->f->ws->registry, id, &batch, &r->err);
        if (rc == STAMP_OK) {
            send(r, ANSWER_CREATED, batch.uid);
            return;
        }
    } else if (rc == STAMP_E_MISSING) {
        stamp_error_clear(&r->err);
        rc = check(r, q, &r->err);
        if (rc == STAMP_OK) {
            rc = add(r, q, &request, &order);
        }
        if (rc == STAMP_OK) {
            say(r, "order", &order, q);
            send(r, ANSWER_CREATED, order.id);
            return;
        }
    }
    factory_refuse_error(r, rc);
}

/* ---- one that is there ---- */

static enum stamp_err find(struct factory_reply *r, const struct service_factory *q,
                           struct stamp_registry_order *order)
{
    char name[SERVICE_ID_MAX + 1];

    service_text(q->id, name, sizeof name);
    return stamp_registry_order_seek(r->f->ws->registry, name, order, &r->err);
}

void factory_order_file(struct factory_reply *r, const struct service_factory *q)
{
    struct stamp_registry_order order;
    enum stamp_err rc = find(r, q, &order);

    if (rc == STAMP_OK) {
        rc =
            stamp_registry_order_file(r->f->ws->registry, order.id, q->digest.p, &r->err);
    }
    if (rc == STAMP_OK) {
        send(r, ANSWER_OK, order.id);
    } else {
        factory_refuse_error(r, rc);
    }
}

void factory_order_close(struct factory_reply *r, const struct service_factory *q)
{
    struct stamp_registry_order order;
    enum stamp_err rc = find(r, q, &order);
    bool open = rc == STAMP_OK && order.state == STAMP_REGISTRY_ORDER_OPEN;

    if (rc == STAMP_OK) {
        rc =
            stamp_registry_order_close(r->f->ws->registry, order.id, time(NULL), &r->err);
    }
    if (rc == STAMP_OK) {
        if (open) {
            say(r, "order-closed", &order, q);
        }
        send(r, ANSWER_OK, order.id);
    } else {
        factory_refuse_error(r, rc);
    }
}
