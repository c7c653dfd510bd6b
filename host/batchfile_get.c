/* Records of a batch file: listed, found, opened, and all of them checked. SPEC 11-13,
 * 11-25. */
#include <openssl/err.h>
#include <string.h>

#include "host/batchfile_own.h"

#define STREAM_SIZE ((size_t)1 << 20)

/* 'record 17 ('SN-0017') of 'FILE' is ...' */
static enum stamp_err bad_record(const struct stamp_batch *b, enum stamp_err rc,
                                 uint32_t index, struct stamp_slice serial,
                                 const char *what, struct stamp_error *err)
{
    return stamp_error_set(err, rc, 0, "record %u ('%.*s') of '%s' %s", index,
                           (int)serial.len, (const char *)serial.p, b->path, what);
}

/* Whole, but not the one that was signed: another record of this or of some batch, or
 * this one changed by somebody who could put the check right. */
static enum stamp_err foreign(const struct stamp_batch *b, uint32_t index,
                              const struct stampi_entry *e, const struct stampi_record *r,
                              struct stamp_error *err)
{
    if (r->index == index && r->serial.len == e->serial.len &&
        memcmp(r->serial.p, e->serial.p, e->serial.len) == 0) {
        return bad_record(b, STAMP_E_AUTH, index, e->serial,
                          "is not the one that was signed", err);
    }
    return stamp_error_set(err, STAMP_E_AUTH, 0,
                           "record %u ('%.*s') of '%s': record %u ('%.*s') stands in its "
                           "place",
                           index, (int)e->serial.len, (const char *)e->serial.p, b->path,
                           r->index, (int)r->serial.len, (const char *)r->serial.p);
}

enum stamp_err stampi_record_load(struct stamp_batch *b, struct stampi_window *w,
                                  uint32_t index, const struct stampi_entry *e,
                                  struct stampi_record *r, size_t *size,
                                  struct stamp_error *err)
{
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    struct stampi_head head = {.len = 0};
    const uint8_t *p = NULL;
    enum stamp_err rc = stampi_window_get(w, e->offset, STAMPI_HEAD_SIZE, &p, err);

    if (rc == STAMP_OK) {
        stampi_head_get(p, &head);
        *size = head.len + STAMPI_FRAME_SIZE;
        rc = head.len <= STAMPI_RECORD_LEN_MAX
                 ? stampi_window_get(w, e->offset, *size, &p, err)
                 : STAMP_E_MISSING;
    }
    if (rc == STAMP_E_IO) {
        return rc;
    }
    if (rc != STAMP_OK || !stampi_block_check(b->md, p, *size, digest) ||
        !stampi_record_parse(p, *size, r)) {
        return bad_record(b, STAMP_E_CORRUPT, index, e->serial, "is damaged", err);
    }
    /* What was signed is in its place, so these hold where the digest does; a writer that
     * signs anything else is not believed either. */
    if (memcmp(digest, e->digest, sizeof digest) != 0 || r->index != index ||
        r->serial.len != e->serial.len ||
        memcmp(r->serial.p, e->serial.p, e->serial.len) != 0) {
        return foreign(b, index, e, r, err);
    }
    if (r->segment >= b->n_segments || stampi_segment_first(b, r->segment) > index ||
        (r->segment + 1 < b->n_segments &&
         stampi_segment_first(b, r->segment + 1) <= index)) {
        return bad_record(b, STAMP_E_AUTH, index, e->serial, "is in the wrong segment",
                          err);
    }
    return STAMP_OK;
}

