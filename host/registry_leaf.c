/* Leaves of the transparency log, gathered in a transaction and written at its end. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_own.h"

#define HEAD_SIZE 16u /* device, length */

static enum stamp_err make_room(struct stampi_leaves *l, struct stamp_error *err)
{
    size_t room = l->room == 0 ? (size_t)16 * STAMP_LOG_ENTRY_MAX : 2 * l->room;
    void *p;

    if (l->room - l->len >= HEAD_SIZE + STAMP_LOG_ENTRY_MAX) {
        return STAMP_OK;
    }
    p = realloc(l->bytes, room);
    if (p == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    l->bytes = p;
    l->room = room;
    return STAMP_OK;
}

enum stamp_err stampi_leaf(struct stamp_registry *r, int64_t device,
                           const struct stamp_log_entry *e, struct stamp_error *err)
{
    struct stampi_leaves *l = &r->leaves;
    int64_t head[2] = {device, 0};
    size_t len = 0;
    enum stamp_err rc = make_room(l, err);

    if (rc == STAMP_OK) {
        rc = stamp_log_entry_encode(e, l->bytes + l->len + HEAD_SIZE, &len, err);
    }
    if (rc == STAMP_OK) {
        head[1] = (int64_t)len;
        memcpy(l->bytes + l->len, head, HEAD_SIZE);
        l->len += HEAD_SIZE + len;
    }
    return rc;
}

bool stampi_leaves_next(const struct stampi_leaves *l, size_t *at, int64_t *device,
                        struct stamp_slice *leaf)
{
    int64_t head[2];

    if (*at == l->len) {
        return false;
    }
    memcpy(head, l->bytes + *at, HEAD_SIZE);
    *device = head[0];
    *leaf = (struct stamp_slice){l->bytes + *at + HEAD_SIZE, (size_t)head[1]};
    *at += HEAD_SIZE + leaf->len;
    return true;
}

enum stamp_err stampi_leaves_write(struct stamp_registry *r, struct stamp_error *err)
{
    const struct stampi_ops *ops = r->db->ops;
    struct stamp_slice leaf;
    int64_t device;
    enum stamp_err rc;

    if (r->leaves.len == 0) {
        return STAMP_OK;
    }
    rc = ops->copy_begin(r->db, STAMPI_COPY_LOG_QUEUE, err);
    for (size_t at = 0;
         rc == STAMP_OK && stampi_leaves_next(&r->leaves, &at, &device, &leaf);) {
        const struct stampi_value v[] = {device == STAMPI_NO_DEVICE ? stampi_blob(NULL, 0)
                                                                    : stampi_int(device),
                                         stampi_blob(leaf.p, leaf.len)};

        rc = ops->copy_row(r->db, v, sizeof v / sizeof *v, err);
    }
    return rc == STAMP_OK ? ops->copy_end(r->db, err) : rc;
}

void stampi_leaves_clear(struct stamp_registry *r)
{
    r->leaves.len = 0;
    if (r->leaves.room > STAMPI_LEAVES_KEPT) { /* of something large */
        free(r->leaves.bytes);
        r->leaves = (struct stampi_leaves){.bytes = NULL};
    }
}

static enum stamp_err digest_of(struct stamp_slice bytes, uint8_t out[32],
                                struct stamp_error *err)
{
    return EVP_Digest(bytes.p, bytes.len, out, NULL, stamp_sha256(), NULL) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot hash a certificate");
}

struct stamp_log_entry stampi_entry_of(int64_t device, enum stamp_log_kind kind,
                                       int64_t at)
{
    return (struct stamp_log_entry){.kind = kind,
                                    .at = (uint64_t)at,
                                    .has_device = device >= 0,
                                    .batch = (uint32_t)((uint64_t)device >> 32),
                                    .index = (uint32_t)(uint64_t)device};
}

enum stamp_err stampi_leaf_device(struct stamp_registry *r,
                                  const struct stampi_happened *h,
                                  struct stamp_error *err)
{
    uint8_t digest[32];
    struct stamp_log_entry e = stampi_entry_of(h->device, STAMP_LOG_DEVICE, h->at);
    enum stamp_err rc = STAMP_OK;

    e.serial = stamp_log_text(h->serial);
    e.has_state = true;
    e.state = (uint32_t)h->state;
    e.chip = stamp_log_text(h->chip);
    e.who = stamp_log_text(h->who == NULL ? r->who : h->who);
    e.where = stamp_log_text(h->where == NULL ? r->where : h->where);
    e.why = stamp_log_text(h->why);
    if (h->certificate.len > 0) {
        rc = digest_of(h->certificate, digest, err);
        e.digest = digest;
        e.key = h->fingerprint;
    }
    return rc == STAMP_OK ? stampi_leaf(r, h->device, &e, err) : rc;
}

enum stamp_err stampi_leaf_operational(struct stamp_registry *r, int64_t device,
                                       uint32_t n, enum stamp_ldevid_state state,
                                       int64_t at, struct stamp_slice certificate,
                                       struct stamp_error *err)
{
    uint8_t digest[32];
    struct stamp_log_entry e = stampi_entry_of(device, STAMP_LOG_OPERATIONAL, at);
    enum stamp_err rc = STAMP_OK;

