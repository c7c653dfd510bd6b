/*
 * The claims of the birth stamp: its map again, secrets as commitments, what may change
 * left out. Made anew each time, so that no buffer has to hold it. SPEC 7.
 */
#include <string.h>

#include "device/device_i.h"

/* Where claims go: all of them into a hash, or those in a window into a buffer. */
struct sink {
    psa_hash_operation_t *hash; /* NULL: the window */
    uint8_t *p;
    size_t off;
    size_t size;
    size_t len;
    size_t at; /* of the whole */
};

static void put(struct sink *s, const void *p, size_t len)
{
    const uint8_t *from = p;

    s->at += len;
    if (s->hash != NULL) {
        stampi_hash(s->hash, p, len);
        return;
    }
    for (; len > 0; len--, from++) {
        if (s->at - len >= s->off && s->len < s->size) {
            s->p[s->len++] = *from;
        }
    }
}

static void put_head(struct sink *s, enum stamp_cbor_type type, uint32_t arg)
{
    uint8_t head[STAMP_CBOR_HEAD_MAX];

    put(s, head, stamp_cbor_encode_head(head, type, arg));
}

static enum stamp_err put_claim(const struct stamp_device *dev, uint32_t key,
                                struct sink *s)
{
    uint8_t hash[STAMPI_HASH_SIZE];
    struct stamp_slice v;
    enum stamp_err rc = stampi_find(dev, STAMP_BIRTH, key, &v);

    if (rc == STAMP_OK) {
        put_head(s, STAMP_CBOR_UINT, key);
        if (key >= STAMP_KEY_SECRET_FIRST) {
            put_head(s, STAMP_CBOR_BYTES, sizeof hash);
            rc = stampi_sha256(v.p, v.len, hash);
            v.p = hash;
            v.len = sizeof hash;
        }
        put(s, v.p, v.len);
    }
    stampi_done(dev);
    return rc;
}

static enum stamp_err emit(const struct stamp_device *dev, struct sink *s)
{
    struct stamp_item item = {0};
    uint32_t n = 0;
    enum stamp_err rc = STAMP_OK;

    while (stamp_next(&dev->part, STAMP_BIRTH, &item) == STAMP_OK &&
           item.key < STAMP_KEY_OUTSIDE_FIRST) {
        n++;
    }
    put_head(s, STAMP_CBOR_MAP, n);
    for (uint32_t key = 1; key < STAMP_KEY_OUTSIDE_FIRST && rc == STAMP_OK; key++) {
        rc = put_claim(dev, key, s);
        rc = rc == STAMP_E_MISSING ? STAMP_OK : rc;
    }
    return rc == STAMP_OK && n == 0 ? STAMP_E_MISSING : rc;
}

enum stamp_err stamp_claims_digest(const struct stamp_device *dev, uint8_t digest[32])
{
    psa_hash_operation_t op = PSA_HASH_OPERATION_INIT;
    struct sink s = {.hash = &op};
    enum stamp_err rc;
    size_t len;

    (void)psa_hash_setup(&op, PSA_ALG_SHA_256);
    stampi_hash(&op, STAMP_LABEL_CLAIMS, sizeof STAMP_LABEL_CLAIMS - 1);
    rc = emit(dev, &s);
    if (psa_hash_finish(&op, digest, STAMPI_HASH_SIZE, &len) != PSA_SUCCESS &&
        rc == STAMP_OK) {
        rc = STAMP_E_CRYPTO;
    }
    if (rc != STAMP_OK) {
        memset(digest, 0, STAMPI_HASH_SIZE);
    }
    return rc;
}

enum stamp_err stamp_claims_read(const struct stamp_device *dev, size_t off, void *buf,
                                 size_t size, size_t *len, size_t *total)
{
    struct sink s = {.p = buf, .off = off, .size = size};
    enum stamp_err rc = emit(dev, &s);

    *len = s.len;
    *total = s.at;
    return rc;
}
