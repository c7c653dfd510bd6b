#include "host/journal_entry.h"

#include <openssl/evp.h>
#include <string.h>

#include "core/keys.h"
#include "host/openssl.h"

/* SPEC 15-2. */
enum key {
    SEQ = 1,
    PREVIOUS = 2,
    AT = 3,
    KIND = 4,
    ORDER = 5,
    INDEX = 6,
    CHIP = 7,
    WHO = 8,
    WHY = 9,
    DATA = 10,
    KEYS = 10,
};

static void put_uint(struct stamp_cbor_out *o, enum key key, uint32_t v)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, v);
}

static void put_string(struct stamp_cbor_out *o, enum key key, enum stamp_cbor_type type,
                       const void *p, size_t len)
{
    if (len > 0) {
        stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
        stamp_cbor_put_string(o, type, p, len);
    }
}

enum stamp_err stamp_journal_entry_encode(const struct stamp_journal_entry *e,
                                          uint8_t *out, size_t *len,
                                          struct stamp_error *err)
{
    bool order = e->has_unit || e->kind == STAMP_JOURNAL_ORDER;
    struct stamp_cbor_out o;

    *len = 0;
    if (e->chip.len > STAMP_JOURNAL_CHIP_MAX || e->who.len > STAMP_JOURNAL_TEXT_MAX ||
        e->why.len > STAMP_JOURNAL_TEXT_MAX || e->data.len > STAMP_JOURNAL_DATA_MAX ||
        e->at > UINT32_MAX || !stamp_text_ok(e->who.p, e->who.len, false) ||
        !stamp_text_ok(e->why.p, e->why.len, false)) {
        return stamp_error_set(
            err, STAMP_E_RANGE, 0,
            "an entry of the journal is too long, or holds control characters");
    }
    stamp_cbor_out_init(&o, out, STAMP_JOURNAL_ENTRY_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP,
                        4u + order + e->has_unit + (e->chip.len > 0) + (e->who.len > 0) +
                            (e->why.len > 0) + (e->data.len > 0));
    put_uint(&o, SEQ, e->seq);
    put_string(&o, PREVIOUS, STAMP_CBOR_BYTES, e->previous, sizeof e->previous);
    put_uint(&o, AT, (uint32_t)e->at);
    put_uint(&o, KIND, (uint32_t)e->kind);
    if (order) {
        put_string(&o, ORDER, STAMP_CBOR_BYTES, e->order, sizeof e->order);
    }
    if (e->has_unit) {
        put_uint(&o, INDEX, e->index);
    }
    put_string(&o, CHIP, STAMP_CBOR_BYTES, e->chip.p, e->chip.len);
    put_string(&o, WHO, STAMP_CBOR_TEXT, e->who.p, e->who.len);
    put_string(&o, WHY, STAMP_CBOR_TEXT, e->why.p, e->why.len);
    put_string(&o, DATA, STAMP_CBOR_BYTES, e->data.p, e->data.len);
    *len = o.len;
    return STAMP_OK;
}

/* The value of one key. False: it has no such value. */
static bool take(struct stamp_cbor *c, uint32_t key, struct stamp_journal_entry *e)
{
    struct stamp_slice v;

    switch (key) {
    case SEQ:
        e->seq = stamp_cbor_uint(c, UINT32_MAX);
        return e->seq > 0;
    case PREVIOUS:
        v = stamp_cbor_string(c, STAMP_CBOR_BYTES, sizeof e->previous,
                              sizeof e->previous);
        if (c->err == STAMP_OK) {
            memcpy(e->previous, v.p, v.len);
        }
        return true;
    case AT:
        e->at = stamp_cbor_uint(c, UINT32_MAX);
        return true;
    case KIND:
        e->kind = (enum stamp_journal_kind)stamp_cbor_uint(c, STAMP_JOURNAL_PUT);
        return e->kind > 0;
    case ORDER:
        v = stamp_cbor_string(c, STAMP_CBOR_BYTES, sizeof e->order, sizeof e->order);
        if (c->err == STAMP_OK) {
            memcpy(e->order, v.p, v.len);
        }
        return true;
    case INDEX:
        e->index = stamp_cbor_uint(c, UINT32_MAX);
        e->has_unit = true;
        return true;
    case CHIP:
        e->chip = stamp_cbor_string(c, STAMP_CBOR_BYTES, 1, STAMP_JOURNAL_CHIP_MAX);
        return true;
    case WHO:
        e->who = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_JOURNAL_TEXT_MAX);
        return stamp_text_ok(e->who.p, e->who.len, false);
    case WHY:
        e->why = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_JOURNAL_TEXT_MAX);
        return stamp_text_ok(e->why.p, e->why.len, false);
    case DATA:
        e->data = stamp_cbor_string(c, STAMP_CBOR_BYTES, 1, STAMP_JOURNAL_DATA_MAX);
        return true;
    default:
        return false;
    }
}

enum stamp_err stamp_journal_entry_decode(struct stamp_slice in,
                                          struct stamp_journal_entry *e,
                                          struct stamp_error *err)
{
    const uint32_t must = 1u << SEQ | 1u << PREVIOUS | 1u << AT | 1u << KIND;
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
    if (!ok || c.err != STAMP_OK || c.left != 0 || (must & ~seen) != 0 ||
        (e->has_unit && (seen & 1u << ORDER) == 0)) {
        memset(e, 0, sizeof *e);
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "an entry of the journal is malformed");
    }
    return STAMP_OK;
}

enum stamp_err stamp_journal_entry_hash(struct stamp_slice encoded,
                                        uint8_t hash[STAMP_JOURNAL_HASH],
                                        struct stamp_error *err)
{
    STAMP_MD_CTX_AUTO *ctx = EVP_MD_CTX_new();

    return ctx != NULL && EVP_DigestInit_ex(ctx, stamp_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(ctx, STAMP_LABEL_JOURNAL,
                                    sizeof STAMP_LABEL_JOURNAL - 1) == 1 &&
                   EVP_DigestUpdate(ctx, encoded.p, encoded.len) == 1 &&
                   EVP_DigestFinal_ex(ctx, hash, NULL) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot hash an entry of the journal");
}

const char *stamp_journal_kind_name(enum stamp_journal_kind kind)
{
    static const char *const names[] = {
        [STAMP_JOURNAL_OPEN] = "open",
        [STAMP_JOURNAL_ORDER] = "order",
        [STAMP_JOURNAL_BEGIN] = "begin",
        [STAMP_JOURNAL_INTENT] = "intent",
        [STAMP_JOURNAL_CERTIFICATE] = "certificate",
        [STAMP_JOURNAL_STRUCK] = "struck",
        [STAMP_JOURNAL_POP] = "pop",
        [STAMP_JOURNAL_LOCKED] = "locked",
        [STAMP_JOURNAL_DONE] = "done",
        [STAMP_JOURNAL_FAILED] = "failed",
        [STAMP_JOURNAL_SCRAPPED] = "scrapped",
        [STAMP_JOURNAL_REWORK] = "rework",
        [STAMP_JOURNAL_PAUSE] = "pause",
        [STAMP_JOURNAL_RESUME] = "resume",
        [STAMP_JOURNAL_CHECKPOINT] = "checkpoint",
        [STAMP_JOURNAL_PUT] = "put",
    };

    return names[kind];
}
