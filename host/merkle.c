#include "host/merkle.h"

#include <stdbool.h>
#include <string.h>

#define LEAF_PREFIX 0x00u /* RFC 9162 2.1.1 */
#define NODE_PREFIX 0x01u

/* Later rounds start again without a digest's name, which spares its look-up. */
EVP_MD_CTX *stamp_merkle_md(void)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (md != NULL && EVP_DigestInit_ex(md, stamp_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(md);
        md = NULL;
    }
    return md;
}

enum stamp_err stamp_merkle_init(struct stamp_merkle *m, struct stamp_error *err)
{
    memset(m, 0, sizeof *m);
    m->md = stamp_merkle_md();
    return m->md != NULL ? STAMP_OK
                         : stamp_openssl_failed(err, "cannot compute a digest");
}

void stamp_merkle_fini(struct stamp_merkle *m)
{
    EVP_MD_CTX_free(m->md);
    memset(m, 0, sizeof *m);
}

static bool hash(EVP_MD_CTX *md, uint8_t prefix, const void *a, size_t a_len,
                 const void *b, size_t b_len, uint8_t *out)
{
    return EVP_DigestInit_ex(md, NULL, NULL) == 1 &&
           EVP_DigestUpdate(md, &prefix, 1) == 1 && EVP_DigestUpdate(md, a, a_len) == 1 &&
           EVP_DigestUpdate(md, b, b_len) == 1 && EVP_DigestFinal_ex(md, out, NULL) == 1;
}

bool stamp_merkle_leaf(EVP_MD_CTX *md, const void *bytes, size_t len,
                       uint8_t out[STAMP_MERKLE_SIZE])
{
    return hash(md, LEAF_PREFIX, bytes, len, "", 0, out);
}

bool stamp_merkle_join(EVP_MD_CTX *md, const uint8_t left[STAMP_MERKLE_SIZE],
                       const uint8_t right[STAMP_MERKLE_SIZE],
                       uint8_t out[STAMP_MERKLE_SIZE])
{
    return hash(md, NODE_PREFIX, left, STAMP_MERKLE_SIZE, right, STAMP_MERKLE_SIZE, out);
}

enum stamp_err stamp_merkle_add(struct stamp_merkle *m,
                                const uint8_t leaf[STAMP_MERKLE_SIZE],
                                struct stamp_error *err)
{
    uint8_t node[STAMP_MERKLE_SIZE];
    unsigned level = 0;

    if (m->count == INT64_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the tree has too many leaves");
    }
    memcpy(node, leaf, sizeof node);
    /* As in counting up: every set bit at the end carries. */
    for (; (m->count >> level & 1u) != 0; level++) {
        if (!stamp_merkle_join(m->md, m->node[level], node, node)) {
            return stamp_openssl_failed(err, "cannot compute a digest");
        }
    }
    memcpy(m->node[level], node, sizeof node);
    m->count++;
    return STAMP_OK;
}

enum stamp_err stamp_merkle_root(const struct stamp_merkle *m,
                                 uint8_t root[STAMP_MERKLE_SIZE], struct stamp_error *err)
{
    bool have = false;
    bool ok = true;

    for (unsigned level = 0; level < STAMP_MERKLE_LEVELS && ok; level++) {
        if ((m->count >> level & 1u) == 0) {
            continue;
        }
        if (have) {
            ok = stamp_merkle_join(m->md, m->node[level], root, root);
        } else {
            memcpy(root, m->node[level], STAMP_MERKLE_SIZE);
            have = true;
        }
    }
    if (!have) {
        ok = EVP_DigestInit_ex(m->md, NULL, NULL) == 1 &&
             EVP_DigestFinal_ex(m->md, root, NULL) == 1;
    }
    return ok ? STAMP_OK : stamp_openssl_failed(err, "cannot compute a digest");
}
