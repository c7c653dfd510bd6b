/* Reading a stamp; writing it is in stamp_out.c. */
#include "core/stamp.h"

#include <string.h>

#include "core/stamp_i.h"

enum stamp_key_class stamp_key_class(uint32_t key)
{
    if (key < STAMP_KEY_SECRET_FIRST) {
        return STAMP_CLASS_PUBLIC;
    }
    return key < STAMP_KEY_OUTSIDE_FIRST ? STAMP_CLASS_SECRET : STAMP_CLASS_OUTSIDE;
}

static void fail(struct stamp_cbor *c)
{
    c->err = STAMP_E_FORMAT;
    c->left = 0;
}

static struct stamp_slice get_text(struct stamp_cbor *c, size_t min, size_t max,
                                   bool controls)
{
    struct stamp_slice s = stamp_cbor_string(c, STAMP_CBOR_TEXT, min, max);

    if (c->err == STAMP_OK && !stamp_text_ok(s.p, s.len, controls)) {
        fail(c);
    }
    return s;
}

static struct stamp_slice get_bytes(struct stamp_cbor *c, size_t min, size_t max)
{
    return stamp_cbor_string(c, STAMP_CBOR_BYTES, min, max);
}

static void get_array(struct stamp_cbor *c, uint32_t n)
{
    if (stamp_cbor_expect(c, STAMP_CBOR_ARRAY) != n) {
        fail(c);
    }
}

static bool get_bool(struct stamp_cbor *c)
{
    return stamp_cbor_expect(c, STAMP_CBOR_SIMPLE) == 21;
}

static void get_serial(struct stamp_cbor *c, struct stamp_slice *out)
{
    *out = get_text(c, 1, STAMP_MAX_TEXT, false);
    for (size_t i = 0; i < out->len; i++) {
        if (out->p[i] < 0x21 || out->p[i] > 0x7E) {
            fail(c);
            return;
        }
    }
}

static void get_barcodes(struct stamp_cbor *c, struct stamp_barcode *out, uint8_t *n_out)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);

    if (n == 0 || n > STAMP_MAX_BARCODES) {
        fail(c);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        get_array(c, 3);
        out[i].symbology = (uint8_t)stamp_cbor_uint(c, STAMP_CODE128);
        if (out[i].symbology == 0) {
            fail(c);
        }
        out[i].name = get_text(c, 1, 32, false);
        out[i].payload = get_text(c, 1, STAMP_MAX_PAYLOAD, true);
    }
    *n_out = (uint8_t)n;
}

static void get_provisioning(struct stamp_cbor *c, struct stamp *s)
{
    get_array(c, 3);
    s->has_provisioning_key = true;
    s->provisioning_kind = (uint8_t)stamp_cbor_uint(c, STAMP_PROVISIONING_PEER);
    if (stamp_cbor_uint(c, STAMP_P256) != STAMP_P256) {
        fail(c);
    }
    s->provisioning_point = get_bytes(c, STAMP_POINT_SIZE, STAMP_POINT_SIZE);
    if (c->err == STAMP_OK && s->provisioning_point.p[0] != 0x04) {
        fail(c);
    }
}

static void get_field_value(struct stamp_cbor *c, struct stamp_field *f)
{
    switch (stamp_cbor_peek(c)) {
    case STAMP_CBOR_TEXT:
        f->type = STAMP_FIELD_TEXT;
        f->text = get_text(c, 0, STAMP_MAX_TEXT, false);
        break;
    case STAMP_CBOR_UINT:
        f->type = STAMP_FIELD_INT;
        f->number = (int64_t)stamp_cbor_expect(c, STAMP_CBOR_UINT);
        break;
    case STAMP_CBOR_NINT:
        f->type = STAMP_FIELD_INT;
        f->number = -1 - (int64_t)stamp_cbor_expect(c, STAMP_CBOR_NINT);
        break;
    case STAMP_CBOR_SIMPLE:
        f->type = STAMP_FIELD_BOOL;
        f->number = get_bool(c) ? 1 : 0;
        break;
    default:
        fail(c);
    }
}

