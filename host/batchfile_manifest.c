/* The manifest's content: a deterministic CBOR map. SPEC 11-21. */
#include <string.h>

#include "host/batchfile_own.h"

enum manifest_key {
    KEY_VERSION = 1,
    KEY_BATCH,
    KEY_VOLUME,
    KEY_PRODUCT,
    KEY_PURPOSE,
    KEY_MADE_AT,
    KEY_COUNT,
    KEY_SERIALS,
    KEY_ORDERED,
    KEY_RECIPIENTS,
    KEY_PROFILE,
    KEY_BUNDLE,
    KEY_ROOT,
    KEY_INDEX,
    KEY_NOTE, /* optional */
    KEY_VOUCHER,
    KEY_VOUCHER_SECRET,
    KEY_PARTITION, /* optional */
    KEY_LAST = KEY_PARTITION
};

#define KEYS_ALWAYS 16u /* all but the optional ones */
#define PARTITION_VALUES 6u
#define CBOR_FALSE 20u
#define CBOR_TRUE 21u

static bool text_ok(struct stamp_slice s, size_t max)
{
    return s.len >= 1 && s.len <= max && stamp_text_ok(s.p, s.len, false);
}

static bool partition_ok(const struct stamp_profile_partition *p)
{
    return p->erased_value == 0 || p->erased_value == 0xFF;
}

/* What holds of a manifest whichever way it goes. */
static bool values_ok(const struct stamp_batch_manifest *m)
{
    struct stamp_bundle bundle;

    for (size_t i = 0; i < m->n_recipients; i++) {
        if (m->recipients[i].len < 1 || m->recipients[i].len > STAMP_MAX_CERTIFICATE) {
            return false;
        }
    }
    return text_ok(m->product, STAMP_MAX_TEXT) && m->purpose <= STAMP_PRODUCTION &&
           m->count >= 1 && stampi_serial_ok(m->first) && stampi_serial_ok(m->last) &&
           m->n_recipients >= 1 && m->n_recipients <= STAMP_BATCH_RECIPIENTS_MAX &&
           m->bundle.len <= STAMP_MAX_BUNDLE &&
           stamp_bundle_decode(&bundle, m->bundle.p, m->bundle.len) == STAMP_OK &&
           bundle.purpose == m->purpose &&
           (m->note.p == NULL || text_ok(m->note, STAMP_BATCH_NOTE_MAX)) &&
           m->voucher_secret.len >= 1 && m->voucher_secret.len <= STAMPI_ENVELOPE_MAX &&
           (!m->has_partition || partition_ok(&m->partition));
}

static void put_uint(struct stamp_cbor_out *o, enum manifest_key key, uint32_t value)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, (uint32_t)key);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, value);
}

static void put_bytes(struct stamp_cbor_out *o, enum manifest_key key, const uint8_t *p,
                      size_t len)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, (uint32_t)key);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, p, len);
}

static void put_text(struct stamp_cbor_out *o, enum manifest_key key,
                     struct stamp_slice text)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, (uint32_t)key);
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, text.p, text.len);
}

static void put_partition(struct stamp_cbor_out *o,
                          const struct stamp_profile_partition *p)
{
    const uint32_t values[PARTITION_VALUES] = {p->offset,       p->birth_size,
                                               p->bank_size,    p->erase_size,
                                               p->program_size, p->erased_value};

    stamp_cbor_put_head(o, STAMP_CBOR_UINT, KEY_PARTITION);
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, PARTITION_VALUES);
    for (size_t i = 0; i < PARTITION_VALUES; i++) {
        stamp_cbor_put_head(o, STAMP_CBOR_UINT, values[i]);
    }
}

