#include "host/request.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "core/keys.h"
#include "host/claims.h"
#include "host/pkcs10.h"
#include "host/pki.h"

static enum stamp_err malformed(const char *what, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0,
                           "the unit's request for a certificate is malformed: %s", what);
}

static enum stamp_err wrong(const char *what, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_AUTH, 0,
                           "the unit's request for a certificate is refused: %s", what);
}

/* Key 32..34 has its commitment, 10 its point, the others are of the evidence's own. */
static bool take_evidence_item(struct stamp_cbor *c, uint32_t key,
                               struct stamp_evidence *e)
{
    struct stamp_slice v = stamp_cbor_string(c, STAMP_CBOR_BYTES, 0, 256);
    uint8_t *to = NULL;
    size_t want = 32;

    switch (key) {
    case STAMP_EVIDENCE_CHALLENGE:
        to = e->challenge;
        break;
    case STAMP_EVIDENCE_CHIP:
        to = e->chip;
        want = v.len;
        e->chip_len = v.len;
        break;
    case STAMP_EVIDENCE_OFFER:
        to = e->offer;
        break;
    case STAMP_PROVISIONING_KEY:
        to = e->point;
        want = STAMP_POINT_SIZE;
        e->has_point = true;
        break;
    case STAMP_POP:
    case STAMP_PROVISIONING_PRIVATE:
    case STAMP_SECRET_BARCODES:
        to = e->commitment[key - STAMP_POP];
        e->has_commitment[key - STAMP_POP] = true;
        break;
    default:
        return false;
    }
    if (c->err != STAMP_OK || v.len != want || (to == e->chip && want > sizeof e->chip)) {
        return false;
    }
    memcpy(to, v.p, want);
    return true;
}

static bool take_evidence(const ASN1_OCTET_STRING *value, struct stamp_evidence *e)
{
    struct stamp_cbor c;
    uint32_t last = 0;

    stamp_cbor_init(&c, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    for (uint32_t n = stamp_cbor_expect(&c, STAMP_CBOR_MAP); n > 0; n--) {
        uint32_t key = stamp_cbor_expect(&c, STAMP_CBOR_UINT);

        if (key <= last || !take_evidence_item(&c, key, e)) {
            return false;
        }
        last = key;
    }
    return c.err == STAMP_OK && c.left == 0 && last >= STAMP_EVIDENCE_OFFER;
}

/* The extensions as those of a certificate, which the reader of bindings takes. */
static enum stamp_err take_extensions(const struct stamp_pkcs10 *req,
                                      struct stamp_request *out, struct stamp_error *err)
{
    const STACK_OF(X509_EXTENSION) *list = req->extensions;
    ASN1_OBJECT *oid = OBJ_txt2obj(STAMP_REQUEST_EVIDENCE, 1);
    struct stamp_binding binding = {0};
    X509 *cert = X509_new();
    bool found = false;
    bool ok = list != NULL && oid != NULL && cert != NULL;
    enum stamp_err rc = STAMP_OK;

    for (int i = 0; ok && i < sk_X509_EXTENSION_num(list); i++) {
        X509_EXTENSION *ext = sk_X509_EXTENSION_value(list, i);

        if (OBJ_cmp(X509_EXTENSION_get_object(ext), oid) == 0) {
            ok = !found && take_evidence(X509_EXTENSION_get_data(ext), &out->evidence);
            found = true;
        } else {
            ok = X509_add_ext(cert, ext, -1) == 1;
        }
    }
    if (!ok || !found) {
        rc = malformed("it does not say what the unit is", err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_binding_read(cert, &binding, err);
    }
    if (rc == STAMP_OK && !binding.has_digest) {
        rc = malformed("it does not say what it is to bind", err);
    }
    out->purpose = binding.purpose;
    memcpy(out->digest, binding.digest, sizeof out->digest);
    X509_free(cert);
    ASN1_OBJECT_free(oid);
    return rc;
}

static bool take_serial(X509_NAME *name, char serial[65])
{
    int at = X509_NAME_get_index_by_NID(name, NID_serialNumber, -1);
    const ASN1_STRING *value;
    int len;

    if (at < 0 || X509_NAME_entry_count(name) != 1) {
        return false;
    }
    value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    len = ASN1_STRING_length(value);
    if (len < 1 || len > 64) {
        return false;
    }
    for (int i = 0; i < len; i++) {
        uint8_t c = ASN1_STRING_get0_data(value)[i];

        if (c < 0x21 || c > 0x7E) {
            return false;
        }
        serial[i] = (char)c;
    }
    serial[len] = '\0';
    return true;
}

enum stamp_err stamp_request_read(struct stamp_slice der, struct stamp_request *out,
                                  struct stamp_error *err)
{
    STAMP_PKCS10_AUTO req;
    enum stamp_err rc = stamp_pkcs10_open(der, &req, err);

    memset(out, 0, sizeof *out);
    memcpy(out->point, req.point, sizeof out->point);
    if (rc == STAMP_OK) {
        rc = take_serial(req.subject, out->serial) ? take_extensions(&req, out, err)
                                                   : malformed("no serial number", err);
    }
    ERR_clear_error();
    return rc;
}

enum stamp_err stamp_request_check(const struct stamp_request *r,
                                   const struct stamp_request_asked *asked,
                                   uint8_t *claims, size_t *claims_len,
                                   struct stamp_error *err)
{
    const struct stamp_evidence *e = &r->evidence;
    uint8_t digest[32];
    enum stamp_err rc = stamp_offer_digest(asked->offer, digest, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (CRYPTO_memcmp(e->challenge, asked->challenge, sizeof e->challenge) != 0) {
        return wrong("it does not answer this challenge: a request that was recorded "
                     "before, or another unit's",
                     err);
    }
    if (e->chip_len != asked->chip.len ||
        memcmp(e->chip, asked->chip.p, e->chip_len) != 0) {
        return wrong("it is of another chip than the unit said it is", err);
    }
    if (memcmp(e->offer, digest, sizeof digest) != 0) {
        return wrong("it is for another offer", err);
    }
    if (strcmp(r->serial, asked->serial) != 0) {
        return wrong("it is for another serial", err);
    }
    if (r->purpose != asked->purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "the unit's request for a certificate is for the other "
                               "purpose");
    }
    rc = stamp_offer_claims(asked->offer, e, claims, claims_len, err);
    if (rc == STAMP_OK) {
        rc = stamp_claims_hash(claims, *claims_len, digest, err);
    }
    if (rc == STAMP_OK && memcmp(digest, r->digest, sizeof digest) != 0) {
        rc = wrong("the unit binds other claims than it was offered", err);
    }
    return rc;
}
