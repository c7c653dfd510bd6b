#include "host/merkle_proof.h"

#include <string.h>

/* The largest power of two below n, as a height; n > 1. */
static unsigned split(uint64_t n)
{
    unsigned height = 0;

    while (height < 62 && UINT64_C(2) << height < n) {
        height++;
    }
    return height;
}

static enum stamp_err hash_failed(struct stamp_error *err)
{
    return stamp_openssl_failed(err, "cannot compute a digest");
}

/* The root over the leaves lo..hi-1, where lo is a multiple of a power of two that is not
 * below their number: whole subtrees, each smaller than the one before it. */
static enum stamp_err range(const struct stamp_merkle_tree *t, uint64_t lo, uint64_t hi,
                            uint8_t *out, struct stamp_error *err)
{
    uint8_t node[STAMP_MERKLE_LEVELS][STAMP_MERKLE_SIZE];
    unsigned n = 0;
    enum stamp_err rc = STAMP_OK;

    while (lo < hi && rc == STAMP_OK) {
        unsigned height = hi - lo == 1 ? 0 : split(hi - lo);

        if (UINT64_C(2) << height == hi - lo) {
            height++;
        }
        rc = t->node(t->ctx, height, lo >> height, node[n++], err);
        lo += UINT64_C(1) << height;
    }
    while (n > 1 && rc == STAMP_OK) {
        n--;
        if (!stamp_merkle_join(t->md, node[n - 1], node[n], node[n - 1])) {
            rc = hash_failed(err);
        }
    }
    memcpy(out, node[0], STAMP_MERKLE_SIZE);
    return rc;
}

enum stamp_err stamp_merkle_root_of(const struct stamp_merkle_tree *t, uint64_t size,
                                    uint8_t root[STAMP_MERKLE_SIZE],
                                    struct stamp_error *err)
{
    if (size > 0) {
        return range(t, 0, size, root, err);
    }
    return EVP_DigestInit_ex(t->md, NULL, NULL) == 1 &&
                   EVP_DigestFinal_ex(t->md, root, NULL) == 1
               ? STAMP_OK
               : hash_failed(err);
}

/* From the root down: what is put on the path last comes first. */
static void turn(struct stamp_merkle_path *p)
{
    for (size_t i = 0; i < p->n / 2; i++) {
        uint8_t node[STAMP_MERKLE_SIZE];

        memcpy(node, p->node[i], sizeof node);
        memcpy(p->node[i], p->node[p->n - 1 - i], sizeof node);
        memcpy(p->node[p->n - 1 - i], node, sizeof node);
    }
}

enum stamp_err stamp_merkle_prove(const struct stamp_merkle_tree *t, uint64_t index,
                                  uint64_t size, struct stamp_merkle_path *path,
                                  struct stamp_error *err)
{
    uint64_t lo = 0;
    uint64_t hi = size;
    enum stamp_err rc = STAMP_OK;

    path->n = 0;
    if (index >= size || size > INT64_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the tree has no such leaf");
    }
    while (hi - lo > 1 && rc == STAMP_OK) {
        uint64_t middle = lo + (UINT64_C(1) << split(hi - lo));

        if (index < middle) {
            rc = range(t, middle, hi, path->node[path->n++], err);
            hi = middle;
        } else {
            rc = range(t, lo, middle, path->node[path->n++], err);
            lo = middle;
        }
    }
    turn(path);
    return rc;
}

enum stamp_err stamp_merkle_prove_growth(const struct stamp_merkle_tree *t, uint64_t from,
                                         uint64_t to, struct stamp_merkle_path *path,
                                         struct stamp_error *err)
{
    uint64_t lo = 0;
    uint64_t hi = to;
    enum stamp_err rc = STAMP_OK;

    path->n = 0;
    if (from > to || to > INT64_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the tree is smaller than that");
    }
    if (from == 0 || from == to) {
        return STAMP_OK;
    }
    while (hi != from && rc == STAMP_OK) {
        uint64_t middle = lo + (UINT64_C(1) << split(hi - lo));

        if (from <= middle) {
            rc = range(t, middle, hi, path->node[path->n++], err);
            hi = middle;
        } else {
            rc = range(t, lo, middle, path->node[path->n++], err);
            lo = middle;
        }
    }
    if (rc == STAMP_OK && lo > 0) { /* else who checks it has that root */
        rc = range(t, lo, hi, path->node[path->n++], err);
    }
    turn(path);
    return rc;
}

bool stamp_merkle_is_in(EVP_MD_CTX *md, uint64_t index, uint64_t size,
                        const uint8_t leaf[STAMP_MERKLE_SIZE],
                        const struct stamp_merkle_path *path,
                        const uint8_t root[STAMP_MERKLE_SIZE])
{
    uint8_t r[STAMP_MERKLE_SIZE];
    uint64_t fn = index;
    uint64_t sn = size - 1;

    if (index >= size) {
        return false;
    }
    memcpy(r, leaf, sizeof r);
    for (size_t i = 0; i < path->n; i++) {
        bool ok;

        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            ok = stamp_merkle_join(md, path->node[i], r, r);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            ok = stamp_merkle_join(md, r, path->node[i], r);
        }
        if (!ok) {
            return false;
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(r, root, sizeof r) == 0;
}

bool stamp_merkle_grew(EVP_MD_CTX *md, uint64_t from, uint64_t to,
                       const uint8_t from_root[STAMP_MERKLE_SIZE],
                       const uint8_t to_root[STAMP_MERKLE_SIZE],
                       const struct stamp_merkle_path *path)
{
    bool whole = from != 0 && (from & (from - 1)) == 0; /* its root is a node */
    uint8_t fr[STAMP_MERKLE_SIZE];
    uint8_t sr[STAMP_MERKLE_SIZE];
    uint64_t fn = from - 1;
    uint64_t sn = to - 1;
    size_t i = 0;

    if (from > to || from == 0 || from == to) {
        return path->n == 0 &&
               (from == 0 || (from == to && memcmp(from_root, to_root, sizeof fr) == 0));
    }
    if (!whole && path->n == 0) {
        return false;
    }
    while ((fn & 1) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    memcpy(fr, whole ? from_root : path->node[i++], sizeof fr);
    memcpy(sr, fr, sizeof sr);
    for (; i < path->n; i++) {
        bool ok;

        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            ok = stamp_merkle_join(md, path->node[i], fr, fr) &&
                 stamp_merkle_join(md, path->node[i], sr, sr);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            ok = stamp_merkle_join(md, sr, path->node[i], sr);
        }
        if (!ok) {
            return false;
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(fr, from_root, sizeof fr) == 0 &&
           memcmp(sr, to_root, sizeof sr) == 0;
}
