#include "host/journal_bundle.h"

#include <string.h>

#include "core/keys.h"
#include "host/letter.h"
#include "host/sig.h"

/* SPEC 15-9. */
enum key { VERSION = 1, STATION = 2, HEAD = 3, HEAD_HASH = 4, ENTRIES = 5, KEYS = 5 };

static void put_bytes(struct stamp_cbor_out *o, enum key key, const void *p, size_t len)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, p, len);
}

static void put(struct stamp_cbor_out *o, const struct stamp_journal_part *part)
{
    stamp_cbor_put_head(o, STAMP_CBOR_MAP, KEYS);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, VERSION);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, 1);
    put_bytes(o, STATION, part->station, sizeof part->station);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, HEAD);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, part->head);
    put_bytes(o, HEAD_HASH, part->head_hash, sizeof part->head_hash);
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, ENTRIES);
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, (uint32_t)part->n);
    for (size_t i = 0; i < part->n; i++) {
        stamp_cbor_put_string(o, STAMP_CBOR_BYTES, part->entry[i].p, part->entry[i].len);
    }
}

enum stamp_err stamp_journal_part_encode(const struct stamp_journal_part *part,
                                         struct stamp_buffer *out,
                                         struct stamp_error *err)
{
    struct stamp_cbor_out o;
    enum stamp_err rc;

    stamp_cbor_out_init(&o, NULL, 0);
    put(&o, part);
    rc = stamp_buffer_new(out, o.len, 0, err);
    if (rc == STAMP_OK) {
        stamp_cbor_out_init(&o, out->p, out->len);
        put(&o, part);
    }
    return rc;
}

static enum stamp_err malformed(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0, "a part of a journal is malformed");
}

static bool take(struct stamp_cbor *c, void *to, size_t len)
{
    struct stamp_slice v = stamp_cbor_string(c, STAMP_CBOR_BYTES, len, len);

    if (c->err == STAMP_OK) {
        memcpy(to, v.p, len);
    }
    return c->err == STAMP_OK;
}

static enum stamp_err decode(struct stamp_slice in, struct stamp_journal_part *part,
                             struct stamp_error *err)
{
    struct stamp_cbor c;

    memset(part, 0, sizeof *part);
    stamp_cbor_init(&c, in.p, in.len);
    stamp_cbor_want(&c, STAMP_CBOR_MAP, KEYS);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, VERSION);
    if (stamp_cbor_uint(&c, UINT32_MAX) != 1 && c.err == STAMP_OK) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "a part of a journal was made by a newer program");
    }
    stamp_cbor_want(&c, STAMP_CBOR_UINT, STATION);
    (void)take(&c, part->station, sizeof part->station);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, HEAD);
    part->head = stamp_cbor_uint(&c, UINT32_MAX);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, HEAD_HASH);
    (void)take(&c, part->head_hash, sizeof part->head_hash);
    stamp_cbor_want(&c, STAMP_CBOR_UINT, ENTRIES);
    part->n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    if (part->n > STAMP_JOURNAL_PART_ENTRIES) {
        part->n = 0;
        return malformed(err);
    }
    for (size_t i = 0; i < part->n; i++) {
        part->entry[i] =
            stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_JOURNAL_ENTRY_MAX);
    }
    return c.err == STAMP_OK && c.left == 0 ? STAMP_OK : malformed(err);
}

enum stamp_err stamp_journal_part_open(struct stamp_slice in, EVP_PKEY *home,
                                       stamp_journal_whose whose, void *ctx, size_t *used,
                                       struct stamp_buffer *plain,
                                       struct stamp_journal_part *part,
                                       struct stamp_error *err)
{
    STAMP_X509_AUTO *journal = NULL;
    struct stamp_slice payload;
    struct stamp_cbor c;
    const uint8_t *sig;
    enum stamp_err rc;

    *plain = (struct stamp_buffer){NULL, 0};
    stamp_cbor_init(&c, in.p, in.len);
    in = stamp_cbor_skip(&c);
    *used = c.err == STAMP_OK ? in.len : 0;
    if (*used == 0) {
        return malformed(err);
    }
    rc = stamp_letter_open(STAMP_LABEL_JOURNAL_PART, "part of a journal", in, home, plain,
                           &payload, &sig, err);
    if (rc == STAMP_OK) {
        rc = decode(payload, part, err);
    }
    if (rc == STAMP_OK) {
        rc = whose(ctx, part->station, &journal, err);
    }
    if (rc == STAMP_OK &&
        stamp_sig_check(X509_get0_pubkey(journal), STAMP_LABEL_JOURNAL_PART, payload.p,
                        payload.len, sig, NULL) != STAMP_OK) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "a part of a journal is not signed by its station");
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(plain);
    }
    return rc;
}

size_t stamp_journal_parts(struct stamp_slice in, size_t max)
{
    size_t len = 0;

    for (;;) {
        struct stamp_cbor c;

        stamp_cbor_init(&c, in.p + len, in.len - len);
        if (len == in.len || stamp_cbor_skip(&c).len == 0 || c.err != STAMP_OK ||
            (len > 0 && in.len - c.left > max)) {
            return len;
        }
        len = in.len - c.left;
    }
}