static void put_all(struct stamp_cbor_out *o, const struct stamp_batch_manifest *m)
{
    uint32_t n = KEYS_ALWAYS + (m->note.p != NULL) + m->has_partition;

    stamp_cbor_put_head(o, STAMP_CBOR_MAP, n);
    put_uint(o, KEY_VERSION, STAMPI_VERSION);
    put_bytes(o, KEY_BATCH, m->id, sizeof m->id);
    put_uint(o, KEY_VOLUME, m->volume);
    put_text(o, KEY_PRODUCT, m->product);
    put_uint(o, KEY_PURPOSE, m->purpose);
    put_uint(o, KEY_MADE_AT, m->made_at);
    put_uint(o, KEY_COUNT, m->count);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, KEY_SERIALS);
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, m->first.p, m->first.len);
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, m->last.p, m->last.len);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, KEY_ORDERED);
    stamp_cbor_put_head(o, STAMP_CBOR_SIMPLE, m->ordered ? CBOR_TRUE : CBOR_FALSE);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, KEY_RECIPIENTS);
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, (uint32_t)m->n_recipients);
    for (size_t i = 0; i < m->n_recipients; i++) {
        stamp_cbor_put_string(o, STAMP_CBOR_BYTES, m->recipients[i].p,
                              m->recipients[i].len);
    }
    put_bytes(o, KEY_PROFILE, m->profile_digest, sizeof m->profile_digest);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, KEY_BUNDLE);
    stamp_cbor_put_raw(o, m->bundle.p, m->bundle.len);
    put_bytes(o, KEY_ROOT, m->root, sizeof m->root);
    put_bytes(o, KEY_INDEX, m->index_digest, sizeof m->index_digest);
    if (m->note.p != NULL) {
        put_text(o, KEY_NOTE, m->note);
    }
    put_bytes(o, KEY_VOUCHER, m->voucher, sizeof m->voucher);
    put_bytes(o, KEY_VOUCHER_SECRET, m->voucher_secret.p, m->voucher_secret.len);
    if (m->has_partition) {
        put_partition(o, &m->partition);
    }
}

enum stamp_err stampi_manifest_encode(const struct stamp_batch_manifest *m, uint8_t *out,
                                      size_t size, size_t *len)
{
    struct stamp_cbor_out o;

    *len = 0;
    if (!values_ok(m)) {
        return STAMP_E_RANGE;
    }
    stamp_cbor_out_init(&o, out, size);
    put_all(&o, m);
    *len = o.len;
    return stamp_cbor_out_ok(&o) ? STAMP_OK : STAMP_E_SPACE;
}

static void take_key(struct stamp_cbor *c, enum manifest_key key)
{
    if (stamp_cbor_uint(c, KEY_LAST) != (uint32_t)key) {
        c->err = STAMP_E_FORMAT;
    }
}

static uint32_t take_uint(struct stamp_cbor *c, enum manifest_key key, uint32_t max)
{
    take_key(c, key);
    return stamp_cbor_uint(c, max);
}

static struct stamp_slice take_text(struct stamp_cbor *c, enum manifest_key key,
                                    size_t max)
{
    take_key(c, key);
    return stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, max);
}

static void take_bytes(struct stamp_cbor *c, enum manifest_key key, uint8_t *out,
                       size_t len)
{
    struct stamp_slice s;

    take_key(c, key);
    s = stamp_cbor_string(c, STAMP_CBOR_BYTES, len, len);
    if (c->err == STAMP_OK) {
        memcpy(out, s.p, len);
    }
}

static void take_recipients(struct stamp_cbor *c, struct stamp_batch_manifest *m)
{
    uint32_t n;

    take_key(c, KEY_RECIPIENTS);
    n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);
    if (n > STAMP_BATCH_RECIPIENTS_MAX) {
        c->err = STAMP_E_FORMAT;
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        m->recipients[i] =
            stamp_cbor_string(c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);
    }
    m->n_recipients = n;
}