    e.has_state = true;
    e.state = (uint32_t)state;
    e.n = n;
    if (certificate.len > 0) {
        rc = digest_of(certificate, digest, err);
        e.digest = digest;
    }
    return rc == STAMP_OK ? stampi_leaf(r, device, &e, err) : rc;
}

enum stamp_err stampi_leaf_revocation(struct stamp_registry *r, int64_t device,
                                      const uint8_t *number, uint8_t reason, int64_t at,
                                      struct stamp_error *err)
{
    struct stamp_log_entry e = stampi_entry_of(device, STAMP_LOG_REVOCATION, at);

    e.number = (struct stamp_slice){number, STAMP_CERTIFICATE_SERIAL_SIZE};
    e.has_reason = true;
    e.reason = reason;
    e.who = stamp_log_text(r->who);
    e.where = stamp_log_text(r->where);
    return stampi_leaf(r, device, &e, err);
}

enum stamp_err stampi_leaf_own(struct stamp_registry *r, const uint8_t *number,
                               struct stamp_slice certificate, int64_t at,
                               struct stamp_error *err)
{
    uint8_t digest[32];
    struct stamp_log_entry e = stampi_entry_of(STAMPI_NO_DEVICE, STAMP_LOG_OWN, at);
    enum stamp_err rc = digest_of(certificate, digest, err);

    e.number = (struct stamp_slice){number, STAMP_CERTIFICATE_SERIAL_SIZE};
    e.digest = digest;
    e.who = stamp_log_text(r->who);
    return rc == STAMP_OK ? stampi_leaf(r, STAMPI_NO_DEVICE, &e, err) : rc;
}

enum stamp_err stampi_leaf_batch(struct stamp_registry *r, int64_t batch,
                                 const char *name, uint32_t count, int64_t at,
                                 struct stamp_error *err)
{
    struct stamp_log_entry e = stampi_entry_of(batch << 32, STAMP_LOG_BATCH, at);

    e.name = stamp_log_text(name);
    e.n = count;
    e.who = stamp_log_text(r->who);
    e.where = stamp_log_text(r->where);
    return stampi_leaf(r, STAMPI_NO_DEVICE, &e, err);
}

enum stamp_err stampi_leaf_batch_state(struct stamp_registry *r, int64_t batch, int state,
                                       int64_t at, struct stamp_error *err)
{
    struct stamp_log_entry e = stampi_entry_of(batch << 32, STAMP_LOG_BATCH_STATE, at);

    e.has_state = true;
    e.state = (uint32_t)state;
    e.who = stamp_log_text(r->who);
    e.where = stamp_log_text(r->where);
    return stampi_leaf(r, STAMPI_NO_DEVICE, &e, err);
}

enum stamp_err stampi_leaf_anchor(struct stamp_registry *r, const char *name,
                                  const uint8_t digest[32], int64_t at,
                                  struct stamp_error *err)
{
    struct stamp_log_entry e = stampi_entry_of(STAMPI_NO_DEVICE, STAMP_LOG_ANCHOR, at);

    e.name = stamp_log_text(name);
    e.digest = digest;
    e.who = stamp_log_text(r->who);
    e.where = stamp_log_text(r->where);
    return stampi_leaf(r, STAMPI_NO_DEVICE, &e, err);
}

/* ---- runs ---- */

bool stampi_run_record(EVP_MD_CTX *md, struct stamp_slice serial,
                       const uint8_t fingerprint[32], struct stamp_slice certificate,
                       uint8_t *out, size_t *len)
{
    uint8_t digest[32];
    struct stamp_cbor_out o;

    if (EVP_DigestInit_ex(md, NULL, NULL) != 1 ||
        EVP_DigestUpdate(md, certificate.p, certificate.len) != 1 ||
        EVP_DigestFinal_ex(md, digest, NULL) != 1) {
        return false;
    }
    stamp_cbor_out_init(&o, out, STAMPI_RUN_RECORD_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 3);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, serial.p, serial.len);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, fingerprint, 32);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, digest, sizeof digest);
    *len = o.len;
    return stamp_cbor_out_ok(&o);
}

bool stampi_run_leaf(EVP_MD_CTX *md, struct stamp_slice serial,
                     const uint8_t fingerprint[32], struct stamp_slice certificate,
                     uint8_t out[STAMP_MERKLE_SIZE])
{
    uint8_t record[STAMPI_RUN_RECORD_MAX];
    size_t len;

    return stampi_run_record(md, serial, fingerprint, certificate, record, &len) &&
           stamp_merkle_leaf(md, record, len, out);
}

enum stamp_err stampi_leaf_run(struct stamp_registry *r, int64_t first, uint32_t n,
                               int64_t at, const uint8_t root[STAMP_MERKLE_SIZE],
                               struct stamp_error *err)
{
    struct stamp_log_entry e = stampi_entry_of(first, STAMP_LOG_RUN, at);

    e.n = n;
    e.root = root;
    e.who = stamp_log_text(r->who);
    e.where = stamp_log_text(r->where);
    return stampi_leaf(r, first, &e, err);
}
