#include <string.h>

#include "core/cbor.h"
#include "host/order_own.h"

/* SPEC 14-4 */
enum key {
    KEY_VERSION = 1,
    KEY_ID,
    KEY_PURPOSE,
    KEY_OWNER,
    KEY_PRODUCT,
    KEY_PROFILE,
    KEY_COUNT,
    KEY_SERIALS,
    KEY_ENDS,
    KEY_PREFIX,
    KEY_STATION,
    KEY_NOT_BEFORE,
    KEY_NOT_AFTER,
    KEY_BUNDLE,
    KEY_LOCK,
    KEY_POP,
    KEY_RECIPIENT,
    KEY_BACKDATE,
    KEY_NOTE,
    KEY_UNCOUNTED,
};
#define KEYS 17u /* that are always there */
#define VERSION 1u

static bool text_ok(struct stamp_slice s, size_t max)
{
    return s.len >= 1 && s.len <= max && stamp_text_ok(s.p, s.len, false);
}

static const char *out_of_range(const struct stamp_order *o)
{
    if (o->purpose > STAMP_PRODUCTION) {
        return "purpose";
    }
    if (!text_ok(o->product, STAMP_MAX_TEXT)) {
        return "product";
    }
    if (o->profile.len == 0 || o->profile.len > STAMP_ORDER_PROFILE_MAX) {
        return "profile";
    }
    if (o->count == 0 || o->first_counter > UINT32_MAX - o->count) {
        return "count";
    }
    if (!text_ok(o->first, STAMP_MAX_TEXT) || !text_ok(o->last, STAMP_MAX_TEXT)) {
        return "serials";
    }
    if (o->station.len == 0 || o->station.len > STAMP_MAX_CERTIFICATE) {
        return "station";
    }
    if (o->not_after <= o->not_before) {
        return "dates";
    }
    if (o->bundle.len == 0 || o->bundle.len > STAMP_MAX_BUNDLE) {
        return "bundle";
    }
    if ((unsigned)o->lock > STAMP_ORDER_LOCK_LATER) {
        return "lock";
    }
    if ((unsigned)o->pop > STAMP_ORDER_POP_SHOWN) {
        return "pop";
    }
    if ((o->pop == STAMP_ORDER_POP_SEALED) != (o->recipient.len > 0) ||
        o->recipient.len > STAMP_MAX_CERTIFICATE) {
        return "recipient";
    }
    if (o->note.len > 0 && !text_ok(o->note, STAMP_ORDER_NOTE_MAX)) {
        return "note";
    }
    return NULL;
}

static void put_uint(struct stamp_cbor_out *o, enum key key, uint32_t v)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, (uint32_t)key);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, v);
}

static void put_string(struct stamp_cbor_out *o, enum key key, enum stamp_cbor_type type,
                       const void *p, size_t len)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, (uint32_t)key);
    stamp_cbor_put_string(o, type, p, len);
}

static void put_slice(struct stamp_cbor_out *o, enum key key, enum stamp_cbor_type type,
                      struct stamp_slice s)
{
    if (s.len > 0) {
        put_string(o, key, type, s.p, s.len);
    }
}

static void put_serials(struct stamp_cbor_out *o, const struct stamp_order *order)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, KEY_SERIALS);
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, order->first_counter);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, order->at);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, KEY_ENDS);
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, order->first.p, order->first.len);
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, order->last.p, order->last.len);
}

enum stamp_err stampi_order_encode(const struct stamp_order *order, uint8_t *out,
                                   size_t size, size_t *len, struct stamp_error *err)
{
    const char *wrong = out_of_range(order);
    struct stamp_cbor_out o;

    *len = 0;
    if (wrong != NULL) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "an order cannot have this for its %s", wrong);
    }
    stamp_cbor_out_init(&o, out, size);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP,
                        KEYS + (order->recipient.len > 0 ? 1u : 0u) +
                            (order->note.len > 0 ? 1u : 0u) +
                            (order->uncounted ? 1u : 0u));
    put_uint(&o, KEY_VERSION, VERSION);
    put_string(&o, KEY_ID, STAMP_CBOR_BYTES, order->id, sizeof order->id);
    put_uint(&o, KEY_PURPOSE, order->purpose);
    put_string(&o, KEY_OWNER, STAMP_CBOR_BYTES, order->owner, sizeof order->owner);
    put_slice(&o, KEY_PRODUCT, STAMP_CBOR_TEXT, order->product);
    put_slice(&o, KEY_PROFILE, STAMP_CBOR_BYTES, order->profile);
    put_uint(&o, KEY_COUNT, order->count);
    put_serials(&o, order);
    put_string(&o, KEY_PREFIX, STAMP_CBOR_BYTES, order->prefix, sizeof order->prefix);
    put_slice(&o, KEY_STATION, STAMP_CBOR_BYTES, order->station);
    put_uint(&o, KEY_NOT_BEFORE, order->not_before);
    put_uint(&o, KEY_NOT_AFTER, order->not_after);
    put_slice(&o, KEY_BUNDLE, STAMP_CBOR_BYTES, order->bundle);
    put_uint(&o, KEY_LOCK, (uint32_t)order->lock);
    put_uint(&o, KEY_POP, (uint32_t)order->pop);
    put_slice(&o, KEY_RECIPIENT, STAMP_CBOR_BYTES, order->recipient);
    put_uint(&o, KEY_BACKDATE, order->backdate_s);
    put_slice(&o, KEY_NOTE, STAMP_CBOR_TEXT, order->note);
    if (order->uncounted) {
        put_uint(&o, KEY_UNCOUNTED, 1);
    }
    if (!stamp_cbor_out_ok(&o)) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "the order is too long");
    }
    *len = o.len;
    return STAMP_OK;
}

