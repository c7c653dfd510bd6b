/* Finding items in a region: a walk over the map, reading heads only. */
#include "core/part.h"

/* One head at `*off`, which moves behind it and, of a string, behind its bytes. */
static enum stamp_err step(const struct stamp_flash *flash, uint32_t *off, uint32_t end,
                           struct stamp_cbor_head *h)
{
    uint8_t buf[STAMP_CBOR_HEAD_MAX];
    uint32_t n = end - *off < STAMP_CBOR_HEAD_MAX ? end - *off : STAMP_CBOR_HEAD_MAX;

    if (stamp_flash_read(flash, *off, buf, n) != STAMP_OK) {
        return STAMP_E_FLASH;
    }
    if (stamp_cbor_head(buf, n, h) != STAMP_OK) {
        return STAMP_E_FORMAT;
    }
    *off += h->size;
    if (h->type == STAMP_CBOR_BYTES || h->type == STAMP_CBOR_TEXT) {
        if (h->arg > end - *off) {
            return STAMP_E_FORMAT;
        }
        *off += h->arg;
    }
    return STAMP_OK;
}

/* Move `*off` behind one whole item. */
static enum stamp_err skip(const struct stamp_flash *flash, uint32_t *off, uint32_t end)
{
    struct stamp_cbor_head h;
    uint32_t owed = 1; /* items still to come, at any depth */

    while (owed > 0) {
        enum stamp_err rc = step(flash, off, end, &h);

        if (rc != STAMP_OK) {
            return rc;
        }
        owed--;
        if (h.type == STAMP_CBOR_ARRAY || h.type == STAMP_CBOR_MAP) {
            /* each item takes a byte at least, so a count beyond what is left is a lie */
            if (h.arg > end - *off) {
                return STAMP_E_FORMAT;
            }
            owed += h.arg << (h.type == STAMP_CBOR_MAP ? 1 : 0);
            if (owed > end - *off) {
                return STAMP_E_FORMAT;
            }
        }
    }
    return STAMP_OK;
}

enum stamp_err stamp_next(const struct stamp_part *part, enum stamp_which which,
                          struct stamp_item *item)
{
    const struct stamp_region *r = &part->region[which];
    uint32_t off = item->off + item->len;
    uint32_t end = r->off + STAMP_BODY_OFFSET + r->body_len;
    struct stamp_cbor_head h;
    enum stamp_err rc;

    if (r->state != STAMP_REGION_WHOLE) {
        return STAMP_E_MISSING;
    }
    if (off == 0) {
        off = r->off + STAMP_BODY_OFFSET;
        rc = step(part->flash, &off, end, &h);
        if (rc != STAMP_OK || h.type != STAMP_CBOR_MAP) {
            return rc != STAMP_OK ? rc : STAMP_E_FORMAT;
        }
    }
    if (off == end) {
        return STAMP_E_MISSING;
    }
    rc = step(part->flash, &off, end, &h);
    if (rc != STAMP_OK || h.type != STAMP_CBOR_UINT) {
        return rc != STAMP_OK ? rc : STAMP_E_FORMAT;
    }
    item->region = r;
    item->key = h.arg;
    item->off = off;
    rc = skip(part->flash, &off, end);
    item->len = off - item->off;
    item->map = part->flash->map == NULL ? NULL : part->flash->map + item->off;
    return rc;
}

static enum stamp_err find_in(const struct stamp_part *part, enum stamp_which which,
                              uint32_t key, struct stamp_item *item)
{
    enum stamp_err rc;

    item->off = 0;
    item->len = 0;
    do {
        rc = stamp_next(part, which, item);
    } while (rc == STAMP_OK && item->key < key);
    return rc == STAMP_OK && item->key != key ? STAMP_E_MISSING : rc;
}

enum stamp_err stamp_find(const struct stamp_part *part, enum stamp_which which,
                          uint32_t key, struct stamp_item *item)
{
    enum stamp_err rc;

    if (which != STAMP_NEWEST) {
        return find_in(part, which, key, item);
    }
    rc = find_in(part, (enum stamp_which)part->newest, key, item);
    if (rc == STAMP_E_MISSING && part->newest != STAMP_BIRTH) {
        rc = find_in(part, STAMP_BIRTH, key, item);
    }
    return rc;
}

enum stamp_err stamp_item_content(const struct stamp_part *part, struct stamp_item *item)
{
    uint32_t off = item->off;
    uint32_t end = item->off + item->len;
    struct stamp_cbor_head h;
    enum stamp_err rc = step(part->flash, &off, end, &h);

    if (rc != STAMP_OK || (h.type != STAMP_CBOR_BYTES && h.type != STAMP_CBOR_TEXT)) {
        return rc != STAMP_OK ? rc : STAMP_E_FORMAT;
    }
    item->map = item->map == NULL ? NULL : item->map + h.size;
    item->off += h.size;
    item->len -= h.size;
    return STAMP_OK;
}
