#include "host/claims.h"

#include <stdlib.h>
#include <string.h>

#include "host/openssl.h"

static enum stamp_err malformed(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0, "the stamp's encoding is malformed");
}

/* One pass: with `o` NULL it only counts what enters. */
static uint32_t walk(struct stamp_cbor c, struct stamp_cbor_out *o, bool *bad)
{
    uint32_t n = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    uint32_t count = 0;
    uint32_t last = 0;

    for (uint32_t i = 0; i < n && c.err == STAMP_OK; i++) {
        uint32_t key = stamp_cbor_uint(&c, STAMP_KEY_LAST);
        struct stamp_slice value = stamp_cbor_skip(&c);
        uint8_t hash[32];

        if (c.err != STAMP_OK || key <= last) {
            break;
        }
        last = key;
        if (stamp_key_class(key) == STAMP_CLASS_OUTSIDE) {
            continue;
        }
        count++;
        if (o == NULL) {
            continue;
        }
        stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
        if (stamp_key_class(key) == STAMP_CLASS_PUBLIC) {
            stamp_cbor_put_raw(o, value.p, value.len);
        } else if (EVP_Digest(value.p, value.len, hash, NULL, stamp_sha256(), NULL) ==
                   1) {
            stamp_cbor_put_string(o, STAMP_CBOR_BYTES, hash, sizeof hash);
        } else {
            *bad = true;
        }
    }
    *bad = *bad || c.err != STAMP_OK || c.left != 0;
    return count;
}

enum stamp_err stamp_claims_encode(const void *body, size_t body_len, void *out,
                                   size_t size, size_t *len, struct stamp_error *err)
{
    struct stamp_cbor c;
    struct stamp_cbor_out o;
    bool bad = false;
    uint32_t count;

    *len = 0;
    stamp_cbor_init(&c, body, body_len);
    count = walk(c, NULL, &bad);
    if (bad) {
        return malformed(err);
    }
    stamp_cbor_out_init(&o, out, size);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, count);
    (void)walk(c, &o, &bad);
    if (bad) {
        return malformed(err);
    }
    if (!stamp_cbor_out_ok(&o)) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "the claims are too long");
    }
    *len = o.len;
    return STAMP_OK;
}

enum stamp_err stamp_claims_hash(const void *claims, size_t len, uint8_t digest[32],
                                 struct stamp_error *err)
{
    STAMP_MD_CTX_AUTO *ctx = EVP_MD_CTX_new();

    if (ctx == NULL || EVP_DigestInit_ex(ctx, stamp_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, STAMP_LABEL_CLAIMS, strlen(STAMP_LABEL_CLAIMS)) != 1 ||
        EVP_DigestUpdate(ctx, claims, len) != 1 ||
        EVP_DigestFinal_ex(ctx, digest, NULL) != 1) {
        return stamp_openssl_failed(err, "cannot hash the claims");
    }
    return STAMP_OK;
}

enum stamp_err stamp_claims_of(const void *body, size_t body_len, uint8_t digest[32],
                               struct stamp_error *err)
{
    uint8_t claims[STAMP_CLAIMS_MAX];
    size_t len;
    enum stamp_err rc =
        stamp_claims_encode(body, body_len, claims, sizeof claims, &len, err);

    return rc == STAMP_OK ? stamp_claims_hash(claims, len, digest, err) : rc;
}