static bool slice_equal(struct stamp_slice a, struct stamp_slice b)
{
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

/* SPEC 11-13. */
static bool body_ok(const struct stamp_batch *b, const struct stampi_record *r,
                    const uint8_t *body, size_t len)
{
    struct stamp stamp;

    return stamp_decode(&stamp, body, len) == STAMP_OK &&
           stamp_check_birth(&stamp) == STAMP_OK &&
           slice_equal(stamp.serial, r->serial) &&
           slice_equal(stamp.product, b->manifest.product) &&
           stamp.purpose == b->manifest.purpose;
}

enum stamp_err stampi_record_unseal(struct stamp_batch *b, const struct stampi_record *r,
                                    uint8_t body[STAMP_MAX_LEN], size_t *len,
                                    struct stamp_error *err)
{
    EVP_MAC_CTX *segment = b->segment_keys[r->segment];

    *len = r->sealed.len - STAMPI_TAG_SIZE;
    if (!stampi_record_open(segment, b->cipher, r, body)) {
        ERR_clear_error();
        *len = 0;
        return bad_record(b, STAMP_E_AUTH, r->index, r->serial, "does not open", err);
    }
    if (!body_ok(b, r, body, *len)) {
        OPENSSL_cleanse(body, *len);
        *len = 0;
        return bad_record(b, STAMP_E_AUTH, r->index, r->serial,
                          "holds what is not its stamp", err);
    }
    return STAMP_OK;
}

static void fill_entry(uint32_t index, const struct stampi_entry *e,
                       struct stamp_batch_entry *out)
{
    out->index = index;
    memcpy(out->serial, e->serial.p, e->serial.len);
    out->serial[e->serial.len] = '\0';
    memcpy(out->digest, e->digest, sizeof out->digest);
}

static enum stamp_err load_entry(struct stamp_batch *b, uint32_t index,
                                 struct stampi_entry *e, struct stamp_error *err)
{
    enum stamp_err rc;

    if (index >= b->manifest.count) {
        (void)stamp_error_set(err, STAMP_E_MISSING, 0, "'%s' has %u records, none %u",
                              b->path, b->manifest.count, index);
        return STAMP_E_MISSING;
    }
    rc = stampi_page_load(b, index / STAMPI_PAGE_ENTRIES, err);
    if (rc == STAMP_OK) {
        stampi_page_entry(b, index % STAMPI_PAGE_ENTRIES, e);
    }
    return rc;
}

enum stamp_err stamp_batch_entry(struct stamp_batch *b, uint32_t index,
                                 struct stamp_batch_entry *out, struct stamp_error *err)
{
    struct stampi_entry e = {.offset = 0};
    enum stamp_err rc = load_entry(b, index, &e, err);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_OK) {
        fill_entry(index, &e, out);
    }
    return rc;
}

static enum stamp_err not_there(const struct stamp_batch *b, const char *serial,
                                struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_MISSING, 0, "'%.64s' is not in '%s'", serial,
                           b->path);
}

static enum stamp_err find_ordered(struct stamp_batch *b, const char *serial,
                                   struct stamp_batch_entry *out, struct stamp_error *err)
{
    struct stamp_slice want = {(const uint8_t *)serial, strlen(serial)};
    uint32_t low = 0; /* the first one not below `want` is in low..high */
    uint32_t high = b->manifest.count;
    struct stampi_entry e = {.offset = 0};
    enum stamp_err rc;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        rc = load_entry(b, middle, &e, err);
        if (rc != STAMP_OK) {
            return rc;
        }
        if (stampi_serial_greater(want, e.serial)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == b->manifest.count) {
        return not_there(b, serial, err);
    }
    rc = load_entry(b, low, &e, err);
    if (rc == STAMP_OK && !slice_equal(want, e.serial)) {
        rc = not_there(b, serial, err);
    }
    if (rc == STAMP_OK) {
        fill_entry(low, &e, out);
    }
    return rc;
}

enum stamp_err stamp_batch_find(struct stamp_batch *b, const char *serial,
                                struct stamp_batch_entry *out, struct stamp_error *err)
{
    struct stamp_slice want = {(const uint8_t *)serial, strlen(serial)};

    memset(out, 0, sizeof *out);
    if (b->manifest.ordered) {
        return find_ordered(b, serial, out, err);
    }
    for (uint32_t i = 0; i < b->manifest.count; i++) {
        struct stampi_entry e = {.offset = 0};
        enum stamp_err rc = load_entry(b, i, &e, err);

        if (rc != STAMP_OK) {
            return rc;
        }
        if (slice_equal(want, e.serial)) {
            fill_entry(i, &e, out);
            return STAMP_OK;
        }
    }
    return not_there(b, serial, err);
}

enum stamp_err stamp_batch_get(struct stamp_batch *b, uint32_t index,
                               uint8_t body[STAMP_MAX_LEN], size_t *len,
                               struct stamp_error *err)
{
    struct stampi_entry e = {.offset = 0};
    struct stampi_record r = {.index = 0};
    size_t size;
    enum stamp_err rc;

    *len = 0;
    if (b->key == NULL) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "'%s' was not unlocked", b->path);
    }
    rc = load_entry(b, index, &e, err);
    if (rc == STAMP_OK) {
        rc = stampi_record_load(b, &b->window, index, &e, &r, &size, err);
    }
    if (rc == STAMP_OK && b->segment_keys[r.segment] == NULL) {
        /* Takes the window, so the record is read again behind it. */
        rc = stampi_segment_unlock(b, r.segment, err);
        if (rc == STAMP_OK) {
            rc = stampi_record_load(b, &b->window, index, &e, &r, &size, err);
        }
    }
    return rc == STAMP_OK ? stampi_record_unseal(b, &r, body, len, err) : rc;
}

/* ---- all of it ---- */

struct check {
    struct stamp_batch *b;
    struct stampi_window stream;
    struct stamp_merkle tree;
    uint64_t at;      /* all before this was checked */
    uint32_t segment; /* the next one to come */
    char last[STAMP_SERIAL_SIZE];
    uint8_t body[STAMP_MAX_LEN];
};

