/*
 * Making offers. Barcodes with secrets are put together by the device, so each template
 * is filled in twice, with a drawn proof and a stand-in for the key, cut into parts where
 * they show, and only taken when both times lead to the same parts. SPEC 13-5, 13-6.
 */
#include "host/offer.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "core/keys.h"
#include "host/claims.h"
#include "host/dpp.h"
#include "host/offer_own.h"
#include "host/openssl.h"
#include "host/secret.h"

enum { DRAWS = 16, PARTS_MAX = 16 };

/* P-256's generator (SEC 2 2.4.2) and its double. Nobody gets a key like these: they only
 * show where a template puts the key. */
static const uint8_t stand_in[2][STAMP_POINT_SIZE] = {
    {0x04, 0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5,
     0x63, 0xA4, 0x40, 0xF2, 0x77, 0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4,
     0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96, 0x4F, 0xE3, 0x42, 0xE2, 0xFE, 0x1A,
     0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16, 0x2B, 0xCE, 0x33,
     0x57, 0x6B, 0x31, 0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5},
    {0x04, 0x7C, 0xF2, 0x7B, 0x18, 0x8D, 0x03, 0x4F, 0x7E, 0x8A, 0x52, 0x38, 0x03,
     0x04, 0xB5, 0x1A, 0xC3, 0xC0, 0x89, 0x69, 0xE2, 0x77, 0xF2, 0x1B, 0x35, 0xA6,
     0x0B, 0x48, 0xFC, 0x47, 0x66, 0x99, 0x78, 0x07, 0x77, 0x55, 0x10, 0xDB, 0x8E,
     0xD0, 0x40, 0x29, 0x3D, 0x9A, 0xC6, 0x9F, 0x74, 0x30, 0xDB, 0xBA, 0x7D, 0xAD,
     0xE6, 0x3C, 0xE9, 0x82, 0x29, 0x9E, 0x04, 0xB7, 0x9D, 0x22, 0x78, 0x73, 0xD1}};

/* One filling of a template. */
struct draw {
    struct stamp_secret *pop;
    char hash[65];
    char base64[STAMP_DPP_KEY_LEN + 1];
    struct stamp_secret *text;
};

struct part {
    int kind; /* enum stamp_offer_part; -1 = text */
    const uint8_t *p;
    size_t len;
};

static void draw_free(struct draw *d)
{
    stamp_secret_free(&d->pop);
    stamp_secret_free(&d->text);
    OPENSSL_cleanse(d, sizeof *d);
}

static enum stamp_err draw(const struct stamp_profile *p,
                           const struct stamp_barcode_template *t, const char *serial,
                           const uint8_t point[STAMP_POINT_SIZE], struct draw *d,
                           struct stamp_error *err)
{
    struct stamp_barcode_vars vars;
    bool hidden;
    enum stamp_err rc = stampi_offer_key(point, d->hash, d->base64, err);

    if (rc == STAMP_OK && p->pop.length > 0) {
        rc = stamp_profile_draw_pop(p, &d->pop, err);
    }
    if (rc == STAMP_OK) {
        stamp_profile_vars(p, &vars);
        vars.serial = serial;
        vars.pop = d->pop;
        vars.point = p->provisioning == STAMP_PROFILE_KEY_DEVICE ? point : NULL;
        rc = stamp_barcode_payload(t, &vars, &d->text, &hidden, err);
    }
    return rc;
}

static bool begins(const uint8_t *p, size_t left, const void *what, size_t len)
{
    return len > 0 && left >= len && memcmp(p, what, len) == 0;
}

