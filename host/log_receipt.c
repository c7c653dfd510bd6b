#include "host/log_receipt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/signerkey.h"

#define ITEM_MAX (2u * STAMP_LOG_ENTRY_MAX + 2u * 64u * 40u)
#define INDEX_SIZE 8u

/* ---- writing ---- */

static void put_path(struct stamp_cbor_out *o, const struct stamp_merkle_path *p)
{
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, (uint32_t)p->n);
    for (size_t i = 0; i < p->n; i++) {
        stamp_cbor_put_string(o, STAMP_CBOR_BYTES, p->node[i], STAMP_MERKLE_SIZE);
    }
}

enum stamp_err stamp_log_receipt_add(struct stamp_log_receipt *r,
                                     const struct stamp_log_item *item,
                                     struct stamp_error *err)
{
    uint8_t index[INDEX_SIZE];
    struct stamp_cbor_out o;

    if (r->room - r->len < ITEM_MAX) {
        size_t room = r->room == 0 ? 4 * (size_t)ITEM_MAX : 2 * r->room;
        void *p = room > STAMP_LOG_RECEIPT_MAX ? NULL : realloc(r->bytes, room);

        if (p == NULL) {
            return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM,
                                   "the receipt is too long, or memory too short");
        }
        r->bytes = p;
        r->room = room;
    }
    for (unsigned i = 0; i < INDEX_SIZE; i++) {
        index[i] = (uint8_t)(item->index >> (56u - 8u * i));
    }
    stamp_cbor_out_init(&o, r->bytes + r->len, ITEM_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, item->in_run ? 6 : 3);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, index, sizeof index);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, item->leaf.p, item->leaf.len);
    put_path(&o, &item->path);
    if (item->in_run) {
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, item->place);
        stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, item->record.p, item->record.len);
        put_path(&o, &item->run_path);
    }
    if (!stamp_cbor_out_ok(&o)) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "a leaf is too long");
    }
    r->len += o.len;
    r->items++;
    return STAMP_OK;
}

enum stamp_err stamp_log_receipt_write(const struct stamp_log_receipt *r,
                                       const struct stamp_log_head *head,
                                       X509 *certificate, uint8_t **out, size_t *len,
                                       struct stamp_error *err)
{
    size_t room = r->len + STAMP_LOG_HEAD_MAX + STAMP_MAX_CERTIFICATE + 64;
    uint8_t *der = NULL;
    size_t der_len = 0;
    struct stamp_cbor_out o;
    enum stamp_err rc = stamp_pki_encode(certificate, &der, &der_len, err);

    *out = NULL;
    if (rc == STAMP_OK) {
        *out = malloc(room);
        if (*out == NULL) {
            rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
    }
    if (rc == STAMP_OK) {
        stamp_cbor_out_init(&o, *out, room);
        stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 4);
        stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 1);
        stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, head->bytes, head->len);
        stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, der, der_len);
        stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, (uint32_t)r->items);
        stamp_cbor_put_raw(&o, r->bytes, r->len);
        *len = o.len;
        if (!stamp_cbor_out_ok(&o)) {
            STAMP_BUG("a receipt that does not fit");
        }
    }
    OPENSSL_free(der);
    return rc;
}

/* ---- checking ---- */

enum stamp_err stamp_log_certificate_check(struct stamp_slice der,
                                           const struct stamp_trust *trust,
                                           uint8_t purpose, EVP_PKEY **key,
                                           struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_binding binding;
    enum stamp_err rc = stamp_pki_decode(der, &cert, err);

    *key = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_signerkey_check(cert, STAMP_ARC_LOG_SIGNER, &binding, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_trust_signer(trust, der, err);
    }
    if (rc == STAMP_OK && (!binding.present || binding.purpose != purpose)) {
        rc = stamp_error_set(err, STAMP_E_PURPOSE, 0,
                             "the log key is for the other purpose");
    }
    if (rc == STAMP_OK) {
        *key = X509_get_pubkey(cert);
        rc = *key == NULL ? stamp_openssl_failed(err, "cannot read the log key")
                          : STAMP_OK;
    }
    return rc;
}

