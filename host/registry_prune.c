#include "host/registry_prune.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/keys.h"
#include "host/json.h"
#include "host/registry_log_own.h"
#include "host/registry_own.h"
#include "host/sig.h"

enum { KEYS_MAX = 2048 /* in one transaction */ };

struct key {
    int64_t device;
    int64_t n;
    uint8_t serial[STAMP_CERTIFICATE_SERIAL_SIZE];
};

struct dropped {
    uint64_t index;
    uint8_t hash[STAMP_MERKLE_SIZE];
};

struct prune {
    struct stamp_registry *r;
    const struct stamp_log_signer *signer;
    time_t before, now;
    EVP_MD_CTX *md; /* of leaves */
    struct key key[KEYS_MAX];
    size_t n_keys;
    struct key last; /* of the transaction before */
    struct dropped *leaf;
    size_t n_leaves, room;
    size_t of; /* the first key of the device whose leaves are read */
    enum stamp_err rc;
    struct stamp_error *err;
};

/* ---- which ---- */

/* device, n, serial */
static enum stamp_err take_key(void *ctx, const struct stampi_value *v,
                               struct stamp_error *err)
{
    struct prune *p = ctx;
    struct key *k = &p->key[p->n_keys++];

    (void)err;
    k->device = v[0].number;
    k->n = v[1].number;
    stampi_get_blob(&v[2], k->serial, sizeof k->serial);
    return STAMP_OK;
}

static enum stamp_err read_keys(struct prune *p)
{
    p->n_keys = 0;
    return STAMPI_RUN(p->r, STAMPI_PRUNE_KEYS, take_key, p, NULL, p->err,
                      stampi_int((int64_t)p->before), stampi_int(p->last.device),
                      stampi_int(p->last.n), stampi_int(KEYS_MAX));
}

static bool is_dropped(const struct prune *p, const struct stamp_log_entry *e)
{
    int64_t device = (int64_t)e->batch << 32 | (int64_t)e->index;

    for (size_t i = p->of; i < p->n_keys && p->key[i].device == device; i++) {
        if (p->key[i].n == (int64_t)e->n) {
            return true;
        }
    }
    return false;
}

static bool add_leaf(struct prune *p, uint64_t index, struct stamp_slice leaf)
{
    if (p->n_leaves == p->room) {
        size_t room = p->room == 0 ? (size_t)4 * KEYS_MAX : 2 * p->room;
        struct dropped *more = realloc(p->leaf, room * sizeof *more);

        if (more == NULL) {
            p->rc = stamp_error_set(p->err, STAMP_E_NOMEM, ENOMEM, "out of memory");
            return false;
        }
        p->leaf = more;
        p->room = room;
    }
    p->leaf[p->n_leaves].index = index;
    if (!stamp_merkle_leaf(p->md, leaf.p, leaf.len, p->leaf[p->n_leaves++].hash)) {
        p->rc = stamp_openssl_failed(p->err, "cannot compute a digest");
    }
    return p->rc == STAMP_OK;
}

static bool take_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct prune *p = ctx;
    struct stamp_log_entry e;

    return stamp_log_entry_decode(leaf, &e, NULL) != STAMP_OK ||
           e.kind != STAMP_LOG_OPERATIONAL || e.n == 0 || !is_dropped(p, &e) ||
           add_leaf(p, index, leaf);
}

/* Device by device, as keys are. */
static enum stamp_err read_leaves(struct prune *p)
{
    enum stamp_err rc = STAMP_OK;

    p->n_leaves = 0;
    for (p->of = 0; p->of < p->n_keys && rc == STAMP_OK;) {
        int64_t device = p->key[p->of].device;

        rc = stamp_registry_log_of(p->r, device, 0, UINT32_MAX, take_leaf, p, p->err);
        rc = rc == STAMP_OK ? p->rc : rc;
        while (p->of < p->n_keys && p->key[p->of].device == device) {
            p->of++;
        }
    }
    return rc;
}

/* ---- dropping ---- */

static int by_index(const void *a, const void *b)
{
    const struct dropped *x = a;
    const struct dropped *y = b;

    return x->index < y->index ? -1 : x->index > y->index;
}

