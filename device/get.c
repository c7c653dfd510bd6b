/* Reading items, wherever they are: mapped or not, encrypted or not, in flash or in
 * memory. */
#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/device_i.h"

enum stamp_which stampi_region_of(const struct stamp_part *part,
                                  const struct stamp_item *item)
{
    unsigned i = STAMP_BANK_B;

    while (i > STAMP_BIRTH && (part->region[i].state != STAMP_REGION_WHOLE ||
                               item->off < part->region[i].off)) {
        i--;
    }
    return (enum stamp_which)i;
}

static const struct stamp_region *encrypted_region(const struct stamp_device *dev,
                                                   const struct stamp_item *item)
{
    const struct stamp_region *r = &dev->part.region[stampi_region_of(&dev->part, item)];

    return (r->flags & STAMP_FLAG_ENCRYPTED) != 0 ? r : NULL;
}

/* Narrow an encrypted item to its record. */
static enum stamp_err record_of(const struct stamp_device *dev, struct stamp_item *item)
{
    enum stamp_err rc = stamp_item_content(&dev->part, item);

    return rc == STAMP_OK && item->len < STAMPI_TAG_SIZE ? STAMP_E_FORMAT : rc;
}

enum stamp_err stampi_value_len(const struct stamp_device *dev,
                                const struct stamp_item *item, size_t *len)
{
    struct stamp_item record = *item;
    enum stamp_err rc = STAMP_OK;

    *len = item->len;
    if (encrypted_region(dev, item) != NULL) {
        rc = record_of(dev, &record);
        *len = rc == STAMP_OK ? record.len - STAMPI_TAG_SIZE : 0;
    }
    return rc;
}

/* Into the work buffer: the record is read a little behind where its plaintext goes. */
static enum stamp_err open_record(const struct stamp_device *dev,
                                  const struct stamp_region *r, struct stamp_item *record)
{
    uint8_t *work = dev->port->work;
    const uint8_t *in = record->map;
    uint8_t header[STAMP_SIGNED_SIZE];
    psa_key_id_t id;
    enum stamp_err rc;

    if (work == NULL || dev->port->work_size < record->len + STAMP_WORK_EXTRA) {
        return STAMP_E_SPACE;
    }
    if (in == NULL) {
        in = work + (STAMP_WORK_EXTRA - STAMPI_TAG_SIZE);
        if (stamp_flash_read(dev->part.flash, record->off,
                             work + (STAMP_WORK_EXTRA - STAMPI_TAG_SIZE),
                             record->len) != STAMP_OK) {
            return STAMP_E_FLASH;
        }
    }
    if (stamp_flash_read(dev->part.flash, r->off, header, sizeof header) != STAMP_OK) {
        return STAMP_E_FLASH;
    }
    rc = stampi_rest_key(dev->port, header, PSA_KEY_USAGE_DECRYPT, &id);
    if (rc == STAMP_OK) {
        rc = stampi_rest_open(id, record->key, in, record->len, work);
        (void)psa_destroy_key(id);
    }
    return rc;
}

enum stamp_err stampi_value(const struct stamp_device *dev, const struct stamp_item *item,
                            struct stamp_slice *v)
{
    const struct stamp_region *r = encrypted_region(dev, item);
    struct stamp_item record = *item;
    enum stamp_err rc;

    v->p = item->map;
    v->len = item->len;
    if (r == NULL) {
        return STAMP_OK;
    }
    v->p = NULL;
    v->len = 0;
    rc = record_of(dev, &record);
    if (rc == STAMP_OK) {
        v->len = record.len - STAMPI_TAG_SIZE;
        v->p = dev->port->work;
        rc = open_record(dev, r, &record);
    }
    return rc;
}

void stampi_value_done(const struct stamp_device *dev, const struct stamp_slice *v)
{
    if (v->p != NULL && v->p == dev->port->work) {
        mbedtls_platform_zeroize(dev->port->work, dev->port->work_size);
    }
}

enum stamp_err stampi_read_begin(struct stampi_reader *r, const struct stamp_device *dev,
                                 const struct stamp_item *item)
{
    enum stamp_err rc = stampi_value(dev, item, &r->value);

    r->dev = dev;
    r->work = r->value;
    r->off = item->off;
    if (rc != STAMP_OK) {
        r->value.len = 0;
    }
    return rc;
}

enum stamp_err stampi_read(struct stampi_reader *r, struct stamp_slice *piece)
{
    size_t n = r->value.len;

