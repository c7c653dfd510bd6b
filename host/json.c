#include "host/json.h"

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/barcode.h"
#include "host/key.h"
#include "host/pki.h"

#define ALGORITHM "P-256"

static json_t *text(struct stamp_slice s)
{
    return s.p == NULL ? json_null() : json_stringn((const char *)s.p, s.len);
}

/* Takes over `value`; a NULL one (out of memory) makes the whole fail. */
static bool put(json_t *obj, const char *key, json_t *value)
{
    return json_object_set_new(obj, key, value) == 0;
}

void stamp_json_time(uint32_t seconds, char out[21])
{
    time_t when = (time_t)seconds;
    struct tm tm;

    memset(&tm, 0, sizeof tm);
    (void)gmtime_r(&when, &tm);
    (void)strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void stamp_json_current(const struct stamp_image *img, struct stamp *out)
{
    const struct stamp *bank = stamp_image_bank(img);

    *out = *stamp_image_birth(img);
    if (bank == NULL) {
        return;
    }
    if (bank->trust_bundle.p != NULL) {
        out->trust_bundle = bank->trust_bundle;
    }
    if (bank->pop.p != NULL) {
        out->pop = bank->pop;
    }
    if (bank->n_secret_barcodes > 0) {
        memcpy(out->secret_barcodes, bank->secret_barcodes, sizeof bank->secret_barcodes);
        out->n_secret_barcodes = bank->n_secret_barcodes;
    }
    if (bank->has_device_key) {
        out->key_where = bank->key_where;
        out->key_id = bank->key_id;
        out->key_private = bank->key_private;
        memcpy(out->certificates, bank->certificates, sizeof bank->certificates);
        out->n_certificates = bank->n_certificates;
    }
    out->has_claim_state = bank->has_claim_state;
    out->claim_tries = bank->claim_tries;
    out->claimed = bank->claimed;
}

bool stamp_json_bound(const struct stamp_image *img)
{
    STAMP_X509_AUTO *leaf = NULL;
    struct stamp_binding b;

    return stamp_pki_decode(stamp_image_birth(img)->certificates[0], &leaf, NULL) ==
               STAMP_OK &&
           stamp_binding_read(leaf, &b, NULL) == STAMP_OK && b.present;
}

static json_t *point_pem(const uint8_t *point)
{
    char *pem = NULL;
    json_t *j;

    if (stamp_key_public_pem(point, &pem, NULL) != STAMP_OK) {
        return json_null(); /* not on the curve: `stamp verify` says so */
    }
    j = json_string(pem);
    free(pem);
    return j;
}

static json_t *scalar_pem(const uint8_t *scalar)
{
    STAMP_PKEY_AUTO *key = NULL;
    STAMP_BIO_AUTO *bio = BIO_new(BIO_s_secmem());
    char *pem = NULL;
    long len;

    if (bio == NULL || stamp_key_from_scalar(scalar, &key, NULL) != STAMP_OK ||
        PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        return json_null();
    }
    len = BIO_get_mem_data(bio, &pem);
    return json_stringn(pem, (size_t)len);
}

static json_t *device_key(const struct stamp *s)
{
    STAMP_X509_AUTO *leaf = NULL;
    uint8_t point[STAMP_POINT_SIZE];
    json_t *j = json_object();
    bool known = stamp_pki_decode(s->certificates[0], &leaf, NULL) == STAMP_OK &&
                 stamp_key_point(X509_get0_pubkey(leaf), point, NULL) == STAMP_OK;

    if (put(j, "algorithm", json_string(ALGORITHM)) &&
        put(j, "public_key", known ? point_pem(point) : json_null())) {
        return j;
    }
    json_decref(j);
    return NULL;
}

static json_t *provisioning_key(const struct stamp *s, bool secrets)
{
    bool own = s->provisioning_kind == STAMP_PROVISIONING_OWN;
    json_t *j;

    if (!s->has_provisioning_key) {
        return json_null();
    }
    j = json_object();
    if (put(j, "kind", json_string(own ? "own" : "peer")) &&
        put(j, "algorithm", json_string(ALGORITHM)) &&
        put(j, "public_key", point_pem(s->provisioning_point.p)) &&
        put(j, "private_key",
            secrets && s->provisioning_private.p != NULL
                ? scalar_pem(s->provisioning_private.p)
                : json_null())) {
        return j;
    }
    json_decref(j);
    return NULL;
}

static json_t *certificates(const struct stamp_slice *certs, size_t n)
{
    json_t *j = json_array();

    for (size_t i = 0; i < n; i++) {
        char *pem = NULL;
        bool ok = stamp_pki_pem(certs[i], &pem, NULL) == STAMP_OK &&
                  json_array_append_new(j, json_string(pem)) == 0;

        free(pem);
        if (!ok) {
            json_decref(j);
            return NULL;
        }
    }
    return j;
}

static json_t *anchors(const struct stamp *s)
{
    struct stamp_bundle b;

    if (stamp_bundle_decode(&b, s->trust_bundle.p, s->trust_bundle.len) != STAMP_OK) {
        return json_null();
    }
    return certificates(b.anchors, b.n_anchors);
}

static bool add_barcodes(json_t *to, const struct stamp_barcode *b, size_t n, bool shown)
{
    for (size_t i = 0; i < n; i++) {
        const char *symbology =
            stamp_symbology_name((enum stamp_symbology)b[i].symbology);
        json_t *j = json_object();

        if (!put(j, "symbology", json_string(symbology)) ||
            !put(j, "payload", shown ? text(b[i].payload) : json_null()) ||
            json_array_append(to, j) != 0) {
            json_decref(j);
            return false;
        }
        json_decref(j);
    }
    return true;
}

static json_t *barcodes(const struct stamp *s, bool secrets)
{
    json_t *j = json_array();

    if (add_barcodes(j, s->barcodes, s->n_barcodes, true) &&
        add_barcodes(j, s->secret_barcodes, s->n_secret_barcodes, secrets)) {
        return j;
    }
    json_decref(j);
    return NULL;
}

static json_t *fields(const struct stamp *s)
{
    json_t *j = json_object();

    for (size_t i = 0; i < s->n_fields; i++) {
        const struct stamp_field *f = &s->fields[i];
        char name[33] = "";
        json_t *value = f->type == STAMP_FIELD_TEXT  ? text(f->text)
                        : f->type == STAMP_FIELD_INT ? json_integer(f->number)
                                                     : json_boolean(f->number != 0);

        memcpy(name, f->name.p, f->name.len < 32 ? f->name.len : 32);
        if (!put(j, name, value)) {
            json_decref(j);
            return NULL;
        }
    }
    return j;
}

enum stamp_err stamp_json(const struct stamp_image *img, bool secrets, json_t **out,
                          struct stamp_error *err)
{
    struct stamp s;
    char made_at[21];
    json_t *j = json_object();
    bool ok;

    stamp_json_current(img, &s);
    stamp_json_time(s.made_at, made_at);
    ok = put(j, "serial", text(s.serial)) && put(j, "company", text(s.company)) &&
         put(j, "product", text(s.product)) && put(j, "model", text(s.model)) &&
         put(j, "hardware_revision", text(s.hardware_revision)) &&
         put(j, "purpose",
             json_string(s.purpose == STAMP_PRODUCTION ? "production" : "development")) &&
         put(j, "made_at", json_string(made_at)) &&
         put(j, "device_key", device_key(&s)) &&
         put(j, "certificates", certificates(s.certificates, s.n_certificates)) &&
         put(j, "trust_anchors", anchors(&s)) &&
         put(j, "proof_of_possession", secrets ? text(s.pop) : json_null()) &&
         put(j, "provisioning_key", provisioning_key(&s, secrets)) &&
         put(j, "barcodes", barcodes(&s, secrets)) && put(j, "fields", fields(&s)) &&
         put(j, "bound", json_boolean(stamp_json_bound(img)));
    OPENSSL_cleanse(&s, sizeof s);
    if (!ok) {
        json_decref(j);
        *out = NULL;
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "cannot write the stamp as JSON");
    }
    *out = j;
    return STAMP_OK;
}
