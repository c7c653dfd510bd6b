/* Writing a stamp and a trust bundle. */
#include <string.h>

#include "core/stamp.h"
#include "core/stamp_i.h"

static void put_text(struct stamp_cbor_out *o, struct stamp_slice s)
{
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, s.p, s.len);
}

static void put_bytes(struct stamp_cbor_out *o, struct stamp_slice s)
{
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, s.p, s.len);
}

static void put_uint(struct stamp_cbor_out *o, uint32_t v)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, v);
}

static void put_array(struct stamp_cbor_out *o, uint32_t n)
{
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, n);
}

static void put_bool(struct stamp_cbor_out *o, bool v)
{
    stamp_cbor_put_head(o, STAMP_CBOR_SIMPLE, v ? 21 : 20);
}

static void put_barcodes(struct stamp_cbor_out *o, const struct stamp_barcode *b,
                         uint8_t n)
{
    put_array(o, n);
    for (uint8_t i = 0; i < n; i++) {
        put_array(o, 3);
        put_uint(o, b[i].symbology);
        put_text(o, b[i].name);
        put_text(o, b[i].payload);
    }
}

static void put_field_value(struct stamp_cbor_out *o, const struct stamp_field *f)
{
    if (f->type == STAMP_FIELD_TEXT) {
        put_text(o, f->text);
    } else if (f->type == STAMP_FIELD_BOOL) {
        put_bool(o, f->number != 0);
    } else if (f->number >= 0) {
        put_uint(o, (uint32_t)f->number);
    } else {
        stamp_cbor_put_head(o, STAMP_CBOR_NINT, (uint32_t)(-1 - f->number));
    }
}

/* The fields in the order of their names, whatever order they are in. */
static void put_fields(struct stamp_cbor_out *o, const struct stamp *s)
{
    const struct stamp_field *last = NULL;

    stamp_cbor_put_head(o, STAMP_CBOR_MAP, s->n_fields);
    for (uint8_t i = 0; i < s->n_fields; i++) {
        const struct stamp_field *next = NULL;

        for (const struct stamp_field *f = s->fields; f < s->fields + s->n_fields; f++) {
            if ((last == NULL || stampi_field_order(last->name, f->name) < 0) &&
                (next == NULL || stampi_field_order(f->name, next->name) < 0)) {
                next = f;
            }
        }
        if (next == NULL) { /* a name twice: stamp_encode() finds it when it reads back */
            return;
        }
        put_text(o, next->name);
        put_field_value(o, next);
        last = next;
    }
}

static void put_salt(struct stamp_cbor_out *o, struct stamp_slice salt)
{
    put_array(o, 2);
    put_bytes(o, salt);
}

static void put_certificates(struct stamp_cbor_out *o, const struct stamp_slice *certs,
                             uint8_t n)
{
    put_array(o, n);
    for (uint8_t i = 0; i < n; i++) {
        put_bytes(o, certs[i]);
    }
}

static void put_device_key(struct stamp_cbor_out *o, uint8_t where, uint32_t id,
                           struct stamp_slice private)
{
    put_array(o, 3);
    put_uint(o, STAMP_P256);
    put_uint(o, where);
    if (where == STAMP_KEY_HERE) {
        put_bytes(o, private);
    } else {
        put_uint(o, id);
    }
}

