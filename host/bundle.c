#include "host/bundle.h"

#include <string.h>

#include "host/key.h"
#include "host/sig.h"

static enum stamp_err too_long(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_SPACE, 0,
                           "the trust bundle is longer than %u bytes", STAMP_MAX_BUNDLE);
}

enum stamp_err stamp_bundle_sign(const struct stamp_bundle *what, EVP_PKEY *owner,
                                 uint8_t *out, size_t *len, struct stamp_error *err)
{
    struct stamp_bundle b = *what;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t payload[STAMP_MAX_BUNDLE];
    uint8_t sig[STAMP_SIG_SIZE];
    struct stamp_slice body = {payload, 0};
    enum stamp_err rc = stamp_key_point(owner, point, err);

    *len = 0;
    if (rc != STAMP_OK) {
        return rc;
    }
    b.owner.p = point;
    b.owner.len = sizeof point;
    if (stamp_bundle_payload(&b, payload, sizeof payload, &body.len) != STAMP_OK) {
        return too_long(err);
    }
    rc = stamp_sig_make(owner, STAMP_LABEL_BUNDLE, body.p, body.len, sig, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (stamp_bundle_encode(body, sig, out, STAMP_MAX_BUNDLE, len) != STAMP_OK) {
        *len = 0;
        return too_long(err);
    }
    return STAMP_OK;
}

enum stamp_err stamp_bundle_check(struct stamp_slice in, const uint8_t *owner_hash,
                                  uint8_t purpose, struct stamp_bundle *out,
                                  struct stamp_error *err)
{
    struct stamp_bundle b = {0};
    struct stamp_error why = STAMP_ERROR_INIT;
    uint8_t hash[32];
    enum stamp_err rc;

    if (stamp_bundle_decode(&b, in.p, in.len) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the trust bundle is malformed");
    }
    rc = stamp_key_hash(b.owner.p, hash, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (memcmp(hash, owner_hash, sizeof hash) != 0) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the trust bundle is of another owner");
    }
    rc = stamp_sig_check_point(b.owner.p, STAMP_LABEL_BUNDLE, b.payload.p, b.payload.len,
                               b.signature.p, &why);
    if (rc == STAMP_E_AUTH || rc == STAMP_E_FORMAT) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the trust bundle is not signed by its owner");
    }
    if (rc != STAMP_OK) { /* it could not be checked: no verdict */
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    if (b.purpose != purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "the trust bundle is for the other purpose");
    }
    if (stamp_bundle_recipient(&b, &b.recipient) == STAMP_E_FORMAT) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the trust bundle is malformed");
    }
    if (out != NULL) {
        *out = b;
    }
    return STAMP_OK;
}
