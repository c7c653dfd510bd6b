#include "host/verify.h"

#include <string.h>

#include "host/bundle.h"
#include "host/claims.h"
#include "host/key.h"
#include "host/sig.h"

bool stamp_verify_refused(enum stamp_err rc)
{
    return rc == STAMP_E_AUTH || rc == STAMP_E_PURPOSE || rc == STAMP_E_ROLLBACK;
}

static enum stamp_err refuse(struct stamp_error *err, const char *why)
{
    return stamp_error_set(err, STAMP_E_AUTH, 0, "%s", why);
}

static void take_text(struct stamp_cbor *c, char out[STAMP_MAX_TEXT + 1u])
{
    struct stamp_slice s = stamp_cbor_string(c, STAMP_CBOR_TEXT, 1, STAMP_MAX_TEXT);

    if (s.p == NULL || memchr(s.p, 0, s.len) != NULL) {
        c->err = STAMP_E_FORMAT;
        return;
    }
    memcpy(out, s.p, s.len);
    out[s.len] = '\0';
}

/* What is needed of the claims; what is not looked at is covered by the digest. */
static enum stamp_err read_claims(struct stamp_slice claims, struct stamp_identity *out,
                                  struct stamp_error *err)
{
    struct stamp_cbor c;
    struct stamp_slice hash;
    uint32_t n;
    uint32_t last = 0;
    bool purpose = false;
    bool owner = false;

    stamp_cbor_init(&c, claims.p, claims.len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    for (uint32_t i = 0; i < n && c.err == STAMP_OK; i++) {
        uint32_t key = stamp_cbor_uint(&c, STAMP_KEY_OUTSIDE_FIRST - 1);

        if (key <= last) {
            c.err = STAMP_E_FORMAT;
            break;
        }
        last = key;
        switch (key) {
        case STAMP_SERIAL:
            take_text(&c, out->serial);
            break;
        case STAMP_COMPANY:
            take_text(&c, out->company);
            break;
        case STAMP_PRODUCT:
            take_text(&c, out->product);
            break;
        case STAMP_PURPOSE:
            out->purpose = (uint8_t)stamp_cbor_uint(&c, STAMP_PRODUCTION);
            purpose = true;
            break;
        case STAMP_OWNER_KEY_HASH:
            hash = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 32, 32);
            if (hash.p != NULL) {
                memcpy(out->owner_key_hash, hash.p, hash.len);
                owner = true;
            }
            break;
        default:
            (void)stamp_cbor_skip(&c);
        }
    }
    if (c.err != STAMP_OK || c.left != 0 || out->serial[0] == '\0' ||
        out->company[0] == '\0' || out->product[0] == '\0' || !purpose || !owner) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the claims are malformed");
    }
    return STAMP_OK;
}

/* SPEC 7-7, but for the keys. */
static enum stamp_err match(const struct stamp_identity *id,
                            const struct stamp_chain *chain, const uint8_t *digest,
                            const struct stamp_trust *trust, struct stamp_error *err)
{
    const uint8_t *owner = stamp_trust_owner(trust);

    if (chain->has_purpose && chain->purpose != id->purpose) {
        return stamp_error_set(
            err, STAMP_E_PURPOSE, 0, "the stamp is for %s, its certificate is not",
            id->purpose == STAMP_PRODUCTION ? "production" : "development");
    }
    if (strcmp(chain->serial, id->serial) != 0) {
        return refuse(err, "the certificate is of another serial number");
    }
    if (chain->binding.present && memcmp(chain->binding.digest, digest, 32) != 0) {
        return refuse(err, "what the stamp says is not what its certificate binds");
    }
    if (owner != NULL && memcmp(owner, id->owner_key_hash, 32) != 0) {
        return refuse(err, "the stamp is of another owner");
    }
    return STAMP_OK;
}

static enum stamp_err verify_birth(struct stamp_slice claims,
                                   const struct stamp_slice *certs, size_t n,
                                   const struct stamp_trust *trust,
                                   struct stamp_identity *out, struct stamp_error *err)
{
    struct stamp_chain chain;
    uint8_t digest[32];
    enum stamp_err rc = read_claims(claims, out, err);

    if (rc == STAMP_OK) {
        rc = stamp_claims_hash(claims.p, claims.len, digest, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_trust_chain(trust, certs, n, &chain, err);
    }
    if (rc == STAMP_OK) {
        rc = match(out, &chain, digest, trust, err);
    }
    if (rc != STAMP_OK) {
        memset(out, 0, sizeof *out);
        return rc;
    }
    memcpy(out->point, chain.point, sizeof out->point);
    out->bound = chain.binding.present;
    return STAMP_OK;
}

enum stamp_err stamp_verify_claims(struct stamp_slice claims,
                                   struct stamp_slice certificates,
                                   const struct stamp_trust *trust,
                                   struct stamp_identity *out, struct stamp_error *err)
{
    struct stamp_slice certs[STAMP_MAX_CERTIFICATES];
    struct stamp_cbor c;
    uint32_t n;

    memset(out, 0, sizeof *out);
    stamp_cbor_init(&c, certificates.p, certificates.len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    for (uint32_t i = 0; i < n && i < STAMP_MAX_CERTIFICATES; i++) {
        certs[i] = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);
    }
    if (c.err != STAMP_OK || c.left != 0 || n == 0 || n > STAMP_MAX_CERTIFICATES) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the certificates are malformed");
    }
    return verify_birth(claims, certs, n, trust, out, err);
}