static bool has(const struct stamp *s, uint32_t key)
{
    switch (key) {
    case STAMP_SERIAL:
        return s->serial.p != NULL;
    case STAMP_COMPANY:
        return s->company.p != NULL;
    case STAMP_PRODUCT:
        return s->product.p != NULL;
    case STAMP_MODEL:
        return s->model.p != NULL;
    case STAMP_HARDWARE_REVISION:
        return s->hardware_revision.p != NULL;
    case STAMP_MADE_AT:
        return s->has_made_at;
    case STAMP_PURPOSE:
        return s->has_purpose;
    case STAMP_OWNER_KEY_HASH:
        return s->owner_key_hash.p != NULL;
    case STAMP_TRUST_BUNDLE:
        return s->trust_bundle.p != NULL;
    case STAMP_PROVISIONING_KEY:
        return s->has_provisioning_key;
    case STAMP_BARCODES:
        return s->n_barcodes > 0;
    case STAMP_FIELDS:
        return s->n_fields > 0;
    case STAMP_POP_SHOWN:
        return s->pop_shown;
    case STAMP_POP:
        return s->pop.p != NULL;
    case STAMP_PROVISIONING_PRIVATE:
        return s->provisioning_private.p != NULL;
    case STAMP_SECRET_BARCODES:
        return s->n_secret_barcodes > 0;
    case STAMP_DEVICE_KEY:
        return s->has_device_key;
    case STAMP_CERTIFICATES:
        return s->n_certificates > 0;
    case STAMP_CLAIM_STATE:
        return s->has_claim_state;
    case STAMP_NEXT_KEY:
        return s->has_next_key;
    case STAMP_NEXT_POP:
        return s->next_pop.p != NULL;
    default:
        return false;
    }
}

static void put_public(struct stamp_cbor_out *o, uint32_t key, const struct stamp *s)
{
    switch (key) {
    case STAMP_SERIAL:
        put_text(o, s->serial);
        break;
    case STAMP_COMPANY:
        put_text(o, s->company);
        break;
    case STAMP_PRODUCT:
        put_text(o, s->product);
        break;
    case STAMP_MODEL:
        put_text(o, s->model);
        break;
    case STAMP_HARDWARE_REVISION:
        put_text(o, s->hardware_revision);
        break;
    case STAMP_MADE_AT:
        put_uint(o, s->made_at);
        break;
    case STAMP_PURPOSE:
        put_uint(o, s->purpose);
        break;
    case STAMP_OWNER_KEY_HASH:
        put_bytes(o, s->owner_key_hash);
        break;
    case STAMP_TRUST_BUNDLE:
        stamp_cbor_put_raw(o, s->trust_bundle.p, s->trust_bundle.len);
        break;
    case STAMP_PROVISIONING_KEY:
        put_array(o, 3);
        put_uint(o, s->provisioning_kind);
        put_uint(o, STAMP_P256);
        put_bytes(o, s->provisioning_point);
        break;
    case STAMP_BARCODES:
        put_barcodes(o, s->barcodes, s->n_barcodes);
        break;
    case STAMP_FIELDS:
        put_fields(o, s);
        break;
    default: /* STAMP_POP_SHOWN */
        stamp_cbor_put_head(o, STAMP_CBOR_SIMPLE, 21);
    }
}

static void put_other(struct stamp_cbor_out *o, uint32_t key, const struct stamp *s)
{
    switch (key) {
    case STAMP_POP:
        put_salt(o, s->pop_salt);
        put_text(o, s->pop);
        break;
    case STAMP_PROVISIONING_PRIVATE:
        put_salt(o, s->provisioning_salt);
        put_bytes(o, s->provisioning_private);
        break;
    case STAMP_SECRET_BARCODES:
        put_salt(o, s->secret_barcodes_salt);
        put_barcodes(o, s->secret_barcodes, s->n_secret_barcodes);
        break;
    case STAMP_DEVICE_KEY:
        put_device_key(o, s->key_where, s->key_id, s->key_private);
        break;
    case STAMP_CERTIFICATES:
        put_certificates(o, s->certificates, s->n_certificates);
        break;
    case STAMP_NEXT_POP:
        put_salt(o, s->next_pop_salt);
        put_text(o, s->next_pop);
        break;
    case STAMP_NEXT_KEY:
        put_device_key(o, s->next_where, s->next_id, s->next_private);
        break;
    default:
        put_array(o, 2);
        put_uint(o, s->claim_tries);
        put_bool(o, s->claimed);
    }
}