int stampi_field_order(struct stamp_slice a, struct stamp_slice b)
{
    if (a.len != b.len) {
        return a.len < b.len ? -1 : 1;
    }
    return memcmp(a.p, b.p, a.len);
}

static void get_fields(struct stamp_cbor *c, struct stamp *s)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_MAP);

    if (n == 0 || n > STAMP_MAX_FIELDS) {
        fail(c);
        return;
    }
    for (uint32_t i = 0; i < n && c->err == STAMP_OK; i++) {
        struct stamp_field *f = &s->fields[i];

        f->name = get_text(c, 1, 32, false);
        if (c->err == STAMP_OK && i > 0 && stampi_field_order(f[-1].name, f->name) >= 0) {
            fail(c);
        }
        get_field_value(c, f);
    }
    s->n_fields = (uint8_t)n;
}

static void get_salted(struct stamp_cbor *c, struct stamp_slice *salt)
{
    get_array(c, 2);
    *salt = get_bytes(c, STAMP_SALT_SIZE, STAMP_SALT_SIZE);
}

static void get_device_key(struct stamp_cbor *c, uint8_t *where, uint32_t *id,
                           struct stamp_slice *private)
{
    get_array(c, 3);
    if (stamp_cbor_uint(c, STAMP_P256) != STAMP_P256) {
        fail(c);
    }
    *where = (uint8_t)stamp_cbor_uint(c, STAMP_KEY_ELEMENT);
    if (*where == STAMP_KEY_HERE) {
        *private = get_bytes(c, STAMP_SCALAR_SIZE, STAMP_SCALAR_SIZE);
    } else {
        *id = stamp_cbor_uint(c, UINT32_MAX);
    }
}

static void get_certificates(struct stamp_cbor *c, struct stamp_slice *out,
                             uint8_t *n_out)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);

    if (n == 0 || n > STAMP_MAX_CERTIFICATES) {
        fail(c);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        out[i] = get_bytes(c, 1, STAMP_MAX_CERTIFICATE);
    }
    *n_out = (uint8_t)n;
}

static void get_claim_state(struct stamp_cbor *c, struct stamp *s)
{
    get_array(c, 2);
    s->has_claim_state = true;
    s->claim_tries = stamp_cbor_uint(c, UINT32_MAX);
    s->claimed = get_bool(c);
}

static void get_bundle(struct stamp_cbor *c, struct stamp *s)
{
    struct stamp_bundle b;
    struct stamp_slice recipient;

    s->trust_bundle = stamp_cbor_skip(c);
    if (c->err == STAMP_OK &&
        (stamp_bundle_decode(&b, s->trust_bundle.p, s->trust_bundle.len) != STAMP_OK ||
         stamp_bundle_recipient(&b, &recipient) == STAMP_E_FORMAT)) {
        fail(c);
    }
}

static void get_public(struct stamp_cbor *c, uint32_t key, struct stamp *s)
{
    switch (key) {
    case STAMP_SERIAL:
        get_serial(c, &s->serial);
        break;
    case STAMP_COMPANY:
        s->company = get_text(c, 1, STAMP_MAX_TEXT, false);
        break;
    case STAMP_PRODUCT:
        s->product = get_text(c, 1, STAMP_MAX_TEXT, false);
        break;
    case STAMP_MODEL:
        s->model = get_text(c, 1, STAMP_MAX_TEXT, false);
        break;
    case STAMP_HARDWARE_REVISION:
        s->hardware_revision = get_text(c, 1, 32, false);
        break;
    case STAMP_MADE_AT:
        s->has_made_at = true;
        s->made_at = stamp_cbor_uint(c, UINT32_MAX);
        break;
    case STAMP_PURPOSE:
        s->has_purpose = true;
        s->purpose = (uint8_t)stamp_cbor_uint(c, STAMP_PRODUCTION);
        break;
    case STAMP_OWNER_KEY_HASH:
        s->owner_key_hash = get_bytes(c, 32, 32);
        break;
    case STAMP_TRUST_BUNDLE:
        get_bundle(c, s);
        break;
    case STAMP_PROVISIONING_KEY:
        get_provisioning(c, s);
        break;
    case STAMP_BARCODES:
        get_barcodes(c, s->barcodes, &s->n_barcodes);
        break;
    case STAMP_FIELDS:
        get_fields(c, s);
        break;
    case STAMP_POP_SHOWN:
        s->pop_shown = get_bool(c);
        if (!s->pop_shown) {
            fail(c);
        }
        break;
    default:
        (void)stamp_cbor_skip(c); /* SPEC 4-6 */
    }
}