/* Bytes that are wrong are a verdict; a check that could not be made is none. */
static enum stamp_err judge(enum stamp_err rc, const struct stamp_error *cause,
                            const char *why, struct stamp_error *err)
{
    if (rc == STAMP_E_AUTH || rc == STAMP_E_FORMAT) {
        return refuse(err, why);
    }
    return rc == STAMP_OK ? rc
                          : stamp_error_set(err, rc, cause->native, "%s", cause->what);
}

/* The private half in the image belongs to the public one. */
static enum stamp_err match_scalar(const uint8_t *scalar, const uint8_t *point,
                                   const char *why, struct stamp_error *err)
{
    STAMP_PKEY_AUTO *key = NULL;
    struct stamp_error cause = STAMP_ERROR_INIT;
    uint8_t mine[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_key_from_scalar(scalar, &key, &cause);

    if (rc == STAMP_OK) {
        rc = stamp_key_point(key, mine, &cause);
    }
    if (rc == STAMP_OK && memcmp(mine, point, sizeof mine) != 0) {
        rc = STAMP_E_AUTH;
    }
    return judge(rc, &cause, why, err);
}

static enum stamp_err match_keys(const struct stamp *s, const uint8_t *point,
                                 struct stamp_error *err)
{
    STAMP_PKEY_AUTO *provisioning = NULL;
    enum stamp_err rc = STAMP_OK;

    if (s->has_provisioning_key &&
        stamp_key_from_point(s->provisioning_point.p, &provisioning, NULL) != STAMP_OK) {
        return refuse(err, "the provisioning key is not a point of P-256");
    }
    if (s->has_device_key && s->key_where == STAMP_KEY_HERE) {
        rc = match_scalar(s->key_private.p, point,
                          "the device key is not the certificate's", err);
    }
    if (rc == STAMP_OK && s->provisioning_private.p != NULL) {
        rc = match_scalar(s->provisioning_private.p, s->provisioning_point.p,
                          "the provisioning key's halves do not belong together", err);
    }
    return rc;
}

static enum stamp_err check_bank(const struct stamp_image *img,
                                 const struct stamp_image_region *r,
                                 const struct stamp_trust *trust,
                                 const struct stamp_identity *id, const uint8_t *digest,
                                 struct stamp_error *err)
{
    const struct stamp *birth = stamp_image_birth(img);
    const struct stamp *s = &r->stamp;
    STAMP_BUFFER_AUTO signed_bytes = {NULL, 0};
    struct stamp_bundle first;
    struct stamp_bundle now;
    struct stamp_chain chain;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc =
        stamp_buffer_new(&signed_bytes, STAMP_SIGNED_SIZE + r->raw.len, 0, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    memcpy(signed_bytes.p, r->raw_header, STAMP_SIGNED_SIZE);
    memcpy(signed_bytes.p + STAMP_SIGNED_SIZE, r->raw.p, r->raw.len);
    rc = stamp_sig_check_point(id->point, STAMP_LABEL_BANK, signed_bytes.p,
                               signed_bytes.len, r->signature, &why);
    rc = judge(rc, &why, "an operational bank is not signed by the birth key", err);
    if (rc == STAMP_OK && s->trust_bundle.p != NULL) {
        rc = stamp_bundle_check(s->trust_bundle, id->owner_key_hash, id->purpose, &now,
                                err);
        if (rc == STAMP_OK &&
            stamp_bundle_decode(&first, birth->trust_bundle.p, birth->trust_bundle.len) ==
                STAMP_OK &&
            now.version < first.version) {
            rc = stamp_error_set(err, STAMP_E_ROLLBACK, 0,
                                 "an operational bank holds an older trust bundle");
        }
    }
    if (rc == STAMP_OK && s->has_next_key && s->next_where == STAMP_KEY_HERE) {
        STAMP_PKEY_AUTO *next = NULL;

        rc = stamp_key_from_scalar(s->next_private.p, &next, &why);
        rc = judge(rc, &why, "the key that waits for its certificate is none", err);
    }
    if (rc == STAMP_OK && s->n_certificates > 0) {
        rc = stamp_trust_chain(trust, s->certificates, s->n_certificates, &chain, err);
        if (rc == STAMP_OK) {
            rc = match(id, &chain, digest, trust, err);
        }
        if (rc == STAMP_OK) {
            rc = match_keys(s, chain.point, err);
        }
    }
    return rc;
}

enum stamp_err stamp_verify_image(const struct stamp_image *img,
                                  const struct stamp_trust *trust,
                                  struct stamp_identity *out, struct stamp_error *err)
{
    const struct stamp_image_region *birth = &img->region[STAMP_BIRTH];
    const struct stamp *s = &birth->stamp;
    uint8_t encoded[STAMP_CLAIMS_MAX];
    uint8_t digest[32];
    struct stamp_slice claims = {encoded, 0};
    enum stamp_err rc = stamp_claims_encode(birth->body.p, birth->body.len, encoded,
                                            sizeof encoded, &claims.len, err);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_OK) {
        rc = stamp_claims_hash(encoded, claims.len, digest, err);
    }
    if (rc == STAMP_OK) {
        rc = verify_birth(claims, s->certificates, s->n_certificates, trust, out, err);
    }
    if (rc == STAMP_OK) {
        rc = match_keys(s, out->point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_bundle_check(s->trust_bundle, s->owner_key_hash.p, s->purpose, NULL,
                                err);
    }
    for (unsigned i = STAMP_BANK_A; i <= STAMP_BANK_B && rc == STAMP_OK; i++) {
        if (img->region[i].whole) {
            rc = check_bank(img, &img->region[i], trust, out, digest, err);
        }
    }
    if (rc != STAMP_OK) {
        memset(out, 0, sizeof *out);
    }
    return rc;
}