static bool counts_ok(const struct stamp *s)
{
    if (s->n_barcodes > STAMP_MAX_BARCODES || s->n_secret_barcodes > STAMP_MAX_BARCODES ||
        s->n_fields > STAMP_MAX_FIELDS || s->n_certificates > STAMP_MAX_CERTIFICATES) {
        return false;
    }
    for (uint8_t i = 0; i < s->n_fields; i++) {
        if (s->fields[i].type != STAMP_FIELD_TEXT &&
            (s->fields[i].number > UINT32_MAX ||
             s->fields[i].number < -1 - (int64_t)UINT32_MAX)) {
            return false;
        }
    }
    return true;
}

enum stamp_err stamp_encode(const struct stamp *s, void *out, size_t size, size_t *len)
{
    struct stamp_cbor_out o;
    struct stamp check;
    uint32_t n = 0;

    *len = 0;
    if (!counts_ok(s)) {
        return STAMP_E_RANGE;
    }
    for (uint32_t key = 1; key <= STAMP_KEY_LAST; key++) {
        n += has(s, key) ? 1 : 0;
    }
    stamp_cbor_out_init(&o, out, size);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, n);
    for (uint32_t key = 1; key <= STAMP_KEY_LAST; key++) {
        if (!has(s, key)) {
            continue;
        }
        put_uint(&o, key);
        if (stamp_key_class(key) == STAMP_CLASS_PUBLIC) {
            put_public(&o, key, s);
        } else {
            put_other(&o, key, s);
        }
    }
    if (!stamp_cbor_out_ok(&o)) {
        *len = o.len;
        return o.len > STAMP_MAX_LEN ? STAMP_E_RANGE : STAMP_E_SPACE;
    }
    /* what a reader would refuse is not written: the reader's own checks, once more */
    if (stamp_decode(&check, out, o.len) != STAMP_OK) {
        return STAMP_E_RANGE;
    }
    *len = o.len;
    return STAMP_OK;
}

enum stamp_err stamp_bundle_payload(const struct stamp_bundle *b, void *out, size_t size,
                                    size_t *len)
{
    struct stamp_cbor_out o;

    *len = 0;
    if (b->version == 0 || b->n_anchors == 0 || b->n_anchors > STAMP_MAX_CERTIFICATES ||
        b->owner.len != STAMP_POINT_SIZE ||
        (b->recipient.p != NULL && b->recipient.len != STAMP_POINT_SIZE)) {
        return STAMP_E_RANGE;
    }
    stamp_cbor_out_init(&o, out, size);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, b->recipient.p != NULL ? 5 : 4);
    put_uint(&o, STAMP_BUNDLE_VERSION);
    put_uint(&o, b->version);
    put_uint(&o, STAMP_BUNDLE_PURPOSE);
    put_uint(&o, b->purpose);
    put_uint(&o, STAMP_BUNDLE_ANCHORS);
    put_certificates(&o, b->anchors, b->n_anchors);
    put_uint(&o, STAMP_BUNDLE_OWNER);
    put_bytes(&o, b->owner);
    if (b->recipient.p != NULL) {
        put_uint(&o, STAMP_BUNDLE_RECIPIENT);
        put_bytes(&o, b->recipient);
    }
    *len = o.len;
    return stamp_cbor_out_ok(&o) ? STAMP_OK : STAMP_E_SPACE;
}

enum stamp_err stamp_bundle_encode(struct stamp_slice payload,
                                   const uint8_t signature[64], void *out, size_t size,
                                   size_t *len)
{
    struct stamp_cbor_out o;

    stamp_cbor_out_init(&o, out, size);
    put_array(&o, 4);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, STAMP_ES256_HEADER, 3);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, 0);
    put_bytes(&o, payload);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, signature, 64);
    *len = o.len;
    return stamp_cbor_out_ok(&o) ? STAMP_OK : STAMP_E_SPACE;
}