static void get_fixed(struct stamp_cbor *c, enum key key, uint8_t *out, size_t len)
{
    struct stamp_slice s;

    stamp_cbor_want(c, STAMP_CBOR_UINT, (uint32_t)key);
    s = stamp_cbor_string(c, STAMP_CBOR_BYTES, len, len);
    if (c->err == STAMP_OK) {
        memcpy(out, s.p, len);
    }
}

static uint32_t get_uint(struct stamp_cbor *c, enum key key, uint32_t max)
{
    stamp_cbor_want(c, STAMP_CBOR_UINT, (uint32_t)key);
    return stamp_cbor_uint(c, max);
}

static struct stamp_slice get_slice(struct stamp_cbor *c, enum key key,
                                    enum stamp_cbor_type type, size_t max)
{
    stamp_cbor_want(c, STAMP_CBOR_UINT, (uint32_t)key);
    return stamp_cbor_string(c, type, 1, max);
}

static void get_serials(struct stamp_cbor *c, struct stamp_order *o)
{
    stamp_cbor_want(c, STAMP_CBOR_UINT, KEY_SERIALS);
    stamp_cbor_want(c, STAMP_CBOR_ARRAY, 2);
    o->first_counter = stamp_cbor_uint(c, UINT32_MAX);
    o->at = stamp_cbor_uint(c, UINT32_MAX);
    stamp_cbor_want(c, STAMP_CBOR_UINT, KEY_ENDS);
    stamp_cbor_want(c, STAMP_CBOR_ARRAY, 2);
    o->first = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_MAX_TEXT);
    o->last = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_MAX_TEXT);
}

static void get_optional(struct stamp_cbor *c, uint32_t keys, struct stamp_order *o)
{
    uint32_t key = 0;

    for (; keys > KEYS && c->err == STAMP_OK; keys--) {
        uint32_t last = key;

        key = stamp_cbor_uint(c, KEY_UNCOUNTED);
        if (key == KEY_NOTE && last == 0) {
            o->note = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_ORDER_NOTE_MAX);
        } else if (key == KEY_UNCOUNTED && last != KEY_UNCOUNTED) {
            stamp_cbor_want(c, STAMP_CBOR_UINT, 1);
            o->uncounted = true;
        } else {
            c->err = STAMP_E_FORMAT;
        }
    }
    if (keys != KEYS) {
        c->err = STAMP_E_FORMAT;
    }
}

/* The keys come in ascending order, so each is asked for in its turn. */
static void get_all(struct stamp_cbor *c, uint32_t keys, struct stamp_order *o)
{
    get_fixed(c, KEY_ID, o->id, sizeof o->id);
    o->purpose = (uint8_t)get_uint(c, KEY_PURPOSE, STAMP_PRODUCTION);
    get_fixed(c, KEY_OWNER, o->owner, sizeof o->owner);
    o->product = get_slice(c, KEY_PRODUCT, STAMP_CBOR_TEXT, STAMP_MAX_TEXT);
    o->profile = get_slice(c, KEY_PROFILE, STAMP_CBOR_BYTES, STAMP_ORDER_PROFILE_MAX);
    o->count = get_uint(c, KEY_COUNT, UINT32_MAX);
    get_serials(c, o);
    get_fixed(c, KEY_PREFIX, o->prefix, sizeof o->prefix);
    o->station = get_slice(c, KEY_STATION, STAMP_CBOR_BYTES, STAMP_MAX_CERTIFICATE);
    o->not_before = get_uint(c, KEY_NOT_BEFORE, UINT32_MAX);
    o->not_after = get_uint(c, KEY_NOT_AFTER, UINT32_MAX);
    o->bundle = get_slice(c, KEY_BUNDLE, STAMP_CBOR_BYTES, STAMP_MAX_BUNDLE);
    o->lock = (enum stamp_order_lock)get_uint(c, KEY_LOCK, STAMP_ORDER_LOCK_LATER);
    o->pop = (enum stamp_order_pop)get_uint(c, KEY_POP, STAMP_ORDER_POP_SHOWN);
    if (o->pop == STAMP_ORDER_POP_SEALED) {
        keys--;
        o->recipient =
            get_slice(c, KEY_RECIPIENT, STAMP_CBOR_BYTES, STAMP_MAX_CERTIFICATE);
    }
    o->backdate_s = get_uint(c, KEY_BACKDATE, UINT32_MAX);
    get_optional(c, keys, o);
}

enum stamp_err stampi_order_decode(struct stamp_slice in, struct stamp_order *order,
                                   struct stamp_error *err)
{
    struct stamp_cbor c;
    uint32_t keys;
    uint32_t version;

    memset(order, 0, sizeof *order);
    stamp_cbor_init(&c, in.p, in.len);
    keys = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    version = get_uint(&c, KEY_VERSION, UINT32_MAX);
    if (c.err == STAMP_OK && version != VERSION) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "the order was made by a newer program");
    }
    get_all(&c, keys, order);
    if (c.err != STAMP_OK || c.left > 0 || out_of_range(order) != NULL) {
        memset(order, 0, sizeof *order);
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the order is malformed");
    }
    return STAMP_OK;
}
