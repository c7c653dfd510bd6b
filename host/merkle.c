#include "host/merkle.h"

#include <stdbool.h>
#include <string.h>

#define NODE_PREFIX 0x01u /* RFC 6962 2.1: leaves begin with 0x00 */

enum stamp_err stamp_merkle_init(struct stamp_merkle *m, struct stamp_error *err)
{
    memset(m, 0, sizeof *m);
    m->md = EVP_MD_CTX_new();
    /* Later rounds start again without a digest's name, which spares its look-up. */
    if (m->md == NULL || EVP_DigestInit_ex(m->md, stamp_sha256(), NULL) != 1) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    return STAMP_OK;
}

void stamp_merkle_fini(struct stamp_merkle *m)
{
    EVP_MD_CTX_free(m->md);
    memset(m, 0, sizeof *m);
}

static bool join(EVP_MD_CTX *md, const uint8_t *left, const uint8_t *right, uint8_t *out)
{
    static const uint8_t prefix = NODE_PREFIX;

    return EVP_DigestInit_ex(md, NULL, NULL) == 1 &&
           EVP_DigestUpdate(md, &prefix, 1) == 1 &&
           EVP_DigestUpdate(md, left, STAMP_MERKLE_SIZE) == 1 &&
           EVP_DigestUpdate(md, right, STAMP_MERKLE_SIZE) == 1 &&
           EVP_DigestFinal_ex(md, out, NULL) == 1;
}

enum stamp_err stamp_merkle_add(struct stamp_merkle *m,
                                const uint8_t leaf[STAMP_MERKLE_SIZE],
                                struct stamp_error *err)
{
    uint8_t node[STAMP_MERKLE_SIZE];
    unsigned level = 0;

    if (m->count == UINT32_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the tree has too many leaves");
    }
    memcpy(node, leaf, sizeof node);
    /* As in counting up: every set bit at the end carries. */
    for (; (m->count >> level & 1u) != 0; level++) {
        if (!join(m->md, m->node[level], node, node)) {
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
            ok = join(m->md, m->node[level], root, root);
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
