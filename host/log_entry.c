#include "host/log_entry.h"

#include <string.h>

/* SPEC 18-4. */
enum key {
    KIND = 1,
    AT = 2,
    DEVICE = 3,
    SERIAL = 4,
    STATE = 5,
    KEY = 6,
    DIGEST = 7,
    ROOT = 8,
    N = 9,
    NUMBER = 10,
    REASON = 11,
    CHIP = 12,
    NAME = 13,
    WHO = 14,
    WHERE = 15,
    WHY = 16,
    SIGNATURE = 17,
    KEYS = 17,
};

#define HASH 32u
#define NUMBER_SIZE 16u
#define SIGNATURE_SIZE 64u

struct stamp_slice stamp_log_text(const char *text)
{
    return (struct stamp_slice){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

const char *stamp_log_kind_name(enum stamp_log_kind kind)
{
    static const char *const names[STAMP_LOG_KINDS] = {
        [0] = "?",
        [STAMP_LOG_BATCH] = "batch",
        [STAMP_LOG_BATCH_STATE] = "batch-state",
        [STAMP_LOG_RUN] = "run",
        [STAMP_LOG_DEVICE] = "device",
        [STAMP_LOG_OPERATIONAL] = "operational",
        [STAMP_LOG_REVOCATION] = "revocation",
        [STAMP_LOG_OWN] = "own",
        [STAMP_LOG_ANCHOR] = "anchor",
        [STAMP_LOG_DROP] = "drop",
    };

    return names[(unsigned)kind < STAMP_LOG_KINDS ? kind : 0];
}

/* ---- encoding ---- */

static void put_uint(struct stamp_cbor_out *o, enum key key, bool is_there, uint32_t v)
{
    if (is_there) {
        stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
        stamp_cbor_put_head(o, STAMP_CBOR_UINT, v);
    }
}

static void put_string(struct stamp_cbor_out *o, enum key key, enum stamp_cbor_type type,
                       struct stamp_slice s)
{
    if (s.len > 0) {
        stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
        stamp_cbor_put_string(o, type, s.p, s.len);
    }
}

static void put_hash(struct stamp_cbor_out *o, enum key key, const uint8_t *hash)
{
    put_string(o, key, STAMP_CBOR_BYTES,
               (struct stamp_slice){hash, hash == NULL ? 0 : HASH});
}

static bool text_ok(struct stamp_slice s, size_t max)
{
    return s.len <= max && stamp_text_ok(s.p, s.len, false);
}

static uint32_t count(const struct stamp_log_entry *e)
{
    const struct stamp_slice *const strings[] = {&e->serial, &e->number,   &e->chip,
                                                 &e->name,   &e->who,      &e->where,
                                                 &e->why,    &e->signature};
    uint32_t n = 2u + e->has_device + e->has_state + (e->key != NULL) +
                 (e->digest != NULL) + (e->root != NULL) + (e->n > 0) + e->has_reason;

    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        n += strings[i]->len > 0;
    }
    return n;
}

enum stamp_err stamp_log_entry_encode(const struct stamp_log_entry *e, uint8_t *out,
                                      size_t *len, struct stamp_error *err)
{
    struct stamp_cbor_out o;

    *len = 0;
    if (e->at > UINT32_MAX || !text_ok(e->serial, STAMP_SERIAL_MAX) ||
        (e->number.len != 0 && e->number.len != NUMBER_SIZE) ||
        (e->signature.len != 0 && e->signature.len != SIGNATURE_SIZE) ||
        !text_ok(e->chip, STAMP_LOG_TEXT_MAX) || !text_ok(e->name, STAMP_LOG_TEXT_MAX) ||
        !text_ok(e->who, STAMP_LOG_TEXT_MAX) || !text_ok(e->where, STAMP_LOG_TEXT_MAX) ||
        !text_ok(e->why, STAMP_LOG_TEXT_MAX)) {
        return stamp_error_set(
            err, STAMP_E_RANGE, 0,
            "an entry of the log is too long, or holds control characters");
    }
    stamp_cbor_out_init(&o, out, STAMP_LOG_ENTRY_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, count(e));
    put_uint(&o, KIND, true, (uint32_t)e->kind);
    put_uint(&o, AT, true, (uint32_t)e->at);
    if (e->has_device) {
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, DEVICE);
        stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, e->batch);
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, e->index);
    }
    put_string(&o, SERIAL, STAMP_CBOR_TEXT, e->serial);
    put_uint(&o, STATE, e->has_state, e->state);
    put_hash(&o, KEY, e->key);
    put_hash(&o, DIGEST, e->digest);
    put_hash(&o, ROOT, e->root);
    put_uint(&o, N, e->n > 0, e->n);
    put_string(&o, NUMBER, STAMP_CBOR_BYTES, e->number);
    put_uint(&o, REASON, e->has_reason, e->reason);
    put_string(&o, CHIP, STAMP_CBOR_TEXT, e->chip);
    put_string(&o, NAME, STAMP_CBOR_TEXT, e->name);
    put_string(&o, WHO, STAMP_CBOR_TEXT, e->who);
    put_string(&o, WHERE, STAMP_CBOR_TEXT, e->where);
    put_string(&o, WHY, STAMP_CBOR_TEXT, e->why);
    put_string(&o, SIGNATURE, STAMP_CBOR_BYTES, e->signature);
    *len = o.len;
    return stamp_cbor_out_ok(&o) ? STAMP_OK
                                 : stamp_error_set(err, STAMP_E_RANGE, 0,
                                                   "an entry of the log is too long");
}