    piece->p = r->value.p;
    piece->len = n;
    if (piece->p == NULL) {
        piece->p = r->buf;
        piece->len = n < sizeof r->buf ? n : sizeof r->buf;
        if (stamp_flash_read(r->dev->part.flash, r->off, r->buf, piece->len) !=
            STAMP_OK) {
            r->value.len = 0;
            piece->len = 0;
            return STAMP_E_FLASH;
        }
        r->off += (uint32_t)piece->len;
    }
    r->value.len -= piece->len;
    return STAMP_OK;
}

void stampi_read_end(struct stampi_reader *r)
{
    stampi_value_done(r->dev, &r->work);
    mbedtls_platform_zeroize(r->buf, sizeof r->buf);
}

enum stamp_err stampi_find_value(const struct stamp_device *dev, enum stamp_which which,
                                 uint32_t key, struct stamp_slice *v)
{
    struct stamp_item item;
    enum stamp_err rc = stamp_find(&dev->part, which, key, &item);

    *v = (struct stamp_slice){NULL, 0};
    if (rc == STAMP_OK) {
        rc = stampi_value(dev, &item, v);
    }
    if (rc == STAMP_OK && v->p == NULL) {
        if (dev->port->work == NULL || dev->port->work_size < v->len) {
            return STAMP_E_SPACE;
        }
        v->p = dev->port->work;
        rc = stamp_flash_read(dev->part.flash, item.off, dev->port->work, v->len);
    }
    if (rc != STAMP_OK) {
        stampi_value_done(dev, v);
        *v = (struct stamp_slice){NULL, 0};
    }
    return rc;
}

/* Copy an item's value, or with `content` what its one string holds. */
static enum stamp_err get(const struct stamp_device *dev, struct stamp_item *item,
                          bool content, struct stamp_cbor_out *out)
{
    struct stamp_slice v;
    enum stamp_err rc = stampi_value(dev, item, &v);
    struct stamp_cbor_head h = {0};

    if (rc == STAMP_OK && content && v.p == NULL) {
        rc = stamp_item_content(&dev->part, item);
        v.len = item->len;
    } else if (rc == STAMP_OK && content) {
        rc = stamp_cbor_head(v.p, v.len, &h);
        if (rc == STAMP_OK &&
            ((h.type != STAMP_CBOR_BYTES && h.type != STAMP_CBOR_TEXT) ||
             h.arg != v.len - h.size)) {
            rc = STAMP_E_FORMAT;
        }
    }
    if (rc == STAMP_OK) {
        out->len = v.len - h.size;
        if (out->len > out->size) {
            rc = STAMP_E_SPACE;
        } else if (v.p != NULL) {
            memmove(out->p, v.p + h.size, out->len);
        } else {
            rc = stamp_flash_read(dev->part.flash, item->off, out->p, out->len);
        }
    }
    stampi_value_done(dev, &v);
    return rc;
}

static enum stamp_err get_item(const struct stamp_device *dev, enum stamp_which which,
                               uint32_t key, bool content, struct stamp_cbor_out *out)
{
    struct stamp_item item;
    enum stamp_err rc = stamp_find(&dev->part, which, key, &item);

    return rc == STAMP_OK ? get(dev, &item, content, out) : rc;
}

enum stamp_err stamp_get(const struct stamp_device *dev, enum stamp_which which,
                         uint32_t key, void *buf, size_t size, size_t *len)
{
    struct stamp_cbor_out out = {buf, size, 0};
    enum stamp_err rc = get_item(dev, which, key, false, &out);

    *len = out.len;
    return rc;
}

enum stamp_err stamp_get_string(const struct stamp_device *dev, enum stamp_which which,
                                uint32_t key, void *buf, size_t size, size_t *len)
{
    struct stamp_cbor_out out = {buf, size, 0};
    enum stamp_err rc = get_item(dev, which, key, true, &out);

    *len = out.len;
    return rc;
}

/* The body is taken for one that lies STAMP_BODY_OFFSET behind a header: the offset of
 * the region wraps around, so that the body's own is 0. */
void stampi_view_init(struct stampi_view *view, const struct stamp_port *port,
                      const void *in, size_t in_len)
{
    memset(view, 0, sizeof *view);
    view->flash.map = in;
    view->dev.port = port;
    view->dev.part.flash = &view->flash;
    view->dev.part.region[STAMP_BIRTH] = (struct stamp_region){
        .off = 0u - STAMP_BODY_OFFSET,
        .body_len = (uint32_t)in_len,
        .state = STAMP_REGION_WHOLE,
        .kind = STAMP_KIND_BIRTH,
    };
}