/* Cut a text where what was drawn shows. 0: too many parts. */
static size_t cut(const struct draw *d, struct part parts[PARTS_MAX])
{
    size_t pop_len = 0;
    size_t left;
    const uint8_t *pop = d->pop != NULL ? stamp_secret_use(d->pop, &pop_len) : NULL;
    const uint8_t *p = stamp_secret_use(d->text, &left);
    size_t n = 0;

    while (left > 0) {
        struct part part = {-1, p, 1};

        if (begins(p, left, pop, pop_len)) {
            part = (struct part){STAMP_PART_POP, NULL, pop_len};
        } else if (begins(p, left, d->hash, sizeof d->hash - 1)) {
            part = (struct part){STAMP_PART_HASH, NULL, sizeof d->hash - 1};
        } else if (begins(p, left, d->base64, sizeof d->base64 - 1)) {
            part = (struct part){STAMP_PART_BASE64, NULL, sizeof d->base64 - 1};
        }
        p += part.len;
        left -= part.len;
        if (part.kind < 0 && n > 0 && parts[n - 1].kind < 0) {
            parts[n - 1].len++;
        } else if (n < PARTS_MAX) {
            parts[n++] = part;
        } else {
            return 0;
        }
    }
    return n;
}

static bool same_parts(const struct part *a, size_t n_a, const struct part *b, size_t n_b)
{
    if (n_a == 0 || n_a != n_b) {
        return false;
    }
    for (size_t i = 0; i < n_a; i++) {
        if (a[i].kind != b[i].kind ||
            (a[i].kind < 0 &&
             (a[i].len != b[i].len || memcmp(a[i].p, b[i].p, a[i].len) != 0))) {
            return false;
        }
    }
    return true;
}

static void put_parts(struct stamp_cbor_out *o, const struct part *parts, size_t n)
{
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].kind < 0) {
            stamp_cbor_put_string(o, STAMP_CBOR_TEXT, parts[i].p, parts[i].len);
        } else {
            stamp_cbor_put_head(o, STAMP_CBOR_UINT, (uint32_t)parts[i].kind);
        }
    }
}

/* A drawn proof may by chance look like the text around it: then other ones are drawn. */
static enum stamp_err put_barcode(struct stamp_cbor_out *o, const struct stamp_profile *p,
                                  const struct stamp_barcode_template *t,
                                  const char *serial, struct stamp_error *err)
{
    for (int i = 0; i < DRAWS; i++) {
        struct draw d[2] = {{0}, {0}};
        struct part parts[2][PARTS_MAX];
        size_t n[2] = {0, 0};
        enum stamp_err rc = STAMP_OK;
        bool same;

        for (int k = 0; k < 2 && rc == STAMP_OK; k++) {
            rc = draw(p, t, serial, stand_in[k], &d[k], err);
            n[k] = rc == STAMP_OK ? cut(&d[k], parts[k]) : 0;
        }
        same = rc == STAMP_OK && same_parts(parts[0], n[0], parts[1], n[1]);
        if (same) {
            stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 3);
            stamp_cbor_put_head(o, STAMP_CBOR_UINT, (uint32_t)t->symbology);
            stamp_cbor_put_string(o, STAMP_CBOR_TEXT, t->name, strlen(t->name));
            put_parts(o, parts[0], n[0]);
        }
        draw_free(&d[0]);
        draw_free(&d[1]);
        if (same || rc != STAMP_OK) {
            return rc;
        }
    }
    stamp_error_hint(err, "use the proof of possession and the key in it as they are");
    return stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                           "a device cannot put together the barcode '%s' by itself",
                           t->name);
}

static enum stamp_err put_barcodes(struct stamp_cbor_out *o,
                                   const struct stamp_profile *p, const char *serial,
                                   struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    stamp_cbor_put_head(o, STAMP_CBOR_UINT, STAMP_OFFER_BARCODES);
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, (uint32_t)p->n_barcodes);
    for (size_t i = 0; i < p->n_barcodes && rc == STAMP_OK; i++) {
        rc = put_barcode(o, p, &p->barcodes[i], serial, err);
    }
    return rc;
}

static struct stamp_slice text(const char *s)
{
    return (struct stamp_slice){(const uint8_t *)s, s == NULL ? 0 : strlen(s)};
}

/* The public claims that the profile and the order give. */
static enum stamp_err put_claims(struct stamp_cbor_out *o, const struct stamp_profile *p,
                                 const struct stamp_offer_subject *subject,
                                 struct stamp_error *err)
{
    struct stamp s = {0};
    size_t len;
    enum stamp_err rc;