/* Something stands, or nothing, where the block in question should. SPEC 11-1. */
static enum stamp_err gap(const struct check *c, const char *what, uint32_t number,
                          struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_AUTH, 0, "%s %u of '%s' is not in its place",
                           what, number, c->b->path);
}

static enum stamp_err check_segment(struct check *c, struct stamp_error *err)
{
    struct stamp_slice envelope = {NULL, 0};
    enum stamp_err rc;

    if (stampi_segment_offset(c->b, c->segment) != c->at) {
        return gap(c, "segment", c->segment, err);
    }
    rc = stampi_segment_load(c->b, c->segment, &envelope, err);
    c->at += envelope.len + STAMPI_FRAME_SIZE;
    if (rc == STAMP_OK && c->b->key != NULL) {
        rc = stampi_segment_unlock(c->b, c->segment, err);
    }
    c->segment++;
    return rc;
}

static enum stamp_err check_order(struct check *c, uint32_t index,
                                  struct stamp_slice serial, struct stamp_error *err)
{
    const struct stamp_batch_manifest *m = &c->b->manifest;
    struct stamp_slice last = {(const uint8_t *)c->last, strlen(c->last)};
    bool ok = !m->ordered || index == 0 || stampi_serial_greater(serial, last);

    if (index == 0) {
        ok = ok && slice_equal(serial, m->first);
    }
    if (index == m->count - 1) {
        ok = ok && slice_equal(serial, m->last);
    }
    memcpy(c->last, serial.p, serial.len);
    c->last[serial.len] = '\0';
    return ok ? STAMP_OK
              : bad_record(c->b, STAMP_E_AUTH, index, serial,
                           "is out of the manifest's order", err);
}

static enum stamp_err check_record(struct check *c, uint32_t index,
                                   struct stamp_error *err)
{
    struct stampi_entry e = {.offset = 0};
    struct stampi_record r = {.index = 0};
    size_t size = 0;
    size_t len = 0;
    enum stamp_err rc = STAMP_OK;

    if (c->segment < c->b->n_segments &&
        stampi_segment_first(c->b, c->segment) == index) {
        rc = check_segment(c, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stampi_page_entry(c->b, index % STAMPI_PAGE_ENTRIES, &e);
    if (e.offset != c->at) {
        return bad_record(c->b, STAMP_E_AUTH, index, e.serial, "is not in its place",
                          err);
    }
    rc = stampi_record_load(c->b, &c->stream, index, &e, &r, &size, err);
    c->at += size;
    if (rc == STAMP_OK) {
        rc = stamp_merkle_add(&c->tree, e.digest, err);
    }
    if (rc == STAMP_OK) {
        rc = check_order(c, index, e.serial, err);
    }
    if (rc == STAMP_OK && c->b->key != NULL) {
        rc = stampi_record_unseal(c->b, &r, c->body, &len, err);
        OPENSSL_cleanse(c->body, len);
    }
    return rc;
}

static enum stamp_err check_page(struct check *c, uint32_t page, struct stamp_error *err)
{
    enum stamp_err rc = stampi_page_load(c->b, page, err);
    uint32_t first = page * STAMPI_PAGE_ENTRIES;
    uint32_t entries = c->b->page_entries;

    for (uint32_t i = 0; i < entries && rc == STAMP_OK; i++) {
        rc = check_record(c, first + i, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (stampi_page_offset(c->b, page) != c->at) {
        return gap(c, "page", page, err);
    }
    c->at += c->b->page_size;
    return STAMP_OK;
}

static enum stamp_err check_all(struct check *c, struct stamp_error *err)
{
    uint8_t root[STAMP_MERKLE_SIZE];
    enum stamp_err rc = STAMP_OK;

    c->at = STAMPI_HEADER_SIZE;
    for (uint32_t page = 0; page < c->b->n_pages && rc == STAMP_OK; page++) {
        rc = check_page(c, page, err);
    }
    if (rc == STAMP_OK && c->at != c->b->index_at) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "the index of '%s' is not in its place", c->b->path);
    }
    if (rc == STAMP_OK) {
        rc = stamp_merkle_root(&c->tree, root, err);
    }
    if (rc == STAMP_OK && memcmp(root, c->b->manifest.root, sizeof root) != 0) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "the Merkle root of '%s' is not that of its records",
                             c->b->path);
    }
    return rc;
}

enum stamp_err stamp_batch_verify(struct stamp_batch *b, struct stamp_error *err)
{
    struct check c = {.b = b};
    enum stamp_err rc = stamp_merkle_init(&c.tree, err);

    if (rc == STAMP_OK) {
        rc = stampi_window_init(&c.stream, b->fd, b->size, STREAM_SIZE, STREAM_SIZE, err);
    }
    if (rc == STAMP_OK) {
        rc = check_all(&c, err);
    }
    OPENSSL_cleanse(c.body, sizeof c.body);
    stampi_window_fini(&c.stream);
    stamp_merkle_fini(&c.tree);
    return rc;
}