static enum stamp_err digest_of(const struct prune *p, uint8_t digest[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, stamp_sha256(), NULL) == 1;

    for (size_t i = 0; i < p->n_leaves && ok; i++) {
        ok = stampi_dropped_add(md, p->leaf[i].index, p->leaf[i].hash);
    }
    ok = ok && EVP_DigestFinal_ex(md, digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? STAMP_OK : stamp_openssl_failed(p->err, "cannot compute a digest");
}

/* The log says what it does not have any more. */
static enum stamp_err say(struct prune *p, const uint8_t id[STAMPI_DROP_ID])
{
    uint8_t digest[32];
    uint8_t body[STAMPI_DROP_SIGNED];
    uint8_t sig[STAMP_SIG_SIZE];
    char at[21];
    char why[64];
    struct stamp_log_entry e =
        stampi_entry_of(STAMPI_NO_DEVICE, STAMP_LOG_DROP, (int64_t)p->now);
    enum stamp_err rc;

    qsort(p->leaf, p->n_leaves, sizeof *p->leaf, by_index);
    rc = digest_of(p, digest);
    if (rc == STAMP_OK) {
        stampi_drop_signed(id, digest, body);
        rc = stamp_sig_make(p->signer->key, STAMP_LABEL_LOG_DROP, body, sizeof body, sig,
                            p->err);
    }
    stamp_json_time((uint32_t)p->before, at);
    (void)snprintf(why, sizeof why, "operational keys that ended before %s", at);
    e.number = (struct stamp_slice){id, STAMPI_DROP_ID};
    e.n = (uint32_t)p->n_leaves;
    e.digest = digest;
    e.who = stamp_log_text(p->r->who);
    e.where = stamp_log_text(p->r->where);
    e.why = stamp_log_text(why);
    e.signature = (struct stamp_slice){sig, sizeof sig};
    return rc == STAMP_OK ? stampi_leaf(p->r, STAMPI_NO_DEVICE, &e, p->err) : rc;
}

static enum stamp_err drop_leaves(struct prune *p)
{
    uint8_t mark[STAMPI_DROPPED_SIZE];
    uint8_t id[STAMPI_DROP_ID];
    enum stamp_err rc;

    if (p->n_leaves == 0) {
        return STAMP_OK;
    }
    if (RAND_bytes(id, sizeof id) != 1) {
        return stamp_openssl_failed(p->err, "no random bytes");
    }
    stampi_dropped_mark(id, mark);
    rc = say(p, id);
    for (size_t i = 0; i < p->n_leaves && rc == STAMP_OK; i++) {
        rc = STAMPI_RUN(p->r, STAMPI_PRUNE_LEAF, NULL, NULL, NULL, p->err,
                        stampi_blob(mark, sizeof mark),
                        stampi_int((int64_t)p->leaf[i].index));
    }
    return rc;
}

static enum stamp_err drop_keys(struct prune *p)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < p->n_keys && rc == STAMP_OK; i++) {
        const struct key *k = &p->key[i];

        rc = STAMPI_RUN(p->r, STAMPI_PRUNE_KEY, NULL, NULL, NULL, p->err,
                        stampi_int(k->device), stampi_int(k->n));
        if (rc == STAMP_OK) {
            rc = STAMPI_RUN(p->r, STAMPI_PRUNE_CERTIFICATE, NULL, NULL, NULL, p->err,
                            stampi_blob(k->serial, sizeof k->serial));
        }
    }
    return rc;
}

/* In one transaction, in which nobody else grows or prunes the log: all that waits is in
 * the tree before the leaves are looked for, and what is said of them is, afterwards. */
static enum stamp_err prune_some(struct prune *p)
{
    enum stamp_err rc = stampi_log_grow_now(p->r, p->err);

    if (rc == STAMP_OK) {
        rc = read_keys(p);
    }
    if (rc == STAMP_OK && p->n_keys > 0) {
        p->last = p->key[p->n_keys - 1];
        rc = read_leaves(p);
        if (rc == STAMP_OK) {
            rc = drop_leaves(p);
        }
        if (rc == STAMP_OK) {
            rc = drop_keys(p);
        }
        if (rc == STAMP_OK) {
            rc = stampi_log_grow_now(p->r, p->err);
        }
    }
    return rc;
}

static enum stamp_err prune_keys(struct prune *p, struct stamp_registry_pruned *out)
{
    enum stamp_err rc;

    do {
        rc = stampi_begin(p->r, p->err);
        if (rc == STAMP_OK) {
            rc = stampi_finish(p->r, prune_some(p), p->err);
        }
        if (rc == STAMP_OK) {
            out->keys += p->n_keys;
            out->leaves += p->n_keys > 0 ? p->n_leaves : 0;
        }
    } while (rc == STAMP_OK && p->n_keys == KEYS_MAX);
    return rc;
}

/* ---- what the log has nothing of ---- */

static enum stamp_err forget(struct prune *p, enum stampi_sql what, uint64_t *n)
{
    int64_t changed = 0;
    enum stamp_err rc = stampi_begin(p->r, p->err);

    if (rc == STAMP_OK) {
        rc = stampi_finish(p->r,
                           STAMPI_RUN(p->r, what, NULL, NULL, &changed, p->err,
                                      stampi_int((int64_t)p->before)),
                           p->err);
    }
    *n = rc == STAMP_OK ? (uint64_t)changed : 0;
    return rc;
}

enum stamp_err stamp_registry_prune(struct stamp_registry *r,
                                    const struct stamp_log_signer *signer, time_t before,
                                    time_t now, struct stamp_registry_pruned *out,
                                    struct stamp_error *err)
{
    struct prune *p = calloc(1, sizeof *p);
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    if (p == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    p->r = r;
    p->signer = signer;
    p->before = before;
    p->now = now;
    p->md = stamp_merkle_md();
    p->err = err;
    rc = before > now    ? stamp_error_set(err, STAMP_E_RANGE, 0,
                                           "that is not over yet: it could be needed")
         : p->md == NULL ? stamp_openssl_failed(err, "cannot compute a digest")
                         : prune_keys(p, out);
    if (rc == STAMP_OK) {
        rc = forget(p, STAMPI_PRUNE_TOKENS, &out->tokens);
    }
    if (rc == STAMP_OK) {
        rc = forget(p, STAMPI_PRUNE_REQUESTS, &out->requests);
    }
    if (rc == STAMP_OK) {
        rc = forget(p, STAMPI_PRUNE_API_KEYS, &out->api_keys);
    }
    EVP_MD_CTX_free(p->md);
    free(p->leaf);
    free(p);
    return rc;
}