static void take_partition(struct stamp_cbor *c, struct stamp_profile_partition *p)
{
    take_key(c, KEY_PARTITION);
    stamp_cbor_want(c, STAMP_CBOR_ARRAY, PARTITION_VALUES);
    p->offset = stamp_cbor_uint(c, UINT32_MAX);
    p->birth_size = stamp_cbor_uint(c, UINT32_MAX);
    p->bank_size = stamp_cbor_uint(c, UINT32_MAX);
    p->erase_size = stamp_cbor_uint(c, UINT32_MAX);
    p->program_size = (uint16_t)stamp_cbor_uint(c, UINT16_MAX);
    p->erased_value = (uint8_t)stamp_cbor_uint(c, UINT8_MAX);
}

/* Optional keys are told by what comes next. */
static bool next_is(const struct stamp_cbor *c, enum manifest_key key)
{
    struct stamp_cbor ahead = *c;

    return c->left > 0 && stamp_cbor_uint(&ahead, KEY_LAST) == (uint32_t)key &&
           ahead.err == STAMP_OK;
}

static void take_all(struct stamp_cbor *c, struct stamp_batch_manifest *m)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_MAP);
    uint32_t ordered;

    if (take_uint(c, KEY_VERSION, UINT32_MAX) != STAMPI_VERSION) {
        c->err = STAMP_E_FORMAT;
    }
    take_bytes(c, KEY_BATCH, m->id, sizeof m->id);
    m->volume = take_uint(c, KEY_VOLUME, UINT32_MAX);
    m->product = take_text(c, KEY_PRODUCT, STAMP_MAX_TEXT);
    m->purpose = (uint8_t)take_uint(c, KEY_PURPOSE, STAMP_PRODUCTION);
    m->made_at = take_uint(c, KEY_MADE_AT, UINT32_MAX);
    m->count = take_uint(c, KEY_COUNT, UINT32_MAX);
    take_key(c, KEY_SERIALS);
    if (stamp_cbor_expect(c, STAMP_CBOR_ARRAY) != 2) {
        c->err = STAMP_E_FORMAT;
    }
    m->first = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_SERIAL_MAX);
    m->last = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_SERIAL_MAX);
    take_key(c, KEY_ORDERED);
    ordered = stamp_cbor_expect(c, STAMP_CBOR_SIMPLE);
    m->ordered = ordered == CBOR_TRUE;
    take_recipients(c, m);
    take_bytes(c, KEY_PROFILE, m->profile_digest, sizeof m->profile_digest);
    take_key(c, KEY_BUNDLE);
    m->bundle = stamp_cbor_skip(c);
    take_bytes(c, KEY_ROOT, m->root, sizeof m->root);
    take_bytes(c, KEY_INDEX, m->index_digest, sizeof m->index_digest);
    if (next_is(c, KEY_NOTE)) {
        m->note = take_text(c, KEY_NOTE, STAMP_BATCH_NOTE_MAX);
    }
    take_bytes(c, KEY_VOUCHER, m->voucher, sizeof m->voucher);
    take_key(c, KEY_VOUCHER_SECRET);
    m->voucher_secret = stamp_cbor_string(c, STAMP_CBOR_BYTES, 1, STAMPI_ENVELOPE_MAX);
    m->has_partition = next_is(c, KEY_PARTITION);
    if (m->has_partition) {
        take_partition(c, &m->partition);
    }
    if (n != KEYS_ALWAYS + (m->note.p != NULL) + m->has_partition) {
        c->err = STAMP_E_FORMAT;
    }
}

enum stamp_err stampi_manifest_decode(struct stamp_batch_manifest *m,
                                      struct stamp_slice in)
{
    struct stamp_cbor c;

    memset(m, 0, sizeof *m);
    stamp_cbor_init(&c, in.p, in.len);
    take_all(&c, m);
    if (c.err != STAMP_OK || c.left != 0 || !values_ok(m)) {
        memset(m, 0, sizeof *m);
        return STAMP_E_FORMAT;
    }
    return STAMP_OK;
}