/* ---- decoding ---- */

static bool take_text(struct stamp_cbor *c, size_t max, struct stamp_slice *out)
{
    *out = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, max);
    return c->err == STAMP_OK && stamp_text_ok(out->p, out->len, false);
}

static bool take_hash(struct stamp_cbor *c, const uint8_t **out)
{
    *out = stamp_cbor_string(c, STAMP_CBOR_BYTES, HASH, HASH).p;
    return c->err == STAMP_OK;
}

static bool take(struct stamp_cbor *c, uint32_t key, struct stamp_log_entry *e)
{
    switch (key) {
    case KIND:
        e->kind = (enum stamp_log_kind)stamp_cbor_uint(c, STAMP_LOG_KINDS - 1u);
        return e->kind > 0;
    case AT:
        e->at = stamp_cbor_uint(c, UINT32_MAX);
        return true;
    case DEVICE:
        stamp_cbor_want(c, STAMP_CBOR_ARRAY, 2);
        e->batch = stamp_cbor_uint(c, INT32_MAX);
        e->index = stamp_cbor_uint(c, UINT32_MAX);
        e->has_device = true;
        return true;
    case SERIAL:
        return take_text(c, STAMP_SERIAL_MAX, &e->serial);
    case STATE:
        e->state = stamp_cbor_uint(c, UINT32_MAX);
        e->has_state = true;
        return true;
    case KEY:
        return take_hash(c, &e->key);
    case DIGEST:
        return take_hash(c, &e->digest);
    case ROOT:
        return take_hash(c, &e->root);
    case N:
        e->n = stamp_cbor_uint(c, UINT32_MAX);
        return e->n > 0;
    case NUMBER:
        e->number = stamp_cbor_string(c, STAMP_CBOR_BYTES, NUMBER_SIZE, NUMBER_SIZE);
        return true;
    case REASON:
        e->reason = stamp_cbor_uint(c, UINT32_MAX);
        e->has_reason = true;
        return true;
    case CHIP:
        return take_text(c, STAMP_LOG_TEXT_MAX, &e->chip);
    case NAME:
        return take_text(c, STAMP_LOG_TEXT_MAX, &e->name);
    case WHO:
        return take_text(c, STAMP_LOG_TEXT_MAX, &e->who);
    case WHERE:
        return take_text(c, STAMP_LOG_TEXT_MAX, &e->where);
    case WHY:
        return take_text(c, STAMP_LOG_TEXT_MAX, &e->why);
    case SIGNATURE:
        e->signature =
            stamp_cbor_string(c, STAMP_CBOR_BYTES, SIGNATURE_SIZE, SIGNATURE_SIZE);
        return true;
    default:
        return false;
    }
}

enum stamp_err stamp_log_entry_decode(struct stamp_slice in, struct stamp_log_entry *e,
                                      struct stamp_error *err)
{
    const uint32_t must = 1u << KIND | 1u << AT;
    struct stamp_cbor c;
    uint32_t seen = 0;
    uint32_t last = 0;
    bool ok = true;

    memset(e, 0, sizeof *e);
    stamp_cbor_init(&c, in.p, in.len);
    for (uint32_t n = stamp_cbor_expect(&c, STAMP_CBOR_MAP); n > 0 && ok; n--) {
        uint32_t key = stamp_cbor_uint(&c, KEYS);

        ok = key > last && take(&c, key, e) && c.err == STAMP_OK;
        seen |= 1u << key;
        last = key;
    }
    if (!ok || c.err != STAMP_OK || c.left != 0 || (must & ~seen) != 0) {
        memset(e, 0, sizeof *e);
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "an entry of the log is malformed");
    }
    return STAMP_OK;
}
