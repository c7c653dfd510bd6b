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
    size_t skip = s->off > s->at ? s->off - s->at : 0;

    s->at += len;
    if (s->hash != NULL) {
        stampi_hash(s->hash, p, len);
    } else if (skip < len && s->len < s->size) {
        size_t n = len - skip < s->size - s->len ? len - skip : s->size - s->len;

        memcpy(s->p + s->len, from + skip, n);
        s->len += n;
    }
}

static void put_head(struct sink *s, enum stamp_cbor_type type, uint32_t arg)
{
    uint8_t head[STAMP_CBOR_HEAD_MAX];

    put(s, head, stamp_cbor_encode_head(head, type, arg));
}

/* Is any of the next `len` bytes wanted? What is not is not read. */
static bool wanted(const struct sink *s, size_t len)
{
    return s->hash != NULL || (s->at < s->off + s->size && s->at + len > s->off);
}

/* The value itself into `s`, or into a hash. */
static enum stamp_err put_value(const struct stamp_device *dev,
                                const struct stamp_item *item, struct sink *s)
{
    struct stampi_reader r;
    struct stamp_slice piece;
    enum stamp_err rc = stampi_read_begin(&r, dev, item);

    while (rc == STAMP_OK && r.value.len > 0) {
        rc = stampi_read(&r, &piece);
        put(s, piece.p, piece.len);
    }
    stampi_read_end(&r);
    return rc;
}

static enum stamp_err put_commitment(const struct stamp_device *dev,
                                     const struct stamp_item *item, struct sink *s)
{
    psa_hash_operation_t op = PSA_HASH_OPERATION_INIT;
    struct sink inner = {.hash = &op};
    uint8_t hash[STAMPI_HASH_SIZE] = {0};
    enum stamp_err rc = STAMP_OK;
    size_t len;

    put_head(s, STAMP_CBOR_BYTES, sizeof hash);
    if (wanted(s, sizeof hash)) {
        (void)psa_hash_setup(&op, PSA_ALG_SHA_256);
        rc = put_value(dev, item, &inner);
        if (psa_hash_finish(&op, hash, sizeof hash, &len) != PSA_SUCCESS &&
            rc == STAMP_OK) {
            rc = STAMP_E_CRYPTO;
        }
    }
    put(s, hash, sizeof hash);
    return rc;
}

static enum stamp_err put_claim(const struct stamp_device *dev,
                                const struct stamp_item *item, struct sink *s)
{
    enum stamp_err rc;
    size_t len;

    put_head(s, STAMP_CBOR_UINT, item->key);
    if (item->key >= STAMP_KEY_SECRET_FIRST) {
        return put_commitment(dev, item, s);
    }
    rc = stampi_value_len(dev, item, &len);
    if (rc == STAMP_OK && !wanted(s, len)) {
        s->at += len;
        return STAMP_OK;
    }
    return rc == STAMP_OK ? put_value(dev, item, s) : rc;
}

static enum stamp_err emit(const struct stamp_device *dev, struct sink *s)
{
    struct stamp_item item = {0};
    enum stamp_err rc;
    uint32_t n = 0;

    for (;;) {
        rc = stamp_next(&dev->part, STAMP_BIRTH, &item);
        if (rc != STAMP_OK || item.key >= STAMP_KEY_OUTSIDE_FIRST) {
            break;
        }
        n++;
    }
    if (rc != STAMP_OK && (rc != STAMP_E_MISSING || n == 0)) {
        return rc;
    }
    put_head(s, STAMP_CBOR_MAP, n);
    memset(&item, 0, sizeof item);
    for (rc = STAMP_OK; n > 0 && rc == STAMP_OK; n--) {
        rc = stamp_next(&dev->part, STAMP_BIRTH, &item);
        if (rc == STAMP_OK) {
            rc = put_claim(dev, &item, s);
        }
    }
    return rc;
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
    enum stamp_err rc = STAMP_E_RANGE;

    if (off <= SIZE_MAX - size) {
        rc = emit(dev, &s);
    }
    *len = rc == STAMP_OK ? s.len : 0;
    *total = rc == STAMP_OK ? s.at : 0;
    return rc;
}