static void get_other(struct stamp_cbor *c, uint32_t key, struct stamp *s)
{
    switch (key) {
    case STAMP_POP:
        get_salted(c, &s->pop_salt);
        s->pop = get_text(c, 4, STAMP_MAX_TEXT, false);
        break;
    case STAMP_PROVISIONING_PRIVATE:
        get_salted(c, &s->provisioning_salt);
        s->provisioning_private = get_bytes(c, STAMP_SCALAR_SIZE, STAMP_SCALAR_SIZE);
        break;
    case STAMP_SECRET_BARCODES:
        get_salted(c, &s->secret_barcodes_salt);
        get_barcodes(c, s->secret_barcodes, &s->n_secret_barcodes);
        break;
    case STAMP_DEVICE_KEY:
        s->has_device_key = true;
        get_device_key(c, &s->key_where, &s->key_id, &s->key_private);
        break;
    case STAMP_CERTIFICATES:
        get_certificates(c, s->certificates, &s->n_certificates);
        break;
    case STAMP_CLAIM_STATE:
        get_claim_state(c, s);
        break;
    case STAMP_NEXT_POP:
        get_salted(c, &s->next_pop_salt);
        s->next_pop = get_text(c, 4, STAMP_MAX_TEXT, false);
        break;
    case STAMP_NEXT_KEY:
        s->has_next_key = true;
        get_device_key(c, &s->next_where, &s->next_id, &s->next_private);
        break;
    default:
        (void)stamp_cbor_skip(c);
    }
}

/* SPEC 5-2: the private half is there exactly with the device's own pair. */
static bool provisioning_agrees(const struct stamp *s)
{
    bool own = s->has_provisioning_key && s->provisioning_kind == STAMP_PROVISIONING_OWN;

    return own == (s->provisioning_private.p != NULL);
}

enum stamp_err stamp_decode(struct stamp *s, const void *in, size_t in_len)
{
    struct stamp_cbor c;
    uint32_t last = 0;
    uint32_t n;

    memset(s, 0, sizeof *s);
    if (in_len > STAMP_MAX_LEN) {
        return STAMP_E_FORMAT;
    }
    stamp_cbor_init(&c, in, in_len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    for (uint32_t i = 0; i < n && c.err == STAMP_OK; i++) {
        uint32_t key = stamp_cbor_uint(&c, STAMP_KEY_LAST);

        if (key <= last) { /* ascending, none twice, no 0: SPEC 4-1, 4-6 */
            fail(&c);
        } else if (stamp_key_class(key) == STAMP_CLASS_PUBLIC) {
            get_public(&c, key, s);
        } else {
            get_other(&c, key, s);
        }
        last = key;
    }
    if (c.err != STAMP_OK || c.left != 0 || !provisioning_agrees(s)) {
        memset(s, 0, sizeof *s);
        return STAMP_E_FORMAT;
    }
    return STAMP_OK;
}

enum stamp_err stamp_check_birth(const struct stamp *s)
{
    bool all = s->serial.p != NULL && s->company.p != NULL && s->product.p != NULL &&
               s->has_made_at && s->has_purpose && s->owner_key_hash.p != NULL &&
               s->trust_bundle.p != NULL && s->has_device_key && s->n_certificates > 0 &&
               !s->has_claim_state && !s->has_next_key && s->next_pop.p == NULL;

    return all ? STAMP_OK : STAMP_E_MISSING;
}