    s.serial = text(subject->serial);
    s.company = text(p->company);
    s.product = text(p->product);
    s.model = text(p->model);
    s.hardware_revision = text(p->hardware_revision);
    s.has_made_at = true;
    s.made_at = (uint32_t)subject->at;
    s.has_purpose = true;
    s.purpose = subject->purpose;
    s.owner_key_hash = (struct stamp_slice){subject->owner_hash, 32};
    s.trust_bundle = subject->bundle;
    for (size_t i = 0; i < p->n_fields; i++) {
        s.fields[i].name = text(p->fields[i].name);
        s.fields[i].type = (uint8_t)p->fields[i].type;
        s.fields[i].number = p->fields[i].number;
        if (p->fields[i].type == STAMP_FIELD_TEXT) {
            s.fields[i].text = text(p->fields[i].text);
        }
    }
    s.n_fields = (uint8_t)p->n_fields;
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, STAMP_OFFER_CLAIMS);
    rc = stamp_encode(&s, o->p + o->len, o->size - o->len, &len);
    o->len += len;
    return rc == STAMP_OK
               ? rc
               : stamp_error_set(err, rc, 0, "the profile holds what a stamp cannot");
}

enum stamp_err stamp_offer_make(const struct stamp_profile *profile,
                                const struct stamp_offer_subject *subject,
                                struct stamp_buffer *out, struct stamp_error *err)
{
    bool own = profile->provisioning == STAMP_PROFILE_KEY_DEVICE;
    bool pop = profile->pop.length > 0;
    uint8_t buf[STAMP_OFFER_MAX];
    struct stamp_cbor_out o;
    enum stamp_err rc;

    *out = (struct stamp_buffer){0};
    if (profile->provisioning == STAMP_PROFILE_KEY_PEER) {
        stamp_error_hint(err, "write: provisioning_key: device");
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                               "the profile has a peer's provisioning key, and a device "
                               "that makes its keys itself makes that one too");
    }
    stamp_cbor_out_init(&o, buf, sizeof buf);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP,
                        1u + pop + own + (profile->n_barcodes > 0) + subject->show);
    rc = put_claims(&o, profile, subject, err);
    if (rc == STAMP_OK && pop) {
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_OFFER_POP);
        stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
        stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, profile->pop.alphabet,
                              strlen(profile->pop.alphabet));
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, profile->pop.length);
    }
    if (rc == STAMP_OK && own) {
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_OFFER_OWN_KEY);
        stamp_cbor_put_head(&o, STAMP_CBOR_SIMPLE, 21);
    }
    if (rc == STAMP_OK && profile->n_barcodes > 0) {
        rc = put_barcodes(&o, profile, subject->serial, err);
    }
    if (rc == STAMP_OK && subject->show) {
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_OFFER_SHOW);
        stamp_cbor_put_head(&o, STAMP_CBOR_SIMPLE, 21);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (!stamp_cbor_out_ok(&o)) {
        return stamp_error_set(err, STAMP_E_SPACE, 0,
                               "what the unit is to become takes more than %u bytes",
                               STAMP_OFFER_MAX);
    }
    rc = stamp_buffer_new(out, o.len, 0, err);
    if (rc == STAMP_OK) {
        memcpy(out->p, buf, o.len);
    }
    return rc;
}

enum stamp_err stamp_offer_digest(struct stamp_slice offer, uint8_t digest[32],
                                  struct stamp_error *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok =
        ctx != NULL && EVP_DigestInit_ex(ctx, stamp_sha256(), NULL) == 1 &&
        EVP_DigestUpdate(ctx, STAMP_LABEL_OFFER, sizeof STAMP_LABEL_OFFER - 1) == 1 &&
        EVP_DigestUpdate(ctx, offer.p, offer.len) == 1 &&
        EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    return ok ? STAMP_OK : stamp_openssl_failed(err, "cannot hash an offer");
}
