/* Segments and pages of an opened batch file, each checked against its digest in the
 * index before it is used. SPEC 11-24. */
#include <string.h>

#include "host/batchfile_own.h"
#include "host/cms.h"

/* ---- segments ---- */

enum stamp_err stampi_segment_load(struct stamp_batch *b, uint32_t segment,
                                   struct stamp_slice *envelope, struct stamp_error *err)
{
    uint64_t at = stampi_segment_offset(b, segment);
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    struct stampi_head head = {.len = 0};
    const uint8_t *p = NULL;
    enum stamp_err rc = stampi_window_get(&b->window, at, STAMPI_HEAD_SIZE, &p, err);

    if (rc == STAMP_OK) {
        stampi_head_get(p, &head);
        rc =
            head.len <= STAMPI_ENVELOPE_MAX
                ? stampi_window_get(&b->window, at, head.len + STAMPI_FRAME_SIZE, &p, err)
                : STAMP_E_MISSING;
    }
    if (rc == STAMP_E_IO) {
        return rc;
    }
    if (rc != STAMP_OK || !stampi_head_is(&head, STAMPI_MAGIC_SEGMENT) ||
        head.a != segment || head.b != stampi_segment_first(b, segment) ||
        !stampi_block_check(b->md, p, head.len + STAMPI_FRAME_SIZE, digest) ||
        memcmp(digest, stampi_segment_digest(b, segment), sizeof digest) != 0) {
        return stamp_error_set(err, STAMP_E_CORRUPT, 0, "segment %u of '%s' is damaged",
                               segment, b->path);
    }
    envelope->p = p + STAMPI_HEAD_SIZE;
    envelope->len = head.len;
    return STAMP_OK;
}

enum stamp_err stampi_segment_unlock(struct stamp_batch *b, uint32_t segment,
                                     struct stamp_error *err)
{
    uint8_t content[STAMPI_KEY_SIZE];
    struct stamp_slice envelope = {NULL, 0};
    enum stamp_err rc;

    if (b->segment_keys[segment] != NULL) {
        return STAMP_OK;
    }
    rc = stampi_segment_load(b, segment, &envelope, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    /* No more than that. SPEC 11-19. */
    if (stamp_cms_unwrap(envelope, b->key, content, sizeof content, NULL) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "this key does not open '%s'",
                               b->path);
    }
    rc = stampi_segment_key(b->manifest.id, b->manifest.volume, segment, content,
                            &b->segment_keys[segment], err);
    OPENSSL_cleanse(content, sizeof content);
    return rc;
}

enum stamp_err stamp_batch_unlock(struct stamp_batch *b, EVP_PKEY *key,
                                  struct stamp_error *err)
{
    enum stamp_err rc;

    for (uint32_t i = 0; i < b->n_segments; i++) {
        stampi_free_mac_ctx(&b->segment_keys[i]);
    }
    EVP_PKEY_free(b->key);
    b->key = key;
    if (EVP_PKEY_up_ref(key) != 1) {
        b->key = NULL;
        return stamp_openssl_failed(err, "cannot take the station's key");
    }
    rc = stampi_segment_unlock(b, 0, err);
    if (rc != STAMP_OK) {
        EVP_PKEY_free(b->key);
        b->key = NULL;
    }
    return rc;
}

/* ---- pages ---- */

void stampi_page_entry(const struct stamp_batch *b, uint32_t i, struct stampi_entry *out)
{
    const uint8_t *p = b->page + b->entry_at[i];

    out->offset = stampi_get_u64(p);
    out->digest = p + 8;
    out->serial.p = p + STAMPI_ENTRY_FIXED;
    out->serial.len = p[STAMPI_ENTRY_FIXED - 1];
}

/* Find where the entries begin. SPEC 11-8. */
static bool parse_page(struct stamp_batch *b, size_t len)
{
    size_t at = STAMPI_HEAD_SIZE;
    size_t end = at + len;

    b->page_size = len + STAMPI_FRAME_SIZE;
    for (uint32_t i = 0; i < b->page_entries; i++) {
        struct stampi_entry e;

        if (end - at < STAMPI_ENTRY_FIXED) {
            return false;
        }
        b->entry_at[i] = (uint16_t)at;
        stampi_page_entry(b, i, &e);
        at += STAMPI_ENTRY_FIXED;
        if (end - at < e.serial.len || !stampi_serial_ok(e.serial)) {
            return false;
        }
        at += e.serial.len;
    }
    return at == end;
}

enum stamp_err stampi_page_load(struct stamp_batch *b, uint32_t page,
                                struct stamp_error *err)
{
    uint64_t at = stampi_page_offset(b, page);
    uint32_t first = page * STAMPI_PAGE_ENTRIES;
    uint32_t left = b->manifest.count - first;
    uint8_t digest[STAMP_BATCH_DIGEST_SIZE];
    struct stampi_head head = {.len = 0};
    const uint8_t *p = NULL;
    enum stamp_err rc;

    if (b->has_page && b->page_no == page) {
        return STAMP_OK;
    }
    b->has_page = false;
    b->page_entries = left < STAMPI_PAGE_ENTRIES ? left : STAMPI_PAGE_ENTRIES;
    rc = stampi_window_get(&b->window, at, STAMPI_HEAD_SIZE, &p, err);
    if (rc == STAMP_OK) {
        stampi_head_get(p, &head);
        rc =
            head.len <= STAMPI_PAGE_LEN_MAX
                ? stampi_window_get(&b->window, at, head.len + STAMPI_FRAME_SIZE, &p, err)
                : STAMP_E_MISSING;
    }
    if (rc == STAMP_E_IO) {
        return rc;
    }
    if (rc == STAMP_OK) {
        memcpy(b->page, p, head.len + STAMPI_FRAME_SIZE);
    }
    if (rc != STAMP_OK || !stampi_head_is(&head, STAMPI_MAGIC_PAGE) || head.a != page ||
        head.b != b->page_entries ||
        !stampi_block_check(b->md, p, head.len + STAMPI_FRAME_SIZE, digest) ||
        memcmp(digest, stampi_page_digest(b, page), sizeof digest) != 0 ||
        !parse_page(b, head.len)) {
        return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                               "page %u (records %u to %u) of '%s' is damaged", page,
                               first, first + b->page_entries - 1, b->path);
    }
    b->page_no = page;
    b->has_page = true;
    return STAMP_OK;
}
