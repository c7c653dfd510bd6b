#include "cli/order_online.h"

#include <string.h>

#include "cli/order.h"
#include "host/hex.h"
#include "host/order.h"

static json_t *body_of(const struct stamp_registry_order_setup *s)
{
    static const char *const pops[] = {[STAMP_ORDER_POP_NONE] = "none",
                                       [STAMP_ORDER_POP_SEALED] = "sealed",
                                       [STAMP_ORDER_POP_SHOWN] = "shown"};
    char pattern[STAMP_SERIAL_TEXT_SIZE];
    char station[65];
    json_t *j;

    stamp_serial_text(s->pattern, pattern);
    stamp_hex(s->station, 32, station);
    j = json_pack("{s:s, s:s, s:I, s:s, s:I, s:s, s:s}", "product", s->product, "pattern",
                  pattern, "count", (json_int_t)s->count, "station", station, "not_after",
                  (json_int_t)s->not_after, "lock", s->lock_later ? "later" : "strike",
                  "pop", pops[s->pop]);
    if (j != NULL && s->first > 0) {
        (void)json_object_set_new(j, "first", json_integer((json_int_t)s->first));
    }
    if (j != NULL && s->note != NULL && s->note[0] != '\0') {
        (void)json_object_set_new(j, "note", json_string(s->note));
    }
    return j;
}

enum stamp_err order_add_online(struct cli_online *o,
                                const struct stamp_registry_order_setup *setup,
                                struct stamp_registry_order *out, struct stamp_error *err)
{
    json_t *answer = NULL;
    enum stamp_err rc =
        cli_online_once(o, ORDERS_PATH, body_of(setup), o->patience_s, &answer, err);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_OK) {
        rc = stamp_service_order(answer, o->url, out, err);
    }
    if (rc == STAMP_OK && (out->batch.count != setup->count ||
                           strcmp(out->batch.product, setup->product) != 0 ||
                           memcmp(out->station, setup->station, 32) != 0)) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0, "'%s' books another order", o->url);
    }
    json_decref(answer);
    return rc;
}

static enum stamp_err post(struct cli_online *o, const uint8_t id[16], const char *after,
                           json_t *body, struct stamp_error *err)
{
    char name[33];
    json_t *answer = NULL;
    enum stamp_err rc;

    stamp_hex(id, 16, name);
    rc = cli_online_post(o, ORDERS_PATH "/", name, after, body, &answer, err);
    json_decref(answer);
    return rc;
}

enum stamp_err order_file_online(struct cli_online *o, const uint8_t id[16],
                                 const uint8_t digest[32], struct stamp_error *err)
{
    char text[65];

    stamp_hex(digest, 32, text);
    return post(o, id, "/file", json_pack("{s:s}", "sha256", text), err);
}

enum stamp_err order_close_online(struct cli_online *o, const uint8_t id[16],
                                  struct stamp_error *err)
{
    return post(o, id, "/close", json_object(), err);
}