static void take_path(struct stamp_cbor *c, struct stamp_merkle_path *p)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);

    p->n = 0;
    if (n > STAMP_MERKLE_LEVELS) {
        c->err = STAMP_E_FORMAT;
    }
    while (c->err == STAMP_OK && p->n < n) {
        struct stamp_slice node =
            stamp_cbor_string(c, STAMP_CBOR_BYTES, STAMP_MERKLE_SIZE, STAMP_MERKLE_SIZE);

        if (c->err == STAMP_OK) {
            memcpy(p->node[p->n++], node.p, node.len);
        }
    }
}

static bool take_item(struct stamp_cbor *c, struct stamp_log_item *item)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);
    struct stamp_slice index =
        stamp_cbor_string(c, STAMP_CBOR_BYTES, INDEX_SIZE, INDEX_SIZE);

    memset(item, 0, sizeof *item);
    for (size_t i = 0; i < INDEX_SIZE && c->err == STAMP_OK; i++) {
        item->index = item->index << 8 | index.p[i];
    }
    item->leaf = stamp_cbor_string(c, STAMP_CBOR_BYTES, 1, STAMP_LOG_ENTRY_MAX);
    take_path(c, &item->path);
    if (n == 6) {
        item->in_run = true;
        item->place = stamp_cbor_uint(c, UINT32_MAX);
        item->record = stamp_cbor_string(c, STAMP_CBOR_BYTES, 1, STAMP_LOG_ENTRY_MAX);
        take_path(c, &item->run_path);
    }
    return c->err == STAMP_OK && (n == 3 || n == 6);
}

static enum stamp_err check_item(EVP_MD_CTX *md, const struct stamp_log_head *head,
                                 const struct stamp_log_item *item,
                                 struct stamp_log_entry *e, struct stamp_error *err)
{
    uint8_t leaf[STAMP_MERKLE_SIZE];
    enum stamp_err rc = stamp_log_entry_decode(item->leaf, e, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (!stamp_merkle_leaf(md, item->leaf.p, item->leaf.len, leaf) ||
        !stamp_merkle_is_in(md, item->index, head->size, leaf, &item->path, head->root)) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "leaf %" PRIu64 " is not proven to be in the log",
                               item->index);
    }
    if (item->in_run &&
        (e->kind != STAMP_LOG_RUN || e->root == NULL ||
         !stamp_merkle_leaf(md, item->record.p, item->record.len, leaf) ||
         !stamp_merkle_is_in(md, item->place, e->n, leaf, &item->run_path, e->root))) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "a device is not proven to be in the run of leaf %" PRIu64,
                               item->index);
    }
    return STAMP_OK;
}

static enum stamp_err check_items(struct stamp_cbor *c, uint32_t n,
                                  const struct stamp_log_head *head,
                                  stamp_log_proven proven, void *ctx,
                                  struct stamp_error *err)
{
    STAMP_MD_CTX_AUTO *md = stamp_merkle_md();
    struct stamp_log_item item;
    struct stamp_log_entry e;
    enum stamp_err rc =
        md == NULL ? stamp_openssl_failed(err, "cannot compute a digest") : STAMP_OK;

    for (; n > 0 && rc == STAMP_OK; n--) {
        rc = take_item(c, &item)
                 ? check_item(md, head, &item, &e, err)
                 : stamp_error_set(err, STAMP_E_FORMAT, 0, "the receipt is malformed");
        if (rc == STAMP_OK) {
            proven(ctx, &item, &e);
        }
    }
    return rc == STAMP_OK && c->left != 0
               ? stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "something stands behind the receipt")
               : rc;
}

enum stamp_err stamp_log_receipt_check(struct stamp_slice in,
                                       const struct stamp_trust *trust,
                                       struct stamp_log_head *head,
                                       stamp_log_proven proven, void *ctx,
                                       struct stamp_error *err)
{
    STAMP_PKEY_AUTO *key = NULL;
    struct stamp_slice signed_head;
    struct stamp_slice certificate;
    struct stamp_cbor c;
    uint32_t n;
    enum stamp_err rc;

    memset(head, 0, sizeof *head);
    stamp_cbor_init(&c, in.p, in.len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 4);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, 1);
    signed_head = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_LOG_HEAD_MAX);
    certificate = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);
    n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    if (c.err != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "that is no receipt of a log");
    }
    rc = stamp_log_head_read(signed_head, head, err);
    if (rc == STAMP_OK) {
        rc = stamp_log_certificate_check(certificate, trust, head->purpose, &key, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_log_head_check(head, key, err);
    }
    return rc == STAMP_OK ? check_items(&c, n, head, proven, ctx, err) : rc;
}
